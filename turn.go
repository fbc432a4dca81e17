package h1

// turn.go: a request is written, and the first bytes of its response are read, in one turn
// of the socket.
//
// Rule: where Do has a socket to itself (mayOwe) its request is appended, and not written:
// it is owed (Conn.owing, and writing with it), and the read of the response begins by
// writing it. What one turn does not move goes out as it would have without one (payOwed).
// Not here: the turn itself (turn_unix.go).

// mayOwe reports whether e's request may be written by the read of its response, in one
// turn of the socket: its caller is about to read, and nobody else can be on the
// connection, nor still writes for one that was answered early. mu is held.
func (c *Conn) mayOwe(e *exchange) bool { return c.owes(e) && !c.writing }

// owes is the part of mayOwe that does not change while a request goes out. mu is held.
func (c *Conn) owes(e *exchange) bool {
	return canTurn && e.once && c.kind == direct && c.sock != nil && c.cfg.Depth == 1
}

// owe leaves what was appended to the read of the response. mu is held.
func (c *Conn) owe() { c.owing, c.writing = true, true }

// owesNoMore ends that: what was owed is written, or will not be. mu is held.
func (c *Conn) owesNoMore() { c.owing, c.writing = false, false }

// fitsSocket reports whether the body is in memory, and may be written by the read of the
// response: in one call, as far as the socket takes it. mu is held.
func (c *Conn) fitsSocket(e *exchange) bool {
	if !canWritev || !c.mayOwe(e) || e.q.expect {
		return false
	}
	if e.q.body != bodyLength || e.q.length > mostAtOnce || !inMemory(e.req.Body) {
		return false
	}
	// Pump refuses one whose length has changed while the request waited for its turn.
	return int64(e.req.Body.(lener).Len()) == e.q.length
}

// takeOwed takes the bytes that are owed, to be written at once: what was appended, and a
// body that lies in memory; nil if the exchange ended meanwhile. mu is held.
func (c *Conn) takeOwed(e *exchange) (head, body []byte) {
	if e.err != nil || !c.pending() || !c.mayWrite() {
		return nil, nil
	}
	c.writer, c.inWrite = e, true // without a deadline: it does not wait
	if c.upload == e {
		e.lift()
		e.up.left = 0
	}
	c.taken += int64(len(c.wbuf.b) + len(e.up.whole))
	c.inRead = false
	return c.wbuf.b, e.up.whole
}

// paidOwed counts what was written of them, and reports whether all was. mu is held.
func (c *Conn) paidOwed(e *exchange, n int) bool {
	c.written += int64(n)
	c.inWrite = false
	if n < len(c.wbuf.b)+len(e.up.whole) {
		return false
	}
	c.wbuf.b = c.wbuf.b[:0]
	c.owesNoMore()
	c.inRead = true
	if c.upload == e {
		e.up.whole = nil
		c.endBody(e)
	}
	c.afterWrite()
	return true
}

// payOwed sees to what is left of the bytes that were owed, where not all went out in one
// turn, and returns the exchange's error if that failed meanwhile. A head is written here,
// and what fits the buffer beside it. A longer body is left to pump: it may be answered
// before it is out. mu is not held.
func (c *Conn) payOwed(e *exchange) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.err != nil { // it was taken back, or the connection has ended
		return e.err
	}
	c.owesNoMore()
	switch behind := c.keepUnsent(e); {
	case c.upload == e && c.fitsNow(e): // as if it had been copied behind its head at once
		c.wbuf.b = append(c.wbuf.b, e.up.whole[behind:]...)
		e.up.whole, e.up.left = nil, 0
		c.endBody(e)
		c.writeOut(e)
	case c.upload == e:
		e.up.whole = e.up.whole[behind:]
		e.up.left = int64(len(e.up.whole))
		e.refs++ // until the body's end
		go e.pump()
	default:
		c.writeOut(e)
	}
	if e.err != nil {
		return e.err
	}
	c.inRead = true // what comes next is the read of the response, whose time begins
	c.tellSent()
	return nil
}

// keepUnsent leaves in wbuf what one turn did not write of it, and returns how much it
// wrote of the body behind that. mu is held.
func (c *Conn) keepUnsent(e *exchange) (behind int) {
	sent := len(c.wbuf.b) + len(e.up.whole) - int(c.taken-c.written)
	head := min(sent, len(c.wbuf.b))
	c.wbuf.b = append(c.wbuf.b[:0], c.wbuf.b[head:]...)
	c.taken = c.written
	return sent - head
}

// haste says whether to look for a response right after its request was written. A server
// on another core of this machine has often answered by then, and ten looks in vain cost
// less than being woken once; no other server has answered by then. It goes by what the
// last looks have found.
type haste struct {
	vain   int8 // looks that may still find nothing
	passed int8 // turns without a look
}

const (
	mostVain  = 8  // so many, and it gives up
	lookAgain = 32 // after so many turns it tries again
)

func (h *haste) looks() bool {
	h.passed++
	return h.vain > 0 || h.passed >= lookAgain
}

func (h *haste) learn(found bool) {
	h.passed = 0
	if found {
		h.vain = mostVain
	} else {
		h.vain = max(h.vain-1, 0)
	}
}
