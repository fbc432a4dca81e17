package main

// peers.go: net/http and fasthttp, each driven in the cheapest way that its API allows:
// below redirects and cookies, with requests and responses used again, and without the
// fields that it alone would send.

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/valyala/fasthttp"
)

var (
	transport = client{"Transport", func(e *env, w wire, width int) func() exchange {
		t := newTransport(e, w)
		t.MaxConnsPerHost, t.MaxIdleConnsPerHost = width, width
		return func() exchange { return e.roundTrip(t, w) }
	}}

	clientConn = client{"ClientConn", func(e *env, w wire, _ int) func() exchange {
		c := newClientConn(e, w)
		return func() exchange { return e.roundTrip(c, w) }
	}}

	hostClient = client{"HostClient", func(e *env, w wire, width int) func() exchange {
		c := newHostClient(e, w, width)
		return func() exchange { return e.doFast(c.Do, w) }
	}}

	pipelineClient = client{"PipelineClient", func(e *env, w wire, width int) func() exchange {
		c := &fasthttp.PipelineClient{
			Addr: host + ":80",
			Dial: func(string) (net.Conn, error) {
				e.endIfClosed() // it would replace the connection that was closed
				return e.connect(w), nil
			},
			MaxPendingRequests:       width,
			NoDefaultUserAgentHeader: true,
			Logger:                   quiet{},
		}
		return func() exchange { return e.doFast(c.Do, w) }
	}}
)

// quiet keeps PipelineClient from reporting that its connection was closed.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

func newTransport(e *env, w wire) *http.Transport {
	return &http.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return e.connect(w), nil },
		DisableCompression: true,
	}
}

func newClientConn(e *env, w wire) *http.ClientConn {
	c, err := newTransport(e, w).NewClientConn(context.Background(), "http", host+":80")
	check(err)
	return c
}

// newHostClient returns a client with width connections open: those that it has acquired
// and then given back. Its pool is first in, first out, and so uses all of them.
func newHostClient(e *env, w wire, width int) *fasthttp.HostClient {
	c := &fasthttp.HostClient{
		Addr:                     host + ":80",
		Dial:                     func(string) (net.Conn, error) { return e.connect(w), nil },
		MaxConns:                 width,
		MaxConnWaitTimeout:       time.Minute,
		NoDefaultUserAgentHeader: true,
		StreamResponseBody:       streams(w),
		MaxResponseBodySize:      mostHeld, // a longer body is streamed if that is allowed
		ReadBufferSize:           max(4<<10, len(w.head)),
	}
	var release []func()
	for range width {
		conn, err := c.AcquireConn(0, false)
		check(err)
		release = append(release, func() { c.ReleaseConn(conn) })
	}
	for _, f := range release {
		f()
	}
	return c
}

// mostHeld is the longest body that fasthttp reads into memory.
const mostHeld = 64 << 10

func streams(w wire) bool { return w.length > mostHeld }

func (e *env) roundTrip(t http.RoundTripper, w wire) exchange {
	req, err := http.NewRequest("GET", url, nil)
	check(err)
	req.Header.Set("User-Agent", "")
	memory, file := new(bytes.Reader), w.upload.file
	switch {
	case w.post != nil:
		req.Method, req.Body, req.ContentLength = "POST", io.NopCloser(memory), int64(len(w.post))
	case file != nil:
		req.Method, req.Body, req.ContentLength = "POST", io.NopCloser(file), w.upload.size
		if w.upload.chunked {
			req.ContentLength = -1
		}
	}
	read := e.reader(w)
	return func() {
		memory.Reset(w.post)
		w.upload.rewind()
		resp, err := t.RoundTrip(req)
		check(err)
		insist(resp.StatusCode == 200, "status %d", resp.StatusCode)
		read(resp.Body)
		resp.Body.Close()
	}
}

func (e *env) doFast(do func(*fasthttp.Request, *fasthttp.Response) error, w wire) exchange {
	req, resp := new(fasthttp.Request), new(fasthttp.Response)
	req.SetRequestURI(url)
	size := int(w.upload.size)
	if w.upload.chunked {
		size = -1
	}
	if w.post != nil || w.upload.file != nil {
		req.Header.SetMethod("POST")
		req.Header.SetNoDefaultContentType(true)
		req.SetBodyRaw(w.post)
	}
	read := e.reader(w)
	return func() {
		if w.upload.file != nil {
			w.upload.rewind()
			req.SetBodyStream(io.NopCloser(w.upload.file), size) // it would close the file
		}
		check(do(req, resp))
		insist(resp.StatusCode() == 200, "status %d", resp.StatusCode())
		if !streams(w) {
			insist(int64(len(resp.Body())) == w.length, "a body of %d bytes", len(resp.Body()))
			return
		}
		read(resp.BodyStream())
		check(resp.CloseBodyStream())
	}
}
