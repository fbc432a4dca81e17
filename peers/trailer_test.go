package peers

import (
	"bytes"
	"testing"

	"example.com/h1"
)

// trailer sends one and gets it back.
func trailer(t *testing.T, s *server) {
	c := dial(t, "tcp", s.addr, nil)
	for range 3 {
		req := &h1.Request{Method: "POST", Target: s.trailer, Body: bytes.NewReader(big[:100_000])}
		req.Header.Set("Trailer", "X-Sum")
		req.Trailer.Set("X-Sum", "4711")
		var resp h1.Response
		status, body, err := do(bounded(t), c, req, &resp)
		must(t, same(s.trailer, status, body, err, big[:100_000]))
		if got := resp.Trailer.Get("X-Sum"); got != "4711" || resp.Header.Has("X-Sum") {
			t.Fatalf("trailer %q of %d, header %q", got, resp.Trailer.Len(), resp.Header.Get("X-Sum"))
		}
	}
	reusable(t, c)
}
