package h1

// read.go: the read half: heads, what nobody wants to read, and the end of a response.
//
// Rule: the exchange named in Conn.reader owns br and all of reception; it lets go when its
// response has ended (finish) or was left to another. It holds mu, except while the stream
// is read (source.go) and while a callback runs. Framing bytes are parsed where they lie in
// br, data bytes are only counted.
// Not here: bodies (body.go), the grammar (decode.go, chunked.go).

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// reception is what is known of the response being read.
type reception struct {
	until   time.Time // the deadline of the read under way
	comeBy  time.Time // until when it is to bring something, where StallTimeout is set
	fr      framing
	head    headDecoder   // of a head, then of a trailer section
	chunks  chunkDecoder  // valid only with framingChunked
	remain  int64         // data bytes to come; 0 but with framingLength
	headLen int64         // bytes of the last head: where the body begins in its message
	at      int64         // position of the last head in the stream of bytes read
	vain    int           // timeouts in a row that came too early
	infos   int           // 1xx responses before the final one
	moved   int64         // bytes read for nobody
	closeBy time.Time     // the end of Close's patience
	lateBy  time.Time     // how long a head is looked for that was overdue before anybody looked
	late    time.Duration // how long it was looked for, in all
	why     rule          // what has set until
	done    bool          // the response has ended
}

// forget makes it ready for another response; head and chunks are reset when they are used.
func (r *reception) forget() {
	r.until, r.comeBy, r.closeBy, r.lateBy = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	r.fr, r.remain, r.headLen, r.at, r.infos, r.moved = framing{}, 0, 0, 0, 0, 0
	r.why, r.done, r.vain, r.late = whyDeadline, false, 0, 0
}

// empty reports whether the response has no content to come, by what its head has said.
func (r *reception) empty() bool {
	return r.fr.kind == framingNone || r.fr.kind == framingLength && r.remain == 0
}

// receive reads the head of e's response when it is e's turn. mu is held, but not while it
// waits.
func (c *Conn) receive(e *exchange, resp *Response) error {
	e.waited = true
	if c.awaitTurn(e); e.err != nil {
		return e.err
	}
	c.reader, e.inUse = e, true
	if c.queue.head != e {
		err := c.drainOthers(e, resp)
		resp.discard() // what was read into it was not e's
		if err != nil {
			return c.readFailed(e, err)
		}
	}
	if err := c.readHead(e, e.req.Informational, resp); err != nil {
		resp.discard()
		return c.readFailed(e, err)
	}
	return c.deliver(e, resp)
}

// awaitTurn waits until e's response may be read. What is unclaimed, e's own request
// perhaps, it writes first, or leaves to others, but not for long (gather.go). mu is held,
// but not while it waits.
func (c *Conn) awaitTurn(e *exchange) {
	var by time.Time
	if e.err == nil && c.unclaimed() {
		if !c.gathers(e) {
			c.writeOut(e)
		} else if e.start == c.taken { // the first that is left
			by = time.Now().Add(gatherTime)
		}
	}
	for e.err == nil && !c.mayRead(e) {
		if passed(by) {
			by = time.Time{}
			if c.unclaimed() {
				c.runLater()
			}
		}
		c.parkOrCancel(e, by)
	}
}

// deliver gives the response to the caller, and ends it if it has no body. mu is held.
func (c *Conn) deliver(e *exchange, resp *Response) error {
	if c.cfg.Timing {
		setNow(&e.times.Head)
		resp.Timing = e.times
	}
	resp.body = body{c: c, e: e, id: e.id.Load(), resp: resp}
	e.inUse = false
	switch {
	case e.err != nil: // canceled while the head came in
		resp.discard()
		resp.body = body{err: errNoBody}
		c.leave(e)
		return e.err
	case e.recv.fr.kind == framingSwitch:
		c.finishSwitch(e)
		resp.body.err = io.EOF
	case e.recv.empty():
		c.finish(e)
		resp.Timing.Done = resp.Timing.Head
		resp.body.err = io.EOF
	default:
		c.stepOut(e)
	}
	return nil
}

