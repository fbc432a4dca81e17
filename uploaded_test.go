package h1

// uploaded_test.go: what ends an exchange whose response has ended, and of whose request nothing is left
// but that the last write returns, or that CloseWrite is called.

import (
	"bytes"
	"context"
	"errors"
	"io"
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

// Who has pushed all of the body and not called CloseWrite is not waited for any more; nor is that one told of
// anything but what was stuck.
func TestQuitBeforeCloseWrite(t *testing.T) {
	for how := range quitters {
		for _, when := range []string{"in Write", "in a stuck Write", "after Write"} {
			inBubble(t, Config{}, false, func(r *rig) {
				s := &lateReturn{r.s, "END", make(chan struct{})}
				body := []byte(strings.Repeat("x", 20000) + "END")
				a, quit := r.uploaded(s, opaque, &Request{Method: "PUT", Target: "/a", Host: "x", Push: true, ContentLength: int64(len(body))}, how)
				defer r.c.Close()
				if when == "in a stuck Write" {
					r.s.setWindow(1000)
				}
				var wrote error
				written := make(chan struct{})
				go func() {
					_, wrote = a.x.Write(body)
					close(written)
				}()
				synctest.Wait()
				if when == "after Write" {
					close(s.gate)
					<-written
				}
				r.await(a)
				r.got(a, "/a")
				if when != "in a stuck Write" {
					r.s.receive(1 << 20)
				}
				next := r.begin(context.Background(), posting("/b"))
				quit()
				if when == "in Write" {
					close(s.gate)
				}
				<-written
				if when == "in a stuck Write" {
					kind := Canceled
					if how == "Deadline" {
						kind = Timeout
					}
					wantError(t, wrote, kind, SentPart)
					if r.c.Err() == nil {
						t.Error("the connection goes on in the midst of a body")
					}
					return
				}
				synctest.Wait()
				r.await(next)
				r.serve("/b")
				r.got(next, "/b")
				if err := a.x.CloseWrite(); wrote != nil || err != nil {
					t.Errorf("%s %s: Write: %v, CloseWrite: %v", how, when, wrote, err)
				}
				r.alive()
			})
		}
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
