package h1

// window_test.go: what may happen in the moments in which a call lets go of Conn.mu: while
// it reads or writes the stream, waits for Watch to leave, or runs the caller's code.

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
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
