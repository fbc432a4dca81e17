package h1

// peek_windows.go: a look at a socket on Windows, which knows no single read that does not
// wait: select says whether there is something to read. A socket that is read is told not
// to wait all the same, and then to do so again, since another may have read that
// meanwhile. (Package net waits in a way which that does not concern.)

import (
	"sync"
	"syscall"
	"unsafe" // the system is told where things lie; package syscall has not all these calls
)

var (
	winsock   = syscall.NewLazyDLL("ws2_32.dll")
	winSelect = winsock.NewProc("select")
	winIoctl  = winsock.NewProc("ioctlsocket")
	winRecv   = winsock.NewProc("recv")
)

const (
	winPeek      = 2          // MSG_PEEK
	winMayNot    = 0x8004667e // FIONBIO
	winWouldWait = syscall.Errno(10035)
	winNoSocket  = syscall.Errno(10038)
)

// A question is what select is given, so that it allocates nothing.
type question struct {
	n      uint32 // with socket, an fd_set of one
	socket uintptr
	wait   [2]int32 // a timeval: no time at all
	mayNot uint32
}

var questions = sync.Pool{New: func() any { return &question{} }}

// peekNow brings the first bytes that a read would, and leaves them there. It does not
// wait.
func peekNow(fd uintptr, p []byte) (int, error) {
	q := questions.Get().(*question)
	defer questions.Put(q)
	q.n, q.socket = 1, fd
	ready, _, errno := syscall.SyscallN(winSelect.Addr(), 0, uintptr(unsafe.Pointer(&q.n)), 0, 0, uintptr(unsafe.Pointer(&q.wait)))
	if int32(ready) == 0 {
		return 0, syscall.EWOULDBLOCK
	}
	if int32(ready) > 0 {
		q.waits(false)
		var n uintptr
		n, _, errno = syscall.SyscallN(winRecv.Addr(), fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), winPeek)
		q.waits(true)
		if int32(n) >= 0 {
			return int(n), nil
		}
	}
	switch errno { // by the names that runPeek knows
	case winWouldWait:
		return 0, syscall.EWOULDBLOCK
	case winNoSocket:
		return 0, syscall.ENOTSOCK
	}
	return 0, errno
}

// waits says whether calls that package net does not make may wait.
func (q *question) waits(may bool) {
	if q.mayNot = 1; may {
		q.mayNot = 0
	}
	syscall.SyscallN(winIoctl.Addr(), q.socket, winMayNot, uintptr(unsafe.Pointer(&q.mayNot)))
}
