package h1_test

// example_test.go: the package's own uses, as a reader would write them.
//
// Rule: each example shows one thing and runs as a test. Its server is net/http's, over
// TCP, or where the answer must be to the byte, a few lines at the other end of a net.Pipe.

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"example.com/h1"
)

// dial opens a connection to a test server.
func dial(srv *httptest.Server) net.Conn {
	nc, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	return nc
}

// peer returns one end of a pipe. At the other end serve gets each request's head, as it
// came, and whatever it writes is the answer.
func peer(serve func(head string, rw io.ReadWriteCloser)) net.Conn {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		for r := bufio.NewReader(server); ; {
			head := ""
			for !strings.HasSuffix(head, "\r\n\r\n") {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				head += line
			}
			serve(head, struct {
				io.Reader
				io.WriteCloser
			}{r, server})
		}
	}()
	return client
}

// text reads a body to its end.
func text(resp *h1.Response) string {
	body, err := resp.AppendBody(nil, 1<<20)
	if err != nil {
		log.Fatal(err)
	}
	return string(body)
}

// A first request.
func Example() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello, %s", r.URL.Query().Get("name"))
	}))
	defer srv.Close()

	nc, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	c := h1.NewConn(nc, nil)
	defer c.Close()

	req := h1.Request{Target: "/greet?name=gopher", Host: "example.com"}
	req.Header.Add("Accept", "text/plain")
	var resp h1.Response
	if err := c.Do(context.Background(), &req, &resp); err != nil {
		log.Fatal(err)
	}
	body, err := resp.AppendBody(nil, 1<<20) // at most 1 MiB of it
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("HTTP/1.%d %d %s\n", resp.Minor, resp.Status, resp.Reason())
	fmt.Println(resp.Header.Get("content-type"))
	fmt.Printf("%s\n", body)
	// Output:
	// HTTP/1.1 200 OK
	// text/plain; charset=utf-8
	// hello, gopher
}

// Two requests on one connection. Ready says when the next would be admitted, which is
// after the first response's body has been read, and whether there can be a next at all.
func ExampleConn_Ready() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "this is %s", r.URL.Path)
	}))
	defer srv.Close()
	ctx := context.Background()
	c := h1.NewConn(dial(srv), nil)
	defer c.Close()

	var resp h1.Response // used for both
	if err := c.Do(ctx, &h1.Request{Target: "/one", Host: "example.com"}, &resp); err != nil {
		log.Fatal(err)
	}
	fmt.Println(text(&resp))

	if err := c.Ready().Wait(ctx); err != nil {
		log.Fatal(err) // the server said close, say
	}
	if err := c.Do(ctx, &h1.Request{Target: "/two", Host: "example.com"}, &resp); err != nil {
		log.Fatal(err)
	}
	fmt.Println(text(&resp))
	// Output:
	// this is /one
	// this is /two
}

// A pool of idle connections to one server. A connection goes back if it would admit a
// request, and is taken out if it is not known to be dead.
func ExampleConn_Probe() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.URL.Path)
	}))
	defer srv.Close()
	var idle []*h1.Conn
	take := func() *h1.Conn {
		for n := len(idle); n > 0; n = len(idle) {
			c := idle[n-1] // the one that was used last: it is likely to live
			idle = idle[:n-1]
			if c.Probe() == nil {
				return c
			}
			c.Close()
		}
		fmt.Println("dialed")
		return h1.NewConn(dial(srv), nil)
	}
	put := func(c *h1.Conn) {
		if c.Ready().Err() != nil { // it has ended, or a response is not read
			c.Close()
			return
		}
		idle = append(idle, c)
	}
	fetch := func(target string) {
		c := take()
		defer put(c)
		var resp h1.Response
		if err := c.Do(context.Background(), &h1.Request{Target: target, Host: "x"}, &resp); err != nil {
			log.Fatal(err)
		}
		fmt.Println(text(&resp))
	}
	fetch("/a")
	fetch("/b")
	srv.CloseClientConnections()
	idle[0].Watch(context.Background()) // until that is seen here: a pool need not wait for it
	fetch("/c")
	for _, c := range idle {
		c.Close()
	}
	// Output:
	// dialed
	// /a
	// /b
	// dialed
	// /c
}

