package h1

// window_test.go: what may happen in the moments in which a call lets go of Conn.mu: while
// it reads or writes the stream, waits for Watch to leave, or runs the caller's code.

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Close may have read a body to its end when a cancel comes: the bytes behind are the next
// exchange's.
func TestCancelAtTheEndOfClose(t *testing.T) {
	for _, wire := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/a",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n/a\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n/a\r\n0\r\nA: b\r\n\r\n",
	} {
		for split := strings.Index(wire, "\r\n\r\n") + 4; split < len(wire); split++ {
			inBubble(t, Config{Depth: 4}, false, func(r *rig) {
				r.warm()
				a := r.begin(context.Background(), get("/a"))
				b := r.begin(context.Background(), get("/b"))
				r.raw(wire[:split])
				if err := a.x.Wait(context.Background(), &a.resp); err != nil {
					t.Fatal(err)
				}
				r.await(b)
				end := a.x.Cancel
				r.s.onRead.Store(&end)
				go a.resp.Body.Close()
				synctest.Wait()
				r.raw(wire[split:])
				synctest.Wait()
				r.serve("/b")
				r.got(b, "/b")
				r.alive()
			})
			if t.Failed() {
				t.Fatalf("%q split at %d", wire, split)
			}
		}
	}
}

// A cancel ends a read once and for all, though a write that ends right after it, before
// the reader has noticed, sets the deadlines of reads anew.
func TestCancelBeforeWriteEnds(t *testing.T) {
	inBubble(t, Config{Depth: 4, StallTimeout: time.Hour}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		b := r.begin(context.Background(), get("/b"))
		r.await(a)
		r.await(b)
		time.Sleep(time.Second)
		r.c.mu.Lock()
		r.c.cancel(a.x.e, &Error{Kind: Canceled, Op: "read head", Offset: -1})
		r.c.sentOut() // what the end of a write does, had it the lock next
		r.c.unlock()
		r.failed(a, Canceled, SentAll)
		r.serve("/a", "/b")
		r.got(b, "/b")
		r.alive()
	})
}

// A cancel finds also who is about to read, and waits for Watch to leave the socket.
func TestCancelWhileWatchLeaves(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		b := r.begin(context.Background(), get("/b"))
		w := &watch{parked: true} // one that takes its time
		w.left.L = &r.c.mu
		r.c.mu.Lock()
		r.c.watch = w
		r.c.mu.Unlock()
		r.await(a)
		a.x.Cancel()
		r.c.mu.Lock()
		w.parked = false
		w.left.Broadcast()
		r.c.mu.Unlock()
		r.failed(a, Canceled, SentAll)
		r.await(b)
		r.serve("/a", "/b")
		r.got(b, "/b")
		r.alive()
	})
}
