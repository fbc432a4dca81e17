//go:build unix

package h1

// stale_test.go: an idle connection that was looked at, and is written to much later, or
// is not idle yet.

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// What comes to an idle connection between the look and the write.
var meanwhile = map[string]struct {
	come func(server net.Conn)
	kind Kind
}{
	"a response": {func(s net.Conn) { io.WriteString(s, answer("nobody asked for it")) }, Unsolicited},
	"the end":    {func(s net.Conn) { s.(interface{ CloseWrite() error }).CloseWrite() }, Closed},
}

// A request behind another's write that is stuck goes out when that moves: what has come
// by then is not its response.
func TestLookIsOldBehindAWrite(t *testing.T) {
	for what, m := range meanwhile {
		for _, network := range []string{"tcp", "unix", "tls"} {
			for _, depth := range []int{1, 4} {
				t.Run(fmt.Sprint(what, "/", network, "/", depth), func(t *testing.T) {
					d := dialUp(t, network, &Config{Depth: depth})
					long := get("/long")
					long.Header.Add("Long", strings.Repeat("x", 16<<20))
					go func() {
						until(d.c, func() bool { return d.c.inWrite })
						io.WriteString(d.server, answer("long"))
					}()
					if got, err := fetch(d.c, long); err != nil || got != "long" {
						t.Fatal(got, err)
					}
					x, err := d.c.Send(context.Background(), get("/next"))
					if err != nil {
						t.Fatal(err)
					}
					m.come(d.server)
					d.settle(d.readable)
					if n := d.c.Stats().BytesWritten; n > 16<<20 {
						t.Fatal("the write is not stuck")
					}
					go io.Copy(io.Discard, d.server)
					hangs("Wait", func() {
						until(d.c, func() bool { return d.c.err != nil || d.c.written == d.c.appended() })
						got, err := fetchRest(context.Background(), x, nil)
						if err == nil {
							t.Fatalf("it was given %q", got)
						}
						kind := m.kind
						if network == "tls" {
							kind = Closed // an end is not told from bytes
						}
						wantError(t, err, kind, SentNothing)
					})
				})
			}
		}
	}
}

// The look behind a body is a whole one: under TLS the server's session tickets may have
// come, which are no end.
func TestTicketsBehindABody(t *testing.T) {
	client, server := ends(t, "tcp")
	cfg := testTLS().Clone()
	cfg.ClientAuth = tls.RequestClientCert // the tickets go out behind the client's Finished then, as many servers have it
	s := tls.Server(farAway{server}, cfg)
	go func() {
		if s.Handshake() != nil {
			return
		}
		in := bufio.NewReader(s)
		for {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			io.WriteString(s, answer("/a"))
		}
	}()
	tc := tls.Client(client, &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1)})
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	c := NewConn(tc, nil)
	defer c.Close()
	came := false
	body := &slowText{strings.NewReader("body"), func() {
		until(c, func() bool { _, n, _ := peek(c.sock); came = n > 0; return came })
	}}
	if got, err := fetch(c, &Request{Method: "POST", Host: "x", Body: body}); err != nil || got != "/a" || !came {
		t.Errorf("%q, %v; tickets have come: %v", got, err, came)
	}
}

// farAway is a server's end that hears of all a while later.
type farAway struct{ net.Conn }

func (f farAway) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	time.Sleep(20 * time.Millisecond)
	return n, err
}

// slowText knows its length, and takes its time.
type slowText struct {
	*strings.Reader
	meanwhile func()
}

func (s *slowText) Read(p []byte) (int, error) {
	if s.meanwhile != nil {
		s.meanwhile()
		s.meanwhile = nil
	}
	return s.Reader.Read(p)
}

