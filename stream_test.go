package h1

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Stream keeps what IO can do, and nothing more.
func TestPartsStream(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	socket, _ := loopback(t, nil)
	for _, c := range []struct {
		name       string
		io         io.ReadWriteCloser
		conn, half bool
	}{
		{"pipe", near, true, false},
		{"tcp", socket, true, true},
		{"plain", wirePlain{newWireStream(false)}, false, false},
	} {
		if got := (Parts{IO: c.io}).Stream(); got != c.io {
			t.Errorf("%s: nothing is buffered, and Stream is not IO itself", c.name)
		}
		s := Parts{IO: c.io, Buffered: []byte("x")}.Stream()
		_, conn := s.(net.Conn)
		_, half := s.(closeWriter)
		if conn != c.conn || half != c.half {
			t.Errorf("%s: net.Conn %v, CloseWrite %v; want %v, %v", c.name, conn, half, c.conn, c.half)
		}
	}
}

// What is buffered comes first, also where io.Copy finds a shorter way.
func TestPartsStreamCopies(t *testing.T) {
	near, far := loopback(t, nil)
	got := make(chan string, 1)
	go func() {
		io.WriteString(far, "behind")
		far.CloseWrite()
		b, _ := io.ReadAll(far)
		far.Close()
		got <- string(b)
	}()
	s := Parts{IO: near, Buffered: []byte("first ")}.Stream()
	var out bytes.Buffer
	if n, err := io.Copy(&out, s); n != 12 || err != nil || out.String() != "first behind" {
		t.Errorf("copied %d, %v: %q", n, err, out.String())
	}
	if n, err := io.Copy(s, io.LimitReader(strings.NewReader("answer"), 10)); n != 6 || err != nil {
		t.Errorf("copied %d, %v", n, err)
	}
	if err := s.(closeWriter).CloseWrite(); err != nil {
		t.Error(err)
	}
	if b := <-got; b != "answer" {
		t.Errorf("the other end got %q", b)
	}
	s.Close()
}

// The same on a stream that is no net.Conn; and what a writer did not take is still there.
func TestPartsStreamCopiesPlain(t *testing.T) {
	under := newWireStream(false)
	s := Parts{IO: wirePlain{under}, Buffered: []byte("first ")}.Stream()
	full := errors.New("full")
	if n, err := s.(io.WriterTo).WriteTo(&limitedWriter{2, full}); n != 2 || err != full {
		t.Errorf("copied %d, %v", n, err)
	}
	under.send([]byte("behind"))
	under.fail(io.EOF)
	if b, err := io.ReadAll(s); string(b) != "rst behind" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
	if n, err := s.(io.ReaderFrom).ReadFrom(strings.NewReader("answer")); n != 6 || err != nil {
		t.Errorf("copied %d, %v", n, err)
	}
	if b := under.receive(100); string(b) != "answer" {
		t.Errorf("the other end got %q", b)
	}
}

// A head that the socket does not take in one write is written on, and answered.
func TestHeadLargerThanSocket(t *testing.T) {
	near, far := loopback(t, nil)
	const size = 8 << 20 // more than both ends of a loopback connection buffer
	go func() {
		defer far.Close()
		time.Sleep(10 * time.Millisecond) // so that the first write meets a full socket
		buf := make([]byte, 64<<10)
		for {
			var tail [4]byte
			for string(tail[:]) != "\r\n\r\n" {
				n, err := far.Read(buf)
				if err != nil {
					return
				}
				both := append(tail[:], buf[:n]...)
				copy(tail[:], both[len(both)-4:])
			}
			io.WriteString(far, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}()
	c := NewConn(near, nil)
	defer c.Close()
	long := &Request{Host: "x"}
	long.Header.Add("Long", strings.Repeat("x", size))
	// The second is written when the first's write has returned: its bytes are counted by
	// then.
	for _, req := range []*Request{long, {Host: "x"}} {
		var resp Response
		if err := c.Do(context.Background(), req, &resp); err != nil {
			t.Fatal(err)
		}
		if b, err := resp.AppendBody(nil, -1); string(b) != "ok" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
	}
	if s := c.Stats(); s.BytesWritten < size || !c.State().Reusable() {
		t.Errorf("%+v, %v", s, c.State())
	}
}

// Several goroutines may read a stream that is given back, as they may a net.Conn: each
// byte goes to one.
func TestPartsStreamShared(t *testing.T) {
	near, far := net.Pipe()
	stream := Parts{IO: near, Buffered: []byte("abcd")}.Stream()
	got := make(chan byte, 6)
	take := writerFunc(func(p []byte) (int, error) {
		for _, b := range p {
			got <- b
		}
		return len(p), nil
	})
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			b := make([]byte, 1)
			n, _ := stream.Read(b)
			take(b[:n])
		})
	}
	all.Go(func() { io.Copy(take, stream) })
	io.WriteString(far, "ef")
	far.Close()
	all.Wait()
	close(got)
	var sum []byte
	for b := range got {
		sum = append(sum, b)
	}
	if slices.Sort(sum); string(sum) != "abcdef" {
		t.Errorf("got %q", sum)
	}
}

// io.Copy from a tunnel is told of a writer that takes less than it is given, and writes
// nothing where there is nothing.
func TestStreamToAWriter(t *testing.T) {
	near, far := net.Pipe()
	far.Close()
	var got strings.Builder
	stream := Parts{IO: near, Buffered: []byte("abcdef")}.Stream()
	n, err := io.Copy(writerFunc(func(p []byte) (int, error) { return got.Write(p[:min(2, len(p))]) }), stream)
	if n != 2 || err != io.ErrShortWrite || got.String() != "ab" {
		t.Errorf("copied %d, %q, %v", n, got.String(), err)
	}
	n, err = io.Copy(&got, stream)
	if n != 4 || err != nil || got.String() != "abcdef" {
		t.Errorf("then %d, %q, %v", n, got.String(), err)
	}
	n, err = io.Copy(writerFunc(func([]byte) (int, error) { t.Error("a write of nothing"); return 0, nil }), stream)
	if n != 0 || err != nil {
		t.Errorf("at last %d, %v", n, err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
