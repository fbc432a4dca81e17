package h1

// framing.go: how long a response's body is.
//
// Rule: one function decides, numbered as RFC 9112, section 6.3. What can be read in one
// way only is accepted, what can be read in two is delivered and the connection never used
// again, and what cannot be trusted at all is refused.
// Not here: the syntax of fields (decode.go), whether a connection lives on (keepalive.go).

import (
	"errors"
	"math"
)

// framingKind says what ends a body.
type framingKind uint8

const (
	_              framingKind = iota
	framingNone                // there is no body
	framingLength              // a number of bytes
	framingChunked             // the last chunk, and the trailer section
	framingClose               // the end of the stream
	framingSwitch              // there is none, and what follows is not HTTP
)

// String returns "none", "length", "chunked", "close" or "switch"; "illegal" where nothing
// was decided.
func (k framingKind) String() string {
	return [...]string{"illegal", "none", "length", "chunked", "close", "switch"}[k]
}

// A framing is how a response's body is framed.
type framing struct {
	kind      framingKind
	length    int64 // of framingLength
	ambiguous bool  // another recipient may see another body: do not use the connection again
}

// frame decides the framing of r, which answers q, and sets r.ContentLength.
// The numbers are those of the list in RFC 9112, section 6.3.
func frame(r *Response, q *asked) (framing, *Error) {
	h := &r.Header
	r.ContentLength = 0
	switch {
	// 2. "Any 2xx (Successful) response to a CONNECT request implies that the connection
	// will become a tunnel"; before 1, for a 204 opens the tunnel too.
	case q.connect && r.Status >= 200 && r.Status < 300:
		return framing{kind: framingSwitch}, nil

	// 1. "Any response to a HEAD request and any response with a 1xx (Informational), 204
	// (No Content), or 304 (Not Modified) status code is always terminated by the first
	// empty line".
	case r.Status == 101:
		if !q.upgrade {
			return framing{}, &Error{Kind: NotSwitched, Offset: -1, Err: errUnaskedSwitch}
		}
		return framing{kind: framingSwitch}, nil
	case r.Status == 204 && !q.head:
		return framing{kind: framingNone, ambiguous: announces(r)}, nil
	case r.Status < 200, r.Status == 204:
		return framing{kind: framingNone, ambiguous: codedIn10(r)}, nil
	case q.head, r.Status == 304:
		r.ContentLength = lengthOfGet(r)
		return framing{kind: framingNone, ambiguous: codedIn10(r)}, nil

	// 3. "If a message is received with both a Transfer-Encoding and a Content-Length
	// header field, the Transfer-Encoding overrides the Content-Length."
	// 4. "If a Transfer-Encoding header field is present and the chunked transfer coding is
	// the final encoding, the message body length is determined by reading and decoding the
	// chunked data [...] is not the final encoding, [...] by reading the connection until
	// it is closed by the server."
	case h.has(knownTransferEncoding):
		r.ContentLength = -1
		kind, err := transferEncoding(r)
		if err != nil {
			return framing{}, err
		}
		// 6.1: a Transfer-Encoding in HTTP/1.0 has faulty framing, "even if a
		// Content-Length is present", and the connection closes after it.
		ambiguous := kind == framingClose || h.has(knownContentLength) || r.Minor == 0
		return framing{kind: kind, ambiguous: ambiguous}, nil

	// 5. "If a message is received without Transfer-Encoding and with an invalid
	// Content-Length header field, then the message framing is invalid".  6. A valid one is
	// the length.
	case h.has(knownContentLength):
		n, err := contentLength(r)
		if err != nil {
			r.ContentLength = -1
			return framing{}, err
		}
		r.ContentLength = n
		return framing{kind: framingLength, length: n}, nil
	}
	// 8. "Otherwise, this is a response message without a declared message body length".
	r.ContentLength = -1
	return framing{kind: framingClose}, nil
}

// codedIn10 reports whether a response of HTTP/1.0 has a Transfer-Encoding: "[...] MUST
// treat the message as if the framing is faulty [...] and close the connection after
// processing the message" (RFC 9112, section 6.1).
func codedIn10(r *Response) bool { return r.Minor == 0 && r.Header.has(knownTransferEncoding) }

// announces reports whether a 204 says that content follows it, which "A server MUST NOT"
// (RFC 9110, section 8.6; RFC 9112, section 6.1). One that does may send it, too, and what
// then comes looks like the next response.
func announces(r *Response) bool {
	if h := &r.Header; !h.has(knownContentLength) || h.has(knownTransferEncoding) {
		return h.has(knownTransferEncoding)
	}
	n, err := contentLength(r)
	return n != 0 || err != nil
}

// lengthOfGet returns the length that a response without a body says a GET's would have
// had; -1: it says none.
func lengthOfGet(r *Response) int64 {
	if r.Header.has(knownContentLength) && !r.Header.has(knownTransferEncoding) {
		if n, err := contentLength(r); err == nil {
			return n
		}
	}
	return -1
}

var errUnaskedSwitch = errors.New("101 (Switching Protocols) without an Upgrade in the request")

