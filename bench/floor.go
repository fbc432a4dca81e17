package main

// floor.go: what the streams cost by themselves: the same bytes, written and read without
// HTTP.

import (
	"io"
	"net"
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
