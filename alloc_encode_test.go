//go:build !race

package h1

import (
	"strconv"
	"testing"
)

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

// To replace or remove a field takes no more allocations among a thousand than among three,
// and to add one to those that are left takes none.
func TestHeaderChangeAllocs(t *testing.T) {
	for _, fields := range []int{3, 1000} {
		var h Header
		for i := range fields {
			h.Add("X-Field-"+strconv.Itoa(i), "value")
		}
		n := testing.AllocsPerRun(100, func() {
			h.Set("X-Field-1", "other")
			h.Del("X-Field-2")
			h.Add("X-Field-2", "value")
		})
		if n > 6 {
			t.Errorf("%d fields: %v allocations, want 6", fields, n)
		}
	}
}
