package h1http

// cancel_test.go: requests that end before their response does.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/h1"
)

// stuck is a server that answers nothing, or a head and nothing more.
func stuck(t *testing.T) (string, *Transport) { return rawRig(t, serveStuck) }

func serveStuck(nc net.Conn, br *bufio.Reader, _ int) {
	req, err := http.ReadRequest(br)
	if err != nil {
		return
	}
	switch req.URL.Path {
	case "/body":
		io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
	case "/early":
		io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789")
	}
	io.Copy(io.Discard, br)
}

func TestCancel(t *testing.T) {
	for _, how := range []string{"context", "cause", "Cancel", "deadline"} {
		for _, path := range []string{"/head", "/body", "/before", "/head/conn", "/body/conn", "/before/conn"} {
			t.Run(how+path, func(t *testing.T) {
				if how != "deadline" {
					url, tr := stuck(t)
					testCancel(t, url, tr, how, path)
					return
				}
				synctest.Test(t, func(t *testing.T) { // where the head is sure to be in time
					url, tr := rawPipes(t, serveStuck)
					testCancel(t, url, tr, how, path)
				})
			})
		}
	}
}

func testCancel(t *testing.T, url string, tr *Transport, how, path string) {
	own := errors.New("own cause")
	var rt http.RoundTripper = tr
	if before, ok := strings.CutSuffix(path, "/conn"); ok {
		rt, path = connTo(t, tr, url), before
	}
	req := newRequest(t, "GET", url+path, nil)
	const after = 20 * time.Millisecond
	var end func()
	var want error
	switch how {
	case "context":
		ctx, cancel := context.WithCancel(context.Background())
		req, end, want = req.WithContext(ctx), cancel, context.Canceled
	case "cause":
		ctx, cancel := context.WithCancelCause(context.Background())
		req, end, want = req.WithContext(ctx), func() { cancel(own) }, own
	case "Cancel":
		ch := make(chan struct{})
		//lint:ignore SA1019 http.Client uses it for its Timeout
		req.Cancel = ch
		end, want = func() { close(ch) }, errRequestCanceled
	case "deadline":
		ctx, cancel := context.WithTimeout(context.Background(), after)
		defer cancel()
		req, end, want = req.WithContext(ctx), func() { <-ctx.Done() }, context.DeadlineExceeded
	}
	switch path {
	case "/before":
		if end(); how == "Cancel" {
			time.Sleep(after)
		}
	case "/head":
		time.AfterFunc(after, end)
	}
	resp, err := rt.RoundTrip(req)
	if path == "/body" {
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(after, end)
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
	// Callers compare with ==: echo's proxy answers 499 to a request that was canceled, and
	// 502 to any other error, and colly's users ask for a deadline so.
	if (how == "context" || how == "deadline" && path == "/body") && err != want {
		t.Errorf("%v is not %v itself", err, want)
	}
	var ne net.Error
	if how == "deadline" && (!errors.As(err, &ne) || !ne.Timeout()) {
		t.Errorf("%v is no timeout", err)
	}
	eventually(t, "no connection", func() bool { tr.CloseIdleConnections(); _, n := tr.counts(""); return n == 0 })
}

// connTo returns a Conn to a server.
func connTo(t *testing.T, tr *Transport, url string) *Conn {
	c, err := tr.NewClientConn(context.Background(), "http", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// limitedFor returns a dial hook that limits the life of connections, as many do.
func limitedFor(life time.Duration) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		var d net.Dialer
		nc, err := d.DialContext(ctx, network, addr)
		if err == nil {
			nc.SetDeadline(time.Now().Add(life))
		}
		return nc, err
	}
}

// If a connection's own deadline has passed while it was idle, the next request gets
// another.
func TestOwnDeadlineWhileIdle(t *testing.T) {
	const life = 100 * time.Millisecond
	idle := idleSocket(t)
	dial := func(context.Context, string, string) (net.Conn, error) {
		nc := pipeTo(answers(okAnswer), 0, idle)
		nc.SetDeadline(time.Now().Add(life))
		return nc, nil
	}
	for _, method := range []string{"GET", "POST"} {
		withBoth(t, func(a *http.Transport, b *Transport) { a.DialContext, b.DialContext = dial, dial },
			func(t *testing.T, rt anyTransport) {
				synctest.Test(t, func(t *testing.T) {
					defer rt.CloseIdleConnections()
					do(t, rt, newRequest(t, "GET", "http://x/", nil))
					time.Sleep(life * 3 / 2)
					do(t, rt, newRequest(t, method, "http://x/", nil))
				})
			})
	}
}

// The same on a socket that the engine moves the bytes of itself: the deadline refuses the
// very call that was to write the request.
func TestOwnDeadlineOfSocket(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		url, tr := rawRig(t, answers(okAnswer))
		var conns []net.Conn
		tr.DialContext = func(_ context.Context, network, addr string) (net.Conn, error) {
			nc, err := net.Dial(network, addr)
			conns = append(conns, nc)
			return nc, err
		}
		get(t, tr, url)
		conns[0].SetDeadline(time.Now().Add(-time.Second))
		do(t, tr, newRequest(t, method, url, nil))
		if len(conns) != 2 {
			t.Errorf("%s: %d connections", method, len(conns))
		}
	}
}

