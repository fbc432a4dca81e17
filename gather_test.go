package h1

// gather_test.go: requests of several goroutines go out in one write, and none of them
// waits for it longer than gatherTime.

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// whole is a channel for do: the body is read at once.
var whole = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// do sends a request by Do from a goroutine of its own, which reads the body once read is
// closed.
func (r *rig) do(ctx context.Context, target string, read chan struct{}) *call {
	k := &call{}
	go func() {
		if k.err = r.c.Do(ctx, get(target), &k.resp); k.err == nil {
			<-read
			var b []byte
			b, k.err = k.resp.AppendBody(nil, -1)
			k.body = string(b)
		}
		k.over.Store(true)
	}()
	synctest.Wait()
	return k
}

// A gathering is a connection of which /a was answered, and the caller has not read the
// body yet, while the caller of /b waits.
type gathering struct {
	*rig
	a, b *call
	read chan struct{} // to be closed for a's caller to read its body
}

// gather runs f where the answer to /b, as much of it as arrived, has come with that to /a.
func gather(t *testing.T, b string, f func(g gathering)) {
	t.Helper()
	inBubble(t, Config{Depth: 8}, false, func(r *rig) {
		r.c.kind = wrapped
		r.warm()
		g := gathering{rig: r, read: make(chan struct{})}
		g.a, g.b = r.do(context.Background(), "/a", g.read), r.do(context.Background(), "/b", whole)
		r.sees("GET /a;GET /b;")
		r.raw(answer("/a") + b)
		synctest.Wait()
		r.s.writes.Store(0)
		f(g)
		r.alive()
	})
}

// sees checks which requests the server has received since it was asked last.
func (r *rig) sees(want string) {
	r.Helper()
	synctest.Wait()
	if got := r.took(); got != want {
		r.Errorf("the server has received %q, want %q", got, want)
	}
}

// wrote checks in how many writes.
func (r *rig) wrote(want int32) {
	r.Helper()
	if n := r.s.writes.Load(); n != want {
		r.Errorf("%d writes, want %d", n, want)
	}
}

// Requests that come while responses are handed on go out before the stream is read next,
// in one write.
func TestGathers(t *testing.T) {
	for _, b := range []string{answer("/b"), answer("/b")[:20]} {
		gather(t, b, func(g gathering) {
			c, d := g.do(context.Background(), "/c", whole), g.do(context.Background(), "/d", whole)
			g.sees("")
			close(g.read)
			g.sees("GET /c;GET /d;")
			g.wrote(1)
			g.raw(answer("/b")[len(b):] + answer("/c") + answer("/d"))
			g.got(g.a, "/a")
			g.got(g.b, "/b")
			g.got(c, "/c")
			g.got(d, "/d")
		})
	}
}

// They wait for that no longer than gatherTime.
func TestGathersNotForLong(t *testing.T) {
	ends := map[string]func(g gathering, cancel func()){
		"nobody comes":          func(gathering, func()) { time.Sleep(gatherTime) },
		"the first is canceled": func(_ gathering, cancel func()) { cancel() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			gather(t, answer("/b"), func(g gathering) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				c, d := g.do(ctx, "/c", whole), g.do(context.Background(), "/d", whole)
				time.Sleep(gatherTime - 1)
				g.sees("")
				want := "GET /c;GET /d;"
				end(g, cancel)
				if synctest.Wait(); ctx.Err() != nil {
					g.failed(c, Canceled, SentNothing)
					want = "GET /d;"
				} else {
					g.serve("/c")
				}
				g.sees(want)
				g.wrote(1)
				g.serve("/d")
				close(g.read)
				g.got(d, "/d")
			})
		})
	}
}

