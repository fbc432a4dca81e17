package h1http

// parity_test.go: what net/http.Transport does, and this one does as well: each test runs
// with both.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

type anyTransport interface {
	http.RoundTripper
	CloseIdleConnections()
}

// withBoth runs f with net/http's Transport and with ours.
func withBoth(t *testing.T, set func(*http.Transport, *Transport), f func(*testing.T, anyTransport)) {
	theirs, ours := &http.Transport{}, &Transport{}
	if set != nil {
		set(theirs, ours)
	}
	t.Run("net-http", func(t *testing.T) { defer theirs.CloseIdleConnections(); f(t, theirs) })
	t.Run("h1http", func(t *testing.T) { defer ours.CloseIdleConnections(); f(t, ours) })
}

// lockedBody is a body whose Close waits for a Read under way, like the Body that
// net/http's server gives a handler (http.body holds its mutex while it reads).
type lockedBody struct {
	mu sync.Mutex
	ch chan struct{}
}

func (b *lockedBody) Read([]byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	<-b.ch
	return 0, io.EOF
}
func (b *lockedBody) Close() error { b.mu.Lock(); defer b.mu.Unlock(); return nil }

// patience is how long a test waits for what must not hang: longer than a busy machine
// takes for anything, and less than a rawServer keeps its connections.
const patience = 20 * time.Second

func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Errorf("hangs: %s", what)
	}
}

// An exchange that is over does not wait for a body whose Close waits for a Read.
func TestCloseThatWaitsForRead(t *testing.T) {
	for _, answer := range []string{"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"} {
		t.Run(answer[9:12], func(t *testing.T) {
			addr := rawServer(t, func(nc net.Conn, br *bufio.Reader, _ int) {
				if _, err := http.ReadRequest(br); err == nil {
					io.WriteString(nc, answer)
					io.Copy(io.Discard, br)
				}
			})
			withBoth(t, func(a *http.Transport, b *Transport) { a.MaxConnsPerHost, b.MaxConnsPerHost = 1, 1 }, func(t *testing.T, rt anyTransport) {
				body := &lockedBody{ch: make(chan struct{})}
				defer close(body.ch)
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				req, _ := http.NewRequestWithContext(ctx, "POST", addr, body)
				within(t, "a request that was answered, past its context", func() {
					resp, err := rt.RoundTrip(req)
					if err != nil {
						t.Error(err)
						return
					}
					b, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					t.Logf("%s %q %v", resp.Status, b, err)
				})
				ctx2, cancel2 := context.WithTimeout(context.Background(), time.Second)
				defer cancel2()
				next, _ := http.NewRequestWithContext(ctx2, "GET", addr, nil)
				resp, err := rt.RoundTrip(next)
				if err != nil {
					t.Errorf("the next request to the host: %v", err)
					return
				}
				resp.Body.Close()
			})
		})
	}
}

// A connection that was idle may be dead, even if nothing was ever sent on it: the request
// is sent again.
func TestIdleThatWasNeverUsed(t *testing.T) {
	for name, first := range map[string]func(*http.Request) *http.Request{
		"refused": func(r *http.Request) *http.Request { r.URL.RawQuery = "\x01"; return r },
		"canceled": func(r *http.Request) *http.Request {
			ctx, cancel := context.WithCancel(context.Background())
			return r.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { cancel() }}))
		},
	} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(name+"_"+method, func(t *testing.T) {
				withBoth(t, nil, func(t *testing.T, rt anyTransport) {
					accepted := make(chan net.Conn, 1)
					addr := rawServer(t, func(nc net.Conn, br *bufio.Reader, n int) {
						if n == 0 {
							accepted <- nc
							io.Copy(io.Discard, br)
						} else if _, err := http.ReadRequest(br); err == nil {
							io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
						}
					})
					if _, err := rt.RoundTrip(first(newRequest(t, "GET", addr, nil))); err == nil {
						t.Fatal("the first request was sent")
					}
					(<-accepted).Close()
					come()
					resp, err := rt.RoundTrip(newRequest(t, method, addr, nil))
					if err != nil {
						t.Fatal(err)
					}
					resp.Body.Close()
				})
			})
		}
	}
}

