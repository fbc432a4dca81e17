package h1

// write.go: the write half: a request's head goes out, alone or with others.
//
// Rule: bytes are appended to wbuf under mu, and go to the stream in that order. Whoever
// sets writing takes them all, and does not hold mu while it writes them. Every exchange
// knows the positions of its first and last byte, so that what has gone out of it is never
// a guess.
// Not here: bodies (upload.go), several requests in one write (gather.go), a request that
// the read of its response writes (turn.go).
//
// The words for a byte's way to the stream, by its position there:
//
//	appended   it is before c.appended(): in wbuf, or further
//	taken      it is before c.taken: in the write under way, or further
//	written    it is before c.written: the stream has it
//	pending    appended and not taken; unclaimed, if nobody is about to take it
//	owed       pending, and to be written by the read of the response
//	out        said of a request whose last byte is written

import (
	"context"
	"errors"
	"io"
	"time"
)

// Send writes a request and returns its Exchange, whose Wait reads the response. It waits
// for its turn to write first, until ctx ends; ctx governs the exchange to the end of the
// response's body, and where the request's is still on its way then, until the connection
// is Ready: a ctx that ends earlier, as by a deferred cancel, ends the connection. Wait for
// Ready first, or, with Push, for CloseWrite. (A Deadline governs all of it.)
//
// A body that is at hand, fits the write buffer and is sure to find room in the stream's
// socket goes out with the head; any other is written by a goroutine while Send returns.
// (What the server has answered is taken to be read: its room is free again.)
//
// Where Depth is more than 1, a request without a body may stay in the buffer while the
// caller goes on to send more: it goes out when somebody waits for a response, or a moment
// later. Until a first response has shown that the connection persists, a second Send
// waits: a goroutine that is alone reads that one before it sends several. Send reads no
// response but those that nobody wants any more, and these only where nothing else is in
// flight. A goroutine that is alone may wait for ever if, before it waits for the first
// response, it sends more requests than the stream has room for, or more than Depth; those
// that were canceled count until somebody has read their responses.
//
// Errors: BadRequest, BodyFailed, Closed, Canceled, Timeout, Unsolicited, IO, and where it
// reads for others Incomplete; a request that failed here is as a rule Unprocessed. Where
// some of it went out, Wait has the error.
func (c *Conn) Send(ctx context.Context, req *Request) (Exchange, error) {
	return c.send(ctx, req, marks{})
}

// TrySend is Send, but where that would wait for other exchanges it fails with NotReady.
// Ready says the same of a request without a body that is idempotent. Others may have to
// wait longer: one with a body until what is in front was written, also where that was
// answered before; one that is not idempotent until nothing else is in flight (a canceled
// request is, until Send, Do or another's Wait has read its response, which TrySend does
// not). To send a body it may write what others have left in the buffer, if the stream is
// sure to take that.
func (c *Conn) TrySend(ctx context.Context, req *Request) (Exchange, error) {
	return c.send(ctx, req, marks{tries: true})
}

// send prepares and starts a request.
func (c *Conn) send(ctx context.Context, req *Request, how marks) (Exchange, error) {
	var q asked
	if err := prepare(req, &q); err != nil {
		return Exchange{}, err
	}
	c.mu.Lock()
	defer c.unlock()
	e := c.newExchange(ctx, req, &q)
	e.marks = how
	if err := c.start(e); err != nil {
		return Exchange{}, err
	}
	return Exchange{e, c, e.id.Load()}, nil
}

// prepare checks a request, and that its Deadline has not passed, and says in q, which is
// zero, what it asks for.
func prepare(req *Request, q *asked) error {
	if bad := req.check(q); bad != nil {
		return bad
	}
	if passed(req.Deadline) {
		return fromDeadline("send", whyDeadline)
	}
	return nil
}

// start waits for the exchange's turn to write, makes sure that the connection is still
// good, and writes the request, or has it written. An error is the exchange's. mu is held.
func (c *Conn) start(e *exchange) error {
	c.timed = c.timed || !e.by.IsZero()
	if e.stop != nil && e.ctx.Err() != nil {
		e.fail(fromContext(e.ctx, "send"))
	}
	err := c.admit(e)
	if err == nil && !c.mayOwe(e) {
		err = c.gate(e)
		if c.kind == layered && passed(e.by) { // in the look
			err = fromDeadline("send", whyDeadline)
		}
	}
	if err == nil {
		err = e.err // canceled before it began
	}
	if err == nil {
		err = c.begin(e)
	}
	if err != nil {
		e.fail(err)
		c.changed()
		return e.err
	}
	return nil
}

