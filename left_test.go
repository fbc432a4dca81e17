package h1

// left_test.go: responses that nobody wants any more, and none in flight is left to read.

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// deserted makes a connection on which the response of /b alone is due, and nobody wants
// it.
func (r *rig) deserted() {
	r.Helper()
	r.warm()
	a := r.begin(context.Background(), get("/a"))
	b := r.begin(context.Background(), get("/b"))
	r.await(a)
	b.x.Cancel()
	r.serve("/a")
	r.got(a, "/a")
	r.took()
	if got := r.c.State().String(); got != "wIdle rHead reuse n=1" {
		r.Fatal(got)
	}
}

func posting(target string) *Request {
	return &Request{Method: "POST", Target: target, Host: "x", Body: strings.NewReader("hello")}
}

// A request that is not to be pipelined reads in line what nobody wants; its turn would
// never come otherwise.
func TestDesertedResponse(t *testing.T) {
	for _, plain := range []bool{false, true} {
		for _, already := range []bool{false, true} {
			inBubble(t, Config{Depth: 4, StallTimeout: time.Hour}, plain, func(r *rig) {
				var k *call
				if already { // in line before the last that was wanted has ended
					r.warm()
					a := r.begin(context.Background(), get("/a"))
					b := r.begin(context.Background(), get("/b"))
					k = r.begin(context.Background(), posting("/k"))
					r.await(a)
					b.x.Cancel()
					r.serve("/a")
					r.got(a, "/a")
					r.took()
				} else {
					r.deserted()
					k = r.begin(context.Background(), posting("/k"))
				}
				l := r.begin(context.Background(), posting("/l"))
				if got := r.took(); got != "" {
					t.Errorf("sent too early: %q", got)
				}
				r.serve("/b")
				synctest.Wait()
				if got := r.took(); got != "POST /k;" {
					t.Fatalf("sent: %q; %v", got, r.c.State())
				}
				r.await(k)
				r.serve("/k")
				r.got(k, "/k")
				r.await(l)
				r.serve("/l")
				r.got(l, "/l")
				r.alive()
			})
		}
	}
}

// Its time may end as the last of that comes in: no bytes of nobody's are left then, nor a
// buffer for them.
func TestDesertedAtItsEnd(t *testing.T) {
	for _, kind := range uploadKinds {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			r.c.kind = kind
			r.deserted()
			ctx, cancel := context.WithCancel(context.Background())
			end := func() { cancel(); time.Sleep(time.Millisecond) }
			r.s.onRead.Store(&end)
			k := r.begin(ctx, posting("/k"))
			r.serve("/b")
			time.Sleep(time.Second)
			r.failed(k, Canceled, SentNothing)
			r.alive()
		})
	}
}

// A request in line that reads responses nobody wants may be ended, and the next in line
// goes on.
func TestDesertedAgain(t *testing.T) {
	for _, plain := range []bool{false, true} {
		for _, way := range []string{"cancel", "Deadline"} {
			inBubble(t, Config{Depth: 4}, plain, func(r *rig) {
				r.deserted()
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				req, kind := posting("/k"), Canceled
				if way == "Deadline" {
					req.Deadline, kind = time.Now().Add(time.Second), Timeout
				}
				k := r.begin(ctx, req)
				l := r.begin(context.Background(), posting("/l"))
				if way == "cancel" {
					cancel()
				}
				time.Sleep(2 * time.Second)
				r.failed(k, kind, SentNothing)
				if plain { // a read without deadlines ends with the stream
					r.failed(l, Closed, SentNothing)
					r.dead()
					return
				}
				r.serve("/b")
				synctest.Wait()
				r.await(l)
				r.serve("/l")
				r.got(l, "/l")
				r.alive()
			})
			if t.Failed() {
				t.Fatal(plain, way)
			}
		}
	}
}

