package h1

// turns_test.go: whose turn it is, where others wait or have left.

import (
	"context"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Done is closed once a request would be admitted, and not when something else happens.
func TestReadyNotTooEarly(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		a := r.begin(context.Background(), get("/a"))
		done := r.c.Ready().Done()
		ctx, cancel := context.WithCancel(context.Background())
		b := r.begin(ctx, get("/b"))
		cancel()
		r.failed(b, Canceled, SentNothing)
		r.serve("/a")
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			r.Fatal(err)
		}
		if is(done) {
			r.Error("ready while a response is unread")
		}
		io.Copy(io.Discard, a.resp.Body)
		if !is(done) {
			r.Error("not ready when all is read")
		}
	})
}

// Who asks is behind those in line, even where the connection has room for a request like
// that which Ready speaks of.
func TestReadyBehindTheLine(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		if !is(r.c.Ready().Done()) {
			r.Error("not ready beside /a")
		}
		b := r.begin(context.Background(), &Request{Method: "POST", Target: "/b", Host: "x"}) // in line
		wantError(r, r.c.Ready().Err(), NotReady, SentNothing)
		done := r.c.Ready().Done()
		if _, err := r.c.TrySend(context.Background(), get("/c")); is(done) || !errors.Is(err, NotReady) {
			r.Errorf("ready %v, TrySend: %v", is(done), err)
		}
		r.serve("/a", "/b")
		r.await(a)
		r.got(a, "/a")
		r.await(b)
		r.got(b, "/b")
		if !is(done) {
			r.Error("not ready behind all")
		}
		r.alive()
	})
}

// A tunnel takes no requests: those in line are told when it begins, and so is Ready. Its
// exchange has ended, and lets go of its context.
func TestLineBehindTunnel(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		tunnel := r.begin(ctx, &Request{Method: "CONNECT", Target: "x:1"})
		b := r.begin(context.Background(), get("/b"))
		done := r.c.Ready().Done()
		r.await(tunnel)
		r.raw("HTTP/1.1 200 OK\r\n\r\n")
		r.got(tunnel, "")
		r.failed(b, Closed, SentNothing)
		if !is(done) {
			r.Error("Ready is not told")
		}
		if _, err := tunnel.x.Write(nil); err != errEnded || tunnel.x.e.stop != nil {
			r.Errorf("the exchange has not ended: %v", err)
		}
	})
}

// What is detached is closed to requests, and says so.
func TestDetachedState(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		r.warm()
		if _, err := r.c.Detach(); err != nil {
			r.Fatal(err)
		}
		if s := r.c.State(); !s.Closed() || s.Reusable() || s.Idle() || s.Switched() {
			r.Errorf("%v", s)
		}
	})
}

// A response to a request of which no writer has taken a byte answers nothing, though that
// was appended before it came: the writer was busy with others.
func TestAnsweredInTheBuffer(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		r.s.setWindow(3)
		a := r.begin(context.Background(), get("/a"))
		b := r.begin(context.Background(), get("/b"))
		r.await(a)
		r.await(b)
		r.serve("/a")
		r.got(a, "/a")
		if !r.c.inWrite || b.x.e.start < r.c.taken {
			r.Fatal("not the state that is to be tested")
		}
		if s := r.c.Stats(); s.Unwritten != r.c.appended()-s.BytesWritten {
			r.Errorf("%d bytes are told to be unwritten, of %d", s.Unwritten, r.c.appended())
		}
		r.serve("/evil")
		r.failed(b, Unsolicited, SentNothing)
		if e, ok := b.err.(*Error); ok && !e.Unprocessed() {
			r.Error("it counts as processed")
		}
		r.dead()
	})
}

// Hints keeps what the last Keep-Alive field has said, and not the last response.
func TestHintsStay(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		k := r.begin(context.Background(), get("/a"))
		r.raw("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=9\r\nContent-Length: 0\r\n\r\n")
		r.await(k)
		r.got(k, "")
		r.next("/b")
		if d, n := r.c.Hints(); d.Seconds() != 5 || n != 9 {
			r.Errorf("%v, %d", d, n)
		}
	})
}

