package h1http

// trace_test.go: httptrace events: which, in what order, and how often.

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// events records what happens.
type events struct {
	mu   sync.Mutex
	list []string
}

func (e *events) add(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, fmt.Sprintf(format, args...))
}

func (e *events) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.list
	e.list = nil
	return l
}

func (e *events) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(hp string) { e.add("GetConn") },
		GotConn: func(i httptrace.GotConnInfo) {
			idled := i.IdleTime > 0 || i.WasIdle && runtime.GOOS == "windows" // its clock may stand still
			e.add("GotConn reused=%v idle=%v %v", i.Reused, i.WasIdle, idled)
		},
		PutIdleConn:          func(err error) { e.add("PutIdleConn %v", err) },
		GotFirstResponseByte: func() { e.add("GotFirstResponseByte") },
		Got100Continue:       func() { e.add("Got100Continue") },
		Got1xxResponse:       func(c int, h textproto.MIMEHeader) error { e.add("Got1xxResponse %d", c); return nil },
		DNSStart:             func(i httptrace.DNSStartInfo) { e.add("DNSStart %s", i.Host) },
		DNSDone:              func(httptrace.DNSDoneInfo) { e.add("DNSDone") },
		ConnectStart:         func(_, _ string) { e.add("ConnectStart") },
		ConnectDone:          func(_, _ string, err error) { e.add("ConnectDone %v", err) },
		TLSHandshakeStart:    func() { e.add("TLSHandshakeStart") },
		TLSHandshakeDone:     func(cs tls.ConnectionState, err error) { e.add("TLSHandshakeDone %v", cs.HandshakeComplete) },
		WroteHeaderField:     func(k string, v []string) { e.add("WroteHeaderField %s %q", k, v) },
		WroteHeaders:         func() { e.add("WroteHeaders") },
		Wait100Continue:      func() { e.add("Wait100Continue") },
		WroteRequest:         func(i httptrace.WroteRequestInfo) { e.add("WroteRequest %v", i.Err) },
	}
}

func TestTrace(t *testing.T) {
	for _, secure := range []bool{false, true} {
		var ours, theirs [][]string
		for _, own := range []bool{true, false} {
			r := newRig(t, secure, echo)
			r.tr.ExpectContinueTimeout = time.Second
			var rt http.RoundTripper = r.tr
			if !own {
				std := &http.Transport{DialContext: r.tr.DialContext, TLSClientConfig: r.tr.TLSClientConfig, ExpectContinueTimeout: time.Second}
				t.Cleanup(std.CloseIdleConnections)
				rt = std
			}
			var e events
			send := func(method string, body io.Reader, change func(*http.Request)) {
				req := newRequest(t, method, r.URL, body)
				req.Host = "h.example"
				change(req)
				do(t, rt, req.WithContext(httptrace.WithClientTrace(context.Background(), e.trace())))
				l := e.take()
				// The order among fields is no matter, and net/http's own varies in the rest.
				head := slices.Index(l, "WroteHeaders")
				first := slices.IndexFunc(l, func(s string) bool { return strings.HasPrefix(s, "WroteHeaderField") })
				slices.Sort(l[first:head])
				// That the body is out is noted while the answer may be on its way already.
				wrote := slices.Index(l, "WroteRequest <nil>")
				if wrote < head {
					t.Errorf("own %v: no WroteRequest, or too early: %q", own, l)
					return
				}
				l = append(slices.Delete(l, wrote, wrote+1), "WroteRequest")
				if wait := slices.Index(l, "Wait100Continue"); wait > head { // net/http's may come late, too
					l = append(slices.Delete(l, wait, wait+1), "Wait100Continue")
				}
				if own {
					ours = append(ours, l)
				} else {
					theirs = append(theirs, l)
				}
			}
			plain := func(*http.Request) {}
			send("GET", nil, plain)
			send("GET", nil, plain)
			send("POST", strings.NewReader("some body"), plain)
			send("POST", strings.NewReader("some body"), func(r *http.Request) { r.Header.Set("Expect", "100-continue") })
			send("POST", io.MultiReader(strings.NewReader("chunked")), plain)
			send("POST", nil, plain)
			send("PUT", nil, plain)
			send("PATCH", nil, plain)
			send("DELETE", nil, plain)
			send("GET", nil, func(r *http.Request) { r.Header = http.Header{"A": {"1", "2"}, "B": {"3"}} })
			send("GET", nil, func(r *http.Request) { r.Host = "not a host" })
			send("GET", nil, func(r *http.Request) { r.Close = true })
		}
		for i := range ours {
			if fmt.Sprint(ours[i]) != fmt.Sprint(theirs[i]) {
				t.Errorf("secure %v, request %d:\nours   %q\ntheirs %q", secure, i, ours[i], theirs[i])
			}
		}
	}
}

