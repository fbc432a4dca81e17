package h1http

// response.go: h1.Response becomes http.Response, and its body the end of the exchange.
//
// Rule: the connection is let go exactly once: when the body's end was read, when the body
// was closed, or at once if there is no body. The http.Response is the caller's to keep,
// and never used again; what the engine borrowed is used again once no goroutine can be in
// it.

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
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
	if in.Status == 101 || c.hreq.Method == "CONNECT" && in.Status/100 == 2 {
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

// convert makes net/http's head of the engine's.
func convert(out *http.Response, in *h1.Response, hreq *http.Request) {
	out.Status = responseStatus(in.Status, in.Reason())
	out.StatusCode = in.Status
	out.Proto, out.ProtoMajor, out.ProtoMinor = "HTTP/1.1", 1, in.Minor
	if in.Minor != 1 {
		out.Proto = "HTTP/1." + strconv.Itoa(in.Minor)
	}
	out.Header = fields(&in.Header)
	out.ContentLength, out.Request = in.ContentLength, hreq
	out.Close = (in.Close || in.Status == 101) && saysClose(out)
	fixFraming(out)
	switch {
	case hreq.Method == "CONNECT" && in.Status/100 == 2:
		out.ContentLength, out.Close = -1, true
	case in.Status == 101:
		out.ContentLength = 0
	}
}

// saysClose reports whether a head says that the connection ends behind its message. The
// engine's Close does not tell: it is also true if the request said so.
func saysClose(out *http.Response) bool {
	h := out.Header
	te := h["Transfer-Encoding"]
	switch {
	case out.ProtoMinor == 0 && !hasToken(h["Connection"], "keep-alive"), hasToken(h["Connection"], "close"):
		return true
	case len(te) == 0: // the body's end is the connection's
		return out.ContentLength < 0 && out.Request.Method != "HEAD" && out.StatusCode != 304
	}
	return out.ProtoMinor == 0 || len(h["Content-Length"]) > 0 || !foldEqual(trim(te[len(te)-1]), "chunked")
}

// fields copies a field section. All values share one string, to allocate once.
func fields(h *h1.Header) http.Header {
	n, size := h.Len(), 0
	for i := range n {
		_, v := h.At(i)
		size += len(v)
	}
	var b strings.Builder
	b.Grow(size)
	for i := range n {
		_, v := h.At(i)
		b.Write(v)
	}
	all := b.String()
	values := make([]string, n)
	out := make(http.Header, n)
	for i := range n {
		k, v := h.At(i)
		name := canonical(k)
		values[i], all = all[:len(v)], all[len(v):]
		if before, repeated := out[name]; repeated {
			out[name] = append(before, values[i])
		} else {
			out[name] = values[i : i+1 : i+1]
		}
	}
	return out
}

// fixFraming brings a head into net/http's form: what frames the message is moved from
// Header to fields of Response.
func fixFraming(out *http.Response) {
	h := out.Header
	head, empty := out.Request.Method == "HEAD", out.StatusCode == 204 || out.StatusCode == 304
	if te := h["Transfer-Encoding"]; len(te) > 0 {
		delete(h, "Transfer-Encoding")
		if out.ProtoMinor > 0 && foldEqual(trim(te[len(te)-1]), "chunked") {
			out.TransferEncoding = []string{"chunked"}
			if !head && !empty {
				out.ContentLength = -1
				delete(h, "Content-Length")
			}
		}
	}
	if cl := h["Content-Length"]; len(cl) > 1 && len(slices.Compact(slices.Clone(cl))) == 1 {
		h["Content-Length"] = cl[:1]
	}
	switch {
	case head && (empty || out.TransferEncoding != nil): // where the engine does not read Content-Length
		out.ContentLength = declared(h)
	case empty && !head:
		out.ContentLength = 0
	}
	if out.ProtoMinor > 0 && hasToken(h["Connection"], "close") {
		delete(h, "Connection") // Close says it
	}
	if out.TransferEncoding != nil {
		out.Trailer = announced(h)
	}
	if p := h["Pragma"]; len(p) > 0 && p[0] == "no-cache" {
		if _, ok := h["Cache-Control"]; !ok {
			h["Cache-Control"] = []string{"no-cache"}
		}
	}
}

// declared returns the length that Content-Length says; -1 if it says none, or there are
// several.
func declared(h http.Header) int64 {
	cl := h["Content-Length"]
	if len(cl) != 1 {
		return -1
	}
	n, err := strconv.ParseUint(cl[0], 10, 63)
	if err != nil {
		return -1
	}
	return int64(n)
}

// announced takes the Trailer field out of h and returns the keys it promises.
func announced(h http.Header) http.Header {
	values, ok := h["Trailer"]
	if !ok {
		return nil
	}
	delete(h, "Trailer")
	t := make(http.Header)
	for _, v := range values {
		for key := range strings.SplitSeq(v, ",") {
			switch key = http.CanonicalHeaderKey(trim(key)); key {
			case "", "Transfer-Encoding", "Trailer", "Content-Length":
			default:
				t[key] = nil
			}
		}
	}
	if len(t) == 0 {
		return nil
	}
	return t
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

// leave gives it back, and ends the exchange with an error, io.EOF among them.
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
	b.call, b.err = nil, err
	b.mu.Unlock()
	if err == io.EOF {
		b.fillTrailer(c)
	}
	b.link.over(c)
	if err == io.EOF {
		c.free()
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
