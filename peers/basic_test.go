package peers

import (
	"fmt"
	"testing"

	"example.com/h1"
)

func sequential(t *testing.T, s *server) {
	c, ctx := dial(t, "tcp", s.addr, nil), bounded(t)
	for n := range 100 {
		must(t, get(ctx, c, fmt.Sprint("/f/", n), fileBody(n)))
		if err := c.Err(); err != nil {
			t.Fatalf("after request %d: %v", n, err)
		}
	}
	if st := c.Stats(); st.Requests != 100 || st.Responses != 100 || st.InFlight != 0 || !c.State().Idle() {
		t.Errorf("%+v, %v", st, c.State())
	}
}

func head(t *testing.T, s *server) {
	c := dial(t, "tcp", s.addr, nil)
	var resp h1.Response
	status, body, err := do(bounded(t), c, &h1.Request{Method: "HEAD", Target: "/big"}, &resp)
	if err != nil || status != 200 || len(body) != 0 || resp.ContentLength != bigSize {
		t.Fatalf("HEAD: %d, %d bytes, length %d, %v", status, len(body), resp.ContentLength, err)
	}
	status, body, err = do(bounded(t), c, &h1.Request{Method: "HEAD", Target: "/chunked/big"}, &resp)
	if err != nil || status != 200 || len(body) != 0 {
		t.Fatalf("HEAD, chunked: %d, %d bytes, %v", status, len(body), err)
	}
	reusable(t, c)
}

func missing(t *testing.T, s *server) {
	c := dial(t, "tcp", s.addr, nil)
	for _, method := range []string{"GET", "HEAD"} {
		var resp h1.Response
		status, body, err := do(bounded(t), c, &h1.Request{Method: method, Target: "/missing"}, &resp)
		if err != nil || status != 404 || (method == "GET") != (len(body) > 0) {
			t.Fatalf("%s: %d, %d bytes, %v", method, status, len(body), err)
		}
	}
	reusable(t, c)
}

func chunked(t *testing.T, s *server) {
	c := dial(t, "tcp", s.addr, nil)
	var resp h1.Response
	for _, n := range []int{0, 7, 199} {
		target := fmt.Sprint("/chunked/f/", n)
		status, body, err := do(bounded(t), c, &h1.Request{Target: target}, &resp)
		must(t, same(target, status, body, err, fileBody(n)))
		if te := resp.Header.Get("Transfer-Encoding"); !s.sums && (te != "chunked" || resp.ContentLength != -1) {
			t.Errorf("Transfer-Encoding %q, length %d", te, resp.ContentLength)
		}
	}
	must(t, c.Do(bounded(t), &h1.Request{Target: "/chunked/big", Host: "peer.test"}, &resp))
	if te := resp.Header.Get("Transfer-Encoding"); te != "chunked" || resp.ContentLength != -1 {
		t.Errorf("big: Transfer-Encoding %q, length %d", te, resp.ContentLength)
	}
	body, err := resp.AppendBody(nil, 2*bigSize)
	must(t, same("/chunked/big", resp.Status, body, err, big))
	reusable(t, c)
}

// unixSocket is for a server that listens on one, where get finds the same.
func unixSocket(t *testing.T, path string) {
	c := dial(t, "unix", path, &h1.Config{Depth: 8})
	workers(t, func(n int) error { return get(bounded(t), c, target(n), fileBody(n)) })
	must(t, get(bounded(t), c, "/big", big))
	must(t, c.Probe())
	reusable(t, c)
}
