package h1

// cancel.go: an exchange ends before its response has: canceled, out of time, or given up.
//
// Rule: its caller hears of that at once, and the others are spared where the bytes allow
// it. What no writer has taken leaves the queue; what is out stays there, abandoned, until
// its response has been read for nobody; where neither can be, the connection ends.
// Not here: what a failure of the stream ends (readFailed in read.go, writeFailed in
// write.go).
//
// The words for an end, here and in the other files:
//
//	cancel     an exchange is to end for its caller's sake: by Cancel, a context, a Deadline
//	abandon    it has ended for its caller, and its response is read for nobody
//	interrupt  the read or the write that its goroutine is in is ended
//	leave      that goroutine lets go of the read half
//	takeBack   its request leaves the queue, if no writer has a byte of it: drop, evDrop
//	stop       its body is not written on: stopUpload, evStop
//	quit       as that, and the connection ends once those in front have their responses
//	cut        a write under way is ended, and says how far it has come
//	outlive    it has ended, but CloseWrite's last write is under way in its name
//	fail       an exchange gets its error; Conn.fail ends the connection, evFail
//	release    its memory has one user less (exchange.go)
//	giveBack   the connection's buffers go back to their pools (buffer.go)

import "time"

// cancel ends one exchange for its caller's sake and spares the others where the bytes
// allow it. mu is held.
//
//   - in line, or nothing of it taken by a writer: it leaves, and nothing else happens;
//   - written whole, or soon to be by another: its response is read for nobody by whoever
//     reads next, if that costs at most MaxDrain, and unless it is the very response that
//     is due and nobody wants one behind it;
//   - its body is under way behind responses that are wanted: the connection ends with
//     these, if it can;
//   - else the connection ends; so it does where bytes of a response came already, though
//     no writer has taken a byte of the request: it cannot leave, and must not be sent any
//     more.
func (c *Conn) cancel(e *exchange, err *Error) {
	err = c.waitedFor(e, err)
	switch {
	case e.refs == 0 || e.err != nil && !e.outlives():
		return
	case e.recv.done && c.upload == e:
		c.endUpload(e, err)
	case e.lastWrite(), e.err != nil: // answered, or abandoned and outlived: see outlives
		c.endLastWrite(e, err)
	case e.recv.done: // and nothing else of it is under way
	case e.start < 0:
		c.line.remove(e)
		e.inLine = false
		e.fail(err)
		switch {
		case c.stuckInRead(e):
			c.fail(nil, err)
		case c.reader == e || c.othersWrite(e):
			c.interrupt(e)
		}
	case e.up.fills: // it leaves when its body was read
		e.fail(err)
	case c.takeBack(e):
		e.fail(err)
	case c.mayAbandon(e):
		c.abandon(e, err)
		c.interrupt(e)
	case c.quitsUpload(e, err):
	default:
		c.fail(e, err)
	}
	c.changed()
}

// failUpload ends a body that cannot be written on, and the connection with it. mu is held.
func (c *Conn) failUpload(e *exchange, err *Error) {
	if c.quitsUpload(e, err) {
		c.changed()
	} else {
		c.fail(e, err)
	}
}

// quitsUpload gives up a body in the midst, where a response besides its own is wanted, and
// reports whether it did: nobody is in a write. (Such a response is in front, and its
// request out: no body is admitted before that, and nothing behind a body.) The write half
// is shut, as by a write's error; the connection ends once those in front have their
// responses. mu is held.
func (c *Conn) quitsUpload(e *exchange, err *Error) bool {
	if c.upload != e || c.inWrite || c.dueAlone(e) {
		return false
	}
	c.because(err)
	c.life.must(evStop)
	c.failAlone(e, err)
	c.stopWrites()
	return true
}

// failAlone fails e and takes it out of the queue: no response is waited for. mu is held.
func (c *Conn) failAlone(e *exchange, err *Error) {
	e.fail(err)
	c.queue.remove(e)
	c.life.must(evDrop)
	e.start, e.end = -1, -1
}

