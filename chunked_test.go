package h1

// chunked_test.go: laws of the chunked framing's parser.

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// decodeChunked decodes the body at the front of b, shown up to each of cuts, then whole.
// It returns the data, how many bytes of b were consumed, and "done", "more" or an error.
func decodeChunked(b []byte, off int64, cuts ...int) (data []byte, n int, outcome string) {
	var d chunkDecoder
	d.reset(off)
	for _, cut := range append(cuts, len(b)) {
		for {
			if d.off != off+int64(n) {
				return data, n, fmt.Sprintf("off is %d after %d bytes", d.off, n)
			}
			in := slices.Clone(b[n:max(n, cut)])
			k, err := d.next(in)
			if err != nil {
				return data, n, fmt.Sprintf("%v at %d", err.Kind, err.Offset)
			}
			n += k
			if d.last {
				return data, n, "done"
			}
			take := int(min(d.remain, int64(len(in)-k)))
			if k == 0 && take == 0 {
				break
			}
			data = append(data, in[k:k+take]...)
			n += take
			d.took(take)
		}
	}
	return data, n, "more"
}

func TestChunked(t *testing.T) {
	pad := strings.Repeat("x", maxPadding)
	for _, c := range []struct{ wire, data, want string }{
		{"5\r\nhello\r\n0\r\n\r\n", "hello", "done"},
		{"0\r\n", "", "done"},
		{"00000\r\n", "", "done"},
		{"a\r\n0123456789\r\n0A\r\n0123456789\r\n1\r\nx\r\n0\r\n", "01234567890123456789x", "done"},
		{"9\r\n123456789\r\n0\r\n", "123456789", "done"},
		{"1\r\nx\r\n00000000a\r\n0123456789\r\n0\r\n", "x0123456789", "done"},
		{"1\r\nx\r\n000000000000000a\r\n0123456789\r\n0\r\n", "x0123456789", "done"},
		{"1\r\nx\r\n8000000000000000\r\nx", "x", "bad chunk at 21"},
		{"1\r\nx\r\n1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n", "xabcdefghijklmnopqrstuvwxyz", "done"},
		{"1\r\nx\r\ng\r\nhello\r\n0\r\n", "x", "bad chunk at 6"},
		{"1\r\nx\r\n5_\r\nhello\r\n0\r\n", "x", "bad chunk at 7"},
		{"1\r\nx\r\r\n5\r\nhello\r\n0\r\n", "x", "bad chunk at 5"},
		{"000000000000000F\r\n0123456789abcdef", "0123456789abcde", "bad chunk at 33"},
		{"00000000000000001", "", "bad chunk at 16"},
		{"7fffffffffffffff\r\nx", "x", "more"},
		{"8000000000000000\r\nx", "", "bad chunk at 15"},
		{"ffffffffffffffff\r\nx", "", "bad chunk at 15"},
		{"5", "", "more"},
		{"5\r", "", "more"},
		{"5\r\nhell", "hell", "more"},
		{"5\r\nhello\r", "hello", "more"},
		{"1 \t \r\nx\r\n0;a\r\n", "x", "done"},
		{"1;\r\nx\r\n0 \t; a = b ; c=\"d;\\\"\x80\" ;e\r\n", "x", "done"},
		{"1;a=\"\\\r", "", "bad chunk at 6"},
		{"1;a=\"\"\r\nx\r\n0\r\n", "x", "done"},
		{"1;a=\"b\r", "", "bad chunk at 6"},
		{"1;a=\"b c\r", "", "bad chunk at 8"},
		{"1;a=b\"\r", "", "bad chunk at 6"},
		{"1;a=\"b\\\"\r", "", "bad chunk at 8"},
		{"1;a\x00", "", "bad chunk at 3"},
		{"1;a\x7f", "", "bad chunk at 3"},
		{"1;a\n", "", "bad chunk at 3"},
		{"1;a\r\r", "", "bad chunk at 4"},
		{"1\n", "", "bad chunk at 1"},
		{"1\rx", "", "bad chunk at 2"},
		{"1\r\t", "", "bad chunk at 2"},
		{"1 2", "", "bad chunk at 2"},
		{"1,", "", "bad chunk at 1"},
		{" 1", "", "bad chunk at 0"},
		{";a", "", "bad chunk at 0"},
		{"\r\n", "", "bad chunk at 0"},
		{"-1", "", "bad chunk at 0"},
		{"+1", "", "bad chunk at 0"},
		{"0x1", "", "bad chunk at 1"},
		{"1_0", "", "bad chunk at 1"},
		{"g", "", "bad chunk at 0"},
		{"1\r\nx\n", "x", "bad chunk at 4"},
		{"1\r\nxXX", "x", "bad chunk at 4"},
		{"1\r\nx\rX", "x", "bad chunk at 5"},
		{"1\r\nx\r\t", "x", "bad chunk at 5"},
		{"1\r\nx\r\n\r\n", "x", "bad chunk at 6"},
		{"1\r\nx0\r\n", "x", "bad chunk at 4"},

		{"0;" + pad[1:] + "\r\n", "", "done"},
		{"0" + strings.Repeat(" ", maxPadding) + "\r\n", "", "done"},
		{"4000\r\n" + pad + "\r\n0;" + pad[1:] + "\r\n", pad, "done"},
		{"4000\r\n" + pad + "\r\n0;" + pad, pad, fmt.Sprintf("too large at %d", 2*maxPadding+9)}, // data in front is no credit
		{"0;" + pad, "", fmt.Sprintf("too large at %d", maxPadding+1)},
		{"1;" + pad[1:] + "\r\nx\r\n0;\r\n", "x", "done"}, // the byte of data makes up for the second ";"
		{"1;" + pad[1:] + "\r\nx\r\n0;;", "x", fmt.Sprintf("too large at %d", maxPadding+8)},
		{strings.Repeat("1;"+pad[:127]+"\r\nx\r\n", 1+maxPadding/128) + "0\r\n", strings.Repeat("x", 1+maxPadding/128), "done"},
		{strings.Repeat("1;"+pad[:127]+"\r\nx\r\n", 2+maxPadding/128) + "0\r\n", strings.Repeat("x", 1+maxPadding/128),
			fmt.Sprintf("too large at %d", (1+maxPadding/128)*134+2)},
	} {
		data, n, got := decodeChunked([]byte(c.wire), 0)
		if string(data) != c.data || got != c.want {
			t.Errorf("%.60q: %.60q, %s; want %.60q, %s", c.wire, data, got, c.data, c.want)
		}
		check := func(how string, cuts ...int) {
			if data2, n2, got2 := decodeChunked([]byte(c.wire), 0, cuts...); string(data2) != string(data) || n2 != n && got == "done" || got2 != got {
				t.Errorf("%.60q %s: %.60q, %d, %s; whole: %.60q, %d, %s", c.wire, how, data2, n2, got2, data, n, got)
			}
		}
		if len(c.wire) > 1000 {
			continue
		}
		check("byte by byte", everyByte(c.wire)...)
		for i := range len(c.wire) {
			check(fmt.Sprint("split at ", i), i)
		}
	}
}

func TestAppendChunkSize(t *testing.T) {
	for n, want := range map[int64]string{0: "x0\r\n", 10: "xa\r\n", 1<<63 - 1: "x7fffffffffffffff\r\n"} {
		if got := string(appendChunkSize([]byte("x"), n)); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}

// BenchmarkChunkLine is one chunk's framing: the CR LF behind the data before it, and its
// size.
func BenchmarkChunkLine(b *testing.B) {
	wire := []byte("\r\n1000\r\n")
	var d chunkDecoder
	d.state = chunkDataCR
	b.ReportAllocs()
	b.SetBytes(int64(len(wire)))
	for b.Loop() {
		if n, err := d.next(wire); n != len(wire) || err != nil || d.remain != 0x1000 {
			b.Fatal(n, err)
		}
		d.took(0x1000)
	}
}
