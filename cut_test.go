package h1

// cut_test.go: what befalls a write that is cut, and those who come before it has returned.

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A lazy stream is one whose writer, or reader, is slow to wake: of the deadlines that are
// set while it is held it sees the last.
type lazy struct {
	*tap
	writes, reads held
}

type held struct {
	hold atomic.Bool
	last atomic.Pointer[time.Time]
}

func (h *held) set(t time.Time, now func(time.Time) error) error {
	if h.hold.Load() {
		h.last.Store(&t)
		return nil
	}
	return now(t)
}

// letGo ends that.
func (h *held) letGo(now func(time.Time) error) {
	h.hold.Store(false)
	if t := h.last.Swap(nil); t != nil {
		now(*t)
	}
}

func (s *lazy) SetWriteDeadline(t time.Time) error { return s.writes.set(t, s.tap.SetWriteDeadline) }
func (s *lazy) SetReadDeadline(t time.Time) error  { return s.reads.set(t, s.tap.SetReadDeadline) }

func (s *lazy) SetDeadline(t time.Time) error {
	s.SetReadDeadline(t)
	return s.SetWriteDeadline(t)
}

func (s *lazy) letGo() { s.writes.letGo(s.tap.SetWriteDeadline) }

// inCut runs f on a connection whose write was cut, and has yet to hear of it: it was in
// the name of /a, with a Deadline, a StallTimeout or neither, and is in /b, of which sent
// bytes are out and which was given up when /a was answered.
func inCut(t *testing.T, kind streamKind, sent int, f func(*rig, *lazy)) {
	for name, limits := range map[string]struct{ deadline, stall time.Duration }{
		"unlimited": {}, "Deadline": {deadline: time.Minute}, "StallTimeout": {stall: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{}, false, func(r *rig) {
				s := &lazy{tap: r.s}
				r.c = NewConn(s, &Config{Depth: 4, StallTimeout: limits.stall})
				defer r.c.Close()
				r.c.kind = kind
				r.cut(s, limits.deadline, sent)
				f(r, s)
			})
		})
	}
}

func (r *rig) cut(s *lazy, limit time.Duration, sent int) {
	r.warm()
	r.s.setWindow(3)
	req := get("/a")
	if limit > 0 {
		req.Deadline = time.Now().Add(limit)
	}
	a := r.begin(context.Background(), req)
	r.await(a)
	b := r.begin(context.Background(), get("/b"))
	r.s.setWindow(getHead + sent)
	synctest.Wait()
	b.x.Cancel()
	s.writes.hold.Store(true)
	r.serve("/a")
	r.got(a, "/a")
	if w := r.c.writer; w != a.x.e || !r.c.inWrite || !w.up.cut() || len(r.s.out) != getHead+sent {
		r.Fatal("not the state that is to be tested")
	}
}

// A request that comes before a cut write has returned finds a good connection: another
// goroutine writes the rest. Only what nobody wants, and of which no byte is out, is
// dropped.
func TestAdmittedInTheCut(t *testing.T) {
	for _, c := range []struct {
		sent int
		make func(string) *Request
		want string
	}{
		{0, get, "GET /a;GET /k;"},
		{3, get, "GET /a;GET /b;GET /k;"},
		{0, posting, "GET /a;GET /b;POST /k;"}, // waits in line, and reads what is due
		{3, posting, "GET /a;GET /b;POST /k;"},
	} {
		inCut(t, opaque, c.sent, func(r *rig, s *lazy) {
			k := r.begin(context.Background(), c.make("/k"))
			s.letGo()
			synctest.Wait()
			r.s.setWindow(wireWindow)
			synctest.Wait()
			if strings.Contains(c.want, "/b") {
				r.serve("/b")
			}
			synctest.Wait()
			r.await(k)
			if got := r.took(); got != c.want {
				r.Errorf("sent %d: the server received %q, want %q", c.sent, got, c.want)
			}
			r.serve("/k")
			r.got(k, "/k")
			r.alive()
		})
	}
}

