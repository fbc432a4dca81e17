package h1

// conn.go: the connection: its fields and who owns them, what it says of itself, and Do.
//
// Rule: whatever both halves, or several goroutines, see is guarded by Conn.mu; no I/O
// that can block is done under it. The write half is owned by whoever set writing, the
// read half by the exchange named in reader.
// Not here: requests (write.go), responses (read.go), turns (ready.go), time (limit.go,
// alarm.go), the connection's end (close.go).

import (
	"context"
	"io"
	"sync"
	"syscall"
	"time"
)

// A Conn is the client's side of one HTTP/1.1 connection. Its methods may be called by
// several goroutines at once. It starts a goroutine only to write: a body that is not at
// hand, or does not fit the write buffer; a head that does not, or what may not fit the
// socket; what a slow body, or a write that was cut short, has left in the buffer; and,
// where Depth is more than 1, what Send has appended, a moment later.
type Conn struct {
	// Set by NewConn. The fields that every request needs come first: those near the start
	// are reached by shorter instructions.
	cfg     *Config
	kind    streamKind
	peeks   bool // rw is a peeker
	clocked bool // HeadTimeout, StallTimeout or Timing is set

	// What follows is guarded by mu, unless another owner is named.
	writing bool // somebody owns the write half: is in a write, about to be, or filling wbuf for one
	inWrite bool // writer, who is not nil then, is in a write on rw
	inRead  bool // reader, who is not nil then, is in a read on rw
	owing   bool // wbuf is to be written by the read that comes next: see turn.go
	spoken  bool // a response has shown HTTP/1.1 and persistence: what pipelining needs
	mu      sync.Mutex
	life    life
	err     *Error      // why no further request is taken
	reader  *exchange   // whose call owns the read half; nil: nobody's
	br      *readBuffer // owned by the read half
	queue   fifo        // admitted, in the order of their bytes
	line    fifo        // waiting to be admitted
	wbuf    *block      // bytes appended and not yet taken by a writer; nil: none
	taken   int64       // position in the stream of wbuf's first byte
	written int64       // bytes that rw has taken
	upload  *exchange   // whose body is being written; nil: nobody's, as always outside wBody
	writer  *exchange   // in whose name a write runs
	watch   *watch      // where Watch waits, or a call for a look to end; nil: none has yet
	werr    *Error      // how the write half failed

	// What limits time.
	timed      bool // a request has had a Deadline
	dlAsked    bool // dl was asked whether it refuses, and is nil if so; or is taken at its word
	hasWriteBy bool // the write deadline on rw is not zero

	flushing bool  // soon was started, and has yet to look at what is to be written
	apart    bool  // whoever owns the write half is in flushApart
	splices  bool  // reader's read is one in which the kernel writes as well, to another socket
	haste    haste // owned by the read half

	probe probe
	end   ending

	counts counts
	spare  *block      // the other write buffer, of the two that a writer swaps
	keep   [2]int32    // the last Keep-Alive field: timeout in seconds, max
	ready  *future     // what Ready waits for; nil: nobody does
	alarm  *time.Timer // see wakeBy; nil: none is set
	readBy time.Time   // the read deadline on rw
	soon   func()      // runSoon; made once, for a method value allocates
	rerr   error       // owned by the read half: what a read returned along with its last bytes

	rw   io.ReadWriteCloser // set by NewConn
	dl   deadliner          // rw's deadlines; nil: it has none, or refuses them (see deadlines)
	sock syscall.RawConn    // set by NewConn: the socket under rw, for probing; nil: there is none
}

// Stats counts what went over a connection since NewConn; the last three are of now.
type Stats struct {
	Requests        int64 // admitted
	Responses       int64 // final heads read
	Informational   int64 // 1xx heads read
	BytesWritten    int64 // as the stream took them
	BytesRead       int64 // as the stream gave them, used or not
	Drained         int64 // bytes of responses' content read for nobody
	DroppedTrailers int64 // trailer fields left out, since they may not stand in a trailer
	InFlight        int   // requests whose response has not ended
	Abandoned       int   // those of them that were canceled, and whose response is yet to be read
	Unwritten       int64 // bytes it holds of requests, answered or not, that are yet to be written
}

// counts is what Stats tells and nothing else knows.
type counts struct{ requests, responses, informational, read, drained, dropped int64 }

