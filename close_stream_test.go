package h1

// close_stream_test.go: streams whose Close ends no call.

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

// over is a layer that passes all on to what is below it.
type over struct{ net.Conn }

func (o over) NetConn() net.Conn { return o.Conn }

// closing is the rest of a last response.
const closing = "Connection: close\r\nContent-Length: 2\r\n\r\nok"

// says431 answers the beginning of a request.
func says431(server net.Conn) {
	io.ReadFull(server, make([]byte, 10))
	io.WriteString(server, "HTTP/1.1 431 Too Large\r\n"+closing)
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
					done := make(chan error, 1)
					go func() { done <- c.Do(ctx, get("/"), new(Response)) }()
					synctest.Wait()
					end(c, cancel)
					synctest.Wait()
					select {
					case err := <-done:
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

// hidden is a TLS connection that is not known for one: it writes while it reads, and Close
// waits for its turn.
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

// useOnce has one request answered, behind which c is idle.
func useOnce(t *testing.T, c *Conn, server net.Conn) {
	t.Helper()
	go func() {
		http.ReadRequest(bufio.NewReader(server))
		io.WriteString(server, answer("/"))
	}()
	if got, err := fetch(c, get("/")); got != "/" || err != nil {
		t.Fatal(got, err)
	}
}

// The end of a connection ends a look through a layer, too, which reads with a deadline
// that has passed.
func TestCloseEndsLook(t *testing.T) {
	client, server := tcpPair(t)
	defer server.Close()
	defer client.Close()
	stream := &onRead{halfLayer: halfLayer{halfCloser{client}}}
	c := NewConn(stream, nil)
	useOnce(t, c, server)
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

// stays is a layer over a socket whose Close ends neither its reads nor its writes.
type stays struct{ *net.TCPConn }

func (s stays) Close() error      { return nil }
func (s stays) NetConn() net.Conn { return s }

// fullLook is a layer that, once it is told to, writes in its read more than is taken.
type fullLook struct {
	stays
	full chan struct{} // closed when it begins; nil: it only reads
}

func (l *fullLook) Read(p []byte) (int, error) {
	if l.full == nil {
		return l.TCPConn.Read(p)
	}
	close(l.full)
	for {
		if _, err := l.Write(make([]byte, 1<<20)); err != nil {
			return 0, err
		}
	}
}

// So does what the layer writes in that look.
func TestCloseEndsWriteInLook(t *testing.T) {
	client, server := tcpPair(t)
	defer server.Close()
	defer client.Close()
	stream := &fullLook{stays: stays{client}}
	c := NewConn(stream, nil)
	useOnce(t, c, server)
	full := make(chan struct{})
	stream.full = full
	go func() {
		<-full
		c.Close()
	}()
	hangs("Probe", func() {
		if err := c.Probe(); !errors.Is(err, Closed) {
			t.Error(err)
		}
	})
}
