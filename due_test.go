package h1

// due_test.go: from when the timeouts of a Config count, and until when a Deadline does.

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A read that stalls ends in its time, whatever others write meanwhile.
func TestReadStallIsNotPutOff(t *testing.T) {
	for name, others := range map[string]func(*rig) func(){
		"a body": func(r *rig) func() {
			b := r.begin(context.Background(), &Request{Method: "PUT", Target: "/b", Host: "x", Push: true})
			return func() { b.x.Write([]byte("hello")) }
		},
		"requests": func(r *rig) func() {
			return func() { r.await(r.begin(context.Background(), get("/c"))) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{Depth: 8, StallTimeout: time.Minute}, false, func(r *rig) {
				r.warm()
				start := time.Now()
				a := r.begin(context.Background(), get("/a"))
				r.await(a)
				another := others(r)
				time.Sleep(50 * time.Second)
				another()
				r.timedOut(a, start, time.Minute, "StallTimeout")
			})
		})
	}
}

// HeadTimeout is the server's: it does not count while the response in front comes in, nor
// against a head that is there, however late its caller is.
func TestHeadThatIsThere(t *testing.T) {
	onBoth(t, Config{HeadTimeout: time.Minute}, func(r *rig) {
		a := r.begin(context.Background(), get("/a"))
		r.serve("/a")
		time.Sleep(2 * time.Minute)
		r.await(a)
		r.got(a, "/a")
		r.alive()
	})
}

func TestHeadBehindALongBody(t *testing.T) {
	for _, left := range []bool{false, true} {
		inBubble(t, Config{HeadTimeout: time.Minute, Depth: 4}, false, func(r *rig) {
			r.warm()
			a, b := r.begin(context.Background(), get("/a")), r.begin(context.Background(), get("/b"))
			r.await(a)
			r.await(b)
			r.raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
			if left {
				synctest.Wait()
				a.x.Cancel()
			}
			for range 9 {
				time.Sleep(10 * time.Second)
				r.raw("x")
				synctest.Wait()
			}
			time.Sleep(50 * time.Second)
			r.serve("/b")
			if left {
				r.failed(a, Canceled, SentAll)
			} else {
				r.got(a, "xxxxxxxxx")
			}
			r.got(b, "/b")
			r.alive()
		})
	}
}

// A head that is not there, and was due before anybody waited for it, is not waited for.
func TestHeadThatIsLate(t *testing.T) {
	onBoth(t, Config{HeadTimeout: time.Minute}, func(r *rig) {
		a := r.begin(context.Background(), get("/a"))
		time.Sleep(2 * time.Minute)
		start := time.Now()
		r.await(a)
		r.timedOut(a, start, nearDeadline, "HeadTimeout")
	})
	// Nor longer where another's body goes out meanwhile, piece by piece.
	inBubble(t, Config{Depth: 4, HeadTimeout: time.Minute}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		b := r.begin(context.Background(), &Request{Method: "PUT", Target: "/b", Host: "x", Push: true})
		time.Sleep(2 * time.Minute)
		start := time.Now()
		go func() {
			for range 10 {
				b.x.Write([]byte("x"))
				time.Sleep(nearDeadline / 2)
			}
		}()
		r.await(a)
		r.timedOut(a, start, nearDeadline, "HeadTimeout")
		time.Sleep(time.Second)
	})
}

// A head is there, too, if it lies behind a 1xx head whose callback takes its time.
func TestHeadThatIsThereBehindAnother(t *testing.T) {
	inBubble(t, Config{HeadTimeout: time.Minute}, false, func(r *rig) {
		req := get("/a")
		req.Informational = func(int, *Header) error { time.Sleep(time.Second); return nil }
		a := r.begin(context.Background(), req)
		r.raw("HTTP/1.1 103 Early Hints\r\nLink: " + strings.Repeat("x", 5000) + "\r\n\r\n")
		r.serve("/a")
		time.Sleep(2 * time.Minute)
		r.await(a)
		time.Sleep(time.Second)
		r.got(a, "/a")
		r.alive()
	})
	// That the 1xx was waited for, while there was time, is not counted.
	inBubble(t, Config{HeadTimeout: time.Minute}, false, func(r *rig) {
		req := get("/a")
		req.Informational = func(int, *Header) error { r.serve("/a"); time.Sleep(time.Minute); return nil }
		a := r.begin(context.Background(), req)
		r.await(a)
		time.Sleep(time.Second)
		r.raw("HTTP/1.1 103 Early Hints\r\n\r\n")
		time.Sleep(time.Minute)
		r.got(a, "/a")
		r.alive()
	})
}