// Such a deadline, and Config.StallTimeout, are not told as that of ResponseHeaderTimeout.
func TestOtherTimeouts(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	addr := rawServer(t, func(net.Conn, *bufio.Reader, int) { <-hang })
	const life = 100 * time.Millisecond
	refused := func(t *testing.T, rt http.RoundTripper, length int) {
		t.Helper()
		_, err := rt.RoundTrip(newRequest(t, "POST", addr, strings.NewReader(strings.Repeat("x", length))))
		if err == nil || strings.Contains(err.Error(), "awaiting response headers") {
			t.Errorf("a body of %d: %v", length, err)
		}
	}
	dial := limitedFor(life)
	withBoth(t, func(a *http.Transport, b *Transport) { a.DialContext, b.DialContext = dial, dial },
		func(t *testing.T, rt anyTransport) {
			refused(t, rt, 0)
			refused(t, rt, 16<<20)
		})
	nc, err := net.Dial("tcp", strings.TrimPrefix(addr, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config()
	cfg.StallTimeout = life
	c := NewConn(nc, cfg)
	defer c.Close()
	refused(t, c, 16<<20)
}

func TestResponseHeaderTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		url, tr := rawPipes(t, serveStuck)
		tr.ResponseHeaderTimeout = 30 * time.Millisecond
		_, err := tr.RoundTrip(newRequest(t, "GET", url+"/head", nil))
		var ne net.Error
		var e *h1.Error
		if !errors.As(err, &ne) || !ne.Timeout() || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &e) || errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		resp, err := tr.RoundTrip(newRequest(t, "GET", url+"/body", nil))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(40 * time.Millisecond)
		b := make([]byte, 3)
		if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != "abc" {
			t.Errorf("%q %v", b, err)
		}
		resp.Body.Close()
	})
}

// TestClientTimeout: http.Client's own, which reaches a Transport that is not net/http's
// through Request.Cancel.
func TestClientTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		url, tr := rawPipes(t, serveStuck)
		c := &http.Client{Transport: tr, Timeout: 50 * time.Millisecond}
		_, err := c.Get(url + "/head")
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("%v", err)
		}
		resp, err := c.Get(url + "/body")
		if err != nil {
			t.Fatal(err)
		}
		if _, err = io.ReadAll(resp.Body); !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("%v", err)
		}
		resp.Body.Close()
		synctest.Wait()
		if _, n := tr.counts(""); n != 0 {
			t.Errorf("%d connections", n)
		}
	})
}

// TestClientTimeoutTold: http.Client says "Client.Timeout exceeded" of an error that comes
// behind its own timer, which may fire a little later than the request's deadline.
func TestClientTimeoutTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		url, tr := rawPipes(t, serveStuck)
		for _, path := range []string{"/head", "/body"} {
			for _, conn := range []bool{false, true} {
				const tries = 20
				told := 0
				for range tries {
					if toldBehindTimer(t, tr, url, path, conn) {
						told++
					}
				}
				if told < tries {
					t.Errorf("%s, Conn %v: %d of %d errors came behind the timer", path, conn, told, tries)
				}
			}
		}
	})
}

