//go:build unix

package h1

// probe_test.go: what becomes of an idle connection, as a probe, a watcher and the next
// request see it: on TCP, under TLS, on Unix sockets, and on streams that cannot be asked.

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// testTLS makes a certificate of its own, once.
var testTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		DynamicRecordSizingDisabled: true} // as after the first 128 KiB: records of 16 KiB
})

// ends returns the two ends of a connection over TCP ("tcp"), a Unix socket ("unix"), or
// TLS 1.3 over TCP ("tls").
func ends(t testing.TB, network string) (client, server net.Conn) {
	t.Helper()
	under, addr := network, "127.0.0.1:0"
	switch network {
	case "tls":
		under = "tcp"
	case "unix":
		dir, err := os.MkdirTemp("", "h1") // TempDir's names are too long for a socket
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		addr = filepath.Join(dir, "s")
	}
	l, err := net.Listen(under, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		nc, err := l.Accept()
		if err == nil && network == "tls" {
			nc = tls.Server(nc, testTLS())
		}
		accepted <- nc
	}()
	if client, err = net.Dial(under, l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server = <-accepted; server == nil {
		t.Fatal("no connection was accepted")
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// secure makes the client's end TLS, and shakes hands. The server's session tickets are on
// their way to the client when it returns.
func secure(t testing.TB, client, server net.Conn) net.Conn {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- server.(*tls.Conn).Handshake() }()
	c := tls.Client(client, &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1)})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return c
}

// dialed is a connection whose server's end the test holds.
type dialed struct {
	*testing.T
	c      *Conn
	client net.Conn
	server net.Conn
	in     *bufio.Reader // of the server
}

func dialUp(t *testing.T, network string, cfg *Config) *dialed {
	t.Helper()
	client, server := ends(t, network)
	if network == "tls" {
		client = secure(t, client, server)
	}
	d := &dialed{t, NewConn(client, cfg), client, server, bufio.NewReader(server)}
	t.Cleanup(func() { d.c.Close() })
	return d
}

// say sends bytes from the server, and waits until they are in the client's socket.
func (d *dialed) say(bytes string) {
	d.Helper()
	if _, err := d.server.Write([]byte(bytes)); err != nil {
		d.Fatal(err)
	}
	d.settle(func() bool { return d.readable() })
}

// readable reports whether a read of the client's socket would return.
func (d *dialed) readable() bool {
	_, n, err := peek(d.c.sock)
	return n > 0 || err != nil
}

// settle waits for what happens without this process's doing.
func (d *dialed) settle(ok func() bool) {
	d.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			d.Fatal("what should happen does not")
		}
	}
}

// head reads a request's head at the server, and returns its first line.
func (d *dialed) head() (line string) {
	d.Helper()
	for {
		l, err := d.in.ReadString('\n')
		if err != nil {
			d.Fatal(err)
		}
		if line == "" {
			line = l
		}
		if l == "\r\n" {
			return line
		}
	}
}

// exchange makes one whole exchange; reply is what the server sends.
func (d *dialed) exchange(target, reply, body string) {
	d.Helper()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		d.head()
		d.server.Write([]byte(reply))
	}()
	var resp Response
	if err := d.c.Do(context.Background(), get(target), &resp); err != nil {
		d.Fatalf("%s: %v", target, err)
	}
	b := make([]byte, len(body)+1) // large reads go past the engine's buffer
	n := 0
	for err := error(nil); err == nil; {
		var m int
		m, err = resp.Body.Read(b[n:])
		if n += m; err != nil && err != io.EOF {
			d.Fatalf("%s: %v", target, err)
		}
	}
	if string(b[:n]) != body {
		d.Fatalf("%s: got %q", target, b[:n])
	}
	<-answered
}

