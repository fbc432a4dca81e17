package h1

// window_test.go: what may happen in the moments in which a call lets go of Conn.mu: while
// it reads or writes the stream, waits for Watch to leave, or runs the caller's code.

import (
	"context"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Close may have read a body to its end when a cancel comes: the bytes behind are the next
// exchange's.
func TestCancelAtTheEndOfClose(t *testing.T) {
	for _, wire := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/a",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n/a\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n/a\r\n0\r\nA: b\r\n\r\n",
	} {
		for split := strings.Index(wire, "\r\n\r\n") + 4; split < len(wire); split++ {
			inBubble(t, Config{Depth: 4}, false, func(r *rig) {
				r.warm()
				a := r.begin(context.Background(), get("/a"))
				b := r.begin(context.Background(), get("/b"))
				r.raw(wire[:split])
				if err := a.x.Wait(context.Background(), &a.resp); err != nil {
					t.Fatal(err)
				}
				r.await(b)
				end := a.x.Cancel
				r.s.onRead.Store(&end)
				go a.resp.Body.Close()
				synctest.Wait()
				r.raw(wire[split:])
				synctest.Wait()
				r.serve("/b")
				r.got(b, "/b")
				r.alive()
			})
			if t.Failed() {
				t.Fatalf("%q split at %d", wire, split)
			}
		}
	}
}

// A cancel ends a read once and for all, though a write that ends right after it, before
// the reader has noticed, sets the deadlines of reads anew.
func TestCancelBeforeWriteEnds(t *testing.T) {
	inBubble(t, Config{Depth: 4, StallTimeout: time.Hour}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		b := r.begin(context.Background(), get("/b"))
		r.await(a)
		r.await(b)
		time.Sleep(time.Second)
		r.c.mu.Lock()
		r.c.cancel(a.x.e, &Error{Kind: Canceled, Op: "read head", Offset: -1})
		r.c.afterWrite() // what the end of a write does, had it the lock next
		r.c.unlock()
		r.failed(a, Canceled, SentAll)
		r.serve("/a", "/b")
		r.got(b, "/b")
		r.alive()
	})
}

// A cancel finds also who is about to read, and waits for Watch to leave the socket.
func TestCancelWhileWatchLeaves(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		b := r.begin(context.Background(), get("/b"))
		w := &watch{parked: true} // one that takes its time
		w.cond.L = &r.c.mu
		r.c.mu.Lock()
		r.c.watch = w
		r.c.mu.Unlock()
		r.await(a)
		a.x.Cancel()
		r.c.mu.Lock()
		w.parked = false
		w.cond.Broadcast()
		r.c.mu.Unlock()
		r.failed(a, Canceled, SentAll)
		r.await(b)
		r.serve("/a", "/b")
		r.got(b, "/b")
		r.alive()
	})
}

// takenBack makes a request that waits for its response while its bytes wait behind a slow
// write: canceled, it leaves without a trace.
func (r *rig) takenBack(target string) *call {
	r.Helper()
	r.warm()
	r.s.setWindow(len(r.s.out) + 3)
	a := r.begin(context.Background(), get("/a"))
	r.await(a)
	r.serve("/a") // before its request was out whole
	r.got(a, "/a")
	b := r.begin(context.Background(), get(target))
	r.await(b)
	return b
}

// Bytes may come to a reader whose request was taken back in that moment. They are not its
// own to parse: they answer nothing, and end the connection as such bytes do.
func TestBytesForTakenBack(t *testing.T) {
	for _, wire := range []string{
		answer("/x"),
		"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\n\r\n",
	} {
		for _, behind := range []bool{false, true} {
			inBubble(t, Config{Depth: 4}, false, func(r *rig) {
				b, sent := r.takenBack("/b"), make(chan error, 1)
				end := func() {
					b.x.Cancel()
					if behind { // it waits until that read is over
						go func() {
							_, err := r.c.Send(context.Background(), get("/k"))
							sent <- err
						}()
					}
				}
				r.s.onRead.Store(&end)
				r.raw(wire)
				r.failed(b, Canceled, SentNothing)
				if e, ok := r.c.Err().(*Error); !ok || e.Kind != Unsolicited {
					t.Errorf("Err is %v", r.c.Err())
				}
				r.s.setWindow(wireWindow)
				synctest.Wait()
				r.took()
				if behind {
					wantError(t, <-sent, Closed, SentNothing)
				} else {
					k := r.begin(context.Background(), get("/k"))
					r.await(k)
					r.failed(k, Closed, SentNothing)
				}
				r.dead()
			})
			if t.Failed() {
				t.Fatalf("%q, one behind: %v", wire, behind)
			}
		}
	}
}

