package h1http

// depth_test.go: connections that several requests share at once.

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Nor does a request join a connection behind one that was canceled while its body was
// neither read nor closed: that still counts, but the rest of its response may never come.
func TestNotBehindTheCanceledBody(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	addr, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
		for {
			req, _, err := readRequest(br)
			if err != nil {
				return
			}
			if req.URL.Path == "/hang" {
				io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
				<-hang
			}
			io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	tr.Depth = 4
	get(t, tr, addr)
	hung, cancelHung := context.WithCancel(context.Background())
	resp, err := tr.RoundTrip(newRequest(t, "GET", addr+"/hang", nil).WithContext(hung))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	behind, cancelBehind := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if resp, err := tr.RoundTrip(newRequest(t, "GET", addr+"/behind", nil).WithContext(behind)); err == nil {
			resp.Body.Close()
		}
	})
	time.Sleep(30 * time.Millisecond)
	if _, conns := tr.counts(""); conns != 1 {
		t.Errorf("%d connections: nothing has joined the one in use", conns)
	}
	cancelHung()
	time.Sleep(30 * time.Millisecond)
	within(t, "a request behind one that was canceled", func() { get(t, tr, addr) })
	cancelBehind()
	wg.Wait()
}

// TestDepthRetries: requests behind a response that closes are sent again.
func TestDepthRetries(t *testing.T) {
	var served atomic.Int32
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
		for i := 0; ; i++ {
			req, _, err := readRequest(br)
			if err != nil {
				return
			}
			served.Add(1)
			last := ""
			if i == 5 {
				last = "Connection: close\r\n"
			}
			p := req.URL.Path
			fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s", last, len(p), p)
			if last != "" {
				time.Sleep(2 * time.Millisecond)
				return
			}
		}
	})
	tr.Depth, tr.MaxConnsPerHost = 8, 2
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 20 {
				want := fmt.Sprintf("/%d/%d", g, i)
				if got := get(t, tr, url+want); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
	wg.Wait()
	if n := served.Load(); n != 320 {
		t.Logf("%d served for 320 requests: GETs that were cut off", n)
	}
}

// TestDepthFair: requests that share a connection do not keep one waiting for ever that
// needs it for itself.
func TestDepthFair(t *testing.T) {
	r := newRig(t, false, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Millisecond)
		echo(w, r)
	})
	r.tr.Depth, r.tr.MaxConnsPerHost = 4, 1
	get(t, r.tr, r.URL)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for !stop.Load() {
				get(t, r.tr, r.URL)
			}
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for range 3 {
		resp, err := r.tr.RoundTrip(newRequest(t, "POST", r.URL, strings.NewReader("x")).WithContext(ctx))
		if err != nil {
			t.Error(err)
			break
		}
		slurp(t, resp)
	}
	stop.Store(true)
	wg.Wait()
}

// TestDepthAbandoned: a connection that owes the response of a request that was canceled
// behind another is not kept: the next request would wait for that response.
func TestDepthAbandoned(t *testing.T) {
	canceled := make(chan struct{})
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
		for i := 0; ; i++ {
			req, _, err := readRequest(br)
			if err != nil {
				return
			}
			if req.URL.Path == "/first" {
				<-canceled
			}
			if req.URL.Path == "/canceled" {
				io.Copy(io.Discard, br) // until the client hangs up
				return
			}
			fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(req.URL.Path), req.URL.Path)
		}
	})
	tr.Depth, tr.MaxConnsPerHost = 4, 1
	get(t, tr, url+"/")
	var wg sync.WaitGroup
	wg.Go(func() {
		if got := get(t, tr, url+"/first"); got != "/first" {
			t.Errorf("got %q", got)
		}
	})
	inFlight := func(n int) func() bool {
		return func() bool {
			tr.pool.mu.Lock()
			defer tr.pool.mu.Unlock()
			for _, h := range tr.pool.hosts {
				return len(h.open) == 1 && h.open[0].h.State().InFlight() == n
			}
			return false
		}
	}
	eventually(t, "one in flight", inFlight(1))
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		if _, err := tr.RoundTrip(newRequest(t, "GET", url+"/canceled", nil).WithContext(ctx)); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		close(canceled)
	})
	eventually(t, "two in flight", inFlight(2))
	cancel()
	wg.Wait()
	for _, method := range []string{"GET", "POST"} {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if got := do(t, tr, newRequest(t, method, url+"/next", nil).WithContext(ctx)); got != "/next" {
			t.Errorf("got %q", got)
		}
	}
}

// TestDepthNeedsKeepAlive: a connection is joined once it has shown that it persists; where
// none does, requests go side by side as without Depth, and not one after the other.
func TestDepthNeedsKeepAlive(t *testing.T) {
	r := newRig(t, false, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		time.Sleep(2 * time.Millisecond)
	})
	r.tr.Depth = 8
	var attempts atomic.Int32
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{GetConn: func(string) { attempts.Add(1) }})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				do(t, r.tr, newRequest(t, "GET", r.URL, nil).WithContext(ctx))
			}
		})
	}
	wg.Wait()
	if n := attempts.Load(); n != 40 {
		t.Errorf("%d attempts for 40 requests", n)
	}
}
