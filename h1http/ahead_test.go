package h1http

// ahead_test.go: connections over streams that hide their socket, or have none.

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"example.com/h1"
)

// veiled is what those make of a net.Conn who count its bytes, say: no SyscallConn.
type veiled struct{ net.Conn }

func dialVeiled(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return veiled{nc}, nil
}

// newestUnasked reports whether something has come to the link that became idle last.
func (t *Transport) newestUnasked() bool {
	t.pool.mu.Lock()
	defer t.pool.mu.Unlock()
	return t.pool.newest != nil && t.pool.newest.ahead.unasked()
}

// TestUnaskedVeiled: what a server sends on an idle connection is not the answer to the
// next request, also where nobody can look into the socket.
func TestUnaskedVeiled(t *testing.T) {
	certs := certificates()
	for _, secure := range []bool{false, true} {
		for _, extra := range []string{"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL", "x", ""} {
			idle := make(chan struct{})
			url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
				if secure {
					nc = tls.Server(nc, &tls.Config{Certificates: certs})
					br = bufio.NewReader(nc)
				}
				if _, _, err := readRequest(br); err != nil {
					return
				}
				fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", n)
				if n > 0 {
					br.ReadByte()
					return
				}
				<-idle
				io.WriteString(nc, extra) // and hangs up
			})
			tr.DialContext, tr.TLSClientConfig = dialVeiled, &tls.Config{InsecureSkipVerify: true}
			if secure {
				url = strings.Replace(url, "http:", "https:", 1)
			}
			if a := get(t, tr, url); a != "0" {
				t.Errorf("got %q", a)
			}
			close(idle)
			eventually(t, "it has come", func() bool { return tr.newestUnasked() })
			if b := get(t, tr, url); b != "1" {
				t.Errorf("secure %v, after %q: got %q", secure, extra, b)
			}
			tr.CloseIdleConnections()
		}
	}
}

// TestHangupVeiled: a server hangs up behind every second answer, at about the time of the
// next request. None fails, whichever is first.
func TestHangupVeiled(t *testing.T) {
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
		for i := 0; ; i++ {
			if _, _, err := readRequest(br); err != nil {
				return
			}
			fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
			if i%2 == 1 {
				time.Sleep(time.Duration(n%50) * time.Microsecond)
				nc.Close()
				return
			}
		}
	})
	tr.DialContext = dialVeiled
	for range 500 {
		if got := get(t, tr, url); got != "good" {
			t.Fatalf("got %q", got)
		}
	}
}

// TestKeepAliveVeiled: such connections are used again, alone or shared, and nobody is
// left who reads them.
func TestKeepAliveVeiled(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for _, depth := range []int{0, 4} {
			r := newRig(t, secure, remote)
			r.tr.Depth, r.tr.MaxConnsPerHost = depth, 1
			r.tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				nc, err := r.dial(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				return veiled{nc}, nil
			}
			first := get(t, r.tr, r.URL)
			for range 100 {
				if b := get(t, r.tr, r.URL); b != first {
					t.Fatalf("depth %d: %s, then %s", depth, first, b)
				}
			}
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					for range 50 {
						resp, err := r.tr.RoundTrip(newRequest(t, "GET", r.URL, nil))
						if err != nil {
							t.Error(err)
							return
						}
						if b := slurp(t, resp); b != first {
							t.Errorf("depth %d: %s, then %s", depth, first, b)
						}
					}
				})
			}
			all.Wait()
			if idle, conns := r.tr.counts(""); idle != 1 || conns != 1 {
				t.Errorf("depth %d: %d idle of %d", depth, idle, conns)
			}
		}
	}
}

// deaf is a stream without deadlines, as that of an SSH client is.
type deaf struct{ net.Conn }

func (deaf) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (deaf) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (deaf) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

// unsocketed has SyscallConn, and no socket.
type unsocketed struct{ net.Conn }

func (unsocketed) SyscallConn() (syscall.RawConn, error) { return nil, errors.ErrUnsupported }

// wordy is a stream that says more in its errors: crypto/tls takes a timeout of it for its
// end.
type wordy struct{ net.Conn }

func (w wordy) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("my conn: %w", err)
	}
	return n, err
}

// TestStreamsAhead: streams of all kinds are used again, and what comes to them while they
// are idle is nobody's answer; also after a timeout has been set, and has passed.
func TestStreamsAhead(t *testing.T) {
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"deaf":       func(nc net.Conn) net.Conn { return deaf{nc} },
		"unsocketed": func(nc net.Conn) net.Conn { return unsocketed{nc} },
		"wordy":      func(nc net.Conn) net.Conn { return wordy{nc} },
	} {
		for _, secure := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) { testStreamAhead(t, name, wrap, secure) })
		}
	}
}

