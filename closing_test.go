package h1

// closing_test.go: the end of a connection: what waits for it, what is left behind.

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// Shutdown that waits for what is in flight does not wait for a protocol that the stream
// was switched to meanwhile: it closes the stream, which nobody has detached.
func TestShutdownMeetsASwitch(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		k := r.begin(context.Background(), &Request{Method: "CONNECT", Target: "h:1"})
		r.await(k)
		down := make(chan error, 1)
		go func() { down <- r.c.Shutdown(context.Background()) }()
		watched := make(chan error, 1)
		go func() { watched <- r.c.Watch(context.Background()) }()
		synctest.Wait()
		r.raw("HTTP/1.1 200 OK\r\n\r\n")
		synctest.Wait()
		r.got(k, "")
		select {
		case err := <-down:
			if err != nil || r.s.ended() != "closed" {
				t.Errorf("Shutdown: %v, the stream is %q", err, r.s.ended())
			}
		default:
			t.Fatalf("Shutdown waits: %v", r.c.State())
		}
		select {
		case <-watched:
		default:
			t.Error("Watch goes on")
		}
	})
}

// Shutdown of a connection that has ended returns nil, also where its context is over.
func TestShutdownOfTheEnded(t *testing.T) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for range 50 { // what waits for both may see either
		c := NewConn(newMirror(echo), nil)
		c.Close()
		if err := c.Shutdown(over); err != nil {
			t.Fatal(err)
		}
	}
}

// Shutdown in good time returns nil under TLS, too: only a context that ends while TLS says
// goodbye has cut that short.
func TestShutdownOfALayer(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		s := &politeStream{tap: r.s}
		r.c = NewConn(s, nil)
		r.next("/a")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := r.c.Shutdown(ctx); err != nil || s.cut.Load() {
			t.Errorf("Shutdown: %v, cut short: %v", err, s.cut.Load())
		}
	})
}

// A connection that has ended keeps no timer, however far away the deadline was.
func TestEndedKeepsNoTimer(t *testing.T) {
	inBubble(t, Config{}, true, func(r *rig) {
		k := r.begin(context.Background(), soon("/a", time.Hour))
		r.await(k)
		if r.c.alarm == nil {
			t.Fatal("there is no timer")
		}
		r.c.Close()
		r.failed(k, Closed, SentAll)
		if r.c.alarm != nil && r.c.alarm.Stop() {
			t.Error("the timer of a deadline runs on")
		}
	})
}

// The rest of a body that was to save the connection is not wanted any more once that has
// ended, and then nothing is left with its context, though its caller may not come back.
func TestContextLetGoWithTheConnection(t *testing.T) {
	for name, end := range map[string]func(c *Conn){
		"Close":    func(c *Conn) { c.Close() },
		"Shutdown": func(c *Conn) { go c.Shutdown(context.Background()) },
	} {
		inBubble(t, Config{}, false, func(r *rig) {
			ctx := &countedContext{Context: context.Background()}
			k := r.begin(ctx, &Request{Method: "PUT", Host: "x", Push: true, ContentLength: 9})
			r.serve("/early")
			r.await(k)
			r.got(k, "/early")
			if n := ctx.n.Load(); n != 1 {
				t.Fatalf("%s: %d callbacks wait for the context of a body on its way", name, n)
			}
			end(r.c)
			synctest.Wait()
			if n := ctx.n.Load(); n != 0 {
				t.Errorf("%s: %d callbacks wait for the context", name, n)
			}
			r.dead()
		})
	}
}

// closeSees is a stream that notes which deadlines were on it when Close began.
type closeSees struct {
	*tap
	read, write time.Time
	at          [2]time.Time
}

func (s *closeSees) SetReadDeadline(t time.Time) error { s.read = t; return s.tap.SetReadDeadline(t) }
func (s *closeSees) SetWriteDeadline(t time.Time) error {
	s.write = t
	return s.tap.SetWriteDeadline(t)
}
func (s *closeSees) SetDeadline(t time.Time) error {
	s.SetReadDeadline(t)
	return s.SetWriteDeadline(t)
}
func (s *closeSees) Close() error {
	s.at = [2]time.Time{s.read, s.write}
	return s.tap.Close()
}

// A deadline that was for reads alone, or for writes alone, does not limit Close either.
func TestCloseAfterOneDeadline(t *testing.T) {
	for _, c := range []struct {
		name        string
		cfg         Config
		by          bool
		read, write bool // what the exchange leaves on the stream
	}{
		{"HeadTimeout", Config{HeadTimeout: time.Second}, false, true, false},
		{"Deadline behind another", Config{Depth: 2}, true, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, c.cfg, false, func(r *rig) {
				s := &closeSees{tap: r.s}
				r.c = NewConn(s, &c.cfg)
				r.warm()
				a := r.begin(context.Background(), get("/a"))
				if c.by {
					r.begin(context.Background(), soon("/b", time.Second))
				}
				r.await(a)
				r.serve("/a")
				r.got(a, "/a")
				if c.read != !s.read.IsZero() || c.write != !s.write.IsZero() {
					t.Fatalf("deadlines are left of reads: %v, of writes: %v", s.read, s.write)
				}
				r.c.Close()
				if !s.at[0].IsZero() || !s.at[1].IsZero() {
					t.Errorf("Close begins under deadlines: %v", s.at)
				}
			})
		})
	}
}

// under finds what lies lowest, also where a layer says that nothing lies below it.
func TestUnderALayerOfNothing(t *testing.T) {
	below, _ := net.Pipe()
	c := NewConn(over{over{below}}, nil)
	if got := c.under(); got != below {
		t.Errorf("under is %T", got)
	}
	nothing := over{nil}
	c = NewConn(over{nothing}, nil)
	if got := c.under(); got != net.Conn(nothing) {
		t.Errorf("under a layer of nothing is %T", got)
	}
}