// A request that was taken back may be in its read for a moment longer: meanwhile the
// stream is not given back, and Watch does not take the deadline away.
func TestTakenBackStillReads(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		late := &slow{tap: r.s, reads: time.Millisecond}
		r.c.dl, r.c.rw = late, late
		b := r.takenBack("/b")
		b.x.Cancel()
		r.s.setWindow(wireWindow)
		synctest.Wait()
		if _, err := r.c.Detach(); err == nil {
			t.Error("the stream was given back under a reader")
		} else {
			wantError(t, err, NotReady, SentNothing)
		}
		time.Sleep(time.Second)
		r.failed(b, Canceled, SentNothing)
		if _, err := r.c.Detach(); err != nil {
			t.Error(err)
		}
	})
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.c.dl, r.c.rw = lagging{r.s}, lagging{r.s}
		b := r.takenBack("/b")
		b.x.Cancel()
		r.s.setWindow(wireWindow)
		ctx, cancel := context.WithCancel(context.Background())
		r.c.mu.Lock()
		r.c.sock = deaf{ctx}
		r.c.mu.Unlock()
		go r.c.Watch(ctx)
		time.Sleep(time.Second)
		r.failed(b, Canceled, SentNothing)
		cancel()
		synctest.Wait()
		r.alive()
	})
}

// deaf is a socket of which nothing is heard.
type deaf struct{ context.Context }

func (s deaf) Control(func(uintptr)) error    { return nil }
func (s deaf) Read(func(uintptr) bool) error  { <-s.Done(); return os.ErrDeadlineExceeded }
func (s deaf) Write(func(uintptr) bool) error { return nil }

// A request with a body writes what others have left in the buffer before it takes its
// turn. When its time ends in that write, it leaves as from the line, and the others live.
func TestTimeEndsInOthersWrite(t *testing.T) {
	for _, way := range []string{"Deadline", "context"} {
		for _, method := range []string{"PUT", "POST"} { // POST has to wait in line afterwards
			inBubble(t, Config{Depth: 4}, false, func(r *rig) {
				r.warm()
				r.s.setWindow(len(r.s.out) + 3)
				r.c.flushing = true // the goroutine that writes for Send comes late
				a := r.begin(context.Background(), get("/a"))
				req := &Request{Method: method, Target: "/b", Host: "x", Body: strings.NewReader("hi")}
				ctx, cancel := context.WithCancel(context.Background())
				kind := Canceled
				if way == "Deadline" {
					req.Deadline, kind = time.Now().Add(time.Second), Timeout
				}
				b := r.begin(ctx, req)
				if way == "context" {
					cancel()
				}
				time.Sleep(time.Second)
				r.failed(b, kind, SentNothing)
				cancel()
				r.c.mu.Lock()
				r.c.flushing = false
				r.c.mu.Unlock()
				r.await(a)
				r.s.setWindow(wireWindow)
				r.serve("/a")
				r.got(a, "/a")
				if got := r.took(); got != "GET /a;" {
					t.Errorf("the server received %q", got)
				}
				r.alive()
			})
		}
	}
}

// Ready is told also of a request whose time ended before it was written.
func TestReadyAfterLateFlush(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.c.flushing = true // the goroutine that writes for Send comes late
		a := r.begin(context.Background(), get("/a"))
		done := r.c.Ready().Done()
		if is(done) {
			t.Fatal("nothing has shown yet that the connection persists")
		}
		r.c.mu.Lock()
		a.x.e.by = time.Now()
		r.c.mu.Unlock()
		r.await(a)
		r.failed(a, Timeout, SentNothing)
		if !is(done) {
			t.Error("Ready was not told")
		}
	})
}

// deserter is a body of five bytes that does not come back from being read.
type deserter struct{ leave func() }

func (deserter) Len() int                   { return 5 }
func (d deserter) Read([]byte) (int, error) { d.leave(); return 0, nil }

