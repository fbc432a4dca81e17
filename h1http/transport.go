package h1http

// transport.go: Transport, its fields, and the life of one request.
//
// Rule: a request is sent again only where h1 says that it is safe: the server certainly
// did not act on it, or no byte of a response was seen and net/http, too, would call it
// replayable. A body of which a byte was taken is sent again only by GetBody.

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

// A Transport is an [http.RoundTripper] that keeps connections for use by later requests.
// The zero value works. It is safe for concurrent use; its fields must not be changed once
// requests are sent. A field means what the field of that name means in http.Transport,
// unless its comment says otherwise; docs/h1http.md compares them.
type Transport struct {
	// Proxy returns the proxy to use for a request; nil, or a nil URL, means none. Schemes are
	// http, https, socks5 and socks5h; no scheme means http. http.ProxyFromEnvironment and
	// http.ProxyURL fit here. User and password of the URL are sent to the proxy.
	Proxy func(*http.Request) (*url.URL, error)
	// OnProxyConnectResponse is called with a proxy's response to CONNECT, whatever its
	// status. An error from it fails the request.
	OnProxyConnectResponse func(ctx context.Context, proxyURL *url.URL, connectReq *http.Request, connectRes *http.Response) error
	// ProxyConnectHeader is sent to proxies with CONNECT.
	ProxyConnectHeader http.Header
	// GetProxyConnectHeader returns what to send in place of ProxyConnectHeader.
	GetProxyConnectHeader func(ctx context.Context, proxyURL *url.URL, target string) (http.Header, error)

	// DialContext makes connections, to unix sockets for instance; nil means net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// DialTLSContext makes connections for https without a proxy, and connections to https
	// proxies, and does their handshake; nil means DialContext and TLSClientConfig. A
	// connection that is no *tls.Conn, but has its method ConnectionState, counts as one.
	DialTLSContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLSClientConfig is for tls.Client; nil means the default. "h2" is never offered.
	TLSClientConfig *tls.Config
	// TLSHandshakeTimeout limits a handshake; 0 means no limit.
	TLSHandshakeTimeout time.Duration

	// DisableKeepAlives uses each connection for one request.
	DisableKeepAlives bool
	// DisableCompression keeps the Transport from asking for gzip, and from decompressing it,
	// where the caller asks for no coding.
	DisableCompression bool
	// MaxIdleConns limits the idle connections to all hosts; 0 means no limit.
	MaxIdleConns int
	// MaxIdleConnsPerHost limits the idle connections to one host; 0 means
	// http.DefaultMaxIdleConnsPerHost, less than 0 that none are kept.
	MaxIdleConnsPerHost int
	// MaxConnsPerHost limits the connections to one host in all states, those being dialed
	// included; 0 means no limit. Requests past it wait for a connection.
	MaxConnsPerHost int
	// IdleConnTimeout closes connections that were idle for so long; 0 means no limit. That
	// the server has closed one is found when it is wanted next, or within 10 s.
	IdleConnTimeout time.Duration
	// ResponseHeaderTimeout limits the time from a request's last byte to the final response's
	// head; 0 means no limit.
	ResponseHeaderTimeout time.Duration
	// ExpectContinueTimeout is how long to hold back the body of a request with "Expect:
	// 100-continue"; 0 means not at all.
	ExpectContinueTimeout time.Duration
	// MaxResponseHeaderBytes limits a response's head, in bytes; 0 means 10 MiB.
	MaxResponseHeaderBytes int64
	// WriteBufferSize and ReadBufferSize are in bytes; 0 means 4 KiB. A connection has its
	// buffers only while it is in use.
	WriteBufferSize, ReadBufferSize int

	// Depth is how many requests may be in flight on one connection; 0 means 1. With more,
	// requests that are safe to pipeline (GET, HEAD, OPTIONS, TRACE, and those with an
	// Idempotency-Key, all without a body) join a connection in use before another is dialed.
	// A response that its caller reads slowly, or leaves unread, then delays those behind it:
	// for ever, where the goroutine that would close it waits for one of them.
	Depth int

	pool  pool
	altMu sync.RWMutex
	alt   map[string]http.RoundTripper
}

