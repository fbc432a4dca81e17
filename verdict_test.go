package h1

// verdict_test.go: what an error says of whose fault it was.

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// What one caller did, or had no more time for, ends the connection, and is not what the
// others did, nor those who come later: they are told in words.
func TestNeighboursError(t *testing.T) {
	for _, timed := range []bool{false, true} {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			r.warm()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			req := get("/a")
			if timed {
				req.Deadline = time.Now().Add(time.Second)
			}
			a, b := r.begin(ctx, req), r.begin(context.Background(), get("/b"))
			r.await(a)
			r.await(b)
			r.raw("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nxx")
			synctest.Wait()
			kind := Canceled
			if timed {
				kind = Timeout
				time.Sleep(time.Second)
			} else {
				cancel()
			}
			r.failed(a, kind, SentAll)
			r.failed(b, Closed, SentAll)
			for _, err := range []error{b.err, r.c.Do(context.Background(), get("/c"), &Response{})} {
				if !errors.Is(err, Closed) || errors.Is(err, kind) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("of another's %v: %v", kind, err)
				}
			}
			if err := r.c.Err(); !errors.Is(err, kind) {
				t.Errorf("Err: %v", err)
			}
		})
	}
}

// A context that ends for a cause of its own has ended all the same, and the cause is told
// also where it says that by itself.
func TestContextWithCause(t *testing.T) {
	for _, why := range []error{
		errors.New("why"),
		fmt.Errorf("why: %w", context.Canceled),
		fmt.Errorf("why: %w", context.DeadlineExceeded),
	} {
		inBubble(t, Config{}, false, func(r *rig) {
			canceled, cancel := context.WithCancelCause(context.Background())
			cancel(why)
			late, stop := context.WithTimeoutCause(context.Background(), 0, why)
			defer stop()
			for ctx, is := range map[context.Context]error{canceled: context.Canceled, late: context.DeadlineExceeded} {
				err := r.c.Do(ctx, get("/a"), &Response{})
				if !errors.Is(err, is) || !errors.Is(err, why) {
					t.Errorf("%v is not %v, or not its cause, %v", err, is, why)
				}
			}
		})
	}
}

// If Wait fails the Response holds nothing, even if the head was there.
func TestResponseOfACanceled(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		a := &call{}
		req := get("/a")
		req.Informational = func(int, *Header) error { a.x.Cancel(); return nil }
		a.x, _ = r.c.Send(context.Background(), req)
		b := r.begin(context.Background(), get("/b"))
		r.raw("HTTP/1.1 103 Hint\r\n\r\n" + answer("/a") + answer("/b"))
		r.await(a)
		r.await(b)
		r.failed(a, Canceled, SentAll)
		if n, err := a.resp.Body.Read(make([]byte, 1)); a.resp.Status != 0 || a.resp.Header.Len() != 0 || n != 0 || err != errNoBody {
			t.Errorf("the Response holds %d, %d fields, and a body: %d, %v", a.resp.Status, a.resp.Header.Len(), n, err)
		}
		r.got(b, "/b")
		r.alive()
	})
}

// What is canceled while a read has bytes of its response in hand was answered, if not to
// the end, and is shown nothing of that any more.
func TestCanceledWithItsResponseInHand(t *testing.T) {
	for _, wire := range []string{
		"HTTP/1.1 103 Hint\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n",
		"HTTP/1.1 2",
	} {
		inBubble(t, Config{Depth: 2}, false, func(r *rig) {
			r.warm()
			req := get("/a")
			req.Informational = func(int, *Header) error { t.Error("a canceled request is told a 1xx"); return nil }
			a := r.begin(context.Background(), req)
			b := r.begin(context.Background(), get("/b"))
			r.await(b)
			cancel := a.x.Cancel
			r.s.onRead.Store(&cancel)
			r.raw(wire)
			r.await(a)
			r.failed(a, Canceled, SentAll)
			if a.err.(*Error).Retryable("GET") {
				t.Errorf("%q: %v is Retryable, though the server has begun to answer", wire, a.err)
			}
		})
	}
}

// An error that was returned is returned again: what another reads of the response, for
// nobody, does not change it.
func TestErrorStaysTheSame(t *testing.T) {
	inBubble(t, Config{Depth: 2}, false, func(r *rig) {
		r.warm()
		a, b := r.begin(context.Background(), get("/a")), r.begin(context.Background(), get("/b"))
		a.x.Cancel()
		first := a.x.Wait(context.Background(), &a.resp)
		r.await(b)
		r.serve("/a")
		synctest.Wait()
		if again := a.x.Wait(context.Background(), &a.resp); again != first || !first.(*Error).Retryable("GET") {
			t.Errorf("%v, and then %v", first, again)
		}
		r.serve("/b")
		r.got(b, "/b")
	})
}

// Write tells of an idempotent request what Wait tells: that it may be sent again.
func TestWriteTellsIdempotent(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		req := &Request{Method: "POST", Host: "x", Push: true, Idempotent: true}
		k := r.begin(context.Background(), req)
		r.s.failWrites(0, syscall.EPIPE)
		for range 2 { // the write that fails, and one after it
			_, err := k.x.Write([]byte("some"))
			wantError(t, err, IO, SentPart)
			if !err.(*Error).Retryable("POST") {
				t.Errorf("%v is not Retryable", err)
			}
		}
		r.raw("HTTP/1.1 200 OK\r\n")
		r.await(k)
		_, err := k.x.Write([]byte("some"))
		if err.(*Error).Retryable("POST") {
			t.Errorf("%v is Retryable, though the server has begun to answer", err)
		}
	})
}

// A second Wait with the Response of the first takes nothing from its body.
func TestSecondWaitSameResponse(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		k := r.begin(context.Background(), get("/a"))
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
		if err := k.x.Wait(context.Background(), &k.resp); err != nil {
			r.Fatal(err)
		}
		wantError(t, k.x.Wait(context.Background(), &k.resp), BadRequest, SentAll)
		r.raw("cd")
		if b, err := k.resp.AppendBody(nil, -1); string(b) != "abcd" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
		r.alive()
	})
}

// A call that the exchange does not take says which call it was, and that the request is on
// its way.
func TestOutOfTurn(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		k := r.begin(context.Background(), get("/a"))
		r.await(k)
		_, pushed := k.x.Write(nil)
		for _, c := range []struct {
			err error
			op  string
		}{
			{k.x.Wait(context.Background(), nil), "wait"},
			{k.x.Wait(context.Background(), new(Response)), "wait"},
			{pushed, "write body"},
		} {
			wantError(t, c.err, BadRequest, SentAll)
			if op := c.err.(*Error).Op; op != c.op {
				t.Errorf("%v: Op is %q, want %q", c.err, op, c.op)
			}
		}
		r.serve("/a")
		r.got(k, "/a")
		r.alive()
	})
}
