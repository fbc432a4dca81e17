package h1

// uploaded_test.go: what ends an exchange whose response has ended while its request's body
// is still on its way, or while just its last write has not returned.

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A lateReturn is a stream whose Write of certain last bytes has given them to the server,
// and returns later.
type lateReturn struct {
	*tap
	last string
	gate chan struct{}
}

func (s *lateReturn) Write(p []byte) (int, error) {
	n, err := s.tap.Write(p)
	if n == len(p) && bytes.HasSuffix(p, []byte(s.last)) {
		<-s.gate
	}
	return n, err
}

// ReadFrom makes it look as if the kernel could move a file to it.
func (s *lateReturn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{s}, r)
}

// lateReturn returns such a stream over r's, and, where its name is plain, without
// deadlines.
func (r *rig) lateReturn(name, last string) (*lateReturn, io.ReadWriteCloser) {
	s := &lateReturn{r.s, last, make(chan struct{})}
	if name == "plain" {
		return s, struct{ io.ReadWriteCloser }{s}
	}
	return s, s
}

var uploadKinds = map[string]streamKind{
	"opaque": opaque, "plain": opaque, "direct": direct, "wrapped": wrapped, "layered": layered, "sealed": sealed,
}

const uploadSize = 20003

// An uploadWay is a way to upload something that ends with last. One that has a push is
// ended by its caller.
type uploadWay struct {
	req  func(t *testing.T) *Request
	push func(x Exchange) error
	last string
}

