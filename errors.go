package h1

// errors.go: what went wrong, where, and how far the request had come.
//
// Rule: an Error states only what is known by the bytes that moved. Nothing the
// peer sent stands in its text unquoted.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
)

// A Kind says what went wrong. It is an error itself, so that
//
//	errors.Is(err, h1.Incomplete)
//
// reports whether err is an [*Error] of that kind, or has one for a cause: a request that
// was refused because another's response was cut off is Closed, and has that, Incomplete,
// for its cause.
type Kind uint8

// The kinds. Which side is at fault stands in brackets.
const (
	_ Kind = iota
	// Closed: the connection takes no more requests (see its Err), or the exchange, or its
	// body, has ended. [either]
	Closed
	// NotReady: what does not wait (TrySend, Ready.Err, Detach) would have had to, or
	// another goroutine reads the body. [caller]
	NotReady
	// Canceled: the context was canceled, Cancel was called, a body was closed while it was
	// read, or Informational returned an error; or one of the caller's functions that the
	// engine calls has panicked, or ended its goroutine. [caller]
	Canceled
	// Timeout: a deadline passed, the context's among them, or the stream stalled. [either]
	Timeout
	// BadRequest: the request may not be written as it is, or a call does not fit it (a
	// second Wait, a Write without Push). [caller]
	BadRequest
	// BodyFailed: the request's body failed, or is not of the length declared. [caller]
	BodyFailed
	// Incomplete: the stream ended inside a message, or before one. [peer]
	Incomplete
	// Unsolicited: bytes came that nobody asked for. [peer]
	Unsolicited
	// BadVersion: what came is not an HTTP/1.x status line. [peer]
	BadVersion
	// BadStatus: a status code is not three digits from 100 on, or is followed by what may
	// not stand there. [peer]
	BadStatus
	// BadField: the grammar does not allow a field line. [peer]
	BadField
	// TooLarge: a limit of Config, or of AppendBody's caller, was passed; or what a chunked
	// body's size lines carry besides sizes outweighs its data by more than 16 KiB. [peer]
	TooLarge
	// BadFraming: Content-Length or Transfer-Encoding cannot be trusted. [peer]
	BadFraming
	// BadChunk: the grammar does not allow a chunked body. [peer]
	BadChunk
	// IO: the stream failed; Err is its error. [stream]
	IO
	// NotSwitched: a 101 was not asked for; or it, or a 2xx to CONNECT, came before the
	// request was over. [either]
	NotSwitched

	kinds
)

var kindText = [kinds]string{
	Closed: "connection closed", NotReady: "not ready", Canceled: "canceled", Timeout: "timeout",
	BadRequest: "bad request", BodyFailed: "request body failed", Incomplete: "incomplete message",
	Unsolicited: "unsolicited bytes", BadVersion: "bad version", BadStatus: "bad status",
	BadField: "bad field", TooLarge: "too large", BadFraming: "bad framing", BadChunk: "bad chunk",
	IO: "stream failed", NotSwitched: "not switched",
}

