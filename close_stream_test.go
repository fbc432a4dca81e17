package h1

// close_stream_test.go: streams whose Close is not a socket's: it ends no call, or writes.

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
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
	for name, of := range map[string]struct {
		length int64 // 0: the body is sent chunked
		says   string
	}{
		"chunked":         {0, "Connection: close\r\n"},
		"length":          {20_000, "Connection: close\r\n"},
		"chunked, closed": {0, ""},
		"length, closed":  {20_000, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			c := NewConn(goodbye{lateWrites{client}}, nil)
			got := answersOnce(t, server, of.says)
			body := io.LimitReader(zeros{}, max(of.length, 5))
			post := &Request{Method: "POST", Host: "x", Body: body, ContentLength: of.length}
			if body, err := fetch(c, post); body != "ok" || err != nil {
				t.Error(name, body, err)
			}
			if err := c.Close(); err != nil {
				t.Errorf("%s: Close: %v", name, err)
			}
			if s := <-got; s != "BYE" {
				t.Errorf("%s: the server received %q behind the request", name, s)
			}
		})
	}
}

// answersOnce answers one request, with fields among others, and then tells what else the
// server receives.
func answersOnce(t *testing.T, server net.Conn, fields string) (rest chan string) {
	rest = make(chan string, 1)
	go func() {
		br := bufio.NewReader(server)
		req, err := http.ReadRequest(br)
		if err != nil {
			t.Error(err)
			return
		}
		io.Copy(io.Discard, req.Body)
		io.WriteString(server, "HTTP/1.1 200 OK\r\n"+fields+"Content-Length: 2\r\n\r\nok")
		all, _ := io.ReadAll(br)
		rest <- string(all)
	}()
	return rest
}

// A deadline that was for an exchange does not limit what Close has to write.
func TestCloseAfterDeadline(t *testing.T) {
	for name, cfg := range map[string]Config{"Deadline": {}, "StallTimeout": {StallTimeout: time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			c := NewConn(goodbye{client}, &cfg)
			got := answersOnce(t, server, "")
			req := get("/")
			if cfg.StallTimeout == 0 {
				req.Deadline = time.Now().Add(time.Second)
			}
			if body, err := fetch(c, req); body != "ok" || err != nil {
				t.Error(name, body, err)
			}
			time.Sleep(2 * time.Second)
			if err := c.Close(); err != nil {
				t.Errorf("%s: Close: %v", name, err)
			}
			if s := <-got; s != "BYE" {
				t.Errorf("%s: the server received %q behind the request", name, s)
			}
		})
	}
}

// goodbyeSocket is goodbye on a socket that it shows.
type goodbyeSocket struct{ *net.TCPConn }

func (g goodbyeSocket) Close() error { return goodbye{g.TCPConn}.Close() }

// Nor where somebody watches the idle connection.
func TestCloseAfterDeadlineWatched(t *testing.T) {
	client, server := tcpPair(t)
	defer server.Close()
	c := NewConn(goodbyeSocket{client}, nil)
	got := answersOnce(t, server, "")
	const due = 100 * time.Millisecond
	req := get("/")
	req.Deadline = time.Now().Add(due)
	if body, err := fetch(c, req); body != "ok" || err != nil {
		t.Fatal(body, err)
	}
	var watch sync.WaitGroup
	watch.Go(func() { c.Watch(context.Background()) })
	until(c, c.watched)
	time.Sleep(due)
	if err := c.Close(); err != nil {
		t.Error("Close:", err)
	}
	if s := <-got; s != "BYE" {
		t.Errorf("the server received %q behind the request", s)
	}
	watch.Wait()
}

// hasty is a stream whose Close writes a last frame, for which it has a deadline of its
// own: as that of a WebSocket.
type hasty struct{ net.Conn }

const hastyTime = 50 * time.Millisecond

func (h hasty) Close() error {
	h.SetWriteDeadline(time.Now().Add(hastyTime))
	io.WriteString(h.Conn, "BYE")
	return h.Conn.Close()
}

// orderly is hasty, and writes one frame at a time.
type orderly struct {
	hasty
	turn chan struct{} // holds one while a frame is written
}

func (o orderly) Write(p []byte) (int, error) {
	o.turn <- struct{}{}
	defer func() { <-o.turn }()
	return o.hasty.Write(p)
}