// What ends the connection meanwhile is told to those in line: nothing of them was sent.
func TestDesertedForGood(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(r *rig)
		kind Kind
	}{
		{"cut off", func(r *rig) { r.s.reset() }, IO},
		{"close", func(r *rig) { r.raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n") }, Closed},
		{"too long", func(r *rig) { r.raw("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n") }, Closed},
		{"bad", func(r *rig) { r.raw("nonsense") }, Closed},
		{"two", func(r *rig) { r.raw(answer("/b") + answer("/b")) }, Closed},
		{"Close", func(r *rig) { r.c.Close() }, Closed},
		{"Shutdown", func(r *rig) { r.c.Shutdown(context.Background()) }, Closed},
		{"stall", func(r *rig) { time.Sleep(time.Hour) }, Timeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, Config{Depth: 4, StallTimeout: time.Minute}, false, func(r *rig) {
				r.deserted()
				k := r.begin(context.Background(), posting("/k"))
				l := r.begin(context.Background(), posting("/l"))
				c.end(r)
				synctest.Wait()
				for _, k := range []*call{k, l} {
					if bad, ok := k.err.(*Error); !k.over.Load() || !ok || !bad.Unprocessed() {
						t.Errorf("over %v: %v", k.over.Load(), k.err)
					}
				}
				if bad, ok := k.err.(*Error); ok && bad.Kind != c.kind {
					t.Errorf("%v is of kind %v", bad, bad.Kind)
				}
				r.dead()
			})
		})
	}
}

// A request in line that reads a response nobody wants waits no longer than that one's
// HeadTimeout.
func TestHeadTimeoutBehindAbandoned(t *testing.T) {
	inBubble(t, Config{Depth: 4, HeadTimeout: time.Minute}, false, func(r *rig) {
		r.deserted()
		p := r.begin(context.Background(), posting("/p"))
		time.Sleep(2 * time.Minute)
		r.failed(p, Timeout, SentNothing)
		r.dead()
	})
}

// A connection that takes no request any more, and on which only responses are due that
// nobody wants, is closed: nobody would come to read them.
func TestDesertedAndLast(t *testing.T) {
	for name, f := range map[string]func(r *rig){
		"close said to who reads in line": func(r *rig) {
			r.deserted()
			k := r.begin(context.Background(), posting("/k"))
			r.raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n/b")
			r.failed(k, Closed, SentNothing)
		},
		"Request.Close, canceled": func(r *rig) {
			r.warm()
			a := r.begin(context.Background(), get("/a"))
			last := get("/b")
			last.Close = true
			b := r.begin(context.Background(), last)
			r.await(a)
			b.x.Cancel()
			r.serve("/a")
			r.got(a, "/a")
		},
		"a write fails": func(r *rig) {
			r.warm()
			a := r.begin(context.Background(), get("/a"))
			r.s.receive(1 << 20)
			r.s.setWindow(0)
			b := r.begin(context.Background(), get("/b"))
			a.x.Cancel()
			r.s.failWrites(0, io.ErrClosedPipe)
			synctest.Wait()
			r.await(b)
			r.failed(b, IO, SentNothing)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{Depth: 4}, false, func(r *rig) {
				f(r)
				r.dead()
			})
		})
	}
}

// The patience of a Close, which was that of who gave up the response, does not bind who
// reads it in line.
func TestPatienceOfAnother(t *testing.T) {
	inBubble(t, Config{Depth: 8, StallTimeout: time.Hour}, false, func(r *rig) {
		a, b := r.writesOn("/a", "/b")
		y := r.begin(context.Background(), get("/y"))
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			t.Fatal(err)
		}
		go a.resp.Body.Close()
		synctest.Wait()
		k := r.begin(context.Background(), posting("/k"))
		for _, x := range []*call{a, b, y} { // y is not written yet
			x.x.Cancel()
			synctest.Wait()
		}
		if r.c.queue.head != a.x.e || a.x.e.recv.closeBy.IsZero() || r.c.reader == nil || !r.c.reader.inLine {
			t.Fatal("not the state that is to be tested")
		}
		time.Sleep(time.Second)
		r.s.setWindow(wireWindow)
		r.raw("/a")
		r.serve("/b")
		synctest.Wait()
		r.await(k)
		r.serve("/k")
		r.got(k, "/k")
		r.alive()
	})
}

// A body closed before it is there whole is read on by who waits behind it, for as long as
// it takes: neither is kept waiting by Close, nor ended by its patience.
func TestClosedBodySparesThoseBehind(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
	for i := range 8 {
		plain, late, away := i&1 > 0, i&2 > 0, i&4 > 0
		if plain && late {
			continue // only Close ends a read there
		}
		inBubble(t, Config{Depth: 4}, plain, func(r *rig) {
			r.warm()
			a := r.begin(context.Background(), get("/a"))
			var b *call
			if !late {
				b = r.begin(context.Background(), get("/b"))
			}
			r.raw(chunked)
			var resp Response
			if err := a.x.Wait(context.Background(), &resp); err != nil {
				t.Fatal(err)
			}
			if _, err := resp.Body.Read(make([]byte, 2)); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			closed := make(chan time.Duration, 1)
			go func() {
				resp.Body.Close()
				closed <- time.Since(start)
			}()
			synctest.Wait()
			if late {
				b = r.begin(context.Background(), get("/b"))
			}
			if !away {
				r.await(b)
			}
			if took := <-closed; !late && took != 0 || late && took != drainTime {
				t.Errorf("plain %v, late %v: Close took %v", plain, late, took)
			}
			time.Sleep(time.Hour)
			r.raw("4\r\nmore\r\n0\r\n\r\n")
			r.serve("/b")
			if away {
				r.await(b)
			}
			r.got(b, "/b")
			wantError(t, a.x.Wait(context.Background(), &resp), Canceled, SentAll)
			r.alive()
		})
	}
}

