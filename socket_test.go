//go:build unix

package h1

// socket_test.go: sockets that break, streams with only some of what a socket has, and what
// comes at the worst moment of a turn.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A body that ends with the stream, over TLS that was cut off, is not whole: only the
// layer's own end is one (RFC 9112, section 9.8). crypto/tls tells only a cut inside a
// record from an end; between two it shows in length and chunks alone.
func TestTLSTruncation(t *testing.T) {
	end := func(d *dialed) { d.server.Close() }
	between := func(d *dialed) { socket(d.server).Close() }
	inside := func(d *dialed) {
		socket(d.server).Write([]byte{23, 3, 3, 0, 100, 1, 2, 3}) // application data, 3 of 100 bytes
		socket(d.server).Close()
	}
	const close, length, chunked = "\r\n", "Content-Length: 5\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n4\r\n"
	for _, c := range []struct {
		name, head, tail string
		end              func(d *dialed)
		whole            bool
	}{
		{"until close, ended", close, "", end, true},
		{"until close, cut in a record", close, "", inside, false},
		{"length, cut in a record", length, "", inside, false},
		{"length, cut between records", length, "", between, false},
		{"chunked, cut in a record", chunked, "\r\n", inside, false},
		{"chunked, cut between records", chunked, "\r\n", between, false},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			d := dialUp(t, "tls", nil)
			go func() {
				d.head()
				io.WriteString(d.server, "HTTP/1.1 200 OK\r\n"+c.head+"body"+c.tail)
				c.end(d)
			}()
			body, err := fetch(d.c, get("/a"))
			switch {
			case body != "body":
				t.Errorf("got %q", body)
			case !c.whole:
				wantError(t, err, Incomplete, SentAll)
			case err != nil:
				t.Error(err)
			}
		})
	}
}

// A server that takes a request and closes without a word: that is Incomplete, and a
// request that may be repeated may be sent again.
func TestClosedWithoutAnswer(t *testing.T) {
	for _, network := range []string{"tcp", "unix", "tls"} {
		for _, depth := range []int{1, 4} {
			d := dialUp(t, network, &Config{Depth: depth})
			go func() { d.head(); d.server.Close() }()
			err := d.c.Do(context.Background(), get("/a"), &Response{})
			wantError(t, err, Incomplete, SentAll)
			if bad, ok := err.(*Error); ok && (!bad.Retryable("GET") || bad.Retryable("POST") || bad.Unprocessed()) {
				t.Errorf("%s: retryable: GET %v, POST %v", network, bad.Retryable("GET"), bad.Retryable("POST"))
			}
		}
	}
}

// A head so long that the socket takes it in pieces fails by what happens meanwhile, and
// says that some of it went out. A reset is told to the write or to the read that waits
// beside it; the other finds the stream's end.
func TestLongHeadFails(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(d *dialed, req *Request)
		kind []Kind
	}{
		{"reset", func(d *dialed, _ *Request) {
			go func() {
				io.ReadFull(d.server, make([]byte, 64<<10))
				abort(d.server)
			}()
		}, []Kind{IO, Incomplete}},
		{"deadline", func(_ *dialed, req *Request) { req.Deadline = time.Now().Add(time.Second) }, []Kind{Timeout}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := dialUp(t, "tcp", nil)
			req := get("/a")
			req.Header.Add("Long", strings.Repeat("x", 8<<20))
			c.do(d, req)
			err := d.c.Do(context.Background(), req, &Response{})
			bad, ok := err.(*Error)
			if !ok || !slices.Contains(c.kind, bad.Kind) || bad.Sent != SentPart {
				t.Errorf("error is %v, want one of %v, sent part", err, c.kind)
			}
			if !d.c.State().Closed() {
				t.Error(d.c.State())
			}
		})
	}
}

// A head that is not that long fails in the same way where the socket holds even less.
func TestHeadFailsOnNarrowSocket(t *testing.T) {
	client, _ := narrowPair(t)
	c := NewConn(client, &Config{WriteBuffer: alwaysFits})
	defer c.Close()
	req := get("/" + strings.Repeat("x", alwaysFits-100))
	req.Deadline = time.Now().Add(100 * time.Millisecond)
	wantError(t, c.Do(context.Background(), req, &Response{}), Timeout, SentPart)
	if !c.State().Closed() {
		t.Error(c.State())
	}
}

// A turnHook acts inside a turn of the socket, before or after the look at it.
type turnHook struct {
	syscall.RawConn
	before, inside func()
}

