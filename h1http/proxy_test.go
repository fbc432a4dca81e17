package h1http

// proxy_test.go: requests that go through proxies.

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/h1"
)

// proxy is an http proxy: absolute-form requests and CONNECT.
type proxy struct {
	t        *testing.T
	requests atomic.Int32
	connects atomic.Int32
	auth     atomic.Value
	header   atomic.Value // of the last CONNECT
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.auth.Store(r.Header.Get("Proxy-Authorization"))
	if r.Method != "CONNECT" {
		p.requests.Add(1)
		if !r.URL.IsAbs() {
			p.t.Errorf("target %s is not absolute", r.RequestURI)
		}
		fmt.Fprintf(w, "proxied %s for %s from %s", r.RequestURI, r.Host, r.RemoteAddr)
		return
	}
	p.connects.Add(1)
	p.header.Store(r.Header.Clone())
	to, err := net.Dial("tcp", r.RequestURI)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.WriteHeader(200)
	nc, brw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.t.Error(err)
		return
	}
	go func() {
		io.Copy(to, brw)
		to.Close()
	}()
	io.Copy(nc, to)
	nc.Close()
}

func newProxy(t *testing.T, secure bool) (*proxy, *httptest.Server) {
	p := &proxy{t: t}
	s := httptest.NewUnstartedServer(p)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // a dial nobody waits for any more
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return p, s
}

func through(raw string) func(*http.Request) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		panic(err)
	}
	return http.ProxyURL(u)
}

