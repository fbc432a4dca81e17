package h1http

// h1http_test.go: the main paths, over TCP, TLS and a unix socket; and what tests share.

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.com/h1"
)

// A rig is a server, a Transport for it, and the count of the connections between them.
type rig struct {
	*httptest.Server
	t     *testing.T
	tr    *Transport
	dials atomic.Int32
	open  atomic.Int32
}

// countedConn counts itself out when it is closed.
type countedConn struct {
	net.Conn
	once sync.Once
	open *atomic.Int32
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// SyscallConn lets the engine look at the socket, if there is one.
func (c *countedConn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

func (c *countedConn) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

// newRig starts a server. At the test's end everything is closed, and nothing may be left.
func newRig(t *testing.T, tls bool, h http.HandlerFunc) *rig {
	t.Helper()
	noLeak(t)
	r := &rig{t: t, Server: httptest.NewUnstartedServer(h)}
	r.tr = &Transport{DialContext: r.dial}
	r.start(tls)
	return r
}

// pipeRig is newRig in a bubble: the connections are pipes, and a busy machine makes nobody
// late.
func pipeRig(t *testing.T, tls bool, h http.HandlerFunc) *rig {
	t.Helper()
	pipes := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	r := &rig{t: t, Server: &httptest.Server{Listener: pipes, Config: &http.Server{Handler: h}}}
	r.tr = &Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		pipes.conns <- &from{server, &net.TCPAddr{Port: int(r.dials.Add(1))}}
		r.open.Add(1)
		return &countedConn{Conn: client, open: &r.open}, nil
	}}
	r.start(tls)
	return r
}

func (r *rig) start(tls bool) {
	r.t.Helper()
	r.Server.Config.ErrorLog = log.New(io.Discard, "", 0) // a dial nobody waits for any more
	if tls {
		r.Server.StartTLS()
		r.tr.TLSClientConfig = r.Server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	} else {
		r.Server.Start()
	}
	r.t.Cleanup(func() {
		r.tr.CloseIdleConnections()
		r.Server.Close()
		eventually(r.t, "no open connection", func() bool { return r.open.Load() == 0 })
	})
}

// A pipeListener accepts the far ends of pipes.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (ln *pipeListener) Accept() (net.Conn, error) {
	select {
	case nc := <-ln.conns:
		return nc, nil
	case <-ln.closed:
		return nil, net.ErrClosed
	}
}

func (ln *pipeListener) Close() error {
	ln.once.Do(func() { close(ln.closed) })
	return nil
}

func (ln *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// from is a stream that came from some address.
type from struct {
	net.Conn
	addr net.Addr
}

func (c *from) RemoteAddr() net.Addr { return c.addr }

func (r *rig) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	r.dials.Add(1)
	r.open.Add(1)
	return &countedConn{Conn: nc, open: &r.open}, nil
}

func (r *rig) client() *http.Client { return &http.Client{Transport: r.tr} }

// noLeak fails the test if it leaves goroutines behind. It is called first.
func noLeak(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		for began := time.Now(); time.Since(began) < patience; time.Sleep(10 * time.Millisecond) {
			if runtime.NumGoroutine() <= before {
				return
			}
		}
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
	})
}

// eventually waits for a condition, for long enough also on a busy machine.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); time.Since(began) < patience; time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Errorf("never: %s", what)
}

// come gives what was sent the time to come: 20 ms in which the machine is late for
// nothing, if it has such.
func come() {
	const long = 2 * time.Second
	began := time.Now()
	for row := 0; row < 20 && time.Since(began) < long; row++ {
		slept := time.Now()
		if time.Sleep(time.Millisecond); time.Since(slept) > 10*time.Millisecond {
			row = -1
		}
	}
}

// get fetches a URL and returns the body.
func get(t *testing.T, rt http.RoundTripper, url string) string {
	t.Helper()
	return do(t, rt, newRequest(t, "GET", url, nil))
}

