package h1

// splice_test.go: a body on its way from one socket to another inside the kernel, and which
// of the two is at fault when that fails.
//
// Rule: the sockets are real, for no other stream is spliced; nothing sleeps for luck.
// Not here: that it is spliced at all (early_tcp_test.go).

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const spliceBody = 2 * tcpBody

// splicing asks for a response of that framing, whose body is still to be read.
func splicing(t *testing.T, client *net.TCPConn, deadline time.Time, framing string) (*Conn, *Response) {
	t.Helper()
	c := NewConn(client, nil)
	t.Cleanup(func() { c.Close() })
	resp := &Response{}
	req := faultNext.req(faultNone)
	req.Deadline = deadline
	if err := c.Do(context.Background(), req, resp); err != nil {
		t.Fatalf("%q: %v", framing, err)
	}
	return c, resp
}

// spliceFramings are those of which a body is spliced.
var spliceFramings = []string{fmt.Sprintf("Content-Length: %d\r\n", spliceBody), ""}

// TestSpliceSourceResets: a stream that is reset while its body is moved by the kernel
// fails as it would have failed a Read.
func TestSpliceSourceResets(t *testing.T) {
	for _, framing := range spliceFramings {
		client, server := tcpPair(t)
		out, sink := tcpPair(t)
		arrived := make(chan struct{})
		go func() {
			io.ReadFull(server, make([]byte, len(faultNext.request)))
			io.WriteString(server, "HTTP/1.1 200 OK\r\n"+framing+"\r\n")
			server.Write(tcpBytes())
			<-arrived
			abort(server)
		}()
		go func() {
			io.ReadFull(sink, make([]byte, tcpBody))
			close(arrived)
			io.Copy(io.Discard, sink)
		}()
		c, resp := splicing(t, client, time.Time{}, framing)
		hangs(framing, func() {
			n, err := resp.Body.(io.WriterTo).WriteTo(out)
			wantError(t, err, IO, SentAll)
			if n != tcpBody || !isReset(err) {
				t.Errorf("%q: %d bytes, %v", framing, n, err)
			}
		})
		if c.Err() == nil || framing != "" && !errors.Is(c.Err(), IO) || !c.State().Closed() {
			t.Errorf("%q: the connection: %v, Err %v", framing, c.State(), c.Err())
		}
	}
}

// TestSpliceAfterAReset: where a write has learned of the reset, what looks like the
// stream's end is no end of a body (see TestUntilCloseAfterWriteFailed).
func TestSpliceAfterAReset(t *testing.T) {
	client, server := tcpPair(t)
	out, sink := tcpPair(t)
	go io.Copy(io.Discard, sink)
	c := NewConn(client, nil)
	defer c.Close()
	x, err := c.Send(context.Background(), &Request{Method: "POST", Host: "x", Push: true})
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(server, "HTTP/1.1 200 OK\r\n\r\n")
	var resp Response
	if err := x.Wait(context.Background(), &resp); err != nil {
		t.Fatal(err)
	}
	io.WriteString(server, "hello")
	abort(server)
	hangs("", func() {
		for err = nil; err == nil; {
			_, err = x.Write([]byte("more"))
		}
		if !isReset(err) {
			t.Skip("this system says of a reset: ", err)
		}
		n, err := resp.Body.(io.WriterTo).WriteTo(out)
		if wantError(t, err, Incomplete, SentPart); n != 5 {
			t.Errorf("%d bytes", n)
		}
	})
}

// Windows' errors for a connection that was reset, and for one that the system has aborted
// itself, which may be all that a write after a reset is told.
const (
	winReset   = syscall.Errno(10054)
	winAborted = syscall.Errno(10053)
)

// isReset reports whether an error says that the peer has reset the connection.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, winReset) || errors.Is(err, winAborted)
}

// means reports whether an error is want, in the words of whatever system this is.
func means(err, want error) bool {
	const winShutdown = syscall.Errno(10058)
	switch want {
	case syscall.ECONNRESET:
		return isReset(err)
	case syscall.EPIPE:
		return errors.Is(err, want) || errors.Is(err, winShutdown)
	}
	return errors.Is(err, want)
}