// TestTraceBodyFirst: the goroutine that has sent a body may come before the one that tells
// of the head.
func TestTraceBodyFirst(t *testing.T) {
	var e events
	tr := &tracer{hooks: e.trace(), call: new(call)}
	tr.wroteRequest(nil)
	tr.wroteHead()
	tr.wroteRequest(io.ErrClosedPipe)
	if l := e.take(); !slices.Equal(l, []string{"WroteHeaders", "WroteRequest <nil>"}) {
		t.Errorf("%q", l)
	}
}

// TestTraceShortBody: a request that failed for its body was not written.
func TestTraceShortBody(t *testing.T) {
	r := newRig(t, false, echo)
	var e events
	req := newRequest(t, "POST", r.URL, io.NopCloser(strings.NewReader("hello")))
	req.ContentLength = 10
	if _, err := r.tr.RoundTrip(req.WithContext(httptrace.WithClientTrace(context.Background(), e.trace()))); err == nil {
		t.Fatal("no error")
	}
	if l := e.take(); slices.Contains(l, "WroteRequest <nil>") || !slices.ContainsFunc(l, func(s string) bool {
		return strings.HasPrefix(s, "WroteRequest ")
	}) {
		t.Errorf("%q", l)
	}
}

// TestTraceRetry: an attempt that found its connection dead shows its connections, not
// more.
func TestTraceRetry(t *testing.T) {
	r := newRig(t, false, echo)
	get(t, r.tr, r.URL)
	r.CloseClientConnections()
	time.Sleep(5 * time.Millisecond)
	var e events
	do(t, r.tr, newRequest(t, "GET", r.URL, nil).WithContext(httptrace.WithClientTrace(context.Background(), e.trace())))
	l := e.take()
	count := func(s string) (n int) {
		for _, x := range l {
			if strings.HasPrefix(x, s) {
				n++
			}
		}
		return n
	}
	if count("GetConn") != 2 || count("GotConn") != 2 || count("WroteHeaders") != 1 || count("GotFirstResponseByte") != 1 || count("WroteRequest <nil>") != 1 {
		t.Errorf("%q", l)
	}
}

func TestTraceNoHooks(t *testing.T) {
	r := newRig(t, false, echo)
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{})
	for range 3 {
		do(t, r.tr, newRequest(t, "POST", r.URL, strings.NewReader("x")).WithContext(ctx))
	}
}

