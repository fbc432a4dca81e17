package h1http

// transport_test.go: the Transport's settings, TLS, other protocols, names.

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/h1"
)

// TestClone: every exported field comes along, what it refers to is copied, and what is
// used of one is not used of the other.
func TestClone(t *testing.T) {
	tr := &Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: func(context.Context, *url.URL, *http.Request, *http.Response) error { return nil },
		ProxyConnectHeader:     http.Header{"A": {"b"}},
		GetProxyConnectHeader:  func(context.Context, *url.URL, string) (http.Header, error) { return nil, nil },
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return nil, nil },
		DialTLSContext:         func(context.Context, string, string) (net.Conn, error) { return nil, nil },
		TLSClientConfig:        &tls.Config{ServerName: "x"},
		TLSHandshakeTimeout:    1, DisableKeepAlives: true, DisableCompression: true, MaxIdleConns: 2,
		MaxIdleConnsPerHost: 3, MaxConnsPerHost: 4, IdleConnTimeout: 5, ResponseHeaderTimeout: 6,
		ExpectContinueTimeout: 7, MaxResponseHeaderBytes: 8, WriteBufferSize: 9, ReadBufferSize: 10, Depth: 11,
	}
	clone := tr.Clone()
	a, b := reflect.ValueOf(tr).Elem(), reflect.ValueOf(clone).Elem()
	for i := range a.NumField() {
		f := a.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		if a.Field(i).IsZero() {
			t.Errorf("the test sets no %s", f.Name)
		}
		if b.Field(i).IsZero() {
			t.Errorf("%s was not copied", f.Name)
		}
	}
	if clone.TLSClientConfig == tr.TLSClientConfig {
		t.Error("TLSClientConfig is shared")
	}
	clone.ProxyConnectHeader.Set("A", "c")
	if tr.ProxyConnectHeader.Get("A") != "b" {
		t.Error("ProxyConnectHeader is shared")
	}
	if zero := new(Transport).Clone(); zero.TLSClientConfig != nil || zero.ProxyConnectHeader != nil {
		t.Error("a zero Transport's clone is not zero")
	}
}

