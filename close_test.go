package h1

// close_test.go: the end of a connection, whatever goes on at the time: Close, Shutdown,
// Detach.

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A scene is something that goes on on a connection: the calls under way in it, and what
// the server has to send for the requests in flight to end.
type scene struct {
	name  string
	setup func(r *rig) []*call
	rest  string // what ends it in good order
}

// background is a call that is neither Send nor Wait.
func background(f func() error) *call {
	k := &call{}
	go func() { k.err = f(); k.over.Store(true) }()
	synctest.Wait()
	return k
}

var scenes = []scene{
	{"nothing was asked", func(*rig) []*call { return nil }, ""},
	{"idle", func(r *rig) []*call { r.warm(); return nil }, ""},
	{"a head is awaited", func(r *rig) []*call {
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		return []*call{a}
	}, answer("/a")},
	{"nobody waits yet", func(r *rig) []*call {
		r.warm()
		r.begin(context.Background(), get("/a"))
		return nil
	}, ""},
	{"several are in flight", func(r *rig) []*call {
		r.warm()
		var ks []*call
		for _, target := range []string{"/a", "/b", "/c"} {
			k := r.begin(context.Background(), get(target))
			r.await(k)
			ks = append(ks, k)
		}
		return ks
	}, answer("/a") + answer("/b") + answer("/c")},
	{"in a head", func(r *rig) []*call {
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		r.raw("HTTP/1.1 200 O")
		return []*call{a}
	}, "K\r\nContent-Length: 0\r\n\r\n"},
	{"after 1xx", func(r *rig) []*call {
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		r.raw("HTTP/1.1 103 Early Hints\r\n\r\n")
		return []*call{a}
	}, answer("/a")},
	{"in a body", func(r *rig) []*call {
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nx")
		return []*call{a}
	}, "yz"},
	{"in a body until close", func(r *rig) []*call {
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		r.raw("HTTP/1.1 200 OK\r\n\r\nx")
		return []*call{a}
	}, "EOF"},
	{"a body is being drained", func(r *rig) []*call {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		b := r.begin(context.Background(), get("/b"))
		a.x.Cancel()
		r.await(b)
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nx")
		return []*call{b}
	}, "yz" + answer("/b")},
	{"an upload waits for its reader", func(r *rig) []*call {
		body, w := io.Pipe()
		r.Cleanup(func() { w.Close() })
		k := r.begin(context.Background(), &Request{Method: "POST", Host: "x", Body: body})
		r.await(k)
		go func() { w.Write([]byte("hello")); time.Sleep(time.Minute); w.Close() }()
		return []*call{k}
	}, answer("/a")},
	{"an upload waits for the stream", func(r *rig) []*call {
		r.s.setWindow(10)
		go func() { time.Sleep(time.Minute); r.s.setWindow(wireWindow) }()
		k := r.begin(context.Background(), &Request{Method: "POST", Host: "x", Body: strings.NewReader(strings.Repeat("x", 100000))})
		r.await(k)
		return []*call{k}
	}, answer("/a")},
	{"a pushed body waits for the stream", func(r *rig) []*call {
		k := r.begin(context.Background(), &Request{Method: "POST", Host: "x", Push: true})
		r.await(k)
		r.s.setWindow(0)
		go func() { time.Sleep(time.Minute); r.s.setWindow(wireWindow) }()
		x := k.x
		return []*call{k, background(func() error {
			_, err := x.Write([]byte("hello"))
			if err == nil {
				err = x.CloseWrite()
			}
			return err
		})}
	}, answer("/a")},
	{"100 is awaited", func(r *rig) []*call {
		k := r.begin(context.Background(), &Request{Method: "POST", Host: "x", Body: strings.NewReader("x"), Header: fieldsOf("Expect: 100-continue")})
		r.await(k)
		return []*call{k}
	}, "HTTP/1.1 100 Continue\r\n\r\n" + answer("/a")},
	{"a write is stuck", func(r *rig) []*call {
		r.s.setWindow(10)
		go func() { time.Sleep(time.Minute); r.s.setWindow(wireWindow) }()
		k := r.begin(context.Background(), get("/a"))
		return []*call{background(func() error {
			for !k.sent.Load() {
				time.Sleep(time.Second)
			}
			if k.err != nil {
				return k.err
			}
			return k.x.Wait(context.Background(), &k.resp)
		})}
	}, answer("")},
}

