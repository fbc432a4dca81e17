package h1

// goodbye_test.go: streams whose Close has something to say, or to wait for.

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// goodbye is a stream whose Close writes a last frame before it closes what is below: as
// that of a WebSocket.
type goodbye struct{ net.Conn }

func (g goodbye) Close() error {
	_, err := io.WriteString(g.Conn, "BYE")
	return errors.Join(err, g.Conn.Close())
}

// A call that the end of the connection ends is a read, or a write: what the stream's Close
// has to write is not cut off with the read, nor by the deadline of a write before it.
func TestCloseAfterReadWrites(t *testing.T) {
	for name, end := range map[string]func(c *Conn, cancel func()) error{
		"Close":   func(c *Conn, cancel func()) error { return c.Close() },
		"context": func(c *Conn, cancel func()) error { cancel(); return nil },
	} {
		for _, stall := range []time.Duration{0, time.Second} {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				c := NewConn(goodbye{client}, &Config{StallTimeout: stall})
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				got := make(chan string, 1)
				go func() {
					all, _ := io.ReadAll(server)
					got <- string(all)
				}()
				go c.Do(ctx, get("/a"), new(Response))
				for range 3 {
					time.Sleep(stall * 3 / 4)
					io.WriteString(server, "HTTP/1.1 103 Early Hints\r\n\r\n")
				}
				synctest.Wait() // Do is in its read
				if err := end(c, cancel); err != nil {
					t.Errorf("%s, StallTimeout %v: %v", name, stall, err)
				}
				if s := <-got; !strings.HasSuffix(s, "BYE") {
					t.Errorf("%s, StallTimeout %v: the server received %q", name, stall, s)
				}
			})
		}
	}
}

// Nor is it cut off with a write that the server has read and answered, and that is yet to
// return.
func TestCloseAfterAnsweredWrite(t *testing.T) {
	for name, of := range map[string]struct {
		length int64 // 0: the body is sent chunked
		says   string
	}{
		"chunked":         {0, "Connection: close\r\n"},
		"length":          {20_000, "Connection: close\r\n"},
		"chunked, closed": {0, ""},
		"length, closed":  {20_000, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			c := NewConn(goodbye{lateWrites{client, time.Millisecond}}, nil)
			got := answersOnce(t, server, of.says)
			body := io.LimitReader(zeros{}, max(of.length, 5))
			post := &Request{Method: "POST", Host: "x", Body: body, ContentLength: of.length}
			if body, err := fetch(c, post); body != "ok" || err != nil {
				t.Error(name, body, err)
			}
			if err := c.Close(); err != nil {
				t.Errorf("%s: Close: %v", name, err)
			}
			if s := <-got; s != "BYE" {
				t.Errorf("%s: the server received %q behind the request", name, s)
			}
		})
	}
}

// answersOnce answers one request, with fields among others, and then tells what else the
// server receives.
func answersOnce(t *testing.T, server net.Conn, fields string) (rest chan string) {
	rest = make(chan string, 1)
	go func() {
		br := bufio.NewReader(server)
		req, err := http.ReadRequest(br)
		if err != nil {
			t.Error(err)
			return
		}
		io.Copy(io.Discard, req.Body)
		io.WriteString(server, "HTTP/1.1 200 OK\r\n"+fields+"Content-Length: 2\r\n\r\nok")
		all, _ := io.ReadAll(br)
		rest <- string(all)
	}()
	return rest
}

// A deadline that was for an exchange does not limit what Close has to write.
func TestCloseAfterDeadline(t *testing.T) {
	for name, cfg := range map[string]Config{"Deadline": {}, "StallTimeout": {StallTimeout: time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			c := NewConn(goodbye{client}, &cfg)
			got := answersOnce(t, server, "")
			req := get("/")
			if cfg.StallTimeout == 0 {
				req.Deadline = time.Now().Add(time.Second)
			}
			if body, err := fetch(c, req); body != "ok" || err != nil {
				t.Error(name, body, err)
			}
			time.Sleep(2 * time.Second)
			if err := c.Close(); err != nil {
				t.Errorf("%s: Close: %v", name, err)
			}
			if s := <-got; s != "BYE" {
				t.Errorf("%s: the server received %q behind the request", name, s)
			}
		})
	}
}

// goodbyeSocket is goodbye on a socket that it shows.
type goodbyeSocket struct{ *net.TCPConn }

