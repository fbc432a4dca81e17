//go:build unix && !aix

package h1http

// socket_unix.go: systems where the engine can look into a socket.

import "syscall"

// isSocket reports whether a descriptor is a socket's. A pipe has a descriptor as well, but
// cannot be looked into.
func isSocket(raw syscall.RawConn) bool {
	is := false
	raw.Control(func(fd uintptr) {
		_, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_TYPE)
		is = err == nil
	})
	return is
}
