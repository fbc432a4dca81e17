package h1

// decode_test.go: laws of the head's and the trailer's parser.
//
// Rule: what one input comes to is one value, an outcome, so that two ways to get there can
// be compared with ==. Every example runs whole, byte by byte, and split at every offset.

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// testLimits are roomy enough for every example that is not about limits.
const (
	testBytes  = 256 << 10
	testFields = 256
)

// headOutcome runs a decoder over wire, showing it ever more bytes: up to each of cuts,
// then all. It returns what came of it, as text.
func headOutcome(wire string, lenient Lenient, maxBytes, maxFields int, cuts ...int) string {
	var d headDecoder
	r := Response{Minor: 9, Status: 999, reason: []byte("of another use")}
	d.reset(lenient, maxBytes, maxFields)
	for _, cut := range append(cuts, len(wire)) {
		b := []byte(wire[:cut]) // moved every time, and with nothing behind it
		n, done, err := d.next(b, &r)
		clear(b) // what is kept must have been copied
		switch {
		case err != nil:
			return fmt.Sprintf("%v at %d", err.Kind, err.Offset)
		case done && (n > maxBytes || r.Header.Len() > maxFields || lenient&BareLF == 0 && n > 0 && n != strings.Index(wire, "\r\n\r\n")+4):
			return fmt.Sprintf("%s %d bytes, %d fields", faulty, n, r.Header.Len())
		case done && faults(&r.Header) != "":
			return faulty + faults(&r.Header)
		case done:
			return fmt.Sprintf("%d: HTTP/1.%d %d %q %s", n, r.Minor, r.Status, r.Reason(), show(&r.Header))
		}
	}
	return "needs more"
}

// show returns a header's fields as text, and what is wrong with it.
func show(h *Header) string {
	var s strings.Builder
	for name, value := range h.All() {
		fmt.Fprintf(&s, "[%s|%s]", name, value)
	}
	return s.String() + faults(h)
}

// faulty begins an outcome that no head may have.
const faulty = "FAULTY:"

// faults says what does not hold of a header that must of every one.
func faults(h *Header) string {
	var s strings.Builder
	var seen known
	for name, value := range h.All() {
		seen |= lookup(name)
		if !isToken(name) || !isFieldValue(value) || string(trimOWS(value)) != string(value) {
			s.WriteString(" NOT A FIELD")
		}
	}
	if seen != h.known {
		s.WriteString(" KNOWN IS WRONG")
	}
	if h.odd {
		s.WriteString(" ODD")
	}
	var again Header
	if len(h.buf) > 0 {
		var d headDecoder
		d.reset(0, len(h.buf)+2, h.Len())
		_, err := d.fields(append(h.buf[:len(h.buf):len(h.buf)], "\r\n"...), &again)
		if err != nil || string(again.buf) != string(h.buf) || inOrder(&again) != inOrder(h) {
			s.WriteString(" BUF IS NO FIELD SECTION")
		}
	}
	return s.String()
}

// everyByte is the cuts that show one byte more each time; of long examples, which are
// dull, only near either end, for every cut copies all that is before it.
func everyByte(wire string) (cuts []int) {
	const dull = 250
	for i := range len(wire) {
		if i < dull || i > len(wire)-dull {
			cuts = append(cuts, i)
		}
	}
	return cuts
}

// checkHead runs an example whole, byte by byte and split once at every offset, and returns
// what all of them came to.
func checkHead(t *testing.T, wire string, lenient Lenient, maxBytes, maxFields int) string {
	t.Helper()
	want := headOutcome(wire, lenient, maxBytes, maxFields)
	if got := headOutcome(wire, lenient, maxBytes, maxFields, everyByte(wire)...); got != want {
		t.Errorf("%.200q byte by byte: %s\nwhole: %s", wire, got, want)
	}
	for _, i := range everyByte(wire) {
		if got := headOutcome(wire, lenient, maxBytes, maxFields, i); got != want {
			t.Errorf("%.200q split at %d: %s\nwhole: %s", wire, i, got, want)
			break
		}
	}
	return want
}

const (
	anyLenient = BareLF | SpaceBeforeColon | SkipInvalidField
	ok         = "HTTP/1.1 200 OK\r\n"
)

