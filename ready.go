package h1

// ready.go: whose turn it is: to write, and to read.
//
// Rule: requests are admitted first come first served, and when admits says so; the right
// to read is a baton that goes on in the same order, at last to who is the first in line.
// Not here: what the state allows (keepalive.go).

import (
	"context"
	"errors"
	"time"
)

// plain is the request that Ready speaks of: idempotent and without a body.
var plain = asked{idempotent: true, body: bodyNone}

type admission uint8

const (
	admitted admission = iota
	later
	never
)

// admits says whether a request may be written now. mu is held. Behind others, that is
// pipelining (RFC 9112, section 9.3.2), and waits
//
//  1. while Depth requests are in flight;
//  2. while one that is not idempotent is, or if this one is not;
//  3. while CONNECT, Upgrade or Expect is in flight, or if this is one;
//  4. while a body is being written;
//  5. until a response has shown that the server speaks HTTP/1.1 and keeps connections.
func (c *Conn) admits(q *asked) admission {
	switch {
	case c.err != nil || !c.life.reuse:
		return never
	case c.probing || c.life.w != wIdle || (q.body != bodyNone && (c.writing || c.pending())):
		return later
	case c.life.n == 0 && c.reader != nil: // who has left is in a read yet, which may bring what nobody asked for
		return later
	case c.life.n == 0:
		return admitted
	case c.life.n >= c.cfg.Depth || !c.spoken || !q.idempotent || alone(q):
		return later
	}
	// One that is to be alone was admitted when nothing else was, and nothing was since.
	if e := c.queue.head; e != nil && (!e.q.idempotent || alone(&e.q)) {
		return later
	}
	return admitted
}

// alone reports whether nothing may share the connection with a request.
func alone(q *asked) bool { return q.connect || q.upgrade || q.expect }

// admit waits for e's turn to write, and takes it. mu is held.
func (c *Conn) admit(e *exchange, wait bool) *Error {
	if !wait {
		c.awaitLook() // it is no exchange
	}
	if e.err != nil { // canceled already
		return e.err
	}
	turn := c.admits(&e.q)
	if turn == admitted && c.line.head == nil {
		return nil
	}
	if turn == never {
		return c.refusal("send")
	}
	behind := e.q.body != bodyNone && c.pending() && !c.writing // those are to be written first
	if !wait && !(behind && c.cutsWrites()) {
		return notReady("send")
	}
	e.inLine = true
	c.line.push(e)
	switch {
	case behind && c.cutsWrites():
		c.flushAll(e, true)
	case behind: // its caller could not be let go of that write
		c.runLater()
	}
	for wait && !c.outOfLine(e) {
		if c.line.head == e && c.abandoned() {
			c.clearWay(e)
		} else {
			c.park(e, e.by)
		}
	}
	isTurn := c.atHead(e)
	c.line.remove(e)
	e.inLine = false
	switch {
	case e.err == nil && passed(e.by):
		e.fail(fromDeadline("send", whyDeadline))
	case e.err == nil && !isTurn:
		e.fail(notReady("send"))
	}
	if e.err != nil {
		c.changed() // whose turn it is then
	}
	return e.err
}

// atHead reports whether e is the first in line, and admitted. mu is held.
func (c *Conn) atHead(e *exchange) bool { return c.line.head == e && c.admits(&e.q) == admitted }

// outOfLine reports whether e waits no longer in line: it is admitted, or its time is over. mu
// is held.
func (c *Conn) outOfLine(e *exchange) bool {
	return e.err != nil || passed(e.by) || c.atHead(e)
}

// oneHead reports whether all that is in flight is a head of no unusual length, of which no writer has taken a
// byte: the server waits for that, and for nobody to read. mu is held.
func (c *Conn) oneHead() bool {
	e := c.queue.head
	return e != nil && e.next == nil && e.start == c.taken && e.q.body == bodyNone && len(c.wbuf.b) <= c.cfg.WriteBuffer
}

// abandoned reports whether all that is in flight are responses that nobody wants or reads.
// mu is held.
func (c *Conn) abandoned() bool {
	return c.life.n > 0 && c.reader == nil && c.nextReader() == nil
}

// clearWay reads such responses in the name of e, which is the first in line and may not
// stand behind them: nobody else would come to do it. mu is held, but not while it reads.
func (c *Conn) clearWay(e *exchange) {
	var resp Response
	c.reader, e.inUse = e, true
	if err := c.drainOthers(e, &resp); err != nil {
		c.readFailed(e, err)
		return
	}
	e.inUse = false
	c.handOn()
}

