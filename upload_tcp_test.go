//go:build unix

package h1

// upload_tcp_test.go: a body from memory, written with its head by the turn of the socket
// that reads its response: all of it, part of it, none.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// narrowPair is tcpPair with sockets that hold a few kilobytes between them.
func narrowPair(t *testing.T) (client, server *net.TCPConn) {
	t.Helper()
	client, server = loopback(t, func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 2<<10)
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 2<<10)
		})
	})
	server.SetDeadline(time.Now().Add(tcpHang))
	return client, server
}

// took reads one request and returns its body.
func took(in *bufio.Reader) ([]byte, error) {
	req, err := http.ReadRequest(in)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(req.Body)
}

// A turn that finds the socket full has written nothing: the request goes out whole later.
func TestTurnOnFullSocket(t *testing.T) {
	client, server := narrowPair(t)
	filled := 0
	for n := 1; n > 0; filled += n { // the kernels may have found more room meanwhile
		client.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		n, _ = client.Write(make([]byte, 4<<10))
	}
	client.SetWriteDeadline(time.Time{})
	c := NewConn(client, nil)
	defer c.Close()
	served := make(chan string, 1)
	go func() {
		until(c, func() bool { return c.inWrite && !c.owing }) // behind the turn
		in := bufio.NewReader(server)
		in.Discard(filled)
		line, _ := in.ReadString('\n')
		io.WriteString(server, answer("/a"))
		served <- line
	}()
	hangs("Do", func() {
		if err := c.Do(context.Background(), get("/a"), &Response{}); err != nil {
			t.Error(err)
		}
		if line := <-served; line != "GET /a HTTP/1.1\r\n" {
			t.Errorf("the server received %q", line)
		}
	})
}

// post returns a POST of n bytes of the file that the other tests send.
func post(n int) *Request {
	return &Request{Method: "POST", Host: "x", Body: bytes.NewReader(tcpBytes()[:n])}
}

