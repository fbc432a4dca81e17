//go:build unix

package h1

// peeker_test.go: streams that know by themselves what a read would bring.

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// askable is a stream whose peer says what it is told to say; it tells what that is.
type askable struct {
	mu     sync.Mutex
	more   sync.Cond
	data   string // for the next Reads
	err    error  // behind data
	count  int    // added to what PeekNow returns
	wrote  int
	closed bool
}

func (s *askable) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.data == "" && s.err == nil && !s.closed {
		s.more.Wait()
	}
	if s.data == "" {
		return 0, s.err
	}
	n := copy(p, s.data)
	s.data = s.data[n:]
	return n, nil
}

func (s *askable) PeekNow(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := copy(p, s.data); n > 0 || s.err == nil {
		return n + s.count, nil
	}
	return 0, s.err
}

func (s *askable) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrote += len(p)
	return len(p), nil
}

func (s *askable) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.err = io.ErrClosedPipe
	s.more.Broadcast()
	return nil
}

// says has the peer say s, and then have an end.
func (s *askable) says(data string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data, s.err = s.data+data, err
	s.more.Broadcast()
}

// TestPeekNow: what comes to an idle connection costs it, before the first request and
// between two, and is nobody's response; the next request is not written.
func TestPeekNow(t *testing.T) {
	broken := &Error{Kind: BadStatus, Sent: SentAll} // the stream's own, and not to be mistaken for the engine's
	for name, c := range map[string]struct {
		data  string
		err   error
		count int
		want  Kind
		is    error
	}{
		"bytes":       {data: answer("evil"), want: Unsolicited},
		"408":         {data: "HTTP/1.1 408 Request Timeout\r\n\r\n", want: Closed},
		"the end":     {err: io.EOF, want: Closed},
		"an error":    {err: io.ErrUnexpectedEOF, want: IO, is: io.ErrUnexpectedEOF},
		"its *Error":  {err: broken, want: IO},
		"miscounting": {count: -1, want: IO, is: errPeekCount},
		"overlong":    {data: "x", count: peeked, want: IO, is: errPeekCount},
	} {
		for _, first := range []bool{true, false} {
			for _, probe := range []bool{true, false} {
				s := &askable{}
				s.more.L = &s.mu
				conn := NewConn(s, nil)
				var resp Response
				if !first {
					x, err := conn.Send(context.Background(), get("/a"))
					if err != nil {
						t.Fatal(err)
					}
					s.says(answer("good"), nil)
					if err := x.Wait(context.Background(), &resp); err != nil {
						t.Fatal(err)
					}
					if b, err := resp.AppendBody(nil, -1); err != nil || string(b) != "good" {
						t.Fatalf("%q, %v", b, err)
					}
					if err := conn.Probe(); err != nil {
						t.Fatalf("%s: the idle connection: %v", name, err)
					}
				}
				s.says(c.data, c.err)
				s.mu.Lock()
				s.count = c.count
				wrote := s.wrote
				s.mu.Unlock()
				var err error
				if probe {
					err = conn.Probe()
				} else {
					err = conn.Do(context.Background(), get("/b"), &resp)
				}
				var e *Error
				if !errors.As(err, &e) || e.Kind != c.want || !e.Unprocessed() || c.is != nil && !errors.Is(err, c.is) {
					t.Errorf("%s, before the first request %v, by Probe %v: %v", name, first, probe, err)
				}
				if err := conn.Do(context.Background(), get("/c"), &resp); !errors.Is(err, Closed) || s.wrote != wrote || !s.closed {
					t.Errorf("%s: then %v; %d bytes written, closed %v", name, err, s.wrote-wrote, s.closed)
				}
			}
		}
	}
}

// bothKinds is a stream of two kinds: it has a layer and a socket, and tells what comes.
type bothKinds struct {
	*net.TCPConn
	*askable
	reads atomic.Int32
}

func (s *bothKinds) Read([]byte) (int, error)         { s.reads.Add(1); return 0, os.ErrDeadlineExceeded }
func (s *bothKinds) Write(p []byte) (int, error)      { return len(p), nil }
func (s *bothKinds) Close() error                     { return s.TCPConn.Close() }
func (s *bothKinds) NetConn() net.Conn                { return s.TCPConn }
func (s *bothKinds) SetReadDeadline(time.Time) error  { return nil }
func (s *bothKinds) SetWriteDeadline(time.Time) error { return nil }

// TestPeekNowAlone: who tells what a read would bring is not read for that, nor is a
// socket asked besides.
func TestPeekNowAlone(t *testing.T) {
	client, server := ends(t, "tcp")
	io.WriteString(server, "what TLS would make of this is not for the engine to say")
	s := &bothKinds{TCPConn: client.(*net.TCPConn), askable: &askable{}}
	c := NewConn(s, nil)
	defer c.Close()
	c.written = 1 // a layer is not read through before
	time.Sleep(20 * time.Millisecond)
	if err := c.Probe(); err != nil || s.reads.Load() > 0 {
		t.Errorf("%v, %d reads", err, s.reads.Load())
	}
	if c.sock != nil {
		t.Error("it would be watched by its socket")
	}
}

// TestPeekNowInLine: the look before a request is not left to another that waits in line
// behind it.
func TestPeekNowInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &askable{}
		s.more.L = &s.mu
		c := NewConn(s, &Config{Depth: 4})
		x, _ := c.Send(context.Background(), &Request{Method: "POST", Host: "x"})
		var errs [2]error
		for i := range errs {
			go func() { _, errs[i] = c.Send(context.Background(), get("/")) }()
		}
		synctest.Wait()
		wrote := s.wrote
		s.says(answer("good"), io.EOF)
		var resp Response
		if err := x.Wait(context.Background(), &resp); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		synctest.Wait()
		for _, err := range errs {
			wantError(t, err, Closed, SentNothing)
		}
		if s.wrote != wrote {
			t.Errorf("%d bytes were written to a dead connection", s.wrote-wrote)
		}
	})
}