// Only Close's patience leaves a closed body to who waits behind it: what else ends its
// reading ends the connection, and not only when somebody reads on.
func TestClosedBodyThatEndsIt(t *testing.T) {
	for rest, stall := range map[string]time.Duration{"x\r\n": 0, "11\r\nseventeen bytes..": 0, "": drainTime / 2} {
		inBubble(t, Config{Depth: 4, MaxDrain: 16, StallTimeout: stall}, false, func(r *rig) {
			r.warm()
			a := r.begin(context.Background(), get("/a"))
			r.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
			var resp Response
			if err := a.x.Wait(context.Background(), &resp); err != nil {
				t.Fatal(err)
			}
			go resp.Body.Close()
			synctest.Wait()
			r.begin(context.Background(), get("/b"))
			r.raw(rest)
			time.Sleep(drainTime)
			if r.dead(); t.Failed() {
				t.Errorf("behind %q", rest)
			}
		})
	}
}

// What is at hand of a closed body needs nobody else.
func TestClosedBodyAtHand(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		b := r.begin(context.Background(), get("/b"))
		r.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n\r\n" + answer("/b"))
		var resp Response
		if err := a.x.Wait(context.Background(), &resp); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := r.c.State().String(); got != "wIdle rHead reuse n=1" {
			t.Errorf("state is %s", got)
		}
		r.await(b)
		r.got(b, "/b")
		r.alive()
	})
}

// Responses that nobody wants are read although the only one behind them is not out yet: a
// server may want to be rid of them before it reads on.
func TestLeftInFrontOfUnwritten(t *testing.T) {
	for i := range 4 {
		plain, send := i&1 > 0, i&2 > 0
		inBubble(t, Config{Depth: 4}, plain, func(r *rig) {
			r.warm()
			a := r.begin(context.Background(), get("/a"))
			b := r.begin(context.Background(), get("/b"))
			synctest.Wait()
			r.s.setWindow(2*getHead + 3)
			k := &call{}
			if send {
				k = r.begin(context.Background(), get("/k"))
				r.await(k)
			} else {
				go func() {
					k.err = r.c.Do(context.Background(), get("/k"), &k.resp)
					if k.err == nil {
						b, err := k.resp.AppendBody(nil, -1)
						k.body, k.err = string(b), err
					}
					k.over.Store(true)
				}()
				synctest.Wait()
			}
			a.x.Cancel()
			b.x.Cancel()
			r.serve("/a", "/b")
			synctest.Wait()
			if got := r.c.State().InFlight(); got != 1 {
				t.Errorf("plain %v, send %v: %d are in flight", plain, send, got)
			}
			r.s.setWindow(wireWindow)
			r.serve("/k")
			r.got(k, "/k")
			r.alive()
		})
	}
}

// The head of a pushed request that stands behind others does not keep Send: nobody could
// read what those in front leave.
func TestLeftInFrontOfPushed(t *testing.T) {
	for _, plain := range []bool{false, true} {
		inBubble(t, Config{Depth: 4}, plain, func(r *rig) {
			r.warm()
			a := r.begin(context.Background(), get("/a"))
			synctest.Wait()
			r.s.setWindow(getHead + 3)
			k := r.begin(context.Background(), &Request{Method: "PUT", Target: "/k", Host: "x", Push: true})
			if !k.sent.Load() {
				t.Fatal("Send waits for the server to read")
			}
			r.await(k)
			a.x.Cancel()
			r.serve("/a")
			synctest.Wait()
			if got := r.c.State().InFlight(); got != 1 {
				t.Errorf("%d are in flight", got)
			}
			r.s.setWindow(wireWindow)
			if err := k.x.CloseWrite(); err != nil {
				t.Error(err)
			}
			r.serve("/k")
			r.got(k, "/k")
			r.alive()
		})
	}
}