// Pipelining: three requests go out before the first of their responses is read. The
// first request of a connection goes alone, for its response shows what the server speaks.
func ExampleConn_Send() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "this is %s", r.URL.Path)
	}))
	defer srv.Close()
	ctx := context.Background()
	c := h1.NewConn(dial(srv), &h1.Config{Depth: 8})
	defer c.Close()

	var resp h1.Response
	if err := c.Do(ctx, &h1.Request{Target: "/first", Host: "example.com"}, &resp); err != nil {
		log.Fatal(err)
	}
	fmt.Println(text(&resp))

	var sent []h1.Exchange
	for _, target := range []string{"/a", "/b", "/c"} {
		x, err := c.Send(ctx, &h1.Request{Target: target, Host: "example.com"})
		if err != nil {
			log.Fatal(err)
		}
		sent = append(sent, x)
	}
	fmt.Println("in flight:", c.Stats().InFlight)
	for _, x := range sent {
		if err := x.Wait(ctx, &resp); err != nil {
			log.Fatal(err)
		}
		fmt.Println(text(&resp))
	}
	// Output:
	// this is /first
	// in flight: 3
	// this is /a
	// this is /b
	// this is /c
}

// Streaming up: a body of unknown length is sent in chunks, as it comes.
func ExampleRequest_streaming() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d bytes, %s", n, r.TransferEncoding)
	}))
	defer srv.Close()
	c := h1.NewConn(dial(srv), nil)
	defer c.Close()

	body, source := io.Pipe()
	go func() {
		for range 1000 {
			fmt.Fprintln(source, "another line")
		}
		source.Close()
	}()
	req := h1.Request{Method: "POST", Target: "/lines", Host: "example.com", Body: body}
	var resp h1.Response
	if err := c.Do(context.Background(), &req, &resp); err != nil {
		log.Fatal(err)
	}
	fmt.Println(text(&resp))
	// Output: 13000 bytes, [chunked]
}

// Streaming down: Body is read as the response comes, here line by line, and closed when
// nothing more of it is wanted.
func ExampleResponse_streaming() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range 1000 {
			fmt.Fprintln(w, "line", i)
		}
	}))
	defer srv.Close()
	ctx := context.Background()
	c := h1.NewConn(dial(srv), nil)
	defer c.Close()

	var resp h1.Response
	if err := c.Do(ctx, &h1.Request{Target: "/log", Host: "example.com"}, &resp); err != nil {
		log.Fatal(err)
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() && lines.Text() != "line 2" {
		fmt.Println(lines.Text())
	}
	// The rest is less than Config.MaxDrain, so that Close reads it and the connection lives.
	resp.Body.Close()
	fmt.Println("still good:", c.Err() == nil)
	// Output:
	// line 0
	// line 1
	// still good: true
}

// Push mode: the body comes by calls of Write, and both bodies stream at once. Here each
// line is answered before the next one is written.
func ExampleExchange_Write() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		rc.Flush()
		for lines := bufio.NewScanner(r.Body); lines.Scan(); rc.Flush() {
			fmt.Fprintln(w, strings.ToUpper(lines.Text()))
		}
	}))
	defer srv.Close()
	ctx := context.Background()
	c := h1.NewConn(dial(srv), nil)
	defer c.Close()

	x, err := c.Send(ctx, &h1.Request{Method: "POST", Target: "/upper", Host: "example.com", Push: true})
	if err != nil {
		log.Fatal(err)
	}
	var resp h1.Response
	if err := x.Wait(ctx, &resp); err != nil {
		log.Fatal(err)
	}
	answers := bufio.NewReader(resp.Body)
	for _, line := range []string{"one", "two"} {
		if _, err := fmt.Fprintln(x, line); err != nil {
			log.Fatal(err)
		}
		answer, err := answers.ReadString('\n')
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(answer)
	}
	if err := x.CloseWrite(); err != nil {
		log.Fatal(err)
	}
	_, err = answers.ReadByte()
	fmt.Println(err)
	// Output:
	// ONE
	// TWO
	// EOF
}

// Trailers, both ways: fields that are known only when the body has passed.
func ExampleRequest_trailer() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Lines")
		lines := 0
		for s := bufio.NewScanner(r.Body); s.Scan(); lines++ {
			fmt.Fprintln(w, s.Text())
		}
		fmt.Fprintln(w, "sum", r.Trailer.Get("Sum"))
		w.Header().Set("Lines", fmt.Sprint(lines))
	}))
	defer srv.Close()
	ctx := context.Background()
	c := h1.NewConn(dial(srv), nil)
	defer c.Close()

	req := h1.Request{Method: "PUT", Target: "/poem", Host: "example.com", Push: true}
	req.Header.Add("Trailer", "Sum")
	x, err := c.Send(ctx, &req)
	if err != nil {
		log.Fatal(err)
	}
	sum := sha256.New()
	if _, err := fmt.Fprint(io.MultiWriter(x, sum), "roses are red\nviolets are blue\n"); err != nil {
		log.Fatal(err)
	}
	req.Trailer.Add("Sum", fmt.Sprintf("%x", sum.Sum(nil)[:4]))
	if err := x.CloseWrite(); err != nil { // writes the trailer
		log.Fatal(err)
	}

	var resp h1.Response
	if err := x.Wait(ctx, &resp); err != nil {
		log.Fatal(err)
	}
	fmt.Print(text(&resp))
	fmt.Println("lines:", resp.Trailer.Get("Lines")) // there once the body has ended
	// Output:
	// roses are red
	// violets are blue
	// sum f64a0dd6
	// lines: 2
}

