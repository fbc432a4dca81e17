package h1

// nearmiss_test.go: near misses of the grammar: what differs in one byte from what is
// accepted, or refused, elsewhere.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// respond gives the body of a response of these bytes to a GET, behind which the server
// closes, or the error; cut: the bytes come one by one.
func respond(t *testing.T, cfg Config, wire string, cut bool) (status int, body string, err error) {
	inBubble(t, cfg, false, func(r *rig) {
		r.s.one = cut
		r.raw(wire)
		r.s.fail(io.EOF)
		var resp Response
		if err = r.c.Do(context.Background(), get("/"), &resp); err != nil {
			return
		}
		var b []byte
		b, err = resp.AppendBody(nil, -1)
		status, body = resp.Status, string(b)
	})
	return status, body, err
}

// A byte out of its place is refused, whether its neighbours are at hand or yet to come;
// and what only looks alike is not.
func TestNearMisses(t *testing.T) {
	const ok, chunked = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	const end = "\r\n0\r\n\r\n"
	for _, c := range []struct {
		wire string
		kind Kind // 0: none
		body string
	}{
		{ok + "Content-Length: 5\r\n\r\nhello", 0, "hello"},
		{"HTTP/1.1_200 OK\r\nContent-Length: 5\r\n\r\nhello", BadVersion, ""},
		{ok + "Content-Length: 5, 5\r\n\r\nhello", 0, "hello"},
		{ok + "Content-Length: 0, 5\r\n\r\nhello", BadFraming, ""},
		{ok + "Content-Length: 5, 0\r\n\r\nhello", BadFraming, ""},
		{ok + "Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello", BadFraming, ""},
		{ok + "Content-Length: 5\r\nKeep-Alive: 3\r\n\r\nhello", 0, "hello"},
		{ok + "Keep-Alive: 3\r\nContent-Length: 5\r\nKeep-Alive: 3\r\n\r\nhello", 0, "hello"},

		{chunked + "5\r\nhello\r\n5\r\nworld" + end, 0, "helloworld"},
		{chunked + "\r\n5\r\nhello" + end, BadChunk, ""},
		{chunked + "5\r\nhello_\n5\r\nworld" + end, BadChunk, ""},
		{chunked + "5\r\nhello\r_5\r\nworld" + end, BadChunk, ""},
		{chunked + "5\r\nhello\r\n5_\nworld" + end, BadChunk, ""},
		{chunked + "5\r\nhello\r\n5\r_world" + end, BadChunk, ""},
		{chunked + "5\r\nhello\t\n5\r\nworld" + end, BadChunk, ""},
		{chunked + "5\r\nhello\r\t5\r\nworld" + end, BadChunk, ""},
		{chunked + "5\r\nhello\r\n5\t\nworld" + end, BadChunk, ""},
		{chunked + "5\r\nhello\r\n5\r\tworld" + end, BadChunk, ""},
		{chunked + "5\r\nhello\r\n12345678\nworld", BadChunk, ""},
		{chunked + "5;a=b\\c\r\nhello" + end, 0, "hello"},
		{chunked + "5;a=\"b\\\"c\"\r\nhello" + end, 0, "hello"},
		{chunked + "5;a=\"b\\c\r\nhello" + end, BadChunk, ""},
	} {
		for _, cut := range []bool{false, true} {
			_, body, err := respond(t, Config{}, c.wire, cut)
			var bad *Error
			switch errors.As(err, &bad); {
			case c.kind == 0 && (err != nil || body != c.body):
				t.Errorf("%q, one by one %v: %q, %v", c.wire, cut, body, err)
			case c.kind != 0 && (bad == nil || bad.Kind != c.kind):
				t.Errorf("%q, one by one %v: %q, %v, want %v", c.wire, cut, body, err, c.kind)
			}
		}
	}
}

