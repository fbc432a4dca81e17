package h1

// header.go: a field section, in order and in the case it was given.
//
// Rule: Header.buf is at every moment a field section as it goes on the wire,
// "Name: value CRLF" line after line, without the empty line that ends it. So
// writing a section is one copy, and reading one is one copy too.
// Not here: what a field means (encode.go, framing.go, keepalive.go).

import (
	"iter"
	"slices"
)

// A Header is a list of fields (RFC 9110, section 5): their order and repeats are kept,
// and the case of their names, which are matched in any case. The zero value is empty and
// ready to use. Several goroutines may read it at once; while one changes it, no other may
// use it.
//
// A Header that is copied by assignment shares its bytes with the original, until one of
// them changes by Add, Set or Del. After the original's Reset the copy is of no use; nor is
// a copy of a [Response]'s Header once the Response is used again. Clone makes a copy that
// lives by itself.
type Header struct {
	own    *owner // of the memory behind buf and fields
	buf    []byte
	fields []span
	known  known // fields with a meaning to the engine that occur here
	odd    bool  // a name or value that may not be written is among them
}

// An owner belongs to memory that copies of a Header may share. Only h appends there, and
// only while it holds all that is used; any other moves to memory of its own first.
type owner struct {
	h    *Header
	used int // octets of the memory; -1: h has left it to its copies
}

// A span says where a field lies in Header.buf.
type span struct{ name, nameEnd, value, valueEnd uint32 }

// known is the set of the fields that the engine itself acts on.
type known uint16

const (
	knownContentLength known = 1 << iota
	knownTransferEncoding
	knownConnection
	knownKeepAlive
	knownHost
	knownExpect
	knownUpgrade
	knownTrailer
	knownTE
)

// Add appends a field. Spaces and tabs around value are not part of a value
// (RFC 9110, section 5.5) and are dropped. A name or a value that may not stand
// on the wire is kept, and refused with BadRequest when the request is sent.
func (h *Header) Add(name, value string) {
	if o := h.own; o == nil || o.h != h || o.used != len(h.buf) {
		h.own, h.buf, h.fields = &owner{h: h}, slices.Clip(h.buf), slices.Clip(h.fields)
	}
	add(h, name, trimOWS(value))
}

// add is Add where the memory is h's own, and value is trimmed.
func add[S string | []byte](h *Header, name, value S) {
	if !isToken(name) || !isFieldValue(value) {
		h.odd = true
	}
	at := uint32(len(h.buf))
	h.buf = append(h.buf, name...)
	h.buf = append(h.buf, ':', ' ')
	h.buf = append(h.buf, value...)
	h.buf = append(h.buf, '\r', '\n')
	end := uint32(len(h.buf)) - 2
	h.fields = append(h.fields, span{at, at + uint32(len(name)), end - uint32(len(value)), end})
	h.known |= lookup(name)
	h.own.used = len(h.buf)
}

// Set puts value into the first field of that name, in its place, with name in the case
// given here, and removes the others; where there is none it adds one.
func (h *Header) Set(name, value string) {
	if i := find(h, name); i >= 0 {
		h.replace(i, name, value)
	} else {
		h.Add(name, value)
	}
}

// Del removes every field of that name.
func (h *Header) Del(name string) {
	if find(h, name) >= 0 {
		h.replace(-1, name, "")
	}
}

// replace removes the fields of that name, but puts name and value in the place of field i,
// unless i is negative. Copies may share the memory, which h leaves to them for good: one
// that is assigned back to h does not append there either.
func (h *Header) replace(i int, name, value string) {
	old := *h
	if o := old.own; o != nil && o.h == h {
		o.used = -1
	}
	*h = Header{
		own:    &owner{h: h},
		buf:    make([]byte, 0, len(old.buf)+len(name)+len(value)+len(": \r\n")),
		fields: make([]span, 0, len(old.fields)),
	}
	for j := range old.fields {
		switch k, v := old.At(j); {
		case j == i:
			h.Add(name, value)
		case !equalFold(k, name):
			add(h, k, v)
		}
	}
}

// Get returns the value of the first field of that name, "" where there is none.
// It allocates the string; Peek does not.
func (h *Header) Get(name string) string { return string(h.Peek(name)) }

// Peek returns the value of the first field of that name, nil where there is none.
// It is a view: it lives until the Header changes or is read into again.
func (h *Header) Peek(name string) []byte {
	if i := find(h, name); i >= 0 {
		_, v := h.At(i)
		return v
	}
	return nil
}

// Has reports whether a field of that name is there.
func (h *Header) Has(name string) bool { return find(h, name) >= 0 }

// Len returns the number of fields.
func (h *Header) Len() int { return len(h.fields) }

// At returns the name and the value of field i, 0 <= i < Len, in the order they
// stand on the wire, as views: they live until the Header changes or is read into
// again.
func (h *Header) At(i int) (name, value []byte) {
	s := &h.fields[i]
	return h.buf[s.name:s.nameEnd:s.nameEnd], h.buf[s.value:s.valueEnd:s.valueEnd]
}

// All yields the fields in order, as views with the life of those of At. Where the loop
// deletes some, others may be left out.
func (h *Header) All() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for i := 0; i < len(h.fields); i++ {
			if !yield(h.At(i)) {
				return
			}
		}
	}
}

// Reset removes all fields, and keeps the memory if that is h's own.
func (h *Header) Reset() {
	switch o := h.own; {
	case o == nil:
	case o.h == h && o.used == len(h.buf):
		o.used = 0
	default:
		h.own, h.buf, h.fields = nil, nil, nil
	}
	h.buf, h.fields, h.known, h.odd = h.buf[:0], h.fields[:0], 0, false
}

