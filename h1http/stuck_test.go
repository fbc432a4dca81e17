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
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
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

// earlyPipe returns a pipe to such a server.
func earlyPipe(hang chan struct{}) net.Conn {
	client, server := net.Pipe()
	go answersEarlyTo(hang)(server, bufio.NewReaderSize(server, 16), 0)
	return client
}

func ofDepth2(nc net.Conn) *Conn {
	cfg := Config()
	cfg.Depth = 2
	return NewConn(nc, cfg)
}

// hasEnded checks that a request does not wait behind what nobody reads: c has ended.
func hasEnded(t *testing.T, c *Conn) {
	t.Helper()
	within(t, "a request behind what nobody reads", func() {
		if _, err := c.RoundTrip(newRequest(t, "GET", "http://x/", nil)); !errors.Is(err, h1.Closed) {
			t.Errorf("it got %v", err)
		}
	})
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
	ctx, cancel := context.WithTimeout(context.Background(), patience)
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
		return earlyPipe(hang), nil
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
	c := ofDepth2(nc)
	defer c.Close()
	for range 2 {
		if err := c.Reserve(); err != nil {
			t.Fatal(err)
		}
	}
	do(t, c, longGet(t, addr, 16<<20)) // has one
	hasEnded(t, c)                     // has the other
}

// If the request that waited behind such a one is canceled, the Conn ends with it.
func TestCanceledBehindUnreadUpload(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	c := ofDepth2(earlyPipe(hang))
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
	hasEnded(t, c)
}

// In a pool no request joins such a connection, and if one has come in time and is
// canceled, the connection does not become idle.
func TestJoinedUnreadHead(t *testing.T) {
	for name, of := range map[string]struct {
		patience time.Duration // of the request that comes
		pipe     bool
		head     int
	}{
		"joins":                 {patience, false, 16 << 20},
		"is canceled":           {100 * time.Millisecond, false, 16 << 20},
		"joins on a pipe":       {patience, true, 10_000},
		"is canceled on a pipe": {100 * time.Millisecond, true, 10_000},
	} {
		hang := make(chan struct{})
		addr := rawServer(t, answersEarlyTo(hang))
		tr := &Transport{Depth: 2}
		if of.pipe {
			tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
				return earlyPipe(hang), nil
			}
		}
		do(t, tr, newRequest(t, "GET", addr, nil))
		tr.pool.mu.Lock()
		l := tr.pool.newest
		tr.pool.mu.Unlock()
		var second sync.WaitGroup
		second.Go(func() {
			for s := l.h.Stats(); s.Responses < 2 || s.InFlight > 0; s = l.h.Stats() {
				time.Sleep(100 * time.Microsecond)
			}
			ctx, cancel := context.WithTimeout(context.Background(), of.patience)
			defer cancel()
			resp, err := tr.RoundTrip(newRequest(t, "GET", addr, nil).WithContext(ctx))
			if err == nil {
				slurp(t, resp)
			} else if of.patience > time.Second {
				t.Errorf("%s, behind a head that nobody reads: %v", name, err)
			}
		})
		do(t, tr, longGet(t, addr, of.head))
		second.Wait()
		for range 2 {
			answered(t, name, tr, newRequest(t, "GET", addr, nil))
		}
		tr.CloseIdleConnections()
		close(hang)
	}
}

// slowHeadTime is how long slowHead's server takes over the rest of a head.
const slowHeadTime = uploadGrace / 2

// slowHead serves a pipe, and answers the first line of a request for "/long" at once.
func slowHead(server net.Conn) {
	br := bufio.NewReaderSize(server, 16)
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		long := strings.Contains(line, "/long")
		if long {
			time.Sleep(5 * time.Millisecond)
			io.WriteString(server, okAnswer)
			time.Sleep(slowHeadTime)
		}
		for line != "\r\n" {
			if line, err = br.ReadString('\n'); err != nil {
				return
			}
		}
		if !long {
			io.WriteString(server, okAnswer)
		}
	}
}