var uploadWays = map[string]uploadWay{
	"memory": {func(*testing.T) *Request { return uploadOf(bytes.NewReader(uploadBytes)) }, nil, "END"},
	"reader": {func(*testing.T) *Request {
		return uploadOf(struct{ io.Reader }{bytes.NewReader(uploadBytes)})
	}, nil, "END"},
	"file": {func(t *testing.T) *Request {
		name := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(name, uploadBytes, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return uploadOf(f)
	}, nil, "END"},
	"Write": {func(*testing.T) *Request {
		req := uploadOf(nil)
		req.Push = true
		return req
	}, func(x Exchange) error { _, err := x.Write(uploadBytes); return err }, "END"},
	"small Write": {func(*testing.T) *Request {
		req := uploadOf(nil)
		req.Push, req.ContentLength = true, 3
		return req
	}, func(x Exchange) error { _, err := x.Write([]byte("END")); return err }, "END"},
	"memory and a tail": {func(*testing.T) *Request { return uploadOf(bytes.NewReader(tailBytes)) }, nil, "END"},
	"chunks": {func(*testing.T) *Request {
		return &Request{Method: "PUT", Target: "/a", Host: "x", Body: struct{ io.Reader }{bytes.NewReader(tailBytes)}}
	}, nil, "0\r\n\r\n"},
	"CloseWrite": {func(*testing.T) *Request {
		req := uploadOf(nil)
		req.Push, req.ContentLength = true, 0
		req.Trailer.Add("t", "END")
		return req
	}, Exchange.CloseWrite, "END\r\n\r\n"},
}

var uploadBytes = []byte(strings.Repeat("x", uploadSize-3) + "END")

// tailBytes are more than one write is given, by what fits the write buffer.
var tailBytes = []byte(strings.Repeat("x", mostAtOnce) + strings.Repeat("y", 97) + "END")

func uploadOf(body io.Reader) *Request {
	req := &Request{Method: "PUT", Target: "/a", Host: "x", Body: body, ContentLength: uploadSize}
	if l, ok := body.(interface{ Len() int }); ok {
		req.ContentLength = int64(l.Len())
	}
	return req
}

// quitters end the exchange of a call.
var quitters = map[string]func(a *call, cancel func()){
	"context":  func(a *call, cancel func()) { cancel() },
	"Cancel":   func(a *call, cancel func()) { a.x.Cancel() },
	"Deadline": func(a *call, cancel func()) { time.Sleep(time.Minute) },
}

// uploaded makes an exchange on a stream of the kind, whose response has ended.
func (r *rig) uploaded(rw io.ReadWriteCloser, kind streamKind, req *Request, how string) (a *call, quit func()) {
	r.c = NewConn(rw, nil)
	r.c.kind = kind
	ctx, cancel := context.WithCancel(context.Background())
	if how == "Deadline" {
		req.Deadline = time.Now().Add(time.Minute)
	}
	a = r.begin(ctx, req)
	synctest.Wait()
	r.serve("/a")
	if !req.Push {
		r.await(a)
		r.got(a, "/a")
	}
	r.Cleanup(cancel)
	return a, func() { quitters[how](a, cancel); synctest.Wait() }
}

// What ends after the response has ended, as a deferred cancel does, costs no connection
// that has taken all of the request, even if the last write has not returned.
func TestQuitWhenAllIsOut(t *testing.T) {
	for how := range quitters {
		for name, kind := range uploadKinds {
			for way, send := range uploadWays {
				behind := !strings.HasPrefix(way, "memory")
				inBubble(t, Config{}, false, func(r *rig) {
					s, rw := r.lateReturn(name, send.last)
					a, quit := r.uploaded(rw, kind, send.req(t), how)
					defer r.c.Close()
					pushed := make(chan error, 1)
					if send.push != nil {
						go func() { pushed <- send.push(a.x) }()
						synctest.Wait()
						r.await(a)
						r.got(a, "/a")
					}
					whole := r.c.State().Idle() // nothing is left of it but that its write returns
					var next *call
					if behind {
						next = r.begin(context.Background(), get("/b"))
					}
					if got := string(r.s.receive(1 << 20)); !strings.HasSuffix(got, send.last) {
						t.Fatalf("%s: the server has not got the request", way)
					}
					quit()
					if !whole && r.c.State().Idle() {
						t.Error("another may write beside the write that has not returned")
					}
					close(s.gate)
					synctest.Wait()
					if err := r.c.Err(); err != nil {
						t.Fatalf("%s, %s, %s: the connection was lost: %v", how, name, way, err)
					}
					if behind {
						r.await(next)
						r.serve("/b")
						r.got(next, "/b")
					}
					if send.push != nil {
						if err := <-pushed; err != nil {
							t.Errorf("%s, %s, %s: %v", how, name, way, err)
						}
						if err := a.x.CloseWrite(); way != "CloseWrite" && err != nil {
							t.Errorf("%s, %s, %s: CloseWrite: %v", how, name, way, err)
						}
					}
					r.alive()
				})
			}
		}
	}
}

// The moment that such a write is given to return is not cut short by a request that comes
// meanwhile.
func TestLastWriteMayReturn(t *testing.T) {
	for how := range quitters {
		for name, kind := range uploadKinds {
			inBubble(t, Config{}, false, func(r *rig) {
				send := uploadWays["CloseWrite"]
				s, rw := r.lateReturn(name, send.last)
				req := send.req(t)
				req.Deadline = time.Now().Add(time.Hour)
				a, quit := r.uploaded(rw, kind, req, how)
				defer r.c.Close()
				ended := make(chan error, 1)
				go func() { ended <- a.x.CloseWrite() }()
				synctest.Wait()
				r.await(a)
				r.got(a, "/a")
				quit()
				time.Sleep(graceBeforeClose / 10)
				next := r.begin(context.Background(), get("/b"))
				time.Sleep(graceBeforeClose / 10)
				close(s.gate)
				synctest.Wait()
				r.await(next)
				r.serve("/b")
				r.got(next, "/b")
				if err := <-ended; err != nil {
					t.Errorf("%s, %s: %v", how, name, err)
				}
				r.alive()
			})
		}
	}
}

// Nor is that moment made longer: a request that comes meanwhile does not wait for a write
// that is stuck, and leaves none behind.
func TestLastWriteGraceEnds(t *testing.T) {
	for _, way := range []string{"memory and a tail", "chunks", "CloseWrite"} {
		for _, leaves := range []bool{false, true} {
			inBubble(t, Config{Depth: 4}, false, func(r *rig) {
				send := uploadWays[way]
				s, rw := r.lateReturn("plain", send.last)
				defer close(s.gate)
				req := send.req(t)
				req.Deadline = time.Now().Add(time.Minute)
				r.c = NewConn(rw, r.c.cfg)
				defer r.c.Close()
				a := r.begin(context.Background(), req)
				if send.push != nil {
					go send.push(a.x)
				}
				synctest.Wait()
				r.serve("/a")
				r.await(a)
				r.got(a, "/a")
				time.Sleep(time.Minute + graceBeforeClose/2)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				next := r.begin(ctx, get("/b"))
				if leaves {
					cancel()
				} else if next.sent.Load() {
					r.await(next)
				}
				time.Sleep(graceBeforeClose)
				synctest.Wait()
				if !leaves && !next.over.Load() {
					t.Errorf("%s: who came goes on: %v", way, r.c.State())
				}
				r.dead()
			})
		}
	}
}

// That moment does not limit what is written afterwards, for others.
func TestLastWriteGraceIsNotForOthers(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		s, rw := r.lateReturn("plain", "\r\n\r\n")
		r.c = NewConn(rw, r.c.cfg)
		defer r.c.Close()
		a := r.begin(context.Background(), soon("/a", time.Minute))
		synctest.Wait()
		r.serve("/a")
		r.await(a)
		r.got(a, "/a")
		time.Sleep(time.Minute + graceBeforeClose/2)
		b := r.begin(context.Background(), get("/b"))
		r.s.receive(1 << 20)
		r.s.setWindow(10)
		close(s.gate)
		time.Sleep(graceBeforeClose)
		r.s.setWindow(wireWindow)
		synctest.Wait()
		r.await(b)
		r.serve("/b")
		r.got(b, "/b")
		r.alive()
	})
}

