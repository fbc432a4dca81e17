package h1

// decode.go: from a response's bytes to its status and its fields.
//
// Rule: pure functions over bytes. The parser in this file knows the grammar and no option.
// It goes over the bytes once, in order, and refuses the first that the grammar does not
// allow as soon as it is there, whether its line is complete or not. How the input was
// split never shows in a result. That more bytes are needed is no error, and costs no
// second look at those before.
// Not here: what may be overlooked (lenient.go), how long the body is (framing.go), chunks
// (chunked.go), reuse (keepalive.go).

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
)

// A headDecoder parses one head, or one trailer section, whose bytes arrive a few at a
// time. All of its positions count from the section's first byte, so the bytes may move in
// memory between two calls.
type headDecoder struct {
	maxBytes  int
	maxFields int
	lenient   Lenient
	mending   bool // lenient.go has taken the section over

	start   int // where the field lines begin; in a head 0 until the status line is complete
	line    int // where the line begins that is not complete yet
	colon   int // its colon; 0: not seen yet
	look    int // how far it was looked at
	length  int // which field is Content-Length, counted from 1; 0: none, or several
	dropped int // fields left out of a trailer
}

// reset prepares for the next section. The head's limits are the trailer's too.
func (d *headDecoder) reset(lenient Lenient, maxBytes, maxFields int) {
	// A span holds 32 bits; half of that keeps sums of positions in an int anywhere.
	*d = headDecoder{lenient: lenient, maxBytes: min(maxBytes, math.MaxInt32/2), maxFields: maxFields}
}

// next parses a response's head. b begins at its first byte at every call, and holds at
// least what it held at the call before. Neither done nor an error: more bytes are
// needed. When done, n is the length of the head with its empty line, and Minor, Status,
// the reason and Header of r are set.
func (d *headDecoder) next(b []byte, r *Response) (n int, done bool, err *Error) {
	in := b[:min(len(b), d.maxBytes)]
	if !d.mending {
		if d.start == 0 {
			err = d.statusLine(in, r)
		}
		if d.start > 0 {
			n, err = d.fields(in, &r.Header)
		}
		if err != nil && d.overlooks09(err) {
			r.Minor, r.Status, r.reason, r.lineLen = 0, 200, r.reason[:0], 0
			return 0, true, nil
		}
		if err != nil && d.mendable(in, err, &r.Header) {
			d.startMending()
		}
	}
	if d.mending {
		n, err = d.mendHead(in, r)
	}
	r.lengthAt = d.length
	if n == 0 && err == nil && len(b) >= d.maxBytes {
		err = d.tooLong()
	}
	return n, n > 0, err
}

// nextTrailer parses a trailer section into h: field lines and an empty line. Fields that
// may not stand in a trailer are left out, and counted in dropped. Nothing is overlooked
// but an obs-fold.
func (d *headDecoder) nextTrailer(b []byte, h *Header) (n int, done bool, err *Error) {
	d.lenient = 0
	in := b[:min(len(b), d.maxBytes)]
	if !d.mending {
		if d.line == 0 {
			h.Reset()
		}
		n, err = d.fields(in, h)
		if err != nil && d.mendable(in, err, h) {
			d.startMending()
		}
	}
	if d.mending {
		n, err = d.mendFields(in, h)
	}
	if n == 0 && err == nil && len(b) >= d.maxBytes {
		err = d.tooLong()
	}
	if n > 0 {
		d.dropForbidden(h)
	}
	return n, n > 0, err
}

func (d *headDecoder) tooLong() *Error {
	return badPeer(TooLarge, int64(d.maxBytes), "longer than MaxHeadBytes, "+strconv.Itoa(d.maxBytes), nil)
}

// tooMany makes the error for a line that is one field more than MaxHeaders allows.
func (d *headDecoder) tooMany(b []byte, line int) *Error {
	return d.refuse(TooLarge, b, line, line, "more fields than MaxHeaders, "+strconv.Itoa(d.maxFields))
}

// refuse makes the error for byte at of the line that begins at line, which mendable asks
// for. It quotes what the line holds up to that byte and nothing behind it, which may be
// there or not.
func (d *headDecoder) refuse(k Kind, b []byte, line, at int, why string) *Error {
	d.line = line
	return badPeer(k, int64(at), why, b[max(line, at+1-quoted):at+1])
}

