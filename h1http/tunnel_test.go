package h1http

// tunnel_test.go: how long a tunnel lives, and what it is to the pool.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.com/h1"
)

// tunnelRig is a server that answers CONNECT with 200 and "hello", other requests with 204.
func tunnelRig(t *testing.T) (string, *Transport) {
	return rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
		for {
			req, _, err := readRequest(br)
			switch {
			case err != nil:
				return
			case req.Method == "CONNECT":
				io.WriteString(nc, "HTTP/1.1 200 OK\r\n\r\nhello")
				io.Copy(nc, br)
				return
			}
			io.WriteString(nc, "HTTP/1.1 204 No Content\r\n\r\n")
		}
	})
}

// connectTo makes a tunnel, and reads the server's hello.
func connectTo(t *testing.T, ctx context.Context, c *http.Client, url string, body io.Reader) *http.Response {
	t.Helper()
	resp, err := c.Do(newRequest(t, "CONNECT", url, body).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	return resp
}

// TestConnectRefused: where CONNECT is refused nothing was sent into the tunnel, and the
// connection serves the next request.
func TestConnectRefused(t *testing.T) {
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
		for {
			req, body, err := readRequest(br)
			if err != nil {
				return
			}
			status := 200
			if req.Method == "CONNECT" {
				status = 405
			}
			fmt.Fprintf(nc, "HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%d%s", status, 1+len(body), n, body)
		}
	})
	for _, method := range []string{"CONNECT", "CONNECT", "GET"} {
		var body io.Reader
		if method == "CONNECT" {
			body = strings.NewReader("GET / HTTP/1.1\r\nHost: inner\r\n\r\n")
		}
		if got := do(t, tr, newRequest(t, method, url, body)); got != "0" {
			t.Errorf("%s: %q", method, got)
		}
	}
}

