//go:build unix

package h1

// refuse_test.go: streams that have deadlines by their methods alone, and say so when they
// are set one, as the net.Conn of an SSH client: they are as streams without.

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// refusing is one over any stream, which returns from no call for them.
type refusing struct{ io.ReadWriteCloser }

func (refusing) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (refusing) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (refusing) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// halfRefusing refuses each of both, and has no third.
type halfRefusing struct{ io.ReadWriteCloser }

func (halfRefusing) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (halfRefusing) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// Whatever ends an exchange ends it there as it does on a stream without deadlines, at the
// same time and with the same error.
func TestDeadlinesRefused(t *testing.T) {
	const limit = 100 * time.Millisecond
	for name, end := range map[string]struct {
		cfg   Config
		say   string // the server's
		until func(req *Request)
		then  func(ctx context.Context, x Exchange, resp *Response) error
	}{
		"Deadline":         {until: func(req *Request) { req.Deadline = time.Now().Add(limit) }},
		"Deadline in body": {say: answer("/a")[:len(answer("/a"))-1], until: func(req *Request) { req.Deadline = time.Now().Add(limit) }},
		"HeadTimeout":      {cfg: Config{HeadTimeout: limit}},
		"StallTimeout":     {cfg: Config{StallTimeout: limit}},
		"context":          {},
		"Cancel": {then: func(ctx context.Context, x Exchange, resp *Response) error {
			time.AfterFunc(limit, x.Cancel)
			return x.Wait(ctx, resp)
		}},
		"Close of the body": {say: answer("/a")[:len(answer("/a"))-1], then: func(ctx context.Context, x Exchange, resp *Response) error {
			if err := x.Wait(ctx, resp); err != nil {
				return err
			}
			return resp.Body.Close()
		}},
	} {
		for _, depth := range []int{1, 4} {
			for _, narrow := range []bool{false, true} { // the write is stuck
				outcome := func(wrap func(io.ReadWriteCloser) io.ReadWriteCloser) (text string, took time.Duration) {
					inBubble(t, Config{}, true, func(r *rig) {
						cfg := end.cfg
						cfg.Depth = depth
						r.c = NewConn(wrap(struct{ io.ReadWriteCloser }{r.s}), &cfg)
						defer r.c.Close()
						r.next("/warm")
						if narrow {
							r.s.setWindow(len(r.s.out) + 3)
						}
						began := time.Now()
						req := get("/a")
						if end.until != nil {
							end.until(req)
						}
						ctx := context.Background()
						if name == "context" {
							late, cancel := context.WithTimeout(ctx, limit)
							defer cancel()
							ctx = late
						}
						k := r.begin(ctx, req)
						if end.say != "" {
							r.raw(end.say)
						}
						if depth > 1 && !narrow {
							r.begin(context.Background(), get("/behind"))
						}
						done := make(chan error, 1)
						go func() {
							var resp Response
							err := k.err
							if k.sent.Load() {
								if end.then != nil {
									err = end.then(ctx, k.x, &resp)
								} else if err = k.x.Wait(ctx, &resp); err == nil {
									_, err = resp.AppendBody(nil, -1)
								}
							}
							done <- err
						}()
						select {
						case err := <-done:
							text = errText(err)
						case <-time.After(time.Minute):
							text = "hangs"
						}
						took = time.Since(began)
					})
					return text, took
				}
				want, when := outcome(func(rw io.ReadWriteCloser) io.ReadWriteCloser { return rw })
				for _, wrap := range []func(io.ReadWriteCloser) io.ReadWriteCloser{
					func(rw io.ReadWriteCloser) io.ReadWriteCloser { return refusing{rw} },
					func(rw io.ReadWriteCloser) io.ReadWriteCloser { return halfRefusing{rw} },
				} {
					if got, took := outcome(wrap); got != want || took != when {
						t.Errorf("%s, depth %d, narrow %v: %s after %v; without deadlines %s after %v", name, depth, narrow, got, took, want, when)
					}
				}
			}
		}
	}
}

// A stream over one that refuses deadlines, as TLS may be, counts as one without, and so
// does a stream that refuses either of the two.
func TestDeadlinesRefusedBelow(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	for name, rw := range map[string]io.ReadWriteCloser{
		"of reads": noRead{a}, "of writes": noWrite{a}, "TLS": tls.Client(noRead{a}, testTLS()),
	} {
		if c := NewConn(rw, nil); c.deadlines() != nil {
			t.Errorf("%s: it counts as one that has them", name)
		}
	}
}

// Each refuses one of both.
type (
	noRead  struct{ net.Conn }
	noWrite struct{ net.Conn }
)

func (noRead) SetReadDeadline(time.Time) error   { return os.ErrNoDeadline }
func (noWrite) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// idleDeadlines takes deadlines and does nothing about them.
type idleDeadlines struct{ io.ReadWriteCloser }

func (idleDeadlines) SetReadDeadline(time.Time) error  { return nil }
func (idleDeadlines) SetWriteDeadline(time.Time) error { return nil }

