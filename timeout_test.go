package h1

// timeout_test.go: what time does to an exchange, under a false clock; and what an exchange
// says of the time and the bytes it took.

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// onBoth runs f on a stream with deadlines and on one without.
func onBoth(t *testing.T, cfg Config, f func(r *rig)) {
	t.Helper()
	for _, plain := range []bool{false, true} {
		name := "deadlines"
		if plain {
			name = "plain"
		}
		t.Run(name, func(t *testing.T) { inBubble(t, cfg, plain, f) })
	}
}

// timedOut checks that a call failed by a rule, at a time.
func (r *rig) timedOut(k *call, start time.Time, after time.Duration, rule string) {
	r.Helper()
	time.Sleep(after - time.Since(start) - time.Nanosecond)
	synctest.Wait()
	if k.over.Load() {
		r.Fatalf("it ended too early: %v", k.err)
	}
	time.Sleep(time.Nanosecond)
	synctest.Wait()
	e, ok := k.err.(*Error)
	switch {
	case !k.over.Load():
		r.Fatalf("it goes on after %v; %v", after, r.c.State())
	case !ok || e.Kind != Timeout || !e.Timeout() || !errors.Is(e, os.ErrDeadlineExceeded):
		r.Fatalf("it ended with %v", k.err)
	case !strings.Contains(e.Error(), rule):
		r.Errorf("%q does not name %s", e, rule)
	}
}

