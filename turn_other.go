//go:build !unix || aix

package h1

// turn_other.go: systems on which a request is not written, and its response read, in one
// turn of the socket: owes refuses there, and none of these is called.

import "errors"

const (
	canTurn   = false
	canWritev = false
)

type turn struct{}

func (c *Conn) takeTurn(*exchange, []byte) (int, error) { return 0, errors.ErrUnsupported }
