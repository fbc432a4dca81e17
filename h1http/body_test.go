package h1http

// body_test.go: a response's body, while others have to do with it.

import (
	"bufio"
	"context"
	"io"
	"net"
	"testing"
	"time"
)

func TestConcurrentReads(t *testing.T) {
	for _, coding := range []string{"", "Content-Encoding: gzip\r\n"} {
		t.Run(coding, func(t *testing.T) { testConcurrentReads(t, coding) })
	}
}

// isBusy reports whether a Read of a response's body is under way.
func isBusy(rc io.ReadCloser) bool {
	if g, ok := rc.(*gunzip); ok {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.busy
	}
	b := rc.(*body)
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.busy
}

func testConcurrentReads(t *testing.T, coding string) {
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
		readRequest(br)
		io.WriteString(nc, "HTTP/1.1 200 OK\r\n"+coding+"Content-Length: 10\r\n\r\n")
		br.ReadByte()
	})
	resp, err := tr.RoundTrip(newRequest(t, "GET", url, nil))
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := resp.Body.Read(make([]byte, 1))
		read <- err
	}()
	eventually(t, "the first read", func() bool { return isBusy(resp.Body) })
	if _, err := resp.Body.Read(make([]byte, 1)); err != errConcurrentRead {
		t.Errorf("second read: %v", err)
	}
	resp.Body.Close()
	if err := <-read; err != errReadAfterClose {
		t.Errorf("the read that Close has ended: %v", err)
	}
	if _, conns := tr.counts(""); conns != 0 {
		t.Errorf("%d connections are left", conns)
	}
}

// TestClosedBesideWriteTo: what Close has ended says so.
func TestClosedBesideWriteTo(t *testing.T) {
	url, tr := stuck(t)
	resp, err := tr.RoundTrip(newRequest(t, "GET", url+"/body", nil))
	if err != nil {
		t.Fatal(err)
	}
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, resp.Body)
		copied <- err
	}()
	eventually(t, "WriteTo", func() bool { return isBusy(resp.Body) })
	resp.Body.Close()
	if err := <-copied; err != errReadAfterClose {
		t.Errorf("%v", err)
	}
	if _, conns := tr.counts(""); conns != 0 {
		t.Errorf("%d connections are left", conns)
	}
}

// TestCanceledBody: of a body whose request was canceled both Read and WriteTo return
// context.Canceled itself.
func TestCanceledBody(t *testing.T) {
	withBoth(t, nil, func(t *testing.T, rt anyTransport) {
		for name, read := range map[string]func(io.Reader) error{
			"Read":    func(r io.Reader) error { _, err := io.ReadAll(struct{ io.Reader }{r}); return err },
			"WriteTo": func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err },
		} {
			url := rawServer(t, func(nc net.Conn, br *bufio.Reader, _ int) {
				readRequest(br)
				io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
				br.ReadByte()
			})
			ctx, cancel := context.WithCancel(context.Background())
			resp, err := rt.RoundTrip(newRequest(t, "GET", url, nil).WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(10*time.Millisecond, cancel)
			if err := read(resp.Body); err != context.Canceled {
				t.Errorf("%s: %v", name, err)
			}
			resp.Body.Close()
		}
	})
}