// HeadTimeout runs from the request's last byte to the end of the final head, whatever
// comes in between.
func TestHeadTimeout(t *testing.T) {
	cfg := Config{HeadTimeout: time.Minute}
	onBoth(t, cfg, func(r *rig) {
		start := time.Now()
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		time.Sleep(50 * time.Second)
		r.raw("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 O")
		r.timedOut(a, start, time.Minute, "HeadTimeout")
		wantError(t, a.err, Timeout, SentAll)
		r.dead()
	})
	onBoth(t, cfg, func(r *rig) { // not before the request is out
		a := r.begin(context.Background(), &Request{Method: "POST", Host: "x", Push: true})
		r.await(a)
		for range 3 {
			time.Sleep(50 * time.Second)
			if _, err := a.x.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		if err := a.x.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		r.timedOut(a, start, time.Minute, "HeadTimeout")
		r.dead()
	})
	onBoth(t, cfg, func(r *rig) { // not for the body, nor the idle connection
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		time.Sleep(50 * time.Second)
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
		time.Sleep(time.Hour)
		r.raw("abc")
		r.got(a, "abc")
		time.Sleep(time.Hour)
		r.alive()
	})
}

// StallTimeout runs from the last byte that moved.
func TestStallTimeout(t *testing.T) {
	cfg := Config{StallTimeout: time.Minute}
	onBoth(t, cfg, func(r *rig) { // no head at all
		start := time.Now()
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		r.timedOut(a, start, time.Minute, "StallTimeout")
		wantError(t, a.err, Timeout, SentAll)
		r.dead()
	})
	onBoth(t, cfg, func(r *rig) { // a trickle is none
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		start := time.Now()
		for _, b := range strings.Split("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234", "") {
			time.Sleep(59 * time.Second)
			r.raw(b)
			synctest.Wait()
			start = time.Now()
		}
		r.timedOut(a, start, time.Minute, "StallTimeout")
		r.dead()
	})
	onBoth(t, cfg, func(r *rig) { // a caller who does not read is none
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
		a := r.begin(context.Background(), get("/a"))
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		r.raw("cd")
		if b, err := a.resp.AppendBody(nil, -1); string(b) != "abcd" || err != nil {
			t.Fatalf("%q, %v", b, err)
		}
		time.Sleep(time.Hour)
		r.alive()
	})
	onBoth(t, cfg, func(r *rig) { // writes
		r.s.setWindow(1000)
		a := r.begin(context.Background(), &Request{Method: "POST", Host: "x", Body: strings.NewReader(strings.Repeat("x", 1<<20))})
		r.await(a)
		start := time.Now()
		if !r.pretends() {
			for range 10 {
				time.Sleep(59 * time.Second)
				r.s.receive(100)
				synctest.Wait()
			}
			// The deadline of a write is set when it begins; when it passes and some
			// bytes have moved, the write is begun anew.
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if !a.over.Load() || !errors.Is(a.err, Timeout) || !strings.Contains(a.err.Error(), "StallTimeout") {
				t.Fatalf("over %v, %v", a.over.Load(), a.err)
			}
		} else {
			r.timedOut(a, start, time.Minute, "StallTimeout")
		}
		wantError(t, a.err, Timeout, SentPart)
		r.dead()
	})
	onBoth(t, cfg, func(r *rig) { // writes of a body that is pushed
		a := r.begin(context.Background(), &Request{Method: "PUT", Host: "x", Push: true})
		r.s.receive(1 << 20)
		r.s.setWindow(0)
		start, w := time.Now(), &call{}
		go func() {
			_, w.err = a.x.Write(make([]byte, 100_000))
			w.over.Store(true)
		}()
		r.timedOut(w, start, time.Minute, "StallTimeout")
		wantError(t, r.c.Err(), Timeout, SentNothing)
		r.dead()
	})
	onBoth(t, cfg, func(r *rig) { // while the body is on its way, a response is not due
		a := r.begin(context.Background(), &Request{Method: "POST", Host: "x", Push: true})
		r.await(a)
		for range 5 {
			time.Sleep(time.Hour)
			if _, err := a.x.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.x.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		r.serve("/a")
		r.got(a, "/a")
		r.alive()
	})
}

// pretends reports whether the stream has no deadlines.
func (r *rig) pretends() bool { return r.c.dl == nil }

// Request.Deadline is of the whole exchange, wherever it has come to.
func TestDeadline(t *testing.T) {
	within := func(req *Request) *Request {
		req.Deadline = time.Now().Add(time.Minute)
		return req
	}
	onBoth(t, Config{}, func(r *rig) { // in line
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		start := time.Now()
		b := r.begin(context.Background(), within(get("/b")))
		r.timedOut(b, start, time.Minute, "Request.Deadline")
		wantError(t, b.err, Timeout, SentNothing)
		r.serve("/a")
		r.got(a, "/a")
		r.alive()
	})
	onBoth(t, Config{}, func(r *rig) { // it has passed
		_, err := r.c.Send(context.Background(), &Request{Host: "x", Deadline: time.Now()})
		wantError(t, err, Timeout, SentNothing)
		r.alive()
	})
	for name, wire := range map[string]string{
		"nothing": "", "half a head": "HTTP/1.1 200 O", "half a body": "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
		"half a chunk":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
		"half a trailer": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b",
		"until close":    "HTTP/1.1 200 OK\r\n\r\nabc",
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			onBoth(t, Config{StallTimeout: 50 * time.Second, HeadTimeout: 2 * time.Minute}, func(r *rig) {
				start := time.Now()
				a := r.begin(context.Background(), within(get("/a")))
				r.await(a)
				time.Sleep(40 * time.Second)
				r.raw(wire)
				if wire == "" {
					r.raw("HTTP/1.1 103 Early Hints\r\n\r\n")
				}
				r.timedOut(a, start, time.Minute, "Request.Deadline")
				wantError(t, a.err, Timeout, SentAll)
				r.dead()
			})
		})
	}
	onBoth(t, Config{}, func(r *rig) { // in a write
		r.s.setWindow(10)
		start := time.Now()
		a := &call{}
		go func() {
			a.err = r.c.Do(context.Background(), within(get("/a")), &a.resp)
			a.over.Store(true)
		}()
		r.timedOut(a, start, time.Minute, "Request.Deadline")
		wantError(t, a.err, Timeout, SentPart)
		r.dead()
	})
	onBoth(t, Config{}, func(r *rig) { // while the request's body is awaited
		body, w := io.Pipe()
		start := time.Now()
		a := r.begin(context.Background(), within(&Request{Method: "POST", Host: "x", Body: body}))
		r.await(a)
		r.timedOut(a, start, time.Minute, "Request.Deadline")
		wantError(t, a.err, Timeout, SentPart)
		r.dead()
		w.Close()
	})
	onBoth(t, Config{}, func(r *rig) { // it is over with the exchange
		r.serve("/a")
		a := r.begin(context.Background(), within(get("/a")))
		r.await(a)
		r.got(a, "/a")
		b := r.begin(context.Background(), get("/b"))
		r.await(b)
		time.Sleep(time.Hour)
		r.serve("/b")
		r.got(b, "/b")
		r.alive()
	})
}

// A deadline just ahead is told as one, whichever step it falls into, and a request of
// which nothing went out ends nothing else.
func TestDeadlineAnywhere(t *testing.T) {
	c := NewConn(dialServer(t, echo), nil)
	defer func() { c.Close() }()
	for i := range 2000 {
		if c.Err() != nil {
			c.Close()
			c = NewConn(dialServer(t, echo), nil)
		}
		var resp Response
		req := get("/a")
		req.Deadline = time.Now().Add(time.Duration(i%200) * 100 * time.Nanosecond)
		err := c.Do(context.Background(), req, &resp)
		if err == nil {
			_, err = resp.AppendBody(nil, -1)
		}
		if err != nil && !errors.Is(err, Timeout) {
			t.Fatalf("round %d: %v", i, err)
		}
	}
}

