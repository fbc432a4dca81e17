package h1http

// unasked_test.go: what a server sends unasked after a connection was chosen, and before
// the request is on its way; over a socket, and over one that is hidden.

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/h1"
)

const (
	good = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
	evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"
)

// bothDials connect to a socket, and to one that is hidden.
var bothDials = map[string]func(context.Context, string, string) (net.Conn, error){
	"socket": new(net.Dialer).DialContext,
	"veiled": dialVeiled,
}

// answerGood answers each request on a connection.
func answerGood(nc net.Conn, br *bufio.Reader) {
	for {
		if _, _, err := readRequest(br); err != nil {
			return
		}
		io.WriteString(nc, good)
	}
}

// certificates returns those of a server for tests.
func certificates() []tls.Certificate {
	hs := httptest.NewUnstartedServer(nil)
	hs.StartTLS()
	defer hs.Close()
	return hs.TLS.Certificates
}

// liar is a server that answers each request with "good". What lie sends on its first
// connection has come to the client when it returns.
func liar(t *testing.T) (url string, tr *Transport, lie func()) {
	first := make(chan net.Conn, 1)
	url, tr = rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
		if n == 0 {
			first <- nc
		}
		answerGood(nc, br)
	})
	return url, tr, func() {
		io.WriteString(<-first, evil)
		time.Sleep(50 * time.Millisecond) // sniffTime goes on meanwhile
	}
}

// whenChosen has f called once, when a request has got its connection.
func whenChosen(req *http.Request, f func()) *http.Request {
	var once sync.Once
	return req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { once.Do(f) }}))
}

// slowlyEmpty is a body that turns out to be empty once f has returned: the request waits
// for that.
func slowlyEmpty(f func()) io.Reader {
	pr, pw := io.Pipe()
	go func() {
		f()
		pw.Close()
	}()
	return pr
}

// TestUnaskedLate: it comes while the request is made ready. The request is sent again
// elsewhere.
func TestUnaskedLate(t *testing.T) {
	for name, dial := range bothDials {
		for when, send := range map[string]func(t *testing.T, tr *Transport, url string, lie func()) string{
			"while its body is looked at": func(t *testing.T, tr *Transport, url string, lie func()) string {
				return do(t, tr, newRequest(t, "GET", url, slowlyEmpty(lie)))
			},
			"in a hook": func(t *testing.T, tr *Transport, url string, lie func()) string {
				return do(t, tr, whenChosen(newRequest(t, "GET", url, nil), lie))
			},
			"behind the response it has joined": func(t *testing.T, tr *Transport, url string, lie func()) string {
				tr.Depth = 2
				a, err := tr.RoundTrip(newRequest(t, "GET", url, nil))
				if err != nil {
					t.Fatal(err)
				}
				return do(t, tr, whenChosen(newRequest(t, "GET", url, nil), func() {
					slurp(t, a)
					lie()
				}))
			},
		} {
			t.Run(name+" "+when, func(t *testing.T) {
				url, tr, lie := liar(t)
				tr.DialContext = dial
				get(t, tr, url)
				if b := send(t, tr, url, lie); b != "good" {
					t.Errorf("got %q", b)
				}
			})
		}
	}
}