// mayAbandon reports whether e's response can be read for nobody: all of e was appended,
// and a writer has taken it; somebody wants a response besides e's; and e's caller can be
// let go of what it is in. mu is held.
func (c *Conn) mayAbandon(e *exchange) bool {
	taken := e.end >= 0 && e.start < c.taken
	return taken && !c.dueAlone(e) && !c.isKept(e) && !c.stuckInRead(e)
}

// isKept reports whether e is kept by a write that does not end without the connection: e's
// last byte is in it, or e's own caller. mu is held.
func (c *Conn) isKept(e *exchange) bool {
	if !c.writesFor(e) || c.othersWrite(e) {
		return false
	}
	return !c.apart || c.written < e.end
}

// stuckInRead reports whether e is in a read that nothing but Close ends. mu is held.
func (c *Conn) stuckInRead(e *exchange) bool {
	return c.reader == e && c.inRead && c.deadlines() == nil
}

// outlives reports whether CloseWrite is still in its write though the response was given
// up, and is read for nobody: what would have ended the exchange then has to end that
// write. mu is held.
func (e *exchange) outlives() bool {
	return e.abandoned && e.up.busy && e.c.writesFor(e)
}

// endUpload ends a body that is still being written though its response has ended. If the
// caller has given all of it, it may be out already, with only the last write yet to
// return: that write is cut, and where it turns out to be over the connection is spared. mu
// is held.
func (c *Conn) endUpload(e *exchange, err *Error) {
	switch {
	case e.up.left == 0 && c.writesFor(e) && (e.up.busy || !e.q.push): // else nobody would end the body
		c.cutLast(e, err)
	case c.isOut(e): // CloseWrite alone was to come
		c.endWhole(e)
	default:
		e.fail(err)
		c.noReuse(errUpload)
	}
}

// cutLast cuts the write under way in e's name, which is the last of its body and may be
// over. Where nothing but Close ends a write, it is given a moment to return first. mu is
// held.
func (c *Conn) cutLast(e *exchange, err *Error) {
	switch {
	case e.up.lastCut != nil:
	case c.deadlines() != nil:
		e.up.lastCut = err
		c.cutWrite()
	default:
		e.up.lastCut, e.up.until = err, time.Now().Add(graceBeforeClose)
		c.wakeBy(e.up.until)
	}
}

// failLast ends the connection, for the write in e's name that cutLast has cut was not
// over. mu is held.
func (c *Conn) failLast(e *exchange) {
	e.fail(e.up.lastCut)
	c.fail(nil, errUpload)
}

// endWhole ends a pushed body that is out whole, without CloseWrite. mu is held.
func (c *Conn) endWhole(e *exchange) {
	c.endBody(e)
	e.up.over = true
	e.unregister()
}

// lastWrite reports whether e was answered already, and CloseWrite is in a write, or about
// to be. mu is held.
func (e *exchange) lastWrite() bool {
	c := e.c
	answered := e.recv.done && c.upload != e
	return answered && e.up.busy && (c.written < e.end || c.writesFor(e))
}

// endLastWrite ends CloseWrite's write, or keeps it from beginning: what is not out is left
// to another request, if there is one; else the connection ends. mu is held.
func (c *Conn) endLastWrite(e *exchange, err *Error) {
	if !c.writesFor(e) { // it is about to begin
		e.fail(err)
		return
	}
	c.cutLast(e, err)
}

// interrupt ends the read or the write that e's goroutine is in, if any; the goroutine then
// leaves by itself, for it owns the reception. mu is held.
func (c *Conn) interrupt(e *exchange) {
	if c.writesFor(e) && c.othersWrite(e) {
		c.cutWrite()
	}
	if c.reader == e && c.inRead {
		c.setReadBy(longAgo)
		if !c.endsReads() || e.start < 0 { // see readEnd
			e.recv.until = time.Now()
			c.wakeBy(c.readEnd())
		}
	}
	if c.reader != e || !e.inUse {
		c.leave(e)
	}
}