// Error returns the kind's name in words.
func (k Kind) Error() string {
	if k > 0 && k < kinds {
		return kindText[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// String returns the same as Error.
func (k Kind) String() string { return k.Error() }

// Sent says how much of a request the stream had taken when its exchange failed.
type Sent uint8

const (
	SentNothing Sent = iota // no byte of it
	SentPart                // some of it; or none or all, where a write, or CloseWrite, has yet to say so
	SentAll                 // head, body and trailer
)

// String returns "nothing", "part" or "all".
func (s Sent) String() string {
	switch s {
	case SentNothing:
		return "nothing"
	case SentPart:
		return "part"
	}
	return "all"
}

// An Error is what every call of this package fails with, but for a stream's Close and
// WriteTo's writer, whose errors are returned as they are. It is not changed once returned.
// Its text is for people; programs look at the fields.
type Error struct {
	// Kind is what went wrong.
	Kind Kind
	// Op is what was being done: "write head", "read head", "read body", ...
	Op string
	// Offset says where in the peer's message, counted from its first byte, there is a byte
	// that should not be there, or that passes a limit of bytes or fields; else it is -1,
	// also for BadFraming in a head that was mended (an obs-fold, or what Lenient
	// overlooks).
	Offset int64
	// Sent is how much of the request had gone out.
	Sent Sent
	// Err is the cause, or nil.
	Err error

	seen        bool // a byte of a response to this request was read
	unprocessed bool // the protocol says that the server did not act on it
	idempotent  bool // Request.Idempotent
}

// Error says what failed, where and why.
func (e *Error) Error() string { return "h1: " + e.Op + e.details(0) }

// details is what stands behind the operation, but for the kind if that was said already: a
// cause may be an Error itself.
func (e *Error) details(said Kind) string {
	var s string
	if e.Kind != said {
		s = ": " + e.Kind.Error()
	}
	if e.Offset >= 0 {
		s += " at " + strconv.FormatInt(e.Offset, 10)
	}
	cause := e.Err
	if t, ok := cause.(told); ok {
		cause = t.err
	}
	switch in, ok := cause.(*Error); {
	case cause == nil:
		return s
	case !ok:
		return s + ": " + cause.Error()
	case in.Op == opConnection:
		return s + in.details(e.Kind)
	default:
		return s + ": " + in.Op + in.details(e.Kind)
	}
}

// opConnection is the Op of what befell the connection, and was done in no exchange.
const opConnection = "connection"

// Unwrap returns the kind and the cause, so that errors.Is finds either.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// forOthers is the error as the cause of another's: what one caller did, or had no more
// time for, is told to the others, and is not found by errors.Is.
func (e *Error) forOthers() error {
	switch e.Kind {
	case Canceled, Timeout, BadRequest, BodyFailed:
		return told{e}
	}
	return e
}

// told is an error in words only.
type told struct{ err error }

func (t told) Error() string { return t.err.Error() }

// Timeout reports whether a deadline or a stall ended the exchange, as net.Error asks.
func (e *Error) Timeout() bool { return e.Kind == Timeout }

// Temporary reports the same as Timeout; net.Error asks for it.
func (e *Error) Temporary() bool { return e.Timeout() }

// Unprocessed reports whether the server certainly did not act on the request: no byte of
// it went out, or it stood behind a response with Connection: close (RFC 9112, section
// 9.6). A request of any method may then be sent again, on another connection. What Err,
// Probe, Watch and Shutdown return is no request's error, and says nothing of those that
// were sent.
func (e *Error) Unprocessed() bool { return e.unprocessed || e.Sent == SentNothing }

// Retryable reports whether a request of that method may be sent again, on another
// connection: where it is Unprocessed, or where the method is idempotent (by RFC 9110,
// section 9.2.2, or QUERY), or Request.Idempotent was set, and no byte of a response was
// seen. A request that is itself at fault (BadRequest, BodyFailed), or whose caller ended
// it (Canceled), is Retryable by the same rule; it is for the caller to want it. Its body
// may have been read, even where no byte was sent: send it anew, as [Request] says.
func (e *Error) Retryable(method string) bool {
	return e.Unprocessed() || (!e.seen && (e.idempotent || isIdempotent(method)))
}

// isIdempotent reports whether a method is idempotent by RFC 9110, section 9.2.2, or
// is QUERY, which was meant for that. Methods are case-sensitive; "" means GET.
func isIdempotent(method string) bool {
	switch method {
	case "", "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY":
		return true
	}
	return false
}

// newError makes an error that is not about a byte of the peer's.
func newError(k Kind, op string, cause error) *Error {
	return &Error{Kind: k, Op: op, Offset: -1, Err: cause}
}

// with returns e for another cause.
func (e *Error) with(cause error) *Error {
	own := *e
	own.Err = cause
	return &own
}

// quoted is how much of a peer's bytes an error's text shows: enough to recognise the
// place, short enough for a log line.
const quoted = 32

// badPeer makes the error for bytes at offset off that the peer should not have sent,
// quoting some of them.
func badPeer(k Kind, off int64, why string, bytes []byte) *Error {
	if len(bytes) > quoted {
		bytes = bytes[:quoted]
	}
	e := &Error{Kind: k, Offset: off, Err: errors.New(why)}
	if len(bytes) > 0 {
		e.Err = fmt.Errorf("%s: %q", why, bytes)
	}
	return e
}

// badRequest makes the error for a request that may not be written.
func badRequest(format string, args ...any) *Error {
	return newError(BadRequest, "check request", fmt.Errorf(format, args...))
}

// fromContext makes the error for a context that has ended.
func fromContext(ctx context.Context, op string) *Error {
	cause := context.Cause(ctx)
	if !errors.Is(cause, ctx.Err()) {
		cause = fmt.Errorf("%w: %w", ctx.Err(), cause)
	}
	e := newError(Canceled, op, cause)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		e.Kind = Timeout
	}
	return e
}

// fromDeadline makes the error for a deadline that has passed.
func fromDeadline(op string, why rule) *Error {
	return newError(Timeout, op, fmt.Errorf("%s: %w", why, os.ErrDeadlineExceeded))
}
