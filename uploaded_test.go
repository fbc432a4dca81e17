package h1

// uploaded_test.go: what ends an exchange whose response has ended while its request's body is still on
// its way, be it only that the last write has not returned.

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A lateReturn is a stream whose Write of certain last bytes has given them to the server, and returns later.
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
	return a, func() { quitters[how](a, cancel); synctest.Wait(); cancel() }
}

// Whatever ends when the response has ended, as a deferred cancel does, is nothing to a connection that
// has taken all of the request, be it that the last write has not returned.
func TestQuitWhenAllIsOut(t *testing.T) {
	for how := range quitters {
		for _, kind := range []streamKind{opaque, wrapped, layered, sealed} {
			inBubble(t, Config{}, false, func(r *rig) {
				s := &lateReturn{r.s, "END", make(chan struct{})}
				body := strings.Repeat("x", 20000) + "END"
				_, quit := r.uploaded(s, kind, &Request{Method: "PUT", Target: "/a", Host: "x", Body: bytes.NewReader([]byte(body))}, how)
				defer r.c.Close()
				if got := string(r.s.receive(1 << 20)); !strings.HasSuffix(got, "END") {
					t.Fatal("the server has not got the request")
				}
				quit()
				if r.c.State().Idle() {
					t.Error("another may write beside the write that has not returned")
				}
				close(s.gate)
				synctest.Wait()
				if err := r.c.Err(); err != nil {
					t.Fatalf("%s, kind %d: the connection was lost: %v", how, kind, err)
				}
				r.alive()
			})
		}
	}
}

// One that is stuck ends the connection, at once.
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

// Nor where the bytes of it are in a write that is nobody's.
func TestQuitBesideAFlush(t *testing.T) {
	for how := range quitters {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			r.warm()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			a := r.begin(context.Background(), get("/a"))
			r.took()
			r.s.setWindow(40)
			req := &Request{Method: "PUT", Target: "/b", Host: "x", Push: true, ContentLength: 2000}
			if how == "Deadline" {
				req.Deadline = time.Now().Add(time.Minute)
			}
			b := r.begin(ctx, req)
			if _, err := b.x.Write(make([]byte, 2000)); err != nil {
				t.Fatal(err)
			}
			for range 2 { // more of the head, and some of the body
				r.s.receive(40)
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
			if !next.sent.Load() && !next.over.Load() {
				t.Errorf("%s: the next waits: %v, Err %v", how, r.c.State(), r.c.Err())
			}
		})
	}
}

// Nor where what is moved inside the kernel comes from who gives nothing more.
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

// Nor is what comes behind that write begun, of a body whose head went out apart.
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

// What is not the last of a body, or may not be its caller's last word, is not waited for, be the write over.
func TestQuitBeforeTheLast(t *testing.T) {
	for how := range quitters {
		for _, push := range []bool{false, true} {
			inBubble(t, Config{}, false, func(r *rig) {
				s := &lateReturn{r.s, "END", make(chan struct{})}
				piece := strings.Repeat("x", 20000) + "END"
				feeds, ends := io.Pipe()
				defer ends.Close()
				req := &Request{Method: "PUT", Target: "/a", Host: "x", Push: push, ContentLength: int64(len(piece))}
				if !push {
					req.Body, req.ContentLength = io.MultiReader(strings.NewReader(piece), feeds), int64(len(piece))+100
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

// inCloseWrite makes an exchange that is stuck in CloseWrite, and whose response has come by half.
func (r *rig) inCloseWrite(ctx context.Context, req *Request) (a *call, ended chan error) {
	r.Helper()
	a, ended = r.begin(ctx, req), make(chan error, 1)
	r.took()
	r.s.setWindow(0)
	go func() { ended <- a.x.CloseWrite() }()
	synctest.Wait()
	r.raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
	if err := a.x.Wait(context.Background(), &a.resp); err != nil {
		r.Fatal(err)
	}
	return a, ended
}

// Who has given up a response, and is in CloseWrite still, is let go of that as well, be it that others have
// read the rest.
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
				a, ended := r.inCloseWrite(ctx, req)
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
				if i > 1 && kind == opaque { // the rest goes out with another's
					r.s.setWindow(wireWindow)
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

// Nor does the Deadline get lost where the write moves a little at a time.
func TestDeadlineBehindBodyClose(t *testing.T) {
	inBubble(t, Config{Depth: 4, StallTimeout: 10 * time.Second}, false, func(r *rig) {
		r.warm()
		req := &Request{Method: "PUT", Target: "/a", Host: "x", Push: true, Deadline: time.Now().Add(15 * time.Second)}
		req.Trailer.Add("T", strings.Repeat("t", 3000))
		a, ended := r.inCloseWrite(context.Background(), req)
		r.await(r.begin(context.Background(), get("/b")))
		a.resp.Body.Close()
		for n := range 4 {
			time.Sleep(5 * time.Second)
			r.s.setWindow(10 * (n + 1))
			synctest.Wait()
		}
		if len(ended) == 0 {
			t.Error("CloseWrite goes on")
		}
		r.dead()
	})
}
