package h1http

// socket_windows.go: the same as socket_unix.go, for Windows.

import "syscall"

const socketType = 0x1008 // SO_TYPE

// isSocket reports whether a handle is a socket's.
func isSocket(raw syscall.RawConn) bool {
	is := false
	raw.Control(func(fd uintptr) {
		_, err := syscall.GetsockoptInt(syscall.Handle(fd), syscall.SOL_SOCKET, socketType)
		is = err == nil
	})
	return is
}
