package h1

// probe.go: is an idle connection still good?
//
// Rule: a request is written to an idle connection only after it was seen, without
// blocking, that nothing arrived in the meantime: neither bytes, nor the stream's end. A
// stream with no socket under it cannot be asked, unless it is a peeker.
// Not here: the system calls (probe_socket.go, probe_other.go, peek_*.go), and Watch, which
// tells at once (watch.go).

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"time"
)

// A probe is what is known of the looks at an idle stream.
type probe struct {
	early  bool      // the first response was there before its request: see Config.Fresh
	asked  bool      // Probe or Watch was called: Config.Fresh holds no longer
	stale  bool      // a write has run since the last look: see stillGood
	runs   bool      // a look through TLS is under way: the stream is being read for it
	dwells bool      // it was under way already when lookBy had passed
	rings  bool      // the alarm is set for lookBy, or for earlier
	lookBy time.Time // when the alarm rings for that look: valid only while it runs
}

// Probe returns nil unless the idle connection is known to be dead; it does not wait for
// the server to say so. If it is, Probe ends the connection and returns its Err (Closed
// after the server's close, Unsolicited after bytes nobody asked for, IO). While exchanges
// are in flight it only returns Err; one that was canceled is in flight until somebody has
// read its response. On a stream with no socket under it, and no PeekNow, nothing is known.
//
// Under TLS, records that are waiting are read, for they may be session tickets; that takes
// a millisecond. If one asks for an answer (as a key update may), and the server does not
// read that, the connection ends after a fifth of a second.
func (c *Conn) Probe() error {
	c.mu.Lock()
	defer c.unlock()
	c.probe.asked = true
	c.gate(nil)
	return c.reason()
}

// gate stands between an idle connection and e, the next request; e is nil where Probe or
// Watch asks. An error has ended the connection. mu is held, but not while it reads through
// TLS.
func (c *Conn) gate(e *exchange) *Error {
	if !c.life.idle() || c.end.gone || !c.canLook() || c.probe.runs || c.reader != nil {
		return nil
	}
	if next := c.line.head; e == nil && next != nil && c.admits(&next.q) == admitted {
		return nil // it looks itself
	}
	return c.lookAt(nil)
}

// lookAt looks whether the connection is still good, for e, if that is in the queue
// already. An error has ended the connection. mu is held, but not while it reads through
// TLS.
func (c *Conn) lookAt(e *exchange) *Error {
	c.probe.stale = false
	first, n, err := c.peek()
	if n > 0 && c.greets() {
		c.probe.early = true
		return nil
	}
	if c.kind == layered && !c.peeks && err == nil && (n > 0 || c.written > 0) {
		first, n, err = c.probeThrough(n > 0)
		if c.life.r == rShut { // it ended meanwhile
			return c.refusal("send")
		}
	}
	why := unfit(first[:n], err)
	c.endUnfit(e, why)
	return why
}

// greets reports whether what has come is taken for the first response: see Config.Fresh.
// mu is held.
func (c *Conn) greets() bool {
	return c.cfg.Fresh && !c.probe.asked && c.written == 0 && (c.peeks || c.sock != nil && c.kind != layered)
}

// greeted reports whether the first response may be here, or being read, though no byte of
// its request went out: it is not lost to a failed write. mu is held.
func (c *Conn) greeted() bool {
	if !c.greets() {
		return false
	}
	if c.inRead || c.counts.read > 0 {
		return true
	}
	_, n, _ := c.peek()
	return n > 0
}

// endUnfit ends the connection if a look, made for e, has found why it is of no more use;
// nil: it is good. mu is held.
func (c *Conn) endUnfit(e *exchange, why *Error) {
	if why != nil {
		c.end.cutOff = true
		c.fail(e, why)
	}
}

// canLook reports whether the stream can be looked at.
func (c *Conn) canLook() bool { return c.sock != nil || c.peeks }

// stillGood is gate's second look, where the first is old (stale): a request with nobody in
// front of it was appended behind another's write, which may have taken long, and its first
// byte is about to go out. Under TLS it does not read, for that takes time: whatever lies
// in the socket then counts against the connection, which has ended if this returns false.
// mu is held, by a writer.
func (c *Conn) stillGood() bool {
	e := c.queue.head
	if e == nil || e.start < c.taken || c.inRead {
		return true // or whoever reads will see it: see soundHead
	}
	c.probe.stale = false
	first, n, err := c.peek()
	why := unfit(first[:n], err)
	if n > 0 && c.kind == layered && !c.peeks {
		why = errIdleSpoke
	}
	c.endUnfit(e, why)
	return why == nil
}

// aged reports whether gate's look is old once e's body was read, since the caller's own
// code ran for that, and nobody looks again before e is written. mu is held.
func (c *Conn) aged(e *exchange) bool {
	switch e.up.body.(type) {
	case *bytes.Reader, *bytes.Buffer, *strings.Reader:
		return false
	}
	return c.canLook() && !c.owes(e) && c.queue.head == e && c.reader == nil
}

// A peeker is a stream that can say what a read would bring: see NewConn.
type peeker interface {
	PeekNow(p []byte) (n int, err error)
}

// peek looks, without waiting, at what a read would return. mu is held.
func (c *Conn) peek() (first [peeked]byte, n int, err error) {
	if !c.peeks {
		return peek(c.sock)
	}
	b := getBlock(peeked)
	defer b.put(peeked)
	n, err = c.rw.(peeker).PeekNow(b.b[:peeked])
	if n < 0 || n > peeked {
		return first, 0, errPeekCount
	}
	copy(first[:], b.b[:n])
	return first, n, err
}

var errPeekCount = errors.New("the stream's PeekNow returned an impossible count")

// peeked is how many bytes a look at an idle socket brings: what tells 408 from others.
const peeked = 16

// unfit says why an idle connection is of no more use, by the first bytes that came and by
// its error; nil: it is good.
func unfit(first []byte, err error) *Error {
	switch {
	case len(first) > 0:
		return unasked(first)
	case err == io.EOF:
		return errIdleEnd
	case err != nil:
		return newError(IO, "idle", err)
	}
	return nil
}

// unasked says what bytes mean that came to an idle connection. A server that gives up
// waiting may say so with 408 before it closes (RFC 9110, section 15.5.9): that is a close.
func unasked(b []byte) *Error {
	const version = len("HTTP/1.x ")
	if len(b) >= version+3 && string(b[:7]) == "HTTP/1." && string(b[version:version+3]) == "408" {
		return errIdle408
	}
	return errUnasked
}

// nearDeadline is how long a read may take for what is there already: records under TLS, or
// a head whose HeadTimeout has passed.
const nearDeadline = time.Millisecond

// mostRounds limits the reads of one look: a server sends a few tickets, and no endless
// row.
const mostRounds = 8

// probeThrough reads through a layer over the socket: what the layer has read ahead, with a
// deadline that has passed and so without a system call; and if the socket has bytes, those
// as well, for they may be the layer's own, a session ticket for instance. It is not called
// where a read could be what starts the layer's handshake: before anything was written, and
// nothing has come. Nobody else uses the stream meanwhile, for probe.runs is set. A layer
// that has to write for what it reads may not return in time: see graceBeforeClose. mu is
// held, but not during reads.
func (c *Conn) probeThrough(readable bool) (first [peeked]byte, n int, err error) {
	if c.dl == nil {
		return first, 0, nil
	}
	b := getBlock(peeked)
	defer b.put(peeked)
	if c.watch != nil {
		c.watch.kick(c) // it holds the socket's right to read
	}
	c.setReadBy(longAgo)
	c.probe.runs = true
	c.limitLook()
	c.mu.Unlock()
	n, err = c.look(b.b[:peeked], readable)
	c.mu.Lock()
	if readable { // Watch was told to leave, and may yet have to hear it
		c.setReadBy(longAgo)
	}
	c.probe.runs = false
	c.counts.read += int64(n)
	if c.line.head != nil || c.ready != nil { // they came meanwhile
		c.changed()
	}
	if c.watch != nil { // as did those who wait for the look to end: see awaitLook
		c.watch.cond.Broadcast()
	}
	copy(first[:], b.b[:n])
	return first, n, err
}

// limitLook sees to it that a look, which begins now, ends once its second alarm has rung.
// One alarm for many looks is cheaper than one for each. mu is held.
func (c *Conn) limitLook() {
	c.probe.dwells = false
	if !c.probe.rings {
		c.probe.lookBy = time.Now().Add(graceBeforeClose)
		c.wakeBy(c.probe.lookBy)
		c.probe.rings = true
	}
}

// awaitLook waits until a look under way has ended, which is soon. mu is held, but not
// while it waits.
func (c *Conn) awaitLook() {
	for c.probe.runs {
		c.watchers().cond.Wait()
	}
}

// look reads for probeThrough. mu is not held.
func (c *Conn) look(p []byte, readable bool) (n int, err error) {
	if n, err = c.rw.Read(p); saysTimeout(err) {
		err = nil
	}
	for round := 0; readable && n == 0 && err == nil && round < mostRounds; round++ {
		by := time.Now().Add(nearDeadline << min(round, 3)) // the read may have begun too late
		c.dl.SetReadDeadline(by)
		if n, err = c.rw.Read(p); n == 0 && (err == nil || saysTimeout(err)) {
			_, got, _ := peek(c.sock)
			if readable = got > 0; !readable || passed(by) {
				err = nil
			} // else no time is up: the layer has failed before, and says so from now on
		}
	}
	switch {
	case n < 0 || n > len(p):
		return 0, errReadCount
	case n == 0 && err == nil && readable: // what lies there may be a response
		return 0, errNotRead
	}
	return n, err
}

var errNotRead = errors.New("the server has sent something to the idle connection that cannot be read in time")