// statusLine parses the first line of a response; d.start stays 0 where that is not all
// there.
//
//	status-line   = HTTP-version SP status-code SP [ reason-phrase ]     RFC 9112, 4
//	HTTP-version  = "HTTP/" DIGIT "." DIGIT                              RFC 9112, 2.3
//	status-code   = 3DIGIT                                               RFC 9112, 4
//	reason-phrase = 1*( HTAB / SP / VCHAR / obs-text )                   RFC 9112, 4
//
// The SP before an absent reason-phrase is left out by many servers, and not missed here.
func (d *headDecoder) statusLine(b []byte, r *Response) *Error {
	r.Header.Reset()
	const usual = "HTTP/1.1 200 OK" // as most responses begin; more than 16 bytes are compared by a call
	if n := len(usual); len(b) >= n+2 && string(b[:n]) == usual && string(b[n:n+2]) == "\r\n" {
		r.Minor, r.Status, r.reason = 1, 200, append(r.reason[:0], "OK"...)
		d.endStatusLine(r, n+2)
		return nil
	}
	const code, reason = len("HTTP/1.1 "), len("HTTP/1.1 200 ")
	if len(b) < reason || string(b[:7]) != "HTTP/1." || !isDigit(b[7]) || b[8] != ' ' ||
		b[code] == '0' || !isDigit(b[code]) || !isDigit(b[code+1]) || !isDigit(b[code+2]) {
		return d.statusStart(b)
	}
	i := reason - 1
	if b[i] == ' ' {
		i = valueEnd(b, max(reason, d.look))
	}
	if i == len(b) {
		d.look = i
		return nil
	}
	if b[i] != '\r' {
		return d.refuse(BadStatus, b, 0, i, whyNoReason(b[i], i-len("HTTP/1.1 200")))
	}
	if i+1 == len(b) {
		d.look = i
		return nil
	}
	if b[i+1] != '\n' {
		return d.refuse(BadStatus, b, 0, i+1, "CR without LF")
	}
	r.Minor = int(b[7] - '0')
	r.Status = int(b[code]-'0')*100 + int(b[code+1]-'0')*10 + int(b[code+2]-'0')
	r.reason = append(r.reason[:0], b[min(reason, i):i]...)
	d.endStatusLine(r, i+2)
	return nil
}

// whyNoReason says why byte c may not stand n bytes behind a status code.
func whyNoReason(c byte, n int) string {
	switch {
	case c == '\n':
		return "LF without CR"
	case n == 0:
		return "no space after the status code"
	}
	return "control byte in a reason phrase"
}

// endStatusLine notes the length of a status line that is complete.
func (d *headDecoder) endStatusLine(r *Response, n int) {
	r.lineLen = n
	d.start, d.line, d.look = n, n, n
}

// statusStart looks at a status line of which the version and the code are wrong or not
// all there, byte by byte.
func (d *headDecoder) statusStart(b []byte) *Error {
	const pattern = "HTTP/1.0 100" // "0": any digit; "1" in the code: any but zero
	for i := range min(len(b), len(pattern)) {
		switch c := b[i]; {
		case i < 7 && c != pattern[i]:
			return d.refuse(BadVersion, b, 0, i, "not HTTP/1.x")
		case i == 7 && !isDigit(c):
			return d.refuse(BadVersion, b, 0, i, "not a minor version of one digit")
		case i == 8 && c != ' ':
			return d.refuse(BadVersion, b, 0, i, "no space after the version")
		case i > 8 && !isDigit(c), i == 9 && c == '0':
			return d.refuse(BadStatus, b, 0, i, "not three digits from 100 on")
		}
	}
	return nil
}

