//go:build !unix || aix

package h1http

import "syscall"

// isSocket is false where the engine has no look into a socket.
func isSocket(syscall.RawConn) bool { return false }
