package h1

// fuzz_test.go: one law for each target. The seeds are the examples of the other tests;
// what was found once lies in testdata/fuzz.

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"testing"
)

func addSeeds(f *testing.F, add func(wire string)) {
	for _, c := range responseCases(f) {
		if len(c.Wire) < 4<<10 {
			add(c.Wire)
		}
	}
	add(smallHead)
	add(largeHead)
	add(ok + "A : b\r\n c\nB: \x80\r\nb c\n\r\n")
}

// FuzzHead: however a head is split, and whichever the limits, the result is the same,
// within the limits, no byte is looked at again when one more has come, and leniency
// refuses nothing that is not refused without it, nor any sooner.
func FuzzHead(f *testing.F) {
	addSeeds(f, func(wire string) { f.Add(wire, uint8(0), uint16(0), uint16(7), uint8(200)) })
	addSeeds(f, func(wire string) { f.Add(wire, uint8(15), uint16(40), uint16(30), uint8(2)) })
	f.Fuzz(func(t *testing.T, wire string, bits uint8, maxBytes, at uint16, maxFields uint8) {
		if len(wire) > 2000 {
			return
		}
		lenient, limit, fields := Lenient(bits&15), 1+int(maxBytes), 1+int(maxFields)
		want := headOutcome(wire, lenient, limit, fields)
		if got := headOutcome(wire, lenient, limit, fields, everyByte(wire)...); got != want {
			t.Fatalf("byte by byte: %s\nwhole: %s", got, want)
		}
		if got := headOutcome(wire, lenient, limit, fields, int(at)%(len(wire)+1)); got != want {
			t.Fatalf("split at %d: %s\nwhole: %s", int(at)%(len(wire)+1), got, want)
		}
		if k, again := secondLook(wire, lenient, limit, fields); again > 0 {
			t.Fatalf("at %d: %d bytes to look at again", k, again)
		}
		if strings.HasPrefix(want, faulty) {
			t.Fatal(want)
		}
		if want == "needs more" && len(wire) >= limit {
			t.Fatalf("needs more than %d bytes", limit)
		}
		strict := headOutcome(wire, 0, limit, fields)
		if k := faultAt(strict); k >= 0 && faultAt(want) >= 0 && faultAt(want) < k {
			t.Fatalf("strict: %s\nlenient: %s", strict, want)
		}
		if n, _, ok := strings.Cut(strict, ": "); ok {
			if end := strings.Index(wire, "\r\n\r\n") + 4; n != strconv.Itoa(end) || strict != want {
				t.Fatalf("an empty line ends at %d, strict: %s\nlenient: %s", end, strict, want)
			}
		}
		if bytes.Contains([]byte(want), []byte("too large")) && want != fmt.Sprint("too large at ", limit) {
			if n := strings.Count(wire, "\n"); n <= fields {
				t.Fatalf("%d lines, %d fields: %s", n, fields, want)
			}
		}
	})
}

// faultAt returns the offset in an outcome that is an error, else -1.
func faultAt(outcome string) int {
	_, at, _ := strings.Cut(outcome, " at ")
	n, err := strconv.Atoi(at)
	if err != nil {
		return -1
	}
	return n
}

// FuzzChunked: a chunked body decodes as by a slow plain decoder, however it is split,
// where it lies or not, and as by net/http where both accept it.
func FuzzChunked(f *testing.F) {
	addSeeds(f, func(wire string) {
		if _, body, ok := strings.Cut(wire, "\r\n\r\n"); ok {
			f.Add([]byte(body), uint16(3))
		}
	})
	f.Add([]byte("1;a=\"\\\"\r\"\r\nx\r\n0 \t;\r\n\r\n"), uint16(9))
	f.Add([]byte("000000000000000a ;b\r\n0123456789\r\n0000000000000000\r\n"), uint16(9))
	f.Fuzz(func(t *testing.T, wire []byte, at uint16) {
		if len(wire) > 2000 { // below maxPadding: the twin has no budget
			return
		}
		data, n, got := decodeChunked(wire, 0)
		if d, k, g := decodeChunked(wire, 0, everyByte(string(wire))...); !bytes.Equal(d, data) || g != got || g == "done" && k != n {
			t.Fatalf("byte by byte: %q, %d, %s\nwhole: %q, %d, %s", d, k, g, data, n, got)
		}
		if d, k, g := decodeChunked(wire, 0, int(at)%(len(wire)+1)); !bytes.Equal(d, data) || g != got || g == "done" && k != n {
			t.Fatalf("split: %q, %d, %s\nwhole: %q, %d, %s", d, k, g, data, n, got)
		}
		var there chunkDecoder
		in := bytes.Clone(wire)
		if m, used, bad := there.data(in, in); !bytes.Equal(in[:m], data) || (bad != nil) != (got != "done" && got != "more") || there.last && used != n {
			t.Fatalf("where it lies: %q, %d, %v\nwhole: %q, %d, %s", in[:m], used, bad, data, n, got)
		}
		d, k, err := plainChunked(wire)
		if !bytes.Equal(d, data) || (err == nil) != (got == "done") || (err == io.ErrUnexpectedEOF) != (got == "more") || err == nil && k != n {
			t.Fatalf("plain: %q, %d, %v\nfast: %q, %d, %s", d, k, err, data, n, got)
		}
		if got == "done" {
			r := bufio.NewReader(bytes.NewReader(wire))
			std, err := io.ReadAll(httputil.NewChunkedReader(r))
			if err == nil && !bytes.Equal(std, data) {
				t.Fatalf("net/http: %q\nfast: %q", std, data)
			}
		}
	})
}