// TestSpliceWriterFails: an error of the writer's is the writer's own. How much of the body
// the kernel had taken for it by then is not known, so nobody reads on behind that. It may
// fail when the stream has nothing more to give, too.
func TestSpliceWriterFails(t *testing.T) {
	resets := func(_, sink *net.TCPConn) { abort(sink) }
	late := func(out, _ *net.TCPConn) { out.SetWriteDeadline(longAgo) }
	for _, framing := range spliceFramings {
		for _, k := range []struct {
			name string
			do   func(out, sink *net.TCPConn) // when some of the body has arrived
			want error
			sent int           // of the body
			by   time.Duration // Request.Deadline
		}{
			{"reset", resets, syscall.ECONNRESET, spliceBody, 0},
			{"reset when all is sent", resets, syscall.ECONNRESET, 1 << 20, 0},
			{"closed", func(out, _ *net.TCPConn) { out.Close() }, net.ErrClosed, spliceBody, 0},
			{"late", late, os.ErrDeadlineExceeded, spliceBody, 0},
			{"late, and there is a deadline", late, os.ErrDeadlineExceeded, spliceBody, time.Hour},
		} {
			name := fmt.Sprintf("%q, %s", framing, k.name)
			client, server := tcpPair(t)
			out, sink := tcpPair(t)
			go func() {
				tcpBig(server, framing, k.sent)
				server.CloseWrite()
			}()
			go func() {
				io.ReadFull(sink, make([]byte, tcpBuffer))
				k.do(out, sink)
			}()
			var by time.Time
			if k.by > 0 {
				by = time.Now().Add(k.by)
			}
			c, resp := splicing(t, client, by, framing)
			hangs(name, func() {
				_, err := resp.Body.(io.WriterTo).WriteTo(out)
				var ours *Error
				pipe := k.want == syscall.ECONNRESET && errors.Is(err, syscall.EPIPE) // the system says either of a reset
				if err == nil || errors.As(err, &ours) || !means(err, k.want) && !pipe {
					t.Errorf("%s: %v", name, err)
				}
				_, behind := resp.Body.Read(make([]byte, 1))
				wantError(t, behind, Closed, SentAll)
				if !errors.Is(behind, err) {
					t.Errorf("%s: a read behind %v fails with %v", name, err, behind)
				}
			})
			if !errors.Is(c.Err(), Closed) || errors.Is(c.Err(), k.want) || !c.State().Closed() {
				t.Errorf("%s: the connection: %v, Err %v", name, c.State(), c.Err())
			}
		}
	}
}

// TestSpliceDeadline: the exchange's own deadline ends it on this way as on any.
func TestSpliceDeadline(t *testing.T) {
	for _, framing := range spliceFramings {
		client, server := tcpPair(t)
		out, sink := tcpPair(t)
		go io.Copy(io.Discard, sink)
		go tcpBig(server, fmt.Sprintf("Content-Length: %d\r\n", spliceBody), tcpBody)
		c, resp := splicing(t, client, time.Now().Add(100*time.Millisecond), framing)
		hangs(framing, func() {
			_, err := resp.Body.(io.WriterTo).WriteTo(out)
			wantError(t, err, Timeout, SentAll)
		})
		if !errors.Is(c.Err(), Timeout) || !c.State().Closed() {
			t.Errorf("%q: the connection: %v, Err %v", framing, c.State(), c.Err())
		}
	}
}

// TestSpliceBehindDeadline: one that has passed before moves nothing.
func TestSpliceBehindDeadline(t *testing.T) {
	for _, framing := range spliceFramings {
		client, server := tcpPair(t)
		out, _ := tcpPair(t)
		go tcpBig(server, framing, 0)
		by := time.Now().Add(100 * time.Millisecond)
		_, resp := splicing(t, client, by, framing)
		time.Sleep(time.Until(by))
		hangs(framing, func() {
			n, err := resp.Body.(io.WriterTo).WriteTo(out)
			wantError(t, err, Timeout, SentAll)
			if n != 0 {
				t.Errorf("%q: %d bytes were moved", framing, n)
			}
		})
	}
}

