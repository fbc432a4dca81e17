package h1

// cancel_test.go: an exchange is canceled, in each of its phases and in each of four
// ways: what its caller gets, what becomes of its neighbours and of the connection.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
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
	ctx   context.Context // Send's
	wait  context.Context // Wait's
	end   func(x Exchange)
	of    *call
}

const patience = time.Minute // of a Request.Deadline

func newCanceler(r *rig, way string, plain bool) *canceler {
	k := &canceler{rig: r, way: way, plain: plain, kind: Canceled, ctx: context.Background(), wait: context.Background()}
	k.end = func(x Exchange) { x.Cancel() }
	switch way {
	case "context", "Wait":
		ctx, cancel := context.WithCancel(context.Background())
		if k.end = func(Exchange) { cancel() }; way == "Wait" {
			k.wait = ctx
		} else {
			k.ctx = ctx
		}
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
	k.of = k.begin(k.ctx, req)
	return k.of
}

// await reads a response, in the victim's case under the context that may end.
func (k *canceler) await(c *call) {
	if c == k.of {
		k.awaitWith(k.wait, c)
	} else {
		k.rig.await(c)
	}
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
		if !b.sent.Load() || !c.sent.Load() || len(k.s.out) != 10 {
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
	{"first, not waited for, others behind", "Cancel context deadline", func(k *canceler) {
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
	{"written, while its caller writes another's", "", func(k *canceler) {
		k.s.setWindow(len("GET /a HTTP/1.1\r\nHost: x\r\n\r\n") - 1)
		a := k.victim("/a")
		k.await(a)
		b, c := k.send("/b"), k.send("/c")
		k.await(b)
		k.await(c)
		k.s.setWindow(len(k.s.out) + 10)
		synctest.Wait()
		k.end(a.x)
		synctest.Wait()
		k.s.setWindow(wireWindow)
		k.failed(a, k.kind, SentAll)
		if k.plain && a.err != nil && k.c.Err() != nil {
			return // its read can be ended by Close alone
		}
		k.serve("/a", "/b", "/c")
		k.got(b, "/b")
		k.got(c, "/c")
		k.alive()
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
	{"in a body, little left", "Cancel context deadline", inBody("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", strings.Repeat("o", 100), true)},
	{"in a body, much left", "Cancel context deadline", inBody("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", strings.Repeat("o", 1000), false)},
	{"in a body, chunked", "Cancel context deadline", inBody("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "3\r\nold\r\n0\r\nA: b\r\n\r\n", true)},
	{"in a body, until close", "Cancel context deadline", inBody("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", "old", false)},
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
			if !b.over.Load() || b.err == nil {
				k.Errorf("the exchange behind: over %v, %v", b.over.Load(), b.err)
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
		for _, way := range []string{"Cancel", "context", "deadline", "Wait"} {
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
		var q asked
		req.check(&q)
		r.c.mu.Lock()
		e := r.c.newExchange(ctx, req, &q) // as send does, which is then overtaken
		r.c.mu.Unlock()
		cancel()
		synctest.Wait()
		r.c.mu.Lock()
		err := r.c.admit(e)
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
				if !a.over.Load() {
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

// A cancel that races the end of its exchange has one winner, and the exchange behind has
// its own response either way.
func TestCancelRace(t *testing.T) {
	const rounds = 10000
	streams := map[string]func() io.ReadWriteCloser{
		"memory": func() io.ReadWriteCloser { return newMirror(echo) },
		"tcp":    func() io.ReadWriteCloser { return dialServer(t, echo) },
	}
	for name, stream := range streams {
		for _, way := range []string{"Cancel", "context of Send", "context of Wait", "Close of the body", "Deadline"} {
			t.Run(name+"/"+strings.ReplaceAll(way, " ", "_"), func(t *testing.T) {
				var c *Conn
				ended := 0
				n := rounds
				if testing.Short() || name == "tcp" {
					n /= 10
				}
				for i := range n {
					if c == nil || c.Err() != nil {
						c = NewConn(stream(), &Config{Depth: 4})
						defer c.Close()
						if body, err := fetch(c, get("/warm")); body != "/warm" || err != nil {
							t.Fatal(err)
						}
					}
					lost, err := raceOnce(c, way, i)
					if err != nil {
						t.Fatalf("round %d: %v", i, err)
					}
					if lost {
						ended++
					}
				}
				t.Logf("%d of %d rounds ended the connection", ended, n)
			})
		}
	}
}

// fetch makes one whole exchange.
func fetch(c *Conn, req *Request) (string, error) {
	x, err := c.Send(context.Background(), req)
	if err != nil {
		return "", err
	}
	return fetchRest(context.Background(), x, nil)
}

// fetchRest reads a response. begun is called when its head is there.
func fetchRest(ctx context.Context, x Exchange, begun func(*Response)) (string, error) {
	var resp Response
	if err := x.Wait(ctx, &resp); err != nil {
		return "", err
	}
	if begun != nil {
		begun(&resp)
	}
	b, err := resp.AppendBody(nil, -1)
	return string(b), err
}

// raceOnce cancels one exchange while it ends, with another behind it. lost says that the
// connection ended with it, which may be only where its bytes were on their way out.
func raceOnce(c *Conn, way string, round int) (lost bool, err error) {
	sending, waiting := context.Background(), context.Background()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req := get("/a")
	kinds := []error{Canceled}
	var begun func(*Response)
	switch way {
	case "context of Send":
		sending = ctx
	case "context of Wait":
		waiting = ctx
	case "Deadline":
		req.Deadline = time.Now().Add(time.Duration(round%50) * time.Microsecond)
		kinds = append(kinds, Timeout)
	case "Close of the body":
		kinds = append(kinds, Closed)
		begun = func(resp *Response) { go resp.Body.Close() }
	}
	x, err := c.Send(sending, req)
	if err != nil {
		if way == "Deadline" && errors.Is(err, Timeout) && c.Err() == nil {
			return false, nil
		}
		return false, fmt.Errorf("send /a: %w", err)
	}
	y, err := c.Send(context.Background(), get("/b"))
	if err != nil {
		return true, mayEnd(c, way, err, SentPart) // which x has yet to tell
	}
	var wg sync.WaitGroup
	var a, b string
	var errA, errB error
	wg.Go(func() { a, errA = fetchRest(waiting, x, begun) })
	wg.Go(func() { b, errB = fetchRest(context.Background(), y, nil) })
	wg.Go(func() {
		for range round % 100 {
			runtime.Gosched()
		}
		switch way {
		case "Cancel":
			x.Cancel()
		case "context of Send", "context of Wait":
			cancel()
		}
	})
	wg.Wait()
	sent := SentAll
	switch e, ok := errA.(*Error); {
	case errA == nil && a != "/a":
		return false, fmt.Errorf("/a got %q", a)
	case errA != nil && (!ok || !slices.Contains(kinds, error(e.Kind))):
		return false, fmt.Errorf("/a: %w", errA)
	case ok:
		sent = e.Sent
	}
	if errB != nil || b != "/b" {
		return true, mayEnd(c, way, fmt.Errorf("/b got %q, %w", b, errB), sent)
	}
	if c.Err() != nil {
		return true, mayEnd(c, way, c.Err(), sent)
	}
	if next, err := fetch(c, get("/c")); err != nil || next != "/c" {
		return false, fmt.Errorf("/c got %q, %w", next, err)
	}
	return false, nil
}

// mayEnd turns an error into none where the connection was to end: the canceled request was
// being written. A write whose time is up may tell that it moved nothing.
func mayEnd(c *Conn, way string, err error, sent Sent) error {
	if c.Err() == nil || sent == SentAll || sent == SentNothing && way != "Deadline" {
		return fmt.Errorf("a neighbour was harmed (sent %v): %w; connection: %v", sent, err, c.State())
	}
	return nil
}

// A body belongs to one caller at a time, and after Close to none.
func TestBodyCalls(t *testing.T) {
	inBubble(t, Config{Depth: 4, MaxDrain: 100}, false, func(r *rig) {
		begin := func(head string) *Response {
			r.raw(head)
			k := r.begin(context.Background(), get("/a"))
			if err := k.x.Wait(context.Background(), &k.resp); err != nil {
				t.Fatal(err)
			}
			return &k.resp
		}
		const ten = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"

		resp := begin(ten + "12345")
		buf := make([]byte, 20)
		if n, err := resp.Body.Read(nil); n != 0 || err != nil {
			t.Errorf("a read of nothing: %d, %v", n, err)
		}
		if n, err := resp.Body.Read(buf); n != 5 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		r.raw("67890")
		for range 2 {
			if err := resp.Body.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		n, err := resp.Body.Read(buf)
		if wantError(t, err, Closed, SentAll); n != 0 {
			t.Errorf("a closed body gave %q", buf[:n])
		}
		r.alive()

		// A read of another's is refused and harms nothing.
		resp = begin(ten)
		read := make(chan error, 1)
		go func() { _, err := io.ReadFull(resp.Body, buf[:10]); read <- err }()
		synctest.Wait()
		_, err = resp.Body.Read(buf[10:])
		if wantError(t, err, NotReady, SentAll); err.(*Error).Retryable("GET") {
			t.Errorf("a request that is being answered may be sent again, says %v", err)
		}
		r.raw("1234567890")
		if err := <-read; err != nil || string(buf[:10]) != "1234567890" {
			t.Errorf("%q, %v", buf[:10], err)
		}
		r.alive()

		// Close while another reads ends that read; with somebody behind, nothing else.
		resp = begin(ten)
		b := r.begin(context.Background(), get("/b"))
		r.await(b)
		go func() { _, err := resp.Body.Read(buf); read <- err }()
		synctest.Wait()
		for range 2 {
			if err := resp.Body.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		wantError(t, <-read, Canceled, SentAll)
		r.raw("1234567890")
		r.serve("/b")
		r.got(b, "/b")
		r.alive()

		// Two Closes at once: one drains, the other does not wait for it.
		resp = begin(ten)
		closed := make(chan error, 2)
		for range 2 {
			go func() { closed <- resp.Body.Close() }()
		}
		synctest.Wait()
		r.raw("1234567890")
		if err1, err2 := <-closed, <-closed; err1 != nil || err2 != nil {
			t.Errorf("%v, %v", err1, err2)
		}
		r.alive()

		// What does not come within drainTime is not waited for.
		resp = begin(ten)
		start := time.Now()
		resp.Body.Close()
		if took := time.Since(start); took != drainTime {
			t.Errorf("Close took %v", took)
		}
		r.dead()
	})
}

// A Response used again gives up the body it held: the rest is read for nobody, or the
// connection ends.
func TestResponseReused(t *testing.T) {
	for _, c := range []struct {
		size  int
		lives bool
	}{{100, true}, {101, false}} {
		inBubble(t, Config{MaxDrain: 100}, false, func(r *rig) {
			var resp Response
			r.raw(answer(strings.Repeat("x", c.size)))
			if err := r.c.Do(context.Background(), get("/a"), &resp); err != nil {
				t.Fatal(err)
			}
			r.serve("/b")
			err := r.c.Do(context.Background(), get("/b"), &resp)
			if c.lives {
				if err != nil {
					t.Fatal(err)
				}
				if b, err := resp.AppendBody(nil, -1); string(b) != "/b" || err != nil {
					t.Errorf("%q, %v", b, err)
				}
				if n := r.c.Stats().Drained; n != int64(c.size) {
					t.Errorf("drained %d", n)
				}
				r.alive()
				return
			}
			wantError(t, err, Closed, SentNothing)
			if !err.(*Error).Unprocessed() {
				t.Error("a request that did not go out counts as processed")
			}
			r.dead()
		})
	}
}
