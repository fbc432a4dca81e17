package h1http

// transport.go: Transport: its fields, and the life of one request.
//
// Rule: a request is sent again only where h1 says that it is safe: the server certainly did
// not act on it, or net/http, too, would call it replayable and no byte of a response was
// seen. A body of which a byte was taken goes again only by GetBody.

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"

	"example.com/h1"
)

// A Transport is an [http.RoundTripper] that keeps connections of the engine for use by later
// requests. The zero value works. It is safe for concurrent use; its fields must not be
// changed once requests are sent. Where nothing else is said, a field has the meaning of the
// field of that name of http.Transport; docs/h1http.md has the comparison.
type Transport struct {
	// Proxy returns the proxy to use for a request; nil, or a nil URL: none. Schemes are
	// http, https, socks5 and socks5h; no scheme means http. http.ProxyFromEnvironment and
	// http.ProxyURL fit here. Userinfo of the URL is sent to the proxy.
	Proxy func(*http.Request) (*url.URL, error)
	// OnProxyConnectResponse is called with a proxy's response to CONNECT, before its status
	// is looked at. An error from it fails the request.
	OnProxyConnectResponse func(ctx context.Context, proxyURL *url.URL, connectReq *http.Request, connectRes *http.Response) error
	// ProxyConnectHeader is sent to proxies with CONNECT.
	ProxyConnectHeader http.Header
	// GetProxyConnectHeader returns what to send in place of ProxyConnectHeader.
	GetProxyConnectHeader func(ctx context.Context, proxyURL *url.URL, target string) (http.Header, error)

	// DialContext makes connections, to unix sockets for instance; nil: package net does.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// DialTLSContext makes connections for https without a proxy, past their handshake;
	// nil: DialContext and TLSClientConfig do.
	DialTLSContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLSClientConfig is for tls.Client; nil: the default. "h2" is never offered.
	TLSClientConfig *tls.Config
	// TLSHandshakeTimeout limits a handshake; 0: no limit.
	TLSHandshakeTimeout time.Duration

	// DisableKeepAlives uses each connection for one request.
	DisableKeepAlives bool
	// DisableCompression does not ask for gzip where the caller asks for nothing.
	DisableCompression bool
	// MaxIdleConns limits the idle connections to all hosts; 0: no limit.
	MaxIdleConns int
	// MaxIdleConnsPerHost limits those to one host; 0: http.DefaultMaxIdleConnsPerHost; less
	// than 0: none are kept.
	MaxIdleConnsPerHost int
	// MaxConnsPerHost limits the connections to one host in all states, being made included;
	// requests wait for their turn; 0: no limit.
	MaxConnsPerHost int
	// IdleConnTimeout closes connections that were idle for so long; 0: no limit. Those that
	// the server has closed are found by their next use, or within 10 s.
	IdleConnTimeout time.Duration
	// ResponseHeaderTimeout limits the time from a request's last byte to the final
	// response's head; 0: no limit.
	ResponseHeaderTimeout time.Duration
	// ExpectContinueTimeout is how long to hold back the body of a request with
	// "Expect: 100-continue"; 0: not at all.
	ExpectContinueTimeout time.Duration
	// MaxResponseHeaderBytes limits a response's head; 0: 10 MiB.
	MaxResponseHeaderBytes int64
	// WriteBufferSize and ReadBufferSize are in bytes; 0: 4 KiB. They are lent to a
	// connection while it is in use.
	WriteBufferSize, ReadBufferSize int

	// Depth is how many requests may be in flight on one connection; 0 means 1. With more,
	// requests that are safe to pipeline (GET, HEAD, OPTIONS and TRACE without a body, and
	// what has an Idempotency-Key) join a connection in use before another is made. A
	// response that its caller reads slowly, or leaves unread, then delays those behind it.
	Depth int

	pool  pool
	altMu sync.RWMutex
	alt   map[string]http.RoundTripper
}