// Clone returns a copy that shares nothing with h.
func (h *Header) Clone() Header {
	return Header{
		buf:    append([]byte(nil), h.buf...),
		fields: append([]span(nil), h.fields...),
		known:  h.known,
		odd:    h.odd,
	}
}

// has reports whether any of the fields in k occurs.
func (h *Header) has(k known) bool { return h.known&k != 0 }

// find returns the index of the first field of that name, or -1.
func find(h *Header, name string) int {
	for i := range h.fields {
		s := &h.fields[i]
		if int(s.nameEnd-s.name) == len(name) && equalFold(h.buf[s.name:s.nameEnd], name) {
			return i
		}
	}
	return -1
}

// lookup classifies a field name.
func lookup[S string | []byte](name S) known {
	switch len(name) {
	case 2:
		if equalFold(name, "te") {
			return knownTE
		}
	case 4:
		if equalFold(name, "host") {
			return knownHost
		}
	case 6:
		if equalFold(name, "expect") {
			return knownExpect
		}
	case 7:
		if equalFold(name, "upgrade") {
			return knownUpgrade
		}
		if equalFold(name, "trailer") {
			return knownTrailer
		}
	case 10:
		if equalFold(name, "connection") {
			return knownConnection
		}
		if equalFold(name, "keep-alive") {
			return knownKeepAlive
		}
	case 14:
		if equalFold(name, "content-length") {
			return knownContentLength
		}
	case 17:
		if equalFold(name, "transfer-encoding") {
			return knownTransferEncoding
		}
	}
	return 0
}

// equalFold reports whether a and b are equal but for the case of ASCII letters.
func equalFold[A, B string | []byte](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func isDigit(c byte) bool { return c-'0' <= 9 }

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// trimOWS drops optional white space at both ends.
//
//	OWS = *( SP / HTAB )                                     RFC 9110, 5.6.3
func trimOWS[S string | []byte](s S) S {
	for len(s) > 0 && isBlank(s[0]) {
		s = s[1:]
	}
	for len(s) > 0 && isBlank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// isToken reports whether s is a token.
//
//	token = 1*tchar                                          RFC 9110, 5.6.2
func isToken[S string | []byte](s S) bool {
	return len(s) > 0 && tokenEnd(s) == len(s)
}

// tokenEnd returns the index of the first byte that may not stand in a token; len(s) where
// there is none.
func tokenEnd[S string | []byte](s S) int {
	i := 0
	for i < len(s) && octets[s[i]]&tchar != 0 {
		i++
	}
	return i
}

// isFieldValue reports whether s may stand as a field's value.
//
//	field-vchar = VCHAR / obs-text                           RFC 9110, 5.5
func isFieldValue[S string | []byte](s S) bool {
	i := 0
	for i < len(s) && octets[s[i]]&fieldChar != 0 {
		i++
	}
	return i == len(s)
}

// nextElement cuts the next element off a comma-separated list (RFC 9110, 5.6.1),
// trimmed; empty elements are skipped. ok is false at the end of the list.
func nextElement(list []byte) (element, rest []byte, ok bool) {
	for from := 0; from <= len(list); {
		start, end, next := elementFrom(list, from)
		if start < end {
			return list[start:end], list[min(next, len(list)):], true
		}
		from = next
	}
	return nil, nil, false
}

// elementFrom returns the bounds of the element of a comma-separated list that begins at
// from, trimmed (it may be empty), and where the next one begins: past len(list) behind the
// last.
func elementFrom(list []byte, from int) (start, end, next int) {
	comma := from
	for comma < len(list) && list[comma] != ',' {
		comma++
	}
	start, end = from, comma
	for start < end && isBlank(list[start]) {
		start++
	}
	for end > start && isBlank(list[end-1]) {
		end--
	}
	return start, end, comma + 1
}

// hasOption reports whether a Connection field lists the option, in any case.
func (h *Header) hasOption(option string) bool {
	if !h.has(knownConnection) {
		return false
	}
	for i := range h.fields {
		k, v := h.At(i)
		if lookup(k) != knownConnection {
			continue
		}
		for e, rest, ok := nextElement(v); ok; e, rest, ok = nextElement(rest) {
			if equalFold(e, option) {
				return true
			}
		}
	}
	return false
}

// The classes of octets, as bits of the table octets.
const (
	tchar      = 1 << iota // may stand in a token
	fieldChar              // may stand in a field value: HTAB, SP, VCHAR, obs-text
	targetChar             // may stand in a request target: VCHAR but "#"
	hexDigit
	hostChar // may stand in a host's name: see hostChars
)

// hostChars are the octets of a host's name,
//
//	reg-name = *( unreserved / pct-encoded / sub-delims )     RFC 3986, 3.2.2
//
// but for the comma, at which a recipient that joins fields would cut a Host in two.
const hostChars = "-._~%!$&'()*+;=" + alphanumerics

const alphanumerics = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

var octets = func() (t [256]byte) {
	for c := 0x21; c <= 0x7e; c++ {
		t[c] |= fieldChar | targetChar
	}
	for c := 0x80; c <= 0xff; c++ {
		t[c] |= fieldChar
	}
	t[' '] |= fieldChar
	t['\t'] |= fieldChar
	t['#'] &^= targetChar
	for _, c := range "!#$%&'*+-.^_`|~" + alphanumerics {
		t[c] |= tchar
	}
	for _, c := range hostChars {
		t[c] |= hostChar
	}
	for _, c := range "0123456789abcdefABCDEF" {
		t[c] |= hexDigit
	}
	return t
}()