// The time of a request that is out counts, even if the writer goes on with others, and
// they move.
func TestTimesBesideAWrite(t *testing.T) {
	for name, cfg := range map[string]Config{
		"HeadTimeout":  {Depth: 4, HeadTimeout: time.Minute},
		"StallTimeout": {Depth: 4, StallTimeout: time.Minute},
	} {
		for _, together := range []bool{false, true} {
			if together && name == "HeadTimeout" {
				continue // how far one Write has come is not known
			}
			inBubble(t, cfg, false, func(r *rig) {
				r.warm()
				r.late(together)
				r.s.setWindow(3)
				a := r.begin(context.Background(), get("/a"))
				b := r.begin(context.Background(), get("/b"+strings.Repeat("b", 500)))
				r.late(false)
				r.flush()
				r.await(a)
				r.s.setWindow(getHead)
				if together {
					time.Sleep(time.Minute) // the write's own stall, after which that is known
				}
				start := time.Now()
				go func() {
					for n := range 10 {
						time.Sleep(20 * time.Second)
						r.s.setWindow(getHead + n + 1)
					}
				}()
				r.timedOut(a, start, time.Minute, name)
				r.await(b)
				time.Sleep(time.Hour)
			})
		}
	}
}

// Under TLS, too, a write is nothing to the time of a read that is under way.
func TestDeadlineBesideAWriteOfTLS(t *testing.T) {
	for _, kind := range []streamKind{layered, sealed} {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			r.c.kind = kind
			r.warm()
			start := time.Now()
			req := get("/a")
			req.Deadline = start.Add(time.Minute)
			a := r.begin(context.Background(), req)
			r.await(a)
			time.Sleep(time.Second)
			r.begin(context.Background(), get("/b"))
			r.timedOut(a, start, time.Minute, whyDeadline.String())
		})
	}
}

// A time that a stream's read has of its own, or a read that brings nothing, does not put
// StallTimeout off.
func TestStallBehindReadsForNothing(t *testing.T) {
	for name, read := range map[string]func(s *tap, p []byte) (int, error){
		"a deadline of its own": func(s *tap, p []byte) (int, error) {
			s.SetReadDeadline(time.Now().Add(50 * time.Second))
			return s.Read(p)
		},
		"nothing":   func(s *tap, p []byte) (int, error) { time.Sleep(50 * time.Second); return 0, nil },
		"a timeout": func(s *tap, p []byte) (int, error) { time.Sleep(50 * time.Second); return 0, os.ErrDeadlineExceeded },
	} {
		for _, body := range []bool{false, true} {
			inBubble(t, Config{}, false, func(r *rig) {
				s := &slowReader{tap: r.s, read: read}
				r.c = NewConn(s, &Config{StallTimeout: time.Minute})
				defer r.c.Close()
				r.warm()
				start := time.Now()
				k := r.begin(context.Background(), get("/a"))
				if body {
					begins := func() { s.own.Store(true) }
					r.s.onRead.Store(&begins)
					r.raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
				} else {
					s.own.Store(true)
				}
				r.await(k)
				for !k.over.Load() {
					time.Sleep(time.Second)
				}
				if took := time.Since(start); took > 2*time.Minute || !errors.Is(k.err, Timeout) {
					t.Errorf("%s, in a body %v: %v after %v", name, body, k.err, took)
				}
			})
		}
	}
}

// The stream's end is told as such also where a read that does not look at its deadline
// brings it late.
func TestEndBehindDeadline(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		s := &slowReader{tap: r.s, read: func(*tap, []byte) (int, error) { time.Sleep(time.Minute); return 0, io.EOF }}
		s.own.Store(true)
		r.c = NewConn(s, nil)
		k := r.begin(context.Background(), soon("/a", time.Second))
		r.await(k)
		time.Sleep(time.Minute)
		r.failed(k, Incomplete, SentAll)
	})
}

// A slowReader reads in its own way, once that is said.
type slowReader struct {
	*tap
	own  atomic.Bool
	read func(s *tap, p []byte) (int, error)
}

func (s *slowReader) Read(p []byte) (int, error) {
	if s.own.Load() {
		return s.read(s.tap, p)
	}
	return s.tap.Read(p)
}

