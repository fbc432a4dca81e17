package h1

// misuse_test.go: what a caller does wrong, or too late, is said to it, and costs the
// connection no more than it must.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A request that may not be sent, or that is too late, is refused; not a byte of it is
// written, and the connection serves the next.
func TestRefusedBeforeTheFirstByte(t *testing.T) {
	over, cancel := context.WithCancelCause(context.Background())
	why := errors.New("enough")
	cancel(why)
	for _, c := range []struct {
		name string
		ctx  func() context.Context
		req  *Request
		resp *Response
		kind Kind
		is   error
	}{
		{"no Response", context.Background, get("/a"), nil, BadRequest, nil},
		{"context canceled", func() context.Context { return over }, get("/a"), &Response{}, Canceled, why},
		{"context's deadline", func() context.Context {
			ctx, stop := context.WithDeadline(context.Background(), time.Now())
			stop()
			return ctx
		}, get("/a"), &Response{}, Timeout, context.DeadlineExceeded},
		{"body shorter than said", context.Background,
			&Request{Method: "PUT", Host: "x", Body: strings.NewReader("abc"), ContentLength: 4}, &Response{}, BadRequest, nil},
		{"body longer than said", context.Background,
			&Request{Method: "PUT", Host: "x", Body: strings.NewReader("abc"), ContentLength: 2}, &Response{}, BadRequest, nil},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			inBubble(t, Config{}, false, func(r *rig) {
				err := r.c.Do(c.ctx(), c.req, c.resp)
				wantError(t, err, c.kind, SentNothing)
				if c.is != nil && !errors.Is(err, c.is) {
					t.Errorf("%v is not %v", err, c.is)
				}
				if n := r.s.writes.Load(); n != 0 {
					t.Errorf("there were %d writes", n)
				}
				r.alive()
			})
		})
	}
}

// Wait without a Response takes nothing from the exchange: it can be waited for again.
func TestWaitWithoutResponse(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		k := r.begin(context.Background(), get("/a"))
		err := k.x.Wait(context.Background(), nil)
		wantError(t, err, BadRequest, SentAll)
		if err.(*Error).Unprocessed() || err.(*Error).Retryable("POST") {
			t.Error("what is on its way may be sent again")
		}
		r.serve("/a")
		r.await(k)
		r.got(k, "/a")
		r.alive()
	})
}

// One goroutine at a time writes a pushed body, and none does after its end. Who breaks
// that is told so, and nothing else happens.
func TestPushOutOfTurn(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		r.s.setWindow(200)
		k := r.begin(context.Background(), &Request{Method: "POST", Host: "x", Push: true, ContentLength: 1000})
		first := make(chan error, 1)
		go func() {
			_, err := k.x.Write(make([]byte, 1000)) // it waits for the window
			first <- err
		}()
		synctest.Wait()
		n, err := k.x.Write([]byte("x"))
		wantError(t, err, BadRequest, SentPart)
		wantError(t, k.x.CloseWrite(), BadRequest, SentPart)
		if n != 0 || len(first) != 0 {
			t.Errorf("%d bytes were taken; the first Write has returned: %v", n, len(first) == 1)
		}
		r.s.setWindow(wireWindow)
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		if err := k.x.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		_, err = k.x.Write([]byte("x"))
		wantError(t, err, BadRequest, SentAll)
		wantError(t, k.x.CloseWrite(), BadRequest, SentAll)
		if op := err.(*Error).Op; op != "write body" {
			t.Errorf("it is told of %q", op)
		}
		if _, body, _ := bytes.Cut(r.s.receive(1<<20), []byte("\r\n\r\n")); len(body) != 1000 {
			t.Errorf("the server got %d bytes", len(body))
		}
		r.serve("/a")
		r.await(k)
		r.got(k, "/a")
		r.alive()
	})
}

// A limitedWriter takes so many bytes, and says so, with an error or without.
type limitedWriter struct {
	room int
	err  error
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	n := min(w.room, len(p))
	w.room -= n
	if n < len(p) {
		return n, w.err
	}
	return n, nil
}

