//go:build unix

package h1

// ended_test.go: what is left of exchanges once they are over, and of a stream that was
// cut off.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A body that goes on until the stream's end is whole "unless an error was indicated by
// the underlying connection" (RFC 9112, section 8). A socket tells of a reset once, here
// to the upload's write; the read behind finds what looks like the end.
func TestResetIsNoEnd(t *testing.T) {
	for _, how := range []string{"Read", "WriteTo", "WriteTo a socket"} {
		for name, wrap := range map[string]func(*net.TCPConn) io.ReadWriteCloser{
			"TCP":               func(nc *net.TCPConn) io.ReadWriteCloser { return nc },
			"without deadlines": func(nc *net.TCPConn) io.ReadWriteCloser { return wirePlain{nc} },
		} {
			t.Run(how+", "+name, func(t *testing.T) {
				client, server := tcpPair(t)
				c := NewConn(wrap(client), nil)
				defer c.Close()
				resp := halfAnswered(t, c, server)
				server.SetLinger(0) // the server's process dies, say, before the second half
				server.Close()
				until(c, func() bool { return c.werr != nil })
				if !isReset(c.werr.Err) {
					t.Skipf("this system tells the write of %v", c.werr.Err)
				}
				var got bytes.Buffer
				var err error
				switch how {
				case "Read":
					_, err = got.ReadFrom(resp.Body)
				case "WriteTo":
					_, err = resp.Body.(io.WriterTo).WriteTo(&got)
				default:
					to, end := tcpPair(t)
					go io.Copy(io.Discard, end)
					_, err = resp.Body.(io.WriterTo).WriteTo(to)
				}
				if err == nil {
					t.Errorf("%q is no whole body", got.String())
				}
			})
		}
	}
}

// halfAnswered begins an upload on c that the server answers with half of a body that goes
// on until the end.
func halfAnswered(t *testing.T, c *Conn, server net.Conn) *Response {
	go func() {
		in := bufio.NewReaderSize(server, 16)
		for line := ""; line != "\r\n"; line, _ = in.ReadString('\n') {
		}
		io.WriteString(server, "HTTP/1.1 413 Too Large\r\n\r\nfirst half, ")
	}()
	resp := &Response{}
	req := &Request{Method: "POST", Host: "x", Body: bytes.NewReader(make([]byte, 64<<20))}
	if err := c.Do(context.Background(), req, resp); err != nil {
		t.Fatal(err)
	}
	return resp
}

// So it is where the write was told before the read, and returns after it.
func TestResetIsNoEndYet(t *testing.T) {
	client, server := tcpPair(t)
	s := &slowToTell{TCPConn: client, told: make(chan struct{})}
	c := NewConn(s, nil)
	defer c.Close()
	resp := halfAnswered(t, c, server)
	s.late.Store(true)
	time.AfterFunc(10*time.Millisecond, func() {
		server.SetLinger(0)
		server.Close()
	})
	b, err := resp.AppendBody(nil, -1)
	switch {
	case !isReset(s.err):
		t.Skipf("this system tells the write of %v", s.err)
	case err == nil:
		t.Errorf("%q is no whole body", b)
	case !isReset(err):
		t.Errorf("%v", err)
	}
}

// slowToTell has a Write that returns late where it fails, and once late is set Reads that
// begin when it has failed.
type slowToTell struct {
	*net.TCPConn
	late atomic.Bool
	told chan struct{}
	err  error // of the Write; told says when
}

func (s *slowToTell) Write(p []byte) (int, error) {
	n, err := s.TCPConn.Write(p)
	if err != nil {
		s.err = err
		close(s.told)
		time.Sleep(20 * time.Millisecond)
	}
	return n, err
}

func (s *slowToTell) Read(p []byte) (int, error) {
	if s.late.Load() {
		<-s.told
	}
	return s.TCPConn.Read(p)
}

