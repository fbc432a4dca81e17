//go:build unix

package h1

import (
	"io"
	"sync"
	"syscall"
)

const canProbe = true

// peeker holds what one peek needs, so that none allocates.
type peeker struct {
	p   []byte
	n   int
	err error
	fn  func(fd uintptr)
}

var peekers = sync.Pool{New: func() any {
	k := &peeker{}
	k.fn = k.recv
	return k
}}

func (k *peeker) recv(fd uintptr) {
	for {
		k.n, _, k.err = syscall.Recvfrom(int(fd), k.p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if k.err != syscall.EINTR {
			return
		}
	}
}

// peek looks, without waiting, at the bytes that a read would return: 0 and nil where it
// would wait, io.EOF at the end.
func peek(s syscall.RawConn, p []byte) (int, error) {
	k := peekers.Get().(*peeker)
	k.p = p
	err := s.Control(k.fn)
	n, got := k.n, k.err
	k.p = nil
	peekers.Put(k)
	switch {
	case err != nil:
		return 0, err
	case got == syscall.EAGAIN || got == syscall.EWOULDBLOCK:
		return 0, nil
	case got == syscall.ENOTSOCK: // a pipe or a terminal, say: it cannot be asked
		return 0, nil
	case got != nil:
		return 0, got
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// awaitReadable blocks until a read would return at once.
func awaitReadable(s syscall.RawConn) error {
	var p [1]byte
	return s.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), p[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return err != syscall.EAGAIN && err != syscall.EWOULDBLOCK && err != syscall.EINTR
	})
}
