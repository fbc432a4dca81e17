//go:build unix

package h1

// turn_test.go: requests that go out in one turn of the socket, or by the kernel's
// own way, keep what others keep.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// HeadTimeout begins when the head is out: in one turn of the socket, or in a turn and a
// write, in one piece of the write buffer.
func TestHeadTimeoutAfterATurn(t *testing.T) {
	long := get("/")
	long.Header.Add("X-Long", strings.Repeat("x", 60<<10))
	for name, req := range map[string]*Request{"short": get("/"), "long": long} {
		t.Run(name, func(t *testing.T) {
			client, server := narrowPair(t)
			c := NewConn(client, &Config{HeadTimeout: 10 * time.Millisecond, WriteBuffer: 64 << 10})
			defer c.Close()
			go took(bufio.NewReader(server))
			hangs(name, func() {
				wantError(t, c.Do(context.Background(), req, &Response{}), Timeout, SentAll)
			})
		})
	}
}

// A body that lies in memory, and would fit the socket, is held back by Expect like others.
func TestExpectHoldsBackMemory(t *testing.T) {
	client, server := tcpPair(t)
	c := NewConn(client, nil)
	defer c.Close()
	req := post(8 << 10)
	req.Header.Add("Expect", "100-continue")
	came := make(chan string, 1)
	go func() {
		in := make([]byte, 16<<10)
		n, _ := server.Read(in)
		io.WriteString(server, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
		rest, _ := io.ReadAll(server)
		came <- string(append(in[:n], rest...))
	}()
	hangs("Do", func() {
		var resp Response
		if err := c.Do(context.Background(), req, &resp); err != nil || resp.Status != 417 {
			t.Errorf("got %d, %v", resp.Status, err)
		}
		c.Close()
		if got := <-came; !strings.HasSuffix(got, "\r\n\r\n") {
			t.Errorf("the server received %d bytes", len(got))
		}
	})
}

// A chunked body that lies in memory, and is empty, is ended all the same.
func TestEmptyChunkedMemory(t *testing.T) {
	client, server := tcpPair(t)
	c := NewConn(client, nil)
	defer c.Close()
	req := &Request{Method: "PUT", Host: "x", Body: bytes.NewReader(nil)}
	req.Trailer.Add("T", "v")
	came := make(chan string, 1)
	go func() {
		req, err := http.ReadRequest(bufio.NewReader(server))
		if err == nil {
			_, err = io.ReadAll(req.Body)
		}
		if err != nil {
			came <- err.Error()
			return
		}
		io.WriteString(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		came <- req.Trailer.Get("T")
	}()
	hangs("Do", func() {
		if err := c.Do(context.Background(), req, &Response{}); err != nil {
			t.Error(err)
		}
		if got := <-came; got != "v" {
			t.Errorf("the server got %q for a trailer", got)
		}
	})
}

// A file behind a limit gives no more than that, even where its length was said to be more:
// the body is short then.
func TestFileBehindALimit(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	data := bytes.Repeat([]byte("x"), 100<<10)
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	client, server := tcpPair(t)
	c := NewConn(client, nil)
	defer c.Close()
	came := make(chan int, 1)
	go func() {
		all, _ := io.ReadAll(server)
		_, body, _ := bytes.Cut(all, []byte("\r\n\r\n"))
		came <- len(body)
	}()
	hangs("Do", func() {
		const limit, said = 30 << 10, 80 << 10
		err := c.Do(context.Background(), &Request{Method: "PUT", Host: "x", Body: io.LimitReader(f, limit), ContentLength: said}, &Response{})
		if wantError(t, err, BodyFailed, SentPart); !errors.Is(err, errShort) {
			t.Errorf("the cause is not that the body is short: %v", err)
		}
		if n := <-came; n > limit {
			t.Errorf("%d bytes arrived", n)
		}
	})
}

// A request whose Deadline passes just before its turn of the socket leaves no trace: the
// connection goes on, and holds no buffer.
func TestDeadlineBeforeTheTurn(t *testing.T) {
	for i := range 200 {
		client, server := tcpPair(t)
		c := NewConn(client, nil)
		req := get("/")
		req.Deadline = time.Now().Add(time.Duration(i/10) * time.Microsecond)
		var bad *Error
		if err := c.Do(context.Background(), req, &Response{}); !errors.As(err, &bad) || bad.Kind != Timeout {
			t.Fatal(err)
		}
		c.mu.Lock()
		if bad.Sent == SentNothing && (c.err != nil || c.br != nil || c.life.n != 0) {
			t.Fatalf("%v, and the connection: %v, Err %v, with a buffer: %v", bad, c.life, c.err, c.br != nil)
		}
		c.mu.Unlock()
		c.Close()
		client.Close()
		server.Close()
	}
}

// owed begins what Do does, up to where the read of the response is to write the request.
// mu is held then.
func (d *dialed) owed(req *Request) *exchange {
	d.Helper()
	var q asked
	if err := req.check(&q); err != nil {
		d.Fatal(err)
	}
	d.c.mu.Lock()
	e := d.c.newExchange(context.Background(), req, &q)
	e.once = true
	if err := d.c.start(e); err != nil || !d.c.owing {
		d.Fatal(err, d.c.owing)
	}
	return e
}

// The same, where it passes behind all that looks at it before the read.
func TestDeadlineInItsTurn(t *testing.T) {
	d := dialUp(t, "tcp", nil)
	e := d.owed(get("/"))
	e.by, d.c.timed = time.Now(), true
	err := d.c.receive(e, &Response{})
	d.c.unlock()
	wantError(t, err, Timeout, SentNothing)
	d.exchange("/b", answer("/b"), "/b")
}

// Who is ended before its turn, or by the write of what that has left, does not go on to
// read.
func TestEndedAroundTheTurn(t *testing.T) {
	d := dialUp(t, "tcp", nil)
	e := d.owed(get("/canceled"))
	d.c.cancel(e, newError(Canceled, "test", nil))
	d.c.unlock()
	wantError(t, d.c.payOwed(e), Canceled, SentNothing)

	e = d.owed(get("/late"))
	d.c.takeOwed(e)
	d.c.paidOwed(e, 5)
	e.by = time.Now()
	d.c.unlock()
	wantError(t, d.c.payOwed(e), Timeout, SentPart)
}

// The read behind a turn whose rest could not be written has its limit, as behind any write
// that failed: a unix socket that the server reads no more does not end it.
func TestGraceAfterATurn(t *testing.T) {
	d := dialUp(t, "unix", nil)
	e := d.owed(get("/a"))
	d.c.reader, e.inUse = e, true
	d.c.takeOwed(e)
	d.c.paidOwed(e, 5)
	d.c.unlock()
	d.server.(*net.UnixConn).CloseRead()
	if err := d.c.payOwed(e); err != nil {
		t.Fatal(err)
	}
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	if d.c.werr == nil || d.c.readBy.IsZero() {
		t.Errorf("the write's error is %v, the read's deadline %v", d.c.werr, d.c.readBy)
	}
}

// A body in memory that would go out in one turn of the socket is not read where the look
// finds the connection dead: the request may be sent again as it is.
func TestIdleEndLeavesTheBody(t *testing.T) {
	if !canWritev {
		t.Skip("needs writev: Linux")
	}
	for _, size := range []int{5, 10000} {
		for name, body := range map[string]interface {
			io.Reader
			Len() int
		}{"Reader": bytes.NewReader(make([]byte, size)), "Buffer": bytes.NewBuffer(make([]byte, size))} {
			d := dialUp(t, "tcp", nil)
			d.exchange("/a", answer("/a"), "/a")
			d.server.Close()
			d.settle(d.readable)
			err := d.c.Do(context.Background(), &Request{Method: "POST", Host: "x", Body: body}, &Response{})
			wantError(t, err, Closed, SentNothing)
			if body.Len() != size {
				t.Errorf("%s: %d of %d bytes are left", name, body.Len(), size)
			}
		}
	}
}

// What one turn leaves of a body that fits the write buffer goes out like a head: by its
// caller, who has its memory back by then, and with nothing left to give up.
func TestSmallBodyCutInATurn(t *testing.T) {
	if !canWritev {
		t.Skip("needs writev: Linux")
	}
	text := bytes.Repeat([]byte("a"), 1000)
	for _, left := range []int{1, 500, 1000, 1020, -1} {
		d := dialUp(t, "tcp", nil)
		c, memory := d.c, bytes.Clone(text)
		e := d.owed(&Request{Method: "POST", Host: "x", Body: bytes.NewReader(memory)})
		head, body := c.takeOwed(e)
		all := string(head) + string(body)
		if left < 0 { // all of it
			left = len(all)
		}
		c.paidOwed(e, len(all)-left)
		c.mu.Unlock()
		if err := c.payOwed(e); err != nil {
			t.Fatal(err)
		}
		clear(memory)
		if c.upload != nil || e.end < 0 || c.written != e.end {
			t.Errorf("%d bytes left: %v, written %d, up to %d", left, c.life, c.written, e.end)
		}
		got := make([]byte, left)
		if _, err := io.ReadFull(d.in, got); err != nil || string(got) != all[len(all)-left:] {
			t.Errorf("%d bytes left: %.60q, %v", left, got, err)
		}
		c.Close()
	}
}

// What it leaves of a longer one is not copied.
func TestLongBodyCutInATurn(t *testing.T) {
	if !canWritev {
		t.Skip("needs writev: Linux")
	}
	d := dialUp(t, "tcp", nil)
	text := strings.Repeat("a", mostAtOnce/2) + strings.Repeat("b", mostAtOnce/2)
	e := d.owed(&Request{Method: "POST", Host: "x", Body: bytes.NewReader([]byte(text))})
	head, body := d.c.takeOwed(e)
	d.c.paidOwed(e, len(head)+100)
	d.c.mu.Unlock()
	if err := d.c.payOwed(e); err != nil {
		t.Fatal(err)
	}
	d.c.mu.Lock()
	if whole := e.up.whole; len(whole) == 0 || &whole[0] != &body[100] {
		t.Error("it was copied")
	}
	d.c.mu.Unlock()
	got := make([]byte, len(text)-100)
	if _, err := io.ReadFull(d.in, got); err != nil || string(got) != text[100:] {
		t.Errorf("%.60q, %v", got, err)
	}
}

// A request that ends while its bytes are on their way in one turn may have gone out: it is
// not said that the server has certainly not acted on it.
func TestCanceledInATurnsWrite(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("nobody comes while a system call is short")
	}
	for range 100 {
		client, server := tcpPair(t)
		c := NewConn(client, nil)
		go func() {
			took(bufio.NewReader(server))
			io.WriteString(server, answer("late"))
		}()
		var reached, done atomic.Bool
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for !reached.Load() && !done.Load() {
				c.mu.Lock()
				if e := c.queue.head; e != nil && c.owing && c.taken > c.written {
					reached.Store(true)
					c.cancel(e, newError(Canceled, e.op(), errors.New("at the worst moment")))
				}
				c.unlock()
			}
		}()
		hangs("Do", func() {
			err := c.Do(context.Background(), post(mostAtOnce), &Response{})
			if reached.Load() {
				wantError(t, err, Canceled, SentPart)
			}
		})
		done.Store(true)
		<-ended
		c.Close()
		server.Close()
		if reached.Load() {
			return
		}
	}
	t.Skip("nobody came at the worst moment")
}
