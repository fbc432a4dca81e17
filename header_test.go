package h1

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
)

func inOrder(h *Header) string {
	var b strings.Builder
	for name, value := range h.All() {
		b.WriteString(string(name) + "=" + string(value) + ";")
	}
	return b.String()
}

// Order and case stay as given, names match without case, and buf is at every moment what
// goes on the wire.
func TestHeader(t *testing.T) {
	var h Header
	for _, step := range []struct {
		do   func()
		want string
	}{
		{func() {}, ""},
		{func() { h.Add("X-a", " 1\t") }, "X-a=1;"},
		{func() { h.Add("B", " ") }, "X-a=1;B=;"},
		{func() { h.Add("x-A", "2") }, "X-a=1;B=;x-A=2;"},
		{func() { h.Set("X-A", "3") }, "X-A=3;B=;"},
		{func() { h.Set("c", "4") }, "X-A=3;B=;c=4;"},
		{func() { h.Add("C", "5") }, "X-A=3;B=;c=4;C=5;"},
		{func() { h.Set("C", "4") }, "X-A=3;B=;C=4;"}, // the first of that name is not the first of all
		{func() { h.Set("c", "4") }, "X-A=3;B=;c=4;"},
		{func() { h.Del("nothing") }, "X-A=3;B=;c=4;"},
		{func() { h.Del("b") }, "X-A=3;c=4;"},
	} {
		step.do()
		if got := inOrder(&h); got != step.want {
			t.Fatalf("got %q, want %q", got, step.want)
		}
		wire := strings.NewReplacer("=", ": ", ";", "\r\n").Replace(step.want)
		if string(h.buf) != wire {
			t.Fatalf("on the wire %q, want %q", h.buf, wire)
		}
	}
	for range h.All() {
		break // stopping early is allowed
	}
	name, value := h.At(0)
	_, _ = append(name, 'x'), append(value, 'x') // copies: what stands behind a view is not its
	if got := inOrder(&h); got != "X-A=3;c=4;" || string(h.buf) != "X-A: 3\r\nc: 4\r\n" {
		t.Errorf("changed through views: %q", h.buf)
	}
	own := h.Clone()
	h.Reset()
	switch {
	case inOrder(&own) != "X-A=3;c=4;" || own.Len() != 2:
		t.Errorf("the clone went with the original: %q", inOrder(&own))
	case own.Get("C") != "4" || own.Get("d") != "" || !own.Has("c") || own.Has("d"):
		t.Error("Get and Has")
	case own.Peek("d") != nil || h.Len() != 0:
		t.Error("Peek of nothing, Reset")
	}
}

// Set keeps the knowledge of fields the engine acts on.
func TestHeaderKnown(t *testing.T) {
	var h Header
	h.Add("content-LENGTH", "5")
	h.Add("Connection", "close")
	if !h.has(knownContentLength) || !h.has(knownConnection) || h.has(knownHost) {
		t.Fatalf("known %b", h.known)
	}
	if h.Del("Content-Length"); h.has(knownContentLength) || !h.has(knownConnection) {
		t.Fatalf("known %b after Del", h.known)
	}
	if h.Set("connection", "x, Close"); !h.hasOption("CLOSE") || h.hasOption("clos") {
		t.Error("tokens in a list")
	}
	h.Add("evil", "\x00")
	h.Reset()
	h.Add("A", "1")
	if h.known != 0 || h.odd {
		t.Errorf("known %b, odd %v after Reset", h.known, h.odd)
	}
}

// A name that differs from one the engine acts on in a single letter is another.
func TestLookup(t *testing.T) {
	for _, name := range []string{"te", "host", "expect", "upgrade", "trailer", "connection", "keep-alive",
		"content-length", "transfer-encoding"} {
		if lookup(name) == 0 {
			t.Errorf("%q is not known", name)
		}
		for i := range name {
			if other := name[:i] + "x" + name[i+1:]; other != name && lookup(other) != 0 {
				t.Errorf("%q is taken for %q", other, name)
			}
		}
	}
}

