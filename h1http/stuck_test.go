package h1http

// stuck_test.go: connections whose server has answered a request before its end, and reads
// no more of it: no other request is to wait there.

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/h1"
)

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// answersEarlyTo is a server that answers the first line of a request for "/long", or its
// head if it has a body, and reads no more until hang is closed; others it answers whole.
func answersEarlyTo(hang chan struct{}) func(nc net.Conn, br *bufio.Reader, _ int) {
	return func(nc net.Conn, br *bufio.Reader, _ int) {
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			long, bodies := strings.Contains(line, "/long"), !strings.HasPrefix(line, "GET")
			for line != "\r\n" && (!long || bodies) {
				if line, err = br.ReadString('\n'); err != nil {
					return
				}
			}
			io.WriteString(nc, okAnswer)
			if long {
				<-hang
				return
			}
		}
	}
}

// longGet returns a request for "/long" whose head is as long.
func longGet(t *testing.T, url string, head int) *http.Request {
	req := newRequest(t, "GET", url+"/long", nil)
	req.Header.Set("Long", strings.Repeat("x", head))
	return req
}

// answered makes a request that must be answered soon.
func answered(t *testing.T, what string, rt http.RoundTripper, req *http.Request) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	resp, err := rt.RoundTrip(req.WithContext(ctx))
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	slurp(t, resp)
}

// A body that lies in buffers is not out, either, where no socket is sure to take it.
func TestUnreadUploadOnPipe(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	dial := func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go answersEarlyTo(hang)(server, bufio.NewReaderSize(server, 16), 0)
		return client, nil
	}
	withBoth(t, func(a *http.Transport, b *Transport) { a.DialContext, b.DialContext = dial, dial },
		func(t *testing.T, rt anyTransport) {
			for _, size := range []int{100, 3000, 20_000} {
				for _, kind := range []string{"memory", "length", "chunked"} {
					var body io.Reader = strings.NewReader(strings.Repeat("b", size))
					if kind != "memory" {
						body = io.MultiReader(body)
					}
					req := newRequest(t, "POST", "http://x/long", body)
					if kind != "chunked" {
						req.ContentLength = int64(size)
					}
					answered(t, kind, rt, req)
					answered(t, "behind "+kind, rt, newRequest(t, "GET", "http://x/", nil))
				}
			}
		})
}

// A head is delivered, and not gone behind, however little of it is left when the socket is
// full.
func TestHeadInFullSocket(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	ln, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for nc, err := ln.Accept(); err == nil; nc, err = ln.Accept() {
			go func() {
				defer nc.Close()
				answersEarlyTo(hang)(nc, bufio.NewReaderSize(nc, 16), 0)
			}()
		}
	}()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", ln.Addr().String())
	}
	room := roomFor(t, dial)
	withBoth(t, func(a *http.Transport, b *Transport) { a.DialContext, b.DialContext = dial, dial },
		func(t *testing.T, rt anyTransport) {
			for size := room - 2<<10; size < room+14<<10; size += 2 << 10 {
				answered(t, "a long head", rt, longGet(t, "http://x", size))
				if size > room+4<<10 { // else the socket may have taken all, and has no room for more
					answered(t, "behind it", rt, newRequest(t, "GET", "http://x/", nil))
				}
				rt.CloseIdleConnections()
			}
		})
}

// roomFor is how much of a long head a socket takes whose peer does not read.
func roomFor(t *testing.T, dial func(ctx context.Context, _, _ string) (net.Conn, error)) int {
	nc, err := dial(context.Background(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	n := 0
	for n == 0 { // until the machine is not too busy
		nc.SetDeadline(time.Now().Add(50 * time.Millisecond))
		n, _ = nc.Write([]byte("GET /long HTTP/1.1\r\nLong: " + strings.Repeat("x", 4<<20)))
	}
	return n
}

// A slot of a Conn that is only reserved is no request that waits.
func TestReservedBehindUnreadHead(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	addr := rawServer(t, answersEarlyTo(hang))
	nc, err := net.Dial("tcp", strings.TrimPrefix(addr, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config()
	cfg.Depth = 2
	c := NewConn(nc, cfg)
	defer c.Close()
	if c.Reserve() != nil || c.Reserve() != nil {
		t.Fatal("no slot is free")
	}
	do(t, c, longGet(t, addr, 16<<20)) // has one
	within(t, "a request behind a head that nobody reads", func() {
		if _, err := c.RoundTrip(newRequest(t, "GET", addr, nil)); !errors.Is(err, h1.Closed) { // has the other
			t.Errorf("it got %v", err)
		}
	})
}

// If the request that waited behind such a one is canceled, the Conn ends with it.
func TestCanceledBehindUnreadUpload(t *testing.T) {
	hang := make(chan struct{})
	client, server := net.Pipe()
	go answersEarlyTo(hang)(server, bufio.NewReaderSize(server, 16), 0)
	defer close(hang)
	cfg := Config()
	cfg.Depth = 2
	c := NewConn(client, cfg)
	defer c.Close()
	do(t, c, newRequest(t, "GET", "http://x/", nil))
	ctx, cancel := context.WithCancel(context.Background())
	var behind sync.WaitGroup
	behind.Go(func() {
		for c.Conn().Stats().Requests < 2 {
			time.Sleep(time.Millisecond)
		}
		if _, err := c.RoundTrip(newRequest(t, "GET", "http://x/", nil).WithContext(ctx)); !errors.Is(err, context.Canceled) {
			t.Errorf("it got %v", err)
		}
	})
	do(t, c, newRequest(t, "POST", "http://x/long", strings.NewReader(strings.Repeat("b", 20_000))))
	for c.InFlight() == 0 { // until it waits
		time.Sleep(time.Millisecond)
	}
	cancel()
	behind.Wait()
	within(t, "a request behind what nobody reads", func() {
		if _, err := c.RoundTrip(newRequest(t, "GET", "http://x/", nil)); !errors.Is(err, h1.Closed) {
			t.Errorf("it got %v", err)
		}
	})
}

// In a pool no request joins such a connection, and if one has come in time and is
// canceled, the connection does not become idle.
func TestJoinedUnreadHead(t *testing.T) {
	for name, patience := range map[string]time.Duration{"joins": 2 * time.Second, "is canceled": 100 * time.Millisecond} {
		hang := make(chan struct{})
		addr := rawServer(t, answersEarlyTo(hang))
		tr := &Transport{Depth: 2}
		do(t, tr, newRequest(t, "GET", addr, nil))
		tr.pool.mu.Lock()
		l := tr.pool.newest
		tr.pool.mu.Unlock()
		var second sync.WaitGroup
		second.Go(func() {
			for s := l.h.Stats(); s.Responses < 2 || s.InFlight > 0; s = l.h.Stats() {
				time.Sleep(100 * time.Microsecond)
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			resp, err := tr.RoundTrip(newRequest(t, "GET", addr, nil).WithContext(ctx))
			if err == nil {
				slurp(t, resp)
			} else if name == "joins" {
				t.Errorf("behind a head that nobody reads: %v", err)
			}
		})
		do(t, tr, longGet(t, addr, 16<<20))
		second.Wait()
		for range 2 {
			answered(t, name, tr, newRequest(t, "GET", addr, nil))
		}
		tr.CloseIdleConnections()
		close(hang)
	}
}