// RoundTrip sends a request and returns its response, as http.RoundTripper asks. For
// redirects, cookies and the like put the Transport under an http.Client.
func (t *Transport) RoundTrip(hreq *http.Request) (*http.Response, error) {
	up := newUpload(hreq)
	if hasHTTPScheme(hreq.URL) || hreq.Header == nil { // another protocol may have other fields
		if err := check(hreq); err != nil {
			up.close()
			return nil, err
		}
	}
	if rt := t.registered(hreq); rt != nil {
		resp, err := t.elsewhere(rt, hreq, &up)
		if err != http.ErrSkipAltProtocol {
			return resp, err
		}
	}
	if !hasHTTPScheme(hreq.URL) {
		up.close()
		return nil, fmt.Errorf("h1http: unsupported protocol scheme %q", hreq.URL.Scheme)
	}
	if err := checkHTTP(hreq); err != nil {
		up.close()
		return nil, err
	}
	ctx, stop := withCancel(hreq)
	resp, err := t.attempts(ctx, stop, hreq, up)
	if err != nil && stop != nil {
		stop(err)
	}
	return resp, err
}

// hasHTTPScheme reports whether requests for u are this package's own to send. It takes a nil
// u for one of them, which check then refuses.
func hasHTTPScheme(u *url.URL) bool {
	return u == nil || u.Scheme == "http" || u.Scheme == "https"
}

// attempts sends a request until it has a response, or no further attempt is safe.
func (t *Transport) attempts(ctx context.Context, stop context.CancelCauseFunc, hreq *http.Request, up *upload) (*http.Response, error) {
	hooks := httptrace.ContextClientTrace(ctx)
	for {
		if ctx.Err() != nil {
			up.close()
			return nil, context.Cause(ctx)
		}
		r, err := t.routeOf(hreq)
		if err != nil {
			up.close()
			return nil, err
		}
		if hooks != nil && hooks.GetConn != nil {
			hooks.GetConn(r.hop())
		}
		l, was, err := t.get(ctx, r, t.shares(hreq))
		if err != nil {
			up.close()
			return nil, err
		}
		gotConn(hooks, l, was.idleAt, was.used)
		c, err := newCall(ctx, stop, hreq, up, &l.settings)
		if err != nil {
			up.close()
			t.release(l, nil, true)
			return nil, err
		}
		up = c.upload()
		resp, err := l.roundTrip(c)
		if err == nil {
			return resp, nil
		}
		if !(l.used.Load() || was.shared) || !again(hreq, err) || !up.mayRepeat(hreq) {
			up.close()
			return nil, err
		}
		if up, err = up.next(hreq); err != nil {
			return nil, err
		}
	}
}

// again reports whether a request may be sent on another connection after an error. That the
// connection was used before is for the caller to know: a server that hangs up on a new one
// means it, and there would be no end of attempts.
func again(hreq *http.Request, err error) bool {
	var e *h1.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Kind {
	case h1.Closed, h1.Incomplete, h1.IO, h1.Unsolicited:
		return e.Unprocessed() || replayable(hreq) && e.Retryable(hreq.Method)
	}
	return false // the request's own fault, its caller's wish, or a response that was seen
}

// shares reports whether a request may go onto a connection that is in use.
func (t *Transport) shares(hreq *http.Request) bool {
	return t.Depth > 1 && replayable(hreq) && bodyless(hreq) &&
		!hreq.Close && !t.DisableKeepAlives && hreq.Header["Upgrade"] == nil && hreq.Header["Expect"] == nil
}

var errRequestCanceled = errors.New("net/http: request canceled")

// withCancel makes a context that ends also with Request.Cancel, which http.Client uses for
// its Timeout. Where there is none it is the request's own, and stop is nil.
func withCancel(hreq *http.Request) (ctx context.Context, stop context.CancelCauseFunc) {
	ctx = hreq.Context()
	//lint:ignore SA1019 deprecated for callers, of whom http.Client is one
	cancel := hreq.Cancel
	if cancel == nil {
		return ctx, nil
	}
	ctx, stop = context.WithCancelCause(ctx)
	go awaitCancel(ctx, stop, cancel)
	return ctx, stop
}

