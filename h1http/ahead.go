package h1http

// ahead.go: streams that cannot be asked whether something has come.
//
// Rule: the engine looks into a socket before each request, which costs nothing. A stream that hides its
// socket (a wrapper without SyscallConn), or has none, and any stream where the system has no such look, is
// read ahead instead, all its life, by a goroutine: what that has read while nothing was in flight was
// asked for by nobody, and costs the connection.
// Not here: the system call (socket_unix.go, socket_other.go).

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"example.com/h1"
)

// ahead is such a stream. Its read deadlines are its own: they end no Read of the stream below,
// which may not have any, or not survive it.
type ahead struct {
	net.Conn

	mu     sync.Mutex
	moved  sync.Cond // wakes the goroutine, and who is in Read
	inRead int       // how many are
	data   []byte    // read, and not asked for yet
	err    error     // how reading has ended, behind data
	closed bool
	until  time.Time   // the read deadline
	timer  *time.Timer // for it
}

// layered is one over a stream like TLS, of which the engine wants to know.
type layered struct{ *ahead }

func (l layered) NetConn() net.Conn { return l.Conn.(interface{ NetConn() net.Conn }).NetConn() }

// canAsk reports whether the engine finds a socket under a stream, and may look into it.
func canAsk(nc net.Conn) bool {
	under := any(nc)
	if layer, ok := nc.(interface{ NetConn() net.Conn }); ok {
		under = layer.NetConn()
	}
	s, ok := under.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	return err == nil && isSocket(raw)
}

// readAhead begins to read a stream, size bytes at a time.
func readAhead(nc net.Conn, size int) (*ahead, net.Conn) {
	a := &ahead{Conn: nc}
	a.moved.L = &a.mu
	go a.run(size)
	if _, ok := nc.(interface{ NetConn() net.Conn }); ok {
		return a, layered{a}
	}
	return a, a
}

// run reads until the stream ends, but no further than somebody has asked for what it read before. A stream
// may limit each of its reads: it is no end when the time of one is up for which nobody has waited from its
// beginning, but for many in a row.
func (a *ahead) run(size int) {
	buf := make([]byte, size)
	const mostVain = 100 // as bufio has it
	for vain := 0; ; vain++ {
		a.mu.Lock()
		wanted := a.inRead > 0
		a.mu.Unlock()
		n, err := a.Conn.Read(buf)
		switch {
		case n == 0 && !wanted && vain < mostVain && errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case n < 0 || n > len(buf):
			n, err = 0, errReadCount
		case n > 0:
			vain = 0
		case err == nil && vain >= mostVain:
			err = io.ErrNoProgress
		}
		a.mu.Lock()
		a.data, a.err = buf[:n], err
		a.moved.Broadcast()
		for len(a.data) > 0 && !a.closed {
			a.moved.Wait()
		}
		over := err != nil || a.closed
		a.mu.Unlock()
		if over {
			return
		}
	}
}

var (
	errReadCount = errors.New("h1http: the stream's Read returned an impossible count")
	errUnasked   = errors.New("the server sent bytes that nobody asked for")
	errIdleEnd   = errors.New("the server closed the idle connection")
	errIdle408   = errors.New("the server sent 408 (Request Timeout) to the idle connection")
)

// unasked says what has come, or how the stream has ended, if nobody has asked for that yet: it is called
// while nothing is in flight. Nothing has come to nil.
func (a *ahead) unasked() error {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case len(a.data) >= 12 && string(a.data[:7]) == "HTTP/1." && string(a.data[9:12]) == "408": // as the engine has it
		return &h1.Error{Kind: h1.Closed, Op: "idle", Offset: -1, Err: errIdle408}
	case len(a.data) > 0:
		return &h1.Error{Kind: h1.Unsolicited, Op: "idle", Offset: -1, Err: errUnasked}
	case a.err == io.EOF:
		return &h1.Error{Kind: h1.Closed, Op: "idle", Offset: -1, Err: errIdleEnd}
	case a.err != nil:
		return &h1.Error{Kind: h1.IO, Op: "idle", Offset: -1, Err: a.err}
	}
	return nil
}

func (a *ahead) Read(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inRead++
	defer func() { a.inRead-- }()
	for {
		switch {
		case a.closed:
			return 0, net.ErrClosed
		case len(p) == 0:
			return 0, nil
		case !a.until.IsZero() && time.Until(a.until) <= 0:
			return 0, os.ErrDeadlineExceeded
		case len(a.data) > 0:
			n := copy(p, a.data)
			if a.data = a.data[n:]; len(a.data) == 0 {
				a.moved.Broadcast()
			}
			return n, nil
		case a.err != nil:
			return 0, a.err
		}
		a.moved.Wait()
	}
}

func (a *ahead) wake() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.moved.Broadcast()
}

func (a *ahead) SetReadDeadline(t time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.until = t
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
	if d := time.Until(t); !t.IsZero() && d > 0 {
		a.timer = time.AfterFunc(d, a.wake)
	}
	a.moved.Broadcast()
	return nil
}

func (a *ahead) SetDeadline(t time.Time) error {
	a.SetReadDeadline(t)
	return a.Conn.SetWriteDeadline(t)
}

// CloseWrite closes the sending side, where the stream can do that.
func (a *ahead) CloseWrite() error { return closeWrite(a.Conn) }

func closeWrite(stream any) error {
	if half, ok := stream.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (a *ahead) Close() error {
	a.mu.Lock()
	a.closed = true
	if a.timer != nil {
		a.timer.Stop()
	}
	a.moved.Broadcast()
	a.mu.Unlock()
	return a.Conn.Close()
}