// Nobody waits for ever for a request that was taken back and cannot be made to leave its
// read.
func TestDeadlinesIgnored(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		r.c = NewConn(idleDeadlines{r.s}, &Config{Depth: 4})
		defer r.c.Close()
		b := r.takenBack("/b")
		b.x.Cancel()
		r.s.setWindow(wireWindow)
		k := r.begin(context.Background(), get("/k"))
		time.Sleep(2 * graceBeforeClose)
		r.failed(b, Canceled, SentNothing)
		r.failed(k, Closed, SentNothing)
		r.dead()
	})
}

// A request that came behind a closed body while the rest of that was read has its
// response, however late deadlines come.
func TestBehindASlowDrain(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		r.c = NewConn(&slow{tap: r.s, reads: 3 * graceBeforeClose}, &Config{Depth: 2})
		defer r.c.Close()
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
		if err := a.x.Wait(context.Background(), &a.resp); err != nil {
			t.Fatal(err)
		}
		go a.resp.Body.Close()
		synctest.Wait()
		b := r.begin(context.Background(), get("/b"))
		r.await(b)
		time.Sleep(2 * graceBeforeClose)
		r.raw("cd")
		r.serve("/b")
		r.got(b, "/b")
		r.alive()
	})
}

// wordy wraps the errors of a stream's reads.
type wordy struct{ net.Conn }

func (w wordy) Read(p []byte) (int, error) { return inWords(w.Conn.Read(p)) }

func inWords(n int, err error) (int, error) {
	if err != nil {
		err = fmt.Errorf("my stream: %w", err)
	}
	return n, err
}

// That a deadline has passed may be told in an error that wraps the one who knows.
func TestDeadlinesWrapped(t *testing.T) {
	client, server := tcpPair(t)
	c := NewConn(wordy{client}, &Config{Depth: 4})
	defer c.Close()
	go answerAll(server, func(path string) {
		if path == "/slow" {
			time.Sleep(50 * time.Millisecond)
		}
	})
	if got, err := fetch(c, get("/a")); err != nil || got != "/a" {
		t.Fatal(got, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	x, err := c.Send(ctx, get("/slow"))
	if err != nil {
		t.Fatal(err)
	}
	y, err := c.Send(context.Background(), get("/b"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = fetchRest(context.Background(), x, nil)
	wantError(t, err, Timeout, SentAll)
	if got, err := fetchRest(context.Background(), y, nil); err != nil || got != "/b" {
		t.Error(got, err)
	}
	slow := get("/slow")
	slow.Deadline = time.Now().Add(10 * time.Millisecond)
	_, err = fetch(c, slow)
	wantError(t, err, Timeout, SentAll)
}

// So may that by which a canceled request's read was ended: the connection is well, and
// the response behind it another's.
func TestCancelEndsReadWrapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tap{wireStream: newWireStream(false)}
		r := &rig{t, s, NewConn(wrapsErrors{s}, &Config{Depth: 4})}
		defer r.c.Close()
		r.warm()
		a, b := r.begin(context.Background(), get("/a")), r.begin(context.Background(), get("/b"))
		r.await(a)
		r.await(b)
		a.x.Cancel()
		synctest.Wait()
		r.failed(a, Canceled, SentAll)
		r.serve("/a", "/b")
		r.got(b, "/b")
		k := r.readsAhead()
		k.x.Cancel()
		r.s.setWindow(wireWindow)
		time.Sleep(time.Second)
		r.failed(k, Canceled, SentNothing)
		r.took()
		r.next("/c")
	})
}

// wrapsErrors is the same for a stream of the rig's.
type wrapsErrors struct{ *tap }

func (w wrapsErrors) Read(p []byte) (int, error) { return inWords(w.tap.Read(p)) }

// crypto/tls takes such an error of its socket's for the end of all reading: a look finds
// that, and nothing is sent.
func TestLookThroughTLSWrapped(t *testing.T) {
	client, server := ends(t, "tcp")
	go answerAll(tls.Server(server, testTLS()), func(string) {})
	socket := struct {
		wordy
		syscall.Conn
	}{wordy{client}, client.(*net.TCPConn)}
	c := NewConn(tls.Client(socket, &tls.Config{InsecureSkipVerify: true}), nil)
	defer c.Close()
	if got, err := fetch(c, get("/a")); err != nil || got != "/a" {
		t.Fatal(got, err)
	}
	_, err := fetch(c, posting("/b"))
	wantError(t, err, IO, SentNothing)
}

// A stream that was closed refuses nothing: Watch hears of its end, whatever it calls that.
func TestWatchClosedBelow(t *testing.T) {
	client, _ := tcpPair(t)
	file, err := client.File()
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]io.ReadWriteCloser{"TCP": struct{ *net.TCPConn }{client}, "file": file} {
		t.Run(name, func(t *testing.T) {
			c := NewConn(s, nil)
			defer c.Close()
			s.Close()
			hangs("Watch", func() {
				if err := c.Watch(context.Background()); err == nil || !strings.Contains(err.Error(), "closed") {
					t.Error(err)
				}
			})
		})
	}
}