// readFailed ends a response whose reading failed, and returns the error for e's caller. If
// e was canceled, only its reading ended. mu is held.
func (c *Conn) readFailed(e *exchange, err *Error) error {
	e.inUse = false
	switch {
	case err != e.err:
		c.fail(e, err)
		c.leave(e)
	case c.reader == e: // or it has left in its callback
		c.leave(e)
	}
	return e.err
}

// drainOthers reads, in order, the responses in front of e that nobody wants: all that are
// in flight, where e is in line. mu is held, but not while the stream is read.
func (c *Conn) drainOthers(e *exchange, resp *Response) *Error {
	for {
		x := c.queue.head
		if e.err != nil || x == e || x == nil {
			return e.err
		}
		if !x.final {
			if err := c.readHead(x, nil, resp); err != nil {
				return e.ofOther(err)
			}
		}
		if err := c.drain(x, resp); err != nil {
			return e.ofOther(err)
		}
		if c.life.r == rBody {
			c.finish(x)
			c.reader = e
		}
	}
}

// ofOther is the error of an exchange that failed while it read another's response. What
// ended its own time is its own.
func (e *exchange) ofOther(err *Error) *Error {
	if err.Kind == Timeout || err == e.err {
		return err
	}
	return neighbour(err)
}

// drain reads the rest of x's body for nobody, at most MaxDrain bytes of it. mu is held,
// but not while the stream is read.
func (c *Conn) drain(x *exchange, resp *Response) *Error {
	if x.recv.empty() {
		return nil
	}
	if x.recv.remain > c.cfg.MaxDrain-x.recv.moved {
		return tooMuch
	}
	if c.cfg.MaxDrain == 0 && c.br.Buffered() == 0 { // nothing may be read for nobody, not even the end
		return tooMuch
	}
	sink := getBlock(c.cfg.ReadBuffer)
	defer sink.put(c.cfg.ReadBuffer)
	for {
		room := min(int64(cap(sink.b)), c.cfg.MaxDrain-x.recv.moved)
		n, done, err := c.readBody(x, resp, sink.b[:room])
		x.recv.moved += int64(n)
		c.counts.drained += int64(n)
		switch {
		case err != nil:
			return err
		case done:
			return nil
		case room == 0:
			return tooMuch
		}
	}
}

var tooMuch = newError(Closed, "drain",
	errors.New("a response nobody reads is longer than MaxDrain"))

// readHead reads x's response up to the end of its final head, and acts on that, passing
// each 1xx to info. mu is held, but not while the stream is read or info runs.
func (c *Conn) readHead(x *exchange, info func(int, *Header) error, resp *Response) *Error {
	for {
		if err := c.nextHead(x, resp); err != nil {
			return err
		}
		fr, err := frame(resp, &x.q)
		if err != nil {
			err.Op = "read head"
			return err
		}
		if resp.Status >= 200 || fr.kind == framingSwitch {
			x.recv.fr = fr
			return c.finalHead(x, resp)
		}
		if err := c.informational(x, info, resp, fr); err != nil {
			return err
		}
	}
}

// nextHead reads one head, whatever its status.
func (c *Conn) nextHead(x *exchange, resp *Response) *Error {
	d := &x.recv.head
	d.reset(c.cfg.Lenient, c.cfg.MaxHeadBytes, c.cfg.MaxHeaders)
	if c.counts.responses+c.counts.informational > 0 || x.q.connect {
		d.lenient &^= HTTP09 // a server that speaks it has said nothing else before, and opens no tunnel
	}
	for {
		if x.start < 0 {
			return x.err // taken back while the stream was read: what came is not for x
		}
		if k := c.br.Buffered(); k > 0 {
			b, _ := c.br.Peek(k)
			n, done, err := d.next(b, resp)
			if err != nil {
				err.Op = "read head"
				return err
			}
			if done {
				x.recv.at = c.counts.read - int64(k)
				c.br.Discard(n)
				x.recv.headLen = int64(n)
				return nil
			}
		}
		if err := c.more(x, "read head"); err != nil {
			return err
		}
	}
}

