//go:build unix

package h1

// splice_twice_test.go: a body on its way from socket to socket, and what may happen to
// either.

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// spliceFrom makes a request whose response's head has been read, and nothing else; some of
// its body is on its way.
func spliceFrom(t *testing.T, framing string, sent int) (d *dialed, resp *Response, out, sink net.Conn) {
	d = dialUp(t, "tcp", nil)
	out, sink = ends(t, "tcp")
	resp = &Response{}
	go func() {
		d.head()
		io.WriteString(d.server, "HTTP/1.1 200 OK\r\n"+framing+"\r\n")
	}()
	req := get("/a")
	req.Deadline = time.Now().Add(10 * time.Second)
	if err := d.c.Do(context.Background(), req, resp); err != nil {
		t.Fatal(err)
	}
	go d.server.Write(make([]byte, sent))
	return d, resp, out, sink
}

// A second WriteTo finds the end that the first did; after Close it fails, as Read does.
func TestSpliceAgain(t *testing.T) {
	d, resp, out, sink := spliceFrom(t, "Content-Length: 100000\r\n", 100000)
	go io.Copy(io.Discard, sink)
	body := resp.Body.(io.WriterTo)
	for i, want := range []int64{100000, 0} {
		if n, err := body.WriteTo(out); n != want || err != nil {
			t.Errorf("%d: %d, %v", i, n, err)
		}
	}
	d.exchange("/b", answer("/b"), "/b")

	_, resp, out, _ = spliceFrom(t, "Content-Length: 100000\r\n", 0)
	resp.Body.Close()
	n, err := resp.Body.(io.WriterTo).WriteTo(out)
	if wantError(t, err, Closed, SentAll); n != 0 {
		t.Errorf("%d bytes of a closed body", n)
	}
}

// Another goroutine's Close ends it, as it ends Read.
func TestSpliceClosed(t *testing.T) {
	d, resp, out, sink := spliceFrom(t, "Content-Length: 200000\r\n", 100000)
	go func() {
		io.ReadFull(sink, make([]byte, 100000)) // all has passed
		resp.Body.Close()
	}()
	n, err := resp.Body.(io.WriterTo).WriteTo(out)
	if wantError(t, err, Canceled, SentAll); n != 100000 || !d.c.State().Closed() {
		t.Errorf("%d bytes, %v", n, d.c.State())
	}
}
