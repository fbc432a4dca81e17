//go:build !unix

package h1

import (
	"errors"
	"syscall"
)

// peek knows nothing here: there is no way to look into a socket without waiting.
func peek(syscall.RawConn, []byte) (int, error) { return 0, nil }

// awaitReadable cannot wait here. Watch does not call it, for socketOf finds no socket.
func awaitReadable(syscall.RawConn) error { return errors.ErrUnsupported }

const canProbe = false
