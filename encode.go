package h1

// encode.go: a request becomes bytes.
//
// Rule: what check accepts, appendHead writes as one message that no recipient can
// read as two, and with its framing said once. What may not be written is refused
// before its first byte is written. Nothing the caller gave is changed but, on demand,
// the case of names.
// Not here: the body's bytes (upload.go), when a request may be written (ready.go).

import (
	"bytes"
	"strconv"
	"strings"
)

// A bodyKind is how the end of a request's body is made known (RFC 9112, section 6).
type bodyKind uint8

const (
	bodyNone    bodyKind = iota // there is none, or it is empty
	bodyLength                  // Content-Length, more than 0
	bodyChunked                 // Transfer-Encoding: chunked
)

// String returns the field that frames such a body, or "none".
func (k bodyKind) String() string {
	switch k {
	case bodyLength:
		return "Content-Length"
	case bodyChunked:
		return "Transfer-Encoding: chunked"
	}
	return "none"
}

// asked is what the engine needs to know of a request besides its bytes.
type asked struct {
	head, connect, upgrade, expect, close, idempotent bool
	push, mayRepeat                                   bool // Request's Push and Idempotent
	body                                              bodyKind
	length                                            int64 // of a bodyLength
}

// check says in q, which is zero, what a request asks for, or returns why it may not be
// written. Nothing is allocated when it is fine. The fields are walked only where one of
// them has a meaning to the engine, or is invalid: Header has kept account of both.
func (r *Request) check(q *asked) *Error {
	if r == nil {
		return badRequest("the Request is nil")
	}
	if r.Method != "" && !isToken(r.Method) {
		return badRequest("method %.64q is not a token", r.Method)
	}
	q.head = r.Method == "HEAD"
	q.connect = r.Method == "CONNECT"
	q.idempotent = r.Idempotent || isIdempotent(r.Method)
	q.close = r.Close
	q.push, q.mayRepeat = r.Push, r.Idempotent
	if err := r.checkTarget(q); err != nil {
		return err
	}
	if err := r.checkHost(); err != nil {
		return err
	}
	if err := r.checkBody(q); err != nil {
		return err
	}
	if r.Header.odd {
		if err := checkOdd(&r.Header, "field"); err != nil {
			return err
		}
	}
	if r.Header.known != 0 {
		if err := r.checkKnown(q); err != nil {
			return err
		}
	}
	if q.body == bodyLength {
		return r.checkLength(q)
	}
	return nil
}

// checkTarget holds the target to one of the four forms.
//
//	request-target = origin-form / absolute-form
//	               / authority-form / asterisk-form           RFC 9112, 3.2
//
// Of a character it asks only that it may stand in a URI or is known to be sent there
// without harm: a target is written as it is. "#" is not among them: a fragment is not
// part of a target.
func (r *Request) checkTarget(q *asked) *Error {
	t := r.Target
	if i := notTarget(t); i < len(t) {
		return badRequest("target %.64q has %q at %d, which must be percent-encoded", t, t[i:i+1], i)
	}
	switch {
	case q.connect:
		// "A client MUST send the port number even if the CONNECT request is based on
		// a URI reference that contains an authority component with an elided port"
		// RFC 9110, 9.3.6.
		if !isHost(t) || t[len(t)-1] == ':' || hostEnd(t) == len(t) {
			return badRequest("target %.64q of CONNECT is not host:port", t)
		}
	case t == "" || t[0] == '/':
	case t == "*":
		if r.Method != "OPTIONS" {
			return badRequest("target \"*\", which is for OPTIONS alone")
		}
	default:
		userinfo, host, ok := authority(t)
		if !ok {
			return badRequest("target %.64q begins neither with \"/\" nor with scheme://", t)
		}
		if !isHost(host) {
			return badRequest("target %.64q has %.64q for a host", t, host)
		}
		for i := 0; i < len(userinfo); i++ {
			// Some read a "\" or a "[" here as where the host begins or ends.
			if c := userinfo[i]; c != ':' && c != ',' && octets[c]&hostChar == 0 {
				return badRequest("target %.64q has %q before its host", t, userinfo[i:i+1])
			}
		}
		scheme, rest, _ := strings.Cut(t, "://")
		web := equalFold(scheme, "http") || equalFold(scheme, "https")
		if web && strings.HasPrefix(rest[len(userinfo):], "@") {
			return badRequest("target %.64q has userinfo", t) // RFC 9110, 4.2.4
		}
	}
	return nil
}