// TestUnaskedLateConn: the same over one connection, which takes no further request and
// says why.
func TestUnaskedLateConn(t *testing.T) {
	for name, dial := range bothDials {
		url, _, lie := liar(t)
		nc, err := dial(context.Background(), "tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		c := NewConn(nc, nil)
		get(t, c, url)
		body := slowlyEmpty(lie)
		for range 2 {
			resp, err := c.RoundTrip(newRequest(t, "GET", url, body))
			var e *h1.Error
			if err == nil {
				t.Errorf("%s: got %q", name, slurp(t, resp))
			} else if !errors.As(err, &e) || !e.Unprocessed() || !errors.Is(err, h1.Unsolicited) {
				t.Errorf("%s: %v", name, err)
			}
			body = nil
		}
		if err := c.Err(); !errors.Is(err, h1.Unsolicited) || c.InFlight() != 0 {
			t.Errorf("%s: Err: %v, %d in flight", name, err, c.InFlight())
		}
		c.Close()
	}
}

// TestUnaskedFirst: it comes before the first request of a Conn.
func TestUnaskedFirst(t *testing.T) {
	for name, dial := range bothDials {
		said := make(chan struct{})
		url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
			io.WriteString(nc, evil)
			close(said)
			br.ReadByte()
		})
		tr.DialContext = dial
		c, err := tr.NewClientConn(context.Background(), "http", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		<-said
		come()
		if resp, err := c.RoundTrip(newRequest(t, "GET", url, nil)); err == nil {
			t.Errorf("%s: got %q", name, slurp(t, resp))
		} else if !errors.Is(err, h1.Unsolicited) {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
	}
}

// TestAnswerReady: a stream that was dialed for a request may have the answer before it
// has the request, whatever that is.
func TestAnswerReady(t *testing.T) {
	for name, dial := range map[string]func(context.Context, string, string) (net.Conn, error){"a socket": nil, "veiled": dialVeiled} {
		addr, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
			io.WriteString(nc, good)
			readRequest(br)
		})
		tr.DialContext = dial
		for _, method := range []string{"GET", "POST"} {
			req := newRequest(t, method, addr, strings.NewReader("a body"))
			if method == "GET" {
				req = newRequest(t, method, addr, nil)
			}
			req.Close = true
			if b := do(t, tr, whenChosen(req, come)); b != "good" {
				t.Errorf("%s, %s: got %q", name, method, b)
			}
		}
	}
}

// TestAnsweredTwice: a server that has answered before it had the request may answer that
// as well, later: the next request gets its own answer, also where it could be in flight
// beside the first.
func TestAnsweredTwice(t *testing.T) {
	for name, dial := range bothDials {
		for _, depth := range []int{0, 4} {
			addr, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
				if n == 0 {
					io.WriteString(nc, good)
					readRequest(br)
					time.Sleep(20 * time.Millisecond)
					io.WriteString(nc, evil)
				}
				answerGood(nc, br)
			})
			tr.DialContext, tr.Depth = dial, depth
			first := whenChosen(newRequest(t, "GET", addr, nil), come)
			resp, err := tr.RoundTrip(first)
			if err != nil {
				t.Fatal(err)
			}
			next := make(chan string)
			go func() { next <- get(t, tr, addr) }()
			time.Sleep(10 * time.Millisecond) // it is on its way, maybe beside the first
			slurp(t, resp)
			if b := <-next; b != "good" {
				t.Errorf("%s, depth %d: then %q", name, depth, b)
			}
			if b := get(t, tr, addr); b != "good" {
				t.Errorf("%s, depth %d: at last %q", name, depth, b)
			}
		}
	}
}

// TestProxyRefusesAtOnce: a proxy may refuse before it has read CONNECT.
func TestProxyRefusesAtOnce(t *testing.T) {
	proxy, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
		io.WriteString(nc, "HTTP/1.1 503 Too Busy\r\nContent-Length: 0\r\n\r\n")
		readRequest(br)
	})
	to, _ := url.Parse(proxy)
	tr.Proxy = http.ProxyURL(to)
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := net.Dial(network, addr)
		come()
		return nc, err
	}
	if _, err := tr.RoundTrip(newRequest(t, "GET", "https://x.example/", nil)); err == nil || err.Error() != "Too Busy" {
		t.Errorf("%v", err)
	}
}

// slowCloser is a socket whose Close takes its time.
type slowCloser struct {
	*net.TCPConn
	may chan struct{}
}

func (s slowCloser) Close() error {
	<-s.may
	return s.TCPConn.Close()
}

// TestSpareCloses: other requests do not wait until a spare connection is closed, on which
// something has come.
func TestSpareCloses(t *testing.T) {
	addr, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
		io.WriteString(nc, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")
		io.Copy(io.Discard, nc)
	})
	other := rawServer(t, func(nc net.Conn, br *bufio.Reader, _ int) { answerGood(nc, br) })
	defer tr.CloseIdleConnections() // before that server waits for its connections' end
	dialing, goOn, may, closing := make(chan struct{}), make(chan struct{}), make(chan struct{}), false
	tr.DialContext = func(_ context.Context, network, address string) (net.Conn, error) {
		nc, err := net.Dial(network, address)
		if closing {
			return nc, err
		}
		closing = true
		close(dialing)
		<-goOn
		come()
		return slowCloser{nc.(*net.TCPConn), may}, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error)
	go func() {
		_, err := tr.RoundTrip(newRequest(t, "GET", addr, nil).WithContext(ctx))
		over <- err
	}()
	<-dialing
	cancel()
	<-over
	close(goOn)
	time.Sleep(50 * time.Millisecond)
	within(t, "a request to another host", func() { do(t, tr, newRequest(t, "GET", other, nil)) })
	close(may)
}