// A cancel that meets Close in its read lets it leave by itself: two never read at once.
func TestCanceledWhileClosing(t *testing.T) {
	for _, plain := range []bool{false, true} {
		inBubble(t, Config{Depth: 4}, plain, func(r *rig) {
			r.warm()
			a := r.begin(context.Background(), get("/a"))
			r.raw("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
			var resp Response
			if err := a.x.Wait(context.Background(), &resp); err != nil {
				t.Fatal(err)
			}
			closed := make(chan bool)
			go func() { resp.Body.Close(); close(closed) }()
			synctest.Wait()
			b := r.begin(context.Background(), get("/b")) // since then somebody is behind
			r.await(b)
			if !r.c.inRead || r.c.reader != a.x.e || r.c.queue.tail != b.x.e {
				t.Fatal("not the state that is to be tested")
			}
			r.c.mu.Lock()
			a.x.e.c.cancel(a.x.e, &Error{Kind: Canceled, Op: "test", Offset: -1})
			if !plain && r.c.reader != a.x.e {
				t.Error("another may read before Close has left")
			}
			r.c.unlock()
			<-closed
			if plain { // only Close of the stream ends a read there
				r.failed(b, Closed, SentAll)
				r.dead()
				return
			}
			r.raw("more")
			r.serve("/b")
			r.got(b, "/b")
			r.alive()
		})
	}
}

// What a call has failed with leaves nothing of an earlier response to be taken for its
// own.
func TestFailedResponseIsEmpty(t *testing.T) {
	for name, wire := range map[string]string{
		"nothing":   "",
		"half":      "HTTP/1.1 201 Created\r\nA: b\r\nC",
		"bad":       "HTTP/1.1 201 Created\r\nA: b\r\nContent-Length: x\r\n\r\n",
		"bad field": "HTTP/1.1 201 Created\r\nA: b\r\nC d\r\n\r\n",
	} {
		inBubble(t, Config{Timing: true}, false, func(r *rig) {
			r.raw("HTTP/1.1 200 Fine\r\nA: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nB: b\r\n\r\n")
			var resp Response
			if err := r.c.Do(context.Background(), get("/"), &resp); err != nil {
				t.Fatal(err)
			}
			if _, err := resp.AppendBody(nil, -1); err != nil || resp.Trailer.Len() != 1 {
				t.Fatal(err)
			}
			resp.Close = true // as one that came last on another connection has left it
			r.raw(wire)
			r.s.fail(io.EOF)
			err := r.c.Do(context.Background(), get("/"), &resp)
			if err == nil {
				t.Fatal("no error")
			}
			if resp.Status != 0 || resp.Minor != 0 || len(resp.Reason()) != 0 || resp.Header.Len() != 0 || resp.Trailer.Len() != 0 ||
				resp.ContentLength != 0 || resp.Close || resp.Timing != (Timing{}) {
				t.Errorf("%s: %+v", name, &resp)
			}
			_, err = resp.Body.Read(make([]byte, 1))
			wantError(t, err, Closed, SentAll)
		})
	}
}

// A response without content is not too long to be read for nobody, whatever MaxDrain is.
func TestEmptyResponseLeft(t *testing.T) {
	for _, head := range []string{"HTTP/1.1 204 No\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"} {
		for _, together := range []bool{false, true} {
			inBubble(t, Config{Depth: 4, MaxDrain: -1}, false, func(r *rig) {
				r.warm()
				a, b := r.begin(context.Background(), get("/a")), r.begin(context.Background(), get("/b"))
				r.await(b)
				a.x.Cancel()
				r.raw(head)
				if !together {
					synctest.Wait()
				}
				r.serve("/b")
				r.got(b, "/b")
			})
		}
		inBubble(t, Config{Depth: 4, MaxDrain: -1}, false, func(r *rig) {
			r.deserted()
			k := r.begin(context.Background(), posting("/k"))
			r.raw(head)
			synctest.Wait()
			r.await(k)
			r.serve("/k")
			r.got(k, "/k")
			r.alive()
		})
	}
}

// Where there is nothing to save, Close reads nothing and does not wait.
func TestCloseOfTheLast(t *testing.T) {
	for name, c := range map[string]struct {
		req  *Request
		cfg  Config
		head string
	}{
		"close":         {get("/"), Config{}, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\nhalf"},
		"Request.Close": {&Request{Host: "x", Close: true}, Config{}, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"},
		"until close":   {get("/"), Config{MaxDrain: math.MaxInt64}, "HTTP/1.1 200 OK\r\n\r\nhalf"},
	} {
		inBubble(t, c.cfg, false, func(r *rig) {
			k := r.begin(context.Background(), c.req)
			r.raw(c.head)
			synctest.Wait()
			if err := k.x.Wait(context.Background(), &k.resp); err != nil {
				t.Fatal(err)
			}
			why := r.c.Err()
			start := time.Now()
			k.resp.Body.Close()
			if took := time.Since(start); took > 0 || r.c.Stats().Drained > 0 {
				t.Errorf("%s: it took %v, and read %d bytes", name, took, r.c.Stats().Drained)
			}
			if why != nil && r.c.Err() != why {
				t.Errorf("%s: Err is %v, and was %v", name, r.c.Err(), why)
			}
			r.dead()
		})
	}
}

// Those behind have their responses, also where none comes after them.
func TestCloseInFrontOfTheLast(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		a, b := r.begin(context.Background(), get("/a")), r.begin(context.Background(), get("/b"))
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
		synctest.Wait()
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			t.Fatal(err)
		}
		go r.c.Shutdown(context.Background())
		r.await(b)
		a.resp.Body.Close()
		r.raw("-other")
		r.serve("/b")
		r.got(b, "/b")
		r.dead()
	})
}

