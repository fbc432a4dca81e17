package h1

// told_test.go: what those are told who wait beside a stuck write, and what
// becomes of bodies that are not as long as was said.

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
)

// Those in line behind a request that says close are told when its turn has come: they need
// not wait for its write.
func TestToldBeforeTheLastIsWritten(t *testing.T) {
	for name, last := range map[string]*Request{
		"head": {Target: "/last", Host: "x", Close: true},
		"body": {Method: "PUT", Target: "/last", Host: "x", Close: true, Body: strings.NewReader("hello")},
	} {
		inBubble(t, Config{}, false, func(r *rig) {
			first := r.begin(context.Background(), get("/first"))
			r.begin(context.Background(), last)
			b := r.begin(context.Background(), get("/b"))
			if b.over.Load() {
				t.Fatalf("%s: it is not in line: %v", name, b.err)
			}
			r.s.receive(1 << 20)
			r.s.setWindow(5)
			r.serve("/first")
			r.await(first)
			r.got(first, "/first")
			r.failed(b, Closed, SentNothing)
		})
	}
}

// A call that comes out of turn is no reason to send the request again: it is on its way,
// though nothing of it may be out.
func TestOutOfTurnIsNotUnprocessed(t *testing.T) {
	inBubble(t, Config{Depth: 2}, false, func(r *rig) {
		r.warm()
		r.s.setWindow(5)
		a := r.begin(context.Background(), get("/a"))
		b := r.begin(context.Background(), get("/b"))
		_, write := b.x.Write([]byte("x"))
		for _, err := range []error{write, b.x.CloseWrite(), b.x.Wait(context.Background(), nil)} {
			bad, ok := err.(*Error)
			if !ok || bad.Kind != BadRequest || bad.Unprocessed() || bad.Retryable("POST") {
				t.Errorf("%v", err)
			}
		}
		r.s.setWindow(wireWindow)
		synctest.Wait()
		r.bothGot(a, b)
	})
}

// A body is too long as soon as it shows one byte too many, whatever comes after that; and
// a Read that returns an impossible count gives nothing, whatever it says besides.
func TestBodyIsNotAsSaid(t *testing.T) {
	for _, c := range []struct {
		name  string
		reads []string // what the body's Reads give; "-": a count of -1, and io.EOF
		sized bool
		want  error
	}{
		{"long, then as said", []string{"123456", "12345"}, false, errLong},
		{"impossible, and over", []string{"-"}, false, errCount},
		{"impossible, and over, sized", []string{"-"}, true, errCount},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			inBubble(t, Config{}, false, func(r *rig) {
				next := c.reads
				read := func(p []byte) (int, error) {
					if len(next) == 0 || next[0] == "-" {
						return -len(next), io.EOF
					}
					n := copy(p, next[0])
					next = next[1:]
					return n, nil
				}
				req := &Request{Method: "PUT", Target: "/a", Host: "x", Body: readerFunc(read), ContentLength: 5}
				if c.sized {
					req.Body = &sizedBody{5, read}
				}
				k := r.begin(context.Background(), req)
				r.await(k)
				synctest.Wait()
				if !k.over.Load() || !errors.Is(k.err, BodyFailed) || !errors.Is(k.err, c.want) {
					t.Errorf("over %v: %v", k.over.Load(), k.err)
				}
				if got := string(r.s.receive(1 << 20)); strings.HasSuffix(got, "12345") {
					t.Errorf("the server received %q", got)
				}
			})
		})
	}
}

// The first reason for the end of a connection stays, also where Close comes before that
// end.
func TestCloseKeepsTheReason(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		k := r.begin(context.Background(), get("/a"))
		r.raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n")
		r.await(k)
		r.c.Close()
		r.failed(k, Closed, SentAll)
		if err := r.c.Err(); err != error(errCloseSaid) {
			t.Errorf("Err is %v", err)
		}
	})
}
