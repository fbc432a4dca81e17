package h1http

// idle_test.go: idle connections over streams that hide their socket.

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// veiled is what those make of a net.Conn who count its bytes, say: no SyscallConn.
type veiled struct{ net.Conn }

func dialVeiled(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return veiled{nc}, nil
}

// TestUnaskedVeiled: what a server sends on an idle connection is not the answer to the next
// request, also where nobody can look into the socket.
func TestUnaskedVeiled(t *testing.T) {
	hs := httptest.NewUnstartedServer(nil) // for its certificate
	hs.StartTLS()
	certs := hs.TLS.Certificates
	hs.Close()
	for _, secure := range []bool{false, true} {
		for _, extra := range []string{"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL", "x", ""} {
			idle := make(chan struct{})
			url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
				if secure {
					nc = tls.Server(nc, &tls.Config{Certificates: certs})
					br = bufio.NewReader(nc)
				}
				if _, _, err := readRequest(br); err != nil {
					return
				}
				fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", n)
				if n > 0 {
					br.ReadByte()
					return
				}
				<-idle
				io.WriteString(nc, extra) // and hangs up
			})
			tr.DialContext, tr.TLSClientConfig = dialVeiled, &tls.Config{InsecureSkipVerify: true}
			if secure {
				url = strings.Replace(url, "http:", "https:", 1)
			}
			if a := get(t, tr, url); a != "0" {
				t.Errorf("got %q", a)
			}
			close(idle)
			eventually(t, "the connection is dropped", func() bool { _, n := tr.counts(""); return n == 0 })
			if b := get(t, tr, url); b != "1" {
				t.Errorf("secure %v, after %q: got %q", secure, extra, b)
			}
			tr.CloseIdleConnections()
		}
	}
}

// TestHeardVeiled: the next request and what was not asked for come at once. No request gets another's
// answer, whichever is first.
func TestHeardVeiled(t *testing.T) {
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
		for i := 0; ; i++ {
			if _, _, err := readRequest(br); err != nil {
				return
			}
			fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
			if i%2 == 1 {
				time.Sleep(time.Duration(n%50) * time.Microsecond)
				nc.Close()
				return
			}
		}
	})
	tr.DialContext = dialVeiled
	for range 500 {
		if got := get(t, tr, url); got != "good" {
			t.Fatalf("got %q", got)
		}
	}
}

// TestKeepAliveVeiled: such connections are used again, alone or shared, and nobody is left who reads them.
func TestKeepAliveVeiled(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for _, depth := range []int{0, 4} {
			r := newRig(t, secure, remote)
			r.tr.Depth, r.tr.MaxConnsPerHost = depth, 1
			r.tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				nc, err := r.dial(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				return veiled{nc}, nil
			}
			first := get(t, r.tr, r.URL)
			for range 100 {
				if b := get(t, r.tr, r.URL); b != first {
					t.Fatalf("depth %d: %s, then %s", depth, first, b)
				}
			}
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					for range 50 {
						resp, err := r.tr.RoundTrip(newRequest(t, "GET", r.URL, nil))
						if err != nil {
							t.Error(err)
							return
						}
						if b := slurp(t, resp); b != first {
							t.Errorf("depth %d: %s, then %s", depth, first, b)
						}
					}
				})
			}
			all.Wait()
			if idle, conns := r.tr.counts(""); idle != 1 || conns != 1 {
				t.Errorf("depth %d: %d idle of %d", depth, idle, conns)
			}
		}
	}
}

// TestIdleTimeoutVeiled: a Deadline that was set for a response does not end the idle time after it.
func TestIdleTimeoutVeiled(t *testing.T) {
	r := newRig(t, false, remote)
	r.tr.ResponseHeaderTimeout = 50 * time.Millisecond
	r.tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := r.dial(ctx, network, addr)
		return veiled{nc}, err
	}
	first := get(t, r.tr, r.URL)
	time.Sleep(100 * time.Millisecond)
	if b := get(t, r.tr, r.URL); b != first {
		t.Errorf("%s, then %s", first, b)
	}
}

// deaf is a stream on which deadlines of reads do nothing.
type deaf struct{ net.Conn }

func (deaf) SetReadDeadline(time.Time) error { return nil }

// TestDeafStream: who reads such a stream cannot be told to leave. It is not used again.
func TestDeafStream(t *testing.T) {
	r := newRig(t, false, func(w http.ResponseWriter, r *http.Request) { remote(w, r) })
	r.tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := r.dial(ctx, network, addr)
		return deaf{nc}, err
	}
	first := get(t, r.tr, r.URL)
	if b := get(t, r.tr, r.URL); b == first {
		t.Error("used again")
	}
}