// stamp notes the time, if anybody asked for it.
func (c *Conn) stamp(t *time.Time) {
	if c.cfg.Timing {
		setNow(t)
	}
}

// setNow is not inlined: those that call it seldom do.
//
//go:noinline
func setNow(t *time.Time) { *t = time.Now() }

// begin puts an admitted request into the queue and writes it, or has it written. mu is
// held. An error means that it is not in the queue (any more).
func (c *Conn) begin(e *exchange) *Error {
	c.stamp(&e.times.Admitted)
	if e.q.body == bodyChunked { // the trailer's names are in the head; some may be new since check
		if bad := checkTrailer(&e.req.Trailer); bad != nil {
			return bad
		}
	}
	if c.wbuf == nil || c.br == nil {
		c.borrow()
	}
	e.start, e.readAt = c.appended(), c.counts.read
	c.wbuf.b = appendHead(c.wbuf.b, e.req, &e.q, c.cfg.TitleCase)
	if e.q.body != bodyNone {
		if bad := c.gateBody(e); bad != nil {
			return bad
		}
	}
	c.queue.push(e)
	c.counts.requests++
	if c.watch != nil {
		c.watch.kick(c)
	}
	if e.q.body != bodyNone {
		return c.beginBody(e)
	}
	e.end = c.appended()
	c.life.must(evHeadEnd)
	if e.q.close {
		c.saidClose()
	}
	if !c.writing {
		c.sendOut(e)
	} else if c.inWrite && c.writer.recv.done {
		c.liftDeadline() // the write goes on for e
	}
	if c.line.head != nil || c.ready != nil {
		c.changed()
	}
	return e.ifUnsent()
}

// gateBody is gate for a request that start left to a turn of the socket, which looks
// itself, and that gets none: its body fits neither that nor, with its head, wbuf. mu is
// held.
func (c *Conn) gateBody(e *exchange) *Error {
	if c.mayOwe(e) && !c.fitsNow(e) && !c.fitsSocket(e) {
		return c.gate(e)
	}
	return nil
}

// sendOut writes what was appended, or leaves that to somebody who is about to come: the
// read of the response, where that is next, or, on a connection that pipelines, whoever
// waits first, so that requests sent one after the other go out together. mu is held.
func (c *Conn) sendOut(e *exchange) {
	switch {
	case c.mayOwe(e):
		c.owe()
	case c.cfg.Depth > 1 && e.once: // receive is about to write it
	case c.cfg.Depth > 1 && len(c.wbuf.b) < c.cfg.WriteBuffer:
		c.runLater()
	default:
		c.writeOut(e)
	}
}

// writeOut writes what was appended. What may have to wait for the server to read is left
// to pump, for e's caller may be needed to read responses meanwhile. Only a lone head of no
// unusual length is written here in any case: the server reads that before it answers. mu
// is held.
func (c *Conn) writeOut(e *exchange) {
	if e.q.body == bodyNone && c.loneHead(e) || c.fits() {
		c.flush(e)
		return
	}
	c.writing, e.up.later = true, true
	e.refs++
	go e.pump()
}

// saidClose ends reuse after a request that says close, and tells those in line, who need
// not wait for its write. mu is held.
func (c *Conn) saidClose() {
	c.noReuse(errLast)
	c.changed()
}

// ifUnsent returns the exchange's error if it failed before a byte of it went out: Send
// then fails with it. After that Wait does. mu is held.
func (e *exchange) ifUnsent() *Error {
	if e.err != nil && e.err.Sent == SentNothing {
		return e.err
	}
	return nil
}

// appended returns the position of the next byte to be appended. mu is held.
func (c *Conn) appended() int64 {
	if c.wbuf == nil {
		return c.taken
	}
	return c.taken + int64(len(c.wbuf.b))
}

// pending reports whether bytes wait for a writer. mu is held.
func (c *Conn) pending() bool { return c.wbuf != nil && len(c.wbuf.b) > 0 }

