package h1

// leftover_test.go: bytes that were appended and are not out, when those whose they are
// leave.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The rest of a request that was answered before it was out is written for the request in
// line; when that one leaves, by its Deadline or canceled before the write began, the
// connection ends.
func TestRestForNobody(t *testing.T) {
	for range 8 { // which of two goroutines comes first differs
		inCut(t, opaque, 3, func(r *rig, s *lazy) {
			req := posting("/k")
			req.Deadline = time.Now().Add(time.Second)
			k := r.begin(context.Background(), req)
			r.serve("/b")
			synctest.Wait()
			s.letGo()
			time.Sleep(2 * time.Second)
			r.failed(k, Timeout, SentNothing)
			r.dead()
		})
	}
	for _, request := range []func(string) *Request{get, posting} {
		inCut(t, opaque, 3, func(r *rig, s *lazy) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			k := r.begin(ctx, request("/k"))
			r.await(k)
			r.serve("/b")
			synctest.Wait()
			r.late(true)
			s.letGo()
			synctest.Wait()
			cancel()
			r.failed(k, Canceled, SentNothing)
			r.dead()
		})
	}
}

// The stream is not given back before the rest of a request that was answered is out.
func TestDetachBeforeTheRest(t *testing.T) {
	inCut(t, opaque, 3, func(r *rig, s *lazy) {
		r.begin(context.Background(), posting("/k"))
		r.serve("/b")
		synctest.Wait()
		r.late(true)
		s.letGo()
		synctest.Wait()
		_, err := r.c.Detach()
		if wantError(r, err, NotReady, SentNothing); !errors.Is(err, errUnwritten) {
			r.Error(err)
		}
	})
}

// The rest of a request that was answered is not written for a request in line whose time
// is over, but for the next in line.
func TestRestForTheNextInLine(t *testing.T) {
	inCut(t, opaque, 3, func(r *rig, s *lazy) {
		req := posting("/k")
		req.Deadline = time.Now().Add(time.Second)
		k := r.begin(context.Background(), req)
		l := r.begin(context.Background(), posting("/l"))
		r.serve("/b")
		synctest.Wait()
		s.letGo()
		time.Sleep(2 * time.Second)
		r.failed(k, Timeout, SentNothing)
		r.s.setWindow(wireWindow)
		synctest.Wait()
		r.await(l)
		if got := r.took(); got != "GET /a;GET /b;POST /l;" {
			r.Errorf("the server received %q", got)
		}
		r.serve("/l")
		r.got(l, "/l")
		r.alive()
	})
}

// Bytes behind a response, to a request that no writer has taken: the connection ends, and
// none that says it was not sent is.
func TestAnsweredBeforeItIsSent(t *testing.T) {
	for _, stray := range []string{"\r\n", "H", answer("/b")} {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			r.warm()
			a := r.begin(context.Background(), get("/a"))
			r.await(a)
			r.late(true)
			b, k := r.begin(context.Background(), get("/b")), r.begin(context.Background(), get("/k"))
			r.raw(answer("/a") + stray)
			r.got(a, "/a")
			b.x.Cancel()
			r.took()
			r.late(false)
			r.flush()
			if got := r.took(); got != "" {
				t.Errorf("behind %q the server received %q", stray, got)
			}
			r.await(b)
			r.failed(b, Unsolicited, SentNothing)
			r.await(k)
			r.failed(k, Closed, SentNothing)
			r.dead()
		})
	}
}

// inOneWrite begins two requests, both of which are awaited; the second, which has until
// by, is in the write of both, of which the stream has taken three octets.
func (r *rig) inOneWrite(by time.Time) (a, b *call) {
	r.Helper()
	r.warm()
	r.late(true)
	a = r.begin(context.Background(), get("/a"))
	req := get("/b")
	req.Deadline = by
	b = r.begin(context.Background(), req)
	r.s.setWindow(3)
	r.late(false)
	r.await(b) // writes both
	r.await(a)
	if r.c.writer != b.x.e || !r.c.inWrite {
		r.Fatal("not the state that is to be tested")
	}
	return a, b
}

