package h1

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// What had been read before a request was handed to the stream does not answer it, though
// the request was appended by then, and has gone out when it is looked at.
func TestAnsweredBeforeItWasTaken(t *testing.T) {
	inBubble(t, Config{Depth: 4, WriteBuffer: 64}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			t.Fatal(err)
		}
		r.s.setWindow(0)
		first := r.begin(context.Background(), get("/first")) // its write waits
		second := r.begin(context.Background(), get("/second"))
		r.raw("/a" + answer("/first") + answer("/evil")) // one packet
		if body, err := a.resp.AppendBody(nil, -1); string(body) != "/a" || err != nil {
			t.Fatal(body, err)
		}
		r.s.setWindow(wireWindow)
		synctest.Wait()
		r.await(first)
		r.got(first, "/first") // some of it may have been out: that is not known
		r.await(second)
		r.failed(second, Unsolicited, SentAll)
		r.dead()
	})
}

// A request whose head was too long for its caller to write leaves nothing behind in the
// memory of its exchange: the body of the next one is read.
func TestBodyBehindALongHead(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		long := get("/a")
		long.Header.Add("X", strings.Repeat("x", 20<<10))
		a := r.begin(context.Background(), long)
		r.await(a)
		r.serve("/a")
		r.got(a, "/a")
		r.s.receive(1 << 20)
		b := r.begin(context.Background(), &Request{Method: "PUT", Target: "/b", Host: "x", Body: io.MultiReader(strings.NewReader("body"))})
		if got := string(r.s.receive(1 << 20)); !strings.HasSuffix(got, "\r\n\r\n4\r\nbody\r\n0\r\n\r\n") {
			t.Errorf("the server received %q", got)
		}
		r.await(b)
		r.serve("/b")
		r.got(b, "/b")
		r.alive()
	})
}

// A response that is read for nobody leaves nothing behind in the Response it was read
// with.
func TestNothingOfAnother(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		ctx := context.Background()
		a, err := r.c.Send(ctx, get("/a"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := r.c.Send(ctx, get("/b"))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		a.Cancel()
		r.raw("HTTP/1.1 200 Of a\r\nOf: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nOf: a\r\n\r\n" + answer("/b"))
		var resp Response
		if err := b.Wait(ctx, &resp); err != nil {
			t.Fatal(err)
		}
		if body, err := resp.AppendBody(nil, -1); string(body) != "/b" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
		if resp.Trailer.Len() != 0 || resp.Header.Has("Of") || string(resp.Reason()) == "Of a" {
			t.Errorf("/b has the trailer %q, the header %q, the reason %q", resp.Trailer.buf, resp.Header.buf, resp.Reason())
		}
	})
}

// A request with its body that waits in the buffer leaves it whole when it is canceled:
// what says that nothing was sent is not written afterwards.
func TestCanceledBodyIsNotWritten(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		ctx := context.Background()
		r.c.flushing = true // by a goroutine that is slow to run
		x, err := r.c.Send(ctx, &Request{Method: "PUT", Target: "/a", Host: "x", Body: strings.NewReader("body")})
		if err != nil {
			t.Fatal(err)
		}
		x.Cancel()
		r.c.flushing = false
		var resp Response
		bad, ok := x.Wait(ctx, &resp).(*Error)
		synctest.Wait()
		if took := string(r.s.receive(1 << 20)); !ok || (took == "") != bad.Unprocessed() {
			t.Errorf("%v, and the server received %q", bad, took)
		}
		r.alive()
	})
}

// What had been read before a request was appended does not answer it, also where others
// are in flight.
func TestAnsweredBeforeItWasSent(t *testing.T) {
	inBubble(t, Config{Depth: 2}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		r.raw(answer("/a") + answer("/evil")) // one packet
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			t.Fatal(err)
		}
		if got := r.took(); got != "GET /a;" {
			t.Fatal(got)
		}
		b := r.begin(context.Background(), get("/b")) // all of /evil has been read by now
		if b.err != nil {
			t.Fatal(b.err)
		}
		if body, err := a.resp.AppendBody(nil, -1); string(body) != "/a" || err != nil {
			t.Fatal(body, err)
		}
		r.await(b)
		r.failed(b, Unsolicited, SentAll)
		r.dead()
	})
}