// TestUnaskedSpare: it comes to a connection that was dialed for a request which had
// another in the end.
func TestUnaskedSpare(t *testing.T) {
	said := make(chan struct{})
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
		if n == 1 {
			io.WriteString(nc, evil)
			come()
			close(said)
		}
		answerGood(nc, br)
	})
	dials, dial := 0, make(chan struct{})
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials++; dials == 2 {
			<-dial
		}
		return dialVeiled(ctx, network, addr)
	}
	a, err := tr.RoundTrip(newRequest(t, "GET", url, nil))
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan *http.Response)
	go func() {
		resp, err := tr.RoundTrip(newRequest(t, "GET", url, nil))
		if err != nil {
			t.Error(err)
		}
		second <- resp
	}()
	time.Sleep(20 * time.Millisecond)
	slurp(t, a) // its connection is the second's now
	b := <-second
	close(dial)
	<-said
	if b := get(t, tr, url); b != "good" { // the spare one's turn
		t.Errorf("got %q", b)
	}
	slurp(t, b)
}

// TestUnaskedHandedOn: it comes to a connection whose first request is canceled before it
// is sent, or while the connection is made: the next has that, and an error, for a server
// that does so to a new connection means it; or another connection, where what has come
// was read ahead when it was canceled.
func TestUnaskedHandedOn(t *testing.T) {
	for name, dial := range bothDials {
		for _, dialing := range []bool{false, true} {
			url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
				if n == 0 {
					io.WriteString(nc, evil)
				}
				answerGood(nc, br)
			})
			ctx, cancel := context.WithCancel(context.Background())
			next := make(chan string, 1)
			leave := func() {
				go func() {
					req := whenChosen(newRequest(t, "GET", url, nil), come)
					resp, err := tr.RoundTrip(req)
					if err != nil {
						if !errors.Is(err, h1.Unsolicited) {
							t.Error(err)
						}
						next <- ""
						return
					}
					next <- slurp(t, resp)
				}()
				time.Sleep(50 * time.Millisecond) // it waits for the connection
				cancel()
			}
			first, left := true, make(chan struct{})
			tr.MaxConnsPerHost = 1
			tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				nc, err := dial(ctx, network, addr)
				if dialing && first {
					leave()
					<-left
				}
				first = false
				return nc, err
			}
			req := newRequest(t, "GET", url, nil).WithContext(ctx)
			if !dialing {
				req = whenChosen(req, leave)
			}
			if _, err := tr.RoundTrip(req); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			close(left)
			want := ""
			if name == "veiled" && !dialing {
				want = "good"
			}
			if b := <-next; b != want {
				t.Errorf("%s, dialing %v: got %q", name, dialing, b)
			}
		}
	}
}

// TestNoEndlessAttempts: a server that hangs up on each new connection means it, also to a
// request that was handed one which was dialed for another.
func TestNoEndlessAttempts(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		var dials atomic.Int32
		url, tr := rawRig(t, func(_ net.Conn, br *bufio.Reader, _ int) {
			if method == "GET" {
				readRequest(br)
			}
		})
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials.Add(1)
			time.Sleep(40 * time.Millisecond)
			nc, err := new(net.Dialer).DialContext(ctx, network, addr)
			time.Sleep(10 * time.Millisecond) // it is hung up on before it is used
			return nc, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		if _, err := tr.RoundTrip(newRequest(t, "GET", url, nil).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		cancel()
		ctx, cancel = context.WithTimeout(context.Background(), time.Second)
		_, err := tr.RoundTrip(newRequest(t, method, url, strings.NewReader("a")).WithContext(ctx))
		if n := dials.Load(); err == nil || n > 3 {
			t.Errorf("%s: %d dials: %v", method, n, err)
		}
		cancel()
	}
}

