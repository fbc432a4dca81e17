package h1

// badstream_test.go: what a stream does wrong is an error of its exchange, and no more.

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A quirk is a stream with one habit of its own.
type quirk struct {
	io.ReadWriteCloser
	read  func(p []byte) (int, error) // nil: as the stream
	write func(p []byte) (int, error)
}

func (q *quirk) Read(p []byte) (int, error) {
	if q.read != nil {
		return q.read(p)
	}
	return q.ReadWriteCloser.Read(p)
}

func (q *quirk) Write(p []byte) (int, error) {
	if q.write != nil {
		return q.write(p)
	}
	return q.ReadWriteCloser.Write(p)
}

func (q *quirk) SetReadDeadline(time.Time) error  { return nil }
func (q *quirk) SetWriteDeadline(time.Time) error { return nil }

// What a stream may not return ends the connection with an error that says so, and never
// a panic or a response.
func TestStreamBreaksItsContract(t *testing.T) {
	for _, c := range []struct {
		name        string
		read, write func(p []byte) (int, error)
		kind        Kind
		sent        Sent
		text        string
	}{
		{"Read returns more than it was given room for", func(p []byte) (int, error) { return len(p) + 1, nil }, nil, IO, SentAll, "impossible count"},
		{"Read returns less than nothing", func(p []byte) (int, error) { return -1, nil }, nil, IO, SentAll, "impossible count"},
		{"Read times out without a deadline", func(p []byte) (int, error) { return 0, os.ErrDeadlineExceeded }, nil, Timeout, SentAll, "i/o timeout"},
		{"Write returns more than it was given", nil, func(p []byte) (int, error) { return len(p) + 1, nil }, IO, SentAll, "impossible count"},
		{"Write returns less than nothing", nil, func(p []byte) (int, error) { return -1, nil }, IO, SentAll, "impossible count"},
		{"Write is short and says nothing", nil, func(p []byte) (int, error) { return len(p) - 1, nil }, IO, SentPart, io.ErrShortWrite.Error()},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			end := &pieces{}
			conn := NewConn(&quirk{end, c.read, c.write}, nil)
			defer conn.Close()
			err := conn.Do(context.Background(), get("/a"), &Response{})
			wantError(t, err, c.kind, c.sent)
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v does not say %q", err, c.text)
			}
			if conn.Err() == nil || !conn.State().Closed() {
				t.Errorf("the connection lives on: %v, %v", conn.Err(), conn.State())
			}
		})
	}
}

// An error that a Write returns along with all of its bytes ends nothing: they are out.
func TestWriteFailsAfterAll(t *testing.T) {
	m := newMirror(echo)
	c := NewConn(&quirk{m, nil, func(p []byte) (int, error) {
		n, _ := m.Write(p)
		return n, io.ErrClosedPipe
	}}, nil)
	defer c.Close()
	for _, target := range []string{"/a", "/b"} {
		if body, err := fetch(c, get(target)); body != target || err != nil {
			t.Fatalf("%q, %v; %v", body, err, c.State())
		}
	}
}

// A read that times out before its deadline was up for one that was moved on since: it is
// tried again.
func TestReadTimesOutEarly(t *testing.T) {
	early := 0
	end := &pieces{left: []string{answer("/a")}}
	conn := NewConn(&quirk{end, func(p []byte) (int, error) {
		if early++; early%2 == 1 {
			return 0, os.ErrDeadlineExceeded
		}
		return end.Read(p[:min(len(p), 10)])
	}, nil}, &Config{StallTimeout: time.Hour})
	defer conn.Close()
	if body, err := fetch(conn, get("/a")); body != "/a" || err != nil || early < 4 {
		t.Errorf("%q, %v, after %d reads", body, err, early)
	}
}

// A read that gives bytes, and says that its time was up, did not give them in vain, nor is
// it the last: where the time goes on, so does the read.
func TestReadTimesOutWithBytes(t *testing.T) {
	for name, cfg := range map[string]*Config{"unlimited": nil, "limited": {StallTimeout: time.Hour}} {
		reads := 0
		end := &pieces{left: []string{answer("/a")}}
		conn := NewConn(&quirk{end, func(p []byte) (int, error) {
			if reads++; reads > 100 {
				panic("it spins")
			}
			n, err := end.Read(p[:min(len(p), 10)])
			if err == nil {
				err = os.ErrDeadlineExceeded
			}
			return n, err
		}, nil}, cfg)
		hangs(name, func() {
			if body, err := fetch(conn, get("/a")); body != "/a" || err != nil {
				t.Errorf("%s: %q, %v", name, body, err)
			}
		})
		conn.Close()
	}
}