// A trailer that one caller has read half of when it was canceled is read again by the one
// behind, into a Response in which another was left half read.
func TestTrailerOfAnother(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
	var resp Response
	inBubble(t, Config{}, false, func(r *rig) {
		ctx, cancel := context.WithCancel(context.Background())
		r.raw(head + "A: " + strings.Repeat("1", 50) + "\r\nB: 2\r\nC: 3\r\n")
		if err := r.c.Do(ctx, get("/"), &resp); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, cancel)
		_, err := resp.AppendBody(nil, -1)
		wantError(t, err, Canceled, SentAll)
	})
	inBubble(t, Config{Depth: 2, MaxHeaders: 2}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		b := r.begin(context.Background(), get("/b"))
		r.raw(head + "A: b\r\n")
		r.await(a)
		a.x.Cancel()
		synctest.Wait()
		r.failed(a, Canceled, SentAll)
		r.raw("Host: x\r\n\r\n" + answer("/b"))
		if err := b.x.Wait(context.Background(), &resp); err != nil {
			t.Fatal(err)
		}
		if body, err := resp.AppendBody(nil, -1); string(body) != "/b" || err != nil || resp.Trailer.Len() != 0 {
			t.Errorf("%q, %v, trailer %q", body, err, resp.Trailer.buf)
		}
		if n := r.c.Stats().DroppedTrailers; n != 1 {
			t.Errorf("%d fields were dropped", n)
		}
		r.alive()
	})
}

// What was appended behind a write that is handed to another is kept behind it.
func TestAppendedBehindHandedOn(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		r.s.setWindow(0)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		a := r.begin(ctx, get("/a"))
		b := r.begin(context.Background(), get("/b"))
		r.s.setWindow(len("GET /a HTTP/1.1\r\nHost: x\r\n\r\n") + 5)
		synctest.Wait() // a's write is at work for b
		c := r.begin(context.Background(), get("/c"))
		r.await(a)
		r.await(b)
		r.await(c)
		cancel()
		r.failed(a, Canceled, SentAll)
		r.s.setWindow(wireWindow)
		synctest.Wait()
		if got := r.took(); got != "GET /a;GET /b;GET /c;" {
			t.Errorf("the server received %q", got)
		}
		r.serve("/a", "/b", "/c")
		r.got(b, "/b")
		r.got(c, "/c")
		r.alive()
	})
}

// HTTP/0.9 is what a server speaks that knows nothing else: what is no status line is not a
// response behind one that has any, final or not, nor the way into a tunnel.
func TestOldestVersionComesFirst(t *testing.T) {
	const junk = "junk behind a body"
	for _, c := range []struct {
		name string
		req  Request
		wire []string // what is said to each request
	}{
		{"behind a response", Request{Host: "x"}, []string{answer("/a"), junk}},
		{"behind an informational one", Request{Host: "x"}, []string{"HTTP/1.1 103 Early Hints\r\n\r\n" + junk}},
		{"to CONNECT", Request{Method: "CONNECT", Target: "x:1"}, []string{junk}},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			inBubble(t, Config{Lenient: HTTP09}, false, func(r *rig) {
				for i, wire := range c.wire {
					k := r.begin(context.Background(), &c.req)
					r.raw(wire)
					if i < len(c.wire)-1 {
						r.await(k)
						r.got(k, "/a")
						continue
					}
					r.s.fail(io.EOF)
					r.await(k)
					r.failed(k, BadVersion, SentAll)
				}
				r.dead()
			})
		})
	}
}

// One that no write has taken yet is not sent once it was canceled, though others are
// written and read.
func TestCanceledBehindOthersWrite(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		r.s.setWindow(3)
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		b := r.begin(context.Background(), get("/b"))
		r.await(b)
		b.x.Cancel()
		r.failed(b, Canceled, SentNothing)
		r.s.setWindow(wireWindow)
		synctest.Wait()
		if got := r.took(); got != "GET /a;" {
			t.Errorf("the server received %q", got)
		}
		r.serve("/a")
		r.got(a, "/a")
		r.alive()
	})
}

// TrySend of a body writes first what others have left in the buffer, for it may not stand
// behind that; it does not wait for their responses.
func TestTrySendWritesForOthers(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		r.c.mu.Lock()
		r.c.flushing = true // the goroutine that would write /a comes late
		r.c.mu.Unlock()
		a, err := r.c.Send(context.Background(), get("/a"))
		if err != nil {
			t.Fatal(err)
		}
		post := &Request{Method: "POST", Target: "/b", Host: "x", Body: strings.NewReader("body")}
		_, err = r.c.TrySend(context.Background(), post)
		wantError(t, err, NotReady, SentNothing)
		if got := r.took(); got != "GET /a;" {
			t.Errorf("the server received %q", got)
		}
		r.serve("/a")
		var resp Response
		if err := a.Wait(context.Background(), &resp); err != nil {
			t.Fatal(err)
		}
		if body, err := resp.AppendBody(nil, -1); string(body) != "/a" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
		r.alive()
	})
}

