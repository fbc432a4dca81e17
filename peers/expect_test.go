package peers

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"example.com/h1"
)

// waits is a Config whose bodies are held back until the server has spoken.
var waits = &h1.Config{ExpectTimeout: time.Minute}

func expect(t *testing.T, s *server) {
	c := dial(t, "tcp", s.addr, waits)
	for i, length := range []int64{1 << 20, -1} {
		req := &h1.Request{Target: fmt.Sprint("/up/expect", i), Body: &bytesOut{n: 1 << 20}, ContentLength: length}
		body := req.Body.(*bytesOut)
		seen := 0
		req.Header.Set("Expect", "100-continue")
		req.Informational = func(status int, _ *h1.Header) error {
			if seen++; status != 100 || body.read != 0 {
				return fmt.Errorf("%d when %d bytes of the body were read", status, body.read)
			}
			return nil
		}
		put(t, c, req)
		if seen != 1 || body.read != 1<<20 {
			t.Errorf("%d times 100, %d bytes of the body read", seen, body.read)
		}
	}
	reusable(t, c)
}

// expectRefused wants the refusal without a byte of the body having gone out, or else a
// server that asked for it.
func expectRefused(t *testing.T, s *server) {
	c := dial(t, "tcp", s.addr, waits)
	body, asked := &bytesOut{n: 20 << 20}, false
	req := &h1.Request{Method: "PUT", Target: s.small + "x", Body: body, ContentLength: 20 << 20}
	req.Header.Set("Expect", "100-continue")
	req.Informational = func(int, *h1.Header) error { asked = true; return nil }
	var resp h1.Response
	status, _, err := do(bounded(t), c, req, &resp)
	if err != nil || status != 413 {
		t.Fatalf("%d, %v", status, err)
	}
	if body.read != 0 && !asked {
		t.Errorf("%d bytes of the body were read, unasked", body.read)
	}
	next := get(bounded(t), c, "/f/1", fileBody(1))
	if next != nil && !unprocessed(next) {
		t.Errorf("the request after it: %v", next)
	}
	t.Logf("asked: %v, read: %d, next: %v", asked, body.read, next)
}

// tooLarge sends 20 MB to a server that takes 1: the response is got.
func tooLarge(t *testing.T, s *server) {
	for _, length := range []int64{20 << 20, -1} {
		for range 5 {
			c := dial(t, "tcp", s.addr, nil)
			body := &bytesOut{n: 20 << 20}
			req := &h1.Request{Method: "PUT", Target: s.small + "x", Body: body, ContentLength: length}
			var resp h1.Response
			status, _, err := do(bounded(t), c, req, &resp)
			if err != nil || status != 413 {
				var e *h1.Error
				errors.As(err, &e)
				t.Fatalf("length %d: %d, %v, %+v", length, status, err, e)
			}
			// Go on where the connection lives, and where not, know it.
			if err := get(bounded(t), c, "/f/1", fileBody(1)); err != nil && !unprocessed(err) {
				t.Errorf("length %d, the request after it: %v", length, err)
			}
			c.Close()
		}
	}
}