// The classes of octets are those of the grammar, said in other words than the table's.
func TestOctetClasses(t *testing.T) {
	among := func(c int, s string) bool { return strings.IndexByte(s, byte(c)) >= 0 }
	for c := range 256 {
		vchar := 0x21 <= c && c <= 0x7e
		for _, class := range []struct {
			name string
			bit  uint8
			want bool
		}{
			{"token", tchar, vchar && !among(c, "\"(),/:;<=>?@[\\]{}")}, // RFC 9110, 5.6.2: VCHAR but delimiters
			{"field value", fieldChar, c == '\t' || c == ' ' || vchar || c >= 0x80},
			{"target", targetChar, vchar && c != '#'},
			{"size", hexDigit, vchar && among(c, "0123456789abcdefABCDEF")},
			{"host", hostChar, vchar && !among(c, ":/?#[]@"+"\"<>\\^`{|}"+",")}, // RFC 3986, 2.2: but gen-delims
		} {
			if got := octets[c]&class.bit != 0; got != class.want {
				t.Errorf("%q in a %s: %v", rune(c), class.name, got)
			}
		}
		if got := lower(byte(c)) != byte(c); got != ('A' <= c && c <= 'Z') {
			t.Errorf("%q has a lower case: %v", rune(c), got)
		}
	}
}

// A field that may not be written stays one, whatever is done to others.
func TestHeaderStaysOdd(t *testing.T) {
	for name, change := range map[string]func(h *Header){
		"Set":   func(h *Header) { h.Set("A", "2") },
		"Del":   func(h *Header) { h.Del("A") },
		"Clone": func(h *Header) { *h = h.Clone() },
	} {
		for _, odd := range []string{"evil\r\nHost: b", "evil\x00"} {
			r := Request{Host: "a"}
			r.Header.Add("A", "1")
			r.Header.Add("B", odd)
			change(&r.Header)
			if err := r.check(new(asked)); err == nil || err.Kind != BadRequest {
				t.Errorf("%s of another field lets %q pass: %v", name, odd, err)
			}
		}
	}
}

// A Clone shares nothing with what it was made of.
func TestHeaderClone(t *testing.T) {
	h := fieldsOf("A: 1", "B: 2")
	clone := h.Clone()
	clear(h.buf)
	clear(h.fields)
	if got := inOrder(&clone); got != "A=1;B=2;" {
		t.Errorf("it has become %q", got)
	}
	if clone.Del("A"); inOrder(&clone) != "B=2;" {
		t.Errorf("changed, it is %q", clone.buf)
	}
}

// Kinds and Sent print in words, and an Error is all that net.Error asks for.
func TestErrorWords(t *testing.T) {
	for k := Kind(1); k < kinds; k++ {
		if s := k.String(); s == "" || s != k.Error() || strings.HasPrefix(s, "kind ") {
			t.Errorf("kind %d prints %q", k, s)
		}
	}
	for _, k := range []Kind{0, kinds} {
		if s := k.Error(); !strings.HasPrefix(s, "kind ") {
			t.Errorf("an unknown kind prints %q", s)
		}
	}
	if SentNothing.String() != "nothing" || SentPart.String() != "part" || SentAll.String() != "all" {
		t.Error("Sent")
	}
	var timeout interface {
		error
		Timeout() bool
		Temporary() bool
	}
	err := error(fromDeadline("read head", whyStall))
	if !errors.As(err, &timeout) || !timeout.Timeout() || !timeout.Temporary() || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v is no timeout", err)
	}
	if errors.Is(errIdleEnd, io.EOF) || !errors.Is(errIdleEnd, Closed) {
		t.Error("Is")
	}
}

