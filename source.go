package h1

// source.go: bytes from the stream into br.
//
// Rule: every read for an exchange passes beginRead and endRead, so that a cancel finds
// either no read or the read of the exchange it means. (probe.go reads through TLS while
// there is none.) The read half holds mu but for the stream's own Read: br is read, and so
// source, with mu held.

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// source is what br reads from: the connection's stream, and what was read of it before. It
// returns bytes or an error, never both.
type source struct {
	c      *Conn
	before []byte // what was read, and goes into br first: see fill
}

func (s *source) Read(p []byte) (int, error) {
	c := s.c
	if len(s.before) > 0 {
		return copy(p, s.before), nil // all of it: see fill
	}
	if err := c.rerr; err != nil {
		return 0, err
	}
	if err := c.beginRead(); err != nil {
		return 0, err
	}
	e, owed := c.reader, c.owing
	c.mu.Unlock()
	var n int
	var err error
	if owed { // what e's request owes is written first
		n, err = c.takeTurn(e, p)
	}
	if n == 0 && err == nil {
		if n, err = c.rw.Read(p); err != nil {
			err = ofStream(err)
		}
	}
	c.mu.Lock()
	if n < 0 || n > len(p) {
		n, err = 0, errReadCount
	}
	c.endRead(n)
	if n > 0 && err == nil {
		return n, nil
	}
	return n, c.readEnded(n, err)
}

// readEnded returns the error of a read that has brought n bytes, or keeps it for the next.
// mu is held.
func (c *Conn) readEnded(n int, err error) error {
	if err == io.EOF {
		c.awaitLoss()
	}
	if err != nil && c.lasts(err, n) {
		if err == io.EOF && c.wasLost() {
			err = io.ErrUnexpectedEOF
		}
		c.rerr = err
	}
	if n > 0 {
		return nil
	}
	if err == nil && passed(c.reader.recv.until) {
		return os.ErrDeadlineExceeded // it does not look at its deadline
	}
	return err
}

// awaitLoss waits, where a read has met what looks like the stream's end, for a write that
// is yet to return: it may have been told what has broken the connection (see wasLost). It
// waits only on a socket that has no peer any more, where no write lasts, unless it waits
// for its source inside the kernel. A stream that hides its socket cannot be asked, and an
// orderly end is not to be held up for a guess. mu is held, but not while it waits.
func (c *Conn) awaitLoss() {
	if !c.inWrite || c.sock == nil || !lostPeer(c.sock) {
		return
	}
	e := c.reader
	by := earlier(time.Now().Add(graceAfterWriteError), e.by)
	for c.inWrite && e.err == nil && !passed(by) {
		c.park(e, by)
	}
}

// lasts reports whether the error of a read that has brought n bytes is kept for the next
// read: the bytes come first, or whoever reads has an error of its own and does not return
// this one. mu is held.
func (c *Conn) lasts(err error, n int) bool {
	if isTimeout(err) { // that may be over by then
		return false
	}
	if n == 0 && c.reader.err == nil {
		return false
	}
	_, own := err.(*Error)
	return !own
}

var errReadCount = errors.New("the stream's Read returned an impossible count")

// ofStream marks an error of the stream's that looks like the engine's own.
func ofStream(err error) error {
	if _, ok := err.(*Error); ok {
		return &streamError{err}
	}
	return err
}

// streamError is an error of the stream's that looks like the engine's own, as a stream
// that runs over another Conn may return.
type streamError struct{ error }

func (e *streamError) Unwrap() error { return e.error }

// Timeout is false: that another connection's time is up is no deadline of this one's.
func (e *streamError) Timeout() bool { return false }

// beginRead writes what was left to it, marks a read as under way and sets its deadline. mu
// is held, but not while it writes.
func (c *Conn) beginRead() error {
	if c.cfg.Depth > 1 && c.unclaimed() {
		c.writeGathered()
	}
	for c.watched() {
		c.watch.cond.Wait()
	}
	e := c.reader // looked at after the wait, in which it may have been canceled
	if e == nil || c.end.gone {
		return errClosedByOther
	}
	if e.err != nil {
		return e.err
	}
	if !e.recv.closeBy.IsZero() && !c.dueAlone(e) {
		return errTheirs
	}
	if c.limitsReads(e) && !c.isLimited(e) {
		if x := c.queue.head; c.clocked && x != nil {
			x.recv.lateBy = time.Time{} // each read that is late has its look
		}
		c.limitRead()
	}
	// No copy of the time: it has just been stored in parts, and to load it whole would stall.
	if !e.recv.until.IsZero() && !c.endsReads() && passed(e.recv.until) {
		return os.ErrDeadlineExceeded
	}
	c.inRead = true
	return nil
}

// endsReads reports whether a deadline is sure to end a read: elsewhere only closing the
// stream is, for a read under TLS, or inside the kernel, may be in a write. mu is held.
func (c *Conn) endsReads() bool { return c.cutsWrites() && !c.splices }

// endRead counts what a read has brought. mu is held.
func (c *Conn) endRead(n int) {
	c.inRead = false
	c.counts.read += int64(n)
	if n > 0 {
		c.reader.recv.vain, c.reader.recv.comeBy = 0, time.Time{}
	}
	if e := c.queue.head; e != nil {
		e.seen = e.seen || n > 0
		if n > 0 && e.err != nil && c.reader == e && !e.err.seen { // it was ended meanwhile
			own := *e.err
			own.seen, e.err = true, &own
		}
		if late := e.recv.lateBy; !late.IsZero() {
			e.recv.late += time.Since(late.Add(-nearDeadline))
		}
	}
}

// sendsNoMore reports whether e's request is out: whole, or as much of it as is to be sent.
// mu is held.
func (c *Conn) sendsNoMore(e *exchange) bool {
	return c.isOut(e) || e.end < 0 && e.start >= 0 && c.upload != e
}

// isOut reports whether e's request is out whole, even if CloseWrite is yet to say so. mu
// is held.
func (c *Conn) isOut(e *exchange) bool {
	if e.end < 0 {
		return e.up.left == 0 && c.written == c.appended()
	}
	return c.written >= e.end
}

// readError says what a failed read means for e; nil: it is to be tried again. mu is held.
func (c *Conn) readError(e *exchange, op string, err error) *Error {
	owner := e // is in the read; what it reads is a response to e
	if c.reader != nil {
		owner = c.reader
		if owner.err != nil {
			return owner.err
		}
	}
	if own, ok := err.(*Error); ok {
		return own
	}
	bad := newError(IO, op, err)
	switch {
	case isTimeout(err) && passed(owner.recv.until):
		bad = c.overdue(owner, op)
		if owner.recv.why == whyDeadline {
			return c.abandon(owner, bad)
		}
	case isTimeout(err) && !owner.recv.until.IsZero() && owner.recv.vain < maxEmptyReads:
		owner.recv.vain++
		return nil // a deadline that was moved on while the read ran
	case isTimeout(err):
		bad.Kind = Timeout
	case c.werr != nil && !e.seen:
		bad = c.werr
	case err == io.EOF:
		if bad.Kind, bad.Err = Incomplete, e.endedAt(); c.wasLost() {
			bad.Err = fmt.Errorf("%w: %w", bad.Err, c.werr.Err)
		}
	case errors.Is(err, io.ErrUnexpectedEOF): // TLS that was cut off
		bad.Kind = Incomplete
	}
	return bad
}

// errNoAnswer is the cause where not a byte of a response came before the stream's end.
var errNoAnswer = fmt.Errorf("the server closed the connection without an answer: %w", io.EOF)

// endedAt says where in e's response the stream has ended. mu is held.
func (e *exchange) endedAt() error {
	switch r := &e.recv; {
	case !e.seen:
		return errNoAnswer
	case e.final && r.fr.kind == framingLength:
		return fmt.Errorf("%d of %d bytes: %w", r.fr.length-r.remain, r.fr.length, io.ErrUnexpectedEOF)
	}
	return io.ErrUnexpectedEOF
}

// more reads at least one byte more into br, which grows if it is full; none where the read
// is to be tried again.
func (c *Conn) more(e *exchange, op string) *Error {
	if c.br.Buffered() == c.br.Size() {
		c.resize(2 * c.br.Size())
	}
	if _, err := c.br.Peek(c.br.Buffered() + 1); err != nil {
		return c.readError(e, op, err)
	}
	return nil
}

// shrink makes br as small again as what it holds allows.
func (c *Conn) shrink() {
	if needed := max(c.cfg.ReadBuffer, c.br.Buffered()); class(needed) < class(c.br.Size()) {
		c.resize(needed)
	}
}

// resize moves what is buffered into a buffer of another size.
func (c *Conn) resize(size int) {
	old := c.br
	c.br = getReadBuffer(size, c)
	b, _ := old.Peek(old.Buffered())
	c.fill(b)
	old.put()
}

// fill puts bytes that were read from the stream into br, which is empty and large enough.
func (c *Conn) fill(b []byte) {
	c.br.from.before = b
	c.br.Peek(len(b))
	c.br.from.before = nil
}