// A connection is not given up for a request that is canceled in line behind one that is
// answered and gets out in time.
func TestCanceledBehindSlowHead(t *testing.T) {
	for name, open := range map[string]func(nc net.Conn) http.RoundTripper{
		"Conn": func(nc net.Conn) http.RoundTripper { return ofDepth2(nc) },
		"Transport": func(nc net.Conn) http.RoundTripper {
			var dialed bool
			return &Transport{Depth: 2, DialContext: func(context.Context, string, string) (net.Conn, error) {
				if dialed {
					return nil, errors.New("a second dial")
				}
				dialed = true
				return nc, nil
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				defer client.Close()
				go slowHead(server)
				rt := open(client)
				do(t, rt, newRequest(t, "GET", "http://x/", nil))
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
				defer cancel()
				var behind sync.WaitGroup
				behind.Go(func() {
					time.Sleep(time.Millisecond)
					_, err := rt.RoundTrip(newRequest(t, "GET", "http://x/", nil).WithContext(ctx))
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("behind: %v", err)
					}
				})
				do(t, rt, longGet(t, "http://x", 20_000))
				behind.Wait()
				do(t, rt, newRequest(t, "GET", "http://x/", nil))
				if tr, ok := rt.(*Transport); ok {
					tr.CloseIdleConnections()
				}
			})
		})
	}
}

// lateReturn is a stream whose Write returns a little after the bytes are out.
type lateReturn struct{ net.Conn }

func (l lateReturn) Write(p []byte) (int, error) {
	n, err := l.Conn.Write(p)
	time.Sleep(10 * time.Millisecond)
	return n, err
}

// lateSocket is lateReturn for a stream that shows a socket.
type lateSocket struct{ socketed }

func (l lateSocket) Write(p []byte) (int, error) { return lateReturn{l.socketed.Conn}.Write(p) }

// Nor for one that is refused behind an upload whose last write is yet to return. Others
// may join meanwhile.
func TestBesideUncountedUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		url, tr := rawPipes(t, answers(okAnswer))
		var dials atomic.Int32
		dial := tr.DialContext
		late := func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials.Add(1)
			nc, err := dial(ctx, network, addr)
			return lateSocket{nc.(socketed)}, err
		}
		tr.DialContext, tr.Depth = late, 8
		nc, _ := late(t.Context(), "", "")
		c := NewConn(nc, nil)
		defer c.Close()
		if !c.link.socket {
			t.Error("the engine sees no socket")
		}
		post := func() *http.Request {
			return newRequest(t, "POST", url, io.MultiReader(strings.NewReader(strings.Repeat("x", 1000))))
		}
		for range 3 {
			do(t, c, post())
			if _, err := c.RoundTrip(newRequest(t, "TRACE", url, strings.NewReader("x"))); err == nil {
				t.Error("TRACE with a body was sent")
			}
			do(t, c, newRequest(t, "GET", url, nil))
		}
		dials.Store(0)
		do(t, tr, newRequest(t, "GET", url, nil))
		for range 50 {
			do(t, tr, post())
			var gets sync.WaitGroup
			for range 2 {
				gets.Go(func() { do(t, tr, newRequest(t, "GET", url, nil)) })
			}
			gets.Wait()
		}
		if n := dials.Load(); n != 1 {
			t.Errorf("%d dials", n)
		}
	})
}

// Whatever requests are just beginning on it, a good connection can be joined.
func TestJoinsWhileOthersBegin(t *testing.T) {
	addr := rawServer(t, answers(okAnswer))
	var dials atomic.Int32
	tr := &Transport{Depth: 64, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}}
	defer tr.CloseIdleConnections()
	do(t, tr, newRequest(t, "GET", addr, nil))
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for range 2000 {
				do(t, tr, newRequest(t, "GET", addr, nil))
			}
		})
	}
	workers.Wait()
	if n := dials.Load(); n != 1 {
		t.Errorf("%d dials", n)
	}
}

// Nor is it in the way that a request was answered, and is out, but not yet counted.
func TestJoinsUncounted(t *testing.T) {
	tr := &Transport{Depth: 2, DialContext: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go answers(okAnswer)(server, bufio.NewReader(server), 0)
		return lateReturn{client}, nil
	}}
	defer tr.CloseIdleConnections()
	do(t, tr, newRequest(t, "GET", "http://x/", nil))
	tr.pool.mu.Lock()
	defer tr.pool.mu.Unlock()
	l, ctx := tr.pool.newest, context.Background()
	x, err := l.h.Send(ctx, &h1.Request{Host: "x"})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Millisecond) // another goroutine writes it
	var resp h1.Response
	if err := x.Wait(ctx, &resp); err != nil {
		t.Fatal(err)
	}
	if _, err := resp.AppendBody(nil, -1); err != nil {
		t.Fatal(err)
	}
	if s := l.h.Stats(); !tr.joinable(l) {
		t.Errorf("it cannot be joined: %+v", s)
	}
}

