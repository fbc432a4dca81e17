package h1

// reuse_test.go: memory that is used again, and what others still hold of it.

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
)

// A Response used again closes its body, whatever its exchange looks like beside the next.
func TestResponseForTheNext(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		ctx := context.Background()
		a, errA := r.c.Send(ctx, get("/a"))
		b, errB := r.c.Send(ctx, get("/b"))
		if errA != nil || errB != nil {
			r.Fatal(errA, errB)
		}
		synctest.Wait()
		b.id = a.id // as fresh memory has it
		b.e.id.Store(a.id)
		r.serve("/a", "/b")
		var resp Response
		if err := a.Wait(ctx, &resp); err != nil {
			r.Fatal(err)
		}
		var body []byte
		var err error
		done := make(chan struct{})
		go func() {
			if err = b.Wait(ctx, &resp); err == nil {
				body, err = resp.AppendBody(nil, -1)
			}
			close(done)
		}()
		synctest.Wait()
		if !is(done) || string(body) != "/b" || err != nil {
			r.Fatalf("ended %v: %q, %v", is(done), body, err)
		}
		r.alive()
	})
}

// A copy of a Response that is used again, or read from, does not touch the exchange that
// has the memory now.
func TestCopiedResponse(t *testing.T) {
	uses := map[string]func(*rig, *Response){
		"reset": func(r *rig, resp *Response) { resp.reset() },
		"Close": func(r *rig, resp *Response) { resp.body.Close() },
		"Read": func(r *rig, resp *Response) {
			n, err := resp.body.Read(make([]byte, 1))
			if n != 0 {
				r.Error("it has read another's body")
			}
			wantError(r, err, Closed, SentAll)
		},
	}
	for name, use := range uses {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			r.warm()
			a := r.begin(context.Background(), get("/a"))
			other := r.begin(context.Background(), get("/other")) // while it lasts, the connection keeps the memory
			r.serve("/a")
			if err := a.x.Wait(context.Background(), &a.resp); err != nil {
				r.Fatal(err)
			}
			old := a.resp
			io.Copy(io.Discard, a.resp.Body)
			b := r.begin(context.Background(), get("/b"))
			if b.x.e != a.x.e {
				r.Fatal("the memory was not used again: not the state that is to be tested")
			}
			r.await(other)
			r.serve("/other")
			r.got(other, "/other")
			r.raw(answer("/b")[:len(answer("/b"))-1])
			if err := b.x.Wait(context.Background(), &b.resp); err != nil {
				r.Fatal(err)
			}
			use(r, &old)
			r.raw("b")
			if body, err := b.resp.AppendBody(nil, -1); string(body) != "/b" || err != nil {
				r.Errorf("%s: %q, %v", name, body, err)
			}
			r.alive()
		})
	}
}

// Closing a body whose exchange was canceled, and is being read for nobody by the one
// behind, leaves it to that one.
func TestCloseOfCanceledBody(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		b := r.begin(context.Background(), get("/b"))
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			r.Fatal(err)
		}
		r.await(b)
		a.x.Cancel()
		synctest.Wait()
		if r.c.reader != b.x.e {
			r.Fatal("not the state that is to be tested")
		}
		go func() {
			a.resp.Body.Close()
			a.over.Store(true)
		}()
		synctest.Wait()
		if !a.over.Load() {
			r.Error("Close waits")
		}
		_, err := a.resp.Body.Read(make([]byte, 1))
		wantError(r, err, Canceled, SentAll)
		r.raw("llo")
		r.serve("/b")
		r.got(b, "/b")
		r.alive()
	})
}

// A body that waits for 100 (Continue) is not waited for any more when its request is taken
// back, before a writer has a byte of it: its goroutine ends.
func TestHeldBodyTakenBack(t *testing.T) {
	inBubble(t, Config{Depth: 4}, true, func(r *rig) {
		r.warm()
		r.c.flushing = true // by a goroutine that the scheduler is slow to run
		req := &Request{Method: "PUT", Host: "x", Body: strings.NewReader("body"), Header: fieldsOf("Expect: 100-continue")}
		req.Header.Add("Long", strings.Repeat("x", 8<<10))
		k := r.begin(context.Background(), req)
		if k.x.e == nil || k.x.e.start < r.c.taken {
			r.Fatal("not the state that is to be tested")
		}
		e := k.x.e
		k.x.Cancel()
		synctest.Wait()
		if e.refs != 1 {
			r.Errorf("its body is still waited for: %d users", e.refs)
		}
		e.wake.Broadcast() // so that the test fails, and not the bubble
		r.c.mu.Lock()
		r.c.flushing = false
		r.c.mu.Unlock()
		r.alive()
	})
}