// A peer that was not heard of for too long ends the stream, and so breaks off a response
// that its end would complete. It is no deadline of ours, which could be moved on.
func TestPeerTimesOut(t *testing.T) {
	for name, cfg := range map[string]*Config{"unlimited": nil, "limited": {StallTimeout: time.Hour}} {
		for _, wire := range []string{"", "HTTP/1.1 200 OK\r\n\r\nhalf"} {
			end, lost := &pieces{left: []string{wire}}, false
			conn := NewConn(&quirk{end, func(p []byte) (int, error) {
				n, err := end.Read(p)
				if err == io.EOF && !lost { // a socket says it once, and then is at its end
					lost, err = true, &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ETIMEDOUT)}
				}
				return n, err
			}, nil}, cfg)
			body, err := fetch(conn, get("/a"))
			if wantError(t, err, IO, SentAll); !errors.Is(err, syscall.ETIMEDOUT) {
				t.Errorf("%s, %q: %q, %v", name, wire, body, err)
			}
			conn.Close()
		}
	}
}

// A stream that gives neither bytes nor an error is not asked for ever.
func TestReadMakesNoProgress(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\n"
	for _, wire := range []string{
		"", head,
		head + "Content-Length: 10000\r\n\r\nx",
		head + "Content-Length: 10\r\n\r\nx",
		head + "Transfer-Encoding: chunked\r\n\r\n5\r\nx",
		head + "Transfer-Encoding: chunked\r\n\r\n0\r\n",
		head + "\r\nx",
	} {
		reads, left := 0, wire
		conn := NewConn(&quirk{&pieces{}, func(p []byte) (int, error) {
			n := copy(p, left)
			left = left[n:]
			if reads++; reads > 1000 {
				return 0, errors.New("read a thousand times")
			}
			return n, nil
		}, nil}, nil)
		_, err := fetch(conn, get("/a"))
		if wantError(t, err, IO, SentAll); !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("%q: %v", wire, err)
		}
		conn.Close()
	}
}

// A connection that is closed as a write returns writes nothing more, though there was more
// to write at once.
func TestClosedBetweenWrites(t *testing.T) {
	before := runtime.NumGoroutine()
	var conn *Conn
	var writes atomic.Int32
	closed := make(chan struct{})
	conn = NewConn(&quirk{&pieces{}, func([]byte) (int, error) {
		<-closed // nothing is answered
		return 0, io.ErrClosedPipe
	}, func(p []byte) (int, error) {
		if writes.Add(1) == 2 { // the head and a chunk's size, or the chunk
			conn.Close()
			close(closed)
		}
		return len(p), nil
	}}, nil)
	body := io.MultiReader(strings.NewReader(strings.Repeat("x", 2*pumpBuffer)))
	err := conn.Do(context.Background(), &Request{Method: "PUT", Host: "x", Body: body}, &Response{})
	wantError(t, err, Closed, SentPart)
	noneLeft(t, before) // Do does not wait for whoever writes the body
	if n := writes.Load(); n != 2 {
		t.Errorf("%d writes, %d of them after Close", n, n-2)
	}
}

// A write may fail with an error that calls itself a timeout, and be none of the engine's:
// TCP gives up (ETIMEDOUT). It says what it is, and a response that was on its way is not
// lost.
func TestWriteTimesOutByItself(t *testing.T) {
	for _, c := range []struct {
		cause    error
		kind     Kind
		answered bool
		plain    bool
	}{
		{syscall.ETIMEDOUT, IO, false, false}, // the peer was not heard of
		{syscall.ETIMEDOUT, IO, true, false},
		{syscall.ETIMEDOUT, IO, false, true},
		{os.ErrDeadlineExceeded, Timeout, false, false}, // a deadline of the caller's
		{os.ErrDeadlineExceeded, Timeout, true, false},
		{os.ErrDeadlineExceeded, Timeout, true, true},
	} {
		inBubble(t, Config{}, c.plain, func(r *rig) {
			k := r.begin(context.Background(), &Request{Method: "PUT", Host: "x", Push: true})
			r.await(k)
			r.s.failWrites(3, c.cause)
			_, err := k.x.Write([]byte("some"))
			if bad, ok := err.(*Error); !ok || bad.Kind != c.kind || !errors.Is(bad, c.cause) {
				t.Errorf("Write: %v", err)
			}
			if c.answered {
				r.serve("/a")
				r.got(k, "/a")
			} else {
				time.Sleep(time.Second)
				synctest.Wait()
				if bad, ok := k.err.(*Error); !k.over.Load() || !ok || bad.Kind != c.kind || !errors.Is(bad, c.cause) {
					t.Errorf("Wait: %v", k.err)
				}
			}
			r.dead()
		})
	}
}

