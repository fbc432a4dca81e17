package h1

// spared_test.go: ends that spare others, and what a caller is shown of them.

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// A Deadline that has passed before its caller comes to read spares those behind, also
// under TLS, where no read is sure to end in time, and none is begun.
func TestOverBeforeItsRead(t *testing.T) {
	for _, kind := range []streamKind{opaque, sealed} {
		inBubble(t, Config{}, false, func(r *rig) {
			s := &slow{tap: r.s}
			r.c = NewConn(s, &Config{Depth: 4})
			defer r.c.Close()
			r.c.kind = kind
			r.warm()
			if kind == sealed {
				s.reads = time.Hour
			}
			a := r.begin(context.Background(), soon("/a", time.Second))
			b := r.begin(context.Background(), get("/b"))
			time.Sleep(2 * time.Second)
			if a.x.e.err != nil {
				r.Fatal("not the state that is to be tested")
			}
			r.await(a)
			r.failed(a, Timeout, SentAll)
			r.serve("/a", "/b")
			r.await(b)
			r.got(b, "/b")
			r.alive()
		})
	}
}

// The connection may be closed while a Read reads the last of a body.
func TestCloseInRead(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		a := r.begin(context.Background(), get("/a"))
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/")
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			r.Fatal(err)
		}
		buf := make([]byte, 1)
		if n, err := a.resp.Body.Read(buf); n != 1 || err != nil {
			r.Fatal(n, err)
		}
		r.raw("a")
		last := func() { r.c.Close() }
		r.s.onRead.Store(&last)
		n, err := a.resp.Body.Read(buf)
		if n != 1 || err == nil || err == io.EOF {
			r.Errorf("%d, %v", n, err)
		}
		r.dead()
	})
}

// A Response shows nothing of another's, nor of one that was given up: not where a request
// fails, whoever's head was read into it before.
func TestFailedResponseShowsNothing(t *testing.T) {
	empty := func(r *rig, name string, resp *Response) {
		r.Helper()
		if resp.Status != 0 || resp.Header.Len() > 0 || resp.Trailer.Len() > 0 || resp.ContentLength != 0 {
			r.Errorf("%s: it shows %d, %v", name, resp.Status, show(&resp.Header))
		}
	}
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n\r\n"
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		a, b := r.begin(context.Background(), get("/a")), r.begin(context.Background(), get("/b"))
		a.x.Cancel()
		r.await(b)
		r.raw(head + "he")
		r.s.fail(io.EOF)
		r.failed(b, Incomplete, SentAll)
		empty(r, "another's", &b.resp)
	})
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		a, b := r.begin(context.Background(), get("/a")), r.begin(context.Background(), get("/b"))
		r.raw(head + "hello")
		ends := func() { a.x.Cancel() }
		r.s.onRead.Store(&ends)
		r.await(a)
		r.failed(a, Canceled, SentAll)
		empty(r, "canceled", &a.resp)
		_, err := a.resp.Body.Read(make([]byte, 1))
		wantError(r, err, Closed, SentAll)
		r.serve("/b")
		r.await(b)
		r.got(b, "/b")
		r.alive()
	})
	inBubble(t, Config{}, false, func(r *rig) {
		var resp Response
		r.raw(head + "hello")
		if err := r.c.Do(context.Background(), get("/a"), &resp); err != nil {
			r.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		r.c.Close()
		wantError(r, r.c.Do(context.Background(), get("/b"), &resp), Closed, SentNothing)
		empty(r, "the last", &resp)
	})
}

// An exchange that ends while it reads, and to which nothing has come, may be asked again
// of another connection: its error does not say that a response was seen.
func TestCanceledInAReadOfNothing(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		a, b := r.begin(context.Background(), get("/a")), r.begin(context.Background(), get("/b"))
		r.await(a)
		a.x.Cancel()
		r.failed(a, Canceled, SentAll)
		if e, ok := a.err.(*Error); !ok || !e.Retryable("GET") || e.Retryable("POST") {
			r.Errorf("%v is not to be sent again", a.err)
		}
		r.serve("/a", "/b")
		r.await(b)
		r.got(b, "/b")
		r.alive()
	})
}

