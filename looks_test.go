//go:build unix

package h1

// looks_test.go: looks at a connection that is not idle, what a socket says once,
// and what goes from one socket to another.

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Probe leaves alone what has come for a request in flight, though nobody reads it yet.
func TestProbeInFlight(t *testing.T) {
	s := &askable{}
	s.more.L = &s.mu
	c := NewConn(s, nil)
	defer c.Close()
	x, err := c.Send(context.Background(), get("/"))
	if err != nil {
		t.Fatal(err)
	}
	s.says(answer("body"), nil)
	if err := c.Probe(); err != nil {
		t.Fatal(err)
	}
	var resp Response
	if err := x.Wait(context.Background(), &resp); err != nil {
		t.Fatal(err)
	}
	if err := c.Probe(); err != nil {
		t.Fatal(err)
	}
	if b, err := resp.AppendBody(nil, -1); string(b) != "body" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

// A body that goes on until the stream's end is whole where that ends, though a write has
// failed; but not where the write has learned what has broken the connection, which no read
// says again.
func TestUntilCloseAfterWriteFailed(t *testing.T) {
	ends := []error{syscall.EPIPE, syscall.EPROTOTYPE, syscall.ENOTCONN, syscall.EAGAIN}
	for _, werr := range append(ends, syscall.ECONNRESET, syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH) {
		inBubble(t, Config{}, false, func(r *rig) {
			up, body := r.slowPost("/a")
			r.raw("HTTP/1.1 200 OK\r\n\r\nwhole")
			synctest.Wait()
			r.s.failWrites(0, werr)
			body.Write([]byte("more"))
			synctest.Wait()
			r.s.fail(io.EOF)
			if slices.Contains(ends, werr) {
				r.got(up, "whole")
			} else {
				r.failed(up, Incomplete, SentPart)
				if !errors.Is(up.err, werr) || !errors.Is(up.err, io.ErrUnexpectedEOF) {
					t.Errorf("the error does not tell of %v: %v", werr, up.err)
				}
			}
			r.dead()
		})
	}
}

// That the stream ended in good order is not made doubtful by what a write learns later:
// here the end came along with the last bytes, as TLS's goodbye may.
func TestEndBesideWriteFailed(t *testing.T) {
	for _, werr := range []error{syscall.EPIPE, syscall.ECONNRESET, syscall.ETIMEDOUT} {
		for _, later := range []bool{false, true} {
			inBubble(t, Config{}, false, func(r *rig) {
				x, err := r.c.Send(context.Background(), &Request{Method: "POST", Host: "x", Push: true})
				if err != nil {
					r.Fatal(err)
				}
				r.raw("HTTP/1.1 200 OK\r\n\r\n")
				var resp Response
				if err := x.Wait(context.Background(), &resp); err != nil {
					r.Fatal(err)
				}
				fails := func() {
					r.s.failWrites(0, werr)
					if _, err := x.Write([]byte("more")); !errors.Is(err, werr) {
						r.Errorf("the write: %v", err)
					}
				}
				if !later {
					fails()
				}
				r.raw("whole")
				r.s.fail(io.EOF)
				if n, err := resp.Body.Read(make([]byte, 1)); n != 1 || err != nil {
					r.Fatal(n, err)
				}
				if later {
					fails()
				}
				rest, err := io.ReadAll(resp.Body)
				if whole := later || werr == syscall.EPIPE; string(rest) != "hole" || (err == nil) != whole {
					r.Errorf("%v, later %v: %q, %v", werr, later, rest, err)
				}
				r.dead()
			})
		}
	}
}

// Nor does a request whose own body was read meanwhile take it for what nobody asked for.
func TestNoLookBehindABodyInFlight(t *testing.T) {
	s := &askable{}
	s.more.L = &s.mu
	c := NewConn(s, &Config{Depth: 4})
	defer c.Close()
	ctx := context.Background()
	warm, err := c.Send(ctx, get("/warm"))
	if err != nil {
		t.Fatal(err)
	}
	s.says(answer("/warm"), nil)
	if body, err := fetchRest(ctx, warm, nil); body != "/warm" || err != nil {
		t.Fatal(body, err)
	}
	a, err := c.Send(ctx, get("/a"))
	if err != nil {
		t.Fatal(err)
	}
	until(c, func() bool { return c.written == c.appended() && !c.writing })
	body := &slowText{strings.NewReader("body"), func() { s.says(answer("/a"), nil) }}
	b, err := c.Send(ctx, &Request{Method: "PUT", Host: "x", Body: body})
	if err != nil {
		t.Fatal(err)
	}
	until(c, func() bool { return c.written == c.appended() && !c.writing })
	s.says(answer("/b"), nil)
	for _, k := range []struct {
		x    Exchange
		want string
	}{{a, "/a"}, {b, "/b"}} {
		if body, err := fetchRest(ctx, k.x, nil); body != k.want || err != nil {
			t.Errorf("%q, %v", body, err)
		}
	}
}

// One looks at a time: a second look, beside one that reads through a layer, would end that
// one's hold on the stream, and let a request in beside its read.
func TestOneLookAtATime(t *testing.T) {
	client, server := tcpPair(t)
	l := &hookedLayer{Conn: client}
	c := NewConn(l, nil)
	defer c.Close()
	go answerAll(server, func(string) {})
	if got, err := fetch(c, get("/")); err != nil || got != "/" {
		t.Fatal(got, err)
	}
	looks := 0
	l.hook = func() {
		looks++
		if err := c.Probe(); err != nil {
			t.Error(err)
		}
		if !c.probe.runs {
			t.Error("the look is taken to be over")
		}
	}
	if err := c.Probe(); err != nil || looks != 1 {
		t.Errorf("%d looks, %v", looks, err)
	}
}

// lateLayer is a layer over a socket whose Writes return late.
type lateLayer struct {
	net.Conn
	late chan struct{}
}

func (l *lateLayer) NetConn() net.Conn { return l.Conn }

func (l *lateLayer) Write(p []byte) (int, error) {
	n, err := l.Conn.Write(p)
	<-l.late
	return n, err
}

// The second look at a connection under TLS, when another's write has taken long, costs
// nobody a connection to which nothing has come.
func TestNothingCameBehindAWrite(t *testing.T) {
	client, server := tcpPair(t)
	l := &lateLayer{client, make(chan struct{}, 4)}
	c := NewConn(l, &Config{Depth: 4})
	defer c.Close()
	go answerAll(server, func(string) {})
	l.late <- struct{}{}
	if got, err := fetch(c, get("/")); err != nil || got != "/" {
		t.Fatal(got, err)
	}
	a, err := c.Send(context.Background(), get("/a"))
	if err != nil {
		t.Fatal(err)
	}
	until(c, func() bool { return c.inWrite })
	if got, err := fetchRest(context.Background(), a, nil); err != nil || got != "/a" {
		t.Fatal(got, err)
	}
	x, err := c.Send(context.Background(), get("/b"))
	if err != nil || !c.inWrite || x.e.start < c.taken {
		t.Fatalf("not the state that is to be tested; %v", err)
	}
	close(l.late)
	hangs("Wait", func() {
		until(c, func() bool { return c.err != nil || c.written == c.appended() })
		if got, err := fetchRest(context.Background(), x, nil); got != "/b" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// The kernel moves bodies from socket to socket, but none whose framing is in it.
func TestChunksAreNotSpliced(t *testing.T) {
	client, server := tcpPair(t)
	out, sink := tcpPair(t)
	c := NewConn(client, nil)
	defer c.Close()
	head, sent := make(chan bool), strings.Repeat("x", 100)
	go func() {
		server.Read(make([]byte, 1<<10))
		io.WriteString(server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		<-head
		for range 2 {
			fmt.Fprintf(server, "%x\r\n%s\r\n", len(sent), sent)
		}
		io.WriteString(server, "0\r\n\r\n")
	}()
	var resp Response
	if err := c.Do(context.Background(), get("/"), &resp); err != nil {
		t.Fatal(err)
	}
	close(head)
	hangs("WriteTo", func() {
		n, err := resp.Body.(io.WriterTo).WriteTo(out)
		out.Close()
		got, _ := io.ReadAll(sink)
		if n != int64(2*len(sent)) || err != nil || string(got) != sent+sent {
			t.Errorf("%d, %v: %q", n, err, got)
		}
	})
}

// wrongLayer is a layer over a socket whose reads fail.
type wrongLayer struct {
	net.Conn
	err error
}

func (l *wrongLayer) NetConn() net.Conn { return l.Conn }

func (l *wrongLayer) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	return l.Conn.Read(p)
}

// A look through a layer takes for nothing only what says that no time is left; not all
// errors that can say so do.
func TestLookThroughWrongLayer(t *testing.T) {
	for err, ends := range map[error]bool{
		os.ErrDeadlineExceeded:                                false,
		&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}: false,
		&net.OpError{Op: "read", Err: syscall.ECONNRESET}:     true,
		&net.OpError{Op: "read", Err: syscall.ETIMEDOUT}:      true,
		fmt.Errorf("the end: %w", os.ErrDeadlineExceeded):     true,
		io.ErrUnexpectedEOF:                                   true,
	} {
		client, server := tcpPair(t)
		l := &wrongLayer{Conn: client}
		c := NewConn(l, nil)
		go answerAll(server, func(string) {})
		if got, err := fetch(c, get("/")); err != nil || got != "/" {
			t.Fatal(got, err)
		}
		l.err = err
		if got := c.Probe(); ends != (got != nil) || ends && (!errors.Is(got, IO) || !errors.Is(got, err)) {
			t.Errorf("%v: Probe says %v", err, got)
		}
		c.Close()
	}
}

// noSocket is a stream that gives away no socket, though it has the method.
type noSocket struct{ net.Conn }

func (noSocket) SyscallConn() (syscall.RawConn, error) { return nil, errors.ErrUnsupported }

type overNoSocket struct{ net.Conn }

func (overNoSocket) NetConn() net.Conn { return noSocket{} }

// Where there is no socket after all, the stream is taken for one that has none.
func TestNoSocketAfterAll(t *testing.T) {
	if raw, kind := socketOf(noSocket{}); raw != nil || kind != opaque {
		t.Errorf("%v, %v", raw, kind)
	}
	if raw, kind := socketOf(overNoSocket{}); raw != nil || kind != sealed {
		t.Errorf("%v, %v", raw, kind)
	}
}

// A stream that is closed refuses no deadlines: it sets none any more.
func TestClosedRefusesNothing(t *testing.T) {
	for err, want := range map[error]bool{
		nil: false, net.ErrClosed: false, os.ErrClosed: false, os.ErrNoDeadline: true,
		&net.OpError{Op: "set", Err: net.ErrClosed}: false, errors.ErrUnsupported: true,
	} {
		if refuses(err) != want {
			t.Errorf("%v: %v", err, !want)
		}
	}
}

// While a look is under way a request waits for that, and is told so. The alarm may ring
// for others then, and afterwards: that ends nothing.
func TestAlarmBesideALook(t *testing.T) {
	d, goOn, probed := probing(t, nil)
	if err := d.c.Ready().Err(); !errors.Is(err, errLook) {
		t.Errorf("Ready: %v", err)
	}
	d.c.ring()
	d.c.ring()
	goOn()
	if err := <-probed; err != nil {
		t.Fatal(err)
	}
	for range 2 {
		d.c.mu.Lock()
		d.c.probe.lookBy = longAgo
		d.c.mu.Unlock()
		d.c.ring()
	}
	d.exchange("/a", answer("/a"), "/a")
}

// A Watch that ends while a request is in flight leaves that alone.
func TestWatchEndsBesideARequest(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		ctx, cancel := context.WithCancel(context.Background())
		watched := make(chan error, 1)
		go func() { watched <- r.c.Watch(ctx) }()
		synctest.Wait()
		cancel()
		wantError(t, <-watched, Canceled, SentNothing)
		synctest.Wait()
		r.serve("/a")
		r.got(a, "/a")
		r.alive()
	})
}

// plainly is a socket in a type of the caller's; without readBy its reads take no deadline.
type plainly struct {
	*net.TCPConn
	readBy bool
}

func (p plainly) SetReadDeadline(t time.Time) error {
	if !p.readBy {
		return os.ErrNoDeadline
	}
	return p.TCPConn.SetReadDeadline(t)
}

// Watch waits on the socket of a stream that is none itself, where a deadline can wake it
// there, and where none can does without, for good.
func TestWatchOfWrappedSocket(t *testing.T) {
	for _, readBy := range []bool{true, false} {
		client, server := loopback(t, nil)
		d := &dialed{t, NewConn(plainly{client, readBy}, nil), client, server, bufio.NewReader(server)}
		d.c.hasWriteBy = true // as a request with a Deadline leaves it
		ctx, cancel := context.WithCancel(context.Background())
		watched := d.watch(ctx)
		if readBy {
			d.parked()
		} else {
			until(d.c, func() bool { return d.c.dl == nil })
		}
		cancel()
		wantError(t, d.soon(watched), Canceled, SentNothing)
		d.exchange("/a", answer("/a"), "/a")
		d.c.Close()
	}
}

// What one socket has said is not told of another, of which a deadline keeps the wait from
// beginning: Watch would end that connection.
func TestWaitToldOfNoOther(t *testing.T) {
	client, server := loopback(t, nil)
	raw, _ := client.SyscallConn()
	server.SetLinger(0)
	server.Close()
	for by := time.Now().Add(5 * time.Second); time.Now().Before(by); {
		if _, _, err := peek(raw); err != nil {
			break
		}
	}
	client, _ = loopback(t, nil)
	raw, _ = client.SyscallConn()
	client.SetReadDeadline(longAgo)
	if broken, err := awaitReadable(raw); broken != nil || !isTimeout(err) {
		t.Errorf("told %v, %v", broken, err)
	}
}
