package main

// server.go: the small server, for when no other is given: canned answers, on net alone.

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// greeting is the answer to GET, in the pieces that it is written in. A pause after each
// lets it be read, and shown, by itself.
var greeting = []string{
	"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\nTrailer: Lines\r\n\r\n",
	chunk("How long will this be?\n"),
	chunk("Nobody knows, so it\ncomes in chunks.\n"),
	"0\r\nLines: 3\r\n\r\n",
}

const pause = 50 * time.Millisecond

func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

// serve listens on loopback, and answers the requests of one connection.
func serve() (addr string, stop func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	go func() {
		if nc, err := l.Accept(); err == nil {
			defer nc.Close()
			for r := bufio.NewReader(nc); answer(r, nc) == nil; {
			}
		}
	}()
	return l.Addr().String(), l.Close, nil
}

// answer reads one request. It answers GET with greeting, and other methods with the length
// of the body.
func answer(r *bufio.Reader, w io.Writer) error {
	method, length := "", 0
	for first := true; ; first = false {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if first {
			method, _, _ = strings.Cut(line, " ")
		}
		if line == "\r\n" {
			break
		}
		if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, "Content-Length") {
			length, _ = strconv.Atoi(strings.TrimSpace(value))
		}
	}
	if method == "GET" {
		for _, piece := range greeting {
			if _, err := io.WriteString(w, piece); err != nil {
				return err
			}
			time.Sleep(pause)
		}
		return nil
	}
	n, err := io.CopyN(io.Discard, r, int64(length))
	if err != nil {
		return err
	}
	body := fmt.Sprintf("Thank you for %d bytes.\n", n)
	_, err = fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	return err
}