// RoundTrip sends a request and returns its response, as http.RoundTripper demands. For
// redirects, cookies and the like put the Transport under an http.Client. What fails on the
// wire is an [*h1.Error] under errors.As; a context that ended is found by errors.Is.
func (t *Transport) RoundTrip(hreq *http.Request) (*http.Response, error) {
	up := newUpload(hreq)
	// The fields that another protocol allows are for its RoundTripper to know.
	if hreq.URL == nil || hreq.Header == nil || hasHTTPScheme(hreq.URL) {
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
	if err != nil {
		return nil, endCancel(ctx, stop, hreq, err)
	}
	return resp, nil
}

// hasHTTPScheme reports whether requests for u are this package's own to send.
func hasHTTPScheme(u *url.URL) bool { return u.Scheme == "http" || u.Scheme == "https" }

// attempts sends a request until it has a response, or no further attempt is safe. After an
// error up is closed.
func (t *Transport) attempts(ctx context.Context, stop context.CancelCauseFunc, hreq *http.Request,
	up *upload) (*http.Response, error) {
	var before *h1.Error // of an attempt that the server may have acted on
	for {
		// A request whose connection ended without an answer may be why it did: it takes no
		// response of another's along a second time.
		share := before == nil && t.shares(hreq)
		resp, repeat, err := t.attempt(ctx, stop, hreq, &up, share)
		if err == nil {
			return resp, nil
		}
		var e *h1.Error
		if errors.As(err, &e) && e.Unprocessed() && before != nil { // this attempt, but not that one
			both := *before
			both.Kind, both.Op, both.Offset, both.Err = e.Kind, e.Op, e.Offset, e.Err
			err = &both
		}
		if !repeat || !up.mayRepeat(hreq) {
			up.close()
			return nil, err
		}
		if !e.Unprocessed() {
			before = e
		}
		if up, err = up.next(hreq); err != nil {
			return nil, err
		}
	}
}

// attempt sends a request once, and if share is set maybe on a connection in use. After an
// error repeat reports whether it may be sent again if its body allows that, and *up, which
// may have been found to be empty, is still to be closed.
func (t *Transport) attempt(ctx context.Context, stop context.CancelCauseFunc, hreq *http.Request,
	up **upload, share bool) (resp *http.Response, repeat bool, err error) {
	if ctx.Err() != nil {
		return nil, false, context.Cause(ctx)
	}
	r, err := t.routeOf(hreq)
	if err != nil {
		return nil, false, err
	}
	hooks := httptrace.ContextClientTrace(ctx)
	if hooks != nil && hooks.GetConn != nil {
		hooks.GetConn(r.hop())
	}
	l, was, err := t.get(ctx, r, share)
	if err != nil {
		return nil, false, err
	}
	returned := false
	defer l.guard(*up, h1.Exchange{}, &returned)
	gotConn(hooks, l, was.idleAt, was.used)
	c, err := newCall(ctx, stop, hreq, *up, &l.settings)
	returned = true
	if err != nil {
		l.h.Probe() // newCall may have waited for the body
		l.giveBack()
		return nil, false, err
	}
	*up = c.upload()
	resp, err = l.roundTrip(c)
	repeat = err != nil && (l.used.Load() || was.shared) && again(ctx, hreq, err)
	return resp, repeat, err
}

// again reports whether a request may be sent on another connection after an error on one
// that was used before. (On a new one it may not: a server that hangs up there means the
// request, and attempts would never end.)
func again(ctx context.Context, hreq *http.Request, err error) bool {
	var e *h1.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Kind {
	case h1.Timeout: // of a deadline that the connection's maker has set
		return ctx.Err() == nil && e.Unprocessed()
	case h1.Closed, h1.Incomplete, h1.IO, h1.Unsolicited:
		return e.Unprocessed() || replayable(hreq) && e.Retryable(hreq.Method)
	}
	return false // the request's own fault, its caller's wish, or a response that was seen
}

// shares reports whether a request may go onto a connection that others are using.
func (t *Transport) shares(hreq *http.Request) bool {
	return t.Depth > 1 && replayable(hreq) && bodyless(hreq) &&
		!hreq.Close && !t.DisableKeepAlives && hreq.Header["Upgrade"] == nil && hreq.Header["Expect"] == nil
}

var errRequestCanceled = errors.New("net/http: request canceled")

// withCancel returns a context that also ends with Request.Cancel, which http.Client uses
// for its Timeout. If that is not set it is the request's own context, and stop is nil.
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

// endCancel returns the error that a failed request's caller sees, and ends what withCancel
// began.
func endCancel(ctx context.Context, stop context.CancelCauseFunc, hreq *http.Request, err error) error {
	err = plainCanceled(ctx, err)
	if stop != nil {
		//lint:ignore SA1019 see withCancel
		awaitClient(ctx, hreq.Cancel)
		stop(err)
	}
	return err
}

func awaitCancel(ctx context.Context, stop context.CancelCauseFunc, cancel <-chan struct{}) {
	select {
	case <-cancel:
		// At its Timeout http.Client ends both. That is told as what it is, a deadline, whichever
		// timer is first.
		why := errRequestCanceled
		if at, ok := ctx.Deadline(); ok && time.Until(at) < clientTime {
			why = context.DeadlineExceeded
		}
		stop(why)
	case <-ctx.Done():
	}
}

// clientTime is how long a request's error waits for Request.Cancel, where its deadline has
// passed.
const clientTime = 5 * time.Millisecond

// awaitClient is called before an error is returned. http.Client puts its Timeout into the
// context and into Request.Cancel, by a timer each, and tells of it only if the second has
// fired by then.
func awaitClient(ctx context.Context, cancel <-chan struct{}) {
	if ctx.Err() != context.DeadlineExceeded {
		return
	}
	late := time.NewTimer(clientTime)
	defer late.Stop()
	select {
	case <-cancel:
	case <-late.C:
	}
}

// RegisterProtocol has rt send the requests of a scheme. If rt returns
// http.ErrSkipAltProtocol the Transport sends the request itself. It panics if the scheme
// is registered already. It may be called while requests are sent.
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

// registered returns what was registered for a request's scheme, or nil. What is registered
// for https mostly speaks HTTP/2, where WebSockets are asked for in another way.
func (t *Transport) registered(hreq *http.Request) http.RoundTripper {
	t.altMu.RLock()
	defer t.altMu.RUnlock()
	rt := t.alt[hreq.URL.Scheme]
	if rt != nil && hreq.URL.Scheme == "https" && isUpgrade(hreq.Header) && hasToken(hreq.Header["Upgrade"], "websocket") {
		return nil
	}
	return rt
}

// elsewhere has another RoundTripper send the request. That closes the body, unless it
// declines the request; *up is then what to send instead.
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

// Clone returns a Transport with the same settings and connections of its own. As in
// http.Transport, registered protocols are not copied.
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