// TestTraceOf1xx: what is told of heads before the final one: 100 (Continue) only to who
// expects it.
func TestTraceOf1xx(t *testing.T) {
	url := rawServer(t, answers("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	for _, test := range []struct{ expect, want string }{
		{"", "GotFirstResponseByte Got1xxResponse 103 Got1xxResponse 100"},
		{"100-continue", "GotFirstResponseByte Got1xxResponse 103 Got100Continue Got1xxResponse 100"},
	} {
		withBoth(t, func(a *http.Transport, b *Transport) {
			a.ExpectContinueTimeout, b.ExpectContinueTimeout = 10*time.Millisecond, 10*time.Millisecond
		}, func(t *testing.T, rt anyTransport) {
			var e events
			for _, trace := range []*httptrace.ClientTrace{e.trace(), {}} {
				req := newRequest(t, "POST", url, strings.NewReader("x"))
				if test.expect != "" {
					req.Header.Set("Expect", test.expect)
				}
				do(t, rt, req.WithContext(httptrace.WithClientTrace(context.Background(), trace)))
			}
			l := slices.DeleteFunc(e.take(), func(s string) bool { return !strings.HasPrefix(s, "Got") || strings.HasPrefix(s, "GotConn") })
			if got := strings.Join(l, " "); got != test.want {
				t.Errorf("expect %q: %s", test.expect, got)
			}
		})
	}
}

// TestTraceDNS: the dialer's events reach the request's trace.
func TestTraceDNS(t *testing.T) {
	r := newRig(t, false, echo)
	var e events
	ctx := httptrace.WithClientTrace(context.Background(), e.trace())
	url := strings.Replace(r.URL, "127.0.0.1", "localhost", 1)
	do(t, r.tr, newRequest(t, "GET", url, nil).WithContext(ctx))
	l := e.take()
	var last int
	for _, want := range []string{"GetConn", "DNSStart localhost", "DNSDone", "ConnectStart", "ConnectDone <nil>", "GotConn"} {
		i := slices.IndexFunc(l, func(s string) bool { return strings.HasPrefix(s, want) })
		if i < last {
			t.Errorf("%s is missing or too early in %q", want, l)
		}
		last = max(i, last)
	}
}

// TestHookDoesNotReturn: a hook that panics, or ends its goroutine, costs the connection at
// most: neither a place among MaxConnsPerHost, nor a Conn's slot, nor the Close of the
// request's body.
func TestHookDoesNotReturn(t *testing.T) {
	url, _ := rawRig(t, answers("HTTP/1.1 103 Early Hints\r\n\r\n"+okAnswer))
	for _, end := range []func(){func() { panic("hook") }, runtime.Goexit} {
		for name, hooks := range map[string]*httptrace.ClientTrace{
			"GotConn":               {GotConn: func(httptrace.GotConnInfo) { end() }},
			"WroteHeaders":          {WroteHeaders: end},
			"WroteRequest":          {WroteRequest: func(httptrace.WroteRequestInfo) { end() }},
			"Got1xxResponse":        {Got1xxResponse: func(int, textproto.MIMEHeader) error { end(); return nil }},
			"GotFirstResponseByte":  {GotFirstResponseByte: end},
			"WroteRequest, refused": {WroteRequest: func(httptrace.WroteRequestInfo) { end() }},
		} {
			tr := &Transport{MaxConnsPerHost: 1}
			c := connTo(t, tr, url)
			for _, rt := range []http.RoundTripper{tr, c} {
				var closed atomic.Int32
				body := bodyFunc{io.NopCloser(strings.NewReader("")), func() { closed.Add(1) }}
				req := newRequest(t, "GET", url, body)
				if !strings.HasPrefix(name, "Wrote") { // these may come on the engine's goroutine, with a body
					req.Method = "POST"
				}
				if strings.HasSuffix(name, "refused") {
					req.Host = "\xff"
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				var wg sync.WaitGroup
				wg.Go(func() {
					defer func() { recover() }()
					resp, err := rt.RoundTrip(req.WithContext(httptrace.WithClientTrace(ctx, hooks)))
					if err == nil { // a Conn calls no GotConn
						slurp(t, resp)
					}
				})
				wg.Wait()
				resp, err := rt.RoundTrip(newRequest(t, "GET", url, nil).WithContext(ctx))
				if err == nil {
					slurp(t, resp)
				}
				if ctx.Err() != nil || rt == tr && err != nil || closed.Load() != 1 {
					t.Errorf("%T, %s: the next request: %v; the body was closed %d times", rt, name, err, closed.Load())
				}
				cancel()
			}
			if n := c.InFlight(); n > 0 {
				t.Errorf("%s: %d slots are taken", name, n)
			}
			tr.CloseIdleConnections()
		}
	}
}

// TestHookSparesNeighbours: where a hook does not return, others on the connection have
// their responses.
func TestHookSparesNeighbours(t *testing.T) {
	for name, hooks := range map[string]*httptrace.ClientTrace{
		"GotConn":      {GotConn: func(httptrace.GotConnInfo) { runtime.Goexit() }},
		"WroteHeaders": {WroteHeaders: runtime.Goexit},
	} {
		slow := make(chan struct{})
		url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
			for {
				req, _, err := readRequest(br)
				if err != nil {
					return
				}
				if req.URL.Path != "/slow" {
					io.WriteString(nc, okAnswer)
					continue
				}
				io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsl")
				<-slow
				io.WriteString(nc, "ow")
			}
		})
		tr.Depth = 4
		get(t, tr, url) // now requests may share the connection
		resp, err := tr.RoundTrip(newRequest(t, "GET", url+"/slow", nil))
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			req := newRequest(t, "GET", url, nil)
			tr.RoundTrip(req.WithContext(httptrace.WithClientTrace(context.Background(), hooks)))
		})
		wg.Wait()
		close(slow)
		if b, err := io.ReadAll(resp.Body); string(b) != "slow" || err != nil {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		resp.Body.Close()
		get(t, tr, url)
	}
}