// Nothing is left to those who are not likely to come at once, nor where a stream may not
// take what is written then, or the reader's end would be the connection's.
func TestGathersWithCause(t *testing.T) {
	tests := []struct {
		name   string
		kind   streamKind
		before func(r *rig, read chan struct{})
	}{
		{"no body is at hand", wrapped, func(r *rig, read chan struct{}) {
			r.do(context.Background(), "/a", read)
			r.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		}},
		{"a body is not there whole", wrapped, func(r *rig, read chan struct{}) {
			r.do(context.Background(), "/a", read)
			r.raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbod")
		}},
		{"who reads waits for more", wrapped, func(r *rig, _ chan struct{}) {
			r.do(context.Background(), "/a", whole)
			r.raw(answer("/a")[:20])
		}},
		{"nobody waits for what is at hand", wrapped, func(r *rig, _ chan struct{}) {
			a := r.begin(context.Background(), get("/a"))
			r.begin(context.Background(), get("/b"))
			r.raw(answer("/a") + answer("/b"))
			r.await(a)
			r.got(a, "/a")
		}},
		{"it may not fit", opaque, func(r *rig, read chan struct{}) {
			r.do(context.Background(), "/a", read)
			r.raw(answer("/a"))
		}},
		{"who reads could not be let go of the write", layered, func(r *rig, read chan struct{}) {
			r.do(context.Background(), "/a", read)
			r.raw(answer("/a"))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, Config{Depth: 8}, false, func(r *rig) {
				r.c.kind = test.kind
				r.warm()
				read := make(chan struct{})
				defer close(read)
				test.before(r, read)
				synctest.Wait()
				r.took()
				r.do(context.Background(), "/last", whole)
				r.sees("GET /last;")
			})
		})
	}
}

// Who reads next may end while it writes what was left to it. The others are spared.
func TestGathersSpares(t *testing.T) {
	ends := map[Kind]func(r *rig, b *call){
		Canceled: func(r *rig, b *call) {
			cancel := b.x.Cancel
			r.s.onSent.Store(&cancel)
		},
		Timeout: func(r *rig, _ *call) { // its Deadline, in a write that takes long
			r.s.setWindow(0)
			time.AfterFunc(2*time.Second, func() { r.s.setWindow(wireWindow) })
		},
	}
	for why, end := range ends {
		t.Run(why.Error(), func(t *testing.T) {
			inBubble(t, Config{Depth: 8}, false, func(r *rig) {
				r.c.kind = wrapped
				r.warm()
				read := make(chan struct{})
				a := r.do(context.Background(), "/a", read)
				b := r.begin(context.Background(), soon("/b", time.Second))
				r.await(b)
				r.raw(answer("/a"))
				r.sees("GET /a;GET /b;")
				c := r.do(context.Background(), "/c", whole)
				r.sees("") // b's caller is to write it
				end(r, b)
				close(read)
				time.Sleep(3 * time.Second)
				r.got(a, "/a")
				r.failed(b, why, SentAll)
				r.serve("/b", "/c")
				r.got(c, "/c")
				r.alive()
			})
		})
	}
}

// Who was canceled in the read, or closes the body, returns at once, and does not write for
// others.
func TestGathersNotOnceEnded(t *testing.T) {
	tests := map[string]func(r *rig) (over chan struct{}){
		"canceled": func(r *rig) chan struct{} {
			over := make(chan struct{})
			b, _ := r.c.Send(context.Background(), get("/b"))
			end := func() {
				r.c.Send(context.Background(), get("/c"))
				b.Cancel()
			}
			r.s.onRead.Store(&end)
			go func() {
				wantError(r, b.Wait(context.Background(), &Response{}), Canceled, SentAll)
				close(over)
			}()
			r.sees("GET /b;")
			r.s.setWindow(0)
			r.raw(answer("/b")[:20])
			return over
		},
		"closed": func(r *rig) chan struct{} {
			over := make(chan struct{})
			b, _ := r.c.Send(context.Background(), get("/b"))
			var resp Response
			go b.Wait(context.Background(), &resp)
			r.sees("GET /b;")
			r.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
			synctest.Wait()
			r.do(context.Background(), "/c", whole)
			r.sees("") // it is left to b's caller
			r.s.setWindow(0)
			go func() { resp.Body.Close(); close(over) }()
			return over
		},
	}
	for name, begin := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{Depth: 8}, false, func(r *rig) {
				r.c.kind = wrapped
				r.warm()
				over := begin(r)
				synctest.Wait()
				select {
				case <-over:
				default:
					t.Error("it is in the write of another's request")
				}
				r.s.setWindow(wireWindow)
				r.sees("GET /c;")
				r.c.Close()
			})
		})
	}
}

// Nor does who reads where nothing but the connection's end would let go of the write.
func TestGathersNotForGood(t *testing.T) {
	inBubble(t, Config{Depth: 8}, false, func(r *rig) {
		r.c.kind = layered
		r.warm()
		read := make(chan struct{})
		a := r.do(context.Background(), "/a", read)
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
		r.sees("GET /a;")
		r.s.setWindow(0)
		r.raw("body")
		r.c.Send(context.Background(), get("/b"))
		close(read) // while runSoon is about to run
		r.got(a, "body")
		r.s.setWindow(wireWindow)
		r.sees("GET /b;")
	})
}
