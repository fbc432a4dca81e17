package h1

// close.go: the end of a connection, and the closing of its stream.
//
// Rule: a connection ends for one reason, the first (because); only a switch to another
// protocol, and what becomes of the stream then, take its place. It ends by one function
// (fail), or by itself where it is not to be used again and nothing is left to do
// (keepalive.go, J4). unlock then closes the stream, once, without mu.
// Not here: the end of a single exchange (cancel.go), the stream given back (stream.go).

import (
	"context"
	"errors"
	"net"
	"time"
)

// ending is how far the stream's end has come.
type ending struct {
	gone    bool          // rw was closed, or is about to be, or was given back by Detach
	cutOff  bool          // the connection has ended, or is to end, in the midst of something
	due     bool          // it ended while responses were due
	closing bool          // rw's Close has not returned
	parting bool          // that Close lets TLS say goodbye
	done    chan struct{} // closed once rw has been closed, or given back; nil: nobody waits for that
}

// The reasons for which a connection ends that are no failure of an exchange.
var (
	errCloseSaid  = closedFor("the server said close")
	errLast       = closedFor("Request.Close was set")
	errNotKept    = closedFor("the response was of HTTP/1.0, without keep-alive")
	errUntilClose = closedFor("a body ended with the connection")
	errAmbiguous  = closedFor("a response's framing was ambiguous")
	errEarly      = closedFor("the first response was there before its request")
	errUpload     = closedFor("a request body was given up after its response")
	errUnread     = closedFor("a response was given up")
	errStuck      = closedFor("a request that nobody wanted was given up half written")
	errByCaller   = closedFor("closed by the caller")
	errShutdown   = closedFor("shut down by the caller")
	errSwitched   = closedFor("the stream was given to another protocol")
	errDetached   = closedFor("the stream was detached")
	errIdleEnd    = closedFor("the server closed the idle connection")
	errIdle408    = closedFor("the server sent 408 (Request Timeout) to the idle connection")
	errIdleSpoke  = closedFor("the server has sent something to the idle connection, or closed it")
	errDeaf       = closedFor("a look at the idle connection did not return: the server may not read what TLS answers")
	errUnasked    = newError(Unsolicited, "idle", errors.New("the server sent bytes that nobody asked for"))
)

// errDeserted ends a connection whose caller did not come back from its own code.
var errDeserted = newError(Canceled, "call back",
	errors.New("the caller's function or Body did not return"))

func closedFor(why string) *Error {
	return newError(Closed, opConnection, errors.New(why))
}

// because notes why no further request is taken: the first reason stays. mu is held.
func (c *Conn) because(why *Error) {
	if c.err == nil {
		c.err = why
	}
}

// noReuse says why no request comes after those in flight. mu is held.
func (c *Conn) noReuse(why *Error) {
	c.because(why)
	c.life.must(evNoReuse)
	if c.life.w == wShut { // J1: without reuse there is nothing to finish an upload for
		c.stopUpload()
	}
}

// forNobody settles what is in flight when nobody wants a response any more. The caller of
// the next request will read what is due. But a write that is stuck keeps that request out,
// and while none is in line no deadline ends the write: so the connection ends, unless the
// write turns out to be over. mu is held.
func (c *Conn) forNobody() {
	if c.err != nil {
		c.fail(nil, c.err)
		return
	}
	switch x := c.unwritten(); {
	case x == nil || c.line.head != nil:
	case c.inWrite && c.deadlines() != nil:
		c.cutWrite()
	default:
		c.failStuck()
	}
}

// failStuck ends the connection in the midst of a request that nobody wants, or that nobody
// wanted any more when its write was cut. mu is held.
func (c *Conn) failStuck() {
	if x := c.unwritten(); x != nil && x.abandoned {
		c.fail(x, x.err)
	} else {
		c.fail(nil, errStuck)
	}
}

