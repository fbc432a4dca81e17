package h1http

// readahead_test.go: what reads a stream ahead, by itself.

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// result is what a Read returns.
type result struct {
	data string
	err  error
}

// scripted is a stream whose Reads return what comes from a channel, whatever else happens
// to it.
type scripted struct {
	net.Conn
	results chan result
	reads   int // begun; read when all is blocked
}

func (s *scripted) Read(p []byte) (int, error) {
	s.reads++
	r := <-s.results
	return copy(p, r.data), r.err
}

func (s *scripted) Close() error { return nil }

// withScripted calls f with such a stream, and with what reads it ahead.
func withScripted(t *testing.T, f func(t *testing.T, s *scripted, a *ahead)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{results: make(chan result)}
		a, _ := readAhead(s, 16)
		synctest.Wait()
		f(t, s, a)
		a.Close()
		close(s.results)
	})
}

// TestAheadEnds: but for a limit of its own a stream that has failed is not read again,
// and says how it has failed.
func TestAheadEnds(t *testing.T) {
	for _, r := range []result{
		{"", io.EOF}, {"", &net.OpError{Op: "read", Err: syscall.ECONNRESET}}, {"", &net.OpError{Op: "read", Err: syscall.ETIMEDOUT}},
		{"x", io.EOF}, {"x", os.ErrDeadlineExceeded}, // which came with a byte, so not to an idle stream
	} {
		withScripted(t, func(t *testing.T, s *scripted, a *ahead) {
			s.results <- r
			synctest.Wait()
			if !a.unasked() || s.reads != 1 {
				t.Errorf("%v: unasked %v, %d reads", r, a.unasked(), s.reads)
			}
			if b, err := io.ReadAll(a); string(b) != r.data || err != r.err && r.err != io.EOF {
				t.Errorf("%v: %q %v", r, b, err)
			}
		})
	}
}

// TestAheadInVain: what may happen a hundred times in a row may happen for ever with
// something in between.
func TestAheadInVain(t *testing.T) {
	for _, vain := range []error{nil, os.ErrDeadlineExceeded} {
		withScripted(t, func(t *testing.T, s *scripted, a *ahead) {
			for range 3 {
				for range 60 {
					s.results <- result{"", vain}
				}
				s.results <- result{"x", nil}
				if n, err := a.Read(make([]byte, 9)); n != 1 || err != nil {
					t.Fatalf("%v: %d %v", vain, n, err)
				}
				synctest.Wait()
			}
		})
	}
}

// TestAheadClosed: a Close wakes who reads, whatever the stream makes of it; what was read
// before is given to nobody, and no more is read.
func TestAheadClosed(t *testing.T) {
	for _, got := range []string{"", "x"} {
		withScripted(t, func(t *testing.T, s *scripted, a *ahead) {
			if got != "" {
				s.results <- result{got, nil}
				synctest.Wait()
			}
			a.Close()
			if n, err := a.Read(make([]byte, 9)); n != 0 || err != net.ErrClosed {
				t.Errorf("%q: %d %v", got, n, err)
			}
			if got == "" {
				s.results <- result{}
			}
			synctest.Wait()
			if s.reads != 1 {
				t.Errorf("%q: %d reads", got, s.reads)
			}
			if n, err := a.PeekNow(make([]byte, 9)); n != len(got) || err != nil {
				t.Errorf("%q: a look: %d %v", got, n, err)
			}
		})
	}
}

// TestAheadDeadline: a Read ends at its deadline, also to the nanosecond.
func TestAheadDeadline(t *testing.T) {
	withScripted(t, func(t *testing.T, s *scripted, a *ahead) {
		began := time.Now()
		a.SetReadDeadline(began.Add(time.Second))
		if _, err := a.Read(make([]byte, 9)); err != os.ErrDeadlineExceeded || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		a.SetReadDeadline(time.Time{})
		s.results <- result{"x", nil}
		if n, err := a.Read(make([]byte, 9)); n != 1 || err != nil {
			t.Errorf("without a deadline: %d %v", n, err)
		}
	})
}

// TestAheadCloseWrite: a stream with one direction only to close has none to close.
func TestAheadCloseWrite(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	a, _ := readAhead(ours, 16)
	defer a.Close()
	if err := a.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a pipe: %v", err)
	}
}