// loneHead reports whether e's head has no request in flight in front of it, and the whole
// head, with whatever else is yet to be written, has not outgrown the write buffer. mu is
// held.
func (c *Conn) loneHead(e *exchange) bool {
	return c.queue.head == e && c.appended()-min(e.start, c.taken) <= int64(c.cfg.WriteBuffer)
}

// flushApart is flush on a goroutine of the engine's for which e's caller does not wait: it
// writes all of it. mu is held, but not while it writes.
func (c *Conn) flushApart(e *exchange) {
	c.apart = true
	c.flush(e)
	c.apart = false
}

// flush takes and writes what was appended, in the name of e, until there is nothing more,
// or e ends. What neither e's caller nor e's pump is to write (mayNotWrite) is left to
// another. Where others are in flight it lets them run once first, so that their requests
// go out in the same write. mu is held, but not while it writes.
func (c *Conn) flush(e *exchange) {
	c.writing = true
	before := e.err
	e.refs++ // a response may end before the write that it answers has returned
	if c.cfg.Depth > 1 || c.apart {
		c.letAppend(e)
		c.dropLate(e)
	}
	for c.pending() && c.mayWrite() {
		if e.err != before || !c.apart && c.mayNotWrite(e) || c.probe.stale && !c.stillGood() {
			break
		}
		if !c.writeBuffered(e) {
			break
		}
	}
	c.writing = false
	c.afterWrite()
	if c.reader != nil {
		c.reader.cond.Signal() // it may wait for this write: see switchOver
	}
	if c.pending() && c.mayWrite() {
		c.runLater()
	}
	e.release()
}

// dropLate takes e's request back where its Deadline has passed before its write begins:
// while others ran, or until this goroutine did. mu is held.
func (c *Conn) dropLate(e *exchange) {
	if passed(e.by) && e.err == nil && c.takeBack(e) {
		e.fail(fromDeadline("write head", whyDeadline))
		c.changed()
	}
}

// writeBuffered takes and writes what was appended, in the name of e, and reports whether
// to go on with what came since: not where it left some of it to another. mu is held, but
// not while it writes.
func (c *Conn) writeBuffered(e *exchange) bool {
	out := c.wbuf
	c.take(len(out.b))
	if c.wbuf, c.spare = c.spare, nil; c.life.n > 1 {
		c.needBlock()
	}
	at := c.written
	err := c.write(e, out.b)
	c.probe.stale = c.canLook()
	if err != nil && c.resumable(e, err) {
		c.leaveOver(e, out, int(c.written-at))
		return false
	}
	c.keepBlock(out)
	if err != nil {
		c.writeFailed(e, err)
	} else if c.pending() {
		c.afterWrite()
	}
	return true
}

// leaveOver leaves to another writer what a write in e's name has not moved: all of out but
// its first n bytes. mu is held.
func (c *Conn) leaveOver(e *exchange, out *block, n int) {
	c.putBack(out.b[n:])
	if last := c.queue.tail; last != nil {
		c.discardBehind(last)
	}
	c.keepBlock(out)
	c.dropAbandoned()
	switch {
	case !e.lastWrite():
	case e.up.lastCut != nil:
		e.fail(e.up.lastCut)
	case !e.up.cut():
		e.fail(fromDeadline("write body", e.up.why))
	}
	c.changed()
}

// mayNotWrite reports whether e's caller is to leave what is pending to another:
//
//   - requests behind e's, where the server may take them only once its response to e was
//     read, which e's caller is to do;
//   - the same, where e is over, or is out and its response is due by HeadTimeout;
//   - all of it, where the caller does not wait (TrySend), and may itself have to read
//     first.
//
// mu is held.
func (c *Conn) mayNotWrite(e *exchange) bool {
	if e.tries && e.start < 0 && !c.fits() && !c.oneHead() {
		return true
	}
	if e.end < 0 || c.appended() <= e.end { // nothing is behind e's
		return false
	}
	return e.recv.done || !c.fits() || c.cfg.HeadTimeout > 0 && c.isOut(e)
}

// take counts n bytes that a writer takes, and notes what had been read by then: it answers
// none of the requests that begin among them. The first one's note will do, for responses
// come in order. mu is held.
func (c *Conn) take(n int) {
	e := c.queue.head
	for e != nil && e.start < c.taken {
		e = e.next
	}
	switch {
	case e == nil:
	case c.greets(): // what was read is the first response, or its beginning
		c.probe.early = c.probe.early || c.counts.read > 0
	default:
		e.readAt = c.counts.read
	}
	c.taken += int64(n)
	c.tookHead()
}

