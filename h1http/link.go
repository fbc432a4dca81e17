package h1http

// link.go: one connection, and one exchange on it.
//
// Rule: an exchange on a link ends exactly once: in failed if it had no response, else in
// over, which also closes the request's body. Both tell the owner, who decides what becomes
// of the connection.

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"example.com/h1"
)

// A link is a connection and what this package knows of it.
type link struct {
	h        *h1.Conn
	nc       net.Conn // the stream, if it is one
	ahead    *ahead   // reads nc for the engine; nil: the engine reads the stream itself
	socket   bool     // the stream is one, or shows one
	tls      atomic.Pointer[tls.ConnectionState]
	owner    owner
	settings settings
	asked    atomic.Bool // settled has probed
	used     atomic.Bool // it had a response, or was idle: a hangup may not be meant for the request
	lasts    atomic.Bool // it had a response to its end: if it is not over by then, it persists

	// uncounted is how many bytes, if no more are unwritten once the response is here,
	// are likely to be out, and only not counted yet: as many as a socket takes, and
	// elsewhere as many as a server reads before it answers.
	uncounted int64

	// The rest is the pool's, and guarded by its mutex.
	host   *host
	load   int  // exchanges on it
	alone  bool // no other exchange may join the one there is
	idleAt time.Time
	prev   *link // in the pool's list of idle links
	next   *link
}

// An owner of a link is told when an exchange on it is over, and whether the connection
// takes further requests.
type owner interface {
	release(l *link, tr *tracer, usable bool)
	// tunneled says that the connection is a tunnel now. Its exchange is over when t is
	// closed.
	tunneled(t io.Closer)
}

// defaultMaxHead is how long a response's head may be, in bytes: what net/http allows.
const defaultMaxHead = 10 << 20

// tolerantConfig returns the engine's settings for callers who are used to net/http:
//   - A head may be as long as net/http allows, and have as many fields as fit.
//   - 1xx heads are limited by their bytes, in call.informational.
//   - Faults in a head that frame nothing are overlooked, since servers that net/http could
//     talk to have them.
func tolerantConfig() h1.Config {
	return h1.Config{
		MaxHeadBytes:     defaultMaxHead,
		MaxHeaders:       1 << 20,
		MaxInformational: 1 << 30,
		ExpectTimeout:    time.Second,
		Lenient:          h1.BareLF | h1.SpaceBeforeColon | h1.SkipInvalidField,
	}
}

// newLink makes a link of a stream. One that was dialed as a plain one is not asked for the
// state of its TLS, unless it is a *tls.Conn: a wrapper may have that method for those of
// its kind that are not plain.
func newLink(rw io.ReadWriteCloser, cfg *h1.Config, o owner, plain bool) *link {
	l := &link{owner: o}
	s, ok := rw.(secured)
	if plain {
		s, ok = rw.(*tls.Conn)
	}
	if ok {
		cs := s.ConnectionState() // not later: it waits for a handshake that a Read is in
		l.tls.Store(&cs)
	}
	if l.nc, _ = rw.(net.Conn); l.nc != nil && !canAsk(l.nc) {
		l.ahead, rw = readAhead(l.nc, max(cfg.ReadBuffer, 4<<10))
	}
	l.h = h1.NewConn(rw, cfg)
	l.socket = l.nc != nil && l.ahead == nil
	if l.uncounted = int64(max(cfg.WriteBuffer, 4<<10)); l.socket {
		l.uncounted = 16 << 10
	}
	l.settings.maxHead = int64(cfg.MaxHeadBytes)
	return l
}

// tlsState returns the state of TLS, or nil. A stream that NewConn was given may do its
// handshake as late as with its first request; one without a version then has no TLS.
func (l *link) tlsState() *tls.ConnectionState {
	cs := l.tls.Load()
	if cs != nil && !cs.HandshakeComplete {
		now := l.nc.(secured).ConnectionState()
		cs = &now
		l.tls.Store(cs)
		if cs.Version == 0 {
			return nil
		}
	}
	return cs
}

// rest notes that l was idle, so that its next request is not what it was dialed for: the
// server may have given the connection up by then, and what has come is not the answer.
func (l *link) rest() {
	l.settled()
	l.used.Store(true)
}

// settled ends the time in which what comes may be an answer that was ready before its
// request. The first call may close the connection, and so is made without the pool's
// mutex.
func (l *link) settled() {
	if !l.used.Load() && !l.asked.Swap(true) {
		l.h.Probe()
	}
}

// roundTrip sends c's request and waits for the head of its response. After an error the
// exchange is over, but c.up is not closed: the request may be sent again.
func (l *link) roundTrip(c *call) (*http.Response, error) {
	if err := l.exchange(c); err != nil {
		return nil, l.failed(c, err)
	}
	l.used.Store(true)
	return l.deliver(c)
}

