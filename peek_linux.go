//go:build !386

package h1

// peek_linux.go: a look at a socket for as little as it can cost.
//
// Rule: the scheduler does not hear of it, for it is over at once. It hears of every read
// and write: by those of one that was woken it learns that a process which was idle is not
// any more, and wakes its monitor, without which nothing interrupts a caller who then
// computes (TestOthersRunAfterDo).

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