// resumable reports whether what a write in e's name has not moved may be written by
// another: it was cut, or ended because e's own time did, while it was for others. The
// stream must say how far it came (TLS does not). mu is held.
func (c *Conn) resumable(e *exchange, err error) bool {
	switch {
	case !isTimeout(err), !c.cutsWrites(), c.moot():
		return false
	case e.up.lastCut != nil && c.upload == e:
		return false
	case e.up.cut():
		return true
	case e.up.why == whyStall && passed(e.up.until):
		return false // even if the bytes are another's
	}
	// A timeout that is the stream's own ends no time of e's.
	over := c.upload != e && (e.recv.done || e.abandoned && passed(e.up.until))
	return (over || c.othersWrite(e)) && (e.err != nil || passed(e.by))
}

// writesFor reports whether a write in e's name is under way. mu is held.
func (c *Conn) writesFor(e *exchange) bool { return c.inWrite && c.writer == e }

// othersWrite reports whether a write of e's moves the bytes of others, and may end before
// they are out: e is not in yet, or is out whole. mu is held.
func (c *Conn) othersWrite(e *exchange) bool {
	return c.cutsWrites() && (e.start < 0 || e.end >= 0 && c.written >= e.end)
}

// cutsWrites reports whether a write can be ended without the connection: by a deadline,
// where the stream then says how far it came. mu is held.
func (c *Conn) cutsWrites() bool { return !c.kind.encoded() && c.deadlines() != nil }

// putBack puts bytes that a write did not take in front of those appended since. mu is
// held.
func (c *Conn) putBack(rest []byte) {
	c.taken -= int64(len(rest))
	b := getBlock(c.cfg.WriteBuffer)
	b.b = append(b.b, rest...)
	if c.wbuf != nil {
		b.b = append(b.b, c.wbuf.b...)
		c.wbuf.put(c.cfg.WriteBuffer)
	}
	c.wbuf = b
}

// mayWrite reports whether the stream may still be written to. mu is held.
func (c *Conn) mayWrite() bool { return c.werr == nil && c.life.r != rShut }

// write writes p in the name of e. mu is held, but not during the writes. A stall is
// counted from the last progress.
func (c *Conn) write(e *exchange, p []byte) error {
	for len(p) > 0 {
		if !c.beginWrite(e) {
			return errClosedUnder
		}
		c.mu.Unlock()
		n, err := c.rw.Write(p)
		c.mu.Lock()
		if err = c.endWrite(e, n, len(p), err); err != nil || n == len(p) {
			return err
		}
		p = p[n:]
		c.afterWrite()
	}
	return nil
}

// errClosedUnder stops a write loop whose connection has ended in the meantime.
var errClosedUnder = errors.New("the connection has ended")

// beginWrite marks a write as under way and sets its deadline; false: the connection has
// ended. mu is held.
func (c *Conn) beginWrite(e *exchange) bool {
	for c.shakes() && c.watched() {
		c.watch.cond.Wait()
	}
	if c.life.r == rShut {
		return false
	}
	c.writer, c.inWrite = e, true
	if c.limitsWrites(e) {
		if s := c.cfg.StallTimeout; s > 0 {
			e.up.moveBy = time.Now().Add(s)
		}
		c.limitWrite()
	}
	return true
}

// shakes reports whether a write may be the first on a TLS connection whose caller has not
// done the handshake: the write then does it, and so reads as well. mu is held.
func (c *Conn) shakes() bool {
	return c.kind.encoded() && c.dl != nil && c.written == 0 && c.counts.read == 0
}

// onlyRequest reports whether e is the only request, and nobody waits for the stream to be
// read. mu is held.
func (c *Conn) onlyRequest(e *exchange) bool {
	return c.queue.head == e && e.next == nil && !c.inRead && c.watch == nil
}

