package h1http

// dial_test.go: dials that fail, and what they leave.

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestDialFails: a dial that has failed ends its context, and is forgotten.
func TestDialFails(t *testing.T) {
	bad := errors.New("no such host")
	var dialed context.Context
	tr := &Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		dialed = ctx
		return nil, bad
	}}
	if _, err := tr.RoundTrip(newRequest(t, "GET", "http://x.example", nil)); err != bad {
		t.Errorf("%v", err)
	}
	tr.pool.mu.Lock()
	defer tr.pool.mu.Unlock()
	if dialed.Err() == nil || len(tr.pool.hosts) != 0 || len(tr.pool.dials) != 0 {
		t.Errorf("its context: %v; %d hosts, %d dials", dialed.Err(), len(tr.pool.hosts), len(tr.pool.dials))
	}
}

// TestHandshakeFails: whatever ends a handshake, the connection is closed, and the error
// says what it was.
func TestHandshakeFails(t *testing.T) {
	for name, k := range map[string]struct {
		answer string // of the server
		within time.Duration
		want   string
	}{
		"no TLS":   {"HTTP/1.1 400 Bad Request\r\n\r\n", time.Minute, "first record does not look like a TLS handshake"},
		"canceled": {"", time.Minute, "context canceled"},
		"too late": {"", time.Millisecond, "h1http: TLS handshake timeout"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var closed bool
			_, tr := rawPipes(t, func(nc net.Conn, br *bufio.Reader, _ int) {
				go io.WriteString(nc, k.answer)
				io.Copy(io.Discard, br)
				closed = true
			})
			tr.TLSHandshakeTimeout = k.within
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(time.Second, cancel)
			c, err := tr.NewClientConn(ctx, "https", "x.example:443")
			if c != nil || err == nil || !strings.Contains(err.Error(), k.want) {
				t.Errorf("%s: %v, %v", name, c, err)
			}
			if synctest.Wait(); !closed {
				t.Errorf("%s: it was not closed", name)
			}
			time.Sleep(time.Second)
		})
	}
}

// TestHTTP2Refused: a trace that is told of a refusal is not told of a state.
func TestHTTP2Refused(t *testing.T) {
	r := newRig(t, true, echo)
	cfg := r.tr.TLSClientConfig.Clone()
	cfg.NextProtos = []string{"h2"}
	r.Server.TLS.NextProtos = []string{"h2"}
	nc, err := tls.Dial("tcp", r.Listener.Addr().String(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var told tls.ConnectionState
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		TLSHandshakeDone: func(cs tls.ConnectionState, _ error) { told = cs },
	})
	if err := handshake(ctx, nc); err == nil || told.HandshakeComplete {
		t.Errorf("%v, %+v", err, told)
	}
}

// TestNewClientConnFails: it says why, and has not dialed what it could not have.
func TestNewClientConnFails(t *testing.T) {
	for address, want := range map[string]string{
		"x.example":     "missing port",
		"a\x7f:80":      "invalid URL escape",
		"noproxy.x:80":  "no proxy today",
		"unknown.x:80":  "no such host",
		"unknown.x:443": "no such host",
	} {
		dialed := false
		tr := &Transport{
			Proxy: func(r *http.Request) (*url.URL, error) {
				if strings.HasPrefix(r.URL.Host, "noproxy") {
					return r.URL, errors.New("no proxy today")
				}
				return nil, nil
			},
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				dialed = true
				return nil, errors.New("no such host")
			},
		}
		c, err := tr.NewClientConn(context.Background(), "http", address)
		if c != nil || err == nil || !strings.Contains(err.Error(), want) || dialed != strings.HasPrefix(address, "unknown") {
			t.Errorf("%q: %v, %v, dialed: %v", address, c, err, dialed)
		}
	}
}

