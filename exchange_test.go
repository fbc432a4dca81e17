package h1

import (
	"context"
	"strings"
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

// A request with its body that waits in the buffer leaves it whole when it is canceled: what
// says that nothing was sent is not written afterwards.
func TestCanceledBodyIsNotWritten(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		ctx := context.Background()
		x, err := r.c.Send(ctx, &Request{Method: "PUT", Target: "/a", Host: "x", Body: strings.NewReader("body")})
		if err != nil {
			t.Fatal(err)
		}
		x.Cancel()
		var resp Response
		bad, ok := x.Wait(ctx, &resp).(*Error)
		synctest.Wait()
		if took := string(r.s.receive(1 << 20)); !ok || (took == "") != bad.Unprocessed() {
			t.Errorf("%v, and the server received %q", bad, took)
		}
		r.alive()
	})
}

// What had been read before a request was appended does not answer it, also where others
// are in flight.
func TestAnsweredBeforeItWasSent(t *testing.T) {
	inBubble(t, Config{Depth: 2}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		r.raw(answer("/a") + answer("/evil")) // one packet
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			t.Fatal(err)
		}
		if got := r.took(); got != "GET /a;" {
			t.Fatal(got)
		}
		b := r.begin(context.Background(), get("/b")) // all of /evil has been read by now
		if b.err != nil {
			t.Fatal(b.err)
		}
		if body, err := a.resp.AppendBody(nil, -1); string(body) != "/a" || err != nil {
			t.Fatal(body, err)
		}
		r.await(b)
		r.failed(b, Unsolicited, SentAll)
		r.dead()
	})
}

// TestWaitBehindAbandoned: a request that may not be written behind a response that was
// abandoned does not wait for ever for somebody to read it: neither one that is in line
// when the last reader leaves, nor one that comes later.
func TestWaitBehindAbandoned(t *testing.T) {
	post := func() *Request {
		req := get("/post")
		req.Method = "POST"
		return req
	}
	for _, inLine := range []bool{true, false} {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			r.warm()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			a, b := r.begin(context.Background(), get("/a")), r.begin(ctx, get("/b"))
			r.await(a)
			r.await(b)
			var p *call
			if inLine {
				p = r.begin(context.Background(), post())
			}
			cancel()
			synctest.Wait()
			r.failed(b, Canceled, SentAll)
			r.serve("/a")
			r.got(a, "/a")
			if !inLine {
				p = r.begin(context.Background(), post())
			}
			r.failed(p, Closed, SentNothing)
			r.dead()
		})
	}
}
