//go:build unix && !aix

package h1

// turn_unix.go: a look at a socket, a write and a read, in one call.

import (
	"io"
	"net"
	"os"
	"syscall"
)

const canTurn = true

// A turn is what takeTurn has under way. It lies in the reader, which is lent to one
// connection at a time.
type turn struct {
	asking
	e     *exchange
	in    []byte
	wrote bool
	run   func(fd uintptr) bool // made once
}

// takeTurn does in one call what a request to an idle socket needs: it looks whether the
// connection is still good, writes what is owed, and reads the first bytes of the response
// into p. The look takes the place of the read that a write is otherwise followed by, and
// that finds nothing: so the gate against stale connections costs no system call. mu is not
// held.
func (c *Conn) takeTurn(e *exchange, p []byte) (int, error) {
	r := c.br // it stays while it is filled
	t := &r.turn
	if t.run == nil {
		t.run = r.runTurn
	}
	t.e, t.in, t.wrote = e, p, false
	refused := c.sock.Read(t.run) // by a deadline, or by Close
	t.e, t.in = nil, nil
	switch {
	case refused != nil:
		return 0, c.socketError(refused)
	case t.wrote && t.err != nil:
		return 0, c.socketError(t.err)
	case t.wrote && t.n == 0:
		return 0, io.EOF
	case t.wrote:
		return t.n, nil
	}
	if why := unfit(t.first[:t.n], t.err); why != nil {
		return 0, why
	}
	return 0, c.payOwed(e)
}

// socketError gives an error of a turn's read the form that it has in package net, except
// that tcp4 and tcp6 are called tcp where the error is the system's.
func (c *Conn) socketError(err error) error {
	s, network := c.rw.(net.Conn), ""
	switch told := err.(type) {
	case syscall.Errno:
		err = os.NewSyscallError("read", told)
		if at := s.LocalAddr(); at != nil {
			network = at.Network()
		}
	case *net.OpError: // the RawConn's, which calls it raw-read and leaves an address out
		network, err = told.Net, told.Err
	}
	return &net.OpError{Op: "read", Net: network, Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: err}
}

// runTurn is called with the right to read the socket: first at once, then whenever the
// socket has become readable. It returns false to wait for that.
func (r *readBuffer) runTurn(fd uintptr) bool {
	c, t := r.from.c, &r.turn
	if !t.wrote {
		if t.runPeek(fd); t.err != nil || t.n > 0 && !c.noteGreeting() {
			return true
		}
		greeted := t.n > 0
		t.n = 0
		c.mu.Lock()
		head, body := c.takeOwed(t.e)
		c.mu.Unlock()
		if head == nil {
			return true
		}
		n, _ := retried(func() (int, error) { return writev(fd, head, body) }) // an error comes again
		c.mu.Lock()
		t.wrote = c.paidOwed(t.e, max(n, 0))
		c.mu.Unlock()
		if !t.wrote || !greeted && !c.haste.looks() { // a wait would not be ended by what came before it
			return !t.wrote
		}
		c.haste.learn(t.read(fd))
	} else {
		t.read(fd)
	}
	return !wouldWait(t.err)
}

// noteGreeting reports whether what a turn has found is taken for the first response, and
// notes that. mu is not held.
func (c *Conn) noteGreeting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probe.early = c.greets()
	return c.probe.early
}

// read reads once, without waiting, and reports whether there was something.
func (t *turn) read(fd uintptr) bool {
	t.n, t.err = retried(func() (int, error) { return syscall.Read(int(fd), t.in) })
	return t.n > 0
}
