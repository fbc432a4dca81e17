//go:build unix

package h1

// gate_test.go: what the look before a request leaves on the stream for that.

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The look through TLS, in the midst of a call that has limited reads already, does not
// leave its own deadline to those that come: first the call reads a response that nobody
// wants, then it looks, then it reads its own.
func TestDeadlinePastALook(t *testing.T) {
	client, server := ends(t, "tls")
	c := NewConn(secure(t, client, server), &Config{Depth: 4})
	defer c.Close()
	answers := make(chan bool, 1)
	go answerAll(server, func(path string) {
		if path == "/two" {
			<-answers
		}
	})
	background := context.Background()
	var resp Response
	whole := func(err error) {
		t.Helper()
		if err == nil {
			_, err = resp.AppendBody(nil, -1)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	whole(c.Do(background, get("/warm"), &resp))
	watching, stop := context.WithCancel(background)
	defer stop()
	go c.Watch(watching)
	until(c, func() bool { return c.watch != nil && c.watch.parked })
	one, err := c.Send(background, get("/one"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := c.Send(background, get("/two"))
	if err != nil {
		t.Fatal(err)
	}
	until(c, func() bool { return c.written >= two.e.end })
	two.Cancel()
	whole(one.Wait(background, &resp))
	go func() {
		until(c, func() bool { return c.reader != nil && c.reader == c.line.head && c.inRead })
		answers <- true
	}()
	post := posting("/post")
	post.Deadline = time.Now().Add(10 * time.Second)
	whole(c.Do(background, post, &resp))
}

// answerAll is a server that answers each request with its path, once before has returned.
func answerAll(nc net.Conn, before func(path string)) {
	in := bufio.NewReader(nc)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		io.Copy(io.Discard, r.Body)
		before(r.URL.Path)
		io.WriteString(nc, answer(r.URL.Path))
	}
}

// A stream that shakes hands by its first write, and reads for that, finds no deadline
// that one who watches was told to leave by.
func TestWatchBeforeHandshake(t *testing.T) {
	for _, parked := range []bool{true, false} {
		client, server := ends(t, "tls")
		c := NewConn(tls.Client(client, &tls.Config{InsecureSkipVerify: true}), nil)
		defer c.Close()
		go func() {
			if _, err := http.ReadRequest(bufio.NewReader(server)); err == nil {
				io.WriteString(server, answer("/a"))
			}
		}()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go c.Watch(ctx)
		until(c, func() bool { return c.watch != nil && c.watch.parked })
		if !parked {
			cancel()
			until(c, func() bool { return !c.watch.parked })
		}
		if body, err := fetch(c, get("/a")); body != "/a" || err != nil {
			t.Errorf("parked %v: got %q, %v", parked, body, err)
		}
	}
}

// That handshake ends in the time that the write has, and when nobody wants it any more.
func TestSilentHandshake(t *testing.T) {
	const soon = 100 * time.Millisecond
	for _, c := range []struct {
		name            string
		stall, deadline time.Duration
		watched         bool
		body            io.Reader
	}{
		{"StallTimeout", soon, 0, false, nil},
		{"StallTimeout before the Deadline", soon, time.Hour, false, nil},
		{"StallTimeout while the response is awaited", soon, 0, false, readerFunc(func([]byte) (int, error) { return 0, io.EOF })},
		{"Deadline before StallTimeout", time.Hour, soon, false, nil},
		{"Deadline", 0, soon, false, nil},
		{"Deadline with a Watch", 0, soon, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, _ := ends(t, "tcp")
			conn := NewConn(tls.Client(client, &tls.Config{InsecureSkipVerify: true}), &Config{StallTimeout: c.stall})
			defer conn.Close()
			if c.watched {
				go conn.Watch(context.Background())
				until(conn, func() bool { return conn.watch != nil && conn.watch.parked })
			}
			req := &Request{Method: "PUT", Host: "x", Body: c.body}
			if c.deadline > 0 {
				req.Deadline = time.Now().Add(c.deadline)
			}
			if err := conn.Do(context.Background(), req, &Response{}); !errors.Is(err, Timeout) {
				t.Error(err)
			}
		})
	}
}

// Watch sees the end of a connection also while somebody waits in line for a write that is
// stuck, of a request that was answered already.
func TestWatchBesideAStuckWrite(t *testing.T) {
	client, server := ends(t, "tcp")
	c := NewConn(client, &Config{WriteBuffer: 16 << 20})
	defer c.Close()
	answered := make(chan error, 1)
	go func() {
		_, err := fetch(c, &Request{Method: "POST", Host: "x", Body: bytes.NewReader(make([]byte, 15<<20))})
		answered <- err
	}()
	until(c, func() bool { return c.inWrite })
	io.WriteString(server, answer("/a")) // and reads nothing
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	next := make(chan error, 1)
	go func() { next <- c.Do(context.Background(), posting("/b"), &Response{}) }()
	until(c, func() bool { return c.line.head != nil })
	watched := make(chan error, 1)
	go func() { watched <- c.Watch(context.Background()) }()
	until(c, func() bool { return c.watch != nil && c.watch.parked })
	server.(*net.TCPConn).CloseWrite()
	wantError(t, <-watched, Closed, SentNothing)
	wantError(t, <-next, Closed, SentNothing)
}

// TestProbeBesideProbe: one does not look while another is under way, and so does not end
// that for those who wait for it.
func TestProbeBesideProbe(t *testing.T) {
	d, goOn, probed := probing(t, nil)
	if err := d.c.Probe(); err != nil {
		t.Error(err)
	}
	if err := d.c.Ready().Err(); !errors.Is(err, NotReady) {
		t.Errorf("the first is still reading, and Ready says %v", err)
	}
	goOn()
	if err := <-probed; err != nil {
		t.Error(err)
	}
}

// A Probe beside a Detach that waits for a Watch to leave takes nothing from the stream
// that is given back.
func TestProbeBesideDetach(t *testing.T) {
	client, server := ends(t, "tcp")
	s := &hooked{TCPConn: client.(*net.TCPConn)}
	c := NewConn(s, nil)
	go c.Watch(context.Background())
	until(c, func() bool { return c.watch != nil && c.watch.parked })
	probed := make(chan error, 1)
	s.hook = func() { // Detach tells Watch to leave, and holds the lock
		go func() { probed <- c.Probe() }()
		waitsForLock()
		io.WriteString(server, "hello")
		time.Sleep(10 * time.Millisecond) // it is in the socket
	}
	p, err := c.Detach()
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, <-probed, Closed, SentNothing)
	server.Close()
	if got, err := io.ReadAll(p.Stream()); string(got) != "hello" || err != nil {
		t.Errorf("the detached stream gives %q, %v", got, err)
	}
}

// hooked is a stream that looks like TLS, and calls hook when a reader is told to leave.
type hooked struct {
	*net.TCPConn
	hook func()
}

func (s *hooked) NetConn() net.Conn { return s.TCPConn }

func (s *hooked) SetReadDeadline(t time.Time) error {
	err := s.TCPConn.SetReadDeadline(t)
	if hook := s.hook; hook != nil && t.Equal(longAgo) {
		s.hook = nil
		hook()
	}
	return err
}

// A watcher who is slow to begin to wait is told to leave all the same, by whoever looks
// meanwhile: nobody waits for it after.
func TestWatchThatIsLate(t *testing.T) {
	type late struct {
		*dialed
		stop    context.CancelFunc
		watched chan error
	}
	for name, f := range map[string]func(late) error{
		"its context": func(w late) error {
			w.stop()
			return <-w.watched
		},
		"a Deadline": func(w late) error {
			req := get("/")
			req.Deadline = time.Now().Add(10 * time.Millisecond)
			return w.c.Do(context.Background(), req, &Response{})
		},
		"Detach": func(w late) error {
			_, err := w.c.Detach()
			return err
		},
		"a request": func(w late) error {
			go func() {
				if _, err := http.ReadRequest(w.in); err == nil {
					io.WriteString(w.server, answer("/"))
				}
			}()
			_, err := fetch(w.c, get("/"))
			return err
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			d := dialUp(t, "tls", nil)
			d.settle(func() bool { return d.readable() }) // the session tickets
			s := &slowRaw{RawConn: d.c.sock, entered: make(chan bool), goOn: make(chan bool)}
			d.c.sock = s
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			w := late{d, stop, make(chan error, 1)}
			go func() { w.watched <- d.c.Watch(ctx) }()
			<-s.entered
			if err := d.c.Probe(); err != nil { // reads the tickets
				t.Fatal(err)
			}
			close(s.goOn)
			time.Sleep(10 * time.Millisecond) // it waits now, if it was not told
			want := map[string]Kind{"its context": Canceled, "a Deadline": Timeout}[name]
			if err := f(w); want == 0 && err != nil || want != 0 && !errors.Is(err, want) {
				t.Error(err)
			}
		})
	}
}