// A writer that fails ends WriteTo with its own error and what it took; the connection is
// well, and the body may be closed.
func TestWriteToFails(t *testing.T) {
	full := errors.New("full")
	for _, c := range []struct{ err, want error }{{full, full}, {nil, io.ErrShortWrite}} {
		inBubble(t, Config{}, false, func(r *rig) {
			r.serve("0123456789")
			var resp Response
			if err := r.c.Do(context.Background(), get("/"), &resp); err != nil {
				t.Fatal(err)
			}
			n, err := resp.Body.(io.WriterTo).WriteTo(&limitedWriter{3, c.err})
			if n != 3 || err != c.want {
				t.Errorf("%d, %v, want 3, %v", n, err, c.want)
			}
			resp.Body.Close()
			r.alive()
		})
	}
}

// The same where the writer is a socket, into which the kernel moves nothing for a stream
// that is none.
func TestWriteToFailsIntoASocket(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		length := spliceLeast + 4
		r.raw(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", length))
		var resp Response
		if err := r.c.Do(context.Background(), get("/"), &resp); err != nil {
			t.Fatal(err)
		}
		r.raw("some")
		n, err := resp.Body.(io.WriterTo).WriteTo(&net.TCPConn{})
		if n != 0 || err == nil || r.c.Err() != nil {
			t.Errorf("%d, %v; the connection: %v", n, err, r.c.Err())
		}
		r.raw(strings.Repeat("x", length-4))
		resp.Body.Close()
		r.next("/next")
	})
}

// WriteTo says how much there was of a body that is cut off.
func TestWriteToOfHalf(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
		r.s.fail(io.EOF)
		var resp Response
		if err := r.c.Do(context.Background(), get("/"), &resp); err != nil {
			t.Fatal(err)
		}
		n, err := resp.Body.(io.WriterTo).WriteTo(io.Discard)
		wantError(t, err, Incomplete, SentAll)
		if n != 4 {
			t.Errorf("%d bytes", n)
		}
	})
}

// A body says of itself how long it is, so that it is read at once, before anything is
// written.
type sizedBody struct {
	left int
	read func(p []byte) (int, error)
}

func (b *sizedBody) Len() int                   { return b.left }
func (b *sizedBody) Read(p []byte) (int, error) { return b.read(p) }

// A short body that fails is found out before the head goes out: nothing was sent, and the
// connection serves the next request.
func TestSmallBodyFails(t *testing.T) {
	broken := errors.New("disk on fire")
	for _, c := range []struct {
		name string
		read func(p []byte) (int, error)
		want error
	}{
		{"error", func(p []byte) (int, error) { return 0, broken }, broken},
		{"error after some bytes", func(p []byte) (int, error) { return copy(p, "ab"), broken }, broken},
		{"shorter than its Len", func(p []byte) (int, error) { return copy(p, "ab"), io.EOF }, errShort},
		{"empty in spite of its Len", func(p []byte) (int, error) { return 0, io.EOF }, errShort},
	} {
		for _, depth := range []int{1, 4} {
			inBubble(t, Config{Depth: depth}, false, func(r *rig) {
				r.warm()
				writes, requests := r.s.writes.Load(), r.c.Stats().Requests
				_, err := r.c.Send(context.Background(), &Request{Method: "PUT", Host: "x", Body: &sizedBody{5, c.read}})
				wantError(t, err, BodyFailed, SentNothing)
				if !errors.Is(err, c.want) {
					t.Errorf("%s: the cause of %v is not %v", c.name, err, c.want)
				}
				if n, m := r.s.writes.Load(), r.c.Stats().Requests; n != writes || m != requests {
					t.Errorf("%s: %d writes, %d requests counted", c.name, n-writes, m-requests)
				}
				r.alive()
			})
		}
	}
}

// A request canceled while its short body is read is not written.
func TestCanceledInSmallBody(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		ctx, cancel := context.WithCancel(context.Background())
		body := &sizedBody{5, func(p []byte) (int, error) {
			cancel()
			synctest.Wait()
			return copy(p, "hello"), nil
		}}
		err := r.c.Do(ctx, &Request{Method: "PUT", Host: "x", Body: body}, &Response{})
		wantError(t, err, Canceled, SentNothing)
		if n := r.s.writes.Load(); n != 0 {
			t.Errorf("there were %d writes", n)
		}
	})
}