// A byte of a head that differs from the one that may stand there is the one refused, also
// where it is less than that, or between two that are right; and so where faults are
// overlooked.
func TestHeadNearMisses(t *testing.T) {
	for _, c := range []struct {
		lenient Lenient
		wire    string
		want    string
	}{
		{0, "HTTP/1,1 200 OK", "bad version at 6"},
		{0, "HTTP/1.1\t200 OK\r\n", "bad version at 8"},
		{0, "HTTP/1.1 2x0 OK\r\n", "bad status at 10"},
		{0, "HTTP/1.1 200 OK\r\t", "bad status at 16"},
		{0, ok + "A: b\r\tC", "bad field at 22"},
		{0, ok + "A: b\x7f\nC: d\r\n\r\n", "bad field at 21"},
		{0, ok + "A: b\r\n\r\tC", "bad field at 24"},
		{0, ok + "Content-Length: 1\r\n 2\r\n 3\r\n\r\n", "bad field at 36"},
		{0, ok + "Content-Length: 1\r\n 2\x00\r\n\r\n", "bad field at 36"},

		{BareLF, "HTTP/1.1 2000", "bad status at 12"},
		{BareLF, "HTTP/1.1 200\t", "bad status at 12"},
		{SpaceBeforeColon, ok + "A : b\t\nX", "bad field at 23"},
		{SpaceBeforeColon, ok + "A : b\t\n c\r\n\r\n", "bad field at 23"},
		{SpaceBeforeColon, ok + "Content-Length :\t 5\r\n\r\n", `40: HTTP/1.1 200 "OK" [Content-Length|5]`}, // not folded
		{SpaceBeforeColon, ok + "A : b\r\n\n", "bad field at 24"},
		{SkipInvalidField, ok + "b c\r\n\x00\nX", "bad field at 22"},
		{SkipInvalidField, ok + "b c\r\n\r\t\r\n\r\n", "bad field at 23"},
		{SkipInvalidField | BareLF, ok + "b c\n\x00: d\nA: 1\n\n", `32: HTTP/1.1 200 "OK" [A|1]`},
		{SkipInvalidField, ok + "A: a\r\tb\r\n\r\n", "bad field at 22"},
		{SkipInvalidField, ok + "b c\t\nA: 1\r\n\r\n", "bad field at 18"},
		{SkipInvalidField, ok + "Content-Length\x00: 1\r\n 2\r\n\r\n", "bad field at 31"},
		{SkipInvalidField, ok + "a Host: x\r\nA: 1\r\n\r\n", `36: HTTP/1.1 200 "OK" [A|1]`},
		{SkipInvalidField, ok + "a x-Content-Length: 5\r\nA: 1\r\n\r\n", `48: HTTP/1.1 200 "OK" [A|1]`},
		{HTTP09, "HTTPX", `0: HTTP/1.0 200 "" `},
		{HTTP09, "HTTP/1.x 200", "bad version at 7"},
	} {
		if got := checkHead(t, c.wire, c.lenient, testBytes, testFields); got != c.want {
			t.Errorf("%q, lenient %04b: %s, want %s", c.wire, c.lenient, got, c.want)
		}
	}
}

// The limit of a trailer section's bytes is exact, whatever has come with it.
func TestTrailerLimitIsExact(t *testing.T) {
	for wire, want := range map[string]string{
		"A: 3456\r\n\r\n":                        "true, 11 bytes, <nil>",
		"A: 3456\r\n\r\nHTTP/1.1 200 OK\r\n\r\n": "true, 11 bytes, <nil>",
		"A: 34567\r\n\r\n":                       "false, 0 bytes, h1: : too large at 11: longer than MaxHeadBytes, 11",
		"A: 34567890":                            "false, 0 bytes, h1: : too large at 11: longer than MaxHeadBytes, 11",
		"A: 3456789":                             "false, 0 bytes, <nil>",
	} {
		var d headDecoder
		var h Header
		d.reset(0, 11, testFields)
		n, done, err := d.nextTrailer([]byte(wire), &h)
		if got := fmt.Sprintf("%v, %d bytes, %v", done, n, err); got != want {
			t.Errorf("%q: %s, want %s", wire, got, want)
		}
	}
}