func (h *turnHook) Read(f func(uintptr) bool) error {
	h.before()
	return h.RawConn.Read(func(fd uintptr) bool { h.inside(); return f(fd) })
}

// A request canceled at the last moment before its bytes go out is not sent, and the
// connection serves the next.
func TestCanceledBeforeItsTurn(t *testing.T) {
	for name, hook := range map[string]func(h *turnHook, cancel func()){
		"before": func(h *turnHook, cancel func()) { h.before = cancel },
		"inside": func(h *turnHook, cancel func()) { h.inside = cancel },
	} {
		t.Run(name, func(t *testing.T) {
			d := dialUp(t, "tcp", nil)
			d.exchange("/warm", answer("/warm"), "/warm")
			wrote := d.c.Stats()
			h := &turnHook{d.c.sock, func() {}, func() {}}
			ctx, cancel := context.WithCancel(context.Background())
			hook(h, func() {
				cancel()
				d.settle(func() bool { d.c.mu.Lock(); defer d.c.mu.Unlock(); return d.c.queue.head == nil })
			})
			real := d.c.sock
			d.c.sock = h
			err := d.c.Do(ctx, get("/a"), &Response{})
			d.c.sock = real
			wantError(t, err, Canceled, SentNothing)
			if s := d.c.Stats(); s.BytesWritten != wrote.BytesWritten || s.Requests != wrote.Requests {
				t.Errorf("%+v, before %+v", s, wrote)
			}
			d.c.mu.Lock()
			if d.c.owing || d.c.writing || d.c.pending() {
				t.Errorf("owing %v, writing %v, pending %v", d.c.owing, d.c.writing, d.c.pending())
			}
			d.c.mu.Unlock()
			d.exchange("/b", answer("/b"), "/b")
		})
	}
}

// fakeSocket is a stream that says of itself that there is a socket under it.
type fakeSocket struct {
	io.ReadWriteCloser
	raw func() (syscall.RawConn, error)
}

func (s fakeSocket) SyscallConn() (syscall.RawConn, error) { return s.raw() }

