package h1http

// reverse_test.go: a reverse proxy between http.Client and a server, all three on their own
// connections, with the Transport under it, and under the client too.

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// backend is what the proxy stands before.
func backend(t *testing.T) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("/down", func(w http.ResponseWriter, r *http.Request) {
		var n int64
		fmt.Sscan(r.URL.Query().Get("n"), &n)
		w.Header().Set("Content-Length", fmt.Sprint(n))
		io.CopyN(w, &counting{}, n)
	})
	mux.HandleFunc("/up", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		fmt.Fprintf(w, "%d %v %x %s", n, err, sum.Sum(nil), r.Trailer.Get("Up"))
	})
	mux.HandleFunc("/trailers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Said")
		io.WriteString(w, "body")
		w.Header().Set("Said", "yes")
		w.Header().Set(http.TrailerPrefix+"Unsaid", "too")
	})
	mux.HandleFunc("/socket", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			http.Error(w, "no upgrade", http.StatusBadRequest)
			return
		}
		nc, brw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		for {
			line, err := brw.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(nc, "echo "+line)
		}
	})
	return mux
}

// counting is the bytes 0, 1, 2 ... 250, again and again.
type counting struct{ at int }

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c.at)
		if c.at++; c.at == 251 {
			c.at = 0
		}
	}
	return len(p), nil
}

func TestReverseProxy(t *testing.T) {
	noLeak(t)
	back := httptest.NewServer(backend(t))
	t.Cleanup(back.Close)
	to, _ := url.Parse(back.URL)
	inner := &Transport{}
	front := httptest.NewServer(&httputil.ReverseProxy{
		Transport: inner,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
	})
	t.Cleanup(front.Close)
	outer := &Transport{}
	t.Cleanup(func() { outer.CloseIdleConnections(); inner.CloseIdleConnections() })
	client := &http.Client{Transport: outer}

	size := int64(100_000_000)
	if testing.Short() {
		size /= 10
	}
	t.Run("keep-alive", func(t *testing.T) {
		for range 20 {
			resp, err := client.Post(front.URL+"/echo", "text/plain", strings.NewReader("hi"))
			if err != nil {
				t.Fatal(err)
			}
			if got := slurp(t, resp); got != "POST /echo 2 hi" {
				t.Errorf("got %q", got)
			}
		}
		if _, n := inner.counts(""); n != 1 {
			t.Errorf("%d connections to the backend", n)
		}
	})
	t.Run("download", func(t *testing.T) { download(t, client, front.URL, size) })
	t.Run("upload", func(t *testing.T) {
		upload100(t, client, front.URL, size, true)
		upload100(t, client, front.URL, size, false)
	})
	t.Run("trailers", func(t *testing.T) {
		resp, err := client.Get(front.URL + "/trailers")
		if err != nil {
			t.Fatal(err)
		}
		if got := slurp(t, resp); got != "body" || resp.Trailer.Get("Said") != "yes" || resp.Trailer.Get("Unsaid") != "too" {
			t.Errorf("%q %v", got, resp.Trailer)
		}
	})
	t.Run("upgrade", func(t *testing.T) { upgrade(t, client, front.URL) })
}

func download(t *testing.T, client *http.Client, url string, size int64) {
	resp, err := client.Get(fmt.Sprintf("%s/down?n=%d", url, size))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	sum, want := sha256.New(), sha256.New()
	n, err := io.Copy(sum, resp.Body)
	io.CopyN(want, &counting{}, size)
	if n != size || err != nil || string(sum.Sum(nil)) != string(want.Sum(nil)) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func upload100(t *testing.T, client *http.Client, url string, size int64, known bool) {
	sum := sha256.New()
	io.CopyN(sum, &counting{}, size)
	req := newRequest(t, "PUT", url+"/up", io.LimitReader(&counting{}, size))
	if known {
		req.ContentLength = size
	} else {
		req.Trailer = http.Header{"Up": {"there"}} // which ReverseProxy does not pass on
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := slurp(t, resp), fmt.Sprintf("%d <nil> %x ", size, sum.Sum(nil)); got != want {
		t.Errorf("known %v: %q", known, got)
	}
}

func upgrade(t *testing.T, client *http.Client, url string) {
	req := newRequest(t, "GET", url+"/socket", nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	rwc, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || resp.StatusCode != 101 {
		t.Fatalf("%d %T", resp.StatusCode, resp.Body)
	}
	defer rwc.Close()
	br := bufio.NewReader(rwc)
	for i := range 100 {
		fmt.Fprintf(rwc, "frame %d\n", i)
		if got, err := br.ReadString('\n'); err != nil || got != fmt.Sprintf("echo frame %d\n", i) {
			t.Fatalf("%q %v", got, err)
		}
	}
}

// TestReverseProxyClientLeaves: a client that goes away in the midst of a download is
// nothing that a ReverseProxy logs.
func TestReverseProxyClientLeaves(t *testing.T) {
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "some of it")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer back.Close()
	to, _ := url.Parse(back.URL)
	var logged bytes.Buffer
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.FlushInterval, proxy.ErrorLog = -1, log.New(&logged, "", 0)
	tr := &Transport{}
	defer tr.CloseIdleConnections()
	proxy.Transport = tr
	over := make(chan struct{})
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(over) // also where ServeHTTP panics, as it does for a body cut off
		proxy.ServeHTTP(w, r)
	}))
	defer front.Close()
	ctx, leave := context.WithCancel(context.Background())
	resp, err := http.DefaultClient.Do(newRequest(t, "GET", front.URL, nil).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	leave()
	<-over
	if logged.Len() > 0 {
		t.Errorf("it logs %q", logged.String())
	}
}
