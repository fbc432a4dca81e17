package h1

// fuzz_state_test.go: any calls in any order, each on a goroutine of its own, against a
// server that says anything; the question is what state they leave the connection in.
//
// Rule: after every step all goroutines have come to rest, and then the invariants hold.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// stateReachable is what the enumeration of the rules reaches, little left or not.
var stateReachable = func() map[life]bool {
	m := map[life]bool{}
	for _, l := range reachable() {
		l.few = false
		m[l] = true
	}
	return m
}()

// stateSays is what the server may say in one step.
var stateSays = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nSum: 1\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
	"HTTP/1.1 100 Continue\r\n\r\n",
	"HTTP/1.1 103 Early Hints\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nleft",
	"HTTP/1.1 204 No Content\r\n\r\n",
	"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
	"HTTP/1.0 200 OK\r\n\r\nuntil the end",
	"HTTP/1.1 200 OK\r\nConte",
	"nt-Length: 0\r\n\r\n",
	"junk",
	"0123456789",
	"\r\n0\r\n\r\n",
}

// A stateCall is an exchange with what its caller holds of it.
type stateCall struct {
	req    *Request
	x      Exchange
	resp   Response
	sent   bool // Send has returned an exchange
	waited bool
	head   bool // Wait has returned a response
	busy   bool // one of its calls is under way: they belong to one caller at a time,
	pushes bool // but those that write its body, which are another's
	cancel context.CancelFunc
	over   bool // it was canceled
	by     time.Time
	said   [3]bool // how much of it was sent, in the words of its errors
	pipe   *io.PipeWriter
	fed    bool // the pipe was written to: once, for its lock is none that a bubble sees
}

// A slowWriter is a stream whose writer may be slow: to learn of a deadline, and to
// return; and whose reader may be in a write, as under TLS, that no deadline ends. Its
// Close may end no call.
type slowWriter struct {
	lazy
	returns chan struct{} // nil: writes return at once; changes under the stream's mu
	reads   chan struct{} // nil: so do reads
	hollow  bool          // Close does nothing
}

func (s *slowWriter) Read(p []byte) (int, error) {
	var reads chan struct{}
	s.change(func() { reads = s.reads })
	if reads != nil {
		<-reads
	}
	return s.lazy.Read(p)
}

// deafen has reads not return, or lets them.
func (s *slowWriter) deafen(deaf bool) {
	s.change(func() {
		switch {
		case deaf && s.reads == nil:
			s.reads = make(chan struct{})
		case !deaf && s.reads != nil:
			close(s.reads)
			s.reads = nil
		}
	})
}

// isDeaf reports whether reads do not return.
func (s *slowWriter) isDeaf() (deaf bool) {
	s.change(func() { deaf = s.reads != nil })
	return deaf
}

func (s *slowWriter) Close() error {
	if s.hollow {
		return nil
	}
	err := s.lazy.Close()
	s.deafen(false)
	return err
}

// A slowLayer looks like TLS, to who knows its kind.
type slowLayer struct{ *slowWriter }

func (s slowLayer) NetConn() net.Conn { return underSlow{s: s.slowWriter} }

type underSlow struct {
	net.Conn // none
	s        *slowWriter
}

func (u underSlow) Close() error { return u.s.Close() }

// slow makes the writer slow, or lets it go.
func (s *slowWriter) slow(deadlines, returns bool) {
	if s.writes.hold.Load() && !deadlines {
		s.letGo()
	}
	s.writes.hold.Store(deadlines)
	s.change(func() {
		switch {
		case returns && s.returns == nil:
			s.returns = make(chan struct{})
		case !returns && s.returns != nil:
			close(s.returns)
			s.returns = nil
		}
	})
}

func (s *slowWriter) Write(p []byte) (int, error) {
	n, err := s.lazy.Write(p)
	var returns chan struct{}
	s.change(func() { returns = s.returns })
	if returns != nil {
		<-returns
	}
	return n, err
}

// isSlow reports whether c's write has ended, or was to, and does not return. c.mu is held.
func (s *slowWriter) isSlow(c *Conn) bool {
	return c.inWrite && (s.returns != nil || s.writes.hold.Load() && (s.hollow && c.end.gone || passed(c.writer.up.until)))
}

// A stateRun is a connection under fuzz. Its fields change only while all calls rest.
type stateRun struct {
	*testing.T
	c     *Conn
	s     *slowWriter
	calls []*stateCall
	spare bool         // the last step was to leave the connection alive
	got   []byte       // what the server has received
	under atomic.Int32 // calls that have not returned
}

