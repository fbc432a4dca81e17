package h1http

// bench_test.go: what a request costs, beside http.Transport.

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

const eightFields = "HTTP/1.1 200 OK\r\nServer: nginx/1.27.0\r\nDate: Mon, 23 Nov 2026 01:13:25 GMT\r\n" +
	"Content-Type: text/html; charset=utf-8\r\nContent-Length: 13\r\nLast-Modified: Mon, 23 Nov 2026 00:00:00 GMT\r\n" +
	"Connection: keep-alive\r\nETag: \"65f2-1a\"\r\nAccept-Ranges: bytes\r\n\r\nHello, world!"

// fixedServer answers each request with the same bytes, and allocates nothing for it.
func fixedServer(tb testing.TB, answer string) string {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { ln.Close() })
	out := []byte(answer)
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				br := bufio.NewReader(nc)
				for {
					line, err := br.ReadSlice('\n')
					if err != nil {
						return
					}
					if len(line) <= 2 {
						nc.Write(out)
					}
				}
			}()
		}
	}()
	return "http://" + ln.Addr().String() + "/path?query=1"
}

func oneGet(tb testing.TB, rt http.RoundTripper, req *http.Request, buf []byte) {
	resp, err := rt.RoundTrip(req)
	if err != nil {
		tb.Fatal(err)
	}
	for {
		if _, err = resp.Body.Read(buf); err != nil {
			break
		}
	}
	if err != io.EOF {
		tb.Fatal(err)
	}
	resp.Body.Close()
}

// TestAllocs holds the number of allocations for a GET with eight fields in the response,
// everything included but the making of the http.Request.
func TestAllocs(t *testing.T) {
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector makes pools forget")
	}
	noLeak(t)
	url := fixedServer(t, eightFields)
	tr := &Transport{}
	defer tr.CloseIdleConnections()
	req, _ := http.NewRequest("GET", url, nil)
	buf := make([]byte, 512)
	const most = 12
	if n := testing.AllocsPerRun(200, func() { oneGet(t, tr, req, buf) }); n > most {
		t.Errorf("%v allocations, more than %d", n, most)
	} else {
		t.Logf("%v allocations", n)
	}
}

func benchGet(b *testing.B, rt http.RoundTripper, url string) {
	req, _ := http.NewRequest("GET", url, nil)
	buf := make([]byte, 512)
	oneGet(b, rt, req, buf)
	b.ReportAllocs()
	for b.Loop() {
		oneGet(b, rt, req, buf)
	}
}

func BenchmarkGet(b *testing.B) {
	url := fixedServer(b, eightFields)
	b.Run("h1http", func(b *testing.B) {
		tr := &Transport{}
		defer tr.CloseIdleConnections()
		benchGet(b, tr, url)
	})
	b.Run("net/http", func(b *testing.B) {
		tr := &http.Transport{}
		defer tr.CloseIdleConnections()
		benchGet(b, tr, url)
	})
}

func BenchmarkGetParallel(b *testing.B) {
	url := fixedServer(b, eightFields)
	run := func(b *testing.B, rt http.RoundTripper) {
		b.ReportAllocs()
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			req, _ := http.NewRequest("GET", url, nil)
			buf := make([]byte, 512)
			for pb.Next() {
				oneGet(b, rt, req, buf)
			}
		})
	}
	b.Run("h1http", func(b *testing.B) {
		tr := &Transport{MaxIdleConnsPerHost: 64}
		defer tr.CloseIdleConnections()
		run(b, tr)
	})
	b.Run("h1http/Depth=16", func(b *testing.B) {
		tr := &Transport{MaxIdleConnsPerHost: 64, MaxConnsPerHost: 1, Depth: 16}
		defer tr.CloseIdleConnections()
		run(b, tr)
	})
	b.Run("net/http", func(b *testing.B) {
		tr := &http.Transport{MaxIdleConnsPerHost: 64}
		defer tr.CloseIdleConnections()
		run(b, tr)
	})
}

func BenchmarkPost(b *testing.B) {
	url := fixedServer(b, eightFields) // the body has no newline
	run := func(b *testing.B, rt http.RoundTripper) {
		b.ReportAllocs()
		buf := make([]byte, 512)
		for b.Loop() {
			req, _ := http.NewRequest("POST", url, strings.NewReader("a=1&b=2"))
			oneGet(b, rt, req, buf)
		}
	}
	b.Run("h1http", func(b *testing.B) {
		tr := &Transport{}
		defer tr.CloseIdleConnections()
		run(b, tr)
	})
	b.Run("net/http", func(b *testing.B) {
		tr := &http.Transport{}
		defer tr.CloseIdleConnections()
		run(b, tr)
	})
}

func BenchmarkClient(b *testing.B) {
	url := fixedServer(b, eightFields)
	run := func(b *testing.B, rt http.RoundTripper) {
		client := &http.Client{Transport: rt}
		buf := make([]byte, 512)
		b.ReportAllocs()
		for b.Loop() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			req, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
			resp, err := client.Do(req)
			if err != nil {
				b.Fatal(err)
			}
			for err == nil {
				_, err = resp.Body.Read(buf)
			}
			resp.Body.Close()
			cancel()
		}
	}
	b.Run("h1http", func(b *testing.B) {
		tr := &Transport{}
		defer tr.CloseIdleConnections()
		run(b, tr)
	})
	b.Run("net/http", func(b *testing.B) {
		tr := &http.Transport{}
		defer tr.CloseIdleConnections()
		run(b, tr)
	})
}
