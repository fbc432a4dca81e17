package h1

// life_test.go: the ends of exchanges that meet one another: who reads what another has
// left, who writes for others when theirs is over, a body whose response has ended.

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func put(target, body string) *Request {
	return &Request{Method: "PUT", Target: target, Host: "x", Body: strings.NewReader(body)}
}

const getHead = len("GET /x HTTP/1.1\r\nHost: x\r\n\r\n")

// writesOn makes a request that was answered before it was out whole, and in whose name the
// writes go on: of the next, and of three bytes of the one behind.
func (r *rig) writesOn(next, behind string) (*call, *call) {
	r.Helper()
	r.warm()
	r.s.setWindow(3)
	w := r.begin(context.Background(), get("/w"))
	r.await(w)
	a := r.begin(context.Background(), get(next))
	r.serve("/w")
	r.got(w, "/w")
	r.s.setWindow(getHead + 3)
	synctest.Wait()
	b := r.begin(context.Background(), get(behind))
	r.s.setWindow(2*getHead + 3)
	synctest.Wait()
	if !r.c.inWrite || r.c.writer != w.x.e || len(r.s.out) != 2*getHead+3 {
		r.Fatal("not the state that is to be tested")
	}
	return a, b
}

// A response that says close may be drained by an exchange behind it that is not written
// yet.
func TestCloseSaidToDrainer(t *testing.T) {
	inBubble(t, Config{Depth: 8}, false, func(r *rig) {
		x, z := r.writesOn("/x", "/z")
		e := r.begin(context.Background(), get("/e"))
		x.x.Cancel()
		z.x.Cancel()
		r.await(e)
		if e.over.Load() || r.c.reader != e.x.e {
			t.Fatal("not the state that is to be tested")
		}
		r.raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n/x")
		r.failed(e, Closed, SentNothing)
		r.dead()
	})
}

// A request that has ended, and writes on for others, is let go when those are not wanted
// any more; the response that said so is delivered.
func TestWriteOnBehindClose(t *testing.T) {
	for _, kind := range []streamKind{opaque, layered} {
		inBubble(t, Config{Depth: 8}, false, func(r *rig) {
			r.c.kind = kind
			x, z := r.writesOn("/x", "/z")
			r.await(x)
			r.raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\n/x")
			synctest.Wait()
			r.raw("/x")
			r.got(x, "/x/x")
			r.await(z)
			r.failed(z, Closed, SentPart)
			r.dead()
		})
	}
}

// The Deadline of an exchange that has ended is not that of the write that goes on in its
// name.
func TestDeadlineOfEndedWriter(t *testing.T) {
	for _, plain := range []bool{false, true} {
		for _, kind := range []streamKind{opaque, layered} {
			for _, late := range []bool{false, true} { // the write for others began after the end
				inBubble(t, Config{Depth: 8}, plain, func(r *rig) {
					r.warm()
					r.c.kind = kind
					r.s.setWindow(3)
					req := get("/w")
					req.Deadline = time.Now().Add(time.Second)
					w := r.begin(context.Background(), req)
					r.await(w)
					x := r.begin(context.Background(), get("/x"))
					r.await(x)
					if !late {
						r.s.setWindow(getHead + 3)
					}
					r.serve("/w")
					r.got(w, "/w")
					r.s.setWindow(getHead + 3)
					time.Sleep(2 * time.Second)
					r.s.setWindow(wireWindow)
					r.serve("/x")
					r.got(x, "/x")
					r.alive()
				})
				if t.Failed() {
					t.Fatalf("plain %v, kind %v, late %v", plain, kind, late)
				}
			}
		}
	}
}

// The Deadline of a request that has ended does not end a write that goes on for one
// appended afterwards.
func TestDeadlineOfEndedWriterBefore(t *testing.T) {
	for _, plain := range []bool{false, true} {
		inBubble(t, Config{Depth: 4}, plain, func(r *rig) {
			r.warm()
			r.s.setWindow(3)
			req := get("/w")
			req.Deadline = time.Now().Add(time.Second)
			w := r.begin(context.Background(), req)
			r.await(w)
			r.serve("/w")
			r.got(w, "/w")
			x := r.begin(context.Background(), get("/x"))
			time.Sleep(2 * time.Second)
			r.s.setWindow(wireWindow)
			r.await(x)
			r.serve("/x")
			r.got(x, "/x")
			r.alive()
		})
	}
}

