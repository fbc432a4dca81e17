package h1http

// link.go: one connection, and one exchange on it.
//
// Rule: an exchange on a link ends in over, exactly once, whatever became of it; over closes
// the request's body and tells the owner, who decides what becomes of the connection.

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"example.com/h1"
)

// link is a connection and what is known of it besides.
type link struct {
	h        *h1.Conn
	nc       net.Conn // the stream, if it is one
	ahead    *ahead   // between it and the engine; nil: the engine can ask it
	tls      atomic.Pointer[tls.ConnectionState]
	owner    owner
	settings settings
	used     atomic.Bool // a response has come over it, or it was idle: a hangup may be no answer

	// The rest is the pool's, and guarded by its mutex.
	host   *host
	load   int  // exchanges
	alone  bool // nobody may join the one there is
	idleAt time.Time
	prev   *link // in the pool's list of idle links
	next   *link
}

// An owner of a link is told when an exchange on it is over, and whether the connection takes
// further requests.
type owner interface {
	release(l *link, tr *tracer, usable bool)
	// tunneled says that the connection is a tunnel now, whose exchange goes on until that is closed.
	tunneled(t io.Closer)
}

// tolerantConfig is how this package sets the engine: to what net/http's callers are used to.
//   - A head may be as long as net/http allows, and have as many fields as fit.
//   - 1xx heads are limited by their bytes, in call.informational.
//   - Faults in a head that frame nothing are overlooked, since servers that net/http could
//     talk to have them.
func tolerantConfig() h1.Config {
	return h1.Config{
		MaxHeadBytes:     10 << 20,
		MaxHeaders:       1 << 20,
		MaxInformational: 1 << 30,
		ExpectTimeout:    time.Second,
		Lenient:          h1.BareLF | h1.SpaceBeforeColon | h1.SkipInvalidField,
	}
}

// newLink makes a link of a stream.
func newLink(rw io.ReadWriteCloser, cfg *h1.Config, o owner) *link {
	l := &link{owner: o}
	if tc, ok := rw.(*tls.Conn); ok {
		cs := tc.ConnectionState() // before somebody reads, who may wait in the handshake
		l.tls.Store(&cs)
	}
	if l.nc, _ = rw.(net.Conn); l.nc != nil && !canAsk(l.nc) {
		l.ahead, rw = readAhead(l.nc, max(cfg.ReadBuffer, 4<<10))
	}
	l.h = h1.NewConn(rw, cfg)
	l.settings.maxHead = int64(cfg.MaxHeadBytes)
	return l
}

// tlsState returns the state of TLS, or nil. A stream that NewConn was given may have shaken hands no earlier
// than with its first request.
func (l *link) tlsState() *tls.ConnectionState {
	cs := l.tls.Load()
	if cs != nil && !cs.HandshakeComplete {
		now := l.nc.(*tls.Conn).ConnectionState()
		cs = &now
		l.tls.Store(cs)
	}
	return cs
}

// rest notes that l's next request, be it the first, is not what it was dialed for: by then the server may have
// given the connection up, and what has come is not the answer.
func (l *link) rest() {
	l.ahead.settled()
	l.used.Store(true)
}

// roundTrip sends c's request and waits for the head of its response. After an error the
// exchange is over, but c.up is left as it is: the request may be sent again.
func (l *link) roundTrip(c *call) (*http.Response, error) {
	if err := l.exchange(c); err != nil {
		return nil, l.failed(c, err)
	}
	l.used.Store(true)
	return l.deliver(c)
}

// exchange is h1.Conn's Do, in two steps where somebody wants to know what comes between.
func (l *link) exchange(c *call) error {
	if c.tr == nil {
		return l.h.Do(c.ctx, &c.req, &c.resp)
	}
	x, err := l.h.Send(c.ctx, &c.req)
	if err != nil {
		return err
	}
	c.tr.wroteHead()
	if c.up == nil || c.req.Body != c.up {
		c.tr.wroteRequest(nil)
	}
	if err := x.Wait(c.ctx, &c.resp); err != nil {
		return err
	}
	c.tr.firstByte()
	return nil
}

// close closes an idle connection. One to which something has come is the engine's to end: TLS says no goodbye
// to a peer that has spoken out of turn, which may not read it.
func (l *link) close() {
	l.ahead.settled()
	if l.ahead.unasked() {
		l.h.Probe()
	}
	l.h.Close()
}

// failed ends an exchange without a response.
func (l *link) failed(c *call, err error) error {
	c.tr.wroteRequest(err)
	l.owner.release(l, nil, l.h.Err() == nil)
	var e *h1.Error
	if errors.As(err, &e) && e.Kind == h1.Timeout && c.ctx.Err() == nil && errors.Is(e.Err, os.ErrDeadlineExceeded) {
		return &timeoutError{"h1http: timeout awaiting response headers", err}
	}
	return err
}

// uploadGrace is how long, after a response's end, the rest of its request's body may take
// before the connection is given up. It is what net/http allows. As there, the caller waits:
// it is nearly always for a goroutine that has yet to note its last write, and a request
// that follows at once is to find the connection.
const uploadGrace = 50 * time.Millisecond

// over ends an exchange that had a response.
func (l *link) over(c *call) {
	usable := l.h.Err() == nil
	if c.up != nil {
		if s := l.h.State(); usable && !s.Idle() && s.InFlight() == 0 {
			ctx, cancel := context.WithTimeout(context.Background(), uploadGrace)
			usable = l.h.Ready().Wait(ctx) == nil
			cancel()
		}
		c.ready = usable
		c.up.close()
		c.tr.wroteRequest(errBodyClosed) // unless it was said to be whole
	}
	if c.stop != nil { // not before, or what is left of the body would be canceled
		c.stop(nil)
	}
	l.owner.release(l, c.tr, usable)
}

// timeoutError is a net.Error, and what net/http's callers look for.
type timeoutError struct {
	text string
	err  error
}

func (e *timeoutError) Error() string        { return e.text }
func (e *timeoutError) Unwrap() error        { return e.err }
func (e *timeoutError) Timeout() bool        { return true }
func (e *timeoutError) Temporary() bool      { return true }
func (e *timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }
