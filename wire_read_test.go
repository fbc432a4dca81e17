package h1

// wire_read_test.go: how a wire script reads a response.
//
// Rule: a result is all there is to say: a head's framing and its close, every byte of a
// body and how it ended, every field of a trailer. Of a head's fields, those named.

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

func wireHead(r *wireRun, s *wireStep) (func() string, error) {
	x, err := r.exchange(s)
	return func() string {
		x.asked = true
		if err := x.Wait(x.ctx, &x.resp); err != nil {
			return wireErr(err, s.want, x.req.Method)
		}
		return x.head(s.want)
	}, err
}

// head writes a response's head: status, framing, "close", "1.0", and the reason and
// the fields that want names.
func (x *wireExchange) head(want []string) string {
	p := &x.resp
	out := []string{strconv.Itoa(p.Status)}
	switch te := strings.ToLower(p.Header.Get("Transfer-Encoding")); {
	case p.Status == 101, x.req.Method == "CONNECT" && p.Status/100 == 2:
		out = append(out, "switched")
	case p.ContentLength >= 0:
		out = append(out, "length="+strconv.FormatInt(p.ContentLength, 10))
	case strings.HasSuffix(te, "chunked"):
		out = append(out, "chunked")
	default:
		out = append(out, "unsized")
	}
	if p.Close {
		out = append(out, "close")
	}
	if p.Minor != 1 {
		out = append(out, "1."+strconv.Itoa(p.Minor))
	}
	for _, w := range want {
		switch name, _, ok := strings.Cut(w, "="); {
		case !ok || name == "length":
		case name == "reason":
			out = append(out, "reason="+wireWord(string(p.Reason())))
		case !p.Header.Has(name):
			out = append(out, name+" is missing")
		default:
			out = append(out, name+"="+wireWord(p.Header.Get(name)))
		}
	}
	return strings.Join(out, " ")
}

// wireRead reads as many bytes as are wanted, and then once more where an end is wanted:
//
//	read = "hello"    read = "hello" then EOF    read = EOF Sum=1
func wireRead(r *wireRun, s *wireStep) (func() string, error) {
	x, err := r.exchange(s)
	if err != nil {
		return nil, err
	}
	want := s.want
	var data []byte
	quoted := len(want) > 0 && want[0][0] == '"'
	if quoted {
		if data, err = wireData(want[0]); err != nil {
			return nil, err
		}
		if want = want[1:]; len(want) > 0 {
			if want[0] != "then" || len(want) == 1 {
				return nil, fmt.Errorf("read = ... %s", want[0])
			}
			want = want[1:]
		}
	}
	return func() string {
		got, err := x.readFull(len(data))
		if err == nil && (!quoted || len(want) > 0) {
			var more []byte
			more, err = x.readSome()
			got = append(got, more...)
		}
		return wireBytesThen(got, quoted, x.ended(err, want))
	}, nil
}

// wireBytesThen writes what was read, and how it ended.
func wireBytesThen(got []byte, always bool, end string) string {
	switch {
	case len(got) == 0 && !always:
		return end
	case end == "":
		return strconv.Quote(string(got))
	}
	return strconv.Quote(string(got)) + " then " + end
}

// readFull reads n bytes, unless there is an error before.
func (x *wireExchange) readFull(n int) (got []byte, err error) {
	buf := make([]byte, n)
	m, idle := 0, 0
	for m < n && !x.eof {
		var k int
		k, err = x.resp.Body.Read(buf[m:])
		if m += k; err == io.EOF && k > 0 {
			x.eof, err = true, nil
		}
		if idle++; k > 0 {
			idle = 0
		}
		if err != nil || idle > 100 {
			break
		}
	}
	return buf[:m], err
}

// readSome reads until there is a byte or an error.
func (x *wireExchange) readSome() ([]byte, error) {
	if x.eof {
		return nil, io.EOF
	}
	buf := make([]byte, 512)
	for range 100 {
		if n, err := x.resp.Body.Read(buf); n > 0 || err != nil {
			return buf[:n], err
		}
	}
	return nil, io.ErrNoProgress
}

// ended writes the end of a body: EOF and the trailer, or an error.
func (x *wireExchange) ended(err error, want []string) string {
	if err != io.EOF {
		if err == nil {
			return ""
		}
		return wireErr(err, want, x.req.Method)
	}
	out := "EOF"
	for k, v := range x.resp.Trailer.All() {
		out += " " + string(k) + "=" + wireWord(string(v))
	}
	return out
}

// wireReadAll is AppendBody, with a limit or without; an end that is not EOF and a
// trailer are written behind "then".
func wireReadAll(r *wireRun, s *wireStep) (func() string, error) {
	x, err := r.exchange(s)
	limit := int64(-1)
	if len(s.args) > 0 && err == nil {
		limit, err = strconv.ParseInt(strings.TrimPrefix(s.args[0], "max="), 10, 64)
	}
	return func() string {
		got, err := x.resp.AppendBody(nil, limit)
		return x.whole(got, err, s.want)
	}, err
}

func wireWriteTo(r *wireRun, s *wireStep) (func() string, error) {
	x, err := r.exchange(s)
	return func() string {
		var got strings.Builder
		w, ok := x.resp.Body.(io.WriterTo)
		if !ok {
			return "no WriterTo"
		}
		n, err := w.WriteTo(&got)
		if n != int64(got.Len()) {
			return fmt.Sprintf("%d bytes, and says %d", got.Len(), n)
		}
		return x.whole([]byte(got.String()), err, s.want)
	}, err
}

func (x *wireExchange) whole(got []byte, err error, want []string) string {
	if err == nil && x.resp.Trailer.Len() == 0 {
		return strconv.Quote(string(got))
	}
	if err == nil {
		err = io.EOF
	}
	if len(want) > 2 && want[1] == "then" {
		want = want[2:]
	}
	return wireBytesThen(got, true, x.ended(err, want))
}

func wireBodyClose(r *wireRun, s *wireStep) (func() string, error) {
	x, err := r.exchange(s)
	return func() string { return wireErr(x.resp.Body.Close(), s.want, x.req.Method) }, err
}