// An error of a pushed body is one, also where its response has ended before it.
func TestPushFailsAfterResponse(t *testing.T) {
	for name, push := range map[string]func(x Exchange) error{
		"short": func(x Exchange) error { return x.CloseWrite() },
		"long":  func(x Exchange) error { _, err := x.Write(make([]byte, 20)); return err },
	} {
		inBubble(t, Config{}, false, func(r *rig) {
			k := r.begin(context.Background(), &Request{Method: "PUT", Host: "x", Push: true, ContentLength: 10})
			if _, err := k.x.Write([]byte("12345")); err != nil {
				t.Fatal(err)
			}
			r.serve("/early")
			r.await(k)
			r.got(k, "/early")
			err := push(k.x)
			if bad, ok := err.(*Error); !ok || bad == nil {
				t.Fatalf("%s: %#v", name, err)
			}
			r.dead()
		})
	}
}

// A countedContext counts the callbacks that wait for its end.
type countedContext struct {
	context.Context
	n atomic.Int32
}

func (c *countedContext) Done() <-chan struct{} { return neverDone }

var neverDone = make(chan struct{})

func (c *countedContext) AfterFunc(func()) func() bool {
	c.n.Add(1)
	var stopped atomic.Bool
	return func() bool {
		if stopped.Swap(true) {
			return false
		}
		c.n.Add(-1)
		return true
	}
}

// An exchange that has ended leaves nothing with its context, whatever became of its body.
func TestContextLetGo(t *testing.T) {
	for name, c := range map[string]struct {
		req    *Request
		fields [][2]string
		answer string
	}{
		"no body":            {get("/"), nil, answer("/")},
		"push, early":        {&Request{Method: "PUT", Host: "x", Push: true}, nil, answer("/")},
		"push, early, close": {&Request{Method: "PUT", Host: "x", Push: true}, nil, "HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"},
		"push, refused":      {&Request{Method: "PUT", Host: "x", Push: true}, [][2]string{{"Expect", "100-continue"}}, answer("/")},
		"push, refused, length": {&Request{Method: "PUT", Host: "x", Push: true, ContentLength: 9},
			[][2]string{{"Expect", "100-continue"}}, answer("/")},
	} {
		inBubble(t, Config{}, false, func(r *rig) {
			for _, f := range c.fields {
				c.req.Header.Add(f[0], f[1])
			}
			ctx := &countedContext{Context: context.Background()}
			k := r.begin(ctx, c.req)
			r.raw(c.answer)
			r.await(k)
			if !k.over.Load() || k.err != nil {
				t.Fatalf("%s: over %v, %v", name, k.over.Load(), k.err)
			}
			if n := ctx.n.Load(); n != 0 {
				t.Errorf("%s: %d callbacks wait for the context", name, n)
			}
		})
	}
}

// An exchange that has failed, in whatever way, lets go of its context.
func TestContextLetGoByFailure(t *testing.T) {
	for name, end := range map[string]func(r *rig, k *call){
		"cancel":     func(r *rig, k *call) { k.x.Cancel() },
		"close":      func(r *rig, k *call) { r.c.Close() },
		"stream":     func(r *rig, k *call) { r.s.reset() },
		"bad":        func(r *rig, k *call) { r.raw("SSH-2.0\r\n") },
		"closes":     func(r *rig, k *call) { r.raw("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"); r.s.fail(io.EOF) },
		"deadline":   func(r *rig, k *call) { time.Sleep(time.Minute) },
		"broken off": func(r *rig, k *call) { r.raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody"); r.s.fail(io.EOF) },
	} {
		inBubble(t, Config{Depth: 2}, false, func(r *rig) {
			r.warm()
			ctx := &countedContext{Context: context.Background()}
			var ks []*call
			for _, req := range []*Request{get("/a"), get("/b"), get("/i"), posting("/c")} {
				req.Deadline = time.Now().Add(time.Second)
				k := r.begin(ctx, req)
				if k.sent.Load() {
					r.await(k)
				}
				ks = append(ks, k)
			}
			end(r, ks[0])
			synctest.Wait()
			if name == "cancel" {
				r.c.Close()
				synctest.Wait()
			}
			for i, k := range ks {
				if !k.over.Load() {
					t.Errorf("%s: %d is not over", name, i)
				}
			}
			if n := ctx.n.Load(); n != 0 {
				t.Errorf("%s: %d callbacks wait for the context", name, n)
			}
		})
	}
}

// A second Wait, which is a mistake, does not make the connection forget the context of
// the first.
func TestWaitTwiceLetsGo(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		k := r.begin(context.Background(), get("/"))
		one, two := &countedContext{Context: context.Background()}, &countedContext{Context: context.Background()}
		r.awaitWith(one, k)
		k.x.Cancel()
		var resp Response
		k.x.Wait(two, &resp) // before the first has left
		r.failed(k, Canceled, SentAll)
		if one.n.Load() != 0 || two.n.Load() != 0 {
			t.Errorf("%d and %d callbacks wait for a context", one.n.Load(), two.n.Load())
		}
	})
}

