package h1http

// embedded_test.go: streams that embed a socket, or TLS, and read it in a way of their own.

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What embeds a socket, or TLS, has the SyscallConn or NetConn of that, and a Read of its
// own.
type (
	// greedy takes more from the socket than it gives.
	greedy struct {
		*net.TCPConn
		br *bufio.Reader
	}
	// byValue and byName are greedy, and embed the socket in other ways.
	byValue struct {
		net.TCPConn
		br *bufio.Reader
	}
	byName struct {
		shown
		br *bufio.Reader
	}
	shown interface {
		net.Conn
		syscall.Conn
	}
	// patient limits each Read by itself.
	patient    struct{ *net.TCPConn }
	patientTLS struct{ *tls.Conn }
)

func (g *greedy) Read(p []byte) (int, error)  { return g.br.Read(p) }
func (g *byValue) Read(p []byte) (int, error) { return g.br.Read(p) }
func (g *byName) Read(p []byte) (int, error)  { return g.br.Read(p) }

func (c patient) Read(p []byte) (int, error) {
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	return c.TCPConn.Read(p)
}

func (c patientTLS) Read(p []byte) (int, error) {
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	return c.Conn.Read(p)
}

// What has the SyscallConn or NetConn of a socket, and embeds none, is taken at its word;
// what embeds an interface that shows one is not.
type (
	ownSyscallConn struct {
		net.Conn
		socket *net.TCPConn
	}
	layerByName  struct{ showsLayered }
	showsLayered interface {
		net.Conn
		NetConn() net.Conn
	}
)

func (c ownSyscallConn) SyscallConn() (syscall.RawConn, error) { return c.socket.SyscallConn() }

// TestCanAsk: which streams are looked into, and not read ahead.
func TestCanAsk(t *testing.T) {
	url := rawServer(t, func(_ net.Conn, br *bufio.Reader, _ int) { br.ReadByte() })
	nc, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	tc, layer := nc.(*net.TCPConn), tls.Client(nc, &tls.Config{})
	for _, test := range []struct {
		nc   net.Conn
		want bool
	}{
		{tc, true}, {layer, true}, {ownSyscallConn{nc, tc}, true},
		{veiled{nc}, false}, {tls.Client(veiled{nc}, &tls.Config{}), false},
		{patient{tc}, false}, {&byName{shown: tc}, false}, {layerByName{layer}, false},
	} {
		if got := canAsk(test.nc); got != test.want {
			t.Errorf("%T: %v", test.nc, got)
		}
	}
}

// TestEmbedded: such a stream is not looked into. What came behind a response, and lies in
// its buffer, is not the next response; time limits hold; and no look waits for TLS.
func TestEmbedded(t *testing.T) {
	certs := certificates()
	hang := make(chan struct{})
	defer close(hang)
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
		if first, _ := br.Peek(1); first[0] == 0x16 { // a TLS handshake
			nc = tls.Server(peeked{nc, br}, &tls.Config{Certificates: certs})
			br = bufio.NewReader(nc)
		}
		for {
			req, _, err := readRequest(br)
			if err != nil {
				return
			}
			switch req.URL.Path {
			case "/long":
				fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n%020000d%s", n, evil)
			case "/hang":
				<-hang
			default:
				io.WriteString(nc, good)
			}
		}
	})
	tr.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	for _, embed := range []func(*net.TCPConn, *bufio.Reader) net.Conn{
		func(tc *net.TCPConn, br *bufio.Reader) net.Conn { return &greedy{tc, br} },
		func(tc *net.TCPConn, br *bufio.Reader) net.Conn { return &byValue{*tc, br} },
		func(tc *net.TCPConn, br *bufio.Reader) net.Conn { return &byName{tc, br} },
	} {
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return embed(nc.(*net.TCPConn), bufio.NewReaderSize(nc, 64<<10)), nil
		}
		long, err := tr.RoundTrip(newRequest(t, "GET", url+"/long", nil))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // all of it has come
		if _, err := io.ReadFull(long.Body, make([]byte, 20000)); err != nil {
			t.Fatal(err)
		}
		long.Body.Close()
		if got := get(t, tr, url); got != "good" {
			t.Errorf("got %q", got)
		}
		tr.CloseIdleConnections()
	}

	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return patient{nc.(*net.TCPConn)}, nil
	}
	tr.ResponseHeaderTimeout = 50 * time.Millisecond // of the connection to be dialed, and of no other
	began := time.Now()
	if _, err := tr.RoundTrip(newRequest(t, "GET", url+"/hang", nil)); err == nil || time.Since(began) > 3*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	tr.ResponseHeaderTimeout = 0

	dials, below := 0, tr.DialContext
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials++
		return below(ctx, network, addr)
	}
	for range 2 { // TLS over such a socket, then such a TLS
		for range 3 {
			if got := get(t, tr, strings.Replace(url, "http:", "https:", 1)); got != "good" {
				t.Errorf("got %q", got)
			}
		}
		if dials != 1 {
			t.Errorf("%d connections", dials)
		}
		dials = 0
		tr.CloseIdleConnections()
		tr.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials++
			nc, err := tls.Dial(network, addr, tr.TLSClientConfig)
			if err != nil {
				return nil, err
			}
			return patientTLS{nc}, nil
		}
	}
}

// peeked is a connection of which br has read the beginning.
type peeked struct {
	net.Conn
	br *bufio.Reader
}

func (p peeked) Read(b []byte) (int, error) { return p.br.Read(b) }
