package h1

// conn_test.go: one connection and many who use it, from the first request to the end.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// slowPost begins a chunked upload whose body the test writes. Its first piece is stuck in
// a write.
func (r *rig) slowPost(target string) (*call, *io.PipeWriter) {
	r.Helper()
	return r.slowPostWith(context.Background(), target)
}

// slowPostWith is slowPost under ctx.
func (r *rig) slowPostWith(ctx context.Context, target string) (*call, *io.PipeWriter) {
	r.Helper()
	body, w := io.Pipe()
	k := r.begin(ctx, &Request{Method: "POST", Target: target, Host: "x", Body: body})
	r.await(k)
	r.s.setWindow(len(r.s.out) + 1)
	w.Write([]byte("hello"))
	synctest.Wait()
	return k, w
}

// The head of a response that says close stops no upload, not even its last bytes that
// wait for the writer: both bodies stream at once.
func TestCloseSaidBeforeLastBytes(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		k, w := r.slowPost("/a")
		w.Close()
		synctest.Wait()
		r.raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\no")
		synctest.Wait()
		r.s.setWindow(wireWindow)
		synctest.Wait()
		const want = "\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
		if out := string(r.s.receive(1 << 20)); len(out) < len(want) || out[len(out)-len(want):] != want {
			t.Errorf("the server received %q", out)
		}
		r.raw("k")
		r.got(k, "ok")
		r.dead()
	})
}

// A request with a body waits until the one before it is written out, and is then told.
func TestPostAfterSlowFlush(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		k, w := r.slowPost("/a")
		w.Close()
		synctest.Wait()
		r.serve("/a") // early, and whole
		r.got(k, "/a")
		b := r.begin(context.Background(), &Request{Method: "POST", Target: "/b", Host: "x",
			Body: io.LimitReader(zeros{}, 3), ContentLength: 3})
		r.s.setWindow(wireWindow)
		synctest.Wait()
		if !b.sent.Load() {
			t.Fatal("the next request waits on after the flush, for nothing")
		}
		r.await(b)
		r.serve("/b")
		r.got(b, "/b")
		r.alive()
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A write may fail before it took a byte, while the response is being read already.
func TestWriteFailsInsideResponse(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		r.s.setWindow(0)
		body, w := io.Pipe()
		k := r.begin(context.Background(), &Request{Method: "POST", Target: "/a", Host: "x", Body: body})
		r.await(k)
		w.Write([]byte("hello"))
		synctest.Wait()
		r.raw("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\no")
		synctest.Wait()
		r.s.failWrites(0, syscall.EPIPE)
		synctest.Wait()
		r.raw("k")
		r.got(k, "ok")
		r.dead()
		w.Close()
	})
}

// lagging is a stream whose readers notice a deadline late, as a goroutine may that is
// woken: by then another deadline may have been set.
type lagging struct{ *tap }

func (s lagging) SetReadDeadline(t time.Time) error {
	if t != longAgo {
		return s.tap.SetReadDeadline(t)
	}
	s.mu.Lock()
	s.read.at = t
	s.mu.Unlock()
	time.AfterFunc(time.Millisecond, s.cond.Broadcast)
	return nil
}

// A write that ends while a canceled read is on its way out leaves that read's deadline
// alone, whatever it means for other reads' deadlines.
func TestWriteEndsDuringCancel(t *testing.T) {
	inBubble(t, Config{Depth: 4, StallTimeout: time.Hour}, false, func(r *rig) {
		r.c.dl, r.c.rw = lagging{r.s}, lagging{r.s}
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		b := r.begin(context.Background(), get("/b"))
		r.s.setWindow(len(r.s.out))
		c := r.begin(context.Background(), get("/c"))
		r.await(b)
		r.await(c)
		a.x.Cancel()
		r.s.setWindow(wireWindow)
		time.Sleep(time.Second)
		r.failed(a, Canceled, SentAll)
		r.serve("/a", "/b", "/c")
		r.got(b, "/b")
		r.got(c, "/c")
		r.alive()
	})
}

