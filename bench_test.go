package h1

// bench_test.go: what the engine itself costs, with a stream that costs nothing. Against
// peers and floors: the module bench.

import (
	"bytes"
	"context"
	"fmt"
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

// The heads that benchmarks parse: of an API's answer and of a page behind a CDN.
var (
	smallHead = ok + "Server: nginx/1.25.3\r\nDate: Sat, 22 Nov 2025 10:00:00 GMT\r\nContent-Type: application/json\r\n" +
		"Content-Length: 1234\r\nConnection: keep-alive\r\nVary: Accept-Encoding\r\nETag: \"5f3-61a2b\"\r\nX-Request-Id: 7f9c2ba4e1d84c-0b61af2\r\n\r\n"
	largeHead = ok + "Date: Sat, 22 Nov 2025 10:00:00 GMT\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 48231\r\n" +
		"Connection: keep-alive\r\nCache-Control: public, max-age=300, s-maxage=600, stale-while-revalidate=60\r\nETag: W/\"bc67-18c4f0a2b31\"\r\n" +
		"Set-Cookie: session=eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N; Path=/; HttpOnly; Secure\r\n" +
		"Content-Security-Policy: default-src 'self'; script-src 'self' https://cdn.example.com; img-src * data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'\r\n" +
		"Strict-Transport-Security: max-age=31536000; includeSubDomains; preload\r\nX-Content-Type-Options: nosniff\r\nVary: Accept-Encoding, Cookie\r\n" +
		"Via: 1.1 varnish, 1.1 cache-fra-eddf8230045.example.net\r\nX-Cache: HIT, HIT\r\nServer-Timing: cdn-cache;desc=HIT, edge;dur=1, origin;dur=132, db;dur=53.2\r\n" +
		"Link: </static/app.css>; rel=preload; as=style, </static/app.js>; rel=preload; as=script, </static/fonts/inter-latin-400-normal.woff2>; rel=preload; as=font; crossorigin, </static/images/hero-1280.avif>; rel=preload\r\n\r\n"
)

// BenchmarkParseHead is from bytes to fields that can be used and a framing decided.
func BenchmarkParseHead(b *testing.B) {
	for _, head := range []string{smallHead, largeHead} {
		b.Run(fmt.Sprint(len(head)), func(b *testing.B) {
			var d headDecoder
			var r Response
			var q asked
			wire := []byte(head)
			b.ReportAllocs()
			b.SetBytes(int64(len(wire)))
			for b.Loop() {
				d.reset(0, testBytes, testFields)
				n, _, err := d.next(wire, &r)
				f, ferr := frame(&r, &q)
				if n != len(wire) || err != nil || ferr != nil || f.kind != framingLength {
					b.Fatal(n, err, ferr, f)
				}
			}
		})
	}
}