// slowRaw is a socket of which one is slow to begin to wait.
type slowRaw struct {
	syscall.RawConn
	entered, goOn chan bool
	once          sync.Once
}

func (s *slowRaw) Read(f func(uintptr) bool) error {
	s.once.Do(func() {
		close(s.entered)
		<-s.goOn
	})
	return s.RawConn.Read(f)
}

// A server that speaks before the handshake, and is no TLS, is no reason to look for ever.
func TestPeerSpeaksBeforeHandshake(t *testing.T) {
	for name, f := range map[string]func(*Conn) error{
		"Probe": (*Conn).Probe,
		"Do":    func(c *Conn) error { return c.Do(context.Background(), get("/"), &Response{}) },
		"Watch": func(c *Conn) error { return c.Watch(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			client, server := ends(t, "tcp")
			io.WriteString(server, "220 smtp.example.com\r\n")
			c := NewConn(tls.Client(client, &tls.Config{InsecureSkipVerify: true}), nil)
			until(c, func() bool { _, n, _ := peek(c.sock); return n > 0 })
			if err := f(c); err == nil {
				t.Error("the connection is good")
			}
			if c.Err() == nil || !c.State().Closed() {
				t.Errorf("Err: %v, %v", c.Err(), c.State())
			}
		})
	}
}

