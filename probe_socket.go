//go:build (unix && !aix) || windows

package h1

// probe_socket.go: what a socket is asked without waiting, and the wait until it is
// readable.

import (
	"errors"
	"io"
	"sync"
	"syscall"
)

const canProbe = true

// asking holds what one question to a socket needs, so that none allocates.
type asking struct {
	first [peeked]byte
	n     int
	err   error
	peek  func(fd uintptr)
}

var askings = sync.Pool{New: func() any {
	a := &asking{}
	a.peek = a.runPeek
	return a
}}

func (a *asking) put() {
	a.err, a.n = nil, 0
	askings.Put(a)
}

func (a *asking) runPeek(fd uintptr) {
	a.n, a.err = retried(func() (int, error) { return peekNow(fd, a.first[:]) })
	switch {
	case wouldWait(a.err):
		a.n, a.err = 0, nil
	case a.err == syscall.ENOTSOCK: // a pipe or a terminal, say: it cannot be asked
		a.n, a.err = 0, nil
	case a.err != nil:
		a.n = 0
	case a.n == 0:
		a.err = io.EOF
	}
}

// isLost reports whether an error of a write says what has broken the connection: a reset,
// or what the system gives a peer up for that is not heard of (ETIMEDOUT, EHOSTUNREACH).
// EPIPE does not: it is what a write is told behind the peer's orderly end. (It may be told
// that the peer is not heard of behind that as well: then a whole body is refused.) Nor do
// EPROTOTYPE, which is macOS's EPIPE where the write meets that end, and ENOTCONN, which is
// that of its sendfile, and of a unix socket; nor that the write would have had to wait.
func isLost(err error) bool {
	var n syscall.Errno
	if !errors.As(err, &n) || wouldWait(n) {
		return false
	}
	return n != syscall.EPIPE && n != syscall.EPROTOTYPE && n != syscall.ENOTCONN
}

// errnoOf returns the number of a system call's error; 0: it has none. Numbers are compared
// without the call that it takes to compare two errors.
func errnoOf(err error) syscall.Errno {
	n, _ := err.(syscall.Errno)
	return n
}

// wouldWait reports whether a call on a socket has done nothing but to say that it would
// have had to wait.
func wouldWait(err error) bool {
	n := errnoOf(err)
	return n == syscall.EAGAIN || n == syscall.EWOULDBLOCK
}

func retried(call func() (int, error)) (n int, err error) {
	for {
		if n, err = call(); errnoOf(err) != syscall.EINTR {
			return n, err
		}
	}
}

// peek looks, without waiting, at the bytes that a read would return: 0 and nil where it
// would wait, io.EOF at the end.
func peek(s syscall.RawConn) (first [peeked]byte, n int, err error) {
	a := askings.Get().(*asking)
	if err = s.Control(a.peek); err == nil {
		first, n, err = a.first, a.n, a.err
	}
	a.put()
	return first, n, err
}

// awaitReadable blocks until a read would return at once, and returns the socket's error,
// if that is why, and that of the wait.
func awaitReadable(s syscall.RawConn) (broken, err error) {
	a := askings.Get().(*asking)
	defer a.put()
	err = s.Read(func(fd uintptr) bool {
		a.runPeek(fd)
		return a.n > 0 || a.err != nil
	})
	if a.err != io.EOF {
		broken = a.err
	}
	return broken, err
}