// inScenes runs f in each scene, once that has settled, on streams with and without
// deadlines.
func inScenes(t *testing.T, f func(r *rig, s scene, calls []*call)) {
	for _, s := range scenes {
		for _, plain := range []bool{false, true} {
			name := strings.ReplaceAll(s.name, " ", "_")
			if plain {
				name += "/plain"
			}
			t.Run(name, func(t *testing.T) {
				inBubble(t, Config{Depth: 4}, plain, func(r *rig) {
					calls := s.setup(r)
					synctest.Wait()
					f(r, s, calls)
				})
			})
		}
	}
}

// over checks that all calls have come to an end.
func (r *rig) over(calls []*call) {
	r.Helper()
	synctest.Wait()
	for i, k := range calls {
		if !k.over.Load() {
			r.Fatalf("call %d hangs; connection: %v, Err %v", i, r.c.State(), r.c.Err())
		}
	}
}

// Close ends everything at once, and those who wait to send, for Ready, or for the end.
func TestCloseInEachPhase(t *testing.T) {
	inScenes(t, func(r *rig, s scene, calls []*call) {
		for _, f := range []func() error{
			func() error {
				post := get("/line")
				post.Method = "POST"
				x, err := r.c.Send(context.Background(), post)
				if err == nil {
					err = x.Wait(context.Background(), &Response{})
				}
				return err
			},
			func() error { return r.c.Watch(context.Background()) },
			func() error { return r.c.Watch(context.Background()) },
		} {
			calls = append(calls, background(f))
		}
		start := time.Now()
		for range 2 {
			if err := r.c.Close(); err != nil {
				r.Errorf("Close: %v", err)
			}
		}
		synctest.Wait()
		time.Sleep(2 * time.Second) // for the loops of the scenes
		r.over(calls)
		for _, k := range calls {
			if e, ok := k.err.(*Error); !ok || e.Kind != Closed {
				r.Errorf("a call ended with %v", k.err)
			}
		}
		if time.Since(start) > 3*time.Second {
			r.Error("Close took its time")
		}
		r.dead()
		r.gone()
		time.Sleep(time.Hour) // what the scene has left ends
	})
}

// gone checks that the connection takes nothing any more and says so.
func (r *rig) gone() {
	r.Helper()
	_, err := r.c.Send(context.Background(), get("/"))
	if wantError(r, err, Closed, SentNothing); err != nil && !err.(*Error).Unprocessed() {
		r.Error("what was never sent counts as processed")
	}
	_, err = r.c.TrySend(context.Background(), get("/"))
	wantError(r, err, Closed, SentNothing)
	_, err = r.c.Detach()
	wantError(r, err, Closed, SentNothing)
	ready := r.c.Ready()
	if !is(ready.Done()) || !errors.Is(ready.Err(), Closed) || ready.Wait(context.Background()) == nil {
		r.Errorf("ready: %v", ready.Err())
	}
	if err := r.c.Probe(); err == nil {
		r.Error("Probe found nothing amiss")
	}
	if err := r.c.Watch(context.Background()); err == nil {
		r.Error("Watch found nothing amiss")
	}
	if err := r.c.Shutdown(context.Background()); err != nil {
		r.Errorf("Shutdown: %v", err)
	}
	if n := r.c.Stats().InFlight; n != 0 {
		r.Errorf("%d in flight", n)
	}
}

// Shutdown lets what is in flight end, refuses what is not, and closes then.
func TestShutdownInEachPhase(t *testing.T) {
	inScenes(t, func(r *rig, s scene, calls []*call) {
		if s.name == "nobody waits yet" {
			r.Skip("it would wait for ever: see below")
		}
		inFlight := r.c.State().InFlight() > 0
		var line *call
		if inFlight {
			post := get("/line")
			post.Method = "POST"
			line = r.begin(context.Background(), post)
			if line.sent.Load() {
				r.Fatal("it is not in line")
			}
		}
		ends := []*call{
			background(func() error { return r.c.Shutdown(context.Background()) }),
			background(func() error { return r.c.Shutdown(context.Background()) }),
		}
		if inFlight {
			r.failed(line, Closed, SentNothing)
			if ends[0].over.Load() {
				r.Fatalf("Shutdown ended while something was in flight: %v", ends[0].err)
			}
			_, err := r.c.Send(context.Background(), get("/late"))
			wantError(r, err, Closed, SentNothing)
		}
		time.Sleep(2 * time.Minute)
		if s.rest == "EOF" {
			r.s.fail(io.EOF)
		} else {
			r.raw(s.rest)
		}
		time.Sleep(time.Minute)
		r.over(append(calls, ends...))
		for i, k := range append(calls, ends...) {
			if k.err != nil {
				r.Errorf("call %d: %v", i, k.err)
			}
		}
		r.dead()
		r.gone()
	})
}