// Many callers on one connection: each gets the response to its own request.
func TestManyCallers(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if r.Method == "PUT" && len(b) == 0 {
			w.WriteHeader(400)
		}
		io.WriteString(w, r.URL.Path)
		if strings.HasSuffix(r.URL.Path, "7") {
			http.NewResponseController(w).Flush() // which makes the response chunked
		}
	}))
	defer srv.Close()
	streams := map[string]func() io.ReadWriteCloser{
		"memory": func() io.ReadWriteCloser { return newMirror(echo) },
		"tcp": func() io.ReadWriteCloser {
			nc, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			return nc
		},
	}
	before := runtime.NumGoroutine()
	for name, stream := range streams {
		for _, depth := range []int{1, 16, 64} {
			for _, callers := range []int{16, 64} {
				c := NewConn(stream(), &Config{Depth: depth})
				var wg sync.WaitGroup
				for g := range callers {
					wg.Go(func() {
						if err := callOften(c, g, 4000/callers); err != nil {
							t.Errorf("%s, depth %d, %d callers: %v", name, depth, callers, err)
							c.Close()
						}
					})
				}
				wg.Wait()
				if s := c.Stats(); c.Err() == nil && (s.Requests != s.Responses || s.InFlight != 0 || !c.State().Idle()) {
					t.Errorf("%s: %+v, %v", name, s, c.State())
				}
				c.Close()
			}
		}
	}
	srv.Close()
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines are left, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// callOften makes n exchanges of several kinds, and checks that each got its own response.
func callOften(c *Conn, caller, n int) error {
	var resp Response
	for i := range n {
		req := get(fmt.Sprintf("/%d/%d", caller, i))
		switch i % 5 {
		case 1:
			req.Method, req.Body = "PUT", strings.NewReader("some bytes")
		case 2:
			if i%25 == 2 {
				req.Method, req.Body = "POST", strings.NewReader(strings.Repeat("long ", 2000))
			}
		}
		if i%3 == 0 {
			req.Deadline = time.Now().Add(time.Minute)
		}
		x, err := c.Send(context.Background(), req)
		if err == nil {
			err = x.Wait(context.Background(), &resp)
		}
		if err != nil {
			return err
		}
		b, err := resp.AppendBody(nil, -1)
		if err != nil || string(b) != req.Target || resp.Status != 200 {
			return fmt.Errorf("%s %s: got %d %q, %v", req.Method, req.Target, resp.Status, b, err)
		}
	}
	return nil
}

// Requests that come while a write is under way go out together in the next.
func TestWritesCombine(t *testing.T) {
	inBubble(t, Config{Depth: 64}, false, func(r *rig) {
		r.warm()
		r.s.setWindow(0)
		var calls []*call
		for i := range 64 {
			calls = append(calls, r.begin(context.Background(), get(fmt.Sprint("/", i))))
			r.await(calls[i])
		}
		before := r.s.writes.Load() // the first is stuck
		r.s.setWindow(wireWindow)
		synctest.Wait()
		if n := r.s.writes.Load() - before; n != 1 {
			t.Errorf("63 requests went out in %d writes", n)
		}
		for i, k := range calls {
			r.serve(fmt.Sprint("/", i))
			r.got(k, fmt.Sprint("/", i))
		}
		r.alive()
	})
	// And those that one caller sends in a row before it waits. On one processor nobody else
	// runs meanwhile.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	inBubble(t, Config{Depth: 16}, false, func(r *rig) {
		r.warm()
		before := r.s.writes.Load()
		var xs []Exchange
		for i := range 16 {
			x, err := r.c.Send(context.Background(), get(fmt.Sprint("/", i)))
			if err != nil {
				t.Fatal(err)
			}
			xs = append(xs, x)
			r.serve(fmt.Sprint("/", i))
		}
		var resp Response
		for i, x := range xs {
			if err := x.Wait(context.Background(), &resp); err != nil {
				t.Fatal(err)
			}
			if b, err := resp.AppendBody(nil, -1); string(b) != fmt.Sprint("/", i) || err != nil {
				t.Fatalf("%d: %q, %v", i, b, err)
			}
		}
		if n := r.s.writes.Load() - before; n > 4 {
			t.Errorf("16 requests of one caller went out in %d writes", n)
		}
	})
}