func testStreamAhead(t *testing.T, name string, wrap func(net.Conn) net.Conn, secure bool) {
	nasty := make(chan net.Conn, 1)
	r := pipeRig(t, secure, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hijack" {
			nc, rw, _ := w.(http.Hijacker).Hijack()
			rw.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
			rw.Flush()
			nasty <- nc
			return
		}
		remote(w, r)
	})
	r.tr.ResponseHeaderTimeout = 50 * time.Millisecond
	dial := r.tr.DialContext
	r.tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return wrap(nc), nil
	}
	first := get(t, r.tr, r.URL)
	for range 3 {
		time.Sleep(60 * time.Millisecond)
		if b := do(t, r.tr, newRequest(t, "POST", r.URL, strings.NewReader("x"))); b != first {
			t.Errorf("%s, secure %v: %s, then %s", name, secure, first, b)
		}
	}
	if b := get(t, r.tr, r.URL+"/hijack"); b != "good" {
		t.Errorf("%q", b)
	}
	nc := <-nasty
	defer nc.Close()
	io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL")
	synctest.Wait()
	if !r.tr.newestUnasked() {
		t.Errorf("%s, secure %v: it has not come", name, secure)
	}
	if b := get(t, r.tr, r.URL); b == first || b == "EVIL" {
		t.Errorf("%s, secure %v: got %q", name, secure, b)
	}
}

// TestConnAhead: the same over one connection, which then takes no request.
func TestConnAhead(t *testing.T) {
	idle := make(chan struct{})
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
		readRequest(br)
		io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")
		<-idle
		io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL")
		br.ReadByte()
	})
	for _, byErr := range []bool{false, true} {
		idle = make(chan struct{})
		nc, err := dialVeiled(context.Background(), "tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		c := NewConn(nc, nil)
		if got := get(t, c, url); got != "a" || c.Err() != nil {
			t.Errorf("%q, %v", got, c.Err())
		}
		close(idle)
		eventually(t, "it has come", func() bool { return c.link.ahead.unasked() })
		if byErr {
			if err := c.Err(); !errors.Is(err, h1.Unsolicited) || c.Available() != 0 {
				t.Errorf("Err: %v", err)
			}
		}
		for range 2 { // its slot is given back
			var e *h1.Error
			_, err := c.RoundTrip(newRequest(t, "GET", url, nil))
			if !errors.As(err, &e) || !e.Unprocessed() || !errors.Is(err, h1.Unsolicited) {
				t.Errorf("a request behind it: %v", err)
			}
		}
		c.Close()
	}
	tr.CloseIdleConnections()
}

// pipes is a stream over two of the system's pipes: it has SyscallConn, and no socket.
type pipes struct {
	*os.File
	w *os.File
}

func (p pipes) Write(b []byte) (int, error)      { return p.w.Write(b) }
func (p pipes) LocalAddr() net.Addr              { return nil }
func (p pipes) RemoteAddr() net.Addr             { return nil }
func (p pipes) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

func (p pipes) Close() error {
	p.w.Close()
	return p.File.Close()
}

