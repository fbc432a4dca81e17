package h1

// gather.go: requests that several goroutines, or one, send at about the same time go out
// in one write, where Depth is more than 1.
//
// Rule: who could write what was appended may let others append theirs first:
//
//   - Send leaves it to whoever waits for a response, or reads the stream, next (runLater);
//   - a caller whose request comes while responses are at hand, whose callers are likely to
//     come with further ones, leaves it to whoever reads the stream next (gathers);
//   - whoever writes lets the others run once (letAppend).
//
// Nobody is waited for: runSoon, and the end of gatherTime, see to what is left.
// Not here: the write (write.go).

import (
	"runtime"
	"time"
)

// gatherTime is for how long a request may be left to whoever reads next: longer than it
// takes to hand on the responses that a read has brought, but not what a caller may do
// before it reads a body that is at hand.
const gatherTime = time.Millisecond

// unclaimed reports whether bytes wait for a writer, and nobody is about to be that. While
// a body is being written, who writes that sees to them. mu is held.
func (c *Conn) unclaimed() bool { return c.pending() && !c.writing && c.upload == nil }

// gathers reports whether to leave what is pending, as e's caller waits, to whoever reads
// the stream next: a response in front of e is at hand, whole as far as it is known (of a
// chunked body it is not), and its caller waits for it or is to read its body. mu is held.
func (c *Conn) gathers(e *exchange) bool {
	x := c.nextReader()
	if x == e || !x.waited || c.inRead || !c.readerMayWrite() {
		return false
	}
	n := int64(c.br.Buffered())
	return n > 0 && x.recv.remain <= n
}

// readerMayWrite reports whether who is about to read may write for others: the stream
// takes that at once, and where the reader's time ends meanwhile, theirs does not. mu is
// held.
func (c *Conn) readerMayWrite() bool { return c.cutsWrites() && c.fits() }

// writeGathered writes what was left to who reads the stream next. One that has ended by
// now, or closes its body, is to return at once, and leaves it to a goroutine. mu is held,
// but not while it writes.
func (c *Conn) writeGathered() {
	if e := c.reader; e.err == nil && e.recv.closeBy.IsZero() && c.readerMayWrite() {
		c.flush(e)
	} else {
		c.runLater()
	}
}

// letAppend lets others run once where some are in flight, so that they append what they
// have. mu is held, but not while they run.
func (c *Conn) letAppend(e *exchange) {
	if c.life.n > 1 && e.next == nil {
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
	}
}

// runLater has what was appended written, unless somebody comes first, by a goroutine that
// the scheduler runs when this one waits, or a few microseconds later on another core,
// which is time enough to send some more. mu is held.
func (c *Conn) runLater() {
	if c.flushing {
		return
	}
	if c.soon == nil {
		c.soon = c.runSoon
	}
	c.flushing = true
	go c.soon()
}

// runSoon is that goroutine. It lets a body's pump run once, so that a body at hand goes
// out in large pieces, and a slow one at once: no clock is needed.
func (c *Conn) runSoon() {
	c.mu.Lock()
	if c.upload != nil {
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
	}
	c.flushing = false
	e := c.unwritten()
	if e == nil { // the rest of a request that was answered before it was out whole: in line's name
		for e = c.line.head; e != nil && (e.err != nil || passed(e.by)); {
			e = e.next
		}
	}
	if e != nil && c.pending() && !c.writing {
		c.flushApart(e)
	}
	c.unlock()
}
