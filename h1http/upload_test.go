package h1http

// upload_test.go: whose a request's body is.

import (
	"bytes"
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