// If all of a body but CloseWrite is out, CloseWrite is not waited for once the exchange is
// ended.
func TestQuitBeforeCloseWrite(t *testing.T) {
	for how := range quitters {
		for name, kind := range uploadKinds {
			inBubble(t, Config{}, false, func(r *rig) {
				s, rw := r.lateReturn(name, "END")
				close(s.gate)
				send := uploadWays["Write"]
				a, quit := r.uploaded(rw, kind, send.req(t), how)
				defer r.c.Close()
				if err := send.push(a.x); err != nil {
					t.Fatal(err)
				}
				r.await(a)
				r.got(a, "/a")
				r.s.receive(1 << 20)
				next := r.begin(context.Background(), get("/b"))
				if next.sent.Load() {
					t.Error("CloseWrite is not waited for")
				}
				quit()
				if r.c.mu.Lock(); a.x.e.stop != nil && how == "Cancel" {
					t.Error("it stays with its context")
				}
				r.c.mu.Unlock()
				r.await(next)
				r.serve("/b")
				r.got(next, "/b")
				if err := a.x.CloseWrite(); err != nil {
					t.Errorf("%s, %s: CloseWrite: %v", how, name, err)
				}
				if _, err := a.x.Write([]byte("more")); err == nil {
					t.Errorf("%s, %s: Write goes on", how, name)
				}
				r.alive()
			})
		}
	}
}

// A last write that is stuck ends the connection: at once, or where only Close ends a
// write, a moment later.
func TestQuitInAStuckWrite(t *testing.T) {
	for how := range quitters {
		for _, kind := range []streamKind{opaque, wrapped, layered, sealed} {
			for _, plain := range []bool{false, true} {
				inBubble(t, Config{}, false, func(r *rig) {
					var rw io.ReadWriteCloser = r.s
					if plain {
						rw = wirePlain{r.s}
					}
					r.s.setWindow(1000)
					_, quit := r.uploaded(rw, kind, &Request{Method: "PUT", Target: "/a", Host: "x", Body: bytes.NewReader(make([]byte, 20000))}, how)
					next := r.begin(context.Background(), get("/b"))
					quit()
					if plain {
						time.Sleep(graceBeforeClose)
					}
					r.failed(next, Closed, SentNothing)
					if !errors.Is(r.c.Err(), Closed) && !(how == "Deadline" && errors.Is(r.c.Err(), Timeout)) {
						t.Errorf("%s, kind %d, plain %v: %v", how, kind, plain, r.c.Err())
					}
					r.dead()
				})
			}
		}
	}
}

// A Write that is stuck says so, however small it is, and nobody waits for it.
func TestQuitInWrite(t *testing.T) {
	for how := range quitters {
		for _, n := range []int{2000, 20000} {
			inBubble(t, Config{}, false, func(r *rig) {
				a, quit := r.uploaded(r.s, opaque, &Request{Method: "PUT", Target: "/a", Host: "x", Push: true, ContentLength: int64(n)}, how)
				r.s.receive(1 << 20)
				r.s.setWindow(1000)
				var wrote error
				written := make(chan struct{})
				go func() {
					_, wrote = a.x.Write(make([]byte, n))
					close(written)
				}()
				synctest.Wait()
				r.await(a)
				r.got(a, "/a")
				next := r.begin(context.Background(), get("/b"))
				quit()
				<-written
				kind := Canceled
				if how == "Deadline" {
					kind = Timeout
				}
				wantError(t, wrote, kind, SentPart)
				r.failed(next, Closed, SentNothing)
				r.dead()
			})
		}
	}
}