// A trailer that is refused for one of its bytes is so also where more bytes have come than
// it may have.
func TestRefusedBeforeTooLong(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
	for tail, kind := range map[string]Kind{"A\x00": BadField, "A: ": TooLarge} {
		_, _, err := respond(t, Config{MaxHeadBytes: 100}, chunked+tail+strings.Repeat("x", 200), false)
		wantError(t, err, kind, SentAll)
	}
}

// Leniency grants what it names, to the byte: a bare LF neither folds a line without
// BareLF, nor ends a head behind another byte; and a line that may end a head is not left
// out.
func TestLenientNearMisses(t *testing.T) {
	const ok, end = "HTTP/1.1 200 OK\r\n", "Content-Length: 5\r\n\r\nhello"
	for _, c := range []struct {
		lenient Lenient
		wire    string
		kind    Kind
	}{
		{SpaceBeforeColon, ok + "A : b\r\n c\r\n" + end, 0},
		{SpaceBeforeColon, ok + "A : b\n c\r\n" + end, BadField},
		{SpaceBeforeColon | BareLF, ok + "A : b\n c\r\n" + end, 0},
		{SkipInvalidField | BareLF, ok + "A\n" + end, 0},
		{SkipInvalidField | BareLF, ok + "A: b\n" + end, 0},
		{SkipInvalidField | BareLF, ok + " \n" + end, BadField},
		{SkipInvalidField | BareLF, ok + " \r\n" + end, BadField},
		{BareLF, ok + "A:\n" + end, 0},
		{BareLF, ok + "A:\n\n", 0},
	} {
		status, body, err := respond(t, Config{Lenient: c.lenient}, c.wire, false)
		var bad *Error
		switch errors.As(err, &bad); {
		case c.kind != 0 && (bad == nil || bad.Kind != c.kind):
			t.Errorf("%q: %d %q, %v, want %v", c.wire, status, body, err, c.kind)
		case c.kind == 0 && strings.HasSuffix(c.wire, end) && (err != nil || body != "hello"):
			t.Errorf("%q: %d %q, %v", c.wire, status, body, err)
		}
	}
}

