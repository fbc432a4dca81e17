package h1

// alarm.go: the deadlines that no read or write sees to by itself.
//
// Rule: one timer serves a connection. wakeBy sets it, to the first of the times that
// earliest finds, and ring does what is due then. It may ring for nothing; that costs less
// than a timer for each exchange.
// Not here: the stream's own deadlines (limit.go).

import (
	"math"
	"time"
)

// passed reports whether a deadline is set and has passed.
func passed(t time.Time) bool { return !t.IsZero() && time.Until(t) <= 0 }

// earlier returns the earlier of two deadlines, of which either may be unset.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// park waits for e.cond until a deadline: e's own, or that of an exchange in front whose
// caller is in no call, so that e would wait for nobody; or until by, where that is set.
// mu is held.
func (c *Conn) park(e *exchange, by time.Time) {
	e.wakeAt = earlier(e.by, by)
	if !by.IsZero() {
		c.wakeBy(by)
	} else {
		c.lookOut()
	}
	e.cond.Wait()
	e.wakeAt = time.Time{}
}

// parkOrCancel parks e, or cancels it if its Deadline has passed. mu is held.
func (c *Conn) parkOrCancel(e *exchange, by time.Time) {
	if passed(e.by) {
		c.cancel(e, fromDeadline(e.op(), whyDeadline))
	} else {
		c.park(e, by)
	}
}

// lookOut sets the alarm for the deadlines of exchanges whose callers may not come back,
// since somebody is about to wait for them. mu is held.
func (c *Conn) lookOut() {
	if c.timed {
		c.wakeBy(time.Time{})
	}
}

// stepOut sets the alarm for e's deadline at the end of a call on e, whose caller may not
// come back: those who wait behind e, or for the connection, have not set it if they found
// e in that call. mu is held.
func (c *Conn) stepOut(e *exchange) {
	if !e.by.IsZero() {
		c.mindBy(e)
	}
}

// mindBy is stepOut for an exchange that has a deadline: apart, so that stepOut is inlined.
// mu is held.
func (c *Conn) mindBy(e *exchange) {
	if e.start < c.awaited() {
		c.wakeBy(e.by)
	}
}

// awaited returns a position in the stream: somebody may be waiting behind each request
// that begins before it. That is all of them where somebody waits for the connection, or
// where the last one's body waits for a 100 (Continue). mu is held.
func (c *Conn) awaited() (to int64) {
	if c.line.head != nil || c.ready != nil || c.end.done != nil || c.watch != nil && c.watch.calls > 0 {
		return math.MaxInt64
	}
	for e := c.queue.head; e != nil; e = e.next {
		if e.err == nil && (e.waited || e.up.busy) {
			to = e.start
		}
	}
	if u := c.upload; u != nil && u.up.hold {
		to = u.start + 1
	}
	return to
}

// wakeBy sees to it that ring runs at t, if that is set, and at any earlier deadline: the
// timer is set to the earliest. It reports whether there is one. mu is held.
func (c *Conn) wakeBy(t time.Time) bool {
	if t = c.earliest(t); t.IsZero() {
		return false
	}
	c.probe.rings = false
	if c.alarm == nil {
		c.alarm = time.AfterFunc(time.Until(t), c.ring)
	} else {
		c.alarm.Reset(time.Until(t))
	}
	return true
}

// stopAlarm keeps the alarm from ringing. mu is held.
func (c *Conn) stopAlarm() {
	if c.alarm != nil {
		c.alarm.Stop()
	}
}

// earliest returns the earliest deadline that ring has to see to, t among them. mu is held.
func (c *Conn) earliest(t time.Time) time.Time {
	to := c.awaited()
	for _, f := range [...]*exchange{c.queue.head, c.line.head} {
		for e := f; e != nil; e = e.next {
			t = earlier(earlier(t, e.wakeAt), e.pushAt)
			if e.unattended(to) {
				t = earlier(t, e.by)
			}
		}
	}
	if u := c.upload; u != nil && u.recv.done && u.up.lastCut == nil {
		t = earlier(t, u.by)
	}
	if c.probe.runs {
		t = earlier(t, c.probe.lookBy)
	}
	if c.inRead {
		t = earlier(t, c.readEnd())
	}
	if c.inWrite && c.dl == nil {
		t = earlier(t, c.writer.up.until)
	}
	return t
}