// A deadline is kept where the caller has gone away, if anybody watches the connection.
func TestDeadlineWatched(t *testing.T) {
	for i := range 8 {
		plain, first, head := i&1 > 0, i&2 > 0, i&4 > 0
		inBubble(t, Config{}, plain, func(r *rig) {
			start, watched := time.Now(), make(chan error, 1)
			watch := func() {
				go func() { watched <- r.c.Watch(context.Background()) }()
				synctest.Wait()
			}
			if first {
				watch()
			}
			req := get("/")
			req.Deadline = start.Add(time.Second)
			x, err := r.c.Send(context.Background(), req)
			if err != nil {
				t.Fatal(err)
			}
			if head {
				r.raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
				if err := x.Wait(context.Background(), &Response{}); err != nil {
					t.Fatal(err)
				}
			}
			if !first {
				watch()
			}
			if err := <-watched; err.(*Error).Kind != Timeout || time.Since(start) != time.Second {
				t.Errorf("first %v, head %v: %v after %v", first, head, err, time.Since(start))
			}
			r.dead()
		})
	}
}

// ExpectTimeout is how long a body is held back for 100 (Continue).
func TestExpectTimeout(t *testing.T) {
	for _, timeout := range []time.Duration{0, time.Minute} {
		onBoth(t, Config{ExpectTimeout: timeout}, func(r *rig) {
			want := timeout
			if want == 0 {
				want = time.Second
			}
			a := r.begin(context.Background(), &Request{Method: "POST", Host: "x",
				Body: strings.NewReader("the body"), Header: fieldsOf("Expect: 100-continue")})
			r.await(a)
			head := string(r.s.receive(1 << 20))
			time.Sleep(want - time.Nanosecond)
			synctest.Wait()
			if early := string(r.s.receive(1 << 20)); !strings.HasSuffix(head, "\r\n\r\n") || early != "" {
				t.Errorf("before the time: %q, %q", head, early)
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if body := string(r.s.receive(1 << 20)); body != "the body" {
				t.Errorf("after the time: %q", body)
			}
			r.serve("/a")
			r.got(a, "/a")
			r.alive()
		})
	}
	onBoth(t, Config{ExpectTimeout: time.Minute, HeadTimeout: time.Second}, func(r *rig) { // HeadTimeout's clock waits with it
		a := r.begin(context.Background(), &Request{Method: "POST", Host: "x",
			Body: strings.NewReader("the body"), Header: fieldsOf("Expect: 100-continue")})
		r.await(a)
		r.timedOut(a, time.Now(), time.Minute+time.Second, "HeadTimeout")
		r.dead()
	})
}

func TestTiming(t *testing.T) {
	onBoth(t, Config{Timing: true}, func(r *rig) {
		start := time.Now()
		r.serve("/a")
		a := r.begin(context.Background(), get("/a"))
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			t.Fatal(err)
		}
		queued := time.Now()
		var resp Response
		done := make(chan error, 1)
		go func() {
			req := &Request{Method: "POST", Host: "x", Push: true}
			x, err := r.c.Send(context.Background(), req)
			if err == nil {
				time.Sleep(time.Second)
				_, err = x.Write([]byte("hello"))
			}
			if err == nil {
				err = x.CloseWrite()
			}
			if err == nil {
				err = x.Wait(context.Background(), &resp)
			}
			done <- err
		}()
		time.Sleep(time.Second)
		if _, err := a.resp.AppendBody(nil, -1); err != nil {
			t.Fatal(err)
		}
		if a.resp.Timing != (Timing{start, start, start, start, start.Add(time.Second)}) {
			t.Errorf("the first: %+v", a.resp.Timing)
		}
		time.Sleep(3 * time.Second)
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		r.raw("x")
		if _, err := resp.AppendBody(nil, -1); err != nil {
			t.Fatal(err)
		}
		s := func(n int) time.Time { return queued.Add(time.Duration(n) * time.Second) }
		if resp.Timing != (Timing{queued, s(1), s(2), s(4), s(5)}) {
			t.Errorf("the second: %+v", resp.Timing)
		}
		r.serve("")
		if err := r.c.Do(context.Background(), get("/"), &resp); err != nil || resp.Timing.Done != s(5) || resp.Timing.Head != s(5) {
			t.Errorf("one without a body: %v, %+v", err, resp.Timing)
		}
	})
	for _, cfg := range []Config{{}, {HeadTimeout: time.Hour}} {
		inBubble(t, cfg, false, func(r *rig) {
			r.serve("/a")
			a := r.begin(context.Background(), get("/a"))
			r.await(a)
			if a.resp.Timing != (Timing{}) || a.x.e.times != (Timing{}) {
				t.Errorf("times that nobody asked for: %+v; %+v left to the next exchange", a.resp.Timing, a.x.e.times)
			}
		})
	}
}