// A write that fails while a response comes in is not what ends that response, if the
// stream does.
func TestEndInsideResponseAfterWriteFailed(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		up, body := r.slowPost("/a")
		r.await(up)
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
		synctest.Wait()
		r.s.failWrites(0, syscall.EPIPE)
		body.Write([]byte("more"))
		synctest.Wait()
		r.s.fail(io.EOF)
		r.failed(up, Incomplete, SentPart)
		r.dead()
	})
}

// An informational response that ends reuse tells those in line at once.
func TestLineBehindAmbiguousContinue(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		a := r.begin(context.Background(), get("/a"))
		b := r.begin(context.Background(), get("/b"))
		r.await(a)
		r.raw("HTTP/1.0 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n")
		r.failed(b, Closed, SentNothing)
		r.serve("/a")
		r.got(a, "/a")
		r.dead()
	})
}

// The head of a response that says close stops no upload: what waits in the buffer for a
// writer goes out as well.
func TestCloseSaidInUpload(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		up, body := r.slowPost("/a")
		r.s.setWindow(wireWindow)
		synctest.Wait()
		r.c.flushing = true // by a goroutine that the scheduler is slow to run
		body.Write([]byte("more"))
		synctest.Wait()
		if !r.c.pending() {
			r.Fatal("not the state that is to be tested")
		}
		r.raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n/")
		synctest.Wait()
		r.c.flushing = false
		body.Close()
		synctest.Wait()
		_, sent, _ := strings.Cut(string(r.s.receive(1<<20)), "\r\n\r\n")
		if want := "5\r\nhello\r\n4\r\nmore\r\n0\r\n\r\n"; sent != want {
			r.Errorf("the server got %q", sent)
		}
		r.raw("a")
		r.got(up, "/a")
		r.dead()
	})
}

// A stream whose writes have failed inside a request is not given to another protocol: the
// server cannot have read the request to its end.
func TestSwitchAfterWriteFailed(t *testing.T) {
	for _, req := range []*Request{
		{Host: "x", Header: fieldsOf("Upgrade: x")},
		{Method: "CONNECT", Target: "x:1"},
	} {
		inBubble(t, Config{}, false, func(r *rig) {
			r.s.failWrites(10, syscall.EPIPE)
			k := r.begin(context.Background(), req)
			if req.Method == "CONNECT" {
				r.raw("HTTP/1.1 200 OK\r\n\r\n")
			} else {
				r.raw("HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
			}
			r.await(k)
			r.failed(k, NotSwitched, SentPart)
			r.dead()
		})
	}
}

// The stream's end behind a response is the end of the next, which was on its way.
func TestEndWithTheLastBytes(t *testing.T) {
	inBubble(t, Config{Depth: 2}, false, func(r *rig) {
		r.warm()
		a, b := r.begin(context.Background(), get("/a")), r.begin(context.Background(), get("/b"))
		r.s.change(func() { r.s.packets, r.s.rerr = [][]byte{[]byte(answer("/a"))}, io.EOF })
		r.await(a)
		r.got(a, "/a")
		r.await(b)
		r.failed(b, Incomplete, SentAll)
	})
}

// While the read of one that was canceled has not returned, nobody else reads.
func TestNobodyBesideCanceledRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{tap: &tap{wireStream: newWireStream(false)}, reads: time.Millisecond}
		r := &rig{t, s.tap, NewConn(s, &Config{Depth: 4})}
		defer r.c.Close()
		r.warm()
		a, b := r.begin(context.Background(), get("/a")), r.begin(context.Background(), get("/b"))
		r.await(a)
		a.x.Cancel()
		reads := func(k *call) bool {
			r.c.mu.Lock()
			defer r.c.mu.Unlock()
			return r.c.inRead && r.c.reader == k.x.e
		}
		if !reads(a) {
			t.Fatal("not the state that is to be tested")
		}
		r.await(b)
		if !reads(a) {
			t.Error("two read at once")
		}
		time.Sleep(time.Millisecond)
		r.failed(a, Canceled, SentAll)
		r.serve("/a", "/b")
		r.got(b, "/b")
		r.alive()
	})
}