// answers is a writer that returns what it is told to.
type answers struct {
	n   int
	err error
}

func (w answers) Write([]byte) (int, error) { return w.n, w.err }

// An error of WriteTo's writer is returned as it is, also where the writer took nothing; a
// count that cannot be is none.
func TestWriteToOfNothing(t *testing.T) {
	full := errors.New("full")
	for _, c := range []struct {
		w    answers
		want string
	}{
		{answers{0, full}, "full"},
		{answers{0, nil}, io.ErrShortWrite.Error()},
		{answers{-1, nil}, "the writer's Write returned an impossible count"},
		{answers{1 << 20, nil}, "the writer's Write returned an impossible count"},
	} {
		inBubble(t, Config{}, false, func(r *rig) {
			r.serve("body")
			var resp Response
			if err := r.c.Do(context.Background(), get("/"), &resp); err != nil {
				r.Fatal(err)
			}
			n, err := resp.Body.(io.WriterTo).WriteTo(c.w)
			if n != 0 || err == nil || err.Error() != c.want {
				r.Errorf("%v: %d, %v", c.w, n, err)
			}
		})
	}
}

// Watch lets go of its context when it returns.
func TestWatchLeavesItsContext(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		ctx := &countedContext{Context: context.Background()}
		r.c.Close()
		wantError(r, r.c.Watch(ctx), Closed, SentNothing)
		if ctx.n.Load() != 0 {
			r.Error("the context still has a callback to it")
		}
	})
}

// What an idle connection brings is a 408 only where it begins as a response does, however
// little behind that is there.
func TestUnasked408(t *testing.T) {
	for bytes, want := range map[string]*Error{
		"HTTP/1.1 408":               errIdle408,
		"HTTP/1.0 408 Request Timeo": errIdle408,
		"HTTP/1.1 40":                errUnasked,
		"HTTP/2.0 408 Request Timeo": errUnasked,
		"HTTX/1.1 408 Request Timeo": errUnasked,
	} {
		if err := unasked([]byte(bytes)); err != want {
			t.Errorf("%q: %v", bytes, err)
		}
	}
}

// The body of a response that never came says so, whatever it is to be written to.
func TestWriteToOfNoResponse(t *testing.T) {
	var resp Response
	resp.reset()
	for _, w := range []io.Writer{io.Discard, &net.TCPConn{}} {
		if n, err := resp.Body.(io.WriterTo).WriteTo(w); n != 0 || err != errNoBody {
			t.Errorf("%d, %v", n, err)
		}
	}
}

// The context of Wait may end as the response is there. If its callback comes too late, the
// memory is not another's by then, and the response is left alone.
func TestWaitContextEndsAsResponseComes(t *testing.T) {
	for _, wire := range []string{"HTTP/1.1 204 No Content\r\n\r\n", answer("/a")} {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			r.warm()
			ctx, cancel := context.WithCancel(context.Background())
			a := r.begin(context.Background(), get("/a"))
			other := r.begin(context.Background(), get("/other")) // while it lasts, the connection keeps the memory
			r.raw(wire)
			hook := func() {
				r.c.mu.Lock()
				cancel()
				for range 100 {
					runtime.Gosched() // its callback waits for mu, and whoever reads is quicker
				}
				r.c.mu.Unlock()
			}
			r.s.onRead.Store(&hook)
			if err := a.x.Wait(ctx, &a.resp); err != nil {
				return // the callback was quicker: not the state that is to be tested
			}
			b := r.begin(context.Background(), get("/b"))
			body, err := a.resp.AppendBody(nil, -1)
			if err != nil || wire == answer("/a") && string(body) != "/a" {
				r.Errorf("%q, %v", body, err)
			}
			r.serve("/other", "/b")
			for k, target := range map[*call]string{other: "/other", b: "/b"} {
				r.await(k)
				defer r.got(k, target)
			}
		})
	}
}

// A body that is closed in the midst of what is wrong with it ends the connection: nobody
// behind reads on there.
func TestCloseOfWrongBody(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		a, b := r.begin(context.Background(), get("/a")), r.begin(context.Background(), get("/b"))
		r.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n" + answer("/evil"))
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			r.Fatal(err)
		}
		a.resp.Body.Close()
		r.dead()
		r.await(b)
		r.failed(b, Closed, SentAll)
	})
}

// The connection may be closed while a body's Close reads the last of it.
func TestCloseInClose(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		a := r.begin(context.Background(), get("/a"))
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/")
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			r.Fatal(err)
		}
		r.raw("a")
		last := func() { r.c.Close() }
		r.s.onRead.Store(&last)
		if err := a.resp.Body.Close(); err != nil {
			r.Error(err)
		}
		r.dead()
	})
}