// Where nobody comes, and nothing of what nobody wants is out, the connection is well, too.
func TestCutBetweenRequests(t *testing.T) {
	inCut(t, opaque, 0, func(r *rig, s *lazy) {
		s.letGo()
		synctest.Wait()
		r.s.setWindow(wireWindow)
		if got := r.took(); got != "GET /a;" {
			r.Errorf("the server received %q", got)
		}
		r.alive()
	})
}

// A request that is answered before it is out, in that moment, is out before the next one;
// where there is none, the connection ends with it.
func TestAnsweredInTheCut(t *testing.T) {
	for _, stays := range []bool{false, true} {
		inCut(t, opaque, 3, func(r *rig, s *lazy) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			k := r.begin(ctx, posting("/k")) // which reads what /b is answered
			r.serve("/b")
			synctest.Wait()
			if r.c.queue.head != nil {
				r.Fatal("not the state that is to be tested")
			}
			if !stays {
				cancel()
				r.failed(k, Canceled, SentNothing)
				s.letGo()
				synctest.Wait()
				if r.c.Err() != errStuck {
					r.Errorf("Err: %v", r.c.Err())
				}
				r.dead()
				return
			}
			s.letGo()
			r.s.setWindow(wireWindow)
			synctest.Wait()
			if got := r.took(); got != "GET /a;GET /b;POST /k;" {
				r.Errorf("the server received %q", got)
			}
			r.serve("/k")
			r.await(k)
			r.got(k, "/k")
			r.alive()
		})
	}
}

// A request in line that reads what is due, and is told to leave, is not kept by a write
// that ends just before it leaves: this sets no other deadline.
func TestToldToLeaveBeforeAWriteEnds(t *testing.T) {
	inCut(t, opaque, 3, func(r *rig, s *lazy) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		k := r.begin(ctx, posting("/k"))
		l := r.begin(context.Background(), posting("/l"))
		if r.c.reader != r.c.line.head || !r.c.inRead {
			r.Fatal("not the state that is to be tested")
		}
		s.reads.hold.Store(true)
		cancel()
		synctest.Wait()
		s.letGo()
		synctest.Wait()
		s.reads.letGo(s.tap.SetReadDeadline)
		r.failed(k, Canceled, SentNothing)
		r.s.setWindow(wireWindow)
		r.serve("/b")
		synctest.Wait()
		r.await(l)
		r.serve("/l")
		r.got(l, "/l")
		r.alive()
	})
}

// If the stream does not say how far a cut write came, the connection ends, for a reason
// that is nobody's Timeout; a request that came meanwhile may be sent again.
func TestAdmittedInTheCutOfTLS(t *testing.T) {
	for _, answered := range []bool{false, true} {
		inCut(t, layered, 3, func(r *rig, s *lazy) {
			k := r.begin(context.Background(), get("/k"))
			r.await(k)
			if answered {
				r.serve("/b")
			}
			synctest.Wait()
			s.letGo()
			r.failed(k, Closed, SentNothing)
			r.dead()
		})
	}
}

// TLS may write while it reads (a KeyUpdate is answered): no deadline of a write that is
// over is in its way.
func TestWriteOverUnderTLS(t *testing.T) {
	for _, kind := range []streamKind{layered, sealed} {
		inBubble(t, Config{StallTimeout: time.Minute}, false, func(r *rig) {
			r.c.kind = kind
			req := get("/a")
			req.Deadline = time.Now().Add(time.Hour)
			a := r.begin(context.Background(), req)
			r.await(a)
			if r.s.write.at != (time.Time{}) || r.s.read.at.IsZero() {
				t.Errorf("deadlines: of writes %v, of reads %v", r.s.write.at, r.s.read.at)
			}
			r.serve("/a")
			r.got(a, "/a")
			r.alive()
		})
	}
}

// TLS is that on whatever it runs: a write of it that is cut is not gone on with.
func TestTLSWithoutSocket(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	c := NewConn(tls.Client(client, &tls.Config{}), nil)
	if c.cutsWrites() || c.fits() || !c.kind.encoded() {
		t.Errorf("kind %v: cuts writes %v, fits %v", c.kind, c.cutsWrites(), c.fits())
	}
}
