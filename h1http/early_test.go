package h1http

// early_test.go: answers that come before their request is written.

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

	"example.com/h1"
)

// A connection whose server has answered a long head early, and reads no more of it, serves
// no other request.
func TestHeadAnsweredBeforeItsEnd(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	addr := rawServer(t, func(nc net.Conn, br *bufio.Reader, n int) {
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		long := strings.Contains(line, "/long")
		for !long && line != "\r\n" {
			if line, err = br.ReadString('\n'); err != nil {
				return
			}
		}
		io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		if long {
			<-hang
		}
	})
	withBoth(t, nil, func(t *testing.T, rt anyTransport) {
		for _, method := range []string{"GET", "POST"} {
			req := newRequest(t, method, addr+"/long", strings.NewReader("a body")) // GET may have one, too
			req.Header.Set("Long", strings.Repeat("x", 16<<20))
			do(t, rt, req)
			within(t, "a request behind a head that nobody reads", func() { do(t, rt, newRequest(t, "GET", addr, nil)) })
		}
		req := newRequest(t, "GET", addr+"/long", nil)
		req.Header.Set("Long", strings.Repeat("x", 16<<20))
		do(t, rt, req)
		within(t, "a request behind a head that nobody reads", func() { do(t, rt, newRequest(t, "GET", addr, nil)) })
	})
}

// Nor does a Conn: it has ended then.
func TestConnWithUnreadHead(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	addr := rawServer(t, func(nc net.Conn, br *bufio.Reader, n int) {
		br.ReadString('\n')
		io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		<-hang
	})
	nc, err := net.Dial("tcp", strings.TrimPrefix(addr, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	c := NewConn(nc, nil)
	defer c.Close()
	req := newRequest(t, "GET", addr, nil)
	req.Header.Set("Long", strings.Repeat("x", 16<<20))
	do(t, c, req)
	within(t, "a request behind a head that nobody reads", func() {
		_, err := c.RoundTrip(newRequest(t, "GET", addr, nil))
		var e *h1.Error
		if !errors.As(err, &e) || e.Kind != h1.Closed || !e.Unprocessed() || !strings.Contains(e.Error(), "half written") {
			t.Errorf("it got %v", err)
		}
	})
	if err := c.Err(); !errors.Is(err, h1.Closed) || c.Available() != 0 {
		t.Errorf("Err is %v, Available %d", err, c.Available())
	}
}

// answersEarly is a stream whose server answers the first bytes of a request. A write of
// more than 10 KiB takes a while.
type answersEarly struct {
	io.ReadCloser
	answer io.Writer
	once   sync.Once
}

func (s *answersEarly) Write(p []byte) (int, error) {
	s.once.Do(func() { go io.WriteString(s.answer, "HTTP/1.1 204 No Content\r\n\r\n") })
	if len(p) > 10<<10 {
		time.Sleep(uploadGrace - 5*time.Millisecond)
	}
	return len(p), nil
}

// dozingBody is a body whose second read, and any further one, takes long.
type dozingBody struct{ read bool }

func (b *dozingBody) Read(p []byte) (int, error) {
	if b.read {
		time.Sleep(6 * uploadGrace)
	}
	b.read = true
	return copy(p, strings.Repeat("x", 15<<10)), nil
}

// The rest of a request has uploadGrace in all, however slow each part of it is.
func TestUploadGraceIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		c := NewConn(&answersEarly{ReadCloser: r, answer: w}, nil)
		defer c.Close()
		req := newRequest(t, "PUT", "http://x/", &dozingBody{})

		req.ContentLength = 30 << 10
		began := time.Now()
		do(t, c, req)
		if took := time.Since(began); took > uploadGrace+closeGrace {
			t.Errorf("it took %v", took)
		}
		time.Sleep(6 * uploadGrace) // the body's Read returns
	})
}

