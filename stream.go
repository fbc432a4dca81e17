package h1

// stream.go: what the caller's stream can do, and how it is given back.
//
// Rule: nothing but Read, Write and Close is needed of a stream; what each request would
// ask for again is found once: a socket in NewConn, and whether deadlines are refused at
// their first use.

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

type deadliner interface {
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// bothDeadliner sets both at once, for little more than the cost of one.
type bothDeadliner interface{ SetDeadline(time.Time) error }

// deadlines returns the stream's deadlines, nil where it has none. A stream that has the
// methods may refuse to set one, as the net.Conn of an SSH client does: before the first
// deadline is set, or counted on, that is found out (askDeadlines). A stream with a socket
// under it is taken at its word, except by Watch: see canWake. mu is held.
func (c *Conn) deadlines() deadliner {
	if !c.dlAsked {
		c.askDeadlines()
	}
	return c.dl
}

// askDeadlines finds out whether the stream refuses deadlines, by setting none. mu is held.
func (c *Conn) askDeadlines() {
	c.dlAsked = true
	none := time.Time{}
	if c.dl != nil && (refuses(c.dl.SetReadDeadline(none)) || refuses(c.dl.SetWriteDeadline(none))) {
		c.dl = nil
	}
}

// refuses reports whether an error says that a stream takes no deadlines, and not only that
// it is closed.
func refuses(err error) bool {
	return err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrClosed)
}

// alwaysFits is how much a socket and its peer take between them while the peer reads
// nothing: by default any does.
const alwaysFits = 16 << 10

// fits reports whether the stream is sure to take all that was appended, even if the server
// reads neither that nor what was sent since the oldest request in flight. If it does not
// take it after all, a deadline ends the write. The rest of a request that is over does not
// fit: it was left because there was no room. mu is held.
func (c *Conn) fits() bool {
	from := c.appended()
	if oldest := c.queue.head; oldest != nil {
		from = oldest.start
	}
	return c.kind.hasSocket() && c.deadlines() != nil &&
		c.written >= from && c.appended()-from <= alwaysFits
}

// longAgo is a deadline that has passed: it ends a read or a write that is under way.
var longAgo = time.Unix(1, 0)

// streamKind says what may be done with the socket that was found under a stream. What
// goes by it, where the stream takes deadlines (else only Close ends a call):
//
//	         fits  cutsWrites  endsReads     canLook      kernelsWay, splice
//	opaque   no    yes         yes           if a peeker  no
//	direct   yes   yes         but a splice  yes          yes
//	wrapped  yes   yes         yes           yes          no
//	layered  yes   no          no            yes          no
//	sealed   no    no          no            if a peeker  no
type streamKind uint8

const (
	opaque  streamKind = iota // no socket
	direct                    // the stream is the socket: bytes may be moved around its methods
	wrapped                   // a socket's bytes are the stream's, but its own methods move them
	layered                   // a socket carries the stream's bytes in another form (TLS)
	sealed                    // as layered, but no socket was found
)

// hasSocket reports whether a socket was found, even if there is no way to look into it.
func (k streamKind) hasSocket() bool { return k != opaque && k != sealed }

// encoded reports whether the stream's bytes travel in another form, as under TLS: a write
// that is cut then does not say how far it came.
func (k streamKind) encoded() bool { return k >= layered }

// socketOf finds the socket under a stream.
func socketOf(rw io.ReadWriteCloser) (syscall.RawConn, streamKind) {
	kind, without := wrapped, opaque
	var s syscall.Conn
	switch t := rw.(type) {
	case *net.TCPConn:
		s, kind = t, direct
	case *net.UnixConn:
		s, kind = t, direct
	case interface{ NetConn() net.Conn }: // crypto/tls.Conn, and what imitates it
		// Not below a second layer: that may not pass deadlines down, or not survive one.
		s, _ = t.NetConn().(syscall.Conn)
		kind, without = layered, sealed
	case syscall.Conn:
		s = t
	}
	if s == nil {
		return nil, without
	}
	if !canProbe {
		return nil, kind
	}
	raw, err := s.SyscallConn()
	if err != nil || !isSocket(raw) {
		return nil, without
	}
	return raw, kind
}

// isTimeout reports whether an error of a stream is that of a deadline. ETIMEDOUT, for a
// peer that was silent for too long, calls itself a timeout as well, but is the stream's
// end.
func isTimeout(err error) bool {
	var t timeouter
	return errors.As(err, &t) && t.Timeout() && !errors.Is(err, syscall.ETIMEDOUT)
}

// saysTimeout is isTimeout for an error that says so itself, and allocates nothing. An
// error that only wraps such a one is, to crypto/tls, the end of all reading.
func saysTimeout(err error) bool {
	t, ok := err.(timeouter)
	return ok && t.Timeout() && !errors.Is(err, syscall.ETIMEDOUT)
}

type timeouter interface{ Timeout() bool }

