package h1

// badbody_test.go: what a request's body does wrong is an error of its exchange, and no
// more.

import (
	"context"
	"errors"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// readerFunc is a body without a known length.
type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A body whose Read returns an impossible count fails, as the stream's does.
func TestBodyImpossibleCount(t *testing.T) {
	for name, n := range map[string]int{"too many": pumpBuffer + 1, "negative": -1} {
		for _, req := range []*Request{
			{Method: "PUT", Host: "x", Body: readerFunc(func(p []byte) (int, error) { return n, nil })},
			{Method: "PUT", Host: "x", ContentLength: 1 << 20, Body: readerFunc(func(p []byte) (int, error) { return n, nil })},
			{Method: "PUT", Host: "x", Body: &sizedBody{5, func(p []byte) (int, error) { return n, nil }}},
		} {
			t.Run(name, func(t *testing.T) {
				inBubble(t, Config{}, false, func(r *rig) {
					k := r.begin(context.Background(), req)
					r.await(k)
					synctest.Wait()
					if !k.over.Load() || !errors.Is(k.err, BodyFailed) {
						t.Errorf("over %v, %v; on the wire %q", k.over.Load(), k.err, r.s.out)
					}
				})
			})
		}
	}
}

// A body that gives nothing, for ever, fails, and does not keep its caller.
func TestBodyWithoutProgress(t *testing.T) {
	empty := func([]byte) (int, error) { return 0, nil }
	for _, body := range []io.Reader{readerFunc(empty), &sizedBody{5, empty}} {
		inBubble(t, Config{}, false, func(r *rig) {
			k := r.begin(context.Background(), &Request{Method: "PUT", Host: "x", Body: body})
			r.await(k)
			if !k.over.Load() || !errors.Is(k.err, BodyFailed) || !errors.Is(k.err, io.ErrNoProgress) {
				t.Errorf("over %v, %v", k.over.Load(), k.err)
			}
		})
	}
}

// An error of the body's is the cause, even one that says that the body itself was cut off.
func TestBodyWasCutOff(t *testing.T) {
	cut := func() io.Reader {
		return io.MultiReader(strings.NewReader("some"), readerFunc(func([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }))
	}
	for _, body := range []io.Reader{cut(), &sizedBody{5, cut().Read}} {
		inBubble(t, Config{}, false, func(r *rig) {
			k := r.begin(context.Background(), &Request{Method: "PUT", Host: "x", Body: body})
			r.await(k)
			if !k.over.Load() || !errors.Is(k.err, BodyFailed) || !errors.Is(k.err, io.ErrUnexpectedEOF) {
				t.Errorf("over %v, %v", k.over.Load(), k.err)
			}
		})
	}
}

// No length is too long to be declared.
func TestBodyOfAnyLength(t *testing.T) {
	for _, left := range []int64{0, 1} {
		inBubble(t, Config{}, false, func(r *rig) {
			body := io.MultiReader(strings.NewReader("some"))
			k := r.begin(context.Background(), &Request{Method: "PUT", Host: "x", ContentLength: math.MaxInt64 - left, Body: body})
			r.await(k)
			if !k.over.Load() || !errors.Is(k.err, BodyFailed) || !errors.Is(k.err, errShort) {
				t.Errorf("over %v, %v", k.over.Load(), k.err)
			}
		})
	}
}

// A body that ends the goroutine that reads it ends the connection.
func TestBodyDesertsPump(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		body := readerFunc(func(p []byte) (int, error) { runtime.Goexit(); return 0, nil })
		k := r.begin(context.Background(), &Request{Method: "PUT", Host: "x", Body: body})
		r.await(k)
		if !k.over.Load() || !errors.Is(k.err, errDeserted.Err) {
			t.Errorf("over %v, %v", k.over.Load(), k.err)
		}
		r.dead()
	})
}

// A body that is wrong ends the connection, even if its reader is canceled at that moment:
// nobody is answered with what stands behind it.
func TestBadChunkAtCancel(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		r.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello")
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			t.Fatal(err)
		}
		if n, err := a.resp.Body.Read(make([]byte, 5)); n != 5 || err != nil {
			t.Fatal(n, err)
		}
		b := &call{}
		f := func() {
			b.x, _ = r.c.Send(context.Background(), get("/b"))
			a.x.Cancel()
		}
		r.s.onRead.Store(&f)
		r.raw("\nno line's end" + answer("/lost"))
		a.resp.Body.Close()
		r.await(b)
		sent := SentNothing // or Send's goroutine was quick
		if strings.Contains(r.took(), "/b") {
			sent = SentAll
		}
		r.failed(b, Closed, sent)
		r.dead()
	})
}

// foreign returns an error of another connection's: the protocol says that its request was
// not processed.
func (r *rig) foreign() *Error {
	r.Helper()
	r.warm()
	a, b := r.begin(context.Background(), get("/a")), r.begin(context.Background(), get("/b"))
	r.raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	r.await(a)
	r.await(b)
	synctest.Wait()
	err, ok := b.err.(*Error)
	if !ok || !err.Unprocessed() || err.Sent == SentNothing {
		r.Fatalf("not the error that is to be tested: %v", b.err)
	}
	return err
}

