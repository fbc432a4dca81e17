package main

// server.go: the process that answers. It does as little as possible: it counts the ends of
// requests, and writes canned bytes, in one write for all requests that one read has
// brought.
//
// One thread serves every plain connection by epoll, without Go's own poller: an
// exchange costs it epoll_wait, read and write.

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A service is what a connection wants of the server. The client says it first, as JSON,
// and goes on once the server has said readyLine.
type service struct {
	Answer      string // the response, or its beginning
	Zeros       int64  // and how many zero bytes follow it
	RequestBody int64  // bytes of body after each request's head; untilChunksEnd: chunked
	Discard     bool   // the server reads and never answers
	TLS         bool
}

const readyLine = "\n"

// untilChunksEnd is the RequestBody of a chunked body. Such a body ends when a read ends in
// chunksEnd. So its data must not contain that, and the client must not send another
// request before the answer.
const untilChunksEnd = -1

// serverFlag makes this program the server; its value is the core to run on, or noCore.
const serverFlag = "-server"

// startServer runs the server in a process of its own, on one core, or with noCore on any.
// The server ends with this process, which holds its standard input.
func startServer(core int) (address string, stop func()) {
	self, err := os.Executable()
	check(err)
	cmd := exec.Command(self, serverFlag, strconv.Itoa(core))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	check(err)
	out, err := cmd.StdoutPipe()
	check(err)
	check(cmd.Start())
	address, err = bufio.NewReader(out).ReadString('\n')
	check(err)
	return address[:len(address)-1], func() { in.Close(); cmd.Wait() }
}

// serve is the server's main function.
func serve(core int) {
	if core != noCore {
		pin(core)
		runtime.GOMAXPROCS(1)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println(l.Addr())
	go func() { io.Copy(io.Discard, os.Stdin); os.Exit(0) }()

	loop := newLoop()
	go loop.run()
	config := serverTLS()
	for {
		conn, err := l.Accept()
		check(err)
		go welcome(conn.(*net.TCPConn), loop, config)
	}
}

// welcome reads what a connection wants, and sees that it gets it.
func welcome(conn *net.TCPConn, loop *loop, config *tls.Config) {
	var s service
	if json.NewDecoder(conn).Decode(&s) != nil {
		conn.Close()
		return
	}
	conn.Write([]byte(readyLine))
	switch {
	case s.Discard:
		discard(conn)
	case s.TLS:
		answerTLS(tls.Server(conn, config), s)
	default:
		loop.add(conn, s)
	}
}

// discard reads to the end. With MSG_TRUNC TCP drops what is read without copying it, so
// that the reader's work does not hide the writer's.
func discard(conn *net.TCPConn) {
	defer conn.Close()
	raw, err := conn.SyscallConn()
	check(err)
	p := make([]byte, 1<<20)
	raw.Read(func(fd uintptr) bool {
		for {
			n, _, err := unix.Recvfrom(int(fd), p, unix.MSG_TRUNC)
			if err != nil {
				return err != unix.EAGAIN
			}
			if n == 0 {
				return true
			}
		}
	})
}

// answerTLS serves one connection over crypto/tls.
func answerTLS(conn *tls.Conn, s service) {
	defer conn.Close()
	p := make([]byte, 64<<10)
	c := canned{service: s}
	answer := []byte(s.Answer)
	for {
		n, err := conn.Read(p)
		if err != nil {
			return
		}
		if _, err := conn.Write(bytes.Repeat(answer, c.count(p[:n]))); err != nil {
			return
		}
	}
}

// A canned is a connection that gets the same answer to every request.
type canned struct {
	service
	fd      int
	batch   []byte // as many answers as fit it, or the beginning of one
	matched int    // how much of headEnd the last read ended in
	left    int64  // bytes still to come of a request's body of known length
	inBody  bool   // a chunked body is being read
	tail    []byte // the end of what was read of it
}

const (
	headEnd   = "\r\n\r\n"
	chunksEnd = "0\r\n\r\n"
)

// count returns how many requests end in p.
func (c *canned) count(p []byte) (n int) {
	for len(p) > 0 {
		if c.left > 0 {
			skip := min(c.left, int64(len(p)))
			p, c.left = p[skip:], c.left-skip
			if c.left == 0 {
				n++
			}
			continue
		}
		if c.inBody {
			c.tail = append(c.tail, p[max(len(p)-len(chunksEnd), 0):]...)
			c.tail = c.tail[max(len(c.tail)-len(chunksEnd), 0):]
			if string(c.tail) == chunksEnd {
				c.inBody, c.tail = false, nil
				n++
			}
			return n
		}
		b := p[0]
		p = p[1:]
		switch {
		case b == headEnd[c.matched]:
			c.matched++
		case b == headEnd[0]:
			c.matched = 1
		default:
			c.matched = 0
		}
		if c.matched == len(headEnd) {
			c.matched = 0
			c.left, c.inBody = max(c.RequestBody, 0), c.RequestBody == untilChunksEnd
			if c.RequestBody == 0 {
				n++
			}
		}
	}
	return n
}

// answer writes n answers.
func (c *canned) answer(n int) error {
	if copies := len(c.batch) / len(c.Answer); c.Zeros == 0 {
		for ; n > copies; n -= copies {
			if err := writeAll(c.fd, c.batch); err != nil {
				return err
			}
		}
		return writeAll(c.fd, c.batch[:n*len(c.Answer)])
	}
	for range n {
		if err := writeAll(c.fd, c.batch); err != nil {
			return err
		}
		for left := int64(len(c.Answer)) + c.Zeros - int64(len(c.batch)); left > 0; {
			p := zeroBlock[:min(left, block)]
			if err := writeAll(c.fd, p); err != nil {
				return err
			}
			left -= int64(len(p))
		}
	}
	return nil
}

// batchOf returns the bytes that answer writes at a time.
func batchOf(s service) []byte {
	if s.Zeros > 0 {
		return append([]byte(s.Answer), zeroBlock[:min(s.Zeros, block)]...)
	}
	return bytes.Repeat([]byte(s.Answer), 1+batchBytes/len(s.Answer))
}

// writeAll writes p to a socket that does not block. Waiting for room stops the whole loop,
// which does no harm: a row that fills its socket has no other connection to serve.
func writeAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := unix.Write(fd, p)
		switch err {
		case nil:
			p = p[n:]
		case unix.EAGAIN:
			unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
		default:
			return err
		}
	}
	return nil
}

