package h1http

// trace_test.go: httptrace events: which, in what order, and how often.

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"sync"
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
		GetConn:              func(hp string) { e.add("GetConn") },
		GotConn:              func(i httptrace.GotConnInfo) { e.add("GotConn reused=%v idle=%v", i.Reused, i.WasIdle) },
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
		WroteHeaderField:     func(k string, v []string) { e.add("WroteHeaderField %s", k) },
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
			send := func(method, body string, expect bool) {
				req := newRequest(t, method, r.URL, nil)
				if body != "" {
					req = newRequest(t, method, r.URL, strings.NewReader(body))
				}
				if expect {
					req.Header.Set("Expect", "100-continue")
				}
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
			send("GET", "", false)
			send("GET", "", false)
			send("POST", "some body", false)
			send("POST", "some body", true)
		}
		for i := range ours {
			if fmt.Sprint(ours[i]) != fmt.Sprint(theirs[i]) {
				t.Errorf("secure %v, request %d:\nours   %q\ntheirs %q", secure, i, ours[i], theirs[i])
			}
		}
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
