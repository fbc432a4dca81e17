package main

// client.go: what a contestant is, and the ways to drive one: alone, from several
// goroutines on one connection, from several on a pool.

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
)

// An env is where a contestant runs for one slot: the server it talks to, a directory for
// what it builds, and what is to be done at its end.
type env struct {
	server  string
	dir     string
	profile string // see schedule

	mu     sync.Mutex
	ends   []func()
	closed bool
}

// A contestant does one row's work in its own way.
type contestant struct {
	name  string
	start func(e *env) (do func(n int)) // do does the work n times
	// sample is set instead of start if the contestant measures itself.
	sample func(e *env) sample
}

// An exchange sends one request and reads the whole response. It is for one goroutine at a
// time.
type exchange func()

// A client makes exchanges, which share what open has opened. width is how many of them
// will run at once. All of it ends when its connections are closed.
type client struct {
	name string
	open func(e *env, w wire, width int) (next func() exchange)
}

// alone has each client run one exchange after the other on one connection.
func alone(w wire, clients ...client) (cs []contestant) {
	for _, c := range clients {
		cs = append(cs, contestant{name: c.name, start: func(e *env) func(int) {
			exchange := c.open(e, w, 1)()
			return func(n int) {
				for range n {
					exchange()
				}
			}
		}})
	}
	return cs
}

// together has goroutines share what each client opened.
func together(w wire, goroutines int, clients ...client) (cs []contestant) {
	for _, c := range clients {
		cs = append(cs, contestant{name: c.name, start: func(e *env) func(int) {
			next := c.open(e, w, goroutines)
			exchanges := make([]exchange, goroutines)
			for i := range exchanges {
				exchanges[i] = next()
			}
			return func(n int) {
				share(n, goroutines, func(worker, n int) {
					for range n {
						exchanges[worker]()
					}
				})
			}
		}})
	}
	return cs
}

// pooled has workers take connections in turn from a pool. Each was opened by itself.
func pooled(w wire, conns, workers int, clients ...client) (cs []contestant) {
	for _, c := range clients {
		cs = append(cs, contestant{name: c.name, start: func(e *env) func(int) {
			pool := make(chan exchange, conns)
			for range conns {
				pool <- c.open(e, w, 1)()
			}
			return func(n int) {
				share(n, workers, func(_, n int) {
					for range n {
						exchange := <-pool
						exchange()
						pool <- exchange
					}
				})
			}
		}})
	}
	return cs
}

// share splits n pieces of work among goroutines and waits for all.
func share(n, goroutines int, work func(worker, n int)) {
	var wg sync.WaitGroup
	for worker := range goroutines {
		wg.Go(func() { work(worker, n*(worker+1)/goroutines-n*worker/goroutines) })
	}
	wg.Wait()
}

// connect opens the stream that an exchange runs on.
func (e *env) connect(w wire) net.Conn {
	if w.inMemory {
		return e.newMemory(w)
	}
	conn := e.dial(w.service())
	if !w.tls {
		return conn
	}
	secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // the server made its certificate up
	check(secure.Handshake())
	return secure
}

// dial opens a connection to the server, and tells it what to do there.
func (e *env) dial(s service) *net.TCPConn {
	conn, err := net.Dial("tcp", e.server)
	check(err)
	tcp := conn.(*net.TCPConn)
	check(tcp.SetLinger(0)) // 10,000 connections in TIME_WAIT would take the ports of the next
	check(json.NewEncoder(tcp).Encode(s))
	_, err = io.ReadFull(tcp, make([]byte, len(readyLine)))
	check(err)
	e.atEnd(func() { tcp.Close() })
	return tcp
}

// atEnd has close call f.
func (e *env) atEnd(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ends = append(e.ends, f)
}

// close closes every connection, and so ends the clients on them.
func (e *env) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, end := range e.ends {
		end()
	}
	e.ends, e.closed = nil, true
}

// endIfClosed ends the goroutine of a client that would open another connection after the
// end.
func (e *env) endIfClosed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		runtime.Goexit()
	}
}

// reader returns what takes a response's body: into the caller's slice, of at most 64 KiB,
// or to another connection. It insists on the length.
func (e *env) reader(w wire) func(body io.Reader) {
	if w.relay {
		to := e.dial(service{Discard: true})
		return func(body io.Reader) {
			n, err := io.Copy(to, body)
			check(err)
			insist(n == w.length, "a body of %d bytes", n)
		}
	}
	buf := make([]byte, min(w.length+512, 64<<10))
	return func(body io.Reader) {
		var got int64
		for {
			n, err := body.Read(buf)
			got += int64(n)
			if err == io.EOF {
				break
			}
			check(err)
		}
		insist(got == w.length, "a body of %d bytes", got)
	}
}

func insist(ok bool, format string, args ...any) {
	if !ok {
		fatal(caller(), fmt.Sprintf(format, args...))
	}
}
