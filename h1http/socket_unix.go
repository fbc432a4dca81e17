//go:build unix && !aix

package h1http

// socket_unix.go: whether the engine can look into a stream, where the system has sockets to look into.

import "syscall"

// isSocket reports whether a descriptor is a socket's. A pipe has one as well, and cannot be asked.
func isSocket(raw syscall.RawConn) bool {
	is := false
	raw.Control(func(fd uintptr) {
		_, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_TYPE)
		is = err == nil
	})
	return is
}
