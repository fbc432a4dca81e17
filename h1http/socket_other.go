//go:build !unix || aix

package h1http

// socket_other.go: where the engine has no look into any socket, every stream is read ahead.

import "syscall"

// isSocket reports false of each: none that can be looked into.
func isSocket(syscall.RawConn) bool { return false }