// TestFields: every exported field and method of http.Transport is there, or known to be
// left out (docs/h1http.md says why).
func TestFields(t *testing.T) {
	out := map[string]bool{"Dial": true, "DialTLS": true, "TLSNextProto": true, "ForceAttemptHTTP2": true,
		"HTTP2": true, "Protocols": true, "CancelRequest": true}
	std, own := reflect.TypeOf(http.Transport{}), reflect.TypeOf(Transport{})
	for i := range std.NumField() {
		f := std.Field(i)
		if g, ok := own.FieldByName(f.Name); f.IsExported() && !out[f.Name] && (!ok || g.Type != f.Type) {
			t.Errorf("%s is missing or of another type", f.Name)
		}
	}
	stdP, ownP := reflect.PointerTo(std), reflect.PointerTo(own)
	for i := range stdP.NumMethod() {
		m := stdP.Method(i)
		if _, ok := ownP.MethodByName(m.Name); !ok && !out[m.Name] {
			t.Errorf("method %s is missing", m.Name)
		}
	}
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A fooTripper makes its responses up, of what it was given.
type fooTripper struct{ idleClosed bool }

func (f *fooTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	body := "<nil>"
	if req.Body != nil {
		b, _ := io.ReadAll(req.Body)
		body = string(b)
	}
	return &http.Response{Status: "made up " + req.URL.Host + " " + body, Request: req}, nil
}

func (f *fooTripper) CloseIdleConnections() { f.idleClosed = true }

func TestRegisterProtocol(t *testing.T) {
	r := newRig(t, false, echo)
	foo := &fooTripper{}
	r.tr.RegisterProtocol("foo", foo)
	for body, want := range map[string]string{"": "made up bar.example <nil>", "abc": "made up bar.example abc"} {
		req := newRequest(t, "POST", "foo://bar.example/path", nil)
		if body != "" {
			req = newRequest(t, "POST", "foo://bar.example/path", strings.NewReader(body))
		}
		resp, err := r.tr.RoundTrip(req)
		if err != nil || resp.Status != want {
			t.Errorf("%v %v", resp, err)
		}
	}
	if r.tr.CloseIdleConnections(); !foo.idleClosed {
		t.Error("CloseIdleConnections is not passed on")
	}
	r.tr.RegisterProtocol("stuck", roundTripFunc(func(req *http.Request) (*http.Response, error) {
		//lint:ignore SA1019 http.Client uses it for its Timeout
		<-req.Cancel
		return nil, errors.New("the other was told")
	}))
	c := &http.Client{Transport: r.tr, Timeout: 10 * time.Millisecond}
	if _, err := c.Get("stuck://bar.example/path"); err == nil || !strings.Contains(err.Error(), "the other was told") {
		t.Errorf("%v", err)
	}
	read := false
	r.tr.RegisterProtocol("http", roundTripFunc(func(req *http.Request) (*http.Response, error) {
		if read && req.Body != nil {
			io.ReadAll(req.Body)
		}
		return nil, http.ErrSkipAltProtocol
	}))
	for _, read = range []bool{false, true} {
		if got := do(t, r.tr, newRequest(t, "POST", r.URL, strings.NewReader("abc"))); got != "POST / 3 abc" {
			t.Errorf("read %v: %q", read, got)
		}
		body := &closeCounter{Reader: strings.NewReader("abc")}
		req := newRequest(t, "POST", r.URL, nil)
		req.Body = body
		resp, err := r.tr.RoundTrip(req)
		if err == nil {
			slurp(t, resp)
		}
		if (err == nil) == read || body.n.Load() != 1 {
			t.Errorf("read %v, no GetBody: %v, closed %d times", read, err, body.n.Load())
		}
	}
	req := newRequest(t, "POST", r.URL, strings.NewReader("abc"))
	again := errors.New("no second body")
	req.GetBody = func() (io.ReadCloser, error) { return nil, again }
	if _, err := r.tr.RoundTrip(req); err != again {
		t.Errorf("GetBody fails: %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("registered twice")
		}
	}()
	r.tr.RegisterProtocol("foo", nil)
}

func TestTLSErrors(t *testing.T) {
	noLeak(t)
	silent := rawServer(t, func(nc net.Conn, br *bufio.Reader, _ int) { io.Copy(io.Discard, br) })
	tr := &Transport{TLSHandshakeTimeout: 20 * time.Millisecond}
	_, err := tr.RoundTrip(newRequest(t, "GET", strings.Replace(silent, "http", "https", 1), nil))
	var ne net.Error
	if !errors.As(err, &ne) || !ne.Timeout() || !strings.Contains(err.Error(), "TLS handshake timeout") {
		t.Errorf("handshake: %v", err)
	}
	plain := rawServer(t, func(nc net.Conn, br *bufio.Reader, _ int) {
		io.WriteString(nc, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
		br.ReadByte()
	})
	_, err = (&http.Client{Transport: &Transport{}}).Get(strings.Replace(plain, "http", "https", 1))
	if !errors.Is(err, http.ErrSchemeMismatch) {
		t.Errorf("HTTP for HTTPS: %v", err)
	}
	hangup := rawServer(t, func(nc net.Conn, br *bufio.Reader, _ int) { br.ReadByte() })
	if _, err = tr.RoundTrip(newRequest(t, "GET", strings.Replace(hangup, "http", "https", 1), nil)); err == nil {
		t.Error("hangup: no error")
	}
	s := httptest.NewTLSServer(http.HandlerFunc(echo))
	defer s.Close()
	var traced error
	req := newRequest(t, "GET", s.URL, nil)
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) { traced = err },
	}))
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	_, err = (&Transport{TLSClientConfig: &tls.Config{ServerName: "other.example", RootCAs: roots}}).RoundTrip(req)
	if bad := new(*tls.CertificateVerificationError); !errors.As(err, bad) || !errors.As(traced, bad) {
		t.Errorf("another name: %v, traced %v", err, traced)
	}
}