// toldBehindTimer sends a request that runs into its deadline, and reports whether
// Request.Cancel, which follows, was before the error.
func toldBehindTimer(t *testing.T, tr *Transport, url, path string, conn bool) bool {
	var rt http.RoundTripper = tr
	if conn {
		rt = connTo(t, tr, url)
	}
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer stop()
	fired := make(chan struct{})
	context.AfterFunc(ctx, func() {
		time.Sleep(time.Millisecond)
		close(fired)
	})
	req := newRequest(t, "GET", url+path, nil).WithContext(ctx)
	//lint:ignore SA1019 http.Client uses it for its Timeout
	req.Cancel = fired
	resp, err := rt.RoundTrip(req)
	if err == nil {
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s, Conn %v: %v", path, conn, err)
	}
	select {
	case <-fired:
		return true
	default:
		return false
	}
}

// TestClientTimeoutFirst: if http.Client's own timer is first, the error is still that of a
// deadline.
func TestClientTimeoutFirst(t *testing.T) {
	url, tr := stuck(t)
	for _, path := range []string{"/head", "/body"} {
		ctx, stop := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer stop()
		fired := make(chan struct{})
		time.AfterFunc(48*time.Millisecond, func() { close(fired) })
		req := newRequest(t, "GET", url+path, nil).WithContext(ctx)
		//lint:ignore SA1019 http.Client uses it for its Timeout
		req.Cancel = fired
		resp, err := tr.RoundTrip(req)
		if err == nil {
			if _, err = io.ReadAll(resp.Body); err != context.DeadlineExceeded {
				t.Errorf("%s: not the deadline's error itself: %v", path, err)
			}
			resp.Body.Close()
		}
		var ne net.Error
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// undone is a context that has a deadline, and never ends.
type undone struct{ context.Context }

func (undone) Done() <-chan struct{} { return nil }
func (undone) Err() error            { return nil }

// TestCancelOfUndone: Request.Cancel is heard, also where the context should have ended.
func TestCancelOfUndone(t *testing.T) {
	url, tr := stuck(t)
	ctx, stop := context.WithTimeout(context.Background(), time.Nanosecond)
	defer stop()
	req := newRequest(t, "GET", url+"/head", nil).WithContext(undone{ctx})
	ch := make(chan struct{})
	//lint:ignore SA1019 http.Client uses it for its Timeout
	req.Cancel = ch
	time.AfterFunc(20*time.Millisecond, func() { close(ch) })
	within(t, "Cancel", func() {
		if _, err := tr.RoundTrip(req); err == nil {
			t.Error("no error")
		}
	})
}

// TestCanceledBefore: a request that was canceled before it is sent is not, even if its
// deadline is near; now and then Cancel is heard late.
func TestCanceledBefore(t *testing.T) {
	addr := rawServer(t, answers(okAnswer))
	tr := &Transport{}
	defer tr.CloseIdleConnections()
	do(t, tr, newRequest(t, "GET", addr, nil))
	ch := make(chan struct{})
	close(ch)
	sent := 0
	const tries = 100
	for range tries {
		ctx, stop := context.WithTimeout(context.Background(), clientTime*9/10)
		req := newRequest(t, "POST", addr, nil).WithContext(ctx)
		//lint:ignore SA1019 http.Client uses it for its Timeout
		req.Cancel = ch
		if resp, err := tr.RoundTrip(req); err == nil {
			if _, err := io.ReadAll(resp.Body); err == nil {
				sent++
			}
			resp.Body.Close()
		}
		stop()
	}
	if sent > tries/2 {
		t.Errorf("%d of %d were sent", sent, tries)
	}
}

// TestRequestReusedAfterClose: once the body is closed the request is its caller's again,
// also while a Read of the body is about to fail.
func TestRequestReusedAfterClose(t *testing.T) {
	url, tr := stuck(t)
	for range 5 {
		ctx, stop := context.WithTimeout(context.Background(), 100*time.Millisecond)
		req := newRequest(t, "GET", url+"/body", nil).WithContext(ctx)
		//lint:ignore SA1019 http.Client uses it for its Timeout
		req.Cancel = make(chan struct{})
		resp, err := tr.RoundTrip(req)
		if errors.Is(err, context.DeadlineExceeded) { // on a busy machine
			stop()
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan error)
		go func() {
			_, err := io.ReadAll(resp.Body)
			read <- err
		}()
		<-ctx.Done()
		time.Sleep(2 * time.Millisecond)
		resp.Body.Close()
		//lint:ignore SA1019 http.Client uses it for its Timeout
		req.Cancel = nil
		<-read
		stop()
	}
}

// refusing is a Writer that fails, and says that it is about to.
type refusing chan struct{}

func (f refusing) Write([]byte) (int, error) {
	close(f)
	return 0, io.ErrShortWrite
}

// TestWriteToBesideClose: a body is closed while its WriteTo fails.
func TestWriteToBesideClose(t *testing.T) {
	addr := rawServer(t, answers(okAnswer))
	tr := &Transport{}
	defer tr.CloseIdleConnections()
	for range 1000 {
		resp, err := tr.RoundTrip(newRequest(t, "GET", addr, nil))
		if err != nil {
			t.Fatal(err)
		}
		f := make(refusing)
		var both sync.WaitGroup
		both.Go(func() { resp.Body.(io.WriterTo).WriteTo(f) })
		both.Go(func() {
			<-f
			resp.Body.Close()
		})
		both.Wait()
	}
}

// TestCancelAfter: the end of a context does nothing to a request that is over, and nothing
// to the next on its connection.
func TestCancelAfter(t *testing.T) {
	end := func() {}
	r := newRig(t, false, func(w http.ResponseWriter, r *http.Request) {
		end() // of the request before
		remote(w, r)
	})
	var last string
	for i := range 50 {
		ctx, cancel := context.WithCancel(context.Background())
		got := do(t, r.tr, newRequest(t, "GET", r.URL, nil).WithContext(ctx))
		if end = cancel; i%2 == 0 {
			cancel()
		}
		if i > 0 && got != last {
			t.Fatal("another connection")
		}
		last = got
	}
}

// TestCancelWithBody: a body that is stuck is closed when its request is canceled.
func TestCancelWithBody(t *testing.T) {
	url, tr := stuck(t)
	pr, pw := io.Pipe()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := tr.RoundTrip(newRequest(t, "POST", url+"/head", pr).WithContext(ctx))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if _, err := pw.Write([]byte("x")); err != io.ErrClosedPipe {
		t.Errorf("the body is still open: %v", err)
	}
}

// TestAnswerBeforeBodyEnds: what is left of a body when its answer has been read is not cut
// off by the end of what Request.Cancel, or Client.Timeout, is watched with.
func TestAnswerBeforeBodyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bodies := make(chan string, 1)
		url, tr := rawPipes(t, func(nc net.Conn, br *bufio.Reader, _ int) {
			for {
				req, err := http.ReadRequest(br)
				if err != nil {
					return
				}
				io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
				b, err := io.ReadAll(req.Body)
				bodies <- string(b)
				if err != nil {
					return
				}
			}
		})
		for range 2 {
			pr, pw := io.Pipe()
			req := newRequest(t, "POST", url, pr)
			req.ContentLength = 10
			//lint:ignore SA1019 http.Client uses it for its Timeout
			req.Cancel = make(chan struct{})
			go func() {
				io.WriteString(pw, "01234")
				time.Sleep(10 * time.Millisecond)
				io.WriteString(pw, "56789")
				pw.Close()
			}()
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			slurp(t, resp)
			if got := <-bodies; got != "0123456789" {
				t.Errorf("the server got %q", got)
			}
			if idle, _ := tr.counts(""); idle != 1 {
				t.Errorf("%d idle connections", idle)
			}
		}
	})
}