func (g goodbyeSocket) Close() error { return goodbye{g.TCPConn}.Close() }

// Nor where somebody watches the idle connection.
func TestCloseAfterDeadlineWatched(t *testing.T) {
	client, server := tcpPair(t)
	defer server.Close()
	c := NewConn(goodbyeSocket{client}, nil)
	got := answersOnce(t, server, "")
	const due = 100 * time.Millisecond
	req := get("/")
	req.Deadline = time.Now().Add(due)
	if body, err := fetch(c, req); body != "ok" || err != nil {
		t.Fatal(body, err)
	}
	var watch sync.WaitGroup
	watch.Go(func() { c.Watch(context.Background()) })
	until(c, c.watched)
	time.Sleep(due)
	if err := c.Close(); err != nil {
		t.Error("Close:", err)
	}
	if s := <-got; s != "BYE" {
		t.Errorf("the server received %q behind the request", s)
	}
	watch.Wait()
}

// hasty is a stream whose Close writes a last frame, for which it has a deadline of its
// own: as that of a WebSocket.
type hasty struct{ net.Conn }

const hastyTime = 50 * time.Millisecond

func (h hasty) Close() error {
	h.SetWriteDeadline(time.Now().Add(hastyTime))
	io.WriteString(h.Conn, "BYE")
	return h.Conn.Close()
}

// orderly is hasty, and writes one frame at a time.
type orderly struct {
	hasty
	turn chan struct{} // holds one while a frame is written
}

func (o orderly) Write(p []byte) (int, error) {
	o.turn <- struct{}{}
	defer func() { <-o.turn }()
	return o.hasty.Write(p)
}

func (o orderly) Close() error {
	o.turn <- struct{}{}
	defer func() { <-o.turn }()
	return o.hasty.Close()
}

// The engine leaves the deadline alone that the stream's Close has set.
func TestCloseKeepsItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer server.Close() // it reads nothing
		c := NewConn(over{hasty{client}}, nil)
		go c.Do(context.Background(), &Request{Method: "PUT", Host: "x", Body: zeros{}}, new(Response))
		synctest.Wait() // it is in its write
		began := time.Now()
		if c.Close(); time.Since(began) != hastyTime {
			t.Errorf("Close took %v", time.Since(began))
		}
	})
}

// A server that says close refuses a long head before it has read it, and reads no more:
// the response is delivered, though the stream's Close waits for the write of that head.
func TestCloseBehindRefusedHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer server.Close()
		c := NewConn(orderly{hasty{client}, make(chan struct{}, 1)}, nil)
		go says431(server)
		began := time.Now()
		body, err := fetch(c, longHead())
		if took := time.Since(began); body != "ok" || err != nil || took > graceBeforeClose+hastyTime {
			t.Error(body, err, took)
		}
	})
}

// courteous is a stream whose Close says goodbye, and waits for the peer's.
type courteous struct {
	net.Conn
	said chan error
}

func (c courteous) Close() error {
	_, err := io.WriteString(c.Conn, "BYE")
	if err == nil {
		_, err = io.ReadFull(c.Conn, make([]byte, 3))
	}
	c.said <- err
	return errors.Join(err, c.Conn.Close())
}

// partsLate answers one request, says close, and takes its time to read a goodbye, and to
// say one.
func partsLate(server net.Conn, reads, says time.Duration) {
	br := bufio.NewReader(server)
	if req, err := http.ReadRequest(br); err == nil {
		io.Copy(io.Discard, req.Body)
	}
	io.WriteString(server, "HTTP/1.1 200 OK\r\n"+closing)
	time.Sleep(reads)
	io.ReadFull(br, make([]byte, 3))
	time.Sleep(says)
	io.WriteString(server, "BYE")
	server.Close()
}

