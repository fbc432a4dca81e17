//go:build (!unix && !windows) || aix

package h1http

// socket_other.go: systems where the engine can look into no socket, so that every stream
// is read ahead.

import "syscall"

// isSocket reports false: there is none that can be looked into.
func isSocket(syscall.RawConn) bool { return false }