// Where the stream may take nothing before a response was read, TrySend does not write
// what others have left: nobody would read that.
func TestTrySendDoesNotWait(t *testing.T) {
	for name, before := range map[string][]*Request{
		"one head behind one in a write": {get("/b")},
		"two heads":                      {get("/a"), get("/b")},
		"one with a body":                {{Method: "PUT", Target: "/a", Host: "x", Body: strings.NewReader(strings.Repeat("x", 1000))}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{Depth: 4}, false, func(r *rig) {
				r.warm()
				if len(before) == 1 && before[0].Body == nil {
					r.s.setWindow(3)
					r.begin(context.Background(), get("/a"))
				}
				r.c.mu.Lock()
				r.c.flushing = true // the goroutine that would write them comes late
				r.c.mu.Unlock()
				for _, req := range before {
					if _, err := r.c.Send(context.Background(), req); err != nil {
						t.Fatal(err)
					}
				}
				r.s.setWindow(len(r.s.out) + 3)
				done := make(chan error, 1)
				go func() {
					_, err := r.c.TrySend(context.Background(), posting("/k"))
					done <- err
				}()
				synctest.Wait()
				select {
				case err := <-done:
					wantError(t, err, NotReady, SentNothing)
				default:
					t.Errorf("TrySend waits; %v", r.c.State())
				}
			})
		})
	}
}

// Wait's context means nothing once the whole response is there, with a body or without,
// even if the exchange's memory has become another's.
func TestWaitContextAfterResponse(t *testing.T) {
	for wire, body := range map[string]string{answer("/a"): "/a", "HTTP/1.1 204 No Content\r\n\r\n": ""} {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			r.warm()
			ctx, cancel := context.WithCancel(context.Background())
			a := r.begin(context.Background(), get("/a"))
			other := r.begin(context.Background(), get("/other")) // while it lasts, the connection keeps the memory
			r.raw(wire)
			r.awaitWith(ctx, a)
			r.got(a, body)
			if a.x.e.wait.stop != nil {
				t.Error("the context still has a callback to it")
			}
			b := r.begin(context.Background(), get("/b"))
			if a.x.e != b.x.e {
				t.Error("the memory was not used again: not the state that is to be tested")
			}
			cancel()
			synctest.Wait()
			r.serve("/other", "/b")
			r.await(other)
			r.got(other, "/other")
			r.await(b)
			r.got(b, "/b")
		})
	}
}

// Wait's context means nothing to the body.
func TestWaitContextSparesTheBody(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		ctx, cancel := context.WithCancel(context.Background())
		k := r.begin(context.Background(), get("/"))
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo")
		if err := k.x.Wait(ctx, &k.resp); err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		r.raw("dy")
		if body, err := k.resp.AppendBody(nil, -1); string(body) != "body" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
		r.alive()
	})
}

// Nothing of a past exchange stands in the memory that waits for the next.
func TestExchangeMemoryIsClean(t *testing.T) {
	for i := range 16 {
		cfg := Config{Depth: 1 + i&1, Timing: i&2 > 0, HeadTimeout: time.Hour, StallTimeout: time.Hour}
		inBubble(t, cfg, false, func(r *rig) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			req := posting("/a")
			if i&4 > 0 {
				req.Body = nil
			}
			if i&8 > 0 {
				req.Deadline = time.Now().Add(time.Hour)
			}
			r.raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nA: b\r\n\r\n")
			k := r.begin(ctx, req)
			other, stop := context.WithCancel(ctx)
			defer stop()
			r.awaitWith(other, k)
			r.got(k, "a")
			e := k.x.e
			if id := e.id.Load(); id == k.x.id {
				t.Fatal("the memory is not free")
			}
			made := &exchange{done: e.done, pump: e.pump, wait: waiting{done: e.wait.done}}
			made.next = e.next                                            // the list of the free
			made.recv.head, made.recv.chunks = e.recv.head, e.recv.chunks // reset when used
			made.id.Store(e.id.Load())
			made.start, made.end, made.readAt, made.by, made.q = e.start, e.end, e.readAt, e.by, e.q // by newExchange, begin
			for j, v, w := 0, reflect.ValueOf(e).Elem(), reflect.ValueOf(made).Elem(); j < v.NumField(); j++ {
				got, want := fmt.Sprintf("%+v", v.Field(j)), fmt.Sprintf("%+v", w.Field(j))
				name := v.Type().Field(j).Name
				if name == "cond" || name == "wake" {
					got, want = fmt.Sprint(v.Field(j).FieldByName("L").IsNil()), "true"
				}
				if got != want {
					t.Errorf("%d: %s is %s, want %s", i, name, got, want)
				}
			}
		})
	}
}

