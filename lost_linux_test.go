package h1

// lost_linux_test.go: the system gives a connection up, and tells the write.

import (
	"errors"
	"syscall"
	"testing"
)

// A body that goes on until the stream's end is not whole where the peer is not heard of
// any more: a socket tells of that once, here to the upload's write (see TestResetIsNoEnd).
func TestTimeoutIsNoEnd(t *testing.T) {
	const userTimeout = 18 // TCP_USER_TIMEOUT
	client, server := loopback(t, func(_, _ string, s syscall.RawConn) error {
		return s.Control(func(fd uintptr) {
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, userTimeout, 300)
		})
	})
	c := NewConn(client, nil)
	defer c.Close()
	resp := halfAnswered(t, c, server) // and then the server takes nothing
	until(c, func() bool { return c.werr != nil })
	if !errors.Is(c.werr, syscall.ETIMEDOUT) {
		t.Skipf("this system tells the write of %v", c.werr.Err)
	}
	if b, err := resp.AppendBody(nil, -1); err == nil {
		t.Errorf("%q is no whole body", b)
	}
}
