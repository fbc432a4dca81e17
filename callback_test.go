package h1

// callback_test.go: what ends an exchange whose caller is in its own Informational, or has
// been.

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// behindACallback runs f with each way to end a, whose callback has begun, for a 103 has
// come; b is behind it.
func behindACallback(t *testing.T, info func(gate chan struct{}), f func(r *rig, a, b *call, end func(), gate chan struct{}, kind Kind)) {
	for how, quit := range quitters {
		onBoth(t, Config{Depth: 4}, func(r *rig) {
			r.warm()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			req, kind := get("/a"), Canceled
			if how == "Deadline" {
				req, kind = soon("/a", time.Second), Timeout
			}
			gate := make(chan struct{})
			req.Informational = func(int, *Header) error { info(gate); return nil }
			a := r.begin(ctx, req)
			r.await(a)
			b := r.begin(context.Background(), get("/b"))
			r.await(b)
			r.raw("HTTP/1.1 103 Early Hints\r\n\r\n")
			synctest.Wait()
			f(r, a, b, func() { quit(a, cancel); synctest.Wait() }, gate, kind)
		})
	}
}

// A request that is ended while its callback runs does not keep those behind it until the
// callback returns, and reads nothing more when it does.
func TestLeftInACallback(t *testing.T) {
	behindACallback(t, func(gate chan struct{}) { <-gate }, func(r *rig, a, b *call, end func(), gate chan struct{}, kind Kind) {
		end()
		r.raw("HTTP/1.1 103 Early Hints\r\n\r\n") // for nobody
		r.serve("/a", "/b")
		r.got(b, "/b")
		close(gate)
		r.failed(a, kind, SentAll)
		r.alive()
	})
}

// Once its callback has returned, a request is the reader again, and alone may let go of
// the read.
func TestCanceledBehindACallback(t *testing.T) {
	behindACallback(t, func(chan struct{}) {}, func(r *rig, a, b *call, end func(), _ chan struct{}, _ Kind) {
		end()
		if r.c.dl == nil { // a read without deadlines ends with the stream
			r.dead()
			return
		}
		r.serve("/a", "/b")
		r.got(b, "/b")
		r.alive()
	})
}

// A request that was ended while its callback ran ends nobody else's exchange, even if the
// callback never returns.
func TestDesertedAfterItLeft(t *testing.T) {
	behindACallback(t, func(gate chan struct{}) { <-gate; runtime.Goexit() }, func(r *rig, a, b *call, end func(), gate chan struct{}, _ Kind) {
		end()
		r.serve("/a")
		close(gate)
		synctest.Wait()
		r.serve("/b")
		r.got(b, "/b")
		r.alive()
	})
}

// A short body that is read before its request is written, and whose Read never returns,
// ends the connection, even if the request was canceled meanwhile: nobody is left to let go
// of the write half.
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
