package h1http

// again_test.go: requests that are sent again, with Depth: what that costs the others.

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// halves is a server that sends half of each /half, and the rest when it is told to. It
// hangs up at a /hangup. So many connections to it are idle.
func halves(t *testing.T, many int) (url string, tr *Transport, release func()) {
	var here sync.WaitGroup
	here.Add(many)
	rest := make(chan struct{})
	url, tr = rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
		var wg sync.WaitGroup
		defer wg.Wait()
		defer nc.Close()
		for {
			req, _, err := readRequest(br)
			switch {
			case err != nil || req.URL.Path == "/hangup":
				return
			case req.URL.Path == "/half":
				io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
				wg.Go(func() {
					<-rest
					io.WriteString(nc, "def")
				})
			default:
				here.Done()
				here.Wait()
				io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		}
	})
	tr.Depth, tr.MaxIdleConnsPerHost = 4, many
	var first sync.WaitGroup
	for range many {
		first.Go(func() { get(t, tr, url+"/first") })
	}
	first.Wait()
	release = sync.OnceFunc(func() { close(rest) })
	t.Cleanup(release)
	return url, tr, release
}

// TestDepthAgainAlone: a request that a server answers by hanging up takes along what is
// under way on one connection, and not on one after the other.
func TestDepthAgainAlone(t *testing.T) {
	const many = 5
	url, tr, release := halves(t, many)
	var heads, bodies sync.WaitGroup
	var cut atomic.Int32
	heads.Add(many)
	for range many {
		bodies.Go(func() {
			resp, err := tr.RoundTrip(newRequest(t, "GET", url+"/half", nil))
			heads.Done()
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if _, err := io.ReadAll(resp.Body); err != nil {
				cut.Add(1)
			}
		})
	}
	heads.Wait()
	if resp, err := tr.RoundTrip(newRequest(t, "GET", url+"/hangup", nil)); err == nil {
		resp.Body.Close()
		t.Error("no error")
	}
	release()
	bodies.Wait()
	if n := cut.Load(); n > 1 {
		t.Errorf("one request has cost %d of %d responses", n, many)
	}
}

// TestDepthBehindTheFirst: a server may serve one request a connection, and not say so. The
// request behind would then have its system reset the connection, and drop what is not out
// yet of the response (RFC 9112, section 9.6).
func TestDepthBehindTheFirst(t *testing.T) {
	const size = 1 << 20
	second := make(chan struct{})
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
		if n > 0 {
			close(second)
		}
		req, _, err := readRequest(br)
		if err != nil {
			return
		}
		if req.URL.Path != "/long" {
			io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			return
		}
		nc.(*net.TCPConn).SetWriteBuffer(4 * size)
		fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
		came := make(chan struct{})
		go func() {
			nc.Read(make([]byte, 1)) // of the one behind; or ends with the connection
			close(came)
		}()
		select {
		case <-came:
		case <-second:
		}
		nc.Write(make([]byte, size))
	})
	tr.Depth = 4
	resp, err := tr.RoundTrip(newRequest(t, "GET", url+"/long", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var wg sync.WaitGroup
	wg.Go(func() { get(t, tr, url+"/behind") })
	defer wg.Wait()
	time.Sleep(50 * time.Millisecond) // the server is done by now
	if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}