// A head that was due long ago is not waited for if its bytes come one by one.
func TestHeadThatIsLateDribbles(t *testing.T) {
	onBoth(t, Config{HeadTimeout: time.Minute}, func(r *rig) {
		a := r.begin(context.Background(), get("/a"))
		time.Sleep(2 * time.Minute)
		head := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: " + strings.Repeat("x", 60000) + "\r\n\r\n/a"
		go func() {
			for i := range head {
				r.raw(head[i : i+1])
				time.Sleep(nearDeadline / 2)
			}
		}()
		start := time.Now()
		r.await(a)
		time.Sleep(mostLate + nearDeadline)
		if !a.over.Load() || !errors.Is(a.err, Timeout) {
			t.Errorf("%v after %v: %v", a.over.Load(), time.Since(start), a.err)
		}
		r.c.Close()
		time.Sleep(time.Hour)
	})
}

// In however many pieces a head came, it is there.
func TestHeadThatIsThereInPieces(t *testing.T) {
	onBoth(t, Config{HeadTimeout: time.Minute}, func(r *rig) {
		a := r.begin(context.Background(), get("/a"))
		for head := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: " + strings.Repeat("x", 100000) + "\r\n\r\n/a"; head != ""; {
			n := min(1200, len(head))
			r.raw(head[:n])
			head = head[n:]
		}
		time.Sleep(2 * time.Minute)
		r.await(a)
		r.got(a, "/a")
		r.alive()
	})
}

// A pushed body of known length is out when its last byte is, even if CloseWrite has not
// been called.
func TestTimesOfWhatIsPushedWhole(t *testing.T) {
	for name, cfg := range map[string]Config{"HeadTimeout": {HeadTimeout: time.Minute}, "StallTimeout": {StallTimeout: time.Minute}} {
		for _, body := range []bool{false, true} {
			for _, short := range []int64{0, 1} {
				inBubble(t, cfg, false, func(r *rig) {
					a := r.begin(context.Background(), &Request{Method: "PUT", Target: "/a", Host: "x", Push: true, ContentLength: 5 + short})
					r.await(a)
					if _, err := a.x.Write([]byte("hello")); err != nil {
						t.Fatal(err)
					}
					if body {
						r.raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
					}
					time.Sleep(time.Hour)
					if waits := short > 0 || body && name == "HeadTimeout"; a.over.Load() == waits || !waits && !errors.Is(a.err, Timeout) {
						t.Errorf("%s, in a body %v, %d short: over %v: %v", name, body, short, a.over.Load(), a.err)
					}
				})
			}
		}
	}
}

// The same where one long Write brings all of it, though CloseWrite comes late or never.
func TestTimesOfALongPush(t *testing.T) {
	for name, cfg := range map[string]Config{"HeadTimeout": {HeadTimeout: time.Minute}, "StallTimeout": {StallTimeout: time.Minute}} {
		for _, n := range []int{3000, 5000, 200_000} {
			for _, closes := range []bool{false, true} {
				onBoth(t, cfg, func(r *rig) {
					r.s.setWindow(1 << 20)
					a := r.begin(context.Background(), &Request{Method: "PUT", Target: "/a", Host: "x", Push: true, ContentLength: int64(n)})
					r.await(a)
					start := time.Now()
					if _, err := a.x.Write(make([]byte, n)); err != nil {
						t.Fatal(err)
					}
					if closes {
						time.Sleep(30 * time.Second)
						if err := a.x.CloseWrite(); err != nil {
							t.Fatal(err)
						}
					}
					r.timedOut(a, start, time.Minute, name)
				})
			}
		}
	}
}

// Once ExpectTimeout has passed a body is not held back, also where it is pushed, and the
// pusher comes to see that only after the final head.
func TestPushAfterExpectTimeout(t *testing.T) {
	for _, length := range []int64{0, 5} {
		onBoth(t, Config{ExpectTimeout: time.Second}, func(r *rig) {
			a := r.begin(context.Background(), &Request{Method: "PUT", Target: "/a", Host: "x", ContentLength: length,
				Push: true, Header: fieldsOf("Expect: 100-continue")})
			r.await(a)
			time.Sleep(20 * time.Second)
			r.raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/")
			synctest.Wait()
			if _, err := a.x.Write([]byte("hello")); err != nil {
				r.Errorf("length %d: Write: %v", length, err)
			}
			if err := a.x.CloseWrite(); err != nil {
				r.Errorf("length %d: CloseWrite: %v", length, err)
			}
			if got := string(r.s.receive(1 << 20)); !strings.Contains(got, "hello") {
				r.Errorf("length %d: the server has %q; %v", length, got, r.c.Err())
			}
			r.raw("a")
			r.got(a, "/a")
			r.alive()
		})
	}
}

