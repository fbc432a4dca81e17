package h1http

// pool_test.go: connections: which request gets which, how many there are, when they end.

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"example.com/h1"
)

func remote(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) }

func (t *Transport) counts(u string) (idle, conns int) {
	t.pool.mu.Lock()
	defer t.pool.mu.Unlock()
	for _, h := range t.pool.hosts {
		if u == "" || strings.HasSuffix(u, h.key.addr) {
			idle, conns = idle+len(h.idle), conns+h.conns
		}
	}
	return idle, conns
}

func TestKeepAlive(t *testing.T) {
	r := newRig(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/close" {
			w.Header().Set("Connection", "close")
		}
		remote(w, r)
	})
	a, b := get(t, r.tr, r.URL), get(t, r.tr, r.URL)
	if a != b {
		t.Errorf("%s, then %s", a, b)
	}
	get(t, r.tr, r.URL+"/close")
	if c := get(t, r.tr, r.URL); c == a {
		t.Error("used again after close by the server")
	}
	req := newRequest(t, "GET", r.URL, nil)
	req.Close = true
	d := do(t, r.tr, req)
	req = newRequest(t, "GET", r.URL, nil)
	req.Header.Set("Connection", "close")
	e := do(t, r.tr, req)
	if f := get(t, r.tr, r.URL); d == e || e == f {
		t.Error("used again after close by the client")
	}
	r.tr.CloseIdleConnections()
	r.tr.DisableKeepAlives = true
	if g, h := get(t, r.tr, r.URL), get(t, r.tr, r.URL); g == h {
		t.Error("used again with DisableKeepAlives")
	}
}

func TestIdleLimits(t *testing.T) {
	var wg sync.WaitGroup
	gate := make(chan struct{})
	handler := func(w http.ResponseWriter, r *http.Request) {
		wg.Done()
		<-gate
	}
	r, s := newRig(t, false, handler), newRig(t, false, handler)
	tr := r.tr
	burst := func(n int, urls ...string) {
		var all sync.WaitGroup
		gate = make(chan struct{})
		wg.Add(n * len(urls))
		for _, u := range urls {
			for range n {
				all.Go(func() { get(t, tr, u) })
			}
		}
		wg.Wait()
		close(gate)
		all.Wait()
	}
	burst(5, r.URL)
	if idle, conns := tr.counts(""); idle != 2 || conns != 2 {
		t.Errorf("default: %d idle of %d", idle, conns)
	}
	tr.CloseIdleConnections()
	tr.MaxIdleConnsPerHost = 4
	burst(5, r.URL)
	if idle, _ := tr.counts(""); idle != 4 {
		t.Errorf("MaxIdleConnsPerHost: %d idle", idle)
	}
	tr.MaxIdleConns = 5
	burst(3, s.URL)
	if a, _ := tr.counts(r.URL); a != 2 {
		t.Errorf("MaxIdleConns: %d left of the older", a)
	}
	if b, _ := tr.counts(s.URL); b != 3 {
		t.Errorf("MaxIdleConns: %d of the newer", b)
	}
	dials := r.dials.Load()
	burst(2, r.URL)
	if n := r.dials.Load() - dials; n != 0 {
		t.Errorf("MaxIdleConns: %d of the older cannot be used", n)
	}
	tr.CloseIdleConnections()
	if idle, conns := tr.counts(""); idle != 0 || conns != 0 || len(tr.pool.hosts) != 0 {
		t.Errorf("CloseIdleConnections: %d of %d", idle, conns)
	}
	tr.MaxIdleConnsPerHost = -1
	burst(1, r.URL)
	if idle, conns := tr.counts(""); idle != 0 || conns != 0 {
		t.Errorf("none kept: %d of %d", idle, conns)
	}
	tr.MaxIdleConnsPerHost, tr.MaxIdleConns = 4, -1
	burst(1, r.URL)
	if idle, conns := tr.counts(""); idle != 0 || conns != 0 {
		t.Errorf("none kept of any host: %d of %d", idle, conns)
	}
}

func TestMaxConnsPerHost(t *testing.T) {
	var now, most atomic.Int32
	r := newRig(t, false, func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		time.Sleep(time.Millisecond)
		now.Add(-1)
		if r.URL.Path == "/close" {
			w.Header().Set("Connection", "close")
		}
	})
	r.tr.MaxConnsPerHost = 3
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			if i%2 == 0 {
				get(t, r.tr, r.URL)
			} else {
				get(t, r.tr, r.URL+"/close")
			}
		})
	}
	wg.Wait()
	if most.Load() > 3 {
		t.Errorf("%d at once", most.Load())
	}
}