// It has its time for that, also behind an answered write that is yet to return.
func TestCloseHasItsTime(t *testing.T) {
	for name, of := range map[string]struct {
		layer func(net.Conn) net.Conn
		due   time.Duration // the request's Deadline
	}{
		"plain":             {func(c net.Conn) net.Conn { return c }, 0},
		"layered":           {func(c net.Conn) net.Conn { return over{c} }, 0},
		"behind a Deadline": {func(c net.Conn) net.Conn { return c }, 2 * graceBeforeClose},
	} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			stream := courteous{lateWrites{client, time.Millisecond}, make(chan error, 1)}
			c := NewConn(of.layer(stream), nil)
			reads := 3 * graceBeforeClose
			if of.due > 0 { // it would limit what Close writes, too
				reads = 0
			}
			go partsLate(server, reads, 3*graceBeforeClose)
			post := &Request{Method: "POST", Host: "x", Body: io.LimitReader(zeros{}, 5)}
			if of.due > 0 {
				post.Deadline = time.Now().Add(of.due)
			}
			if body, err := fetch(c, post); body != "ok" || err != nil {
				t.Error(name, body, err)
			}
			if err := <-stream.said; err != nil {
				t.Errorf("%s: the goodbye: %v", name, err)
			}
		})
	}
}

// closesBehindPush returns once the stream's Close has begun, behind a response to a pushed
// request whose last write is yet to return, and what is still under way then.
func closesBehindPush(t *testing.T, ctx context.Context, c *Conn) *sync.WaitGroup {
	t.Helper()
	x, err := c.Send(ctx, &Request{Method: "PUT", Host: "x", Push: true})
	if err != nil {
		t.Fatal(err)
	}
	var others sync.WaitGroup
	others.Go(func() { x.CloseWrite() })
	others.Go(func() { fetchRest(context.Background(), x, nil) })
	until(c, func() bool { return c.end.closing })
	return &others
}

// Its goodbye is not cut off by the context of a request that was answered, whose last
// write is yet to return.
func TestCloseAfterCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		stream := courteous{lateWrites{client, graceBeforeClose / 2}, make(chan error, 1)}
		c := NewConn(stream, nil)
		go partsLate(server, graceBeforeClose/4, 0)
		ctx, cancel := context.WithCancel(context.Background())
		others := closesBehindPush(t, ctx, c)
		cancel()
		if err := <-stream.said; err != nil {
			t.Errorf("the goodbye: %v", err)
		}
		others.Wait()
	})
}

// lingers is a stream whose Close waits for the peer's goodbye, in vain, and that sets no
// deadline meanwhile. Its writes return late.
type lingers struct {
	lateWrites
	mu   *sync.Mutex   // held by Close, and while a deadline is set
	may  chan struct{} // closed: Close has waited for long enough
	over *atomic.Bool  // Close is about to return
}

func (l lingers) SetReadDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Conn.SetReadDeadline(t)
}

func (l lingers) SetWriteDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Conn.SetWriteDeadline(t)
}

func (l lingers) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.may:
	case <-time.After(tcpHang):
	}
	l.over.Store(true)
	return l.Conn.Close()
}

// All but Close go on while the stream's Close is under way.
func TestOthersGoOnWhileClosing(t *testing.T) {
	client, server := net.Pipe()
	stream := lingers{lateWrites{client, 4 * graceBeforeClose}, new(sync.Mutex), make(chan struct{}), new(atomic.Bool)}
	c := NewConn(stream, nil)
	answersOnce(t, server, "Connection: close\r\n")
	his, end := context.WithCancel(context.Background())
	others := closesBehindPush(t, his, c)
	end()
	time.Sleep(2 * graceBeforeClose)
	ctx, cancel := context.WithTimeout(context.Background(), graceBeforeClose)
	defer cancel()
	if err := c.Shutdown(ctx); err == nil || stream.over.Load() {
		t.Errorf("Shutdown, whose context was over: %v, behind Close: %v", err, stream.over.Load())
	}
	if c.State(); stream.over.Load() {
		t.Error("State has waited for Close")
	}
	close(stream.may)
	others.Wait()
}

// answersLastChunk answers a request without a body once its last chunk has begun, and
// reads no more.
func answersLastChunk(from io.Reader, to io.Writer, response string) {
	b := make([]byte, 1<<10)
	from.Read(b) // the head
	io.ReadFull(from, b[:1])
	io.WriteString(to, response)
}