// A body whose bytes are in a write of the engine's own goroutine is not waited for, even
// if that write is over; CloseWrite does not call that a success.
func TestQuitBesideAFlush(t *testing.T) {
	for how := range quitters {
		for _, over := range []bool{false, true} {
			inBubble(t, Config{Depth: 4}, false, func(r *rig) {
				s := &lateReturn{r.s, "END", make(chan struct{})}
				r.c = NewConn(s, r.c.cfg)
				defer r.c.Close()
				r.warm()
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				a := r.begin(context.Background(), get("/a"))
				r.took()
				r.s.setWindow(40)
				req := &Request{Method: "PUT", Target: "/b", Host: "x", Push: true, ContentLength: 2003}
				if how == "Deadline" {
					req.Deadline = time.Now().Add(time.Minute)
				}
				b := r.begin(ctx, req)
				if _, err := b.x.Write([]byte(strings.Repeat("x", 2000) + "END")); err != nil {
					t.Fatal(err)
				}
				for range 2 { // more of the head, and some of the body
					r.s.receive(40)
					synctest.Wait()
				}
				if over {
					r.s.setWindow(wireWindow)
					synctest.Wait()
				}
				r.serve("/a", "/b")
				r.await(a)
				r.got(a, "/a")
				r.await(b)
				r.got(b, "/b")
				next := r.begin(context.Background(), get("/c"))
				quitters[how](b, cancel)
				synctest.Wait()
				kind := Canceled
				if how == "Deadline" {
					kind = Timeout
				}
				wantError(t, b.x.CloseWrite(), kind, SentPart)
				close(s.gate)
				r.failed(next, Closed, SentNothing)
				r.dead()
			})
		}
	}
}

// A body that the kernel moves, from a source that gives nothing more, is not waited for.
func TestQuitOfASlowSource(t *testing.T) {
	for _, source := range []string{"socket", "pipe"} {
		client, server := tcpPair(t)
		var body io.Reader
		if source == "socket" {
			from, feed := tcpPair(t)
			feed.Write(make([]byte, 100))
			body = from
		} else {
			from, feed, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer from.Close()
			defer feed.Close()
			feed.Write(make([]byte, 100))
			body = from
		}
		c := NewConn(client, nil)
		defer c.Close()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		x, err := c.Send(ctx, &Request{Method: "PUT", Target: "/a", Host: "x", Body: body, ContentLength: 30000})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			server.Read(make([]byte, 4096))
			io.WriteString(server, answer("/a"))
			io.Copy(io.Discard, server)
		}()
		var resp Response
		if err := x.Wait(context.Background(), &resp); err != nil {
			t.Fatal(err)
		}
		if _, err := resp.AppendBody(nil, -1); err != nil {
			t.Fatal(err)
		}
		cancel()
		hangs(source, func() {
			_, err := c.Send(context.Background(), get("/b"))
			wantError(t, err, Closed, SentNothing)
		})
	}
}

// If a body's head went out in a write of its own, the body's write does not begin
// afterwards.
func TestQuitBetweenTwoWrites(t *testing.T) {
	for how := range quitters {
		inBubble(t, Config{}, false, func(r *rig) {
			s := &lateReturn{r.s, "\r\n\r\n", make(chan struct{})}
			r.s.setWindow(200) // a head
			_, quit := r.uploaded(s, opaque, &Request{Method: "PUT", Target: "/a", Host: "x", Body: bytes.NewReader(make([]byte, 20000))}, how)
			defer r.c.Close()
			next := r.begin(context.Background(), get("/b"))
			quit()
			close(s.gate)
			r.failed(next, Closed, SentNothing)
			r.dead()
		})
	}
}

// A write that is not a body's last is not waited for, even if it is over.
func TestQuitBeforeTheLast(t *testing.T) {
	for how := range quitters {
		for _, push := range []bool{false, true} {
			inBubble(t, Config{}, false, func(r *rig) {
				s := &lateReturn{r.s, "END", make(chan struct{})}
				piece := strings.Repeat("x", 20000) + "END"
				feeds, ends := io.Pipe()
				defer ends.Close()
				req := &Request{Method: "PUT", Target: "/a", Host: "x", Push: push, ContentLength: int64(len(piece)) + 100}
				if !push {
					req.Body = io.MultiReader(strings.NewReader(piece), feeds)
				}
				a, quit := r.uploaded(s, opaque, req, how)
				defer r.c.Close()
				if push {
					go a.x.Write([]byte(piece))
					synctest.Wait()
					r.await(a)
					r.got(a, "/a")
				}
				next := r.begin(context.Background(), get("/b"))
				quit()
				close(s.gate)
				r.failed(next, Closed, SentNothing)
				r.dead()
			})
		}
	}
}