func TestHead(t *testing.T) {
	for _, c := range []struct {
		wire    string
		lenient Lenient
		want    string
	}{
		// The status line (RFC 9112, 4).
		{wire: ok + "\r\nrest", want: `19: HTTP/1.1 200 "OK" `},
		{wire: "HTTP/1.0 404 Not  Found \t\xe9\r\n\r\n", want: `30: HTTP/1.0 404 "Not  Found \t\xe9" `},
		{wire: "HTTP/1.1 200\r\n\r\n", want: `16: HTTP/1.1 200 "" `},
		{wire: "HTTP/1.1 200 \r\n\r\n", want: `17: HTTP/1.1 200 "" `},
		{wire: "HTTP/1.7 999 \r\n\r\n", want: `17: HTTP/1.7 999 "" `},
		{wire: "HTTP/1.1 100 \r\n\r\n", want: `17: HTTP/1.1 100 "" `},
		{wire: "", want: "needs more"},
		{wire: "HTTP/1.1 20", want: "needs more"},
		{wire: "SSH-2.0-OpenSSH_9\r\n", want: "bad version at 0"},
		{wire: "\x16\x03\x01", want: "bad version at 0"},
		{wire: "HTTQ", want: "bad version at 3"},
		{wire: "HTTP/2.0 200 OK", want: "bad version at 5"},
		{wire: "HTTP/1.x 200 OK", want: "bad version at 7"},
		{wire: "HTTP/1.10 200 OK", want: "bad version at 8"},
		{wire: "HTTP/1.1  200 OK", want: "bad status at 9"},
		{wire: "HTTP/1.1 099 OK", want: "bad status at 9"},
		{wire: "HTTP/1.1 20 OK", want: "bad status at 11"},
		{wire: "HTTP/1.1 2000", want: "bad status at 12"},
		{wire: "HTTP/1.1 200\t", want: "bad status at 12"},
		{wire: "HTTP/1.1 200\n", want: "bad status at 12"},
		{wire: "HTTP/1.1 200\rX", want: "bad status at 13"},
		{wire: "HTTP/1.1 200 O\x00K", want: "bad status at 14"},
		{wire: "HTTP/1.1 200 OK\n", want: "bad status at 15"},
		{wire: "HTTP/1.1 200 OK\rX", want: "bad status at 16"},

		// Field lines (RFC 9112, 5).
		{wire: ok + "A:1\r\nb2-!~: \t x y\tz \t\r\nC:\r\nD: \r\n\r\n", want: `51: HTTP/1.1 200 "OK" [A|1][b2-!~|x y` + "\t" + `z][C|][D|]`},
		{wire: ok + "A: \x80\xff\r\n\r\n", want: `26: HTTP/1.1 200 "OK" [A|` + "\x80\xff" + `]`},
		{wire: ok + "A: 12345678\t1234567\t\t\r\n\r\n", want: `42: HTTP/1.1 200 "OK" [A|` + "12345678\t1234567" + `]`},
		{wire: ok + "A:  b\r\nB: c \r\nC:!\r\n\r\n", want: `38: HTTP/1.1 200 "OK" [A|b][B|c][C|!]`},
		{wire: ok + " A", want: "bad field at 17"},
		{wire: ok + ":", want: "bad field at 17"},
		{wire: ok + "foo\r", want: "bad field at 20"},
		{wire: ok + "foo\n", want: "bad field at 20"},
		{wire: ok + "foo :", want: "bad field at 20"},
		{wire: ok + "f\xe9:", want: "bad field at 18"},
		{wire: ok + "f(:", want: "bad field at 18"},
		{wire: ok + "A: b\n", want: "bad field at 21"},
		{wire: ok + "A: b\n\nC: d\r\n\r\n", want: "bad field at 21"},
		{wire: ok + "A: b\x00\nC: d\r\n\r\n", want: "bad field at 21"},
		{wire: ok + "A: b\rC", want: "bad field at 22"},
		{wire: ok + "A: b\x7f", want: "bad field at 21"},
		{wire: ok + "A: 1234567890\x1f", want: "bad field at 30"},
		{wire: ok + "A: 1234\t67890\x00", want: "bad field at 30"},
		{wire: ok + "A: b\r\n\rX", want: "bad field at 24"},
		{wire: ok + "A: b\r\n\n", want: "bad field at 23"},

		// obs-fold (RFC 9112, 5.2).
		{wire: ok + "A: b\r\n c\r\nB: x\r\n\r\n", want: `35: HTTP/1.1 200 "OK" [A|b c][B|x]`},
		{wire: ok + "A: b \r\n\t  c \r\n \r\n d\t\r\n\r\n", want: `41: HTTP/1.1 200 "OK" [A|b c d]`},
		{wire: ok + "A:\r\n \r\n\r\n", want: `26: HTTP/1.1 200 "OK" [A|]`},
		{wire: ok + "A: b\r\n c", want: "needs more"},
		{wire: ok + "A: b\r\n c\r\n", want: "needs more"},
		{wire: ok + "A: b\r\n c\x00\r\n\r\n", want: "bad field at 25"},
		{wire: ok + "A: b\r\n c\n", want: "needs more"}, // the line may go on
		{wire: ok + "A: b\r\n c\nX", want: "bad field at 25"},
		{wire: ok + "A: b\r\n c\r\nfoo\r\nX", want: "bad field at 30"},
		{wire: ok + "Foo\r\n : b\r\n\r\n", want: "bad field at 20"},
		{wire: ok + "Content-Length: 1\r\n 2\r\n\r\n", want: "bad field at 36"},
		{wire: ok + "A: b\r\ntransfer-encoding:\r\n\tchunked\r\n\r\n", want: "bad field at 43"},

		// Lenient bits grant what they name, and nothing else.
		{lenient: BareLF, wire: "HTTP/1.1 200 OK\nA: b\nB: c\r\n d\n e\n\n", want: `34: HTTP/1.1 200 "OK" [A|b][B|c d e]`},
		{lenient: BareLF, wire: "HTTP/1.1 200\n\nrest", want: `14: HTTP/1.1 200 "" `},
		{lenient: BareLF, wire: ok + "A: b\n\r\n", want: `24: HTTP/1.1 200 "OK" [A|b]`},
		{lenient: BareLF, wire: ok + "\n", want: `18: HTTP/1.1 200 "OK" `},
		{lenient: BareLF, wire: "SSH", want: "bad version at 0"},
		{lenient: BareLF, wire: "HTTP/1.1 20\n\n", want: "bad status at 11"},
		{lenient: BareLF, wire: ok + "A: b\r\r\n\r\n", want: "bad field at 22"},
		{lenient: BareLF, wire: ok + "A : b\r\nX", want: "bad field at 18"},
		{lenient: SpaceBeforeColon, wire: ok + "A \t:b\r\nContent-Length : 5\r\n\r\n", want: `46: HTTP/1.1 200 "OK" [A|b][Content-Length|5]`},
		{lenient: SpaceBeforeColon, wire: ok + "A : b\nX", want: "bad field at 22"},
		{lenient: SpaceBeforeColon, wire: ok + " : b\r\nX", want: "bad field at 17"},
		{lenient: SpaceBeforeColon, wire: ok + "A b: b\r\nX", want: "bad field at 18"},
		{lenient: SpaceBeforeColon, wire: ok + "A\r\n : b\r\nX", want: "bad field at 18"},
		{lenient: SkipInvalidField, wire: ok + "A: 1\r\nb c: d\r\n e\r\nfoo\r\n: x\r\nD: \x00\r\nE: \r\n\r\n", want: `58: HTTP/1.1 200 "OK" [A|1][E|]`},
		{lenient: SkipInvalidField, wire: ok + " A: 1\r\nB: 2\r\n\r\n", want: `32: HTTP/1.1 200 "OK" [B|2]`},
		{lenient: SkipInvalidField, wire: ok + "Transfer-Encoding: \x0bchunked\r\n\r\n", want: "bad field at 36"},
		{lenient: SkipInvalidField, wire: ok + " Content-Length: 5\r\n\r\n", want: "bad field at 17"},
		{lenient: SkipInvalidField, wire: ok + "Content-Length : 5\r\n\r\n", want: "bad field at 31"},
		{lenient: SkipInvalidField, wire: ok + "A: 1\r\n\rX\r\n\r\n", want: "bad field at 24"},
		{lenient: SkipInvalidField, wire: ok + "A: 1\r\n\n\r\n", want: "bad field at 23"},
		{lenient: SkipInvalidField, wire: ok + " \r\n\r\n", want: "bad field at 17"},
		{lenient: SkipInvalidField, wire: ok + "b c\nA: 1\r\n\r\n", want: "bad field at 18"}, // where it ends is not sure
		{lenient: SkipInvalidField, wire: ok + "A: 1\n\r\n", want: "bad field at 21"},
		{lenient: SkipInvalidField, wire: ok + "A: a\rTransfer-Encoding: chunked\r\n\r\n", want: "bad field at 22"},
		{lenient: SkipInvalidField, wire: ok + "A: a\r\r\r\n\r\n", want: "bad field at 22"}, // to some it ends the head
		{lenient: SkipInvalidField, wire: ok + "\vTransfer-Encoding: chunked\r\n\r\n", want: "bad field at 17"},
		{lenient: SkipInvalidField, wire: ok + "\xa0Content-Length: 5\r\n\r\n", want: "bad field at 17"},
		{lenient: SkipInvalidField, wire: ok + "junk\r\n Transfer-Encoding: chunked\r\n\r\n", want: "bad field at 21"},
		{lenient: SkipInvalidField | BareLF, wire: ok + "b c\nA: 1\r\n\r\n", want: `29: HTTP/1.1 200 "OK" [A|1]`},
		{lenient: SkipInvalidField, wire: "HTTP/1.1 200 O\x00K\r\n\r\n", want: "bad status at 14"},
		{lenient: anyLenient, wire: "HTTP/1.1 200 OK\nA : 1\n 2\nb c\n\n", want: `30: HTTP/1.1 200 "OK" [A|1 2]`},
		{lenient: HTTP09, wire: "hello", want: `0: HTTP/1.0 200 "" `},
		{lenient: HTTP09, wire: "HTML", want: `0: HTTP/1.0 200 "" `},
		{lenient: HTTP09, wire: "HTT", want: "needs more"},
		{lenient: HTTP09, wire: "HTTP/2.0 200 OK", want: "bad version at 5"},
		{lenient: HTTP09, wire: ok + "A : b", want: "bad field at 18"},
	} {
		if got := checkHead(t, c.wire, c.lenient, testBytes, testFields); got != c.want {
			t.Errorf("%q, lenient %04b:\n got %s\nwant %s", c.wire, c.lenient, got, c.want)
		}
	}
}