// What went out in a write with an impossible count is not known: nothing in it is
// Unprocessed.
func TestImpossibleCountIsNoVerdict(t *testing.T) {
	for _, n := range []int{-1, 1 << 20} {
		conn := NewConn(&quirk{&pieces{}, nil, func(p []byte) (int, error) { return n, nil }}, nil)
		err := conn.Do(context.Background(), &Request{Method: "POST", Host: "x"}, &Response{})
		if bad, ok := err.(*Error); !ok || bad.Kind != IO || bad.Unprocessed() || bad.Retryable("POST") {
			t.Errorf("%d: %v, sent %v", n, err, bad.Sent)
		}
		conn.Close()
	}
}

// An error says what was being done.
func TestErrorSaysWhat(t *testing.T) {
	for wire, op := range map[string]string{
		"SSH-2.0-x\r\n": "read head",
		"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n":                                    "read head",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n":                                        "read head",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx":                          "read body",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA b\r\n":               "read trailer",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTrailer" + "end of it": "read trailer",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbody":                                "read body",
		"HTTP/1.1 200 OK\r\nConte":                                                        "read head",
	} {
		inBubble(t, Config{}, false, func(r *rig) {
			r.raw(wire)
			r.s.fail(io.EOF)
			k := r.begin(context.Background(), get("/"))
			r.await(k)
			bad, ok := k.err.(*Error)
			if !ok || bad.Op != op {
				t.Errorf("%q: %v, want one of %q", wire, k.err, op)
			}
			r.dead()
		})
	}
}

// An error of the stream's is the stream's, even if it is an Error of this package: a
// stream may run over another connection.
func TestForeignErrorOfStream(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		for _, foreign := range []error{r.foreign(), fromDeadline("read body", whyStall)} {
			err := NewConn(deadStream{foreign}, nil).Do(context.Background(), &Request{Method: "POST", Host: "x"}, &Response{})
			e, ok := err.(*Error)
			if !ok || e.Kind != IO || e.Sent != SentAll || e.Unprocessed() || e.Retryable("POST") || !errors.Is(err, foreign) {
				t.Errorf("%#v", err)
			}
		}
	})
}

// deadStream takes all, and gives an error.
type deadStream struct{ err error }

func (s deadStream) Read([]byte) (int, error)    { return 0, s.err }
func (s deadStream) Write(p []byte) (int, error) { return len(p), nil }
func (s deadStream) Close() error                { return nil }

// A stream that says at once, whenever it is read, that it has waited too long is not
// asked for ever; it is its own time that is over.
func TestStreamWithATimeOfItsOwn(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		reads := 0
		r.c = NewConn(&quirk{ReadWriteCloser: r.s, read: func([]byte) (int, error) { reads++; return 0, os.ErrDeadlineExceeded }}, nil)
		req := get("/a")
		req.Deadline = time.Now().Add(time.Hour)
		err := r.c.Do(context.Background(), req, &Response{})
		wantError(t, err, Timeout, SentAll)
		if reads > 2*maxEmptyReads || strings.Contains(err.Error(), whyDeadline.String()) {
			t.Errorf("%v after %d reads", err, reads)
		}
	})
	inBubble(t, Config{}, false, func(r *rig) { // now and then it may
		reads := 0
		r.c = NewConn(&quirk{ReadWriteCloser: r.s, read: func(p []byte) (int, error) {
			if reads++; reads%2 == 0 {
				return 0, os.ErrDeadlineExceeded
			}
			return r.s.Read(p[:1])
		}}, nil)
		req := get("/a")
		req.Deadline = time.Now().Add(time.Hour)
		long := "/" + strings.Repeat("a", 5*maxEmptyReads)
		r.serve(long)
		var resp Response
		err := r.c.Do(context.Background(), req, &resp)
		if body, bad := resp.AppendBody(nil, -1); err != nil || bad != nil || string(body) != long {
			t.Errorf("%v, %v", err, bad)
		}
	})
}
