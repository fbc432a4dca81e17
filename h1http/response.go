package h1http

// response.go: h1.Response becomes http.Response, whose body is the end of the exchange.
//
// Rule: the connection is let go exactly once: when the body's end was read, when the body
// was closed, or at once if there is no body. The http.Response is the caller's to keep,
// and never used again; what the engine borrowed is used again once no goroutine can be in
// it.

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"sync"

	"example.com/h1"
)

// response is what the caller gets, in one allocation.
type response struct {
	http.Response
	body body
}

// body is http.Response.Body. It is also an io.WriterTo: from socket to socket, io.Copy
// moves it inside the kernel.
type body struct {
	mu   sync.Mutex
	call *call // nil: the exchange is over
	link *link
	out  *http.Response
	err  error // what Read returns once the exchange is over
	busy bool  // a Read or WriteTo is under way
}

var (
	errReadAfterClose = errors.New("http: read on closed response body")
	errConcurrentRead = errors.New("http: concurrent read on response body")
)

// deliver makes the caller's response of a head that was read, and lets the connection go
// if there is no body.
func (l *link) deliver(c *call) (*http.Response, error) {
	in := &c.resp
	r := &response{}
	out := &r.Response
	convert(out, in, c.hreq)
	out.TLS = l.tlsState()
	if isSwitch(in.Status, c.hreq) {
		if err := l.switched(c, out); err != nil { // it was closed meanwhile
			return nil, err
		}
		return out, nil
	}
	c.into.close()
	if c.hreq.Method == "HEAD" || in.Status == 204 || in.Status == 304 || in.ContentLength == 0 {
		out.Body = http.NoBody
		l.over(c)
		c.free()
		return out, nil
	}
	r.body.call, r.body.link, r.body.out = c, l, out
	out.Body = &r.body
	if c.gzip && foldEqual(out.Header.Get("Content-Encoding"), "gzip") {
		out.Body = &gunzip{body: &r.body}
		out.Header.Del("Content-Encoding")
		out.Header.Del("Content-Length")
		out.ContentLength = -1
		out.Uncompressed = true
	}
	return out, nil
}

// switched gives the stream to the caller as the response's Body, after 101 or after 2xx to
// CONNECT. It is an io.Writer, too, and the caller's to close.
func (l *link) switched(c *call, out *http.Response) error {
	parts, err := l.h.Detach()
	switch {
	case err != nil:
		l.over(c)
		return &answeredError{err}
	case c.hreq.Method == "CONNECT":
		out.Body = newTunnel(l, c, parts.Stream())
	default:
		l.over(c)
		out.Body = parts.Stream()
	}
	return nil
}

// answeredError is what ended a connection behind the head of its last response. It is not
// an [*h1.Error], which would say that nothing of the request was sent.
type answeredError struct{ err error }

func (e *answeredError) Error() string        { return "h1http: answered, but not switched: " + e.err.Error() }
func (e *answeredError) Is(target error) bool { return errors.Is(e.err, target) }

// enter takes the body for one Read or WriteTo.
func (b *body) enter() (*call, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.call == nil:
		return nil, b.err
	case b.busy:
		return nil, errConcurrentRead
	}
	b.busy = true
	return b.call, nil
}

// leave gives the body back. An error, and io.EOF is one, ends the exchange.
func (b *body) leave(c *call, err error) error {
	b.mu.Lock()
	b.busy = false
	if b.call == nil { // closed meanwhile: Close has let the connection go
		defer b.mu.Unlock()
		return b.err
	}
	if err == nil {
		b.mu.Unlock()
		return nil
	}
	err = c.plain(err)
	b.call, b.err = nil, err
	//lint:ignore SA1019 deprecated for callers, of whom http.Client is one
	cancel := c.hreq.Cancel // now, for once Close returns hreq is the caller's again
	b.mu.Unlock()
	if err == io.EOF {
		b.fillTrailer(c)
	} else if c.stop != nil {
		awaitClient(c.ctx, cancel)
	}
	b.link.over(c)
	if err == io.EOF {
		c.free()
	}
	return err
}

// plain returns context.Canceled, context.DeadlineExceeded or io.ErrUnexpectedEOF itself
// for a body's error that says no more than that. Besides io.EOF these are what callers
// compare with ==: httputil.ReverseProxy does, and logs any other, and so do those who go
// on with a download that was cut off.
func (c *call) plain(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) && kindOf(err) == h1.Incomplete {
		return io.ErrUnexpectedEOF
	}
	if c.ctx.Err() != nil && context.Cause(c.ctx) == context.DeadlineExceeded {
		if k := kindOf(err); k == h1.Timeout || k == h1.Canceled {
			return context.DeadlineExceeded
		}
	}
	return plainCanceled(c.ctx, err)
}

// kindOf returns the Kind of an error of the engine's, and 0 for any other.
func kindOf(err error) h1.Kind {
	if e := (*h1.Error)(nil); errors.As(err, &e) {
		return e.Kind
	}
	return 0
}

// plainCanceled returns context.Canceled itself for an error that says no more than that.
// Before the head a deadline keeps its h1.Error: who meets it may want to send the request
// again, and that tells whether it was sent. Where the deadline is but the cause, as at
// http.Client's Timeout, that does not call itself a timeout, and what is around it does.
func plainCanceled(ctx context.Context, err error) error {
	if ctx.Err() == nil || kindOf(err) != h1.Canceled {
		return err
	}
	switch context.Cause(ctx) {
	case context.Canceled:
		return context.Canceled
	case context.DeadlineExceeded:
		return &timeoutError{err.Error(), err}
	}
	return err
}

// fillTrailer adds the fields behind the body to those that were announced.
func (b *body) fillTrailer(c *call) {
	if c.resp.Trailer.Len() == 0 {
		return
	}
	got := fields(&c.resp.Trailer)
	if b.out.Trailer == nil {
		b.out.Trailer = got
		return
	}
	maps.Copy(b.out.Trailer, got)
}

// Read reads some of the body.
func (b *body) Read(p []byte) (int, error) {
	c, err := b.enter()
	if err != nil {
		return 0, err
	}
	n, err := c.resp.Body.Read(p)
	return n, b.leave(c, err)
}

// WriteTo writes the rest of the body to w.
func (b *body) WriteTo(w io.Writer) (int64, error) {
	c, err := b.enter()
	if err == io.EOF {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := c.resp.Body.(io.WriterTo).WriteTo(w)
	if err != nil {
		// The next Read tells whether the writer failed, or the stream.
		err = c.plain(err) // not behind leave: a Close may then have given c away
		if bad := b.leave(c, nil); bad != nil {
			err = bad
		}
		return n, err
	}
	if err = b.leave(c, io.EOF); err == io.EOF {
		err = nil
	}
	return n, err
}

// Close gives up what was not read. The engine keeps the connection if little of it is
// left.
func (b *body) Close() error {
	b.mu.Lock()
	c, busy := b.call, b.busy
	b.call, b.err = nil, errReadAfterClose
	b.mu.Unlock()
	if c == nil {
		return nil
	}
	err := c.resp.Body.Close()
	b.link.over(c)
	if !busy {
		c.free()
	}
	return err
}