// A stream that only has a socket's SyscallConn is probed like the socket. One whose
// descriptor cannot be had, or is no socket, is used without.
func TestStreamWithDescriptor(t *testing.T) {
	client, server := ends(t, "tcp")
	c := NewConn(fakeSocket{client, client.(syscall.Conn).SyscallConn}, nil)
	defer c.Close()
	if err := c.Probe(); err != nil {
		t.Fatal(err)
	}
	server.Close()
	for end := time.Now().Add(5 * time.Second); c.Probe() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the end of the socket is not seen")
		}
	}
	wantError(t, c.Do(context.Background(), get("/a"), &Response{}), Closed, SentNothing)
	if n := c.Stats().BytesWritten; n != 0 {
		t.Errorf("%d bytes were written", n)
	}

	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for name, raw := range map[string]func() (syscall.RawConn, error){
		"no descriptor": func() (syscall.RawConn, error) { return nil, errors.New("none today") },
		"no socket":     file.SyscallConn,
	} {
		c := NewConn(fakeSocket{newMirror(echo), raw}, nil)
		defer c.Close()
		for range 2 {
			if body, err := fetch(c, get("/a")); body != "/a" || err != nil {
				t.Errorf("%s: %q, %v", name, body, err)
			}
		}
		if err := c.Probe(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// layerWithout is a layer over a socket that has no deadlines.
type layerWithout struct {
	io.ReadWriteCloser
	under net.Conn
}

func (l layerWithout) NetConn() net.Conn { return l.under }

// What one turn of the socket is about to write counts once as unwritten, and then not; of
// what it has written in part, the rest.
func TestUnwrittenInATurn(t *testing.T) {
	for name, req := range map[string]*Request{
		"head": get("/a"),
		"body": {Method: "PUT", Host: "x", Body: bytes.NewReader(make([]byte, 20_000))},
	} {
		for _, left := range []int{0, 10} {
			t.Run(fmt.Sprint(name, left), func(t *testing.T) { unwrittenInATurn(t, req, left) })
		}
	}
}

// unwrittenInATurn has all but so many bytes written.
func unwrittenInATurn(t *testing.T, req *Request, left int) {
	c := dialUp(t, "tcp", nil).c
	c.mu.Lock()
	defer c.mu.Unlock()
	tell := func(when string, want int) {
		c.mu.Unlock()
		defer c.mu.Lock()
		if n := c.Stats().Unwritten; n != int64(want) {
			t.Errorf("%s: %d, want %d", when, n, want)
		}
	}
	var q asked
	if err := req.check(&q); err != nil {
		t.Fatal(err)
	}
	e := c.newExchange(context.Background(), req, &q)
	e.once = true
	if err := c.start(e); err != nil || !c.owing {
		t.Fatal(err, c.owing)
	}
	tell("appended", int(c.appended()))
	head, body := c.takeOwed(e)
	all := len(head) + len(body)
	tell("taken", all)
	if c.paidOwed(e, all-left) != (left == 0) {
		t.Errorf("%d bytes are left, and paidOwed says otherwise", left)
	}
	tell("written", left)
}

// frail is a layer whose first failed read, be it for a deadline, is its last: as that of
// a WebSocket.
type frail struct {
	net.Conn
	bad error
}

func (f *frail) NetConn() net.Conn { return f.Conn }

func (f *frail) Read(p []byte) (n int, err error) {
	if f.bad == nil {
		n, f.bad = f.Conn.Read(p)
	}
	return n, f.bad
}

// Below a second layer no socket is looked for: to look through both could end the first.
func TestTwoLayers(t *testing.T) {
	client, server := ends(t, "tls")
	client = &frail{Conn: secure(t, client, server)}
	d := &dialed{t, NewConn(client, nil), client, server, bufio.NewReader(server)}
	defer d.c.Close()
	for range 3 {
		d.exchange("/a", answer("a"), "a")
	}
}

// Through a layer without deadlines nothing can be read without waiting: bytes under it
// that may be the layer's own end nothing, the socket's end does.
func TestLayerWithoutDeadlines(t *testing.T) {
	client, server := ends(t, "tcp")
	d := &dialed{T: t, c: NewConn(layerWithout{newMirror(echo), client}, nil), client: client, server: server}
	defer d.c.Close()
	d.say("a ticket")
	for range 2 {
		if body, err := fetch(d.c, get("/a")); body != "/a" || err != nil {
			t.Fatal(body, err)
		}
	}
	if err := d.c.Probe(); err != nil {
		t.Error(err)
	}
	client.Read(make([]byte, 100))
	server.Close()
	d.settle(d.readable)
	wantError(t, d.c.Probe(), Closed, SentNothing)
}

// A limited reader over a file that is shorter than its limit is left where it is, and the
// body fails.
func TestFileShorterThanItsLimit(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, make([]byte, 10*byHand), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	d := dialUp(t, "tcp", nil)
	go io.Copy(io.Discard, d.server)
	body := &io.LimitedReader{R: file, N: 15 * byHand}
	err = d.c.Do(context.Background(), &Request{Method: "PUT", Host: "x", Body: body, ContentLength: 15 * byHand}, &Response{})
	wantError(t, err, BodyFailed, SentPart)
	if !errors.Is(err, errShort) || body.N != 5*byHand {
		t.Errorf("%v; %d bytes are left of the limit, want %d", err, body.N, 5*byHand)
	}
}

// Whether to look at once for a response goes by what the last looks have found: a server
// that is always that fast is always looked for, and one that never is costs few looks.
func TestHaste(t *testing.T) {
	looks := func(h *haste, turns int, found bool) (n int) {
		for range turns {
			if h.looks() {
				n++
				h.learn(found)
			}
		}
		return n
	}
	h := &haste{}
	if n := looks(h, 10*lookAgain, false); n != 10 {
		t.Errorf("%d vain looks in %d turns", n, 10*lookAgain)
	}
	if n := looks(h, 10*lookAgain, true); n != 9*lookAgain+1 {
		t.Errorf("%d looks that find something, in %d turns", n, 10*lookAgain)
	}
	if n := looks(h, lookAgain, false); n != mostVain {
		t.Errorf("%d vain looks after good ones", n)
	}
}

// A response is read whole whether it is there at once or comes later.
func TestHasteOnSocket(t *testing.T) {
	c := NewConn(dialServer(t, echo), nil)
	defer c.Close()
	for i := range 300 {
		c.haste = haste{vain: int8(i % 2), passed: 0}
		var resp Response
		target := fmt.Sprint("/", i)
		if err := c.Do(context.Background(), get(target), &resp); err != nil {
			t.Fatal(err)
		}
		if body, err := resp.AppendBody(nil, -1); string(body) != target || err != nil {
			t.Fatalf("%q, %v", body, err)
		}
	}
}

// What a socket says is told as package net tells it, by a turn, by a read and by a write.
func TestSocketErrors(t *testing.T) {
	for _, depth := range []int{1, 2} { // a turn; a write and a read
		t.Run(fmt.Sprint("read ", depth), func(t *testing.T) {
			d := dialUp(t, "tcp", &Config{Depth: depth})
			go func() {
				d.head()
				abort(d.server)
			}()
			wantOpError(t, d.c.Do(context.Background(), get("/a"), &Response{}), SentAll, "read", syscall.ECONNRESET)
		})
	}
	t.Run("write", func(t *testing.T) {
		d := dialUp(t, "tcp", nil)
		x, err := d.c.Send(context.Background(), &Request{Method: "POST", Host: "x", Push: true, ContentLength: -1})
		if err != nil {
			t.Fatal(err)
		}
		d.head()
		abort(d.server)
		d.settle(d.readable) // which takes the reset's own error
		_, err = x.Write(make([]byte, 100))
		wantOpError(t, err, SentPart, "write", syscall.EPIPE)
		if op := err.(*Error).Op; op != "write body" {
			t.Errorf("it is told of %q", op)
		}
	})
	t.Run("refused", func(t *testing.T) { // by deadlines that are the caller's own
		d := dialUp(t, "tcp", &Config{Depth: 2})
		d.client.SetReadDeadline(longAgo)
		wantOpError(t, d.c.Do(context.Background(), get("/a"), &Response{}), SentAll, "read", os.ErrDeadlineExceeded)
		d = dialUp(t, "tcp", nil)
		d.client.SetReadDeadline(longAgo)
		wantOpError(t, d.c.Do(context.Background(), get("/a"), &Response{}), SentNothing, "read", os.ErrDeadlineExceeded)
		d = dialUp(t, "tcp", nil)
		d.client.SetWriteDeadline(longAgo)
		_, err := d.c.Send(context.Background(), get("/a"))
		wantOpError(t, err, SentNothing, "write", os.ErrDeadlineExceeded)
		if op := err.(*Error).Op; op != "write head" {
			t.Errorf("it is told of %q", op)
		}
	})
}

// byItself runs the test again in a process of its own, which has one P, and reports
// whether this is that process. Where nothing runs there any more, not even a timer, it is
// killed.
func byItself(t *testing.T, arg string) (string, bool) {
	const name = "H1_TEST_ALONE"
	if got := os.Getenv(name); got != "" {
		return got, true
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	again := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$")
	again.Env = append(os.Environ(), name+"="+arg, "GOMAXPROCS=1")
	if out, err := again.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return "", false
}

// A goroutine that computes after an exchange is interrupted for others, even if the
// process was idle before and makes no system calls but the engine's: the runtime's monitor
// has to hear of those.
func TestOthersRunAfterDo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(nc)
			for {
				if _, err := http.ReadRequest(in); err != nil {
					break
				}
				time.Sleep(20 * time.Millisecond) // the monitor sleeps by then
				io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")
			}
		}
	}()
	server, is := byItself(t, l.Addr().String())
	if !is {
		return
	}
	for _, depth := range []int{1, 2} {
		nc, err := net.Dial("tcp", server)
		if err != nil {
			t.Fatal(err)
		}
		c := NewConn(nc, &Config{Depth: depth})
		for range 5 {
			var resp Response
			if err := c.Do(context.Background(), get("/a"), &resp); err != nil {
				t.Fatal(err)
			}
			if body, err := resp.AppendBody(nil, -1); string(body) != "body" || err != nil {
				t.Fatalf("%q, %v", body, err)
			}
			var ran atomic.Bool
			go ran.Store(true)
			for !ran.Load() {
			}
		}
		c.Close()
	}
}

