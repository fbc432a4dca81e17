package h1http

// proxy.go: the route of a request, and the part of it that goes through a proxy.
//
// Rule: connections are interchangeable if their keys are equal. Any connection to an http
// proxy will do for any http server behind it; every other connection is for one server.

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"example.com/h1"
)

// A route is where a request goes, and through what.
type route struct {
	key    key
	proxy  *url.URL // nil: straight to target
	target string   // the server's host:port
}

// routeOf finds the route of a request.
func (t *Transport) routeOf(hreq *http.Request) (route, error) {
	r := route{target: hostPort(hreq.URL)}
	r.key = key{scheme: hreq.URL.Scheme, addr: r.target}
	if t.Proxy == nil {
		return r, nil
	}
	proxy, err := t.Proxy(hreq)
	if err != nil || proxy == nil {
		return r, err
	}
	switch proxy.Scheme {
	case "http", "https", "socks5", "socks5h":
	case "":
		own := *proxy
		own.Scheme = "http"
		proxy = &own
	default:
		return r, fmt.Errorf("h1http: unknown scheme of proxy: %q", proxy.Scheme)
	}
	r.proxy = proxy
	r.key.proxy = proxy.String()
	if r.absolute() {
		r.key.addr = ""
	}
	return r, nil
}

// absolute reports whether requests are for the proxy to pass on, and so have targets in
// absolute form.
func (r *route) absolute() bool {
	return r.proxy != nil && !r.socks() && r.key.scheme == "http"
}

func (r *route) socks() bool { return strings.HasPrefix(r.proxy.Scheme, "socks5") }

// hop is the host:port to dial.
func (r *route) hop() string {
	if r.proxy != nil {
		return hostPort(r.proxy)
	}
	return r.target
}

// hopScheme is the scheme to speak there.
func (r *route) hopScheme() string {
	if r.proxy != nil {
		return r.proxy.Scheme
	}
	return r.key.scheme
}

// hostPort returns the host of a URL, always with a port.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port != "" && isASCII(u.Host) {
		return u.Host
	}
	if port == "" {
		switch u.Scheme {
		case "http":
			port = "80"
		case "https":
			port = "443"
		case "socks5", "socks5h":
			port = "1080"
		}
	}
	host := u.Hostname()
	if a, err := asciiHost(host); err == nil {
		host = a
	}
	return net.JoinHostPort(host, port)
}

// proxyAuth returns the credentials for a proxy, "" if there are none.
func proxyAuth(u *url.URL) string {
	if u.User == nil {
		return ""
	}
	password, _ := u.User.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
}

// throughProxy turns a connection to a proxy into one to the target. It closes nc if it
// fails.
func (t *Transport) throughProxy(ctx context.Context, r *route, nc net.Conn) (net.Conn, error) {
	var err error
	switch {
	case r.socks():
		err = socks5(ctx, nc, r.proxy.User, r.target)
	case r.key.scheme == "https":
		nc, err = t.connectByHTTP(ctx, r, nc)
	}
	if err == nil && r.key.scheme == "https" {
		host, _, _ := net.SplitHostPort(r.target)
		return t.addTLS(ctx, nc, host)
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return nc, nil
}

// connectTimeout limits CONNECT. A proxy that accepts a connection and then says nothing
// would hold the dial for ever, since a dial does not end with its request.
const connectTimeout = time.Minute

// connectByHTTP asks an http proxy for a connection to the target. If it fails it returns
// nc, which the caller closes.
func (t *Transport) connectByHTTP(ctx context.Context, r *route, nc net.Conn) (net.Conn, error) {
	header := t.ProxyConnectHeader
	if t.GetProxyConnectHeader != nil {
		var err error
		if header, err = t.GetProxyConnectHeader(ctx, r.proxy, r.target); err != nil {
			return nc, err
		}
	}
	header = header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	if auth := proxyAuth(r.proxy); auth != "" {
		header.Set("Proxy-Authorization", auth)
	}
	connect := &http.Request{
		Method: "CONNECT",
		URL:    &url.URL{Opaque: r.target},
		Host:   r.target,
		Header: header,
	}
	if bad := invalidField(header); bad != "" {
		return nc, fmt.Errorf("h1http: invalid header %s for the proxy", bad)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return t.sendConnect(ctx, r, nc, connect)
}

// sendConnect sends CONNECT and decides by the answer. If it fails it returns nc.
func (t *Transport) sendConnect(ctx context.Context, r *route, nc net.Conn, connect *http.Request) (net.Conn, error) {
	cfg := t.engineConfig()
	cfg.HeadTimeout = 0 // a proxy has to connect first; its time is limited as a whole
	h := h1.NewConn(nc, cfg)
	hints := call{infoLeft: int64(cfg.MaxHeadBytes)} // 1xx heads are limited as a request's are
	req := h1.Request{
		Method: "CONNECT", Target: r.target, Host: withoutZone(r.target),
		Informational: hints.informational,
	}
	addUserAgent(&req.Header, connect.Header)
	for k, values := range connect.Header {
		if writtenApart(k) || foldEqual(k, "Expect") { // CONNECT has no body to hold back
			continue
		}
		for _, v := range values {
			req.Header.Add(k, v)
		}
	}
	var in h1.Response
	if err := h.Do(ctx, &req, &in); err != nil {
		return nc, err
	}
	out := &http.Response{Body: in.Body}
	convert(out, &in, connect)
	if t.OnProxyConnectResponse != nil {
		if err := t.OnProxyConnectResponse(ctx, r.proxy, connect, out); err != nil {
			return nc, err
		}
	}
	if in.Status != 200 {
		if text := string(in.Reason()); text != "" {
			return nc, errors.New(text)
		}
		return nc, fmt.Errorf("h1http: the proxy answered CONNECT with status %d", in.Status)
	}
	// What came with the head is dropped, as by net/http: a TLS server does not speak first,
	// but some proxies send a body.
	_, err := h.Detach()
	return nc, err
}