// HeadTimeout holds, and an answer is taken, also where one whose request is out would go
// on to write others', which the stream does not take.
func TestHeadTimeoutInAnothersWrite(t *testing.T) {
	for _, kind := range []streamKind{opaque, direct, wrapped, layered} {
		for _, answered := range []bool{false, true} {
			inBubble(t, Config{Depth: 4, HeadTimeout: time.Minute}, false, func(r *rig) {
				r.c.kind = kind
				r.warm()
				r.s.setWindow(10)
				a := &call{}
				go func() {
					a.err = r.c.Do(context.Background(), get("/a"), &a.resp)
					a.over.Store(true)
				}()
				synctest.Wait()
				b := r.begin(context.Background(), get("/b"))
				r.await(b)
				r.s.setWindow(getHead + 10) // /a is out, and 10 bytes of /b
				synctest.Wait()
				if answered {
					r.serve("/a")
					synctest.Wait()
				} else {
					time.Sleep(time.Minute)
					synctest.Wait()
				}
				if !a.over.Load() || (a.err == nil) != answered {
					t.Errorf("kind %d, answered %v: over %v, %v", kind, answered, a.over.Load(), a.err)
				}
			})
		}
	}
}

// deadlineBeforeARead has a's Deadline pass in its callback, and checks that b is spared.
func deadlineBeforeARead(r *rig) {
	r.warm()
	req := soon("/a", time.Second)
	req.Informational = func(int, *Header) error { time.Sleep(2 * time.Second); return nil }
	a := r.begin(context.Background(), req)
	r.await(a)
	b := r.begin(context.Background(), get("/b"))
	r.await(b)
	r.raw("HTTP/1.1 103 Early Hints\r\n\r\n")
	time.Sleep(3 * time.Second)
	r.failed(a, Timeout, SentAll)
	r.serve("/a", "/b")
	r.got(b, "/b")
	r.alive()
}

// A Deadline that has passed before a read begins needs no Close, and spares the exchanges
// behind.
func TestDeadlineBeforeARead(t *testing.T) { onBoth(t, Config{Depth: 4}, deadlineBeforeARead) }

// A pushed body is not out before its last byte is: as long as the write moves, it has all
// the time it takes.
func TestTimesBesideALastWrite(t *testing.T) {
	inBubble(t, Config{StallTimeout: time.Minute}, false, func(r *rig) {
		a := r.begin(context.Background(), &Request{Method: "PUT", Target: "/a", Host: "x", Push: true, ContentLength: 5})
		r.await(a)
		synctest.Wait()
		r.s.receive(1 << 20)
		r.s.setWindow(0)
		go a.x.Write([]byte("hello"))
		for n := range 5 {
			time.Sleep(50 * time.Second)
			r.s.setWindow(n + 1)
			if synctest.Wait(); a.over.Load() {
				t.Fatalf("over after %d bytes: %v", n+1, a.err)
			}
		}
		time.Sleep(50 * time.Second)
		r.serve("/a")
		r.got(a, "/a")
	})
}

// A dawdler is a stream whose reads that are over their time return a little later.
type dawdler struct{ *tap }

func (s dawdler) Read(p []byte) (int, error) {
	n, err := s.tap.Read(p)
	if n == 0 && isTimeout(err) {
		time.Sleep(time.Millisecond)
	}
	return n, err
}

// A Deadline that has passed before a read begins needs no Close even where only Close is
// sure to end a read, as under TLS.
func TestDeadlineBeforeAReadUnderTLS(t *testing.T) {
	for _, kind := range []streamKind{layered, sealed} {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			r.c = NewConn(dawdler{r.s}, r.c.cfg)
			r.c.kind = kind
			defer r.c.Close()
			deadlineBeforeARead(r)
		})
	}
}

