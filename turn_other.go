//go:build !unix || aix

package h1

// turn_other.go: where a socket has no turn that looks, writes and reads in one: owes says
// so, and none of these is called.

import "errors"

const (
	canTurn   = false
	canWritev = false
)

type turn struct{}

func (c *Conn) takeTurn(*exchange, []byte) (int, error) { return 0, errors.ErrUnsupported }