// Informational responses come to a callback, before the final one.
func ExampleRequest_informational() {
	nc := peer(func(head string, rw io.ReadWriteCloser) {
		io.WriteString(rw, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"+
			"HTTP/1.1 204 No Content\r\n\r\n")
	})
	c := h1.NewConn(nc, nil)
	defer c.Close()

	req := h1.Request{Host: "example.com", Informational: func(status int, h *h1.Header) error {
		fmt.Println(status, h.Get("Link"))
		return nil
	}}
	var resp h1.Response
	if err := c.Do(context.Background(), &req, &resp); err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Status)
	// Output:
	// 103 </style.css>; rel=preload
	// 204
}

// Fields keep their order, their repeats and the case they were given in, and are found
// in any case.
func ExampleHeader() {
	var h h1.Header
	h.Add("Accept", "text/html")
	h.Add("x-trace", "1")
	h.Add("Accept", "text/plain")
	h.Set("X-Trace", "2")
	fmt.Println(h.Len(), h.Get("ACCEPT"), h.Has("Cookie"))
	for name, value := range h.All() {
		if strings.EqualFold(string(name), "accept") { // Get and Peek know the first only
			fmt.Printf("accepts %s\n", value)
		}
	}
	for name, value := range h.All() {
		fmt.Printf("%s: %s\n", name, value)
	}
	// Output:
	// 3 text/html false
	// accepts text/html
	// accepts text/plain
	// Accept: text/html
	// X-Trace: 2
	// Accept: text/plain
}

// An upgrade: after 101 the connection is given up, and the stream speaks something else.
func ExampleConn_Detach_upgrade() {
	nc := peer(func(head string, rw io.ReadWriteCloser) {
		io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\n"+
			"Connection: upgrade\r\nUpgrade: echo\r\n\r\nwelcome\n")
		io.Copy(rw, rw)
	})
	c := h1.NewConn(nc, nil)

	req := h1.Request{Target: "/chat", Host: "example.com"}
	req.Header.Add("Connection", "upgrade")
	req.Header.Add("Upgrade", "echo")
	var resp h1.Response
	if err := c.Do(context.Background(), &req, &resp); err != nil {
		log.Fatal(err)
	}
	if resp.Status != 101 {
		fmt.Println("refused:", text(&resp)) // an ordinary response; the connection goes on
		return
	}
	parts, err := c.Detach()
	if err != nil {
		log.Fatal(err)
	}
	stream := parts.Stream() // first what had been read already, "welcome"
	defer stream.Close()
	r := bufio.NewReader(stream)
	line, _ := r.ReadString('\n')
	fmt.Print(line)
	fmt.Fprintln(stream, "anyone there?")
	line, _ = r.ReadString('\n')
	fmt.Print(line)
	// Output:
	// welcome
	// anyone there?
}

