package h1http

// dial.go: new connections.
//
// Rule: a dial outlives the request that it was begun for, since the next can use what it
// makes. So its context has the request's values, for traces and dialers, but does not end
// with it; CloseIdleConnections ends dials that no request waits for.

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"

	"example.com/h1"
)

// startDial begins to make a connection for n. The pool's mu is held.
func (t *Transport) startDial(h *host, n *want) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(n.ctx))
	d := &dial{host: h, want: n, cancel: cancel}
	if t.pool.dials == nil {
		t.pool.dials = make(map[*dial]struct{})
	}
	t.pool.dials[d] = struct{}{}
	h.conns++
	n.dialed = true
	go t.runDial(ctx, d)
}

// runDial makes the connection and hands it, or the error, to a request that waits.
func (t *Transport) runDial(ctx context.Context, d *dial) {
	l, err := (*link)(nil), errDeserted
	defer func() { t.dialed(d, l, err) }() // also where a hook has ended this goroutine
	l, err = t.connect(ctx, &d.want.route)
}

var errDeserted = errors.New("h1http: a function that the dial has called did not return")

// dialed ends a dial.
func (t *Transport) dialed(d *dial, l *link, err error) {
	if err != nil { // else ctx is left to live: the stream may depend on it
		d.cancel()
	}
	p, h, n := &t.pool, d.host, d.want
	p.mu.Lock()
	defer p.unlock()
	if err == nil && n.done {
		p.mu.Unlock()
		l.settled() // an answer that was ready would be another request's
		p.mu.Lock()
	}
	delete(p.dials, d)
	if err == nil {
		l.host = h
		if !t.hand(h, l, n) && t.keep(l) != nil {
			p.drop(l)
		}
		return
	}
	h.conns--
	if !n.done {
		h.forget(n)
		n.got <- grant{err: err}
	}
	t.dialWaiting(h)
	p.tidy(h)
}

// connect makes a connection by the route r, ready for a request.
func (t *Transport) connect(ctx context.Context, r *route) (*link, error) {
	nc, err := t.firstHop(ctx, r)
	if err == nil && r.proxy != nil {
		nc, err = t.throughProxy(ctx, r, nc)
	}
	if err != nil {
		return nil, err
	}
	l := newLink(nc, t.engineConfig(), t, r.hopScheme() != "https")
	l.settings = settings{noGzip: t.DisableCompression, close: t.DisableKeepAlives, maxHead: t.maxHead()}
	if r.absolute() {
		l.settings.proxied, l.settings.auth = true, proxyAuth(r.proxy)
	}
	return l, nil
}

// maxHead returns MaxResponseHeaderBytes, or its default.
func (t *Transport) maxHead() int64 {
	if t.MaxResponseHeaderBytes > 0 {
		return t.MaxResponseHeaderBytes
	}
	return defaultMaxHead
}

// engineConfig returns the engine's settings.
func (t *Transport) engineConfig() *h1.Config {
	cfg := tolerantConfig()
	cfg.Depth = t.Depth
	cfg.MaxHeadBytes = int(min(t.maxHead(), 1<<31-1))
	cfg.HeadTimeout = t.ResponseHeaderTimeout
	cfg.ExpectTimeout = max(t.ExpectContinueTimeout, 1)
	cfg.ReadBuffer, cfg.WriteBuffer = t.ReadBufferSize, t.WriteBufferSize
	cfg.Fresh = true
	return &cfg
}

// firstHop connects to the server, or to the proxy, with TLS if that is its scheme.
func (t *Transport) firstHop(ctx context.Context, r *route) (net.Conn, error) {
	var nc net.Conn
	var err error
	secure := r.hopScheme() == "https"
	if secure && t.DialTLSContext != nil {
		nc, err = t.dialTLS(ctx, r.hop())
	} else if nc, err = t.dialPlain(ctx, r.hop()); err == nil && secure {
		host, _, _ := net.SplitHostPort(r.hop())
		nc, err = t.addTLS(ctx, nc, host)
	}
	if err != nil && r.proxy != nil {
		err = &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err}
	}
	return nc, err
}

