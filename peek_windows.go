package h1

// peek_windows.go: a look at a socket on Windows, where no read is sure not to wait: so
// select says first whether this one would.

import (
	"sync"
	"syscall"
	"unsafe" // the system is told where things lie; package syscall has no select
)

var winSelect = syscall.NewLazyDLL("ws2_32.dll").NewProc("select")

const (
	winPeek      = 2                    // MSG_PEEK
	winNotSocket = syscall.Errno(10038) // WSAENOTSOCK, which package syscall does not take for ENOTSOCK
)

// A question is what the two calls are given, so that neither allocates.
type question struct {
	set struct { // an fd_set of one
		n      uint32
		socket uintptr
	}
	wait   [2]int32 // a timeval: no time at all
	buffer syscall.WSABuf
	n      uint32
	flags  uint32
}

var questions = sync.Pool{New: func() any { return &question{} }}

// peekNow brings the first bytes that a read would, and leaves them there. It does not
// wait.
func peekNow(fd uintptr, p []byte) (int, error) {
	q := questions.Get().(*question)
	defer questions.Put(q)
	q.set.n, q.set.socket = 1, fd
	ready, _, errno := syscall.SyscallN(winSelect.Addr(), 0, uintptr(unsafe.Pointer(&q.set)), 0, 0, uintptr(unsafe.Pointer(&q.wait)))
	switch {
	case int32(ready) == 0:
		return 0, syscall.EAGAIN
	case int32(ready) < 0 && errno == winNotSocket:
		return 0, syscall.ENOTSOCK
	case int32(ready) < 0:
		return 0, errno
	}
	q.buffer, q.n, q.flags = syscall.WSABuf{Len: uint32(len(p)), Buf: &p[0]}, 0, winPeek
	err := syscall.WSARecv(syscall.Handle(fd), &q.buffer, 1, &q.n, &q.flags, nil, nil)
	q.buffer.Buf = nil
	return int(q.n), err
}
