package main

// wire.go: a stream that shows what passes through it.
//
// Rule: the engine sees an ordinary stream with deadlines, and nothing shown is taken from
// the engine: each side finds by itself where heads, chunks and bodies begin and end.

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// A wire hides SyscallConn, by which bytes could be moved past it.
type wire struct {
	net.Conn
	in  side // owned by the goroutine that reads
	out side // owned by the goroutine that writes
}

func newWire(nc net.Conn, p *page) *wire {
	return &wire{
		Conn: nc,
		in:   side{page: p, mark: '<', response: true},
		out:  side{page: p, mark: '>'},
	}
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.in.take("read", p[:n])
	if err == io.EOF {
		w.in.end()
	}
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.out.take("write", p[:n])
	return n, err
}

// A stage is what a side expects next.
type stage int

const (
	inHead    stage = iota
	inBody          // left bytes of it, or all until the stream's end if left < 0
	inSize          // the line before a chunk
	inChunk         // left bytes of it
	inCRLF          // after a chunk
	inTrailer       // after the last chunk
)

// A side is one direction of a wire.
type side struct {
	page     *page
	mark     byte
	response bool
	stage    stage
	line     []byte // the beginning of a line whose end has not come yet
	left     int64  // of a body or chunk; see stage

	// Of the message at hand:
	begun        bool // the first line of its head has come
	status       string
	length       int64 // -1: it has no Content-Length
	chunked      bool
	pieces       int   // of its body
	unshown      int   // pieces past mostPieces, since the last summary
	unshownBytes int64 // in them

	calls int
	call  string // for the gutter of the next row
}

// mostPieces of a body are shown one by one: enough to show its form.
const mostPieces = 8

// take shows the bytes of one call.
func (s *side) take(call string, b []byte) {
	if len(b) == 0 {
		return
	}
	s.calls++
	s.call = fmt.Sprintf("%s %d", call, len(b))
	for len(b) > 0 {
		if s.stage == inBody || s.stage == inChunk {
			b = b[s.data(b):]
			continue
		}
		i := strings.IndexByte(string(b), '\n')
		if i < 0 {
			s.line = append(s.line, b...)
			return
		}
		s.line = append(s.line, b[:i]...)
		b = b[i+1:]
		line := strings.TrimSuffix(string(s.line), "\r")
		s.line = s.line[:0]
		s.text(line)
	}
}

// data shows bytes of a body, and returns how many of b they are.
func (s *side) data(b []byte) int {
	if s.left >= 0 && int64(len(b)) > s.left {
		b = b[:s.left]
	}
	const most = 30 // of a piece's bytes: what fits the column, quoted
	shown := strconv.Quote(string(b[:min(most, len(b))]))
	if len(b) > most {
		shown += "..."
	}
	s.piece(shown, fmt.Sprintf("%d bytes of body", len(b)), len(b))
	if s.left < 0 { // until the stream's end
		return len(b)
	}
	s.left -= int64(len(b))
	switch {
	case s.left > 0:
	case s.stage == inChunk:
		s.stage = inCRLF
	default:
		s.over()
	}
	return len(b)
}

// text shows a line, and decides what comes after it.
func (s *side) text(line string) {
	switch s.stage {
	case inHead:
		s.head(line)
	case inSize:
		size, _, _ := strings.Cut(line, ";")
		n, err := strconv.ParseInt(strings.TrimSpace(size), 16, 64)
		switch {
		case err != nil || n < 0:
			s.row(clip(line), "not a chunk's size")
		case n == 0:
			s.summary()
			s.row(clip(line), "the last chunk")
			s.stage = inTrailer
		default:
			s.left, s.stage = n, inChunk
			s.piece(clip(line), fmt.Sprintf("a chunk of %d bytes", n), 0)
		}
	case inCRLF:
		s.stage = inSize
	case inTrailer:
		if line != "" {
			s.row(clip(line), "trailer")
			return
		}
		s.row("", "end of the message")
		s.over()
	}
}

// head takes a line of a head. At the head's end it works out the body's framing by RFC
// 9112, section 6.3, but roughly: this is for looking at, not for relying on.
func (s *side) head(line string) {
	if !s.begun {
		s.begun, s.length, s.chunked, s.status = true, -1, false, ""
		if f := strings.Fields(line); s.response && len(f) > 1 {
			s.status = f[1]
		}
		s.row(clip(line), "")
		return
	}
	if line != "" {
		name, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); strings.ToLower(name) {
		case "content-length":
			if n, err := strconv.ParseInt(value, 10, 64); err == nil {
				s.length = n
			}
		case "transfer-encoding":
			s.chunked = strings.HasSuffix(strings.ToLower(value), "chunked")
		}
		s.row(clip(line), "")
		return
	}
	s.row("", "end of the head")
	s.begun = false
	switch {
	case strings.HasPrefix(s.status, "1") || s.status == "204" || s.status == "304":
	case s.chunked:
		s.stage = inSize
	case s.length > 0:
		s.stage, s.left = inBody, s.length
	case s.length < 0 && s.response:
		s.stage, s.left = inBody, -1
	}
}

// over prepares for the next message.
func (s *side) over() {
	s.summary()
	s.stage, s.pieces = inHead, 0
}

// end shows that the stream has ended.
func (s *side) end() {
	if len(s.line) > 0 {
		s.row(clip(string(s.line)), "cut off")
	}
	s.summary()
	s.call = "read"
	s.row("", "end of the stream")
}

// piece shows a row of a body, or only counts it if there were many.
func (s *side) piece(text, note string, bytes int) {
	if s.pieces++; s.pieces > mostPieces {
		s.unshown++
		s.unshownBytes += int64(bytes)
		return
	}
	s.row(text, note)
}

// summary shows what piece has only counted.
func (s *side) summary() {
	if s.unshown > 0 {
		s.call = ""
		s.row("...", fmt.Sprintf("%d bytes of body in more rows like these", s.unshownBytes))
		s.unshown, s.unshownBytes = 0, 0
	}
}

func (s *side) row(text, note string) {
	s.page.row(s.call, s.mark, text, note)
	s.call = ""
}