// The caller's code may panic, or end its goroutine: that ends the connection, and nothing
// else of the program.
func TestCallerDeserts(t *testing.T) {
	for name, leave := range map[string]func(){"panic": func() { panic("by the caller") }, "Goexit": runtime.Goexit} {
		info := get("/a")
		info.Informational = func(int, *Header) error { leave(); return nil }
		body := &Request{Method: "PUT", Host: "x", Body: deserter{leave}}
		calls := map[string]func(c *Conn){
			"Informational in Do":   func(c *Conn) { c.Do(context.Background(), info, new(Response)) },
			"Informational in Wait": func(c *Conn) { x, _ := c.Send(context.Background(), info); x.Wait(context.Background(), new(Response)) },
			"Body in Do":            func(c *Conn) { c.Do(context.Background(), body, new(Response)) },
			"Body in Send":          func(c *Conn) { c.Send(context.Background(), body) },
		}
		for call, f := range calls {
			t.Run(call+"/"+name, func(t *testing.T) {
				inBubble(t, Config{}, false, func(r *rig) {
					r.raw("HTTP/1.1 103 Early Hints\r\n\r\n")
					go func() {
						defer func() { recover() }()
						f(r.c)
					}()
					r.dead()
				})
			})
		}
	}
}

// A rest of a body that is still written, since that saves the connection, is let go of
// when nothing can be saved any more: its memory is another exchange's soon.
func TestShutdownInRestOfBody(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		r.s.setWindow(20)
		a := r.begin(context.Background(), &Request{Method: "PUT", Target: "/a", Host: "x", Body: strings.NewReader(strings.Repeat("x", 10<<10))})
		r.await(a)
		r.serve("/a")
		r.got(a, "/a")
		if got := r.c.State().String(); got != "wBody rIdle reuse n=0" {
			t.Fatal(got)
		}
		if err := r.c.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		r.dead()
		if r.c.upload != nil {
			t.Error("the connection holds on to an exchange that has ended")
		}
	})
}

// Requests that are appended while another is written may be more than the buffer holds at
// first: it grows, and all go out.
func TestAppendedBeyondBuffer(t *testing.T) {
	inBubble(t, Config{Depth: 16, WriteBuffer: 64}, false, func(r *rig) {
		r.warm()
		r.s.setWindow(len(r.s.out) + 3)
		var calls []*call
		var targets []string
		for i := range 12 {
			targets = append(targets, "/"+strings.Repeat("x", 30)+string(rune('a'+i)))
			calls = append(calls, r.begin(context.Background(), get(targets[i])))
			r.await(calls[i])
		}
		r.s.setWindow(1 << 20)
		synctest.Wait()
		if got, want := r.took(), "GET "+strings.Join(targets, ";GET ")+";"; got != want {
			t.Errorf("the server received %q, want %q", got, want)
		}
		r.serve(targets...)
		for i, target := range targets {
			r.got(calls[i], target)
		}
		r.alive()
	})
}

// A long head makes the write buffer grow. What then waits in it is not lost when the next
// request is appended.
func TestAppendBehindLongHead(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		r.s.setWindow(3)
		a := r.begin(context.Background(), get("/a"))
		r.await(a) // it is in its write
		long := get("/b")
		long.Header.Add("X", strings.Repeat("x", 5000))
		b := r.begin(context.Background(), long)
		c := r.begin(context.Background(), get("/c"))
		r.await(b)
		r.await(c)
		r.s.setWindow(wireWindow)
		synctest.Wait()
		if got := r.took(); got != "GET /a;GET /b;GET /c;" {
			t.Errorf("the server received %q", got)
		}
		r.serve("/a", "/b", "/c")
		r.got(a, "/a")
		r.got(b, "/b")
		r.got(c, "/c")
		r.alive()
	})
}

// Wait on a request that was taken back leaves to others what they have in the buffer: that
// write would keep it, or its time, which is over, would end theirs.
func TestWaitAfterEnd(t *testing.T) {
	for _, kind := range []streamKind{opaque, layered} {
		for _, limit := range []time.Duration{0, time.Second} {
			inBubble(t, Config{Depth: 4}, false, func(r *rig) {
				r.warm()
				r.c.kind = kind
				r.s.setWindow(3)
				r.c.flushing = true // the goroutine that writes for Send comes late
				a := r.begin(context.Background(), get("/a"))
				req := get("/b")
				if limit > 0 {
					req.Deadline = time.Now().Add(limit)
				}
				b := r.begin(context.Background(), req)
				b.x.Cancel()
				time.Sleep(limit)
				r.await(b)
				r.failed(b, Canceled, SentNothing)
				r.s.setWindow(wireWindow)
				r.await(a)
				r.serve("/a")
				r.got(a, "/a")
				r.alive()
			})
		}
	}
}

// A request that lets others run before it writes may be canceled in that moment: it
// leaves, and what the others have appended is written without it.
func TestCancelBeforeFlush(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	met := 0
	for range 100 {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			r.warm()
			r.s.setWindow(3)
			r.c.flushing = true // the goroutine that writes for Send comes late
			a := r.begin(context.Background(), get("/a"))
			b := r.begin(context.Background(), get("/b"))
			r.c.flushing = false
			var waits atomic.Bool
			go func() {
				waits.Store(true)
				b.err = b.x.Wait(context.Background(), &b.resp)
				b.over.Store(true)
			}()
			for !waits.Load() {
				runtime.Gosched()
			}
			b.x.Cancel()
			if synctest.Wait(); b.over.Load() && r.c.Err() != nil {
				return // it was in its write already, which ends the connection
			}
			met++
			r.failed(b, Canceled, SentNothing)
			r.await(a)
			r.s.setWindow(wireWindow)
			r.serve("/a")
			r.got(a, "/a")
			r.alive()
		})
		if t.Failed() {
			return
		}
	}
	if met == 0 {
		t.Error("the moment was never met")
	}
}

// A write may go on in the name of a request that has left, its time being over: that is
// not the time of those behind it.
func TestWriteOfOneWhoLeft(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		r.s.setWindow(3)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		a := r.begin(ctx, get("/a"))
		r.await(a) // it is in its write
		req := get("/b")
		req.Deadline = time.Now().Add(time.Second)
		b := r.begin(context.Background(), req)
		k := r.begin(context.Background(), get("/k"))
		r.await(b)
		r.await(k)
		r.s.setWindow(len("GET /a HTTP/1.1\r\nHost: x\r\n\r\n") + 10)
		time.Sleep(2 * time.Second) // a writes for b and k
		r.failed(b, Timeout, SentPart)
		cancel()
		r.failed(a, Canceled, SentAll)
		r.s.setWindow(wireWindow)
		synctest.Wait()
		if got := r.took(); got != "GET /a;GET /b;GET /k;" {
			t.Errorf("the server received %q", got)
		}
		r.serve("/a", "/b", "/k")
		r.got(k, "/k")
		r.alive()
	})
}

// A switch may be answered before the write that ends a pushed body has returned: that is
// waited for, and CloseWrite is not.
func TestSwitchDuringWrite(t *testing.T) {
	for _, broken := range []bool{false, true} {
		inBubble(t, Config{}, false, func(r *rig) {
			r.s.setWindow(100)
			req := &Request{Target: "/a", Host: "x", Push: true, ContentLength: 10 << 10}
			req.Header.Add("Connection", "upgrade")
			req.Header.Add("Upgrade", "any")
			a := r.begin(context.Background(), req)
			r.await(a)
			go a.x.Write(make([]byte, 10<<10))
			synctest.Wait()
			r.raw("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: any\r\n\r\n")
			synctest.Wait()
			if broken {
				r.s.failWrites(0, syscall.EPIPE)
				r.failed(a, NotSwitched, SentPart)
				r.dead()
				return
			}
			r.s.setWindow(wireWindow)
			r.got(a, "")
			if err := a.x.CloseWrite(); err != nil {
				t.Error(err)
			}
			if !r.c.State().Switched() {
				t.Error(r.c.State())
			}
		})
	}
}

// The same where the request has no body, and is written by nobody's call.
func TestSwitchBeforeWriteReturns(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		late := &atomic.Pointer[chan struct{}]{}
		r.c.rw, r.c.dl = lateWriter{r.s, late}, r.s
		r.warm()
		gate := make(chan struct{})
		late.Store(&gate)
		req := get("/a")
		req.Header.Add("Upgrade", "any")
		a := r.begin(context.Background(), req)
		r.await(a)
		r.raw("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: any\r\n\r\n")
		synctest.Wait()
		if a.over.Load() {
			t.Errorf("it has ended before its write returned: %v", a.err)
		}
		late.Store(nil)
		close(gate)
		r.got(a, "")
		if !r.c.State().Switched() {
			t.Error(r.c.State())
		}
	})
}

// What stands behind a response that says close is not written to its end: who writes it is
// let go at once, and the response lives.
func TestWriteBehindClose(t *testing.T) {
	big := strings.Repeat("x", 10<<10)
	for _, way := range []string{"head", "body", "body with Deadline"} {
		for _, kind := range []streamKind{opaque, layered} {
			inBubble(t, Config{Depth: 4}, false, func(r *rig) {
				r.warm()
				r.c.kind = kind
				a := r.begin(context.Background(), get("/a"))
				r.await(a)
				r.took()
				r.s.setWindow(10)
				req := get("/b")
				if way != "head" {
					req.Method, req.Body = "PUT", strings.NewReader(big)
				}
				if way == "body with Deadline" {
					req.Deadline = time.Now().Add(time.Second)
				}
				b := r.begin(context.Background(), req)
				r.await(b)
				r.raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\n/a")
				r.failed(b, Closed, SentPart)
				time.Sleep(2 * time.Second)
				r.raw("/a")
				r.got(a, "/a/a")
				r.dead()
			})
			if t.Failed() {
				t.Fatal(way, kind)
			}
		}
	}
}