// Bodies arrive whole in order, whatever part of each the socket takes at once.
func TestMemoryBody(t *testing.T) {
	for name, pair := range map[string]func(*testing.T) (a, b *net.TCPConn){
		"wide": func(t *testing.T) (a, b *net.TCPConn) { return tcpPair(t) }, "narrow": narrowPair} {
		t.Run(name, func(t *testing.T) {
			client, server := pair(t)
			sizes := []int{1, 3 << 10, 4 << 10, 5 << 10, 40 << 10, 64 << 10, 64<<10 + 1, 200 << 10}
			served := make(chan error, 1)
			go func() {
				in := bufio.NewReader(server)
				for _, n := range sizes {
					body, err := took(in)
					if err == nil && !bytes.Equal(body, tcpBytes()[:n]) {
						err = errors.New("other bytes arrived")
					}
					if err == nil {
						_, err = io.WriteString(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					}
					if err != nil {
						served <- err
						server.Close()
						return
					}
				}
				served <- nil
			}()
			c := NewConn(client, nil)
			defer c.Close()
			var resp Response
			for _, n := range sizes {
				if err := c.Do(context.Background(), post(n), &resp); err != nil {
					t.Fatalf("%d bytes: %v; server: %v", n, err, <-served)
				}
				if _, err := resp.AppendBody(nil, -1); err != nil {
					t.Fatal(err)
				}
			}
			if err := <-served; err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A socket that takes nothing at once gets the request when it has room again.
func TestMemoryBodyFullSocket(t *testing.T) {
	client, server := narrowPair(t)
	client.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	before := 0
	for full := false; !full; {
		n, err := client.Write(make([]byte, 1<<20))
		before, full = before+n, err != nil
	}
	client.SetWriteDeadline(time.Time{})
	served := make(chan error, 1)
	go func() {
		in := bufio.NewReader(server)
		io.CopyN(io.Discard, in, int64(before))
		body, err := took(in)
		if err == nil && !bytes.Equal(body, tcpBytes()[:64<<10]) {
			err = errors.New("other bytes arrived")
		}
		io.WriteString(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		served <- err
	}()
	c := NewConn(client, nil)
	defer c.Close()
	var resp Response
	if err := c.Do(context.Background(), post(64<<10), &resp); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}

// A response that comes before the body was taken is delivered, and once the body is out
// the connection goes on.
func TestMemoryBodyAnsweredEarly(t *testing.T) {
	client, server := narrowPair(t)
	c := NewConn(client, nil)
	defer c.Close()
	in := bufio.NewReader(server)
	go func() {
		in.Peek(1)
		io.WriteString(server, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
	}()
	var resp Response
	if err := c.Do(context.Background(), post(64<<10), &resp); err != nil || resp.Status != 413 {
		t.Fatal(resp.Status, err)
	}
	next := make(chan error, 1)
	go func() {
		var resp Response
		next <- c.Do(context.Background(), get("/next"), &resp)
	}()
	if body, err := took(in); err != nil || !bytes.Equal(body, tcpBytes()[:64<<10]) {
		t.Fatal(len(body), err)
	}
	if _, err := took(in); err != nil {
		t.Fatal(err)
	}
	io.WriteString(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	if err := <-next; err != nil {
		t.Fatal(err)
	}
}

// A caller who gives up is let go while the socket holds a part of the body, and while it
// holds a part of a head.
func TestGiveUpHalfWritten(t *testing.T) {
	head := get("/")
	head.Header.Add("X-Long", string(bytes.Repeat([]byte("x"), 60<<10)))
	for name, req := range map[string]*Request{"body": post(64 << 10), "head": head} {
		t.Run(name, func(t *testing.T) {
			client, server := narrowPair(t)
			c := NewConn(client, nil)
			defer c.Close()
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				bufio.NewReader(server).Peek(1)
				cancel()
			}()
			hangs(name, func() {
				var resp Response
				err := c.Do(ctx, req, &resp)
				var bad *Error
				if !errors.As(err, &bad) || bad.Kind != Canceled || bad.Sent != SentPart {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

// The time for a response counts also where its request was written in two parts.
func TestHeadTimeoutAfterTwoParts(t *testing.T) {
	head := get("/")
	head.Header.Add("X-Long", string(bytes.Repeat([]byte("x"), 60<<10)))
	for name, req := range map[string]*Request{"body": post(64 << 10), "head": head} {
		t.Run(name, func(t *testing.T) {
			client, server := narrowPair(t)
			c := NewConn(client, &Config{HeadTimeout: 10 * time.Millisecond})
			defer c.Close()
			go took(bufio.NewReader(server))
			hangs(name, func() {
				var resp Response
				var bad *Error
				if err := c.Do(context.Background(), req, &resp); !errors.As(err, &bad) || bad.Kind != Timeout || bad.Sent != SentAll {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

// A request that finds its connection closed by the server leaves its body unread: it can
// be sent again elsewhere.
func TestMemoryBodyOfStaleConn(t *testing.T) {
	for _, n := range []int{5 << 10, 64 << 10} {
		client, server := tcpPair(t)
		c := NewConn(client, nil)
		server.Close()
		client.SetReadDeadline(time.Now().Add(tcpHang))
		awaitReadable(c.sock)
		client.SetReadDeadline(time.Time{})
		req := post(n)
		var resp Response
		var bad *Error
		if err := c.Do(context.Background(), req, &resp); !errors.As(err, &bad) || !bad.Unprocessed() {
			t.Errorf("%v", err)
		}
		if left := req.Body.(*bytes.Reader).Len(); left != n {
			t.Errorf("%d of %d bytes of the body are left", left, n)
		}
		c.Close()
	}
}

// A body that another request has read meanwhile, or that has grown, does not go out under
// the length it had when its request began to wait.
func TestMemoryBodyChanged(t *testing.T) {
	for name, change := range map[string]func(*bytes.Buffer){
		"shorter": func(b *bytes.Buffer) { b.Next(1) },
		"longer":  func(b *bytes.Buffer) { b.WriteByte('x') },
	} {
		t.Run(name, func(t *testing.T) {
			client, server := tcpPair(t)
			c := NewConn(client, nil)
			defer c.Close()
			x, err := c.Send(context.Background(), get("/"))
			if err != nil {
				t.Fatal(err)
			}
			body := bytes.NewBuffer(make([]byte, 20<<10))
			second := make(chan error, 1)
			go func() {
				var resp Response
				second <- c.Do(context.Background(), &Request{Method: "PUT", Host: "x", Body: body}, &resp)
			}()
			for waits := false; !waits; time.Sleep(time.Millisecond) {
				c.mu.Lock()
				if waits = c.line.head != nil; waits {
					change(body)
				}
				c.mu.Unlock()
			}
			io.WriteString(server, answer("/"))
			var resp Response
			if err := x.Wait(context.Background(), &resp); err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			hangs(name, func() {
				if err := <-second; !errors.Is(err, BodyFailed) {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

// The look at an idle connection is not left out where the request cannot be written by the
// same turn of the socket, since a write for one that was answered early is not over.
func TestGateWhileOthersWrite(t *testing.T) {
	client, server := tcpPair(t)
	c := NewConn(client, nil)
	defer c.Close()
	c.writing = true
	io.WriteString(server, "HT")
	client.SetReadDeadline(time.Now().Add(tcpHang))
	awaitReadable(c.sock)
	client.SetReadDeadline(time.Time{})
	hangs("gate", func() {
		var resp Response
		var bad *Error
		if err := c.Do(context.Background(), get("/"), &resp); !errors.As(err, &bad) || bad.Kind != Unsolicited || !bad.Unprocessed() {
			t.Errorf("%v", err)
		}
	})
}

// TestWriteHappensBefore: what the caller did before a request has happened for the server
// that reads it, as with any write to a net.Conn, also in the race detector's eyes.
func TestWriteHappensBefore(t *testing.T) {
	client, server := tcpPair(t)
	sent, seen := 0, make(chan int, 1)
	go func() {
		in := bufio.NewReader(server)
		for {
			if _, err := took(in); err != nil {
				return
			}
			seen <- sent
			io.WriteString(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	}()
	c := NewConn(client, nil)
	defer c.Close()
	var resp Response
	for _, n := range []int{10, 10 << 10, 10 << 10} { // in the buffer; by one writev
		sent++
		if err := c.Do(context.Background(), post(n), &resp); err != nil {
			t.Fatal(err)
		}
		if got := <-seen; got != sent {
			t.Errorf("the server saw %d, want %d", got, sent)
		}
	}
}

// A server that answers one request before it reads the next does not block a pipeline that
// is longer than the buffers between them: whoever is to read reads.
func TestPipelineBeyondBuffers(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // the requests of all are there when the first writes
	const callers = 32
	client, server := narrowPair(t)
	go func() {
		defer server.Close() // whoever is not answered in time fails, and does not hang
		in := bufio.NewReader(server)
		for {
			if _, err := took(in); err != nil {
				return
			}
			fmt.Fprintf(server, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", 1<<20, make([]byte, 1<<20))
		}
	}()
	c := NewConn(client, &Config{Depth: callers})
	defer c.Close()
	do := func() error {
		req := get("/x")
		req.Header.Add("Long", strings.Repeat("x", 8<<10))
		var resp Response
		if err := c.Do(context.Background(), req, &resp); err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if err == nil && n != 1<<20 {
			err = fmt.Errorf("%d bytes of body", n)
		}
		return err
	}
	if err := do(); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	for range callers {
		go func() { failed <- do() }()
	}
	for range callers {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

// A server that has not read the body is heard also with a body in a large write buffer, on
// sockets that hold less of it; so is one that has not read a long head.
func TestEarlyResponseOnNarrowSocket(t *testing.T) {
	for i := range 4 {
		once, head := i&1 > 0, i&2 > 0
		client, server := narrowPair(t)
		c := NewConn(client, &Config{WriteBuffer: 256 << 10})
		long := strings.Repeat("x", 200<<10)
		req := &Request{Method: "POST", Host: "x", Body: strings.NewReader(long)}
		if head {
			c = NewConn(client, nil)
			req = get("/" + long)
		}
		go func() {
			if head {
				io.ReadFull(server, make([]byte, 100))
			} else {
				readHead(server)
			}
			io.WriteString(server, "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		}()
		req.Deadline = time.Now().Add(tcpHang)
		var resp Response
		var err error
		if once {
			err = c.Do(context.Background(), req, &resp)
		} else if x, bad := c.Send(context.Background(), req); bad != nil {
			err = bad
		} else {
			err = x.Wait(context.Background(), &resp)
		}
		if err != nil || resp.Status != 413 {
			t.Errorf("once %v, head %v: got %d, %v", once, head, resp.Status, err)
		}
		c.Close()
	}
}

// TestUploadHappensBefore: what the caller did before a request happens before what a
// server in the same process does once it has read some of the body, and the race detector
// sees that.
func TestUploadHappensBefore(t *testing.T) {
	const part = 20 << 10 // more than the write buffer holds
	for _, length := range []int64{-1, 2 * part} {
		client, server := tcpPair(t)
		body, pieces := io.Pipe()
		note, seen, got := "", make(chan string, 1), make(chan string, 1)
		go func() {
			req, err := http.ReadRequest(bufio.NewReader(server))
			if err != nil {
				seen <- err.Error()
				return
			}
			seen <- note
			io.Copy(io.Discard, req.Body)
			io.WriteString(server, "HTTP/1.1 204 No Content\r\n\r\n")
		}()
		go func() {
			pieces.Write(make([]byte, part))
			got <- <-seen // nothing else is written before note was read
			pieces.Write(make([]byte, part))
			pieces.Close()
		}()
		note = "before the request"
		req := &Request{Method: "POST", Host: "x", Body: body, ContentLength: length}
		if err := NewConn(client, nil).Do(context.Background(), req, &Response{}); err != nil {
			t.Fatal(err)
		}
		if s := <-got; s != note {
			t.Errorf("the server read %q", s)
		}
	}
}

// TestFreshBehindALongBody: the response that came first is read though the socket takes
// only some of the request at once.
func TestFreshBehindALongBody(t *testing.T) {
	client, server := narrowPair(t)
	c := NewConn(client, &Config{Fresh: true})
	defer c.Close()
	d := &dialed{T: t, c: c, client: client, server: server}
	d.say(answer("busy"))
	var resp Response
	if err := c.Do(context.Background(), post(60<<10), &resp); err != nil {
		t.Fatal(err)
	}
	if b, err := resp.AppendBody(nil, -1); string(b) != "busy" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}