// A tunnel: after a 2xx to CONNECT the stream leads to the other host. Here it carries
// HTTP again; for TLS, put tls.Client(parts.Stream().(net.Conn), config) in its place, and
// call Handshake before NewConn.
func ExampleConn_Detach_connect() {
	proxy := peer(func(head string, rw io.ReadWriteCloser) {
		if strings.HasPrefix(head, "CONNECT") {
			io.WriteString(rw, "HTTP/1.1 200 OK\r\n\r\n")
		} else {
			io.WriteString(rw, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfar beyond")
		}
	})
	ctx := context.Background()
	var resp h1.Response

	outer := h1.NewConn(proxy, nil)
	connect := h1.Request{Method: "CONNECT", Target: "example.com:80", Host: "example.com:80"}
	if err := outer.Do(ctx, &connect, &resp); err != nil {
		log.Fatal(err)
	}
	if resp.Status/100 != 2 {
		log.Fatalf("the proxy refused: %d %s", resp.Status, resp.Reason())
	}
	parts, err := outer.Detach()
	if err != nil {
		log.Fatal(err)
	}

	inner := h1.NewConn(parts.Stream(), nil)
	defer inner.Close()
	if err := inner.Do(ctx, &h1.Request{Target: "/", Host: "example.com"}, &resp); err != nil {
		log.Fatal(err)
	}
	fmt.Println(text(&resp))
	// Output: far beyond
}

// Cancellation spares the neighbours: the second of three pipelined requests is given up,
// and the connection drains its response when it comes.
func ExampleExchange_Cancel() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "this is %s", r.URL.Path)
	}))
	defer srv.Close()
	ctx := context.Background()
	c := h1.NewConn(dial(srv), &h1.Config{Depth: 8})
	defer c.Close()
	var resp h1.Response
	if err := c.Do(ctx, &h1.Request{Host: "example.com"}, &resp); err != nil {
		log.Fatal(err)
	}
	text(&resp)

	var sent [3]h1.Exchange
	for i := range sent {
		var err error
		sent[i], err = c.Send(ctx, &h1.Request{Target: fmt.Sprint("/", i), Host: "example.com"})
		if err != nil {
			log.Fatal(err)
		}
	}
	sent[1].Cancel()
	for _, x := range sent {
		if err := x.Wait(ctx, &resp); err != nil {
			fmt.Println("canceled:", errors.Is(err, h1.Canceled))
			continue
		}
		fmt.Println(text(&resp))
	}
	fmt.Println("still good:", c.Err() == nil)
	// Output:
	// this is /0
	// canceled: true
	// this is /2
	// still good: true
}

// A deadline, by Request.Deadline or by the context, ends the exchange, and with it the
// connection, since a response is still to come.
func ExampleConn_Do_deadline() {
	never := make(chan struct{})
	nc := peer(func(head string, rw io.ReadWriteCloser) { <-never })
	defer close(never)
	c := h1.NewConn(nc, nil)
	defer c.Close()

	req := h1.Request{Host: "example.com", Deadline: time.Now().Add(20 * time.Millisecond)}
	var resp h1.Response
	err := c.Do(context.Background(), &req, &resp)
	fmt.Println(errors.Is(err, h1.Timeout), errors.Is(err, os.ErrDeadlineExceeded))
	fmt.Println("still good:", c.Err() == nil)
	// Output:
	// true true
	// still good: false
}

// Errors, and sending again. Here every other connection ends as soon as a request has
// come: the server may have acted on it. So it may go to another connection if it is
// idempotent, and must not if it is not.
func ExampleError_Retryable() {
	dials := 0
	dial := func() net.Conn {
		dials++
		return peer(func(head string, rw io.ReadWriteCloser) {
			if dials%2 == 0 {
				io.WriteString(rw, "HTTP/1.1 204 No Content\r\n\r\n")
			}
			rw.Close()
		})
	}
	do := func(ctx context.Context, req *h1.Request, body []byte, resp *h1.Response) error {
		for try := 1; ; try++ {
			if body != nil {
				req.Body = bytes.NewReader(body) // anew: a try that failed may have read it
			}
			c := h1.NewConn(dial(), nil)
			err := c.Do(ctx, req, resp)
			if err == nil {
				_, err = resp.AppendBody(nil, 1<<20)
			}
			c.Close()
			var e *h1.Error
			switch {
			case err == nil, try == 3, !errors.As(err, &e), !e.Retryable(req.Method):
				return err
			case ctx.Err() != nil, e.Kind == h1.BadRequest: // it would fail again
				return err
			}
			fmt.Printf("%s again: %v\n", req.Method, e.Kind)
		}
	}
	var resp h1.Response
	for _, method := range []string{"GET", "PUT", "POST"} {
		var body []byte
		if method != "GET" {
			body = []byte("a body")
		}
		req := h1.Request{Method: method, Host: "example.com"}
		if err := do(context.Background(), &req, body, &resp); err != nil {
			fmt.Println(method, "failed:", errors.Is(err, h1.Incomplete))
			continue
		}
		fmt.Println(method, resp.Status)
	}
	// Output:
	// GET again: incomplete message
	// GET 204
	// PUT again: incomplete message
	// PUT 204
	// POST failed: true
}

// Any stream will do, a unix socket among them.
func ExampleNewConn_unix() {
	dir, err := os.MkdirTemp("", "h1")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	srv := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "by way of the file system")
	})}
	go srv.Serve(l)
	defer srv.Close()

	nc, err := net.Dial("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	c := h1.NewConn(nc, nil)
	defer c.Close()
	var resp h1.Response
	if err := c.Do(context.Background(), &h1.Request{Target: "/info", Host: "localhost"}, &resp); err != nil {
		log.Fatal(err)
	}
	fmt.Println(text(&resp))
	// Output: by way of the file system
}
