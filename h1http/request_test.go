package h1http

// request_test.go: what is sent, and what becomes of its body.

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/h1"
)

// closeCounter is a body that knows how often it was closed.
type closeCounter struct {
	io.Reader
	n   atomic.Int32
	err error // of Close
}

func (c *closeCounter) Close() error {
	c.n.Add(1)
	return c.err
}

// wire sends a request and returns its bytes, up to the end of the head.
func wire(t *testing.T, change func(*http.Request)) (string, error) {
	t.Helper()
	var head string
	got := make(chan string, 1)
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
		var b strings.Builder
		for {
			line, err := br.ReadString('\n')
			b.WriteString(line)
			if err != nil || line == "\r\n" {
				break
			}
		}
		got <- b.String()
		io.WriteString(nc, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	})
	req := newRequest(t, "GET", url+"/p?q", nil)
	req.Host = "h.example"
	change(req)
	before := maps.Clone(req.Header)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return "", err
	}
	slurp(t, resp)
	if resp.Request != req {
		t.Error("Response.Request is another")
	}
	if fmt.Sprint(before) != fmt.Sprint(req.Header) {
		t.Errorf("the request was changed: %v", req.Header)
	}
	head = <-got
	return head, nil
}

func TestWire(t *testing.T) {
	const rest = "\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n"
	for name, test := range map[string]struct {
		change func(*http.Request)
		want   string
	}{
		"plain":           {func(r *http.Request) {}, "GET /p?q HTTP/1.1\r\nHost: h.example" + rest},
		"empty method":    {func(r *http.Request) { r.Method = "" }, "GET /p?q HTTP/1.1\r\nHost: h.example" + rest},
		"own method":      {func(r *http.Request) { r.Method = "FOO" }, "FOO /p?q HTTP/1.1\r\nHost: h.example" + rest},
		"opaque":          {func(r *http.Request) { r.URL.Opaque = "/%2F/" }, "GET /%2F/?q HTTP/1.1\r\nHost: h.example" + rest},
		"opaque absolute": {func(r *http.Request) { r.URL.Opaque = "//o.example/x" }, "GET http://o.example/x?q HTTP/1.1\r\nHost: h.example" + rest},
		"star": {func(r *http.Request) { r.Method, r.URL.Path, r.URL.RawQuery = "OPTIONS", "*", "" },
			"OPTIONS * HTTP/1.1\r\nHost: h.example" + rest},
		"raw query":                     {func(r *http.Request) { r.URL.RawQuery = "a=é b#c" }, "GET /p?a=%C3%A9%20b%23c HTTP/1.1\r\nHost: h.example" + rest},
		"rootless":                      {func(r *http.Request) { r.URL.Path = "p" }, "GET /p?q HTTP/1.1\r\nHost: h.example" + rest},
		"invalid host":                  {func(r *http.Request) { r.Host = "/tmp/a socket" }, "GET /p?q HTTP/1.1\r\nHost: " + rest},
		"zone":                          {func(r *http.Request) { r.Host = "[fe80::1%25eth0]:80" }, "GET /p?q HTTP/1.1\r\nHost: [fe80::1]:80" + rest},
		"international":                 {func(r *http.Request) { r.Host = "Bücher.example:81" }, "GET /p?q HTTP/1.1\r\nHost: xn--bcher-kva.example:81" + rest},
		"international, without a port": {func(r *http.Request) { r.Host = "Bücher.example" }, "GET /p?q HTTP/1.1\r\nHost: xn--bcher-kva.example" + rest},
		"international to its end":      {func(r *http.Request) { r.Host = "пример.испытание:81" }, "GET /p?q HTTP/1.1\r\nHost: xn--e1afmkfd.xn--80akhbyknj4f:81" + rest},
		"own agent": {func(r *http.Request) { r.Header.Set("User-Agent", "me") },
			"GET /p?q HTTP/1.1\r\nHost: h.example\r\nUser-Agent: me\r\nAccept-Encoding: gzip\r\n\r\n"},
		"agent by hand": {func(r *http.Request) { r.Header["user-agent"] = []string{"me"} },
			"GET /p?q HTTP/1.1\r\nHost: h.example\r\nUser-Agent: Go-http-client/1.1\r\nuser-agent: me\r\nAccept-Encoding: gzip\r\n\r\n"},
		"no agent": {func(r *http.Request) { r.Header.Set("User-Agent", "") },
			"GET /p?q HTTP/1.1\r\nHost: h.example\r\nAccept-Encoding: gzip\r\n\r\n"},
		"framing by hand": {func(r *http.Request) {
			r.Header = http.Header{"Host": {"evil"}, "Content-Length": {"7"}, "transfer-encoding": {"chunked"}, "Trailer": {"X"}}
		}, "GET /p?q HTTP/1.1\r\nHost: h.example" + rest},
		"sorted": {func(r *http.Request) { r.Header = http.Header{"b": {"2"}, "A": {"1", "3"}, "User-Agent": nil} },
			"GET /p?q HTTP/1.1\r\nHost: h.example\r\nA: 1\r\nA: 3\r\nb: 2\r\nAccept-Encoding: gzip\r\n\r\n"},
		"close": {func(r *http.Request) { r.Close = true },
			"GET /p?q HTTP/1.1\r\nHost: h.example\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"},
		"key not sent": {func(r *http.Request) { r.Header["Idempotency-Key"] = []string{} }, "GET /p?q HTTP/1.1\r\nHost: h.example" + rest},
		"empty POST": {func(r *http.Request) { r.Method = "POST" },
			"POST /p?q HTTP/1.1\r\nHost: h.example\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\nContent-Length: 0\r\n\r\n"},
		"HEAD": {func(r *http.Request) { r.Method = "HEAD" }, "HEAD /p?q HTTP/1.1\r\nHost: h.example\r\nUser-Agent: Go-http-client/1.1\r\n\r\n"},
		"CONNECT": {func(r *http.Request) {
			r.Method, r.URL = "CONNECT", &url.URL{Scheme: "http", Host: r.URL.Host, Opaque: "h.example:1"}
		},
			"CONNECT h.example:1 HTTP/1.1\r\nHost: h.example\r\nUser-Agent: Go-http-client/1.1\r\n\r\n"},
		"trailers": {func(r *http.Request) {
			r.Body, r.Trailer = io.NopCloser(strings.NewReader("x")), http.Header{"E": nil, "d": nil, "A": nil, "C": nil, "B": nil}
		}, "GET /p?q HTTP/1.1\r\nHost: h.example\r\nUser-Agent: Go-http-client/1.1\r\nTrailer: A,B,C,D,E\r\nAccept-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"},
		"expect without body": {func(r *http.Request) { r.Header.Set("Expect", "100-continue") }, "GET /p?q HTTP/1.1\r\nHost: h.example" + rest},
		"empty body of GET":   {func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("")) }, "GET /p?q HTTP/1.1\r\nHost: h.example" + rest},
		"empty body of GET, chunked by hand": {func(r *http.Request) {
			r.Body, r.TransferEncoding = io.NopCloser(strings.NewReader("")), []string{"chunked"}
		}, "GET /p?q HTTP/1.1\r\nHost: h.example\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"},
		"no body, chunked by hand, with a trailer": {func(r *http.Request) {
			r.Body, r.TransferEncoding, r.Trailer = http.NoBody, []string{"chunked"}, http.Header{"Sum": {"e3b0"}}
		}, "GET /p?q HTTP/1.1\r\nHost: h.example\r\nUser-Agent: Go-http-client/1.1\r\nTrailer: Sum\r\nAccept-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"},
		"body of known length, chunked by hand": {func(r *http.Request) {
			r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(strings.NewReader("x")), 1, []string{"chunked"}
		}, "GET /p?q HTTP/1.1\r\nHost: h.example\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"},
		"body of GET": {func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("x")) },
			"GET /p?q HTTP/1.1\r\nHost: h.example\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"},
		"expect, said thrice": {func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), 1
			r.Header = http.Header{"Expect": {"100-CONTINUE, 100-continue"}, "eXpEcT": {"100-continue"}}
		}, "GET /p?q HTTP/1.1\r\nHost: h.example\r\nUser-Agent: Go-http-client/1.1\r\nExpect: 100-continue\r\nAccept-Encoding: gzip\r\nContent-Length: 1\r\n\r\n"},
		"expect nothing": {func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), 1
			r.Header = http.Header{"Expect": {"", " , "}}
		}, "GET /p?q HTTP/1.1\r\nHost: h.example\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\nContent-Length: 1\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := wire(t, test.change)
			if err != nil || got != test.want {
				t.Errorf("%v\n got %q\nwant %q", err, got, test.want)
			}
		})
	}
}