// TestALPN: h2 is not offered; a connection that speaks it all the same is refused.
func TestALPN(t *testing.T) {
	noLeak(t)
	s := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	s.EnableHTTP2, s.TLS = true, &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
	s.StartTLS()
	defer s.Close()
	cfg := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	cfg.NextProtos = []string{"h2", "http/1.1"}
	tr := &Transport{TLSClientConfig: cfg}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(newRequest(t, "GET", s.URL, nil))
	if err != nil {
		t.Fatal(err)
	}
	if got := slurp(t, resp); got != "GET / 0 " || resp.TLS.NegotiatedProtocol != "http/1.1" {
		t.Errorf("%q by %q", got, resp.TLS.NegotiatedProtocol)
	}
	if len(cfg.NextProtos) != 2 {
		t.Errorf("the configuration was changed: %q", cfg.NextProtos)
	}
	hide := false
	tr = &Transport{DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		d := tls.Dialer{Config: cfg}
		nc, err := d.DialContext(ctx, network, addr)
		if hide && err == nil {
			nc = struct{ net.Conn }{nc}
		}
		return nc, err
	}}
	defer tr.CloseIdleConnections()
	if _, err := tr.RoundTrip(newRequest(t, "GET", s.URL, nil)); err == nil || !strings.Contains(err.Error(), "HTTP/2") {
		t.Errorf("h2 was spoken to: %v", err)
	}
	cfg.NextProtos = nil
	for _, hide = range []bool{false, true} {
		resp, err := tr.RoundTrip(newRequest(t, "GET", s.URL, nil))
		if err != nil {
			t.Fatal(err)
		}
		if got := slurp(t, resp); got != "GET / 0 " || (resp.TLS == nil) != hide {
			t.Errorf("%q, TLS state from DialTLSContext: %v, hidden: %v", got, resp.TLS, hide)
		}
		tr.CloseIdleConnections()
	}
}

func TestDialHooks(t *testing.T) {
	noLeak(t)
	nothing := func(context.Context, string, string) (net.Conn, error) { return nil, nil }
	tr := &Transport{DialContext: nothing, DialTLSContext: nothing}
	for _, u := range []string{"http://x.example", "https://x.example"} {
		if _, err := tr.RoundTrip(newRequest(t, "GET", u, nil)); err == nil {
			t.Errorf("%s: no error", u)
		}
	}
	type ctxKey struct{}
	fails := func(ctx context.Context, _, addr string) (net.Conn, error) {
		return nil, fmt.Errorf("value %v for %s", ctx.Value(ctxKey{}), addr)
	}
	tr = &Transport{DialContext: fails, DialTLSContext: fails}
	ctx := context.WithValue(context.Background(), ctxKey{}, 7)
	for u, want := range map[string]string{"http://x.example": "value 7 for x.example:80", "https://x.example": "value 7 for x.example:443"} {
		if _, err := tr.RoundTrip(newRequest(t, "GET", u, nil).WithContext(ctx)); err == nil || err.Error() != want {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// TestPipe: a stream that is no socket, without deadlines even.
func TestPipe(t *testing.T) {
	noLeak(t)
	tr := &Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		a, b := net.Pipe()
		go func() {
			answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")(b, bufio.NewReader(b), 0)
			b.Close()
		}()
		return a, nil
	}}
	defer tr.CloseIdleConnections()
	for range 3 {
		if got := get(t, tr, "http://pipe.example"); got != "hi" {
			t.Errorf("got %q", got)
		}
	}
}

func TestNewClientConn(t *testing.T) {
	for _, secure := range []bool{false, true} {
		r := newRig(t, secure, echo)
		scheme := "http"
		if secure {
			scheme = "https"
		}
		c, err := r.tr.NewClientConn(context.Background(), scheme, r.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		testEcho(t, c, "http://any.example")
		if _, n := r.tr.counts(""); n != 0 {
			t.Error("it is in the pool")
		}
		c.Close()
		if c.Err() == nil || c.InFlight() != 0 {
			t.Error("not closed")
		}
	}
	if _, err := new(Transport).NewClientConn(context.Background(), "ftp", "x:1"); err == nil {
		t.Error("ftp")
	}
}

// TestReuseRequest: a request may be sent again once its body is closed and its response
// read, and changed by then.
func TestReuseRequest(t *testing.T) {
	r := newRig(t, false, echo)
	req := newRequest(t, "POST", r.URL, nil)
	for i := range 100 {
		want := strings.Repeat("x", i*100)
		closed := make(chan struct{})
		req.Body = &closeCounter{Reader: strings.NewReader(want)}
		req.Body = bodyFunc{req.Body, func() { close(closed) }}
		req.ContentLength = int64(len(want))
		req.Header.Set("X", fmt.Sprint(i))
		if got := do(t, r.tr, req); got != fmt.Sprintf("POST / %d %s", len(want), want) {
			t.Fatalf("got %.30q", got)
		}
		<-closed
	}
}

type bodyFunc struct {
	io.ReadCloser
	closed func()
}

func (b bodyFunc) Close() error { b.closed(); return b.ReadCloser.Close() }

// TestCollectable: a request that is over is not held by the connection that is kept.
func TestCollectable(t *testing.T) {
	r := newRig(t, false, echo)
	gone := make(chan bool, 1)
	func() {
		big := make([]byte, 1<<20)
		runtime.AddCleanup(&big[0], func(int) { gone <- true }, 0)
		req := newRequest(t, "POST", r.URL, strings.NewReader("x")).WithContext(context.WithValue(context.Background(), t, big))
		do(t, r.tr, req)
		req = newRequest(t, "GET", r.URL, nil).WithContext(context.WithValue(context.Background(), t, big))
		do(t, r.tr, req)
	}()
	for range 100 {
		runtime.GC()
		select {
		case <-gone:
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
	t.Error("the request is still held")
}

// TestDump: net/http/httputil understands the responses.
func TestDump(t *testing.T) {
	url, tr := rawRig(t, answers("HTTP/1.1 200 OK\r\nContent-Length: 20\r\nContent-Encoding: gzip\r\n\r\n"+gzipped("compressed")[:20]))
	resp, err := tr.RoundTrip(newRequest(t, "GET", url, nil))
	if err != nil {
		t.Fatal(err)
	}
	dump, err := httputil.DumpResponse(resp, false)
	if err != nil || !strings.HasPrefix(string(dump), "HTTP/1.1 200 OK\r\n") {
		t.Errorf("%q %v", dump, err)
	}
	resp.Body.Close()
	url, tr = rawRig(t, answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
	resp, _ = tr.RoundTrip(newRequest(t, "GET", url, nil))
	if dump, err = httputil.DumpResponse(resp, true); err != nil || string(dump) != "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" {
		t.Errorf("%q %v", dump, err)
	}
	slurp(t, resp)
}

// TestAnswerAndHangup: an answer that ends with the connection is complete, whoever sees
// the end first.
func TestAnswerAndHangup(t *testing.T) {
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
		readRequest(br)
		io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
	})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if got := get(t, tr, url); got != "hello" {
					t.Errorf("got %q", got)
				}
			}
		})
	}
	wg.Wait()
}

