package h1

// verdict_test.go: what an error says of whose fault it was.

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// What one caller did, or had no more time for, ends the connection, and is not what the others did, nor
// those who come later: they are told in words.
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

// A context that ends for a cause of its own has ended all the same.
func TestContextWithCause(t *testing.T) {
	why := errors.New("why")
	inBubble(t, Config{}, false, func(r *rig) {
		canceled, cancel := context.WithCancelCause(context.Background())
		cancel(why)
		late, stop := context.WithTimeoutCause(context.Background(), 0, why)
		defer stop()
		for ctx, is := range map[context.Context]error{canceled: context.Canceled, late: context.DeadlineExceeded} {
			err := r.c.Do(ctx, get("/a"), &Response{})
			if !errors.Is(err, is) || !errors.Is(err, why) {
				t.Errorf("%v is not %v, or not its cause", err, is)
			}
		}
	})
}

// Where Wait fails, the Response holds nothing, be it that the head was there.
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
