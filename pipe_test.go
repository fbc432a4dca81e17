package h1

// pipe_test.go: streams that hold nothing: a write ends when the server has read it.
//
// Rule: the server reads no more than the story says, and answers all the same.

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
)

// onPipe runs f with a connection over a pipe, whose server reads each request's head, byte
// by byte, and then does what serve says.
func onPipe(t *testing.T, cfg Config, plain bool, serve func(server net.Conn), f func(t *testing.T, c *Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		var rw io.ReadWriteCloser = client
		if plain {
			rw = wirePlain{client}
		}
		c := NewConn(rw, &cfg)
		defer c.Close()
		defer server.Close()
		go serve(server)
		f(t, c)
	})
}

// readHead reads a request's head and not a byte more.
func readHead(server net.Conn) (head string, err error) {
	b := make([]byte, 1)
	for err == nil && !strings.HasSuffix(head, "\r\n\r\n") {
		var n int
		n, err = server.Read(b)
		head += string(b[:n])
	}
	return head, err
}

// A server that answers a request whose body it has not read is heard, on a stream that
// holds nothing of that body.
func TestEarlyResponseOnPipe(t *testing.T) {
	for _, way := range []string{"do", "send", "chunked", "large", "push"} {
		for _, plain := range []bool{false, true} {
			t.Run(way, func(t *testing.T) {
				onPipe(t, Config{}, plain, func(server net.Conn) {
					readHead(server)
					io.WriteString(server, "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n")
					io.WriteString(server, "Content-Length: 5\r\n\r\nlarge")
				}, func(t *testing.T, c *Conn) { heardOnPipe(t, c, way) })
			})
		}
	}
}

// heardOnPipe sends a body one way and reads what a server has to say of its head.
func heardOnPipe(t *testing.T, c *Conn, way string) {
	ctx := context.Background()
	req := &Request{Method: "POST", Host: "x", Body: strings.NewReader("hello")}
	var resp Response
	var err error
	switch way {
	case "do":
		err = c.Do(ctx, req, &resp)
	case "chunked":
		req.Body = io.MultiReader(req.Body)
		err = c.Do(ctx, req, &resp)
	case "large":
		req.Body = strings.NewReader(strings.Repeat("x", 100<<10))
		err = c.Do(ctx, req, &resp)
	default:
		if way == "push" {
			req.Body, req.Push = nil, true
		}
		var x Exchange
		if x, err = c.Send(ctx, req); err == nil {
			if way == "push" {
				go x.Write([]byte("hello"))
			}
			err = x.Wait(ctx, &resp)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if body, err := resp.AppendBody(nil, -1); resp.Status != 413 || string(body) != "large" || err != nil {
		t.Errorf("got %d %q, %v", resp.Status, body, err)
	}
	synctest.Wait()
	if !c.State().Closed() {
		t.Errorf("state is %v", c.State())
	}
}

// A final response instead of 100 ends the request's framing, while its own body still
// comes in by and by.
func TestRefusedExpectOnPipe(t *testing.T) {
	for _, plain := range []bool{false, true} {
		onPipe(t, Config{}, plain, func(server net.Conn) {
			readHead(server)
			for _, s := range []string{"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 6\r\n\r\n", "not", "now"} {
				io.WriteString(server, s)
			}
			end, _ := io.ReadAll(io.LimitReader(server, 5))
			readHead(server)
			io.WriteString(server, answer("/"+string(end[:1])))
		}, func(t *testing.T, c *Conn) {
			req := &Request{Method: "POST", Host: "x", Body: io.MultiReader(strings.NewReader("hello"))}
			req.Header.Add("Expect", "100-continue")
			for _, want := range []string{"notnow", "/0"} {
				var resp Response
				if err := c.Do(context.Background(), req, &resp); err != nil {
					t.Fatal(err)
				}
				if body, err := resp.AppendBody(nil, -1); string(body) != want || err != nil {
					t.Errorf("got %q, %v", body, err)
				}
				req = get("/")
			}
		})
	}
}