// A scheme is made of letters, and Title-Case changes letters: of those next to them in
// ASCII neither is one.
func TestLettersEnd(t *testing.T) {
	for target, want := range map[string]bool{"a://h": true, "z://h": true, "Z://h": true, "~://h": false,
		"a~://h": false, "a{://h": false, "@://h": false, "a`://h": false, "a!://h": false, "a,://h": false} {
		if _, _, ok := authority(target); ok != want {
			t.Errorf("%q has a scheme: %v", target, ok)
		}
	}
	for name, want := range map[string]string{"accept-zone": "Accept-Zone", "~a-|b-`c": "~a-|b-`c", "ZA": "Za", "a+b": "A+b"} {
		got := []byte(name)
		if toTitle(got); string(got) != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
}

// A body that is known to be empty is none, also where the method may have none.
func TestEmptyBodyOfTrace(t *testing.T) {
	for _, body := range []string{"", "x"} {
		err := (&Request{Method: "TRACE", Host: "x", Body: strings.NewReader(body)}).check(new(asked))
		if (err == nil) != (body == "") {
			t.Errorf("%q: %v", body, err)
		}
	}
}

// Only an error of Kind Timeout says that it is one, in each of the ways to ask.
func TestTimeoutIsTimeout(t *testing.T) {
	for k := Kind(1); k < kinds; k++ {
		e := newError(k, "test", errors.New("why"))
		if is := k == Timeout; e.Timeout() != is || e.Temporary() != is || isTimeout(e) != is {
			t.Errorf("%v: Timeout %v, Temporary %v", e, e.Timeout(), e.Temporary())
		}
	}
}

// An error says where, from the first byte on, and quotes some of the bytes that were
// refused, but no more than a log line bears.
func TestErrorsQuote(t *testing.T) {
	const chunked = ok + "Transfer-Encoding: chunked\r\n\r\n"
	for wire, want := range map[string]string{
		"HTTQ/1.1 200":      `bad version at 3: not HTTP/1.x: "HTTQ"`,
		"HTTP/1.x 200":      `bad version at 7: not a minor version of one digit: "HTTP/1.x"`,
		"HTTP/1.1_200":      `bad version at 8: no space after the version: "HTTP/1.1_"`,
		"HTTP/1.1 2x0":      `bad status at 10: not three digits from 100 on: "HTTP/1.1 2x"`,
		"HTTP/1.1 200\n":    `bad status at 12: LF without CR: "HTTP/1.1 200\n"`,
		"HTTP/1.1 200X":     `bad status at 12: no space after the status code: "HTTP/1.1 200X"`,
		"HTTP/1.1 200 \x01": `bad status at 13: control byte in a reason phrase: "HTTP/1.1 200 \x01"`,
		"HTTP/1.1 200 \rX":  `bad status at 14: CR without LF: "HTTP/1.1 200 \rX"`,

		ok + ":A":            `bad field at 17: empty field name: ":"`,
		ok + " A":            `bad field at 17: white space before a field line: " "`,
		ok + "A b":           `bad field at 18: white space in or after a field name: "A "`,
		ok + "A\r\n":         `bad field at 18: field line without a colon: "A\r"`,
		ok + "A\n":           `bad field at 18: field line without a colon: "A\n"`,
		ok + "A(b":           `bad field at 18: byte that no field name may hold: "A("`,
		ok + "A: b\nC":       `bad field at 21: LF without CR: "A: b\n"`,
		ok + "A: b\x00c":     `bad field at 21: control byte in a field value: "A: b\x00"`,
		ok + "A: b\rC":       `bad field at 22: CR without LF: "A: b\rC"`,
		ok + "A: b\r\n\rC":   `bad field at 24: CR without LF: "\rC"`,
		ok + "A: b\r\nC\x00": `bad field at 24: byte that no field name may hold: "C\x00"`,
		ok + "A: b\r\n:C":    `bad field at 23: empty field name: ":"`,
		ok + "A: " + strings.Repeat("b", 40) + "\x00":            `in a field value: "` + strings.Repeat("b", quoted-1) + `\x00"`,
		ok + strings.Repeat("A: b\r\n", defaultHeaders) + "C: d": `: more fields than MaxHeaders, 256: "C"`,
		ok + strings.Repeat("A", defaultHeadBytes):               `too large at 262144: longer than MaxHeadBytes, 262144`,

		ok + "A: b\r\nContent-Length: 5x\r\nC: d\r\n\r\n":  `bad framing at 40: not a length: "Content-Length: 5x"`,
		ok + "Content-Length: 5, 6\r\n\r\n":                `bad framing at 36: lengths that differ: "Content-Length: 5, 6"`,
		ok + "Transfer-Encoding: \r\n\r\n":                 `bad framing at 36: not a transfer coding: "Transfer-Encoding: "`,
		ok + "Transfer-Encoding: chunked;a=b\r\n\r\n":      `bad framing at 43: chunked with parameters: "Transfer-Encoding: chunked;a=b"`,
		ok + "Transfer-Encoding: chunked,chunked\r\n\r\n":  `bad framing at 44: chunked twice: "Transfer-Encoding: chunked,chunk"`,
		ok + "Transfer-Encoding: a, chunked\r\n\r\n":       `bad framing at 36: a coding inside chunked, which is not decoded: "Transfer-Encoding: a, chunked"`,
		ok + "Content-Length: 9223372036854775808\r\n\r\n": `bad framing at 51: a length past 2^63-1: "tent-Length: 9223372036854775808"`,
		ok + "Content-Length: 42, 42, 42, 42, +42\r\n\r\n": `bad framing at 49: not a length: "ontent-Length: 42, 42, 42, 42, +"`,

		chunked + "x5\r\n":                               `bad chunk at 47: no digit of a chunk's size: "x"`,
		chunked + "5x\r\n":                               `bad chunk at 48: byte that may not follow a chunk's size: "x"`,
		chunked + "5\r\rhello":                           `bad chunk at 49: CR without LF in a chunk's size line: "\r"`,
		chunked + strings.Repeat("0", 17):                `bad chunk at 63: a chunk's size past 2^63-1, or of too many digits: "0"`,
		chunked + "5\r\nhello\n":                         `bad chunk at 55: no CR LF behind a chunk's data: "\n"`,
		chunked + "5\r\nhello\rX":                        `bad chunk at 56: no CR LF behind a chunk's data: "X"`,
		chunked + "5;a=\"b\r\n":                          `bad chunk at 53: quotes not closed in a chunk's extension: "\r"`,
		chunked + "5;a\x00\r\n":                          `bad chunk at 50: control byte in a chunk's extension: "\x00"`,
		chunked + "0;" + strings.Repeat("x", maxPadding): `too large at 16432: chunk extensions outweigh the data`,

		"_": `at 0: `,
		"HTTP/1.1 200 OK\r\nContent-Length: " + strings.Repeat("x", 3000) + "\r\n\r\n": `"Content-Length: xx`,
	} {
		_, _, err := respond(t, Config{}, wire, false)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said: %v", want, err)
		} else if n := len(err.Error()); n > 3*quoted+100 {
			t.Errorf("%d bytes of text", n)
		}
	}
}

