package h1

// badstream_test.go: what a stream does wrong is an error of its exchange, and no more.

import (
	"context"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
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
		{"Write returns more than it was given", nil, func(p []byte) (int, error) { return len(p) + 1, nil }, IO, SentNothing, "impossible count"},
		{"Write returns less than nothing", nil, func(p []byte) (int, error) { return -1, nil }, IO, SentNothing, "impossible count"},
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

// A connection that is closed as a write returns writes nothing more, though there was more
// to write at once.
func TestClosedBetweenWrites(t *testing.T) {
	var conn *Conn
	var writes, last atomic.Int32
	closed := make(chan struct{})
	conn = NewConn(&quirk{&pieces{}, func([]byte) (int, error) {
		<-closed // nothing is answered
		return 0, io.ErrClosedPipe
	}, func(p []byte) (int, error) {
		if writes.Add(1) == 2 { // the head and a chunk's size, or the chunk
			conn.Close()
			last.Store(2)
			close(closed)
		}
		return len(p), nil
	}}, nil)
	body := io.MultiReader(strings.NewReader(strings.Repeat("x", 2*pumpBuffer)))
	err := conn.Do(context.Background(), &Request{Method: "PUT", Host: "x", Body: body}, &Response{})
	wantError(t, err, Closed, SentPart)
	if n := writes.Load(); n != last.Load() {
		t.Errorf("%d writes, %d of them after Close", n, n-last.Load())
	}
}
