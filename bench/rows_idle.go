package main

// rows_idle.go: row 14: what a connection holds while it is idle.

import (
	"context"
	"net"
	"runtime"
	"time"

	"example.com/h1"
)

func idleRow(quick bool) row {
	n := 10_000
	if quick {
		n = 100
	}
	return row{
		number: "14", name: "idle", work: "an idle connection that has been used, beyond its socket (live heap and stacks)",
		shows: []metric{memoryHeld, goroutines}, differs: true, thirds: 1,
		contestants: []contestant{
			idle("floor", n, func(e *env) func() any {
				return func() any {
					conn := e.connect(hello)
					exchangeBare(conn)
					return conn
				}
			}),
			idle("h1", n, func(e *env) func() any {
				return func() any {
					conn := h1.NewConn(e.connect(hello), nil)
					e.do(context.Background(), conn, hello, 0)()
					return conn
				}
			}),
			idle("HostClient", n, func(e *env) func() any {
				c := newHostClient(e, hello, n)
				e.atEnd(c.CloseIdleConnections) // or its cleaner holds them ten seconds longer, into another's slot
				ask := e.doFast(c.Do, hello)
				return func() any { ask(); return c }
			}),
			idle("ClientConn", n, func(e *env) func() any {
				t := newTransport(e, hello)
				return func() any {
					conn, err := t.NewClientConn(context.Background(), "http", host+":80")
					check(err)
					e.roundTrip(conn, hello)()
					return conn
				}
			}),
		},
		targets: []target{
			{what: memoryHeld, most: 512, of: "floor"},
			{what: goroutines, most: 0, of: "floor"},
		},
	}
}

func exchangeBare(conn net.Conn) {
	writeTo(conn, hello.request())
	readAll(conn, make([]byte, hello.size()), hello.size())
}

// idle measures what n connections hold. open makes one of them and uses it once.
func idle(name string, n int, start func(e *env) (open func() any)) contestant {
	return contestant{name: name, sample: func(e *env) (s sample) {
		kept := make([]any, n)
		bytes, routines := held()
		open := start(e)
		for i := range kept {
			kept[i] = open()
		}
		open = nil
		bytesAfter, routinesAfter := held()
		s[memoryHeld] = (bytesAfter - bytes) / float64(n)
		s[goroutines] = (routinesAfter - routines) / float64(n)
		runtime.KeepAlive(kept)
		return s
	}}
}

// held returns the bytes of live heap and of stacks, and the goroutines.
func held() (bytes, routines float64) {
	for range 3 { // what lies in a sync.Pool survives two collections
		runtime.GC()
		time.Sleep(30 * time.Millisecond) // connections of the slot before are closed in the background
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse), float64(runtime.NumGoroutine())
}
