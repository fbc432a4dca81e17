package h1

// close_stream_test.go: streams whose Close is not a socket's: it ends no call, or writes.

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// halfCloser is a stream whose Close says that no more is written, and ends no call: as
// that of a stream of yamux, or of QUIC.
type halfCloser struct{ *net.TCPConn }

func (h halfCloser) Close() error { return h.CloseWrite() }

// The end of a connection ends the calls on its stream, also where the stream's Close does
// not.
func TestCloseEndsCalls(t *testing.T) {
	long := func() *Request { return &Request{Method: "PUT", Host: "x", Body: zeros{}} }
	head := func() *Request { return get("/a") }
	cancel := func(c *Conn, stop func()) { stop() }
	for name, c := range map[string]struct {
		cfg Config
		req func() *Request
		end func(c *Conn, stop func())
	}{
		"Close in the head":        {Config{}, head, func(c *Conn, stop func()) { c.Close() }},
		"Close in the body":        {Config{}, long, func(c *Conn, stop func()) { c.Close() }},
		"context in the head":      {Config{}, head, cancel},
		"context in the body":      {Config{}, long, cancel},
		"StallTimeout in the body": {Config{StallTimeout: 20 * time.Millisecond}, long, func(*Conn, func()) {}},
		"Shutdown in the body": {Config{}, long, func(c *Conn, stop func()) {
			over, cancel := context.WithCancel(context.Background())
			cancel()
			c.Shutdown(over)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := tcpPair(t)
			defer server.Close()
			defer client.Close()
			before := runtime.NumGoroutine()
			conn := NewConn(halfCloser{client}, &c.cfg)
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			time.AfterFunc(20*time.Millisecond, func() { c.end(conn, stop) })
			hangs(name, func() {
				var resp Response
				if err := conn.Do(ctx, c.req(), &resp); err == nil {
					t.Error("it was answered")
				}
			})
			noneLeft(t, before)
		})
	}
}

// goodbye is a stream whose Close writes a last frame before it closes what is below: as
// that of a WebSocket.
type goodbye struct{ net.Conn }

func (g goodbye) Close() error {
	_, err := io.WriteString(g.Conn, "BYE")
	return errors.Join(err, g.Conn.Close())
}

// A call that the end of the connection ends is a read, or a write: what the stream's Close
// has to write is not cut off with the read.
func TestCloseAfterReadWrites(t *testing.T) {
	for _, end := range []func(c *Conn, cancel func()) error{
		func(c *Conn, cancel func()) error { return c.Close() },
		func(c *Conn, cancel func()) error { cancel(); return nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			c := NewConn(goodbye{client}, nil)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			got := make(chan string, 1)
			go func() {
				all, _ := io.ReadAll(server)
				got <- string(all)
			}()
			go c.Do(ctx, get("/a"), new(Response))
			synctest.Wait() // Do is in its read
			if err := end(c, cancel); err != nil {
				t.Errorf("Close: %v", err)
			}
			if s := <-got; !strings.HasSuffix(s, "BYE") {
				t.Errorf("the server received %q", s)
			}
		})
	}
}

// Nor is it cut off with a write that the server has read and answered, and that is yet to
// return.
func TestCloseAfterAnsweredWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		c := NewConn(goodbye{lateWrites{client}}, nil)
		got := make(chan string, 1)
		go func() {
			br := bufio.NewReader(server)
			req, err := http.ReadRequest(br)
			if err != nil {
				t.Error(err)
				return
			}
			io.Copy(io.Discard, req.Body)
			io.WriteString(server, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
			rest, _ := io.ReadAll(br)
			got <- string(rest)
		}()
		post := &Request{Method: "POST", Host: "x", Body: io.LimitReader(zeros{}, 5)}
		if body, err := fetch(c, post); body != "ok" || err != nil {
			t.Fatal(body, err)
		}
		if s := <-got; s != "BYE" {
			t.Errorf("the server received %q behind the request", s)
		}
	})
}

// lateWrites is a stream whose Write returns a while after its bytes were read.
type lateWrites struct{ net.Conn }

func (l lateWrites) Write(p []byte) (int, error) {
	n, err := l.Conn.Write(p)
	time.Sleep(time.Millisecond)
	return n, err
}