// slowProxy is a CONNECT proxy which thinks for a while; it reports the heads it got.
func slowProxy(t *testing.T, think time.Duration, target string) (*url.URL, chan string) {
	heads := make(chan string, 10)
	addr := rawServer(t, func(nc net.Conn, br *bufio.Reader, _ int) {
		var head strings.Builder
		for {
			l, err := br.ReadString('\n')
			if err != nil {
				return
			}
			if l == "\r\n" {
				break
			}
			head.WriteString(strings.TrimRight(l, "\r\n") + "|")
		}
		heads <- head.String()
		time.Sleep(think)
		up, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		defer up.Close()
		io.WriteString(nc, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { io.Copy(up, br); up.Close() }()
		io.Copy(nc, up)
	})
	u, _ := url.Parse(addr)
	return u, heads
}

// A proxy that is slow to connect is no server that is slow to answer.
func TestConnectIsNoResponseHeader(t *testing.T) {
	r := newRig(t, true, echo)
	proxy, _ := slowProxy(t, time.Second, r.Listener.Addr().String())
	withBoth(t, func(a *http.Transport, b *Transport) {
		a.Proxy, b.Proxy = http.ProxyURL(proxy), http.ProxyURL(proxy)
		a.TLSClientConfig, b.TLSClientConfig = r.tr.TLSClientConfig.Clone(), r.tr.TLSClientConfig.Clone()
		a.ResponseHeaderTimeout, b.ResponseHeaderTimeout = 500*time.Millisecond, 500*time.Millisecond
	}, func(t *testing.T, rt anyTransport) { get(t, rt, r.URL) })
}

// The context of a dial that has succeeded is not canceled: a stream may be bound to it.
func TestDialContextLivesOn(t *testing.T) {
	r := newRig(t, false, echo)
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err == nil { // as exec.CommandContext(ctx, "ssh", "-W", addr) does, or a stream of a tunnel
			context.AfterFunc(ctx, func() { nc.Close() })
		}
		return nc, err
	}
	withBoth(t, func(a *http.Transport, b *Transport) { a.DialContext, b.DialContext = dial, dial },
		func(t *testing.T, rt anyTransport) { get(t, rt, r.URL) })
}

// What frames CONNECT, and whom it is for, is not the caller's to say.
func TestProxyConnectHeaderIsFiltered(t *testing.T) {
	r := newRig(t, true, echo)
	for _, h := range []http.Header{{"Transfer-Encoding": {"chunked"}}, {"Content-Length": {"0"}}, {"Trailer": {"X"}}, {"User-Agent": {""}}} {
		proxy, heads := slowProxy(t, 0, r.Listener.Addr().String())
		withBoth(t, func(a *http.Transport, b *Transport) {
			a.Proxy, b.Proxy = http.ProxyURL(proxy), http.ProxyURL(proxy)
			a.TLSClientConfig, b.TLSClientConfig = r.tr.TLSClientConfig.Clone(), r.tr.TLSClientConfig.Clone()
			a.ProxyConnectHeader, b.ProxyConnectHeader = h, h
		}, func(t *testing.T, rt anyTransport) {
			resp, err := rt.RoundTrip(newRequest(t, "GET", r.URL, nil))
			if err != nil {
				t.Fatalf("%v: %v", h, err)
			}
			resp.Body.Close()
			head := <-heads
			for k := range h {
				if strings.Contains(head, k) {
					t.Errorf("%v: sent %s", h, head)
				}
			}
		})
	}
}