// TestSpliceIsCounted: what the kernel moves is read, too.
func TestSpliceIsCounted(t *testing.T) {
	for _, framing := range spliceFramings {
		client, server := tcpPair(t)
		out, sink := tcpPair(t)
		go io.Copy(io.Discard, sink)
		go tcpBig(server, framing, spliceBody)
		c, resp := splicing(t, client, time.Time{}, framing)
		hangs(framing, func() {
			n, err := resp.Body.(io.WriterTo).WriteTo(out)
			head := len("HTTP/1.1 200 OK\r\n\r\n") + len(framing)
			if got := c.Stats().BytesRead; err != nil || n != spliceBody || got != int64(head+spliceBody) {
				t.Errorf("%q: %d bytes, %v, and %d were read", framing, n, err, got)
			}
		})
	}
}

// abort closes a connection with RST.
func abort(nc net.Conn) {
	nc.(*net.TCPConn).SetLinger(0)
	nc.Close()
}

// TestUploadSourceFails: a request's body that is a socket and fails is the body's failure,
// and not the stream's; nor is a failure of the stream, or of its time, the body's.
func TestUploadSourceFails(t *testing.T) {
	for _, k := range []struct {
		name  string
		after func(from, to, client net.Conn) // when some of the body has arrived
		limit bool
		by    time.Duration
		kind  Kind
		cause error
	}{
		{"reset", func(from, _, _ net.Conn) { abort(from) }, false, 0, BodyFailed, syscall.ECONNRESET},
		{"reset behind a limit", func(from, _, _ net.Conn) { abort(from) }, true, 0, BodyFailed, syscall.ECONNRESET},
		{"closed", func(_, to, _ net.Conn) { to.Close() }, false, 0, BodyFailed, net.ErrClosed},
		{"late", func(_, to, _ net.Conn) { to.SetReadDeadline(longAgo) }, false, 0, BodyFailed, os.ErrDeadlineExceeded},
		{"late, with a deadline", func(_, to, _ net.Conn) { to.SetReadDeadline(longAgo) }, false, time.Hour, BodyFailed, os.ErrDeadlineExceeded},
		{"short", func(from, _, _ net.Conn) { from.Close() }, false, 0, BodyFailed, errShort},
		{"deadline", func(_, _, _ net.Conn) {}, false, 100 * time.Millisecond, Timeout, nil},
		{"the stream is shut", func(_, _, client net.Conn) { client.(*net.TCPConn).CloseWrite() }, false, 0, IO, syscall.EPIPE},
	} {
		client, server := tcpPair(t)
		body, from := tcpPair(t)
		go func() {
			from.Write(tcpBytes()[:1<<20])
			if k.kind == IO { // or the kernel would wait for the body alone
				io.Copy(from, zeros{})
			}
		}()
		go func() {
			io.ReadFull(server, make([]byte, 1<<20))
			k.after(from, body, client)
			io.Copy(io.Discard, server)
		}()
		c := NewConn(client, nil)
		req := &Request{Method: "PUT", Host: "h", Body: body, ContentLength: 1 << 40}
		if k.limit {
			req.Body = io.LimitReader(body, 1<<41)
		}
		if k.by > 0 {
			req.Deadline = time.Now().Add(k.by)
		}
		hangs(k.name, func() {
			err := c.Do(context.Background(), req, &Response{})
			wantError(t, err, k.kind, SentPart)
			if k.cause != nil && !means(err, k.cause) {
				t.Errorf("%s: %v", k.name, err)
			}
		})
		if !c.State().Closed() || !errors.Is(c.Err(), k.kind) {
			t.Errorf("%s: the connection goes on: %v, %v", k.name, c.State(), c.Err())
		}
		c.Close()
	}
}

