package h1

// exchange.go: one request in flight: what is known of it, its memory, its handle.
//
// Rule: an exchange is in its Conn's line, then in its queue, until its response has ended;
// its body may still be on its way then (Conn.upload). It ends once for its caller: its
// response was read to the end, or err was set. Its memory is used again only where both
// halves have let go of it in good order; a handle can tell by its id.
// Not here: an end before that of its response (cancel.go), its turn (ready.go).

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// exchange is guarded by c.mu where nothing else is said.
type exchange struct {
	id   atomic.Uint64 // changes when the memory is used again
	c    *Conn
	next *exchange // in its fifo
	req  *Request
	q    asked
	cond sync.Cond // wakes whoever waits for this exchange to be admitted, or for its response
	wake sync.Cond // wakes whoever writes its body

	ctx  context.Context
	stop func() bool // takes the context's callback back: see unregister
	done func()      // that callback; made once
	wait waiting
	pump func() // writes the body; made once
	refs int8   // users of the memory: the response's side, pump or who pushes the body, a flush in its name
	err  *Error // how it failed
	marks
	start  int64     // position of its first byte in the stream; -1: not admitted, or taken out again
	end    int64     // position after its last byte; -1: not known yet
	readAt int64     // bytes read before it was appended, or taken: none of them answers it
	by     time.Time // Request.Deadline
	sent   time.Time // when its last byte had gone out, or its response was due, if Config asks
	wakeAt time.Time // when to wake cond
	pushAt time.Time // when to wake wake

	recv  reception // changed by the read half alone, but for what limits its time
	times Timing

	// Of the write half: see upload.go.
	up uploading
}

// marks are the flags of an exchange. All are false when its memory is used again.
type marks struct {
	inLine    bool // waiting to be admitted
	waited    bool // somebody waits, or has waited, for the response
	inUse     bool // its caller is in a call that reads: the head, the body, or what is in front
	abandoned bool // its response is read for nobody
	seen      bool // a byte of its response was read
	final     bool // the final head was read
	once      bool // Do: its response is read right after it was sent
	tries     bool // TrySend: its caller does not wait
}

// waiting is the context that Wait was given, where that is another than Send's.
type waiting struct {
	ctx  context.Context
	stop func() bool // takes its callback back
	done func()      // that callback; made once
	late bool        // the callback could not be taken back, and may run yet
}

var exchanges sync.Pool

// newExchange makes the exchange of a request that has passed its check. mu is held.
func (c *Conn) newExchange(ctx context.Context, req *Request, q *asked) *exchange {
	if c.br == nil && c.err == nil {
		c.borrow() // exchanges that have ended come with a read buffer
	}
	var e *exchange
	if c.br != nil && c.br.spare != nil {
		e = c.br.spare
		c.br.spare = e.next
		c.br.kept--
	} else {
		e, _ = exchanges.Get().(*exchange)
	}
	if e == nil {
		e = makeExchange()
	}
	e.c, e.req, e.ctx = c, req, ctx
	e.q = *q
	e.cond.L, e.wake.L = &c.mu, &c.mu
	e.refs, e.start, e.end, e.by = 1, -1, -1, req.Deadline
	c.stamp(&e.times.Queued)
	if ctx.Done() != nil {
		e.stop = context.AfterFunc(ctx, e.done)
	}
	return e
}

// makeExchange is not part of newExchange, so that this stays short: it is seldom called.
//
//go:noinline
func makeExchange() *exchange {
	e := &exchange{}
	e.done, e.pump, e.wait.done = e.contextEnded, e.runPump, e.waitContextEnded
	return e
}