// A layer that takes its time, and does not take what lies in its socket, is not looked at
// for ever; nor is the connection used again, for nobody knows what lies there.
func TestLookThatTakesNothing(t *testing.T) {
	client, server := ends(t, "tcp")
	s := &stubborn{TCPConn: client.(*net.TCPConn)}
	c := NewConn(s, nil)
	defer c.Close()
	c.written = 1 // as if it had been used
	io.WriteString(server, "x")
	until(c, func() bool { _, n, _ := peek(c.sock); return n > 0 })
	wantError(t, c.Probe(), IO, SentNothing)
	if s.reads != mostRounds+1 {
		t.Errorf("%d reads", s.reads)
	}
}

type stubborn struct {
	*net.TCPConn
	until time.Time
	reads int
}

func (s *stubborn) NetConn() net.Conn { return s.TCPConn }

func (s *stubborn) SetReadDeadline(t time.Time) error {
	s.until = t
	return nil
}

func (s *stubborn) Read([]byte) (int, error) {
	s.reads++
	time.Sleep(time.Until(s.until))
	return 0, os.ErrDeadlineExceeded
}

// The reads of a look through TLS may begin too late for their deadline, and package net
// then does not ask the socket: what lies there is not taken for the next response.
func TestLookThatIsLate(t *testing.T) {
	d := dialUp(t, "tls", nil)
	d.c = NewConn(tardy{d.client.(*tls.Conn)}, nil)
	d.exchange("/a", answer("/a"), "/a")
	d.say(answer("/unasked"))
	body, err := fetch(d.c, get("/b"))
	if body != "" {
		t.Errorf("/b: %q", body)
	}
	wantError(t, err, Unsolicited, SentNothing)
}

type tardy struct{ *tls.Conn }

func (s tardy) Read(p []byte) (int, error) {
	time.Sleep(2 * nearDeadline)
	return s.Conn.Read(p)
}

// Watch does not spin on a deadline that the caller has left on the socket, and that has
// passed.
func TestWatchPastADeadline(t *testing.T) {
	client, server := ends(t, "tcp")
	client.SetDeadline(time.Now().Add(-time.Second))
	c := NewConn(client, nil)
	defer c.Close()
	waits := &countedRaw{RawConn: c.sock}
	c.sock = waits
	watched := make(chan error, 1)
	go func() { watched <- c.Watch(context.Background()) }()
	until(c, func() bool { return waits.n.Load() > 1 && c.watch.parked })
	time.Sleep(10 * time.Millisecond)
	server.Close()
	wantError(t, <-watched, Closed, SentNothing)
	if n := waits.n.Load(); n > 4 {
		t.Errorf("it waited %d times", n)
	}
}

type countedRaw struct {
	syscall.RawConn
	n atomic.Int64
}

func (s *countedRaw) Read(f func(uintptr) bool) error {
	s.n.Add(1)
	return s.RawConn.Read(f)
}