// An error of a body's Read is the body's, even if it is an Error of this package: a body
// may be another connection's response.
func TestForeignErrorOfBody(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		for _, foreign := range []error{r.foreign(), (*Error)(nil)} {
			c := NewConn(newWireStream(false), nil)
			defer c.Close()
			sent := false
			body := readerFunc(func(p []byte) (int, error) {
				if sent {
					synctest.Wait() // what was read is on its way
					return 0, foreign
				}
				sent = true
				return copy(p, "some"), nil
			})
			err := c.Do(context.Background(), &Request{Method: "POST", Host: "x", ContentLength: 10, Body: body}, &Response{})
			e, ok := err.(*Error)
			if !ok || e.Kind != BodyFailed || e.Sent != SentPart || e.Unprocessed() || e.Retryable("POST") {
				t.Errorf("after %#v: %#v", foreign, err)
			}
		}
	})
}

// An error that comes with a body's last bytes is one, whatever way they take.
func TestErrorWithLastBytes(t *testing.T) {
	checksum := errors.New("checksum")
	for _, size := range []int{100, 20000} {
		inBubble(t, Config{}, false, func(r *rig) {
			left := size
			body := &sizedBody{size, func(p []byte) (int, error) {
				n := min(len(p), left)
				if left -= n; left > 0 {
					return n, nil
				}
				return n, checksum
			}}
			k := r.begin(context.Background(), &Request{Method: "POST", Host: "x", Body: body})
			r.await(k)
			synctest.Wait()
			if !errors.Is(k.err, BodyFailed) || !errors.Is(k.err, checksum) {
				t.Errorf("%d bytes: %v", size, k.err)
			}
		})
	}
}

// Where a request is canceled before a writer has a byte of it, nothing else happens,
// whatever way its body takes, nor where a body fails that is short enough to be read
// first.
func TestUntakenBodyLeavesNoTrace(t *testing.T) {
	no := errors.New("no")
	for name, c := range map[string]struct {
		body func(in io.Reader) io.Reader // nil: Push
		end  func(r *rig, b *call, cancel func(), in *io.PipeWriter)
		kind Kind
	}{
		"fails, and is short": {func(in io.Reader) io.Reader { return &sizedBody{5, in.Read} }, func(_ *rig, _ *call, _ func(), in *io.PipeWriter) { in.CloseWithError(no) }, BodyFailed},
		"canceled":            {func(in io.Reader) io.Reader { return in }, func(_ *rig, _ *call, cancel func(), in *io.PipeWriter) { cancel() }, Canceled},
		"canceled, and is short": {func(in io.Reader) io.Reader { return &sizedBody{5, in.Read} }, func(_ *rig, _ *call, cancel func(), in *io.PipeWriter) {
			cancel()
			synctest.Wait()
			in.Write([]byte("hello"))
		}, Canceled},
		"late, and is short": {func(in io.Reader) io.Reader { return &sizedBody{5, in.Read} }, func(r *rig, _ *call, _ func(), in *io.PipeWriter) {
			r.begin(context.Background(), posting("/in line, so that somebody looks at the time"))
			time.Sleep(2 * time.Hour)
			synctest.Wait()
			in.Write([]byte("hello"))
		}, Timeout},
		"pushed, and canceled": {nil, func(_ *rig, b *call, _ func(), _ *io.PipeWriter) { b.x.Cancel() }, Canceled},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			inBubble(t, Config{Depth: 4}, false, func(r *rig) {
				r.warm()
				a := r.begin(context.Background(), get("/a"))
				r.await(a)
				r.late(true) // the head is not written before somebody comes
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				req := &Request{Method: "PUT", Target: "/b", Host: "x", ContentLength: 5, Deadline: time.Now().Add(time.Hour)}
				in, more := io.Pipe()
				if req.Push = c.body == nil; !req.Push {
					req.Body = c.body(in)
				}
				b := r.begin(ctx, req)
				waits := b.sent.Load()
				if waits {
					r.await(b)
				}
				c.end(r, b, cancel, more)
				synctest.Wait() // a context ends its calls on a goroutine of its own
				r.late(false)
				r.flush()
				more.Close()
				if synctest.Wait(); !waits {
					r.await(b)
				}
				r.failed(b, c.kind, SentNothing)
				if got := r.took(); strings.Contains(got, "/b") {
					t.Errorf("the server received %q", got)
				}
				r.serve("/a")
				r.got(a, "/a")
				if r.c.Err() != nil {
					t.Errorf("the connection ended: %v", r.c.Err())
				}
				if r.c.upload != nil {
					t.Error("the connection still has its body")
				}
			})
		})
	}
}

// Where the connection ends while a short body is read, that one's request fails, unsent,
// once its caller is back.
func TestEndWhileAShortBodyIsRead(t *testing.T) {
	for name, end := range map[string]func(*rig){
		"Close":                      func(r *rig) { r.c.Close() },
		"a response that says close": func(r *rig) { r.raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n/a") },
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			inBubble(t, Config{Depth: 4}, false, func(r *rig) {
				r.warm()
				a := r.begin(context.Background(), get("/a"))
				r.await(a)
				in, more := io.Pipe()
				b := r.begin(context.Background(), &Request{Method: "PUT", Target: "/b", Host: "x", Body: &sizedBody{5, in.Read}})
				end(r)
				synctest.Wait()
				more.Write([]byte("hello"))
				r.failed(b, Closed, SentNothing)
				if got := r.took(); got != "GET /a;" {
					t.Errorf("the server received %q", got)
				}
				r.dead()
			})
		})
	}
}