// TestGoodbyeUnasked: a peer that has sent something unasked, and reads nothing, holds up
// no request by TLS's goodbye to it.
func TestGoodbyeUnasked(t *testing.T) {
	certs := certificates()
	for _, late := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			idle, end := make(chan struct{}), make(chan struct{})
			n := 0
			tr := &Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
			tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe() // what is not read stands in the way of a write
				first := n == 0
				n++
				go func() {
					defer theirs.Close()
					nc := tls.Server(theirs, &tls.Config{Certificates: certs})
					br := bufio.NewReader(nc)
					readRequest(br)
					io.WriteString(nc, good)
					if first {
						<-idle
						io.WriteString(nc, evil)
						<-end
						return
					}
					br.ReadByte()
				}()
				return ours, nil
			}
			get(t, tr, "https://a.example/")
			say := func() {
				close(idle)
				synctest.Wait()
			}
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			req := newRequest(t, "GET", "https://a.example/", nil).WithContext(ctx)
			if late {
				req = whenChosen(req, say)
			} else {
				say()
			}
			began := time.Now()
			if resp, err := tr.RoundTrip(req); err != nil {
				t.Errorf("late %v: %v", late, err)
			} else if b := slurp(t, resp); b != "good" {
				t.Errorf("late %v: got %q", late, b)
			}
			if d := time.Since(began); d > time.Second {
				t.Errorf("late %v: took %v", late, d)
			}
			cancel()
			close(end)
			tr.CloseIdleConnections()
		})
	}
}

// TestUnaskedInLine: it comes while a request waits in the engine's line for its turn,
// which it has once the response in front has ended.
func TestUnaskedInLine(t *testing.T) {
	for name, dial := range bothDials {
		for _, hangup := range []bool{false, true} {
			said := make(chan struct{})
			url, _ := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
				readRequest(br)
				io.WriteString(nc, good)
				time.Sleep(50 * time.Millisecond)
				if hangup {
					nc.Close()
				} else {
					io.WriteString(nc, evil)
				}
				come()
				close(said)
				br.ReadByte()
			})
			nc, err := dial(context.Background(), "tcp", strings.TrimPrefix(url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			cfg := Config()
			cfg.Depth = 2
			c := NewConn(nc, cfg)
			a, err := c.RoundTrip(newRequest(t, "POST", url, strings.NewReader("a")))
			if err != nil {
				t.Fatal(err)
			}
			behind := make(chan error)
			go func() {
				resp, err := c.RoundTrip(newRequest(t, "POST", url, strings.NewReader("b")))
				if err == nil {
					t.Errorf("%s: got %q", name, slurp(t, resp))
				}
				behind <- err
			}()
			<-said
			slurp(t, a)
			var e *h1.Error
			if err := <-behind; !errors.As(err, &e) || !e.Unprocessed() {
				t.Errorf("%s, hangup %v: %v", name, hangup, err)
			}
			c.Close()
		}
	}
}

// TestUnaskedInLineJoined: the same in a Transport, where that may be sent again elsewhere.
func TestUnaskedInLineJoined(t *testing.T) {
	for name, dial := range bothDials {
		said := make(chan struct{})
		url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
			for i := 0; ; i++ {
				if _, _, err := readRequest(br); err != nil {
					return
				} // HTTP/1.0 is not pipelined to
				io.WriteString(nc, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\ngood")
				if n == 0 && i == 1 {
					time.Sleep(50 * time.Millisecond)
					io.WriteString(nc, evil)
					come()
					close(said)
				}
			}
		})
		tr.DialContext, tr.Depth = dial, 2
		get(t, tr, url)
		a, err := tr.RoundTrip(newRequest(t, "GET", url, nil))
		if err != nil {
			t.Fatal(err)
		}
		behind := make(chan string)
		go func() { behind <- get(t, tr, url) }()
		<-said
		slurp(t, a)
		if b := <-behind; b != "good" {
			t.Errorf("%s: got %q", name, b)
		}
	}
}

// TestGoodbyeCanceled: the same where its only request is canceled before it is sent.
func TestGoodbyeCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		certs := certificates()
		said := make(chan struct{})
		tr := &Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				nc := tls.Server(theirs, &tls.Config{Certificates: certs})
				nc.Handshake()
				io.WriteString(nc, evil)
				close(said)
			}()
			return ours, nil
		}
		ctx, cancel := context.WithCancel(context.Background())
		req := whenChosen(newRequest(t, "GET", "https://a.example/", nil).WithContext(ctx), func() {
			<-said
			synctest.Wait()
			cancel()
		})
		began := time.Now()
		_, err := tr.RoundTrip(req)
		if d := time.Since(began); !errors.Is(err, context.Canceled) || d > time.Second {
			t.Errorf("%v after %v", err, d)
		}
	})
}

