package main

// rows_codec.go: rows 6 and 7: bytes to fields and fields to bytes, without a stream.
//
// h1's parser and encoder are not exported, and their cost cannot be told from the rest's
// over a stream. So each round runs the benchmarks of their own package, on the same bytes.

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/valyala/fasthttp"
)

// The heads of BenchmarkParseHead in bench_test.go, of 8 and of 15 fields.
const (
	ok        = "HTTP/1.1 200 OK\r\n"
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

// The request of BenchmarkEncode in encode_test.go: six fields and Host.
const (
	encodedURL  = "http://api.example.com/api/v1/items/12345?fields=name,price"
	encodedSize = 289
)

var encodedFields = [][2]string{
	{"User-Agent", "h1-bench/1.0"},
	{"Accept", "application/json"},
	{"Accept-Encoding", "gzip, br"},
	{"Authorization", "Bearer 0123456789abcdef0123456789abcdef"},
	{"X-Request-Id", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
	{"Cache-Control", "no-cache"},
}

func codecRows() []row {
	shows := []metric{wall, allocs, allocBytes}
	return []row{
		parseRow(smallHead, 120, shows),
		parseRow(largeHead, 400, shows),
		{
			number: "7", name: "encode", work: "encode a GET with 6 fields",
			pinned: true, shows: shows,
			contestants: []contestant{own("BenchmarkEncode/get"), encodeFast(), encodeHTTP()},
			targets:     []target{{what: wall, most: 0.5, of: "fasthttp"}},
		},
	}
}

func parseRow(head string, most float64, shows []metric) row {
	return row{
		number: "6", name: fmt.Sprint("parse", len(head)),
		work:   fmt.Sprintf("parse a head of %d bytes, framing decided", len(head)),
		pinned: true, shows: shows,
		contestants: []contestant{
			own(fmt.Sprint("BenchmarkParseHead/", len(head))), parseFast(head), parseHTTP(head),
		},
		targets: []target{
			{what: wall, most: 0.25, of: "fasthttp"},
			{what: wall, most: most},
		},
	}
}

func parseFast(head string) contestant {
	return contestant{name: "fasthttp", start: func(*env) func(int) {
		wire, in := []byte(head), bytes.NewReader(nil)
		buffered := bufio.NewReader(in)
		var h fasthttp.ResponseHeader
		return func(n int) {
			for range n {
				in.Reset(wire)
				buffered.Reset(in)
				check(h.Read(buffered))
				insist(h.ContentLength() > 0, "no length")
			}
		}
	}}
}

func parseHTTP(head string) contestant {
	return contestant{name: "net/http", start: func(*env) func(int) {
		wire, in := []byte(head), bytes.NewReader(nil)
		buffered := bufio.NewReader(in)
		return func(n int) {
			for range n {
				in.Reset(wire)
				buffered.Reset(in)
				resp, err := http.ReadResponse(buffered, nil)
				check(err)
				insist(resp.ContentLength > 0, "no length")
			}
		}
	}}
}

func encodeFast() contestant {
	return contestant{name: "fasthttp", start: func(*env) func(int) {
		var uri fasthttp.URI
		check(uri.Parse(nil, []byte(encodedURL)))
		var h fasthttp.RequestHeader
		h.SetRequestURIBytes(uri.RequestURI())
		h.SetHostBytes(uri.Host())
		for _, f := range encodedFields {
			h.Set(f[0], f[1])
		}
		var buf []byte
		return func(n int) {
			for range n {
				buf = h.AppendBytes(buf[:0])
			}
			insist(len(buf) == encodedSize, "encoded %d bytes", len(buf))
		}
	}}
}

func encodeHTTP() contestant {
	return contestant{name: "net/http", start: func(*env) func(int) {
		req, err := http.NewRequest("GET", encodedURL, nil)
		check(err)
		for _, f := range encodedFields {
			req.Header.Set(f[0], f[1])
		}
		var sent counter
		out := bufio.NewWriter(&sent)
		return func(n int) {
			sent = 0
			for range n {
				check(req.Write(out))
				check(out.Flush())
			}
			insist(int(sent) == n*encodedSize, "encoded %d bytes", sent)
		}
	}}
}

// A counter is io.Discard that counts.
type counter int

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// own returns h1, measured by a benchmark of its own package.
func own(benchmark string) contestant {
	return contestant{name: "h1", sample: func(e *env) (s sample) {
		run := exec.Command(ownBenchmarks(e.dir), "-test.run", "^$", "-test.benchtime", "80ms",
			"-test.bench", "^"+benchmark+"$")
		if e.profile != "" {
			run.Args = append(run.Args, "-test.cpuprofile", e.profile)
		}
		out, err := run.CombinedOutput()
		insist(err == nil, "%s", out)
		fields := benchmarkLine.FindSubmatch(out)
		insist(fields != nil, "no figures of %s in: %s", benchmark, out)
		for i, m := range []metric{wall, allocBytes, allocs} {
			s[m], err = strconv.ParseFloat(string(fields[i+1]), 64)
			check(err)
		}
		return s
	}}
}

var benchmarkLine = regexp.MustCompile(`([\d.]+) ns/op.*?(\d+) B/op\s+(\d+) allocs/op`)

// ownBenchmarks returns the program with the benchmarks of h1's package. It builds it if it
// is not there yet.
func ownBenchmarks(dir string) string {
	program := filepath.Join(dir, "h1.test")
	if _, err := os.Stat(program); err != nil {
		out, err := exec.Command("go", "test", "-c", "-o", program, "example.com/h1").CombinedOutput()
		insist(err == nil, "%s", out)
	}
	return program
}