// TestRedirect: the client above works as on net/http's own, a body sent again included.
func TestRedirect(t *testing.T) {
	r := newRig(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/from" {
			http.Redirect(w, r, "/to", http.StatusTemporaryRedirect)
			return
		}
		echo(w, r)
	})
	resp, err := r.client().Post(r.URL+"/from", "text/plain", strings.NewReader("abc"))
	if err != nil {
		t.Fatal(err)
	}
	if got := slurp(t, resp); got != "POST /to 3 abc" {
		t.Errorf("got %q", got)
	}
}

func TestNames(t *testing.T) {
	for _, name := range commonNames {
		if http.CanonicalHeaderKey(name) != name {
			t.Errorf("%s is not canonical", name)
		}
	}
	for _, name := range append([]string{"a", "foo-BAR", "x_y-Z", "--a", "1-b", strings.Repeat("ab-", 40), "ETag", "cf-ray", "~a-|b"}, commonNames[:]...) {
		for _, s := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			if got, want := canonical([]byte(s)), http.CanonicalHeaderKey(s); got != want {
				t.Errorf("%s: %s, want %s", s, got, want)
			}
		}
	}
	for _, s := range []string{"Content-Type", "content-type", "CONTENT-TYPE", "WWW-Authenticate", "ETag"} {
		b := []byte(s)
		if n := testing.AllocsPerRun(100, func() { canonical(b) }); n != 0 {
			t.Errorf("%s: %v allocations", s, n)
		}
	}
}

func TestPunycode(t *testing.T) {
	for in, want := range map[string]string{
		"example.com": "example.com", "Example.COM": "Example.COM", "Bücher.Example": "xn--bcher-kva.example", "faß.de": "xn--fa-hia.de",
		"他们为什么不说中文": "xn--ihqwcrb4cv8a8dqg056pqjye", "ليهمابتكلموشعربي؟": "xn--egbpdaj6bu4bxfgehfvwxn",
		"пример.испытание": "xn--e1afmkfd.xn--80akhbyknj4f", "3年B組金八先生": "xn--3b-ww4c5e180e575a65lsy2b",
		"œœøд": "xn--pda5pa360a", "òaƨbч": "xn--ab-1ja34ex5h", "a\u0080": "xn--a-ba", // at the edges of RFC 3492's comparisons
		strings.Repeat("é", 57): "xn--9c" + strings.Repeat("a", 57), // 63 octets
	} {
		if got, err := asciiHost(in); err != nil || got != want {
			t.Errorf("%s: %s %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"\xff", "\x80", strings.Repeat("é", 58)} {
		if got, err := asciiHost(in); err == nil {
			t.Errorf("%q: %s", in, got)
		}
		if got := hostPort(&url.URL{Scheme: "http", Host: in}); got != in+":80" {
			t.Errorf("%q: %s is dialed", in, got)
		}
	}
}

func TestErrorIsH1(t *testing.T) {
	url, tr := rawRig(t, answers("HTTP/1.1 200 OK\r\nContent-Length: x\r\nConnection: close\r\n\r\n"))
	_, err := (&http.Client{Transport: tr}).Get(url)
	var e *h1.Error
	if !errors.As(err, &e) || e.Kind != h1.BadFraming || !errors.Is(err, h1.BadFraming) {
		t.Errorf("%v", err)
	}
}

// TestRegisteredWebSocket: a request for a WebSocket is not for a protocol that was
// registered for https, which is HTTP/2 as a rule.
func TestRegisteredWebSocket(t *testing.T) {
	r := newRig(t, true, echo)
	r.tr.RegisterProtocol("https", roundTripFunc(func(req *http.Request) (*http.Response, error) {
		return &http.Response{Status: "made up", Body: http.NoBody}, nil
	}))
	req := newRequest(t, "GET", r.URL, nil)
	if resp, err := r.tr.RoundTrip(req); err != nil || resp.Status != "made up" {
		t.Errorf("%v %v", resp, err)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	if got := do(t, r.tr, req); got != "GET / 0 " {
		t.Errorf("got %q", got)
	}
}

// TestDialDoesNotReturn: a function that a dial calls, and that ends its goroutine, costs
// the request that waits for the dial, and no place among MaxConnsPerHost.
func TestDialDoesNotReturn(t *testing.T) {
	url, tr := rawRig(t, answers(okAnswer))
	tr.MaxConnsPerHost = 1
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	req := newRequest(t, "GET", url, nil).WithContext(ctx)
	hooks := &httptrace.ClientTrace{ConnectStart: func(_, _ string) { runtime.Goexit() }}
	_, err := tr.RoundTrip(req.WithContext(httptrace.WithClientTrace(ctx, hooks)))
	if err != errDeserted {
		t.Errorf("%v", err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	slurp(t, resp)
}

// keyed returns a POST to where r goes, which may be sent twice.
func keyed(t *testing.T, r *http.Request, body io.Reader) *http.Request {
	req := newRequest(t, "POST", r.URL.String(), body)
	req.Header.Set("Idempotency-Key", "x")
	return req
}

// TestUnprocessedAfterATry: an error does not say that the server has certainly not acted
// on a request where that is true of its last attempts alone.
func TestUnprocessedAfterATry(t *testing.T) {
	silent := idleSocket(t)
	for _, stale := range []bool{false, true} { // one more, in between
		var tries atomic.Int32
		url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
			readRequest(br)
			io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			if n == 0 {
				readRequest(br)
				tries.Add(1)
			}
		})
		first, err := tr.RoundTrip(newRequest(t, "GET", url, nil))
		if err != nil {
			t.Fatal(err)
		}
		if stale {
			get(t, tr, url)
		}
		slurp(t, first)
		tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
			a, b := net.Pipe()
			a.Close()
			b.Close()
			return socketed{a, silent}, nil // nothing is found before the write
		}
		var last, e *h1.Error
		_, err = (&Transport{DialContext: tr.DialContext}).RoundTrip(newRequest(t, "GET", url, nil))
		if !errors.As(err, &last) || !last.Unprocessed() {
			t.Fatal(err)
		}
		come()
		_, err = tr.RoundTrip(newRequest(t, "GET", url, nil))
		if !errors.As(err, &e) || tries.Load() != 1 {
			t.Fatalf("%v, %d tries", err, tries.Load())
		}
		if e.Unprocessed() || e.Sent != h1.SentAll || e.Kind != last.Kind || e.Op != last.Op || e.Err.Error() != last.Err.Error() {
			t.Errorf("%v (sent: %v), after %v (sent: %v)", e, e.Sent, last, last.Sent)
		}
	}
}

// TestAnsweredIsNotSentAgain: what was answered is not, whatever ended the connection then.
func TestAnsweredIsNotSentAgain(t *testing.T) {
	err := &answeredError{&h1.Error{Kind: h1.Closed, Sent: h1.SentNothing}}
	if again(context.Background(), newRequest(t, "GET", "http://x.example", nil), err) {
		t.Error("it is")
	}
}