// TestUnaskedBehindBlock: it lies right behind a response that ends where a read of the
// stream does: with a block of what is read ahead, or with a record of TLS. What reads
// ahead may be late, but not each time.
func TestUnaskedBehindBlock(t *testing.T) {
	certs := certificates()
	for name, dial := range bothDials {
		for _, secure := range []bool{false, true} {
			late := 0
			for i := range 6 {
				size := 4 << 10 << (i % 2)
				said := make(chan struct{})
				url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
					if secure {
						nc = tls.Server(nc, &tls.Config{Certificates: certs})
						br = bufio.NewReader(nc)
					}
					for i := 0; ; i++ {
						if _, _, err := readRequest(br); err != nil {
							return
						}
						if n > 0 || i != 1 {
							io.WriteString(nc, good)
							continue
						}
						const head = "HTTP/1.1 200 OK\r\nContent-Length: 4000\r\nX: "
						b := head + strings.Repeat("x", size-len(head)-4-4000) + "\r\n\r\n" + strings.Repeat("g", 4000)
						if secure {
							io.WriteString(nc, b)
							b = ""
						}
						io.WriteString(nc, b+evil)
						come()
						close(said)
					}
				})
				tr.DialContext, tr.TLSClientConfig = dial, &tls.Config{InsecureSkipVerify: true}
				if secure {
					url = strings.Replace(url, "http:", "https:", 1)
				}
				get(t, tr, url)
				resp, err := tr.RoundTrip(newRequest(t, "GET", url, nil))
				if err != nil {
					t.Fatal(err)
				}
				<-said
				if b := slurp(t, resp); len(b) != 4000 {
					t.Errorf("%d bytes", len(b))
				}
				if b := do(t, tr, newRequest(t, "POST", url, strings.NewReader("a"))); b != "good" {
					late++
				}
			}
			if late > 2 || late > 0 && name == "socket" {
				t.Errorf("%s, secure %v: %d of 6 have read what was not theirs", name, secure, late)
			}
		}
	}
}

// TestUnaskedSniffed: the request was looked at whether it has a body, and goes elsewhere
// with it whole.
func TestUnaskedSniffed(t *testing.T) {
	for name, dial := range bothDials {
		for _, say := range []string{"", evil} {
			gone := make(chan struct{})
			var bodies []string
			url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
				for {
					_, b, err := readRequest(br)
					if err != nil {
						return
					}
					bodies = append(bodies, b)
					io.WriteString(nc, good)
					if n == 0 {
						time.Sleep(20 * time.Millisecond)
						io.WriteString(nc, say)
						nc.Close()
						close(gone)
						return
					}
				}
			})
			tr.DialContext = dial
			get(t, tr, url)
			<-gone
			come()
			if b := do(t, tr, newRequest(t, "DELETE", url, io.MultiReader(strings.NewReader("the body")))); b != "good" {
				t.Errorf("%s: got %q", name, b)
			}
			if len(bodies) != 2 || bodies[1] != "the body" {
				t.Errorf("%s: the server has read %q", name, bodies)
			}
		}
	}
}

// TestUnaskedBeforeChosen: a connection to which something has been read ahead is not
// chosen, so that a body which is slow to show a byte, and could not be sent again, is not
// lost by it.
func TestUnaskedBeforeChosen(t *testing.T) {
	gone := make(chan struct{})
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
		if n > 0 {
			answerGood(nc, br)
			return
		}
		readRequest(br)
		io.WriteString(nc, good)
		nc.Close()
		close(gone)
	})
	tr.DialContext = dialVeiled
	get(t, tr, url)
	<-gone
	eventually(t, "the hangup has come", func() bool {
		idle, _ := tr.counts("")
		return idle == 0 || tr.newestUnasked()
	})
	pr, pw := io.Pipe()
	go func() {
		time.Sleep(sniffTime + 50*time.Millisecond)
		io.WriteString(pw, "the body")
		pw.Close()
	}()
	if b := do(t, tr, newRequest(t, "DELETE", url, pr)); b != "good" {
		t.Errorf("got %q", b)
	}
}
