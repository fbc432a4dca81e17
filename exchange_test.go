package h1

import (
	"context"
	"testing"
	"testing/synctest"
)

// What is read for nobody leaves nothing behind in the Response it was read with.
func TestNothingOfAnother(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		ctx := context.Background()
		a, err := r.c.Send(ctx, get("/a"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := r.c.Send(ctx, get("/b"))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		a.Cancel()
		r.raw("HTTP/1.1 200 Of a\r\nOf: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nOf: a\r\n\r\n" + answer("/b"))
		var resp Response
		if err := b.Wait(ctx, &resp); err != nil {
			t.Fatal(err)
		}
		if body, err := resp.AppendBody(nil, -1); string(body) != "/b" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
		if resp.Trailer.Len() != 0 || resp.Header.Has("Of") || string(resp.Reason()) == "Of a" {
			t.Errorf("/b has the trailer %q, the header %q, the reason %q", resp.Trailer.buf, resp.Header.buf, resp.Reason())
		}
	})
}