func TestStats(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		want := Stats{}
		check := func(what string) {
			t.Helper()
			if got := r.c.Stats(); got != want {
				t.Errorf("%s: %+v, want %+v", what, got, want)
			}
		}
		check("new")
		const head = int64(len("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
		a := r.begin(context.Background(), get("/"))
		want.Requests, want.InFlight, want.BytesWritten = 1, 1, head
		check("sent")
		wire := "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n" +
			"Host: no\r\nA: b\r\n\r\n"
		r.await(a)
		r.raw(wire)
		r.got(a, "ab")
		want.Responses, want.Informational, want.InFlight, want.DroppedTrailers = 1, 1, 0, 1
		want.BytesRead = int64(len(wire))
		check("read")

		b := r.begin(context.Background(), get("/"))
		c := r.begin(context.Background(), get("/"))
		r.await(c)
		b.x.Cancel()
		want.Requests, want.InFlight, want.Abandoned = 3, 2, 1
		want.BytesWritten += 2 * head
		check("one of two was canceled")
		r.serve("drained", "read")
		r.got(c, "read")
		want.Responses, want.InFlight, want.Abandoned, want.Drained = 3, 0, 0, int64(len("drained"))
		want.BytesRead += int64(len(answer("drained") + answer("read")))
		check("one of two was drained")

		r.s.setWindow(0)
		r.await(r.begin(context.Background(), get("/")))
		want.Requests, want.InFlight, want.Unwritten = 4, 1, head
		check("the stream is full")
		r.s.setWindow(1000)
		r.serve("last")
		synctest.Wait()
		want.Responses, want.InFlight, want.Unwritten = 4, 0, 0
		want.BytesWritten += head
		want.BytesRead += int64(len(answer("last")))
		check("it is not")

		r.s.setWindow(0)
		r.begin(context.Background(), get("/"))
		want.Requests, want.InFlight, want.Unwritten = 5, 1, head
		check("the stream is full again")
		r.c.Close()
		want.InFlight, want.Unwritten = 0, 0
		r.c.Send(context.Background(), get("/"))
		check("closed, and a request was refused")
	})
}

// countsDeadlines is a stream that answers at once and counts how often it is told a
// deadline.
type countsDeadlines struct {
	answering
	calls int
}

func (s *countsDeadlines) SetDeadline(time.Time) error      { s.calls++; return nil }
func (s *countsDeadlines) SetReadDeadline(time.Time) error  { s.calls++; return nil }
func (s *countsDeadlines) SetWriteDeadline(time.Time) error { s.calls++; return nil }

// A request's Deadline is told to the stream once, for both its write and its read; the
// next request without one takes it back.
func TestDeadlineToldOnce(t *testing.T) {
	s := &countsDeadlines{answering: answering{response: benchResponse}}
	c := NewConn(s, nil)
	defer c.Close()
	s.calls = -2 // it is asked once whether it takes any
	var resp Response
	for i := range 3 {
		req := Request{Host: "x", Deadline: time.Now().Add(time.Hour + time.Duration(i))}
		if err := c.Do(context.Background(), &req, &resp); err != nil {
			t.Fatal(err)
		}
		if _, err := resp.AppendBody(nil, -1); err != nil {
			t.Fatal(err)
		}
		if s.calls != i+1 {
			t.Fatalf("after %d requests the stream was told %d deadlines", i+1, s.calls)
		}
	}
	if err := c.Do(context.Background(), &Request{Host: "x"}, &resp); err != nil {
		t.Fatal(err)
	}
	if s.calls != 5 {
		t.Errorf("a request without a Deadline took %d calls, not one for each half", s.calls-3)
	}
}

// lateBody is a body in memory that is not read before its request's time is up.
type lateBody struct {
	*strings.Reader
	by time.Time
}

func (b lateBody) Read(p []byte) (int, error) {
	time.Sleep(time.Until(b.by) + time.Millisecond)
	return b.Reader.Read(p)
}