// note keeps what an error says of a request, and reports whether there was none. Some
// speak of a call that the exchange does not take, and not of its end.
func (k *stateCall) note(err error) bool {
	e, ok := err.(*Error)
	if ok && e.Kind != NotReady && e.Kind != BadRequest && e != errEnded && e != errBodyClosed && e != errNoBody {
		k.said[e.Sent] = true
	}
	return err == nil
}

// call runs one call on its own goroutine; busy, if any, is true until it returns.
func (r *stateRun) call(busy *bool, f func()) {
	r.under.Add(1)
	if busy != nil {
		*busy = true
	}
	go func() {
		defer r.under.Add(-1)
		f()
		if busy != nil {
			*busy = false
		}
	}()
}

var stateMethods = []string{"GET", "PUT", "HEAD", "POST"}

// stateHosts names each request by its Host.
const stateHosts = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// request makes one of the kinds of requests.
func (r *stateRun) request(k *stateCall, arg int) *Request {
	req := &Request{Host: stateHosts[len(r.calls)-1 : len(r.calls)], Target: "/", Method: stateMethods[arg&3]}
	switch arg >> 2 & 7 {
	case 1:
		req.Body = strings.NewReader("body")
	case 2:
		req.Body = strings.NewReader(strings.Repeat("x", 9000))
	case 3:
		var body *io.PipeReader
		body, k.pipe = io.Pipe()
		req.Body = body
	case 4:
		req.Push = true
	case 5:
		req.Push = true
		req.Header.Add("Expect", "100-continue")
	case 6:
		req.Header.Add("Upgrade", "x")
	case 7:
		req.Close = true
	}
	if arg&32 != 0 {
		k.by = time.Now().Add(3 * time.Second)
		req.Deadline = k.by
	}
	return req
}

// send begins an exchange.
func (r *stateRun) send(arg int, way byte) {
	k := &stateCall{}
	var ctx context.Context
	ctx, k.cancel = context.WithCancel(context.Background())
	r.calls = append(r.calls, k)
	req := r.request(k, arg)
	k.req = req
	r.call(&k.busy, func() {
		var err error
		switch way {
		case 's':
			k.x, err = r.c.Send(ctx, req)
			k.sent = k.note(err)
		case 't':
			k.x, err = r.c.TrySend(ctx, req)
			k.sent = k.note(err)
		case 'd':
			k.head = k.note(r.c.Do(ctx, req, &k.resp))
		}
	})
}

const stateVerbs = "stdwrRcxkpqiPDZCSeEvzWHGh"

// do takes one step.
func (r *stateRun) do(verb byte, arg int) {
	if strings.IndexByte("std", verb) >= 0 {
		r.send(arg, verb)
		return
	}
	var k *stateCall
	if len(r.calls) > 0 {
		k = r.calls[arg%len(r.calls)]
	}
	switch verb {
	case 'P':
		r.call(nil, func() { r.c.Probe() })
	case 'D':
		r.call(nil, func() {
			if p, err := r.c.Detach(); err == nil {
				p.IO.Close()
			}
		})
	case 'Z':
		r.call(nil, func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			r.c.Shutdown(ctx)
		})
	case 'W':
		r.call(nil, func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			r.c.Ready().Wait(ctx)
		})
	case 'C':
		if arg == 0 { // seldom: nothing comes after it
			r.call(nil, func() { r.c.Close() })
		}
	case 'S':
		r.s.send([]byte(stateSays[arg%len(stateSays)]))
	case 'e':
		r.s.fail(io.EOF)
	case 'E':
		r.s.reset()
	case 'v':
		r.s.setWindow([]int{0, 100, 5000, wireWindow, 3, 30, 50, 70}[arg&7])
		r.got = append(r.got, r.s.receive(1<<20)...)
	case 'H':
		r.s.slow(arg&1 != 0, arg&2 != 0)
	case 'G':
		if r.c.kind.encoded() && !r.s.hollow {
			r.s.deafen(arg&1 != 0)
		}
	case 'h':
		r.s.hollow = r.s.hollow || r.c.kind != direct && r.c.dl != nil && !r.s.isDeaf()
	case 'z':
		time.Sleep(time.Second)
	case 'x':
		if k != nil && k.sent {
			k.over, r.spare = true, r.spared(k)
			r.call(nil, k.x.Cancel)
		}
	case 'k':
		if k != nil {
			k.over, r.spare = true, r.spared(k)
			k.cancel()
		}
	case 'i':
		if k != nil && k.pipe != nil && !k.fed {
			k.fed = true
			r.call(nil, func() { k.pipe.Write([]byte("piece")); k.pipe.Close() })
		}
	default:
		if k != nil {
			r.use(k, verb)
		}
	}
}