func newRequest(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func do(t *testing.T, rt http.RoundTripper, req *http.Request) string {
	t.Helper()
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	return slurp(t, resp)
}

func slurp(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return string(b)
}

// echo answers with the request's line and body.
func echo(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	w.Header().Set("X-Method", r.Method)
	fmt.Fprintf(w, "%s %s %d ", r.Method, r.URL, len(b))
	w.Write(b)
}

func testEcho(t *testing.T, rt http.RoundTripper, url string) {
	t.Helper()
	for i := range 3 {
		target := fmt.Sprintf("/a%d?q=%d", i, i)
		if got, want := get(t, rt, url+target), "GET "+target+" 0 "; got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	for _, n := range []int{0, 1, 100, 5000, 1 << 20} {
		want := strings.Repeat("x", n)
		bodies := map[string]io.Reader{
			"bytes.Reader": bytes.NewReader([]byte(want)), "strings.Reader": strings.NewReader(want),
			"bytes.Buffer": bytes.NewBufferString(want), "unknown": io.MultiReader(strings.NewReader(want)),
		}
		for name, body := range bodies {
			req := newRequest(t, "POST", url+"/p", body)
			if got := do(t, rt, req); got != fmt.Sprintf("POST /p %d %s", n, want) {
				t.Fatalf("%s of %d bytes: got %.40q", name, n, got)
			}
		}
	}
}

func TestTCP(t *testing.T) {
	r := newRig(t, false, echo)
	testEcho(t, r.tr, r.URL)
	if n := r.dials.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestTLS(t *testing.T) {
	r := newRig(t, true, echo)
	testEcho(t, r.tr, r.URL)
	if n := r.dials.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	resp, err := r.client().Get(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	slurp(t, resp)
	if resp.TLS == nil || !resp.TLS.HandshakeComplete || resp.Proto != "HTTP/1.1" {
		t.Errorf("TLS %v, proto %s", resp.TLS, resp.Proto)
	}
}

// TestLateHandshake: the handshake is made with the first request; its response tells of
// it nonetheless.
func TestLateHandshake(t *testing.T) {
	for name, dial := range bothDials {
		r := newRig(t, true, echo)
		nc, err := dial(context.Background(), "tcp", r.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c := NewConn(tls.Client(nc, &tls.Config{InsecureSkipVerify: true}), nil)
		for range 2 {
			resp, err := c.RoundTrip(newRequest(t, "GET", r.URL, nil))
			if err != nil {
				t.Fatal(err)
			}
			slurp(t, resp)
			if resp.TLS == nil || !resp.TLS.HandshakeComplete {
				t.Errorf("%s: TLS %v", name, resp.TLS)
			}
		}
		c.Close()
	}
}

func TestUnix(t *testing.T) {
	noLeak(t)
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(echo)}
	go srv.Serve(ln)
	defer srv.Close()
	tr := &Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}
	defer tr.CloseIdleConnections()
	testEcho(t, tr, "http://unix")
}

func TestConn(t *testing.T) {
	r := newRig(t, false, echo)
	nc, err := r.dial(context.Background(), "tcp", r.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := NewConn(nc, nil)
	defer c.Close()
	testEcho(t, c, "http://any.example")
	if c.Available() != 1 || c.InFlight() != 0 || c.Err() != nil {
		t.Errorf("available %d, in flight %d, %v", c.Available(), c.InFlight(), c.Err())
	}
	if err := c.Reserve(); err != nil {
		t.Fatal(err)
	}
	if c.Available() != 0 || c.InFlight() != 1 || c.Reserve() == nil {
		t.Errorf("reserved: available %d, in flight %d", c.Available(), c.InFlight())
	}
	c.Release()
	c.Release()
	if err := c.Reserve(); err != nil {
		t.Fatal(err)
	}
	resp, err := c.RoundTrip(newRequest(t, "GET", "http://x/", nil))
	if err != nil {
		t.Fatal(err)
	}
	if c.InFlight() != 1 {
		t.Errorf("in flight %d", c.InFlight())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.RoundTrip(newRequest(t, "GET", "http://x/", nil).WithContext(ctx)); err != context.DeadlineExceeded {
		t.Errorf("a second request: %v", err)
	}
	slurp(t, resp)
	if c.Available() != 1 {
		t.Errorf("afterwards: available %d", c.Available())
	}
	// An invalid request uses its reservation up.
	c.Reserve()
	bad := newRequest(t, "GET", "http://x/", nil)
	bad.Method = "G T"
	if _, err := c.RoundTrip(bad); err == nil || c.Available() != 1 {
		t.Errorf("invalid: %v, available %d", err, c.Available())
	}
	r.CloseClientConnections()
	eventually(t, "Err notices the hangup", func() bool { return c.Err() != nil })
	if c.Available() != 0 || c.Reserve() == nil {
		t.Errorf("dead: available %d", c.Available())
	}
}

// TestConnClose: a request that waits for a slot does not wait on for a connection that was
// closed.
func TestConnClose(t *testing.T) {
	url, tr := stuck(t)
	c, err := tr.NewClientConn(context.Background(), "http", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.RoundTrip(newRequest(t, "GET", url+"/body", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() // not before: who reads it is busy with what there is
	next := make(chan error, 1)
	send := func() {
		_, err := c.RoundTrip(newRequest(t, "GET", url, nil))
		next <- err
	}
	go send()
	time.Sleep(10 * time.Millisecond)
	c.Close()
	c.Close()
	go send() // and one that comes later
	for range 2 {
		if err := <-next; !errors.Is(err, h1.Closed) || err.Error() != "h1: send: connection closed: closed by the caller" {
			t.Errorf("%v", err)
		}
	}
}

// What ended the connection was another request's: one that comes to the closed connection
// is told in words only.
func TestConnEndedForAnother(t *testing.T) {
	url, tr := stuck(t)
	c, err := tr.NewClientConn(context.Background(), "http", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.RoundTrip(newRequest(t, "GET", url, nil).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	c.Close()
	for range 20 { // by one way or the other
		var e *h1.Error
		_, err := c.RoundTrip(newRequest(t, "POST", url, nil))
		if !errors.As(err, &e) || e.Kind != h1.Closed || !e.Unprocessed() || e.Timeout() || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	}
}

func TestConnDepth(t *testing.T) {
	r := newRig(t, false, echo)
	nc, _ := r.dial(context.Background(), "tcp", r.Listener.Addr().String())
	cfg := Config()
	cfg.Depth = 8
	c := NewConn(nc, cfg)
	defer c.Close()
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 50 {
				target := fmt.Sprintf("/%d/%d", g, i)
				if got := get(t, c, "http://x"+target); got != "GET "+target+" 0 " {
					t.Errorf("got %q for %s", got, target)
				}
			}
		})
	}
	wg.Wait()
	if s := c.Conn().Stats(); s.Responses != 800 {
		t.Errorf("%+v", s)
	}
}

func TestTransportDepth(t *testing.T) {
	r := newRig(t, false, echo)
	r.tr.Depth, r.tr.MaxConnsPerHost = 8, 2
	var wg sync.WaitGroup
	for g := range 32 {
		wg.Go(func() {
			for i := range 50 {
				target := fmt.Sprintf("/%d/%d", g, i)
				method, body := "GET", ""
				if i%10 == 0 {
					method, body = "POST", target
				}
				got := do(t, r.tr, newRequest(t, method, r.URL+target, strings.NewReader(body)))
				if want := fmt.Sprintf("%s %s %d %s", method, target, len(body), body); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
	wg.Wait()
	if n := r.dials.Load(); n > 2 {
		t.Errorf("%d connections", n)
	}
}