// TestEngineConfig: what the engine is told of a Transport's settings.
func TestEngineConfig(t *testing.T) {
	tr := &Transport{Depth: 2, MaxResponseHeaderBytes: 3, ResponseHeaderTimeout: 4, ExpectContinueTimeout: 5,
		ReadBufferSize: 6, WriteBufferSize: 7}
	want := Config()
	want.Depth, want.MaxHeadBytes, want.HeadTimeout, want.ExpectTimeout = 2, 3, 4, 5
	want.ReadBuffer, want.WriteBuffer, want.Fresh = 6, 7, true
	if got := tr.engineConfig(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	want = Config()
	want.ExpectTimeout, want.Fresh = 1, true
	if got := new(Transport).engineConfig(); !reflect.DeepEqual(got, want) {
		t.Errorf("defaults: %+v\nwant %+v", got, want)
	}
	if got := (&Transport{MaxResponseHeaderBytes: 1 << 40}).engineConfig().MaxHeadBytes; got != 1<<31-1 {
		t.Errorf("MaxHeadBytes %d", got)
	}
}

// TestSecured: a connection that is no *tls.Conn, but shows its state, counts as one: its
// handshake is done, its state told, HTTP/2 refused, and it is closed if that fails.
func TestSecured(t *testing.T) {
	r := newRig(t, true, echo)
	r.Server.TLS.NextProtos = []string{"h2", "http/1.1"}
	for _, k := range []struct {
		name   string
		protos []string
		trust  bool
		hides  bool // it has no HandshakeContext, and has done its handshake
		want   string
	}{
		{"handshake", nil, true, false, ""},
		{"no handshake to do", nil, true, true, ""},
		{"h2", []string{"h2"}, true, false, "HTTP/2"},
		{"h2, no handshake to do", []string{"h2"}, true, true, "HTTP/2"},
		{"not trusted", nil, false, false, "certificate"},
	} {
		cfg := &tls.Config{ServerName: "example.com", NextProtos: k.protos}
		if k.trust {
			cfg.RootCAs = r.tr.TLSClientConfig.RootCAs
		}
		closed := 0
		tr := &Transport{DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, r.Listener.Addr().String())
			if err != nil {
				return nil, err
			}
			tc := tls.Client(nc, cfg)
			if k.hides {
				return stateOnly{nc, tc}, tc.Handshake()
			}
			return shownTLS{tc, &closed}, nil
		}}
		began, told := false, tls.ConnectionState{}
		ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
			TLSHandshakeStart: func() { began = true },
			TLSHandshakeDone:  func(cs tls.ConnectionState, _ error) { told = cs },
		})
		resp, err := tr.RoundTrip(newRequest(t, "GET", "https://example.com/", nil).WithContext(ctx))
		switch {
		case k.want != "":
			if err == nil || !strings.Contains(err.Error(), k.want) || told.HandshakeComplete || !k.hides && closed != 1 {
				t.Errorf("%s: %v, told %v, closed %d times", k.name, err, told.HandshakeComplete, closed)
			}
		case err != nil:
			t.Errorf("%s: %v", k.name, err)
		default:
			if got := slurp(t, resp); got != "GET / 0 " || resp.TLS == nil || !resp.TLS.HandshakeComplete ||
				!began || !told.HandshakeComplete {
				t.Errorf("%s: %q, TLS %v, began %v, told %v", k.name, got, resp.TLS, began, told.HandshakeComplete)
			}
		}
		tr.CloseIdleConnections()
	}
}

// TestNotSecured: a plain connection has no state of TLS, though it has the method for one
// that is not plain. What was dialed for http is not even asked, as by net/http.
func TestNotSecured(t *testing.T) {
	r := newRig(t, false, echo)
	asked := 0
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, r.Listener.Addr().String())
		return maybeTLS{nc, &asked}, err
	}
	tr := &Transport{DialContext: dial}
	defer tr.CloseIdleConnections()
	nc, err := dial(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	c := NewConn(nc, nil)
	defer c.Close()
	for _, rt := range []http.RoundTripper{tr, c} {
		asked = 0
		resp, err := rt.RoundTrip(newRequest(t, "GET", r.URL, nil))
		if err != nil {
			t.Fatal(err)
		}
		if got := slurp(t, resp); got != "GET / 0 " || resp.TLS != nil || rt == tr && asked > 0 {
			t.Errorf("%T: %q, TLS %v, asked %d times", rt, got, resp.TLS, asked)
		}
	}
}

// maybeTLS is a wrapper for streams of both kinds.
type maybeTLS struct {
	net.Conn
	asked *int
}

func (m maybeTLS) ConnectionState() (cs tls.ConnectionState) {
	*m.asked++
	if tc, ok := m.Conn.(*tls.Conn); ok {
		cs = tc.ConnectionState()
	}
	return cs
}

// TestSecuredLate: a wrapper that NewConn is given may do its handshake with the first
// request.
func TestSecuredLate(t *testing.T) {
	r := newRig(t, true, echo)
	nc, err := net.Dial("tcp", r.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{ServerName: "example.com", RootCAs: r.tr.TLSClientConfig.RootCAs}
	c := NewConn(shownTLS{tls.Client(nc, cfg), new(int)}, nil)
	defer c.Close()
	resp, err := c.RoundTrip(newRequest(t, "GET", r.URL, nil))
	if err != nil {
		t.Fatal(err)
	}
	if got := slurp(t, resp); got != "GET / 0 " || resp.TLS == nil || !resp.TLS.HandshakeComplete {
		t.Errorf("%q, TLS %v", got, resp.TLS)
	}
}

// TestPlainOverTLS: the state of TLS is told where the connection has one, also for http.
func TestPlainOverTLS(t *testing.T) {
	r := newRig(t, true, echo)
	cfg := r.tr.TLSClientConfig
	tr := &Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&tls.Dialer{Config: cfg}).DialContext(ctx, network, r.Listener.Addr().String())
	}}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(newRequest(t, "GET", "http://example.com/", nil))
	if err != nil {
		t.Fatal(err)
	}
	if slurp(t, resp); resp.TLS == nil || !resp.TLS.HandshakeComplete {
		t.Errorf("TLS %v", resp.TLS)
	}
}

// shownTLS is a *tls.Conn behind another type.
type shownTLS struct {
	*tls.Conn
	closed *int
}

func (s shownTLS) Close() error {
	*s.closed++
	return s.Conn.Close()
}

// stateOnly shows the state of its TLS, and nothing else of it.
type stateOnly struct {
	net.Conn
	tc *tls.Conn
}

func (s stateOnly) Read(p []byte) (int, error)           { return s.tc.Read(p) }
func (s stateOnly) Write(p []byte) (int, error)          { return s.tc.Write(p) }
func (s stateOnly) ConnectionState() tls.ConnectionState { return s.tc.ConnectionState() }