// What a crowd in line has used is not kept with one read buffer, which may be lent for
// ever.
func TestCrowdIsNotKept(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		var ks []*call
		for range 3 * mostKept {
			ks = append(ks, r.begin(context.Background(), get("/")))
		}
		most := 0
		for _, k := range ks {
			r.await(k)
			r.serve("/")
			r.got(k, "/")
			if br := r.c.br; br != nil {
				n := 0
				for e := br.spare; e != nil; e = e.next {
					n++
				}
				if most = max(most, n); n != br.kept {
					t.Fatalf("%d are kept, and counted as %d", n, br.kept)
				}
			}
		}
		if most > mostKept { // fewer under the race detector, where a pool forgets
			t.Errorf("%d exchanges were kept", most)
		}
	})
}

// A read buffer that grew for one response is small again for the next.
func TestReadBufferShrinks(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		a, b := r.begin(context.Background(), get("/a")), r.begin(context.Background(), get("/b"))
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: " + strings.Repeat("x", 20<<10) + "\r\n\r\n")
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			t.Fatal(err)
		}
		grown := r.c.br.Size()
		r.raw("/a")
		a.resp.AppendBody(nil, -1)
		if n := r.c.br.Size(); n != r.c.cfg.ReadBuffer || n >= grown {
			t.Errorf("%d bytes, and %d before", n, grown)
		}
		r.serve("/b")
		r.await(b)
		r.got(b, "/b")
		r.alive()
	})
}

// Nothing runs while a connection is idle, not even the timer of a deadline that was set.
func TestNoTimerWhileIdle(t *testing.T) {
	for _, plain := range []bool{false, true} {
		inBubble(t, Config{Depth: 4}, plain, func(r *rig) {
			r.warm()
			var calls []*call
			for _, target := range []string{"/a", "/b"} {
				req := get(target)
				req.Deadline = time.Now().Add(time.Hour)
				k := r.begin(context.Background(), req)
				r.await(k)
				calls = append(calls, k)
			}
			if r.c.alarm == nil {
				t.Fatal("not the state that is to be tested")
			}
			r.serve("/a", "/b")
			r.got(calls[0], "/a")
			r.got(calls[1], "/b")
			if r.c.alarm.Stop() {
				t.Error("a timer runs")
			}
			r.alive()
		})
	}
}

// A response that one after the other begins to read, and leaves, is read to its end by a
// third, however far each has come: in a head or a trailer section, and in a folded line.
func TestLeftByTwo(t *testing.T) {
	const wire = "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"2\r\n/a\r\n0\r\nD: e\r\n f\r\nG: h\r\n\r\n"
	for i := 1; i < len(wire); i++ {
		for j := i + 1; j < len(wire); j += 5 {
			inBubble(t, Config{Depth: 4}, false, func(r *rig) {
				r.warm()
				var ks []*call
				for _, target := range []string{"/a", "/b", "/c"} {
					k := r.begin(context.Background(), get(target))
					r.await(k)
					ks = append(ks, k)
				}
				r.raw(wire[:i])
				synctest.Wait()
				ks[0].x.Cancel()
				r.raw(wire[i:j])
				synctest.Wait()
				ks[1].x.Cancel()
				r.raw(wire[j:])
				r.serve("/b", "/c")
				r.got(ks[2], "/c")
				r.alive()
			})
			if t.Failed() {
				t.Fatalf("left at %d and %d of %q", i, j, wire)
			}
		}
	}
}

