package h1http

// proxy.go: which way a request goes, and through which proxy.
//
// Rule: connections are interchangeable when their keys are equal. To an http server behind
// an http proxy any connection to that proxy will do; everything else is made for one server.

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

// way is where a request goes, and through what.
type way struct {
	key    key
	proxy  *url.URL // nil: straight to target
	target string   // the server's host:port
}

// way finds the way of a request.
func (t *Transport) way(hreq *http.Request) (way, error) {
	w := way{target: hostPort(hreq.URL)}
	w.key = key{scheme: hreq.URL.Scheme, addr: w.target}
	if t.Proxy == nil {
		return w, nil
	}
	proxy, err := t.Proxy(hreq)
	if err != nil || proxy == nil {
		return w, err
	}
	switch proxy.Scheme {
	case "http", "https", "socks5", "socks5h":
	case "":
		own := *proxy
		own.Scheme = "http"
		proxy = &own
	default:
		return w, fmt.Errorf("h1http: unknown scheme of proxy: %q", proxy.Scheme)
	}
	w.proxy = proxy
	w.key.proxy = proxy.String()
	if w.absolute() {
		w.key.addr = ""
	}
	return w, nil
}

// absolute reports whether requests name their server in their target, to the proxy.
func (w *way) absolute() bool {
	return w.proxy != nil && !w.socks() && w.key.scheme == "http"
}

func (w *way) socks() bool { return strings.HasPrefix(w.proxy.Scheme, "socks5") }

// hop is the host:port to connect to.
func (w *way) hop() string {
	if w.proxy != nil {
		return hostPort(w.proxy)
	}
	return w.target
}

func (w *way) hopScheme() string {
	if w.proxy != nil {
		return w.proxy.Scheme
	}
	return w.key.scheme
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

// throughProxy makes of a connection to a proxy one to the target. It closes nc if it fails.
func (t *Transport) throughProxy(ctx context.Context, w *way, nc net.Conn) (net.Conn, error) {
	var err error
	switch {
	case w.socks():
		err = socks5(ctx, nc, w.proxy.User, w.target)
	case w.key.scheme == "https":
		nc, err = t.tunnel(ctx, w, nc)
	}
	if err == nil && w.key.scheme == "https" {
		host := w.target
		if i := strings.LastIndexByte(host, ':'); i >= 0 {
			host = strings.Trim(host[:i], "[]")
		}
		return t.addTLS(ctx, nc, host)
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return nc, nil
}

// tunnelTimeout limits CONNECT: a proxy that accepts a connection and then says nothing would
// hold the dial for ever, since that does not end with its request.
const tunnelTimeout = time.Minute

// tunnel asks an http proxy for a connection to the target. The connection it returns is nc
// if it fails.
func (t *Transport) tunnel(ctx context.Context, w *way, nc net.Conn) (net.Conn, error) {
	header := t.ProxyConnectHeader
	if t.GetProxyConnectHeader != nil {
		var err error
		if header, err = t.GetProxyConnectHeader(ctx, w.proxy, w.target); err != nil {
			return nc, err
		}
	}
	header = header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	if auth := proxyAuth(w.proxy); auth != "" {
		header.Set("Proxy-Authorization", auth)
	}
	connect := &http.Request{
		Method: "CONNECT",
		URL:    &url.URL{Opaque: w.target},
		Host:   w.target,
		Header: header,
	}
	if bad := invalidField(header); bad != "" {
		return nc, fmt.Errorf("h1http: invalid header %s for the proxy", bad)
	}
	ctx, cancel := context.WithTimeout(ctx, tunnelTimeout)
	defer cancel()
	return t.connectTo(ctx, w, nc, connect)
}

// connectTo sends CONNECT and judges the answer.
func (t *Transport) connectTo(ctx context.Context, w *way, nc net.Conn, connect *http.Request) (net.Conn, error) {
	cfg := t.engine()
	cfg.HeadTimeout = 0 // a proxy has to connect first; its time is limited as a whole
	h := h1.NewConn(nc, cfg)
	req := h1.Request{Method: "CONNECT", Target: w.target, Host: w.target}
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
		if err := t.OnProxyConnectResponse(ctx, w.proxy, connect, out); err != nil {
			return nc, err
		}
	}
	if in.Status != 200 {
		if text := string(in.Reason()); text != "" {
			return nc, errors.New(text)
		}
		return nc, fmt.Errorf("h1http: the proxy answered CONNECT with status %d", in.Status)
	}
	parts, err := h.Detach()
	if err != nil {
		return nc, err
	}
	return parts.Stream().(net.Conn), nil
}
