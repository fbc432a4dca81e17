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

// What was appended behind a write that is handed to another is kept behind it.
func TestAppendedBehindHandedOn(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		r.s.setWindow(0)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		a := r.begin(ctx, get("/a"))
		b := r.begin(context.Background(), get("/b"))
		r.s.setWindow(len("GET /a HTTP/1.1\r\nHost: x\r\n\r\n") + 5)
		synctest.Wait() // a's write is at work for b
		c := r.begin(context.Background(), get("/c"))
		r.await(a)
		r.await(b)
		r.await(c)
		cancel()
		r.failed(a, Canceled, SentAll)
		r.s.setWindow(wireWindow)
		synctest.Wait()
		if got := r.took(); got != "GET /a;GET /b;GET /c;" {
			t.Errorf("the server received %q", got)
		}
		r.serve("/a", "/b", "/c")
		r.got(b, "/b")
		r.got(c, "/c")
		r.alive()
	})
}

// One that no write has taken yet is not sent once it was canceled, though others are
// written and read.
func TestCanceledBehindOthersWrite(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		r.s.setWindow(3)
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		b := r.begin(context.Background(), get("/b"))
		r.await(b)
		b.x.Cancel()
		r.failed(b, Canceled, SentNothing)
		r.s.setWindow(wireWindow)
		synctest.Wait()
		if got := r.took(); got != "GET /a;" {
			t.Errorf("the server received %q", got)
		}
		r.serve("/a")
		r.got(a, "/a")
		r.alive()
	})
}