// broken reports whether a socket cannot be written to: closed, reset, past its deadline.
// It is asked by a write of nothing, which never waits.
func broken(w io.Writer) bool {
	_, err := w.Write(nil)
	return err != nil
}

// Detach gives the stream back, with the bytes read from it and not used, of which there
// are none but behind a switch of protocols: behind another response they end the
// connection. It can do so when nothing is in flight (nothing was asked, or all was
// answered), and after a response with 101 (Switching Protocols) or with 2xx to CONNECT.
// Otherwise it fails: with NotReady while exchanges are in flight, or while something of a
// request that was answered is yet to be written (Stats.Unwritten), which Ready does not
// wait for; with Closed when the connection has ended. The Conn takes no requests
// afterwards, and closing it leaves the stream alone.
func (c *Conn) Detach() (Parts, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awaitLook()
	if c.end.gone {
		return Parts{}, c.refusal("detach")
	}
	if why := c.whyInUse(); why != nil {
		return Parts{}, newError(NotReady, "detach", why)
	}
	c.end.gone, c.err = true, errDetached
	c.stopAlarm()
	p := Parts{IO: c.rw}
	if c.br != nil {
		b, _ := c.br.Peek(c.br.Buffered())
		p.Buffered = append([]byte(nil), b...)
	}
	c.life.switched = false
	c.fail(nil, errDetached) // before the wait, in which others may ask for the state
	if c.watch != nil {
		c.watch.kick(c)
		for c.watch.parked {
			c.watch.cond.Wait()
		}
	}
	c.clearDeadlines()
	return p, nil
}

// whyInUse says what Detach would have to wait for: exchanges in flight, or what is left of
// one; nil: nothing. mu is held.
func (c *Conn) whyInUse() error {
	switch {
	case c.life.n > 0:
		return errors.New("exchanges are in flight")
	case c.life.w == wBody || c.writing || c.pending():
		return errUnwritten
	case c.reader != nil:
		return errLeaving
	}
	return nil
}

// clearDeadlines takes the deadlines back that the engine has set. mu is held.
func (c *Conn) clearDeadlines() {
	if !c.readBy.IsZero() {
		c.setReadBy(time.Time{})
	}
	if c.hasWriteBy {
		c.setWriteBy(time.Time{})
	}
}

// Parts is a stream given back, and the bytes that were read from it and belong to
// whoever reads it next.
type Parts struct {
	IO       io.ReadWriteCloser // as NewConn was given it, without deadlines of the engine's
	Buffered []byte             // the caller's to keep
}

// Stream returns a stream that reads Buffered, then IO; writes and Close are IO's. Where
// nothing is buffered it is IO itself. Where IO is a net.Conn the result is one, with its
// deadlines; where IO has CloseWrite, the result has it.
func (p Parts) Stream() io.ReadWriteCloser {
	if len(p.Buffered) == 0 {
		return p.IO
	}
	f := &front{bytes: p.Buffered, ReadWriteCloser: p.IO}
	half, isHalf := p.IO.(closeWriter)
	conn, isConn := p.IO.(net.Conn)
	switch {
	case isConn && isHalf:
		return struct {
			frontConn
			closeWriter
		}{frontConn{conn, f}, half}
	case isConn:
		return frontConn{conn, f}
	case isHalf:
		return struct {
			*front
			closeWriter
		}{f, half}
	}
	return f
}

type closeWriter interface{ CloseWrite() error }

// front is a stream with bytes in front of it. Like a net.Conn it may be read by several
// goroutines at once.
type front struct {
	mu    sync.Mutex // guards bytes, and is not held while anything else is read or written
	bytes []byte
	io.ReadWriteCloser
}

func (f *front) Read(p []byte) (int, error) {
	f.mu.Lock()
	if len(f.bytes) == 0 {
		f.mu.Unlock()
		return f.ReadWriteCloser.Read(p)
	}
	defer f.mu.Unlock()
	n := copy(p, f.bytes)
	f.bytes = f.bytes[n:]
	return n, nil
}

// WriteTo lets io.Copy from a tunnel go on as it would from the stream itself.
func (f *front) WriteTo(w io.Writer) (int64, error) {
	first := f.swap(nil)
	n, err := io.Copy(w, bytes.NewReader(first))
	if err != nil {
		f.swap(first[n:])
		return n, err
	}
	m, err := io.Copy(w, f.ReadWriteCloser)
	return n + m, err
}

func (f *front) swap(b []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, f.bytes = f.bytes, b
	return b
}

// ReadFrom does the same in the other direction.
func (f *front) ReadFrom(r io.Reader) (int64, error) { return io.Copy(f.ReadWriteCloser, r) }

// frontConn is front for a net.Conn.
type frontConn struct {
	net.Conn
	front *front
}

func (f frontConn) Read(p []byte) (int, error)          { return f.front.Read(p) }
func (f frontConn) WriteTo(w io.Writer) (int64, error)  { return f.front.WriteTo(w) }
func (f frontConn) ReadFrom(r io.Reader) (int64, error) { return f.front.ReadFrom(r) }
