package h1

// switch_test.go: a stream that is given to another protocol right behind a request's body.
//
// Rule: the server answers with the request's last byte in hand, so that the response may
// be here before the client knows that its last write is over.
// Not here: a switch too early, and its bytes (testdata/wire/upgrade_*.wire).

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
)

// switchKinds are the ways of a body to the stream.
var switchKinds = map[string]func(file *os.File, data []byte) *Request{
	"none":    func(*os.File, []byte) *Request { return &Request{} },
	"small":   func(_ *os.File, data []byte) *Request { return &Request{Body: bytes.NewReader(data[:100])} },
	"memory":  func(_ *os.File, data []byte) *Request { return &Request{Body: bytes.NewReader(data)} },
	"chunked": func(_ *os.File, data []byte) *Request { return &Request{Body: io.MultiReader(bytes.NewReader(data))} },
	"length": func(_ *os.File, data []byte) *Request {
		return &Request{Body: io.MultiReader(bytes.NewReader(data)), ContentLength: int64(len(data))}
	},
	"file": func(file *os.File, data []byte) *Request {
		file.Seek(0, io.SeekStart)
		return &Request{Body: io.LimitReader(file, int64(len(data))), ContentLength: int64(len(data))}
	},
	"push":        func(_ *os.File, data []byte) *Request { return &Request{Push: true, ContentLength: int64(len(data))} },
	"chunks push": func(*os.File, []byte) *Request { return &Request{Push: true} },
}

// TestSwitchBehindBody: a request that the server has whole is over, and the stream is the
// caller's: nobody else writes to it.
func TestSwitchBehindBody(t *testing.T) {
	const rounds = 20
	file, err := os.Open(tcpFile(t))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for name, request := range switchKinds {
		for _, depth := range []int{1, 4} {
			for _, kind := range []streamKind{direct, opaque} {
				before := runtime.NumGoroutine()
				for i := range rounds {
					name := fmt.Sprintf("%s, depth %d, stream %d, round %d", name, depth, kind, i)
					hangs(name, func() {
						client, server := tcpPair(t)
						served := make(chan error, 1)
						go func() { served <- switchServer(server) }()
						var rw io.ReadWriteCloser = client
						if kind == opaque {
							rw = wirePlain{client}
						}
						c := NewConn(rw, &Config{Depth: depth})
						data := tcpBytes()[:mostAtOnce+i*mostAtOnce/4]
						if err := switched(c, request(file, data), data); err != nil {
							t.Fatalf("%s: %v", name, err)
						}
						client.Close()
						if err := <-served; err != nil {
							t.Fatalf("%s: the server: %v", name, err)
						}
					})
				}
				noneLeft(t, before)
			}
		}
	}
}

// A switched stream that was closed before anybody has detached it was given to nobody.
func TestCloseOfSwitched(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		k := r.begin(context.Background(), &Request{Method: "CONNECT", Target: "h:1"})
		r.raw("HTTP/1.1 200 OK\r\n\r\n")
		r.await(k)
		synctest.Wait()
		if !r.c.State().Switched() {
			t.Fatal(r.c.State())
		}
		r.c.Close()
		if r.c.Err() != errByCaller {
			t.Error(r.c.Err())
		}
		_, err := r.c.Detach()
		wantError(t, err, Closed, SentNothing)
	})
}

// switched makes the request, and speaks to the server without HTTP.
func switched(c *Conn, req *Request, data []byte) error {
	req.Method, req.Host = "POST", "h"
	req.Header.Add("Upgrade", "echo")
	x, err := c.Send(context.Background(), req)
	if err != nil {
		return err
	}
	pushed := make(chan error, 1)
	go func() {
		if !req.Push {
			pushed <- nil
		} else if _, err := x.Write(data); err != nil {
			pushed <- err
		} else {
			pushed <- x.CloseWrite()
		}
	}()
	var resp Response
	if err := x.Wait(context.Background(), &resp); err != nil {
		return err
	}
	p, err := c.Detach()
	if err != nil {
		return err
	}
	if err := <-pushed; err != nil {
		return fmt.Errorf("the push: %w", err)
	}
	p.IO.Write([]byte("ping"))
	pong := make([]byte, 4)
	if _, err := io.ReadFull(p.Stream(), pong); err != nil || string(pong) != "ping" {
		return fmt.Errorf("the echo is %q, %w", pong, err)
	}
	return nil
}

// switchServer reads a request, switches, and echoes.
func switchServer(nc net.Conn) error {
	br := bufio.NewReader(nc)
	req, err := http.ReadRequest(br)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(req.Body)
	if err != nil || !bytes.Equal(body, tcpBytes()[:len(body)]) {
		return fmt.Errorf("%d bytes of body, %w", len(body), err)
	}
	if _, err := io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n"); err != nil {
		return err
	}
	_, err = io.Copy(nc, br)
	return err
}

// A switch is a response like others to who counts, and CONNECT's is none where it is
// refused.
func TestSwitchCounted(t *testing.T) {
	for wire, want := range map[string]string{
		"HTTP/1.1 200 OK\r\n\r\n":                           "wShut rShut noreuse n=0 switched",
		"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n":     "wIdle rIdle reuse n=0",
		"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n": "wShut rShut noreuse n=0 switched",
	} {
		inBubble(t, Config{}, false, func(r *rig) {
			r.raw(wire)
			var resp Response
			if err := r.c.Do(context.Background(), &Request{Method: "CONNECT", Target: "x:1"}, &resp); err != nil {
				t.Fatal(err)
			}
			s := r.c.Stats()
			if s.Requests != 1 || s.Responses != 1 || s.InFlight != 0 || int(s.Informational) != strings.Count(wire, " 103 ") {
				t.Errorf("%q: %+v", wire, s)
			}
			if got := r.c.State().String(); got != want {
				t.Errorf("%q: %s", wire, got)
			}
		})
	}
}
