package h1

// encode_test.go: golden heads, refusals, and net/http as the judge of both.

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// fieldsOf makes a Header of "Name: value" lines. The value is all after ": ".
func fieldsOf(lines ...string) (h Header) {
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		h.Add(name, value)
	}
	return h
}

// noLenReader hides Len.
type noLenReader struct{ io.Reader }

var (
	encodeFive = strings.NewReader("hello")
	encodeNone = strings.NewReader("")
	encodeAny  = noLenReader{strings.NewReader("hello")}
)

type encodeCase struct {
	name string
	r    Request
	q    asked
	want string // \n for CRLF, without the empty line
}

var encodeCases = []encodeCase{
	// The four forms of a target.
	{"zero method and target", Request{Host: "a"}, asked{idempotent: true},
		"GET / HTTP/1.1\nHost: a\n"},
	{"origin form", Request{Method: "DELETE", Target: "/p/~x;v=1?q=%20&r=|", Host: "a:80"}, asked{idempotent: true},
		"DELETE /p/~x;v=1?q=%20&r=| HTTP/1.1\nHost: a:80\n"},
	{"origin form of two slashes", Request{Target: "//b/c", Host: "a"}, asked{idempotent: true},
		"GET //b/c HTTP/1.1\nHost: a\n"},
	{"absolute form", Request{Method: "HEAD", Target: "http://example.com:8080/a?b"}, asked{head: true, idempotent: true},
		"HEAD http://example.com:8080/a?b HTTP/1.1\nHost: example.com:8080\n"},
	{"absolute form, authority alone", Request{Target: "http://example.com"}, asked{idempotent: true},
		"GET http://example.com HTTP/1.1\nHost: example.com\n"},
	{"absolute form, query after authority", Request{Target: "coap+x.1-a://[::1]?a@b:c"}, asked{idempotent: true},
		"GET coap+x.1-a://[::1]?a@b:c HTTP/1.1\nHost: [::1]\n"},
	{"absolute form, userinfo", Request{Target: "ftp://u:p%40@example.com/@"}, asked{idempotent: true},
		"GET ftp://u:p%40@example.com/@ HTTP/1.1\nHost: example.com\n"},
	{"absolute form, userinfo with a comma", Request{Target: "ftp://u,v:p@example.com/"}, asked{idempotent: true},
		"GET ftp://u,v:p@example.com/ HTTP/1.1\nHost: example.com\n"},
	{"absolute form, odd host", Request{Target: "http://a~b;c/"}, asked{idempotent: true},
		"GET http://a~b;c/ HTTP/1.1\nHost: a~b;c\n"},
	{"absolute form, Host said", Request{Target: "http://a/", Host: "a"}, asked{idempotent: true},
		"GET http://a/ HTTP/1.1\nHost: a\n"},
	{"authority form", Request{Method: "CONNECT", Target: "example.com:443"}, asked{connect: true},
		"CONNECT example.com:443 HTTP/1.1\nHost: example.com:443\n"},
	{"authority form, IPv6", Request{Method: "CONNECT", Target: "[2001:db8::1]:443", Host: "[2001:db8::1]:443"}, asked{connect: true},
		"CONNECT [2001:db8::1]:443 HTTP/1.1\nHost: [2001:db8::1]:443\n"},
	{"asterisk form", Request{Method: "OPTIONS", Target: "*", Host: "a"}, asked{idempotent: true},
		"OPTIONS * HTTP/1.1\nHost: a\n"},

	// Host.
	{"Host in Header stays in place", Request{Header: fieldsOf("A: 1", "hOST: b", "C: 2")}, asked{idempotent: true},
		"GET / HTTP/1.1\nA: 1\nhOST: b\nC: 2\n"},
	{"Host said twice alike", Request{Host: "b", Header: fieldsOf("A: 1", "Host: b")}, asked{idempotent: true},
		"GET / HTTP/1.1\nA: 1\nHost: b\n"},
	{"empty Host in Header", Request{Header: fieldsOf("Host: ")}, asked{idempotent: true},
		"GET / HTTP/1.1\nHost: \n"},
	{"Host with an empty port", Request{Host: "a:"}, asked{idempotent: true},
		"GET / HTTP/1.1\nHost: a:\n"},

	// Order and case.
	{"as given", Request{Host: "a", Header: fieldsOf("x-B: 2", "ACCEPT: */*", "x-a: 1", "X-b: 3", "Empty: ", "Tab: a\tb  c\xff")}, asked{idempotent: true},
		"GET / HTTP/1.1\nHost: a\nx-B: 2\nACCEPT: */*\nx-a: 1\nX-b: 3\nEmpty: \nTab: a\tb  c\xff\n"},

	// Framing.
	{"POST of nothing", Request{Method: "POST", Host: "a"}, asked{},
		"POST / HTTP/1.1\nHost: a\nContent-Length: 0\n"},
	{"PUT of nothing", Request{Method: "PUT", Host: "a", Body: encodeNone}, asked{idempotent: true},
		"PUT / HTTP/1.1\nHost: a\nContent-Length: 0\n"},
	{"PATCH of nothing", Request{Method: "PATCH", Host: "a"}, asked{},
		"PATCH / HTTP/1.1\nHost: a\nContent-Length: 0\n"},
	{"PATCH of nothing, by hand", Request{Method: "PATCH", Host: "a", Header: fieldsOf("content-length: 0"), Idempotent: true}, asked{idempotent: true},
		"PATCH / HTTP/1.1\nHost: a\ncontent-length: 0\n"},
	{"GET with an empty body", Request{Host: "a", Body: encodeNone, ContentLength: 0}, asked{idempotent: true},
		"GET / HTTP/1.1\nHost: a\n"},
	{"negative length without a body", Request{Host: "a", ContentLength: -1}, asked{idempotent: true},
		"GET / HTTP/1.1\nHost: a\n"},
	{"length by Len", Request{Method: "POST", Host: "a", Body: encodeFive}, asked{body: bodyLength, length: 5},
		"POST / HTTP/1.1\nHost: a\nContent-Length: 5\n"},
	{"length of one, by Len", Request{Method: "POST", Host: "a", Body: strings.NewReader("x")}, asked{body: bodyLength, length: 1},
		"POST / HTTP/1.1\nHost: a\nContent-Length: 1\n"},
	{"length by word", Request{Method: "POST", Host: "a", Body: encodeAny, ContentLength: 1<<63 - 1}, asked{body: bodyLength, length: 1<<63 - 1},
		"POST / HTTP/1.1\nHost: a\nContent-Length: 9223372036854775807\n"},
	{"length by hand", Request{Method: "POST", Host: "a", Body: encodeFive, Header: fieldsOf("CONTENT-LENGTH:  5 ", "A: b")}, asked{body: bodyLength, length: 5},
		"POST / HTTP/1.1\nHost: a\nCONTENT-LENGTH: 5\nA: b\n"},
	{"chunked, no length known", Request{Method: "POST", Host: "a", Body: encodeAny}, asked{body: bodyChunked},
		"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n"},
	{"chunked, Len does not know", Request{Method: "POST", Host: "a", Body: unsure{encodeAny}}, asked{body: bodyChunked},
		"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n"},
	{"chunked by wish", Request{Host: "a", Body: encodeFive, ContentLength: -1}, asked{body: bodyChunked, idempotent: true},
		"GET / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n"},
	{"chunked by hand", Request{Method: "POST", Host: "a", Push: true, Header: fieldsOf("transfer-encoding: chunked")}, asked{body: bodyChunked},
		"POST / HTTP/1.1\nHost: a\ntransfer-encoding: chunked\n"},
	{"push of a length", Request{Method: "POST", Host: "a", Push: true, ContentLength: 1}, asked{body: bodyLength, length: 1},
		"POST / HTTP/1.1\nHost: a\nContent-Length: 1\n"},
	{"push of a length by hand", Request{Method: "POST", Host: "a", Push: true, ContentLength: 19, Header: fieldsOf("Content-Length: 19"), Close: true},
		asked{body: bodyLength, length: 19, close: true}, "POST / HTTP/1.1\nHost: a\nContent-Length: 19\nConnection: close\n"},
	{"trailer makes chunked", Request{Method: "POST", Host: "a", Body: encodeFive, Trailer: fieldsOf("digest: x", "B: y", "Digest: z")}, asked{body: bodyChunked},
		"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTrailer: digest, B\n"},
	{"trailer, and no length by wish", Request{Method: "POST", Host: "a", Push: true, ContentLength: -1, Trailer: fieldsOf("A: b")}, asked{body: bodyChunked},
		"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTrailer: A\n"},
	{"Trailer by hand", Request{Method: "POST", Host: "a", Push: true, Header: fieldsOf("trailer: later"), Trailer: fieldsOf("digest: x")}, asked{body: bodyChunked},
		"POST / HTTP/1.1\nHost: a\ntrailer: later\nTransfer-Encoding: chunked\n"},

	// Connection and its company.
	{"Close", Request{Host: "a", Close: true}, asked{idempotent: true, close: true},
		"GET / HTTP/1.1\nHost: a\nConnection: close\n"},
	{"Close listed already", Request{Host: "a", Close: true, Header: fieldsOf("connection: x, CLOSE")}, asked{idempotent: true, close: true},
		"GET / HTTP/1.1\nHost: a\nconnection: x, CLOSE\n"},
	{"close by hand", Request{Host: "a", Header: fieldsOf("Connection: ,x ,", "Connection: Close")}, asked{idempotent: true, close: true},
		"GET / HTTP/1.1\nHost: a\nConnection: ,x ,\nConnection: Close\n"},
	{"Close beside another option", Request{Host: "a", Close: true, Header: fieldsOf("Connection: x")}, asked{idempotent: true, close: true},
		"GET / HTTP/1.1\nHost: a\nConnection: x\nConnection: close\n"},
	{"Upgrade", Request{Host: "a", Header: fieldsOf("Upgrade: websocket")}, asked{idempotent: true, upgrade: true},
		"GET / HTTP/1.1\nHost: a\nUpgrade: websocket\nConnection: upgrade\n"},
	{"Upgrade listed", Request{Host: "a", Header: fieldsOf("Connection: Upgrade", "Upgrade: websocket")}, asked{idempotent: true, upgrade: true},
		"GET / HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: websocket\n"},
	{"TE", Request{Host: "a", Header: fieldsOf("te: trailers, x-chunked;q=0.5")}, asked{idempotent: true},
		"GET / HTTP/1.1\nHost: a\nte: trailers, x-chunked;q=0.5\nConnection: TE\n"},
	{"TE listed", Request{Host: "a", Header: fieldsOf("TE: trailers", "Connection: te")}, asked{idempotent: true},
		"GET / HTTP/1.1\nHost: a\nTE: trailers\nConnection: te\n"},
	{"all three", Request{Host: "a", Close: true, Header: fieldsOf("TE: ", "Upgrade: h2c")}, asked{idempotent: true, close: true, upgrade: true},
		"GET / HTTP/1.1\nHost: a\nTE: \nUpgrade: h2c\nConnection: close, upgrade, TE\n"},
	{"Keep-Alive and Proxy-Connection", Request{Host: "a", Header: fieldsOf("Keep-Alive: timeout=5", "Proxy-Connection: keep-alive")}, asked{idempotent: true},
		"GET / HTTP/1.1\nHost: a\nKeep-Alive: timeout=5\nProxy-Connection: keep-alive\n"},
	{"Expect", Request{Method: "POST", Host: "a", Body: encodeFive, Header: fieldsOf("Expect: 100-Continue")}, asked{expect: true, body: bodyLength, length: 5},
		"POST / HTTP/1.1\nHost: a\nExpect: 100-Continue\nContent-Length: 5\n"},
	{"Expect, chunked", Request{Method: "POST", Host: "a", Push: true, Header: fieldsOf("expect: 100-continue")}, asked{expect: true, body: bodyChunked},
		"POST / HTTP/1.1\nHost: a\nexpect: 100-continue\nTransfer-Encoding: chunked\n"},
}

