package h1http

// ahead.go: streams that the engine cannot look into.
//
// Rule: the engine looks into a socket before each request, which costs nothing. A stream
// that has no socket or hides it (a wrapper without SyscallConn, or one that embeds a
// socket), and every stream on a system that offers no such look, is read ahead instead: a
// goroutine reads it all its life, and the engine looks at what that has read. What comes
// while nothing is in flight was asked for by nobody, and costs the connection (but see
// h1.Config.Fresh).
// Not here: the system call (socket_unix.go, socket_windows.go, socket_other.go).

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// An ahead is a stream that is read ahead. Its read deadlines are timers of its own, which
// end no Read of the stream below: that may have no deadlines, or not survive one.
type ahead struct {
	net.Conn

	mu     sync.Mutex
	moved  sync.Cond // wakes run, and whoever waits for what it reads: Read, PeekNow
	inRead int       // Reads under way
	begun  time.Time // when run began the read it is in; zero: it is in none
	data   []byte    // read ahead, and not taken yet
	err    error     // how reading has ended, behind data
	closed bool
	until  time.Time   // the read deadline
	timer  *time.Timer // for it
}

// layered is an ahead over a layer such as TLS, whose NetConn method the engine asks for.
type layered struct{ *ahead }

func (l layered) NetConn() net.Conn { return l.Conn.(interface{ NetConn() net.Conn }).NetConn() }

// canAsk reports whether the engine can look into the socket under a stream, or under the
// stream that a layer is over.
func canAsk(nc net.Conn) bool {
	under := any(nc)
	if layer, ok := nc.(interface{ NetConn() net.Conn }); ok {
		under = layer.NetConn()
	}
	s, ok := under.(syscall.Conn)
	if !ok || embeds(reflect.TypeOf(nc)) || embeds(reflect.TypeOf(s)) {
		return false
	}
	raw, err := s.SyscallConn()
	return err == nil && isSocket(raw)
}

// embeds reports whether a type embeds a socket, or TLS: a pointer to it, its value, or an
// interface that shows it. The SyscallConn, or NetConn, that it has from there says nothing
// of its Read: that may take more from the socket than it gives, which no look would find,
// or set deadlines of its own, which undo the engine's.
func embeds(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || slices.Contains(askable[:], reflect.PointerTo(t)) {
		return false
	}
	return slices.ContainsFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool {
		return f.Anonymous && (slices.Contains(askable[:], f.Type) || slices.Contains(askable[:], reflect.PointerTo(f.Type)) ||
			f.Type.Kind() == reflect.Interface && (f.Type.Implements(showsSocket) || f.Type.Implements(showsLayer)))
	})
}

// askable are the streams that the engine can look into by themselves.
var askable = [...]reflect.Type{
	reflect.TypeFor[*net.TCPConn](), reflect.TypeFor[*net.UnixConn](), reflect.TypeFor[*tls.Conn](),
}

var (
	showsSocket = reflect.TypeFor[syscall.Conn]()
	showsLayer  = reflect.TypeFor[interface{ NetConn() net.Conn }]()
)

// readAhead begins to read a stream, size bytes at a time, and returns it twice: the second
// is what the engine is given.
func readAhead(nc net.Conn, size int) (*ahead, net.Conn) {
	a := &ahead{Conn: nc}
	a.moved.L = &a.mu
	go a.run(size)
	if _, ok := nc.(interface{ NetConn() net.Conn }); ok {
		return a, layered{a}
	}
	return a, a
}

// run reads until the stream ends, but reads on only when all that it read before was
// taken. A stream may limit the time of each Read: a Read that times out is not the
// stream's end if nobody was waiting when it began, unless that happens many times in a
// row.
func (a *ahead) run(size int) {
	buf := make([]byte, size)
	const mostVain = 100 // as bufio has it
	for vain := 0; ; vain++ {
		a.mu.Lock()
		wanted := a.inRead > 0 || a.closed
		a.begun = time.Now()
		a.moved.Broadcast()
		a.mu.Unlock()
		n, err := a.Conn.Read(buf)
		switch {
		case n == 0 && !wanted && vain < mostVain && isTimeout(err):
			continue
		case n < 0 || n > len(buf):
			n, err = 0, errReadCount
		case n > 0:
			vain = 0
		case err == nil && vain >= mostVain:
			err = io.ErrNoProgress
		}
		a.mu.Lock()
		a.data, a.err, a.begun = buf[:n], err, time.Time{}
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

var errReadCount = errors.New("h1http: the stream's Read returned an impossible count")

// isTimeout reports whether err is a Read's that has run out of time, on any stream.
// ETIMEDOUT calls itself a timeout as well, but means that the peer was not heard of for
// too long, and ends the stream.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout() && !errors.Is(err, syscall.ETIMEDOUT)
}

// PeekNow is for the engine: see h1.NewConn.
func (a *ahead) PeekNow(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.catchUp()
	if len(a.data) > 0 {
		return copy(p, a.data), nil
	}
	return 0, a.err
}

// catchUp gives run the time to read what has come already, and lies in TLS's buffer or in
// the socket: run reads on as soon as what it has read is taken. Nothing tells whether run
// waits for more by now; it is taken to do so after a few microseconds. mu is held, and
// released meanwhile.
func (a *ahead) catchUp() {
	const atMost, yields = 10 * time.Microsecond, 50
	ends := func() bool { return len(a.data) > 0 || a.err != nil || a.closed }
	for a.begun.IsZero() && !ends() {
		a.moved.Wait()
	}
	for i := 0; i < yields && !ends() && time.Since(a.begun) < atMost; i++ {
		a.mu.Unlock()
		runtime.Gosched()
		a.mu.Lock()
	}
}

// unasked reports whether something has come, or the stream has ended, that nobody asked
// for. It is called while nothing is in flight, and does not wait for what was not read
// yet.
func (a *ahead) unasked() bool {
	if a == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.data) > 0 || a.err != nil
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
	if d := time.Until(t); d > 0 { // the zero Time is long past
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