// notTarget returns the index of the first octet that may not stand in a target, len(t)
// where all may. Eight at a time, it halves the time check takes for a usual target.
func notTarget(t string) int {
	i := 0
	for ; len(t)-i >= 8 && isPlainTarget(eight(t[i:])); i += 8 {
	}
	if i > 0 && len(t)-i < 8 && isPlainTarget(eight(t[len(t)-8:])) {
		return len(t)
	}
	for ; i < len(t) && octets[t[i]]&targetChar != 0; i++ {
	}
	return i
}

// isPlainTarget reports whether all eight bytes of x may stand in a target.
func isPlainTarget(x uint64) bool {
	// In turn: above 0x7e, below 0x21 or above 0xa0, "#". A borrow or a carry from one octet
	// into the next happens only where the first is refused already.
	return ((x+ones)|(x-0x21*ones)|((x^'#'*ones)-ones))&tops == 0
}

// eight returns the first eight bytes of s as a number, the first in its lowest bits.
func eight[S string | []byte](s S) uint64 {
	s = s[:8]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// checkHost checks that there is a Host to write, and that it is a valid one. A Host in
// Header is looked at by checkKnown.
//
// "A client MUST send a Host header field in all HTTP/1.1 request messages."
// RFC 9112, 3.2.
func (r *Request) checkHost() *Error {
	switch {
	case r.Host != "":
		if !isHost(r.Host) {
			return badRequest("Host %.64q is not host or host:port", r.Host)
		}
	case r.Header.has(knownHost):
	case r.Target == "" || r.Target[0] == '/' || r.Target == "*":
		return badRequest("no Host: neither in Host, nor in Header, nor in the target")
	}
	return nil
}

// A lener is a body that says how much is left of it, as bytes.Reader does.
type lener interface{ Len() int }

// checkBody decides how the body is framed, by the caller's word alone.
func (r *Request) checkBody(q *asked) *Error {
	has := r.Body != nil || r.Push
	switch {
	case r.Body != nil && r.Push:
		return badRequest("both Body and Push")
	case !has && r.ContentLength > 0:
		return badRequest("ContentLength %d without Body or Push", r.ContentLength)
	case r.Trailer.Len() > 0 && !has:
		return badRequest("Trailer without Body or Push")
	case r.Trailer.Len() > 0 && r.ContentLength > 0:
		// Only the chunked coding has a trailer section: RFC 9112, 7.1.2.
		return badRequest("Trailer with ContentLength %d: it needs a chunked body", r.ContentLength)
	case !has:
		return nil
	case r.ContentLength > 0:
		q.body, q.length = bodyLength, r.ContentLength
	default:
		q.body = bodyChunked
		if l, ok := r.Body.(lener); ok && r.ContentLength == 0 && r.Trailer.Len() == 0 {
			switch n := l.Len(); {
			case n > 0:
				q.body, q.length = bodyLength, int64(n)
			case n == 0:
				q.body = bodyNone
			}
		}
	}
	if q.body != bodyNone && (q.connect || r.Method == "TRACE") {
		return badRequest("%s with a body", r.Method) // RFC 9110, 9.3.6 and 9.3.8
	}
	return checkTrailer(&r.Trailer)
}

// checkLength refuses a body that says of itself that it is not as long as declared.
func (r *Request) checkLength(q *asked) *Error {
	if b, ok := r.Body.(lener); ok && int64(b.Len()) != q.length {
		return badRequest("ContentLength is %d, but Body holds %d bytes", q.length, b.Len())
	}
	return nil
}

// checkKnown looks at the fields that the engine acts on. One that says the framing is
// accepted if it says what is so, and then the engine writes none of its own.
func (r *Request) checkKnown(q *asked) *Error {
	const single = knownHost | knownContentLength | knownTransferEncoding | knownExpect
	var seen known
	for i := range r.Header.fields {
		name, value := r.Header.At(i)
		k := lookup(name)
		if seen&k&single != 0 {
			return badRequest("%s twice, the second %.64q", name, value)
		}
		seen |= k
		var err *Error
		switch k {
		case knownHost:
			err = checkHostField(r.Host, value)
		case knownContentLength:
			err = checkContentLength(q, value)
		case knownTransferEncoding:
			if q.body != bodyChunked || string(value) != "chunked" {
				err = badRequest("Transfer-Encoding by hand, %.64q, where the engine would write %s", value, q.body)
			}
		case knownConnection:
			err = checkConnection(q, value)
		case knownUpgrade:
			q.upgrade = true
			if q.connect {
				err = badRequest("Upgrade %.64q with CONNECT", value)
			}
		case knownExpect:
			q.expect = true
			err = checkExpect(q, value)
		case knownTE:
			err = checkTE(value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkHostField checks a Host in Header. It may be empty: "If the authority component
// is missing or undefined for the target URI, then a client MUST send a Host header
// field with an empty field value." RFC 9112, 3.2.
func checkHostField(host string, value []byte) *Error {
	if len(value) > 0 && !isHost(value) {
		return badRequest("Host %.64q in Header is not host or host:port", value)
	}
	if host != "" && string(value) != host {
		return badRequest("Host %.64q, and %.64q in Header", host, value)
	}
	return nil
}

// checkContentLength accepts a Content-Length by hand that is, byte by byte, the one
// that would be written.
func checkContentLength(q *asked, value []byte) *Error {
	if q.body == bodyChunked {
		return badRequest("Content-Length by hand, %.64q, with a chunked body", value)
	}
	var digits [20]byte // of an int64
	if string(value) != string(strconv.AppendInt(digits[:0], q.length, 10)) {
		return badRequest("Content-Length by hand, %.64q, of a body of %d bytes", value, q.length)
	}
	return nil
}

// checkConnection checks a list of connection options and finds close in it.
//
//	Connection = #connection-option ; connection-option = token   RFC 9110, 7.6.1
func checkConnection(q *asked, value []byte) *Error {
	for e, rest, ok := nextElement(value); ok; e, rest, ok = nextElement(rest) {
		if !isToken(e) {
			return badRequest("Connection lists %.64q, not a token", e)
		}
		switch {
		case equalFold(e, "close"):
			q.close = true
		case equalFold(e, "content-length"), equalFold(e, "host"), equalFold(e, "cache-control"):
			// An intermediary would take it out.
			return badRequest("Connection lists %.64q, which is for all recipients", e)
		}
	}
	return nil
}

// checkExpect: "A client MUST NOT generate a 100-continue expectation in a request that
// does not include content." RFC 9110, 10.1.1.
func checkExpect(q *asked, value []byte) *Error {
	switch {
	case !equalFold(value, "100-continue"):
		return badRequest("Expect %.64q, not 100-continue", value)
	case q.body == bodyNone:
		return badRequest("Expect %.64q without a body", value)
	}
	return nil
}

// checkTE: "A client MUST NOT send the chunked transfer coding name in TE" RFC 9112, 7.4.
func checkTE(value []byte) *Error {
	for e, rest, ok := nextElement(value); ok; e, rest, ok = nextElement(rest) {
		coding, _, _ := bytes.Cut(e, []byte(";")) // its weight or a parameter
		if equalFold(trimOWS(coding), "chunked") {
			return badRequest("TE lists %.64q", e)
		}
	}
	return nil
}

// checkTrailer says why a trailer section may not be written, nil if it may.
func checkTrailer(h *Header) *Error {
	if h.odd {
		if err := checkOdd(h, "trailer field"); err != nil {
			return err
		}
	}
	for i := range h.fields {
		if name, _ := h.At(i); forbiddenInTrailer(name) {
			return badRequest("%.64q may not be a trailer field", name) // RFC 9110, 6.5.1
		}
	}
	return nil
}

// checkOdd finds the first field that may not be written.
func checkOdd(h *Header, what string) *Error {
	for i := range h.fields {
		name, value := h.At(i)
		if !isToken(name) {
			return badRequest("%s name %.64q is not a token", what, name)
		}
		if i := valueEnd(value, 0); i < len(value) {
			return badRequest("%s %.64q has %q at %d of its value", what, name, value[i:i+1], i)
		}
	}
	return nil
}

// hostEnd returns the length of the host at the beginning of s, the brackets of an IP
// literal included; 0 where there is none.
//
//	host = IP-literal / IPv4address / reg-name                RFC 3986, 3.2.2
//	IP-literal = "[" ( IPv6address / IPvFuture ) "]"
func hostEnd[S string | []byte](s S) int {
	i := 0
	if len(s) == 0 || s[0] != '[' {
		for i < len(s) && octets[s[i]]&hostChar != 0 {
			i++
		}
		return i
	}
	for i = 1; i < len(s) && (s[i] == ':' || octets[s[i]]&hostChar != 0); i++ {
	}
	if i == 1 || i == len(s) || s[i] != ']' {
		return 0
	}
	return i + 1
}

// isHost reports whether s is what a Host field may say, and not empty.
//
//	Host = uri-host [ ":" port ] ; port = *DIGIT              RFC 9110, 7.2
func isHost[S string | []byte](s S) bool {
	if len(s) >= 8 && isUsualHost(s) {
		return true
	}
	i := hostEnd(s)
	if i == 0 {
		return false
	}
	if i == len(s) {
		return true
	}
	if s[i] != ':' {
		return false
	}
	for i++; i < len(s); i++ {
		if !isDigit(s[i]) {
			return false
		}
	}
	return true
}

// isUsualHost reports whether s, of eight bytes at least, is made of nothing but letters,
// digits, "-" and ".", as most are: it looks at eight bytes at a time.
func isUsualHost[S string | []byte](s S) bool {
	for i := 0; len(s)-i >= 8; i += 8 {
		if !isUsualName(eight(s[i:])) {
			return false
		}
	}
	return isUsualName(eight(s[len(s)-8:]))
}

// isUsualName reports it of the eight bytes of x. One above 0x7f, whose sum may carry, is
// none of them itself.
func isUsualName(x uint64) bool {
	y := x | 0x20*ones
	letter := (y + (0x80-'a')*ones) &^ (y + (0x7f-'z')*ones)
	other := (x + (0x80-'-')*ones) &^ (x + (0x7f-'9')*ones) & ((x ^ '/'*ones) + 0x7f*ones)
	return (letter|other)&^x&tops == tops
}

// authority cuts the authority out of a target in absolute form. It takes the first
// "@" for the end of userinfo; a second one is no part of a host and refused by isHost,
// since recipients disagree on which of two counts.
//
//	scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )       RFC 3986, 3.1
//	authority = [ userinfo "@" ] host [ ":" port ]            RFC 3986, 3.2
func authority(target string) (userinfo, host string, ok bool) {
	i := 0
	for i < len(target) && isSchemeOctet(target[i], i == 0) {
		i++
	}
	if i == 0 || !strings.HasPrefix(target[i:], "://") {
		return "", "", false
	}
	host = target[i+3:]
	if j := strings.IndexAny(host, "/?"); j >= 0 {
		host = host[:j]
	}
	if before, after, found := strings.Cut(host, "@"); found {
		userinfo, host = before, after
	}
	return userinfo, host, true
}

func isSchemeOctet(c byte, first bool) bool {
	if l := lower(c); 'a' <= l && l <= 'z' {
		return true
	}
	return !first && (isDigit(c) || c == '+' || c == '-' || c == '.')
}

// appendHead appends request line, Host, fields and the empty line. r has passed check,
// and q is what check said of it.
//
//	request-line = method SP request-target SP HTTP-version   RFC 9112, 3
//
// The caller's fields go out as they are, in one copy; the engine's own stand before
// (Host: RFC 9110, 7.2, would have it first) and after them.
func appendHead(dst []byte, r *Request, q *asked, titleCase bool) []byte {
	target := r.Target
	if target == "" {
		target = "/"
	}
	switch r.Method {
	case "", "GET":
		dst = append(dst, "GET "...)
	default:
		dst = append(dst, r.Method...)
		dst = append(dst, ' ')
	}
	dst = append(dst, target...)
	dst = append(dst, " HTTP/1.1\r\n"...)
	if !r.Header.has(knownHost) {
		host := r.Host
		switch {
		case host != "":
		case q.connect:
			host = target
		default:
			_, host, _ = authority(target)
		}
		dst = append(dst, "Host: "...)
		dst = append(dst, host...)
		dst = append(dst, '\r', '\n')
	}
	dst = appendFields(dst, &r.Header, titleCase)
	dst = appendFraming(dst, r, q, titleCase)
	if r.Close || r.Header.has(knownUpgrade|knownTE) {
		dst = appendConnection(dst, r)
	}
	return append(dst, '\r', '\n')
}

// appendFraming appends what frames the body, where the caller's fields do not say it.
//
// "A user agent SHOULD send Content-Length in a request when the method defines a
// meaning for enclosed content and it is not sending Transfer-Encoding. For example, a
// user agent normally sends Content-Length in a POST request even when the value is 0"
// RFC 9110, 8.6.
func appendFraming(dst []byte, r *Request, q *asked, titleCase bool) []byte {
	h := &r.Header
	switch q.body {
	case bodyNone:
		meant := r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH"
		if meant && !h.has(knownContentLength) {
			dst = append(dst, "Content-Length: 0\r\n"...)
		}
	case bodyLength:
		if !h.has(knownContentLength) {
			dst = append(dst, "Content-Length: "...)
			dst = strconv.AppendInt(dst, q.length, 10)
			dst = append(dst, '\r', '\n')
		}
	case bodyChunked:
		if !h.has(knownTransferEncoding) {
			dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
		}
		if r.Trailer.Len() > 0 && !h.has(knownTrailer) {
			dst = appendTrailerField(dst, &r.Trailer, titleCase)
		}
	}
	return dst
}

// appendTrailerField announces the trailer fields that are there already, each name
// once (RFC 9110, section 6.6.2).
func appendTrailerField(dst []byte, h *Header, titleCase bool) []byte {
	dst = append(dst, "Trailer: "...)
	for i := range h.fields {
		name, _ := h.At(i)
		said := false
		for j := 0; j < i && !said; j++ {
			before, _ := h.At(j)
			said = equalFold(before, name)
		}
		if said {
			continue
		}
		if i > 0 {
			dst = append(dst, ", "...)
		}
		at := len(dst)
		dst = append(dst, name...)
		if titleCase {
			toTitle(dst[at:])
		}
	}
	return append(dst, '\r', '\n')
}

// appendConnection appends the connection options that the request needs and the
// caller's fields do not list.
//
// "A sender of Upgrade MUST also send an "Upgrade" connection option in the Connection
// header field" RFC 9110, 7.8; of TE the same: 10.1.4.
func appendConnection(dst []byte, r *Request) []byte {
	h := &r.Header
	need := [...]struct {
		is     bool
		option string
	}{
		{r.Close, "close"},
		{h.has(knownUpgrade), "upgrade"},
		{h.has(knownTE), "TE"},
	}
	lead := "Connection: "
	for i := range need {
		o := &need[i]
		if o.is && !h.hasOption(o.option) {
			dst = append(dst, lead...)
			dst = append(dst, o.option...)
			lead = ", "
		}
	}
	if lead == ", " {
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// appendTrailer appends a trailer section's lines and the empty line. h has passed
// checkTrailer.
//
//	trailer-section = *( field-line CRLF )                    RFC 9112, 7.1.2
func appendTrailer(dst []byte, h *Header, titleCase bool) []byte {
	return append(appendFields(dst, h, titleCase), '\r', '\n')
}

// appendFields appends a section's lines.
func appendFields(dst []byte, h *Header, titleCase bool) []byte {
	at := len(dst)
	dst = append(dst, h.buf...)
	if titleCase {
		for i := range h.fields {
			s := &h.fields[i]
			toTitle(dst[at+int(s.name) : at+int(s.nameEnd)])
		}
	}
	return dst
}

// toTitle puts a name into Title-Case, in its place.
func toTitle(name []byte) {
	begin := true
	for i, c := range name {
		l := lower(c)
		if begin && 'a' <= l && l <= 'z' {
			l -= 'a' - 'A'
		}
		name[i] = l
		begin = c == '-'
	}
}
