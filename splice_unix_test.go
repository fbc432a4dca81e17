//go:build unix

package h1

// splice_unix_test.go: the same on Unix sockets, which say at once that nobody reads what
// is written.

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// A response goes on coming in after the write half has failed, even if the kernel moves
// it: the limit is for the time between two reads, not for all of them, nor for a slow way
// out.
func TestSplicePastAWriteError(t *testing.T) {
	for _, way := range []string{"hidden", "spliced", "spliced to who is slow"} {
		client, server := ends(t, "unix")
		c := NewConn(client, nil)
		defer c.Close()
		to, sink := ends(t, "tcp")
		size, between := 50000, graceAfterWriteError/10 // together more than that, each much less
		if way == "spliced to who is slow" {
			size, between = 1<<20, 0
		}
		go func() {
			if between == 0 {
				sink.Read(make([]byte, 1))
				time.Sleep(3 * (graceAfterWriteError + graceBeforeClose))
			}
			io.Copy(io.Discard, sink)
		}()
		body, more := io.Pipe()
		defer more.Close()
		const pieces = 20
		go func() {
			server.Read(make([]byte, 4096))
			fmt.Fprintf(server, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", pieces*size)
			until(c, func() bool { return c.inRead && c.queue.head.final })
			server.(*net.UnixConn).CloseRead()
			more.Write([]byte("more"))
			for range pieces {
				time.Sleep(between)
				server.Write(make([]byte, size))
			}
		}()
		var resp Response
		if err := c.Do(context.Background(), &Request{Method: "POST", Host: "x", Body: body}, &resp); err != nil {
			t.Fatal(err)
		}
		var w io.Writer = to
		if way == "hidden" {
			w = struct{ io.Writer }{to}
		}
		n, err := resp.Body.(io.WriterTo).WriteTo(w)
		if n != int64(pieces*size) || err != nil || c.werr == nil {
			t.Errorf("%s: %d bytes, %v; the write's error: %v", way, n, err, c.werr)
		}
	}
}
