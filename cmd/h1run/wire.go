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
	page    *page
	in, out side // owned by whoever reads, and by whoever writes
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.in.take(w.page, "read", p[:n])
	if err == io.EOF {
		w.in.end(w.page)
	}
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.out.take(w.page, "write", p[:n])
	return n, err
}

// A stage is what a side expects next.
type stage int

const (
	inHead    stage = iota
	inBody          // left bytes of it, or all there are where left < 0
	inSize          // the line before a chunk
	inChunk         // left bytes of it
	inCRLF          // after a chunk
	inTrailer       // after the last chunk
)

// A side is one direction of a wire.
type side struct {
	mark     byte
	response bool
	stage    stage
	line     []byte // of a line whose end is not there yet
	left     int64

	begun    bool // of the head at hand: there was a first line
	status   string
	length   int64 // -1: not said
	chunked  bool
	pieces   int   // of the body at hand
	unshown  int   // pieces past the most
	unshownB int64 // bytes in them

	calls int
	call  string // what to write in the gutter of the next row
}

// mostPieces of a body are shown one by one: enough to see the form of it.
const mostPieces = 8

// take shows the bytes of one call.
func (s *side) take(p *page, call string, b []byte) {
	if len(b) == 0 {
		return
	}
	s.calls++
	s.call = fmt.Sprintf("%s %d", call, len(b))
	for len(b) > 0 {
		if s.stage == inBody || s.stage == inChunk {
			b = b[s.data(p, b):]
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
		s.text(p, line)
	}
}

// data shows bytes of a body and returns how many of b are.
func (s *side) data(p *page, b []byte) int {
	if s.left >= 0 && int64(len(b)) > s.left {
		b = b[:s.left]
	}
	const most = 30 // of a piece's bytes: what fits the column, quoted
	shown := strconv.Quote(string(b[:min(most, len(b))]))
	if len(b) > most {
		shown += "..."
	}
	s.piece(p, shown, fmt.Sprintf("%d bytes of body", len(b)), len(b))
	if s.left > 0 {
		if s.left -= int64(len(b)); s.left == 0 {
			if s.stage == inChunk {
				s.stage = inCRLF
			} else {
				s.over(p)
			}
		}
	}
	return len(b)
}

// text shows a line and decides by it what comes next.
func (s *side) text(p *page, line string) {
	switch s.stage {
	case inHead:
		s.head(p, line)
	case inSize:
		size, _, _ := strings.Cut(line, ";")
		n, err := strconv.ParseInt(strings.TrimSpace(size), 16, 64)
		switch {
		case err != nil || n < 0:
			s.row(p, clip(line), "not a chunk's size")
		case n == 0:
			s.summary(p)
			s.row(p, clip(line), "the last chunk")
			s.stage = inTrailer
		default:
			s.left, s.stage = n, inChunk
			s.piece(p, clip(line), fmt.Sprintf("a chunk of %d bytes", n), 0)
		}
	case inCRLF:
		s.stage = inSize
	case inTrailer:
		if line != "" {
			s.row(p, clip(line), "trailer")
			return
		}
		s.row(p, "", "end of the message")
		s.over(p)
	}
}

// head takes a line of a head. At its end it finds the body's framing as RFC 9112,
// section 6.3, has it, in short: this is for looking, not for relying on.
func (s *side) head(p *page, line string) {
	if !s.begun {
		s.begun, s.length, s.chunked, s.status = true, -1, false, ""
		if f := strings.Fields(line); s.response && len(f) > 1 {
			s.status = f[1]
		}
		s.row(p, clip(line), "")
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
		s.row(p, clip(line), "")
		return
	}
	s.row(p, "", "end of the head")
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

// over makes ready for the next message.
func (s *side) over(p *page) {
	s.summary(p)
	s.stage, s.pieces = inHead, 0
}

// end shows that the stream has ended.
func (s *side) end(p *page) {
	if len(s.line) > 0 {
		s.row(p, clip(string(s.line)), "cut off")
	}
	s.summary(p)
	s.call = "read"
	s.row(p, "", "end of the stream")
}

// piece shows a row of a body, or counts it where there were many.
func (s *side) piece(p *page, text, note string, bytes int) {
	if s.pieces++; s.pieces > mostPieces {
		s.unshown++
		s.unshownB += int64(bytes)
		return
	}
	s.row(p, text, note)
}

// summary shows what piece has counted.
func (s *side) summary(p *page) {
	if s.unshown > 0 {
		s.call = ""
		s.row(p, "...", fmt.Sprintf("%d bytes of body in more rows like these", s.unshownB))
		s.unshown, s.unshownB = 0, 0
	}
}

func (s *side) row(p *page, text, note string) {
	p.row(s.call, s.mark, text, note)
	s.call = ""
}
