//go:build unix

package h1

// gate_test.go: what the look before a request leaves on the stream for that.

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"testing"
	"time"
)

// The look through TLS, in the midst of a call that has limited reads already, does not leave its own
// deadline to those that come: first the call reads a response that nobody wants, then it looks, then
// it reads its own.
func TestDeadlinePastALook(t *testing.T) {
	client, server := ends(t, "tls")
	c := NewConn(secure(t, client, server), &Config{Depth: 4})
	defer c.Close()
	answers := make(chan bool, 1)
	go func() {
		in := bufio.NewReader(server)
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			if req.URL.Path == "/two" {
				<-answers
			}
			io.WriteString(server, answer(req.URL.Path))
		}
	}()
	background := context.Background()
	var resp Response
	whole := func(err error) {
		t.Helper()
		if err == nil {
			_, err = resp.AppendBody(nil, -1)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	whole(c.Do(background, get("/warm"), &resp))
	watching, stop := context.WithCancel(background)
	defer stop()
	go c.Watch(watching)
	until(c, func() bool { return c.watch != nil && c.watch.parked })
	one, err := c.Send(background, get("/one"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := c.Send(background, get("/two"))
	if err != nil {
		t.Fatal(err)
	}
	until(c, func() bool { return c.written >= two.e.end })
	two.Cancel()
	whole(one.Wait(background, &resp))
	go func() {
		until(c, func() bool { return c.reader != nil && c.reader == c.line.head && c.inRead })
		answers <- true
	}()
	post := posting("/post")
	post.Deadline = time.Now().Add(10 * time.Second)
	whole(c.Do(background, post, &resp))
}

// until waits for what becomes true of a connection.
func until(c *Conn, is func() bool) {
	for {
		c.mu.Lock()
		done := is()
		c.mu.Unlock()
		if done {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
