//go:build !race

package h1

// writev_linux.go: a request's head and its body from memory, in one system call that does
// not wait.

import (
	"syscall"
	"unsafe" // the kernel is told where the parts lie; package syscall has no call of its own for it
)

const canWritev = true

// writev writes a, which is not empty, and then b, as much as the socket takes at once.
func writev(fd uintptr, a, b []byte) (int, error) {
	if len(b) == 0 {
		return syscall.Write(int(fd), a)
	}
	parts := [2]syscall.Iovec{{Base: &a[0]}, {Base: &b[0]}}
	parts[0].SetLen(len(a))
	parts[1].SetLen(len(b))
	n, _, errno := syscall.Syscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&parts)), uintptr(len(parts)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
