package main

// memory.go: streams without a system call or a goroutine, for what a client costs by
// itself.

import (
	"math"
	"net"
	"sync"
	"time"
)

// A memory is a connection whose peer answers every request at once. Reads wait if there is
// nothing to read, because net/http reads on a goroutine of its own.
type memory struct {
	request int          // bytes of one
	answer  []byte       // to each
	atMost  int          // bytes that one Read returns
	socket  *net.TCPConn // deadlines are set on it; nil: they are ignored

	mu    sync.Mutex
	more  sync.Cond
	asked int // bytes of the next request that have come
	owed  int // answers, including the one being read
	at    int // how much of that one was read
	gone  bool
}

func (e *env) newMemory(w wire) *memory {
	m := &memory{request: len(w.request()), answer: []byte(w.head + w.body), atMost: math.MaxInt}
	if w.byteReads {
		m.atMost = 1
	}
	if w.deadlines {
		m.socket = e.dial(service{Discard: true})
	}
	m.more.L = &m.mu
	e.atEnd(func() { m.Close() })
	return m
}

func (m *memory) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked += len(p)
	m.owed += m.asked / m.request
	m.asked %= m.request
	m.more.Signal()
	return len(p), nil
}

func (m *memory) Read(p []byte) (n int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.owed == 0 && !m.gone {
		m.more.Wait()
	}
	if m.gone {
		return 0, net.ErrClosed
	}
	n = copy(p[:min(len(p), m.atMost)], m.answer[m.at:])
	if m.at += n; m.at == len(m.answer) {
		m.owed, m.at = m.owed-1, 0
	}
	return n, nil
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = true
	m.more.Broadcast()
	return nil
}

func (m *memory) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (m *memory) RemoteAddr() net.Addr { return &net.TCPAddr{} }

func (m *memory) SetDeadline(t time.Time) error {
	if m.socket == nil {
		return nil
	}
	return m.socket.SetDeadline(t)
}

func (m *memory) SetReadDeadline(t time.Time) error {
	if m.socket == nil {
		return nil
	}
	return m.socket.SetReadDeadline(t)
}

func (m *memory) SetWriteDeadline(t time.Time) error {
	if m.socket == nil {
		return nil
	}
	return m.socket.SetWriteDeadline(t)
}
