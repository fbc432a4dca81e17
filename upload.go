package h1

// upload.go: a request's body goes out, while its response may come in.
//
// Rule: in wBody nobody but the exchange in Conn.upload appends to wbuf. What fits is
// written with its head by the caller; else the goroutine runPump reads the body and writes
// it, and runSoon writes what a slow body has left in wbuf while runPump waits for more.
// Not here: a body that its caller pushes (push.go), and whether one is worth finishing
// once it was answered (keepalive.go, J1).

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// uploading is guarded by Conn.mu.
type uploading struct {
	until   time.Time // the deadline of the write under way
	moveBy  time.Time // until when it is to move, where StallTimeout is set
	left    int64     // bytes of the body not yet appended; -1: unknown
	fills   bool      // its body is being read into wbuf
	hold    bool      // 100 (Continue) is awaited
	holdBy  time.Time // but no longer than this
	later   bool      // all of it is appended, and pump is to write it
	why     rule      // what has set until
	ofFile  bool      // in the write under way the kernel reads a file
	busy    bool      // an Exchange.Write or CloseWrite is at work
	ended   bool      // the body's end was appended
	over    bool      // the body has ended without CloseWrite, which has nothing left to do
	lastCut *Error    // why cutLast has cut its last write, which may be over
	vec     [3][]byte
	bufs    net.Buffers // vec, as it is being written
	whole   taker       // a body in memory
	body    io.Reader   // Request.Body: kept, for the Request may be used again before the body ends
}

// fewLeft reports whether no more than MaxDrain bytes are known to be left of e's body,
// with the caller and on their way to the stream together; or whether none are left with
// the caller: the last write may be over, and its answer here, before it has been counted.
// mu is held.
func (c *Conn) fewLeft(e *exchange) bool {
	return e.up.left == 0 || e.up.left > 0 && e.up.left <= c.cfg.MaxDrain-(c.appended()-c.written)
}

// pumpBuffer is how much of a body is read at once, a request's or by WriteTo a response's:
// a few times what a socket takes in one write on a fresh connection, and what io.Copy
// uses.
const pumpBuffer = 32 << 10

var crlf = []byte("\r\n")

// beginBody starts to write a request whose head was just appended. mu is held.
func (c *Conn) beginBody(e *exchange) *Error {
	e.up.left, e.up.body = -1, e.req.Body
	if e.q.body == bodyLength {
		e.up.left = e.q.length
	}
	c.life.must(evHead)
	c.upload = e
	owed := c.fitsSocket(e)
	if !owed && c.fitsNow(e) {
		return c.writeWhole(e)
	}
	if e.q.close {
		c.saidClose()
	}
	if owed { // and not read yet: it is left alone where the connection turns out to be dead
		c.owe()
		return nil
	}
	e.up.hold = e.q.expect
	e.refs++ // until the body's end
	switch {
	case !e.up.hold && !e.q.push: // pump writes the head as well
	case c.fits() || c.loneHead(e):
		c.flush(e)
	default: // see writeOut
		c.runLater()
	}
	if e.up.hold {
		e.up.holdBy = time.Now().Add(c.cfg.ExpectTimeout)
	}
	if !e.q.push {
		go e.pump()
	}
	return e.ifUnsent()
}

// fitsNow reports whether the body, which says how long it is and so is taken to be at
// hand, fits the buffer beside its head. mu is held.
func (c *Conn) fitsNow(e *exchange) bool {
	_, atHand := e.req.Body.(lener)
	return atHand && !e.q.expect && e.q.body == bodyLength &&
		e.q.length <= int64(cap(c.wbuf.b)-len(c.wbuf.b))
}

// inMemory reports whether a body's bytes can be had without a copy.
func inMemory(body io.Reader) bool {
	switch body.(type) {
	case *bytes.Reader, *bytes.Buffer:
		return true
	}
	return false
}