// An error says what its exchange was doing.
func TestOpOfCanceled(t *testing.T) {
	put := &Request{Method: "PUT", Target: "/a", Host: "x", Push: true}
	for op, c := range map[string]struct {
		req   *Request
		begin func(*rig)
	}{
		"write head": {get("/a"), func(r *rig) { r.s.setWindow(len(r.s.out) + 3) }},
		"write body": {put, func(*rig) {}},
		"read head":  {get("/a"), func(*rig) {}},
		"read body":  {get("/a"), func(r *rig) { r.raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n") }},
		"send":       {get("/a"), func(r *rig) { r.begin(context.Background(), get("/first")) }},
	} {
		inBubble(t, Config{}, false, func(r *rig) {
			ctx, cancel := context.WithCancel(context.Background())
			c.begin(r)
			k := r.begin(ctx, c.req)
			if k.sent.Load() {
				r.await(k)
			}
			cancel()
			synctest.Wait()
			if !k.over.Load() { // Send has left it to Wait to say
				r.await(k)
			}
			if e, ok := k.err.(*Error); !ok || e.Op != op || e.Kind != Canceled {
				r.Errorf("%v, want Op %s", k.err, op)
			}
		})
	}
}

// Why a connection is not used again after a response: what is said comes before what
// follows from it.
func TestWhyTheLast(t *testing.T) {
	for head, want := range map[string]*Error{
		"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n": errCloseSaid,
		"HTTP/1.1 200 OK\r\n\r\n":                      errUntilClose,
		"HTTP/1.0 200 OK\r\n\r\n":                      errUntilClose,
		"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n": errNotKept,
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": errAmbiguous,
	} {
		inBubble(t, Config{}, false, func(r *rig) {
			k := r.begin(context.Background(), get("/"))
			r.raw(head)
			r.s.fail(io.EOF)
			r.await(k)
			r.got(k, "")
			if err := r.c.Err(); err != want {
				r.Errorf("%q: %v", head, err)
			}
		})
	}
}

// A server that has spoken HTTP/1.1 once is not asked again, should another speak for it.
func TestSpokenOnce(t *testing.T) {
	inBubble(t, Config{Depth: 2}, false, func(r *rig) {
		r.warm()
		k := r.begin(context.Background(), get("/a"))
		r.raw("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n")
		r.await(k)
		r.got(k, "")
		a := r.begin(context.Background(), get("/a"))
		if _, err := r.c.TrySend(context.Background(), get("/b")); err != nil || !a.sent.Load() {
			r.Error(err)
		}
	})
}

// saysOnce is a stream that gives its error along with its last bytes, and never again.
type saysOnce struct{ *tap }

func (s saysOnce) Read(p []byte) (int, error) {
	n, err := s.tap.Read(p)
	if err == nil {
		err = io.ErrClosedPipe
	}
	return n, err
}

// An error that came with the last bytes comes behind them, and the stream is not asked for
// it again.
func TestErrorWithTheLastBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t, s: &tap{wireStream: newWireStream(false)}}
		r.c = NewConn(saysOnce{r.s}, nil)
		defer r.c.Close()
		k := r.begin(context.Background(), get("/"))
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
		r.await(k)
		r.failed(k, IO, SentAll)
		if k.body != "he" || !errors.Is(k.err, io.ErrClosedPipe) {
			t.Errorf("%q, %v", k.body, k.err)
		}
		r.dead()
	})
}

// A request that is to be alone is not sent behind another, though its method, or its
// Idempotent, would allow it.
func TestAloneBehindAnother(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		for _, alone := range []*Request{
			{Method: "CONNECT", Target: "x:1", Idempotent: true},
			{Method: "PUT", Host: "x", Body: strings.NewReader("x"), Header: fieldsOf("Expect: 100-continue")},
			{Host: "x", Header: fieldsOf("Upgrade: x", "Connection: upgrade")},
		} {
			if _, err := r.c.TrySend(context.Background(), alone); !errors.Is(err, errApart) {
				t.Errorf("%s: %v", alone.Method, err)
			}
		}
		r.await(a)
		r.serve("/a")
		r.got(a, "/a")
		r.alive()
	})
}