func TestProxyPlain(t *testing.T) {
	for _, secure := range []bool{false, true} {
		noLeak(t)
		p, s := newProxy(t, secure)
		tr := &Transport{Proxy: through(strings.Replace(s.URL, "://", "://aladdin:open%20sesame@", 1)),
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		t.Cleanup(tr.CloseIdleConnections)
		a := get(t, tr, "http://a.example/x?y")
		b := get(t, tr, "http://b.example:81/z")
		_, from, _ := strings.Cut(a, " from ")
		if want := "proxied http://a.example/x?y for a.example from " + from; a != want {
			t.Errorf("got %q", a)
		}
		if want := "proxied http://b.example:81/z for b.example:81 from " + from; b != want {
			t.Errorf("got %q: the proxy's connection serves any host", b)
		}
		rootless := newRequest(t, "GET", "http://b.example:81", nil)
		rootless.URL.Path = "z"
		if got := do(t, tr, rootless); got != b {
			t.Errorf("got %q", got)
		}
		star := newRequest(t, "OPTIONS", "http://b.example:81", nil)
		star.URL.Path = "*"
		if got, want := do(t, tr, star), "proxied http://b.example:81 for b.example:81 from "+from; got != want {
			t.Errorf("got %q", got)
		}
		star.Method = "DELETE"
		if _, err := tr.RoundTrip(star); err == nil {
			t.Error("DELETE * was sent to a proxy, as DELETE of /")
		}
		if got := p.auth.Load(); got != "Basic YWxhZGRpbjpvcGVuIHNlc2FtZQ==" {
			t.Errorf("authorization %q", got)
		}
		req := newRequest(t, "GET", "http://a.example/", nil)
		req.Host = "not a host"
		if _, err := tr.RoundTrip(req); err == nil {
			t.Error("an invalid host was sent to a proxy")
		}
	}
}

func TestProxyConnect(t *testing.T) {
	for _, secure := range []bool{false, true} {
		r := newRig(t, true, echo)
		p, s := newProxy(t, secure)
		r.tr.Proxy = through(strings.Replace(s.URL, "://", "://user:pass@", 1))
		r.tr.TLSClientConfig.InsecureSkipVerify = true
		r.tr.ProxyConnectHeader = http.Header{"X-Own": {"1"}, "Expect": {"100-continue"}}
		var seen string
		r.tr.OnProxyConnectResponse = func(_ context.Context, u *url.URL, req *http.Request, resp *http.Response) error {
			seen = fmt.Sprint(u.User.Username(), req.Method, req.Host, resp.StatusCode)
			return nil
		}
		testEcho(t, r.tr, r.URL)
		h := p.header.Load().(http.Header)
		if p.connects.Load() != 1 || h.Get("X-Own") != "1" || h.Get("Proxy-Authorization") != "Basic dXNlcjpwYXNz" {
			t.Errorf("%d, %v", p.connects.Load(), h)
		}
		if h.Get("User-Agent") != "Go-http-client/1.1" || h["Expect"] != nil {
			t.Errorf("%v", h)
		}
		if want := "userCONNECT" + r.Listener.Addr().String() + "200"; seen != want {
			t.Errorf("saw %q, want %q", seen, want)
		}
		if len(r.tr.ProxyConnectHeader) != 2 {
			t.Errorf("ProxyConnectHeader was changed: %v", r.tr.ProxyConnectHeader)
		}
		r.tr.CloseIdleConnections()
		r.tr.GetProxyConnectHeader = func(_ context.Context, _ *url.URL, target string) (http.Header, error) {
			return http.Header{"X-Target": {target}}, nil
		}
		get(t, r.tr, r.URL)
		if h := p.header.Load().(http.Header); h.Get("X-Target") != r.Listener.Addr().String() || h.Get("X-Own") != "" {
			t.Errorf("%v", h)
		}
		r.tr.CloseIdleConnections()
		bad := errors.New("bad")
		r.tr.OnProxyConnectResponse = func(context.Context, *url.URL, *http.Request, *http.Response) error { return bad }
		if _, err := r.tr.RoundTrip(newRequest(t, "GET", r.URL, nil)); !errors.Is(err, bad) {
			t.Errorf("OnProxyConnectResponse: %v", err)
		}
		r.tr.OnProxyConnectResponse = nil
		r.tr.GetProxyConnectHeader = func(context.Context, *url.URL, string) (http.Header, error) { return nil, bad }
		if _, err := r.tr.RoundTrip(newRequest(t, "GET", r.URL, nil)); !errors.Is(err, bad) {
			t.Errorf("GetProxyConnectHeader: %v", err)
		}
		r.tr.GetProxyConnectHeader = func(context.Context, *url.URL, string) (http.Header, error) { return http.Header{"A": {"\n"}}, nil }
		if _, err := r.tr.RoundTrip(newRequest(t, "GET", r.URL, nil)); err == nil || !strings.Contains(err.Error(), "for the proxy") {
			t.Errorf("an invalid field: %v", err)
		}
		r.tr.GetProxyConnectHeader = func(context.Context, *url.URL, string) (http.Header, error) { return nil, nil }
		get(t, r.tr, r.URL)
		if h := p.header.Load().(http.Header); h.Get("Proxy-Authorization") != "Basic dXNlcjpwYXNz" {
			t.Errorf("no header: %v", h)
		}
		r.tr.CloseIdleConnections()
		r.tr.Proxy = through(s.URL)
		get(t, r.tr, r.URL)
		if h := p.header.Load().(http.Header); h["Proxy-Authorization"] != nil {
			t.Errorf("no user: %v", h)
		}
	}
}

// TestProxyConnectBody: what a proxy sends with its answer to CONNECT is no part of the
// server's TLS. Some answer with a body, or with the last chunk of none.
func TestProxyConnectBody(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\nabc",
	} {
		r := newRig(t, true, echo)
		r.tr.Proxy = through(rawServer(t, func(nc net.Conn, br *bufio.Reader, _ int) {
			if _, _, err := readRequest(br); err != nil {
				return
			}
			to, err := net.Dial("tcp", r.Listener.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			io.WriteString(nc, answer)
			go func() {
				io.Copy(to, br)
				to.Close()
			}()
			io.Copy(nc, to)
		}))
		if got := get(t, r.tr, r.URL+"/x"); got != "GET /x 0 " {
			t.Errorf("%q: got %q", answer, got)
		}
		r.tr.CloseIdleConnections() // the proxy's end waits for it
	}
}

func TestProxyErrors(t *testing.T) {
	noLeak(t)
	long := strings.Repeat("X: "+strings.Repeat("a", 1000)+"\r\n", 100)
	u := rawServer(t, func(nc net.Conn, br *bufio.Reader, _ int) {
		req, _, err := readRequest(br)
		if err != nil {
			return
		}
		switch req.Host {
		case "refused.example:443":
			io.WriteString(nc, "HTTP/1.1 407 Own Words\r\nContent-Length: 3\r\n\r\nno!")
		case "curt.example:443":
			io.WriteString(nc, "HTTP/1.1 400\r\nContent-Length: 0\r\n\r\n")
		case "long.example:443":
			io.WriteString(nc, "HTTP/1.1 200 OK\r\n"+long+"\r\n")
		case "hints.example:443":
			for err == nil {
				_, err = io.WriteString(nc, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
			}
		case "stuck.example:443":
			br.ReadByte()
		}
	})
	tr := &Transport{Proxy: through(u), MaxResponseHeaderBytes: 50_000}
	defer tr.CloseIdleConnections()
	for _, hook := range []func(context.Context, *url.URL, *http.Request, *http.Response) error{
		nil, func(context.Context, *url.URL, *http.Request, *http.Response) error { return nil },
	} {
		tr.OnProxyConnectResponse = hook
		for host, want := range map[string]string{"refused.example": "Own Words", "curt.example": "h1http: the proxy answered CONNECT with status 400"} {
			if _, err := tr.RoundTrip(newRequest(t, "GET", "https://"+host+"/", nil)); err == nil || err.Error() != want {
				t.Errorf("%s: %v", host, err)
			}
		}
	}
	for host, want := range map[string]h1.Kind{
		"long.example": h1.TooLarge, "hints.example": h1.TooLarge, "hangup.example": h1.Incomplete,
	} {
		if _, err := tr.RoundTrip(newRequest(t, "GET", "https://"+host+"/", nil)); !errors.Is(err, want) {
			t.Errorf("%s: %v", host, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := tr.RoundTrip(newRequest(t, "GET", "https://stuck.example/", nil).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	tr.CloseIdleConnections()
	eventually(t, "no dial is left", func() bool { _, n := tr.counts(""); return n == 0 })

	refused := errors.New("dial refused")
	tr = &Transport{Proxy: through("http://proxy.example"), DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, refused }}
	_, err := tr.RoundTrip(newRequest(t, "GET", "http://x.example/", nil))
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "proxyconnect" || !errors.Is(err, refused) {
		t.Errorf("%v", err)
	}
	tr.Proxy = through("ftp://proxy.example")
	if _, err := tr.RoundTrip(newRequest(t, "GET", "http://x.example/", nil)); err == nil {
		t.Error("an ftp proxy was taken")
	}
}

// TestProxyZone: the zone of an address stays where it means something.
func TestProxyZone(t *testing.T) {
	heads := make(chan string, 2)
	u := rawServer(t, func(nc net.Conn, br *bufio.Reader, _ int) {
		var head string
		for !strings.HasSuffix(head, "\r\n\r\n") {
			line, err := br.ReadString('\n')
			if err != nil {
				break
			}
			head += line
		}
		heads <- head
		io.WriteString(nc, "HTTP/1.1 403 Forbidden\r\n\r\n")
	})
	withBoth(t, func(a *http.Transport, b *Transport) { a.Proxy, b.Proxy = through(u), through(u) }, func(t *testing.T, rt anyTransport) {
		if _, err := rt.RoundTrip(newRequest(t, "GET", "https://[fe80::1%25eth0]/", nil)); err == nil {
			t.Error("no error")
		}
		if got := <-heads; !strings.Contains(got, "\r\nHost: [fe80::1]:443\r\n") {
			t.Errorf("%q", got)
		}
	})
	tr := &Transport{Proxy: through(u)}
	for _, host := range []string{"[fe80::1%25eth0", "[%", "[::1]%25"} { // as no parser of URLs gives them
		req := newRequest(t, "GET", "https://x/", nil)
		req.URL.Host = host
		if _, err := tr.RoundTrip(req); err == nil {
			t.Errorf("%q: no error", host)
		}
		<-heads
	}
}

// socksServer serves SOCKS5, with or without a password, and connects everything to addr.
func socksServer(t *testing.T, login, addr string, code byte, asked *atomic.Value) string {
	return rawServer(t, func(nc net.Conn, br *bufio.Reader, _ int) {
		n := func(k int) []byte {
			b := make([]byte, k)
			io.ReadFull(br, b)
			return b
		}
		methods := n(int(n(2)[1]))
		if login == "" {
			nc.Write([]byte{5, 0})
		} else if !strings.Contains(string(methods), "\x02") {
			nc.Write([]byte{5, 0xff})
			return
		} else {
			nc.Write([]byte{5, 2})
			user := n(int(n(2)[1]))
			pass := n(int(n(1)[0]))
			if string(user)+":"+string(pass) != login {
				nc.Write([]byte{1, 1})
				return
			}
			nc.Write([]byte{1, 0})
		}
		var host string
		switch n(4)[3] {
		case 1:
			host = net.IP(n(4)).String()
		case 3:
			host = string(n(int(n(1)[0])))
		case 4:
			host = net.IP(n(16)).String()
		}
		port := n(2)
		asked.Store(fmt.Sprintf("%s %d", host, int(port[0])<<8|int(port[1])))
		nc.Write([]byte{5, code, 0, 3, 2, 'h', 'i', 0, 1})
		if code != 0 {
			return
		}
		to, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		go func() {
			io.Copy(to, br)
			to.Close()
		}()
		io.Copy(nc, to)
	})
}

func TestSOCKS5(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for _, login := range []string{"", "user:pa%3Ass"} {
			r := newRig(t, secure, echo)
			var asked atomic.Value
			plain, _ := url.PathUnescape(login)
			s := socksServer(t, plain, r.Listener.Addr().String(), 0, &asked)
			at := ""
			if login != "" {
				at = login + "@"
			}
			r.tr.Proxy = through(strings.Replace(s, "http://", "socks5h://"+at, 1))
			scheme, port := "http", 80
			if secure {
				scheme, port = "https", 443
			}
			for _, host := range []string{"example.com", "[2001:db8::1]", "192.0.2.1"} {
				if secure {
					r.tr.TLSClientConfig.ServerName = "example.com"
				}
				if got := get(t, r.tr, scheme+"://"+host+"/x"); got != "GET /x 0 " {
					t.Errorf("got %q", got)
				}
				if want := fmt.Sprintf("%s %d", strings.Trim(host, "[]"), port); asked.Load() != want {
					t.Errorf("asked for %q, want %q", asked.Load(), want)
				}
			}
			r.tr.CloseIdleConnections() // the proxy's end waits for it
		}
	}
	noLeak(t)
	var asked atomic.Value
	for want, s := range map[string]string{
		"connection refused":                      strings.Replace(socksServer(t, "", "", 5, &asked), "http:", "socks5:", 1),
		"unknown code 77":                         strings.Replace(socksServer(t, "", "", 77, &asked), "http:", "socks5:", 1),
		"no acceptable authentication methods":    strings.Replace(socksServer(t, "a:b", "", 0, &asked), "http:", "socks5:", 1),
		"username/password authentication failed": strings.Replace(socksServer(t, "a:b", "", 0, &asked), "http://", "socks5://a:c@", 1),
		"EOF": strings.Replace(rawServer(t, func(net.Conn, *bufio.Reader, int) {}), "http:", "socks5:", 1),
	} {
		tr := &Transport{Proxy: through(s)}
		_, err := tr.RoundTrip(newRequest(t, "GET", "http://x.example/", nil))
		if err == nil || !strings.Contains(err.Error(), want) && want != "EOF" {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestRoutes: where a request's connection is dialed, by what scheme, and which others may
// use it.
func TestRoutes(t *testing.T) {
	for _, test := range []struct{ url, proxy, hop, scheme, key string }{
		{"http://a.example", "", "a.example:80", "http", "{ http a.example:80}"},
		{"https://a.example", "", "a.example:443", "https", "{ https a.example:443}"},
		{"https://[2001:db8::1]", "", "[2001:db8::1]:443", "https", "{ https [2001:db8::1]:443}"},
		{"http://Bücher.example:8080", "", "xn--bcher-kva.example:8080", "http", "{ http xn--bcher-kva.example:8080}"},
		{"http://a.example", "http://p.example", "p.example:80", "http", "{http://p.example http }"},
		{"http://a.example", "//p.example", "p.example:80", "http", "{http://p.example http }"},
		{"https://a.example", "https://p.example", "p.example:443", "https", "{https://p.example https a.example:443}"},
		{"http://a.example", "socks5://p.example", "p.example:1080", "socks5", "{socks5://p.example http a.example:80}"},
		{"http://a.example", "socks5h://p.example:9", "p.example:9", "socks5h", "{socks5h://p.example:9 http a.example:80}"},
	} {
		tr := &Transport{}
		if test.proxy != "" {
			tr.Proxy = through(test.proxy)
		}
		r, err := tr.routeOf(newRequest(t, "GET", test.url, nil))
		if key := fmt.Sprint(r.key); err != nil || r.hop() != test.hop || r.hopScheme() != test.scheme || key != test.key {
			t.Errorf("%s by %q: %s by %s, key %s, %v", test.url, test.proxy, r.hop(), r.hopScheme(), key, err)
		}
	}
}

// script is a stream that brings what it holds, and keeps what is written to it.
type script struct {
	net.Conn
	strings.Reader
	wrote strings.Builder
}

func (s *script) Read(p []byte) (int, error)  { return s.Reader.Read(p) }
func (s *script) Write(p []byte) (int, error) { return s.wrote.Write(p) }

// TestSOCKS5Bytes: what is said to a proxy, and what of its answers is read: no byte of
// what stands behind them.
func TestSOCKS5Bytes(t *testing.T) {
	const (
		hello, password = "\x05\x01\x00", "\x05\x02\x00\x02"
		none, login     = "\x05\x00", "\x05\x02"
		byName, granted = "\x05\x01\x00\x03\x01x\x00\x50", "\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50"
	)
	long := strings.Repeat("a", 255)
	for name, test := range map[string]struct {
		user       *url.Userinfo
		addr       string
		said       string
		wrote, bad string
	}{
		"name":             {nil, "x:80", none + granted, hello + byName, ""},
		"IPv4":             {nil, "192.0.2.1:258", none + granted, hello + "\x05\x01\x00\x01\xc0\x00\x02\x01\x01\x02", ""},
		"IPv4 in IPv6":     {nil, "[::ffff:192.0.2.1]:1", none + granted, hello + "\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x01", ""},
		"IPv6":             {nil, "[1:2::3]:1", none + granted, hello + "\x05\x01\x00\x04\x00\x01\x00\x02" + strings.Repeat("\x00", 11) + "\x03\x00\x01", ""},
		"IPv6 with a zone": {nil, "[fe80::1%e]:1", none + granted, hello + "\x05\x01\x00\x03\x09fe80::1%e\x00\x01", ""},
		"longest name":     {nil, long + ":80", none + granted, hello + "\x05\x01\x00\x03\xff" + long + "\x00\x50", ""},
		"name too long":    {nil, long + "a:80", none, hello, "the host's name is too long"},
		"no port":          {nil, "x", none, hello, "missing port"},
		"port too high":    {nil, "x:65536", none, hello, "out of range"},
		"from IPv6":        {nil, "x:80", none + "\x05\x00\x00\x04" + strings.Repeat("\x00", 18), hello + byName, ""},
		"from a name":      {nil, "x:80", none + "\x05\x00\x00\x03\x02hi\x00\x01", hello + byName, ""},
		"from elsewhere":   {nil, "x:80", none + "\x05\x00\x00\x02", hello + byName, "unknown address type 2"},
		"refused":          {nil, "x:80", none + "\x05\x08\x00\x01", hello + byName, "address type not supported"},
		"unknown code":     {nil, "x:80", none + "\x05\x09\x00\x01", hello + byName, "unknown code 9"},
		"SOCKS4":           {nil, "x:80", "\x04\x00", hello, "unexpected protocol version 4"},
		"SOCKS4 later":     {nil, "x:80", none + "\x04\x00\x00\x01", hello + byName, "unexpected protocol version 4"},
		"no method":        {nil, "x:80", "\x05\xff", hello, "no acceptable authentication methods"},
		"none of ours":     {url.UserPassword("u", "pw"), "x:80", "\x05\xff", password, "no acceptable authentication methods"},
		"not offered":      {nil, "x:80", login, hello, "no acceptable authentication methods"},
		"password": {url.UserPassword("u", "pw"), "x:80", login + "\x01\x00" + granted,
			password + "\x01\x01u\x02pw" + byName, ""},
		"no password":  {url.User("u"), "x:80", login + "\x01\x00" + granted, password + "\x01\x01u\x00" + byName, ""},
		"not needed":   {url.UserPassword("u", "pw"), "x:80", none + granted, password + byName, ""},
		"longest ones": {url.UserPassword(long, long), "x:80", login + "\x01\x00" + granted, password + "\x01\xff" + long + "\xff" + long + byName, ""},
		"long user":    {url.UserPassword(long+"a", ""), "x:80", login, password, "invalid username/password"},
		"long password": {url.UserPassword("u", long+"a"), "x:80", login, password,
			"invalid username/password"},
		"no user":          {url.UserPassword("", "pw"), "x:80", login, password, "invalid username/password"},
		"wrong password":   {url.UserPassword("u", "pw"), "x:80", login + "\x01\x01", password + "\x01\x01u\x02pw", "authentication failed"},
		"hangup":           {nil, "x:80", "", hello, "EOF"},
		"hangup at login":  {url.UserPassword("u", "pw"), "x:80", login, password + "\x01\x01u\x02pw", "EOF"},
		"hangup at once":   {nil, "x:80", none, hello + byName, "EOF"},
		"hangup in a name": {nil, "x:80", none + "\x05\x00\x00\x03", hello + byName, "EOF"},
		"cut":              {nil, "x:80", none + granted[:len(granted)-1], hello + byName, "EOF"},
	} {
		behind := ""
		if test.bad == "" {
			behind = "HTTP"
		}
		s := &script{}
		s.Reader.Reset(test.said + behind)
		err := socks5(context.Background(), s, test.user, test.addr)
		if s.wrote.String() != test.wrote || s.Len() != len(behind) {
			t.Errorf("%s: wrote %q, want %q; %d bytes are left", name, s.wrote.String(), test.wrote, s.Len())
		}
		if test.bad == "" && err != nil || test.bad != "" && (err == nil || !strings.Contains(err.Error(), test.bad)) {
			t.Errorf("%s: %v", name, err)
		}
		if op := (*net.OpError)(nil); err != nil && (!errors.As(err, &op) || op.Op != "socks connect") {
			t.Errorf("%s: %v does not say where", name, err)
		}
	}
}

// lastRead is a stream on which a context ends during the last read.
type lastRead struct {
	net.Conn
	have   *strings.Reader
	cancel func()
}

func (c *lastRead) Write(p []byte) (int, error) { return len(p), nil }
func (c *lastRead) SetDeadline(time.Time) error { return nil }
func (c *lastRead) Read(p []byte) (n int, err error) {
	n, err = c.have.Read(p)
	if c.have.Len() == 0 {
		c.cancel()
	}
	return n, err
}

// TestSOCKS5Late: a dial that was ended at the last moment is not handed out, for it may
// have been given a deadline that has passed.
func TestSOCKS5Late(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	nc := &lastRead{have: strings.NewReader("\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50"), cancel: cancel}
	if err := socks5(ctx, nc, nil, "x.example:80"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