// The Deadline of one that stands behind a response with close is nothing to that.
func TestDeadlineBehindClose(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		a, b := r.inOneWrite(time.Now().Add(time.Second))
		r.raw("HTTP/1.1 400 Bad\r\nConnection: close\r\nContent-Length: 2\r\n\r\n/")
		r.failed(b, Closed, SentPart)
		time.Sleep(2 * time.Second)
		r.raw("a")
		r.got(a, "/a")
	})
}

// inRest runs f where the rest of /b, which was given up, is on its way under a
// StallTimeout, and k behind it.
func inRest(t *testing.T, f func(r *rig, k *call)) {
	inBubble(t, Config{}, false, func(r *rig) {
		s := &lazy{tap: r.s}
		r.c = NewConn(s, &Config{Depth: 4, StallTimeout: time.Minute})
		defer r.c.Close()
		r.cut(s, 0, 3)
		k := r.begin(context.Background(), get("/k"))
		r.await(k)
		s.letGo()
		f(r, k)
	})
}

// A write that moves is not stalled, even if it is in the name of a request that was given
// up.
func TestSlowRestIsNoStall(t *testing.T) {
	inRest(t, func(r *rig, k *call) {
		answered := false
		for n := getHead + 6; n < 3*getHead; n += 3 {
			time.Sleep(40 * time.Second)
			r.s.setWindow(n)
			synctest.Wait()
			if !answered && n >= 2*getHead { // or a read would be stalled
				r.serve("/b")
				answered = true
			}
		}
		r.s.setWindow(wireWindow)
		synctest.Wait()
		r.serve("/k")
		r.got(k, "/k")
		r.alive()
	})
}

// A stalled write in the name of a request that was given up ends after StallTimeout, not
// after twice that.
func TestStalledRest(t *testing.T) {
	inRest(t, func(r *rig, k *call) {
		time.Sleep(61 * time.Second)
		r.failed(k, Closed, SentNothing)
		r.dead()
	})
}

// The Deadline of one who waits in line, while a body that was answered already is
// written, is its own affair where that write cannot be ended without the connection.
func TestDeadlineInLine(t *testing.T) {
	for _, kind := range []streamKind{opaque, layered} {
		inBubble(t, Config{}, kind == opaque, func(r *rig) {
			r.c.kind = kind
			more := r.answeredEarly()
			defer more.Close()
			r.s.setWindow(3)
			req := posting("/k")
			req.Deadline = time.Now().Add(time.Second)
			k := r.begin(context.Background(), req)
			l := r.begin(context.Background(), posting("/l"))
			r.late(false)
			r.flush()
			time.Sleep(2 * time.Second)
			r.failed(k, Timeout, SentNothing)
			r.s.setWindow(wireWindow)
			go more.Write(make([]byte, 80))
			synctest.Wait()
			r.s.receive(1 << 20)
			r.await(l)
			r.serve("/l")
			r.got(l, "/l")
			r.alive()
		})
	}
}

// A write that its Deadline has ended, and that has not returned yet, is nothing to who
// comes meanwhile, and goes on for that one.
func TestDeadlineBeforeTheNextComes(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		s := &slowWriter{lazy: lazy{tap: r.s}}
		r.c = NewConn(s, &Config{Depth: 4})
		defer r.c.Close()
		defer s.slow(false, false)
		r.warm()
		r.s.setWindow(3)
		req := get("/a")
		req.Deadline = time.Now().Add(time.Second)
		a := r.begin(context.Background(), req)
		r.await(a)
		r.serve("/a")
		r.got(a, "/a")
		s.slow(false, true)
		time.Sleep(2 * time.Second)
		k := r.begin(context.Background(), get("/k"))
		r.await(k)
		s.slow(false, false)
		r.s.setWindow(wireWindow)
		synctest.Wait()
		if got := r.took(); got != "GET /a;GET /k;" {
			t.Errorf("the server received %q", got)
		}
		r.serve("/k")
		r.got(k, "/k")
		r.alive()
	})
}

// fileStream takes a file as a socket does, and is slow to write what begins with slow.
type fileStream struct {
	*tap
	slow string
}

func (s fileStream) Write(p []byte) (int, error) {
	if strings.HasPrefix(string(p), s.slow) {
		time.Sleep(time.Second)
	}
	return s.tap.Write(p)
}