// What waits is admitted first come first served, also where the one behind could go and
// the one in front cannot.
func TestFirstComeFirstServed(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		var calls []*call
		want := ""
		for i, method := range []string{"GET", "POST", "GET", "GET", "PUT", "DELETE", "POST", "GET"} {
			req := get(fmt.Sprint("/", i))
			req.Method = method
			if method == "PUT" {
				req.Body = strings.NewReader("body")
			}
			calls = append(calls, r.begin(context.Background(), req))
			want += fmt.Sprintf("%s /%d;", method, i)
			if i > 0 { // those in line go before it
				_, err := r.c.TrySend(context.Background(), get("/try"))
				wantError(t, err, NotReady, SentNothing)
			}
		}
		got := ""
		for i, k := range calls {
			if !k.sent.Load() {
				t.Fatalf("%d was not sent; the server received %s", i, got)
			}
			r.await(k)
			got += strings.ReplaceAll(r.took(), "body", "")
			r.serve(fmt.Sprint("/", i))
			r.got(k, fmt.Sprint("/", i))
		}
		if got != want {
			t.Errorf("the server received %s, want %s", got, want)
		}
		r.alive()
	})
}

// A caller that gives up in line lets those behind go on.
func TestLineLosesItsHead(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		ctx, cancel := context.WithCancel(context.Background())
		post := get("/b")
		post.Method = "POST"
		b := r.begin(ctx, post)
		c := r.begin(context.Background(), get("/c"))
		if b.sent.Load() || c.sent.Load() {
			t.Fatal("a POST does not wait for the pipeline to empty")
		}
		cancel()
		r.failed(b, Canceled, SentNothing)
		if !c.sent.Load() {
			t.Fatal("the GET behind it waits on")
		}
		r.await(a)
		r.await(c)
		r.serve("/a", "/c")
		r.got(a, "/a")
		r.got(c, "/c")
		r.alive()
	})
}

// A request whose Deadline passes at the very moment when its turn comes lets those behind
// go on, too.
func TestLineLosesItsHeadInItsTurn(t *testing.T) {
	for range 50 {
		inBubble(t, Config{}, false, func(r *rig) {
			r.warm()
			a := r.begin(context.Background(), get("/a"))
			r.await(a)
			req := get("/b")
			req.Deadline = time.Now().Add(time.Second)
			b := r.begin(context.Background(), req)
			c := r.begin(context.Background(), get("/c"))
			time.Sleep(time.Second)
			r.serve("/a") // b may have been told of its time before, or not
			r.got(a, "/a")
			if b.sent.Load() {
				r.await(b)
				r.failed(b, Timeout, SentAll)
				return
			}
			r.failed(b, Timeout, SentNothing)
			r.await(c)
			r.serve("/c")
			r.got(c, "/c")
		})
	}
}

// is reports whether a channel is closed.
func is(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

func TestReady(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		ready := r.c.Ready()
		if !is(ready.Done()) || ready.Err() != nil || ready.Wait(context.Background()) != nil {
			t.Fatal("a new connection is not ready")
		}
		a := r.begin(context.Background(), get("/a"))
		done := ready.Done()
		if is(done) {
			t.Fatal("ready while a request is in flight")
		}
		wantError(t, ready.Err(), NotReady, SentNothing)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		wantError(t, ready.Wait(ctx), Timeout, SentNothing)
		canceled, cancel := context.WithCancel(context.Background())
		cancel()
		wantError(t, ready.Wait(canceled), Canceled, SentNothing)
		waited := make(chan error, 1)
		go func() { waited <- ready.Wait(context.Background()) }()

		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell")
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			t.Fatal(err)
		}
		io.CopyN(io.Discard, a.resp.Body, 4)
		synctest.Wait()
		if is(done) || len(waited) > 0 {
			t.Fatal("ready while a body is unread")
		}
		r.raw("o")
		io.Copy(io.Discard, a.resp.Body)
		synctest.Wait()
		if !is(done) || len(waited) == 0 || <-waited != nil || ready.Err() != nil {
			t.Fatal("not ready after the body's end")
		}

		b := r.begin(context.Background(), get("/b"))
		done = ready.Done()
		go func() { waited <- ready.Wait(context.Background()) }()
		synctest.Wait()
		r.c.Close()
		synctest.Wait()
		if !is(done) || !is(ready.Done()) {
			t.Fatal("nobody is told that it will never be ready")
		}
		wantError(t, <-waited, Closed, SentNothing)
		wantError(t, ready.Err(), Closed, SentNothing)
		r.await(b)
		r.failed(b, Closed, SentAll)
	})
}