// dueAlone reports whether nobody wants a response besides e's. mu is held.
func (c *Conn) dueAlone(e *exchange) bool {
	for x := c.queue.head; x != nil; x = x.next {
		if x != e && !x.abandoned {
			return false
		}
	}
	return true
}

// abandon ends e, and leaves its response to be read for nobody. It returns e's error. mu
// is held.
func (c *Conn) abandon(e *exchange, err *Error) *Error {
	e.abandoned = true
	e.fail(err)
	forOthers := c.writesFor(e) && c.taken > e.end
	if forOthers && !c.cutsWrites() && !passed(e.by) {
		c.liftDeadline() // it would end the write for those behind, too
	}
	return e.err
}

// leave lets go of e's response before its end: another reads the rest of it for nobody,
// unless that is known to be more than MaxDrain. mu is held, by whoever owns the reception.
func (c *Conn) leave(e *exchange) {
	switch {
	case c.life.r == rShut:
		if c.reader == e {
			c.reader = nil
		}
		if c.owing && !c.inWrite { // the write that its read was to begin with
			c.owesNoMore()
		}
	case e.start < 0: // taken back
		if c.reader == e {
			if c.br != nil {
				c.lookBehind() // at what e's read may have brought; without a buffer, finish has looked
			}
			c.handOn()
			c.changed() // the connection may be idle only now
		}
	case c.takeBack(e): // its time was up before the read that was to write it
		c.changed()
	case e.start >= c.taken || c.dueAlone(e) || e.recv.remain > c.cfg.MaxDrain:
		c.fail(e, e.err)
	case c.reader == e || c.reader == nil:
		c.handOn()
	}
}

// takeBack removes a request of which no writer has taken a byte, and reports whether it
// could. mu is held.
func (c *Conn) takeBack(e *exchange) bool {
	if e.start < c.taken || e.end < 0 && c.upload != e || !c.mayUnread(e) {
		return false
	}
	c.drop(e)
	if c.owing {
		c.owesNoMore()
	}
	if c.queue.head == nil && c.inWrite && c.writer.recv.done {
		c.liftDeadline() // the write is not for e any more
	}
	if c.unclaimed() { // it may have been e's caller who saw to the rest
		c.runLater()
	}
	switch {
	case c.reader == nil:
		c.handOn()
	case c.reader == e:
		c.interrupt(e)
	}
	return true
}

// drop takes a request out of the queue, and what there is of it out of wbuf. mu is held.
func (c *Conn) drop(e *exchange) {
	end := e.end
	if end < 0 { // it is the last: its body is still to come
		end = c.appended()
	}
	from, n := e.start-c.taken, end-e.start
	c.wbuf.b = append(c.wbuf.b[:from], c.wbuf.b[from+n:]...)
	for x := e.next; x != nil; x = x.next {
		x.start -= n
		if x.end >= 0 {
			x.end -= n
		}
	}
	if c.upload == e {
		c.upload = nil
	}
	c.queue.remove(e)
	c.counts.requests--
	c.life.must(evDrop)
	e.start, e.end = -1, -1
}

// dropAbandoned takes back the requests that were abandoned while a writer had them, and
// that no writer has any more. mu is held.
func (c *Conn) dropAbandoned() {
	for x := c.queue.head; x != nil; {
		next := x.next
		if x.abandoned {
			c.takeBack(x)
		}
		x = next
	}
}

// mayUnread reports whether e can leave the queue as far as the read half goes: nothing of
// its response has come (some may have, to a write that was cut and put back), and nobody
// is reading it but e's own goroutine, which can be interrupted. mu is held.
func (c *Conn) mayUnread(e *exchange) bool {
	switch r := c.reader; {
	case c.stuckInRead(e):
		return false // even if what it reads is a response in front
	case c.queue.head != e:
		return true
	case e.seen:
		return false
	case r == nil || r == e:
		return true
	default:
		return r.start < 0 && !e.abandoned // r was taken back before, and is still in its read
	}
}