// TestTunnelEnds: what ends a request ends its tunnel, which says why, and nothing is left
// of it.
func TestTunnelEnds(t *testing.T) {
	for how, want := range map[string]error{"cancel": context.Canceled, "deadline": context.DeadlineExceeded,
		"Client.Timeout": context.DeadlineExceeded, "cause": io.ErrNoProgress} {
		t.Run(how, func(t *testing.T) {
			url, tr := tunnelRig(t)
			c, ctx, end := &http.Client{Transport: tr}, context.Background(), func() {}
			switch how {
			case "cancel":
				ctx, end = context.WithCancel(ctx)
			case "cause":
				var stop context.CancelCauseFunc
				ctx, stop = context.WithCancelCause(ctx)
				end = func() { stop(want) }
			case "deadline":
				var stop context.CancelFunc
				ctx, stop = context.WithTimeout(ctx, 200*time.Millisecond)
				defer stop()
			default:
				c.Timeout = 200 * time.Millisecond
			}
			pr, pw := io.Pipe()
			resp := connectTo(t, ctx, c, url, pr)
			end()
			if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, want) {
				t.Errorf("Read: %v", err)
			}
			if w, ok := resp.Body.(io.Writer); ok { // Client.Timeout hides it
				if _, err := w.Write([]byte("x")); !errors.Is(err, want) {
					t.Errorf("Write: %v", err)
				}
			}
			eventually(t, "the request's body is closed", func() bool {
				_, err := pw.Write([]byte("x"))
				return err == io.ErrClosedPipe
			})
			eventually(t, "no connection", func() bool { _, n := tr.counts(""); return n == 0 })
			if err := resp.Body.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTunnelCounts: a tunnel is one of a host's connections until it is closed.
func TestTunnelCounts(t *testing.T) {
	url, tr := tunnelRig(t)
	tr.MaxConnsPerHost = 1
	c := &http.Client{Transport: tr}
	resp := connectTo(t, context.Background(), c, url, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Do(newRequest(t, "GET", url, nil).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a request beside the tunnel: %v", err)
	}
	next := make(chan error, 1)
	go func() {
		resp, err := c.Do(newRequest(t, "GET", url, nil))
		if err == nil {
			resp.Body.Close()
		}
		next <- err
	}()
	conn := resp.Body.(net.Conn) // it can do what the stream can
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(conn); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if err := <-next; err != nil {
		t.Errorf("behind the tunnel: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	if _, n := tr.counts(""); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// hooked calls its hook when the engine gives the stream back, by taking its deadlines off.
type hooked struct {
	net.Conn
	hook func()
}

func (h hooked) SetReadDeadline(t time.Time) error {
	if t.IsZero() {
		h.hook()
	}
	return h.Conn.SetReadDeadline(t)
}

func (h hooked) SyscallConn() (syscall.RawConn, error) { return h.Conn.(syscall.Conn).SyscallConn() }

// TestTunnelEndsAtOnce: the context ends while the tunnel is made.
func TestTunnelEndsAtOnce(t *testing.T) {
	url, tr := tunnelRig(t)
	tr.ResponseHeaderTimeout = time.Minute
	for range 100 {
		ctx, cancel := context.WithCancel(context.Background())
		tr.DialContext = func(_ context.Context, network, addr string) (net.Conn, error) {
			nc, err := net.Dial(network, addr)
			return hooked{nc, cancel}, err
		}
		if resp, err := tr.RoundTrip(newRequest(t, "CONNECT", url, nil).WithContext(ctx)); err == nil {
			resp.Body.Close()
		}
		cancel()
	}
	eventually(t, "no connection", func() bool { _, n := tr.counts(""); return n == 0 })
}

// TestConnTunnel: a connection that has become a tunnel takes no requests, and its Close
// is the tunnel's.
func TestConnTunnel(t *testing.T) {
	url, tr := tunnelRig(t)
	c, err := tr.NewClientConn(context.Background(), "http", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	resp := connectTo(t, context.Background(), &http.Client{Transport: c}, url, nil)
	read := make(chan error, 1)
	go func() {
		close(ready)
		_, err := resp.Body.Read(make([]byte, 1))
		read <- err
	}()
	<-ready
	if _, err := c.RoundTrip(newRequest(t, "GET", url, nil)); !errors.Is(err, h1.Closed) {
		t.Errorf("behind a tunnel: %v", err)
	}
	c.Close()
	if err := <-read; err == nil {
		t.Error("the tunnel lives on")
	}
	resp.Body.Close()
}

// TestConnCloseAtTunnel: Close comes while the tunnel is made, or just before. There is no
// tunnel then, or one that has ended; and no error says that the server, which has
// answered, did not act.
func TestConnCloseAtTunnel(t *testing.T) {
	url, tr := tunnelRig(t)
	tr.ResponseHeaderTimeout = time.Minute
	for i := range 200 {
		var c *Conn
		done := make(chan struct{})
		end := func() {
			c.Close()
			close(done)
		}
		ctx := context.Background()
		tr.DialContext = func(_ context.Context, network, addr string) (net.Conn, error) {
			nc, err := net.Dial(network, addr)
			return hooked{nc, func() { go end() }}, err
		}
		if i%2 == 0 {
			tr.DialContext = nil
			ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: end})
		}
		var err error
		if c, err = tr.NewClientConn(context.Background(), "http", strings.TrimPrefix(url, "http://")); err != nil {
			t.Fatal(err)
		}
		resp, err := c.RoundTrip(newRequest(t, "CONNECT", url, nil).WithContext(ctx))
		<-done
		var e *h1.Error
		switch {
		case errors.As(err, &e) && (e.Unprocessed() || e.Retryable("GET")):
			t.Fatalf("%v (%v was sent)", err, e.Sent)
		case err != nil && (!errors.Is(err, h1.Closed) || errors.Is(err, h1.Timeout)):
			t.Fatal(err)
		case err != nil && len(c.slots) > 0:
			t.Fatal("a slot is lost")
		case i%2 == 0 && err == nil:
			t.Fatal("a tunnel, after Close")
		case err == nil:
			if _, err := io.ReadAll(resp.Body); err == nil {
				t.Fatal("the tunnel lives on")
			}
			resp.Body.Close()
		}
	}
}

// A serverBody is one as net/http's server has it: its Close waits for Read.
type serverBody struct {
	mu    sync.Mutex
	r     io.Reader
	began chan struct{}
}

func (b *serverBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.began)
	return b.r.Read(p)
}

func (b *serverBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return nil
}

// TestTunnelBody: a body that is being read, and whose Close waits for that, holds up
// nobody.
func TestTunnelBody(t *testing.T) {
	for _, byContext := range []bool{false, true} {
		url, tr := tunnelRig(t)
		tr.MaxConnsPerHost = 1
		pr, pw := io.Pipe()
		body := &serverBody{r: pr, began: make(chan struct{})}
		ctx, cancel := context.WithCancel(context.Background())
		resp := connectTo(t, ctx, &http.Client{Transport: tr}, url, body)
		<-body.began
		if byContext {
			cancel()
		} else {
			resp.Body.Close()
		}
		get(t, tr, url)
		cancel()
		pw.Close()
	}
}

// closingBody is a body whose Close does something.
type closingBody struct {
	io.Reader
	close func()
}

func (b closingBody) Close() error {
	b.close()
	return nil
}

// TestTunnelClosedByItself: the stream's Close, and that of the request's body, may close
// the tunnel.
func TestTunnelClosedByItself(t *testing.T) {
	url, tr := tunnelRig(t)
	for name, wrap := range map[string]func(net.Conn, func()) net.Conn{
		"stream": func(nc net.Conn, again func()) net.Conn { return told{nc, again} },
		"body":   func(nc net.Conn, _ func()) net.Conn { return nc },
	} {
		nc, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		var c *Conn
		again := func() { c.Close() }
		c = NewConn(wrap(nc, again), nil)
		pr, pw := io.Pipe()
		body := io.Reader(pr)
		if name == "body" {
			body = closingBody{pr, again}
		}
		resp := connectTo(t, context.Background(), &http.Client{Transport: c}, url, body)
		done := make(chan struct{})
		go func() {
			resp.Body.Close()
			close(done)
		}()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Fatalf("by the %s: Close hangs", name)
		}
		pw.Close()
	}
	tr.CloseIdleConnections()
}

// TestTunnelBodyDwells: a tunnel that is closed is no connection any more, however long
// its body's Close takes.
func TestTunnelBodyDwells(t *testing.T) {
	url, tr := tunnelRig(t)
	tr.MaxConnsPerHost = 1
	end := make(chan struct{})
	pr, pw := io.Pipe()
	body := closingBody{pr, func() { <-end }}
	resp := connectTo(t, context.Background(), &http.Client{Transport: tr}, url, body)
	var all sync.WaitGroup
	all.Go(func() { resp.Body.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := tr.RoundTrip(newRequest(t, "GET", url, nil).WithContext(ctx)); err != nil {
		t.Errorf("a request behind it: %v", err)
	}
	close(end)
	pw.Close()
	all.Wait()
}

// TestTunnelBehindClose: Close has not found the tunnel, which is made only now.
func TestTunnelBehindClose(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c := NewConn(ours, nil)
	c.Close()
	r, w := io.Pipe()
	c.tunneled(r)
	if _, err := w.Write([]byte("x")); err != io.ErrClosedPipe {
		t.Errorf("it lives on: %v", err)
	}
}

// lingering is a stream whose Close takes its time, as TLS's goodbye may, and which takes
// what is written.
type lingering struct {
	net.Conn
	wrote func(p []byte)
}

func (s lingering) Write(p []byte) (int, error) {
	s.wrote(p)
	if bytes.HasPrefix(p, []byte("CONNECT")) {
		return s.Conn.Write(p)
	}
	time.Sleep(time.Millisecond)
	return len(p), nil
}

func (s lingering) Close() error {
	time.Sleep(100 * time.Millisecond)
	return s.Conn.Close()
}

// TestTunnelClosedTwice: when Close returns the request's body is closed, and its memory
// the caller's; also where the context has begun to end the tunnel, whose stream is slow
// to close.
func TestTunnelClosedTwice(t *testing.T) {
	var foreign atomic.Int32
	url, tr := tunnelRig(t)
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := net.Dial(network, addr)
		return lingering{nc, func(p []byte) {
			if bytes.IndexByte(p, 'X') >= 0 {
				foreign.Add(1)
			}
		}}, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	memory := make([]byte, 8<<20)
	resp := connectTo(t, ctx, &http.Client{Transport: tr}, url, bytes.NewReader(memory))
	cancel()
	time.Sleep(10 * time.Millisecond)
	resp.Body.Close()
	for i := range memory {
		memory[i] = 'X'
	}
	if _, err := resp.Body.(io.Writer).Write([]byte("X")); !errors.Is(err, context.Canceled) {
		t.Errorf("a write after Close: %v", err)
	}
	time.Sleep(150 * time.Millisecond)
	if n := foreign.Load(); n > 0 {
		t.Errorf("%d writes of what the caller has put there since", n)
	}
}

// dwelling is a body whose Reads, from the second on, take a while, and see whether they
// should be over.
type dwelling struct {
	began chan struct{}
	over  atomic.Bool // it is the caller's again
	late  atomic.Bool
	reads int
}

func (b *dwelling) Read(p []byte) (int, error) {
	if b.reads++; b.reads == 2 {
		close(b.began)
	}
	if b.reads > 1 {
		time.Sleep(closeGrace * 4 / 5)
		if b.over.Load() {
			b.late.Store(true)
		}
	}
	return 1, nil
}

func (b *dwelling) Close() error { return nil }

// TestTunnelSeesReadOut: each Close of a tunnel waits for a Read of the request's body,
// even if another call closes the tunnel.
func TestTunnelSeesReadOut(t *testing.T) {
	url, tr := tunnelRig(t)
	late := 0
	for i := range 20 {
		ctx, cancel := context.WithCancel(context.Background())
		body := &dwelling{began: make(chan struct{})}
		resp := connectTo(t, ctx, &http.Client{Transport: tr}, url, body)
		<-body.began
		if i%2 == 0 {
			cancel()
		} else {
			go resp.Body.Close()
		}
		time.Sleep(closeGrace / 5)
		resp.Body.Close()
		body.over.Store(true)
		time.Sleep(2 * closeGrace)
		if body.late.Load() {
			late++
		}
		cancel()
	}
	if late > 10 { // closeGrace may pass on a busy machine
		t.Errorf("%d of 20 were read on", late)
	}
}

// TestStreamGivenBack: what is given back of a stream that was read ahead does as a
// net.Conn does.
func TestStreamGivenBack(t *testing.T) {
	url, tr := tunnelRig(t)
	for _, dial := range []func(context.Context, string, string) (net.Conn, error){nil, dialVeiled} {
		tr.DialContext = dial
		resp := connectTo(t, context.Background(), &http.Client{Transport: tr}, url, nil)
		nc := resp.Body.(net.Conn)
		if dial != nil { // else it is package net's own, which waits on Windows
			if n, err := nc.Read(nil); n != 0 || err != nil {
				t.Errorf("a Read of nothing: %d, %v", n, err)
			}
		}
		nc.Write([]byte("x"))
		time.Sleep(10 * time.Millisecond)
		nc.SetReadDeadline(time.Unix(1, 0))
		if n, err := nc.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("past its deadline: %d, %v", n, err)
		}
		nc.SetDeadline(time.Time{})
		if n, err := nc.Read(make([]byte, 9)); n != 1 || err != nil {
			t.Errorf("and then: %d, %v", n, err)
		}
		nc.SetDeadline(time.Now().Add(10 * time.Millisecond))
		if n, err := nc.Read(make([]byte, 9)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("until its deadline: %d, %v", n, err)
		}
		resp.Body.Close()
		if _, err := nc.Read(make([]byte, 9)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

// TestTunnelBodyEnds: the request's body is closed at its end, though the tunnel goes on.
// Once that is closed its context has no more to say.
func TestTunnelBodyEnds(t *testing.T) {
	url, tr := tunnelRig(t)
	ctx, cancel := context.WithCancel(context.Background())
	body := &closeCounter{Reader: strings.NewReader("x")}
	resp := connectTo(t, ctx, &http.Client{Transport: tr}, url, body)
	if _, err := io.ReadFull(resp.Body, make([]byte, 1)); err != nil {
		t.Error(err)
	}
	eventually(t, "closed", func() bool { return body.n.Load() == 1 })
	resp.Body.Close()
	cancel()
	come()
	if _, err := resp.Body.Read(make([]byte, 1)); err != net.ErrClosed || body.n.Load() != 1 {
		t.Errorf("after Close: %v, closed %d times", err, body.n.Load())
	}
}

// TestTunnelIsNoNetConn: nor is one through a stream that is none.
func TestTunnelIsNoNetConn(t *testing.T) {
	url, _ := tunnelRig(t)
	nc, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	c := NewConn(struct{ io.ReadWriteCloser }{nc}, nil)
	resp := connectTo(t, context.Background(), &http.Client{Transport: c}, url, nil)
	if _, ok := resp.Body.(net.Conn); ok {
		t.Errorf("a %T is a net.Conn", resp.Body)
	}
	resp.Body.Close()
}