func (s fileStream) ReadFrom(from io.Reader) (int64, error) {
	b, err := io.ReadAll(from)
	if err != nil {
		return 0, err
	}
	n, err := s.tap.Write(b)
	return int64(n), err
}

// A file does not go out before its head, which may be in another's write, nor once it was
// given up meanwhile.
func TestFileBehindItsHead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "body")
	const size = 2 * byHand
	body := strings.Repeat("of a file ", size/10+1)[:size]
	if err := os.WriteFile(name, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	head := fmt.Sprintf("PUT /f HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size)
	for _, after := range []time.Duration{time.Millisecond, time.Hour} {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		inBubble(t, Config{}, false, func(r *rig) {
			r.c = NewConn(fileStream{r.s, "PUT"}, &Config{Depth: 4})
			r.c.kind = direct
			defer r.c.Close()
			r.warm()
			req := &Request{Method: "PUT", Target: "/f", Host: "x", Body: f, ContentLength: size}
			var q asked
			if err := prepare(req, &q); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), after)
			defer cancel()
			r.c.mu.Lock() // Send, in which pump is started, and comes after the goroutine of another Send
			e := r.c.newExchange(ctx, req, &q)
			if err := r.c.start(e); err != nil {
				t.Error(err)
			}
			r.c.flushApart(r.c.unwritten())
			r.c.unlock()
			time.Sleep(time.Minute)
			want := head + body
			if after < time.Minute {
				want = ""
				r.dead()
			}
			if got := string(r.s.receive(1 << 20)); got != want {
				t.Errorf("the server received %q, want %q", got, want)
			}
		})
	}
}

// A CloseWrite that is stuck when the response has ended is still ended by its context,
// Cancel or Deadline. The rest is written for a request that came meanwhile, if the stream
// says how much that is; else, and if none came, the connection ends.
func TestLastWriteAfterTheResponse(t *testing.T) {
	const soon = time.Minute
	for end, want := range map[string]Kind{"context": Canceled, "Cancel": Canceled, "Deadline": Timeout, "StallTimeout": Timeout, "Close": Closed} {
		for stream, plain := range map[streamKind]bool{opaque: false, layered: false, sealed: true} {
			for _, next := range []func(string) *Request{nil, get, posting} {
				cfg := Config{Depth: 4}
				if end == "StallTimeout" {
					cfg.StallTimeout = soon
				}
				inBubble(t, cfg, plain, func(r *rig) {
					r.c.kind = stream
					r.warm()
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					var by time.Time
					if end == "Deadline" {
						by = time.Now().Add(soon)
					}
					a := r.pushed(ctx, by)
					ended := a.ends()
					synctest.Wait()
					r.serve("/a")
					r.got(a, "/a")
					var k *call
					if next != nil {
						k = r.begin(context.Background(), next("/k"))
					}
					if ended() != errHangs {
						t.Fatal("not the state that is to be tested")
					}
					switch end {
					case "context":
						cancel()
					case "Cancel":
						a.x.Cancel()
					case "Close":
						r.c.Close()
					default:
						time.Sleep(2 * soon) // one octet has moved: a stall is counted from there
					}
					if plain { // only Close ends its write
						time.Sleep(graceBeforeClose)
					}
					wantError(t, ended(), want, SentPart)
					if again := a.x.CloseWrite(); again == nil {
						t.Errorf("%s: CloseWrite does not fail again", end)
					}
					if k == nil || stream != opaque || end == "Close" || end == "StallTimeout" {
						r.dead()
						return
					}
					r.s.setWindow(wireWindow)
					synctest.Wait()
					if rest := string(r.s.receive(1 << 20)); !strings.HasPrefix(rest, "0\r\n\r\n") || strings.Count(rest, "HTTP/1.1") != 1 {
						t.Errorf("%s: the server received %q", end, rest)
					}
					r.await(k)
					r.serve("/k")
					r.got(k, "/k")
					r.alive()
				})
			}
		}
	}
}