// Shutdown's time may end before the requests do.
func TestShutdownTimesOut(t *testing.T) {
	inScenes(t, func(r *rig, s scene, calls []*call) {
		inFlight := r.c.State().InFlight() > 0
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		err := r.c.Shutdown(ctx)
		if !inFlight {
			if err != nil || time.Since(start) > 0 {
				r.Errorf("Shutdown took %v, %v", time.Since(start), err)
			}
		} else {
			wantError(r, err, Timeout, SentNothing)
			if time.Since(start) != time.Second {
				r.Errorf("Shutdown took %v", time.Since(start))
			}
		}
		time.Sleep(2 * time.Second)
		r.over(calls)
		for _, k := range calls {
			if !errors.Is(k.err, Closed) {
				r.Errorf("a call ended with %v", k.err)
			}
		}
		r.dead()
		time.Sleep(time.Hour)
	})
}

// Detach gives the stream back where nothing is in flight.
func TestDetachInEachPhase(t *testing.T) {
	inScenes(t, func(r *rig, s scene, calls []*call) {
		if r.c.State().InFlight() > 0 {
			was := r.c.Err()
			_, err := r.c.Detach()
			wantError(r, err, NotReady, SentNothing)
			if r.c.Err() != was || r.c.State().InFlight() == 0 {
				r.Errorf("a Detach that was refused ended the connection: %v", r.c.Err())
			}
			r.c.Close()
			time.Sleep(time.Hour)
			return
		}
		watched := background(func() error { return r.c.Watch(context.Background()) })
		ended := background(func() error { <-r.c.Ready().Done(); return nil })
		p, err := r.c.Detach()
		if err != nil {
			r.Fatal(err)
		}
		r.failed(watched, Closed, SentNothing)
		r.over([]*call{ended})
		r.gone()
		if err := r.c.Close(); err != nil || r.s.ended() != "" {
			r.Errorf("Close after Detach: %v, the stream is %q", err, r.s.ended())
		}
		r.raw("other bytes")
		got := make([]byte, 20)
		if n, err := p.Stream().Read(got); string(got[:n]) != "other bytes" {
			r.Errorf("the stream gives %q, %v", got[:n], err)
		}
	})
}

// After 101, and after 2xx to CONNECT, the stream is the caller's, from the byte behind the
// head on, and no deadline of the engine's is left on it.
func TestDetachAfterSwitch(t *testing.T) {
	for _, c := range []struct {
		req  *Request
		wire string
	}{
		{&Request{Host: "x", Header: fieldsOf("Upgrade: x", "Connection: upgrade")}, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"},
		{&Request{Method: "CONNECT", Target: "x:1"}, "HTTP/1.1 200 OK\r\n\r\n"},
	} {
		for _, left := range []string{"", "leftover"} {
			inBubble(t, Config{StallTimeout: time.Minute, HeadTimeout: time.Minute}, false, func(r *rig) {
				r.warm()
				c.req.Deadline = time.Now().Add(time.Hour)
				r.raw(c.wire + left)
				watched := background(func() error { return r.c.Watch(context.Background()) })
				k := r.begin(context.Background(), c.req)
				r.await(k)
				r.got(k, "")
				if !r.c.State().Switched() || r.c.State().Closed() || r.s.ended() != "" {
					t.Errorf("%v, the stream is %q", r.c.State(), r.s.ended())
				}
				r.failed(watched, Closed, SentNothing)
				_, err := r.c.Send(context.Background(), get("/"))
				wantError(r, err, Closed, SentNothing)
				p, err := r.c.Detach()
				if err != nil {
					t.Fatal(err)
				}
				if string(p.Buffered) != left {
					t.Errorf("left over: %q", p.Buffered)
				}
				if !r.s.read.at.IsZero() || !r.s.write.at.IsZero() {
					t.Errorf("deadlines are left: %v, %v", r.s.read.at, r.s.write.at)
				}
				r.gone()
				r.raw("more")
				got, want := "", left+"more"
				for buf := make([]byte, 5); len(got) < len(want); {
					n, err := p.Stream().Read(buf)
					if err != nil {
						t.Fatal(err)
					}
					if got += string(buf[:n]); len(p.Buffered) > 0 {
						p.Buffered = p.Buffered[n:]
					}
				}
				if got != want {
					t.Errorf("the stream gives %q", got)
				}
				if err := r.c.Close(); err != nil || r.s.ended() != "" {
					t.Errorf("Close after Detach: %v, the stream is %q", err, r.s.ended())
				}
			})
		}
	}
}

// What Detach gives back of what was read is the caller's to keep, whoever reads next into
// the buffer it was in.
func TestDetachCopies(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		r.raw("HTTP/1.1 200 OK\r\n\r\nhello")
		k := r.begin(context.Background(), &Request{Method: "CONNECT", Target: "x:1"})
		r.await(k)
		r.got(k, "")
		p, err := r.c.Detach()
		if err != nil {
			t.Fatal(err)
		}
		m := newMirror(echo)
		other := NewConn(m, nil)
		defer other.Close()
		if _, err := fetch(other, get("/"+strings.Repeat("x", 100))); err != nil {
			t.Fatal(err)
		}
		if string(p.Buffered) != "hello" {
			t.Errorf("given back: %q", p.Buffered)
		}
	})
}