// release lets go of the memory for one of its users. It is used again only after an end
// in good order: after any other a handle, or a callback under way, may still ask for err.
// mu is held.
func (e *exchange) release() {
	e.refs--
	if e.refs > 0 {
		e.unregister()
		return
	}
	e.endWait()
	if e.stop != nil && !e.stop() {
		return // the callback runs, and must find this very exchange ended
	}
	if e.err != nil || e.wait.late {
		return
	}
	c := e.c
	e.id.Add(1)
	e.c, e.req, e.ctx, e.stop, e.wait.ctx = nil, nil, nil, nil, nil
	e.cond.L, e.wake.L = nil, nil // they hold c
	e.marks = marks{}
	e.sent, e.wakeAt, e.pushAt = time.Time{}, time.Time{}, time.Time{}
	e.recv.forget()
	if e.q.body != bodyNone {
		e.up = uploading{}
	} else { // all that a write without a body touches; the rest is long
		e.up.until, e.up.why, e.up.moveBy, e.up.lastCut = time.Time{}, whyDeadline, time.Time{}, nil
	}
	if !e.times.Queued.IsZero() {
		e.times = Timing{}
	}
	if c.br != nil && c.br.kept < mostKept {
		e.next, c.br.spare = c.br.spare, e
		c.br.kept++
	} else {
		e.next = nil
		exchanges.Put(e)
	}
}

// unregister takes the context's callback back once the context cannot end e any more: e's
// response has ended, its body is not written on, and CloseWrite is not at work. The caller
// who pushes the body may never come to hear of that end, and a context may live for long.
// mu is held.
func (e *exchange) unregister() {
	if e.recv.done && e.c.upload != e && !e.up.busy && e.stop != nil && e.stop() {
		e.stop = nil
	}
}

// own returns err as e's own: with what e's bytes say of how far it came. mu is held.
func (e *exchange) own(err *Error) *Error {
	own := *err
	own.Sent, own.seen, own.idempotent = e.sentSoFar(), e.seen, e.q.mayRepeat
	return &own
}

// fail gives the exchange its error, once, and wakes whoever waits for it. mu is held.
func (e *exchange) fail(err *Error) {
	if e.err == nil {
		e.err = e.own(err)
	}
	if e.stop != nil && !e.outlives() {
		e.stop()
	}
	e.cond.Broadcast()
	e.wake.Broadcast()
}

// sentSoFar says how much of the request the stream has taken. mu is held.
func (e *exchange) sentSoFar() Sent {
	switch {
	case e.start < 0:
		return SentNothing
	case e.end >= 0 && e.c.written >= e.end:
		return SentAll
	case e.c.written > e.start || e.c.inWrite && e.start < e.c.taken:
		return SentPart // of a write under way it is not known how far it has come
	}
	return SentNothing
}

// contextEnded runs on a goroutine of the context's when that ends.
func (e *exchange) contextEnded() {
	c := e.c
	c.mu.Lock()
	c.cancel(e, fromContext(e.ctx, e.op()))
	c.unlock()
}

// op names what the exchange is doing, for errors. mu is held.
func (e *exchange) op() string {
	switch {
	case e.start < 0:
		return "send"
	case e.final:
		return "read body"
	case e.sentSoFar() != SentAll:
		return e.writeOp()
	}
	return "read head"
}

// writeOp is op for a write of the exchange's bytes. mu is held.
func (e *exchange) writeOp() string {
	if e.end < 0 {
		return "write body"
	}
	return "write head"
}

// unwritten returns the first exchange in the queue that is not out whole. mu is held.
func (c *Conn) unwritten() *exchange {
	for x := c.queue.head; x != nil; x = x.next {
		if x.end < 0 || x.end > c.written {
			return x
		}
	}
	return nil
}

// unsent returns an exchange in the queue of which no byte went out. mu is held.
func (c *Conn) unsent() *exchange {
	for x := c.queue.head; x != nil; x = x.next {
		if x.start >= c.written && !x.final {
			return x
		}
	}
	return nil
}

// An Exchange is a request in flight: a value, to be copied freely. Write and CloseWrite
// belong to one goroutine at a time, Wait to one, which may be another; Cancel to any.
// After its end it answers every call with an error, as its zero value always does
// (Closed).
type Exchange struct {
	e  *exchange
	c  *Conn
	id uint64
}

