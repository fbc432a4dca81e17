package h1

// lenient.go: a second look at what decode.go refused.
//
// Rule: it goes line by line, and slowly. A line is mended in a copy, byte for byte in its
// place, and then judged by the strict parser: what is not mended is refused as there, at
// the same offset. An obs-fold is joined always (RFC 9112, 5.2); the rest is granted by
// bits of Lenient. What frames the body is neither joined nor left out.
// Not here: a body's chunks, which know no leniency, and a trailer's only that of 5.2.

import "bytes"

// overlooks09 reports whether what was refused may be the body of an HTTP/0.9 response: it
// does not begin as a status line does.
func (d *headDecoder) overlooks09(err *Error) bool {
	return d.lenient&HTTP09 != 0 && err.Kind == BadVersion && err.Offset < int64(len("HTTP/"))
}

// mendable reports whether a second look at what was refused may find it acceptable. Where
// it cannot, a refusal stays as early as the strict parser's.
func (d *headDecoder) mendable(b []byte, err *Error, h *Header) bool {
	switch err.Kind {
	case BadStatus: // the end of a status line
		return d.lenient&BareLF != 0 && b[err.Offset] == '\n' && err.Offset >= int64(len("HTTP/1.1 200"))
	case BadField:
		if err.Offset == int64(d.line) && len(h.fields) > 0 && isBlank(b[d.line]) {
			return true // obs-fold
		}
		if err.Offset > 0 && b[err.Offset-1] == '\r' {
			return false // a CR that ends no line
		}
		return d.lenient&(BareLF|SpaceBeforeColon|SkipInvalidField) != 0
	case TooLarge: // that line, or one before it, may be left out
		return d.lenient&SkipInvalidField != 0
	}
	return false
}

// startMending takes the section again from its start.
func (d *headDecoder) startMending() {
	d.reset(d.lenient, d.maxBytes, d.maxFields)
	d.mending = true
}

// mendHead parses status line and fields as next does. The fields in r.Header are those
// mended.
func (d *headDecoder) mendHead(b []byte, r *Response) (int, *Error) {
	if d.start == 0 {
		end := d.lineEnd(b)
		if end == 0 {
			return 0, nil
		}
		line := append(d.bare(b[:end]), "\r\n"...)
		var strict headDecoder
		if err := strict.statusLine(line, r); err != nil {
			return 0, err
		}
		d.start, d.line, d.look = end, end, end
		r.lineLen = -1 // the fields' places in r.Header are not those in b
	}
	return d.mendFields(b, &r.Header)
}

// lineEnd returns where the physical line ends that was looked at up to d.look: behind its
// LF; 0: not there yet.
func (d *headDecoder) lineEnd(b []byte) int {
	for ; d.look < len(b); d.look++ {
		if b[d.look] == '\n' {
			return d.look + 1
		}
	}
	return 0
}

// bare returns a copy of a line without its CRLF, or its LF where that may do; an LF that
// may not stays, for the strict parser to refuse.
func (d *headDecoder) bare(line []byte) []byte {
	n := len(line) - 1
	switch {
	case n > 0 && line[n-1] == '\r':
		n--
	case d.lenient&BareLF == 0:
		n++
	}
	return append(make([]byte, 0, n+2), line[:n]...)
}

// mendFields does what fields does.
func (d *headDecoder) mendFields(b []byte, h *Header) (int, *Error) {
	if d.line == 0 {
		h.Reset() // a trailer section
	}
	for d.line < len(b) {
		rest := b[d.line:]
		switch {
		case rest[0] == '\r' && len(rest) > 1 && rest[1] == '\n':
			return d.line + 2, nil
		case rest[0] == '\n' && d.lenient&BareLF != 0:
			return d.line + 1, nil
		case rest[0] != '\r' && len(h.fields) >= d.maxFields && d.lenient&SkipInvalidField == 0:
			return 0, d.tooMany(b, d.line)
		}
		end := d.lineEnd(b)
		if end == 0 {
			return 0, nil
		}
		if rest[0] != '\n' { // the next line may go on with this one
			if end == len(b) {
				return 0, nil
			}
			if isBlank(b[end]) {
				d.look = end
				continue
			}
		}
		if err := d.mendLine(b[d.line:end], h); err != nil {
			return 0, err
		}
		if len(h.fields) > d.maxFields {
			return 0, d.tooMany(b, d.line)
		}
		d.line, d.look = end, end
	}
	return 0, nil
}

