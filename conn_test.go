package h1

// conn_test.go: one connection and many who use it, from the first request to the end.

import (
	"context"
	"io"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// slowPost begins a chunked upload whose body the test writes. Its first piece is stuck in
// a write.
func (r *rig) slowPost(target string) (*call, *io.PipeWriter) {
	r.Helper()
	body, w := io.Pipe()
	k := r.begin(context.Background(), &Request{Method: "POST", Target: target, Host: "x", Body: body})
	r.await(k)
	r.s.setWindow(len(r.s.out) + 1)
	w.Write([]byte("hello"))
	synctest.Wait()
	return k, w
}

// The head of a response that says close stops no upload, not even its last bytes that
// wait for the writer: both bodies stream at once.
func TestCloseSaidBeforeLastBytes(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		k, w := r.slowPost("/a")
		w.Close()
		synctest.Wait()
		r.raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\no")
		synctest.Wait()
		r.s.setWindow(wireWindow)
		synctest.Wait()
		const want = "\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
		if out := string(r.s.receive(1 << 20)); len(out) < len(want) || out[len(out)-len(want):] != want {
			t.Errorf("the server received %q", out)
		}
		r.raw("k")
		r.got(k, "ok")
		r.dead()
	})
}

// A request with a body waits until the one before it is written out, and is then told.
func TestPostAfterSlowFlush(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		k, w := r.slowPost("/a")
		w.Close()
		synctest.Wait()
		r.serve("/a") // early, and whole
		r.got(k, "/a")
		b := r.begin(context.Background(), &Request{Method: "POST", Target: "/b", Host: "x",
			Body: io.LimitReader(zeros{}, 3), ContentLength: 3})
		r.s.setWindow(wireWindow)
		synctest.Wait()
		if !b.sent {
			t.Fatal("the next request waits on after the flush, for nothing")
		}
		r.await(b)
		r.serve("/b")
		r.got(b, "/b")
		r.alive()
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A write may fail before it took a byte, while the response is being read already.
func TestWriteFailsInsideResponse(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		r.s.setWindow(0)
		body, w := io.Pipe()
		k := r.begin(context.Background(), &Request{Method: "POST", Target: "/a", Host: "x", Body: body})
		r.await(k)
		w.Write([]byte("hello"))
		synctest.Wait()
		r.raw("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\no")
		synctest.Wait()
		r.s.failWrites(0, syscall.EPIPE)
		synctest.Wait()
		r.raw("k")
		r.got(k, "ok")
		r.dead()
		w.Close()
	})
}

// lagging is a stream whose readers notice a deadline late, as a goroutine may that is
// woken: by then another deadline may have been set.
type lagging struct{ *tap }

func (s lagging) SetReadDeadline(t time.Time) error {
	if t != longAgo {
		return s.tap.SetReadDeadline(t)
	}
	s.mu.Lock()
	s.read.at = t
	s.mu.Unlock()
	time.AfterFunc(time.Millisecond, s.cond.Broadcast)
	return nil
}

// A write that ends while a canceled read is on its way out leaves that read's deadline
// alone, whatever it means for other reads' deadlines.
func TestWriteEndsDuringCancel(t *testing.T) {
	inBubble(t, Config{Depth: 4, StallTimeout: time.Hour}, false, func(r *rig) {
		r.c.dl, r.c.rw = lagging{r.s}, lagging{r.s}
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		b := r.begin(context.Background(), get("/b"))
		r.s.setWindow(len(r.s.out))
		c := r.begin(context.Background(), get("/c"))
		r.await(b)
		r.await(c)
		a.x.Cancel()
		r.s.setWindow(wireWindow)
		time.Sleep(time.Second)
		r.failed(a, Canceled, SentAll)
		r.serve("/a", "/b", "/c")
		r.got(b, "/b")
		r.got(c, "/c")
		r.alive()
	})
}