// TestMaxConnsWaits: a request that waits may give up; a dial that fails, or is abandoned,
// gives its place to the next.
func TestMaxConnsWaits(t *testing.T) {
	r := newRig(t, false, remote)
	r.tr.MaxConnsPerHost = 1
	resp, err := r.tr.RoundTrip(newRequest(t, "GET", r.URL, nil))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := r.tr.RoundTrip(newRequest(t, "GET", r.URL, nil).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	first := slurp(t, resp)
	if second := get(t, r.tr, r.URL); second != first {
		t.Errorf("%s, then %s", first, second)
	}

	bad := errors.New("no dial")
	block := make(chan struct{})
	var dials atomic.Int32
	tr := &Transport{MaxConnsPerHost: 1, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		dials.Add(1)
		<-block
		return nil, bad
	}}
	errs := make(chan error, 3)
	for range 3 {
		go func() {
			_, err := tr.RoundTrip(newRequest(t, "GET", "http://x.example", nil))
			errs <- err
		}()
	}
	time.Sleep(20 * time.Millisecond)
	if dials.Load() != 1 {
		t.Errorf("%d dials at once", dials.Load())
	}
	close(block)
	for range 3 {
		if err := <-errs; !errors.Is(err, bad) {
			t.Errorf("%v", err)
		}
	}
}

// TestLateBinding: a request that waits for its dial takes a connection that becomes idle
// first, and the dial is of use to the next.
func TestLateBinding(t *testing.T) {
	r := newRig(t, false, remote)
	dial := r.tr.DialContext
	slow, dialed := make(chan struct{}), make(chan struct{}, 9)
	var n atomic.Int32
	r.tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if n.Add(1) > 1 {
			<-slow
		}
		defer func() { dialed <- struct{}{} }()
		return dial(ctx, network, addr)
	}
	resp, err := r.tr.RoundTrip(newRequest(t, "GET", r.URL, nil))
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan string)
	go func() { second <- get(t, r.tr, r.URL) }()
	eventually(t, "a second dial", func() bool { return n.Load() == 2 })
	first := slurp(t, resp)
	if got := <-second; got != first {
		t.Errorf("the second request did not take the first's connection")
	}
	close(slow)
	<-dialed
	<-dialed
	eventually(t, "two idle", func() bool { idle, _ := r.tr.counts(""); return idle == 2 })
}

// TestDialOutlives: a request that is canceled while it dials leaves its dial to the next,
// and CloseIdleConnections ends it.
func TestDialOutlives(t *testing.T) {
	r := newRig(t, false, remote)
	dial := r.tr.DialContext
	begun, gate := make(chan struct{}, 9), make(chan struct{})
	r.tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		begun <- struct{}{}
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return dial(ctx, network, addr)
	}
	canceled := func() {
		ctx, cancel := context.WithCancel(context.Background())
		go func() { <-begun; cancel() }()
		if _, err := r.tr.RoundTrip(newRequest(t, "GET", r.URL, nil).WithContext(ctx)); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}
	canceled()
	r.tr.CloseIdleConnections()
	eventually(t, "the dial is over", func() bool { _, conns := r.tr.counts(""); return conns == 0 })
	canceled()
	close(gate)
	eventually(t, "one idle", func() bool { idle, _ := r.tr.counts(""); return idle == 1 })
	get(t, r.tr, r.URL)
	if r.dials.Load() != 1 {
		t.Errorf("%d connections", r.dials.Load())
	}
}

// TestCloseIdleSparesDials: a dial that a request waits for goes on, whoever it was begun
// for.
func TestCloseIdleSparesDials(t *testing.T) {
	for _, another := range []bool{false, true} {
		r := newRig(t, false, remote)
		r.tr.MaxConnsPerHost = 1
		dial, gate := r.tr.DialContext, make(chan struct{})
		var dials atomic.Int32
		r.tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials.Add(1)
			select {
			case <-gate:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			return dial(ctx, network, addr)
		}
		waiting := func(n int) func() bool {
			return func() bool {
				r.tr.pool.mu.Lock()
				defer r.tr.pool.mu.Unlock()
				for _, h := range r.tr.pool.hosts {
					return len(h.waiting) == n
				}
				return false
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		first, second := make(chan error, 1), make(chan error, 1)
		send := func(ctx context.Context, over chan error) {
			resp, err := r.tr.RoundTrip(newRequest(t, "GET", r.URL, nil).WithContext(ctx))
			if err == nil {
				slurp(t, resp)
			}
			over <- err
		}
		go send(ctx, first)
		eventually(t, "the first waits", waiting(1))
		if another {
			go send(context.Background(), second)
			eventually(t, "the second waits", waiting(2))
			cancel()
			<-first
			first = second
		}
		r.tr.CloseIdleConnections()
		time.Sleep(time.Millisecond) // an end of the dial would be told by now
		close(gate)
		if err := <-first; err != nil || dials.Load() != 1 {
			t.Errorf("another %v: %v, %d dials", another, err, dials.Load())
		}
	}
}

func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := pipeRig(t, false, remote)
		r.tr.IdleConnTimeout = 30 * time.Millisecond
		a := get(t, r.tr, r.URL)
		if b := get(t, r.tr, r.URL); a != b {
			t.Error("not used again")
		}
		eventually(t, "closed", func() bool { return r.open.Load() == 0 })
		if c := get(t, r.tr, r.URL); a == c {
			t.Error("used again")
		}
		eventually(t, "closed again", func() bool { return r.open.Load() == 0 })
	})
}