// A body that fits the buffer is read before its head goes out, and that may take long.
func TestLookIsOldBehindABody(t *testing.T) {
	for what, m := range meanwhile {
		for name, how := range map[string]struct {
			depth int
			wrap  func(net.Conn) io.ReadWriteCloser
			send  bool
		}{
			"Do":          {1, func(nc net.Conn) io.ReadWriteCloser { return nc }, false},
			"Do, wrapped": {1, func(nc net.Conn) io.ReadWriteCloser { return struct{ *net.TCPConn }{nc.(*net.TCPConn)} }, false},
			"Do, deep":    {4, func(nc net.Conn) io.ReadWriteCloser { return nc }, false},
			"Send":        {1, func(nc net.Conn) io.ReadWriteCloser { return nc }, true},
			"Send, deep":  {4, func(nc net.Conn) io.ReadWriteCloser { return nc }, true},
			"Do, TLS":     {1, func(nc net.Conn) io.ReadWriteCloser { return nc }, false},
			"Send, TLS":   {4, func(nc net.Conn) io.ReadWriteCloser { return nc }, true},
		} {
			t.Run(what+"/"+name, func(t *testing.T) {
				network := "tcp"
				if strings.HasSuffix(name, "TLS") {
					network = "tls"
				}
				client, server := ends(t, network)
				if network == "tls" {
					client = secure(t, client, server)
				}
				c := NewConn(how.wrap(client), &Config{Depth: how.depth})
				defer c.Close()
				req := &Request{Method: "POST", Host: "x", Body: &slowText{strings.NewReader("body"), func() {
					m.come(server)
					until(c, func() bool { _, n, err := peek(c.sock); return n > 0 || err != nil })
				}}}
				var err error
				if how.send {
					err = fetchErr(c, req)
				} else {
					err = c.Do(context.Background(), req, &Response{})
				}
				if err == nil {
					t.Fatal("it was answered")
				}
				wantError(t, err, m.kind, SentNothing)
			})
		}
	}
}

// hookedLayer is a stream over a socket, as TLS is, whose next Read does something first.
type hookedLayer struct {
	net.Conn
	hook func()
}

func (l *hookedLayer) NetConn() net.Conn { return l.Conn }

func (l *hookedLayer) Read(p []byte) (int, error) {
	if hook := l.hook; hook != nil {
		l.hook = nil
		hook()
	}
	return l.Conn.Read(p)
}

// What the look behind a body has found counts, though Shutdown comes meanwhile, which
// lets the request end.
func TestShutdownInTheLook(t *testing.T) {
	client, server := tcpPair(t)
	l := &hookedLayer{Conn: client}
	c := NewConn(l, nil)
	defer c.Close()
	go func() {
		in := bufio.NewReader(server)
		if _, err := http.ReadRequest(in); err == nil {
			io.WriteString(server, answer("/"))
		}
	}()
	if got, err := fetch(c, get("/")); err != nil || got != "/" {
		t.Fatal(got, err)
	}
	body := &slowText{strings.NewReader("body"), func() {
		io.WriteString(server, strings.Repeat("x", peeked)+answer("nobody asked for it"))
		until(c, func() bool { _, n, _ := peek(c.sock); return n > 0 })
		l.hook = func() {
			go c.Shutdown(context.Background())
			until(c, func() bool { return c.err != nil })
		}
	}}
	got, err := fetch(c, &Request{Method: "POST", Host: "x", Body: body})
	if err == nil {
		t.Fatalf("it was given %q", got)
	}
	wantError(t, err, Unsolicited, SentNothing)
}

// Whoever waits for a look hears of its end, even if it was in the name of a request that
// is in flight by then.
func TestWaitForTheLook(t *testing.T) {
	for name, call := range map[string]func(*Conn) error{
		"TrySend": func(c *Conn) error { _, err := c.TrySend(context.Background(), get("/b")); return err },
		"Detach":  func(c *Conn) error { _, err := c.Detach(); return err },
	} {
		t.Run(name, func(t *testing.T) {
			client, server := tcpPair(t)
			l := &hookedLayer{Conn: client}
			c := NewConn(l, nil)
			defer c.Close()
			mayAnswer := make(chan bool, 2)
			mayAnswer <- true
			go answerAll(server, func(string) { <-mayAnswer })
			if got, err := fetch(c, get("/")); err != nil || got != "/" {
				t.Fatal(got, err)
			}
			called := make(chan error, 1)
			body := &slowText{strings.NewReader("body"), func() {
				l.hook = func() {
					go func() { called <- call(c) }()
					until(c, func() bool { return c.watch != nil }) // it waits
				}
			}}
			x, err := c.Send(context.Background(), &Request{Method: "POST", Host: "x", Body: body})
			if err != nil {
				t.Fatal(err)
			}
			hangs(name, func() { wantError(t, <-called, NotReady, SentNothing) })
			mayAnswer <- true
			if got, err := fetchRest(context.Background(), x, nil); err != nil || got != "/" {
				t.Error(got, err)
			}
		})
	}
}

// truthful tells what a Read would bring, and whether it was asked during one.
type truthful struct {
	*slow
	reading atomic.Bool
	asked   int // while it was
}

func (s *truthful) Read(p []byte) (int, error) {
	s.reading.Store(true)
	defer s.reading.Store(false)
	return s.slow.Read(p)
}