// With pipelining, ready means that one more would be admitted.
func TestReadyPipelined(t *testing.T) {
	inBubble(t, Config{Depth: 2}, false, func(r *rig) {
		a := r.begin(context.Background(), get("/a"))
		if is(r.c.Ready().Done()) {
			t.Error("ready before the server has shown that it keeps connections")
		}
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			t.Fatal(err)
		}
		if !is(r.c.Ready().Done()) {
			t.Error("not ready behind a response's head")
		}
		b := r.begin(context.Background(), get("/b"))
		if is(r.c.Ready().Done()) {
			t.Error("ready beyond Depth")
		}
		if _, err := r.c.TrySend(context.Background(), get("/c")); !errors.Is(err, NotReady) {
			t.Errorf("TrySend beyond Depth: %v", err)
		}
		r.raw("/a")
		io.Copy(io.Discard, a.resp.Body)
		if !is(r.c.Ready().Done()) {
			t.Error("not ready within Depth")
		}
		r.await(b)
		r.serve("/b")
		r.got(b, "/b")
		for _, alone := range []*Request{
			{Method: "POST", Host: "x"},
			{Method: "OPTIONS", Host: "x", Body: strings.NewReader("x"), Header: fieldsOf("Expect: 100-continue")},
			{Host: "x", Header: fieldsOf("Upgrade: x", "Connection: upgrade")},
		} {
			k := r.begin(context.Background(), alone)
			if is(r.c.Ready().Done()) {
				t.Errorf("ready behind %s", alone.Method)
			}
			r.await(k)
			r.raw("HTTP/1.1 100 Continue\r\n\r\n")
			r.serve("/c")
			r.got(k, "/c")
		}
		k := r.begin(context.Background(), &Request{Method: "POST", Host: "x", Idempotent: true})
		if !is(r.c.Ready().Done()) {
			t.Error("not ready behind a POST that is Idempotent")
		}
		r.await(k)
		r.serve("/d")
		r.got(k, "/d")
		r.alive()
	})
}

// A handle, and a body, that outlive their exchange touch nothing of the next.
func TestStaleHandles(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		var resp Response
		var stale []Exchange
		for i := range 3 {
			r.serve("/old")
			x, err := r.c.Send(context.Background(), get("/old"))
			if err == nil {
				err = x.Wait(context.Background(), &resp)
			}
			if _, e := resp.AppendBody(nil, -1); err != nil || e != nil {
				t.Fatal(i, err, e)
			}
			stale = append(stale, x)
		}
		a := r.begin(context.Background(), get("/a"))
		b := r.begin(context.Background(), get("/b"))
		r.await(a)
		r.await(b)
		for _, x := range append(stale, Exchange{}) {
			var other Response
			wantError(t, x.Wait(context.Background(), &other), Closed, SentAll)
			_, err := x.Write([]byte("x"))
			wantError(t, err, Closed, SentAll)
			wantError(t, x.CloseWrite(), Closed, SentAll)
			x.Cancel()
			if _, err := other.Body.Read(make([]byte, 1)); !errors.Is(err, Closed) {
				t.Errorf("a body that is none: %v", err)
			}
		}
		if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("a body read to its end: %d, %v", n, err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		r.serve("/a", "/b")
		r.got(a, "/a")
		r.got(b, "/b")
		r.alive()
	})
}