// While Close is under way, a Deadline still ends CloseWrite's own write, and a context
// after the time that Close waits for that write.
func TestCloseWriteInTime(t *testing.T) {
	const inTime = 20 * time.Millisecond
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"endless": func(c net.Conn) net.Conn { return newEndless(c) },
		"orderly": func(c net.Conn) net.Conn { return orderly{hasty{c}, make(chan struct{}, 1)} },
	} {
		for _, deadline := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				defer server.Close()
				defer client.Close()
				c := NewConn(wrap(client), nil)
				go answersLastChunk(server, server, "HTTP/1.1 200 OK\r\n"+closing)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				req := &Request{Method: "PUT", Host: "x", Push: true}
				began := time.Now()
				if deadline {
					req.Deadline = began.Add(inTime)
				} else {
					time.AfterFunc(inTime, cancel)
				}
				x, err := c.Send(ctx, req)
				if err != nil {
					t.Fatal(err)
				}
				took := make(chan time.Duration, 1)
				go func() {
					x.CloseWrite()
					took <- time.Since(began)
				}()
				if s, err := fetchRest(context.Background(), x, nil); s != "ok" || err != nil {
					t.Error(s, err)
				}
				if d := <-took; d > graceBeforeClose || deadline && d > inTime {
					t.Errorf("%s, Deadline %v: CloseWrite returned after %v", name, deadline, d)
				}
			})
		}
	}
}

// apart is a stream that is read from a socket, and written to a pipe.
type apart struct {
	*net.TCPConn
	orderly // the pipe
}

func (a apart) Read(p []byte) (int, error)         { return a.TCPConn.Read(p) }
func (a apart) Write(p []byte) (int, error)        { return a.orderly.Write(p) }
func (a apart) SetReadDeadline(t time.Time) error  { return a.TCPConn.SetReadDeadline(t) }
func (a apart) SetWriteDeadline(t time.Time) error { return a.orderly.SetWriteDeadline(t) }

func (a apart) SetDeadline(t time.Time) error {
	return errors.Join(a.TCPConn.SetDeadline(t), a.orderly.SetDeadline(t))
}

func (a apart) Close() error { return errors.Join(a.orderly.Close(), a.TCPConn.Close()) }

// So does a Deadline where somebody watches the connection: its write is under way still.
func TestCloseWriteInTimeWatched(t *testing.T) {
	client, server := tcpPair(t)
	defer server.Close()
	pipe, far := net.Pipe()
	defer far.Close()
	c := NewConn(apart{client, orderly{hasty{pipe}, make(chan struct{}, 1)}}, nil)
	go answersLastChunk(far, server, answer("/"))
	x, err := c.Send(context.Background(), &Request{Method: "PUT", Host: "x", Push: true,
		Deadline: time.Now().Add(3 * graceBeforeClose)})
	if err != nil {
		t.Fatal(err)
	}
	var others sync.WaitGroup
	others.Go(func() { x.CloseWrite() })
	if s, err := fetchRest(context.Background(), x, nil); s != "/" || err != nil {
		t.Error(s, err)
	}
	others.Go(func() { c.Watch(context.Background()) })
	until(c, c.watched)
	c.mu.Lock()
	c.goes()
	c.beginClose().Stop()
	if !c.inWrite || !c.hasWriteBy {
		t.Errorf("in a write %v, which has a deadline %v", c.inWrite, c.hasWriteBy)
	}
	c.watch.kick(c)
	c.mu.Unlock()
	c.closeStream()
	others.Wait()
}

// lateWrites is a stream whose Write returns a while after its bytes were read.
type lateWrites struct {
	net.Conn
	by time.Duration
}

func (l lateWrites) Write(p []byte) (int, error) {
	n, err := l.Conn.Write(p)
	time.Sleep(l.by)
	return n, err
}

// failsToClose is a stream whose Close fails.
type failsToClose struct {
	net.Conn
	with error
}

func (f failsToClose) Close() error {
	f.Conn.Close()
	return f.with
}

// Close returns the error of the stream's Close, or of what was closed below it, once.
func TestCloseReturnsTheStreamsError(t *testing.T) {
	for name, end := range map[string]func(*Conn) error{
		"idle": (*Conn).Close,
		"in flight": func(c *Conn) error {
			go c.Do(context.Background(), get("/a"), new(Response))
			synctest.Wait()
			return c.Close()
		},
	} {
		for _, layered := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				defer server.Close()
				bad := errors.New("it fails")
				var stream net.Conn = failsToClose{client, bad}
				if layered {
					stream = over{stream}
				}
				c := NewConn(stream, nil)
				if err := end(c); err != bad {
					t.Errorf("%s, layered %v: %v", name, layered, err)
				}
				if err := c.Close(); err != nil {
					t.Errorf("%s, layered %v, again: %v", name, layered, err)
				}
			})
		}
	}
}