// fields parses field lines into h, as far as the empty line that ends them.
//
//	field-line = field-name ":" OWS field-value OWS                      RFC 9112, 5
//	field-name = token                                                   RFC 9110, 5.1
//
// The spans in h count from d.start. Every turn of the loop either ends a line or
// leaves: on re-entry line, colon and i say all there is to know of the line before.
func (d *headDecoder) fields(b []byte, h *Header) (int, *Error) {
	line, colon, i := d.line, d.colon, d.look
	base := uint32(d.start)
	for i < len(b) {
		if colon == 0 {
			if i = lettersEnd(b, i); !d.endsName(b, line, i, h) { // a digit, say
				if endsLine(b, line) { // the empty line
					h.buf = append(h.buf[:0], b[base:line]...)
					return line + 2, nil
				}
				if i = nameEnd(b, i); !d.endsName(b, line, i, h) {
					if err := d.noField(b, line, i, h); err != nil {
						return 0, err
					}
					break
				}
			}
			colon = i
			i++
		}
		if i = textEnd(b, i); !endsLine(b, i) { // a tab, say
			if i = valueEnd(b, i); !endsLine(b, i) {
				if err := d.fault(b, line, colon, i); err != nil {
					return 0, err
				}
				break
			}
		}
		value, end := colon+1, i
		if b[value] == ' ' {
			value++
		}
		if b[value] <= ' ' || b[end-1] <= ' ' { // other white space, or no value
			value, end = trim(b, value, end)
		}
		h.fields = append(h.fields, span{
			uint32(line) - base, uint32(colon) - base, uint32(value) - base, uint32(end) - base,
		})
		if mayBeKnown(b[line], colon-line) {
			k := classify(b[line:colon])
			if k == knownContentLength {
				d.length = 0
				if !h.has(k) {
					d.length = len(h.fields)
				}
			}
			h.known |= k
		}
		line, colon, i = i+2, 0, i+2
	}
	d.line, d.colon, d.look = line, colon, i
	return 0, nil
}

// endsName reports whether the name that begins at line ends at i, and its field is not one
// too many. The bytes up to i are a name's.
func (d *headDecoder) endsName(b []byte, line, i int, h *Header) bool {
	return i < len(b) && b[i] == ':' && i > line && len(h.fields) < d.maxFields
}

// noField says what is wrong with a line whose name, as far as byte i, is none, or is one
// too many; nil: more bytes are needed.
func (d *headDecoder) noField(b []byte, line, i int, h *Header) *Error {
	switch c := b[line]; {
	case c == '\r' && line+1 == len(b):
		return nil
	case c == '\r':
		return d.refuse(BadField, b, line, line+1, "CR without LF")
	case len(h.fields) >= d.maxFields && !isBlank(c) && c != '\n':
		return d.tooMany(b, line)
	}
	return d.fault(b, line, 0, i)
}

// fault says what is wrong with byte i of a line, if it is not that more bytes are needed.
func (d *headDecoder) fault(b []byte, line, colon, i int) *Error {
	switch {
	case i == len(b), colon > 0 && i+1 == len(b) && b[i] == '\r':
		return nil
	case colon == 0:
		return d.refuse(BadField, b, line, i, whyNoName(b[i], i-line))
	case b[i] == '\n':
		return d.refuse(BadField, b, line, i, "LF without CR")
	case b[i] != '\r':
		return d.refuse(BadField, b, line, i, "control byte in a field value")
	}
	return d.refuse(BadField, b, line, i+1, "CR without LF")
}

// whyNoName says why byte c, n bytes into its line, ends no field name.
func whyNoName(c byte, n int) string {
	switch {
	case c == ':':
		return "empty field name"
	case isBlank(c):
		if n == 0 {
			return "white space before a field line"
		}
		return "white space in or after a field name"
	case c == '\r' || c == '\n':
		return "field line without a colon"
	}
	return "byte that no field name may hold"
}

// Eight bytes at a time: what is done to a word is done to each of its bytes.
const (
	ones = 0x0101010101010101
	tops = 0x80 * ones
)

// noName marks, by its top bit, each byte of x that is neither a letter nor "-". Only the
// lowest mark is sure: the sum of a byte above 0x7f, which is marked itself, may carry into
// those above it.
func noName(x uint64) uint64 {
	y := x | 0x20*ones
	letter := (y + (0x80-'a')*ones) &^ (y + (0x7f-'z')*ones)
	other := (x ^ '-'*ones) + 0x7f*ones
	return (other&^letter | x) & tops
}

// noValue does so for each byte that is less than SP, or DEL. Here a borrow, or the carry
// of a byte 0xff, may mark bytes above that may well stand in a value.
func noValue(x uint64) uint64 { return ((x - ' '*ones) | (x + ones)) &^ x & tops }