// A socket that the caller has made blocking, as File().Fd() does, stops nothing but who
// reads it.
func TestBlockingSocket(t *testing.T) {
	if _, is := byItself(t, "blocking"); !is {
		return
	}
	for _, depth := range []int{1, 2} {
		d := dialUp(t, "tcp", &Config{Depth: depth})
		file, err := d.client.(*net.TCPConn).File()
		if err != nil {
			t.Fatal(err)
		}
		file.Fd()
		file.Close()
		d.c.haste.vain = mostVain // a turn looks at once
		d.exchange("/a", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", "body")
		d.client.(*net.TCPConn).SetWriteBuffer(4 << 10)
		d.server.(*net.TCPConn).SetReadBuffer(4 << 10)
		x, err := d.c.Send(context.Background(), &Request{Method: "PUT", Host: "x", Push: true, ContentLength: 4 << 20})
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan int64)
		go func() {
			d.head()
			time.Sleep(20 * time.Millisecond) // the socket is full by then
			n, _ := io.CopyN(io.Discard, d.in, 4<<20)
			read <- n
		}()
		for range 4 << 10 {
			if _, err := x.Write(make([]byte, 1<<10)); err != nil {
				t.Fatal(err)
			}
		}
		if n := <-read; n != 4<<20 {
			t.Errorf("%d bytes", n)
		}
	}
}

