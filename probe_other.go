//go:build (!unix && !windows) || aix

package h1

// probe_other.go: where there is no way to look into a socket without waiting, socketOf
// finds none, and of these only isLost is called.

import (
	"errors"
	"syscall"
)

const canProbe = false

func peek(syscall.RawConn) (first [peeked]byte, n int, err error) { return first, 0, nil }

func isLost(error) bool { return false }

func awaitReadable(syscall.RawConn) (broken, err error) { return nil, errors.ErrUnsupported }
