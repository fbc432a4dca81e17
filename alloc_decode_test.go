//go:build !race

package h1

// alloc_decode_test.go: what costs no allocation. The race detector's own would be counted.

import "testing"

func TestDecodeAllocatesNothing(t *testing.T) {
	var d headDecoder
	var c chunkDecoder
	var r Response
	var q asked
	wire := []byte(largeHead)
	trailer := []byte("A: b\r\nServer-Timing: x\r\nHost: left out\r\n\r\n")
	chunk := []byte("\r\n1000;ext=\"1\"\r\n")
	for name, f := range map[string]func() bool{
		"head": func() bool {
			d.reset(0, testBytes, testFields)
			_, half, err := d.next(wire[:300], &r)
			_, done, err2 := d.next(wire, &r)
			_, err3 := frame(&r, &q)
			return !half && done && err == nil && err2 == nil && err3 == nil
		},
		"trailer": func() bool {
			d.reset(0, testBytes, testFields)
			_, done, err := d.nextTrailer(trailer, &r.Trailer)
			return done && err == nil
		},
		"chunk": func() bool {
			c.state = chunkDataCR
			n, err := c.next(chunk)
			c.took(int(c.remain))
			return n == len(chunk) && err == nil
		},
	} {
		if n := testing.AllocsPerRun(100, func() {
			if !f() {
				t.Fatal(name, "failed")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