// mendLine adds the field of a line, all that is folded to it included.
func (d *headDecoder) mendLine(raw []byte, h *Header) *Error {
	line := append(d.bare(raw), "\r\n\r\n"...)
	if d.lenient&SpaceBeforeColon != 0 {
		closeUp(line)
	}
	fold := d.unfold(line[:len(line)-4])
	strict := headDecoder{maxFields: 1}
	var field Header
	_, err := strict.fields(line, &field)
	if fold > 0 && isFraming(raw) && (err == nil || err.Offset > int64(fold)) {
		err = strict.refuse(BadField, raw, 0, fold, "folded line in a field that frames the body")
	} else if err != nil && d.skippable(raw) {
		return nil
	}
	if err != nil {
		err.Offset += int64(d.line)
		return err
	}
	name, _ := field.At(0)
	h.addMended(name, raw[len(name):])
	return nil
}

// closeUp moves the colon of a field line to the end of the name before it.
func closeUp(line []byte) {
	name := tokenEnd(line)
	colon := name + blanks(line[name:])
	if line[colon] == ':' && name > 0 {
		line[name], line[colon] = line[colon], line[name]
	}
}

// unfold blanks every line end inside a line, which a blank follows, and returns the index
// of the first such blank, 0 where there is none. An LF alone that may not end a line
// stays.
//
//	obs-fold = OWS CRLF RWS                                              RFC 9112, 5.2
func (d *headDecoder) unfold(line []byte) (first int) {
	for i := 1; i+1 < len(line); i++ {
		if line[i] != '\n' || !isBlank(line[i+1]) {
			continue
		}
		switch {
		case line[i-1] == '\r':
			line[i-1], line[i] = ' ', ' '
		case d.lenient&BareLF != 0:
			line[i] = ' '
		}
		if first == 0 {
			first = i + 1
		}
	}
	return first
}

// skippable reports whether a line that is no field may be left out: where it ends must be
// sure, and nobody may take it, or a part of it, for one that frames.
func (d *headDecoder) skippable(raw []byte) bool {
	return d.lenient&SkipInvalidField != 0 && d.endsOnce(raw) && !isFraming(raw) && !namesFraming(raw)
}

// endsOnce reports whether a line ends where it is taken to end, and nowhere else: to some
// recipients a CR alone ends one.
func (d *headDecoder) endsOnce(raw []byte) bool {
	for i, b := range raw {
		if b == '\r' && raw[i+1] != '\n' {
			return false
		}
	}
	return d.lenient&BareLF != 0 || len(raw) > 1 && raw[len(raw)-2] == '\r'
}

// namesFraming reports whether the name of a field that frames the body stands anywhere in
// a line: a recipient that overlooks what stands before it takes the line for that field's.
func namesFraming(raw []byte) bool {
	for len(raw) > 0 {
		n := tokenEnd(raw)
		if lookup(raw[:n])&(knownContentLength|knownTransferEncoding) != 0 {
			return true
		}
		raw = raw[n+1:] // an LF is the last, and no token's
	}
	return false
}

// isFraming reports whether a line, blanks before it aside, begins with the name of a
// field that frames the body, or with a line end, as the end of a head does. Such a line is
// never left out.
func isFraming(raw []byte) bool {
	raw = trimOWS(raw)
	n := tokenEnd(raw)
	if n == 0 {
		return raw[0] == '\r' || raw[0] == '\n'
	}
	return lookup(raw[:n])&(knownContentLength|knownTransferEncoding) != 0
}

// addMended adds a field whose line was found good once mended: after the name stand blanks
// and the colon, then the value in one or more lines, joined here by one SP each.
func (h *Header) addMended(name, raw []byte) {
	at := uint32(len(h.buf))
	s := span{name: at, nameEnd: at + uint32(len(name))}
	h.buf = append(append(h.buf, name...), ": "...)
	s.value = uint32(len(h.buf))
	_, raw, _ = bytes.Cut(raw, []byte(":"))
	for line := range bytes.Lines(raw) {
		piece := trimOWS(bytes.TrimSuffix(line[:len(line)-1], crlf[:1]))
		if len(piece) > 0 && uint32(len(h.buf)) > s.value {
			h.buf = append(h.buf, ' ')
		}
		h.buf = append(h.buf, piece...)
	}
	s.valueEnd = uint32(len(h.buf))
	h.buf = append(h.buf, "\r\n"...)
	h.fields = append(h.fields, s)
	h.known |= lookup(name)
}
