package h1

// limit.go: the deadlines that the stream itself sees to, of a read and of a write.
//
// Rule: the deadline on the stream is the earliest of those that limit the read, or the
// write, under way: readLimit and writeLimit find it, limitRead and limitWrite set it.
// Not here: the deadlines that no read or write sees to (alarm.go), what becomes of an
// exchange that is over its time (readError in source.go, writeFailed in write.go).
//
// What ends a wait, where the time of that is kept, and who sees to it. Where the stream
// has no deadlines, ring closes it instead.
//
//	Request.Deadline      by                 the stream in its calls, else ring
//	a call's context      stop, wait.stop    context.AfterFunc (exchange.go)
//	HeadTimeout           sent, and lateBy   the stream; lateBy if it is over at the start
//	StallTimeout          comeBy and moveBy  the stream, anew after bytes have moved
//	ExpectTimeout         holdBy             ring, which wakes who writes the body (pushAt)
//	drainTime             closeBy            the stream, in a read that Close has begun
//	graceAfterWriteError  nowhere            the stream, in each read
//	gatherTime            wakeAt             ring, which wakes who waits for its turn
//	graceBeforeClose      readEnd, lookBy,   ring, where no deadline is sure to end a call;
//	                      up.until           closeLate, while the stream is being closed

import "time"

// limitsReads reports whether anything limits e's read, or has limited one before. mu is
// held.
func (c *Conn) limitsReads(e *exchange) bool {
	return c.timed || !c.readBy.IsZero() || c.werr != nil || c.clocked || !e.recv.closeBy.IsZero()
}

// isLimited reports whether limitRead would change nothing: nothing but e's Deadline, if it
// has one, limits its read, and that is on the stream, and sure to end it. mu is held.
func (c *Conn) isLimited(e *exchange) bool {
	return c.readBy == e.by && e.recv.until == e.by && e.start >= 0 &&
		c.werr == nil && !c.clocked && e.recv.closeBy.IsZero() && c.endsReads()
}

// limitRead sets the deadline of the read under way, or next. mu is held.
func (c *Conn) limitRead() {
	e := c.reader
	if c.end.gone || e.abandoned || e.start < 0 && !e.inLine {
		return // closeStream, or interrupt, has ended the read, which another deadline would undo
	}
	until, why := c.readLimit(e)
	e.recv.until, e.recv.why = until, why
	if !until.Equal(c.readBy) && c.deadlines() != nil {
		c.setReadBy(until)
	}
	if end := c.readEnd(); !end.IsZero() {
		c.wakeBy(end)
	}
}

// setReadBy sets the deadline of reads. mu is held.
func (c *Conn) setReadBy(t time.Time) {
	c.readBy = t
	c.dl.SetReadDeadline(t)
}

// setWriteBy sets the deadline of writes. mu is held.
func (c *Conn) setWriteBy(t time.Time) {
	c.hasWriteBy = !t.IsZero()
	c.dl.SetWriteDeadline(t)
}

// readLimit returns the deadline of a read in reader's name, and by which rule. It starts
// the clocks of StallTimeout, and of the look for a head that is overdue. mu is held.
func (c *Conn) readLimit(reader *exchange) (until time.Time, why rule) {
	until, why = reader.by, whyDeadline
	limit := func(t time.Time, by rule) {
		if until.IsZero() || t.Before(until) {
			until, why = t, by
		}
	}
	if !reader.recv.closeBy.IsZero() {
		limit(reader.recv.closeBy, whyDrain)
	}
	e := c.queue.head // whose response is read, if in another's name
	if e == nil {
		e = reader
	}
	if t := c.cfg.HeadTimeout; t > 0 && !e.final && !e.sent.IsZero() {
		by := e.sent.Add(t)
		if passed(by) && e.recv.lateBy.IsZero() && e.recv.late < mostLate {
			e.recv.lateBy = time.Now().Add(nearDeadline)
		}
		if by.Before(e.recv.lateBy) {
			by = e.recv.lateBy
		}
		limit(by, whyHead)
	}
	if t := c.cfg.StallTimeout; t > 0 && c.sendsNoMore(e) {
		if reader.recv.comeBy.IsZero() {
			reader.recv.comeBy = time.Now().Add(t)
		}
		limit(reader.recv.comeBy, whyStall)
	}
	if c.inWrite && c.shakes() && !c.writer.up.until.IsZero() {
		limit(c.writer.up.until, c.writer.up.why)
	}
	if c.werr != nil {
		limit(time.Now().Add(graceAfterWriteError), whyGrace)
	}
	return until, why
}

