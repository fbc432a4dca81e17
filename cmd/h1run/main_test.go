package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// show runs the program's main job and returns what it printed, without the gutter: how
// the bytes fall into calls is the kernel's affair.
func show(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	err := run(&page{w: &out}, args)
	return regexp.MustCompile(`(?m)^ *((read|write) \d+|read|state)? `).ReplaceAllString(out.String(), ""), err
}

func wantLines(t *testing.T, out string, lines ...string) {
	t.Helper()
	rest := out
	for _, line := range lines {
		_, after, ok := strings.Cut(rest, line)
		if !ok {
			t.Fatalf("%q is missing, or not in its place, in\n%s", line, out)
		}
		rest = after
	}
}

func TestOwnServer(t *testing.T) {
	out, err := show(t)
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, out,
		"wIdle rIdle reuse n=0",
		"> GET /greeting HTTP/1.1", "wIdle rHead reuse n=1",
		"< HTTP/1.1 200 OK", "< Transfer-Encoding: chunked",
		"< 17 ", "a chunk of 23 bytes", "< Lines: 3 ", "end of the message",
		"wIdle rIdle reuse n=0", "Lines=3",
		"> POST /greeting HTTP/1.1", "> Content-Length: 46", "wBody rHead reuse n=1",
		"> \"A body of known length,\\n\"", "wIdle rHead reuse n=1",
		"< \"Thank you for 46 bytes.\\n\"", "wIdle rIdle reuse n=0",
		"2 requests, 2 responses, 1 connection: ")
}

func TestGivenServer(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			fmt.Fprint(w, strings.Repeat("long\x1b[31m", 100_000))
			return
		}
		io.Copy(w, r.Body)
	}))
	defer srv.Close()
	out, err := show(t, srv.URL+"/a?b=c")
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, out, "> GET /a?b=c HTTP/1.1", "...", "end of the message", "900000 bytes",
		"> POST /a?b=c HTTP/1.1", "< \"A body of known length,\\npushed\"...", "after 46 bytes")
	if strings.Contains(out, "\x1b") {
		t.Error("a server's control bytes reach the terminal")
	}
	if n := strings.Count(out, "\n"); n > 80 {
		t.Errorf("%d lines for two requests", n)
	}
}

func TestFailures(t *testing.T) {
	closing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
	}))
	defer closing.Close()
	for arg, want := range map[string]string{
		closing.URL:          "no second request on this connection",
		"ftp://example.com/": "not of the form",
		"http:///x":          "not of the form",
		"-h":                 "usage: ",
	} {
		if _, err := show(t, arg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("h1run %s: error %v, want %q in it", arg, err, want)
		}
	}
}
