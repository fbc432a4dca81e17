package h1

// message.go: what a caller gives and gets: Config, Request, Response.
//
// Rule: the caller owns every value here; the engine borrows a Request until its
// exchange ends, and a Response until its body was read to the end or closed.

import (
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// Lenient names faults in a response head that may be overlooked. Each is off unless
// its bit is set; a body's chunked framing knows no leniency.
type Lenient uint8

const (
	// BareLF: a head's line may end with LF alone (RFC 9112, section 2.2).
	BareLF Lenient = 1 << iota
	// SpaceBeforeColon: white space may stand between name and colon; it is dropped.
	SpaceBeforeColon
	// SkipInvalidField: a field line that the grammar does not allow is left out, unless
	// it, or a part of it, may seem to frame the body, or it has a CR that ends no line.
	SkipInvalidField
	// HTTP09: what does not begin as a status line is the body of an HTTP/0.9 response.
	// Only a connection's first response may be one, and none to CONNECT.
	HTTP09
)

// A Config sets limits and habits of a connection. The zero value is the default. A field
// less than 0 means the same as 0, except MaxDrain. NewConn copies it.
type Config struct {
	// Depth is the most requests in flight at once; 0 means 1: no pipelining. More is for
	// servers known to pipeline: a few lose requests that come together, and then the
	// answer to one request is taken for that to another, which nothing can tell. Where the
	// server leaves Nagle's algorithm on (puma, eventlet, Twisted, evhttp do), the second
	// of its answers waits until the first was acknowledged, for 40 ms on Linux.
	Depth int
	// MaxHeadBytes limits a status line and its fields, or a trailer section, each with
	// the empty line that ends it; 0 means 256 KiB. Past it: TooLarge.
	MaxHeadBytes int
	// MaxHeaders limits the fields in one section; 0 means 256. Past it: TooLarge.
	MaxHeaders int
	// MaxInformational limits the 1xx responses before one final response; 0 means 16.
	// Past it: TooLarge.
	MaxInformational int
	// MaxDrain limits the bytes moved for nothing to save a connection: the content of a
	// response that nobody reads, or the rest of a request's body that the server has
	// answered already. 0 means 64 KiB, less than 0 none. Not counted are chunked framing
	// and trailer sections, which have limits of their own, and the last write of a
	// request's body of known length, which is let end in any case: at most 64 KiB and what
	// WriteBuffer holds.
	MaxDrain int64
	// ExpectTimeout is how long to hold a body back for 100 (Continue); 0 means 1 s. Past
	// it the body is sent.
	ExpectTimeout time.Duration
	// HeadTimeout limits the time from the request's last byte, or from the end of the
	// response in front where that is later, to the final response's head; 0 means none.
	// Past it: Timeout, and the connection ends, with what is in flight behind. A head that
	// is there when Wait is called is taken, however late that is.
	HeadTimeout time.Duration
	// StallTimeout limits the time a read or a write may make no progress; 0 means none.
	// Past it: Timeout, and the connection ends, with all that is in flight. A write that
	// moved some of its bytes and then none counts as progress once: a TCP socket that
	// takes no more may allow two or three of these, and the limit be three or four times
	// as long. Reads are limited only once the request is out, for until then the server
	// may wait for the rest of it. Out is what the stream has taken: a socket holds some
	// megabytes, for which a link of 1 Mbit/s needs half a minute, and does not tell
	// meanwhile that they move; nor does a write under TLS that waits for room. Where
	// bodies are sent over such links, the limit must be longer than that.
	StallTimeout time.Duration
	// ReadBuffer and WriteBuffer are in bytes; 0 means 4 KiB, and they are rounded up to a
	// power of two. A head longer than ReadBuffer grows it, up to MaxHeadBytes.
	ReadBuffer, WriteBuffer int
	// Fresh says that the stream was opened for its first request, and has not waited for
	// one. What the server sends before that request, to say that it is too busy for
	// instance, is then the response to it, and the connection's last, for the server may
	// answer the request as well; else it is Unsolicited. Fresh ends once Probe or Watch is
	// called. It has no effect on a stream with NetConn (TLS), unless that has PeekNow.
	Fresh bool
	// TitleCase writes the names of fields in Title-Case.
	TitleCase bool
	// Lenient is which faults of a response's head to overlook; 0 means none.
	Lenient Lenient
	// Timing fills Response.Timing.
	Timing bool
}

// The limits' defaults. Of the heads in testdata/cases that are to be accepted, the
// longest has 200 KB, and the one of most fields some 200. 256 KiB is 1/40 of net/http's
// limit; 256 fields are 2.5 times hyper's limit; 16 informational responses leave room for
// any sensible number and bound a flood; 64 KiB is about what a new connection would cost
// instead, in the bytes that a link moves during its handshake.
const (
	defaultHeadBytes     = 256 << 10
	defaultHeaders       = 256
	defaultInformational = 16
	defaultDrain         = 64 << 10
	defaultExpect        = time.Second
	defaultBuffer        = 4 << 10
)

// withDefaults returns cfg with every zero replaced by what it means.
func (cfg Config) withDefaults() Config {
	or := func(n *int, def int) {
		if *n <= 0 {
			*n = def
		}
	}
	or(&cfg.Depth, 1)
	or(&cfg.MaxHeadBytes, defaultHeadBytes)
	or(&cfg.MaxHeaders, defaultHeaders)
	or(&cfg.MaxInformational, defaultInformational)
	or(&cfg.ReadBuffer, defaultBuffer)
	or(&cfg.WriteBuffer, defaultBuffer)
	cfg.ReadBuffer, cfg.WriteBuffer = 1<<class(cfg.ReadBuffer), 1<<class(cfg.WriteBuffer)
	switch {
	case cfg.MaxDrain == 0:
		cfg.MaxDrain = defaultDrain
	case cfg.MaxDrain < 0:
		cfg.MaxDrain = 0
	}
	if cfg.ExpectTimeout <= 0 {
		cfg.ExpectTimeout = defaultExpect
	}
	cfg.HeadTimeout, cfg.StallTimeout = max(cfg.HeadTimeout, 0), max(cfg.StallTimeout, 0)
	return cfg
}

var defaults = Config{}.withDefaults()

// latest is the Config that was shared last: connections are made by the thousand with the
// same one, and need only one copy of it.
var latest atomic.Pointer[Config]

// shared returns a copy of cfg that nobody changes.
func shared(cfg Config) *Config {
	if c := latest.Load(); c != nil && *c == cfg {
		return c
	}
	latest.Store(&cfg)
	return &cfg
}

// A Request is what to ask. The caller must not change it, or what it refers to, before
// its exchange has ended: the body is read, and Trailer written, while the response may
// already be on its way. After that it may be sent again, with Body set anew or sought
// back: some of it may have been read even if nothing was sent, and a bytes.Reader that
// was read to its end is an empty body like any other. Without Body and Push a Request may
// be in several exchanges at once, also of several connections.
type Request struct {
	// Method is a token, case-sensitive; "" means GET.
	Method string
	// Target is written as it is, in one of the four forms of RFC 9112, section 3.2: origin
	// ("/path?query"), absolute ("http://host/path"), authority ("host:port", with CONNECT
	// alone) or asterisk ("*", with OPTIONS alone); "" means "/". Bytes outside ASCII are
	// refused: percent-encode them.
	Target string
	// Host is the Host field, written first, or where Header has it as well, in its place
	// there; "" takes it from Header, and where that has none either, from a Target of
	// absolute or authority form. RFC 9112, section 3.2, wants Host and Target to name the
	// same host; that is not checked, for a proxy may be asked for one host and told
	// another. A Host in Header that differs from this is refused.
	Host string
	// Header is the other fields. Content-Length and Transfer-Encoding are the engine's to
	// write; by hand they are accepted only where they say the same (Transfer-Encoding:
	// "chunked" in small letters). Expect may be "100-continue", where there is a body. A
	// transfer coding that TE offers is not decoded: a response that has it inside chunked
	// fails with BadFraming, one that has it alone is delivered as it came.
	Header Header
	// Body is read to its end, or for ContentLength bytes; nil: none (http.NoBody is one of
	// unknown length, which turns out to be empty). It is not closed. One byte more than
	// ContentLength may be asked for: a body that gives it fails with BodyFailed. A body
	// that fails ends the connection, except one with a Len(), and without Expect, that
	// fits the write buffer beside its head. Where the response ends first, Body may be
	// read on until the connection is Ready. Where the exchange fails, or the connection
	// ends with the response, a read of Body, or a write from its memory, may still be
	// under way; Close and Shutdown do not wait for it, save for one disk read where the
	// kernel moves a file. A Body that does not go out with its head is read on a goroutine
	// of the engine's: a panic there cannot be recovered, and ends the program.
	Body io.Reader
	// ContentLength is the body's length in bytes. 0 means Body's Len() where it has one,
	// else unknown, as it does with Push; less than 0 means unknown. A body of unknown
	// length is sent chunked. More than 0 without Body or Push is refused (BadRequest), and
	// so is more than 0 that differs from Body's Len() where it has one.
	ContentLength int64
	// Push says that the body comes through Exchange.Write instead of Body, which is nil.
	Push bool
	// Trailer is written after a chunked body. Fields that it has when the request is sent
	// are announced (RFC 9110, section 6.6.2), unless Header has a Trailer field, and make a
	// Body with a Len() chunked; with a ContentLength above 0, or without Body or Push, they
	// are refused (BadRequest). Whoever sends the body may add more until its last read has
	// returned, or CloseWrite is called; behind a body of known length those are not sent.
	Trailer Header
	// Deadline limits the whole exchange, both bodies included; zero: only the context
	// does. Past it: Timeout. One that passes while nobody is in a call is noticed by the
	// next call that has to wait, for its turn or for the peer: what was read by then is
	// delivered, unless somebody waits behind it.
	Deadline time.Time
	// Close says that this is the last request on its connection; Connection: close is
	// sent.
	Close bool
	// Idempotent says that the request may be sent twice though its method does not say
	// so (it has an Idempotency-Key, for instance), and so pipelined.
	Idempotent bool
	// Informational is called for each 1xx response but 101, in order, on the goroutine
	// that waits for the final response. The Header is a view that dies with the call. An
	// error from it ends the exchange, with Canceled and that error as cause.
	Informational func(status int, h *Header) error
}

// A Response is what came back. The caller makes it (its zero value will do) and uses it
// again from call to call: the memory stays, the views die with the next use. It belongs to
// one goroutine at a time, and must not be copied while Body is unread: Trailer is filled
// in the original. Copies share its memory: only one of them may be used again.
type Response struct {
	// Minor is the server's version: HTTP/1.Minor.
	Minor int
	// Status is the three-digit code.
	Status int
	// Header is the fields, in the order and the case they were sent in.
	Header Header
	// Trailer is filled once Body has returned io.EOF. Fields that may not stand in a
	// trailer (RFC 9110, section 6.5.1) are left out of it, and counted by Stats.
	Trailer Header
	// ContentLength is the body's length in bytes; -1: unknown. In answer to HEAD, and in a
	// 304, it is what GET would have got.
	ContentLength int64
	// Close says that the connection ends after this response. It is false where the stream
	// was given to another protocol, and where what comes later ends it: an upload that is
	// given up, bytes that nobody asked for. See Conn.Err.
	Close bool
	// Body is never nil after a call that returned no error, and is also an io.WriterTo. It
	// must be read to io.EOF or closed before the next response can be read. Close saves
	// the connection where at most MaxDrain bytes have to be read for it, within 50 ms, and
	// otherwise ends it; where other requests are in flight behind this one, their callers
	// read on, in their own time. A Close while another goroutine reads ends the exchange,
	// and so, where it is alone, the connection. Reads fail with Incomplete, BadChunk,
	// BadField, TooLarge, Timeout, Canceled or IO; with Closed after a Close before the
	// end, or after the connection's; with NotReady while another goroutine reads. After
	// 101, or CONNECT's 2xx, it is empty: see Conn.Detach.
	//
	// It is the same object at each use of the Response: a Body kept from before reads the
	// next response. One that goes on until the stream's end is as whole as the stream's
	// io.EOF says; crypto/tls says so where the server has closed in good order, or where
	// it was cut off between two records, and a stream that hides its socket may say so
	// where that broke while the request was still being written.
	Body io.ReadCloser
	// Timing is filled where Config.Timing is set.
	Timing Timing

	reason   []byte
	section  Header // a trailer section that is not whole yet
	lineLen  int    // of the status line, where Header holds the fields as they came; else 0 or less
	lengthAt int    // which field is the only Content-Length, from 1; 0: none, several, or unknown
	body     body
}

// Timing says when an exchange passed its stages. A time is zero where the stage was not
// reached.
type Timing struct {
	Queued   time.Time // Send or Do was called
	Admitted time.Time // the request got its turn to write
	Sent     time.Time // its last byte had gone out; zero if the head came before that was known
	Head     time.Time // the final response's head was parsed
	Done     time.Time // the caller had read the body's end
}

// Reason returns the reason phrase, as a view: it lives until the Response is used again.
func (r *Response) Reason() []byte { return r.reason }

// AppendBody appends the whole of Body to dst, and returns the extended slice. A body of
// more than max bytes fails with TooLarge, Offset then being max, and the first max bytes
// of it are returned with that error, once the rest was closed as by Body.Close; max < 0
// means no limit. Other errors are those of Body's Read, with what came before them. On a
// Response that was given to no call it fails with Closed.
func (r *Response) AppendBody(dst []byte, max int64) ([]byte, error) {
	const least = 512  // as io.ReadAll: small bodies take one read
	if r.Body == nil { // it was given to no call yet
		return dst, errNoBody
	}
	start := len(dst)
	for {
		room, rest := int64(cap(dst)-len(dst)), r.ContentLength-int64(len(dst)-start)
		if fits := 0 <= rest && rest <= room; room == 0 || room < least && !fits {
			dst = append(dst, make([]byte, least)...)[:len(dst)]
		}
		into := dst[len(dst):cap(dst)]
		if left := max - int64(len(dst)-start); max >= 0 && int64(len(into)) > left {
			into = into[:left+1] // the one more shows that it is longer
		}
		n, err := r.Body.Read(into)
		dst = dst[:len(dst)+n]
		if max >= 0 && int64(len(dst)-start) > max {
			dst = dst[:start+int(max)]
			sent := r.body.cutOff()
			r.Body.Close()
			return dst, &Error{Kind: TooLarge, Op: "read body", Offset: max, Sent: sent, seen: true,
				Err: errors.New("the body is longer than the caller allows")}
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}
