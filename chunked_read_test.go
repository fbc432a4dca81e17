package h1

// chunked_read_test.go: how often the stream is read for a chunked body.

import (
	"bytes"
	"context"
	"fmt"
	"io"
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

// What a read for one response brings of the next is that one's, be it more than the buffer
// holds, and is not left where the first one's caller might look.
func TestChunkedReadBehind(t *testing.T) {
	for _, size := range []int{10, 5000, 60 << 10} {
		for _, chunk := range []string{"5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\nX-End: 1\r\n\r\n"} {
			next := strings.Repeat("n", size)
			head := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
			s := &countsReads{Reader: io.MultiReader(
				strings.NewReader("HTTP/1.1 204 No Content\r\n\r\n"), strings.NewReader(head), // for a read each
				strings.NewReader(fmt.Sprintf("%sHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", chunk, size, next)))}
			c := NewConn(s, &Config{Depth: 2})
			var resp Response
			if err := c.Do(context.Background(), &Request{Host: "x"}, &resp); err != nil {
				t.Fatal(err)
			}
			a, err := c.Send(context.Background(), &Request{Host: "x"})
			if err != nil {
				t.Fatal(err)
			}
			b, err := c.Send(context.Background(), &Request{Host: "x"})
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Wait(context.Background(), &resp); err != nil {
				t.Fatal(err)
			}
			p := make([]byte, 64<<10)
			n, err := resp.Body.Read(p)
			if string(p[:n]) != "hello" || err != nil && err != io.EOF {
				t.Fatalf("%q, %v", p[:n], err)
			}
			if at := bytes.IndexByte(p, 'n'); at >= 0 {
				t.Errorf("the next response is seen at %d", at)
			}
			if _, err := resp.AppendBody(nil, 0); err != nil {
				t.Fatal(err)
			}
			if err := b.Wait(context.Background(), &resp); err != nil {
				t.Fatal(err)
			}
			if got, err := resp.AppendBody(nil, int64(size)); string(got) != next || err != nil {
				t.Errorf("%d bytes of %d, %v", len(got), size, err)
			}
			c.Close()
		}
	}
}
