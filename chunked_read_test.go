package h1

// chunked_read_test.go: how often the stream is read for a chunked body.

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
)

// countsReads is a stream whose server has said what it will say, and that counts the calls
// it takes to hear it.
type countsReads struct {
	io.Reader
	reads int
}

func (s *countsReads) Read(p []byte) (int, error)  { s.reads++; return s.Reader.Read(p) }
func (s *countsReads) Write(p []byte) (int, error) { return len(p), nil }
func (s *countsReads) Close() error                { return nil }

// A body in chunks takes about as many reads of the stream as its bytes fill slices: what
// stands between the data costs none of its own. Whatever the sizes, the data is the same.
func TestChunkedReads(t *testing.T) {
	const size = 1 << 20
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	for _, chunk := range []int{100, 1 << 10, 4 << 10, 5000, 64 << 10, 100 << 10, size} {
		for _, slice := range []int{512, 4 << 10, 6000, 64 << 10, 200 << 10} {
			var wire strings.Builder
			wire.WriteString("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for at := 0; at < size; at += chunk {
				piece := data[at:min(at+chunk, size)]
				fmt.Fprintf(&wire, "%x\r\n%s\r\n", len(piece), piece)
			}
			wire.WriteString("0\r\nX-End: 1\r\n\r\n")
			s := &countsReads{Reader: strings.NewReader(wire.String())}
			c := NewConn(s, nil)
			var resp Response
			if err := c.Do(context.Background(), &Request{Host: "x"}, &resp); err != nil {
				t.Fatal(err)
			}
			var got []byte
			p := make([]byte, slice)
			for {
				n, err := resp.Body.Read(p)
				got = append(got, p[:n]...)
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(got, data) || resp.Trailer.Get("X-End") != "1" {
				t.Fatalf("chunks of %d into %d: %d bytes, trailer %q", chunk, slice, len(got), resp.Trailer.Get("X-End"))
			}
			least := wire.Len() / min(max(slice, 4<<10), max(chunk, mostBehind))
			if most := least + least/16 + 8; s.reads > most {
				t.Errorf("chunks of %d into %d: %d reads, %d would do", chunk, slice, s.reads, least)
			}
			c.Close()
		}
	}
}

// sendAll sends requests for the responses that are there already, which are for nobody
// before.
func sendAll(t *testing.T, c *Conn, sent []Exchange) {
	t.Helper()
	for i := range sent {
		var err error
		if sent[i], err = c.Send(context.Background(), &Request{Host: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	for out := false; !out; runtime.Gosched() {
		c.mu.Lock()
		out = !c.pending() && !c.writing
		c.mu.Unlock()
	}
}

// What a read for one response brings of the next belongs to the next, even if it is more
// than the buffer holds, and is not left where the first one's caller might look.
func TestChunkedReadBehind(t *testing.T) {
	for _, buffer := range []int{0, 128 << 10, 256 << 10} {
		for _, field := range []int{0, 100 << 10} {
			for _, size := range []int{10, 5000, 60 << 10, 150 << 10} {
				for _, end := range []string{"0\r\n\r\n", "0\r\nX-End: 1\r\n\r\n"} {
					chunkedReadBehind(t, buffer, field, size, end)
					if t.Failed() {
						t.Fatalf("ReadBuffer %d, a field of %d bytes, a response of %d behind %q", buffer, field, size, end)
					}
				}
			}
		}
	}
}

func chunkedReadBehind(t *testing.T, buffer, field, size int, end string) {
	next := strings.Repeat("n", size)
	head := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: " + strings.Repeat("p", field) + "\r\n\r\n"
	s := &countsReads{Reader: io.MultiReader(
		strings.NewReader("HTTP/1.1 204 No Content\r\n\r\n"), strings.NewReader(head), // for reads of their own
		strings.NewReader(fmt.Sprintf("5\r\nhello\r\n%sHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", end, size, next)))}
	c := NewConn(s, &Config{Depth: 2, ReadBuffer: buffer})
	defer c.Close()
	var resp Response
	if err := c.Do(context.Background(), &Request{Host: "x"}, &resp); err != nil {
		t.Fatal(err)
	}
	var sent [2]Exchange
	sendAll(t, c, sent[:])
	if err := sent[0].Wait(context.Background(), &resp); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 1<<20)
	n, err := resp.Body.Read(p)
	if string(p[:n]) != "hello" || err != nil && err != io.EOF {
		t.Fatalf("%q, %v", p[:n], err)
	}
	if at := bytes.IndexByte(p, 'n'); at >= 0 {
		t.Errorf("the next response is seen at %d", at)
	}
	if _, err := resp.AppendBody(nil, 0); err != nil {
		t.Error(err)
	}
	if err := sent[1].Wait(context.Background(), &resp); err != nil {
		t.Fatal(err)
	}
	if got, err := resp.AppendBody(nil, int64(size)); string(got) != next || err != nil {
		t.Errorf("%d bytes of %d, %v", len(got), size, err)
	}
}

// anySplit is a stream that gives what it holds in pieces of any size, the first by itself.
type anySplit struct {
	rng         *rand.Rand
	first, rest []byte
}

func (s *anySplit) Read(p []byte) (int, error) {
	if len(s.first) > 0 {
		n := copy(p, s.first)
		s.first = s.first[n:]
		return n, nil
	}
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.rest[:min(len(s.rest), 1+s.rng.IntN([]int{20, 5000, 1 << 20}[s.rng.IntN(3)]))])
	s.rest = s.rest[n:]
	return n, nil
}

func (s *anySplit) Write(p []byte) (int, error) { return len(p), nil }
func (s *anySplit) Close() error                { return nil }

// chunkedAny makes a chunked response of any chunks, and says what its data and trailer
// are.
func chunkedAny(rng *rand.Rand, to *strings.Builder) (data, trailer string) {
	to.WriteString("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	for range rng.IntN(6) {
		piece := make([]byte, 1+rng.IntN([]int{3, 300, 9000, 90000}[rng.IntN(4)]))
		for i := range piece {
			piece[i] = "\r\n05;HTP: abc"[rng.IntN(13)]
		}
		data += string(piece)
		zeros, ext := []string{"", "000"}[rng.IntN(2)], []string{"", ";a=b", " "}[rng.IntN(3)]
		fmt.Fprintf(to, "%s%x%s\r\n%s\r\n", zeros, len(piece), ext, piece)
	}
	to.WriteString("0\r\n")
	if rng.IntN(2) == 0 {
		trailer = fmt.Sprint(rng.IntN(1000))
		fmt.Fprintf(to, "X-End: %s\r\n", trailer)
	}
	to.WriteString("\r\n")
	return data, trailer
}

// Whatever the chunks, the pieces they come in, the buffer and the slices: each of several
// pipelined requests gets its own response.
func TestChunkedReadAny(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var wire strings.Builder
		var data, trailer [6]string
		for i := range data {
			data[i], trailer[i] = chunkedAny(rng, &wire)
		}
		c := NewConn(&anySplit{rng, []byte("HTTP/1.1 204 No Content\r\n\r\n"), []byte(wire.String())},
			&Config{Depth: 8, MaxDrain: 1 << 20, ReadBuffer: 16 << rng.IntN(15)})
		var resp Response
		if err := c.Do(context.Background(), &Request{Host: "x"}, &resp); err != nil {
			t.Fatal(seed, err)
		}
		var sent [6]Exchange
		sendAll(t, c, sent[:])
		for i, x := range sent {
			if err := x.Wait(context.Background(), &resp); err != nil {
				t.Fatal(seed, i, err)
			}
			got, early, err := readOrClose(rng, &resp)
			if err != nil {
				t.Fatal(seed, i, err)
			}
			if !strings.HasPrefix(data[i], got) || !early && (got != data[i] || string(resp.Trailer.Get("X-End")) != trailer[i]) {
				t.Fatalf("seed %d, response %d: %d bytes of %d, trailer %q of %q", seed, i, len(got), len(data[i]), resp.Trailer.Get("X-End"), trailer[i])
			}
		}
		if c.br != nil || c.life.n != 0 {
			t.Errorf("seed %d: a buffer is kept, or %d requests", seed, c.life.n)
		}
		c.Close()
	}
}

// readOrClose reads a body with slices of any size, or closes it early.
func readOrClose(rng *rand.Rand, resp *Response) (got string, early bool, err error) {
	for {
		p := make([]byte, 1+rng.IntN([]int{10, 5000, 200000, 600000}[rng.IntN(4)]))
		n, err := resp.Body.Read(p)
		got += string(p[:n])
		switch {
		case err == io.EOF:
			return got, false, nil
		case err != nil:
			return got, false, err
		case rng.IntN(20) == 0:
			return got, true, resp.Body.Close()
		}
	}
}