// A State is what a connection is doing. Its String is "wIdle rHead reuse n=1": the write
// half (wIdle, wBody, wShut), the read half (rIdle, rHead, rBody, rShut), whether the
// connection may be used again (reuse, noreuse), and the requests in flight, followed by
// " switched" where the stream was given to another protocol. The zero State belongs to no
// connection.
type State struct{ life life }

// String prints the state.
func (s State) String() string { return s.life.String() }

// Idle reports whether nothing is in flight and a request may be sent.
func (s State) Idle() bool { return s.life.idle() }

// Closed reports whether both halves are shut; a switched stream is not closed yet.
func (s State) Closed() bool { return s.life.closed() }

// Reusable reports whether further requests may be sent, now or when others have ended.
func (s State) Reusable() bool { return s.life.reuse }

// Switched reports whether the stream was given to another protocol (101, CONNECT), and is
// still to be had by Detach.
func (s State) Switched() bool { return s.life.switched }

// InFlight returns the number of requests whose response has not ended.
func (s State) InFlight() int { return s.life.n }

// NewConn makes a connection of a stream that is ready for the first request's bytes. It
// does no I/O and starts no goroutine. A nil cfg means the defaults; a nil rw makes it
// panic. The Conn owns rw from then on, and closes it when the connection ends.
//
// Where rw has SetReadDeadline and SetWriteDeadline, cancellation and timeouts use them.
// Where it has not, or where these return an error and no socket is under rw, they close
// rw. Where rw, or what its NetConn method returns, is a syscall.Conn with a socket, on
// Windows or on a Unix other than AIX, an idle connection is probed before it is written
// to; what came before the first request counts against it too, unless Config.Fresh is set.
// What a layer like TLS has read ahead before the first request is not looked at, and is
// taken for its response. A type that only embeds a net.Conn hides the socket; a
// SyscallConn method, or NetConn, shows it, also where it comes with an embedded
// *net.TCPConn. One whose Read takes more from the socket than it gives (through a
// bufio.Reader, say) must hide it, or have PeekNow: no look at the socket finds what it
// holds, which would be taken for the next response.
//
// A stream without a socket is probed where it has a method
//
//	PeekNow(p []byte) (n int, err error)
//
// that brings, without waiting, what a Read would return at once, and leaves it there: 0
// and nil where a Read would wait. It is asked instead of a socket, between reads and
// before the first write as well: a handshake is to be finished before NewConn. It may not
// call the Conn.
//
// Where a Write to rw returns only once the server has read the bytes (net.Pipe), the
// server must read a head that fits WriteBuffer to its end before it answers. It need not
// do so with longer heads, and with bodies.
func NewConn(rw io.ReadWriteCloser, cfg *Config) *Conn {
	if rw == nil {
		panic("h1: NewConn of a nil stream")
	}
	c := &Conn{rw: rw, cfg: &defaults, life: newLife()}
	if cfg != nil {
		c.cfg = shared(cfg.withDefaults())
	}
	c.clocked = c.cfg.HeadTimeout > 0 || c.cfg.StallTimeout > 0 || c.cfg.Timing
	c.sock, c.kind = socketOf(rw)
	c.dl, _ = rw.(deadliner)
	c.dlAsked = c.kind.hasSocket()
	if _, c.peeks = rw.(peeker); c.peeks {
		c.sock = nil
	}
	return c
}

// State returns the current state.
func (c *Conn) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return State{c.life}
}

// Stats returns the current counters.
func (c *Conn) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	abandoned := 0
	for e := c.queue.head; e != nil; e = e.next {
		if e.abandoned {
			abandoned++
		}
	}
	return Stats{
		Requests:        c.counts.requests,
		Responses:       c.counts.responses,
		Informational:   c.counts.informational,
		BytesWritten:    c.written,
		BytesRead:       c.counts.read,
		Drained:         c.counts.drained,
		DroppedTrailers: c.counts.dropped,
		InFlight:        c.life.n,
		Abandoned:       abandoned,
		Unwritten:       c.backlog(),
	}
}

// backlog returns how many bytes are yet to be written. mu is held.
func (c *Conn) backlog() int64 {
	switch {
	case !c.mayWrite():
		return 0 // nor will be
	case c.owing && c.taken > c.written:
		return c.taken - c.written // takeOwed takes wbuf, and leaves it where it is
	}
	return c.appended() - c.written
}