// A body of which some was just read when its exchange was canceled gives nothing more, and
// the rest of it is not the next response.
func TestCancelAsBytesCome(t *testing.T) {
	inBubble(t, Config{Depth: 2}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		b := r.begin(context.Background(), get("/b"))
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			t.Fatal(err)
		}
		cancel := a.x.Cancel
		r.s.onRead.Store(&cancel)
		r.raw("abc")
		_, err := a.resp.Body.Read(make([]byte, 10))
		wantError(t, err, Canceled, SentAll)
		_, again := a.resp.Body.Read(make([]byte, 10))
		wantError(t, again, Canceled, SentAll)
		r.raw("def" + answer("/b"))
		r.await(b)
		r.got(b, "/b")
		r.alive()
	})
}

// A caller may end the exchange from within its callback for informational responses.
func TestEndedByCallback(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(c *Conn, x Exchange)
		kind Kind
	}{
		"Close":  {func(c *Conn, _ Exchange) { c.Close() }, Closed},
		"Cancel": {func(_ *Conn, x Exchange) { x.Cancel() }, Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{}, false, func(r *rig) {
				req, infos := get("/a"), 0
				var k *call
				req.Informational = func(int, *Header) error {
					infos++
					c.end(r.c, k.x)
					return nil
				}
				k = r.begin(context.Background(), req)
				r.raw("HTTP/1.1 103 Early Hints\r\n\r\n")
				r.await(k)
				r.failed(k, c.kind, SentAll)
				if infos != 1 {
					t.Errorf("%d calls", infos)
				}
				r.dead()
			})
		})
	}
}

// With somebody behind, canceling there costs no more than the response.
func TestCanceledByCallback(t *testing.T) {
	inBubble(t, Config{Depth: 2}, false, func(r *rig) {
		r.warm()
		req := get("/a")
		var a *call
		req.Informational = func(int, *Header) error { a.x.Cancel(); return nil }
		a = r.begin(context.Background(), req)
		b := r.begin(context.Background(), get("/b"))
		r.raw("HTTP/1.1 103 Early Hints\r\n\r\n")
		r.await(a)
		r.failed(a, Canceled, SentAll)
		r.serve("/a", "/b")
		r.await(b)
		r.got(b, "/b")
		r.alive()
	})
}

// Wait fails at once if the Deadline has passed, even behind a response that nobody waits
// for, and the other request gets its own.
func TestDeadlineOverBeforeWait(t *testing.T) {
	inBubble(t, Config{Depth: 2}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		late := get("/b")
		late.Deadline = time.Now().Add(time.Second)
		b := r.begin(context.Background(), late)
		time.Sleep(2 * time.Second)
		r.await(b)
		r.failed(b, Timeout, SentAll)
		r.serve("/a")
		r.await(a)
		r.got(a, "/a")
	})
}

// Shutdown does not wait for a response that nobody wants any more.
func TestShutdownBehindTheLastWanted(t *testing.T) {
	inBubble(t, Config{Depth: 2}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		b := r.begin(context.Background(), get("/b"))
		r.await(a)
		b.x.Cancel()
		down := make(chan error, 1)
		go func() { down <- r.c.Shutdown(context.Background()) }()
		synctest.Wait()
		if len(down) != 0 {
			t.Fatal("Shutdown has not waited for /a")
		}
		r.serve("/a") // and never anything for /b
		r.got(a, "/a")
		if len(down) == 0 {
			t.Fatal("Shutdown waits for /b")
		}
		if err := <-down; err != nil {
			t.Error(err)
		}
		r.dead()
	})
}

// A response that says close ends an upload behind it, of which the server will not act on
// a byte.
func TestCloseEndsUploadBehind(t *testing.T) {
	inBubble(t, Config{Depth: 2}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		b := r.begin(context.Background(), &Request{Method: "PUT", Host: "x", Push: true})
		if _, err := b.x.Write([]byte("some")); err != nil {
			t.Fatal(err)
		}
		r.raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n/a")
		r.await(a)
		r.got(a, "/a")
		_, err := b.x.Write([]byte("more"))
		wantError(t, err, Closed, SentPart)
		if bad, ok := err.(*Error); !ok || !bad.Unprocessed() {
			t.Errorf("%v: not unprocessed", err)
		}
		r.await(b)
		r.failed(b, Closed, SentPart)
		r.dead()
	})
}

