//go:build !windows

package h1

// socket_other.go: elsewhere a descriptor that is no socket's is found out when it is asked
// (runPeek), and one can wait until it is readable.

import "syscall"

func isSocket(syscall.RawConn) bool { return true }