// What stands behind such a response and was not begun is never written: its error has said
// so. Here the write goes on in the name of the request that was answered.
func TestNothingIsWrittenBehindClose(t *testing.T) {
	for _, plain := range []bool{false, true} {
		inBubble(t, Config{Depth: 4}, plain, func(r *rig) {
			r.warm()
			r.s.setWindow(0)
			a := r.begin(context.Background(), get("/a"))
			b := r.begin(context.Background(), get("/b"))
			r.s.setWindow(len("GET /a HTTP/1.1\r\nHost: x\r\n\r\n") + 5)
			synctest.Wait()
			c := r.begin(context.Background(), get("/c"))
			r.await(a)
			r.await(b)
			r.await(c)
			r.raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\n/a")
			r.failed(b, Closed, SentPart)
			r.failed(c, Closed, SentNothing)
			r.s.setWindow(wireWindow)
			synctest.Wait()
			if got := r.took(); strings.Contains(got, "/c") {
				t.Errorf("the server received %q", got)
			}
			r.raw("/a")
			r.got(a, "/a/a")
			r.dead()
		})
	}
}

// Exchange.Write fails at once when the server has said close to a request before it.
func TestWriteBehindCloseIsLetGo(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		r.took()
		r.s.setWindow(100)
		b := r.begin(context.Background(), &Request{Method: "PUT", Target: "/b", Host: "x", Push: true})
		wrote := background(func() error { _, err := b.x.Write(make([]byte, 10<<10)); return err })
		if wrote.over.Load() {
			t.Fatalf("the stream has taken all, or failed: %v", wrote.err)
		}
		r.raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\n/a")
		r.failed(wrote, Closed, SentPart)
		r.raw("/a")
		r.got(a, "/a/a")
		r.dead()
	})
}

// Whoever waits behind a request is woken by that request's Deadline, even if its caller
// was in Wait, or in a Read, when the wait began, and does not come back for the body.
func TestDeadlineWhileCallerStaysAway(t *testing.T) {
	for _, depth := range []int{1, 4} {
		for _, reads := range []bool{false, true} {
			inBubble(t, Config{Depth: depth}, false, func(r *rig) {
				r.warm()
				req := get("/a")
				req.Deadline = time.Now().Add(time.Second)
				a, b := r.begin(context.Background(), req), &call{}
				if reads {
					r.raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
				}
				go func() {
					if a.err = a.x.Wait(context.Background(), &a.resp); a.err == nil && reads {
						_, a.err = a.resp.Body.Read(make([]byte, 9))
					}
				}()
				synctest.Wait()
				go func() {
					b.err = r.c.Do(context.Background(), get("/b"), &b.resp)
					b.over.Store(true)
				}()
				synctest.Wait()
				if reads {
					r.raw("/a")
				} else {
					r.raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n/a")
				}
				time.Sleep(2 * time.Second)
				if depth == 1 {
					r.failed(b, Closed, SentNothing) // a was the only one in flight
					return
				}
				r.raw("/a")
				r.serve("/b")
				synctest.Wait()
				if !b.over.Load() || b.err != nil {
					t.Errorf("over: %v, %v; %v", b.over.Load(), b.err, r.c.State())
				}
			})
			if t.Failed() {
				t.Fatal(depth, reads)
			}
		}
	}
}

// A connection that is idle before the write of its last request has returned gives its
// buffers back when that does.
func TestIdleBeforeWriteEnds(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		r.s.setWindow(3)
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		r.serve("/a") // before its request was out whole
		r.got(a, "/a")
		_, err := r.c.Detach()
		wantError(r, err, NotReady, SentNothing) // the rest of the write would be another's
		r.s.setWindow(wireWindow)
		synctest.Wait()
		if c := r.c; !c.State().Idle() || c.br != nil || c.wbuf != nil || c.spare != nil {
			t.Errorf("%v, and it holds buffers: %v, %v, %v", c.State(), c.br, c.wbuf, c.spare)
		}
		r.alive()
	})
}