// Whose own deadline ends a write, of which only the bytes of others behind it were left,
// fails alone: another goes on with the write.
func TestDeadlineWhileWritingForOthers(t *testing.T) {
	inBubble(t, Config{Depth: 2}, false, func(r *rig) {
		r.warm()
		req := get("/a")
		req.Deadline = time.Now().Add(time.Second)
		long := get("/b")
		long.Header.Add("Long", strings.Repeat("x", 1000))
		r.s.setWindow(100) // all of /a, some of /b
		ctx := context.Background()
		a, err := r.c.Send(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := r.c.Send(ctx, long)
		if err != nil {
			t.Fatal(err)
		}
		ka, kb := &call{x: a}, &call{x: b}
		r.await(ka)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if bad, ok := ka.err.(*Error); !ka.over.Load() || !ok || bad.Kind != Timeout || bad.Sent == SentNothing {
			t.Fatalf("/a: %v", ka.err) // of a write under way it is not known how far it has come
		}
		r.s.setWindow(wireWindow)
		r.serve("/a", "/b")
		r.await(kb)
		r.got(kb, "/b")
		if got := r.took(); got != "GET /a;GET /b;" {
			t.Errorf("the server got %s", got)
		}
		r.alive()
	})
}

// A writer that says it took more than it was given is not believed.
func TestWriteToCounts(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		r.serve("/a")
		var resp Response
		if err := r.c.Do(context.Background(), get("/a"), &resp); err != nil {
			t.Fatal(err)
		}
		boast := &quirk{write: func(p []byte) (int, error) { return len(p) + 1, nil }}
		n, err := resp.Body.(io.WriterTo).WriteTo(boast)
		if n != 0 || err == nil || !strings.Contains(err.Error(), "impossible count") {
			t.Errorf("%d, %v", n, err)
		}
		r.alive()
	})
}

// AppendBody takes a body of just so many bytes, and says of a longer one what the limit
// was.
func TestBodyLimits(t *testing.T) {
	for _, c := range []struct {
		target string // the body, too
		max    int64
		want   string
		long   bool
	}{
		{"/abc", -1, "/abc", false},
		{"/abc", 5, "/abc", false},
		{"/abc", 4, "/abc", false},
		{"/abc", 3, "/ab", true},
		{"/abc", 1, "/", true},
		{"/abc", 0, "", true},
	} {
		inBubble(t, Config{}, false, func(r *rig) {
			r.serve(c.target)
			var resp Response
			if err := r.c.Do(context.Background(), get(c.target), &resp); err != nil {
				t.Fatal(err)
			}
			body, err := resp.AppendBody([]byte("at "), c.max)
			if string(body) != "at "+c.want || errors.Is(err, TooLarge) != c.long || (err != nil) != c.long {
				t.Errorf("%q, at most %d: %q, %v", c.target, c.max, body, err)
			}
			if bad, ok := err.(*Error); ok && bad.Offset != c.max {
				t.Errorf("%q, at most %d: %v at %d", c.target, c.max, err, bad.Offset)
			}
			r.alive()
		})
	}
}

// What AppendBody's limit leaves of a body is not read for nothing where MaxDrain forbids
// that, and is no part of the caller's memory.
func TestBodyLimitLeavesTheRest(t *testing.T) {
	inBubble(t, Config{MaxDrain: -1}, false, func(r *rig) {
		r.serve("/" + strings.Repeat("x", 400))
		var resp Response
		if err := r.c.Do(context.Background(), get("/"), &resp); err != nil {
			t.Fatal(err)
		}
		dst := make([]byte, 1000)
		if got, err := resp.AppendBody(dst[:0], 3); string(got) != "/xx" || !errors.Is(err, TooLarge) || dst[4] != 0 {
			t.Errorf("%q, %v; behind it %q", got, err, dst[3:5])
		}
		r.dead()
	})
}

// The largest limit there is limits nothing.
func TestBodyLimitOfMaxInt(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		r.serve("/a")
		var resp Response
		if err := r.c.Do(context.Background(), get("/a"), &resp); err != nil {
			t.Fatal(err)
		}
		if body, err := resp.AppendBody([]byte("at "), math.MaxInt64); string(body) != "at /a" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
		r.alive()
	})
}