// writeWhole writes head and body at once. A body that fails here leaves no trace. mu is
// held, but not while the body is read.
func (c *Conn) writeWhole(e *exchange) *Error {
	at, n := len(c.wbuf.b), int(e.q.length)
	room := c.wbuf.b[:at+n]
	err := c.fillWhole(e, room[at:])
	if c.upload != e {
		e.release()
		return e.err
	}
	bad := e.err // canceled meanwhile
	switch {
	case bad != nil:
	case err != nil:
		bad = bodyFailed(err)
	case passed(e.by):
		bad = fromDeadline("write body", whyDeadline)
	}
	if bad != nil {
		c.drop(e)
		return bad
	}
	c.wbuf.b = room
	e.up.left = 0
	c.endBody(e)
	if e.q.close {
		c.saidClose()
	}
	c.sendOut(e)
	c.changed()
	return e.ifUnsent()
}

// fillWhole reads e's body into p, a part of wbuf, which is nobody else's meanwhile. mu is
// held, but not while the body is read.
func (c *Conn) fillWhole(e *exchange, p []byte) error {
	c.writing, e.up.fills = true, true
	// Also where the body's Read does not return. The connection has ended by then, or is to
	// end, with wbuf still taken; unlock gives that back.
	defer func() { c.writing, e.up.fills = false, false }()
	err := c.outside(&c.upload, e, func() error { return readWhole(e.up.body, p) })
	if c.upload == e && err == nil && e.err == nil && c.aged(e) {
		c.lookAt(e)
	}
	return err
}

// readWhole fills p with a body.
func readWhole(body io.Reader, p []byte) error {
	for len(p) > 0 {
		n, err := readSome(body, p)
		p = p[n:]
		switch {
		case err == io.EOF && len(p) > 0:
			return errShort
		case err != nil && err != io.EOF:
			return err
		}
	}
	return nil
}