// TestInvalid: a request that may not be sent has its body closed, once, all the same.
func TestInvalid(t *testing.T) {
	noLeak(t)
	tr := &Transport{Proxy: func(r *http.Request) (*url.URL, error) {
		if r.Host == "proxyfail" {
			return nil, errors.New("no proxy today")
		}
		return nil, nil
	}}
	for name, change := range map[string]func(*http.Request){
		"no URL":        func(r *http.Request) { r.URL = nil },
		"no header":     func(r *http.Request) { r.Header = nil },
		"scheme":        func(r *http.Request) { r.URL.Scheme = "gopher" },
		"no scheme":     func(r *http.Request) { r.URL.Scheme = "" },
		"method":        func(r *http.Request) { r.Method = " " },
		"no host":       func(r *http.Request) { r.URL.Host = "" },
		"name":          func(r *http.Request) { r.Header[" "] = []string{"x"} },
		"empty name":    func(r *http.Request) { r.Header[""] = []string{"x"} },
		"value":         func(r *http.Request) { r.Header["A"] = []string{"x\ny"} },
		"trailer name":  func(r *http.Request) { r.Trailer = http.Header{"a:b": nil} },
		"trailer value": func(r *http.Request) { r.Trailer = http.Header{"A": {"\r"}} },
		"trailer key":   func(r *http.Request) { r.Trailer = http.Header{"Content-Length": nil} },
		"proxy's error": func(r *http.Request) { r.Host = "proxyfail" },
		"dial":          func(r *http.Request) { r.URL.Host = "127.0.0.1:1" },
		"port":          func(r *http.Request) { r.URL.Host = "127.0.0.1:123456" },
		"canceled already": func(r *http.Request) {
			c := make(chan struct{})
			close(c)
			//lint:ignore SA1019 http.Client uses it for its Timeout
			r.Cancel, r.URL.Host = c, "192.0.2.1:1"
		},
	} {
		t.Run(name, func(t *testing.T) {
			body := &closeCounter{Reader: strings.NewReader("x")}
			req := newRequest(t, "POST", "http://127.0.0.1:1/", nil)
			req.Body = body
			change(req)
			resp, err := tr.RoundTrip(req)
			if resp != nil || err == nil || body.n.Load() != 1 {
				t.Errorf("%v %v, closed %d times", resp, err, body.n.Load())
			}
			var op *net.OpError
			if dialed := errors.As(err, &op); dialed != (name == "dial" || name == "port") {
				t.Errorf("dialed %v: %v", dialed, err)
			}
		})
	}
	tr.CloseIdleConnections() // ends the dial of "canceled already"
	if _, err := tr.RoundTrip(&http.Request{Method: "POST", URL: &url.URL{Scheme: "http", Host: "x"}, Header: http.Header{}, ContentLength: 5}); err == nil {
		t.Error("a length without a body was accepted")
	}
}