var errNilConn = errors.New("h1http: a dial hook returned neither connection nor error")

func (t *Transport) dialPlain(ctx context.Context, addr string) (net.Conn, error) {
	if t.DialContext == nil {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
	nc, err := t.DialContext(ctx, "tcp", addr)
	if nc == nil && err == nil {
		err = errNilConn
	}
	return nc, err
}

// dialTLS calls DialTLSContext, and does the handshake if that has not.
func (t *Transport) dialTLS(ctx context.Context, addr string) (net.Conn, error) {
	nc, err := t.DialTLSContext(ctx, "tcp", addr)
	if nc == nil && err == nil {
		err = errNilConn
	}
	if err != nil {
		return nil, err
	}
	if s, ok := nc.(secured); ok {
		if err := handshake(ctx, s); err != nil {
			return nil, err
		}
	}
	return nc, nil
}

// addTLS makes a TLS connection over nc, and closes nc if it fails.
func (t *Transport) addTLS(ctx context.Context, nc net.Conn, name string) (net.Conn, error) {
	cfg := &tls.Config{}
	if t.TLSClientConfig != nil {
		cfg = t.TLSClientConfig.Clone()
	}
	if cfg.ServerName == "" {
		cfg.ServerName = name
	}
	cfg.NextProtos = slices.DeleteFunc(slices.Clone(cfg.NextProtos), func(p string) bool { return p == "h2" })
	tc := tls.Client(nc, cfg)
	within := ctx
	if t.TLSHandshakeTimeout > 0 {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(ctx, t.TLSHandshakeTimeout)
		defer cancel()
	}
	err := handshake(within, tc)
	if err != nil && within.Err() != nil && ctx.Err() == nil {
		err = &timeoutError{"h1http: TLS handshake timeout", err}
	}
	if err != nil {
		return nil, err
	}
	return tc, nil
}

// A secured stream is a *tls.Conn, or another that shows the state of its TLS.
type secured interface {
	net.Conn
	ConnectionState() tls.ConnectionState
}

// handshake does a TLS handshake, unless s has none to do, and refuses HTTP/2. It closes s
// if it fails.
func handshake(ctx context.Context, s secured) error {
	hooks := httptrace.ContextClientTrace(ctx)
	if hooks != nil && hooks.TLSHandshakeStart != nil {
		hooks.TLSHandshakeStart()
	}
	var err error
	if h, ok := s.(interface{ HandshakeContext(context.Context) error }); ok {
		err = h.HandshakeContext(ctx)
	}
	var cs tls.ConnectionState
	if err == nil {
		cs = s.ConnectionState()
		if cs.NegotiatedProtocol == "h2" {
			err = errors.New("h1http: the server was asked for HTTP/2, which this Transport does not speak")
		}
	}
	if err != nil {
		if tc, ok := s.(*tls.Conn); ok {
			tc.NetConn().Close() // without a word, which might wait
		} else {
			s.Close()
		}
		cs = tls.ConnectionState{}
	}
	if hooks != nil && hooks.TLSHandshakeDone != nil {
		hooks.TLSHandshakeDone(cs, err)
	}
	return err
}

// NewClientConn makes a connection to address ("host:port") as the Transport does for its
// requests, through its Proxy if there is one. The connection is the caller's alone: it is
// not in the Transport's pool, and counts for none of its limits. The scheme is "http" or
// "https". The dial ends with ctx.
func (t *Transport) NewClientConn(ctx context.Context, scheme, address string) (*Conn, error) {
	if scheme != "http" && scheme != "https" {
		return nil, fmt.Errorf("h1http: invalid scheme %q", scheme)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	u := &url.URL{Scheme: scheme, Host: net.JoinHostPort(host, port), Path: "/"}
	hreq, err := http.NewRequestWithContext(ctx, "GET", u.String(), nil)
	if err != nil {
		return nil, err
	}
	r, err := t.routeOf(hreq)
	if err != nil {
		return nil, err
	}
	l, err := t.connect(ctx, &r)
	if err != nil {
		return nil, err
	}
	return newConn(l, t.Depth), nil
}