// errEnded answers calls on an exchange that has ended.
var errEnded = &Error{Kind: Closed, Op: "exchange", Offset: -1, Sent: SentAll, seen: true,
	Err: errors.New("the exchange has ended")}

// lock locks the connection if the exchange is still alive.
func (x Exchange) lock() (*exchange, bool) {
	if x.e == nil {
		return nil, false
	}
	x.c.mu.Lock()
	if x.e.id.Load() != x.id {
		x.c.mu.Unlock()
		return nil, false
	}
	return x.e, true
}

// Wait reads the head of the response, when it is its turn, into resp. The body is read
// from resp.Body afterwards. It is called once, by one goroutine. When ctx ends before the
// head is there, the exchange is canceled. The errors are those of Conn.Do; that of an
// exchange that has failed is returned again.
func (x Exchange) Wait(ctx context.Context, resp *Response) error {
	if resp != nil && !resp.body.answers(x) {
		resp.reset()
	}
	e, ok := x.lock()
	if !ok {
		return errEnded
	}
	defer x.c.unlock()
	if bad := e.mayWait(resp); bad != nil {
		return bad
	}
	if e.err == nil && ctx.Done() != nil && ctx.Done() != e.ctx.Done() {
		e.wait.ctx = ctx
		e.wait.stop = context.AfterFunc(ctx, e.wait.done)
		defer func() {
			if e.id.Load() == x.id { // else release has ended it
				e.endWait()
			}
		}()
	}
	return x.c.receive(e, resp)
}

// mayWait refuses a Wait without a Response, and a second one. mu is held.
func (e *exchange) mayWait(resp *Response) error {
	switch {
	case resp == nil:
		return e.outOfTurn("wait", "the Response is nil")
	case e.waited && e.err == nil:
		return e.outOfTurn("wait", "Wait was called before")
	}
	return nil
}

// endWait takes the callback of Wait's context back. mu is held.
func (e *exchange) endWait() {
	if e.wait.stop != nil && !e.wait.stop() {
		e.wait.late = true
	}
	e.wait.stop = nil
}

// waitContextEnded is contextEnded for the context that Wait was given.
func (e *exchange) waitContextEnded() {
	c := e.c
	c.mu.Lock()
	if !e.final {
		c.cancel(e, fromContext(e.wait.ctx, e.op()))
	}
	c.unlock()
}

// Cancel ends the exchange: calls on it and on its response's body fail with Canceled. A
// request of which nothing was written yet leaves no trace. One that was written whole,
// while others are in flight that somebody wants, is abandoned: its response is read for
// nobody, if that is no more than MaxDrain, and the connection lives. Anything else ends
// the connection, also where the request is the only one; but where its body is cut off
// between two writes, the responses in front come first. Cancel may be called by any
// goroutine.
func (x Exchange) Cancel() {
	e, ok := x.lock()
	if !ok {
		return
	}
	x.c.cancel(e, newError(Canceled, e.op(), errors.New("Cancel was called")))
	x.c.unlock()
}

// fifo is a queue of exchanges, linked through next.
type fifo struct{ head, tail *exchange }

func (f *fifo) push(e *exchange) {
	e.next = nil
	if f.tail == nil {
		f.head = e
	} else {
		f.tail.next = e
	}
	f.tail = e
}

func (f *fifo) pop() *exchange {
	e := f.head
	if e != nil {
		f.head = e.next
		if f.head == nil {
			f.tail = nil
		}
		e.next = nil
	}
	return e
}

// remove takes e out if it is there. The first, which is the usual one, costs no walk.
func (f *fifo) remove(e *exchange) {
	if f.head == e {
		f.pop()
		return
	}
	for x := f.head; x != nil; x = x.next {
		if x.next != e {
			continue
		}
		if x.next = e.next; x.next == nil {
			f.tail = x
		}
		e.next = nil
		return
	}
}