// A request is not kept by a watcher that is slow to begin to wait after another.
func TestWatchThatIsLateAgain(t *testing.T) {
	d := dialUp(t, "tls", nil)
	d.exchange("/warm", answer("/warm"), "/warm")
	s := &slowRaw{RawConn: d.c.sock, entered: make(chan bool), goOn: make(chan bool)}
	d.c.sock = s
	go d.c.Watch(context.Background())
	<-s.entered
	go func() {
		if _, err := http.ReadRequest(d.in); err == nil {
			io.WriteString(d.server, answer("/"))
		}
	}()
	got := make(chan error, 1)
	go func() {
		_, err := fetch(d.c, get("/"))
		got <- err
	}()
	until(d.c, func() bool {
		return d.c.written > 0 && d.c.queue.head != nil && d.c.written >= d.c.queue.head.end && d.c.queue.head.end > 0
	})
	close(s.goOn)
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// Whom a look has found unfit is not said goodbye to.
func TestUnfitWithoutGoodbye(t *testing.T) {
	client, server := ends(t, "tcp")
	s := &toldFirst{TCPConn: client.(*net.TCPConn)}
	c := NewConn(s, nil)
	c.written = 1 // as if it had been used
	io.WriteString(server, "x")
	until(c, func() bool { _, n, _ := peek(c.sock); return n > 0 })
	wantError(t, c.Probe(), Unsolicited, SentNothing)
	if s.polite {
		t.Error("TLS was to close the socket")
	}
	if n := c.Stats().BytesRead; n != 1 {
		t.Errorf("%d bytes read", n)
	}
}

type toldFirst struct {
	*net.TCPConn
	polite bool
}

func (s *toldFirst) NetConn() net.Conn { return s.TCPConn }

func (s *toldFirst) Close() error {
	_, err := s.TCPConn.Write(nil)
	s.polite = err == nil
	return s.TCPConn.Close()
}

// TrySend waits for no other exchange, and a probe is none.
func TestTrySendWhileProbing(t *testing.T) {
	d, goOn, probed := probing(t, nil)
	sent := make(chan error, 1)
	go func() {
		_, err := d.c.TrySend(context.Background(), get("/a"))
		sent <- err
	}()
	until(d.c, func() bool { return d.c.watch != nil })
	goOn()
	if err := <-probed; err != nil {
		t.Error(err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// A stream's Read that returns an impossible count does not end the program in a look
// either.
func TestLookOfABadStream(t *testing.T) {
	for _, n := range []int{-1, 1 << 20} {
		inBubble(t, Config{}, false, func(r *rig) {
			r.next("/warm")
			r.c.sock, r.c.kind = noRaw{}, layered
			r.c.rw = &quirk{ReadWriteCloser: r.s, read: func([]byte) (int, error) { return n, nil }}
			wantError(t, r.c.Probe(), IO, SentNothing)
		})
	}
}

// A gatherer is a server's stream that sends what it is given in one segment, once it is
// let.
type gatherer struct {
	net.Conn
	gathers bool
	all     []byte
}

func (g *gatherer) Write(p []byte) (int, error) {
	if !g.gathers {
		return g.Conn.Write(p)
	}
	g.all = append(g.all, p...)
	return len(p), nil
}

func (g *gatherer) SetWriteDeadline(time.Time) error { return nil } // CloseWrite leaves one that has passed

// What TLS has read along with a response is no news to the socket, and is noticed all the
// same.
func TestWatchBehindAResponse(t *testing.T) {
	for end, want := range map[string]*Error{"close_notify": errIdleEnd, "bytes": errUnasked} {
		for _, before := range []bool{false, true} {
			client, nc := tcpPair(t)
			g := &gatherer{Conn: nc}
			server := tls.Server(g, testTLS())
			c := NewConn(tls.Client(client, &tls.Config{InsecureSkipVerify: true}), nil)
			defer c.Close()
			go func() {
				server.Read(make([]byte, 4096))
				g.gathers = true
				io.WriteString(server, answer("/a"))
				if end == "bytes" {
					io.WriteString(server, "unasked")
				} else {
					server.CloseWrite()
				}
				nc.Write(g.all)
			}()
			watched := make(chan error, 1)
			watch := func() { watched <- c.Watch(context.Background()) }
			if before {
				go watch()
			}
			var resp Response
			if err := c.Do(context.Background(), get("/a"), &resp); err != nil {
				t.Fatal(err)
			}
			if b, err := resp.AppendBody(nil, -1); string(b) != "/a" || err != nil {
				t.Fatalf("%q, %v", b, err)
			}
			if !before {
				go watch()
			}
			hangs(end, func() {
				if err := <-watched; err != want {
					t.Errorf("%s, before %v: %v", end, before, err)
				}
			})
		}
	}
}

// A layer that gives nothing, and no error, for each record of its own that it has read is
// at their end once its socket is empty, however many there were.
func TestLookAtQuietLayer(t *testing.T) {
	client, server := ends(t, "tcp")
	q := quiet{client.(*net.TCPConn)}
	c := NewConn(q, nil)
	defer c.Close()
	c.written = 1 // as if it had been used
	for n := range mostRounds {
		io.WriteString(server, strings.Repeat("x", n+1))
		until(c, func() bool { _, n, _ := peek(c.sock); return n > 0 })
		if err := c.Probe(); err != nil {
			t.Fatalf("%d records: %v", n+1, err)
		}
	}
}

type quiet struct{ *net.TCPConn }

func (q quiet) NetConn() net.Conn { return q.TCPConn }

func (q quiet) Read([]byte) (int, error) {
	_, err := q.TCPConn.Read(make([]byte, 1))
	return 0, err
}