// The engine may read a body in memory still when RoundTrip has failed, and the reader is
// the caller's again: it reads another one.
func TestReaderAfterError(t *testing.T) {
	for _, size := range []int{1, mostCopied, mostCopied + 1} {
		text := strings.Repeat("a", size)
		body := strings.NewReader(text)
		req := newRequest(t, "POST", "http://h.example/", body)
		u := newUpload(req)
		u.call = new(call)
		in := u.reader(req, false)
		if body.Len() != 0 {
			t.Errorf("%d bytes: %d are left", size, body.Len())
		}
		body.Seek(0, io.SeekStart)
		if got, err := io.ReadAll(in); err != nil || string(got) != text || body.Len() != size {
			t.Errorf("%d bytes: %d were read (%v), and %d are left to the caller", size, len(got), err, body.Len())
		}
	}
}

// A slowConn takes its time for a body, as one does that limits a rate.
type slowConn struct {
	net.Conn
	body  sync.Once
	began chan struct{}
	sent  chan []byte // of capacity 1: the first write of a body
}

func (c *slowConn) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("aaaaaaaa")) {
		c.body.Do(func() {
			close(c.began)
			time.Sleep(50 * time.Millisecond)
			c.sent <- bytes.Clone(p)
		})
	}
	return c.Conn.Write(p)
}