// A body that was held back for 100 (Continue) and never sent was not read: the same
// request goes again without Expect (RFC 9110, 10.1.1).
func TestUnreadAfterExpect(t *testing.T) {
	for name, body := range map[string]func() io.Reader{
		"strings.Reader": func() io.Reader { return strings.NewReader("hello") },
		"bytes.Reader":   func() io.Reader { return bytes.NewReader([]byte("hello")) },
		"bytes.Buffer":   func() io.Reader { return bytes.NewBufferString("hello") },
	} {
		t.Run(name, func(t *testing.T) {
			withBoth(t, func(th *http.Transport, us *Transport) {
				th.ExpectContinueTimeout, us.ExpectContinueTimeout = time.Second, time.Second
			}, func(t *testing.T, rt anyTransport) {
				url := rawServer(t, func(nc net.Conn, br *bufio.Reader, _ int) {
					req, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					if req.Header.Get("Expect") != "" {
						io.WriteString(nc, "HTTP/1.1 417 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
						return
					}
					b, _ := io.ReadAll(req.Body)
					io.WriteString(nc, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"+string(b))
				})
				req := newRequest(t, "POST", url, body())
				req.Header.Set("Expect", "100-continue")
				resp, err := rt.RoundTrip(req)
				if err != nil || resp.StatusCode != 417 {
					t.Fatalf("%v %v", resp, err)
				}
				resp.Body.Close()
				req.Header.Del("Expect")
				if got := do(t, rt, req); got != "hello" {
					t.Errorf("without Expect: %q", got)
				}
			})
		})
	}
}

// NoBody can be sent as often as one likes, also where it is chunked by hand.
func TestNoBodyAgain(t *testing.T) {
	withBoth(t, nil, func(t *testing.T, rt anyTransport) {
		url := rawServer(t, func(nc net.Conn, br *bufio.Reader, n int) {
			for i := 0; ; i++ {
				if _, _, err := readRequest(br); err != nil || n == 0 && i == 1 {
					return // the second request on the first connection gets no answer
				}
				io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		})
		for range 2 {
			req := newRequest(t, "GET", url, http.NoBody)
			req.TransferEncoding = []string{"chunked"}
			if got := do(t, rt, req); got != "ok" {
				t.Errorf("got %q", got)
			}
		}
		rt.CloseIdleConnections()
	})
}

// What CONNECT is answered lasts to its connection's end, and a proxy's answer to it is
// like any other.
func TestAnswersToConnect(t *testing.T) {
	withBoth(t, nil, func(t *testing.T, rt anyTransport) {
		resp, err := rt.RoundTrip(newRequest(t, "CONNECT", rawServer(t, answers("HTTP/1.1 200 OK\r\n\r\nhello")), nil))
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); !resp.Close {
			t.Error("Close is false")
		}
	})
	u, _ := url.Parse(rawServer(t, answers("HTTP/1.1 407 Auth\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n4\r\nbody\r\n0\r\n\r\n")))
	withBoth(t, func(th *http.Transport, us *Transport) {
		th.Proxy, us.Proxy = http.ProxyURL(u), http.ProxyURL(u)
		hook := func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
			b, err := io.ReadAll(resp.Body)
			return fmt.Errorf("%v %v %q %v %v", resp.TransferEncoding, resp.Header, b, err, resp.Trailer)
		}
		th.OnProxyConnectResponse, us.OnProxyConnectResponse = hook, hook
	}, func(t *testing.T, rt anyTransport) {
		_, err := rt.RoundTrip(newRequest(t, "GET", "https://x.example/", nil))
		if want := `[chunked] map[] "body" <nil> map[A:[]]`; err == nil || err.Error() != want {
			t.Errorf("\n got %v\nwant %s", err, want)
		}
	})
}

// Who goes on with a download that was cut off knows it by ==, as net/http's.
func TestCutOff(t *testing.T) {
	for _, rest := range []string{
		"Content-Length: 10\r\n\r\n01234",
		"Content-Length: 10\r\n\r\n",
		"Transfer-Encoding: chunked\r\n\r\na\r\n01234",
		"Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n",
	} {
		url := rawServer(t, func(nc net.Conn, br *bufio.Reader, _ int) {
			readRequest(br)
			io.WriteString(nc, "HTTP/1.1 200 OK\r\n"+rest)
		})
		withBoth(t, nil, func(t *testing.T, rt anyTransport) {
			for name, read := range map[string]func(io.Reader) error{
				"Read":    func(r io.Reader) error { _, err := io.ReadAll(r); return err },
				"WriteTo": func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err },
			} {
				resp, err := rt.RoundTrip(newRequest(t, "GET", url, nil))
				if err != nil {
					t.Fatal(err)
				}
				if err := read(resp.Body); err != io.ErrUnexpectedEOF {
					t.Errorf("%q, %s: %v", rest, name, err)
				}
				resp.Body.Close()
			}
		})
	}
}