// What Close has no more time for is a response that was given up, and nobody's Timeout,
// on whatever stream.
func TestKindOfWhatCloseGivesUp(t *testing.T) {
	onBoth(t, Config{}, func(r *rig) {
		a := r.begin(context.Background(), &Request{Method: "PUT", Target: "/a", Host: "x", Push: true})
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			t.Fatal(err)
		}
		b := r.begin(context.Background(), get("/b"))
		a.resp.Body.Close()
		_, err := a.x.Write([]byte("x"))
		wantError(t, err, Closed, SentPart)
		wantError(t, r.c.Err(), Closed, SentNothing)
		synctest.Wait()
		wantError(t, b.err, Closed, SentNothing)
		for _, err := range []error{err, r.c.Err(), b.err} {
			if errors.Is(err, Timeout) || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(err)
			}
		}
	})
}

// Whoever cancels an exchange whose response is over has its body's writer told so.
func TestCancelOfAnUploadLeft(t *testing.T) {
	for way, kind := range map[string]Kind{"Cancel": Canceled, "context": Canceled, "Deadline": Timeout} {
		for _, inWrite := range []bool{false, true} {
			inBubble(t, Config{}, false, func(r *rig) {
				r.warm()
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				req := &Request{Method: "PUT", Host: "x", Push: true, ContentLength: 20000}
				if way == "Deadline" {
					req.Deadline = time.Now().Add(time.Minute)
				}
				a := r.begin(ctx, req)
				r.s.setWindow(1000)
				var err error
				done := make(chan bool)
				write := func() { _, err = a.x.Write(make([]byte, 15000)); close(done) }
				if inWrite {
					go write()
					synctest.Wait()
				}
				r.serve("/a")
				r.await(a)
				r.got(a, "/a")
				switch way {
				case "Cancel":
					a.x.Cancel()
				case "context":
					cancel()
				default:
					time.Sleep(time.Minute)
				}
				synctest.Wait()
				if !inWrite {
					write()
				}
				<-done
				if !errors.Is(err, kind) {
					t.Errorf("%s, in Write %v: %v", way, inWrite, err)
				}
			})
		}
	}
}

// Closing a body does not wait if nobody wants any of the responses behind it.
func TestCloseInFrontOfNobody(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		a, b := r.begin(context.Background(), get("/a")), r.begin(context.Background(), get("/b"))
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
		synctest.Wait()
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			t.Fatal(err)
		}
		go r.c.Shutdown(context.Background())
		synctest.Wait()
		b.x.Cancel()
		start := time.Now()
		a.resp.Body.Close()
		if took := time.Since(start); took > 0 {
			t.Errorf("it took %v", took)
		}
		r.dead()
	})
}

// A closed body does not say that a request was sent whole which was not.
func TestSentOfAClosedBody(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		a := r.begin(context.Background(), &Request{Method: "PUT", Target: "/a", Host: "x", Push: true, ContentLength: 10})
		if _, err := a.x.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/a")
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			t.Fatal(err)
		}
		a.resp.Body.Close()
		_, err := a.resp.Body.Read(make([]byte, 1))
		wantError(t, err, Closed, SentPart)
	})
}
