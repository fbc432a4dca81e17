package h1http

// conn.go: one connection as an http.RoundTripper.
//
// Rule: a slot is taken before a request is sent, by Reserve or by RoundTrip, and given
// back when its exchange is over. There are as many as the engine's Depth.

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"example.com/h1"
)

// A Conn is one connection as an [http.RoundTripper], as http.ClientConn is in net/http
// (since Go 1.26). Requests are sent over it whatever their URL says; it never dials, and
// sends no request twice. Its methods may be called by several goroutines at once.
type Conn struct {
	// DisableCompression is as in [Transport]. It must not be changed once requests are
	// sent.
	DisableCompression bool

	link   *link
	slots  chan struct{} // holds one for each request that is in flight or reserved
	closed chan struct{} // closed once no slot is worth waiting for
	gaveUp atomic.Bool   // release has closed the connection

	mu       sync.Mutex // held, too, while a slot is reserved, or given back by a request or Release
	reserved int        // slots that Reserve took, and no request has yet
	tunnel   io.Closer  // what the connection has become; nil: it has not
}

// Config returns a copy of the settings that [NewConn] uses by default. They are the
// engine's, except that a response's head may be as long as net/http allows (10 MiB), that
// neither its fields nor 1xx responses are counted (their bytes are), and that common
// faults in a head are overlooked. The caller may change the copy.
func Config() *h1.Config {
	cfg := tolerantConfig()
	return &cfg
}

// NewConn makes a Conn of a stream that is ready for the first request. The Conn owns rw
// from then on. A nil cfg means [Config]'s; cfg.Depth is how many requests may be in flight
// at once.
//
// If rw is a net.Conn without a socket, or one that hides it (it has no SyscallConn, or
// embeds a *net.TCPConn or the like), a goroutine reads it ahead, so that what the server
// sends while the connection is idle is not taken for a response. A stream that is no
// net.Conn is not read ahead: there it is taken for the next response.
func NewConn(rw io.ReadWriteCloser, cfg *h1.Config) *Conn {
	if cfg == nil {
		cfg = Config()
	}
	own := *cfg
	if own.MaxHeadBytes <= 0 {
		own.MaxHeadBytes = 256 << 10 // the engine's default, which limits the 1xx heads as well
	}
	return newConn(newLink(rw, &own, nil, false), cfg.Depth)
}

func newConn(l *link, depth int) *Conn {
	c := &Conn{link: l, slots: make(chan struct{}, max(depth, 1)), closed: make(chan struct{})}
	l.owner = c
	l.rest() // it has been idle, however shortly
	return c
}

// Conn returns the engine's connection, for its State, Stats, Watch and so on.
func (c *Conn) Conn() *h1.Conn { return c.link.h }

// RoundTrip sends a request and returns its response, as http.RoundTripper demands. It uses
// a slot that Reserve took, if there is one; else it waits for a free slot until the
// request's context ends, Close is called, or the connection becomes a tunnel. Errors are
// as those of [Transport.RoundTrip].
func (c *Conn) RoundTrip(hreq *http.Request) (*http.Response, error) {
	up := newUpload(hreq)
	err := check(hreq)
	if err == nil {
		err = checkHTTP(hreq)
	}
	if err != nil {
		c.Release()
		up.close()
		return nil, err
	}
	ctx, stop := withCancel(hreq)
	resp, err := c.attempt(ctx, stop, hreq, up)
	if err != nil {
		up.close()
		return nil, endCancel(ctx, stop, hreq, err)
	}
	return resp, nil
}

// attempt sends a request once it has a slot. After an error up is still to be closed.
func (c *Conn) attempt(ctx context.Context, stop context.CancelCauseFunc, hreq *http.Request,
	up *upload) (*http.Response, error) {
	if err := c.take(ctx); err != nil {
		return nil, err
	}
	set := c.link.settings
	set.noGzip = set.noGzip || c.DisableCompression
	returned := false
	defer c.link.guard(up, h1.Exchange{}, &returned)
	call, err := newCall(ctx, stop, hreq, up, &set)
	returned = true
	if err != nil {
		c.link.giveBack()
		return nil, err
	}
	return c.link.roundTrip(call)
}