// fail ends the connection at once. err is what e, if any, fails with; the others in
// flight and in line fail for the same reason, each by how far it had come. mu is held.
func (c *Conn) fail(e *exchange, err *Error) {
	c.because(err)
	if e != nil {
		e.fail(err) // here, for it may be in line, or its response over before its body
	}
	c.end.due = c.end.due || c.life.n > 0
	c.end.cutOff = c.end.cutOff || c.end.due || c.life.w == wBody || c.writing
	c.life.must(evFail)
	for x := c.queue.pop(); x != nil; x = c.queue.pop() {
		x.fail(neighbour(err))
	}
	if r := c.reader; r != nil && !r.inUse {
		c.reader = nil // it may not come back
	}
	c.stopUpload()
	c.changed()
}

// neighbour is the error of an exchange whose connection ended for what befell another.
func neighbour(err *Error) *Error {
	n := newError(Closed, opConnection, err.forOthers())
	if err.Kind == Incomplete || err.Kind == IO {
		n.Kind = err.Kind
	}
	return n
}

// refusal is the error of a request that the connection does not take any more. mu is held.
func (c *Conn) refusal(op string) *Error {
	return newError(Closed, op, c.err.forOthers())
}

// unlock releases mu, and closes the stream if it was the last move that ended it.
func (c *Conn) unlock() {
	if c.life.r != rShut { // neither ended nor given away
		c.mu.Unlock()
		return
	}
	c.giveBack()
	end := c.life.closed() && !c.end.gone
	if end {
		c.goes()
	}
	c.over()
	if c.watch != nil {
		c.watch.kick(c)
	}
	c.mu.Unlock()
	if end {
		c.closeStream()
	}
}

// goes notes that the stream is about to be closed. mu is held.
func (c *Conn) goes() {
	c.end.gone, c.end.closing = true, true
	c.end.cutOff = c.end.cutOff || c.probe.runs
	c.stopAlarm()
}

