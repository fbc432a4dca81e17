package h1

// cancel_test.go: an exchange is canceled, in each of its phases and in each of three
// ways: what its caller gets, what becomes of its neighbours and of the connection.

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A canceler ends an exchange in one of the ways there are.
type canceler struct {
	*rig
	way   string
	plain bool // the stream has no deadlines: a read under way can only be ended by Close
	kind  Kind
	ctx   context.Context
	end   func(x Exchange)
}

const patience = time.Minute // of a Request.Deadline

func newCanceler(r *rig, way string, plain bool) *canceler {
	k := &canceler{rig: r, way: way, plain: plain, kind: Canceled, ctx: context.Background()}
	k.end = func(x Exchange) { x.Cancel() }
	switch way {
	case "context":
		ctx, cancel := context.WithCancel(context.Background())
		k.ctx, k.end = ctx, func(Exchange) { cancel() }
		r.Cleanup(cancel)
	case "deadline":
		k.kind, k.end = Timeout, func(Exchange) { time.Sleep(patience) }
	}
	return k
}

// victim sends the request that is going to be canceled.
func (k *canceler) victim(target string) *call {
	req := get(target)
	if k.way == "deadline" {
		req.Deadline = time.Now().Add(patience)
	}
	return k.begin(k.ctx, req)
}

func (k *canceler) send(target string) *call { return k.begin(context.Background(), get(target)) }

// phases are where an exchange can be when it is canceled.
var phases = []struct {
	name string
	ways string // "" means all
	run  func(k *canceler)
}{
	{"in line", "context deadline", func(k *canceler) {
		post := get("/a")
		post.Method = "POST" // nothing goes out behind it
		a := k.begin(context.Background(), post)
		b := k.victim("/b")
		c := k.send("/c")
		k.end(Exchange{}) // Send has not returned one
		k.failed(b, k.kind, SentNothing)
		k.await(a)
		k.serve("/a")
		k.got(a, "/a")
		k.await(c)
		k.serve("/c")
		k.got(c, "/c")
		if got := k.took(); got != "POST /a;GET /c;" {
			k.Errorf("the server received %s", got)
		}
		k.alive()
	}},
	{"appended", "", func(k *canceler) {
		k.s.setWindow(10)
		a := k.send("/a") // its write is stuck
		b := k.victim("/b")
		c := k.send("/c")
		if !b.sent || !c.sent || len(k.s.out) != 10 {
			k.Fatal("not the state that is to be tested")
		}
		k.await(b)
		k.end(b.x)
		k.failed(b, k.kind, SentNothing)
		k.s.setWindow(wireWindow)
		synctest.Wait()
		k.await(a)
		k.await(c)
		k.serve("/a", "/c")
		k.got(a, "/a")
		k.got(c, "/c")
		if got := k.took(); got != "GET /a;GET /c;" {
			k.Errorf("the server received %s", got)
		}
		k.alive()
	}},
	{"written, between others", "", func(k *canceler) {
		a, b, c := k.send("/a"), k.victim("/b"), k.send("/c")
		k.await(a)
		k.await(b)
		k.await(c)
		k.end(b.x)
		k.failed(b, k.kind, SentAll)
		k.serve("/a", "/b", "/c")
		k.got(a, "/a")
		k.got(c, "/c")
		k.alive()
	}},
	{"written, last", "", func(k *canceler) {
		a, b := k.send("/a"), k.victim("/b")
		k.await(a)
		k.await(b)
		k.end(b.x)
		k.failed(b, k.kind, SentAll)
		k.serve("/a", "/b")
		k.got(a, "/a") // whatever becomes of the connection: it stood in front
		k.alive()
	}},
	{"first, waited for, others behind", "", func(k *canceler) {
		a, b, c := k.victim("/a"), k.send("/b"), k.send("/c")
		k.await(a)
		k.await(b)
		k.await(c)
		k.end(a.x)
		k.failed(a, k.kind, SentAll)
		if k.plain { // the read cannot be ended but by Close
			k.failed(b, Closed, SentAll)
			k.failed(c, Closed, SentAll)
			k.dead()
			return
		}
		k.serve("/a", "/b", "/c")
		k.got(b, "/b")
		k.got(c, "/c")
		k.alive()
	}},
	{"first, not waited for, others behind", "", func(k *canceler) {
		a, b := k.victim("/a"), k.send("/b")
		k.await(b)
		k.end(a.x)
		k.serve("/a", "/b")
		k.got(b, "/b")
		k.await(a)
		k.failed(a, k.kind, SentAll)
		k.alive()
	}},
	{"first, not waited for, nor those behind", "Cancel context", func(k *canceler) {
		a, b := k.victim("/a"), k.send("/b")
		k.end(a.x)
		k.serve("/a", "/b")
		k.await(b)
		k.got(b, "/b")
		k.await(a)
		k.failed(a, k.kind, SentAll)
		k.alive()
	}},
	{"alone", "", func(k *canceler) {
		a := k.victim("/a")
		k.await(a)
		k.end(a.x)
		k.failed(a, k.kind, SentAll)
		k.dead()
	}},
	{"alone, not waited for", "Cancel context", func(k *canceler) {
		a := k.victim("/a")
		k.end(a.x)
		synctest.Wait()
		k.dead()
		k.await(a)
		k.failed(a, k.kind, SentAll)
	}},
	{"in the middle of a write", "", func(k *canceler) {
		a := k.send("/a")
		k.await(a)
		k.s.setWindow(len(k.s.out) + 10)
		b := k.victim("/b")
		c := k.send("/c")
		k.await(b)
		k.await(c)
		k.end(b.x)
		k.failed(b, k.kind, SentPart)
		k.failed(a, Closed, SentAll)
		k.failed(c, Closed, SentNothing)
		k.dead()
	}},
	{"in the middle of a head", "", func(k *canceler) {
		a, b := k.victim("/a"), k.send("/b")
		k.await(a)
		k.await(b)
		k.raw("HTTP/1.1 200 OK\r\nContent-Le")
		synctest.Wait()
		k.end(a.x)
		k.failed(a, k.kind, SentAll)
		if k.plain {
			k.dead()
			return
		}
		k.raw("ngth: 3\r\n\r\nold")
		k.serve("/b")
		k.got(b, "/b")
		k.alive()
	}},
	{"in a body, little left", "", inBody("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", strings.Repeat("o", 100), true)},
	{"in a body, much left", "", inBody("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", strings.Repeat("o", 1000), false)},
	{"in a body, chunked", "", inBody("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "3\r\nold\r\n0\r\nA: b\r\n\r\n", true)},
	{"in a body, until close", "", inBody("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", "old", false)},
	{"while it drains another", "", func(k *canceler) {
		a, b, c := k.send("/a"), k.victim("/b"), k.send("/c")
		a.x.Cancel()
		k.await(b)
		k.raw("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nold")
		k.await(c)
		k.end(b.x)
		k.failed(b, k.kind, SentAll)
		if k.plain {
			k.dead()
			return
		}
		k.raw("old")
		k.serve("/b", "/c")
		k.got(c, "/c")
		k.alive()
	}},
}

// inBody cancels while a Read of the body waits, after its first byte, with another
// exchange behind. lives says that the rest may be read for nobody.
func inBody(head, body string, lives bool) func(k *canceler) {
	return func(k *canceler) {
		a, b := k.victim("/a"), k.send("/b")
		k.await(a)
		k.await(b)
		k.raw(head + body[:1])
		synctest.Wait()
		k.end(a.x)
		k.failed(a, k.kind, SentAll)
		if !lives || k.plain {
			synctest.Wait()
			if !b.over || b.err == nil {
				k.Errorf("the exchange behind: over %v, %v", b.over, b.err)
			}
			k.dead()
			return
		}
		k.raw(body[1:])
		k.serve("/b")
		k.got(b, "/b")
		k.alive()
	}
}

func TestCancelPhases(t *testing.T) {
	for _, phase := range phases {
		for _, way := range []string{"Cancel", "context", "deadline"} {
			for _, plain := range []bool{false, true} {
				if phase.ways != "" && !strings.Contains(phase.ways, way) {
					continue
				}
				name := fmt.Sprintf("%s/%s/plain=%v", phase.name, way, plain)
				t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
					inBubble(t, Config{Depth: 4, MaxDrain: 500}, plain, func(r *rig) {
						r.warm()
						phase.run(newCanceler(r, way, plain))
					})
				})
			}
		}
	}
}