// TestBufferAfterError: once RoundTrip has failed, the memory of a body is the caller's
// again, though a write of the connection's has not returned. Run with -race it says so as
// well.
func TestBufferAfterError(t *testing.T) {
	for _, size := range []int{1 << 10, 32 << 10, 1 << 20} {
		for name, body := range map[string]func(p []byte) io.Reader{
			"Reader": func(p []byte) io.Reader { return bytes.NewReader(p) },
			"Buffer": func(p []byte) io.Reader { return bytes.NewBuffer(p) },
		} {
			slow := &slowConn{began: make(chan struct{}), sent: make(chan []byte, 1)}
			url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) { io.Copy(io.Discard, br) })
			tr.DialContext = func(ctx context.Context, network, addr string) (nc net.Conn, err error) {
				slow.Conn, err = new(net.Dialer).DialContext(ctx, network, addr)
				return slow, err
			}
			buf := bytes.Repeat([]byte("a"), size)
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				<-slow.began
				cancel()
			}()
			if _, err := tr.RoundTrip(newRequest(t, "POST", url, body(buf)).WithContext(ctx)); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			for i := range buf {
				buf[i] = 'x' // the buffer's next use
			}
			if bytes.Contains(<-slow.sent, []byte("xxxxxxxx")) {
				t.Errorf("%d bytes in a %s: what was put into the buffer after the error was sent", size, name)
			}
		}
	}
}

// slowBody is a body that is being read for a while.
type slowBody struct {
	began  chan struct{}
	inRead atomic.Bool
}

func (b *slowBody) Read(p []byte) (int, error) {
	b.inRead.Store(true)
	defer b.inRead.Store(false)
	close(b.began)
	time.Sleep(closeGrace / 2)
	return copy(p, "a"), io.EOF
}

// TestReadAfterError: nor is a Read of the body under way, if it returns soon.
func TestReadAfterError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go io.Copy(io.Discard, theirs)
			return ours, nil
		}}
		defer tr.CloseIdleConnections()
		ctx, cancel := context.WithCancel(context.Background())
		body := &slowBody{began: make(chan struct{})}
		go func() {
			<-body.began
			cancel()
		}()
		_, err := tr.RoundTrip(newRequest(t, "POST", "http://h.example/", body).WithContext(ctx))
		if !errors.Is(err, context.Canceled) || body.inRead.Load() {
			t.Errorf("in Read: %v, %v", body.inRead.Load(), err)
		}
	})
}

// untilTold is a body that ends when it is told to.
type untilTold struct {
	asked, end chan struct{}
	once       sync.Once
}

func (b *untilTold) Read([]byte) (int, error) {
	b.once.Do(func() { close(b.asked) })
	<-b.end
	return 0, io.EOF
}

// TestTrailerAfterEnd: Request.Trailer is not read any more once RoundTrip has failed, or
// the response's body was closed, though the request's body ends just then. The race
// detector, or the map itself, would say so.
func TestTrailerAfterEnd(t *testing.T) {
	url, tr := stuck(t)
	trailer := http.Header{}
	for i := range 3000 { // so that it takes its time
		trailer["X-"+strconv.Itoa(i)] = []string{"v"}
	}
	for _, path := range []string{"/head", "/early"} {
		for range 5 {
			ctx, cancel := context.WithCancel(context.Background())
			body := &untilTold{asked: make(chan struct{}), end: make(chan struct{})}
			req := newRequest(t, "POST", url+path, body).WithContext(ctx)
			req.Trailer, req.Close = trailer, true
			ends := func() { close(body.end) }
			go func() {
				select {
				case <-body.asked:
				case <-body.end: // "/early" may be answered before that
				}
				if path == "/head" {
					cancel()
					time.Sleep(50 * time.Microsecond)
					ends()
				}
			}()
			resp, err := tr.RoundTrip(req)
			switch {
			case path == "/early" && err == nil:
				ends()
				resp.Body.Close()
			case path == "/early" || !errors.Is(err, context.Canceled):
				t.Fatal(err)
			}
			for name := range trailer {
				trailer[name] = []string{"v"}
			}
			cancel()
		}
	}
}
