package h1

// wire_stream_test.go: the stream of the wire scripts, and the server's end of it.
//
// Rule: everything waits on one sync.Cond and on timers, so that inside a
// testing/synctest bubble a waiting Read or Write counts as blocked, and time is false.
// Reads give one packet at most, or one byte; writes stop where the window ends.

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A wireStream is what the engine holds: a duplex stream with deadlines and a CloseWrite.
type wireStream struct {
	mu      sync.Mutex
	cond    *sync.Cond
	one     bool // reads give one byte
	packets [][]byte
	rerr    error // after the packets
	out     []byte
	outEnd  bool // CloseWrite was called
	closed  bool
	window  int // bytes of out that are taken before the server has read some
	werr    error
	werrIn  int // bytes that are still taken before werr
	read    wireDeadline
	write   wireDeadline
}

// A wireDeadline is one direction's.
type wireDeadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *wireDeadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

const wireWindow = 1 << 20 // more than any script writes unless it says window

func newWireStream(one bool) *wireStream {
	s := &wireStream{one: one, window: wireWindow}
	s.cond = sync.NewCond(&s.mu)
	return s
}

func (s *wireStream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.closed:
			return 0, net.ErrClosed
		case s.read.passed():
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case len(s.packets) > 0:
			return s.take(p)
		case s.rerr != nil:
			return 0, s.rerr
		}
		s.cond.Wait()
	}
}

// take gives the first packet, or what p holds of it. Read whole, the last packet comes
// together with io.EOF where that is known, as a Reader may do it.
func (s *wireStream) take(p []byte) (int, error) {
	first := s.packets[0]
	if s.one {
		p = p[:1]
	}
	n := copy(p, first)
	if s.packets[0] = first[n:]; n == len(first) {
		s.packets = s.packets[1:]
	}
	if len(s.packets) == 0 && s.rerr == io.EOF && !s.one {
		return n, io.EOF
	}
	return n, nil
}

func (s *wireStream) Write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.closed || s.outEnd:
			return n, net.ErrClosed
		case s.write.passed():
			return n, os.ErrDeadlineExceeded
		case s.werr != nil && s.werrIn == 0:
			return n, s.werr
		}
		room := min(len(p)-n, max(s.window-len(s.out), 0))
		if s.werr != nil {
			room = min(room, s.werrIn)
			s.werrIn -= room
		}
		s.out = append(s.out, p[n:n+room]...)
		if n += room; n == len(p) {
			return n, nil
		}
		if room == 0 {
			s.cond.Wait()
		}
	}
}

func (s *wireStream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.closed = true
	s.cond.Broadcast()
	return nil
}

func (s *wireStream) CloseWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outEnd = true
	s.cond.Broadcast()
	return nil
}

func (s *wireStream) SetReadDeadline(t time.Time) error  { return s.set(&s.read, t) }
func (s *wireStream) SetWriteDeadline(t time.Time) error { return s.set(&s.write, t) }
func (s *wireStream) SetDeadline(t time.Time) error {
	s.set(&s.read, t)
	return s.set(&s.write, t)
}

func (s *wireStream) set(d *wireDeadline, t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.at = t; !t.IsZero() {
		d.timer = time.AfterFunc(time.Until(t), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.cond.Broadcast()
		})
	}
	s.cond.Broadcast()
	return nil
}

// A wirePlain hides all of a stream but what NewConn asks for.
type wirePlain struct{ io.ReadWriteCloser }

// Below: the server's end.

// send queues packets for the client.
func (s *wireStream) send(packets ...[]byte) {
	s.change(func() {
		for _, p := range packets {
			if len(p) > 0 {
				s.packets = append(s.packets, p)
			}
		}
	})
}

// receive takes at most n of the bytes that the client has written.
func (s *wireStream) receive(n int) (b []byte) {
	s.change(func() {
		n = min(n, len(s.out))
		b = append(b, s.out[:n]...)
		s.out = s.out[n:]
	})
	return b
}

// fail ends the client's reads with err, after what is queued.
func (s *wireStream) fail(err error) { s.change(func() { s.rerr = err }) }

// failWrites ends the client's writes, n bytes from now.
func (s *wireStream) failWrites(n int, err error) {
	s.change(func() { s.werr, s.werrIn = err, n })
}

// reset ends both ways.
func (s *wireStream) reset() {
	s.fail(syscall.ECONNRESET)
	s.failWrites(0, syscall.EPIPE)
}

func (s *wireStream) setWindow(n int) { s.change(func() { s.window = n }) }

// ended says what the client did with its end: "", "eof" or "closed".
func (s *wireStream) ended() (how string) {
	s.change(func() {
		switch {
		case s.closed:
			how = "closed"
		case s.outEnd:
			how = "eof"
		}
	})
	return how
}

func (s *wireStream) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.cond.Broadcast()
}