// TestFileLeftIsKnown: what the kernel was given of a file and has not moved yet is left,
// too: past MaxDrain it is not moved for nothing.
func TestFileLeftIsKnown(t *testing.T) {
	file, err := os.Open(tcpFile(t))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	client, server := tcpPair(t)
	c := NewConn(client, nil)
	defer c.Close()
	req := &Request{Method: "POST", Host: "h", Body: file, ContentLength: leastPiece + mostAtOnce}
	x, err := c.Send(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	begin := make([]byte, len(fmt.Sprintf("%sContent-Length: %d\r\n\r\n", tcpHead, req.ContentLength))+1)
	if _, err := io.ReadFull(server, begin); err != nil { // so that the kernel is at it
		t.Fatal(err)
	}
	if _, err := io.WriteString(server, "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	var resp Response
	if err := x.Wait(context.Background(), &resp); err != nil || resp.Status != 413 {
		t.Fatalf("got %d, %v", resp.Status, err)
	}
	if c.Err() == nil {
		t.Errorf("a mebibyte is moved for nothing: %v", c.State())
	}
}

// A spliceStuck is a body on its way to a socket from which nobody reads.
type spliceStuck struct {
	c      *Conn
	a      Exchange
	resp   Response
	out    *net.TCPConn
	copied chan error
}

// stickSplice returns one whose writer has stopped, with a request of b's behind it where
// depth allows that.
func stickSplice(t *testing.T, ctx context.Context, by time.Time, depth int) (s *spliceStuck, b Exchange) {
	t.Helper()
	client, server := tcpPair(t)
	out, _ := tcpPair(t)
	s = &spliceStuck{c: NewConn(client, &Config{Depth: depth}), out: out, copied: make(chan error, 1)}
	t.Cleanup(func() { s.c.Close() })
	s.c.spoken = true // a response has shown that the server pipelines
	var served atomic.Int64
	go func() {
		server.Read(make([]byte, 4096))
		fmt.Fprintf(server, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", int64(1)<<40)
		for {
			n, err := server.Write(tcpBytes()[:1<<20])
			if served.Add(int64(n)); err != nil {
				return
			}
		}
	}()
	send := func(ctx context.Context, req *Request) Exchange {
		x, err := s.c.Send(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	s.a = send(ctx, &Request{Target: "/a", Host: "x", Deadline: by})
	if depth > 1 {
		b = send(context.Background(), get("/b"))
	}
	if err := s.a.Wait(context.Background(), &s.resp); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := s.resp.Body.(io.WriterTo).WriteTo(out)
		s.copied <- err
	}()
	for before, same := int64(0), 0; same < 20; same++ { // where it goes on after all, less is tested
		time.Sleep(time.Millisecond)
		if now := served.Load(); now != before {
			before, same = now, 0
		}
	}
	return s, b
}

// TestSpliceIsLetGo: a move in the kernel that is stuck on its way out, and whose exchange
// has ended, does not keep those behind it, nor those in line, nor Shutdown.
func TestSpliceIsLetGo(t *testing.T) {
	for _, how := range []string{"Cancel", "context", "Deadline", "Body.Close"} {
		for _, who := range []string{"behind", "in line", "Shutdown", "Shutdown past a write's error"} {
			ctx, cancel := context.WithCancel(context.Background())
			var by time.Time
			if how == "Deadline" {
				by = time.Now().Add(200 * time.Millisecond)
			}
			depth := 1
			if who == "behind" {
				depth = 2
			}
			s, b := stickSplice(t, ctx, by, depth)
			if who == "Shutdown past a write's error" {
				s.c.mu.Lock()
				s.c.writeFailed(s.a.e, syscall.EPIPE)
				s.c.unlock()
			}
			ended := make(chan error, 1)
			go func() {
				switch who {
				case "behind":
					ended <- b.Wait(context.Background(), &Response{})
				case "in line":
					ended <- s.c.Do(context.Background(), get("/b"), &Response{})
				default:
					ended <- s.c.Shutdown(context.Background())
				}
			}()
			switch how {
			case "Cancel":
				s.a.Cancel()
			case "context":
				cancel()
			case "Body.Close":
				s.resp.Body.Close()
			}
			hangs(how+" "+who, func() {
				if err := <-ended; !strings.HasPrefix(who, "Shutdown") && !errors.Is(err, Closed) {
					t.Errorf("%s, %s: %v", how, who, err)
				}
			})
			_, err := s.resp.Body.Read(make([]byte, 1))
			if how == "Deadline" && !errors.Is(err, Timeout) {
				t.Errorf("%s, %s: a read says %v", how, who, err)
			}
			s.out.Close()
			hangs(how+" "+who+", WriteTo", func() {
				if err := <-s.copied; err == nil {
					t.Errorf("%s, %s: WriteTo has moved all", how, who)
				}
			})
			cancel()
		}
	}
}
