//go:build !race

package h1

import "testing"

func TestEncodeAllocs(t *testing.T) {
	dst := make([]byte, 0, 4096)
	get, post := benchRequest(), benchRequest()
	post.Method, post.Push, post.ContentLength, post.Close = "POST", true, 1<<40, true
	trailer := benchRequest()
	trailer.Method, trailer.Push = "POST", true
	trailer.Trailer.Add("Digest", "abc")
	trailer.Header.Add("TE", "trailers")
	trailer.Header.Add("Expect", "100-continue")
	for name, r := range map[string]*Request{"get": get, "post": post, "trailer": trailer} {
		n := testing.AllocsPerRun(100, func() {
			var q asked
			if err := r.check(&q); err != nil {
				t.Fatal(err)
			}
			dst = appendHead(dst[:0], r, &q, true)
			dst = appendTrailer(dst, &r.Trailer, true)
		})
		if n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

// A Header that is emptied and filled again uses its memory again.
func TestHeaderAllocs(t *testing.T) {
	var h Header
	fill := func() {
		h.Reset()
		h.Add("Content-Type", "text/plain")
		h.Add("Accept", "*/*")
	}
	fill()
	if n := testing.AllocsPerRun(100, fill); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