// spared reports whether nothing else happens when k is canceled: it is in line, or no
// writer has a byte of it, or it is out whole, and somebody wants a response behind it.
func (r *stateRun) spared(k *stateCall) bool {
	c := r.c
	c.mu.Lock()
	defer c.mu.Unlock()
	var e *exchange
	others := false
	for _, f := range []*exchange{c.line.head, c.queue.head} {
		for x := f; x != nil; x = x.next {
			if x.req == k.req {
				e = x
			} else if !x.abandoned && !x.inLine {
				others = true
			}
		}
	}
	if e == nil || e.err != nil || e.seen || c.err != nil || c.dl == nil || c.inWrite && c.kind.encoded() || r.s.writes.hold.Load() || r.s.isDeaf() {
		return false
	}
	switch {
	case e.start < 0:
		return others || c.written == c.appended() // else the rest of an answered request may have waited for it
	case e.start >= c.taken && (e.end >= 0 || c.upload == e):
		return others || c.written == e.start && c.mayUnread(e)
	}
	return others && e.end >= 0 && c.written >= e.end
}

// inGrace reports whether a last write that only Close ends has a moment left to return.
func (r *stateRun) inGrace() bool {
	c := r.c
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dl == nil && c.inWrite && c.writer.up.lastCut != nil
}

// use makes one call on an exchange or its response.
func (r *stateRun) use(k *stateCall, verb byte) {
	switch {
	case verb == 'p' && k.sent && !k.pushes:
		r.call(&k.pushes, func() { _, err := k.x.Write([]byte("pushed")); k.note(err) })
	case verb == 'q' && k.sent && !k.pushes:
		r.call(&k.pushes, func() { k.note(k.x.CloseWrite()) })
	case k.busy:
	case verb == 'w' && k.sent && !k.waited:
		k.waited = true
		r.call(&k.busy, func() { k.head = k.note(k.x.Wait(context.Background(), &k.resp)) })
	case verb == 'r' && k.head:
		r.call(&k.busy, func() { _, err := k.resp.Body.Read(make([]byte, 3)); k.note(err) })
	case verb == 'R' && k.head:
		r.call(&k.busy, func() { _, err := k.resp.AppendBody(nil, 1000); k.note(err) })
	case verb == 'c' && k.head:
		r.call(&k.busy, func() { k.resp.Body.Close() })
	}
}

// check compares what must hold whenever all goroutines rest.
func (r *stateRun) check() {
	r.Helper()
	c := r.c
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.life
	l.few = false
	inFlight, at := 0, int64(0)
	for e := c.queue.head; e != nil; e = e.next {
		there := max(e.start, e.end) <= c.appended() || c.werr != nil && e.next == nil // a failed write drops the last one's end
		if inFlight++; e.start < at || !there {
			r.Fatalf("bytes %d to %d are a request's, after %d and of %d in %v", e.start, e.end, at, c.appended(), l)
		}
		at = max(e.start, e.end)
	}
	switch {
	case l.n <= most && !stateReachable[l]:
		r.Fatalf("%v is no state the rules reach", l)
	case inFlight != l.n:
		r.Fatalf("%d in the queue in %v", inFlight, l)
	case c.written > c.appended():
		r.Fatalf("%d bytes written of %d in %v", c.written, c.appended(), l)
	case c.err != nil && c.line.head != nil:
		r.Fatalf("somebody waits in line for a connection that has ended: %v", c.err)
	case l.n == 0 && l.w != wBody && !l.idle() && c.err == nil:
		r.Fatalf("nothing is outstanding, and it is neither ready nor closed: %v", l)
	case l.closed() && !c.end.gone:
		r.Fatalf("%v, and the stream is open", l)
	case l.idle() && c.line.head != nil && !c.writing && !c.pending():
		r.Fatalf("idle, and somebody waits in line")
	case c.line.head != nil && c.allAbandoned():
		r.Fatalf("somebody waits in line behind responses that nobody reads: %v", l)
	case c.line.head == nil && c.allAbandoned() && c.unwritten() != nil && !r.s.isSlow(c):
		r.Fatalf("a request that nobody wants is still written: %v", l)
	case l.n == 0 && c.line.head == nil && c.upload == nil && c.pending() && !c.writing && c.mayWrite():
		r.Fatalf("idle, in the midst of a request: %v", l)
	case l.r == rShut && c.queue.head != nil:
		r.Fatalf("nothing is read any more, and somebody waits for a response: %v", l)
	}
	for i, k := range r.calls {
		by := k.by
		if r.s.isDeaf() && !by.IsZero() {
			by = by.Add(graceBeforeClose)
		}
		if (k.busy || k.pushes) && (k.over || passed(by)) && !r.s.isSlow(c) {
			r.Fatalf("call %d was canceled, or its time is over, and it goes on: %v", i, l)
		}
	}
}

