package h1

// length_test.go: a body that is longer than its ContentLength, and the last bytes of a
// file.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"testing"
	"testing/synctest"
)

// One more is asked for of a body, however many are read at once.
func TestBodyOfWholeBuffersIsTooLong(t *testing.T) {
	for _, n := range []int64{pumpBuffer - 1, pumpBuffer, pumpBuffer + 1, 2 * pumpBuffer, 3 * pumpBuffer} {
		for excess := range int64(2) {
			inBubble(t, Config{}, false, func(r *rig) {
				body := struct{ io.Reader }{bytes.NewReader(make([]byte, n+excess))}
				a := r.begin(context.Background(), &Request{Method: "PUT", Target: "/a", Host: "x", Body: body, ContentLength: n})
				r.await(a)
				for range 4 {
					r.s.receive(1 << 20)
					synctest.Wait()
				}
				if excess > 0 {
					if !errors.Is(a.err, BodyFailed) || r.c.Err() == nil {
						t.Errorf("%d bytes and one: %v; the connection: %v", n, a.err, r.c.Err())
					}
					return
				}
				r.serve("/a")
				r.got(a, "/a")
				r.alive()
			})
		}
	}
}

// A file is to be as long as it was said to be, whatever moves it.
func TestFileIsTooLong(t *testing.T) {
	for _, size := range []int64{byHand / 2, uploadSize - 1} {
		inBubble(t, Config{}, false, func(r *rig) {
			req := uploadWays["file"].req(t)
			req.ContentLength = size
			r.c = NewConn(&lateReturn{r.s, "none", nil}, nil)
			r.c.kind = direct
			a := r.begin(context.Background(), req)
			r.await(a)
			synctest.Wait()
			if !errors.Is(a.err, BodyFailed) || r.c.Err() == nil {
				t.Errorf("%d of %d bytes: %v; the connection: %v", size, uploadSize, a.err, r.c.Err())
			}
		})
	}
}

// A file that has ended with its connection is not read any more, and a small one goes out
// with its head.
func TestFileByHand(t *testing.T) {
	least := int32(math.MaxInt32) // for a read of the file may take long enough that the head goes first
	for range 50 {
		inBubble(t, Config{}, false, func(r *rig) {
			s := &lateReturn{r.s, "END", make(chan struct{})}
			close(s.gate)
			req := uploadWays["file"].req(t)
			file := req.Body.(*os.File)
			file.Seek(-100, io.SeekEnd)
			req.ContentLength = 100
			before := r.s.writes.Load()
			r.uploaded(s, direct, req, "")
			least = min(least, r.s.writes.Load()-before)
			r.alive()
			r.c.Close()
		})
	}
	if least != 1 {
		t.Errorf("a small file takes %d writes", least)
	}
	inBubble(t, Config{}, false, func(r *rig) {
		s := &lateReturn{r.s, "x", make(chan struct{})} // the kernel's piece is the file's beginning
		req := uploadWays["file"].req(t)
		r.c = NewConn(s, nil)
		r.c.kind = direct
		k := r.begin(context.Background(), req)
		r.await(k)
		r.c.Close()
		close(s.gate)
		r.failed(k, Closed, SentPart)
		if at, err := req.Body.(*os.File).Seek(0, io.SeekCurrent); at != uploadSize-byHand || err != nil {
			t.Errorf("read up to %d, %v", at, err)
		}
	})
}

// What stands behind a body that comes from a socket is another message's, and left there.
func TestSocketBodyIsReadExactly(t *testing.T) {
	for _, size := range []int{byHand / 2, uploadSize} {
		client, server := tcpPair(t)
		from, feed := tcpPair(t)
		feed.Write(append(make([]byte, size), "behind"...))
		got := make(chan int64, 1)
		go func() {
			head := fmt.Sprintf("PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size)
			n, _ := io.CopyN(io.Discard, server, int64(len(head)+size))
			io.WriteString(server, answer("/a"))
			got <- n - int64(len(head))
		}()
		c := NewConn(client, nil)
		defer c.Close()
		hangs("a body from a socket", func() {
			var resp Response
			if err := c.Do(context.Background(), &Request{Method: "PUT", Target: "/a", Host: "x", Body: from, ContentLength: int64(size)}, &resp); err != nil {
				t.Fatal(err)
			}
			if n := <-got; n != int64(size) {
				t.Errorf("the server got %d of %d bytes", n, size)
			}
			rest := make([]byte, len("behind"))
			if _, err := io.ReadFull(from, rest); string(rest) != "behind" || err != nil {
				t.Errorf("%q, %v", rest, err)
			}
		})
	}
}