// The head of a response is net/http's, whoever it is for.
func TestHeads(t *testing.T) {
	for _, test := range []struct{ method, connection, answer string }{
		{"GET", "close", "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"},
		{"GET", "close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"},
		{"GET", "close", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"},
		{"GET", "close", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"},
		{"GET", "close", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"},
		{"GET", "close", "HTTP/1.1 204 No Content\r\n\r\n"},
		{"HEAD", "close", "HTTP/1.1 200 OK\r\n\r\n"},
		{"GET", "close", "HTTP/1.1 304 Not Modified\r\n\r\n"},
		{"HEAD", "", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"HEAD", "", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"HEAD", "", "HTTP/1.1 204 No Content\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n"},
		{"HEAD", "", "HTTP/1.1 204 No Content\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"CONNECT", "", "HTTP/1.1 200 OK\r\nConnection: close\r\nPragma: no-cache\r\n\r\n"},
		{"CONNECT", "", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"CONNECT", "", "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"},
		{"GET", "Upgrade", "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\nPragma: no-cache\r\n\r\n"},
		{"GET", "Upgrade", "HTTP/1.1 101 Switching\r\nConnection: Upgrade, close\r\nUpgrade: x\r\n\r\n"},
		{"GET", "Upgrade", "HTTP/1.0 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"},
	} {
		url := rawServer(t, func(nc net.Conn, br *bufio.Reader, _ int) {
			readRequest(br)
			io.WriteString(nc, test.answer)
			br.ReadByte()
		})
		var heads []string
		withBoth(t, nil, func(t *testing.T, rt anyTransport) {
			req := newRequest(t, test.method, url, nil)
			if test.connection != "" {
				req.Header.Set("Connection", test.connection)
				req.Header.Set("Upgrade", "x")
			}
			resp, err := rt.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			heads = append(heads, fmt.Sprint(resp.Proto, resp.Status, resp.ContentLength, resp.Close, resp.TransferEncoding, resp.Trailer, resp.Header))
		})
		if heads[0] != heads[1] {
			t.Errorf("%s, %q\n got %s\nwant %s", test.method, test.answer, heads[1], heads[0])
		}
	}
}

// A proxy's answer to CONNECT, as its hook sees it, is that of a tunnel, or like any other.
func TestHeadsOfProxy(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.0 407 Auth\r\nContent-Length: 0\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
	} {
		u, _ := url.Parse(rawServer(t, answers(answer)))
		var heads []string
		withBoth(t, func(th *http.Transport, us *Transport) {
			th.Proxy, us.Proxy = http.ProxyURL(u), http.ProxyURL(u)
			hook := func(_ context.Context, _ *url.URL, _ *http.Request, r *http.Response) error {
				return fmt.Errorf("%s %s %d %v %v", r.Proto, r.Status, r.ContentLength, r.Close, r.Header)
			}
			th.OnProxyConnectResponse, us.OnProxyConnectResponse = hook, hook
		}, func(t *testing.T, rt anyTransport) {
			_, err := rt.RoundTrip(newRequest(t, "GET", "https://x.example/", nil))
			heads = append(heads, fmt.Sprint(err))
		})
		if heads[0] != heads[1] {
			t.Errorf("%q\n got %s\nwant %s", answer, heads[1], heads[0])
		}
	}
}

// badClose is a body whose Close fails.
type badClose struct{ io.Reader }

var errBadClose = errors.New("Close fails")

func (badClose) Close() error { return errBadClose }

// A request fails by its body's Close, also where the body turns out to be empty.
func TestEmptyBodyCloseFails(t *testing.T) {
	withBoth(t, nil, func(t *testing.T, rt anyTransport) {
		url := rawServer(t, answers("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
		if _, err := rt.RoundTrip(newRequest(t, "DELETE", url, badClose{strings.NewReader("")})); !errors.Is(err, errBadClose) {
			t.Errorf("error %v", err)
		}
	})
}

// A tunnel that was closed gives nothing more, though something is buffered.
func TestTunnelReadAfterClose(t *testing.T) {
	withBoth(t, nil, func(t *testing.T, rt anyTransport) {
		resp, err := rt.RoundTrip(newRequest(t, "CONNECT", rawServer(t, answers("HTTP/1.1 200 OK\r\n\r\n0123456789")), nil))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		p := make([]byte, 4)
		if n, err := resp.Body.Read(p); n != 0 || err == nil {
			t.Errorf("%q, %v", p[:n], err)
		}
	})
}

// A request that turns out not to be one, on a connection that it has got, was not written.
func TestTraceOfRefused(t *testing.T) {
	withBoth(t, nil, func(t *testing.T, rt anyTransport) {
		url := rawServer(t, answers("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
		control := newRequest(t, "GET", url, nil)
		control.URL.RawQuery = "a\x01"
		for _, req := range []*http.Request{control, newRequest(t, "DELETE", url, badClose{strings.NewReader("")})} {
			wrote := make(chan error, 2)
			ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
				WroteRequest: func(i httptrace.WroteRequestInfo) { wrote <- i.Err },
			})
			if _, err := rt.RoundTrip(req.WithContext(ctx)); err == nil {
				t.Fatal("no error")
			}
			if len(wrote) != 1 {
				t.Fatalf("told %d times", len(wrote))
			}
			if err := <-wrote; err == nil {
				t.Error("it was written")
			}
		}
	})
}

// closeFunc is a body with a Close of its own.
type closeFunc struct {
	io.Reader
	close func() error
}

func (b closeFunc) Close() error { return b.close() }

// The body of a request that is refused on its connection is closed before that goes to
// the next.
func TestRefusedIsClosedFirst(t *testing.T) {
	addr := rawServer(t, answers("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	one := func(a *http.Transport, b *Transport) { a.MaxConnsPerHost, b.MaxConnsPerHost = 1, 1 }
	withBoth(t, one, func(t *testing.T, rt anyTransport) { refusedIsClosedFirst(t, rt, addr) })
	t.Run("Conn", func(t *testing.T) {
		nc, err := net.Dial("tcp", strings.TrimPrefix(addr, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		c := NewConn(nc, nil)
		defer c.Close()
		refusedIsClosedFirst(t, c, addr)
	})
}

func refusedIsClosedFirst(t *testing.T, rt http.RoundTripper, addr string) {
	var mu sync.Mutex
	var order []string
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, what)
	}
	closing := make(chan struct{})
	refused := newRequest(t, "POST", addr, closeFunc{strings.NewReader("x"), func() error {
		note("closing")
		close(closing)
		time.Sleep(50 * time.Millisecond) // the next request waits by then
		note("closed")
		return nil
	}})
	refused.ContentLength, refused.URL.Opaque = 1, "/\x01"
	var wg sync.WaitGroup
	wg.Go(func() {
		<-closing
		next := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
			WroteHeaders: func() { note("next") }})
		do(t, rt, newRequest(t, "GET", addr, nil).WithContext(next))
	})
	if _, err := rt.RoundTrip(refused); err == nil {
		t.Error("it was sent")
	}
	wg.Wait()
	if s := strings.Join(order, " "); s != "closing closed next" {
		t.Error(s)
	}
}

// A connection that the server has closed while a request on it was refused is not the
// next one's.
func TestRefusedForLong(t *testing.T) {
	one := func(a *http.Transport, b *Transport) { a.MaxConnsPerHost, b.MaxConnsPerHost = 1, 1 }
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			withBoth(t, one, func(t *testing.T, rt anyTransport) {
				addr := rawServer(t, func(nc net.Conn, br *bufio.Reader, n int) {
					if n == 0 {
						nc.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
					}
					if _, err := http.ReadRequest(br); err == nil {
						io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					}
				})
				slow := readerFunc(func([]byte) (int, error) {
					time.Sleep(150 * time.Millisecond)
					return 0, io.EOF
				})
				fails := closeFunc{slow, func() error { return errors.New("its Close fails") }}
				var wg sync.WaitGroup
				wg.Go(func() { rt.RoundTrip(newRequest(t, "GET", addr, fails)) })
				time.Sleep(20 * time.Millisecond)
				do(t, rt, newRequest(t, method, addr, nil))
				wg.Wait()
			})
		})
	}
}

// A request is not put behind the response to one that was canceled, though another waits
// there.
func TestNotBehindTheCanceled(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	addr := rawServer(t, func(nc net.Conn, br *bufio.Reader, _ int) {
		for {
			req, _, err := readRequest(br)
			if err != nil {
				return
			}
			if req.URL.Path == "/hang" {
				<-hang
			}
			io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	deep := func(_ *http.Transport, b *Transport) { b.Depth = 4 }
	withBoth(t, deep, func(t *testing.T, rt anyTransport) {
		do(t, rt, newRequest(t, "GET", addr, nil))
		var wg sync.WaitGroup
		cancels := make([]context.CancelFunc, 2)
		for i, path := range []string{"/hang", "/behind"} {
			ctx, cancel := context.WithCancel(context.Background())
			cancels[i] = cancel
			wg.Go(func() {
				if resp, err := rt.RoundTrip(newRequest(t, "GET", addr+path, nil).WithContext(ctx)); err == nil {
					resp.Body.Close()
				}
			})
			time.Sleep(30 * time.Millisecond)
		}
		cancels[0]()
		time.Sleep(30 * time.Millisecond)
		within(t, "a request behind one that was canceled", func() { do(t, rt, newRequest(t, "GET", addr, nil)) })
		cancels[1]()
		wg.Wait()
	})
}
