package h1

// nearmiss_test.go: near misses of the grammar: what differs in one byte from what is
// accepted, or refused, elsewhere.

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// respond gives the body of a response of these bytes to a GET, behind which the server
// closes, or the error; cut: the bytes come one by one.
func respond(t *testing.T, cfg Config, wire string, cut bool) (status int, body string, err error) {
	inBubble(t, cfg, false, func(r *rig) {
		r.s.one = cut
		r.raw(wire)
		r.s.fail(io.EOF)
		var resp Response
		if err = r.c.Do(context.Background(), get("/"), &resp); err != nil {
			return
		}
		var b []byte
		b, err = resp.AppendBody(nil, -1)
		status, body = resp.Status, string(b)
	})
	return status, body, err
}

// A byte out of its place is refused, whether its neighbours are at hand or yet to come;
// and what only looks alike is not.
func TestNearMisses(t *testing.T) {
	const ok, chunked = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	const end = "\r\n0\r\n\r\n"
	for _, c := range []struct {
		wire string
		kind Kind // 0: none
		body string
	}{
		{ok + "Content-Length: 5\r\n\r\nhello", 0, "hello"},
		{"HTTP/1.1_200 OK\r\nContent-Length: 5\r\n\r\nhello", BadVersion, ""},
		{ok + "Content-Length: 5, 5\r\n\r\nhello", 0, "hello"},
		{ok + "Content-Length: 0, 5\r\n\r\nhello", BadFraming, ""},
		{ok + "Content-Length: 5, 0\r\n\r\nhello", BadFraming, ""},
		{ok + "Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello", BadFraming, ""},
		{ok + "Content-Length: 5\r\nKeep-Alive: 3\r\n\r\nhello", 0, "hello"},
		{ok + "Keep-Alive: 3\r\nContent-Length: 5\r\nKeep-Alive: 3\r\n\r\nhello", 0, "hello"},

		{chunked + "5\r\nhello\r\n5\r\nworld" + end, 0, "helloworld"},
		{chunked + "\r\n5\r\nhello" + end, BadChunk, ""},
		{chunked + "5\r\nhello_\n5\r\nworld" + end, BadChunk, ""},
		{chunked + "5\r\nhello\r_5\r\nworld" + end, BadChunk, ""},
		{chunked + "5\r\nhello\r\n5_\nworld" + end, BadChunk, ""},
		{chunked + "5\r\nhello\r\n5\r_world" + end, BadChunk, ""},
		{chunked + "5\r\nhello\r\n12345678\nworld", BadChunk, ""},
		{chunked + "5;a=b\\c\r\nhello" + end, 0, "hello"},
		{chunked + "5;a=\"b\\\"c\"\r\nhello" + end, 0, "hello"},
		{chunked + "5;a=\"b\\c\r\nhello" + end, BadChunk, ""},
	} {
		for _, cut := range []bool{false, true} {
			_, body, err := respond(t, Config{}, c.wire, cut)
			var bad *Error
			switch errors.As(err, &bad); {
			case c.kind == 0 && (err != nil || body != c.body):
				t.Errorf("%q, one by one %v: %q, %v", c.wire, cut, body, err)
			case c.kind != 0 && (bad == nil || bad.Kind != c.kind):
				t.Errorf("%q, one by one %v: %q, %v, want %v", c.wire, cut, body, err, c.kind)
			}
		}
	}
}

// A trailer that is refused for one of its bytes is so also where more bytes have come than
// it may have.
func TestRefusedBeforeTooLong(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
	for tail, kind := range map[string]Kind{"A\x00": BadField, "A: ": TooLarge} {
		_, _, err := respond(t, Config{MaxHeadBytes: 100}, chunked+tail+strings.Repeat("x", 200), false)
		wantError(t, err, kind, SentAll)
	}
}

// Leniency grants what it names, to the byte: a bare LF neither folds a line without
// BareLF, nor ends a head behind another byte; and a line that may end a head is not left
// out.
func TestLenientNearMisses(t *testing.T) {
	const ok, end = "HTTP/1.1 200 OK\r\n", "Content-Length: 5\r\n\r\nhello"
	for _, c := range []struct {
		lenient Lenient
		wire    string
		kind    Kind
	}{
		{SpaceBeforeColon, ok + "A : b\r\n c\r\n" + end, 0},
		{SpaceBeforeColon, ok + "A : b\n c\r\n" + end, BadField},
		{SpaceBeforeColon | BareLF, ok + "A : b\n c\r\n" + end, 0},
		{SkipInvalidField | BareLF, ok + "A\n" + end, 0},
		{SkipInvalidField | BareLF, ok + "A: b\n" + end, 0},
		{SkipInvalidField | BareLF, ok + " \n" + end, BadField},
		{SkipInvalidField | BareLF, ok + " \r\n" + end, BadField},
		{BareLF, ok + "A:\n" + end, 0},
		{BareLF, ok + "A:\n\n", 0},
	} {
		status, body, err := respond(t, Config{Lenient: c.lenient}, c.wire, false)
		var bad *Error
		switch errors.As(err, &bad); {
		case c.kind != 0 && (bad == nil || bad.Kind != c.kind):
			t.Errorf("%q: %d %q, %v, want %v", c.wire, status, body, err, c.kind)
		case c.kind == 0 && strings.HasSuffix(c.wire, end) && (err != nil || body != "hello"):
			t.Errorf("%q: %d %q, %v", c.wire, status, body, err)
		}
	}
}

// A scheme is made of letters, and Title-Case changes letters: of those next to them in
// ASCII neither is one.
func TestLettersEnd(t *testing.T) {
	for target, want := range map[string]bool{"a://h": true, "z://h": true, "Z://h": true, "~://h": false,
		"a~://h": false, "a{://h": false, "@://h": false, "a`://h": false} {
		if _, _, ok := authority(target); ok != want {
			t.Errorf("%q has a scheme: %v", target, ok)
		}
	}
	for name, want := range map[string]string{"accept-zone": "Accept-Zone", "~a-|b-`c": "~a-|b-`c", "ZA": "Za"} {
		got := []byte(name)
		if toTitle(got); string(got) != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
}

// A body that is known to be empty is none, also where the method may have none.
func TestEmptyBodyOfTrace(t *testing.T) {
	for _, body := range []string{"", "x"} {
		err := (&Request{Method: "TRACE", Host: "x", Body: strings.NewReader(body)}).check(new(asked))
		if (err == nil) != (body == "") {
			t.Errorf("%q: %v", body, err)
		}
	}
}

// Only an error of Kind Timeout says that it is one, in each of the ways to ask.
func TestTimeoutIsTimeout(t *testing.T) {
	for k := Kind(1); k < kinds; k++ {
		e := newError(k, "test", errors.New("why"))
		if is := k == Timeout; e.Timeout() != is || e.Temporary() != is || isTimeout(e) != is {
			t.Errorf("%v: Timeout %v, Temporary %v", e, e.Timeout(), e.Temporary())
		}
	}
}

// An error says where, from the first byte on, and quotes some of the bytes that were
// refused, but no more than a log line bears.
func TestErrorsQuote(t *testing.T) {
	for wire, want := range map[string]string{
		"_": `at 0: `,
		"HTTP/1.1 200 OK\r\nContent-Length: " + strings.Repeat("x", 3000) + "\r\n\r\n": `"Content-Length: xx`,
	} {
		_, _, err := respond(t, Config{}, wire, false)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said: %v", want, err)
		} else if n := len(err.Error()); n > 3*quoted+100 {
			t.Errorf("%d bytes of text", n)
		}
	}
}