func (s *truthful) PeekNow(p []byte) (n int, err error) {
	if s.reading.Load() {
		s.asked++
	}
	s.change(func() {
		if len(s.packets) > 0 {
			n = copy(p, s.packets[0])
		} else {
			err = s.rerr
		}
	})
	return n, err
}

// While a request that was taken back is still in its read, nobody is admitted, and the
// stream is not looked at: the read may have brought what nobody asked for, which a look
// would no longer find.
func TestNobodyBesideTakenBackRead(t *testing.T) {
	for _, wire := range []string{"", answer("nobody asked for it")} {
		synctest.Test(t, func(t *testing.T) {
			s := &truthful{slow: &slow{tap: &tap{wireStream: newWireStream(false)}, reads: time.Millisecond}}
			r := &rig{t, s.tap, NewConn(s, &Config{Depth: 4})}
			defer r.c.Close()
			b := r.readsAhead()
			left := func() { // the bytes, if any, were read, and Read has not returned
				b.x.Cancel()
				_, err := r.c.TrySend(context.Background(), get("/c"))
				wantError(t, err, NotReady, SentNothing)
				if err := r.c.Probe(); err != nil {
					t.Error(err)
				}
				r.s.setWindow(wireWindow)
				time.Sleep(10 * time.Millisecond)
			}
			if wire != "" {
				r.s.onRead.Store(&left)
				r.raw(wire)
			} else {
				left()
			}
			time.Sleep(time.Second)
			r.failed(b, Canceled, SentNothing)
			r.took()
			if wire == "" {
				k := r.begin(context.Background(), get("/k"))
				r.serve("/k")
				r.await(k)
				r.got(k, "/k")
			} else if e, ok := r.c.Err().(*Error); !ok || e.Kind != Unsolicited {
				t.Errorf("Err is %v", r.c.Err())
			}
			if s.asked > 0 {
				t.Errorf("the stream was asked %d times during a read", s.asked)
			}
		})
	}
}

// The end that a read finds whose request was taken back is the connection's, though
// nobody hears of it.
func TestEndForOneTakenBack(t *testing.T) {
	for _, end := range []error{io.EOF, fmt.Errorf("tunnel: %w", io.EOF), io.ErrUnexpectedEOF, io.ErrClosedPipe,
		net.ErrClosed, syscall.ECONNRESET, syscall.ETIMEDOUT, &net.OpError{Op: "remote error", Err: errors.New("tls: internal error")}} {
		synctest.Test(t, func(t *testing.T) {
			s := &slow{tap: &tap{wireStream: newWireStream(false)}, reads: 10 * time.Millisecond}
			r := &rig{t, s.tap, NewConn(s, &Config{Depth: 4})}
			defer r.c.Close()
			b := r.readsAhead()
			b.x.Cancel()
			r.s.setWindow(wireWindow)
			time.Sleep(time.Millisecond)
			r.s.fail(end) // before the read's deadline has ended it
			time.Sleep(time.Second)
			r.failed(b, Canceled, SentNothing)
			if err, ok := r.c.Err().(*Error); !ok || err.Kind != Closed {
				t.Errorf("%v: Err is %v", end, err)
			}
			k := r.begin(context.Background(), posting("/k"))
			r.await(k)
			r.failed(k, Closed, SentNothing)
		})
	}
}

// readsAhead has a request wait for its response of which no byte is out, since the one in
// front was answered before its write was over.
func (r *rig) readsAhead() *call {
	r.Helper()
	for _, target := range []string{"/warm", "/a"} {
		k := r.begin(context.Background(), get(target))
		r.serve(target)
		r.await(k)
		r.got(k, target)
		r.s.setWindow(len(r.s.out) + 3)
	}
	b := r.begin(context.Background(), get("/b"))
	r.await(b)
	return b
}

// Two that leave one right behind the other, of which no byte went out, cost nobody the
// connection, though the first one's read has not returned.
func TestTwoTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{tap: &tap{wireStream: newWireStream(false)}, reads: time.Millisecond}
		r := &rig{t, s.tap, NewConn(s, &Config{Depth: 4})}
		defer r.c.Close()
		b := r.readsAhead()
		d := r.begin(context.Background(), get("/d"))
		b.x.Cancel()
		d.x.Cancel()
		r.await(d)
		r.s.setWindow(wireWindow)
		time.Sleep(time.Second)
		r.failed(b, Canceled, SentNothing)
		r.failed(d, Canceled, SentNothing)
		r.took()
		if err := r.c.Err(); err != nil {
			t.Fatal(err)
		}
		r.next("/k")
	})
}