// A request that is taken back moves those behind it: what is said of them is true still.
func TestSentBehindTakenBack(t *testing.T) {
	for _, some := range []bool{false, true} {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			r.warm()
			r.s.setWindow(10)
			a := r.begin(context.Background(), get("/a"))
			b := r.begin(context.Background(), get("/b"))
			k := r.begin(context.Background(), get("/k"))
			b.x.Cancel()
			want := SentAll
			if some {
				r.s.setWindow(getHead + 10)
				want = SentPart
			} else {
				r.s.setWindow(wireWindow)
			}
			r.await(a)
			r.await(k)
			r.c.Close()
			r.failed(a, Closed, SentAll)
			r.failed(k, Closed, want)
		})
	}
}

// A Request may be sent again once its response has ended: what is left of the body before
// is still that one's.
func TestRequestUsedAgain(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		before, more := io.Pipe()
		defer more.Close()
		req := &Request{Method: "POST", Target: "/1", Host: "x", ContentLength: 10, Body: before}
		k := r.begin(context.Background(), req)
		more.Write([]byte("AAAA"))
		synctest.Wait()
		r.serve("/1") // early: the rest is little, and is sent
		r.await(k)
		r.got(k, "/1")
		next := strings.NewReader("bbbbbbbbbb")
		req.Target, req.Body = "/2", iotest.OneByteReader(next)
		for range 3 {
			go more.Write([]byte("AA"))
			synctest.Wait()
		}
		if got := string(r.s.receive(1 << 20)); !strings.HasSuffix(got, "\r\n\r\nAAAAAAAAAA") || next.Len() != 10 {
			t.Errorf("the server received %q; %d octets of the next body were read", got, 10-next.Len())
		}
		r.alive()
	})
}

// So it is with a body in memory that is held back until 100 (Continue) and the response
// come together.
func TestRequestUsedAgainAfterContinue(t *testing.T) {
	for range 20 { // which of two goroutines comes first differs
		inBubble(t, Config{}, false, func(r *rig) {
			req := &Request{Method: "POST", Target: "/1", Host: "x", Header: fieldsOf("Expect: 100-continue"), Body: bytes.NewReader([]byte("AAAA"))}
			x, err := r.c.Send(context.Background(), req)
			if err != nil {
				t.Fatal(err)
			}
			r.raw("HTTP/1.1 100 Continue\r\n\r\n" + answer("/1"))
			var resp Response
			if err := x.Wait(context.Background(), &resp); err != nil {
				t.Fatal(err)
			}
			if _, err := resp.AppendBody(nil, -1); err != nil {
				t.Fatal(err)
			}
			req.Body, req.Push, req.Idempotent = bytes.NewReader([]byte("bbbb")), true, true
			synctest.Wait()
			if got := string(r.s.receive(1 << 20)); !strings.HasSuffix(got, "\r\n\r\nAAAA") {
				t.Errorf("the server received %q; Err %v", got, r.c.Err())
			}
		})
	}
}

// An exchange whose response has ended, and whose body is not written on, lets go of its
// context, even if a call of Write was still under way: no other call may ever come.
func TestContextIsLeft(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		a := r.begin(ctx, &Request{Method: "PUT", Target: "/a", Host: "x", Push: true})
		r.await(a)
		r.s.receive(1 << 20)
		r.s.setWindow(1)
		var err error
		go func() { _, err = a.x.Write([]byte("hello")) }()
		synctest.Wait()
		r.serve("/a")
		r.got(a, "/a")
		wantError(t, err, Closed, SentPart)
		if a.x.e.stop != nil {
			t.Error("its context still has a callback to it")
		}
	})
}