// unattended reports whether an exchange in flight is in the hands of a caller who is not
// in a call that sees to its deadline, while others wait: see awaited. mu is held.
func (e *exchange) unattended(awaited int64) bool {
	return e.err == nil && !e.inLine && !e.inUse && e.wakeAt.IsZero() && e.start < awaited
}

// graceBeforeClose is how long a read or a write that no deadline is sure to end may go on
// when its time is over, before the stream is closed under it: a write on a stream without
// deadlines, which may be over, and a read under TLS, or inside the kernel. Such a read
// that takes longer is in a write: TLS answers the server (a change of keys, RFC 8446,
// section 4.6.3), or the kernel passes on what it has read. No deadline of reads ends that,
// and nobody may ever take what is written.
const graceBeforeClose = 100 * time.Millisecond

// readEnd returns when the read under way, or next, is ended by closing the stream, since
// its deadline may not end it; zero: never. mu is held.
func (c *Conn) readEnd() time.Time {
	e := c.reader
	switch until := e.recv.until; {
	case until.IsZero() || c.deadlines() == nil:
		return until
	case c.splices && e.err == nil: // its other limits are for the time between two reads
		if e.by.IsZero() {
			return e.by
		}
		return e.by.Add(graceBeforeClose)
	case !c.endsReads() || e.start < 0: // for the latter, everybody waits: see admits
		return until.Add(graceBeforeClose)
	}
	return time.Time{}
}

// ring wakes or cancels those whose deadline has passed, and closes the stream under a read
// or a write that is over its time, where deadlines do not end it.
func (c *Conn) ring() {
	c.mu.Lock()
	c.probe.rings = false
	if late := c.wakeLate(); late != nil {
		c.cancel(late, fromDeadline(late.op(), whyDeadline))
	}
	switch {
	case c.inRead && passed(c.readEnd()):
		c.readLate()
	case c.inWrite && c.dl == nil && passed(c.writer.up.until):
		c.writeLate()
	case c.probe.runs && passed(c.probe.lookBy):
		c.lookLate()
	}
	if c.end.gone || !c.wakeBy(time.Time{}) {
		c.alarm = nil // an idle connection keeps a timer only where stopAlarm has stopped it
	}
	c.unlock()
}

// wakeLate wakes those whose time is up, and returns an exchange that is over its Deadline
// while its caller is in no call, or whose body is; nil: there is none. mu is held.
func (c *Conn) wakeLate() (late *exchange) {
	to := c.awaited()
	for _, f := range [...]*exchange{c.queue.head, c.line.head} {
		for e := f; e != nil; e = e.next {
			if e.unattended(to) && passed(e.by) {
				late = e
			}
			if passed(e.wakeAt) {
				e.wakeAt = time.Time{}
				e.cond.Broadcast()
			}
			if passed(e.pushAt) {
				e.pushAt = time.Time{}
				e.wake.Broadcast()
			}
		}
	}
	if u := c.upload; u != nil && u.recv.done && passed(u.by) {
		late = u
	}
	return late
}

// readLate ends the read under way, which is over its time, where no deadline has. mu is
// held.
func (c *Conn) readLate() {
	e := c.reader
	why := e.err // interrupt has set that time
	switch {
	case why != nil:
	case c.splices:
		why = fromDeadline(e.op(), whyDeadline)
	default:
		why = c.overdue(e, e.op())
	}
	if e.recv.why == whyDrain { // the patience of the body's Close, and nobody's Timeout
		why = errUnread.with(why.forOthers())
	}
	c.fail(e, why)
}

// writeLate ends the write under way, which is over its time, where no deadline has. mu is
// held.
func (c *Conn) writeLate() {
	e := c.writer
	over := e.recv.done || e.abandoned
	switch x := c.stalled(e); {
	case e.up.lastCut != nil:
		c.failLast(e)
	case e.lastWrite(), over && e.up.why == whyDeadline:
		c.cutLast(e, fromDeadline("write body", e.up.why))
	default:
		c.fail(x, fromDeadline(x.op(), e.up.why))
	}
}

// lookLate ends a look through TLS that is over its time, but not at the first ring: the
// alarm may have been that of a look before. mu is held.
func (c *Conn) lookLate() {
	if c.probe.dwells {
		c.fail(nil, errDeaf)
	} else {
		c.probe.dwells, c.probe.lookBy = true, time.Now().Add(graceBeforeClose)
	}
}