// exchange is h1.Conn.Do, or traced.
func (l *link) exchange(c *call) error {
	if c.tr == nil {
		return l.h.Do(c.ctx, &c.req, &c.resp)
	}
	x, err := l.h.Send(c.ctx, &c.req)
	if err != nil {
		return err
	}
	returned := false
	defer l.guard(c.upload(), x, &returned)
	err = traced(c, x)
	returned = true
	return err
}

// guard ends an exchange, of which x is what was sent, if the caller's own code, a hook of
// its trace for instance, has panicked or ended its goroutine: nobody is left to do it. It
// spares others on the connection as any cancel does.
func (l *link) guard(up *upload, x h1.Exchange, returned *bool) {
	if !*returned {
		defer l.giveBack()
		x.Cancel()
		up.close()
	}
}

// traced is Wait for an exchange that was sent, and tells a trace of what comes before it.
func traced(c *call, x h1.Exchange) error {
	c.tr.wroteHead()
	if c.up == nil {
		c.tr.wroteRequest(nil)
	}
	if err := x.Wait(c.ctx, &c.resp); err != nil {
		return err
	}
	c.tr.firstByte()
	return nil
}

// close closes a connection that no exchange is on. If something has come on it, Probe ends
// it first: Close would have TLS send a closing alert, and wait for a peer that may not
// read it.
func (l *link) close() {
	if l.ahead.unasked() {
		l.h.Probe()
	}
	l.h.Close()
}

// failed ends an exchange without a response.
func (l *link) failed(c *call, err error) error {
	defer l.giveBack() // also where a hook does not return
	c.tr.wroteRequest(err)
	if c.ctx.Err() == nil && awaitedHead(err) {
		return &timeoutError{"h1http: timeout awaiting response headers", err}
	}
	return err
}

// giveBack releases l where a request has failed, or was not sent. What was answered before
// it may yet have to get out.
func (l *link) giveBack() { l.owner.release(l, nil, l.h.Err() == nil && l.getsOut(0)) }

// awaitedHead reports whether an error is that of Config.HeadTimeout: not of another limit,
// nor of a deadline that the stream's maker has set. The engine says so in words alone.
func awaitedHead(err error) bool {
	var e *h1.Error
	return errors.As(err, &e) && e.Kind == h1.Timeout && e.Err != nil &&
		strings.HasPrefix(e.Err.Error(), "HeadTimeout")
}

// over ends an exchange that had a response.
func (l *link) over(c *call) {
	l.lasts.Store(true)
	allBut := int64(0)
	if c.up != nil {
		allBut = l.allBut()
	}
	usable := l.h.Err() == nil && l.getsOut(allBut)
	defer l.owner.release(l, c.tr, usable) // also where the body's Close, or a hook, does not return
	if c.up != nil {
		c.ready = usable
		c.up.close()
		c.tr.wroteRequest(errBodyClosed) // does nothing if it was reported as written
	}
	if c.stop != nil { // not earlier: it would cancel the rest of the upload
		c.stop(nil)
	}
}

// isOut reports whether what was answered is written, all but so many bytes. A server may
// answer a request, or its long head, before its end, and read no more: what is sent behind
// that may never be read. Where a request is in flight already it was sent, and fares as it
// may.
func (l *link) isOut(allBut int64) bool {
	state, s := l.h.State(), l.h.Stats() // in this order: a request may begin in between
	return state.InFlight() > 0 || s.InFlight > 0 || s.Unwritten <= allBut && state.Idle()
}

// allBut is how many bytes of a body are not waited for at its end: a socket takes them.
func (l *link) allBut() int64 {
	if l.socket {
		return l.uncounted
	}
	return 0
}

// uploadGrace is how long the rest of a request may take after the end of the response,
// before the connection is given up. net/http allows as much. As there, the caller waits:
// mostly it is for a goroutine that has yet to note its last write, and a request that
// follows at once is to find the connection.
const uploadGrace = 50 * time.Millisecond

// getsOut waits for isOut, for at most uploadGrace: it yields at first, and then pauses for
// longer and longer.
func (l *link) getsOut(allBut int64) bool {
	const yields, longest = 20, time.Millisecond
	began, pause := time.Now(), time.Duration(0)
	for n := 0; !l.isOut(allBut); n++ {
		left := uploadGrace - time.Since(began)
		switch {
		case l.h.Err() != nil || left <= 0:
			return false
		case n < yields:
			runtime.Gosched()
		default:
			pause = min(pause+longest/20, longest, left)
			l.pause(pause)
		}
	}
	return true
}

// pause waits for so long, or for less if a body that is being written ends.
func (l *link) pause(d time.Duration) {
	ready := l.h.Ready()
	if ready.Err() == nil { // there is none
		time.Sleep(d)
		return
	}
	select {
	case <-ready.Done():
	case <-time.After(d):
	}
}

// timeoutError is a net.Error, as net/http's own timeouts are.
type timeoutError struct {
	text string
	err  error
}

func (e *timeoutError) Error() string        { return e.text }
func (e *timeoutError) Unwrap() error        { return e.err }
func (e *timeoutError) Timeout() bool        { return true }
func (e *timeoutError) Temporary() bool      { return true }
func (e *timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }
