package h1

// away_test.go: those whose time is over while they are in something for others, and those
// who wait for one whose caller is away.

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// late has the goroutine that writes what Send left in the buffer come late, or at last
// not.
func (r *rig) late(late bool) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	r.c.flushing = late
}

// flush writes what Send left in the buffer in nobody's name who waits.
func (r *rig) flush() {
	r.c.mu.Lock()
	r.c.runLater()
	r.c.mu.Unlock()
	synctest.Wait()
}

// A request that waits in line, and meanwhile writes what others have appended, fails at
// once when the connection takes no more requests: that write does not keep it. Another
// goroutine goes on with the write.
func TestRefusedWhileWritingForOthers(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		r.late(true)
		a := r.begin(context.Background(), get("/a"))
		r.s.setWindow(3)
		k := r.begin(context.Background(), posting("/k"))
		r.late(false)
		if r.c.writer == nil || !r.c.inWrite || !r.c.writer.inLine {
			t.Fatal("not the state that is to be tested")
		}
		over := make(chan error, 1)
		go func() { over <- r.c.Shutdown(context.Background()) }()
		r.failed(k, Closed, SentNothing)
		r.s.setWindow(wireWindow)
		synctest.Wait()
		if got := r.took(); got != "GET /a;" {
			t.Errorf("the server received %q", got)
		}
		r.await(a)
		r.serve("/a")
		r.got(a, "/a")
		if err := <-over; err != nil {
			t.Error(err)
		}
		r.dead()
	})
}

// answeredEarly leaves a request behind that was answered when the server had 10 bytes of
// its body: 10 more are in the buffer, and 80 to come from the pipe. (The goroutine that
// would write them comes late.)
func (r *rig) answeredEarly() *io.PipeWriter {
	body, more := io.Pipe()
	a := r.begin(context.Background(), &Request{Method: "PUT", Target: "/a", Host: "x", Body: body, ContentLength: 100})
	more.Write(make([]byte, 10))
	synctest.Wait()
	r.late(true)
	more.Write(make([]byte, 10))
	synctest.Wait()
	r.serve("/a")
	r.await(a)
	r.got(a, "/a")
	r.s.receive(1 << 20)
	return more
}

// A request that waits in line, and meanwhile writes the rest of a body that was answered
// already, is canceled at once, too.
func TestCanceledWhileWritingForTheAnswered(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		more := r.answeredEarly()
		defer more.Close()
		r.s.setWindow(3)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		k := r.begin(ctx, posting("/k"))
		r.late(false)
		if r.c.writer == nil || !r.c.inWrite || !r.c.writer.inLine {
			t.Fatal("not the state that is to be tested")
		}
		cancel()
		r.failed(k, Canceled, SentNothing)
		r.s.setWindow(wireWindow)
		more.Write(make([]byte, 80))
		synctest.Wait()
		if got := len(r.s.receive(1 << 20)); got != 90 {
			t.Errorf("the server received %d bytes", got)
		}
		r.alive()
	})
}

// A quietSocket is one of which nothing is seen, in whose buffers short requests always
// fit.
type quietSocket struct{}

func (quietSocket) Control(func(uintptr)) error    { return nil }
func (quietSocket) Read(func(uintptr) bool) error  { return nil }
func (quietSocket) Write(func(uintptr) bool) error { return nil }

// A write that a cancel is about to end is not given more time because the response of who
// was canceled has been read meanwhile, or another request was appended.
func TestCanceledWriterIsDrained(t *testing.T) {
	for _, more := range []bool{false, true} {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			s := &lazy{tap: r.s}
			r.c = NewConn(s, &Config{Depth: 4})
			r.c.sock, r.c.kind = quietSocket{}, wrapped
			defer r.c.Close()
			r.warm()
			r.late(true)
			req := get("/a")
			req.Deadline = time.Now().Add(time.Hour)
			a := r.begin(context.Background(), req)
			r.late(false)
			r.s.setWindow(3)
			r.await(a) // and writes itself, then /b
			b := r.begin(context.Background(), get("/b"))
			r.await(b)
			r.s.setWindow(getHead + 3)
			synctest.Wait()
			if r.c.writer != a.x.e || !r.c.inWrite || len(r.s.out) != getHead+3 {
				t.Fatal("not the state that is to be tested")
			}
			s.writes.hold.Store(true)
			a.x.Cancel()
			r.serve("/a")
			synctest.Wait()
			if r.c.queue.head != b.x.e {
				t.Fatal("the response of /a was not read")
			}
			want := "GET /a;GET /b;"
			var k *call
			if more {
				k = r.begin(context.Background(), get("/k"))
				want += "GET /k;"
			}
			s.letGo()
			r.failed(a, Canceled, SentAll)
			r.s.setWindow(wireWindow)
			synctest.Wait()
			if got := r.took(); got != want {
				t.Errorf("the server received %q", got)
			}
			r.serve("/b")
			r.got(b, "/b")
			if more {
				r.await(k)
				r.serve("/k")
				r.got(k, "/k")
			}
			r.alive()
		})
	}
}

