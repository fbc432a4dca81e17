package h1

// watch.go: Watch, which tells at once that an idle connection has ended.
//
// Rule: Watch waits until the socket is readable, and reads nothing. It holds the socket's
// right to read meanwhile (parked): whoever is to read makes it leave (kick), and waits
// until it has. Why it was woken is then for gate to find out.
// Not here: the look itself (probe.go), the system call that waits (probe_socket.go).

import (
	"context"
	"sync"
	"time"
)

// watch is where Watch waits, and a call that waits for the end of a look.
type watch struct {
	cond   sync.Cond // L is Conn.mu; wakes at idle times, when parked becomes false, at the end
	calls  int       // of Watch, which go on
	parked bool      // Watch holds the socket's right to read
	kicked bool      // it was told to leave
}

// watchers returns where to wait for what Watch waits for: idle times, and their end. mu is
// held.
func (c *Conn) watchers() *watch {
	if c.watch == nil {
		c.watch = &watch{}
		c.watch.cond.L = &c.mu
	}
	return c.watch
}

// watched reports whether Watch holds the socket's right to read, even if it was told to
// leave. mu is held.
func (c *Conn) watched() bool { return c.watch != nil && c.watch.parked }

// kick makes Watch leave the socket's right to read. mu is held.
func (w *watch) kick(c *Conn) {
	w.cond.Broadcast()
	if w.parked && !w.kicked && c.dl != nil {
		w.kicked = true
		c.setReadBy(longAgo)
	}
}

// Watch blocks until the connection ends and returns its Err, or until ctx ends (Canceled,
// Timeout). Where there is a socket under the stream it notices the end of an idle
// connection at once: while nothing is in flight it waits for the socket to become
// readable, reads nothing and holds no buffer. (A canceled exchange is in flight until its
// response has been read for nobody, with the next request.) Elsewhere, and where the
// stream refuses deadlines, with which Watch is woken, it notices what a request or a Probe
// finds.
//
// Its price is the goroutine that calls it, and at the start of each request the time to
// wake that. One Watch at a time waits on the socket; others wait for the first to notice.
func (c *Conn) Watch(ctx context.Context) error {
	c.mu.Lock()
	defer c.unlock()
	c.probe.asked = true // what it may be about to notice is no response
	w := c.watchers()
	w.calls++
	defer func() { w.calls-- }()
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() {
			c.mu.Lock()
			w.kick(c)
			c.mu.Unlock()
		})
		defer stop()
	}
	looked := int64(-1) // what had been read at the last look through a layer
	for ctx.Err() == nil {
		switch {
		case c.end.gone || c.life.r == rShut:
			return c.reason()
		case !c.mayPark(w):
			c.lookOut()
			w.cond.Wait()
		case c.kind == layered && c.counts.read != looked: // it may hold what came behind a response
			looked = c.counts.read
			c.gate(nil)
		default:
			c.parkWatch(w)
		}
	}
	return fromContext(ctx, "watch")
}

// mayPark reports whether Watch may wait for the socket now. mu is held.
func (c *Conn) mayPark(w *watch) bool {
	return c.sock != nil && c.dl != nil && c.life.idle() && !w.parked && !c.probe.runs && c.reader == nil
}

// canWake finds out, by setting none, whether a deadline could wake Watch from its wait for
// the socket. A stream that refuses deadlines is taken from then on for one without them;
// but a layer (TLS) is not, for the look through it needs them. If the stream turns out to
// be closed, the connection ends. mu is held.
func (c *Conn) canWake() bool {
	err := c.dl.SetReadDeadline(time.Time{})
	switch {
	case c.kind == layered && refuses(err):
		_, _, end := c.peek() // or it was closed; a socket says so once
		c.endUnfit(nil, unfit(nil, end))
	case c.kind == layered || err == nil:
		return true
	case c.lookAt(nil) == nil: // else it was closed
		c.dl, c.hasWriteBy = nil, false
	}
	return false
}

// parkWatch waits for the idle socket to become readable, and looks why it did. mu is
// held, but not while it waits.
func (c *Conn) parkWatch(w *watch) {
	w.parked, w.kicked = true, false
	if !c.readBy.IsZero() {
		c.setReadBy(time.Time{})
	}
	if c.kind != direct && !c.canWake() {
		w.parked = false
		if c.kind == layered && c.life.r != rShut {
			w.cond.Wait()
		}
		return
	}
	c.mu.Unlock()
	broken, err := awaitReadable(c.sock)
	c.mu.Lock()
	w.parked = false
	w.cond.Broadcast()
	if !w.kicked && isTimeout(err) { // a deadline that was there before
		c.setReadBy(time.Time{})
	}
	switch {
	case c.end.gone || w.kicked && broken == nil || isTimeout(err):
	case err != nil:
		c.fail(nil, unfit(nil, err))
	case broken != nil: // a socket says so once
		c.fail(nil, unfit(nil, broken))
	default:
		c.gate(nil)
	}
}
