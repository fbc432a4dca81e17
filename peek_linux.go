//go:build !386

package h1

// peek_linux.go: a look at a socket for as little as it can cost.
//
// Rule: the system call is raw: it is over at once, so Go's scheduler need not know of it.
// Reads and writes are not raw. While a process is idle the runtime's monitor sleeps, and
// it is the first system call that the scheduler knows of that wakes it: without the
// monitor nothing would interrupt a caller who computes after its response
// (TestOthersRunAfterDo).

import (
	"syscall"
	"unsafe" // the kernel is told where the bytes go; package syscall's own call wants an address too
)

// peekNow brings the first bytes that a read would, and leaves them there. It does not
// wait.
func peekNow(fd uintptr, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
		syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