// The Deadline of a request behind one that says close may have cut the write of both,
// which has yet to return: the rest of what is answered still goes out, and nothing behind
// it.
func TestDeadlineBehindCloseBefore(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		s := &slowWriter{lazy: lazy{tap: r.s}}
		r.c = NewConn(s, &Config{Depth: 4})
		r.c.kind = direct // b's own goroutine writes
		defer r.c.Close()
		defer s.slow(false, false)
		a, b := r.inOneWrite(time.Now().Add(time.Second))
		s.slow(false, true)
		time.Sleep(2 * time.Second)
		if r.c.writer != b.x.e || !r.c.inWrite {
			t.Fatal("not the state that is to be tested")
		}
		r.raw("HTTP/1.1 400 Bad\r\nConnection: close\r\nContent-Length: 2\r\n\r\n/")
		synctest.Wait()
		s.slow(false, false)
		r.failed(b, Closed, SentPart)
		r.s.setWindow(wireWindow)
		synctest.Wait()
		if got := r.took(); got != "GET /a;" {
			t.Errorf("the server received %q", got)
		}
		r.raw("a")
		r.got(a, "/a")
		r.dead()
	})
}

// pushed brings the connection to where a body's end is to be written, the stream takes
// one octet of it, and all but that is done.
func (r *rig) pushed(ctx context.Context, by time.Time) *call {
	r.Helper()
	a := r.begin(ctx, &Request{Method: "PUT", Target: "/a", Host: "x", Push: true, Deadline: by})
	r.await(a)
	if _, err := a.x.Write([]byte("hello")); err != nil {
		r.Fatal(err)
	}
	r.s.receive(1 << 20)
	r.s.setWindow(1)
	return a
}

// ends calls CloseWrite on a goroutine of its own, and returns what says how that ended.
func (k *call) ends() func() error {
	var result atomic.Value
	go func() { result.Store([1]error{k.x.CloseWrite()}) }()
	return func() error {
		synctest.Wait()
		if r, ok := result.Load().([1]error); ok {
			return r[0]
		}
		return errHangs
	}
}

var errHangs = errors.New("the call hangs")

// CloseWrite, on a request that was answered, does not write for others what the stream may
// not take: it returns as soon as its own bytes are out.
func TestLastWriteIsNotForOthers(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.c.kind = direct
		r.warm()
		a := r.pushed(context.Background(), time.Time{})
		ended := a.ends()
		synctest.Wait()
		r.serve("/a")
		r.got(a, "/a")
		k := r.begin(context.Background(), get("/k"))
		r.await(k)
		if err := ended(); err != errHangs {
			t.Fatalf("not the state that is to be tested: CloseWrite returned %v", err)
		}
		r.s.setWindow(len("0\r\n\r\n") + 3)
		if err := ended(); err != nil {
			t.Errorf("CloseWrite: %v; %d octets written of %d", err, r.c.written, r.c.taken)
		}
		r.s.setWindow(wireWindow)
		synctest.Wait()
		r.serve("/k")
		r.got(k, "/k")
		r.alive()
	})
}

// CloseWrite also returns if its own bytes went out in one write with those of others, once
// it is known how far that came: another goroutine goes on with the rest. What then ends
// the connection is none of CloseWrite's business.
func TestLastWriteWithOthers(t *testing.T) {
	const tail = len("0\r\n\r\n")
	for name, c := range map[string]struct {
		window int // how much of both is out when it ends
		kind   Kind
	}{
		"context": {tail + 3, 0}, "Deadline": {tail + 3, 0}, "StallTimeout": {tail + 3, 0}, "nobody": {3, Closed},
	} {
		inLastWrite(t, func(r *rig, a, k *call, ended func() error, cancel func()) {
			r.s.setWindow(c.window)
			time.Sleep(61 * time.Second) // a stall, after which the count is known
			if err := ended(); err != errHangs || r.c.Stats().BytesWritten > a.x.e.end != (c.window > tail) {
				t.Fatalf("not the state that is to be tested: CloseWrite returned %v", err)
			}
			switch name {
			case "context":
				cancel()
			case "Deadline":
				r.c.mu.Lock()
				a.x.e.by = time.Now()
				r.c.liftDeadline()
				r.c.mu.Unlock()
			case "StallTimeout":
				time.Sleep(time.Minute)
				r.failed(k, Timeout, SentPart)
			case "nobody":
				l := r.begin(context.Background(), get("/l"))
				k.x.Cancel()
				l.x.Cancel()
			}
			err := ended()
			if c.kind != 0 {
				wantError(t, err, c.kind, SentPart)
			} else if err != nil {
				t.Errorf("%s: CloseWrite: %v; %d octets written of %d", name, err, r.c.written, r.c.taken)
			}
			if c.kind != 0 || name == "StallTimeout" {
				r.dead()
				return
			}
			r.s.setWindow(wireWindow)
			synctest.Wait()
			r.serve("/k")
			r.got(k, "/k")
			r.alive()
		})
	}
}