func wantOpError(t *testing.T, err error, sent Sent, op string, cause error) {
	t.Helper()
	kind := IO
	if cause == os.ErrDeadlineExceeded {
		kind = Timeout
	}
	wantError(t, err, kind, sent)
	var in *net.OpError
	if !errors.As(err, &in) {
		t.Fatalf("%v holds no net.OpError", err)
	}
	if in.Op != op || in.Net != "tcp" || in.Source == nil || in.Addr == nil || !errors.Is(err, cause) {
		t.Errorf("%v: op %q, net %q, address %v; want %s: %v", err, in.Op, in.Net, in.Addr, op, cause)
	}
	if _, isSystems := cause.(syscall.Errno); isSystems {
		cause = os.NewSyscallError(op, cause)
	}
	if in.Err.Error() != cause.Error() {
		t.Errorf("%v holds %q, want %q", err, in.Err, cause)
	}
}

// However long a head, a body and a buffer are, no byte is lost.
func TestLongOnSocket(t *testing.T) {
	long, body := strings.Repeat("0123456789abcdef", mostAtOnce/4), bytes.Repeat([]byte("body"), mostAtOnce/4)
	answer := bytes.Repeat([]byte("answer.."), 1<<17)
	for _, cfg := range []Config{
		{ReadBuffer: 1 << 20},
		{ReadBuffer: 1 << 20, Depth: 2},
		{ReadBuffer: 1 << classes, WriteBuffer: 1 << classes}, // the smallest that are not shared
	} {
		d := dialUp(t, "tcp", &cfg)
		go func() {
			defer d.server.Close()
			for range 2 {
				req, err := http.ReadRequest(d.in)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := io.ReadAll(req.Body); !bytes.Equal(got, body) || err != nil || req.Header.Get("Long") != long {
					t.Errorf("%d bytes of body, %v; %d of head", len(got), err, len(req.Header.Get("Long")))
				}
				fmt.Fprintf(d.server, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
			}
		}()
		for range 2 {
			req := &Request{Method: "PUT", Host: "x", Body: bytes.NewReader(body), ContentLength: int64(len(body))}
			req.Header.Add("Long", long)
			var resp Response
			if err := d.c.Do(context.Background(), req, &resp); err != nil {
				t.Fatal(err)
			}
			if got, err := resp.AppendBody(nil, -1); !bytes.Equal(got, answer) || err != nil {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
		}
	}
}

// lateToLeave is a socket whose wait to be readable ends only when it is let.
type lateToLeave struct {
	*net.UnixConn
	let chan struct{}
}

type lateRaw struct {
	syscall.RawConn
	let chan struct{}
}

func (s lateToLeave) SyscallConn() (syscall.RawConn, error) {
	raw, err := s.UnixConn.SyscallConn()
	return lateRaw{raw, s.let}, err
}

func (r lateRaw) Read(f func(uintptr) bool) error {
	err := r.RawConn.Read(f)
	<-r.let
	return err
}

// While Detach waits for a Watch to leave the socket, the state says as little as Err that
// a request may be sent.
func TestStateWhileDetachWaits(t *testing.T) {
	client, _ := ends(t, "unix")
	let := make(chan struct{})
	d := &dialed{T: t, c: NewConn(lateToLeave{client.(*net.UnixConn), let}, nil)}
	defer d.c.Close()
	watched := d.watch(context.Background())
	d.parked()
	over := make(chan error)
	go func() { _, err := d.c.Detach(); over <- err }()
	d.settle(func() bool { return d.c.Err() != nil })
	if st := d.c.State(); st.Idle() || st.Reusable() {
		t.Errorf("Err %v, State %v", d.c.Err(), st)
	}
	close(let)
	if err := <-over; err != nil {
		t.Error(err)
	}
	<-watched
}
