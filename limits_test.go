package h1

// limits_test.go: one limit of time beside another, and deadlines that nobody but the
// alarm sees to.

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A Deadline that is far off hides no limit that is nearer, though it is on the stream
// already, for the write had it: HeadTimeout, StallTimeout, and how long Close waits.
func TestNearLimitBesideFarDeadline(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"
	onBoth(t, Config{HeadTimeout: time.Minute}, func(r *rig) {
		start := time.Now()
		k := r.begin(context.Background(), soon("/", time.Hour))
		r.await(k)
		r.timedOut(k, start, time.Minute, "HeadTimeout")
	})
	onBoth(t, Config{StallTimeout: time.Minute}, func(r *rig) {
		k := r.begin(context.Background(), soon("/", time.Hour))
		r.await(k)
		time.Sleep(time.Second)
		start := time.Now()
		r.raw(head)
		synctest.Wait()
		r.timedOut(k, start, time.Minute, "StallTimeout")
	})
	onBoth(t, Config{}, func(r *rig) {
		var resp Response
		r.raw(head)
		if err := r.c.Do(context.Background(), soon("/", time.Hour), &resp); err != nil {
			r.Fatal(err)
		}
		start := time.Now()
		resp.Body.Close()
		if d := time.Since(start); d != drainTime {
			r.Errorf("Close took %v", d)
		}
	})
}

// Two requests may have the same Deadline. When it ends the read of the second, whose own
// deadline the stream has had from the first, those behind are spared.
func TestDeadlineOfTwo(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		first, second := soon("/a", time.Second), soon("/b", time.Second)
		a := r.begin(context.Background(), first)
		b := r.begin(context.Background(), second)
		c := r.begin(context.Background(), get("/c"))
		for _, k := range []*call{a, b, c} {
			r.await(k)
		}
		r.serve("/a")
		r.got(a, "/a")
		time.Sleep(time.Second)
		r.failed(b, Timeout, SentAll)
		r.serve("/b", "/c")
		r.got(c, "/c")
		r.alive()
	})
}

// A caller who steps out of a Read and does not come back is over its Deadline for those
// who began to wait for the connection while it was in that Read.
func TestDeadlineAfterLastRead(t *testing.T) {
	for name, wait := range map[string]func(*Conn){
		"Ready":    func(c *Conn) { <-c.Ready().Done() },
		"Shutdown": func(c *Conn) { c.Shutdown(context.Background()) },
		"Watch":    func(c *Conn) { c.Watch(context.Background()) },
	} {
		inBubble(t, Config{}, false, func(r *rig) {
			k := r.begin(context.Background(), soon("/", time.Second))
			r.raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
			if err := k.x.Wait(context.Background(), &k.resp); err != nil {
				r.Fatal(err)
			}
			go func() {
				k.resp.Body.Read(make([]byte, 5))
				k.sent.Store(false)
			}()
			synctest.Wait()
			var told atomic.Bool
			go func() {
				wait(r.c)
				told.Store(true)
			}()
			synctest.Wait()
			r.raw("h")
			synctest.Wait()
			if k.sent.Load() || told.Load() {
				r.Fatal("not the state that is to be tested")
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if !told.Load() {
				r.Errorf("%s goes on", name)
			}
			r.dead()
		})
	}
}

// The same holds for a request that had to wait for its turn: when it has been sent, and
// nobody waits for its response, its Deadline ends it for the one behind.
func TestDeadlineOfOneThatStoodInLine(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		start := time.Now()
		a := r.begin(context.Background(), get("/a"))
		b := r.begin(context.Background(), soon("/b", time.Second)) // in line
		r.serve("/a")
		r.await(a)
		r.got(a, "/a")
		c := r.begin(context.Background(), get("/c"))
		if !b.sent.Load() || c.over.Load() {
			r.Fatal("not the state that is to be tested")
		}
		time.Sleep(time.Second)
		r.failed(c, Closed, SentNothing)
		if d := time.Since(start); d != time.Second {
			r.Errorf("after %v", d)
		}
		if err := b.x.Wait(context.Background(), &b.resp); !errors.Is(err, Timeout) {
			r.Error(err)
		}
		r.dead()
	})
}

