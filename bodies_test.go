package h1

// bodies_test.go: bodies that come or end in an unusual way, and those that Expect
// holds back.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A short body whose exchange is canceled while its Read goes on keeps its place in the
// buffer until that has returned: no other request's bytes stand where it may yet write.
func TestCanceledInSlowSmallBody(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		ctx, cancel := context.WithCancel(context.Background())
		gate := make(chan struct{})
		body := &sizedBody{300, func(p []byte) (int, error) {
			<-gate
			return copy(p, strings.Repeat("X", 300)), nil
		}}
		a := r.begin(ctx, &Request{Method: "PUT", Target: "/a", Host: "x", Body: body})
		cancel()
		synctest.Wait()
		b := r.begin(context.Background(), get("/b"))
		if b.sent.Load() {
			t.Error("another request has the buffer that a body is read into")
		}
		close(gate)
		r.failed(a, Canceled, SentNothing)
		if got := string(r.s.receive(1 << 20)); got != "GET /b HTTP/1.1\r\nHost: x\r\n\r\n" {
			t.Errorf("the server received %q", got)
		}
		r.serve("/b")
		r.await(b)
		r.got(b, "/b")
		r.alive()
	})
}

// The connection that ends while a short body is read leaves the body its place, too.
func TestEndedInSlowSmallBody(t *testing.T) {
	inBubble(t, Config{Depth: 2}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		gate := make(chan struct{})
		body := &sizedBody{300, func(p []byte) (int, error) {
			<-gate
			return copy(p, strings.Repeat("X", 300)), nil
		}}
		b := r.begin(context.Background(), &Request{Method: "PUT", Target: "/b", Host: "x", Body: body})
		r.raw("no HTTP\r\n\r\n")
		synctest.Wait()
		r.c.mu.Lock()
		if r.c.wbuf == nil {
			t.Error("the buffer that a body is read into was given back")
		}
		r.c.mu.Unlock()
		close(gate)
		r.failed(b, Closed, SentNothing)
		r.dead()
	})
}

// A short body may say that it is over together with its last bytes.
func TestSmallBodyEndsWithItsBytes(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		body := &sizedBody{5, func(p []byte) (int, error) { return copy(p, "hello"), io.EOF }}
		a := r.begin(context.Background(), &Request{Method: "PUT", Target: "/a", Host: "x", Body: body})
		r.serve("/a")
		r.await(a)
		r.got(a, "/a")
		if got := string(r.s.receive(1 << 20)); !strings.HasSuffix(got, "\r\n\r\nhello") {
			t.Errorf("the server received %q", got)
		}
		r.alive()
	})
}

// A trailer that turns out to be none when the body has ended is the request's fault, and
// not the body's.
func TestBadTrailerAtTheEnd(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		req := &Request{Method: "PUT", Target: "/a", Host: "x"}
		req.Body = readerFunc(func(p []byte) (int, error) {
			req.Trailer.Add("Content-Length", "1")
			return copy(p, "hello"), io.EOF
		})
		r.c.flushing = true // by a goroutine that is slow to run: it would write the head
		a := r.begin(context.Background(), req)
		r.await(a)
		r.failed(a, BadRequest, SentNothing)
		r.dead()
	})
}

// A pushed body that has had its last byte takes no other, however it is divided.
func TestPushBeyondTheLastByte(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		k := r.begin(context.Background(), &Request{Method: "PUT", Target: "/a", Host: "x", Push: true, ContentLength: 5})
		if _, err := k.x.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		_, err := k.x.Write([]byte("!"))
		wantError(t, err, BadRequest, SentPart)
		if got := string(r.s.receive(1 << 20)); !strings.HasSuffix(got, "\r\n\r\nhello") {
			t.Errorf("the server received %q", got)
		}
		r.dead()
	})
}

// Write after CloseWrite is out of turn; but once the exchange has failed, that is what it
// says.
func TestWriteAfterTheEnd(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		k := r.begin(context.Background(), &Request{Method: "PUT", Target: "/a", Host: "x", Push: true})
		if err := k.x.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		_, err := k.x.Write([]byte("x"))
		wantError(t, err, BadRequest, SentAll)
		k.x.Cancel()
		_, err = k.x.Write([]byte("x"))
		wantError(t, err, Canceled, SentAll)
	})
}

