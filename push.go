package h1

// push.go: a request's body that its caller pushes: Exchange.Write and CloseWrite.
//
// Rule: one goroutine at a time takes a step (uploading.busy): a piece of the body, or its
// end. A step that fails ends the exchange; a call that comes out of turn (outOfTurn) fails
// alone.
// Not here: how the bytes of a step go out (upload.go).

import (
	"errors"
	"fmt"
)

// Write sends some of the body of a request with Push set, and flushes it. One goroutine at
// a time may call it, while others read the response. While 100 (Continue) is awaited it
// waits: only a Wait in another goroutine hears that before ExpectTimeout is over.
//
// It fails with BadRequest if the request has no Push, or after CloseWrite; past its
// ContentLength as well, which ends the connection. Once the body is not wanted any more it
// fails with the Kind of what ended that, the response (Closed) or the connection; Wait may
// still return the response. Where it fails it returns 0, though some of p may have gone
// out.
func (x Exchange) Write(p []byte) (int, error) {
	err := x.push(pushStep{run: func(c *Conn, e *exchange) error {
		err := c.piece(e, p)
		if err == nil && c.pending() && !c.writing {
			c.flush(e)
		}
		return err
	}})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// CloseWrite ends the body of a request with Push set, and writes Request.Trailer after a
// chunked one. It fails as Write does; with BodyFailed, and ends the connection, if less
// than ContentLength was written.
//
// If no more than MaxDrain bytes of a ContentLength are left when the response ends, the
// connection waits for them, and takes no other request before CloseWrite. If the context
// or the Deadline ends before that, or Cancel is called, so does the connection, unless a
// Write that has returned wrote the last byte: CloseWrite then has nothing to do. If that
// happens while CloseWrite is writing, the next request writes the rest if one waits for
// its turn, and the connection ends if none does.
func (x Exchange) CloseWrite() error {
	return x.push(pushStep{run: (*Conn).finishBody, last: true})
}

// A pushStep is what Write or CloseWrite does to a body.
type pushStep struct {
	run  func(*Conn, *exchange) error
	last bool // CloseWrite's
}

// push takes one step of a pushed body, if that can be.
func (x Exchange) push(step pushStep) error {
	e, ok := x.lock()
	if !ok {
		return errEnded
	}
	c := x.c
	defer c.unlock()
	switch {
	case !e.q.push:
		return e.outOfTurn("write body", "the request's body does not come through Write: Push is not set")
	case e.up.busy:
		return e.outOfTurn("write body", "another goroutine is in Write or CloseWrite")
	case step.last && e.up.over:
		return nil
	case e.up.ended && e.err == nil:
		return e.outOfTurn("write body", "the request's body has ended")
	case e.up.ended:
		return e.err
	}
	return c.runStep(e, step)
}

// runStep takes that step, and turns its error into the exchange's. mu is held, but not
// while it waits.
func (c *Conn) runStep(e *exchange, step pushStep) error {
	e.up.busy = true
	c.lookOut() // those in front may keep the server from reading
	var err error = errStop
	if c.awaitGo(e) {
		err = step.run(c, e)
	}
	lost := !c.mayWrite() && e.sentSoFar() != SentAll
	if err == nil && (lost || e.err != nil) {
		err = errStop
	}
	if e.up.lastCut != nil && c.upload == e && c.isOut(e) {
		c.endWhole(e)
		c.changed()
	}
	e.up.busy = false
	if e.err != nil && e.stop != nil {
		e.stop() // which fail may have left to this write: see outlives
	}
	e.unregister()
	e.cond.Signal() // whoever waits for the body to be out: see switchOver
	if err != nil {
		err = c.pushFailed(e, err)
	}
	if e.up.ended && !e.up.over {
		e.release()
	}
	return err
}

// outOfTurn is the error of a call that the exchange does not take. It ends nothing: the
// request is on its way, and not to be sent again for that. mu is held.
func (e *exchange) outOfTurn(op, why string) *Error {
	bad := e.own(newError(BadRequest, op, errors.New(why)))
	bad.Sent = max(bad.Sent, SentPart)
	return bad
}

// pushFailed says why a step of a pushed body failed. mu is held.
func (c *Conn) pushFailed(e *exchange, err error) error {
	switch bad, ok := err.(*Error); {
	case err == errStop:
		return c.notWanted(e)
	case ok:
		c.failUpload(e, bad)
	case err == errLong:
		c.failUpload(e, newError(BadRequest, "write body", err))
	default:
		c.failUpload(e, bodyFailed(err))
	}
	return e.err
}

// notWanted is the error of a step of a body that is not wanted any more: what ended e or
// the write half, or else the response. mu is held.
func (c *Conn) notWanted(e *exchange) *Error {
	why := newError(Closed, "write body", errStop)
	switch {
	case e.err != nil:
		return e.err
	case c.werr != nil:
		why.Kind, why.Err = c.werr.Kind, c.werr.Err
	case c.err != nil:
		why.Err = fmt.Errorf("%w: %w", errStop, c.err)
	}
	return e.own(why)
}
