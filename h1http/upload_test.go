package h1http

// upload_test.go: whose a request's body is.

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestBodyPassedOn: an attempt whose body the next one has takes no byte of it, and does
// not close it.
func TestBodyPassedOn(t *testing.T) {
	body := &closeCounter{Reader: strings.NewReader("hello")}
	req := newRequest(t, "POST", "http://x.example", body)
	first := newUpload(req)
	next, err := first.next(req)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := first.Read(make([]byte, 1)); n != 0 || err != errBodyClosed {
		t.Errorf("the first: %d, %v", n, err)
	}
	if first.mayRepeat(req) {
		t.Error("the first would do that again")
	}
	if first.close(); body.n.Load() != 0 {
		t.Error("the first has closed it")
	}
	if b, err := io.ReadAll(readerFunc(next.read)); err != nil || string(b) != "hello" {
		t.Errorf("the next: %q, %v", b, err)
	}
	if next.close(); body.n.Load() != 1 {
		t.Errorf("closed %d times", body.n.Load())
	}
}

// TestHandedOverBare: which bodies the engine is given as they are, to send them with the
// head, and which it reads through an upload.
func TestHandedOverBare(t *testing.T) {
	bytesOf := func(n int) *http.Request {
		return newRequest(t, "POST", "http://x.example", bytes.NewReader(make([]byte, n)))
	}
	for name, k := range map[string]struct {
		req     *http.Request
		change  func(*http.Request)
		watched bool
		bare    bool
	}{
		"bytes":          {bytesOf(5), nil, false, true},
		"longest":        {bytesOf(mostCopied), nil, false, true},
		"too long":       {bytesOf(mostCopied + 1), nil, false, false},
		"traced":         {bytesOf(5), nil, true, false},
		"one-time":       {bytesOf(5), func(r *http.Request) { r.GetBody = nil }, false, false},
		"expects":        {bytesOf(5), func(r *http.Request) { r.Header.Set("Expect", "100-continue") }, false, false},
		"chunked":        {bytesOf(5), func(r *http.Request) { r.ContentLength = -1 }, false, false},
		"shorter":        {bytesOf(5), func(r *http.Request) { r.ContentLength = 6 }, false, false},
		"another's type": {bytesOf(5), func(r *http.Request) { r.Body = &closeCounter{Reader: r.Body} }, false, false},
		"string":         {newRequest(t, "POST", "http://x.example", strings.NewReader("hello")), nil, false, true},
	} {
		if k.change != nil {
			k.change(k.req)
		}
		up := newUpload(k.req)
		up.call = new(call)
		if got := up.reader(k.req, k.watched); (got != io.Reader(up)) != k.bare || up.began != k.bare {
			t.Errorf("%s: a %T, begun: %v", name, got, up.began)
		}
	}
}

// lateBody is a body whose first Read takes so long.
type lateBody struct {
	takes time.Duration
	over  bool
}

func (b *lateBody) Read([]byte) (int, error) {
	time.Sleep(b.takes)
	b.over = true
	return 0, io.EOF
}

// TestSniffAfterError: a request that is refused while its body is sniffed at waits for
// that Read, if it returns soon.
func TestSniffAfterError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		url, _, c := pipeConn(t, answers(okAnswer))
		body := &lateBody{takes: sniffTime + closeGrace/2}
		req := newRequest(t, http.MethodGet, url, body)
		req.Host = "\xff" // found only then
		if _, err := c.RoundTrip(req); err == nil || !body.over {
			t.Errorf("%v, and the Read is over: %v", err, body.over)
		}
	})
}

// TestSniffed: what the sniffing Read has returned is what the engine reads first; while it
// is under way the body is no other attempt's.
func TestSniffed(t *testing.T) {
	broken := errors.New("broken body")
	for _, first := range []result{{"x", io.EOF}, {"x", broken}, {"", broken}, {"x", nil}} {
		reads := 0
		body := readerFunc(func(p []byte) (int, error) {
			if reads++; reads > 1 {
				return copy(p, "more"), io.EOF
			}
			return copy(p, first.data), first.err
		})
		req := newRequest(t, "GET", "http://x.example", body)
		up, err := newUpload(req).sniff(req)
		if err != nil || up == nil {
			t.Fatalf("%v: %v %v", first, up, err)
		}
		want := first
		if first.err == nil {
			want = result{"xmore", io.EOF}
		}
		var got result
		for b := make([]byte, 9); got.err == nil; {
			var n int
			n, got.err = up.read(b)
			got.data += string(b[:n])
		}
		if got != want {
			t.Errorf("%v: read %v", first, got)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		req := newRequest(t, "GET", "http://x.example", &lateBody{takes: 2 * sniffTime})
		if up, err := newUpload(req).sniff(req); err != nil || up.mayRepeat(req) {
			t.Errorf("%v, or it may be passed on under a Read", err)
		}
		time.Sleep(2 * sniffTime)
	})
}

// TestUploadClosedAtItsEnd: a body that is closed, more than once, under the Read that
// finds its end is closed once, and sends no trailer that may be the caller's again.
func TestUploadClosedAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := &lateBody{takes: time.Second}
		counter := &closeCounter{Reader: body}
		req := newRequest(t, "POST", "http://x.example", counter)
		req.ContentLength = -1
		up := newUpload(req)
		up.call = &call{up: up, hreq: req}
		go func() {
			time.Sleep(time.Second / 2)
			up.close()
			up.close()
		}()
		if _, err := up.Read(make([]byte, 1)); err != errBodyClosed || !body.over || counter.n.Load() != 1 {
			t.Errorf("%v, over %v, closed %d times", err, body.over, counter.n.Load())
		}
	})
}