// finish ends everything, and sees that every call ends.
func (r *stateRun) finish() {
	r.c.Close()
	r.s.slow(false, false)
	for _, k := range r.calls {
		if k.pipe != nil {
			k.pipe.Close()
		}
	}
	synctest.Wait()
	if n := r.under.Load(); n != 0 {
		r.Fatalf("%d calls go on after Close", n)
	}
	r.check()
	for _, k := range r.calls {
		k.cancel()
	}
	r.s.lazy.Close()
	r.whole()
}

// whole checks that what the server has received is whole requests, and at most the
// beginning of one behind them, each once, and none of which an error said otherwise.
func (r *stateRun) whole() {
	r.Helper()
	all := append(r.got, r.s.receive(1<<20)...)
	for i, k := range r.calls {
		line := []byte(" / HTTP/1.1\r\nHost: " + stateHosts[i:i+1] + "\r\n")
		switch n := bytes.Count(all, line); {
		case n > 1:
			r.Fatalf("the server received %q: call %d twice", all, i)
		case n == 1 && k.said[SentNothing] && !k.head || n == 0 && k.said[SentAll]:
			r.Fatalf("the server received %q; of call %d it was said that nothing (%v), or all (%v), was sent", all, i, k.said[SentNothing], k.said[SentAll])
		}
	}
	for rest := all; len(rest) > 0; {
		if !bytes.Contains(rest, []byte("\r\n\r\n")) {
			if bytes.Count(rest, []byte("HTTP/1.1")) > 1 {
				r.Fatalf("the server received %q: half of a head before another", all)
			}
			return
		}
		from := bytes.NewReader(rest)
		in := bufio.NewReader(from)
		req, err := http.ReadRequest(in)
		if err == nil && !(slices.Contains(stateMethods, req.Method) && req.RequestURI == "/") {
			err = errors.New("a request that nobody made")
		}
		if err == nil {
			_, err = io.Copy(io.Discard, req.Body)
		}
		if err != nil && strings.Contains(err.Error(), "unexpected EOF") { // of a trailer it says so in words only
			return
		}
		if err != nil {
			r.Fatalf("the server received %q: %v at %q", all, err, rest)
		}
		rest = rest[len(rest)-from.Len()-in.Buffered():]
	}
}

// stateKind says what stream it is, by what fuzzConfig has left of a number.
func stateKind(bits uint16) streamKind {
	switch bits / fuzzConfigs {
	case 0:
		return opaque
	case 1:
		return wrapped
	}
	return []streamKind{direct, layered, sealed}[bits%3]
}

