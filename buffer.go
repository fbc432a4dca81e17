package h1

// buffer.go: the memory lent to a connection while it is at work.
//
// Rule: an idle connection holds none: borrow takes it for a request, giveBack returns it
// when nothing is in flight. A buffer that has grown past the size it was lent at is not
// lent again.

import (
	"bufio"
	"math/bits"
	"sync"
)

// A block is a buffer on loan. Its slice may outgrow its size; it is then not lent again.
type block struct{ b []byte }

// Buffers are lent in sizes that are powers of two, from 16 on; those of more than 256 KiB
// are not lent again.
const classes = 19 // 2^18 is the largest

var (
	blocks      [classes]sync.Pool
	readBuffers [classes]sync.Pool
)

// class returns the exponent of the power of two that a size is rounded up to.
func class(size int) int { return bits.Len(uint(max(size, 16) - 1)) }

// getBlock lends an empty block of at least that size.
func getBlock(size int) *block {
	k := class(size)
	if k < classes {
		if b, ok := blocks[k].Get().(*block); ok {
			return b
		}
	}
	return &block{make([]byte, 0, 1<<k)}
}

// put gives back a block that was lent for that size, a power of two, unless b is nil or
// has grown.
func (b *block) put(size int) {
	if b.is(size) {
		b.goBack()
	}
}

// goBack is put for a block that has not grown.
func (b *block) goBack() {
	if k := class(cap(b.b)); k < classes {
		b.b = b.b[:0]
		blocks[k].Put(b)
	}
}

// is reports whether b is as it is lent for that size, a power of two: neither nil nor
// grown.
func (b *block) is(size int) bool { return b != nil && cap(b.b) == size }

// A readBuffer is a read buffer on loan. With it come, for the price of one loan,
// exchanges, a turn of the socket, and the write buffer that the last borrower gave back.
type readBuffer struct {
	*bufio.Reader
	from  source
	turn  turn
	spare *exchange // exchanges that have ended, linked by next
	kept  int       // how many those are
	out   *block    // that write buffer; nil while it is lent
}

// mostKept is how many exchanges stay with a read buffer: a usual pipeline's. A crowd that
// stood in line once is not kept for good.
const mostKept = 16

// getReadBuffer lends c a read buffer of at least that size.
func getReadBuffer(size int, c *Conn) *readBuffer {
	var r *readBuffer
	k := class(size)
	if k < classes {
		r, _ = readBuffers[k].Get().(*readBuffer)
	}
	if r == nil {
		r = &readBuffer{}
		r.Reader = bufio.NewReaderSize(&r.from, 1<<k)
	}
	r.from.c = c
	return r
}

// put gives a reader back, without the bytes it holds: they are of this connection. An
// error is never left in it: see source.Read.
func (r *readBuffer) put() {
	r.Discard(r.Buffered())
	r.from.c = nil
	if k := class(r.Size()); k < classes {
		readBuffers[k].Put(r)
	}
}

// borrow sees to it that there are buffers to read and to write with. mu is held.
func (c *Conn) borrow() {
	if c.br == nil {
		c.br = getReadBuffer(c.cfg.ReadBuffer, c)
	}
	if c.wbuf != nil { // there may be bytes in it, and it may have grown
		return
	}
	out := c.br.out
	c.br.out = nil
	if !out.is(c.cfg.WriteBuffer) {
		if out != nil { // of another Config
			out.goBack()
		}
		out = getBlock(c.cfg.WriteBuffer)
	}
	c.wbuf = out
}

// needBlock sees to it that there is a block to append to. mu is held.
func (c *Conn) needBlock() {
	if c.wbuf == nil {
		c.wbuf = getBlock(c.cfg.WriteBuffer)
	}
}

// keepBlock keeps a written block for the next flush, or gives it back. mu is held.
func (c *Conn) keepBlock(out *block) {
	if cap(out.b) > c.cfg.WriteBuffer {
		return // a long head made it grow; that is not kept
	}
	out.b = out.b[:0]
	switch {
	case c.wbuf == nil:
		c.wbuf = out
	case c.spare == nil:
		c.spare = out
	default:
		out.put(c.cfg.WriteBuffer)
	}
}

// giveBack returns the buffers of a connection that is idle, or has ended, and forgets
// the last writer. mu is held.
func (c *Conn) giveBack() {
	ended := c.life.r == rShut
	if ended && !c.writing && c.wbuf != nil {
		c.wbuf.b = c.wbuf.b[:0]
	}
	if !c.writing && c.life.w != wBody && !c.pending() {
		c.writer = nil
		c.spare.put(c.cfg.WriteBuffer)
		if c.br != nil && c.br.out == nil && c.wbuf.is(c.cfg.WriteBuffer) {
			c.br.out = c.wbuf
		} else {
			c.wbuf.put(c.cfg.WriteBuffer)
		}
		c.wbuf, c.spare = nil, nil
	}
	if c.br != nil && c.reader == nil && (c.br.Buffered() == 0 || ended) && !c.life.switched {
		c.br.put()
		c.br = nil
	}
}
