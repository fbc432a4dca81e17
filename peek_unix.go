//go:build unix && !aix && (!linux || 386)

package h1

// peek_unix.go: a look at a socket by package syscall: on systems other than Linux, where
// a raw call is not the way to ask, and on linux/386, where that package has no number for
// it.

import "syscall"

// peekNow brings the first bytes that a read would, and leaves them there. It does not
// wait.
func peekNow(fd uintptr, p []byte) (int, error) {
	n, _, err := syscall.Recvfrom(int(fd), p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return n, err
}