// TestPipesAhead: what comes while such a connection is idle is nobody's answer.
func TestPipesAhead(t *testing.T) {
	in, toServer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	fromServer, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c := NewConn(pipes{fromServer, toServer}, nil)
	defer c.Close()
	go func() {
		readRequest(bufio.NewReader(in))
		io.WriteString(out, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
	}()
	if b := get(t, c, "http://a.example/"); b != "good" {
		t.Errorf("got %q", b)
	}
	io.WriteString(out, evil)
	eventually(t, "it has come", c.link.ahead.unasked)
	if _, err := c.RoundTrip(newRequest(t, "GET", "http://a.example/", nil)); !errors.Is(err, h1.Unsolicited) {
		t.Errorf("behind it: %v", err)
	}
}

// TestAbandonedAhead: the late response of a canceled request is owed, and not unasked.
func TestAbandonedAhead(t *testing.T) {
	for _, dial := range []func(context.Context, string, string) (net.Conn, error){new(net.Dialer).DialContext, dialVeiled} {
		got, first, second := make(chan struct{}), make(chan struct{}), make(chan struct{})
		url, _ := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
			say := func(s string) { fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%s", s) }
			readRequest(br)
			say("0")
			for range 2 {
				readRequest(br)
				got <- struct{}{}
			}
			<-first
			say("1")
			<-second
			say("2")
			readRequest(br)
			say("3")
			br.ReadByte()
		})
		cfg := Config()
		cfg.Depth = 2
		nc, err := dial(context.Background(), "tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		c := NewConn(nc, cfg)
		get(t, c, url)
		size := c.Conn().Stats().BytesWritten
		one, two := make(chan *http.Response, 1), make(chan error, 1)
		go func() {
			resp, err := c.RoundTrip(newRequest(t, "GET", url, nil))
			if err != nil {
				t.Error(err)
			}
			one <- resp
		}()
		<-got
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			_, err := c.RoundTrip(newRequest(t, "GET", url, nil).WithContext(ctx))
			two <- err
		}()
		<-got
		eventually(t, "its write has returned", func() bool { return c.Conn().Stats().BytesWritten == 3*size })
		cancel()
		<-two
		close(first)
		resp := <-one
		if resp == nil {
			close(second)
			return
		}
		if b := slurp(t, resp); b != "1" {
			t.Errorf("the first: %q", b)
		}
		close(second)
		time.Sleep(20 * time.Millisecond)
		if err := c.Err(); err != nil {
			t.Error(err)
		}
		if b := get(t, c, url); b != "3" {
			t.Errorf("the next: %q", b)
		}
		c.Close()
	}
}

// impatient is a stream that limits each of its reads.
type impatient struct {
	net.Conn
	limit time.Duration
}

func (s impatient) Read(p []byte) (int, error) {
	s.SetReadDeadline(time.Now().Add(s.limit))
	return s.Conn.Read(p)
}

// TestImpatientAhead: the limit is that of a read for somebody, and not of one that was
// begun while the connection was idle.
func TestImpatientAhead(t *testing.T) {
	for _, secure := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			const limit = 200 * time.Millisecond
			r := pipeRig(t, secure, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == "POST" {
					time.Sleep(limit / 2)
				}
				if r.URL.Path == "/mute" {
					<-r.Context().Done()
				}
				remote(w, r)
			})
			dial := r.tr.DialContext
			r.tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				nc, err := dial(ctx, network, addr)
				return impatient{nc, limit}, err
			}
			first := get(t, r.tr, r.URL)
			for range 2 {
				time.Sleep(limit * 3 / 4)
				if b := do(t, r.tr, newRequest(t, "POST", r.URL, strings.NewReader("x"))); b != first {
					t.Errorf("secure %v: %s, then %s", secure, first, b)
				}
			}
			began := time.Now()
			resp, err := r.tr.RoundTrip(newRequest(t, "POST", r.URL+"/mute", nil))
			if err == nil {
				t.Errorf("got %q", slurp(t, resp))
			}
			if d := time.Since(began); d < limit || d > 2*limit {
				t.Errorf("secure %v: %v after %v", secure, err, d)
			}
		})
	}
}

// otherTimeout is a timeout as streams outside the standard library have it.
type otherTimeout struct{}

func (otherTimeout) Error() string   { return "deadline reached" }
func (otherTimeout) Timeout() bool   { return true }
func (otherTimeout) Temporary() bool { return true }

// ownTimeout is impatient, and says so by an error of its own.
type ownTimeout struct{ impatient }

func (s ownTimeout) Read(p []byte) (int, error) {
	n, err := s.impatient.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = otherTimeout{}
	}
	return n, err
}

// TestOwnTimeoutAhead: also by a stream's own error the time of an idle read is up, and
// not the stream's end.
func TestOwnTimeoutAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 200 * time.Millisecond
		r := pipeRig(t, false, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "POST" {
				time.Sleep(limit / 2)
			}
			remote(w, r)
		})
		dial := r.tr.DialContext
		r.tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := dial(ctx, network, addr)
			return ownTimeout{impatient{nc, limit}}, err
		}
		first := get(t, r.tr, r.URL)
		time.Sleep(limit * 3 / 4)
		if b := do(t, r.tr, newRequest(t, "POST", r.URL, strings.NewReader("x"))); b != first {
			t.Errorf("%s, then %s", first, b)
		}
	})
}

// polling is a stream whose Close ends no Read, and each of whose Reads is over after a
// while.
type polling struct {
	net.Conn
	closed atomic.Bool
	after  atomic.Int32 // reads begun after Close
}

func (p *polling) Read([]byte) (int, error) {
	if p.closed.Load() {
		p.after.Add(1)
	}
	time.Sleep(20 * time.Millisecond)
	return 0, os.ErrDeadlineExceeded
}

func (p *polling) Close() error {
	p.closed.Store(true)
	return nil
}