// A request that was out itself does not hand a connection on that another has got stuck on
// before the pool could look.
func TestStuckIsNotReusable(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	tr := &Transport{Depth: 2, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return earlyPipe(hang), nil
	}}
	defer tr.CloseIdleConnections()
	do(t, tr, newRequest(t, "GET", "http://x/", nil))
	tr.pool.mu.Lock()
	defer tr.pool.mu.Unlock()
	l := tr.pool.newest
	req := &h1.Request{Host: "x", Target: "/long"}
	req.Header.Add("Long", strings.Repeat("x", 10_000))
	var resp h1.Response
	if err := l.h.Do(context.Background(), req, &resp); err != nil {
		t.Fatal(err)
	}
	if _, err := resp.AppendBody(nil, -1); err != nil {
		t.Fatal(err)
	}
	if tr.reusable(l) {
		t.Errorf("it is handed on: %+v", l.h.Stats())
	}
}

// A slot is given back by what is so then: whoever was answered, and had nothing left to
// write, leaves no connection behind on which another has stuck meanwhile.
func TestStuckBeforeRelease(t *testing.T) {
	for name, stuck := range map[string]*http.Request{
		"head": longGet(t, "http://x", 10_000),
		"body": newRequest(t, "POST", "http://x/long", strings.NewReader(strings.Repeat("b", 3000))),
	} {
		t.Run(name, func(t *testing.T) {
			hang := make(chan struct{})
			defer close(hang)
			c := ofDepth2(earlyPipe(hang))
			defer c.Close()
			do(t, c, newRequest(t, "GET", "http://x/", nil))
			if err := c.take(t.Context()); err != nil { // as a request that is about to give it back
				t.Fatal(err)
			}
			do(t, c, stuck)
			c.release(c.link, nil, true)
			hasEnded(t, c)
		})
	}
}

// emptyBody is empty, and cannot be closed; but it takes its time to say so.
type emptyBody struct{ wait chan struct{} }

func (b emptyBody) Read([]byte) (int, error) { <-b.wait; return 0, io.EOF }
func (b emptyBody) Close() error             { return errors.New("not closed") }

// A request that comes to nothing before it is sent leaves no connection behind, either, on
// which the next would hang.
func TestUnsentBehindUnreadHead(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	c := ofDepth2(earlyPipe(hang))
	defer c.Close()
	do(t, c, newRequest(t, "GET", "http://x/", nil))
	over := make(chan struct{})
	var unsent sync.WaitGroup
	unsent.Go(func() {
		if _, err := c.RoundTrip(newRequest(t, "DELETE", "http://x/", emptyBody{over})); err == nil {
			t.Error("no error")
		}
	})
	for c.InFlight() == 0 {
		time.Sleep(time.Millisecond)
	}
	do(t, c, longGet(t, "http://x", 20_000))
	close(over)
	unsent.Wait()
	hasEnded(t, c)
}

func TestUnsentBehindUnreadHeadInPool(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	tr := &Transport{Depth: 2, DialContext: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			br := bufio.NewReaderSize(server, 16)
			if _, err := http.ReadRequest(br); err == nil {
				io.WriteString(server, okAnswer)
				br.Peek(1)
				time.Sleep(50 * time.Millisecond) // until the other has joined
				answersEarlyTo(hang)(server, br, 0)
			}
		}()
		return client, nil
	}}
	defer tr.CloseIdleConnections()
	do(t, tr, newRequest(t, "GET", "http://x/", nil))
	over := make(chan struct{})
	var unsent sync.WaitGroup
	unsent.Go(func() {
		time.Sleep(20 * time.Millisecond)
		req := newRequest(t, "GET", "http://x/", nil)
		req.URL.RawQuery = "\x01" // is refused, once it has a connection
		_, err := tr.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
			GotConn: func(httptrace.GotConnInfo) { <-over }})))
		if err == nil {
			t.Error("no error")
		}
	})
	do(t, tr, longGet(t, "http://x", 20_000))
	close(over)
	unsent.Wait()
	answered(t, "the next", tr, newRequest(t, "GET", "http://x/", nil))
}

// Of two requests that give a Conn up at the same moment, one ends it.
func TestTwoGiveUp(t *testing.T) {
	for i := range 20_000 {
		client, server := net.Pipe()
		c := ofDepth2(client)
		for range 2 {
			if err := c.take(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { c.release(c.link, nil, false) })
		}
		both.Wait()
		if !c.gaveUp.Load() {
			t.Fatalf("round %d: it did not end", i)
		}
		server.Close()
	}
}