// TestSweepSpares: the sweep leaves what is in order, and runs again.
func TestSweepSpares(t *testing.T) {
	r := newRig(t, false, remote)
	r.tr.IdleConnTimeout = time.Hour
	a := get(t, r.tr, r.URL)
	r.tr.sweep()
	if r.tr.pool.mu.Lock(); r.tr.pool.timer == nil {
		t.Error("no further sweep is due")
	}
	r.tr.pool.mu.Unlock()
	if b := get(t, r.tr, r.URL); a != b {
		t.Error("not used again")
	}
}

// setBack makes t what time.Now would have returned if the wall clock had been ahead by d,
// and was set back since.
func setBack(t time.Time, d time.Duration) time.Time {
	inside := (*struct {
		wall uint64
		ext  int64
	})(unsafe.Pointer(&t))
	inside.wall += uint64(d/time.Second) << 30
	return t
}

// TestIdleTimeoutSetBack: a wall clock that is set back keeps no connection, and the sweep
// does not run all the time for it.
func TestIdleTimeoutSetBack(t *testing.T) {
	r := newRig(t, false, remote)
	r.tr.IdleConnTimeout = time.Hour
	get(t, r.tr, r.URL)
	p := &r.tr.pool
	p.mu.Lock()
	l := p.oldest
	was := l.idleAt
	l.idleAt = setBack(was.Add(-time.Hour), 2*time.Hour)
	if wall, age := l.idleAt.Round(0), time.Since(l.idleAt); !wall.After(was) || age < time.Hour || age > 2*time.Hour {
		t.Fatalf("the clocks are not set: idle since %v, for %v", wall, age)
	}
	if !r.tr.tooOld(l) {
		t.Error("it is not too old after an hour")
	}
	l.idleAt = was
	if r.tr.tooOld(l) {
		t.Error("it is too old at once")
	}
	l.idleAt = was.Add(-time.Hour)
	p.mu.Unlock()
	get(t, r.tr, r.URL)
	if idle, conns := r.tr.counts(""); idle != 1 || conns != 1 || p.oldest == l {
		t.Errorf("used after an hour, or lost: %d idle of %d", idle, conns)
	}
}

// TestStale: idle connections that the server has closed cost no error, whatever the
// method, and are dropped by the sweep if nobody asks.
func TestStale(t *testing.T) {
	for _, tls := range []bool{false, true} {
		r := newRig(t, tls, echo)
		r.tr.MaxConnsPerHost = 1 // a dead connection must not hold the place
		for range 20 {
			get(t, r.tr, r.URL)
			r.CloseClientConnections()
			time.Sleep(2 * time.Millisecond)
			body := &closeCounter{Reader: strings.NewReader("once")} // cannot be rewound
			req := newRequest(t, "POST", r.URL, nil)
			req.Body, req.ContentLength = body, 4
			if got := do(t, r.tr, req); got != "POST / 4 once" || body.n.Load() != 1 {
				t.Fatalf("got %q, closed %d times", got, body.n.Load())
			}
		}
		r.CloseClientConnections()
		time.Sleep(2 * time.Millisecond)
		r.tr.sweep()
		if _, conns := r.tr.counts(""); conns != 0 {
			t.Errorf("%d connections after the sweep", conns)
		}
	}
}

// TestUnasked: an answer on an idle connection ends it, whether it is a 408 or anything
// else.
func TestUnasked(t *testing.T) {
	for _, extra := range []string{"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "x"} {
		url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
			for {
				if _, _, err := readRequest(br); err != nil {
					return
				}
				fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d%s", n, extra)
			}
		})
		if a := get(t, tr, url); a != "0" {
			t.Errorf("got %q", a)
		}
		time.Sleep(5 * time.Millisecond)
		if b := get(t, tr, url); b != "1" {
			t.Errorf("after %q: got %q", extra, b)
		}
	}
}

// TestCloseIdleThenRelease: what becomes idle after CloseIdleConnections is closed too.
func TestCloseIdleThenRelease(t *testing.T) {
	r := newRig(t, false, remote)
	resp, err := r.tr.RoundTrip(newRequest(t, "GET", r.URL, nil))
	if err != nil {
		t.Fatal(err)
	}
	r.tr.CloseIdleConnections()
	slurp(t, resp)
	if _, conns := r.tr.counts(""); conns != 0 {
		t.Errorf("%d connections", conns)
	}
}

