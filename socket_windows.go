package h1

// socket_windows.go: what has a handle on Windows, and is no socket.

import "syscall"

const winType = 0x1008 // SO_TYPE

// isSocket reports whether a handle is a socket's, even if that is closed. A pipe's cannot
// be asked, and RawConn.Read does not wait for it.
func isSocket(s syscall.RawConn) bool {
	is := true
	s.Control(func(fd uintptr) {
		_, err := syscall.GetsockoptInt(syscall.Handle(fd), syscall.SOL_SOCKET, winType)
		is = err == nil
	})
	return is
}