// idleEnds are what a server may do to an idle connection.
var idleEnds = []struct {
	name string
	do   func(d *dialed)
	kind Kind // of the error that follows; 0: none
}{
	{"nothing", func(*dialed) {}, 0},
	{"FIN", func(d *dialed) { d.server.Close() }, Closed},
	{"FIN of the socket alone", func(d *dialed) { socket(d.server).(interface{ CloseWrite() error }).CloseWrite() }, Closed},
	{"RST", func(d *dialed) {
		if tc, ok := socket(d.server).(*net.TCPConn); ok {
			tc.SetLinger(0)
			tc.Close()
		} else { // what a Unix socket has of it: closed with bytes unread
			d.client.Write([]byte("x"))
			d.server.Close()
		}
	}, IO},
	{"bytes", func(d *dialed) { d.say("x") }, Unsolicited},
	{"a response", func(d *dialed) { d.say(answer("poison")) }, Unsolicited},
	{"a response, and FIN", func(d *dialed) { d.say(answer("poison")); d.server.Close() }, Unsolicited},
	{"408", func(d *dialed) { d.say("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n") }, Closed},
	{"408, and FIN", func(d *dialed) { d.say("HTTP/1.0 408 Request Timeout\r\n\r\n"); d.server.Close() }, Closed},
}

// socket is the socket under a connection.
func socket(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}

// The end of an idle connection is found by whoever looks at it first. A request that finds
// it is Unprocessed, and no byte of it was written; what came is given to nobody.
func TestIdleEnds(t *testing.T) {
	lookers := map[string]func(d *dialed) error{
		"Probe": func(d *dialed) error { return d.c.Probe() },
		"Do":    func(d *dialed) error { return d.c.Do(context.Background(), get("/next"), &Response{}) },
		"Do with a body": func(d *dialed) error {
			return d.c.Do(context.Background(), &Request{Method: "POST", Host: "x", Body: strings.NewReader("body")}, &Response{})
		},
		"Do with a long body": func(d *dialed) error {
			return d.c.Do(context.Background(), &Request{Method: "POST", Host: "x",
				Body: strings.NewReader(strings.Repeat("x", 100000))}, &Response{})
		},
		"Do with a deadline": func(d *dialed) error {
			return d.c.Do(context.Background(), &Request{Host: "x", Deadline: time.Now().Add(time.Minute)}, &Response{})
		},
		"Send":    func(d *dialed) error { _, err := d.c.Send(context.Background(), get("/next")); return err },
		"TrySend": func(d *dialed) error { _, err := d.c.TrySend(context.Background(), get("/next")); return err },
	}
	for _, network := range []string{"tcp", "unix", "tls"} {
		for _, end := range idleEnds {
			for name, look := range lookers {
				for _, depth := range []int{1, 4} {
					if end.kind == 0 && name != "Probe" {
						continue // it would wait for a response
					}
					t.Run(strings.ReplaceAll(fmt.Sprint(network, "/", end.name, "/", name, "/", depth), " ", "_"), func(t *testing.T) {
						d := dialUp(t, network, &Config{Depth: depth})
						d.exchange("/a", answer("/a"), "/a")
						wrote := d.c.Stats().BytesWritten
						end.do(d)
						if end.kind == IO {
							time.Sleep(time.Millisecond) // to look would take the error away
						} else if end.kind != 0 {
							d.settle(d.readable)
						}
						err := look(d)
						if end.kind == 0 {
							if err != nil {
								t.Fatal(err)
							}
							d.exchange("/b", answer("/b"), "/b")
							return
						}
						wantError(t, err, end.kind, SentNothing)
						if e, ok := err.(*Error); ok && (!e.Unprocessed() || !e.Retryable("POST")) {
							t.Error("what was never sent counts as processed")
						}
						if n := d.c.Stats().BytesWritten; n != wrote {
							t.Errorf("%d bytes were written", n-wrote)
						}
						if !d.c.State().Closed() || !errors.Is(d.c.Err(), end.kind) {
							t.Errorf("the connection lives on: %v, %v", d.c.State(), d.c.Err())
						}
						if err := d.c.Probe(); err == nil {
							t.Error("a second look finds nothing amiss")
						}
					})
				}
			}
		}
	}
}

