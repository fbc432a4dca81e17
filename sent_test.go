package h1

// sent_test.go: what becomes of a request whose write, or whose turn to write,
// does not come to a good end; and of those that wait behind it.

import (
	"bytes"
	"context"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Send returns the error of a request only where nothing of it went out; else Wait has it.
func TestSendStuckHalfWay(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		r.s.setWindow(5)
		start := time.Now()
		x, err := r.c.Send(context.Background(), soon("/a", time.Second))
		if err != nil || time.Since(start) != time.Second {
			t.Fatalf("Send returned %v after %v", err, time.Since(start))
		}
		r.dead()
		wantError(t, x.Wait(context.Background(), &Response{}), Timeout, SentPart)
	})
}

// Where nothing went out, it does also if a body was to follow.
func TestSendOfNothing(t *testing.T) {
	expecting := posting("/a")
	expecting.Header.Add("Expect", "100-continue")
	for name, req := range map[string]*Request{
		"alone": get("/a"), "pushed": {Method: "PUT", Host: "h", Push: true}, "expecting": expecting,
	} {
		inBubble(t, Config{}, false, func(r *rig) {
			r.s.failWrites(0, syscall.EPIPE)
			_, err := r.c.Send(context.Background(), req)
			if wantError(t, err, IO, SentNothing); t.Failed() {
				t.Error(name)
			}
			r.dead()
		})
	}
}

// A request of which a failed write has sent nothing counts no more.
func TestUnsentIsNotInFlight(t *testing.T) {
	inBubble(t, Config{Depth: 2}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		r.s.failWrites(0, syscall.EPIPE)
		b := r.begin(context.Background(), get("/b"))
		r.await(b)
		r.failed(b, IO, SentNothing)
		if n := r.c.Stats().InFlight; n != 1 || r.c.State().InFlight() != n {
			t.Errorf("%d in flight: %v", n, r.c.State())
		}
		r.serve("/a")
		r.got(a, "/a")
		if !a.resp.Close {
			t.Error("the response does not say that it was the last")
		}
		r.dead()
	})
}

// A piece of a pushed body that fits the buffer is stuck no longer than the Deadline says,
// and ends the connection then: some of the body is missing.
func TestPushStuckHalfWay(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		req := soon("/a", time.Second)
		req.Method, req.Push = "PUT", true
		k := r.begin(context.Background(), req)
		r.s.setWindow(0)
		start := time.Now()
		_, err := k.x.Write([]byte("hello"))
		wantError(t, err, Timeout, SentPart)
		if took := time.Since(start); took != time.Second {
			t.Errorf("Write took %v", took)
		}
		r.dead()
	})
}

// A request with a body that waits for another's write goes out as soon as that is over,
// and not only when the other was answered.
func TestBodyBehindStuckWrite(t *testing.T) {
	inBubble(t, Config{Depth: 2}, false, func(r *rig) {
		r.warm()
		r.s.setWindow(5)
		a := r.begin(context.Background(), get("/a"))
		b := r.begin(context.Background(), &Request{Method: "PUT", Target: "/b", Host: "x", Body: bytes.NewReader([]byte("hello"))})
		if a.x == (Exchange{}) || b.sent.Load() {
			t.Fatalf("the write is not stuck: %v", r.c.State())
		}
		r.s.setWindow(wireWindow)
		synctest.Wait()
		if !b.sent.Load() {
			t.Fatalf("the request with a body waits on: %v", r.c.State())
		}
		if got := r.took(); got != "GET /a;helloPUT /b;" && got != "GET /a;PUT /b;" {
			t.Errorf("the server received %q", got)
		}
		r.bothGot(a, b)
	})
}

// Ready is done once those in line have been admitted and there is room behind them, and
// not only when they were answered.
func TestReadyBehindTheAdmitted(t *testing.T) {
	inBubble(t, Config{Depth: 2}, false, func(r *rig) {
		r.warm()
		first := r.begin(context.Background(), &Request{Method: "POST", Target: "/first", Host: "x"})
		a := r.begin(context.Background(), get("/a"))
		ready := r.c.Ready().Done()
		select {
		case <-ready:
			t.Fatal("Ready is done while one waits in line")
		default:
		}
		r.serve("/first")
		r.await(first)
		r.got(first, "/first")
		if !a.sent.Load() {
			t.Fatalf("the one in line was not admitted: %v", r.c.State())
		}
		select {
		case <-ready:
		default:
			t.Errorf("Ready waits, where a request would be admitted: %v", r.c.Ready().Err())
		}
		r.serve("/a")
		r.await(a)
		r.got(a, "/a")
		r.alive()
	})
}