// Write says why the body is not wanted: the response, and what that did to the connection.
func TestWriteSaysWhyNot(t *testing.T) {
	for _, c := range []struct {
		length       int64
		answer, want string
	}{
		{0, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n", "the body is not wanted any more: " + errUpload.Error()},
		{0, "HTTP/1.1 417 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
			"the body is not wanted any more: " + errCloseSaid.Error()},
		{1, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n", "the body is not wanted any more: " + errUpload.Error()},
	} {
		inBubble(t, Config{}, false, func(r *rig) {
			req := &Request{Method: "PUT", Target: "/a", Host: "x", Push: true, ContentLength: c.length}
			req.Header.Add("Expect", "100-continue")
			k := r.begin(context.Background(), req)
			r.raw(c.answer)
			r.await(k)
			r.got(k, "")
			_, err := k.x.Write([]byte("x"))
			var bad *Error
			if !errors.As(err, &bad) || bad.Kind != Closed || bad.Err.Error() != c.want {
				t.Errorf("%q: Write fails with %v", c.answer, err)
			} else if !errors.Is(err, errStop) || errors.Is(err, errLast) {
				t.Errorf("%q: %v is not what it says", c.answer, err)
			}
		})
	}
}

// A chunked body that was held back is not ended as an empty one: neither to save the
// connection, nor where the response ends that, or the write half has failed.
func TestHeldBackBodyIsNotEnded(t *testing.T) {
	for _, c := range []struct {
		name, fields string
		cut          bool
	}{
		{"refused", "Content-Length: 2\r\n", false},
		{"close", "Connection: close\r\nContent-Length: 2\r\n", false},
		{"until close", "", false},
		{"head cut off", "Content-Length: 2\r\n", true},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			inBubble(t, Config{}, false, func(r *rig) {
				if c.cut {
					r.s.failWrites(30, syscall.EPIPE)
				}
				req := &Request{Method: "PUT", Target: "/a", Host: "x", Body: readerFunc(func([]byte) (int, error) { return 0, io.EOF })}
				req.Header.Add("Expect", "100-continue")
				k := r.begin(context.Background(), req)
				head := len(r.s.receive(1 << 20))
				r.raw("HTTP/1.1 417 No\r\n" + c.fields + "\r\n")
				r.await(k)
				if got := r.s.receive(1 << 20); head == 0 || len(got) > 0 {
					t.Errorf("behind the head, of %d bytes, the server received %q", head, got)
				}
				r.raw("no")
				r.s.fail(io.EOF)
				r.got(k, "no")
				r.dead()
			})
		})
	}
}

// ownWay is a stream that could move a body by itself, but is no socket.
type ownWay struct {
	*tap
	used *bool
}

func (o ownWay) ReadFrom(r io.Reader) (int64, error) {
	*o.used = true
	return io.Copy(struct{ io.Writer }{o.tap}, r)
}

// Of a stream no more is used than doc.go says: only a socket is given a file to send.
func TestReadFromIsTheSockets(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, uploadBytes, 0o600); err != nil {
		t.Fatal(err)
	}
	inBubble(t, Config{}, false, func(r *rig) {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		used := false
		r.c = NewConn(ownWay{r.s, &used}, nil)
		k := r.begin(context.Background(), uploadOf(f))
		r.serve("/a")
		r.await(k)
		r.got(k, "/a")
		if got := string(r.s.receive(1 << 20)); used || !strings.HasSuffix(got, string(uploadBytes)) {
			t.Errorf("ReadFrom was used: %v; the server received %d bytes", used, len(got))
		}
		r.alive()
	})
}

// Close of a response's body has its own patience, whatever is written of the request's
// body meanwhile under a longer Deadline.
func TestCloseKeepsItsPatienceInAnUpload(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		req := soon("/a", time.Hour)
		req.Method, req.Push = "PUT", true
		k := r.begin(context.Background(), req)
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
		if err := k.x.Wait(context.Background(), &k.resp); err != nil {
			t.Fatal(err)
		}
		closed := make(chan time.Duration, 1)
		go func() {
			start := time.Now()
			k.resp.Body.Close()
			closed <- time.Since(start)
		}()
		synctest.Wait()
		k.x.Write([]byte("hello"))
		if took := <-closed; took != drainTime {
			t.Errorf("Close took %v", took)
		}
	})
}

// A slice that has room for a body of known length takes it, however small it is.
func TestAppendBodyTakesTheRoom(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		buf := make([]byte, 1, 3)
		for _, max := range []int64{100, 2, -1} {
			r.serve("ok")
			var resp Response
			if err := r.c.Do(context.Background(), get("/"), &resp); err != nil {
				t.Fatal(err)
			}
			body, err := resp.AppendBody(buf, max)
			if string(body) != "\x00ok" || err != nil || &body[0] != &buf[0] {
				t.Errorf("%q, %v, in the slice that was given: %v", body, err, &body[0] == &buf[0])
			}
		}
	})
}

// A body that is longer than AppendBody's caller allows is cut off, be it by one byte: no
// read after that says that it has ended.
func TestCutOffIsNoEnd(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		for longer := 1; longer < 4; longer++ {
			inBubble(t, Config{}, false, func(r *rig) {
				text := strings.Repeat("x", 3+longer)
				if chunked {
					r.raw(fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(text), text))
				} else {
					r.serve(text)
				}
				var resp Response
				if err := r.c.Do(context.Background(), get("/"), &resp); err != nil {
					t.Fatal(err)
				}
				body, err := resp.AppendBody(nil, 3)
				if wantError(t, err, TooLarge, SentAll); string(body) != "xxx" {
					t.Errorf("%q", body)
				}
				_, err = resp.Body.Read(make([]byte, 9))
				wantError(t, err, Closed, SentAll)
				_, err = resp.AppendBody(nil, -1)
				wantError(t, err, Closed, SentAll)
				r.alive()
			})
		}
	}
}

// A body that was begun cannot be left in the middle: the connection ends, but not before
// the requests in front have their responses.
func TestCanceledBetweenWrites(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		b := r.begin(context.Background(), &Request{Method: "PUT", Target: "/b", Host: "x", Push: true, ContentLength: 5})
		b.x.Write([]byte("ab"))
		b.x.Cancel()
		r.await(b)
		r.failed(b, Canceled, SentPart)
		r.serve("/a")
		r.await(a)
		r.got(a, "/a")
		r.dead()
	})
}