func TestHeadLimitsAreExact(t *testing.T) {
	for _, c := range []struct {
		name, wire string
		lenient    Lenient
	}{
		{name: "strict", wire: ok + "A: 1\r\nB: 22\r\nC: 3\r\n\r\n"},
		{name: "folded", wire: ok + "A: 1\r\n 2\r\nB: 22\r\nC: 3\r\n x\r\n\r\n"},
		{name: "folded at the end", wire: ok + "A: 1\r\nB: 22\r\nC: 3\r\n\tx\r\n\r\n"},
		{name: "bare LF", wire: "HTTP/1.1 200 OK\nA: 1\nB: 22\nC: 3\n\n", lenient: BareLF},
		{name: "bare LF at the end", wire: ok + "A: 1\r\nB: 22\r\nC: 3\r\n\n", lenient: BareLF},
		{name: "a line left out at the end", wire: ok + "A: 1\r\nB: 22\r\nC: 3\r\nd e: f\r\n\r\n", lenient: SkipInvalidField},
		{name: "lines left out", wire: ok + "a b: c\r\nA: 1\r\nB: 22\r\nC: 3\r\nd e: f\r\n\r\n", lenient: SkipInvalidField},
	} {
		size := len(c.wire)
		if got := checkHead(t, c.wire, c.lenient, size, 3); !strings.HasPrefix(got, fmt.Sprint(size, ": ")) {
			t.Errorf("%s at the limit: %s", c.name, got)
		}
		for limit := range size {
			want := fmt.Sprintf("too large at %d", limit)
			if got := checkHead(t, c.wire+"rest", c.lenient, limit, 3); got != want {
				t.Errorf("%s, limit %d: %s", c.name, limit, got)
			}
			if got := checkHead(t, c.wire[:limit], c.lenient, limit, 3); got != want {
				t.Errorf("%s, limit %d, cut there: %s", c.name, limit, got)
			}
		}
		want := fmt.Sprintf("too large at %d", strings.Index(c.wire, "C:"))
		if got := checkHead(t, c.wire, c.lenient, size, 2); got != want {
			t.Errorf("%s, two fields: %s, want %s", c.name, got, want)
		}
		if c.lenient&SkipInvalidField != 0 {
			want = "needs more" // the third may be left out
		}
		if got := checkHead(t, c.wire[:strings.Index(c.wire, "C:")+1], c.lenient, size, 2); got != want {
			t.Errorf("%s, the third field begins: %s, want %s", c.name, got, want)
		}
	}
}

