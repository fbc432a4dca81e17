package h1http

// early_test.go: answers that come before their request is written.

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
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
		io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		if strings.Contains(line, "/long") {
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
		if _, err := c.RoundTrip(newRequest(t, "GET", addr, nil)); err == nil {
			t.Error("it was answered")
		}
	})
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