// TestRefused: what is refused once there is a connection, for no server could read it as
// it was meant.
func TestRefused(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"control byte in URL":         func(r *http.Request) { r.URL.RawQuery = "a\x7f" },
		"control byte behind a space": func(r *http.Request) { r.URL.RawQuery = "a b\x1f" },
		"host":                        func(r *http.Request) { r.Host = "\xff" },
		"path of CONNECT":             func(r *http.Request) { r.Method, r.Host = "CONNECT", "h.example:1" },
		"expectation": func(r *http.Request) {
			r.Body, r.ContentLength, r.Header = io.NopCloser(strings.NewReader("x")), 1, http.Header{"Expect": {"100-continue, more"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			if sent, err := wire(t, change); err == nil {
				t.Errorf("sent %q", sent)
			}
		})
	}
}

// TestHosts: what may stand in a Host field, and what is sent as none.
func TestHosts(t *testing.T) {
	for host, want := range map[string]string{
		"a.example": "a.example", "a.example:80": "a.example:80", "a.example:": "a.example:", "a_b": "a_b", "192.0.2.1:1": "192.0.2.1:1",
		"[::1]": "[::1]", "[::1]:80": "[::1]:80", "[fe80::1%25eth0]": "[fe80::1]", "[fe80::1%25eth0]:80": "[fe80::1]:80", "a%25b": "a%25b",
		"": "", ":80": "", "a b": "", "a/b": "", "a:b": "", "a:8o": "", "a:+8": "", "a::80": "", "a:80:80": "", "a@b": "", "a,b": "",
		"::1": "", "[]": "", "[]:80": "", "[::1": "", "::1]": "", "[::1]x": "", "[::1]x:80": "", "x[::1]": "", "[[::1]": "", "[::1]]": "",
		"[::1 ]": "", "[::1]:": "[::1]:", "[::1]:x": "", "a]": "", "[a": "",
	} {
		hreq := &http.Request{Host: host, URL: &url.URL{}}
		if got, err := hostOf(hreq, false); err != nil || got != want {
			t.Errorf("%q: sent as %q, want %q, %v", host, got, want, err)
		}
		if _, err := hostOf(hreq, true); (err == nil) != (want != "") {
			t.Errorf("%q, to a proxy: %v", host, err)
		}
	}
	if got, err := hostOf(&http.Request{URL: &url.URL{Host: "u.example:80"}}, false); err != nil || got != "u.example:80" {
		t.Errorf("none, so that of the URL: %q, %v", got, err)
	}
}

