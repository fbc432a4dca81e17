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
// out. Where the machine was late, one try proves nothing: a write may have come too late.
func TestSplicePastAWriteError(t *testing.T) {
	for _, way := range []string{"hidden", "spliced", "spliced to who is slow"} {
		for try := 1; ; try++ {
			late := watchLate()
			err := splicePastAWriteError(t, way)
			by := late()
			if err == nil {
				break
			}
			if by < graceAfterWriteError/10 || try == 20 {
				t.Errorf("%s: %v; try %d, the machine was late by %v", way, err, try, by)
				break
			}
		}
	}
}

// watchLate watches how late the machine wakes a goroutine. The function that it returns
// ends that, and says it.
func watchLate() func() time.Duration {
	stop, most := make(chan struct{}), make(chan time.Duration)
	go func() {
		var late time.Duration
		for {
			began := time.Now()
			select {
			case <-time.After(time.Millisecond):
				late = max(late, time.Since(began))
			case <-stop:
				most <- max(late, time.Since(began))
				return
			}
		}
	}()
	return func() time.Duration {
		close(stop)
		return <-most
	}
}

func splicePastAWriteError(t *testing.T, way string) error {
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
		return fmt.Errorf("%d bytes, %v; the write's error: %v", n, err, c.werr)
	}
	return nil
}