// A stream with no socket under it cannot be asked: a request finds the end by itself.
func TestIdleEndUnseen(t *testing.T) {
	client, server := net.Pipe()
	c := NewConn(client, nil)
	defer c.Close()
	go func() {
		in := bufio.NewReader(server)
		for line := ""; line != "\r\n"; {
			line, _ = in.ReadString('\n')
		}
		server.Write([]byte(answer("/a")))
		server.Close()
	}()
	if body, err := fetch(c, get("/a")); body != "/a" || err != nil {
		t.Fatal(body, err)
	}
	if err := c.Probe(); err != nil {
		t.Errorf("a probe knows what it cannot know: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	wantError(t, c.Watch(ctx), Timeout, SentNothing)
	_, err := fetch(c, get("/b"))
	wantError(t, err, IO, SentNothing)
	if c.Err() == nil || !c.State().Closed() {
		t.Errorf("the connection lives on: %v, %v", c.State(), c.Err())
	}
}

// watch runs Watch on a goroutine of its own.
func (d *dialed) watch(ctx context.Context) chan error {
	ended := make(chan error, 1)
	go func() { ended <- d.c.Watch(ctx) }()
	return ended
}

// parked waits until a Watch waits for the socket.
func (d *dialed) parked() {
	d.Helper()
	d.settle(func() bool {
		d.c.mu.Lock()
		defer d.c.mu.Unlock()
		return d.c.watch != nil && d.c.watch.parked
	})
}

// soon is the error that comes within moments.
func (d *dialed) soon(ended chan error) error {
	d.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(5 * time.Second):
		d.Fatal("a call hangs")
		return nil
	}
}

// Watch notices the end of an idle connection at once, also after requests in between, and
// however many watch.
func TestWatch(t *testing.T) {
	for _, network := range []string{"tcp", "unix", "tls"} {
		for _, end := range idleEnds[1:] {
			t.Run(strings.ReplaceAll(network+"/"+end.name, " ", "_"), func(t *testing.T) {
				d := dialUp(t, network, &Config{Depth: 2})
				watchers := []chan error{d.watch(context.Background())}
				for i := range 5 {
					d.exchange("/a", answer("/a"), "/a")
					if i%2 == 0 {
						watchers = append(watchers, d.watch(context.Background()))
						d.parked()
					}
				}
				if err := d.c.Probe(); err != nil {
					t.Fatal(err)
				}
				end.do(d)
				for _, w := range watchers {
					wantError(t, d.soon(w), end.kind, SentNothing)
				}
				if !errors.Is(d.c.Err(), end.kind) || !d.c.State().Closed() {
					t.Errorf("%v, %v", d.c.Err(), d.c.State())
				}
			})
		}
	}
}

// Watch ends with its context, with Close, with Detach, and with the connection, and leaves
// the stream's deadlines as they were.
func TestWatchEnds(t *testing.T) {
	for _, network := range []string{"tcp", "unix", "tls"} {
		d := dialUp(t, network, nil)
		d.exchange("/a", answer("/a"), "/a")
		ctx, cancel := context.WithCancel(context.Background())
		one, other := d.watch(ctx), d.watch(context.Background())
		d.parked()
		cancel()
		wantError(t, d.soon(one), Canceled, SentNothing)
		d.parked()
		d.exchange("/b", answer("/b"), "/b")
		expired, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		wantError(t, d.soon(d.watch(expired)), Timeout, SentNothing)
		cancel()
		d.parked()

		// While a request is in flight it waits for the next idle time.
		x, err := d.c.Send(context.Background(), get("/c"))
		if err != nil {
			t.Fatal(err)
		}
		if d.head() != "GET /c HTTP/1.1\r\n" {
			t.Error("not the request")
		}
		d.server.Write([]byte(answer("/c")))
		if body, err := fetchRest(context.Background(), x, nil); body != "/c" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
		d.parked()

		p, err := d.c.Detach()
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, d.soon(other), Closed, SentNothing)
		go func() { time.Sleep(20 * time.Millisecond); d.server.Write([]byte("mine")) }()
		got := make([]byte, 10)
		if n, err := p.IO.Read(got); string(got[:n]) != "mine" {
			t.Errorf("%s: after Watch and Detach the stream gives %q, %v", network, got[:n], err)
		}

		d = dialUp(t, network, nil)
		one = d.watch(context.Background())
		d.parked()
		d.c.Close()
		wantError(t, d.soon(one), Closed, SentNothing)
		wantError(t, d.soon(d.watch(context.Background())), Closed, SentNothing)
		wantError(t, d.soon(d.watch(ctx)), Canceled, SentNothing)
	}
}