// A request of which nothing was taken yet, and which reads what is due in front of it,
// leaves nobody behind where only Close ends that read.
func TestCanceledDrainerUnwritten(t *testing.T) {
	for _, plain := range []bool{false, true} {
		inBubble(t, Config{Depth: 8}, plain, func(r *rig) {
			a, b := r.writesOn("/a", "/b")
			e := r.begin(context.Background(), get("/e"))
			a.x.Cancel()
			b.x.Cancel()
			r.await(e)
			if r.c.reader != e.x.e || !r.c.inRead || e.x.e.start < r.c.taken {
				t.Fatal("not the state that is to be tested")
			}
			k := r.begin(context.Background(), get("/k"))
			e.x.Cancel()
			r.failed(e, Canceled, SentNothing)
			r.await(k)
			if plain {
				r.failed(k, Closed, SentNothing)
				r.dead()
				return
			}
			r.s.setWindow(wireWindow)
			synctest.Wait() // no server answers what it has not got
			r.serve("/a", "/b", "/k")
			r.got(k, "/k")
			r.alive()
		})
	}
}

// A write in the name of one whose response has ended is not cut off by its Deadline: the
// bytes left in it are another's.
func TestDeadlineOfAnsweredWriter(t *testing.T) {
	for _, plain := range []bool{false, true} {
		inBubble(t, Config{Depth: 4}, plain, func(r *rig) {
			r.warm()
			r.s.setWindow(3)
			req := get("/a")
			req.Deadline = time.Now().Add(time.Minute)
			a := r.begin(context.Background(), req)
			r.await(a)
			b := r.begin(context.Background(), get("/b"))
			r.s.setWindow(getHead + 3)
			synctest.Wait()
			if r.c.writer != a.x.e || !r.c.inWrite || len(r.s.out) != getHead+3 {
				t.Fatal("not the state that is to be tested")
			}
			r.serve("/a")
			r.got(a, "/a")
			r.await(b)
			time.Sleep(time.Hour)
			r.s.setWindow(wireWindow)
			synctest.Wait()
			if got := r.took(); got != "GET /a;GET /b;" {
				t.Errorf("the server received %q", got)
			}
			r.serve("/b")
			r.got(b, "/b")
			r.alive()
		})
	}
}

// What a canceled request leaves unread of the responses in front of it is read by the
// first in line.
func TestCanceledDrainerBeforeTheLine(t *testing.T) {
	inBubble(t, Config{Depth: 8}, false, func(r *rig) {
		a, b := r.writesOn("/a", "/b")
		e := r.begin(context.Background(), get("/e"))
		a.x.Cancel()
		b.x.Cancel()
		r.await(e)
		k := r.begin(context.Background(), posting("/k"))
		if r.c.reader != e.x.e || !r.c.inRead || e.x.e.start < r.c.taken || r.c.line.head == nil {
			t.Fatal("not the state that is to be tested")
		}
		e.x.Cancel()
		r.failed(e, Canceled, SentNothing)
		r.serve("/a")
		synctest.Wait()
		if r.c.queue.head != b.x.e {
			t.Errorf("nobody reads what is due while a write is stuck: %v", r.c.State())
		}
		r.s.setWindow(wireWindow)
		synctest.Wait()
		r.serve("/b")
		synctest.Wait()
		r.took()
		if !k.sent.Load() {
			t.Fatalf("the request in line is not sent: %v", r.c.State())
		}
		r.serve("/k")
		r.await(k)
		r.got(k, "/k")
		r.alive()
	})
}

// A write that is stuck in a request that nobody wants any more ends the connection once
// nobody is left whose time would: those behind are given up, or one in front is answered.
func TestStuckForNobody(t *testing.T) {
	for _, plain := range []bool{false, true} {
		for _, last := range []string{"taken back", "its caller leaves it", "out of line", "answered"} {
			t.Run(last, func(t *testing.T) {
				inBubble(t, Config{Depth: 8}, plain, func(r *rig) { r.stuckForNobody(last) })
			})
		}
	}
}