func encodeLines(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// encodeHead is check and appendHead.
func encodeHead(r *Request, titleCase bool) ([]byte, asked, *Error) {
	var q asked
	if err := r.check(&q); err != nil {
		return nil, q, err
	}
	return appendHead(nil, r, &q, titleCase), q, nil
}

func TestAppendHead(t *testing.T) {
	for _, c := range encodeCases {
		got, q, err := encodeHead(&c.r, false)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if want := encodeLines(c.want + "\n"); string(got) != want {
			t.Errorf("%s:\ngot  %q\nwant %q", c.name, got, want)
		}
		wanted := c.q
		wanted.push, wanted.mayRepeat = c.r.Push, c.r.Idempotent
		if q != wanted {
			t.Errorf("%s: asked\ngot  %+v\nwant %+v", c.name, q, wanted)
		}
		if kept := appendHead([]byte("kept"), &c.r, &q, false); string(kept) != "kept"+string(got) {
			t.Errorf("%s: not appended: %q", c.name, kept)
		}
		if err := judgeHead(&c.r, &q, got); err != nil {
			t.Errorf("%s: net/http: %v", c.name, err)
		}
	}
}

func TestAppendHeadTitleCase(t *testing.T) {
	r := Request{Method: "POST", Push: true, Trailer: fieldsOf("x-md5: 1"),
		Header: fieldsOf("host: a", "content-TYPE: text/x", "x--y-: z", "1a-b_c.d: x-y", "ETAG: w")}
	want := encodeLines("POST / HTTP/1.1\nHost: a\nContent-Type: text/x\nX--Y-: z\n1a-B_c.d: x-y\nEtag: w\n" +
		"Transfer-Encoding: chunked\nTrailer: X-Md5\n\n")
	before := string(r.Header.buf)
	if got, _, err := encodeHead(&r, true); string(got) != want || err != nil {
		t.Errorf("got  %q, %v\nwant %q", got, err, want)
	}
	if string(r.Header.buf) != before {
		t.Error("the caller's Header was changed")
	}
	if got := appendTrailer([]byte("0\r\n"), &r.Trailer, true); string(got) != "0\r\nX-Md5: 1\r\n\r\n" {
		t.Errorf("trailer %q", got)
	}
	if got := appendTrailer(nil, &r.Trailer, false); string(got) != "x-md5: 1\r\n\r\n" {
		t.Errorf("trailer as given %q", got)
	}
	if got := appendTrailer(nil, &Header{}, false); string(got) != "\r\n" {
		t.Errorf("empty trailer %q", got)
	}
}

func TestRefused(t *testing.T) {
	get := func(lines ...string) Request { return Request{Host: "a", Header: fieldsOf(lines...)} }
	post := func(lines ...string) Request {
		return Request{Method: "POST", Host: "a", Body: encodeFive, Header: fieldsOf(lines...)}
	}
	push := func(lines ...string) Request {
		return Request{Method: "POST", Host: "a", Push: true, Header: fieldsOf(lines...)}
	}
	trailer := func(lines ...string) Request {
		return Request{Method: "POST", Host: "a", Push: true, Trailer: fieldsOf(lines...)}
	}
	cases := []struct {
		r     Request
		words string
	}{
		{Request{Method: "G@T", Host: "a"}, `method "G@T" is not a token`},
		{Request{Target: "x", Host: "a"}, `target "x" begins neither with "/" nor with scheme://`},
		{Request{Target: "a:80", Host: "a"}, `target "a:80" begins neither`},
		{Request{Target: "1http://a/", Host: "a"}, "begins neither"},
		{Request{Target: "://a/", Host: "a"}, "begins neither"},
		{Request{Target: "http:/a/", Host: "a"}, "begins neither"},
		{Request{Target: "http:/", Host: "a"}, "begins neither"}, // "://" is cut off
		{Request{Target: "?q", Host: "a"}, "begins neither"},
		{Request{Target: "*", Host: "a"}, `target "*", which is for OPTIONS alone`},
		{Request{Method: "OPTIONS", Target: "*x", Host: "a"}, "begins neither"},
		{Request{Method: "options", Target: "*", Host: "a"}, "for OPTIONS alone"},
		{Request{Target: "/a#b", Host: "a"}, `target "/a#b" has "#" at 2`},
		{Request{Target: "/é", Host: "a"}, `has "\xc3" at 1`},
		{Request{Target: "http:///x", Host: "a"}, `has "" for a host`},
		{Request{Target: "http://@@b/x"}, `has "@b" for a host`},
		{Request{Target: "http://u@v@b/x"}, `has "v@b" for a host`},
		{Request{Target: `http://a\@b/x`}, `has "\\" before its host`},
		{Request{Target: `ftp://|u@b/x`}, `has "|" before its host`},
		{Request{Target: `ftp://u"@b/x`}, `has "\"" before its host`},
		{Request{Target: "http://u:p@b/x"}, `"http://u:p@b/x" has userinfo`},
		{Request{Target: "HTTPS://@b/x"}, `"HTTPS://@b/x" has userinfo`},
		{Request{Target: "http://a,b/x"}, `has "a,b" for a host`},
		{Request{Target: "http://a:b/x"}, `has "a:b" for a host`},
		{Request{Target: "http://::1/x"}, `has "::1" for a host`},
		{Request{Method: "CONNECT", Host: "a"}, `target "" of CONNECT is not host:port`},
		{Request{Method: "CONNECT", Target: "/", Host: "a"}, "of CONNECT is not host:port"},
		{Request{Method: "CONNECT", Target: "a", Host: "a"}, "of CONNECT is not host:port"},
		{Request{Method: "CONNECT", Target: "a:", Host: "a"}, "of CONNECT is not host:port"},
		{Request{Method: "CONNECT", Target: "[::1]", Host: "a"}, "of CONNECT is not host:port"},
		{Request{Method: "CONNECT", Target: ":80", Host: "a"}, "of CONNECT is not host:port"},
		{Request{Method: "CONNECT", Target: "http://a:80", Host: "a"}, "of CONNECT is not host:port"},
		{Request{Method: "CONNECT", Target: "*", Host: "a"}, "of CONNECT is not host:port"},
		{Request{Method: "CONNECT", Target: "u@a:80", Host: "a"}, "of CONNECT is not host:port"},

		{Request{}, "no Host: neither in Host, nor in Header, nor in the target"},
		{Request{Target: "/a"}, "no Host"},
		{Request{Method: "POST", Body: encodeFive, Header: fieldsOf("Content-Length: 5")}, "no Host"},
		{Request{Method: "OPTIONS", Target: "*"}, "no Host"},
		{Request{Host: "a/b"}, `Host "a/b" is not host or host:port`},
		{Request{Host: "http://a"}, "is not host or host:port"},
		{Request{Host: "::1"}, "is not host or host:port"},
		{Request{Host: "[]"}, "is not host or host:port"},
		{Request{Host: "[::1"}, "is not host or host:port"},
		{Request{Host: "[::1/"}, "is not host or host:port"},
		{Request{Host: "[::1|"}, "is not host or host:port"},
		{Request{Host: "[::1|]"}, "is not host or host:port"},
		{Request{Host: "[:80"}, "is not host or host:port"},
		{Request{Host: "[::1]x"}, "is not host or host:port"},
		{Request{Host: "a/80"}, "is not host or host:port"},
		{Request{Host: "a:8x"}, "is not host or host:port"},
		{Request{Host: ":80"}, "is not host or host:port"},
		{Request{Host: "a,b"}, "is not host or host:port"},
		{Request{Host: "u@a"}, "is not host or host:port"},
		{Request{Host: "bücher.example"}, "is not host or host:port"},
		{Request{Header: fieldsOf("Host: a b")}, `Host "a b" in Header is not host or host:port`},
		{Request{Header: fieldsOf("Host: /")}, `Host "/" in Header is not host or host:port`},
		{Request{Header: fieldsOf("Host: a", "host: a")}, `host twice, the second "a"`},
		{Request{Header: fieldsOf("Host: a", "Connection: x", "host: a")}, `host twice, the second "a"`},
		{get("HOST: b"), `Host "a", and "b" in Header`},
		{get("Host: "), `Host "a", and "" in Header`},

		{get("a b: c"), `field name "a b" is not a token`},
		{get(": c"), `field name "" is not a token`},
		{get("A: b\r\nC: d"), `field "A" has "\r" at 1 of its value`},
		{get("A: b", "c:: d"), `field name "c:" is not a token`},

		{Request{Host: "a", Body: encodeFive, Push: true}, "both Body and Push"},
		{Request{Host: "a", ContentLength: 1}, "ContentLength 1 without Body or Push"},
		{Request{Host: "a", Trailer: fieldsOf("A: b")}, "Trailer without Body or Push"},
		{Request{Host: "a", Body: encodeFive, ContentLength: 5, Trailer: fieldsOf("A: b")}, "Trailer with ContentLength 5"},
		{Request{Host: "a", Push: true, ContentLength: 1, Trailer: fieldsOf("A: b")}, "Trailer with ContentLength 1"},
		{Request{Host: "a", Body: encodeFive, ContentLength: 4}, "ContentLength is 4, but Body holds 5 bytes"},
		{Request{Host: "a", Body: encodeFive, ContentLength: 6, Header: fieldsOf("Connection: x")}, "ContentLength is 6, but Body holds 5 bytes"},
		{Request{Method: "CONNECT", Target: "a:1", Body: encodeFive}, "CONNECT with a body"},
		{Request{Method: "CONNECT", Target: "a:1", Push: true}, "CONNECT with a body"},
		{Request{Method: "TRACE", Host: "a", Body: encodeAny}, "TRACE with a body"},

		{get("Content-Length: 5"), `Content-Length by hand, "5", of a body of 0 bytes`},
		{get("content-LENGTH: 1"), "of a body of 0 bytes"},
		{post("Content-Length: 4"), "of a body of 5 bytes"},
		{post("Content-Length: +5"), `by hand, "+5"`},
		{post("Content-Length: 05"), `by hand, "05"`},
		{post("Content-Length: 5, 5"), `by hand, "5, 5"`},
		{post("Content-Length: "), `by hand, ""`},
		{post("Content-Length: 18446744073709551621"), "by hand"}, // 2^64 + 5
		{post("Content-Length: 5", "content-length: 5"), `content-length twice, the second "5"`},
		{push("Content-Length: 5"), `Content-Length by hand, "5", with a chunked body`},
		{get("Transfer-Encoding: chunked"), `Transfer-Encoding by hand, "chunked", where the engine would write none`},
		{post("transfer-encoding: chunked"), "where the engine would write Content-Length"},
		{push("transfer-encoding: gzip, chunked"), `by hand, "gzip, chunked", where the engine would write Transfer-Encoding: chunked`},
		{push("Transfer-Encoding: Chunked"), `by hand, "Chunked"`},
		{push("Transfer-Encoding: identity"), "by hand"},
		{push("Transfer-Encoding: \vchunked"), `has "\v" at 0 of its value`},
		{push("Transfer-Encoding: chunked", "transfer-encoding: chunked"), "twice"},

		{get("Connection: a b"), `Connection lists "a b", not a token`},
		{get("Connection: close, content-length"), `Connection lists "content-length", which is for all recipients`},
		{get("Connection: Host"), `Connection lists "Host", which is for all recipients`},
		{get("Connection: Cache-Control"), `Connection lists "Cache-Control", which is for all recipients`},
		{get("Connection: close", "Connection: x, \"y\""), "not a token"},
		{get("Expect: 100-continue"), `Expect "100-continue" without a body`},
		{Request{Method: "POST", Host: "a", Body: encodeNone, Header: fieldsOf("Expect: 100-continue")}, "without a body"},
		{post("Expect: 200-ok"), `Expect "200-ok", not 100-continue`},
		{post("Expect: y 100-continue"), "not 100-continue"},
		{post("Expect: "), "not 100-continue"},
		{post("Expect: 100-continue", "expect: 100-continue"), "twice"},
		{get("TE: trailers, Chunked"), `TE lists "Chunked"`},
		{get("TE: chunked ;q=0.1"), "TE lists"},
		{Request{Method: "CONNECT", Target: "a:1", Header: fieldsOf("Upgrade: x")}, `Upgrade "x" with CONNECT`},

		{trailer("Content-Length: 1"), `"Content-Length" may not be a trailer field`},
		{trailer("if-match: x"), `"if-match" may not be a trailer field`},
		{trailer("Cookie: x"), `"Cookie" may not be a trailer field`},
		{trailer("A: b", "host: x"), `"host" may not be a trailer field`},
		{trailer("A b: x"), `trailer field name "A b" is not a token`},
		{trailer("A: b\x00"), `trailer field "A" has "\x00" at 1 of its value`},
	}
	for _, c := range cases {
		got, _, err := encodeHead(&c.r, false)
		if err == nil {
			t.Errorf("%q: accepted as %q", c.words, got)
			continue
		}
		if !strings.Contains(err.Error(), c.words) {
			t.Errorf("got %q, want %q", err, c.words)
		}
		if !errors.Is(err, BadRequest) || !err.Unprocessed() || err.Offset != -1 {
			t.Errorf("%q: %#v", c.words, err)
		}
	}
}

// TestOddRepaired: a Header that held an invalid field and holds it no more is fine.
func TestOddRepaired(t *testing.T) {
	r := Request{Host: "a", Header: fieldsOf("A: b\n", "C: d"), Push: true, Trailer: fieldsOf("A: b\n", "C: d")}
	r.Header.Set("a", "x")
	r.Trailer.Del("A")
	r.Header.odd, r.Trailer.odd = true, true // as if nobody had kept account
	if err := r.check(new(asked)); err != nil {
		t.Error(err)
	}
	r.Header.Add("Content-Length", "5")
	if err := r.check(new(asked)); err == nil {
		t.Error("what comes behind is not looked at")
	}
	r.Header.Del("Content-Length")
	r.Trailer.Add("Host", "x")
	if err := r.check(new(asked)); err == nil {
		t.Error("what comes behind is not looked at in a trailer")
	}
}

// TestInjection puts each octet that splits or confuses at every position of everything
// the caller can give. None may pass; HTAB and SP may, inside a value.
func TestInjection(t *testing.T) {
	octets := []string{"\r", "\n", "\r\n", "\x00", " ", "\t", "\v", "\f", "\x1b", "\x1f", "\x7f", "\x85", "\u2028"}
	into := func(s string, i int, o string) string { return s[:i] + o + s[i:] }
	places := map[string]struct {
		value string
		make  func(v string) Request
	}{
		"method":          {"GET", func(v string) Request { return Request{Method: v, Host: "a"} }},
		"target":          {"/a?b", func(v string) Request { return Request{Target: v, Host: "a"} }},
		"absolute target": {"http://a/b", func(v string) Request { return Request{Target: v} }},
		"CONNECT target":  {"a.b:80", func(v string) Request { return Request{Method: "CONNECT", Target: v} }},
		"star":            {"*", func(v string) Request { return Request{Method: "OPTIONS", Target: v, Host: "a"} }},
		"host":            {"a.b:80", func(v string) Request { return Request{Host: v} }},
		"IPv6 host":       {"[::1]:80", func(v string) Request { return Request{Host: v} }},
		"Host field":      {"a.b:80", func(v string) Request { return rawField("Host", v) }},
		"name":            {"Ab-c", func(v string) Request { return rawField(v, "x") }},
		"value":           {"x y", func(v string) Request { return rawField("Ab-c", v) }},
		"trailer name":    {"Ab-c", func(v string) Request { return rawTrailer(v, "x") }},
		"trailer value":   {"x y", func(v string) Request { return rawTrailer("Ab-c", v) }},
	}
	for place, p := range places {
		for _, o := range octets {
			for i := 0; i <= len(p.value); i++ {
				r := p.make(into(p.value, i, o))
				got, _, err := encodeHead(&r, false)
				mayPass := strings.HasSuffix(place, "value") && (o == " " || o == "\t" || o >= "\x80") ||
					place == "Host field" && (o == " " || o == "\t") && (i == 0 || i == len(p.value))
				switch {
				case mayPass && err != nil:
					t.Errorf("%s, %q at %d: %v", place, o, i, err)
				case !mayPass && err == nil:
					t.Errorf("%s, %q at %d: accepted as %q", place, o, i, got)
				case err != nil && strings.ContainsAny(err.Error(), "\r\n\x00\x7f"):
					t.Errorf("%s, %q at %d: unquoted in the error", place, o, i)
				}
			}
		}
	}
}

func rawField(name, value string) Request {
	r := Request{}
	r.Header.Add(name, value)
	if !equalFold(name, "Host") {
		r.Host = "a"
	}
	return r
}

func rawTrailer(name, value string) Request {
	r := Request{Method: "POST", Host: "a", Push: true}
	r.Trailer.Add(name, value)
	return r
}

// TestEightAtOnce compares eight octets of a target, or of a host, at a time with one, for
// each octet at each place.
func TestEightAtOnce(t *testing.T) {
	for c := range 256 {
		inTarget, inHost := octets[c]&targetChar != 0, octets[c]&hostChar != 0
		for size := 1; size <= 27; size++ {
			for at := range size {
				for _, fill := range []byte("~za0.-Z") {
					s := bytes.Repeat([]byte{fill}, size)
					s[at] = byte(c)
					if got := notTarget(string(s)); got != endIf(inTarget, size, at) {
						t.Fatalf("target %q ends at %d", s, got)
					}
					port := c == ':' && at > 0 && len(bytes.Trim(s[at+1:], "0123456789")) == 0
					if got := isHost(s); got != (inHost || port) {
						t.Fatalf("host %q: %v", s, got)
					}
				}
			}
		}
	}
}

// endIf returns where a text of one size ends, if the octet at one place may stand in it.
func endIf(may bool, size, at int) int {
	if may {
		return size
	}
	return at
}

// TestLongQuoted: an error text does not grow with what it quotes.
func TestLongQuoted(t *testing.T) {
	long := strings.Repeat("x ", 1<<20)
	for _, r := range []Request{{Method: long}, {Target: long}, {Host: long}, rawField(long, "x"), rawField("x", long+"\x00"),
		{Host: "a", Header: fieldsOf("Connection: " + long)}} {
		if err := r.check(new(asked)); err == nil || len(err.Error()) > 400 {
			t.Errorf("error of %d bytes", len(fmt.Sprint(err)))
		}
	}
}

// TestHostOnce counts the Host fields in all that is accepted: exactly one.
func TestHostOnce(t *testing.T) {
	for _, c := range encodeCases {
		got, _, _ := encodeHead(&c.r, true)
		if n := bytes.Count(got, []byte("\r\nHost: ")); n != 1 {
			t.Errorf("%s: %d Host fields in %q", c.name, n, got)
		}
	}
}

// judgeHead has net/http read a head back, says what differs from r, and wants no byte left
// over. What net/http is known to do differently by design:
//   - it parses the target as a URL and refuses some that may be sent ("/%zz"): not judged;
//   - it takes the host from an absolute or authority form, not from Host;
//   - it keeps fields in a map by canonical name, without Host, Transfer-Encoding and
//     Trailer, and adds Cache-Control where there is Pragma alone;
//   - it refuses a Trailer by hand that announces a framing field: not judged.
func judgeHead(r *Request, q *asked, head []byte) error {
	target, method := r.Target, r.Method
	if target == "" {
		target = "/"
	}
	if method == "" {
		method = "GET"
	}
	parsed := target
	if q.connect {
		parsed = "http://" + target
	}
	u, err := url.ParseRequestURI(parsed)
	if err != nil {
		return nil
	}
	long := q.length > 1<<20 // to feed; its field is compared all the same
	message := slices.Clone(head)
	switch q.body {
	case bodyChunked:
		message = append(message, "0\r\n"...)
		message = appendTrailer(message, &r.Trailer, false)
	case bodyLength:
		if !long {
			message = append(message, make([]byte, q.length)...)
		}
	}
	const rest = "REST"
	br := bufio.NewReaderSize(strings.NewReader(string(message)+rest), len(message)+len(rest)+16)
	got, err := http.ReadRequest(br)
	if err != nil {
		if strings.Contains(err.Error(), "bad trailer key") {
			return nil
		}
		return err
	}
	if got.Method != method || got.RequestURI != target || got.Proto != "HTTP/1.1" {
		return fmt.Errorf("read as %q %q %q", got.Method, got.RequestURI, got.Proto)
	}
	wantHost := u.Host
	if wantHost == "" {
		if wantHost = r.Host; wantHost == "" {
			wantHost = r.Header.Get("Host")
		}
	}
	if got.Host != wantHost {
		return fmt.Errorf("host read as %q, want %q", got.Host, wantHost)
	}
	if want := q.close; got.Close != want {
		return fmt.Errorf("close read as %v", got.Close)
	}
	if err := judgeHeadFields(r, q, got); err != nil {
		return err
	}
	if long {
		return nil
	}
	if _, err := io.Copy(io.Discard, got.Body); err != nil {
		return fmt.Errorf("body: %v", err)
	}
	if err := judgeTrailer(&r.Trailer, got.Trailer, q.body == bodyChunked); err != nil {
		return fmt.Errorf("trailer: %v", err)
	}
	if left, _ := io.ReadAll(br); string(left) != rest {
		return fmt.Errorf("left over: %q", left)
	}
	return nil
}

// judgeHeadFields compares framing and fields.
func judgeHeadFields(r *Request, q *asked, got *http.Request) error {
	chunked := slices.Equal(got.TransferEncoding, []string{"chunked"})
	length := got.Header.Get("Content-Length")
	switch {
	case chunked != (q.body == bodyChunked) || len(got.TransferEncoding) > 1:
		return fmt.Errorf("transfer codings read as %q", got.TransferEncoding)
	case q.body == bodyLength && got.ContentLength != q.length,
		q.body == bodyNone && got.ContentLength != 0, q.body == bodyChunked && length != "":
		return fmt.Errorf("length read as %d of %q", got.ContentLength, length)
	}
	want := make(http.Header)
	for name, value := range r.Header.All() {
		switch lookup(name) {
		case knownHost, knownTransferEncoding:
		case knownTrailer:
			if q.body != bodyChunked {
				want.Add(string(name), string(value))
			}
		default:
			want.Add(string(name), string(value))
		}
	}
	if want.Get("Pragma") == "no-cache" && want["Cache-Control"] == nil {
		want.Set("Cache-Control", "no-cache")
	}
	have := got.Header.Clone()
	if want["Content-Length"] == nil {
		have.Del("Content-Length") // the engine's own
	}
	if c := have["Connection"]; len(c) == len(want["Connection"])+1 {
		if have["Connection"] = c[:len(c)-1]; len(c) == 1 { // the engine's own, last
			delete(have, "Connection")
		}
	}
	if len(have) != len(want) {
		return fmt.Errorf("fields read as %q, want %q", have, want)
	}
	for name, values := range want {
		if !slices.Equal(have[name], values) {
			return fmt.Errorf("field %q read as %q, want %q", name, have[name], values)
		}
	}
	return nil
}

// judgeTrailer compares a section with what net/http made of it.
func judgeTrailer(h *Header, got http.Header, there bool) error {
	want := make(http.Header)
	for name, value := range h.All() {
		if there {
			want.Add(textproto.CanonicalMIMEHeaderKey(string(name)), string(value))
		}
	}
	for name, values := range want {
		if !slices.Equal(got[name], values) {
			return fmt.Errorf("%q read as %q, want %q", name, got[name], values)
		}
	}
	return nil
}

// FuzzRequest: what check accepts and appendHead writes, http.ReadRequest reads back as
// one message with the same fields, and nothing is left over.
func FuzzRequest(f *testing.F) {
	for _, c := range encodeCases {
		var fields, trailer strings.Builder
		for name, value := range c.r.Header.All() {
			fmt.Fprintf(&fields, "%s\n%s\n", name, value)
		}
		for name, value := range c.r.Trailer.All() {
			fmt.Fprintf(&trailer, "%s\n%s\n", name, value)
		}
		f.Add(c.r.Method, c.r.Target, c.r.Host, fields.String(), trailer.String(), c.r.Push || c.r.Body != nil,
			c.r.ContentLength, c.r.Close, false)
	}
	f.Add("GET", "/", "a", "A\rB\nc\r\rd\n", "", false, int64(0), true, true)
	f.Fuzz(func(t *testing.T, method, target, host, fields, trailer string, push bool, length int64, close, title bool) {
		r := Request{Method: method, Target: target, Host: host, Push: push, ContentLength: length, Close: close}
		fill := func(h *Header, s string) {
			// Names and values in turn, parted by "\n"; a "\f" stands for a "\n" in one.
			for lines := strings.Split(s, "\n"); len(lines) > 1; lines = lines[2:] {
				h.Add(strings.ReplaceAll(lines[0], "\f", "\n"), strings.ReplaceAll(lines[1], "\f", "\n"))
			}
		}
		fill(&r.Header, fields)
		fill(&r.Trailer, trailer)
		head, q, err := encodeHead(&r, title)
		if err != nil {
			return
		}
		if err := judgeHead(&r, &q, head); err != nil {
			t.Errorf("%v\n%q", err, head)
		}
	})
}

// benchRequest is a GET of six fields.
func benchRequest() *Request {
	return &Request{Target: "/api/v1/items/12345?fields=name,price", Host: "api.example.com",
		Header: fieldsOf("User-Agent: h1-bench/1.0", "Accept: application/json", "Accept-Encoding: gzip, br",
			"Authorization: Bearer 0123456789abcdef0123456789abcdef", "X-Request-Id: 6ba7b810-9dad-11d1-80b4-00c04fd430c8",
			"Cache-Control: no-cache")}
}

func BenchmarkEncode(b *testing.B) {
	plain, titled, hosted := benchRequest(), benchRequest(), benchRequest()
	hosted.Header.Add("Host", hosted.Host)
	hosted.Host = ""
	post := benchRequest()
	post.Method, post.Push = "POST", true
	post.ContentLength = 12345
	for _, c := range []struct {
		name  string
		r     *Request
		title bool
	}{{"get", plain, false}, {"get title", titled, true}, {"get known", hosted, false}, {"post", post, false}} {
		b.Run(c.name, func(b *testing.B) {
			dst := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				var q asked
				if err := c.r.check(&q); err != nil {
					b.Fatal(err)
				}
				dst = appendHead(dst[:0], c.r, &q, c.title)
			}
			b.SetBytes(int64(len(dst)))
		})
	}
}