// The body of a response that did not come says nothing of its request that could be taken
// for leave to send it again.
func TestBodyOfNoResponse(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		r.raw("junk")
		var resp Response
		wantError(t, r.c.Do(context.Background(), get("/a"), &resp), BadVersion, SentAll)
		_, err := resp.Body.Read(make([]byte, 1))
		if wantError(t, err, Closed, SentAll); err.(*Error).Retryable("GET") {
			t.Errorf("%v: that may be sent again", err)
		}
	})
}

// The zero Ready waits for nothing and never says yes.
func TestReadyOfNoConn(t *testing.T) {
	var r Ready
	<-r.Done()
	wantError(t, r.Err(), Closed, SentNothing)
	wantError(t, r.Wait(context.Background()), Closed, SentNothing)
}

// What is nil, or was never filled, is an error and no panic.
func TestNothingGiven(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		ctx := context.Background()
		_, sent := r.c.Send(ctx, nil)
		_, tried := r.c.TrySend(ctx, nil)
		for _, err := range []error{sent, tried, r.c.Do(ctx, nil, &Response{}), r.c.Do(ctx, get("/"), nil)} {
			wantError(t, err, BadRequest, SentNothing)
		}
		var resp Response
		b, err := resp.AppendBody([]byte("a"), -1)
		wantError(t, err, Closed, SentAll)
		if string(b) != "a" {
			t.Errorf("%q", b)
		}
		r.alive()
	})
}

// Do gives its caller nothing to push a body with, and says so.
func TestDoWithPush(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		wantError(t, r.c.Do(context.Background(), &Request{Method: "PUT", Host: "x", Push: true}, &Response{}), BadRequest, SentNothing)
		r.alive()
	})
}

// What is less than nothing is nothing, but for MaxDrain.
func TestNegativeConfig(t *testing.T) {
	none := Config{
		Depth: -1, MaxHeadBytes: -1, MaxHeaders: -1, MaxInformational: -1, MaxDrain: -1, ReadBuffer: -1, WriteBuffer: -1,
		ExpectTimeout: -1, HeadTimeout: -1, StallTimeout: -1,
	}.withDefaults()
	want := defaults
	want.MaxDrain = 0
	if none != want {
		t.Errorf("%+v, want %+v", none, want)
	}
}

// The defaults are those that Config's comments say, and one is not none.
func TestDefaults(t *testing.T) {
	want := Config{
		Depth: 1, MaxHeadBytes: 256 << 10, MaxHeaders: 256, MaxInformational: 16, MaxDrain: 64 << 10,
		ExpectTimeout: time.Second, ReadBuffer: 4 << 10, WriteBuffer: 4 << 10,
	}
	if defaults != want {
		t.Errorf("%+v, want %+v", defaults, want)
	}
	want.MaxHeadBytes, want.MaxHeaders, want.MaxInformational, want.MaxDrain, want.ExpectTimeout = 1, 1, 1, 1, 1
	if got := want.withDefaults(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// A buffer is of a power of two, and of no less than was asked for.
func TestBuffersAreRoundedUp(t *testing.T) {
	for asked, want := range map[int]int{4095: 4096, 4096: 4096, 4097: 8192} {
		cfg := Config{ReadBuffer: asked, WriteBuffer: asked}.withDefaults()
		if cfg.ReadBuffer != want || cfg.WriteBuffer != want {
			t.Errorf("%d: %d to read, %d to write", asked, cfg.ReadBuffer, cfg.WriteBuffer)
		}
	}
}

// Close ends reuse with a request whose body goes out with its head, too.
func TestCloseWithSmallBody(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		k := r.begin(context.Background(), &Request{Method: "POST", Host: "x", Close: true, Body: strings.NewReader("body")})
		_, err := r.c.Send(context.Background(), get("/late"))
		wantError(t, err, Closed, SentNothing)
		r.serve("/a")
		r.await(k)
		r.got(k, "/a")
		r.dead()
	})
}

// NewConn says what is wrong with a stream that a failed dial has left nil, and not the
// first Do with a fault of its own.
func TestNewConnOfNil(t *testing.T) {
	defer func() {
		if p := recover(); p != "h1: NewConn of a nil stream" {
			t.Errorf("NewConn(nil, nil) panics with %v", p)
		}
	}()
	NewConn(nil, nil)
}