// TestBodyClosed: the body of a request that is sent is closed, once, whatever becomes of
// it.
func TestBodyClosed(t *testing.T) {
	broken := errors.New("broken body")
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			switch req.URL.Path {
			case "/hangup":
				return
			case "/early":
				io.WriteString(nc, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
				time.Sleep(50 * time.Millisecond)
				return
			}
			if _, err := io.ReadAll(req.Body); err != nil {
				return
			}
			io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	for _, test := range []struct {
		name, path string
		body       io.Reader
		length     int64
		close      error
		status     int
		want       error
	}{
		{"sent", "/", strings.NewReader("hello"), 5, nil, 200, nil},
		{"sent chunked", "/", strings.NewReader("hello"), -1, nil, 200, nil},
		{"large", "/", strings.NewReader(strings.Repeat("x", 1<<20)), 1 << 20, nil, 200, nil},
		{"too short", "/", strings.NewReader("hello"), 6, nil, 0, h1.BodyFailed},
		{"too long", "/", strings.NewReader("hello"), 4, nil, 0, h1.BodyFailed},
		{"broken", "/", io.MultiReader(strings.NewReader("x"), errReader{broken}), -1, nil, 0, broken},
		{"broken at its close", "/", strings.NewReader("hello"), -1, broken, 0, broken},
		{"hangup", "/hangup", strings.NewReader("hello"), 5, nil, 0, h1.Incomplete},
		{"early answer", "/early", &endless{}, -1, nil, 413, nil},
		{"empty", "/", strings.NewReader(""), -1, nil, 200, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := &closeCounter{Reader: test.body, err: test.close}
			req := newRequest(t, "POST", url+test.path, nil)
			req.Body, req.ContentLength = body, test.length
			resp, err := tr.RoundTrip(req)
			switch {
			case test.status == 0:
				if test.name == "hangup" && err != nil {
					break // how a reset shows depends on how far the body had gone out
				}
				if !errors.Is(err, test.want) {
					t.Errorf("%v, want %v", err, test.want)
				}
			case err != nil:
				t.Fatal(err)
			default:
				if slurp(t, resp); resp.StatusCode != test.status {
					t.Errorf("status %d", resp.StatusCode)
				}
			}
			eventually(t, "closed", func() bool { return body.n.Load() > 0 })
			time.Sleep(5 * time.Millisecond)
			if n := body.n.Load(); n != 1 {
				t.Errorf("closed %d times", n)
			}
		})
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// endless is a body without end, that does not hurry.
type endless struct{}

func (*endless) Read(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return min(len(p), 1000), nil
}

// TestEarlyAnswerUnblocks: the answer ends a body that is stuck in a Read.
func TestEarlyAnswerUnblocks(t *testing.T) {
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
		http.ReadRequest(br)
		io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		br.ReadByte()
	})
	pr, pw := io.Pipe()
	if got := do(t, tr, newRequest(t, "POST", url, pr)); got != "ok" {
		t.Errorf("got %q", got)
	}
	if _, err := pw.Write([]byte("x")); err != io.ErrClosedPipe {
		t.Errorf("the body is still open: %v", err)
	}
	if _, conns := tr.counts(""); conns != 0 {
		t.Error("the connection is kept")
	}
}