// informational counts a 1xx response and shows it to the caller.
func (c *Conn) informational(x *exchange, info func(int, *Header) error, resp *Response, fr framing) *Error {
	x.recv.infos++
	if err := c.soundHead(x); err != nil {
		return err
	}
	c.counts.informational++
	c.life.must(evInfo)
	if fr.ambiguous {
		c.noReuse(errAmbiguous)
		c.changed()
	}
	if resp.Status == 100 {
		x.mayGoOn()
	}
	if x.recv.infos > c.cfg.MaxInformational {
		return newError(TooLarge, "read head",
			fmt.Errorf("more informational responses than MaxInformational, %d", c.cfg.MaxInformational))
	}
	if info == nil {
		return nil
	}
	if x.err != nil { // it was canceled while this head came
		return x.err
	}
	x.inUse = false // if it is canceled meanwhile, it leaves at once
	c.stepOut(x)
	err := c.outside(&c.reader, x, func() error { return info(resp.Status, &resp.Header) })
	if x.err != nil {
		return x.err
	}
	x.inUse = true
	if err != nil {
		return c.abandon(x, newError(Canceled, "informational", err))
	}
	return nil
}

// finalHead moves the state by a final head, and settles what it means for the requests
// behind it and for a body still to be sent. mu is held.
func (c *Conn) finalHead(x *exchange, resp *Response) *Error {
	if err := c.soundHead(x); err != nil {
		return err
	}
	// No copy: it was stored in parts just now, and to load it whole would stall.
	fr := &x.recv.fr
	if fr.kind == framingSwitch {
		return c.switchOver(x)
	}
	c.counts.responses++
	x.final = true
	keeps := persists(resp.Minor, &resp.Header)
	if x.up.hold {
		c.expectOver(x, keeps && fr.kind != framingClose)
	}
	if resp.Header.has(knownKeepAlive) {
		c.keep[0], c.keep[1] = hints(&resp.Header)
	}
	// Behind an early response the answer to x may yet come.
	goesOn := keeps && fr.kind != framingClose && !fr.ambiguous && !c.probe.early
	resp.Close = !goesOn || c.life.n == 1 && !c.life.reuse
	if goesOn {
		c.life.must(evFinal)
		c.spoken = c.spoken || resp.Minor >= 1
	} else {
		said := resp.Header.hasOption("close")
		c.lastHead(x, whyLast(said, keeps, *fr), said)
	}
	switch fr.kind {
	case framingLength:
		x.recv.remain = fr.length
	case framingChunked:
		x.recv.chunks.reset(x.recv.headLen)
	}
	if c.err != nil || c.life.n < c.cfg.Depth {
		c.changed()
	}
	return nil
}

// soundHead refuses a head that cannot answer x's request, since no writer had taken a byte
// of that when the head was read (but see Config.Fresh); or that came to its end when the
// connection had ended. mu is held.
func (c *Conn) soundHead(x *exchange) *Error {
	switch {
	case c.life.r != rHead:
		return errClosedByOther
	case x.recv.at < x.readAt:
		return errUnasked
	case x.start < c.taken:
	case c.greets():
		c.probe.early = true
	default:
		return errUnasked
	}
	return nil
}

// errClosedByOther stands for the end of the connection while a head was parsed: the
// exchange has its own error by then.
var errClosedByOther = closedFor("closed meanwhile")

// whyLast says why nothing comes after a response.
func whyLast(said, keeps bool, fr framing) *Error {
	switch {
	case said:
		return errCloseSaid
	case fr.kind == framingClose:
		return errUntilClose
	case !keeps:
		return errNotKept
	case fr.ambiguous:
		return errAmbiguous
	}
	return errEarly
}

// lastHead ends reuse with x's response: "A client that receives a 'close' connection
// option MUST cease sending requests on that connection" and what stands behind is not
// processed (RFC 9112, section 9.6). mu is held.
func (c *Conn) lastHead(x *exchange, why *Error, said bool) {
	c.because(why)
	c.life.must(evFinalClose)
	c.queue.pop() // x, which is the first
	for y := c.queue.pop(); y != nil; y = c.queue.pop() {
		behind := *neighbour(why)
		behind.unprocessed = said
		y.fail(&behind)
		y.start, y.end = -1, -1
		if c.upload == y {
			c.upload = nil
		}
	}
	c.queue.push(x)
	c.discardBehind(x)
	switch w := c.writer; {
	case !c.inWrite:
	case w == x && (x.end < 0 || c.taken <= x.end): // nothing is in it but what is x's
	case c.unwritten() == nil && c.deadlines() != nil: // and what is being written is cut off
		c.cutWrite()
	case (w == x || w.err != nil) && c.cutsWrites(): // another can move what it holds of x's
		c.cutWrite()
	case w.err != nil: // it moves bytes of x's
		c.liftDeadline()
	}
}

// discardBehind takes out of wbuf what was appended behind e, which is the last to be
// answered. mu is held.
func (c *Conn) discardBehind(e *exchange) {
	if c.pending() && e.end >= 0 {
		own := max(0, e.end-c.taken)
		c.wbuf.b = c.wbuf.b[:min(own, int64(len(c.wbuf.b)))]
	}
}

// switchOver gives the stream up to another protocol, if x's request is out whole: "A
// client cannot begin using an upgraded protocol on the connection until it has completely
// sent the request message" (RFC 9110, section 7.8). The last of it may be in a write that
// has not returned, though the server has read it: that is waited for. A body that the
// caller, or a missing 100 (Continue), still holds back is not. Behind what was there
// before the request (see Config.Fresh) the answer to x may yet come, which would be taken
// for the other protocol's. mu is held, but not while it waits.
func (c *Conn) switchOver(x *exchange) *Error {
	for x.err == nil && c.writing && (x.end >= 0 || x.up.left == 0) {
		c.parkOrCancel(x, time.Time{})
	}
	if x.err != nil {
		return x.err
	}
	c.counts.responses++
	x.final = true
	if c.upload == x && c.isOut(x) { // pushed whole; CloseWrite may yet come
		c.endWhole(x)
	}
	switch {
	case c.probe.early:
		return newError(NotSwitched, "read head",
			errors.New("the response that switches protocols was there before the request"))
	case x.end < 0 || c.written < x.end || c.life.step(evSwitch) != nil:
		return newError(NotSwitched, "read head",
			errors.New("the server switched protocols before the request was over"))
	}
	return nil
}

// finishSwitch lets go of an exchange whose stream is no longer HTTP's. mu is held.
func (c *Conn) finishSwitch(e *exchange) {
	c.queue = fifo{}
	c.reader = nil
	e.recv.done = true
	if c.err == nil || c.err == errLast {
		c.err = errSwitched
	}
	c.changed()
	e.release()
}

// settleUpload settles what becomes of a body that is being written, now that e's response
// has ended. mu is held.
func (c *Conn) settleUpload(e *exchange) {
	if c.life.w == wShut {
		c.because(errUpload)
		c.stopUpload()
	} else if c.upload == e && !e.by.IsZero() {
		c.wakeBy(e.by) // nobody is left to see to the deadline of what is still written
	}
}

// lookBehind looks at what came behind a response that has ended, or for a request that has
// left. It may be the next response, if a writer has taken the request for it. mu is held.
func (c *Conn) lookBehind() {
	n, next := c.br.Buffered(), c.queue.head
	switch {
	case n == 0 && c.rerr == nil: // nothing
	case next != nil && next.start < c.taken:
		next.seen = next.seen || n > 0
	case next != nil:
		c.fail(next, c.whyBehind())
	case c.err == nil:
		c.noReuse(c.whyBehind())
	}
}

// whyBehind says what it means that something came there and was not asked for: bytes, or
// else the stream's end. mu is held.
func (c *Conn) whyBehind() *Error {
	b, _ := c.br.Peek(min(c.br.Buffered(), peeked))
	return unfit(b, io.EOF)
}

// finish ends e's response and hands the read half on. mu is held.
func (c *Conn) finish(e *exchange) {
	e.recv.done = true
	was := c.life.w
	c.life.few = c.upload == e && c.fewLeft(e)
	c.life.must(evLast)
	if was == wBody {
		c.settleUpload(e)
	}
	c.queue.pop()
	if next := c.queue.head; next != nil && !next.sent.IsZero() {
		setNow(&next.sent)
	}
	if c.writesFor(e) {
		c.liftDeadline()
	}
	if c.br.Size() > c.cfg.ReadBuffer { // it grew, for this response
		c.shrink()
	}
	c.lookBehind()
	c.handOn()
	e.release() // before the buffers are given back, with which it goes
	c.changed()
}