// contentLength returns what all Content-Length fields agree on.
//
//	Content-Length = 1*DIGIT                                             RFC 9110, 8.6
//
// A list, or repeated fields, of one and the same number stand for that number: 8.6 allows
// a recipient to take it so. No sign, no other base, no empty element.
func contentLength(r *Response) (int64, *Error) {
	if r.lengthAt > 0 {
		s := &r.Header.fields[r.lengthAt-1]
		if n, bad := parseLength(r.Header.buf[s.value:s.valueEnd]); bad < 0 {
			return n, nil
		}
	}
	return contentLengths(r) // a list, if anything
}

// contentLengths is contentLength where there may be more than one number, or none.
func contentLengths(r *Response) (int64, *Error) {
	h, length := &r.Header, int64(-1)
	var first []byte
	for i := range h.fields {
		s := &h.fields[i]
		name, value := h.At(i)
		if lookup(name) != knownContentLength {
			continue
		}
		for next := 0; next <= len(value); {
			var start, end int
			start, end, next = elementFrom(value, next)
			digits := value[start:end]
			n, bad := parseLength(digits)
			switch {
			case bad >= 0 && bad < len(digits) && isDigit(digits[bad]):
				return 0, badFraming(r, s, start+bad, "a length past 2^63-1")
			case bad >= 0:
				return 0, badFraming(r, s, start+bad, "not a length")
			}
			if length >= 0 && string(digits) != string(first) { // 05 and 5 differ as well
				return 0, badFraming(r, s, start, "lengths that differ")
			}
			length, first = n, digits
		}
	}
	return length, nil
}

// parseLength parses 1*DIGIT, up to 2^63-1. bad is the index of the byte that does not
// belong there, or where one is missing; -1: there is none.
func parseLength(digits []byte) (n int64, bad int) {
	for i, c := range digits {
		if !isDigit(c) || n >= math.MaxInt64/10 && (n > math.MaxInt64/10 || c > '7') {
			return 0, i // 2^63-1 ends in 7
		}
		n = n*10 + int64(c-'0')
	}
	if len(digits) == 0 {
		return 0, 0
	}
	return n, -1
}

// transferEncoding returns what all Transfer-Encoding fields, as one list, come to.
//
//	Transfer-Encoding = #transfer-coding                                 RFC 9112, 6.1
//	transfer-coding   = token *( OWS ";" OWS transfer-parameter )        RFC 9112, 7
//
// The engine decodes no coding but chunked, so one inside chunked is refused. So are
// parameters of chunked, which has none: recipients are known to disagree on them; and
// empty elements.
func transferEncoding(r *Response) (framingKind, *Error) {
	h := &r.Header
	var chunked, last bool
	codings := 0
	for i := range h.fields {
		s := &h.fields[i]
		field, value := h.At(i)
		if lookup(field) != knownTransferEncoding {
			continue
		}
		for next := 0; next <= len(value); {
			var start, end int
			start, end, next = elementFrom(value, next)
			coding := value[start:end]
			name, bad := codingName(coding)
			if bad >= 0 {
				return 0, badFraming(r, s, start+bad, "not a transfer coding")
			}
			last = equalFold(name, "chunked")
			codings++
			switch {
			case last && len(name) < len(coding):
				return 0, badFraming(r, s, start+len(name), "chunked with parameters")
			case last && chunked:
				return 0, badFraming(r, s, start, "chunked twice")
			case last && codings > 1:
				return 0, badFraming(r, s, 0, "a coding inside chunked, which is not decoded")
			}
			chunked = chunked || last
		}
	}
	if last {
		return framingChunked, nil
	}
	return framingClose, nil
}

// codingName returns the name of a transfer coding; bad is the index of the byte that does
// not belong there, or where one is missing; -1: there is none. A parameter's value may be
// a token alone: a quoted string may hold what others split lists at.
//
//	transfer-parameter = token BWS "=" BWS ( token / quoted-string )     RFC 9112, 7
func codingName(coding []byte) (name []byte, bad int) {
	end := tokenEnd(coding)
	if end == 0 {
		return nil, 0
	}
	for i := end; i < len(coding); {
		for _, before := range [...]byte{';', '='} {
			i += blanks(coding[i:])
			if i == len(coding) || coding[i] != before {
				return nil, i
			}
			i++
			i += blanks(coding[i:])
			n := tokenEnd(coding[i:])
			if n == 0 {
				return nil, i
			}
			i += n
		}
	}
	return coding[:end], -1
}

// blanks returns how many spaces and tabs b begins with.
func blanks(b []byte) (n int) {
	for n < len(b) && isBlank(b[n]) {
		n++
	}
	return n
}

// badFraming makes the error for byte at of the value of field s. It quotes the field from
// its name on; or, where that byte would not be in it, from later on, up to that byte.
func badFraming(r *Response, s *span, at int, why string) *Error {
	off := int64(-1) // not known: the head was mended
	if r.lineLen > 0 {
		off = int64(r.lineLen) + int64(s.value) + int64(at)
	}
	from := max(int(s.name), int(s.value)+at+1-quoted)
	return badPeer(BadFraming, off, why, r.Header.buf[from:s.valueEnd])
}
