package h1

// ready.go: whose turn it is: to write, and to read.
//
// Rule: requests are admitted first come first served, and when admits says so; the right
// to read is a baton that is handed on in the same order, at last to the first in line.
// Not here: what the state allows (keepalive.go), how long somebody waits (alarm.go).

import (
	"context"
	"errors"
	"fmt"
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

// admits says whether a request may be written now. mu is held. Behind others it would be
// pipelined (RFC 9112, section 9.3.2), and waits
//
//  1. while Depth requests are in flight;
//  2. while one that is not idempotent is, or if this one is not;
//  3. while CONNECT, Upgrade or Expect is in flight, or if this is one;
//  4. while a body is being written;
//  5. until a response has shown that the server speaks HTTP/1.1 and keeps connections.
func (c *Conn) admits(q *asked) admission {
	switch {
	case c.err != nil: // which it is whenever mu is free and reuse has ended
		return never
	case c.probe.runs || c.life.w != wIdle || (q.body != bodyNone && (c.writing || c.pending())):
		return later
	case c.life.n == 0 && c.reader != nil: // one that has left is still in a read: see leave
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

// admitsNext reports whether a request that Ready speaks of would be admitted now. mu is
// held.
func (c *Conn) admitsNext() bool { return c.line.head == nil && c.admits(&plain) == admitted }

// alone reports whether nothing may share the connection with a request.
func alone(q *asked) bool { return q.connect || q.upgrade || q.expect }

// admit waits for e's turn to write, and takes it. mu is held.
func (c *Conn) admit(e *exchange) *Error {
	if e.tries {
		c.awaitLook() // which is no exchange, and soon over
	}
	if e.err != nil { // canceled already
		return e.err
	}
	switch turn := c.admits(&e.q); {
	case turn == admitted && c.line.head == nil:
		return nil
	case turn == never:
		return c.refusal("send")
	}
	behind := e.q.body != bodyNone && c.pending() && !c.writing // those are to be written first
	if e.tries && !(behind && c.cutsWrites()) {
		return c.notReady("send", &e.q)
	}
	c.line.push(e)
	e.inLine = true
	switch {
	case behind && c.cutsWrites():
		c.lookOut() // those whose requests it writes may not come back
		c.flush(e)
	case behind: // its caller could not be let go of that write
		c.runLater()
	}
	return c.waitInLine(e)
}

// waitInLine waits until e is admitted, unless its caller does not wait, and takes it out
// of the line. mu is held, but not while it waits.
func (c *Conn) waitInLine(e *exchange) *Error {
	for !e.tries && e.err == nil && !passed(e.by) && !c.mayBegin(e) {
		if c.line.head == e && c.allAbandoned() {
			c.clearWay(e)
		} else {
			c.park(e, time.Time{})
		}
	}
	switch {
	case e.err != nil:
	case passed(e.by):
		e.fail(c.waitedFor(e, fromDeadline("send", whyDeadline)))
	case !c.mayBegin(e):
		e.fail(c.notReady("send", &e.q))
	}
	c.line.remove(e)
	e.inLine = false
	return e.err
}

// mayBegin reports whether it is e's turn to write: it is the first in line, and admitted.
// mu is held.
func (c *Conn) mayBegin(e *exchange) bool { return c.line.head == e && c.admits(&e.q) == admitted }

// oneHead reports whether all that is in flight is a head of no unusual length, of which no
// writer has taken a byte: the server waits for that, and not for anybody to read. mu is
// held.
func (c *Conn) oneHead() bool {
	e := c.queue.head
	untaken := e != nil && e.next == nil && e.start == c.taken
	return untaken && e.q.body == bodyNone && c.loneHead(e)
}

// allAbandoned reports whether all that is in flight are responses that nobody wants, and
// nobody reads them. mu is held.
func (c *Conn) allAbandoned() bool {
	return c.life.n > 0 && c.reader == nil && c.nextReader() == nil
}

// clearWay reads such responses in the name of e, which is the first in line and may not
// stand behind them: nobody else would come to do it. (If somebody wants one that is in
// flight, its caller will.) mu is held, but not while it reads.
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

// What requests wait for, in words.
var (
	errLook      = errors.New("waiting for a look at the idle connection")
	errLeaving   = errors.New("waiting for a canceled request's read to return")
	errInLine    = errors.New("waiting for the requests that are in line before it")
	errWrites    = errors.New("waiting for a request in front to be written")
	errInFront   = errors.New("waiting for the response in front to be read to its end")
	errDepth     = errors.New("waiting, with as many requests in flight as Depth allows")
	errUnspoken  = errors.New("waiting for a response of HTTP/1.1, before requests may be pipelined")
	errApart     = errors.New("waiting for requests with which it may not be pipelined")
	errUnwritten = errors.New("waiting for a request that was answered to be written")
	errUnended   = errors.New("waiting, before CloseWrite has ended the request's body")
)

// whyWait says what a request that is not admitted waits for. mu is held.
func (c *Conn) whyWait(q *asked) error {
	switch e := c.queue.head; {
	case c.probe.runs:
		return errLook
	case c.admits(q) == admitted:
		return errInLine
	case e == nil && c.reader != nil: // see leave
		return errLeaving
	case e == nil, c.life.w == wBody, q.body != bodyNone && (c.writing || c.pending()):
		return errWrites
	case e.final, c.cfg.Depth == 1:
		return errInFront
	case c.life.n >= c.cfg.Depth:
		return errDepth
	case !c.spoken:
		return errUnspoken
	}
	return errApart
}

// notReady is the error of a request that is not to wait. mu is held.
func (c *Conn) notReady(op string, q *asked) *Error { return newError(NotReady, op, c.whyWait(q)) }

// waitedFor returns err with what e was waiting for when that ended it: its turn to write,
// or to read, or its own caller's CloseWrite. mu is held.
func (c *Conn) waitedFor(e *exchange, err *Error) *Error {
	why := errInFront
	switch {
	case e.inLine && !c.mayBegin(e):
		why = c.whyWait(&e.q)
	case e.waited && !e.final && c.upload == e && e.q.push && e.up.left != 0 && !e.up.busy:
		why = errUnended
	case e.start < 0 || !e.waited || e.inUse || e.recv.done || c.queue.head == e:
		return err
	}
	return err.with(fmt.Errorf("%w: %w", why, err.Err))
}

// mayRead reports whether it is e's turn to read: nobody reads, nobody in front of it wants
// to, and e's head is with a writer, or no writer is to come. mu is held.
func (c *Conn) mayRead(e *exchange) bool {
	return c.reader == nil && c.nextReader() == e && !c.untaken(e)
}

// nextReader returns the first exchange in the queue whose response somebody wants. mu is
// held.
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
	if c.queue.head != nil {
		c.wakeNext()
	}
}

// wakeNext wakes whoever is to read next, if that one waits already: apart, so that handOn
// is inlined. mu is held.
func (c *Conn) wakeNext() {
	if e := c.nextReader(); e != nil && e.waited {
		e.cond.Signal()
	}
}

// A Ready is a future: it says when a request would be admitted. It is a value, which any
// number of goroutines may use at once, and reserves nothing: Send waits for its turn in
// any case, first come first served. The zero Ready belongs to no connection: its Err is of
// Kind Closed.
type Ready struct{ c *Conn }

var errNoConn = newError(Closed, "ready", errors.New("no connection's Ready"))

// Ready returns the future of the next admission of a request that is idempotent and has
// no body.
func (c *Conn) Ready() Ready { return Ready{c} }

// Done returns a channel that is closed once a request would be admitted, or never will
// be: Err then says which.
func (r Ready) Done() <-chan struct{} { return r.future().done }

// A future is what Done and Wait wait for.
type future struct {
	done  chan struct{} // closed once a request would be admitted, or never will be
	waits int           // who may wait for that: calls of Wait, and those of Done for ever
}

// already is the future where there is nothing to wait for.
var already = func() *future { f := &future{done: make(chan struct{})}; close(f.done); return f }()

// future returns what to wait for, and counts who does.
func (r Ready) future() *future {
	c := r.c
	if c == nil {
		return already
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.admitsNext() {
		return already
	}
	if c.ready == nil {
		c.ready = &future{done: make(chan struct{})}
	}
	c.ready.waits++
	c.lookOut()
	return c.ready
}

// waitsNoMore is for a Wait that has ended: no Deadline is to be seen to for it.
func (r Ready) waitsNoMore(f *future) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if r.c.ready != f { // what it waited for has come
		return
	}
	if f.waits--; f.waits == 0 {
		r.c.ready = nil
	}
}

// Wait returns nil once a request would be admitted, and else why none ever will be (see
// Err), or that ctx ended (Canceled, Timeout).
func (r Ready) Wait(ctx context.Context) error {
	for { // another request may be quicker than whoever was woken by Done
		if err := r.Err(); err == nil || err.(*Error).Kind != NotReady {
			return err
		}
		f := r.future()
		select {
		case <-f.done:
		case <-ctx.Done():
			r.waitsNoMore(f)
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
	case c.admitsNext():
		return nil
	}
	return c.notReady("ready", &plain)
}
