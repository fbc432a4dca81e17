//go:build unix && !aix

package h1

// lost_unix.go: whether a socket still has a peer.

import "syscall"

// lostPeer reports whether a socket's connection is gone, and not only ended by the peer.
// It takes no error from the socket. What is no socket has no peer to lose (see runPeek),
// and of a family that package syscall does not know (AF_VSOCK, say) it is not known.
func lostPeer(s syscall.RawConn) (lost bool) {
	s.Control(func(fd uintptr) {
		_, err := syscall.Getpeername(int(fd))
		lost = err != nil && err != syscall.ENOTSOCK && err != syscall.EAFNOSUPPORT
	})
	return lost
}
