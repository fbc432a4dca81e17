package h1

// callback_test.go: what ends an exchange whose caller is in its own Informational, or has been.

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// Who is ended in its own callback does not keep those behind it until that returns, and reads no more then.
func TestLeftInACallback(t *testing.T) {
	for how, end := range quitters {
		onBoth(t, Config{Depth: 4}, func(r *rig) {
			r.warm()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			gate := make(chan struct{})
			req := get("/a")
			if how == "Deadline" {
				req = soon("/a", time.Second)
			}
			req.Informational = func(int, *Header) error { <-gate; return nil }
			a := r.begin(ctx, req)
			r.await(a)
			b := r.begin(context.Background(), get("/b"))
			r.await(b)
			r.raw("HTTP/1.1 103 Early Hints\r\n\r\n")
			synctest.Wait()
			end(a, cancel)
			synctest.Wait()
			r.raw("HTTP/1.1 103 Early Hints\r\n\r\n") // for nobody
			r.serve("/a", "/b")
			r.got(b, "/b")
			close(gate)
			kind := Canceled
			if how == "Deadline" {
				kind = Timeout
			}
			r.failed(a, kind, SentAll)
			r.alive()
		})
	}
}

// Behind its callback it is the reader again, who alone may let go of the read.
func TestCanceledBehindACallback(t *testing.T) {
	for how, end := range quitters {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			r.warm()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			req := get("/a")
			if how == "Deadline" {
				req = soon("/a", time.Second)
			}
			req.Informational = func(int, *Header) error { return nil }
			a := r.begin(ctx, req)
			r.await(a)
			b := r.begin(context.Background(), get("/b"))
			r.await(b)
			r.raw("HTTP/1.1 103 Early Hints\r\n\r\n")
			synctest.Wait()
			end(a, cancel)
			synctest.Wait()
			r.serve("/a", "/b")
			r.got(b, "/b")
			r.alive()
		})
	}
}

// Who has left in its callback, and does not come back from there, ends nobody else's exchange.
func TestDesertedAfterItLeft(t *testing.T) {
	for how, end := range quitters {
		onBoth(t, Config{Depth: 4}, func(r *rig) {
			r.warm()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			gate := make(chan struct{})
			req := get("/a")
			if how == "Deadline" {
				req = soon("/a", time.Second)
			}
			req.Informational = func(int, *Header) error { <-gate; runtime.Goexit(); return nil }
			a := r.begin(ctx, req)
			r.await(a)
			b := r.begin(context.Background(), get("/b"))
			r.await(b)
			r.raw("HTTP/1.1 103 Early Hints\r\n\r\n")
			synctest.Wait()
			end(a, cancel)
			synctest.Wait()
			r.serve("/a")
			close(gate)
			synctest.Wait()
			r.serve("/b")
			r.got(b, "/b")
			r.alive()
		})
	}
}

// A short body that is read in the write half's name, and does not come back, ends the connection, be its
// request canceled meanwhile: nobody is left to let go of that half.
func TestDesertedInABodyAfterCancel(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		ctx, cancel := context.WithCancel(context.Background())
		gate := make(chan struct{})
		body := &sizedBody{5, func([]byte) (int, error) { <-gate; runtime.Goexit(); return 0, nil }}
		go r.c.Send(ctx, &Request{Method: "PUT", Host: "x", Body: body})
		synctest.Wait()
		next := r.begin(context.Background(), posting("/next"))
		cancel()
		synctest.Wait()
		close(gate)
		r.failed(next, Closed, SentNothing)
		r.dead()
	})
}