// Wait is for one: the other is refused, whichever comes first, and never gets what is a
// third's.
func TestTwoWaits(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		var resp Response
		wantError(t, a.x.Wait(context.Background(), &resp), BadRequest, SentAll)
		r.serve("/a")
		r.got(a, "/a")
		r.alive()
	})
	c := NewConn(newMirror(echo), &Config{Depth: 4})
	defer c.Close()
	wait := func(x Exchange) (body string, err error) {
		var resp Response
		if err = x.Wait(context.Background(), &resp); err == nil {
			var b []byte
			b, err = resp.AppendBody(nil, -1)
			body = string(b)
		}
		return body, err
	}
	for i := range 2000 {
		x, err := c.Send(context.Background(), get("/a"))
		if err != nil {
			t.Fatal(err)
		}
		var bodies [3]string
		var errs [3]error
		var wg sync.WaitGroup
		wg.Go(func() { bodies[0], errs[0] = wait(x) })
		wg.Go(func() { bodies[1], errs[1] = wait(x) })
		wg.Go(func() {
			y, err := c.Send(context.Background(), get("/b"))
			if errs[2] = err; err == nil {
				bodies[2], errs[2] = wait(y)
			}
		})
		wg.Wait()
		if errs[2] != nil || bodies[2] != "/b" {
			t.Fatalf("%d: the next exchange got %q, %v", i, bodies[2], errs[2])
		}
		if (errs[0] == nil) == (errs[1] == nil) || bodies[0]+bodies[1] != "/a" {
			t.Fatalf("%d: two Waits got %q, %v and %q, %v", i, bodies[0], errs[0], bodies[1], errs[1])
		}
	}
}

// lateWriter is a stream whose Writes return late: the server has the bytes, and may answer
// them, before the writer knows.
type lateWriter struct {
	*tap
	late *atomic.Pointer[chan struct{}]
}

func (s lateWriter) Write(p []byte) (int, error) {
	n, err := s.tap.Write(p)
	if gate := s.late.Load(); gate != nil {
		<-*gate
	}
	return n, err
}

// An exchange may end before the write in its name returns. What comes next, on this
// connection or another, is not taken for it; and what is canceled as never sent is not
// sent later.
func TestWriteReturnsLate(t *testing.T) {
	run := func(way string) func(r *rig) {
		return func(r *rig) {
			late := &atomic.Pointer[chan struct{}]{}
			r.c.rw, r.c.dl = lateWriter{r.s, late}, r.s
			r.warm()
			gate := make(chan struct{})
			late.Store(&gate)
			a := r.begin(context.Background(), get("/a"))
			r.await(a)
			r.serve("/a")
			r.got(a, "/a")
			if way == "elsewhere" { // with a deadline that is none of this one's
				other := &rig{r.T, &tap{wireStream: newWireStream(false)}, nil}
				other.c = NewConn(other.s, nil)
				defer other.c.Close()
				req := get("/other")
				req.Deadline = time.Now().Add(time.Second)
				k := other.begin(context.Background(), req)
				defer other.await(k)
			}
			b := r.begin(context.Background(), get("/b"))
			c := r.begin(context.Background(), get("/c"))
			r.await(b)
			r.await(c)
			if way == "Cancel" {
				b.x.Cancel()
				synctest.Wait()
			}
			r.s.setWindow(len(r.s.out) + 5)
			late.Store(nil)
			close(gate)
			time.Sleep(time.Minute)
			r.s.setWindow(wireWindow)
			synctest.Wait()
			took := r.took()
			if way != "Cancel" {
				r.serve("/b", "/c")
				r.got(b, "/b")
			} else {
				var e *Error
				if !b.over.Load() || !errors.As(b.err, &e) || e.Kind != Canceled {
					r.Fatalf("the canceled call: over %v, %v", b.over.Load(), b.err)
				}
				if sent := strings.Contains(took, "GET /b;"); sent == e.Unprocessed() {
					r.Errorf("Unprocessed %v, and the server received %s", e.Unprocessed(), took)
				} else if sent {
					r.serve("/b")
				}
				r.serve("/c")
			}
			r.got(c, "/c")
			r.alive()
		}
	}
	for _, way := range []string{"Cancel", "elsewhere", "nothing"} {
		t.Run(way, func(t *testing.T) { inBubble(t, Config{Depth: 4}, false, run(way)) })
	}
}

// The next request may go out once the body of the one before is out, even if its response
// is still due.
func TestReadyAfterUpload(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		body, w := io.Pipe()
		a := r.begin(context.Background(), &Request{Method: "PUT", Target: "/a", Host: "x", Body: body})
		ready := r.c.Ready().Done()
		select {
		case <-ready:
			t.Fatal("ready in the midst of a body")
		default:
		}
		w.Close()
		synctest.Wait()
		select {
		case <-ready:
		default:
			t.Error("not ready, and the body is out")
		}
		r.serve("/a")
		r.await(a)
		r.got(a, "/a")
	})
}