// TestErrorsAre: an error is its Kind and its cause, if there is one, and says so in words.
func TestErrorsAre(t *testing.T) {
	bare := &Error{Kind: Incomplete, Op: "read head", Offset: -1}
	if !errors.Is(bare, Incomplete) || errors.Is(bare, IO) || errors.Is(bare, nil) {
		t.Errorf("%v is not what it is", bare)
	}
	if got := bare.Unwrap(); len(got) != 1 || got[0] != Incomplete { // package errors allows no nil there
		t.Errorf("it holds %v", got)
	}
	if got, want := bare.Error(), "h1: read head: incomplete message"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	full := &Error{Kind: BadChunk, Op: "read body", Offset: 7, Err: io.ErrClosedPipe}
	if !errors.Is(full, BadChunk) || !errors.Is(full, io.ErrClosedPipe) || errors.Is(full, Incomplete) {
		t.Errorf("%v is not what it is", full)
	}
	if got, want := full.Error(), "h1: read body: bad chunk at 7: "+io.ErrClosedPipe.Error(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// sendOf makes a template with some fields, and writes the requests that are made of it,
// but for those that are refused. The fields of each are to be where its bytes are.
func sendOf(t *testing.T, pad int, change func(template *Request) []*Request) (wire string) {
	t.Helper()
	template := &Request{Host: "a"}
	template.Header.Add("User-Agent", strings.Repeat("u", pad))
	template.Header.Add("B", "1")
	template.Header.Add("Accept", "*/*")
	for _, req := range change(template) {
		if out, _, err := encodeHead(req, false); err == nil {
			wire += string(out)
			if got := strings.NewReplacer("=", ": ", ";", "\r\n").Replace(inOrder(&req.Header)); got != string(req.Header.buf) {
				t.Errorf("the fields of %q are %q", req.Header.buf, got)
			}
		}
	}
	return wire
}

// A Header that was copied by assignment is sent as it is, whatever becomes of the others.
func TestCopiedHeader(t *testing.T) {
	for pad := range 100 { // the memory behind the last field is there for some lengths
		agent := "Host: a\r\nUser-Agent: " + strings.Repeat("u", pad) + "\r\nB: 1\r\n" // three fields, and room for a fourth
		template := "GET / HTTP/1.1\r\n" + agent + "Accept: */*\r\n"
		for name, c := range map[string]struct {
			change func(*Request) []*Request
			want   string
		}{
			"two copies, each with a field of its own": {func(r *Request) []*Request {
				alice, bob := *r, *r
				alice.Header.Add("Authorization", "alice")
				bob.Header.Add("Authorization", "bob")
				return []*Request{&alice, &bob}
			}, template + "Authorization: alice\r\n\r\n" + template + "Authorization: bob\r\n\r\n"},
			"a copy, and the original": {func(r *Request) []*Request {
				alice := *r
				r.Header.Add("Authorization", "root")
				alice.Header.Add("A", "alice")
				return []*Request{&alice, r}
			}, template + "A: alice\r\n\r\n" + template + "Authorization: root\r\n\r\n"},
			"what is refused in a copy": {func(r *Request) []*Request {
				evil := *r
				evil.Header.Set("User-Agent", "v\r\n\r\nGET /evil HTTP/1.1\r\nHost: a")
				return []*Request{&evil, r}
			}, template + "\r\n"},
			"a framing field in a copy": {func(r *Request) []*Request {
				evil := *r
				evil.Header.Del("User-Agent")
				evil.Header.Add("Content-Length", "5")
				return []*Request{r, &evil}
			}, template + "\r\n"},
			"a copy that grows much": {func(r *Request) []*Request {
				one, two := *r, *r
				one.Header.Add("Connection", "x")
				two.Header.Add("Some-Other-Field", strings.Repeat("z", 200))
				return []*Request{&one}
			}, template + "Connection: x\r\n\r\n"},
			"an original that is put back": {func(r *Request) []*Request {
				base := r.Header
				r.Header.Add("Id", "1")
				one := *r
				r.Header = base
				r.Header.Add("Id", "2")
				return []*Request{&one, r}
			}, template + "Id: 1\r\n\r\n" + template + "Id: 2\r\n\r\n"},
			"an empty original that is put back after Del": {func(r *Request) []*Request {
				r.Header.Reset()
				base := r.Header
				r.Header.Add("Id", "1")
				one := *r
				r.Header.Del("Id")
				r.Header = base
				r.Header.Add("Id", "2")
				return []*Request{&one, r}
			}, "GET / HTTP/1.1\r\nHost: a\r\nId: 1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nId: 2\r\n\r\n"},
			"an original that is put back after Add, and emptied": {
				putBackAndEmptied(func(h *Header) { h.Add("Id", "1") }), template + "\r\n"},
			"an original that is put back after Del, and emptied": {
				putBackAndEmptied(func(h *Header) { h.Del("User-Agent") }), template + "\r\n"},
			"a copy that is emptied": {func(r *Request) []*Request {
				one := *r
				one.Header.Reset()
				one.Header.Add("One", "1")
				return []*Request{r, &one}
			}, template + "\r\nGET / HTTP/1.1\r\nHost: a\r\nOne: 1\r\n\r\n"},
		} {
			if got := sendOf(t, pad, c.change); got != c.want {
				t.Errorf("%s, %d octets: got %q, want %q", name, pad, got, c.want)
			}
		}
	}
}

// putBackAndEmptied returns a copy of a request whose own Header was changed, put back, and
// then emptied and filled again.
func putBackAndEmptied(change func(*Header)) func(*Request) []*Request {
	return func(r *Request) []*Request {
		base, one := r.Header, *r
		change(&r.Header)
		r.Header = base
		r.Header.Reset()
		r.Header.Add("Evil", strings.Repeat("x", 100))
		return []*Request{&one}
	}
}

// A response that is read into a copy is not read into the original.
func TestReadIntoACopy(t *testing.T) {
	cached := fieldsOf("Cached: yes")
	resp := Response{Header: cached}
	c := NewConn(&pieces{left: []string{"HTTP/1.1 204 No Content\r\nOther-Field: 1\r\n\r\n"}}, nil)
	if err := c.Do(context.Background(), &Request{Host: "a"}, &resp); err != nil {
		t.Fatal(err)
	}
	if got := inOrder(&cached); got != "Cached=yes;" {
		t.Errorf("the original: %q", got)
	}
}

// A loop over a Header may take fields out of it.
func TestAllWithDel(t *testing.T) {
	h := fieldsOf("X-A: 1", "B: 2", "X-C: 3")
	for name := range h.All() {
		if strings.HasPrefix(string(name), "X-") {
			h.Del(string(name))
		}
	}
	if h.Has("X-A") || !h.Has("B") {
		t.Errorf("left: %q", h.buf)
	}
}

// Copies are as good as any other Header in that several goroutines may each change one of
// their own.
func TestCopiedHeaderAtOnce(t *testing.T) {
	template := fieldsOf("A: 1")
	template.Add("B", "2")
	var all sync.WaitGroup
	for _, reset := range []bool{false, true} {
		all.Go(func() {
			mine := template
			if reset {
				mine.Reset()
			}
			mine.Add("C", "3")
			if mine.Get("C") != "3" || mine.Has("A") == reset {
				t.Errorf("reset %v: %q", reset, mine.buf)
			}
		})
	}
	all.Wait()
}

// What ended a connection is told to the next request in words that are said once.
func TestErrorOfAnother(t *testing.T) {
	for _, test := range []struct {
		why                *Error
		refused, neighbour string
	}{
		{errCloseSaid, "h1: send: connection closed: the server said close",
			"h1: connection: connection closed: the server said close"},
		{newError(IO, "write body", io.ErrClosedPipe), "h1: send: connection closed: write body: stream failed: " + io.ErrClosedPipe.Error(),
			"h1: connection: stream failed: write body: " + io.ErrClosedPipe.Error()},
		{fromDeadline("read head", whyStall), "h1: send: connection closed: read head: timeout: StallTimeout: i/o timeout",
			"h1: connection: connection closed: read head: timeout: StallTimeout: i/o timeout"},
		{badPeer(BadField, 12, "CR without LF", nil), "h1: send: connection closed: read head: bad field at 12: CR without LF",
			"h1: connection: connection closed: read head: bad field at 12: CR without LF"},
	} {
		if test.why.Op == "" {
			test.why.Op = "read head"
		}
		c := Conn{err: test.why}
		if got := c.refusal("send").Error(); got != test.refused {
			t.Errorf("%q, want %q", got, test.refused)
		}
		if got, want := c.refusal("send").Err.Error(), test.why.Error(); got != want {
			t.Errorf("the cause is %q, want %q", got, want)
		}
		if got := neighbour(test.why).Error(); got != test.neighbour {
			t.Errorf("%q, want %q", got, test.neighbour)
		}
	}
}

// What one caller did, or had no more time for, is told to others in words alone.
func TestToldToOthers(t *testing.T) {
	for k := Kind(1); k < kinds; k++ {
		err := newError(k, "test", nil).forOthers()
		own := k == Canceled || k == Timeout || k == BadRequest || k == BodyFailed
		if errors.Is(err, k) == own {
			t.Errorf("%v is found: %v", err, !own)
		}
	}
}