func (r *rig) stuckForNobody(last string) {
	a, b := r.writesOn("/a", "/b")
	if last == "answered" {
		r.await(a)
		b.x.Cancel()
		if err := r.c.Err(); err != nil {
			r.Fatalf("one is still wanted: %v", err)
		}
		r.serve("/a")
		r.got(a, "/a")
		r.dead()
		return
	}
	e := r.begin(context.Background(), get("/e"))
	a.x.Cancel()
	b.x.Cancel()
	line, leave := context.WithCancel(context.Background())
	var k *call
	switch last {
	case "its caller leaves it":
		r.await(e)
	case "out of line":
		k = r.begin(line, posting("/k"))
	}
	if err := r.c.Err(); err != nil {
		r.Fatalf("one is still wanted: %v", err)
	}
	e.x.Cancel()
	synctest.Wait()
	if err := r.c.Err(); k != nil && err != nil {
		r.Fatalf("one is still in line: %v", err)
	}
	leave()
	if k == nil {
		r.await(e)
		r.failed(e, Canceled, SentNothing)
	} else {
		r.failed(k, Canceled, SentNothing)
	}
	if err, ok := r.c.Err().(*Error); !ok || err.Kind != Canceled {
		r.Errorf("Err: %v", err)
	}
	r.dead()
}

// A request that was given up while a writer had it is not sent once none has it any more.
func TestDroppedBehindCutWrite(t *testing.T) {
	inBubble(t, Config{Depth: 8}, false, func(r *rig) {
		r.warm()
		r.s.setWindow(3)
		req := get("/a")
		req.Deadline = time.Now().Add(time.Second)
		a := r.begin(context.Background(), req)
		r.await(a)
		b, k := r.begin(context.Background(), get("/b")), r.begin(context.Background(), get("/k"))
		r.s.setWindow(getHead)
		synctest.Wait()
		b.x.Cancel()
		time.Sleep(2 * time.Second)
		r.failed(a, Timeout, SentAll)
		r.s.setWindow(wireWindow)
		synctest.Wait()
		if got := r.took(); got != "GET /a;GET /k;" {
			t.Errorf("the server received %q", got)
		}
		r.await(b)
		r.failed(b, Canceled, SentPart) // as far as was known when it failed
		r.await(k)
		r.serve("/a", "/k")
		r.got(k, "/k")
		r.alive()
	})
}

// A request that is answered while a writer has it, and canceled when half of its response
// was read, stays in the queue when that write is cut, even if no byte of it went out: the
// rest of its response must still be read.
func TestAnsweredBeforeItsWriteWasCut(t *testing.T) {
	for _, canceled := range []bool{false, true} {
		inBubble(t, Config{Depth: 8}, false, func(r *rig) {
			r.warm()
			r.s.setWindow(0)
			r.late(true)
			b, k := r.begin(context.Background(), get("/b")), r.begin(context.Background(), get("/k"))
			ctx, stop := context.WithCancel(context.Background())
			r.begin(ctx, posting("/p")) // which writes those, in line
			r.late(false)
			if r.c.line.head == nil || r.c.writer != r.c.line.head || !r.c.inWrite {
				t.Fatal("not the state that is to be tested")
			}
			r.raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nxxx")
			if err := b.x.Wait(context.Background(), &b.resp); err != nil {
				t.Fatal(err)
			}
			b.x.Cancel()
			stop()
			synctest.Wait()
			if canceled {
				k.x.Cancel()
				r.dead()
				return
			}
			if r.c.queue.head != b.x.e {
				t.Errorf("half of a response is nobody's: %v", r.c.State())
			}
			r.s.setWindow(wireWindow)
			synctest.Wait()
			r.raw(string(make([]byte, 97)))
			r.serve("/k")
			r.await(k)
			r.got(k, "/k")
		})
	}
}

// A write that is over, and has only not returned yet, is not stuck.
func TestOutForNobody(t *testing.T) {
	inBubble(t, Config{Depth: 8}, false, func(r *rig) {
		r.warm()
		returns := make(chan struct{})
		over := sync.OnceFunc(func() { close(returns) })
		defer over()
		late := func() { <-returns }
		r.s.onSent.Store(&late)
		r.late(true)
		a, b := r.begin(context.Background(), get("/a")), r.begin(context.Background(), get("/b"))
		r.late(false)
		r.flush()
		if got := r.took(); got != "GET /a;GET /b;" || !r.c.inWrite {
			t.Fatalf("not the state that is to be tested: the server received %q", got)
		}
		r.await(a)
		b.x.Cancel()
		r.serve("/a", "/b")
		r.got(a, "/a")
		over()
		r.alive()
	})
}