// Session tickets are the TLS layer's: they are no end, and nobody spins on them.
func TestTicketsAreNoEnd(t *testing.T) {
	for _, asked := range []bool{false, true} {
		d := dialUp(t, "tls", nil)
		if asked {
			d.exchange("/a", answer("/a"), "/a")
		} else {
			d.settle(d.readable) // the tickets are there
		}
		if err := d.c.Probe(); err != nil {
			t.Fatal(err)
		}
		watched := d.watch(context.Background())
		d.parked()
		before := cpuTime(t)
		time.Sleep(200 * time.Millisecond)
		if used := cpuTime(t) - before; used > 100*time.Millisecond {
			t.Errorf("asked %v: a Watch for which nothing happens used the processor for %v of 200ms", asked, used)
		}
		if len(watched) > 0 {
			t.Fatal(<-watched)
		}
		d.exchange("/b", answer("/b"), "/b")
		d.server.Close()
		wantError(t, d.soon(watched), Closed, SentNothing)
	}
}

// A look at a TLS connection that was not used yet does not begin its handshake, which a
// deadline that has passed would end for good.
func TestProbeBeforeHandshake(t *testing.T) {
	client, server := ends(t, "tls")
	c := NewConn(tls.Client(client, &tls.Config{InsecureSkipVerify: true}), nil)
	defer c.Close()
	if err := c.Probe(); err != nil {
		t.Fatal(err)
	}
	go func() {
		in := bufio.NewReader(server)
		for line := ""; line != "\r\n"; {
			line, _ = in.ReadString('\n')
		}
		io.WriteString(server, answer("/a"))
	}()
	if body, err := fetch(c, get("/a")); body != "/a" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
}

// The socket under a stream may be closed by others: that too is an end, and no reason to
// spin.
func TestWatchOfClosedSocket(t *testing.T) {
	d := dialUp(t, "tcp", nil)
	watched := d.watch(context.Background())
	d.parked()
	d.client.Close()
	wantError(t, d.soon(watched), IO, SentNothing)
}

// Bytes behind a response are not the next one's, wherever they wait: in the engine's
// buffer, in a TLS layer's, or in the socket.
func TestPoisonBehindResponse(t *testing.T) {
	const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	for _, network := range []string{"tcp", "unix", "tls"} {
		for _, size := range []int{0, 10, 4096, 9000} {
			d := dialUp(t, network, nil)
			d.exchange("/a", answer("/a"), "/a") // which takes the session tickets away
			body := string(make([]byte, size))
			d.exchange("/b", answer(body)+poison, body)
			var resp Response
			err := d.c.Do(context.Background(), get("/c"), &resp)
			if err == nil {
				b, _ := resp.AppendBody(nil, -1)
				t.Errorf("%s, %d bytes: the next request was answered with %q", network, size, b)
				continue
			}
			e := err.(*Error)
			if e.Sent != SentNothing || !e.Unprocessed() || (e.Kind != Unsolicited && e.Kind != Closed) {
				t.Errorf("%s, %d bytes: error %v, kind %v, sent %v", network, size, e, e.Kind, e.Sent)
			}
		}
	}
}

// A layer is a stream that carries a socket's bytes in another form, as TLS does. Once it
// is armed, its first Read that may wait takes what is in the socket for the layer's own,
// and finds nothing else.
type layer struct {
	net.Conn
	armed         atomic.Bool
	until         time.Time
	first         sync.Once
	entered, goOn chan struct{}
}

func (l *layer) NetConn() net.Conn { return l.Conn }

func (l *layer) SetReadDeadline(t time.Time) error {
	l.until = t
	return l.Conn.SetReadDeadline(t)
}

func (l *layer) Read(p []byte) (n int, err error) {
	if l.armed.Load() && !passed(l.until) {
		l.first.Do(func() {
			l.Conn.Read(make([]byte, 100))
			close(l.entered)
			<-l.goOn
			err = os.ErrDeadlineExceeded
		})
	} else if l.armed.Load() {
		err = os.ErrDeadlineExceeded
	}
	if err != nil {
		return 0, err
	}
	return l.Conn.Read(p)
}

// probing returns a connection with a probe under way, which ends once goOn is called. The
// probe's result comes through the channel.
func probing(t *testing.T, cfg *Config) (d *dialed, goOn func(), probed chan error) {
	return probingIn(t, cfg, (*Conn).Probe)
}