// Of a stream that is no socket, nothing is sure to be taken.
func TestUnreadOnPipe(t *testing.T) {
	long := newRequest(t, "GET", "http://x/", nil)
	long.Header.Set("Cookie", strings.Repeat("c", 12<<10))
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int32
		tr := &Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			n := dials.Add(1)
			go func() {
				br := bufio.NewReader(server)
				if n == 1 {
					server.Read(make([]byte, 64)) // and no more
				} else if _, _, err := readRequest(br); err != nil {
					return
				}
				io.WriteString(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}()
			return client, nil
		}}
		defer tr.CloseIdleConnections()
		do(t, tr, long)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		do(t, tr, newRequest(t, "GET", "http://x/", nil).WithContext(ctx))
		if n := dials.Load(); n != 2 {
			t.Errorf("%d dials", n)
		}
	})
}

// onPipe returns a Conn of depth 2 on a pipe. serve answers each request that the server's
// end reads, and reads its body.
func onPipe(serve func(server net.Conn, req *http.Request)) *Conn {
	client, server := net.Pipe()
	go func() {
		br := bufio.NewReader(server)
		for req, err := http.ReadRequest(br); err == nil; req, err = http.ReadRequest(br) {
			serve(server, req)
		}
	}()
	return ofDepth2(client)
}

// The rest of a request is not waited for once another is in flight behind it.
func TestNotHeldByTheNextUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hi = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
		posts := 0
		c := onPipe(func(server net.Conn, req *http.Request) {
			if posts++; posts == 1 { // is answered before it is read
				time.Sleep(2 * time.Millisecond)
				io.WriteString(server, hi)
				time.Sleep(5 * time.Millisecond)
				io.Copy(io.Discard, req.Body)
				return
			}
			io.Copy(io.Discard, req.Body)
			time.Sleep(4 * uploadGrace)
			io.WriteString(server, hi)
		})
		defer c.Close()
		post := func() *http.Request {
			return newRequest(t, "POST", "http://x/", strings.NewReader(strings.Repeat("b", 20_000)))
		}
		var next sync.WaitGroup
		next.Go(func() {
			time.Sleep(time.Millisecond)
			do(t, c, post())
		})
		began := time.Now()
		do(t, c, post())
		if took := time.Since(began); took > uploadGrace/2 {
			t.Errorf("it took %v", took)
		}
		next.Wait()
	})
}

// lateTail is a body whose second half comes late.
type lateTail struct{ began bool }

const halfTail = 10 << 10

func (b *lateTail) Read(p []byte) (int, error) {
	if b.began {
		time.Sleep(5 * time.Millisecond)
	}
	b.began = true
	return copy(p, strings.Repeat("x", halfTail)), nil
}

// Nor is it waited for until the next is out, which is admitted first where nothing was
// left to write.
func TestNotHeldByTheNextBody(t *testing.T) {
	for range 50 { // mostly, and not always, the next is quicker
		synctest.Test(t, func(t *testing.T) {
			posts := 0
			c := onPipe(func(server net.Conn, req *http.Request) {
				if posts++; posts == 2 {
					io.Copy(io.Discard, req.Body)
					time.Sleep(uploadGrace - 5*time.Millisecond)
				}
				io.WriteString(server, okAnswer)
				io.Copy(io.Discard, req.Body)
			})
			defer c.Close()
			var next sync.WaitGroup
			next.Go(func() {
				time.Sleep(time.Millisecond)
				do(t, c, newRequest(t, "POST", "http://x/", strings.NewReader("b")))
			})
			req := newRequest(t, "POST", "http://x/", &lateTail{})
			req.ContentLength = 2 * halfTail
			began := time.Now()
			do(t, c, req)
			if took := time.Since(began); took > uploadGrace/2 {
				t.Errorf("it took %v", took)
			}
			next.Wait()
			if c.Err() != nil {
				t.Error(c.Err())
			}
		})
	}
}

// Nor is a connection given up that another request waits for.
func TestConnKeptForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := onPipe(func(server net.Conn, req *http.Request) {
			io.WriteString(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			if req.Method == "PUT" {
				time.Sleep(3 * uploadGrace)
			}
			io.Copy(io.Discard, req.Body)
		})
		defer c.Close()
		do(t, c, newRequest(t, "GET", "http://x/", nil))
		var put sync.WaitGroup
		put.Go(func() {
			do(t, c, newRequest(t, "PUT", "http://x/", strings.NewReader(strings.Repeat("b", 20_000))))
		})
		synctest.Wait()
		do(t, c, newRequest(t, "GET", "http://x/", nil))
		put.Wait()
	})
}
