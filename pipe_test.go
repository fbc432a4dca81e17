package h1

// pipe_test.go: streams that hold nothing: a write ends when the server has read it.
//
// Rule: the server reads no more than the story says, and answers all the same.

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
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
		served := make(chan struct{})
		go func() { serve(server); close(served) }()
		defer func() { c.Close(); server.Close(); <-served }()
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
	for _, way := range []string{"do", "send", "chunked", "large", "push", "long head"} {
		for _, plain := range []bool{false, true} {
			t.Run(way, func(t *testing.T) {
				onPipe(t, Config{}, plain, func(server net.Conn) {
					if way == "long head" {
						io.ReadFull(server, make([]byte, 100))
					} else {
						readHead(server)
					}
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
	case "long head":
		req = get("/" + strings.Repeat("x", defaultBuffer))
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

// A final response instead of 100 ends the connection, but not before its own body has come
// in by and by.
func TestRefusedExpectOnPipe(t *testing.T) {
	for _, plain := range []bool{false, true} {
		onPipe(t, Config{}, plain, func(server net.Conn) {
			readHead(server)
			for _, s := range []string{"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 6\r\n\r\n", "not", "now"} {
				io.WriteString(server, s)
			}
			if end, _ := io.ReadAll(server); len(end) > 0 {
				t.Errorf("behind the head the server received %q", end)
			}
		}, func(t *testing.T, c *Conn) {
			req := &Request{Method: "POST", Host: "x", Body: io.MultiReader(strings.NewReader("hello"))}
			req.Header.Add("Expect", "100-continue")
			var resp Response
			if err := c.Do(context.Background(), req, &resp); err != nil {
				t.Fatal(err)
			}
			if body, err := resp.AppendBody(nil, -1); string(body) != "notnow" || err != nil {
				t.Errorf("got %q, %v", body, err)
			}
			if !c.State().Closed() {
				t.Errorf("state is %v", c.State())
			}
		})
	}
}

// A pipeWorld is a server that reads no byte more than it needs, at a moment of its
// choice, and callers of all kinds.
type pipeWorld struct {
	rnd *rand.Rand // the server's
	ok  *atomic.Int32
}

// serve answers requests: before their bodies were read, after, or instead.
func (w pipeWorld) serve(server net.Conn) {
	defer server.Close()
	for {
		head, err := readHead(server)
		if err != nil {
			return
		}
		_, target, _ := strings.Cut(head, " ")
		target, _, _ = strings.Cut(target, " ")
		when := w.rnd.IntN(16)
		refused := strings.Contains(head, "Expect:") && when > 5
		if when <= 5 {
			if strings.Contains(head, "Expect:") {
				io.WriteString(server, "HTTP/1.1 100 Continue\r\n\r\n")
			}
			w.readBody(server, head)
		}
		w.answer(server, target, when == 15)
		if when == 15 || refused {
			return
		}
		if when > 5 {
			w.readBody(server, head)
		}
	}
}

// answer writes a response piece by piece, and waits now and then.
func (w pipeWorld) answer(server net.Conn, target string, last bool) {
	body := strings.Repeat(target, 1+w.rnd.IntN(100))
	wire := "HTTP/1.1 200 OK\r\n"
	if last {
		wire += "Connection: close\r\n"
	}
	if w.rnd.IntN(2) > 0 {
		wire += fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
	} else {
		wire += fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	}
	for len(wire) > 0 {
		n := 1 + w.rnd.IntN(len(wire))
		io.WriteString(server, wire[:n])
		wire = wire[n:]
		time.Sleep(time.Duration(w.rnd.IntN(3)) * time.Millisecond)
	}
}

// readBody reads a request's body and no byte more.
func (w pipeWorld) readBody(server net.Conn, head string) {
	read := func(n int64) { io.CopyN(io.Discard, server, n) }
	if _, rest, ok := strings.Cut(head, "Content-Length: "); ok {
		var n int64
		fmt.Sscan(rest, &n)
		read(n)
		return
	}
	for strings.Contains(head, "chunked") {
		var line string
		b := make([]byte, 1)
		for !strings.HasSuffix(line, "\r\n") {
			if _, err := io.ReadFull(server, b); err != nil {
				return
			}
			line += string(b)
		}
		var n int64
		fmt.Sscanf(line, "%x", &n)
		read(n + 2)
		if n == 0 {
			return
		}
	}
}

// ask makes one request of some kind, and reads of its response all or some.
func (w pipeWorld) ask(t *testing.T, c *Conn, rnd *rand.Rand) {
	target := fmt.Sprint("/", rnd.IntN(1000))
	req := get(target)
	kind := rnd.IntN(7)
	if kind > 1 {
		req.Method = []string{"PUT", "POST"}[rnd.IntN(2)]
		req.Body = strings.NewReader(strings.Repeat("x", rnd.IntN(2<<uint(rnd.IntN(14)))))
		if kind&1 > 0 {
			req.Body = io.MultiReader(req.Body)
		}
		if b, ok := req.Body.(*strings.Reader); kind == 5 && (!ok || b.Len() > 0) {
			req.Header.Add("Expect", "100-continue")
		}
		if kind == 6 {
			req.Body, req.Push = nil, true
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	switch rnd.IntN(8) {
	case 0:
		time.AfterFunc(time.Duration(rnd.IntN(20))*time.Millisecond, cancel)
	case 1:
		req.Deadline = time.Now().Add(time.Duration(1+rnd.IntN(20)) * time.Millisecond)
	}
	var resp Response
	var err error
	if !req.Push && rnd.IntN(2) > 0 {
		err = c.Do(ctx, req, &resp)
	} else {
		var x Exchange
		if x, err = c.Send(ctx, req); err == nil {
			if req.Push {
				pieces := rnd.IntN(5)
				go push(x, pieces)
			}
			err = x.Wait(ctx, &resp)
		}
	}
	if err != nil {
		return
	}
	if rnd.IntN(4) == 0 {
		resp.Body.Read(make([]byte, 1+rnd.IntN(50)))
		resp.Body.Close()
		return
	}
	if body, err := resp.AppendBody(nil, -1); err == nil {
		if n := len(body) / len(target); string(body) != strings.Repeat(target, n) || n == 0 {
			t.Errorf("%s was answered with %.100q", target, body)
		}
		w.ok.Add(1)
	}
}

// push sends a body of some pieces.
func push(x Exchange, pieces int) {
	for range pieces {
		if _, err := x.Write(make([]byte, 500)); err != nil {
			return
		}
	}
	x.CloseWrite()
}

// Whatever callers do on a pipe, none of them waits for ever, and each gets its own.
func TestNoHangOnPipe(t *testing.T) {
	rounds := uint64(300)
	if testing.Short() || raceDetector {
		rounds = 60
	}
	var ok atomic.Int32
	for seed := range rounds {
		rnd := rand.New(rand.NewPCG(seed, 1))
		cfg := Config{Depth: 1 + rnd.IntN(4), WriteBuffer: 128 << rnd.IntN(6), MaxDrain: int64(rnd.IntN(3000))}
		w := pipeWorld{rand.New(rand.NewPCG(seed, 2)), &ok}
		onPipe(t, cfg, seed&1 > 0, w.serve, func(t *testing.T, c *Conn) {
			var all sync.WaitGroup
			for range 1 + rnd.IntN(6) {
				own := rand.New(rand.NewPCG(rnd.Uint64(), 3))
				all.Go(func() {
					for i := 0; i < 4 && c.Err() == nil; i++ {
						w.ask(t, c, own)
					}
				})
			}
			end := map[int]func(){
				0: func() { c.Shutdown(context.Background()) },
				1: func() { c.Close() },
				2: func() { c.Ready().Wait(context.Background()) },
			}[rnd.IntN(10)]
			if end != nil {
				all.Go(func() { time.Sleep(time.Duration(seed%100) * time.Millisecond); end() })
			}
			over := make(chan struct{})
			go func() { all.Wait(); close(over) }()
			select {
			case <-over:
			case <-time.After(time.Hour):
				t.Fatalf("seed %d: somebody hangs: %v, Err %v", seed, c.State(), c.Err())
			}
		})
	}
	if n := uint64(ok.Load()); n < rounds {
		t.Errorf("only %d responses in %d rounds", n, rounds)
	}
}

// A head that does not fit the write buffer need not be read whole before it is answered,
// nor one whose body is pushed or held back.
func TestLongHeadAnsweredEarly(t *testing.T) {
	for name, fill := range map[string]func(*Request){
		"plain": func(r *Request) {},
		"body":  func(r *Request) { r.Method, r.Body = "POST", io.MultiReader(strings.NewReader("hello")) },
		"small": func(r *Request) { r.Method, r.Body = "POST", strings.NewReader("hello") },
		"push":  func(r *Request) { r.Method, r.Push = "POST", true },
		"expect": func(r *Request) {
			r.Method, r.Body = "POST", strings.NewReader("hello")
			r.Header.Add("Expect", "100-continue")
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{}, false, func(r *rig) {
				r.s.setWindow(5000)
				req := get("/long")
				req.Header.Add("Long", strings.Repeat("x", 20000))
				fill(req)
				k := r.begin(context.Background(), req)
				r.raw("HTTP/1.1 431 Too Long\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
				r.await(k)
				r.got(k, "no")
			})
		})
	}
}
