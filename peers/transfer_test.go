package peers

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"example.com/h1"
)

func download(t *testing.T, s *server) {
	c := dial(t, "tcp", s.addr, nil)
	for _, target := range []string{"/big", "/chunked/big"} {
		must(t, get(bounded(t), c, target, big))
		var resp h1.Response // and by WriteTo
		must(t, c.Do(bounded(t), &h1.Request{Target: target, Host: "peer.test"}, &resp))
		var got bytes.Buffer
		_, err := io.Copy(&got, resp.Body)
		must(t, same(target, resp.Status, got.Bytes(), err, big))
	}
	reusable(t, c)
}

// put wants a body to be stored.
func put(t *testing.T, c *h1.Conn, req *h1.Request) {
	t.Helper()
	var resp h1.Response
	req.Method = "PUT"
	status, body, err := do(bounded(t), c, req, &resp)
	if err != nil || status != 201 && status != 204 {
		t.Fatalf("PUT %s: %d %.300q, %v", req.Target, status, body, err)
	}
}

func upload(t *testing.T, s *server) {
	c := dial(t, "tcp", s.addr, nil)
	put(t, c, &h1.Request{Target: "/up/length", Body: bytes.NewReader(big)})
	must(t, get(bounded(t), c, "/up/length", big))
	put(t, c, &h1.Request{Target: "/up/chunked", Body: bytes.NewReader(big[1:]), ContentLength: -1})
	must(t, get(bounded(t), c, "/up/chunked", big[1:]))
	put(t, c, &h1.Request{Target: "/up/short", Body: bytes.NewReader(big[:10])})
	must(t, get(bounded(t), c, "/up/short", big[:10]))
	put(t, c, &h1.Request{Target: "/up/empty", Body: bytes.NewReader(nil), ContentLength: -1})
	must(t, get(bounded(t), c, "/up/empty", nil))
	push(t, c)
	reusable(t, c)
}

// push sends a body by Exchange.Write.
func push(t *testing.T, c *h1.Conn) {
	t.Helper()
	ctx := bounded(t)
	x, err := c.Send(ctx, &h1.Request{Method: "PUT", Target: "/up/push", Host: "peer.test", Push: true})
	must(t, err)
	for part := big; len(part) > 0; {
		n, err := x.Write(part[:min(len(part), 100_000)])
		must(t, err)
		part = part[n:]
	}
	must(t, x.CloseWrite())
	var resp h1.Response
	must(t, x.Wait(ctx, &resp))
	if resp.Status != 201 && resp.Status != 204 {
		t.Fatalf("pushed: %d", resp.Status)
	}
	must(t, resp.Body.Close())
	must(t, get(ctx, c, "/up/push", big))
}

// duplex has both bodies on their way at once: the server answers with what it is sent, and
// more than fits into the sockets.
func duplex(t *testing.T, s *server) {
	c := dial(t, "tcp", s.addr, nil)
	var resp h1.Response
	status, body, err := do(bounded(t), c, &h1.Request{Method: "POST", Target: s.trailer,
		Body: bytes.NewReader(big), ContentLength: -1}, &resp)
	must(t, same(s.trailer, status, body, err, big))
	reusable(t, c)
}

// bytesOut is a reader of n bytes that counts what was read of it. It has no Len.
type bytesOut struct{ n, read int }

func (b *bytesOut) Read(p []byte) (int, error) {
	n := copy(p, big[:min(len(p), b.n-b.read)])
	if b.read += n; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// unprocessed reports whether the request of an error may be sent again whatever it is.
func unprocessed(err error) bool {
	var e *h1.Error
	return errors.As(err, &e) && e.Unprocessed()
}