// lettersEnd returns an index of b from which nameEnd has little left to look at: it skips
// letters and "-", of which most names are made, eight at a time. Apart, both are inlined.
func lettersEnd(b []byte, i int) int {
	for i = max(i, 0); i < len(b)-7; i += 8 { // 0: so that the compiler checks no bounds
		if m := noName(binary.LittleEndian.Uint64(b[i:])); m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	return i
}

// nameEnd returns the index of the first byte of b, from i on, that may not stand in a
// field name; len(b) where there is none.
func nameEnd(b []byte, i int) int {
	for i < len(b) && octets[b[i]]&tchar != 0 {
		i++
	}
	return i
}

// valueEnd returns the index of the first byte of b, from i on, that may not stand in a
// field value, nor in a reason phrase; len(b) where there is none.
func valueEnd(b []byte, i int) int {
	for i = textEnd(b, i); i < len(b) && octets[b[i]]&fieldChar != 0; {
		i++
	}
	return i
}

// textEnd is to valueEnd what lettersEnd is to nameEnd.
func textEnd(b []byte, i int) int {
	for i = max(i, 0); i < len(b)-7; i += 8 { // 0: so that the compiler checks no bounds
		if m := noValue(binary.LittleEndian.Uint64(b[i:])); m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	return i
}

// endsLine reports whether CR LF stands at index i of b.
func endsLine(b []byte, i int) bool { return i >= 0 && i < len(b)-1 && string(b[i:i+2]) == "\r\n" }

// trim returns where the value in b[value:end] begins and ends without the white space
// around it.
func trim(b []byte, value, end int) (int, int) {
	for value < end && isBlank(b[value]) {
		value++
	}
	for end > value && isBlank(b[end-1]) {
		end--
	}
	return value, end
}

// mayBeKnown reports whether a name of n bytes that begins with c may be one that lookup
// knows: for most fields it saves the call.
func mayBeKnown(c byte, n int) bool { return knownLengths[c&31]>>(n&31)&1 != 0 }

// knownLengths holds, by the low bits of a name's first letter, the set of the lengths of
// the names that lookup knows.
var knownLengths = [32]uint32{
	'C' & 31: 1<<len("Connection") | 1<<len("Content-Length"),
	'E' & 31: 1 << len("Expect"),
	'H' & 31: 1 << len("Host"),
	'K' & 31: 1 << len("Keep-Alive"),
	'T' & 31: 1<<len("TE") | 1<<len("Trailer") | 1<<len("Transfer-Encoding"),
	'U' & 31: 1 << len("Upgrade"),
}

// classify is lookup for names off the wire, most of which come in one spelling.
func classify(name []byte) known {
	switch string(name) {
	case "Content-Length":
		return knownContentLength
	case "Transfer-Encoding":
		return knownTransferEncoding
	case "Connection":
		return knownConnection
	}
	return lookup(name)
}

// trailerForbids lists fields that a trailer may not hold, since they frame or route the
// message, change how its content is understood, or come too late to act on (RFC 9110,
// 6.5.1). Each field known to the engine is among them.
var trailerForbids = [...]string{
	"Transfer-Encoding", "Content-Length", "Host", "Trailer", "TE", "Connection", "Keep-Alive",
	"Proxy-Connection", "Upgrade", "Content-Encoding", "Content-Type", "Content-Range",
	"Cache-Control", "Expect", "Max-Forwards", "Pragma", "Range", "Set-Cookie", "Authorization",
	"Proxy-Authenticate", "Proxy-Authorization", "WWW-Authenticate", "Age", "Date", "Expires",
	"Location", "Retry-After", "Vary", "Warning", "Cookie", "If-Match", "If-None-Match",
	"If-Modified-Since", "If-Unmodified-Since", "If-Range",
}

// forbiddenInTrailer reports whether a field of that name may not stand in a trailer.
func forbiddenInTrailer[S string | []byte](name S) bool {
	for _, f := range trailerForbids {
		if equalFold(name, f) {
			return true
		}
	}
	return false
}

// dropForbidden closes the gaps that forbidden fields leave in a trailer section.
func (d *headDecoder) dropForbidden(h *Header) {
	fields, end := h.fields, uint32(0)
	h.fields, h.known = h.fields[:0], 0
	for i, s := range fields {
		next := uint32(len(h.buf)) // a line ends where the next one's name begins
		if i+1 < len(fields) {
			next = fields[i+1].name
		}
		if forbiddenInTrailer(h.buf[s.name:s.nameEnd]) {
			d.dropped++
			continue
		}
		gap := s.name - end
		copy(h.buf[end:], h.buf[s.name:next])
		end += next - s.name
		h.fields = append(h.fields, span{s.name - gap, s.nameEnd - gap, s.value - gap, s.valueEnd - gap})
	}
	h.buf = h.buf[:end]
}