// probingIn does so with the probe that is within another call.
func probingIn(t *testing.T, cfg *Config, call func(*Conn) error) (d *dialed, goOn func(), result chan error) {
	client, server := ends(t, "tcp")
	l := &layer{Conn: client, entered: make(chan struct{}), goOn: make(chan struct{})}
	goOn = sync.OnceFunc(func() { close(l.goOn); l.armed.Store(false) })
	d = &dialed{t, NewConn(l, cfg), client, server, bufio.NewReader(server)}
	d.exchange("/warm", answer("/warm"), "/warm")
	l.armed.Store(true)
	d.say("a ticket")
	result = make(chan error, 1)
	go func() { result <- call(d.c) }()
	t.Cleanup(func() { goOn(); d.c.Close() })
	select {
	case <-l.entered:
	case <-time.After(5 * time.Second):
		t.Fatal("the probe does not read through the layer")
	}
	return d, goOn, result
}

// A request that comes while a probe is under way waits for it, and then goes on.
func TestSendWhileProbing(t *testing.T) {
	d, goOn, probed := probing(t, nil)
	sent := make(chan error, 1)
	go func() {
		_, err := d.c.Send(context.Background(), get("/a"))
		sent <- err
	}()
	d.settle(func() bool { d.c.mu.Lock(); defer d.c.mu.Unlock(); return d.c.line.head != nil })
	goOn()
	if err := <-probed; err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-sent:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(2 * time.Second):
		t.Fatal("Send waits on after the probe, for nothing")
	}
	d.head()
	d.say(answer("/a"))
}

// A request canceled while the connection is probed for it is not sent.
func TestCanceledWhileProbing(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	d, goOn, sent := probingIn(t, nil, func(c *Conn) error {
		_, err := c.Send(ctx, get("/a"))
		return err
	})
	wrote := d.c.Stats().BytesWritten
	canceled := make(chan struct{})
	context.AfterFunc(ctx, func() { close(canceled) })
	cancel()
	<-canceled
	time.Sleep(50 * time.Millisecond) // the exchange's own callback runs beside that one
	goOn()
	wantError(t, <-sent, Canceled, SentNothing)
	if n := d.c.Stats().BytesWritten; n != wrote {
		t.Errorf("%d bytes were written", n-wrote)
	}
	d.exchange("/b", answer("/b"), "/b")
}

// Ready and Watch go on after a probe, too.
func TestReadyWhileProbing(t *testing.T) {
	d, goOn, probed := probing(t, nil)
	ready := d.c.Ready().Done()
	watched := make(chan error, 1)
	go func() { watched <- d.c.Watch(context.Background()) }()
	goOn()
	if err := <-probed; err != nil {
		t.Fatal(err)
	}
	select {
	case <-ready:
	case <-time.After(2 * time.Second):
		t.Error("Ready is not told when the probe is over")
	}
	d.server.Close()
	select {
	case err := <-watched:
		wantError(t, err, Closed, SentNothing)
	case <-time.After(2 * time.Second):
		t.Error("Watch does not see the end after a probe")
	}
}

// A connection may end while it is being probed.
func TestCloseWhileProbing(t *testing.T) {
	for name, end := range map[string]func(*Conn){
		"Close":    func(c *Conn) { c.Close() },
		"Shutdown": func(c *Conn) { c.Shutdown(context.Background()) },
	} {
		d, goOn, probed := probing(t, nil)
		end(d.c)
		goOn()
		if err := <-probed; err == nil {
			t.Errorf("%s: the probe found nothing amiss", name)
		}
	}
}

// A stream is given back whole, whoever is just looking at it.
func TestDetachWhileProbing(t *testing.T) {
	d, goOn, probed := probing(t, nil)
	detached := make(chan error, 1)
	go func() {
		_, err := d.c.Detach()
		detached <- err
	}()
	until(d.c, func() bool { return d.c.watch != nil })
	if len(detached) > 0 {
		t.Error("Detach gave the stream away under a probe that reads it")
	}
	goOn()
	if err := <-probed; err != nil {
		t.Error(err)
	}
	if err := <-detached; err != nil {
		t.Error(err)
	}
}

// cpuTime is what this process has used of the processors.
func cpuTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