const (
	// block is what the loop reads and writes at most at a time.
	block = 1 << 20
	// batchBytes is about how many bytes of small answers fit one write: more than any
	// row has in flight.
	batchBytes = 256 << 10
	// mostFDs is more than the connections of any row.
	mostFDs = 1 << 16
)

var zeroBlock = make([]byte, block)

// A loop serves connections on one thread.
type loop struct {
	epoll int
	conns [mostFDs]atomic.Pointer[canned]

	mu      sync.Mutex
	batches map[service][]byte // guarded by mu; 10,000 connections share one
}

func newLoop() *loop {
	epoll, err := unix.EpollCreate1(0)
	check(err)
	return &loop{epoll: epoll, batches: map[service][]byte{}}
}

// add takes a connection away from Go's poller and gives it to the loop.
func (l *loop) add(conn *net.TCPConn, s service) {
	l.mu.Lock()
	batch, ok := l.batches[s]
	if !ok {
		batch = batchOf(s)
		l.batches[s] = batch
	}
	l.mu.Unlock()
	c := &canned{service: s, batch: batch}
	raw, err := conn.SyscallConn()
	check(err)
	check(raw.Control(func(fd uintptr) {
		c.fd, err = unix.Dup(int(fd))
	}))
	check(err)
	conn.Close()
	l.conns[c.fd].Store(c)
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.fd)}
	check(unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, c.fd, &event))
}

func (l *loop) run() {
	events := make([]unix.EpollEvent, 128)
	p := make([]byte, block)
	for {
		n, err := unix.EpollWait(l.epoll, events, -1)
		if err != nil && err != unix.EINTR {
			check(err)
		}
		for i := range max(n, 0) {
			c := l.conns[events[i].Fd].Load()
			got, err := unix.Read(c.fd, p)
			if err == nil && got > 0 {
				err = c.answer(c.count(p[:got]))
			}
			if got == 0 || err != nil && err != unix.EAGAIN {
				unix.Close(c.fd)
			}
		}
	}
}

func serverTLS() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