// A request whose response was given up, for others to read on, has a Deadline that means
// nothing to the write under way in its name, which moves the bytes of those others.
func TestDeadlineOfGivenUpWriter(t *testing.T) {
	for name, kind := range uploadKinds {
		for _, calls := range []bool{false, true} {
			inBubble(t, Config{Depth: 4}, false, func(r *rig) {
				if name == "plain" {
					r.c = NewConn(wirePlain{r.s}, r.c.cfg)
					defer r.c.Close()
				}
				r.c.kind = kind
				r.warm()
				r.s.setWindow(getHead + 3)
				r.late(true)
				req := soon("/a", time.Minute)
				req.Informational = func(int, *Header) error { return io.ErrUnexpectedEOF }
				a, b := r.begin(context.Background(), req), r.begin(context.Background(), get("/b"))
				r.late(false)
				r.flush()
				r.await(b)
				if r.c.writer != a.x.e || !r.c.inWrite {
					t.Fatal("not the state that is to be tested")
				}
				var rest string
				if calls {
					r.raw("HTTP/1.1 103 Early Hints\r\n\r\n")
					rest = answer("/a")
				} else {
					r.raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/")
					rest = "a"
				}
				err := a.x.Wait(context.Background(), &a.resp)
				if errors.Is(err, io.ErrUnexpectedEOF) != calls {
					t.Fatal(err)
				}
				a.resp.Body.Close()
				time.Sleep(time.Hour)
				r.s.setWindow(wireWindow)
				r.raw(rest)
				r.serve("/b")
				r.got(b, "/b")
				r.alive()
			})
			if t.Failed() {
				t.Fatalf("%s, by a callback's error: %v", name, calls)
			}
		}
	}
}

// The Deadline of a request that was given up still ends a write that is stuck in its own
// bytes, and one that is over its time as well.
func TestDeadlineInOwnWrite(t *testing.T) {
	for _, name := range []string{"plain", "layered", "sealed"} {
		for _, how := range []string{"not given up before", "its body is closed before", "with those of another"} {
			inBubble(t, Config{Depth: 4}, false, func(r *rig) {
				var rw io.ReadWriteCloser = &slow{tap: r.s, writes: time.Millisecond}
				if name == "plain" {
					rw = wirePlain{r.s}
				}
				r.c = NewConn(rw, r.c.cfg)
				defer r.c.Close()
				r.c.kind = uploadKinds[name]
				r.warm()
				together, window := how == "with those of another", getHead+3
				req := get("/a")
				if !together {
					req, window = put("/a", strings.Repeat("a", 3000)), 1000
				}
				req.Deadline = time.Now().Add(time.Second)
				r.s.setWindow(window)
				r.late(together)
				a := r.begin(context.Background(), req)
				b := r.begin(context.Background(), get("/b"))
				if r.late(false); together {
					r.flush()
				}
				r.await(b)
				if how == "its body is closed before" {
					r.raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/")
					if err := a.x.Wait(context.Background(), &a.resp); err != nil {
						t.Fatal(err)
					}
					a.resp.Body.Close()
				} else {
					r.await(a)
				}
				if r.c.writer != a.x.e || !r.c.inWrite || r.c.Err() != nil {
					t.Fatal("not the state that is to be tested")
				}
				time.Sleep(2 * time.Second)
				if !b.over.Load() || !errors.Is(b.err, Closed) {
					t.Errorf("b: %v, %v", b.over.Load(), b.err)
				}
				r.dead()
			})
			if t.Failed() {
				t.Fatal(name, ": ", how)
			}
		}
	}
}

// A Deadline that passes while nobody is in a call, or waits for one, takes nothing of what
// was read by then, though an alarm was set for the read before, or a Watch has been.
func TestDeadlineWhileAway(t *testing.T) {
	away := func(r *rig) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		r.c.Watch(ctx)
		k := r.begin(context.Background(), soon("/a", time.Second))
		time.AfterFunc(time.Millisecond, func() { r.serve("/a") })
		if k.err = k.x.Wait(context.Background(), &k.resp); k.err != nil {
			r.Fatal(k.err)
		}
		time.Sleep(time.Minute)
		body, err := k.resp.AppendBody(nil, -1)
		if string(body) != "/a" || err != nil {
			r.Fatalf("got %q, %v", body, err)
		}
		r.alive()
	}
	onBoth(t, Config{}, away)
	for _, kind := range []streamKind{layered, sealed} {
		inBubble(t, Config{}, false, func(r *rig) {
			r.c.kind = kind
			away(r)
		})
	}
}

// A body that is held back for 100 (Continue) does not keep its Deadline from being seen.
func TestDeadlineOfHeldBody(t *testing.T) {
	onBoth(t, Config{ExpectTimeout: time.Hour}, func(r *rig) {
		req := soon("/a", time.Second)
		req.Method, req.Push = "PUT", true
		req.Header.Add("Expect", "100-continue")
		k := r.begin(context.Background(), req)
		start := time.Now()
		_, err := k.x.Write([]byte("body"))
		wantError(r, err, Timeout, SentPart)
		if took := time.Since(start); took != time.Second {
			r.Errorf("Write took %v", took)
		}
	})
}