func notReady(op string) *Error {
	return newError(NotReady, op, errors.New("a request would have to wait"))
}

// passed reports whether a deadline is set and has passed.
func passed(t time.Time) bool { return !t.IsZero() && time.Until(t) <= 0 }

// park waits for e.cond, or until a deadline: e's own, or that of one in front whose
// caller is not in a call, so that e would wait for nobody. mu is held.
func (c *Conn) park(e *exchange, until time.Time) {
	e.wakeAt = until
	c.lookOut(until)
	e.cond.Wait()
	e.wakeAt = time.Time{}
}

// parkOrCancel parks e, or cancels it if its Deadline has passed. mu is held.
func (c *Conn) parkOrCancel(e *exchange) {
	if passed(e.by) {
		c.cancel(e, fromDeadline(e.op(), whyDeadline))
	} else {
		c.park(e, e.by)
	}
}

// lookOut sees to the deadlines of those whose callers may not come back, in the name of one
// who is about to wait for them, until a time of its own if it has one. mu is held.
func (c *Conn) lookOut(until time.Time) {
	if c.timed {
		if t := c.earliest(until); !t.IsZero() {
			c.wakeBy(t)
		}
	}
}

// wakeBy sees to it that ring runs at t. One timer serves a connection: it is set to the
// earliest deadline, and a ring for nothing is cheaper than a timer an exchange. mu is held.
func (c *Conn) wakeBy(t time.Time) {
	t, c.soonRings = c.earliest(t), false
	if c.alarm == nil {
		c.alarm = time.AfterFunc(time.Until(t), c.ring)
	} else {
		c.alarm.Reset(time.Until(t))
	}
}

// stepOut sees to e's deadline where its caller may not come back, and others wait behind it
// or for the connection: the alarm was not set for it while they found it in a call. mu is
// held.
func (c *Conn) stepOut(e *exchange) {
	if !e.by.IsZero() {
		c.mindBy(e)
	}
}

// mindBy is stepOut for one that has a deadline. mu is held.
func (c *Conn) mindBy(e *exchange) {
	if e.next != nil || c.line.head != nil || c.ready != nil || c.end != nil || c.watch != nil {
		c.wakeBy(e.by)
	}
}

// earliest returns the earliest deadline that ring has to see to, t among them. mu is held.
func (c *Conn) earliest(t time.Time) time.Time {
	for _, f := range [...]*exchange{c.queue.head, c.line.head} {
		for e := f; e != nil; e = e.next {
			t = earlier(earlier(t, e.wakeAt), e.pushAt)
			if e.unattended() {
				t = earlier(t, e.by)
			}
		}
	}
	if u := c.upload; u != nil && u.recv.done && u.up.quits == nil {
		t = earlier(t, u.by)
	}
	if c.probing {
		t = earlier(t, c.lookBy)
	}
	if r := c.reader; r != nil && c.inRead {
		t = earlier(t, c.readEnd(r))
	}
	if w := c.writer; w != nil && c.inWrite && c.dl == nil {
		t = earlier(t, w.up.until)
	}
	return t
}

// unattended reports whether an exchange in flight is in the hands of a caller who is not
// in a call that sees to its deadline. mu is held.
func (e *exchange) unattended() bool {
	return e.err == nil && !e.inLine && !e.inUse && e.wakeAt.IsZero()
}

// earlier returns the earlier of two deadlines, of which either may be unset.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// graceBeforeClose is how long what no deadline is sure to end may take to return when its time is over,
// before the stream is closed under it: a write that may be over, on a stream without deadlines, and a read
// under TLS, or inside the kernel. One that takes longer is in a write of TLS's own, which answers the server
// (a change of keys, RFC 8446, section 4.6.3), or to where the kernel moves what it reads; no deadline of reads
// ends that, and nobody may take what is written.
const graceBeforeClose = 100 * time.Millisecond

// readEnd returns when a read in e's name is ended by closing the stream, since its deadline may not
// end it; zero: never. mu is held.
func (c *Conn) readEnd(e *exchange) time.Time {
	switch until := e.recv.until; {
	case until.IsZero() || c.deadlines() == nil:
		return until
	case c.splices && e.err == nil: // what else limits it is the time between two reads
		if e.by.IsZero() {
			return e.by
		}
		return e.by.Add(graceBeforeClose)
	case c.splices || c.kind.inForm() || e.start < 0: // for the last, everybody waits: see admits
		return until.Add(graceBeforeClose)
	}
	return time.Time{}
}

