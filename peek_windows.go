package h1

// peek_windows.go: a look at a socket on Windows, where no flag keeps a single read from
// waiting. Select says whether there is something to read. Somebody else may have read it
// since, so the socket is made non-blocking for the read, and blocking afterwards: Winsock
// does not tell what it was before, and a caller who had made it non-blocking must do so
// again. Package net is not concerned: its reads and writes are overlapped.

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

// A question holds what select and ioctlsocket are given, so that a look allocates nothing.
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
	switch errno { // in the names that runPeek knows
	case winWouldWait:
		return 0, syscall.EWOULDBLOCK
	case winNoSocket:
		return 0, syscall.ENOTSOCK
	}
	return 0, errno
}

// waits makes the socket blocking, or non-blocking, for calls other than package net's.
func (q *question) waits(may bool) {
	if q.mayNot = 1; may {
		q.mayNot = 0
	}
	syscall.SyscallN(winIoctl.Addr(), q.socket, winMayNot, uintptr(unsafe.Pointer(&q.mayNot)))
}