// A request that was answered before it was out whole still has its Deadline: this ends the
// write as soon as the write is for nobody else.
func TestStuckBehindAnswer(t *testing.T) {
	for _, plain := range []bool{false, true} {
		for _, late := range []bool{false, true} {
			inBubble(t, Config{Depth: 4}, plain, func(r *rig) {
				r.warm()
				r.s.setWindow(3)
				req := get("/a")
				req.Deadline = time.Now().Add(time.Minute)
				a := r.begin(context.Background(), req)
				r.await(a)
				b := r.begin(context.Background(), get("/b"))
				if !late {
					b.x.Cancel()
				}
				r.serve("/a")
				r.got(a, "/a")
				b.x.Cancel()
				if err := r.c.Err(); err != nil {
					t.Fatalf("late %v: it ended before the Deadline: %v", late, err)
				}
				time.Sleep(2 * time.Minute)
				r.dead()
			})
		}
	}
}

// Whoever waits for the connection, and not for a response, is not kept waiting by a
// request whose Deadline has passed while its caller was in no call.
func TestDeadlineWhileCallerIsAway(t *testing.T) {
	for _, plain := range []bool{false, true} {
		for _, who := range []string{"Ready", "Shutdown"} {
			for _, first := range []bool{false, true} { // who waits is first, or the request
				for _, inBody := range []bool{false, true} {
					inBubble(t, Config{}, plain, func(r *rig) {
						var over atomic.Bool
						wait := func() {
							if who == "Ready" {
								r.c.Ready().Wait(context.Background())
							} else {
								r.c.Shutdown(context.Background())
							}
							over.Store(true)
						}
						req := get("/a")
						req.Deadline = time.Now().Add(time.Minute)
						a := r.begin(context.Background(), req)
						if first {
							go wait()
							synctest.Wait()
						}
						if inBody {
							r.raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
							if err := a.x.Wait(context.Background(), &a.resp); err != nil {
								t.Fatal(err)
							}
						}
						if !first {
							go wait()
						}
						time.Sleep(time.Minute + time.Second)
						if !over.Load() {
							t.Errorf("%s hangs: plain %v, first %v, in body %v: %v", who, plain, first, inBody, r.c.State())
						}
						if inBody {
							_, err := a.resp.Body.Read(make([]byte, 9))
							wantError(t, err, Timeout, SentAll)
						} else {
							wantError(t, a.x.Wait(context.Background(), &a.resp), Timeout, SentAll)
						}
						r.dead()
					})
				}
			}
		}
	}
}

// TestCancelInFlushForOthers: a request that is canceled while it writes what stands before
// it leaves the line, and what it wrote goes on.
func TestCancelInFlushForOthers(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		r.s.setWindow(10)
		r.c.mu.Lock()
		r.c.flushing = true // so that the flush is left to who comes
		r.c.mu.Unlock()
		a := r.begin(context.Background(), get("/a"))
		ctx, cancel := context.WithCancel(context.Background())
		b := r.begin(ctx, &Request{Method: "POST", Host: "x", Body: strings.NewReader("hello")})
		cancel()
		synctest.Wait()
		r.s.setWindow(1000)
		r.failed(b, Canceled, SentNothing)
		r.serve("/a")
		r.await(a)
		r.got(a, "/a")
		if got := r.took(); got != "GET /a;" {
			t.Errorf("%s was written", got)
		}
		r.alive()
	})
}

// A request that is out whole is canceled while a goroutine of the engine's writes on in
// its name, on a stream without deadlines: those behind it are spared, by its Deadline as
// well.
func TestCanceledWhileItsWriteIsForOthers(t *testing.T) {
	for _, req := range []*Request{get("/a"), soon("/a", time.Second)} {
		inBubble(t, Config{Depth: 4}, true, func(r *rig) {
			r.warm()
			r.s.setWindow(10)
			if !req.Deadline.IsZero() {
				req.Deadline = time.Now().Add(time.Second)
			}
			a := r.begin(context.Background(), req)
			b := r.begin(context.Background(), get("/b"))
			r.s.setWindow(len("GET /a HTTP/1.1\r\nHost: x\r\n\r\n") + 5)
			synctest.Wait()
			r.c.mu.Lock()
			if e := a.x.e; r.c.written < e.end || r.c.writer != e || !r.c.inWrite {
				t.Error("not as meant")
			}
			r.c.mu.Unlock()
			r.await(b)
			a.x.Cancel()
			time.Sleep(3 * time.Second)
			r.s.setWindow(wireWindow)
			synctest.Wait()
			r.serve("/a", "/b")
			r.got(b, "/b")
			r.took()
			r.next("/c")
		})
	}
}