// take takes a slot for a request: one that was reserved, or one that is free.
func (c *Conn) take(ctx context.Context) error {
	if !c.unreserve() {
		select {
		case c.slots <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.closed:
			return c.refusal()
		}
	}
	if c.gaveUp.Load() {
		<-c.slots
		return c.refusal()
	}
	return nil
}

// refusal is the error of a request that came too late: Err's in words only, for errors.Is
// is not to find another request's fate.
func (c *Conn) refusal() error {
	why := c.Err().Error()
	for _, said := range []string{"h1: ", "connection: ", h1.Closed.Error() + ": "} {
		why = strings.TrimPrefix(why, said)
	}
	return &h1.Error{Kind: h1.Closed, Op: "send", Offset: -1, Err: errors.New(why)}
}

// unreserve takes over a slot that Reserve took, if there is one.
func (c *Conn) unreserve() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reserved == 0 {
		return false
	}
	c.reserved--
	return true
}

// release is for the link: see owner. Behind what nobody reads the next request would wait
// for ever: if none is there yet, the connection ends.
func (c *Conn) release(l *link, _ *tracer, usable bool) {
	c.mu.Lock()
	none := len(c.slots)-c.reserved == 1
	ends := none && l.h.Err() == nil && !(usable && l.isOut(l.allBut())) // others may have come since
	if ends {
		c.gaveUp.Store(true)
	}
	<-c.slots
	c.mu.Unlock()
	if ends {
		l.h.Close()
	}
}

// errGaveUp is Err's where release has closed the connection.
var errGaveUp = &h1.Error{Kind: h1.Closed, Op: "connection", Offset: -1,
	Err: errors.New("a request was answered, and given up half written")}

var errNoSlot = errors.New("h1http: connection is unavailable")

// Reserve takes a slot for one call of RoundTrip, which then does not wait for one. It
// fails at once if none is free, or with Err's error if the connection takes no requests
// any more. Each Reserve that returns nil must be followed by one RoundTrip or one Release.
func (c *Conn) Reserve() error {
	if err := c.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case c.slots <- struct{}{}:
	default:
		return errNoSlot
	}
	c.reserved++
	return nil
}

// Release gives back a slot that Reserve took; without one it does nothing.
func (c *Conn) Release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reserved > 0 {
		c.reserved--
		<-c.slots
	}
}

// Available returns how many requests may be sent now without waiting for others; 0 once
// the connection takes none.
func (c *Conn) Available() int {
	if c.Err() != nil {
		return 0
	}
	return cap(c.slots) - len(c.slots)
}

// InFlight returns how many requests are in flight or reserved; 0 once the connection has
// ended.
func (c *Conn) InFlight() int {
	if c.link.h.State().Closed() {
		return 0
	}
	return len(c.slots)
}

// Err returns nil while the connection takes requests, and afterwards why it does not, as
// an [*h1.Error]. It looks at an idle connection first, without blocking, so that it finds
// that the server has hung up before the next request does.
func (c *Conn) Err() error {
	if c.gaveUp.Load() {
		return errGaveUp
	}
	return c.link.h.Probe()
}

// Close ends the connection at once, with all requests in flight on it, and closes the
// stream or the tunnel. It returns the error of the stream's Close.
func (c *Conn) Close() error {
	err := c.link.h.Close()
	c.mu.Lock()
	c.noMore()
	tunnel := c.tunnel
	c.mu.Unlock()
	if tunnel != nil {
		return tunnel.Close()
	}
	return err
}

// noMore wakes those who wait for a slot, and reports whether it had been called before. mu
// is held.
func (c *Conn) noMore() bool {
	select {
	case <-c.closed:
		return true
	default:
		close(c.closed)
		return false
	}
}

// tunneled is for the link: see owner.
func (c *Conn) tunneled(t io.Closer) {
	c.mu.Lock()
	c.tunnel = t
	late := c.noMore()
	c.mu.Unlock()
	if late { // Close did not find it
		t.Close()
	}
}
