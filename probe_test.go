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
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
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
	client, server := ends(t, "tcp")
	l := &layer{Conn: client, entered: make(chan struct{}), goOn: make(chan struct{})}
	goOn = sync.OnceFunc(func() { close(l.goOn); l.armed.Store(false) })
	d = &dialed{t, NewConn(l, cfg), client, server, bufio.NewReader(server)}
	d.exchange("/warm", answer("/warm"), "/warm")
	l.armed.Store(true)
	d.say("a ticket")
	probed = make(chan error, 1)
	go func() { probed <- d.c.Probe() }()
	t.Cleanup(func() { goOn(); d.c.Close() })
	select {
	case <-l.entered:
	case <-time.After(5 * time.Second):
		t.Fatal("the probe does not read through the layer")
	}
	return d, goOn, probed
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

// So does whoever waits for Ready, and whoever watches.
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
	_, err := d.c.Detach()
	goOn()
	<-probed
	if err == nil {
		t.Error("Detach gave the stream away under a probe that reads it")
	} else if err.(*Error).Kind != NotReady {
		t.Error(err)
	} else if _, err := d.c.Detach(); err != nil {
		t.Error(err)
	}
}
