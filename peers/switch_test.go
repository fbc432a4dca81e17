package peers

import (
	"io"
	"net"
	"testing"
	"time"

	"example.com/h1"
)

// echo wants back what it writes, 1 MB of it, and then the end.
func echo(t *testing.T, c *h1.Conn) {
	t.Helper()
	parts, err := c.Detach()
	must(t, err)
	nc := parts.IO.(*net.TCPConn)
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	sent := make(chan error, 1)
	go func() {
		_, err := nc.Write(big[:1<<20])
		sent <- err
	}()
	got := make([]byte, 1<<20)
	stream := parts.Stream()
	_, err = io.ReadFull(stream, got)
	must(t, same("echo", 200, got, err, big[:1<<20]))
	must(t, <-sent)
	if !c.State().Closed() && !c.State().Switched() {
		t.Errorf("after Detach: %v", c.State())
	}
}

func upgrade(t *testing.T, s *server) {
	c := dial(t, "tcp", s.addr, &h1.Config{Depth: 4})
	must(t, get(bounded(t), c, "/f/1", fileBody(1)))
	req := &h1.Request{Target: s.upgrade, Host: "peer.test"}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	var resp h1.Response
	must(t, c.Do(bounded(t), req, &resp))
	if resp.Status != 101 || resp.Header.Get("Upgrade") != "echo" {
		body, err := resp.AppendBody(nil, 1000)
		t.Fatalf("%d, Upgrade %q, %q, %v", resp.Status, resp.Header.Get("Upgrade"), body, err)
	}
	echo(t, c)
}

func connect(t *testing.T, s *server) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	go func() {
		if nc, err := l.Accept(); err == nil {
			io.Copy(nc, nc)
			nc.Close()
		}
	}()
	c := dial(t, "tcp", s.proxy, nil)
	var resp h1.Response
	must(t, c.Do(bounded(t), &h1.Request{Method: "CONNECT", Target: l.Addr().String()}, &resp))
	if resp.Status != 200 {
		t.Fatal(resp.Status)
	}
	echo(t, c)
}