// TestClosedAhead: nothing is read from a stream that was closed.
func TestClosedAhead(t *testing.T) {
	noLeak(t)
	p := &polling{}
	c := NewConn(p, nil)
	time.Sleep(10 * time.Millisecond)
	c.Close()
	time.Sleep(100 * time.Millisecond)
	if n := p.after.Load(); n > 1 { // one was about to begin
		t.Errorf("%d reads after Close", n)
	}
}

// TestPastDeadlineAhead: a stream that nothing can be read from any more has ended, wanted
// or not.
func TestPastDeadlineAhead(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	ours.SetReadDeadline(aLongTimeAgo)
	c := NewConn(ours, nil)
	defer c.Close()
	eventually(t, "Err says so", func() bool { return errors.Is(c.Err(), os.ErrDeadlineExceeded) })
}

// miscounted is a stream that cannot count.
type miscounted struct {
	net.Conn
	by int
}

func (m miscounted) Read(p []byte) (int, error) {
	_, err := m.Conn.Read(p)
	if m.by > 0 {
		return len(p) + m.by, err
	}
	return m.by, err
}

// idler is a stream that returns nothing, again and again.
type idler struct{ net.Conn }

func (o idler) Read(p []byte) (int, error) { return 0, nil }

// TestBadStreamAhead: what such a stream does is an error.
func TestBadStreamAhead(t *testing.T) {
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
		readRequest(br)
		io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")
		br.ReadByte()
	})
	for _, test := range []struct {
		want error
		wrap func(nc net.Conn) net.Conn
	}{
		{errReadCount, func(nc net.Conn) net.Conn { return miscounted{nc, 1} }},
		{errReadCount, func(nc net.Conn) net.Conn { return miscounted{nc, -1} }},
		{io.ErrNoProgress, func(nc net.Conn) net.Conn { return idler{nc} }},
	} {
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, addr)
			return test.wrap(nc), err
		}
		if _, err := tr.RoundTrip(newRequest(t, "GET", url, nil)); !errors.Is(err, test.want) {
			t.Errorf("%v, want %v", err, test.want)
		}
	}
}

// TestHandedOnAhead: a connection to which something has come is not handed on to who
// waits for one.
func TestHandedOnAhead(t *testing.T) {
	idle := make(chan struct{})
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
		readRequest(br)
		fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", n)
		if n == 0 {
			<-idle
			io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL")
		}
		br.ReadByte()
	})
	tr.DialContext, tr.MaxConnsPerHost = dialVeiled, 1
	resp, err := tr.RoundTrip(newRequest(t, "GET", url, nil))
	if err != nil {
		t.Fatal(err)
	}
	next := make(chan string, 1)
	go func() { next <- get(t, tr, url) }()
	eventually(t, "it waits", func() bool {
		tr.pool.mu.Lock()
		defer tr.pool.mu.Unlock()
		for _, h := range tr.pool.hosts {
			return len(h.waiting) == 1
		}
		return false
	})
	close(idle)
	l := resp.Body.(*body).link
	eventually(t, "it has come", func() bool { return l.ahead.unasked() })
	slurp(t, resp)
	if b := <-next; b != "1" {
		t.Errorf("got %q", b)
	}
}

// told is a stream that tells somebody when it is closed.
type told struct {
	net.Conn
	closed func()
}

func (s told) Close() error {
	s.closed()
	return s.Conn.Close()
}

// TestCloseAhead: the stream's Close may ask the Conn, which it is closed for; and what
// Err says.
func TestCloseAhead(t *testing.T) {
	for extra, kind := range map[string]h1.Kind{"": h1.Closed, "x": h1.Unsolicited,
		"HTTP/1.1 408 Request Timeout\r\n\r\n": h1.Closed} {
		for _, byErr := range []bool{false, true} {
			idle := make(chan struct{})
			url, _ := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
				readRequest(br)
				io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")
				<-idle
				io.WriteString(nc, extra)
			})
			nc, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			var c *Conn
			c = NewConn(told{nc, func() { c.Available() }}, nil)
			get(t, c, url)
			close(idle)
			eventually(t, "it has come", func() bool { return c.link.ahead.unasked() })
			if byErr {
				err = c.Err()
			} else {
				_, err = c.RoundTrip(newRequest(t, "GET", url, nil))
			}
			if !errors.Is(err, kind) || errors.Is(err, h1.Unsolicited) != (kind == h1.Unsolicited) {
				t.Errorf("after %q: %v", extra, err)
			}
			c.Close()
		}
	}
}