// TestDeadlineBeforeWrite: a request whose time is up when it is to be written is taken
// back, by whomever it was to be written, and the connection has seen nothing of it.
func TestDeadlineBeforeWrite(t *testing.T) {
	for _, kind := range []streamKind{direct, opaque} {
		for _, depth := range []int{1, 4} {
			var rw io.ReadWriteCloser = dialServer(t, replyWith("HTTP/1.1 204 No Content\r\n\r\n"))
			if kind == opaque {
				rw = wirePlain{rw}
			}
			c := NewConn(rw, &Config{Depth: depth})
			for i := range 4 {
				by := time.Now().Add(5 * time.Millisecond)
				req := &Request{Method: "PUT", Host: "x", Body: lateBody{strings.NewReader("hello"), by}, Deadline: by}
				var resp Response
				do := func() error { return c.Do(context.Background(), req, &resp) }
				if i%2 == 1 {
					do = func() error {
						x, err := c.Send(context.Background(), req)
						if err == nil {
							err = x.Wait(context.Background(), &resp)
						}
						return err
					}
				}
				wantError(t, do(), Timeout, SentNothing)
				if err := c.Do(context.Background(), get("/"), &resp); err != nil {
					t.Fatalf("kind %d, depth %d, round %d: the next request: %v", kind, depth, i, err)
				}
				if s := c.Stats(); !c.State().Idle() || s.Requests != int64(i+1) || s.InFlight != 0 {
					t.Errorf("kind %d, depth %d, round %d: %v, %+v", kind, depth, i, c.State(), s)
				}
			}
			c.Close()
		}
	}
}

// TestDeadlineBeforeFlush: what a request that is taken back has held up goes on.
func TestDeadlineBeforeFlush(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		r.c.mu.Lock()
		r.c.flushing = true // so that the flush comes when the test says so
		r.c.mu.Unlock()
		k := r.begin(context.Background(), &Request{Method: "POST", Host: "x", Deadline: time.Now().Add(time.Second)})
		ready := r.c.Ready()
		done := ready.Done()
		if !k.sent.Load() || !errors.Is(ready.Err(), NotReady) {
			t.Fatalf("sent %v, and ready %v", k.sent.Load(), ready.Err())
		}
		time.Sleep(time.Second)
		r.c.runSoon()
		select {
		case <-done:
		default:
			t.Errorf("Ready waits for a request that is gone; %v", r.c.State())
		}
		r.await(k)
		r.failed(k, Timeout, SentNothing)
		if got := r.took(); got != "" {
			t.Errorf("%s was written", got)
		}
		r.alive()
	})
}

// One alarm serves a connection: an earlier deadline of another takes nothing from a later
// one.
func TestDeadlineAfterAnother(t *testing.T) {
	short := func(r *rig) {
		req := get("/b")
		req.Deadline = time.Now().Add(time.Minute)
		k := r.begin(context.Background(), req) // in line
		time.Sleep(2 * time.Minute)
		r.failed(k, Timeout, SentNothing)
	}
	// A body that is still pushed when its response has ended.
	for _, plain := range []bool{false, true} {
		inBubble(t, Config{}, plain, func(r *rig) {
			req := &Request{Method: "PUT", Host: "x", Push: true, ContentLength: 10, Deadline: time.Now().Add(time.Hour)}
			k := r.begin(context.Background(), req)
			r.serve("/early")
			r.await(k)
			r.got(k, "/early")
			short(r)
			if err := r.c.Err(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			r.dead()
		})
	}
	// A write, and a read, that make no progress.
	for _, window := range []int{3, wireWindow} {
		inBubble(t, Config{StallTimeout: time.Hour}, true, func(r *rig) {
			r.s.setWindow(window)
			k := &call{}
			go func() {
				k.err = r.c.Do(context.Background(), get("/a"), &k.resp)
				k.over.Store(true)
			}()
			synctest.Wait()
			short(r)
			if k.over.Load() {
				t.Fatal(k.err)
			}
			time.Sleep(time.Hour)
			if !k.over.Load() || !errors.Is(k.err, Timeout) {
				t.Errorf("window %d: over %v, %v", window, k.over.Load(), k.err)
			}
			r.dead()
		})
	}
}

// StallTimeout bounds the reads of a response that came in the place of 100 (Continue) as
// well: the request is not out whole, and never will be.
func TestStallAfterExpectIsOver(t *testing.T) {
	for _, push := range []bool{false, true} {
		onBoth(t, Config{StallTimeout: time.Minute}, func(r *rig) {
			req := &Request{Method: "PUT", Target: "/a", Host: "x", ContentLength: 5, Push: push, Header: fieldsOf("Expect: 100-continue")}
			if !push {
				req.Body = strings.NewReader("hello")
			}
			a := r.begin(context.Background(), req)
			r.await(a)
			r.raw("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\n/")
			time.Sleep(time.Minute)
			r.failed(a, Timeout, SentPart)
			r.dead()
		})
	}
}