func TestTrailer(t *testing.T) {
	for _, c := range []struct{ wire, want string }{
		{"\r\nrest", "2:  dropped 0"},
		{"A: b\r\nb:c\r\n\r\n", "13: [A|b][b|c] dropped 0"},
		{"A: b\r\n c\r\n\r\n", "12: [A|b c] dropped 0"},
		{"Content-Length: 99\r\nA: b\r\nset-cookie: x\r\nB: c\r\nTE: \r\n\r\n", "55: [A|b][B|c] dropped 3"},
		{"Host: x\r\n\r\n", "11:  dropped 1"},
		{"A: b\r\n c\r\nHost: x\r\nB: d\r\n\r\n", "27: [A|b c][B|d] dropped 1"},
		{"Host: x\r\n y\r\nB: d\r\n\r\n", "21: [B|d] dropped 1"},
		{"A: b\n", "bad field at 4"},
		{"A: b\x00", "bad field at 4"},
		{"A : b", "bad field at 1"},
		{" A: b", "bad field at 0"},
		{"\rX", "bad field at 1"},
		{"A: b", "needs more"},
		{"A: b\r\nB: b\r\nTE: b\r\nD: b\r\nE: b\r\nF", "too large at 31"}, // what is left out counts,
	} {
		run := func(cuts ...int) string {
			var d headDecoder
			var h Header
			h.Add("Stale", "1")
			d.reset(anyLenient|HTTP09, 64, 5)
			for _, cut := range append(cuts, len(c.wire)) {
				n, done, err := d.nextTrailer([]byte(c.wire[:cut]), &h)
				if err != nil && n == 0 { // an n would count as a section
					return fmt.Sprintf("%v at %d", err.Kind, err.Offset)
				}
				if done {
					return fmt.Sprintf("%d: %s dropped %d", n, show(&h), d.dropped)
				}
			}
			return "needs more"
		}
		if got := run(); got != c.want {
			t.Errorf("%q: %s, want %s", c.wire, got, c.want)
		}
		if got := run(everyByte(c.wire)...); got != c.want {
			t.Errorf("%q byte by byte: %s, want %s", c.wire, got, c.want)
		}
		for i := range len(c.wire) {
			if got := run(i); got != c.want {
				t.Errorf("%q split at %d: %s, want %s", c.wire, i, got, c.want)
				break
			}
		}
	}
}