// closeStream closes the stream, once goes has announced it. TLS says goodbye first, and
// waits up to five seconds for the peer to take that; a connection that was cut off in the
// midst of something does without. mu is not held.
func (c *Conn) closeStream() (err error) {
	c.mu.Lock()
	late := c.beginClose()
	under := c.under()
	c.end.parting = under != nil && !c.end.cutOff
	cut := under != nil && c.end.cutOff
	ofFile := c.inWrite && c.writer.up.ofFile
	c.mu.Unlock()
	if half, ok := c.rw.(closeWriter); ok && ofFile {
		half.CloseWrite() // or Close waits for all that the kernel was handed of a file
	}
	if cut {
		err = under.Close()
		c.rw.Close()
	} else {
		err = c.rw.Close()
	}
	if late != nil {
		late.Stop()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endCalls()
	c.end.closing, c.end.parting = false, false
	c.over()
	return err
}

// beginClose sees to it that Close is not limited by deadlines that are for no call any
// more, nor held up by calls: those that responses were due for end at once, the others if
// Close, which may have a last word to write behind them, has not returned after a while:
// late is the timer of that. mu is held.
func (c *Conn) beginClose() (late *time.Timer) {
	limited := !c.readBy.IsZero() || c.hasWriteBy
	if c.kind == direct || !limited && !c.inCall() || c.deadlines() == nil {
		return nil
	}
	reads, writes := c.inRead || c.probe.runs, c.inWrite
	if c.kind.encoded() { // see endCalls
		reads, writes = reads || writes, reads || writes
	}
	switch {
	case c.inRead && c.end.due:
		c.setReadBy(longAgo)
	case !reads && !c.watched() && !c.readBy.IsZero():
		c.setReadBy(time.Time{})
	}
	switch {
	case c.inWrite && c.end.due:
		c.setWriteBy(longAgo)
	case !writes && c.hasWriteBy:
		c.setWriteBy(time.Time{})
	}
	if !reads && !writes { // a Watch, if one is there, was told to leave
		return nil
	}
	return time.AfterFunc(graceBeforeClose, c.closeLate)
}

// closeLate is endCalls while Close is under way. It sets deadlines without mu, for a
// stream may let that wait until its Close has returned.
func (c *Conn) closeLate() {
	c.mu.Lock()
	dl, in := c.dl, c.inCall()
	c.mu.Unlock()
	if in {
		dl.SetReadDeadline(longAgo)
		dl.SetWriteDeadline(longAgo)
	}
}

// endCalls ends the calls on the stream that are still under way, for Close does not: that
// of yamux or QUIC only says that no more is written, that of a WebSocket may wait for
// them. TLS reads in its first write, and may write while it reads. mu is held.
func (c *Conn) endCalls() {
	if c.kind != direct && c.dl != nil && c.inCall() {
		c.setReadBy(longAgo)
		c.setWriteBy(longAgo)
	}
}

// inCall reports whether a call on the stream, or on its socket, is under way. mu is held.
func (c *Conn) inCall() bool {
	return c.inRead || c.inWrite || c.probe.runs || c.watched()
}

// under returns what lies under a stream like TLS, at the bottom of all layers, or nil.
func (c *Conn) under() (lowest net.Conn) {
	at := any(c.rw)
	for range mostLayers {
		layer, ok := at.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		below := layer.NetConn()
		if below == nil {
			break
		}
		lowest, at = below, below
	}
	return lowest
}

// mostLayers is how far under looks down: a layer may name itself.
const mostLayers = 8

// hurry sees to it that a Close of the stream, under way or to come, does without TLS's
// goodbye.
func (c *Conn) hurry() {
	c.mu.Lock()
	parting := c.end.parting
	c.end.cutOff, c.end.parting = true, false
	c.mu.Unlock()
	if parting {
		c.under().Close()
	}
}

// over tells those who wait for the connection's end, once the stream was closed. mu is
// held.
func (c *Conn) over() {
	if c.end.done != nil && !c.end.closing {
		close(c.end.done)
		c.end.done = nil
	}
}

// Close ends the connection and all exchanges on it at once, with Closed, and closes the
// stream. It may be called at any time, by any goroutine, and again. It returns the error
// of the stream's Close; nil where that was closed, or given back by Detach, before.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.end.gone {
		c.mu.Unlock()
		return nil
	}
	c.life.switched = false // a switched stream that nobody detached is closed with the rest
	if c.err == errSwitched {
		c.err = errByCaller
	}
	c.fail(nil, errByCaller)
	c.goes()
	c.unlock()
	return c.closeStream()
}

// Shutdown takes no new requests, waits until those in flight have ended, which their
// callers see to by reading or closing the responses' bodies, and closes the stream. When
// ctx ends first, it closes the stream at once and returns an error (Canceled or Timeout).
func (c *Conn) Shutdown(ctx context.Context) error {
	c.mu.Lock()
	if c.end.gone && !c.end.closing {
		c.mu.Unlock()
		return nil
	}
	if c.err == nil {
		c.noReuse(errShutdown)
	}
	c.changed()
	now := c.life.closed() && !c.end.gone || c.life.switched
	var end chan struct{}
	if !now {
		end = c.ended()
		c.lookOut()
	}
	stop := context.AfterFunc(ctx, c.hurry)
	c.unlock()
	if !now {
		select {
		case <-end:
		case <-ctx.Done():
			c.hurry()
			c.Close()
			return fromContext(ctx, "shutdown")
		}
	}
	if err := c.Close(); stop() || c.under() == nil {
		return err
	}
	return fromContext(ctx, "shutdown") // ctx has cut a goodbye short
}

// ended returns the channel that is closed when the connection has ended. mu is held.
func (c *Conn) ended() chan struct{} {
	if c.end.done == nil {
		c.end.done = make(chan struct{})
	}
	return c.end.done
}