// A switched stream that nobody took is closed with its connection.
func TestCloseAfterSwitch(t *testing.T) {
	for name, end := range map[string]func(*Conn) error{
		"Close":    (*Conn).Close,
		"Shutdown": func(c *Conn) error { return c.Shutdown(context.Background()) },
	} {
		inBubble(t, Config{}, false, func(r *rig) {
			r.raw("HTTP/1.1 200 OK\r\n\r\nhello")
			k := r.begin(context.Background(), &Request{Method: "CONNECT", Target: "x:1"})
			r.await(k)
			r.got(k, "")
			if err := end(r.c); err != nil || r.s.ended() != "closed" {
				t.Errorf("%s: %v, the stream is %q", name, err, r.s.ended())
			}
			if !r.c.State().Closed() {
				t.Errorf("%s: %v", name, r.c.State())
			}
			r.gone()
		})
	}
}

// Close may come from many at once, and while calls begin and end.
func TestCloseRace(t *testing.T) {
	for i := range 2000 {
		m := newMirror(echo)
		c := NewConn(m, &Config{Depth: 1 + i%4})
		if _, err := fetch(c, get("/warm")); err != nil {
			t.Fatal(err)
		}
		results := make(chan error)
		callers := []func() error{
			func() error { return fetchErr(c, get("/a")) },
			func() error { return fetchErr(c, get("/b")) },
			func() error {
				return fetchErr(c, &Request{Method: "POST", Host: "x", Body: strings.NewReader(strings.Repeat("x", 10000))})
			},
			func() error { return c.Watch(context.Background()) },
			func() error { return c.Shutdown(context.Background()) },
			c.Close, c.Close,
		}
		if i%3 == 0 {
			callers = append(callers[:4], callers[5:]...) // Close alone
		}
		for _, f := range callers {
			go func() { results <- f() }()
		}
		for range callers {
			if err := <-results; err != nil && !errors.Is(err, Closed) && !errors.Is(err, net.ErrClosed) {
				t.Fatalf("round %d: %v", i, err)
			}
		}
		if !c.State().Closed() || !m.closed {
			t.Fatalf("round %d: %v", i, c.State())
		}
	}
}

func fetchErr(c *Conn, req *Request) error {
	_, err := fetch(c, req)
	return err
}

// slowCloser is a stream whose Close takes time.
type slowCloser struct {
	*tap
	closed atomic.Bool
}

func (s *slowCloser) Close() error {
	time.Sleep(time.Second)
	s.closed.Store(true)
	return s.tap.Close()
}

// Shutdown returns only when the stream was closed, even if another call closes it.
func TestShutdownAfterTheClose(t *testing.T) {
	for _, last := range []func(*rig){
		func(r *rig) { r.serve("/a") },
		func(r *rig) { go r.c.Close() },
		func(r *rig) { go r.c.Shutdown(context.Background()); go r.c.Close() },
	} {
		inBubble(t, Config{}, false, func(r *rig) {
			s := &slowCloser{tap: r.s}
			r.c = NewConn(s, nil)
			a := r.begin(context.Background(), get("/a"))
			r.await(a)
			go func() {
				time.Sleep(time.Millisecond)
				last(r)
			}()
			late := make(chan bool)
			go func() {
				time.Sleep(2 * time.Millisecond) // it is being closed
				err := r.c.Shutdown(context.Background())
				late <- err == nil && s.closed.Load()
			}()
			if err := r.c.Shutdown(context.Background()); err != nil || !s.closed.Load() || !<-late {
				t.Errorf("Shutdown returned %v, before or while the stream was closed: %v", err, s.closed.Load())
			}
		})
	}
}

