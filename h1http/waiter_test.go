package h1http

// waiter_test.go: requests that wait for a connection while others use it.

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestWaiterWoken: in whatever way a request ends, one that waits for its place gets it.
func TestWaiterWoken(t *testing.T) {
	broken := errors.New("broken")
	serve := func(nc net.Conn, br *bufio.Reader, _ int) {
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			switch req.URL.Path {
			case "/silent":
				io.Copy(io.Discard, br)
				return
			case "/hangup":
				time.Sleep(5 * time.Millisecond)
				return
			case "/bad":
				io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")
				continue
			case "/cut":
				io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
				return
			case "/much":
				io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\nabc")
				continue
			case "/gzip":
				io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")
				continue
			case "/switch":
				io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
				io.Copy(io.Discard, br)
				return
			case "/early":
				io.WriteString(nc, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
				io.Copy(io.Discard, br)
				return
			case "/hint":
				io.WriteString(nc, "HTTP/1.1 103 Early Hints\r\n\r\n")
			}
			if _, err := io.ReadAll(req.Body); err != nil {
				return
			}
			io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}
	for _, test := range []struct {
		path string
		set  func(*http.Request) *http.Request
		read bool
	}{
		{"/", nil, true},
		{"/", nil, false},
		{"/silent", nil, false},
		{"/hangup", nil, false},
		{"/bad", nil, false},
		{"/cut", nil, true},
		{"/cut", nil, false},
		{"/much", nil, false},
		{"/gzip", nil, true},
		{"/gzip", nil, false},
		{"/early", func(r *http.Request) *http.Request {
			r.Method, r.Body = "POST", io.NopCloser(&endless{})
			return r
		}, true},
		{"/switch", func(r *http.Request) *http.Request {
			r.Header = http.Header{"Connection": {"upgrade"}, "Upgrade": {"x"}}
			return r
		}, false},
		{"/switch", nil, false}, // unasked
		{"/body fails", func(r *http.Request) *http.Request {
			r.Method, r.Body = "POST", io.NopCloser(errReader{broken})
			return r
		}, false},
		{"/body is short", func(r *http.Request) *http.Request {
			r.Method, r.Body, r.ContentLength = "POST", io.NopCloser(strings.NewReader("x")), 2
			return r
		}, false},
		{"/refused expectation", func(r *http.Request) *http.Request {
			r.Method, r.Body, r.ContentLength = "POST", io.NopCloser(strings.NewReader("x")), 1
			r.Header.Set("Expect", "other")
			return r
		}, false},
		{"/refused target", func(r *http.Request) *http.Request {
			r.URL.RawQuery = "\x7f"
			return r
		}, false},
		{"/hint", func(r *http.Request) *http.Request {
			return r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(int, textproto.MIMEHeader) error { return broken },
			}))
		}, false},
	} {
		for _, depth := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s read %v depth %d", test.path[1:], test.read, depth), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					url, tr := rawPipes(t, serve)
					tr.MaxConnsPerHost, tr.Depth, tr.ResponseHeaderTimeout = 1, depth, 100*time.Millisecond
					get(t, tr, url)
					req := newRequest(t, "GET", url+strings.ReplaceAll(test.path, " ", "-"), nil)
					if test.set != nil {
						req = test.set(req)
					}
					var waiter sync.WaitGroup
					waiter.Go(func() {
						time.Sleep(2 * time.Millisecond)
						ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
						defer cancel()
						r := newRequest(t, "POST", url, strings.NewReader("x")).WithContext(ctx)
						if resp, err := tr.RoundTrip(r); err != nil || slurp(t, resp) != "ok" {
							t.Errorf("%v", err)
						}
					})
					resp, err := tr.RoundTrip(req)
					time.Sleep(5 * time.Millisecond)
					if err == nil {
						if test.read {
							io.Copy(io.Discard, resp.Body)
						}
						resp.Body.Close()
					}
					waiter.Wait()
					if resp, err := tr.RoundTrip(newRequest(t, "GET", url, nil)); err != nil || slurp(t, resp) != "ok" {
						t.Errorf("afterwards: %v", err)
					}
				})
			})
		}
	}
}

// endedCtx is a context that has ended while nobody has been told.
type endedCtx struct {
	context.Context
	over atomic.Bool
}

func (c *endedCtx) Err() error {
	if c.over.Load() {
		return context.Canceled
	}
	return nil
}

// TestGivenToWhoGivesUp: what comes for a request just as that gives up is not lost, nor
// kept if it is of no use.
func TestGivenToWhoGivesUp(t *testing.T) {
	for _, what := range []string{"a connection", "a connection first", "a dead one", "an error"} {
		synctest.Test(t, func(t *testing.T) {
			url, tr := rawPipes(t, answers("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
			dial, gate := tr.DialContext, make(chan struct{})
			tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				<-gate
				return dial(ctx, network, addr)
			}
			ctx, cancel := context.WithCancel(context.Background())
			if what == "a connection first" {
				cancel()
				ended := &endedCtx{Context: context.Background()}
				ctx, cancel = ended, func() { ended.over.Store(true) }
			}
			defer cancel()
			got := make(chan error)
			go func() {
				_, err := tr.RoundTrip(newRequest(t, "GET", url, nil).WithContext(ctx))
				got <- err
			}()
			synctest.Wait()
			nc, _ := dial(ctx, "", "")
			l := newLink(nc, tr.engineConfig(), tr, true)
			want := 1 // besides the dial
			if !strings.HasPrefix(what, "a connection") {
				l.h.Close()
				want = 0
			}
			p := &tr.pool
			p.mu.Lock()
			for _, h := range p.hosts {
				n := h.waiting[0]
				cancel() // who is told is on its way now, and waits for mu
				if l.host = h; what == "an error" {
					h.forget(n)
					n.got <- grant{err: io.EOF}
				} else {
					h.conns++
					tr.hand(h, l, nil)
				}
			}
			p.mu.Unlock()
			if err := <-got; errors.Is(err, context.Canceled) == (what == "a connection first") {
				t.Errorf("%s: %v", what, err)
			}
			if idle, conns := tr.counts(""); idle != want || conns != want+1 {
				t.Errorf("%s: %d idle of %d", what, idle, conns)
			}
			close(gate)
		})
	}
}