// What has come into a Trailer while its request stood in line is looked at before its
// names go into the head.
func TestTrailerFilledInLine(t *testing.T) {
	for name, field := range map[string][2]string{
		"smuggles":  {"A\r\n\r\n0\r\n\r\nDELETE /all HTTP/1.1\r\nHost: x\r\nB", "v"},
		"forbidden": {"Content-Length", "1"},
	} {
		inBubble(t, Config{}, false, func(r *rig) {
			a := r.begin(context.Background(), get("/a"))
			req := &Request{Method: "POST", Target: "/b", Host: "x", Push: true}
			b := r.begin(context.Background(), req)
			req.Trailer.Add(field[0], field[1])
			r.await(a)
			r.serve("/a")
			r.got(a, "/a")
			r.failed(b, BadRequest, SentNothing)
			if got := r.took(); got != "GET /a;" {
				t.Errorf("%s: the server received %q", name, got)
			}
			r.alive()
		})
	}
}

// A body that is too long for its caller does not say that a request was sent whole which
// was not.
func TestSentOfALongBody(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		a := r.begin(context.Background(), &Request{Method: "POST", Host: "x", Push: true, ContentLength: 10})
		r.raw("HTTP/1.1 413 No\r\nContent-Length: 100\r\n\r\n" + strings.Repeat("x", 100))
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			t.Fatal(err)
		}
		_, err := a.resp.AppendBody(nil, 10)
		wantError(t, err, TooLarge, SentPart)
	})
	own := Response{Body: io.NopCloser(strings.NewReader("the caller's"))}
	_, err := own.AppendBody(nil, 10)
	wantError(t, err, TooLarge, SentAll)
}

// inItsMoment makes an exchange without a body that was answered, and whose Deadline has
// passed, before its write has returned.
func (r *rig) inItsMoment() *exchange {
	a := r.begin(context.Background(), soon("/a", time.Minute))
	synctest.Wait()
	e := a.x.e
	r.serve("/a")
	r.await(a)
	r.got(a, "/a")
	time.Sleep(time.Minute)
	synctest.Wait()
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if e.up.lastCut == nil {
		r.Error("not the state that is to be tested")
	}
	return e
}

// leavesNoTrace checks that what was cut is not used again so.
func (r *rig) leavesNoTrace(e *exchange) {
	synctest.Wait()
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if e.err == nil && e.up.lastCut != nil || e.c == r.c && e.err == nil {
		r.Errorf("it is not used again, or is cut: %v", e.up.lastCut)
	}
}

// An exchange whose write was cut does not go back to the pool as it is, even if it had no
// body.
func TestQuitLeavesNoTrace(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		s, rw := r.lateReturn("plain", "\r\n\r\n")
		r.c = NewConn(rw, r.c.cfg)
		defer r.c.Close()
		e := r.inItsMoment()
		close(s.gate)
		r.leavesNoTrace(e)
		r.alive()
	})
}

// An exchange whose write was cut does not go back to the pool as it is, either, if the
// connection ends before that write returns.
func TestEndInGraceLeavesNoTrace(t *testing.T) {
	inBubble(t, Config{Depth: 4}, true, func(r *rig) {
		r.s.setWindow(10)
		e := r.inItsMoment()
		r.c.Close()
		r.leavesNoTrace(e)
	})
}

// What came for a request that nobody wants, while a writer had it that was cut, is not
// forgotten as who read that leaves: the request does not leave without a trace, for more
// may come.
func TestSeenByAnother(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		s := &slow{r.s, 3 * time.Millisecond, 2 * time.Millisecond}
		r.c = NewConn(s, r.c.cfg)
		defer r.c.Close()
		r.warm()
		r.s.setWindow(3)
		r.late(true)
		a, x := r.begin(context.Background(), get("/a")), r.begin(context.Background(), get("/x"))
		r.late(false)
		r.flush()
		r.await(a)
		ctx, cancel := context.WithCancel(context.Background())
		r.begin(ctx, posting("/k"))
		x.x.Cancel()
		r.serve("/a")
		r.got(a, "/a")
		r.raw("HTTP/1.1 103 Early Hints\r\n\r\n")
		synctest.Wait()
		cancel()
		synctest.Wait()
		r.late(true)
		ctx, cancel = context.WithCancel(context.Background())
		r.begin(ctx, posting("/l"))
		time.Sleep(10 * time.Millisecond) // the write was put back
		r.c.mu.Lock()
		taken := x.x.e.start < r.c.taken
		s.reads = time.Millisecond
		r.c.mu.Unlock()
		if err := r.c.Err(); taken || err != nil {
			t.Fatal("not the state that is to be tested: ", taken, err)
		}
		r.s.setWindow(getHead)
		r.late(false)
		r.flush() // and is stuck again, in x
		cancel()
		synctest.Wait()
		time.Sleep(10 * time.Millisecond)
		r.dead()
	})
}