// Whoever waits in line behind a body may go on once that has ended, and not only when its
// last write has returned: that may wait for the same goroutine to read.
func TestBodyEndsInAStuckWrite(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		rest := make(chan bool)
		slow := readerFunc(func([]byte) (int, error) {
			<-rest
			return 0, io.EOF
		})
		body := io.MultiReader(strings.NewReader("he"), slow, strings.NewReader("he"))
		var sent atomic.Bool
		go func() { // a goroutine that is alone
			a, _ := r.c.Send(context.Background(), get("/a"))
			r.c.Send(context.Background(), &Request{Method: "PUT", Target: "/b", Host: "x", Body: body, ContentLength: 4})
			r.c.Send(context.Background(), get("/l"))
			sent.Store(true)
			var resp Response
			a.Wait(context.Background(), &resp)
		}()
		synctest.Wait()
		r.s.setWindow(0)
		r.raw(answer("/a"))
		close(rest)
		synctest.Wait()
		if !sent.Load() {
			t.Errorf("Send waits though it is its turn: %v", r.c.State())
		}
	})
}

// A Deadline that passes while nobody is in a call takes nothing of what was read by then,
// though a Ready was waited for in vain, or a request stands behind that nobody waits for,
// or that was canceled.
func TestDeadlineWhileOthersAreAway(t *testing.T) {
	for name, others := range map[string]func(r *rig){
		"Ready": func(r *rig) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Microsecond)
			defer cancel()
			for range 3 {
				r.c.Ready().Wait(ctx)
			}
		},
		"behind":          func(r *rig) { r.begin(context.Background(), get("/b")) },
		"canceled behind": func(r *rig) { r.begin(context.Background(), get("/b")).x.Cancel() },
	} {
		depth := 4
		if name == "Ready" {
			depth = 1
		}
		onBoth(t, Config{Depth: depth}, func(r *rig) {
			r.warm()
			a := r.begin(context.Background(), soon("/a", time.Second))
			others(r)
			r.serve("/a")
			if a.err = a.x.Wait(context.Background(), &a.resp); a.err != nil {
				r.Fatal(name, ": ", a.err)
			}
			time.Sleep(time.Minute)
			if body, err := a.resp.AppendBody(nil, -1); string(body) != "/a" || err != nil {
				r.Fatalf("%s: got %q, %v", name, body, err)
			}
		})
	}
}

// A Wait for Ready that ends leaves the others, and Done, what they wait for.
func TestReadyGivenUp(t *testing.T) {
	onBoth(t, Config{}, func(r *rig) {
		a := r.begin(context.Background(), get("/a"))
		ctx, cancel := context.WithCancel(context.Background())
		var over atomic.Int32
		wait := func(ctx context.Context) {
			r.c.Ready().Wait(ctx)
			over.Add(1)
		}
		go wait(ctx)
		go wait(context.Background())
		synctest.Wait()
		done := r.c.Ready().Done()
		cancel()
		synctest.Wait()
		if n := over.Load(); n != 1 {
			r.Fatalf("%d of 2 are over", n)
		}
		r.serve("/a")
		r.await(a)
		r.got(a, "/a")
		<-done
		if n := over.Load(); n != 2 {
			r.Errorf("%d of 2 are over", n)
		}
		r.begin(context.Background(), get("/b"))
		next := r.c.Ready().future()
		r.c.Ready().waitsNoMore(already) // what it waited for had come as it ended
		if r.c.ready != next || next.waits != 1 {
			r.Error("another's future was given up")
		}
	})
}

// A Deadline that passes while its caller is away ends the connection under another's
// Write, or a Send that is in line, which the server does not let end.
func TestDeadlineInFrontOfAWrite(t *testing.T) {
	for _, inLine := range []bool{false, true} {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			r.warm()
			if r.late(inLine); inLine {
				r.s.setWindow(0)
			}
			a := r.begin(context.Background(), soon("/a", time.Second))
			if !inLine {
				r.raw("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhalf")
				if err := a.x.Wait(context.Background(), &a.resp); err != nil {
					t.Fatal(err)
				}
			}
			b := r.begin(context.Background(), &Request{Method: "PUT", Target: "/b", Host: "x", Push: true})
			if r.late(false); !inLine {
				r.s.setWindow(0)
				go func() {
					_, b.err = b.x.Write(make([]byte, 10000))
					b.over.Store(true)
				}()
			}
			time.Sleep(time.Minute)
			if !b.over.Load() || !errors.Is(b.err, Closed) {
				t.Errorf("in line %v: over %v, %v", inLine, b.over.Load(), b.err)
			}
			r.dead()
		})
	}
}