// TestBothWays: a response streams while its request does.
func TestBothWays(t *testing.T) {
	r := newRig(t, false, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			w.Write(buf[:n])
			w.(http.Flusher).Flush()
			if err != nil {
				return
			}
		}
	})
	pr, pw := io.Pipe()
	resp, err := r.tr.RoundTrip(newRequest(t, "POST", r.URL, pr))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 10)
	for i := range 20 {
		want := fmt.Sprintf("part %05d", i)
		io.WriteString(pw, want)
		if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != want {
			t.Fatalf("%q %v", buf, err)
		}
	}
	pw.Close()
	if rest := slurp(t, resp); rest != "" {
		t.Errorf("rest %q", rest)
	}
}

func TestTrailers(t *testing.T) {
	r := newRig(t, false, func(w http.ResponseWriter, r *http.Request) {
		if len(r.Trailer) != 2 {
			t.Errorf("announced: %v", r.Trailer)
		}
		b, _ := io.ReadAll(r.Body)
		if r.Trailer.Get("Client-A") != "1" || r.Trailer.Get("Client-B") != string(b) {
			t.Errorf("trailer %v", r.Trailer)
		}
		w.Header().Set("Trailer", "Server-A")
		w.Header().Add("Trailer", "Server-B, Server-C")
		w.Write(b)
		w.Header().Set("Server-A", "1")
		w.Header().Set("Server-C", "3")
	})
	req := newRequest(t, "POST", r.URL, nil)
	req.Trailer = http.Header{"Client-A": nil, "Client-B": nil}
	sent := false
	req.Body = io.NopCloser(readerFunc(func(p []byte) (int, error) {
		if sent {
			req.Trailer.Set("Client-A", "1")
			req.Trailer.Set("Client-B", "data")
			return 0, io.EOF
		}
		sent = true
		return copy(p, "data"), nil
	}))
	resp, err := r.tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if want := (http.Header{"Server-A": nil, "Server-B": nil, "Server-C": nil}); fmt.Sprint(resp.Trailer) != fmt.Sprint(want) {
		t.Errorf("announced: %v", resp.Trailer)
	}
	if got := slurp(t, resp); got != "data" {
		t.Errorf("body %q", got)
	}
	if want := (http.Header{"Server-A": {"1"}, "Server-B": nil, "Server-C": {"3"}}); fmt.Sprint(resp.Trailer) != fmt.Sprint(want) {
		t.Errorf("trailer %v", resp.Trailer)
	}

	empty := newRequest(t, "POST", r.URL, http.NoBody)
	empty.TransferEncoding = []string{"chunked"}
	empty.Trailer = http.Header{"Client-A": {"1"}, "Client-B": {""}}
	if got := do(t, r.tr, empty); got != "" {
		t.Errorf("body %q", got)
	}
}

// TestForbiddenTrailer: a field that may not stand in a trailer is refused before a byte of
// the request goes out, and the connection serves the next. Behind a body of known length
// there is no trailer, and one that the caller has emptied by the body's end is none.
func TestForbiddenTrailer(t *testing.T) {
	var heads atomic.Int32
	r := newRig(t, false, func(w http.ResponseWriter, r *http.Request) {
		heads.Add(1)
		io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, r.Trailer)
	})
	get(t, r.tr, r.URL)
	req := newRequest(t, "POST", r.URL, readerFunc(strings.NewReader("x").Read))
	req.Trailer = http.Header{"X": nil, "Date": {"today"}}
	_, err := r.tr.RoundTrip(req)
	if e := (*h1.Error)(nil); !errors.As(err, &e) || e.Kind != h1.BadRequest || e.Sent != h1.SentNothing {
		t.Errorf("%v", err)
	}
	req = newRequest(t, "POST", r.URL, strings.NewReader("x"))
	req.Trailer = http.Header{"Date": {"today"}}
	if got := do(t, r.tr, req); got != "map[]" {
		t.Errorf("known length: %s", got)
	}
	req = newRequest(t, "POST", r.URL, readerFunc(func([]byte) (int, error) {
		delete(req.Trailer, "X")
		return 0, io.EOF
	}))
	req.Trailer = http.Header{"X": {"1"}}
	if got := do(t, r.tr, req); got != "map[X:[]]" {
		t.Errorf("emptied: %s", got)
	}
	if n := r.dials.Load(); n != 1 || heads.Load() != 3 {
		t.Errorf("%d connections, %d requests", n, heads.Load())
	}
}