// inCloseWrite makes an exchange whose caller is in CloseWrite, and whose response has
// come by half.
func (r *rig) inCloseWrite(ctx context.Context, req *Request, window int) (a *call, ended chan error) {
	r.Helper()
	a, ended = r.begin(ctx, req), make(chan error, 1)
	r.took()
	r.s.setWindow(window)
	go func() { ended <- a.x.CloseWrite() }()
	synctest.Wait()
	r.raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
	if err := a.x.Wait(context.Background(), &a.resp); err != nil {
		r.Fatal(err)
	}
	return a, ended
}

// A CloseWrite that is stuck after its response was given up ends with its exchange, even
// if others have read the rest of the response.
func TestQuitBehindBodyClose(t *testing.T) {
	for how := range quitters {
		for i, kind := range []streamKind{opaque, sealed, opaque, sealed} {
			inBubble(t, Config{Depth: 4}, false, func(r *rig) {
				r.c.kind = kind
				r.warm()
				ctx, cancel := context.WithCancel(context.Background())
				req := &Request{Method: "PUT", Target: "/a", Host: "x", Push: true}
				if how == "Deadline" {
					req.Deadline = time.Now().Add(time.Minute)
				}
				a, ended := r.inCloseWrite(ctx, req, 0)
				b := r.begin(context.Background(), get("/b"))
				r.await(b)
				a.resp.Body.Close()
				synctest.Wait()
				if i > 1 {
					r.raw("12345")
					synctest.Wait()
				}
				if len(ended) > 0 || r.c.Err() != nil {
					t.Fatalf("Close has ended more than the response: %v", r.c.Err())
				}
				quitters[how](a, cancel)
				synctest.Wait()
				if len(ended) == 0 {
					t.Errorf("%s, kind %d: CloseWrite goes on", how, kind)
				}
				cancel()
				if kind == opaque { // the rest goes out with another's
					r.s.setWindow(wireWindow)
					if i < 2 {
						r.raw("12345")
					}
					r.serve("/b")
					r.got(b, "/b")
					r.alive()
					return
				}
				r.failed(b, Closed, SentNothing)
				r.dead()
			})
		}
	}
}

// If that write of CloseWrite's is over, and has only not returned, its end does not cost
// the connection.
func TestQuitOverBehindBodyClose(t *testing.T) {
	for how := range quitters {
		for name, kind := range uploadKinds {
			for _, rest := range []bool{false, true} {
				inBubble(t, Config{Depth: 4}, false, func(r *rig) {
					send := uploadWays["CloseWrite"]
					s, rw := r.lateReturn(name, send.last)
					r.c = NewConn(rw, r.c.cfg)
					r.c.kind = kind
					defer r.c.Close()
					r.warm()
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					req := send.req(t)
					if how == "Deadline" {
						req.Deadline = time.Now().Add(time.Minute)
					}
					a, ended := r.inCloseWrite(ctx, req, wireWindow)
					b := r.begin(context.Background(), get("/b"))
					r.await(b)
					a.resp.Body.Close()
					if rest {
						r.raw("12345")
						synctest.Wait()
					}
					quitters[how](a, cancel)
					time.Sleep(graceBeforeClose / 10)
					close(s.gate)
					synctest.Wait()
					if !rest {
						r.raw("12345")
					}
					r.serve("/b")
					r.got(b, "/b")
					if len(ended) == 0 {
						t.Errorf("%s, %s: CloseWrite goes on", how, name)
					}
					r.alive()
				})
			}
		}
	}
}

// The Deadline holds for CloseWrite after its response was given up, even if the write
// moves a little at a time.
func TestDeadlineBehindBodyClose(t *testing.T) {
	inBubble(t, Config{Depth: 4, StallTimeout: 10 * time.Second}, false, func(r *rig) {
		r.warm()
		req := &Request{Method: "PUT", Target: "/a", Host: "x", Push: true, Deadline: time.Now().Add(15 * time.Second)}
		req.Trailer.Add("T", strings.Repeat("t", 3000))
		a, ended := r.inCloseWrite(context.Background(), req, 0)
		b := r.begin(context.Background(), get("/b"))
		r.await(b)
		a.resp.Body.Close()
		for n := range 4 {
			time.Sleep(5 * time.Second)
			r.s.setWindow(10 * (n + 1))
			synctest.Wait()
		}
		if len(ended) == 0 {
			t.Error("CloseWrite goes on")
		}
		r.s.setWindow(wireWindow)
		r.raw("12345")
		r.serve("/b")
		r.got(b, "/b")
		r.alive()
	})
}
