package h1http

// target.go: the Host field and the request target.
//
// Rule: what is no host is sent as none, and what no request target may hold is encoded or
// refused: a server must not read either in two ways.

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// hostOf returns what the Host field is to say. What is no host is left empty, as in
// net/http, where requests over unix sockets rely on that; but a proxy could do nothing
// with it, so there it is an error.
func hostOf(hreq *http.Request, proxied bool) (string, error) {
	host := hreq.Host
	if host == "" {
		host = hreq.URL.Host
	}
	host, err := asciiHostPort(host)
	if err != nil {
		return "", err
	}
	if !validHost(host) {
		if proxied {
			return "", errors.New("h1http: invalid Host header")
		}
		return "", nil
	}
	return withoutZone(host), nil
}

// withoutZone returns a host, or host:port, without the zone of its address, which means
// nothing elsewhere (RFC 6874, section 1).
func withoutZone(host string) string {
	i, end := strings.IndexByte(host, '%'), strings.IndexByte(host, ']')
	if i >= 0 && i < end && host[0] == '[' {
		return host[:i] + host[end:]
	}
	return host
}

// validHost reports whether s may stand in a Host field as the engine sees it.
func validHost(s string) bool {
	name := s
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		name = s[:i]
		for _, c := range []byte(s[i+1:]) {
			if c < '0' || c > '9' {
				return false
			}
		}
	}
	if name != "" && name[0] == '[' {
		return len(name) > 2 && strings.IndexByte(name, ']') == len(name)-1 &&
			strings.LastIndexByte(name, '[') == 0 && consists(name, hostOctet)
	}
	return name != "" && !strings.ContainsAny(name, "[]:") && consists(name, hostOctet)
}

// target returns the request target.
func target(hreq *http.Request, host string, proxied bool) (string, error) {
	u := hreq.URL
	t := u.RequestURI()
	switch {
	case proxied && u.Scheme != "" && u.Opaque == "" && hreq.Method != "CONNECT":
		t = rooted(t, u)
		if t == "*" {
			if hreq.Method != "OPTIONS" {
				return "", errors.New("h1http: * is the target of OPTIONS alone")
			}
			t = "" // in absolute form it is written without a path: RFC 9112, 3.2.4
		}
		t = u.Scheme + "://" + host + t
	case hreq.Method == "CONNECT" && u.Path == "":
		t = host
		if u.Opaque != "" {
			t = u.Opaque
		}
	default:
		t = rooted(t, u)
	}
	odd := false
	for i := 0; i < len(t); i++ {
		c := t[i]
		if c < ' ' || c == 0x7f {
			return "", errors.New("h1http: can't write control character in Request.URL")
		}
		odd = odd || c == ' ' || c == '#' || c > 0x7f
	}
	if odd {
		t = escaped(t)
	}
	return t, nil
}

// rooted makes a path begin with "/", as URL.String does.
func rooted(t string, u *url.URL) string {
	if u.Opaque == "" && t != "*" && !strings.HasPrefix(t, "/") {
		return "/" + t
	}
	return t
}

// escaped writes as %XX what url.Parse lets a query hold, and a request target may not.
func escaped(t string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(t); i++ {
		if c := t[i]; c <= ' ' || c == '#' || c > 0x7f {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
