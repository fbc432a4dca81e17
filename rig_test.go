package h1

// rig_test.go: what the tests of a connection share: a connection inside a bubble of
// testing/synctest, and the server's end of its stream.
//
// Rule: a test says what the server sends and what the callers do; nothing sleeps on a
// real clock, and the bubble fails if a goroutine is left over.

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A tap is a stream that counts its Writes, and acts before a Read returns if told to.
type tap struct {
	*wireStream
	writes atomic.Int32
	onRead atomic.Pointer[func()] // runs once, when bytes were read
	onSent atomic.Pointer[func()] // runs once, before a write returns
}

func (s *tap) Write(p []byte) (int, error) {
	s.writes.Add(1)
	n, err := s.wireStream.Write(p)
	if f := s.onSent.Swap(nil); f != nil {
		(*f)()
	}
	return n, err
}

func (s *tap) Read(p []byte) (int, error) {
	n, err := s.wireStream.Read(p)
	if n > 0 {
		if f := s.onRead.Swap(nil); f != nil {
			(*f)()
		}
	}
	return n, err
}

// A rig is a connection and the server's end of its stream.
type rig struct {
	*testing.T
	s *tap
	c *Conn
}

// inBubble runs f with a fresh connection. A plain stream has no deadlines.
func inBubble(t *testing.T, cfg Config, plain bool, f func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &tap{wireStream: newWireStream(false)}
		var rw io.ReadWriteCloser = s
		if plain {
			rw = wirePlain{s}
		}
		r := &rig{t, s, NewConn(rw, &cfg)}
		defer r.c.Close() // whoever hangs is let go, so that the test fails and not the bubble
		f(r)
	})
}

// answer is a response whose body names the request's target.
func answer(target string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(target), target)
}

// serve sends the answers to some targets, in one packet each.
func (r *rig) serve(targets ...string) {
	for _, target := range targets {
		r.raw(answer(target))
	}
}

func (r *rig) raw(bytes string) { r.s.send([]byte(bytes)) }

// took returns the request lines that the server has received since the last call.
func (r *rig) took() (lines string) {
	for _, head := range strings.Split(string(r.s.receive(1<<20)), "\r\n\r\n") {
		if line, _, ok := strings.Cut(head, " HTTP/1.1\r\n"); ok {
			lines += line + ";"
		}
	}
	return lines
}

func get(target string) *Request { return &Request{Target: target, Host: "x"} }

// warm makes one exchange, after which pipelining is allowed.
func (r *rig) warm() {
	r.Helper()
	r.next("/warm")
	r.took()
}

// next makes one whole exchange.
func (r *rig) next(target string) {
	r.Helper()
	r.serve(target)
	k := r.begin(context.Background(), get(target))
	r.await(k)
	r.got(k, target)
}

// slow is a stream whose deadlines end a read, or a write, that much later.
type slow struct {
	*tap
	reads, writes time.Duration
}

func (s *slow) SetReadDeadline(t time.Time) error { return s.tap.SetReadDeadline(putOff(t, s.reads)) }
func (s *slow) SetWriteDeadline(t time.Time) error {
	return s.tap.SetWriteDeadline(putOff(t, s.writes))
}
func (s *slow) SetDeadline(t time.Time) error {
	s.SetReadDeadline(t)
	return s.SetWriteDeadline(t)
}

func putOff(t time.Time, d time.Duration) time.Time {
	switch {
	case t.IsZero() || d == 0:
		return t
	case t.Before(time.Now()):
		t = time.Now()
	}
	return t.Add(d)
}

// A call is a request, and what became of it. Its fields are looked at when the bubble
// rests.
type call struct {
	x          Exchange
	resp       Response
	body       string
	err        error // of Send, Wait, or the body
	sent, over atomic.Bool
}

// begin sends a request from a goroutine of its own.
func (r *rig) begin(ctx context.Context, req *Request) *call {
	k := &call{}
	go func() {
		k.x, k.err = r.c.Send(ctx, req)
		k.sent.Store(k.err == nil)
		k.over.Store(k.err != nil)
	}()
	synctest.Wait()
	return k
}

// await reads the whole response on a goroutine of its own.
func (r *rig) await(k *call) { r.awaitWith(context.Background(), k) }

func (r *rig) awaitWith(ctx context.Context, k *call) {
	if k.over.Load() {
		return
	}
	x := k.x
	go func() {
		if k.err = x.Wait(ctx, &k.resp); k.err == nil {
			var b []byte
			b, k.err = k.resp.AppendBody(nil, -1)
			k.body = string(b)
		}
		k.over.Store(true)
	}()
	synctest.Wait()
}

// got checks that a call has come to its end with this body.
func (r *rig) got(k *call, body string) {
	r.Helper()
	synctest.Wait()
	switch {
	case !k.over.Load():
		r.Fatalf("%s: the call hangs; connection: %v, Err %v", body, r.c.State(), r.c.Err())
	case k.err != nil || k.body != body:
		r.Fatalf("%s: got %q, %v; connection: %v", body, k.body, k.err, r.c.State())
	}
}

// bothGot answers /a and /b, and checks that these two calls get that, and the connection
// lives.
func (r *rig) bothGot(a, b *call) {
	r.Helper()
	r.serve("/a", "/b")
	r.await(a)
	r.await(b)
	r.got(a, "/a")
	r.got(b, "/b")
	r.alive()
}

// failed checks that a call has failed like this.
func (r *rig) failed(k *call, kind Kind, sent Sent) {
	r.Helper()
	synctest.Wait()
	if !k.over.Load() {
		r.Fatalf("the call hangs; connection: %v, Err %v", r.c.State(), r.c.Err())
	}
	wantError(r, k.err, kind, sent)
}