// A responseCase is one of testdata/cases/responses.json: a response on which clients
// disagree.
type responseCase struct {
	N                   int
	Name, Verdict, Wire string
}

func responseCases(t testing.TB) []responseCase {
	text, err := os.ReadFile("testdata/cases/responses.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []responseCase
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// TestResponseCases takes every response on which clients disagree through head, framing,
// chunks and trailer. Connection fields and bytes behind the message are not its matter.
func TestResponseCases(t *testing.T) {
	cases := responseCases(t)
	for _, c := range cases {
		checkHead(t, c.Wire, 0, testBytes, testFields)
		checkHead(t, c.Wire, anyLenient, testBytes, testFields)
		got := responseOutcome(c.Wire, 0)
		want, known := caseOutcomes[c.N]
		if !known {
			want = "length: hello"
		}
		if got != want {
			t.Errorf("case %d, %s (%s):\n got %s\nwant %s", c.N, c.Name, c.Verdict, got, want)
		}
	}
	for n, want := range map[int]string{14: "length: hello", 17: "length: hello", 66: "close: hello"} {
		if got := responseOutcome(cases[n].Wire, anyLenient|HTTP09); got != want {
			t.Errorf("case %d, %s, lenient: %s, want %s", n, cases[n].Name, got, want)
		}
	}
}

// caseOutcomes is where a case comes to something else than "length: hello".
var caseOutcomes = map[int]string{
	1: "chunked, ambiguous: hello", 7: "chunked, ambiguous: hello",
	2: "bad framing at 36", 5: "bad framing at 64",
	3: "close, ambiguous: hello", 4: "close, ambiguous: hello",
	6: "bad field at 36", 10: "bad framing at 52", 11: "bad framing at 33", 12: "bad framing at 33", 13: "bad framing at 52",
	14: "bad status at 15", 15: "bad field at 22", 16: "bad field at 21", 17: "bad field at 31", 19: "bad field at 37",
	20: "bad field at 17", 21: "bad field at 17", 22: "bad field at 20", 23: "bad field at 37",
	24: "chunked: hello, then bad chunk at 55", 25: "chunked: , then bad chunk at 50", 26: "chunked: , then bad chunk at 51",
	27: "chunked: , then bad chunk at 48", 28: "chunked: hello, then bad chunk at 55",
	29: "chunked: hello", 30: "chunked: hello", 31: "chunked: , then bad chunk at 48", 32: "chunked: , then bad chunk at 47",
	33: "chunked: , then bad chunk at 62", 34: "chunked: , then bad chunk at 63", 35: "chunked: , then bad chunk at 53",
	36: "chunked: hello, then bad chunk at 57", 37: "chunked: hello, dropped 2",
	38: "chunked: hello, then bad field at 64", 39: "chunked: hello, then bad field at 64", 40: "chunked: hello [A|…]",
	42: "bad version at 5", 43: "bad version at 0", 44: "bad status at 9", 46: "bad status at 11",
	48: "none, ambiguous: ", 49: "none: ", 50: "not switched at -1", 51: "none: ", 52: "none: ", 53: "none: ",
	54: "bad version at 0", 59: "close: hello", 64: "length: hello, then more", 65: "chunked: hello, then more",
	66: "bad version at 0",
}

// responseOutcome reads the first message of wire as an answer to GET.
func responseOutcome(wire string, lenient Lenient) string {
	var d headDecoder
	var r Response
	d.reset(lenient, testBytes, testFields)
	n, done, err := d.next([]byte(wire), &r)
	var f framing
	if err == nil && done {
		f, err = frame(&r, &asked{})
	}
	if err != nil {
		return fmt.Sprintf("%v at %d", err.Kind, err.Offset)
	}
	what, rest := f.kind.String(), wire[n:]
	if f.ambiguous {
		what += ", ambiguous"
	}
	what += ": "
	switch f.kind {
	case framingLength:
		if int64(len(rest)) < f.length {
			return what + rest + ", then more"
		}
		return what + rest[:f.length]
	case framingClose:
		return what + rest
	case framingChunked:
		return what + chunkedOutcome(rest, int64(n), &d)
	}
	return what
}

// chunkedOutcome reads a chunked body and its trailer section.
func chunkedOutcome(wire string, off int64, d *headDecoder) string {
	data, n, why := decodeChunked([]byte(wire), off)
	if why != "done" {
		return string(data) + ", then " + why
	}
	var h Header
	d.reset(anyLenient, testBytes, testFields)
	_, done, err := d.nextTrailer([]byte(wire[n:]), &h)
	s := string(data)
	switch {
	case err != nil:
		return s + fmt.Sprintf(", then %v at %d", err.Kind, off+int64(n)+err.Offset)
	case !done:
		return s + ", then more"
	}
	if d.dropped > 0 {
		s += fmt.Sprintf(", dropped %d", d.dropped)
	}
	for name, value := range h.All() {
		if len(value) > 8 {
			value = []byte("…")
		}
		s += fmt.Sprintf(" [%s|%s]", name, value)
	}
	return s
}

func TestFrame(t *testing.T) {
	for _, c := range []struct {
		head   string // status, then fields, each behind a "/"
		q      asked
		want   string
		length int64 // Response.ContentLength
	}{
		{head: "200/Content-Length: 5", want: "length 5", length: 5},
		{head: "200/Content-Length: 0", want: "length 0"},
		{head: "200/Content-Length: 9223372036854775807", want: "length 9223372036854775807", length: 1<<63 - 1},
		{head: "200/Content-Length: 9223372036854775808", want: "bad framing at 51", length: -1},
		{head: "200/Content-Length: 9223372036854775806", want: "length 9223372036854775806", length: 1<<63 - 2},
		{head: "200/Content-Length: 9223372036854775810", want: "bad framing at 51", length: -1},
		{head: "200/Content-Length: 18446744073709551621", want: "bad framing at 52", length: -1}, // 2^64 + 5
		{head: "200/Content-Length: 5/Keep-Alive: 3/content-LENGTH:5,5 ,\t5", want: "length 5", length: 5},
		{head: "200/Content-Length: 005", want: "length 5", length: 5},
		{head: "200/A: 5/Content-Length: 5/Content-Length: 6", want: "bad framing at 58", length: -1},
		{head: "200/Content-Length: 5/Content-Length: 5 , 6", want: "bad framing at 56", length: -1},
		{head: "200/Content-Length: 5,\t5, ,5", want: "bad framing at 39", length: -1},
		{head: "200/Content-Length: " + strings.Repeat("0", 200<<10) + "x", want: "bad framing at 204833", length: -1}, // in no time
		{head: "200/Content-Length: -0", want: "bad framing at 33", length: -1},
		{head: "200/Content-Length: 0_2", want: "bad framing at 34", length: -1},
		{head: "200/Content-Length: 0x5", want: "bad framing at 34", length: -1},
		{head: "200/Accept-Charset: 6/Content-Length: 5/Comment-Length: 7", want: "length 5", length: 5}, // as long a name
		{head: "200/Content-Length: 5,", want: "bad framing at 35", length: -1},
		{head: "200/Content-Length: ,5", want: "bad framing at 33", length: -1},
		{head: "200/Content-Length:", want: "bad framing at 32", length: -1},
		{head: "200/Content-Length: 5 5", want: "bad framing at 34", length: -1},
		{head: "200", want: "close", length: -1},
		{head: "600", want: "close", length: -1},

		{head: "200/Transfer-Encoding: Chunked", want: "chunked", length: -1},
		{head: "200/Transfer-Encoding: chunked/Keep-Alive: gzip", want: "chunked", length: -1},
		{head: "200/Transfer-Encoding: chunked/Content-Length: x", want: "chunked ambiguous", length: -1},
		{head: "200/Transfer-Encoding: chunked, gzip", want: "close ambiguous", length: -1},
		{head: "200/Transfer-Encoding: chunked/Transfer-Encoding: gzip", want: "close ambiguous", length: -1},
		{head: "200/Transfer-Encoding: gzip/Transfer-Encoding: chunked", want: "bad framing at 61", length: -1},
		{head: "200/Transfer-Encoding: chunked, gzip, chunked", want: "bad framing at 51", length: -1},
		{head: "200/Transfer-Encoding: identity", want: "close ambiguous", length: -1},
		{head: "200/Transfer-Encoding: identity, chunked", want: "bad framing at 36", length: -1},
		{head: "200/Transfer-Encoding: ,chunked", want: "bad framing at 36", length: -1},
		{head: "200/Transfer-Encoding: chunked,", want: "bad framing at 44", length: -1},
		{head: "200/Transfer-Encoding:", want: "bad framing at 35", length: -1},
		{head: "200/Transfer-Encoding: chunked;q=1", want: "bad framing at 43", length: -1},
		{head: "200/Transfer-Encoding: gzip, chunked;q=1", want: "bad framing at 49", length: -1},
		{head: "200/Transfer-Encoding: chunked ;q=1", want: "bad framing at 43", length: -1},
		{head: "200/Transfer-Encoding: gzip;q=1", want: "close ambiguous", length: -1},
		{head: "200/Transfer-Encoding: chunked, x ; a=b;\tc = d", want: "close ambiguous", length: -1},
		{head: "200/Transfer-Encoding: gzip;q=1, chunked", want: "bad framing at 36", length: -1},
		{head: "200/Transfer-Encoding: gzip:q=1", want: "bad framing at 40", length: -1},
		{head: "200/Transfer-Encoding: gzip;", want: "bad framing at 41", length: -1},
		{head: "200/Transfer-Encoding: gzip;q", want: "bad framing at 42", length: -1},
		{head: "200/Transfer-Encoding: gzip;q=", want: "bad framing at 43", length: -1},
		{head: "200/Transfer-Encoding: gzip;q=1 x", want: "bad framing at 45", length: -1},
		{head: "200/Transfer-Encoding: gzip;=1", want: "bad framing at 41", length: -1},
		{head: "200/Transfer-Encoding: ;q=1", want: "bad framing at 36", length: -1},
		{head: "200/Transfer-Encoding: x;a=\"b, chunked\"", want: "bad framing at 40", length: -1},
		{head: "200/Transfer-Encoding: x;a=b;chunked", want: "bad framing at 49", length: -1},
		{head: "200/Transfer-Encoding: \xa0chunked", want: "bad framing at 36", length: -1},
		{head: "200/Transfer-Encoding: chunked chunked", want: "bad framing at 44", length: -1},
		{head: "200/Transfer-Encoding: xchunked", want: "close ambiguous", length: -1},

		{head: "100", want: "none"},
		{head: "103/Content-Length: x", want: "none"},
		{head: "204/Content-Length: 0", want: "none"},
		{head: "204/Content-Length: 5", want: "none ambiguous"},
		{head: "103/Transfer-Encoding: chunked", want: "none"},
		{head: "204/Transfer-Encoding: chunked", want: "none ambiguous"},
		{head: "204/Content-Length: x/Transfer-Encoding: y", want: "none ambiguous"},
		{head: "204/Content-Length: 0/Transfer-Encoding: y", want: "none ambiguous"},
		{head: "204/Content-Length: x", want: "none ambiguous"},
		{head: "204/Content-Length: 5", q: asked{head: true}, want: "none"},
		{head: "304/Content-Length: 5/Transfer-Encoding: chunked", want: "none", length: -1},
		{head: "304/Content-Length: 5", want: "none", length: 5},
		{head: "304", want: "none", length: -1},
		{head: "200/Content-Length: 5", q: asked{head: true}, want: "none", length: 5},
		{head: "200/Content-Length: +5", q: asked{head: true}, want: "none", length: -1},
		{head: "200/Content-Length: 5/Transfer-Encoding: chunked", q: asked{head: true}, want: "none", length: -1},
		{head: "101/Upgrade: x", want: "not switched at -1"},
		{head: "101/Upgrade: x", q: asked{upgrade: true}, want: "switch"},
		{head: "200/Upgrade: x/Content-Length: 1", q: asked{upgrade: true}, want: "length 1", length: 1},
		{head: "200/Content-Length: x/Transfer-Encoding: y", q: asked{connect: true}, want: "switch"},
		{head: "204", q: asked{connect: true}, want: "switch"},
		{head: "199", q: asked{connect: true}, want: "none"},
		{head: "299", q: asked{connect: true}, want: "switch"},
		{head: "300", q: asked{connect: true}, want: "close", length: -1},
		{head: "407/Content-Length: 5", q: asked{connect: true}, want: "length 5", length: 5},
	} {
		var d headDecoder
		r := Response{ContentLength: 9} // of another use
		d.reset(0, testBytes, testFields)
		status, fields, _ := strings.Cut(c.head, "/")
		wire := "HTTP/1.1 " + status + " OK\r\n" + strings.ReplaceAll(fields, "/", "\r\n")
		if fields != "" {
			wire += "\r\n"
		}
		if _, done, err := d.next([]byte(wire+"\r\n"), &r); !done || err != nil {
			t.Fatalf("%q: done %v, %v", c.head, done, err)
		}
		f, err := frame(&r, &c.q)
		got := f.kind.String()
		if f.kind == framingLength {
			got += fmt.Sprint(" ", f.length)
		}
		if f.ambiguous {
			got += " ambiguous"
		}
		if err != nil {
			got = fmt.Sprintf("%v at %d", err.Kind, err.Offset)
		}
		if got != c.want || r.ContentLength != c.length {
			t.Errorf("%q: %s, ContentLength %d; want %s, %d", c.head, got, r.ContentLength, c.want, c.length)
		}
	}
}

// TestFrameOffsetOfMended: where fields were mended, their places in the head are not
// known.
func TestFrameOffsetOfMended(t *testing.T) {
	if got := responseOutcome(ok+"A: b\r\n c\r\nContent-Length: x\r\n\r\n", 0); got != "bad framing at -1" {
		t.Error(got)
	}
}

// TestHeadIsLinear counts the bytes a decoder has yet to look at again: shown one byte
// more at a time, it must come back to where it was. The time of a head that is twice as
// long could not tell as much.
func TestHeadIsLinear(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for _, c := range []struct {
		wire    string
		lenient Lenient
	}{
		{wire: "HTTP/1.1 200 " + long + "\r\n" + long + ": " + long + "\r\n" + long + ": \r\n\r\n"},
		{wire: ok + "A: b\r\n c\r\nB: " + long + "\r\n " + long + "\r\n\r\n"},
		{wire: "HTTP/1.1 200 " + long + "\n" + long + ": " + long + "\n\n", lenient: BareLF},
	} {
		if at, again := secondLook(c.wire, c.lenient, testBytes, testFields); at < len(c.wire)-1 || again > 0 {
			t.Errorf("%.40q: at %d of %d, %d bytes to look at again", c.wire, at, len(c.wire), again)
		}
	}
}

// secondLook shows a decoder one byte more at a time, as long as it needs more, and returns
// where that ended, and how many bytes, if any, it would look at again there.
func secondLook(wire string, lenient Lenient, maxBytes, maxFields int) (at, again int) {
	var d headDecoder
	var r Response
	d.reset(lenient, maxBytes, maxFields)
	b := []byte(wire)
	for at = range b {
		if _, done, err := d.next(b[:at:at], &r); done || err != nil {
			return at, 0
		}
		// A line's end is two bytes, a fold's three; the status line begins with 13 that
		// are taken together. All others must have been looked at for good.
		if again = at - max(d.look, 13); again > 2 {
			return at, again
		}
	}
	return at, 0
}

// TestMayBeKnown: no name that lookup knows may be held back from it.
func TestMayBeKnown(t *testing.T) {
	for _, name := range trailerForbids {
		if lookup(name) != 0 && (!mayBeKnown(name[0], len(name)) || !mayBeKnown(lower(name[0]), len(name))) {
			t.Errorf("%s is known, but lookup would not be asked", name)
		}
		if classify([]byte(name)) != lookup(name) {
			t.Errorf("%s is classified otherwise than looked up", name)
		}
	}
	var all known
	for _, name := range trailerForbids {
		all |= lookup(name)
	}
	if all != knownTE<<1-1 {
		t.Errorf("trailerForbids holds %b of the fields known", all)
	}
}

func TestForbiddenInTrailer(t *testing.T) {
	const those = "Transfer-Encoding Content-Length Trailer TE Upgrade " + // of framing
		"Host Connection Keep-Alive Proxy-Connection Max-Forwards " + // of routing
		"Cache-Control Expect Pragma Range If-Match If-None-Match If-Modified-Since If-Unmodified-Since If-Range " +
		"Authorization Proxy-Authenticate Proxy-Authorization WWW-Authenticate Cookie Set-Cookie " +
		"Age Date Expires Location Retry-After Vary Warning " + // of control
		"Content-Encoding Content-Type Content-Range"
	names := strings.Fields(those)
	if len(names) != len(trailerForbids) {
		t.Errorf("%d names are forbidden, %d are known here", len(trailerForbids), len(names))
	}
	for _, name := range names {
		if !forbiddenInTrailer(strings.ToUpper(name)) || !forbiddenInTrailer([]byte(strings.ToLower(name))) {
			t.Errorf("%s is allowed", name)
		}
	}
	for _, name := range []string{"", "ETag", "Digest", "Server-Timing", "X-Host"} {
		if forbiddenInTrailer(name) {
			t.Errorf("%q is forbidden", name)
		}
	}
}

// The ends of name and value are found eight octets at a time: each octet at each place
// must count as it does alone.
func TestFieldEndFindsEveryOctet(t *testing.T) {
	for _, part := range []struct {
		class byte
		fill  string // of that class, in each way the eight are told apart
		end   func([]byte, int) int
	}{
		{fieldChar, "\tx~\x80\xffy ", valueEnd},
		{tchar, "aZ-z_0A|", nameEnd},
		{tchar, "aZ-zbYAk", func(b []byte, i int) int { return nameEnd(b, lettersEnd(b, i)) }},
	} {
		for c := range 256 {
			for at := range 20 {
				b := []byte(strings.Repeat(part.fill, 3))[:20]
				b[at] = byte(c)
				want := at
				if octets[c]&part.class != 0 {
					want = len(b)
				}
				for from := range at + 1 {
					if got := part.end(b, from); got != want {
						t.Fatalf("octet %#x at %d, from %d: %d", c, at, from, got)
					}
				}
			}
		}
	}
}

// TestMendedLengths: what was parsed before the fault says nothing of how many
// Content-Lengths there are.
func TestMendedLengths(t *testing.T) {
	for wire, want := range map[string]int64{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA : b\r\nContent-Length: 6\r\n\r\n": -1,
		"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\nB : c\r\n\r\n":              5,
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nB : c\r\nContent-Length: 5\r\n\r\n": 5,
	} {
		var d headDecoder
		d.reset(SpaceBeforeColon, 1<<10, 10)
		var r Response
		if _, done, err := d.next([]byte(wire), &r); !done || err != nil {
			t.Fatal(err)
		}
		fr, err := frame(&r, &asked{})
		if want < 0 && (err == nil || err.Kind != BadFraming) || want >= 0 && (err != nil || fr.length != want) {
			t.Errorf("%q: %+v, %v", wire, fr, err)
		}
	}
}
