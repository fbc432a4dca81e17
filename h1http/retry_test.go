package h1http

// retry_test.go: what is sent again.

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"example.com/h1"
)

// hangsUp serves the first request of the first connection, hangs up on its second, and
// serves all that come over other connections. It counts the tries.
func hangsUp(t *testing.T, where string, tries *atomic.Int32) func(net.Conn, *bufio.Reader, int) {
	return func(nc net.Conn, br *bufio.Reader, n int) {
		for i := 0; ; i++ {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			if n > 0 || i > 0 {
				tries.Add(1)
			}
			if n == 0 && i == 1 && where == "part" {
				io.ReadFull(req.Body, make([]byte, 2))
				return
			}
			b, _ := io.ReadAll(req.Body)
			if n == 0 && i == 1 {
				if where == "byte" {
					io.WriteString(nc, "H")
				}
				return
			}
			if req.ContentLength > 0 && string(b) != "hello" {
				t.Errorf("body %q", b)
			}
			io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	}
}

// part returns a body that begins with s, and goes no further.
func part(s string) io.ReadCloser {
	r, w := io.Pipe()
	go io.WriteString(w, s)
	return r
}

// TestRetry: what is sent again after a failure on a connection that was used, and what
// not.
func TestRetry(t *testing.T) {
	type outcome struct {
		ok    bool
		tries int
	}
	for _, test := range []struct {
		name string
		cut  string // where the server hangs up on the second request of a connection
		do   func(*http.Request)
		want outcome
	}{
		{"GET", "head", func(r *http.Request) {}, outcome{true, 2}},
		{"HEAD", "head", func(r *http.Request) { r.Method = "HEAD" }, outcome{true, 2}},
		{"GET, after a byte", "byte", func(r *http.Request) {}, outcome{false, 1}},
		{"DELETE", "head", func(r *http.Request) { r.Method = "DELETE" }, outcome{false, 1}},
		{"POST", "head", func(r *http.Request) { r.Method = "POST" }, outcome{false, 1}},
		{"POST with key", "head", func(r *http.Request) { r.Method = "POST"; r.Header.Set("Idempotency-Key", "x") }, outcome{true, 2}},
		{"POST with X-key", "head", func(r *http.Request) { r.Method = "POST"; r.Header["X-Idempotency-Key"] = nil }, outcome{true, 2}},
		{"GET with GetBody", "body", func(r *http.Request) {
			r.Body = &closeCounter{Reader: strings.NewReader("hello")}
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("hello")), nil }
			r.ContentLength = 5
		}, outcome{true, 2}},
		{"GET with a body that is gone", "body", func(r *http.Request) {
			r.Body = &closeCounter{Reader: strings.NewReader("hello")}
			r.ContentLength = 5
		}, outcome{false, 1}},
		{"GetBody, after a part", "part", func(r *http.Request) {
			r.Body = part("he")
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("hello")), nil }
			r.ContentLength = 5
		}, outcome{true, 2}},
		{"a part is gone", "part", func(r *http.Request) {
			r.Body = part("he")
			r.ContentLength = 5
		}, outcome{false, 1}},
		{"POST of bytes", "body", func(r *http.Request) { *r = *keyed(t, r, bytes.NewReader([]byte("hello"))) }, outcome{true, 2}},
		{"POST of a string", "body", func(r *http.Request) { *r = *keyed(t, r, strings.NewReader("hello")) }, outcome{true, 2}},
		{"GetBody fails", "body", func(r *http.Request) {
			r.Body = &closeCounter{Reader: strings.NewReader("hello")}
			r.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("none") }
			r.ContentLength = 5
		}, outcome{false, 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var tries atomic.Int32
			url, tr := rawRig(t, hangsUp(t, test.cut, &tries))
			get(t, tr, url)
			req := newRequest(t, "GET", url, nil)
			test.do(req)
			body, _ := req.Body.(*closeCounter)
			resp, err := tr.RoundTrip(req)
			if err == nil {
				slurp(t, resp)
			}
			if got := (outcome{err == nil, int(tries.Load())}); got != test.want {
				t.Errorf("%+v, want %+v (%v)", got, test.want, err)
			}
			if e := (*h1.Error)(nil); err != nil && req.GetBody == nil && !errors.As(err, &e) {
				t.Errorf("%v does not say what has failed", err)
			}
			if body != nil {
				eventually(t, "closed once", func() bool { return body.n.Load() == 1 })
			}
		})
	}
}

// TestNoRetryOnNew: a server that hangs up on a new connection means it.
func TestNoRetryOnNew(t *testing.T) {
	var conns atomic.Int32
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
		conns.Add(1)
		readRequest(br)
	})
	_, err := tr.RoundTrip(newRequest(t, "GET", url, nil))
	if !errors.Is(err, h1.Incomplete) || !errors.Is(err, io.EOF) || conns.Load() != 1 {
		t.Errorf("%v, %d connections", err, conns.Load())
	}
}