// TestLateTrailer: a trailer field that may not be sent is refused also where it is put in
// while the body is read, and nothing of it goes out.
func TestLateTrailer(t *testing.T) {
	for name, value := range map[string]string{"X": "evil\r\nInjected: 1", "Y\r\nInjected: 1": "v"} {
		got := make(chan string, 1)
		url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
			all, _ := io.ReadAll(br)
			got <- string(all)
		})
		req := newRequest(t, "POST", url, readerFunc(strings.NewReader("").Read))
		req.Trailer = http.Header{"X": nil}
		n := 0
		req.Body = io.NopCloser(readerFunc(func(p []byte) (int, error) {
			if n++; n <= 2 { // a first write is out before the last Read
				return copy(p, strings.Repeat("x", len(p))), nil
			}
			req.Trailer[name] = []string{value}
			return 0, io.EOF
		}))
		_, err := tr.RoundTrip(req)
		if e := (*h1.Error)(nil); !errors.As(err, &e) || e.Kind != h1.BadRequest {
			t.Errorf("%q: %v", name, err)
		}
		if all := <-got; !strings.Contains(all, "xxx") || strings.Contains(all, "Injected") {
			t.Errorf("%q: sent %.200q", name, all)
		}
	}
}

func TestExpect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		url, tr := rawPipes(t, func(nc net.Conn, br *bufio.Reader, _ int) {
			for {
				req, err := http.ReadRequest(br)
				if err != nil {
					return
				}
				switch req.URL.Path {
				case "/continue":
					io.WriteString(nc, "HTTP/1.1 100 Continue\r\n\r\n")
				case "/refuse":
					io.WriteString(nc, "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
					return
				}
				b, err := io.ReadAll(req.Body)
				if err != nil {
					return
				}
				fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
			}
		})
		for _, test := range []struct {
			path   string
			wait   time.Duration
			want   int
			read   bool
			within time.Duration
		}{
			{"/continue", 10 * time.Second, 200, true, 5 * time.Second},
			{"/refuse", 10 * time.Second, 417, false, 5 * time.Second},
			{"/silent", 50 * time.Millisecond, 200, true, 5 * time.Second},
			{"/silent", 0, 200, true, 40 * time.Millisecond},
		} {
			tr.CloseIdleConnections()
			tr.ExpectContinueTimeout = test.wait
			var read atomic.Bool
			src := strings.NewReader("body")
			body := &closeCounter{Reader: readerFunc(func(p []byte) (int, error) {
				read.Store(true)
				return src.Read(p)
			})}
			req := newRequest(t, "POST", url+test.path, nil)
			req.Body, req.ContentLength = body, 4
			req.Header.Set("Expect", "100-continue")
			start := time.Now()
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			took := time.Since(start)
			b := slurp(t, resp)
			if resp.StatusCode != test.want || read.Load() != test.read || took > test.within || took < min(test.wait, 40*time.Millisecond) && test.path == "/silent" {
				t.Errorf("%s: %d %q, read %v, took %v", test.path, resp.StatusCode, b, read.Load(), took)
			}
			if body.n.Load() != 1 {
				t.Errorf("%s: closed %d times", test.path, body.n.Load())
			}
		}
	})
}

