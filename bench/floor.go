package main

// floor.go: what the streams cost by themselves: the same bytes, written and read without
// HTTP.

import (
	"io"
	"net"
	"runtime"
	"sync"
)

// floor writes the request in one Write, or copies its file, and reads as many bytes as
// the response has.
var floor = client{"floor", func(e *env, w wire, _ int) func() exchange {
	return func() exchange {
		conn := e.connect(w)
		request, buf := w.request(), make([]byte, min(w.size(), 64<<10))
		read := func() { readAll(conn, buf, w.size()) }
		if w.relay {
			read = floorRelay(conn, w, e.reader(w))
		}
		return func() {
			writeTo(conn, request)
			if w.upload.file != nil {
				copyFile(conn, w.upload)
			}
			read()
		}
	}
}}

// floorRelay reads a head and hands on the rest.
func floorRelay(conn net.Conn, w wire, hand func(io.Reader)) func() {
	head := make([]byte, len(w.head))
	rest := &io.LimitedReader{R: conn}
	return func() {
		readAll(conn, head, int64(len(head)))
		rest.N = w.zeros
		hand(rest)
	}
}

func copyFile(conn net.Conn, up upload) {
	up.rewind()
	n, err := io.Copy(conn, up.file)
	check(err)
	insist(n == up.size, "copied %d bytes", n)
	if up.chunked {
		writeTo(conn, []byte(chunksEnd)) // what the server waits for
	}
}

// floorBatch writes several requests in one Write.
func floorBatch(w wire, batch int) contestant {
	return contestant{name: "floor", start: func(e *env) func(int) {
		conn := e.connect(w)
		var requests []byte
		for range batch {
			requests = append(requests, w.request()...)
		}
		size := int64(batch) * w.size()
		buf := make([]byte, size)
		return func(n int) {
			for ; n > 0; n -= batch {
				writeTo(conn, requests)
				readAll(conn, buf, size)
			}
		}
	}}
}

// floorShared is what goroutines on one connection cost by themselves: each appends its
// request and waits, and whoever finds nobody at work does that for all: it writes what
// there is, reads as much as answers that, and wakes the others.
var floorShared = client{"shared floor", func(e *env, w wire, width int) func() exchange {
	s := &shared{conn: e.connect(w), request: w.request(), size: w.size()}
	s.buf = make([]byte, int64(width)*s.size)
	return func() exchange {
		m := &sharer{shared: s}
		m.wake.L = &s.mu
		return m.exchange
	}
}}

// shared is a connection that goroutines share.
type shared struct {
	conn    net.Conn
	request []byte
	size    int64  // of a response
	buf     []byte // owned by whoever is at work, as is spare

	mu    sync.Mutex
	busy  bool
	out   []byte // requests
	queue []*sharer
	spare struct { // the memory of the batch before
		out   []byte
		queue []*sharer
	}
}

// A sharer is one of the goroutines.
type sharer struct {
	*shared
	wake    sync.Cond
	done    bool
	isToAct bool
}

func (m *sharer) exchange() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.out, m.queue = append(m.out, m.request...), append(m.queue, m)
	m.done, m.isToAct = false, !m.busy
	m.busy = true
	for !m.done && !m.isToAct {
		m.wake.Wait()
	}
	if m.isToAct {
		m.act()
	}
}

// act sends a batch, and hands the work on. mu is held, but not meanwhile.
func (m *sharer) act() {
	m.mu.Unlock()
	runtime.Gosched() // the others of the batch before append theirs
	m.mu.Lock()
	out, queue := m.out, m.queue
	m.out, m.queue = m.spare.out[:0], m.spare.queue[:0]
	m.mu.Unlock()
	writeTo(m.conn, out)
	readAll(m.conn, m.buf, int64(len(queue))*m.size)
	m.mu.Lock()
	m.spare.out, m.spare.queue = out, queue
	for _, other := range queue {
		other.done = true
		other.wake.Signal()
	}
	if m.busy = len(m.queue) > 0; m.busy {
		m.queue[0].isToAct = true
		m.queue[0].wake.Signal()
	}
}

func writeTo(conn net.Conn, p []byte) {
	_, err := conn.Write(p)
	check(err)
}

// readAll reads n bytes.
func readAll(r io.Reader, buf []byte, n int64) {
	for n > 0 {
		got, err := r.Read(buf[:min(n, int64(len(buf)))])
		check(err)
		n -= int64(got)
	}
}