// endWrite counts what a write of want bytes has moved, and says whether to go on. mu is
// held.
func (c *Conn) endWrite(e *exchange, n, want int, err error) error {
	c.leaveWrite()
	if n < 0 || n > want {
		c.written += int64(want) // whether any of it went out is not known: none of it may be sent again
		return errors.New("the stream's Write returned an impossible count")
	}
	c.written += int64(n)
	if n == want && c.dl == nil && c.upload != e {
		e.up.lastCut = nil // it was over
	}
	if c.kind.encoded() && c.hasWriteBy && !c.end.gone { // TLS writes by itself as well, while it reads
		c.setWriteBy(time.Time{}) // but once the stream is closed, Close may have set a deadline
	}
	switch {
	case n == want: // an error that matters comes back with the next call
		return nil
	case err == nil:
		return io.ErrShortWrite
	case n > 0 && c.onlyStalls(e, err):
		return nil
	}
	return err
}

// leaveWrite notes that no write is under way any more. A reader may wait for that: see
// awaitLoss. mu is held, until what the write was told is noted as well.
func (c *Conn) leaveWrite() {
	c.inWrite = false
	if c.reader != nil {
		c.reader.cond.Signal()
	}
}

// onlyStalls reports whether a write in e's name has ended by StallTimeout: it may go on
// where it has moved something. mu is held.
func (c *Conn) onlyStalls(e *exchange, err error) bool {
	return e.up.why == whyStall && !e.up.cut() && !c.kind.encoded() && isTimeout(err)
}

// afterWrite tells those whom it concerns that a write has ended, and notes which
// exchanges are out whole. mu is held.
func (c *Conn) afterWrite() {
	// A request with a body waits for the write half, and on an idle connection the buffers
	// do.
	if c.line.head != nil || c.life.n == 0 || c.upload != nil || c.clocked {
		c.tellSent()
	}
}

// tellSent is afterWrite where it concerns anybody: apart, so that afterWrite is inlined.
// mu is held.
func (c *Conn) tellSent() {
	if c.cfg.HeadTimeout > 0 || c.cfg.Timing {
		for e := c.queue.head; e != nil; e = e.next {
			if e.sent.IsZero() && c.isOut(e) {
				setNow(&e.sent)
				c.stamp(&e.times.Sent)
			}
		}
	}
	if c.inRead && (c.clocked || c.werr != nil) {
		c.limitRead()
	}
	if u := c.upload; u != nil {
		u.wake.Broadcast()
	}
	if c.line.head != nil || c.life.n == 0 {
		c.changed()
	}
}

// graceAfterWriteError bounds each read after the write half has failed. What the server
// had sent by then is in a TCP socket already, or lost. It is there for streams whose reads
// do not end when their writes fail: two pipes, or a unix socket that the server has ceased
// to read.
const graceAfterWriteError = 100 * time.Millisecond

// writeFailed shuts the write half. Requests of which nothing went out fail; the others
// may have been answered, and a response that was received is not lost to a write's error:
// the read half goes on. mu is held.
func (c *Conn) writeFailed(e *exchange, err error) {
	if c.life.r == rShut {
		return
	}
	stuck := c.unwritten()
	if stuck == nil {
		stuck = e
	}
	werr := newError(IO, stuck.writeOp(), err)
	if isTimeout(err) {
		if c.writeTimedOut(e, werr.Op) {
			return
		}
		werr.Kind = Timeout // a deadline that is not the engine's
	}
	c.werr = werr
	c.because(werr)
	c.life.must(evStop)
	for x := c.unsent(); x != nil && !c.greeted(); x = c.unsent() {
		c.failAlone(x, werr)
	}
	c.stopWrites()
	if c.inRead {
		c.limitRead()
	}
	c.changed()
}

// writeTimedOut settles a write in e's name that a deadline of the engine's has ended;
// false: it was none of those. mu is held.
func (c *Conn) writeTimedOut(e *exchange, op string) bool {
	switch {
	case c.moot():
	case e.up.lastCut != nil:
		c.failLast(e)
	case e.up.cut(): // see forNobody
		c.failStuck()
	case e.err != nil || passed(e.up.until):
		c.fail(c.stalled(e), fromDeadline(op, e.up.why))
	default:
		return false
	}
	return true
}

// moot reports whether what is left to write is only for requests behind one that says
// close: see lastHead. mu is held.
func (c *Conn) moot() bool { return c.err != nil && c.upload == nil && c.unwritten() == nil }

// stalled returns the exchange whose bytes a write in e's name was stuck in: a deadline of
// e's is its own affair, a stall is not. mu is held.
func (c *Conn) stalled(e *exchange) *exchange {
	if x := c.unwritten(); x != nil && e.up.why == whyStall && !e.lastWrite() {
		return x
	}
	return e
}