func awaitCancel(ctx context.Context, stop context.CancelCauseFunc, cancel <-chan struct{}) {
	select {
	case <-cancel:
		stop(errRequestCanceled)
	case <-ctx.Done():
	}
}

// RegisterProtocol has requests of a scheme sent by rt. Where rt returns
// http.ErrSkipAltProtocol the Transport sends the request itself. It panics if the scheme is
// registered already.
func (t *Transport) RegisterProtocol(scheme string, rt http.RoundTripper) {
	t.altMu.Lock()
	defer t.altMu.Unlock()
	if _, ok := t.alt[scheme]; ok {
		panic("h1http: protocol " + scheme + " is already registered")
	}
	if t.alt == nil {
		t.alt = make(map[string]http.RoundTripper)
	}
	t.alt[scheme] = rt
}

// registered returns who was registered for a request's scheme, or nil. What is registered
// for https speaks HTTP/2 as a rule, and that is not how WebSockets are asked for.
func (t *Transport) registered(hreq *http.Request) http.RoundTripper {
	t.altMu.RLock()
	defer t.altMu.RUnlock()
	rt := t.alt[hreq.URL.Scheme]
	if rt != nil && hreq.URL.Scheme == "https" && isUpgrade(hreq.Header) && hasToken(hreq.Header["Upgrade"], "websocket") {
		return nil
	}
	return rt
}

// elsewhere lets another RoundTripper have the request, whose body is its to close unless it
// skips.
func (t *Transport) elsewhere(rt http.RoundTripper, hreq *http.Request, up **upload) (*http.Response, error) {
	if *up == nil {
		return rt.RoundTrip(hreq)
	}
	lent := *hreq
	lent.Body = &tracked{up: *up}
	resp, err := rt.RoundTrip(&lent)
	if err != http.ErrSkipAltProtocol {
		return resp, err
	}
	if !(*up).mayRepeat(hreq) {
		(*up).close()
		return nil, errNoRewind
	}
	if *up, err = (*up).next(hreq); err != nil {
		return nil, err
	}
	return nil, http.ErrSkipAltProtocol
}

// Clone returns a Transport with the same settings, which shares no connection with t. As
// with http.Transport, protocols that were registered do not come along.
func (t *Transport) Clone() *Transport {
	c := &Transport{
		Proxy:                  t.Proxy,
		OnProxyConnectResponse: t.OnProxyConnectResponse,
		ProxyConnectHeader:     t.ProxyConnectHeader.Clone(),
		GetProxyConnectHeader:  t.GetProxyConnectHeader,
		DialContext:            t.DialContext,
		DialTLSContext:         t.DialTLSContext,
		TLSHandshakeTimeout:    t.TLSHandshakeTimeout,
		DisableKeepAlives:      t.DisableKeepAlives,
		DisableCompression:     t.DisableCompression,
		MaxIdleConns:           t.MaxIdleConns,
		MaxIdleConnsPerHost:    t.MaxIdleConnsPerHost,
		MaxConnsPerHost:        t.MaxConnsPerHost,
		IdleConnTimeout:        t.IdleConnTimeout,
		ResponseHeaderTimeout:  t.ResponseHeaderTimeout,
		ExpectContinueTimeout:  t.ExpectContinueTimeout,
		MaxResponseHeaderBytes: t.MaxResponseHeaderBytes,
		WriteBufferSize:        t.WriteBufferSize,
		ReadBufferSize:         t.ReadBufferSize,
		Depth:                  t.Depth,
	}
	if t.TLSClientConfig != nil {
		c.TLSClientConfig = t.TLSClientConfig.Clone()
	}
	return c
}