// Err returns nil while the connection takes requests, now or when others have ended, and
// then why it does not: an [*Error] of Kind Closed where either side said close or the
// framing needs it, Unsolicited after bytes nobody asked for, or of the Kind that an
// exchange failed with. The next request fails with Closed, and with this error as its
// cause; if another caller ended the connection, only in words, which errors.Is does not
// find. Whether to send that request again, ask its own error, and not this one. Nil does
// not mean that a request is admitted at once, or that the connection is idle: see Ready,
// and State. Nor does an error mean that nothing is in flight: the response that said close
// may be yet to be read, and others in front of a write that failed, or of an upload that
// was given up. A pool that shares the connection drops it then, or calls Shutdown; Close
// would lose them.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason()
}

// reason is Err under mu.
func (c *Conn) reason() error {
	if c.err == nil {
		return nil
	}
	return c.err
}

// Hints returns what the server's last Keep-Alive field said: for how long it keeps an idle
// connection, in whole seconds, and for how many further requests; 0 where it said no plain
// number. A number above 107374182 (three years of seconds) counts as that. They are hints:
// the engine closes nothing for them.
func (c *Conn) Hints() (timeout time.Duration, max int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(c.keep[0]) * time.Second, int(c.keep[1])
}

// changed acts on what the state now allows: it is called under mu after each move that
// somebody may wait for, and is the only place that wakes those who wait for the state.
func (c *Conn) changed() {
	if c.life.n > 0 && c.nextReader() == nil {
		c.forNobody()
	}
	if c.err != nil {
		c.failLine()
	} else if e := c.line.head; e != nil && (c.admits(&e.q) == admitted || c.allAbandoned()) {
		e.cond.Signal()
	}
	if c.ready != nil && (c.err != nil || c.admitsNext()) {
		close(c.ready.done)
		c.ready = nil
	}
	if c.life.n == 0 {
		c.rest()
	}
}

// failLine refuses those who wait in line for a connection that takes no more requests. mu
// is held.
func (c *Conn) failLine() {
	for e := c.line.pop(); e != nil; e = c.line.pop() {
		e.fail(c.refusal("send"))
		if c.othersWrite(e) {
			c.interrupt(e)
		}
	}
}

// rest lets go of what a connection without a request in flight does not need, and ends one
// with bytes to write and nobody left to write them. mu is held.
func (c *Conn) rest() {
	nobody := c.line.head == nil && !c.writing
	if nobody && c.upload == nil && c.pending() && c.mayWrite() {
		c.fail(nil, errStuck) // it is the rest of a request that was answered
	}
	c.giveBack()
	if nobody && c.life.w != wBody && c.reader == nil && !c.probe.runs && !c.probe.rings {
		c.stopAlarm() // the exchange whose deadline it was set for has ended
	}
	if c.watch != nil {
		c.watch.cond.Broadcast()
	}
}

// outside runs the caller's code, for e, without mu. If that code panics, or ends its
// goroutine, nobody is left to go on with e's half (c.reader, or c.upload), and e ends as
// by a body that fails, unless the half is no longer e's. mu is held again in any case, for
// those who release it on the way out.
func (c *Conn) outside(half **exchange, e *exchange, f func() error) error {
	returned := false
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		if !returned && *half == e {
			c.failUpload(e, errDeserted)
		}
	}()
	err := f()
	returned = true
	return err
}

// Do sends a request and reads the head of its response: Send and Exchange.Wait in one. The
// response's body is then read from resp.Body, still under ctx and the request's Deadline,
// which both govern the rest of the request's body as well: see Send.
// A ctx that ends cancels the exchange on another goroutine (context.AfterFunc): for a
// moment calls may still return what is at hand. Do fails with any Kind but NotReady; resp
// is of no use then. A request with Push needs Send.
func (c *Conn) Do(ctx context.Context, req *Request, resp *Response) error {
	if err := resp.reset(); err != nil {
		return err
	}
	var q asked
	if err := prepare(req, &q); err != nil {
		return err
	}
	if q.push {
		return badRequest("Push, with Do: nobody could write the body")
	}
	c.mu.Lock()
	defer c.unlock()
	e := c.newExchange(ctx, req, &q)
	e.once = true
	if err := c.start(e); err != nil {
		return err
	}
	return c.receive(e, resp)
}