func (o orderly) Close() error {
	o.turn <- struct{}{}
	defer func() { <-o.turn }()
	return o.hasty.Close()
}

// over is a layer that passes all on to what is below it.
type over struct{ net.Conn }

func (o over) NetConn() net.Conn { return o.Conn }

// The engine leaves the deadline alone that the stream's Close has set.
func TestCloseKeepsItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer server.Close() // it reads nothing
		c := NewConn(over{hasty{client}}, nil)
		go c.Do(context.Background(), &Request{Method: "PUT", Host: "x", Body: zeros{}}, new(Response))
		synctest.Wait() // it is in its write
		began := time.Now()
		if c.Close(); time.Since(began) != hastyTime {
			t.Errorf("Close took %v", time.Since(began))
		}
	})
}

// A server that says close refuses a long head before it has read it, and reads no more:
// the response is delivered, though the stream's Close waits for the write of that head.
func TestCloseBehindRefusedHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer server.Close()
		c := NewConn(orderly{hasty{client}, make(chan struct{}, 1)}, nil)
		go says431(server)
		began := time.Now()
		body, err := fetch(c, longHead())
		if took := time.Since(began); body != "ok" || err != nil || took > graceBeforeClose+hastyTime {
			t.Error(body, err, took)
		}
	})
}

// says431 answers the beginning of a request.
func says431(server net.Conn) {
	io.ReadFull(server, make([]byte, 10))
	io.WriteString(server, "HTTP/1.1 431 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
}

func longHead() *Request {
	req := get("/")
	req.Header.Add("Long", strings.Repeat("a", 8<<10))
	return req
}

// endless is a stream whose Close ends no call, and that counts those under way.
type endless struct {
	net.Conn
	calls *atomic.Int32
}

func newEndless(c net.Conn) endless { return endless{c, new(atomic.Int32)} }

func (e endless) Close() error { return nil }

func (e endless) Read(p []byte) (int, error) {
	e.calls.Add(1)
	defer e.calls.Add(-1)
	return e.Conn.Read(p)
}

func (e endless) Write(p []byte) (int, error) {
	e.calls.Add(1)
	defer e.calls.Add(-1)
	return e.Conn.Write(p)
}

// No write is left behind where a server has refused a request before it has read it.
func TestCloseEndsAnsweredWrite(t *testing.T) {
	for name, req := range map[string]*Request{
		"head": longHead(),
		"body": {Method: "POST", Host: "x", Body: strings.NewReader("hello")},
	} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			defer server.Close()
			stream := newEndless(client)
			c := NewConn(stream, nil)
			go says431(server)
			if body, err := fetch(c, req); body != "ok" || err != nil || !c.State().Closed() {
				t.Error(name, body, err, c.State())
			}
			time.Sleep(graceBeforeClose)
			synctest.Wait()
			if n := stream.calls.Load(); n != 0 {
				t.Errorf("%s: %d calls on the stream are under way", name, n)
				client.Close()
			}
		})
	}
}

// rekeys is a layer that writes while it reads, as TLS does for a change of keys.
type rekeys struct{ over }

func (r rekeys) Read(p []byte) (int, error) {
	if _, err := r.Write([]byte("new keys")); err != nil {
		return 0, err
	}
	return r.Conn.Read(p)
}

// The end of a connection ends the calls of a layer, too, over a stream whose Close does
// not: TLS reads in a write, which shakes hands first, and writes in a read.
func TestCloseEndsCallsOfLayers(t *testing.T) {
	all := func(server net.Conn) { io.Copy(io.Discard, server) }
	head := func(server net.Conn) { server.Read(make([]byte, 1<<10)) }
	for name, of := range map[string]struct {
		layer func(below net.Conn) net.Conn
		takes func(server net.Conn)
	}{
		"handshake":   {func(below net.Conn) net.Conn { return tls.Client(below, &tls.Config{ServerName: "x"}) }, all},
		"new keys":    {func(below net.Conn) net.Conn { return rekeys{over{below}} }, head},
		"plain layer": {func(below net.Conn) net.Conn { return over{below} }, all},
	} {
		for by, end := range map[string]func(c *Conn, cancel func()){
			"context": func(c *Conn, cancel func()) { cancel() },
			"Close":   func(c *Conn, cancel func()) { c.Close() },
		} {
			t.Run(name+", "+by, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client, server := net.Pipe()
					defer client.Close()
					go of.takes(server)
					c := NewConn(of.layer(newEndless(client)), nil)
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					over := make(chan error, 1)
					go func() { over <- c.Do(ctx, get("/"), new(Response)) }()
					synctest.Wait()
					end(c, cancel)
					synctest.Wait()
					select {
					case err := <-over:
						if !errors.Is(err, Canceled) && !errors.Is(err, Closed) {
							t.Error(err)
						}
					default:
						t.Errorf("Do is in its call still; %v", c.State())
						client.Close()
					}
				})
			})
		}
	}
}

// halfLayer is a layer over a socket whose Close ends no call.
type halfLayer struct{ halfCloser }

func (h halfLayer) NetConn() net.Conn { return h.halfCloser }

func TestCloseEndsCallsOfLayerOnSocket(t *testing.T) {
	client, server := tcpPair(t)
	defer server.Close()
	defer client.Close()
	c := NewConn(halfLayer{halfCloser{client}}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	hangs("Do", func() {
		if err := c.Do(ctx, get("/"), new(Response)); !errors.Is(err, Canceled) {
			t.Error(err)
		}
	})
}

// inTurn is endless, and writes one piece at a time, as TLS does.
type inTurn struct {
	endless
	turn chan struct{}
}

func (i inTurn) Write(p []byte) (int, error) {
	i.turn <- struct{}{}
	defer func() { <-i.turn }()
	return i.endless.Write(p)
}

// Close waits for its turn, as that of a TLS connection that is not known for one.
type hidden struct{ inTurn }

func (h hidden) Read(p []byte) (int, error) { return rekeys{over{h}}.Read(p) }

func (h hidden) Close() error {
	h.turn <- struct{}{}
	defer func() { <-h.turn }()
	return h.Conn.Close()
}

// What a layer writes in a read ends, too, where it waits for another write, or Close for
// it.
func TestCloseEndsWriteInRead(t *testing.T) {
	put := &Request{Method: "PUT", Host: "x", Body: zeros{}}
	timed := get("/")
	for name, of := range map[string]struct {
		layer func(inTurn) net.Conn
		req   *Request
		takes int
	}{
		"behind a write": {func(i inTurn) net.Conn { return rekeys{over{i}} }, put, 10},
		"before Close":   {func(i inTurn) net.Conn { return hidden{i} }, timed, 1 << 10},
	} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			defer server.Close()
			defer client.Close()
			go server.Read(make([]byte, of.takes))
			timed.Deadline = time.Now().Add(time.Minute) // limits that write, if nothing else does
			c := NewConn(of.layer(inTurn{newEndless(client), make(chan struct{}, 1)}), nil)
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			began := time.Now()
			hung := time.AfterFunc(time.Hour, func() { server.Close() })
			err := c.Do(ctx, of.req, new(Response))
			hung.Stop()
			if took := time.Since(began); err == nil || took > time.Second+graceBeforeClose {
				t.Errorf("%s: %v, after %v", name, err, took)
			}
		})
	}
}

// A write that was cut, for the server has said close to the request before, stays cut.
func TestCloseKeepsCut(t *testing.T) {
	client, server := tcpPair(t)
	defer server.Close()
	defer client.Close()
	c := NewConn(newEndless(client), &Config{Depth: 4})
	const long = 4 << 20
	delivered, got := make(chan bool), make(chan int64, 1)
	go func() {
		br := bufio.NewReaderSize(server, 16)
		http.ReadRequest(br)
		io.WriteString(server, answer("/"))
		http.ReadRequest(br)
		until(c, func() bool { return c.inWrite })
		time.Sleep(20 * time.Millisecond) // until that write, of the one behind it, is stuck
		io.WriteString(server, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		<-delivered
		server.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, _ := io.Copy(io.Discard, br)
		got <- n
	}()
	if s, err := fetch(c, get("/")); s != "/" || err != nil {
		t.Fatal(s, err)
	}
	x, err := c.Send(context.Background(), get("/x"))
	if err != nil {
		t.Fatal(err)
	}
	until(c, func() bool { return !c.inWrite && c.written == c.appended() })
	y := get("/y")
	y.Header.Add("Long", strings.Repeat("y", long))
	if _, err := c.Send(context.Background(), y); err != nil {
		t.Fatal(err)
	}
	if s, err := fetchRest(context.Background(), x, nil); s != "" || err != nil {
		t.Fatal(s, err)
	}
	close(delivered)
	if n := <-got; n >= long {
		t.Errorf("the server received %d bytes behind the request that it had said close to", n)
	}
}

// courteous is a stream whose Close says goodbye, and waits for the peer's.
type courteous struct {
	net.Conn
	said chan error
}

func (c courteous) Close() error {
	_, err := io.WriteString(c.Conn, "BYE")
	if err == nil {
		_, err = io.ReadFull(c.Conn, make([]byte, 3))
	}
	c.said <- err
	return errors.Join(err, c.Conn.Close())
}

// It has its time for that, also behind an answered write that is yet to return.
func TestCloseHasItsTime(t *testing.T) {
	for name, layer := range map[string]func(net.Conn) net.Conn{
		"plain":   func(c net.Conn) net.Conn { return c },
		"layered": func(c net.Conn) net.Conn { return over{c} },
	} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			stream := courteous{lateWrites{client}, make(chan error, 1)}
			c := NewConn(layer(stream), nil)
			go func() {
				br := bufio.NewReader(server)
				req, _ := http.ReadRequest(br)
				io.Copy(io.Discard, req.Body)
				io.WriteString(server, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
				time.Sleep(3 * graceBeforeClose)
				io.ReadFull(br, make([]byte, 3))
				io.WriteString(server, "BYE")
				server.Close()
			}()
			post := &Request{Method: "POST", Host: "x", Body: io.LimitReader(zeros{}, 5)}
			if body, err := fetch(c, post); body != "ok" || err != nil {
				t.Error(name, body, err)
			}
			if err := <-stream.said; err != nil {
				t.Errorf("%s: the goodbye: %v", name, err)
			}
		})
	}
}

// While Close is under way, a Deadline or a context still ends CloseWrite's own write.
func TestCloseWriteInTime(t *testing.T) {
	const inTime = 20 * time.Millisecond
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"endless": func(c net.Conn) net.Conn { return newEndless(c) },
		"orderly": func(c net.Conn) net.Conn { return orderly{hasty{c}, make(chan struct{}, 1)} },
	} {
		for _, deadline := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				defer server.Close()
				defer client.Close()
				c := NewConn(wrap(client), nil)
				go func() {
					b := make([]byte, 1<<10)
					server.Read(b)             // the head
					io.ReadFull(server, b[:1]) // of the last chunk
					io.WriteString(server, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
				}()
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				req := &Request{Method: "PUT", Host: "x", Push: true}
				began := time.Now()
				if deadline {
					req.Deadline = began.Add(inTime)
				} else {
					time.AfterFunc(inTime, cancel)
				}
				x, err := c.Send(ctx, req)
				if err != nil {
					t.Fatal(err)
				}
				took := make(chan time.Duration, 1)
				go func() {
					x.CloseWrite()
					took <- time.Since(began)
				}()
				if s, err := fetchRest(context.Background(), x, nil); s != "ok" || err != nil {
					t.Error(s, err)
				}
				if d := <-took; d > inTime {
					t.Errorf("%s, Deadline %v: CloseWrite returned after %v", name, deadline, d)
				}
			})
		}
	}
}

// onRead is halfLayer with a hook before each read.
type onRead struct {
	halfLayer
	hook func()
}

func (o *onRead) Read(p []byte) (int, error) {
	if o.hook != nil {
		o.hook()
	}
	return o.halfLayer.Read(p)
}

// So does it end a look through a layer, which reads with a deadline that has passed.
func TestCloseEndsLook(t *testing.T) {
	client, server := tcpPair(t)
	defer server.Close()
	defer client.Close()
	stream := &onRead{halfLayer: halfLayer{halfCloser{client}}}
	c := NewConn(stream, nil)
	go func() {
		http.ReadRequest(bufio.NewReader(server))
		io.WriteString(server, answer("/"))
	}()
	if got, err := fetch(c, get("/")); got != "/" || err != nil {
		t.Fatal(got, err)
	}
	looked := false
	stream.hook = func() {
		looked = true
		c.Close()
	}
	hangs("Probe", func() {
		if err := c.Probe(); !errors.Is(err, Closed) || !looked {
			t.Error(err, looked)
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