var errPlain = errors.New("bad chunk")

// plainChunked is the twin: line by line, with strconv and no state. The number it returns
// is of the bytes up to the trailer section.
func plainChunked(wire []byte) (data []byte, n int, err error) {
	rest := wire
	for {
		line, after, whole := bytes.Cut(rest, []byte("\r\n"))
		digits := len(line) - len(bytes.TrimLeft(line, "0123456789abcdefABCDEF"))
		ext := bytes.TrimLeft(line[digits:], " \t")
		size, sizeErr := strconv.ParseInt("0"+string(line[:digits]), 16, 64)
		switch {
		case digits == 0 && len(rest) == 0:
			return data, 0, io.ErrUnexpectedEOF
		case digits == 0, digits > maxSizeDigits, sizeErr != nil, !plainExt(ext, whole):
			return data, 0, errPlain
		case !whole:
			return data, 0, io.ErrUnexpectedEOF
		case size == 0:
			return data, len(wire) - len(after), nil
		}
		take := min(size, int64(len(after)))
		data, rest = append(data, after[:take]...), after[take:]
		switch {
		case take < size || len(rest) == 0 || string(rest) == "\r":
			return data, 0, io.ErrUnexpectedEOF
		case !bytes.HasPrefix(rest, []byte("\r\n")):
			return data, 0, errPlain
		}
		rest = rest[2:]
	}
}

// plainExt reports whether ext may follow a chunk's size: all of it, or if its end is not
// there yet, the beginning of it.
func plainExt(ext []byte, whole bool) bool {
	if !whole { // a CR at the end may be half of the line's
		if cut, ok := bytes.CutSuffix(ext, []byte("\r")); ok {
			ext, whole = cut, true
		}
	}
	if len(ext) > 0 && ext[0] != ';' {
		return false
	}
	quoted := false
	for i := 0; i < len(ext); i++ {
		switch c := ext[i]; {
		case c != '\t' && c < ' ' || c == 0x7f:
			return false
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted && i+1 < len(ext) && (ext[i+1] == '"' || ext[i+1] == '\\'):
			i++
		case c == '\\' && quoted && i+1 == len(ext):
			return !whole
		}
	}
	return !quoted || !whole
}

// FuzzDifferential: what is accepted strictly, net/http accepts as well, with equal status,
// fields and body, but for the differences listed here.
func FuzzDifferential(f *testing.F) {
	addSeeds(f, func(wire string) { f.Add(wire) })
	f.Fuzz(func(t *testing.T, wire string) {
		if len(wire) > 4000 { // net/http's buffer holds 4096: longer trailers are refused
			return
		}
		var d headDecoder
		var r Response
		d.reset(0, testBytes, testFields)
		n, done, err := d.next([]byte(wire), &r)
		if err != nil || !done {
			return
		}
		fr, err := frame(&r, &asked{})
		if err != nil || differs(wire[:n], &r, fr) {
			return
		}
		std, stdErr := http.ReadResponse(bufio.NewReader(strings.NewReader(wire)), nil)
		if stdErr != nil {
			t.Fatalf("net/http refuses: %v", stdErr)
		}
		defer std.Body.Close()
		if std.StatusCode != r.Status || std.ProtoMinor != r.Minor {
			t.Fatalf("net/http: HTTP/1.%d %d", std.ProtoMinor, std.StatusCode)
		}
		compareFields(t, std, &r)
		compareBody(t, std, &r, fr, wire[n:])
	})
}

// differs lists what net/http is known to see in another way.
func differs(head string, r *Response, f framing) bool {
	for name, value := range r.Header.All() {
		switch {
		case equalFold(name, "Content-Length") && bytes.ContainsAny(value, ", \t"): // refuses lists
			return true
		case equalFold(name, "Trailer"): // refuses some names in it
			return true
		}
	}
	switch {
	case f.ambiguous: // refuses some, and decodes none in HTTP/1.0
		return true
	case strings.Contains(head, "\r\n ") || strings.Contains(head, "\r\n\t"): // joins otherwise
		return true
	case r.Status/100 == 1 || r.Status == 204 || r.Status == 304: // looks at fields that mean nothing
		return true
	}
	return false
}

// compareFields compares but for the fields that net/http takes out, and the order of
// names.
func compareFields(t *testing.T, std *http.Response, r *Response) {
	got := http.Header{}
	for name, value := range r.Header.All() {
		key := http.CanonicalHeaderKey(string(name))
		if key != "Transfer-Encoding" {
			got[key] = append(got[key], string(value))
		}
	}
	for _, name := range []string{"Content-Length", "Connection"} { // one of equal ones; none of "close"
		delete(got, name)
		std.Header.Del(name)
	}
	if fmt.Sprint(got) != fmt.Sprint(std.Header) {
		t.Fatalf("fields %q\nnet/http: %q", got, std.Header)
	}
}

// compareBody compares bodies that both can read to their end.
func compareBody(t *testing.T, std *http.Response, r *Response, f framing, rest string) {
	if r.ContentLength != std.ContentLength {
		t.Fatalf("content length %d, net/http: %d", r.ContentLength, std.ContentLength)
	}
	body, err := io.ReadAll(std.Body)
	if err != nil {
		return
	}
	var got string
	switch f.kind {
	case framingClose:
		got = rest
	case framingLength:
		got = rest[:min(f.length, int64(len(rest)))]
	case framingChunked:
		data, _, why := decodeChunked([]byte(rest), 0)
		if why != "done" {
			return // stricter
		}
		got = string(data)
	}
	if got != string(body) {
		t.Fatalf("%s: %q\nnet/http: %q", f.kind, got, body)
	}
}