// FuzzState: whatever is called and said, in whatever order, the connection is in a state
// the rules reach, nobody waits for what cannot come, and Close ends every call.
func FuzzState(f *testing.F) {
	for _, seed := range []string{
		"d0S0", "s0w0S0R0s0w1S2R1", "s0w0S0R0s0s0s0w1w2w3S0R1S2R2S7", "s1w0S0R0", "s3S8w0R0",
		"s4p0S8w0p0q0", "s6w0S6D0", "s7w0S0R0", "s5p0S4w0q0S0", "d<S0i0", "s<w0i0S9R0", "s0w0S0R0s0s0x1S0w2S0R2",
		"s0w0S0R0s0s0w1k1w2S0S0R2", "s0w0S1r0c0", "s0w0S3r0c0", "s0w0SER0", "s0Z0w0S0R0", "d0d0d0S0S0S0", "s0w0S:r0e0R0",
		"s0w0S0R0P0e0P0", "v0s8w0S8R0", "sPz0z0z0z0", "s0w0S0R0sPsPw2z0z0z0z0S0",
	} {
		f.Add(uint16(0), seed)
		f.Add(uint16(1), seed)
		f.Add(uint16(40), seed)
		f.Add(uint16(997), seed)
	}
	// A write that is cut, or over, and does not return.
	f.Add(uint16(0), "s0w0S0R0v1s0s0w1x2H1S0R1s0w3H0v3S0S0")
	f.Add(uint16(0), "s0w0S0R0H2s0s0w1x2S0R1H0s0w3S0")
	f.Add(uint16(0), "s0w0S0R0v6H2sPs0s0H0w1w2z0z0z0z0v3S0S0S0R2")
	// The last write of a body that was answered already.
	f.Add(uint16(0), "sAp0v0q0S0w0R0s0k0v3S0w1R1")
	f.Add(uint16(fuzzConfigs), "sAp0v0q0S0w0R0s0k0v3S0w1R1")
	f.Add(uint16(fuzzConfigs), "sAp0v0q0S0w0R0s0v4k0v3S0w1R1")
	for kind := range uint16(3) {
		f.Add(2*fuzzConfigs+kind, "sAp0v0q0S0w0R0s0v4k0v3S0w1R1")
		f.Add(2*fuzzConfigs+kind, "s0w0S0R0v1s0s0w1x2H1S0R1s0w3H0v3S0S0")
	}
	// What is canceled, of which no writer has a byte.
	f.Add(uint16(0), "s0w0S0R0v0s0w1sAx2s9k3S0v3S0R1")
	// TLS that writes while it reads, in a look and in a response.
	for kind := range uint16(3) {
		f.Add(2*fuzzConfigs+kind, "s0w0S0R0G1P0s0w1")
		f.Add(2*fuzzConfigs+kind, "s0w0S0R0P0sPs0w1w2G1z0z0z0")
		f.Add(2*fuzzConfigs+kind, "s0w0S0R0s0s0G1w1w2k1S0G0S0")
		f.Add(2*fuzzConfigs+kind, "s0w0S0R0sPG1w1z0z0z0z0")
		f.Add(2*fuzzConfigs+kind, "s0w0S0R0s0w1S1G1r1r1Z0z0z0z0z0z0")
	}
	// Close ends no call, also of a write that was answered.
	for _, kind := range []uint16{0, 2*fuzzConfigs + 1, 2*fuzzConfigs + 2} {
		f.Add(kind, "h0s0w0S0R0s0w1")
		f.Add(kind, "h0s0w0S0R0v1s0s0w1x2")
		f.Add(kind, "h0v1s2w0S9R0")
		f.Add(kind, "h0s0w0S0R0v1s0w1k1")
	}
	// Requests that are left to whoever reads next, or to the clock.
	f.Add(uint16(fuzzConfigs), "s0w0S0R0s0w1R7R8S2d6s0w2z0R1S0")
	f.Add(uint16(fuzzConfigs), "s0w0S0R0S2s0w1s0w2S0d4z6s0w3")
	// More than the write buffer holds, while a write waits.
	f.Add(uint16(12), "s0w0S0R0v0s0w1s0s0w2w3v3S0R1S0R2S0R3")
	f.Fuzz(func(t *testing.T, bits uint16, plan string) {
		if len(plan) > 100 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			cfg, plain := fuzzConfig(bits)
			r := &stateRun{T: t, s: &slowWriter{lazy: lazy{tap: &tap{wireStream: newWireStream(false)}}}}
			var rw io.ReadWriteCloser = r.s
			if plain {
				rw = wirePlain{r.s}
			} else if stateKind(bits).encoded() {
				rw = slowLayer{r.s}
			}
			r.c = NewConn(rw, &cfg)
			if r.c.kind = stateKind(bits); r.c.kind == layered {
				r.c.sock = noRaw{}
			}
			for todo := fuzzScript(plan); len(todo) > 0; {
				if verb, arg := todo.next(stateVerbs); verb != 0 {
					r.spare = false
					r.do(verb, arg)
					synctest.Wait()
					if r.s.isDeaf() || r.inGrace() {
						time.Sleep(3 * graceBeforeClose)
						synctest.Wait()
					}
					r.check()
					if err := r.c.Err(); r.spare && (errors.Is(err, Canceled) || err == errStuck) {
						t.Fatalf("a cancel has ended the connection: %v", err)
					}
				}
			}
			r.finish()
		})
	})
}