// readSome reads a body until it gives bytes or an error, and takes from it only what a
// Reader may return.
func readSome(body io.Reader, p []byte) (int, error) {
	for range maxEmptyReads {
		n, err := body.Read(p)
		if n < 0 || n > len(p) {
			return 0, errCount
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

func bodyFailed(err error) *Error {
	return newError(BodyFailed, "write body", err)
}

var (
	errCount = errors.New("the body's Read returned an impossible count")
	errShort = errors.New("the body is shorter than its ContentLength")
	errLong  = errors.New("the body is longer than its ContentLength")
	errStop  = errors.New("the body is not wanted any more")
)

// endBody notes that the last byte was appended. mu is held.
func (c *Conn) endBody(e *exchange) {
	e.end = c.appended()
	e.up.ended = true
	c.tookHead()
	c.upload = nil
	c.life.must(evEnd)
}

// untaken reports whether no writer has taken e's head yet, though one is sure to (the head
// may wait for its body, to go out with it): nothing is read before that, for it would
// answer nothing. mu is held.
func (c *Conn) untaken(e *exchange) bool {
	soon := c.upload == e || e.up.later || c.flushing && !c.writing && c.queue.head == e
	return soon && e.start >= c.taken && !c.owing
}

// tookHead wakes whoever waits for untaken to be over. mu is held.
func (c *Conn) tookHead() {
	if c.reader == nil {
		c.handOn()
	}
}

// stopped reports whether e's body is not to be written on. mu is held.
func (c *Conn) stopped(e *exchange) bool {
	return c.upload != e || e.err != nil || !c.mayWrite()
}

// stopUpload ends the writing of a body, if one is being written. mu is held.
func (c *Conn) stopUpload() {
	if u := c.upload; u != nil {
		c.upload, c.end.cutOff = nil, true
		u.wake.Broadcast()
		u.unregister()
	}
}

// stopWrites does so, and leaves nothing to be written, once the write half is shut. mu is
// held.
func (c *Conn) stopWrites() {
	c.stopUpload()
	if c.wbuf != nil {
		c.wbuf.b = c.wbuf.b[:0]
	}
}

// runPump writes a body from Request.Body, or what lies in wbuf. It runs on a goroutine of
// its own.
func (e *exchange) runPump() {
	c := e.c
	c.mu.Lock()
	defer func() { // also where Body's Read has ended this goroutine
		e.cond.Signal() // whoever waits for the body to be out: see switchOver
		e.release()
		c.unlock()
	}()
	if e.up.later {
		e.up.later = false
		c.flushApart(e)
	} else if c.awaitGo(e) {
		err := c.pumpBody(e)
		if err == nil {
			err = c.finishBody(e)
		}
		if err != nil && !c.stopped(e) {
			bad, ok := err.(*Error)
			if !ok {
				bad = bodyFailed(err)
			}
			c.failUpload(e, bad)
		}
	}
}

// awaitGo waits until the body may be sent, and reports whether it may. mu is held.
func (c *Conn) awaitGo(e *exchange) bool {
	for e.up.hold && !c.stopped(e) {
		if passed(e.up.holdBy) {
			e.up.hold = false // no 100 has come in time: the body goes without
			break
		}
		e.pushAt = e.up.holdBy
		c.wakeBy(e.pushAt)
		e.wake.Wait()
	}
	e.pushAt = time.Time{}
	return !c.stopped(e)
}

// mayGoOn releases a body that waited for 100 (Continue). mu is held.
func (e *exchange) mayGoOn() {
	e.up.hold = false
	e.wake.Broadcast()
}

// expectOver settles, at a final response, what becomes of e's body, which is still held
// back: it is not sent, and the connection not used again (RFC 9110, 10.1.1). Nor is a
// chunked one ended as an empty one: where the server refuses, it may yet take that for
// the next request, and where it does not, for the body that was meant. mu is held.
func (c *Conn) expectOver(e *exchange, keeps bool) {
	if passed(e.up.holdBy) {
		e.mayGoOn() // its time was over before: who pushes it has not come to see that
	}
	if !e.up.hold || c.stopped(e) {
		return
	}
	e.up.hold = false
	e.wake.Broadcast()
	if keeps { // else the response says why
		c.because(errUpload)
	}
	c.upload = nil
	c.life.must(evStop)
}

// pumpBody moves the body, by the shortest way there is. mu is held, but not while the
// body is read or the stream written.
func (c *Conn) pumpBody(e *exchange) error {
	from, limit := e.up.body, (*io.LimitedReader)(nil)
	if l, ok := from.(*io.LimitedReader); ok {
		from, limit = l.R, l
	}
	if dst := c.kernelsWay(e, from); dst != nil {
		if err := c.sendFile(e, dst, from, limit); err != nil {
			return err
		}
		if _, ok := from.(*os.File); !ok {
			return c.readPieces(e, 0) // what comes behind it from a socket is another message's
		}
	}
	if inMemory(e.up.body) {
		if e.up.whole == nil {
			e.lift()
		}
		return c.piece(e, e.up.whole)
	}
	return c.readPieces(e, 1) // which shows a body that is too long
}

// kernelsWay returns what moves e's body inside the kernel, where that comes from a file or
// from another socket; nil: nothing does. mu is held.
func (c *Conn) kernelsWay(e *exchange, from io.Reader) io.ReaderFrom {
	if c.kind != direct || e.q.body != bodyLength || c.cfg.StallTimeout > 0 {
		return nil
	}
	switch from.(type) {
	case *os.File, *net.TCPConn, *net.UnixConn:
		dst, _ := c.rw.(io.ReaderFrom)
		return dst
	}
	return nil
}

// lift takes a body out of memory as it lies there: all at once, so that the reader is left
// alone before the response can come, and the caller may use it again.
func (e *exchange) lift() { e.up.body.(io.WriterTo).WriteTo(&e.up.whole) }

// taker keeps the slice it is given.
type taker []byte

func (t *taker) Write(p []byte) (int, error) {
	*t = p
	return len(p), nil
}

// readPieces reads the body and writes it piece by piece. With the last byte that is due it
// asks for so many extra ones. mu is held, but not while the body is read or the stream
// written.
func (c *Conn) readPieces(e *exchange, extra int64) error {
	buf := getBlock(pumpBuffer)
	defer buf.put(pumpBuffer)
	var p []byte
	var n int
	read := func() (err error) {
		n, err = readSome(e.up.body, p)
		return err
	}
	for !c.stopped(e) && e.up.left != 0 {
		p = buf.b[:cap(buf.b)]
		switch room := int64(len(p)); {
		case e.up.left < 0:
		case e.up.left == room && extra > 0: // the next read has room for them
			p = p[:room/2]
		case e.up.left < room:
			p = p[:e.up.left+extra]
		}
		if c.pending() && !c.writing { // while pump waits for more
			c.runLater()
		}
		err := c.outside(&c.upload, e, read)
		if c.stopped(e) {
			return errStop
		}
		if bad := c.piece(e, p[:n]); bad != nil {
			return bad
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return bodyFailed(err) // also where it is an *Error: that is of another connection
		}
	}
	return nil
}

// A file is handed to the kernel in pieces: the first of leastPiece, each further one of
// what goes out in pieceTime, as far as the last one tells, but of no more than twice that
// one, which may have found room in the socket's buffer. Long pieces go out faster, but
// Stats sees a body go out in such steps.
const (
	leastPiece = 4 << 20
	mostPiece  = 64 << 20
	pieceTime  = 50 * time.Millisecond
)

// nextPiece returns how long the piece after one is that was so long and took so long.
func nextPiece(moved int64, took time.Duration) int64 {
	next := moved * int64(pieceTime) / int64(max(took, 1))
	return max(leastPiece, min(next, 2*moved, mostPiece))
}

// byHand is how much of a file's end goes out as any body does, in a write that cutLast can
// cut. A file that is no longer than this goes out with its head.
const byHand = 16 << 10

// sendFile lets the kernel move a file, or what comes from another socket, up to its last
// bytes; no more than limit, if there is one. (The kernel's way is not found behind two
// limits.) mu is held, but not while it waits.
func (c *Conn) sendFile(e *exchange, dst io.ReaderFrom, from io.Reader, limit *io.LimitedReader) error {
	if e.up.left <= byHand {
		return nil
	}
	for c.writing && !c.stopped(e) { // the head is in another's write
		e.wake.Wait()
	}
	if c.stopped(e) {
		return errStop
	}
	c.flush(e)
	piece := int64(leastPiece)
	for e.up.left > byHand && !c.stopped(e) {
		n := min(e.up.left-byHand, piece)
		if limit != nil {
			n = min(n, max(limit.N, 0))
		}
		if !c.beginWrite(e) {
			return errStop
		}
		c.tookFile(e, limit, n) // before the write: its answer may be here before its return
		began := time.Now()
		moved, ofBody, err := c.sendPiece(e, dst, from, n)
		piece = nextPiece(moved, time.Since(began))
		c.tookFile(e, limit, moved-n) // what it has left
		switch {
		case ofBody:
			return err
		case err != nil:
			c.writeFailed(e, err)
			return errStop
		case moved == 0:
			return errShort
		}
	}
	return nil
}

// tookFile counts n bytes of e's body as taken: by the writer, from the caller, and from
// limit, if there is one. Less than 0, they are given back. mu is held.
func (c *Conn) tookFile(e *exchange, limit *io.LimitedReader, n int64) {
	c.taken += n
	e.up.left -= n
	if limit != nil {
		limit.N -= n
	}
}

// sendPiece lets the kernel move at most n bytes, in a write of e's that has begun. The
// error does not tell whose it is: it is the body's where the stream, asked again, is well.
// mu is held, but not while it writes.
func (c *Conn) sendPiece(e *exchange, dst io.ReaderFrom, from io.Reader, n int64) (moved int64, ofBody bool, err error) {
	c.writing = true
	_, e.up.ofFile = from.(*os.File)
	c.mu.Unlock()
	moved, err = dst.ReadFrom(&io.LimitedReader{R: from, N: n})
	ofBody = err != nil && !broken(c.rw)
	c.mu.Lock()
	c.leaveWrite()
	c.writing, e.up.ofFile = false, false
	c.written += moved
	return moved, ofBody, err
}

// mostAtOnce is how much of a body one write is given at most. While a write runs nobody
// knows how far it has come, so what is known to be left of a body is off by no more.
const mostAtOnce = 64 << 10

// piece sends some bytes of the body. mu is held, but not while it writes.
func (c *Conn) piece(e *exchange, p []byte) error {
	if e.up.left >= 0 && int64(len(p)) > e.up.left {
		return errLong
	}
	for len(p) > 0 { // an empty chunk would end the body
		n := min(len(p), mostAtOnce)
		if err := c.part(e, p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// part sends at most mostAtOnce bytes: into wbuf where they fit, else at once, in one
// writev where the stream can do that. mu is held, but not while it writes.
func (c *Conn) part(e *exchange, p []byte) error {
	const around = 16 + 2 + 2 // a size's digits and CRLF, and the CRLF behind the data
	need := len(p) + around
	for c.writing && !c.stopped(e) && !c.hasRoom(need) {
		e.wake.Wait()
	}
	if c.stopped(e) {
		return errStop
	}
	if e.up.left >= 0 {
		e.up.left -= int64(len(p))
	}
	c.needBlock()
	chunked := e.q.body == bodyChunked
	fits := c.hasRoom(need)
	if chunked {
		c.wbuf.b = appendChunkSize(c.wbuf.b, int64(len(p)))
	}
	if !fits {
		return c.writePart(e, p)
	}
	c.wbuf.b = append(c.wbuf.b, p...)
	if chunked {
		c.wbuf.b = append(c.wbuf.b, crlf...)
	}
	return nil
}

// hasRoom reports whether n bytes more can be appended to wbuf as it is. mu is held.
func (c *Conn) hasRoom(n int) bool {
	return c.wbuf != nil && len(c.wbuf.b)+n <= c.cfg.WriteBuffer
}

// writePart writes what waits in wbuf, p, and the end of its chunk. mu is held, but not
// while it writes; nobody else is writing.
func (c *Conn) writePart(e *exchange, p []byte) error {
	front := c.wbuf
	c.wbuf = nil
	e.up.vec = [3][]byte{front.b, p}
	if e.q.body == bodyChunked {
		e.up.vec[2] = crlf
	}
	n := len(front.b) + len(p) + len(e.up.vec[2])
	c.take(n)
	c.writing = true
	err := c.writeVec(e, n)
	c.writing = false
	e.up.vec = [3][]byte{}
	c.keepBlock(front)
	if err != nil {
		c.writeFailed(e, err)
		return errStop
	}
	if e.up.left == 0 { // its last byte: CloseWrite may be long in coming
		c.afterWrite()
	}
	return nil
}

// writeVec writes e.up.vec, of want bytes in all. mu is held, but not while it writes.
func (c *Conn) writeVec(e *exchange, want int) error {
	if c.kind != direct || underRace {
		for _, p := range e.up.vec {
			if err := c.write(e, p); err != nil {
				return err
			}
		}
		return nil
	}
	e.up.bufs = e.up.vec[:]
	for want > 0 {
		if !c.beginWrite(e) {
			return errClosedUnder
		}
		c.mu.Unlock()
		n, err := e.up.bufs.WriteTo(c.rw)
		c.mu.Lock()
		if err = c.endWrite(e, int(n), want, err); err != nil {
			return err
		}
		want -= int(n)
	}
	return nil
}

// finishBody appends the body's end and sees it out. mu is held, but not while it writes.
func (c *Conn) finishBody(e *exchange) error {
	if c.stopped(e) {
		return errStop
	}
	if e.up.left > 0 {
		return errShort
	}
	if e.q.body == bodyChunked {
		if bad := checkTrailer(&e.req.Trailer); bad != nil {
			return bad
		}
		c.needBlock()
		c.wbuf.b = append(c.wbuf.b, "0\r\n"...)
		c.wbuf.b = appendTrailer(c.wbuf.b, &e.req.Trailer, c.cfg.TitleCase)
	}
	c.endBody(e)
	if c.life.n > 0 && (c.line.head != nil || c.ready != nil) {
		c.changed() // now: the flush may have to wait for the one in line to read
	}
	if !c.writing {
		c.flush(e)
	}
	c.changed()
	return nil
}