// wantError checks an error's kind, and how much it says was sent.
func wantError(t testing.TB, err error, kind Kind, sent Sent) {
	t.Helper()
	e, ok := err.(*Error)
	switch {
	case !ok:
		t.Errorf("error is %v, want %v, sent %v", err, kind, sent)
	case e.Kind != kind || e.Sent != sent:
		t.Errorf("error is %v (kind %v, sent %v), want kind %v, sent %v", e, e.Kind, e.Sent, kind, sent)
	}
}

// alive checks that the connection takes and answers a further request.
func (r *rig) alive() {
	r.Helper()
	if err := r.c.Err(); err != nil {
		r.Fatalf("the connection has ended: %v (%v)", err, r.c.State())
	}
	r.next("/alive")
	if got := r.c.State().String(); got != "wIdle rIdle reuse n=0" {
		r.Errorf("state is %s", got)
	}
}

// dead checks that the connection has ended, and closed its stream.
func (r *rig) dead() {
	r.Helper()
	synctest.Wait()
	if r.c.Err() == nil || !r.c.State().Closed() || r.s.ended() != "closed" {
		r.Errorf("the connection lives on: Err %v, %v, stream %q", r.c.Err(), r.c.State(), r.s.ended())
	}
}

// A mirror is a stream with a server in it: each request that is written to it is answered
// at once, but for chunked ones, whose heads are answered. It has no goroutine, allocates
// nothing once warm, and its deadlines work where they have passed already, which is how a
// read is canceled.
type mirror struct {
	mu     sync.Mutex
	cond   sync.Cond
	reply  func(dst, head []byte) []byte
	in     []byte // written, and not yet a whole request
	out    []byte // replies
	read   int    // bytes of out that were read
	writes int
	past   bool // the read deadline has passed
	closed bool
}

func newMirror(reply func(dst, head []byte) []byte) *mirror {
	m := &mirror{reply: reply}
	m.cond.L = &m.mu
	return m
}

// echo answers with the request's target.
func echo(dst, head []byte) []byte {
	_, rest, _ := bytes.Cut(head, []byte(" "))
	target, _, _ := bytes.Cut(rest, []byte(" "))
	dst = append(dst, "HTTP/1.1 200 OK\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(target)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, target...)
}

// replyWith answers every request with the same bytes.
func replyWith(wire string) func(dst, head []byte) []byte {
	return func(dst, _ []byte) []byte { return append(dst, wire...) }
}

func (m *mirror) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, net.ErrClosed
	}
	m.writes++
	m.in = append(m.in, p...)
	at := 0
	for {
		end := bytes.Index(m.in[at:], []byte("\r\n\r\n"))
		if end < 0 {
			break
		}
		head, size := m.in[at:at+end+4], 0
		if _, rest, ok := bytes.Cut(head, []byte("\r\nContent-Length: ")); ok {
			for ; rest[0] != '\r'; rest = rest[1:] {
				size = 10*size + int(rest[0]-'0')
			}
		}
		if len(m.in)-at-len(head) < size {
			break // the answer to a request comes after its body
		}
		at += len(head) + size
		m.out = m.reply(m.out, head)
	}
	m.in = m.in[:copy(m.in, m.in[at:])]
	m.cond.Broadcast()
	return len(p), nil
}

func (m *mirror) Read(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		switch {
		case m.closed:
			return 0, net.ErrClosed
		case m.past:
			return 0, os.ErrDeadlineExceeded
		case m.read < len(m.out):
			n := copy(p, m.out[m.read:])
			if m.read += n; m.read == len(m.out) {
				m.out, m.read = m.out[:0], 0
			}
			return n, nil
		}
		m.cond.Wait()
	}
}

// unread reports whether a Read would not wait.
func (m *mirror) unread() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.read < len(m.out)
}

func (m *mirror) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.cond.Broadcast()
	return nil
}

func (m *mirror) SetReadDeadline(t time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.past = passed(t)
	m.cond.Broadcast()
	return nil
}

func (m *mirror) SetWriteDeadline(time.Time) error { return nil }

// loopback returns the two ends of a TCP connection. prepare, unless it is nil, is called
// with each socket before that is bound or connected.
func loopback(t testing.TB, prepare func(network, addr string, c syscall.RawConn) error) (client, server *net.TCPConn) {
	t.Helper()
	listen, dial := net.ListenConfig{Control: prepare}, net.Dialer{Control: prepare}
	l, err := listen.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Skipf("no loopback: %v", err)
	}
	defer l.Close()
	a, err := dial.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

// dialServer dials a mirror that stands behind a real socket. It allocates nothing once
// warm.
func dialServer(t testing.TB, reply func(dst, head []byte) []byte) net.Conn {
	t.Helper()
	client, server := loopback(t, nil)
	go func() {
		defer server.Close()
		m := newMirror(reply)
		buf, out := make([]byte, 4096), make([]byte, 4096)
		for {
			n, err := server.Read(buf)
			if err != nil {
				return
			}
			m.Write(buf[:n])
			for m.unread() {
				n, _ := m.Read(out)
				if _, err := server.Write(out[:n]); err != nil {
					return
				}
			}
		}
	}()
	return client
}

// noRaw is a socket that says nothing.
type noRaw struct{ syscall.RawConn }

func (noRaw) Control(func(uintptr)) error { return nil }

// soon is a GET with a deadline.
func soon(target string, d time.Duration) *Request {
	req := get(target)
	req.Deadline = time.Now().Add(d)
	return req
}