// HeadTimeout does not count against a final head that is there when the caller comes back
// from a long Informational.
func TestHeadThatIsThereBehindInformational(t *testing.T) {
	onBoth(t, Config{HeadTimeout: time.Minute}, func(r *rig) {
		req := get("/a")
		req.Informational = func(int, *Header) error {
			time.Sleep(2 * time.Minute)
			return nil
		}
		a := r.begin(context.Background(), req)
		r.await(a)
		r.raw("HTTP/1.1 103 Early Hints\r\n\r\n")
		r.raw("HTTP/1.1 200 OK\r\n")
		r.raw("Content-Length: 2\r\n\r\n/a")
		time.Sleep(3 * time.Minute)
		r.got(a, "/a")
		r.alive()
	})
}

// lastRead is a stream whose Close waits for the calls that are under way.
type lastRead struct {
	*tap
	calls chan struct{}
}

func (s *lastRead) Read(p []byte) (int, error) {
	s.calls <- struct{}{}
	defer func() { <-s.calls }()
	return s.tap.Read(p)
}

func (s *lastRead) Close() error {
	s.calls <- struct{}{}
	return s.tap.Close()
}

// Close ends the read of a response that is due at once, also where the stream's Close
// waits for it.
func TestCloseEndsTheReadAtOnce(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		r.c = NewConn(&lastRead{r.s, make(chan struct{}, 1)}, nil)
		k := r.begin(context.Background(), get("/a"))
		r.await(k)
		start := time.Now()
		r.c.Close()
		if d := time.Since(start); d != 0 {
			r.Errorf("Close took %v", d)
		}
		r.failed(k, Closed, SentAll)
	})
}

// Shutdown of an idle connection, or of a tunnel, does not wait, and so does not fail for a
// context that is over.
func TestShutdownWithNothingToWaitFor(t *testing.T) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for range 50 { // what waits for both may see either
		c := NewConn(newMirror(echo), nil)
		if err := c.Shutdown(over); err != nil {
			t.Fatal(err)
		}
		c = NewConn(newMirror(replyWith("HTTP/1.1 200 OK\r\n\r\n")), nil)
		if err := c.Do(context.Background(), &Request{Method: "CONNECT", Target: "h:1"}, &Response{}); err != nil {
			t.Fatal(err)
		}
		if err := c.Shutdown(over); err != nil {
			t.Fatal(err)
		}
	}
}

// The reason for which no request is taken stays the first, also where the stream is then
// switched; but a request that says close itself is no reason beside a switch.
func TestSwitchKeepsTheReason(t *testing.T) {
	for _, last := range []bool{false, true} {
		inBubble(t, Config{}, false, func(r *rig) {
			k := r.begin(context.Background(), &Request{Host: "x", Header: fieldsOf("Upgrade: x"), Close: last})
			want := errSwitched
			if !last {
				want = errShutdown
				go r.c.Shutdown(context.Background())
				synctest.Wait()
			}
			r.raw("HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
			r.await(k)
			r.got(k, "")
			if err := r.c.Err(); err != want {
				r.Errorf("%v, want %v", err, want)
			}
		})
	}
}

// A response whose end is at hand is ended by Close, also where not a byte may be moved for
// that: the connection lives.
func TestCloseMovesNothing(t *testing.T) {
	for end, lives := range map[string]bool{"0\r\n\r\n": true, "1\r\nx\r\n0\r\n\r\n": false} {
		inBubble(t, Config{MaxDrain: -1}, false, func(r *rig) {
			var resp Response
			r.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + end)
			if err := r.c.Do(context.Background(), get("/a"), &resp); err != nil {
				r.Fatal(err)
			}
			resp.Body.Close()
			if lives {
				r.alive()
			} else {
				r.dead()
			}
		})
	}
}

// An exchange whose response was given up while CloseWrite was in its write gives up its
// context once that has ended, though nobody has read the response yet.
func TestContextLetGoBehindTheWrite(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		ctx := &countedContext{Context: context.Background()}
		a := r.begin(ctx, &Request{Method: "PUT", Target: "/a", Host: "x", Push: true})
		r.s.setWindow(0)
		ended := a.ends()
		synctest.Wait()
		b := r.begin(context.Background(), get("/b"))
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			r.Fatal(err)
		}
		a.resp.Body.Close()
		if !r.c.inWrite || !b.sent.Load() || ctx.n.Load() != 1 {
			r.Fatal("not the state that is to be tested")
		}
		r.s.setWindow(wireWindow)
		synctest.Wait()
		ended()
		if ctx.n.Load() != 0 {
			r.Error("the context still has a callback to it")
		}
		r.raw("llo")
		r.serve("/b")
		r.await(b)
		r.got(b, "/b")
		r.alive()
	})
}