// A context may end after Send has looked at it and before the request is in line: that
// too is a request which leaves, and nothing else happens.
func TestCancelBeforeTheLine(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		ctx, cancel := context.WithCancel(context.Background())
		req := get("/b")
		q, _ := req.check()
		e := newExchange(ctx, r.c, req, q) // as send does, which is then overtaken
		cancel()
		synctest.Wait()
		r.c.mu.Lock()
		err := r.c.admit(e, true)
		r.c.unlock()
		if err == nil {
			t.Error("the canceled request was admitted")
		} else {
			wantError(t, err, Canceled, SentNothing)
		}
		r.serve("/a")
		r.got(a, "/a")
		r.alive()
	})
}

// The last byte of a response and the end of its reader's time may come together. Whoever
// wins, the next response is the next exchange's.
func TestCancelAtTheLastByte(t *testing.T) {
	for _, wire := range []string{
		"HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/a",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n/a\r\n0\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n/a\r\n0\r\nA: b\r\n\r\n",
	} {
		for split := 1; split < len(wire); split++ {
			inBubble(t, Config{Depth: 4}, false, func(r *rig) {
				r.warm()
				a := r.begin(context.Background(), get("/a"))
				b := r.begin(context.Background(), get("/b"))
				r.await(a)
				r.await(b)
				r.raw(wire[:split])
				synctest.Wait()
				end := a.x.Cancel
				r.s.onRead.Store(&end)
				r.raw(wire[split:])
				synctest.Wait()
				if !a.over {
					t.Fatal("the canceled call hangs")
				}
				if a.err != nil {
					wantError(t, a.err, Canceled, SentAll)
				}
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

// Close, and a cancel that ends the connection, may come while a head is being parsed.
func TestEndWhileParsing(t *testing.T) {
	for _, wire := range []string{
		"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/a",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
	} {
		for _, way := range []string{"Close", "Cancel"} {
			inBubble(t, Config{}, false, func(r *rig) {
				req := get("/a")
				req.Header.Add("Upgrade", "x")
				req.Header.Add("Connection", "upgrade")
				a := r.begin(context.Background(), req)
				r.await(a)
				end, kind := a.x.Cancel, Canceled
				if way == "Close" {
					end, kind = func() { r.c.Close() }, Closed
				}
				r.s.onRead.Store(&end)
				r.raw(wire)
				r.failed(a, kind, SentAll)
				r.dead()
			})
			if t.Failed() {
				t.Fatalf("%s at %q", way, wire)
			}
		}
	}
}

// race runs both at once, n times, each with a fresh setup.
func race(n int, setup func(i int) (a, b func())) {
	for i := range n {
		a, b := setup(i)
		var wg sync.WaitGroup
		start := make(chan struct{})
		for _, f := range []func(){a, b} {
			wg.Go(func() { <-start; f() })
		}
		runtime.Gosched()
		close(start)
		wg.Wait()
	}
}