// inLastWrite runs f where the end of a's body, which was answered already, and k are in
// one write.
func inLastWrite(t *testing.T, f func(r *rig, a, k *call, ended func() error, cancel func())) {
	reached := false
	for try := 0; try < 100 && !reached; try++ {
		inBubble(t, Config{Depth: 4, StallTimeout: time.Minute}, false, func(r *rig) {
			r.c.kind = wrapped
			r.warm()
			z := r.begin(context.Background(), get("/z")) // so that writers let others append
			r.await(z)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			a := r.pushed(ctx, time.Time{})
			r.c.mu.Lock()
			ended := a.ends()
			waitsForLock()
			k := &call{}
			go func() { k.x, k.err = r.c.Send(context.Background(), get("/k")) }()
			waitsForLock()
			r.c.mu.Unlock()
			synctest.Wait()
			if reached = !r.c.pending() && k.x.e != nil && k.x.e.start == a.x.e.end; !reached {
				return // k came behind the write, or before CloseWrite and waits in line
			}
			r.await(k)
			r.serve("/z", "/a")
			r.got(z, "/z")
			r.got(a, "/a")
			f(r, a, k, ended, cancel)
		})
	}
	if !reached {
		t.Error("not the state that is to be tested")
	}
}

// waitsForLock lets others run, until they wait for a lock that the caller holds.
func waitsForLock() {
	for range 1000 {
		runtime.Gosched()
	}
}

// A request that has failed behind a response with close is not kept by its write, which
// goes on for that response's request.
func TestFailedBehindClose(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.c.kind = direct // b's own goroutine writes
		a, b := r.inOneWrite(time.Time{})
		r.raw("HTTP/1.1 400 Bad\r\nConnection: close\r\nContent-Length: 2\r\n\r\n/")
		r.failed(b, Closed, SentPart)
		r.s.setWindow(wireWindow)
		synctest.Wait()
		if got := r.took(); got != "GET /a;" {
			t.Errorf("the server received %q", got)
		}
		r.raw("a")
		r.got(a, "/a")
		r.dead()
	})
}

// A stalled write ends in its time, whoever comes and goes meanwhile.
func TestStallIsNotPutOff(t *testing.T) {
	inBubble(t, Config{Depth: 4, StallTimeout: time.Minute}, false, func(r *rig) {
		r.warm()
		a := r.pushed(context.Background(), time.Now().Add(24*time.Hour))
		ended := a.ends()
		synctest.Wait()
		r.serve("/a")
		r.got(a, "/a")
		for range 3 {
			time.Sleep(50 * time.Second)
			k := r.begin(context.Background(), get("/k"))
			if k.sent.Load() {
				k.x.Cancel()
			}
		}
		wantError(t, ended(), Timeout, SentPart)
		r.dead()
	})
}

// A request that has failed behind a response with close is not kept in a write of its own
// on a stream without deadlines, even over a socket: there such a write is on a goroutine
// of the engine's.
func TestFailedBehindCloseWithoutDeadlines(t *testing.T) {
	inBubble(t, Config{Depth: 4}, true, func(r *rig) {
		r.c.kind = wrapped
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		r.took()
		r.s.setWindow(1)
		b := r.begin(context.Background(), &Request{Method: "PUT", Target: "/b", Host: "x", Push: true})
		r.await(b)
		r.raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n/")
		r.failed(b, Closed, SentPart)
		r.raw("a")
		r.got(a, "/a")
		r.dead()
	})
}