// What is left in the buffer of a request that was answered before it was out whole does
// not keep who waits in line until it is written.
func TestRestOfAnsweredIsWritten(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		r.took()
		r.s.setWindow(3)
		a := r.begin(context.Background(), get("/a"))
		r.await(a) // it is in its write
		b := r.begin(context.Background(), get("/b"))
		r.await(b)
		r.s.setWindow(len("GET /a HTTP/1.1\r\nHost: x\r\n\r\n") + 10)
		synctest.Wait()
		p := r.begin(context.Background(), put("/p", "hi"))
		r.c.flushing = true // the goroutine that goes on with the write comes late
		a.x.Cancel()
		r.failed(a, Canceled, SentAll)
		r.serve("/a", "/b")
		r.got(b, "/b")
		if p.sent.Load() || !r.c.pending() {
			t.Fatal("not the state that is to be tested")
		}
		r.s.setWindow(wireWindow)
		go r.c.runSoon()
		synctest.Wait()
		if !p.sent.Load() {
			t.Fatalf("the request waits: %v, pending %v", r.c.State(), r.c.pending())
		}
	})
}

// First come, first served: also who has to write for others before its own turn.
func TestFirstComeFirstServedAfterFlush(t *testing.T) {
	inBubble(t, Config{Depth: 8}, false, func(r *rig) {
		r.warm()
		r.s.setWindow(3)
		r.c.flushing = true // the goroutine that writes for Send comes late
		a := r.begin(context.Background(), get("/a"))
		r.c.flushing = false
		p := r.begin(context.Background(), put("/p", "hi")) // writes a
		b := r.begin(context.Background(), get("/b"))
		r.s.setWindow(wireWindow)
		synctest.Wait()
		for _, k := range []*call{a, p, b} {
			r.await(k)
		}
		if got := r.took(); got != "GET /a;PUT /p;hiGET /b;" {
			t.Errorf("the server received %s", got)
		}
	})
}

// A request with a body, behind requests that are not written yet, is not kept by their
// write when it is canceled, even if only the end of the connection would end that write.
func TestCanceledBehindSlowWrite(t *testing.T) {
	for _, kind := range []streamKind{opaque, layered} {
		inBubble(t, Config{Depth: 8}, kind == opaque, func(r *rig) {
			r.c.kind = kind
			r.warm()
			r.s.setWindow(3)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			a, err := r.c.Send(context.Background(), get("/a"))
			if err != nil {
				t.Fatal(err)
			}
			k := &call{}
			go func() {
				k.x, k.err = r.c.Send(ctx, put("/b", "body"))
				k.over.Store(true)
			}()
			synctest.Wait()
			cancel()
			r.failed(k, Canceled, SentNothing)
			r.s.setWindow(wireWindow)
			r.serve("/a")
			ka := &call{x: a}
			r.await(ka)
			r.got(ka, "/a")
			r.alive()
		})
	}
}

// A caller that waits for its response does not wait for the server to take the requests of
// others: the server may be waiting for that response to be read.
func TestReaderNotKeptByWrite(t *testing.T) {
	for i := range 4 {
		plain, turned := i&1 > 0, i&2 > 0
		inBubble(t, Config{Depth: 4}, plain, func(r *rig) {
			r.warm()
			r.s.setWindow(2*getHead + 3)
			ctx := context.Background()
			a, err := r.c.Send(ctx, get("/a"))
			if err != nil {
				t.Fatal(err)
			}
			b, err := r.c.Send(ctx, get("/b"))
			if err != nil {
				t.Fatal(err)
			}
			d, err := r.c.Send(ctx, get("/d"))
			if err != nil {
				t.Fatal(err)
			}
			ka, kb, kd := &call{x: a}, &call{x: b}, &call{x: d}
			first, second := ka, kb
			if turned {
				first, second = kb, ka
			}
			r.await(first) // and writes, where nobody else has begun to
			r.await(second)
			r.serve("/a", "/b")
			r.got(ka, "/a")
			r.got(kb, "/b")
			r.s.setWindow(wireWindow)
			r.serve("/d")
			r.await(kd)
			r.got(kd, "/d")
			r.alive()
		})
	}
}