// A politeStream is TLS, whose Close takes its time to say goodbye, unless what lies under
// it is closed.
type politeStream struct {
	*tap
	net.Conn // none
	cut      atomic.Bool
}

func (s *politeStream) NetConn() net.Conn                  { return underPolite{s: s} }
func (s *politeStream) Read(p []byte) (int, error)         { return s.tap.Read(p) }
func (s *politeStream) Write(p []byte) (int, error)        { return s.tap.Write(p) }
func (s *politeStream) SetDeadline(t time.Time) error      { return s.tap.SetDeadline(t) }
func (s *politeStream) SetReadDeadline(t time.Time) error  { return s.tap.SetReadDeadline(t) }
func (s *politeStream) SetWriteDeadline(t time.Time) error { return s.tap.SetWriteDeadline(t) }

func (s *politeStream) Close() error {
	for range 500 {
		if s.cut.Load() {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return s.tap.Close()
}

type underPolite struct {
	net.Conn // none
	s        *politeStream
}

func (u underPolite) Close() error {
	u.s.cut.Store(true)
	return nil
}

// What ends a connection in the midst of something is not put off by TLS's goodbye, for
// which a peer that takes nothing lets it wait. An end in good order has it.
func TestEndWithoutGoodbye(t *testing.T) {
	for name, c := range map[string]struct {
		act func(r *rig, ctx context.Context)
		cut bool
	}{
		"Deadline": {func(r *rig, _ context.Context) {
			req := get("/a")
			req.Deadline = time.Now().Add(time.Second)
			r.c.Do(context.Background(), req, &Response{})
		}, true},
		"context":             {func(r *rig, ctx context.Context) { r.c.Do(ctx, get("/a"), &Response{}) }, true},
		"context of Shutdown": {func(r *rig, ctx context.Context) { r.begin(context.Background(), get("/a")); r.c.Shutdown(ctx) }, true},
		"write": {func(r *rig, ctx context.Context) {
			r.s.setWindow(3)
			r.c.Do(ctx, posting("/a"), &Response{})
		}, true},
		"push": {func(r *rig, ctx context.Context) {
			k := r.begin(ctx, &Request{Method: "PUT", Target: "/a", Host: "x", Push: true})
			r.s.setWindow(3)
			k.x.Write(make([]byte, 100))
		}, true},
		"an upload given up": {func(r *rig, ctx context.Context) {
			k := r.begin(ctx, &Request{Method: "PUT", Target: "/a", Host: "x", Push: true})
			k.x.Write(make([]byte, 100))
			time.AfterFunc(time.Second, func() { r.raw("HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n") })
			k.x.Wait(context.Background(), &k.resp)
		}, true},
		"idle, and the context of Shutdown": {func(r *rig, ctx context.Context) {
			r.next("/a")
			wantError(r, r.c.Shutdown(ctx), Timeout, SentNothing)
		}, true},
		"idle, and Shutdown whose context is over": {func(r *rig, ctx context.Context) {
			r.next("/a")
			time.Sleep(time.Second)
			wantError(r, r.c.Shutdown(ctx), Timeout, SentNothing)
		}, true},
		"idle, Close, and then the context of Shutdown": {func(r *rig, ctx context.Context) {
			r.next("/a")
			go r.c.Close()
			synctest.Wait()
			wantError(r, r.c.Shutdown(ctx), Timeout, SentNothing)
		}, true},
		"the last response": {func(r *rig, ctx context.Context) {
			r.raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			r.c.Do(ctx, get("/a"), &Response{})
		}, false},
		"idle": {func(r *rig, ctx context.Context) { r.next("/a"); r.c.Close() }, false},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			inBubble(t, Config{}, false, func(r *rig) {
				s := &politeStream{tap: r.s}
				r.c = NewConn(s, nil)
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				start := time.Now()
				c.act(r, ctx)
				synctest.Wait() // it may be the context's goroutine that closes the stream
				if took := time.Since(start); s.cut.Load() != c.cut || c.cut && took.Round(100*time.Millisecond) != time.Second {
					t.Errorf("cut %v, after %v", s.cut.Load(), took)
				}
				time.Sleep(time.Minute)
				r.dead()
			})
		})
	}
}

// Shutdown of a connection with nothing in flight succeeds, even if its context has ended.
func TestShutdownOfAnIdleConnection(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		r.warm()
		ctx, stop := context.WithCancel(context.Background())
		stop()
		if err := r.c.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		r.dead()
	})
}