// A request that fails when its turn has come passes the turn on.
func TestFailedInTurnPassesItOn(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		first := r.begin(context.Background(), get("/first"))
		bad := &Request{Method: "PUT", Target: "/bad", Host: "x", Push: true}
		a := r.begin(context.Background(), bad)
		b := r.begin(context.Background(), get("/b"))
		bad.Trailer.Add("Content-Length", "1") // it is the engine's until its end: but who checks must go on
		r.serve("/first")
		r.await(first)
		r.got(first, "/first")
		r.failed(a, BadRequest, SentNothing)
		if !b.sent.Load() {
			t.Fatalf("the next in line waits on: %v", r.c.State())
		}
		r.serve("/b")
		r.await(b)
		r.got(b, "/b")
		r.alive()
	})
}

// A request that was refused before its first byte leaves an idle connection as it was:
// without a buffer.
func TestRefusedLeavesNoBuffer(t *testing.T) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	inBubble(t, Config{}, false, func(r *rig) {
		_, err := r.c.Send(over, get("/a"))
		wantError(t, err, Canceled, SentNothing)
		if r.c.br != nil || r.c.wbuf != nil {
			t.Error("the idle connection holds a buffer")
		}
		r.alive()
	})
}

// Cancel, once more, of an exchange that was abandoned while its write is for others: those
// are spared again, also where no deadline ends that write.
func TestCanceledTwiceInWriteForOthers(t *testing.T) {
	inBubble(t, Config{Depth: 3}, true, func(r *rig) {
		r.warm()
		r.s.setWindow(5)
		a := r.begin(context.Background(), get("/a"))
		b := r.begin(context.Background(), get("/b"))
		head := len("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
		r.s.setWindow(head + 3)
		synctest.Wait()
		a.x.Cancel()
		a.x.Cancel()
		time.Sleep(time.Second)
		if err := r.c.Err(); err != nil {
			t.Fatalf("the connection has ended: %v", err)
		}
		r.s.setWindow(wireWindow)
		synctest.Wait()
		r.serve("/a", "/b")
		r.await(b)
		r.got(b, "/b")
		r.alive()
	})
}

// One whose turn to read it is, since the one in front of it was taken back, comes to know
// that at once, and not only when its own request goes out: the server may have to be read
// from before it takes that.
func TestReadsWhenTheOneInFrontIsTakenBack(t *testing.T) {
	inBubble(t, Config{Depth: 4}, true, func(r *rig) {
		r.warm()
		r.s.setWindow(5)
		a := r.begin(context.Background(), get("/a"))
		d := r.begin(context.Background(), get("/d"))
		r.s.setWindow(len("GET /a HTTP/1.1\r\nHost: x\r\n\r\n") + 3)
		synctest.Wait() // d's bytes are being written in a's name
		b := r.begin(context.Background(), get("/b"))
		c := r.begin(context.Background(), get("/c"))
		r.await(c)
		d.x.Cancel()
		a.x.Cancel()
		b.x.Cancel()
		r.serve("/a")
		synctest.Wait()
		if n := r.c.Stats().Responses; n != 2 {
			t.Fatalf("nobody reads what is in front: %d responses, %v, Err %v", n, r.c.State(), r.c.Err())
		}
		r.s.setWindow(wireWindow)
		synctest.Wait()
		r.serve("/d", "/c")
		r.got(c, "/c")
		r.alive()
	})
}

// An exchange whose body is on its way cannot be abandoned, whoever is in front of it: its
// end is the connection's. One in front of it, that is out whole, can; the body goes on.
func TestCancelBesideAnUpload(t *testing.T) {
	for _, which := range []string{"upload", "in front"} {
		inBubble(t, Config{Depth: 2}, false, func(r *rig) {
			r.warm()
			a := r.begin(context.Background(), get("/a"))
			body := make([]byte, 200<<10)
			b := r.begin(context.Background(), &Request{Method: "PUT", Target: "/b", Host: "x", Push: true, ContentLength: int64(len(body))})
			r.s.setWindow(1000)
			pushed := make(chan error, 1)
			go func() {
				_, err := b.x.Write(body)
				if err == nil {
					err = b.x.CloseWrite()
				}
				pushed <- err
			}()
			synctest.Wait()
			if which == "upload" {
				b.x.Cancel()
				r.await(a)
				select {
				case err := <-pushed:
					wantError(t, err, Canceled, SentPart)
				default:
					t.Fatalf("the upload goes on: %v", r.c.State())
				}
				r.failed(a, Closed, SentAll)
				r.dead()
				return
			}
			a.x.Cancel()
			synctest.Wait()
			r.s.setWindow(wireWindow)
			if err := <-pushed; err != nil {
				t.Fatalf("the upload fails with %v", err)
			}
			r.serve("/a", "/b")
			r.await(b)
			r.got(b, "/b")
			r.alive()
		})
	}
}

// A request with a body of which nothing could be written fails in Send, and not later.
func TestUnsentBodyFailsInSend(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		r.c.kind = wrapped
		r.s.failWrites(0, syscall.EPIPE)
		_, err := r.c.Send(context.Background(), &Request{Method: "PUT", Host: "x", Body: bytes.NewReader([]byte("hello"))})
		wantError(t, err, IO, SentNothing)
		r.dead()
	})
}