// mostLate is how long, in all, to wait for a head whose HeadTimeout has passed before
// anybody read it: one that is there needs no waiting, in however many pieces it came.
const mostLate = 20 * time.Millisecond

// overdue is the error of a read of e's that took too long. mu is held.
func (c *Conn) overdue(e *exchange, op string) *Error {
	if e.recv.why == whyGrace {
		return c.werr
	}
	return fromDeadline(op, e.recv.why)
}

// A rule is what has set a deadline. Where none is set, the first stands for none.
type rule uint8

const (
	whyDeadline rule = iota // Request.Deadline
	whyHead                 // Config.HeadTimeout
	whyStall                // Config.StallTimeout
	whyGrace                // graceAfterWriteError
	whyDrain                // how long the body's Close may take
)

// String names the rule for an Error's text.
func (r rule) String() string {
	return [...]string{"Request.Deadline", "HeadTimeout", "StallTimeout", "after a failed write",
		"while a response was drained"}[r]
}

// limitsWrites reports whether anything limits a write in e's name, or has limited one
// before. mu is held.
func (c *Conn) limitsWrites(e *exchange) bool {
	return c.hasWriteBy || !e.by.IsZero() || e.up.lastCut != nil || c.cfg.StallTimeout > 0 || c.shakes() ||
		!e.up.until.IsZero()
}

// writeLimit returns the deadline of a write in e's name, and by which rule. mu is held.
func (c *Conn) writeLimit(e *exchange) (until time.Time, why rule) {
	until, why = e.by, whyDeadline
	switch {
	case e.up.lastCut != nil && c.deadlines() == nil:
		until = e.up.until // the moment that cutLast has given it
	case c.timeIsOver(e):
		until = time.Time{}
	case e.up.lastCut != nil:
		until = longAgo
	case e.start < 0 && !c.cutsWrites():
		until = time.Time{} // it only waits in line, and would take the connection with it
	}
	if t := e.up.moveBy; c.cfg.StallTimeout > 0 && (until.IsZero() || t.Before(until)) {
		until, why = t, whyStall
	}
	return until, why
}

// timeIsOver reports whether e's time is over, while a write in its name goes on for
// others. mu is held.
func (c *Conn) timeIsOver(e *exchange) bool {
	if e.err != nil && !e.outlives() {
		return true
	}
	return e.recv.done && !e.lastWrite() && c.queue.head != nil
}

// limitWrite sets the deadline of the write under way. mu is held.
func (c *Conn) limitWrite() {
	e := c.writer
	none := c.deadlines() == nil // asked before all else, which goes by c.dl
	until, why := c.writeLimit(e)
	e.up.until, e.up.why = until, why
	if c.shakes() && c.inRead {
		c.limitRead()
	} else if c.shakes() && !until.Equal(c.readBy) {
		c.setReadBy(until)
	}
	switch both, ok := c.dl.(bothDeadliner); {
	case until.IsZero():
		if c.hasWriteBy {
			c.setWriteBy(time.Time{})
		}
	case none:
		c.wakeBy(until)
	case ok && why == whyDeadline && c.onlyRequest(e): // the response is due by then as well
		c.readBy, c.hasWriteBy = until, true
		e.recv.until, e.recv.why = until, why
		both.SetDeadline(until)
	default:
		c.setWriteBy(until)
	}
}

// liftDeadline takes the Deadline of the writer, which has ended, from its write under way,
// which goes on for others; but not from a write that was cut. mu is held.
func (c *Conn) liftDeadline() {
	if e := c.writer; !e.by.IsZero() && !e.up.cut() {
		c.limitWrite()
	}
}

// cutWrite ends the write under way, which then says how far it has come. mu is held.
func (c *Conn) cutWrite() {
	c.writer.up.until = longAgo
	if !c.end.closing { // else Close may be writing already, and closeLate sees to it
		c.setWriteBy(longAgo)
	}
}

// cut reports whether the write under way, or the last one, was.
func (u *uploading) cut() bool { return u.until.Equal(longAgo) }