// Nor does it count that it has read the responses of others first, while it stood in line.
func TestDeadlineOfOneThatClearedTheWay(t *testing.T) {
	inBubble(t, Config{Depth: 2}, false, func(r *rig) {
		r.warm()
		a, other := r.begin(context.Background(), get("/a")), r.begin(context.Background(), get("/other"))
		r.await(a)
		other.x.Cancel()
		b := r.begin(context.Background(), &Request{Method: "POST", Target: "/b", Host: "x", Deadline: time.Now().Add(time.Second)})
		r.serve("/a", "/other")
		r.got(a, "/a")
		synctest.Wait()
		if !b.sent.Load() {
			r.Fatal("not the state that is to be tested")
		}
		c := r.begin(context.Background(), get("/c"))
		time.Sleep(time.Second)
		r.failed(c, Closed, SentNothing)
		r.dead()
	})
}

// StallTimeout bounds the response that came in the place of 100 (Continue) to a chunked
// body as well, where that is not even ended, for the connection is not used again.
func TestStallAfterLastExpectIsOver(t *testing.T) {
	for _, head := range []string{
		"HTTP/1.1 417 No\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhe",
		"HTTP/1.0 417 No\r\nContent-Length: 5\r\n\r\nhe",
		"HTTP/1.1 417 No\r\n\r\nhe", // until the end
	} {
		onBoth(t, Config{StallTimeout: time.Minute}, func(r *rig) {
			a := r.begin(context.Background(), &Request{Method: "PUT", Host: "x", Push: true, Header: fieldsOf("Expect: 100-continue")})
			r.s.receive(1 << 20)
			r.await(a)
			r.raw(head)
			time.Sleep(time.Minute)
			r.failed(a, Timeout, SentPart)
			if got := r.s.receive(1 << 20); len(got) > 0 {
				r.Errorf("the server got %q", got)
			}
			r.dead()
		})
	}
}

// overtime is a stream whose every Read fails with a timeout that is none of the engine's.
type overtime struct {
	*tap
	reads int
}

func (s *overtime) Read([]byte) (int, error) {
	s.reads++
	time.Sleep(time.Minute)
	return 0, notMine{}
}

type notMine struct{}

func (notMine) Error() string { return "idle for a minute" }
func (notMine) Timeout() bool { return true }

// A timeout of the stream's own, where nothing has set a deadline, ends the read at once.
func TestTimeoutOfTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &overtime{tap: &tap{wireStream: newWireStream(false)}}
		c := NewConn(s, nil)
		defer c.Close()
		wantError(t, c.Do(context.Background(), get("/"), &Response{}), Timeout, SentAll)
		if s.reads != 1 {
			t.Errorf("%d reads", s.reads)
		}
	})
}

// deafEnd is a stream whose Close ends no call.
type deafEnd struct{ *slow }

func (deafEnd) Close() error { return nil }

// A write that ends while a connection is closed leaves alone the deadline that is to end
// the read, where the stream's Close does not.
func TestWriteEndsDuringClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{tap: &tap{wireStream: newWireStream(false)}, reads: time.Millisecond}
		defer s.tap.Close()
		r := &rig{t, s.tap, NewConn(deafEnd{s}, &Config{Depth: 4, StallTimeout: time.Hour})}
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		r.s.setWindow(len(r.s.out))
		b := r.begin(context.Background(), get("/b"))
		if !r.c.inRead || !r.c.inWrite {
			t.Fatal("not the state that is to be tested")
		}
		r.c.Close()
		time.Sleep(time.Second)
		r.failed(a, Closed, SentAll)
		r.await(b)
		r.failed(b, Closed, SentPart)
	})
}

// Once a write has failed, each read takes a tenth of a second at most, though a Deadline
// that is far off is on the stream.
func TestGraceBesideFarDeadline(t *testing.T) {
	onBoth(t, Config{}, func(r *rig) {
		k := r.begin(context.Background(), &Request{Method: "PUT", Host: "x", Push: true, Deadline: time.Now().Add(time.Hour)})
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
		if err := k.x.Wait(context.Background(), &k.resp); err != nil {
			r.Fatal(err)
		}
		r.raw("h")
		buf := make([]byte, 5)
		if n, err := k.resp.Body.Read(buf); n != 1 || err != nil {
			r.Fatal(n, err)
		}
		r.s.failWrites(0, syscall.EPIPE)
		k.x.Write(make([]byte, 8<<10))
		start := time.Now()
		_, err := k.resp.Body.Read(buf)
		wantError(r, err, IO, SentPart)
		if d := time.Since(start); d != graceAfterWriteError {
			r.Errorf("the read took %v", d)
		}
		r.dead()
	})
}
