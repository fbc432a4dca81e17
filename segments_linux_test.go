//go:build !race && !386

package h1

// segments_linux_test.go: what the system has seen of a request.

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"syscall"
	"testing"
	"unsafe"
)

// dataSegments returns how many segments with data a connection has sent.
func dataSegments(t *testing.T, nc net.Conn) uint32 {
	t.Helper()
	const at = 156 // tcpi_data_segs_out of Linux's struct tcp_info
	var info [at + 4]byte
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	size := uint32(len(info))
	err = raw.Control(func(fd uintptr) {
		_, _, errno := syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_INFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno != 0 {
			t.Error(errno)
		}
	})
	if err != nil || size < at+4 {
		t.Skipf("the system does not count segments: %d bytes, %v", size, err)
	}
	return binary.NativeEndian.Uint32(info[at:])
}

// A request and its body from memory leave in one system call: what a second one wrote
// would be a segment of its own, for package net sets TCP_NODELAY.
func TestOneWrite(t *testing.T) {
	for _, size := range []int{0, 1, 1000, 10_000, 30_000} {
		d := dialUp(t, "tcp", nil)
		go func() {
			for range 3 {
				d.head()
				d.in.Discard(size)
				d.server.Write([]byte("HTTP/1.1 204 No Content\r\n\r\n"))
			}
		}()
		for range 3 {
			req := get("/a")
			if size > 0 {
				req.Method, req.Body = "POST", bytes.NewReader(make([]byte, size))
			}
			before := dataSegments(t, d.client)
			if err := d.c.Do(context.Background(), req, &Response{}); err != nil {
				t.Fatal(err)
			}
			if n := dataSegments(t, d.client) - before; n != 1 {
				t.Errorf("%d bytes of body left in %d segments", size, n)
			}
		}
	}
}