// A connection that is idle, or has ended, holds no exchange and no buffer.
func TestHoldsNothing(t *testing.T) {
	serve := func(nc net.Conn) {
		in := bufio.NewReader(nc)
		for {
			r, err := http.ReadRequest(in)
			if err != nil || r.URL.Path == "/end" {
				nc.Close()
				return
			}
			io.Copy(io.Discard, r.Body)
			switch r.URL.Path {
			case "/silent":
			case "/long":
				io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbody")
			default:
				io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")
			}
		}
	}
	for name, use := range map[string]func(t *testing.T, c *Conn){
		"idle": func(t *testing.T, c *Conn) { fetch(c, get("/")) },
		"idle, after one that was given up": func(t *testing.T, c *Conn) {
			fetch(c, get("/"))
			x, err := c.Send(context.Background(), get("/a"))
			if err != nil {
				t.Fatal(err)
			}
			y, err := c.Send(context.Background(), get("/b"))
			if err != nil {
				t.Fatal(err)
			}
			until(c, func() bool { return c.written == c.appended() })
			x.Cancel()
			fetchRest(context.Background(), y, nil)
			if !c.State().Idle() {
				t.Fatal(c.State())
			}
		},
		"ended by the server": func(t *testing.T, c *Conn) { fetch(c, get("/end")) },
		"ended while idle": func(t *testing.T, c *Conn) {
			fetch(c, get("/"))
			client := c.rw.(*net.TCPConn)
			client.CloseWrite() // the server's answer to that is the end
			until(c, func() bool { _, _, err := peek(c.sock); return err != nil })
			if err := c.Do(context.Background(), get("/"), &Response{}); err == nil {
				t.Error("it was answered")
			}
		},
		"ended by a context": func(t *testing.T, c *Conn) {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
			defer cancel()
			c.Do(ctx, &Request{Method: "POST", Target: "/silent", Host: "x", Body: strings.NewReader(strings.Repeat("x", 1<<20))}, &Response{})
		},
		"closed with a body half read": func(t *testing.T, c *Conn) {
			var resp Response
			if err := c.Do(context.Background(), get("/"), &resp); err != nil {
				t.Fatal(err)
			}
			resp.Body.Read(make([]byte, 1))
			c.Close()
		},
		"ended by the Close of a body that is too long": func(t *testing.T, c *Conn) {
			var resp Response
			if err := c.Do(context.Background(), get("/long"), &resp); err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		},
		"ended by a body that panics": func(t *testing.T, c *Conn) {
			defer func() { recover() }()
			c.Send(context.Background(), &Request{Method: "POST", Host: "x",
				Body: &slowText{strings.NewReader("body"), func() { panic("in Read") }}})
		},
		"closed during a read": func(t *testing.T, c *Conn) {
			defer time.AfterFunc(5*time.Millisecond, func() { c.Close() }).Stop()
			c.Do(context.Background(), get("/silent"), &Response{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := tcpPair(t)
			go serve(server)
			depth := 4
			if name == "ended while idle" {
				depth = 1
			}
			c := NewConn(client, &Config{Depth: depth})
			defer c.Close()
			use(t, c)
			hangs(name, func() {
				until(c, func() bool { return !c.writing }) // a write may have to return yet
			})
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.reader != nil || c.writer != nil || c.upload != nil || c.br != nil || c.wbuf != nil || c.spare != nil {
				t.Errorf("%v: reader %p, writer %p, upload %p, br %p, wbuf %p, spare %p",
					c.life, c.reader, c.writer, c.upload, c.br, c.wbuf, c.spare)
			}
		})
	}
}

// What is left to write of a request that is over finds no room, however little it is:
// TrySend leaves it to another.
func TestTrySendLeavesTheRest(t *testing.T) {
	for _, rest := range []int{8 << 10, 12 << 20} {
		t.Run(fmt.Sprint(rest), func(t *testing.T) {
			due := 200 * time.Millisecond
			for !trySendBehind(t, rest, due) { // the machine was too busy
				due *= 2
			}
		})
	}
}

// unixRoom returns how much a unix socket takes that nobody reads.
func unixRoom(t *testing.T) (room int) {
	probe, _ := ends(t, "unix")
	for room == 0 { // until the machine is not too busy
		probe.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		room, _ = probe.Write(make([]byte, 16<<20))
	}
	return room
}

// A long head that was answered before the socket had taken its end does not keep its
// answer, however little of it is left.
func TestHeadAnsweredInFullSocket(t *testing.T) {
	room := unixRoom(t)
	for size := room - 2<<10; size < room+8<<10; size += 1 << 10 {
		client, server := ends(t, "unix")
		go func() {
			server.Read(make([]byte, 10))
			io.WriteString(server, answer("/"))
		}()
		c := NewConn(client, nil)
		req := get("/")
		req.Header.Add("Long", strings.Repeat("x", size))
		req.Deadline = time.Now().Add(tcpHang / 4)
		if err := c.Do(context.Background(), req, new(Response)); err != nil {
			t.Fatalf("a head of some %d, where the socket takes %d: %v", size, room, err)
		}
		c.Close()
	}
}

// The caller writes a head only if that, and whatever else is yet to be written, fits the
// write buffer: the rest of a long head does not, nor does a short one behind the rest of a
// request that was answered.
func TestLoneHead(t *testing.T) {
	const buffer = 4 << 10
	for name, of := range map[string]struct {
		start, taken, end int64 // of the head, what a writer has had, and all that was appended
		lone              bool
	}{
		"a head":                 {100, 100, 200, true},
		"the rest of one":        {100, 150, 200, true},
		"a long one":             {100, 100, 200 + buffer, false},
		"the rest of a long one": {100, 150 + buffer, 200 + buffer, false},
		"behind a little":        {100, 90, 200, true},
		"behind much":            {100 + buffer, 100, 200 + buffer, false},
	} {
		c := NewConn(struct{ io.ReadWriteCloser }{}, &Config{WriteBuffer: buffer})
		e := &exchange{start: of.start}
		c.queue.push(e)
		c.taken, c.wbuf = of.taken, &block{b: make([]byte, of.end-of.taken)}
		if got := c.loneHead(e); got != of.lone {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// trySendBehind is for a rest of so many bytes and what the socket has rounded off. It
// reports whether another request was in line when the one before it was over its time.
func trySendBehind(t *testing.T, rest int, due time.Duration) bool {
	room := unixRoom(t)
	client, server := ends(t, "unix")
	c := NewConn(client, &Config{Depth: 4, WriteBuffer: 16 << 20})
	defer c.Close()
	go func() {
		b := make([]byte, 1000)
		server.Read(b)
		io.WriteString(server, answer("/warm"))
		server.Read(b[:10])
		io.WriteString(server, answer("/x")) // and reads no more
	}()
	if got, err := fetch(c, get("/warm")); err != nil || got != "/warm" {
		t.Fatal(got, err)
	}
	x, err := c.Send(context.Background(), &Request{Method: "PUT", Target: "/x", Host: "x",
		Body: strings.NewReader(strings.Repeat("x", room+rest)), Deadline: time.Now().Add(due)})
	got := ""
	if err == nil {
		got, err = fetchRest(context.Background(), x, nil)
	}
	switch {
	case errors.Is(err, Timeout):
		return false
	case err != nil || got != "/x":
		t.Fatal(got, err)
	}
	go c.Send(context.Background(), posting("/inline"))
	until(c, func() bool { return c.line.head != nil })
	c.mu.Lock()
	c.flushing = true // the goroutine that would write the rest comes late
	c.mu.Unlock()
	late := false // the request in line has come after the deadline, and writes the rest itself
	until(c, func() bool {
		late = c.inWrite && c.writer == c.line.head
		return late || !c.writing && c.pending()
	})
	if late {
		return false
	}
	hangs("TrySend", func() {
		_, err := c.TrySend(context.Background(), posting("/k"))
		wantError(t, err, NotReady, SentNothing)
	})
	return true
}

// The stream's end that came with a response's last bytes is known before the next request
// goes out.
func TestEndIsKnownBeforeTheNext(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		ctx := context.Background()
		a, err := r.c.Send(ctx, get("/a"))
		if err != nil {
			t.Fatal(err)
		}
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
		var resp Response
		if err := a.Wait(ctx, &resp); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // for the goroutine that would have written /a
		r.took()
		r.c.mu.Lock()
		r.c.flushing = true // the goroutine that would write comes late
		r.c.mu.Unlock()
		b, err := r.c.Send(ctx, get("/b"))
		if err != nil {
			t.Fatal(err)
		}
		r.s.fail(io.EOF)
		r.raw("/a")
		if got, err := resp.AppendBody(nil, -1); err != nil || string(got) != "/a" {
			t.Fatal(string(got), err)
		}
		wantError(t, b.Wait(ctx, &resp), Closed, SentNothing)
		if out := r.took(); out != "" {
			t.Errorf("%q went out", out)
		}
	})
}