// TestSlowBodyOfGet: a body that takes its time is taken for one, and waits for nothing.
func TestSlowBodyOfGet(t *testing.T) {
	r := newRig(t, false, echo)
	for _, early := range []bool{true, false} {
		pr, pw := io.Pipe()
		go func() {
			if !early {
				time.Sleep(sniffTime + 50*time.Millisecond)
			}
			io.WriteString(pw, "slow ")
			io.WriteString(pw, "body")
			pw.Close()
		}()
		if got := do(t, r.tr, newRequest(t, "GET", r.URL, pr)); got != "GET / 9 slow body" {
			t.Errorf("got %q", got)
		}
	}
	pr, pw := io.Pipe()
	broken := errors.New("broken")
	pw.CloseWithError(broken)
	if _, err := r.tr.RoundTrip(newRequest(t, "GET", r.URL, pr)); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

// TestBodyClosedUnsent: the same where it does not come to sending: for want of a
// connection.
func TestBodyClosedUnsent(t *testing.T) {
	silent := func(nc net.Conn, br *bufio.Reader, _ int) { io.Copy(io.Discard, br) }
	refuses := rawServer(t, answers("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"))
	for name, test := range map[string]struct {
		url string
		set func(*Transport, string)
	}{
		"dial":             {"http://x.example", func(tr *Transport, _ string) { tr.DialContext = hangingDial }},
		"handshake":        {"https", func(tr *Transport, _ string) {}},
		"CONNECT":          {"https://x.example", func(tr *Transport, u string) { tr.Proxy = through(u) }},
		"refused":          {"https://x.example", func(tr *Transport, _ string) { tr.Proxy = through(refuses) }},
		"SOCKS5":           {"http://x.example", func(tr *Transport, u string) { tr.Proxy = through(strings.Replace(u, "http", "socks5", 1)) }},
		"proxy's dial":     {"https://x.example", func(tr *Transport, _ string) { tr.Proxy, tr.DialContext = through("http://p.example"), hangingDial }},
		"turn":             {"http", func(tr *Transport, u string) { tr.MaxConnsPerHost = 1 }},
		"host":             {"http://x.example", func(tr *Transport, u string) { tr.Proxy = through(u) }},
		"handshake's time": {"https", func(tr *Transport, _ string) { tr.TLSHandshakeTimeout = time.Millisecond }},
	} {
		t.Run(name, func(t *testing.T) {
			u, tr := rawRig(t, silent)
			test.set(tr, u)
			to := test.url
			if !strings.Contains(to, ":") {
				to = strings.Replace(u, "http", to, 1)
			}
			if name == "turn" {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				go tr.RoundTrip(newRequest(t, "GET", to, nil).WithContext(ctx))
				eventually(t, "one connection", func() bool { _, n := tr.counts(""); return n == 1 })
			}
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
			defer cancel()
			body := &closeCounter{Reader: strings.NewReader("x")}
			req := newRequest(t, "POST", to, nil).WithContext(ctx)
			req.Body = body
			if name == "host" {
				req.Host = "no host"
			}
			resp, err := tr.RoundTrip(req)
			if resp != nil || err == nil || body.n.Load() != 1 || name == "host" && !strings.Contains(err.Error(), "invalid Host") {
				t.Errorf("%v %v, closed %d times", resp, err, body.n.Load())
			}
			cancel()
			eventually(t, "no dial", func() bool { tr.CloseIdleConnections(); _, n := tr.counts(""); return n == 0 || name == "turn" })
		})
	}
}

func hangingDial(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// mute takes nothing.
type mute struct{ net.Conn }

func (mute) Write([]byte) (int, error) { return 0, errors.New("broken") }

// TestRetryIsNotUnprocessed: a server has read a request, and hung up. Where nothing of the
// second attempt gets out, the error does not say that the server did not act.
func TestRetryIsNotUnprocessed(t *testing.T) {
	var tries, dials atomic.Int32
	url, tr := rawRig(t, hangsUp(t, "head", &tries))
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil && dials.Add(1) > 1 {
			nc = mute{nc}
		}
		return nc, err
	}
	get(t, tr, url)
	req := newRequest(t, "POST", url, nil)
	req.Header.Set("Idempotency-Key", "1")
	_, err := tr.RoundTrip(req)
	var e *h1.Error
	if !errors.As(err, &e) || e.Kind != h1.IO || e.Unprocessed() || !e.Retryable("POST") || dials.Load() != 2 {
		t.Errorf("%v after %d connections", err, dials.Load())
	}
}

// TestIsUpgrade: a request asks for another protocol by both fields.
func TestIsUpgrade(t *testing.T) {
	for _, k := range []struct {
		connection, upgrade []string
		want                bool
	}{
		{[]string{"Upgrade"}, []string{"x"}, true},
		{[]string{"keep-alive, upgrade"}, []string{"x"}, true},
		{[]string{"Upgrade"}, nil, false},
		{[]string{"keep-alive"}, []string{"x"}, false},
		{nil, []string{"x"}, false},
	} {
		if got := isUpgrade(http.Header{"Connection": k.connection, "Upgrade": k.upgrade}); got != k.want {
			t.Errorf("%q, %q: %v", k.connection, k.upgrade, got)
		}
	}
}
