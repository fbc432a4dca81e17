package main

// wire.go: the bytes that are sent. Every contestant sends the same request and gets the
// same response; the floor writes and counts exactly these bytes.

import (
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	host = "bench"
	path = "/hello"
	url  = "http://" + host + path
)

// A wire is one kind of exchange, and what it runs on.
type wire struct {
	post   []byte // the request's body, in memory
	upload upload // or in a file; neither: a GET

	head   string // the response's head
	body   string // its body as it goes over the wire, where that is short
	zeros  int64  // and how many zero bytes follow
	length int64  // of the body as a client sees it
	relay  bool   // the body goes to another connection

	tls       bool
	inMemory  bool // no server: see memory
	byteReads bool // of a memory: each read brings one byte
	deadlines bool // of a memory: its deadlines are a socket's
}

// An upload is a request body that is read from a file.
type upload struct {
	file    *os.File
	size    int64
	chunked bool
}

// rewind goes back to the start of the file; without an upload it does nothing.
func (up upload) rewind() {
	if up.file != nil {
		_, err := up.file.Seek(0, io.SeekStart)
		check(err)
	}
}

// hello is the exchange of the small rows: a GET that is answered with 13 bytes.
var hello = wire{head: headOf("Content-Length: 13"), body: "Hello, World!", length: 13}

// headOf returns a response head as servers send it, ending in the field that frames.
func headOf(framing string) string {
	return "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n" +
		framing + "\r\n\r\n"
}

// get returns the exchange of a GET that is answered with n bytes of known length.
func get(n int64) wire {
	return wire{head: headOf(fmt.Sprint("Content-Length: ", n)), zeros: n, length: n}
}

// getChunked returns the exchange of a GET that is answered with n bytes in chunks.
func getChunked(n, chunk int) wire {
	one := fmt.Sprintf("%x\r\n%s\r\n", chunk, strings.Repeat("x", chunk))
	return wire{
		head:   headOf("Transfer-Encoding: chunked"),
		body:   strings.Repeat(one, n/chunk) + chunksEnd,
		length: int64(n),
	}
}

// getHead returns the exchange of a GET that is answered with hello and about n bytes of
// further fields, of 64 bytes each.
func getHead(n int) wire {
	var fields strings.Builder
	for i := range n / 64 {
		name := fmt.Sprintf("X-Field-%d: ", i)
		fields.WriteString(name + strings.Repeat("v", 64-len(name+"\r\n")) + "\r\n")
	}
	w := hello
	w.head = strings.Replace(w.head, "Content-Type", fields.String()+"Content-Type", 1)
	return w
}

// post returns the exchange of a POST of n bytes from memory, answered as hello is.
func post(n int) wire {
	w := hello
	w.post = make([]byte, n)
	return w
}

// requestHead returns the request's head as it goes out.
func (w wire) requestHead() string {
	head := "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n"
	if w.post == nil && w.upload.file == nil {
		return head + "\r\n"
	}
	head = "POST" + strings.TrimPrefix(head, "GET")
	if w.upload.chunked {
		return head + "Transfer-Encoding: chunked\r\n\r\n"
	}
	return head + fmt.Sprintf("Content-Length: %d\r\n\r\n", int64(len(w.post))+w.upload.size)
}

// request returns the request as it goes out, up to a body that is read from a file.
func (w wire) request() []byte { return append([]byte(w.requestHead()), w.post...) }

// size returns the bytes of the whole response.
func (w wire) size() int64 { return int64(len(w.head)+len(w.body)) + w.zeros }

// service returns what the server has to do for this exchange.
func (w wire) service() service {
	s := service{Answer: w.head + w.body, Zeros: w.zeros, RequestBody: int64(len(w.post)) + w.upload.size, TLS: w.tls}
	if w.upload.chunked {
		s.RequestBody = untilChunksEnd
	}
	return s
}

// sizeText prints a number of bytes that is a power of two.
func sizeText(n int64) string {
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if n < 1<<10 {
			return fmt.Sprint(n, " ", unit)
		}
		n >>= 10
	}
	return fmt.Sprint(n, " GiB")
}
