package h1

// bench_test.go: what the engine itself costs, with a stream that costs nothing. Against
// peers and floors: the module bench.

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"sync"
	"testing"
)

// answering is a stream that answers each request with canned bytes, at once.
type answering struct {
	response []byte
	mu       sync.Mutex
	ready    int
}

func (a *answering) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ready += bytes.Count(p, []byte("\r\n\r\n")) * len(a.response)
	return len(p), nil
}

func (a *answering) Read(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.ready == 0 { // a write is still under way
		a.mu.Unlock()
		runtime.Gosched()
		a.mu.Lock()
	}
	n := 0
	for n < len(p) && a.ready > 0 {
		from := (len(a.response) - a.ready%len(a.response)) % len(a.response)
		m := copy(p[n:], a.response[from:])
		n, a.ready = n+m, a.ready-m
	}
	return n, nil
}

func (*answering) Close() error { return nil }

var benchResponse = []byte("HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Mon, 23 Nov 2026 00:00:00 GMT\r\n" +
	"Content-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!")

func BenchmarkRoundTrip(b *testing.B) {
	c := NewConn(&answering{response: benchResponse}, nil)
	req := Request{Host: "example.com", Target: "/index"}
	var resp Response
	buf := make([]byte, 64)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Do(ctx, &req, &resp); err != nil {
			b.Fatal(err)
		}
		if n, err := resp.Body.Read(buf); n != 13 || err != io.EOF {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkBatch(b *testing.B) { // of 16: the time is a batch's
	c := NewConn(&answering{response: benchResponse}, &Config{Depth: 16})
	req := Request{Host: "example.com", Target: "/index"}
	var resp Response
	var sent [16]Exchange
	buf := make([]byte, 64)
	ctx := context.Background()
	if err := c.Do(ctx, &req, &resp); err != nil {
		b.Fatal(err)
	}
	resp.Body.Close() // a response has shown that requests may be pipelined
	b.ReportAllocs()
	for b.Loop() {
		for i := range sent {
			var err error
			if sent[i], err = c.Send(ctx, &req); err != nil {
				b.Fatal(err)
			}
		}
		for _, x := range sent {
			if err := x.Wait(ctx, &resp); err != nil {
				b.Fatal(err)
			}
			if n, err := resp.Body.Read(buf); n != 13 || err != io.EOF {
				b.Fatal(n, err)
			}
		}
	}
}

func BenchmarkStep(b *testing.B) {
	l := newLife()
	for b.Loop() {
		for _, ev := range [...]event{evHeadEnd, evFinal, evLast} {
			if err := l.step(ev); err != nil {
				b.Fatal(err)
			}
		}
	}
}
