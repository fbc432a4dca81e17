package h1http

// names.go: field names as net/http keeps them, status lines as it prints them.
//
// Rule: what is common costs no allocation. A name is looked up as it came, then in its
// canonical form, and only then is a string made of it.

import (
	"net/http"
	"strconv"
	"strings"
)

// commonNames are the response fields that servers are seen to send.
var commonNames = [...]string{
	"Accept-Ch", "Accept-Ranges", "Access-Control-Allow-Credentials", "Access-Control-Allow-Headers",
	"Access-Control-Allow-Methods", "Access-Control-Allow-Origin", "Access-Control-Expose-Headers",
	"Access-Control-Max-Age", "Age", "Allow", "Alt-Svc", "Cache-Control", "Cf-Cache-Status", "Cf-Ray",
	"Connection", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length",
	"Content-Location", "Content-Range", "Content-Security-Policy", "Content-Type",
	"Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy", "Date", "Etag", "Expires", "Keep-Alive",
	"Last-Modified", "Link", "Location", "Nel", "P3p", "Permissions-Policy", "Pragma",
	"Proxy-Authenticate", "Ratelimit-Limit", "Ratelimit-Remaining", "Ratelimit-Reset", "Referrer-Policy",
	"Report-To", "Retry-After", "Server", "Server-Timing", "Set-Cookie", "Strict-Transport-Security",
	"Timing-Allow-Origin", "Trailer", "Transfer-Encoding", "Upgrade", "Vary", "Via", "Warning",
	"Www-Authenticate", "X-Amz-Cf-Id", "X-Amz-Cf-Pop", "X-Amz-Request-Id", "X-Cache", "X-Content-Type-Options",
	"X-Download-Options", "X-Frame-Options", "X-Powered-By", "X-Ratelimit-Limit", "X-Ratelimit-Remaining",
	"X-Ratelimit-Reset", "X-Request-Id", "X-Robots-Tag", "X-Runtime", "X-Served-By", "X-Timer",
	"X-Ua-Compatible", "X-Xss-Protection",
}

// interned has the canonical form of each common name, by the spellings in use: canonical,
// in lower case, and as its specification writes it.
var interned = func() map[string]string {
	m := make(map[string]string, 3*len(commonNames))
	for _, name := range commonNames {
		m[name], m[strings.ToLower(name)] = name, name
	}
	// The specifications, and most servers, write these in another case.
	for _, name := range [...]string{"ETag", "WWW-Authenticate", "X-XSS-Protection", "X-UA-Compatible",
		"CF-RAY", "CF-Cache-Status", "NEL", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} {
		m[name] = http.CanonicalHeaderKey(name)
	}
	return m
}()

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// canonical returns a name that the engine has accepted in the form of
// http.CanonicalHeaderKey.
func canonical(name []byte) string {
	if s, ok := interned[string(name)]; ok {
		return s
	}
	var buf [64]byte
	if len(name) > len(buf) {
		return http.CanonicalHeaderKey(string(name))
	}
	key := buf[:copy(buf[:], name)]
	up := true
	for i, c := range key {
		if c = lower(c); up && 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		key[i] = c
		up = c == '-'
	}
	if s, ok := interned[string(key)]; ok {
		return s
	}
	return string(key)
}

// usualStatuses has http.Response.Status for each code with its usual reason phrase.
var usualStatuses = func() (t [600]string) {
	for code := range t {
		if text := http.StatusText(code); text != "" {
			t[code] = strconv.Itoa(code) + " " + text
		}
	}
	return t
}()

// responseStatus returns what http.Response.Status is to say: the code and the reason as it
// came.
func responseStatus(code int, reason []byte) string {
	if code < len(usualStatuses) {
		if s := usualStatuses[code]; len(s) > 4 && s[4:] == string(reason) {
			return s
		}
	}
	if len(reason) == 0 {
		return strconv.Itoa(code)
	}
	return strconv.Itoa(code) + " " + string(reason)
}

// Classes of octets.
const (
	tokenOctet = 1 << iota // in a token: RFC 9110, 5.6.2
	valueOctet             // in a field's value
	hostOctet              // in a Host field
)

var octets = func() (t [256]uint8) {
	const alnum = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, c := range alnum + "!#$%&'*+-.^_`|~" {
		t[c] |= tokenOctet
	}
	for _, c := range alnum + "-._~%!$&'()*+;=[]:" {
		t[c] |= hostOctet
	}
	for c := range t {
		if c >= 0x20 && c != 0x7f || c == '\t' {
			t[c] |= valueOctet
		}
	}
	return t
}()

// consists reports whether every octet of s is of a class.
func consists(s string, class uint8) bool {
	for i := 0; i < len(s); i++ {
		if octets[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

func isToken(s string) bool { return s != "" && consists(s, tokenOctet) }

// hasToken reports whether a token is in one of the values, which are comma-separated
// lists. Case does not matter.
func hasToken(values []string, token string) bool {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if foldEqual(trim(part), token) {
				return true
			}
		}
	}
	return false
}

// onlyToken reports whether a list has no other elements than a token, which may be none.
func onlyToken(values []string, token string) bool {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if part = trim(part); part != "" && !foldEqual(part, token) {
				return false
			}
		}
	}
	return true
}

// trim drops the white space that may stand around a field's value.
func trim(s string) string { return strings.Trim(s, " \t") }

// foldEqual compares two strings, ignoring the case of ASCII letters.
func foldEqual(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}