// So it does under a layer, and where the end came while it was away from the socket.
func TestWatchClosedBelowMeanwhile(t *testing.T) {
	client, server := tcpPair(t)
	go answerAll(server, func(string) {})
	file, err := client.File()
	if err != nil {
		t.Fatal(err)
	}
	c := NewConn(&hookedLayer{Conn: fileConn{file, client}}, nil)
	defer c.Close()
	if got, err := fetch(c, get("/a")); err != nil || got != "/a" {
		t.Fatal(got, err)
	}
	watched := make(chan error, 1)
	go func() { watched <- c.Watch(context.Background()) }()
	until(c, func() bool { return c.watch != nil && c.watch.parked })
	body := failingText{strings.NewReader("body"), func() { file.Close() }}
	_, err = c.Send(context.Background(), &Request{Method: "POST", Host: "x", Body: body})
	wantError(t, err, BodyFailed, SentNothing)
	hangs("Watch", func() {
		if err := <-watched; err == nil || !strings.Contains(err.Error(), "closed") {
			t.Error(err)
		}
	})
}

// A reset is told as one, though a socket says so once.
func TestWatchResetBelowMeanwhile(t *testing.T) {
	client, server := tcpPair(t)
	tc := tls.Client(mulish{client}, &tls.Config{InsecureSkipVerify: true})
	cfg := testTLS().Clone()
	cfg.SessionTicketsDisabled = true // nothing lies in the socket
	go tls.Server(server, cfg).Handshake()
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	c := NewConn(tc, nil)
	defer c.Close()
	watched := make(chan error, 1)
	go func() { watched <- c.Watch(context.Background()) }()
	until(c, func() bool { return c.watch != nil && !c.watch.parked })
	body := failingText{strings.NewReader("body"), func() {
		server.SetLinger(0)
		server.Close()
		time.Sleep(10 * time.Millisecond) // it comes
	}}
	_, err := c.Send(context.Background(), &Request{Method: "POST", Host: "x", Body: body})
	wantError(t, err, BodyFailed, SentNothing)
	hangs("Watch", func() {
		if err := <-watched; !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
	})
}

// fileConn is a socket as a file.
type fileConn struct {
	*os.File
	as net.Conn
}

func (f fileConn) LocalAddr() net.Addr  { return f.as.LocalAddr() }
func (f fileConn) RemoteAddr() net.Addr { return f.as.RemoteAddr() }

// failingText knows its length, and fails once something was done.
type failingText struct {
	*strings.Reader
	meanwhile func()
}

func (f failingText) Read([]byte) (int, error) {
	f.meanwhile()
	return 0, errors.New("no text")
}

func errText(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind.String() + ", sent " + e.Sent.String()
	}
	if err != nil {
		return err.Error()
	}
	return "no error"
}

// pipes is a stream over two of the system's pipes, as of a child's standard input and
// output.
type pipes struct {
	*os.File
	refusing
}

func (p pipes) Read(b []byte) (int, error)         { return p.File.Read(b) }
func (p pipes) Write(b []byte) (int, error)        { return p.refusing.Write(b) }
func (p pipes) SetDeadline(t time.Time) error      { return p.refusing.SetDeadline(t) }
func (p pipes) SetReadDeadline(t time.Time) error  { return p.refusing.SetReadDeadline(t) }
func (p pipes) SetWriteDeadline(t time.Time) error { return p.refusing.SetWriteDeadline(t) }
func (p pipes) Close() error                       { p.refusing.Close(); return p.File.Close() }

// Watch does not hold what it cannot be made to let go of.
func TestWatchDeadlinesRefused(t *testing.T) {
	in, toServer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromServer, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer out.Close()
	c := NewConn(pipes{fromServer, refusing{toServer}}, nil)
	defer c.Close()
	go c.Watch(context.Background())
	until(c, func() bool { return c.watch != nil })
	time.Sleep(10 * time.Millisecond) // it waits, if only for the pipe
	go func() {
		in.Read(make([]byte, 1000))
		io.WriteString(out, answer("/a"))
	}()
	hangs("Do", func() {
		if got, err := fetch(c, get("/a")); err != nil || got != "/a" {
			t.Error(got, err)
		}
	})
}

// So it is under TLS that shakes hands by its first write, which reads.
func TestWatchDeadlinesRefusedBelow(t *testing.T) {
	client, server := ends(t, "tcp")
	go answerAll(tls.Server(server, testTLS()), func(string) {})
	c := NewConn(tls.Client(mulish{client.(*net.TCPConn)}, &tls.Config{InsecureSkipVerify: true}), nil)
	defer c.Close()
	go c.Watch(context.Background())
	until(c, func() bool { return c.watch != nil })
	time.Sleep(10 * time.Millisecond) // it waits, if only for the socket
	hangs("Do", func() {
		if got, err := fetch(c, get("/a")); err != nil || got != "/a" {
			t.Error(got, err)
		}
	})
}

// mulish is a socket that refuses deadlines.
type mulish struct{ *net.TCPConn }

func (mulish) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (mulish) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (mulish) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