// ring wakes those whose deadline has passed, and closes the stream under a read or a write that is
// over its time, where deadlines do not end it.
func (c *Conn) ring() {
	c.mu.Lock()
	c.soonRings = false
	var late *exchange
	for _, f := range [...]*exchange{c.queue.head, c.line.head} {
		for e := f; e != nil; e = e.next {
			if e.unattended() && passed(e.by) {
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
	if late != nil {
		c.cancel(late, fromDeadline(late.op(), whyDeadline))
	}
	switch r, w := c.reader, c.writer; {
	case r != nil && c.inRead && passed(c.readEnd(r)):
		c.readLate(r)
	case w != nil && c.inWrite && c.dl == nil && passed(w.up.until):
		c.writeLate(w)
	case c.probing && passed(c.lookBy) && c.dwells:
		c.fail(nil, errDeaf)
	case c.probing && passed(c.lookBy): // it may be the alarm of a look before
		c.dwells, c.lookBy = true, time.Now().Add(graceBeforeClose)
	}
	if t := c.earliest(time.Time{}); !t.IsZero() && !c.gone {
		c.wakeBy(t)
	} else {
		c.alarm = nil // an idle connection has none, but where it was stopped and the next request may need it
	}
	c.unlock()
}

// readLate ends a read in e's name that is over its time, where no deadline has. mu is held.
func (c *Conn) readLate(e *exchange) {
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

// writeLate ends a write in e's name that is over its time, where no deadline has. mu is held.
func (c *Conn) writeLate(e *exchange) {
	over := e.recv.done || e.abandoned
	switch x := c.stalled(e); {
	case e.up.quits != nil:
		c.notOver(e)
	case e.lastWrite(), over && e.up.why == whyDeadline:
		c.cutLast(e, fromDeadline("write body", e.up.why))
	default:
		c.fail(x, fromDeadline(x.op(), e.up.why))
	}
}

func (c *Conn) stopAlarm() {
	if c.alarm != nil {
		c.alarm.Stop()
	}
}

// turn reports whether e may read: nobody does, and nobody in front of it wants to. mu is
// held.
func (c *Conn) turn(e *exchange) bool { return c.reader == nil && c.nextReader() == e }

// nextReader returns the first exchange in the queue whose response somebody wants.
func (c *Conn) nextReader() *exchange {
	e := c.queue.head
	for e != nil && e.abandoned {
		e = e.next
	}
	return e
}

// handOn gives the right to read to the next in order. mu is held.
func (c *Conn) handOn() {
	c.reader = nil
	if e := c.queue.head; e != nil && (e.waited || e.abandoned) {
		c.wakeNext()
	}
}

// wakeNext tells who is to read next, if that waits already. mu is held.
func (c *Conn) wakeNext() {
	if e := c.nextReader(); e != nil && e.waited {
		e.cond.Signal()
	}
}

// A Ready is a future: it says when a request would be admitted. It is a value, and
// reserves nothing: Send waits for its turn in any case, first come first served. The zero
// Ready is that of no connection, which takes no requests: Closed.
type Ready struct{ c *Conn }

var errNoConn = newError(Closed, "ready", errors.New("no connection's Ready"))

// Ready returns the future of the next admission of a request that is idempotent and has
// no body.
func (c *Conn) Ready() Ready { return Ready{c} }

// past is closed.
var past = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Done returns a channel that is closed once a request would be admitted, or never will
// be: Err then says which.
func (r Ready) Done() <-chan struct{} {
	c := r.c
	if c == nil {
		return past
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.line.head == nil && c.admits(&plain) == admitted {
		return past
	}
	if c.ready == nil {
		c.ready = make(chan struct{})
	}
	c.lookOut(time.Time{})
	return c.ready
}

// Wait returns nil once a request would be admitted, and else why none ever will be (see
// Err), or that ctx ended (Canceled, Timeout).
func (r Ready) Wait(ctx context.Context) error {
	select {
	case <-r.Done():
		return r.Err()
	default:
	}
	for {
		select {
		case <-r.Done():
			if err := r.Err(); err == nil || err.(*Error).Kind != NotReady {
				return err
			}
		case <-ctx.Done():
			return fromContext(ctx, "ready")
		}
	}
}

// Err returns nil if a request would be admitted now, an error of Kind NotReady if it
// would have to wait, and the connection's Err if it takes none any more.
func (r Ready) Err() error {
	c := r.c
	if c == nil {
		return errNoConn
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return c.err
	case c.line.head == nil && c.admits(&plain) == admitted:
		return nil
	}
	return notReady("ready")
}