// A line that leniency does not help is refused in the same words, and its bytes are quoted
// as they came.
func TestLenientErrorsQuote(t *testing.T) {
	for wire, want := range map[string]string{
		"HTTP/1.1 20\n":                        `bad status at 11: not three digits from 100 on: "HTTP/1.1 20\n"`,
		ok + " : b\r\nX":                       `bad field at 17: white space before a field line: " "`,
		ok + "Content-Length: 1\r\n 2\r\n\r\n": `bad field at 36: folded line in a field that frames the body: "Content-Length: 1\r\n "`,
	} {
		_, _, err := respond(t, Config{Lenient: BareLF | SpaceBeforeColon}, wire, false)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said: %v", want, err)
		}
	}
}

// A CR that ends no line is overlooked by nothing, so it is refused when the next byte
// comes, and not when the line ends.
func TestLenientRefusesCRAtOnce(t *testing.T) {
	const all = BareLF | SpaceBeforeColon | SkipInvalidField | HTTP09
	for _, wire := range []string{ok + "A: b\rC", ok + "A: b\r\n\rC", ok + "\rC"} {
		inBubble(t, Config{Lenient: all}, false, func(r *rig) {
			r.raw(wire) // and the server says nothing more
			req := get("/")
			req.Deadline = time.Now().Add(time.Minute)
			wantError(t, r.c.Do(context.Background(), req, new(Response)), BadField, SentAll)
		})
	}
}

// unsure is a body that does not know how long it is, and has to say something.
type unsure struct{ io.Reader }

func (unsure) Len() int { return -1 }

// The idempotent methods are those of RFC 9110, section 9.2.2, and QUERY, in this case of
// letters alone.
func TestIdempotentMethods(t *testing.T) {
	for method, want := range map[string]bool{
		"": true, "GET": true, "HEAD": true, "OPTIONS": true, "TRACE": true, "PUT": true, "DELETE": true, "QUERY": true,
		"POST": false, "PATCH": false, "LOCK": false, "get": false, "Put": false, "QUERYS": false, "PU": false,
	} {
		q := asked{}
		if err := (&Request{Method: method, Host: "a"}).check(&q); err != nil {
			t.Errorf("%q: %v", method, err)
		} else if q.idempotent != want {
			t.Errorf("%q: %v", method, q.idempotent)
		}
	}
}
