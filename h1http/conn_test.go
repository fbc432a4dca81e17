package h1http

// conn_test.go: what a Conn does as a Transport does, but in its own way.

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/h1"
)

// pipeConn returns a Conn to a server, in a bubble.
func pipeConn(t *testing.T, serve func(net.Conn, *bufio.Reader, int)) (string, *Transport, *Conn) {
	url, tr := rawPipes(t, serve)
	return url, tr, connTo(t, tr, url)
}

// TestConnRefuses: a Conn refuses what a Transport refuses, closes its body, and gives back
// the slot that was reserved for it.
func TestConnRefuses(t *testing.T) {
	for want, change := range map[string]func(*http.Request){
		"nil Request.URL":           func(r *http.Request) { r.URL = nil },
		"invalid header field":      func(r *http.Request) { r.Header["A"] = []string{"x\ny"} },
		"invalid header field name": func(r *http.Request) { r.Header["a b"] = []string{"x"} },
		"nil Request.Header":        func(r *http.Request) { r.Header = nil },
		"invalid trailer field":     func(r *http.Request) { r.Trailer = http.Header{"A": {"\r"}} },
		"invalid Trailer key":       func(r *http.Request) { r.Trailer = http.Header{"Trailer": nil} },
		"invalid method":            func(r *http.Request) { r.Method = "P T" },
		"no Host in request URL":    func(r *http.Request) { r.URL.Host = "" },
		"not valid UTF-8":           func(r *http.Request) { r.Host, r.URL.Host = "\xff", "\xff" },
		"context deadline exceed":   nil, // it waits for a slot
	} {
		synctest.Test(t, func(t *testing.T) {
			url, _, c := pipeConn(t, answers(okAnswer))
			if err := c.Reserve(); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			body := &closeCounter{Reader: strings.NewReader("x")}
			req := newRequest(t, "POST", url, nil).WithContext(ctx)
			req.Body = body
			if change == nil {
				first, err := c.RoundTrip(newRequest(t, "GET", url, nil))
				if err != nil {
					t.Fatal(err)
				}
				defer slurp(t, first)
			} else {
				change(req)
			}
			resp, err := c.RoundTrip(req)
			if resp != nil || err == nil || !strings.Contains(err.Error(), want) || body.n.Load() != 1 {
				t.Errorf("%s: %v, %v, closed %d times", want, resp, err, body.n.Load())
			}
			if n := c.InFlight(); change != nil && n != 0 {
				t.Errorf("%s: %d slots are taken", want, n)
			}
		})
	}
}

// TestConnCompression: gzip is asked for unless the Conn, or the Transport that made it,
// says otherwise.
func TestConnCompression(t *testing.T) {
	for _, k := range []struct{ tr, conn, want bool }{
		{false, false, true}, {true, false, false}, {false, true, false}, {true, true, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			var asked string
			url, tr := rawPipes(t, func(nc net.Conn, br *bufio.Reader, _ int) {
				if req, _, err := readRequest(br); err == nil {
					asked = req.Header.Get("Accept-Encoding")
					io.WriteString(nc, okAnswer)
				}
			})
			tr.DisableCompression = k.tr
			c := connTo(t, tr, url)
			c.DisableCompression = k.conn
			if get(t, c, url); (asked == "gzip") != k.want {
				t.Errorf("%+v: asked for %q", k, asked)
			}
		})
	}
}

// TestConnIsGivenUp: once a Conn has given its connection up it refuses each request.
func TestConnIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer server.Close()
		c := NewConn(client, nil)
		if err := c.take(context.Background()); err != nil {
			t.Fatal(err)
		}
		c.release(c.link, nil, false)
		for i := range 3 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_, err := c.RoundTrip(newRequest(t, "GET", "http://x/", nil).WithContext(ctx))
			if !errors.Is(err, h1.Closed) || !strings.Contains(err.Error(), "given up") {
				t.Errorf("request %d: %v", i, err)
			}
			cancel()
		}
	})
}

// TestConnEndedInFlight: once the connection has ended nothing is in flight, though a
// response was not closed yet.
func TestConnEndedInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		url, _, c := pipeConn(t, answers("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"))
		resp, err := c.RoundTrip(newRequest(t, "GET", url, nil))
		if err != nil {
			t.Fatal(err)
		}
		if n := c.InFlight(); n != 1 {
			t.Errorf("%d in flight", n)
		}
		c.Close()
		if n, left := c.InFlight(), c.Available(); n != 0 || left != 0 {
			t.Errorf("afterwards: %d in flight, %d available", n, left)
		}
		resp.Body.Close()
	})
}
