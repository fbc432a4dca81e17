//go:build unix && !aix && (!linux || 386)

package h1

// peek_unix.go: the same by package syscall, where it has no number for the call
// (linux/386), or a raw call is not the way to ask the system.

import "syscall"

// peekNow brings the first bytes that a read would, and leaves them there. It does not
// wait.
func peekNow(fd uintptr, p []byte) (int, error) {
	n, _, err := syscall.Recvfrom(int(fd), p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return n, err
}
