package h1

// body.go: a response's body, from the stream into the caller's slice.
//
// Rule: a call on a body takes the exchange (inUse), and gives it back at its end. It holds
// mu except while the stream is read, so a cancel finds nothing half done.

import (
	"errors"
	"io"
	"net"
	"time"
)

// body is Response.Body. Its fields but resp are guarded by c.mu once c is set.
type body struct {
	c    *Conn
	e    *exchange
	id   uint64
	resp *Response
	err  error // what Read answers with; nil while there is more
}

var (
	errNoBody = &Error{Kind: Closed, Op: "read body", Offset: -1, Sent: SentAll, seen: true,
		Err: errors.New("no response was read")} // the call that should have read one has said why
	errBodyClosed = &Error{Kind: Closed, Op: "read body", Offset: -1, Sent: SentAll, seen: true,
		Err: errors.New("the body was closed")}
)

// reset makes a Response ready for the next one. A body that was not read to its end is
// closed as if by the caller.
func (r *Response) reset() error {
	if r == nil {
		return badRequest("the Response is nil")
	}
	if r.body.err == nil {
		r.body.Close()
	}
	r.Timing = Timing{}
	r.body = body{err: errNoBody}
	r.Body = &r.body
	r.discard()
	return nil
}

// answers reports whether b is the body of x's response, and still to be read: a Wait that
// should not have been called leaves it alone.
func (b *body) answers(x Exchange) bool {
	return b.err == nil && b.e != nil && b.e == x.e && b.id == x.id
}

// discard forgets what was read of a response, so that half a head is not seen.
func (r *Response) discard() {
	r.Header.Reset()
	r.Trailer.Reset()
	r.Status, r.Minor, r.ContentLength, r.Close, r.reason = 0, 0, 0, false, r.reason[:0]
}

// enter takes the exchange for one call on its body, or says why it cannot. mu is held.
func (b *body) enter() error {
	switch {
	case b.err != nil:
		return b.err
	case b.e.id.Load() != b.id:
		return errEnded
	case b.e.err != nil:
		b.err = b.e.err
		return b.err
	case b.e.inUse:
		return b.e.own(newError(NotReady, "read body", errors.New("another goroutine reads the body")))
	}
	b.e.inUse = true
	return nil
}

// exit gives the exchange back, or ends it. mu is held.
func (b *body) exit(e *exchange, done bool, err *Error) error {
	c := b.c
	if err != nil {
		b.err = c.readFailed(e, err)
		return b.err
	}
	e.inUse = false
	switch {
	case e.err != nil: // canceled meanwhile: the rest, if any, is another's to drain
		b.err = e.err
		if done && c.reader == e && c.life.r == rBody {
			c.finish(e)
		} else {
			c.leave(e)
		}
	case done:
		b.err = io.EOF
		c.finish(e)
		if c.cfg.Timing {
			setNow(&b.resp.Timing.Done)
		}
	default:
		c.stepOut(e)
	}
	return b.err
}

// Read reads some of the body; its last bytes come together with io.EOF.
func (b *body) Read(p []byte) (int, error) {
	if b.c == nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	b.c.mu.Lock()
	defer b.c.unlock()
	if err := b.enter(); err != nil {
		return 0, err
	}
	n, done, bad := b.c.readBody(b.e, b.resp, p)
	return n, b.exit(b.e, done, bad)
}

// drainTime bounds how long Close reads on to save a connection: a body whose next bytes
// are not on their way is not worth waiting for, and a stream of events never ends. It is
// what net/http allows for the same purpose, since Go 1.27. Where others wait behind, they
// read on, for as long as they like.
const drainTime = 50 * time.Millisecond

// errTheirs ends the reading of a body that was closed: another goroutine's Read, or
// Close's own where others are to read on.
var errTheirs = newError(Canceled, "read body", errors.New("the body was closed"))

// Close gives up what was not read. It may be called again, and while another goroutine
// reads: that read then fails with Canceled.
func (b *body) Close() error {
	c := b.c
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.unlock()
	e := b.e
	switch {
	case b.err != nil || e.id.Load() != b.id || e.err != nil:
		return nil
	case e.inUse:
		c.cancel(e, errTheirs)
		return nil
	}
	b.err = closedBody(e.sentSoFar())
	if !c.life.reuse && c.dueAlone(e) { // there is nothing to save
		c.fail(e, errUnread)
		return nil
	}
	c.drainClosed(e, b.resp)
	return nil
}

// closedBody is what a body answers with that was closed before its caller had its end.
func closedBody(sent Sent) error {
	if sent == SentAll {
		return errBodyClosed
	}
	own := *errBodyClosed
	own.Sent = sent
	return &own
}

// cutOff notes that the caller was not given all that was read: a body that has ended is
// closed then, though its last byte was read. It says how much of the request had gone out.
func (b *body) cutOff() Sent {
	if b.c == nil {
		return SentAll
	}
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	sent := SentAll
	if b.e.id.Load() == b.id {
		sent = b.e.sentSoFar()
	}
	if b.err == io.EOF {
		b.err = closedBody(sent)
	}
	return sent
}

// drainClosed reads the rest of e's response, since e's caller has closed its body, or
// leaves it to those behind. mu is held, but not while the stream is read.
func (c *Conn) drainClosed(e *exchange, resp *Response) {
	e.inUse = true
	e.recv.closeBy = time.Now().Add(drainTime)
	err := c.drain(e, resp)
	e.inUse = false
	theirs := err == errTheirs || err != nil && err.Kind == Timeout && e.recv.why == whyDrain
	switch {
	case err == nil && c.reader == e && c.life.r == rBody: // also if it was canceled meanwhile
		c.finish(e)
	case e.err == nil && theirs && !c.dueAlone(e):
		c.abandon(e, errTheirs)
		c.leave(e)
	case e.err == nil:
		c.fail(e, errUnread.with(err.forOthers()))
	case err != nil && (err.Kind == BadChunk || err.Kind == BadField || err.Kind == TooLarge):
		c.fail(e, err) // nobody can read on behind what is wrong
	default:
		c.leave(e)
	}
}

// spliceLeast is the body size from which moving it inside the kernel is worth its calls.
const spliceLeast = 64 << 10

// WriteTo writes the rest of the body to w. From a socket to a *net.TCPConn it moves inside
// the kernel where the system can do that. An error of w's is returned as it is. One that
// ends a move in the kernel ends the connection too, for it is not known how much was taken
// for w and lost. So does the exchange's end, by Cancel, its context or Deadline, where w
// then takes nothing more for a tenth of a second; WriteTo itself returns when w's write
// does, which the caller has to end.
func (b *body) WriteTo(w io.Writer) (int64, error) {
	var total int64
	buf := getBlock(pumpBuffer)
	defer buf.put(pumpBuffer)
	for {
		moved, err := b.splice(w)
		total += moved
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := b.Read(buf.b[:cap(buf.b)])
		if n > 0 {
			m, werr := w.Write(buf.b[:n])
			if m < 0 || m > n {
				m, werr = 0, errors.New("the writer's Write returned an impossible count")
			}
			total += int64(m)
			if werr == nil && m < n {
				werr = io.ErrShortWrite
			}
			if werr != nil {
				return total, werr
			}
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// splice moves what is not buffered from socket to socket, where both are one. It returns
// io.EOF at the body's end, and 0 and nil where it does not apply.
func (b *body) splice(w io.Writer) (int64, error) {
	dst, ok := w.(*net.TCPConn) // package net has no other ReadFrom that moves a socket's bytes in the kernel
	if !ok || b.c == nil || b.c.kind != direct || b.c.cfg.StallTimeout > 0 {
		return 0, nil
	}
	c := b.c
	c.mu.Lock()
	defer c.unlock()
	if err := b.enter(); err != nil {
		return 0, err
	}
	n, done, bad, werr := c.spliceBody(b.e, dst)
	err := b.exit(b.e, done, bad)
	if werr != nil {
		err = werr
	}
	return n, err
}

// spliceBody is readBody into dst, inside the kernel: 0 and no error where that does not
// apply. An error that is dst's own, or of its deadline, is werr as well. mu is held, but
// not while it moves.
func (c *Conn) spliceBody(e *exchange, dst *net.TCPConn) (n int64, done bool, bad *Error, werr error) {
	r := &e.recv
	apt := r.fr.kind == framingClose || r.remain >= spliceLeast
	if !apt || c.br.Buffered() > 0 || c.rerr != nil {
		return 0, false, nil, nil
	}
	c.splices = true
	defer func() { c.splices = false }()
	if err := c.beginRead(); err != nil {
		return 0, false, c.readError(e, "read body", err), nil
	}
	n, done, ofWriter, err := c.spliceTo(dst, r)
	// The error does not tell whose it is: dst says so, asked again, or it is a deadline
	// that is not e's. Only where the stream failed is nothing lost between the two.
	switch {
	case done:
		return n, true, nil, nil
	case err == nil:
		err = io.EOF
	case isTimeout(err) && r.why == whyGrace && n > 0 && !ofWriter: // each read gets its own
		return n, false, nil, nil
	case ofWriter || isTimeout(err) && e.err == nil && !passed(r.until):
		e.fail(errUnread.with(err)) // the others are told in words
		return n, false, errUnread.with(told{err}), err
	}
	return n, false, c.readError(e, "read body", err), nil
}

// spliceTo moves to dst what is to come of a body, in a read that has begun. It reports
// whether the body has ended, and whether dst is broken. mu is held, but not while it
// moves.
func (c *Conn) spliceTo(dst *net.TCPConn, r *reception) (n int64, done, ofWriter bool, err error) {
	src := &io.LimitedReader{R: c.rw, N: 1 << 62}
	if r.fr.kind == framingLength {
		src.N = r.remain
	}
	c.mu.Unlock()
	n, err = dst.ReadFrom(src)
	ofWriter = err != nil && broken(dst) // which may wait for another write of dst's
	c.mu.Lock()
	c.endRead(int(n))
	if r.fr.kind == framingLength {
		r.remain -= n
		return n, r.remain == 0, ofWriter, err
	}
	if err == nil {
		c.awaitLoss()
	}
	return n, err == nil && !c.wasLost(), ofWriter, err
}

// readBody reads data bytes of e's response into p. done says that the response has ended,
// with the bytes returned or before them. mu is held, but not while the stream is read.
func (c *Conn) readBody(e *exchange, resp *Response, p []byte) (n int, done bool, err *Error) {
	r := &e.recv
	switch r.fr.kind {
	case framingLength:
		if int64(len(p)) > r.remain {
			p = p[:r.remain]
		}
		n, _, err = c.readData(e, p)
		r.remain -= int64(n)
		return n, r.remain == 0, err
	case framingClose:
		n, done, err = c.readData(e, p)
		if done {
			err = nil
		}
		return n, done, err
	case framingChunked:
		return c.readChunks(e, resp, p)
	}
	return 0, true, nil
}

// maxEmptyReads limits the reads, one after the other, that bring neither bytes nor an
// error, of a stream or of a caller's body. It is what bufio allows where a head is read.
const maxEmptyReads = 100

// readData reads once from the stream, or from what is buffered of it. end says that bad is
// the stream's end, in good order: a body that goes on until then is whole.
func (c *Conn) readData(e *exchange, p []byte) (n int, end bool, bad *Error) {
	for empty := 1; ; empty++ {
		n, err := c.br.Read(p)
		if n > 0 {
			return n, false, nil
		}
		if err == nil && empty == maxEmptyReads {
			err = io.ErrNoProgress
		}
		if err == nil {
			continue
		}
		if bad = c.readError(e, "read body", err); bad != nil {
			end = err == io.EOF && bad.Kind == Incomplete && !c.wasLost()
			return 0, end, bad
		}
	}
}

// wasLost reports whether a write has learned what has broken the connection. A socket says
// that once, and the read behind finds what looks like the stream's end: no body is whole
// for that (RFC 9112, section 8). An end that was read before, and kept, is one. mu is
// held.
func (c *Conn) wasLost() bool { return c.werr != nil && c.rerr == nil && isLost(c.werr.Err) }

// readChunks fills p with the data of as many chunks as are at hand, and waits only for
// the first byte.
func (c *Conn) readChunks(e *exchange, resp *Response, p []byte) (n int, done bool, err *Error) {
	d := &e.recv.chunks
	for {
		b, _ := c.br.Peek(c.br.Buffered())
		var used int
		n, used, err = d.data(p, b)
		c.br.Discard(used)
		full := len(p) == 0 && d.remain > 0 // data is next, and p takes none
		if n == 0 && err == nil && !d.last && !full {
			if len(p) < c.br.Size() { // which is empty
				err = c.more(e, "read body")
			} else {
				n, err = c.readInPlace(e, p)
			}
		}
		switch {
		case err != nil:
			return n, false, err
		case d.last:
			done, err = c.readTrailer(e, resp, n > 0)
			return n, done, err
		case n > 0 || full:
			return n, false, nil
		}
	}
}

// mostBehind is how much more is read into the caller's slice than the chunk at hand has
// left, or br's size if that is more. Behind the last chunk that may be of other responses,
// and br has to hold it.
const mostBehind = 64 << 10

// readInPlace reads from the stream into p, and closes the gaps that framing leaves there.
// br is empty, and stays so, for p is no shorter than br: a shorter one would be filled
// through br.
func (c *Conn) readInPlace(e *exchange, p []byte) (int, *Error) {
	d := &e.recv.chunks
	if most := int64(max(mostBehind, c.br.Size())); int64(len(p))-d.remain > most {
		p = p[:d.remain+most]
	}
	m, _, err := c.readData(e, p)
	if err != nil {
		return 0, err
	}
	p = p[:m]
	n, used, err := d.data(p, p)
	if err == nil && used < m {
		if m-used > c.br.Size() {
			c.resize(m - used)
		}
		c.fill(p[used:])
		clear(p[used:]) // it is not for e's caller
	}
	return n, err
}

// data copies to p the data of the chunks in b, and says how much of b it has used: up to
// what fills p, or behind the last chunk. p may be b.
func (d *chunkDecoder) data(p, b []byte) (n, used int, err *Error) {
	for used < len(b) {
		var m int
		if d.remain > 0 {
			m = copy(p[n:], b[used:used+int(min(d.remain, int64(len(b)-used)))])
			d.took(m)
			n += m
		} else if m, err = d.next(b[used:]); err != nil {
			err.Op = "read body"
			return n, used, err
		}
		if m == 0 {
			break
		}
		used += m
	}
	return n, used, nil
}

// readTrailer reads the trailer section; if hurry is set, only what is at hand.
func (c *Conn) readTrailer(e *exchange, resp *Response, hurry bool) (done bool, err *Error) {
	r := &e.recv
	// From its start: a part may have been parsed before, and for another Response.
	r.head.reset(c.cfg.Lenient, c.cfg.MaxHeadBytes, c.cfg.MaxHeaders)
	for {
		b, _ := c.br.Peek(c.br.Buffered())
		n, done, err := r.head.nextTrailer(b, &resp.section)
		if err != nil {
			err.Op = "read trailer"
			err.Offset += r.chunks.off
			return false, err
		}
		if done {
			c.br.Discard(n)
			resp.Trailer, resp.section = resp.section, resp.Trailer
			c.counts.dropped += int64(r.head.dropped)
			return true, nil
		}
		if hurry {
			return false, nil
		}
		if err := c.more(e, "read trailer"); err != nil {
			return false, err
		}
	}
}