// TestKeys: which requests share connections.
func TestKeys(t *testing.T) {
	r := newRig(t, false, remote)
	r.tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return r.dial(ctx, network, r.Listener.Addr().String())
	}
	a := get(t, r.tr, "http://a.example/")
	for url, same := range map[string]bool{"http://a.example:80/x": true, "http://b.example/": false, "http://a.example:81/": false} {
		if got := get(t, r.tr, url); (got == a) != same {
			t.Errorf("%s: %s, was %s", url, got, a)
		}
	}
}

// TestEarlyBodyClose: little left is drained, and the connection used again; much is not.
func TestEarlyBodyClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where what is left is sure to come in time
		r := pipeRig(t, false, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Addr", r.RemoteAddr)
			n := 10_000
			if r.URL.Path == "/much" {
				n = 10_000_000
			}
			w.Write(make([]byte, n))
		})
		fetch := func(path string) string {
			resp, err := r.tr.RoundTrip(newRequest(t, "GET", r.URL+path, nil))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			return resp.Header.Get("Addr")
		}
		a, b, c := fetch("/"), fetch("/much"), fetch("/")
		if a != b || b == c {
			t.Errorf("%s %s %s", a, b, c)
		}
	})
}

// TestAnswerBeatsWriteError: an answer that came is not lost to the body that could not be
// sent.
func TestAnswerBeatsWriteError(t *testing.T) {
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
		http.ReadRequest(br)
		io.WriteString(nc, "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
		nc.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, io.LimitReader(br, 100_000))
	})
	for range 10 {
		req := newRequest(t, "POST", url, strings.NewReader(strings.Repeat("x", 4<<20)))
		if got := do(t, tr, req); got != "big" {
			t.Fatalf("got %q", got)
		}
	}
}

// failing is a stream whose reads fail after what it has.
type failing struct {
	net.Conn
	have io.Reader
	err  error
}

func (f *failing) Read(p []byte) (int, error) {
	if n, err := f.have.Read(p); err == nil {
		return n, nil
	}
	return 0, f.err
}

// TestStreamError: what a stream's own error is, the caller can see.
func TestStreamError(t *testing.T) {
	noLeak(t)
	own := errors.New("some read error")
	tr := &Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		a, b := net.Pipe()
		go io.Copy(io.Discard, b)
		t.Cleanup(func() { a.Close() })
		return &failing{a, strings.NewReader("HTTP/1.1 2"), own}, nil
	}}
	if _, err := tr.RoundTrip(newRequest(t, "GET", "http://x.example", nil)); !errors.Is(err, own) || !errors.Is(err, h1.IO) {
		t.Errorf("%v", err)
	}
	// A connection that is closed before anything is written to it.
	tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
		a, b := net.Pipe()
		a.Close()
		b.Close()
		return a, nil
	}
	if _, err := tr.RoundTrip(newRequest(t, "GET", "http://x.example", nil)); err == nil {
		t.Error("no error")
	}
}

// TestStaleUnused: the same for a connection that was dialed for a request that went
// another way, and that the server closed before anything was sent on it.
func TestStaleUnused(t *testing.T) {
	r := newRig(t, false, echo)
	dial := r.tr.DialContext
	gate := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	r.tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		cancel()
		<-gate
		return dial(ctx, network, addr)
	}
	if _, err := r.tr.RoundTrip(newRequest(t, "GET", r.URL, nil).WithContext(ctx)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(gate)
	eventually(t, "idle", func() bool { idle, _ := r.tr.counts(""); return idle == 1 })
	time.Sleep(2 * time.Millisecond) // the server accepts
	r.CloseClientConnections()
	time.Sleep(2 * time.Millisecond)
	if got := do(t, r.tr, newRequest(t, "POST", r.URL, strings.NewReader("x"))); got != "POST / 1 x" {
		t.Errorf("got %q", got)
	}
}

// TestDisableKeepAlives: a request that asks for an upgrade does not say close; its
// connection is not for another all the same.
func TestDisableKeepAlives(t *testing.T) {
	r := newRig(t, false, remote)
	r.tr.DisableKeepAlives, r.tr.MaxConnsPerHost = true, 1
	req := newRequest(t, "GET", r.URL, nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "x")
	resp, err := r.tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	next := make(chan string)
	go func() { next <- get(t, r.tr, r.URL) }()
	eventually(t, "the next waits", func() bool {
		r.tr.pool.mu.Lock()
		defer r.tr.pool.mu.Unlock()
		for _, h := range r.tr.pool.hosts {
			return len(h.waiting) == 1
		}
		return false
	})
	if first := slurp(t, resp); <-next == first {
		t.Error("used again")
	}
}
