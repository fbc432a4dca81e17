//go:build unix && (!linux || 386)

package h1

// peek_unix.go: the same by package syscall, where that has no number for the call.

import "syscall"

// peekNow brings the first bytes that a read would, and leaves them there. It does not wait.
func peekNow(fd uintptr, p []byte) (int, error) {
	n, _, err := syscall.Recvfrom(int(fd), p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return n, err
}
