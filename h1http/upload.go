package h1http

// upload.go: the body of a request.
//
// Rule: whatever happens, the caller's body is closed exactly once: at its end, when the
// exchange is over, or when the request is refused. It is closed even under a Read that
// hangs, since nothing else would end that; if Close hangs as well, it is not waited for.
// One upload serves one attempt, so that an attempt that has failed cannot take a byte from
// the next.

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/h1"
)

// An upload is what the engine reads a body from. A nil *upload means no body.
type upload struct {
	from io.Reader // rc, or what reads it; set before the exchange
	call *call     // of the attempt; set before the exchange
	size int64     // declared; -1: unknown, and sent chunked
	left int64     // of size; owned by the goroutine in Read

	mu     sync.Mutex
	rc     io.ReadCloser
	began  bool          // a Read has begun: bytes of rc may be gone
	reads  int           // Reads of rc that are under way
	closed bool          // rc was closed, or passed on to the next attempt
	idle   chan struct{} // closed once closed is set and reads is 0; nil: nobody waits for that
}

var (
	errBodyClosed = errors.New("h1http: the request's body is closed")
	errNoRewind   = errors.New("h1http: cannot rewind body after connection loss")
)

// newUpload takes charge of the caller's body.
func newUpload(hreq *http.Request) *upload {
	if bodyless(hreq) {
		return nil
	}
	u := &upload{rc: hreq.Body, from: hreq.Body, size: hreq.ContentLength}
	if u.size == 0 || isChunked(hreq.TransferEncoding) {
		u.size = -1
	}
	u.left = u.size
	return u
}

// bodyless reports whether a request has no body. NoBody is one if it is chunked by hand,
// for it may have a trailer.
func bodyless(hreq *http.Request) bool {
	return hreq.Body == nil || hreq.Body == http.NoBody && !isChunked(hreq.TransferEncoding)
}

func isChunked(te []string) bool { return len(te) > 0 && te[0] == "chunked" }

// read reads the body, unless it is closed.
func (u *upload) read(p []byte) (int, error) {
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return 0, errBodyClosed
	}
	u.began = true
	u.reads++
	u.mu.Unlock()
	defer u.readDone()
	return u.from.Read(p)
}

// begin notes that a byte of the body may be gone.
func (u *upload) begin() {
	u.mu.Lock()
	u.began = true
	u.mu.Unlock()
}

// tracked is a body lent to another RoundTripper, which may close it and then decline the
// request (http.ErrSkipAltProtocol).
type tracked struct{ up *upload }

func (b *tracked) Read(p []byte) (int, error) {
	b.up.begin()
	return b.up.rc.Read(p)
}

func (b *tracked) Close() error { return b.up.close() }

// Read is for the engine. After the last byte it closes the body.
func (u *upload) Read(p []byte) (int, error) {
	n, err := u.read(p)
	if err == errBodyClosed {
		return 0, err
	}
	if u.size >= 0 {
		u.left -= int64(n)
	}
	switch {
	case err == io.EOF, err == nil && u.size >= 0 && u.left == 0:
		if bad := u.call.fillTrailer(); bad != nil {
			return n, bad
		}
		if bad := u.close(); bad != nil {
			return n, bad
		}
		if u.size < 0 || u.left == 0 { // else the engine fails, and says why
			u.call.tr.wroteRequest(nil)
		}
	case err != nil:
		u.call.tr.wroteRequest(err)
	}
	return n, err
}

// readDone notes that a Read of rc has returned.
func (u *upload) readDone() {
	u.mu.Lock()
	u.reads--
	if u.reads == 0 && u.idle != nil {
		close(u.idle)
		u.idle = nil
	}
	u.mu.Unlock()
}

// closeGrace is how long the end of an exchange waits for the Close of a body that is being
// read, and for that Read. With some bodies (that of net/http's server is one) Close waits
// for Read, which may hang.
const closeGrace = 10 * time.Millisecond

// close closes the caller's body, the first time it is called. Each time it waits for a
// Read that is under way, for at most closeGrace: afterwards the request, and the memory
// that its body reads, may be the caller's again.
func (u *upload) close() error {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	closed := u.closed
	u.closed = true
	if u.reads > 0 && u.idle == nil {
		u.idle = make(chan struct{})
	}
	idle := u.idle
	u.mu.Unlock()
	if idle == nil {
		if closed {
			return nil
		}
		return u.rc.Close()
	}
	over := make(chan error, 1)
	go func() {
		var err error
		if !closed {
			err = u.rc.Close()
		}
		<-idle
		over <- err
	}()
	select {
	case err := <-over:
		return err
	case <-time.After(closeGrace):
		return nil
	}
}

// mayRepeat reports whether next will succeed, as far as can be known.
func (u *upload) mayRepeat(hreq *http.Request) bool {
	if u == nil || hreq.GetBody != nil || hreq.Body == http.NoBody {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.began && !u.closed
}

// next returns the upload of the next attempt: with the same body if not a byte of it was
// asked for, else with one from GetBody.
func (u *upload) next(hreq *http.Request) (*upload, error) {
	if u == nil {
		return nil, nil
	}
	n := &upload{size: u.size, left: u.size}
	u.mu.Lock()
	fresh := !u.began && !u.closed
	if fresh { // so no Read has begun, or will
		u.closed = true
		n.rc, n.from = u.rc, u.from
	}
	u.mu.Unlock()
	if fresh {
		return n, nil
	}
	u.close()
	if hreq.Body == http.NoBody {
		n.rc, n.from = http.NoBody, http.NoBody
		return n, nil
	}
	if hreq.GetBody == nil {
		return nil, errNoRewind
	}
	rc, err := hreq.GetBody()
	if err != nil {
		return nil, err
	}
	n.rc, n.from = rc, rc
	return n, nil
}

// nopCloser is what io.NopCloser makes of a reader that is an io.WriterTo, as those of
// memory are.
var nopCloser = reflect.TypeOf(io.NopCloser(new(bytes.Reader)))

// mostCopied is the size of the largest body in memory that is copied: the most that the
// engine sends with its head.
const mostCopied = 64 << 10

// reader returns what the engine is to read. A body in memory that GetBody can make again
// is handed over bare, so that the engine sends it with its head. But when an exchange has
// failed the engine may be about to read it, while reader and memory are the caller's
// again. So the engine gets a copy of both, or of the reader alone if it reads a string,
// which cannot change. A body that is too long to copy is read as any other.
func (u *upload) reader(hreq *http.Request, watched bool) io.Reader {
	if watched || u.size <= 0 || hreq.GetBody == nil {
		return u
	}
	if hreq.Header["Expect"] != nil { // a body that is not asked for stays unread
		return u
	}
	if reflect.TypeOf(u.from) != nopCloser {
		return u
	}
	bare := reflect.ValueOf(u.from).Field(0).Interface()
	if text, ok := bare.(*strings.Reader); ok && int64(text.Len()) == u.size {
		u.begin()
		return u.call.sameText(text)
	}
	switch bare.(type) {
	case *bytes.Reader, *bytes.Buffer:
		if int64(bare.(interface{ Len() int }).Len()) == u.size && u.size <= mostCopied {
			u.begin()
			return u.call.copied(bare.(io.Reader), int(u.size))
		}
	}
	return u
}

// copied returns a reader of the n bytes that r holds, copied into memory of the call.
func (c *call) copied(r io.Reader, n int) io.Reader {
	c.data = slices.Grow(c.data[:0], n)[:n]
	io.ReadFull(r, c.data) // cannot fail: r holds n bytes
	c.body.Reset(c.data)
	return &c.body
}

// sameText returns a reader of what r holds that belongs to the call, and moves r to its
// end.
func (c *call) sameText(r *strings.Reader) io.Reader {
	c.text = *r
	r.Seek(0, io.SeekEnd)
	return &c.text
}

// sniffTime is how long the body of a request that usually has none may take to show that
// it is not empty. net/http allows as much.
const sniffTime = 200 * time.Millisecond

// sniff finds out whether a body of unknown length is empty, if the method usually has
// none: many servers do not expect even an empty one there. If it is, sniff returns nil,
// and the error of its Close.
func (u *upload) sniff(hreq *http.Request) (*upload, error) {
	if u == nil || u.size >= 0 || isChunked(hreq.TransferEncoding) || !usuallyLacksBody(hreq.Method) {
		return u, nil
	}
	s := &sniffed{src: u.from, got: make(chan struct{})}
	u.mu.Lock()
	u.began = true
	u.reads++
	u.mu.Unlock()
	u.from = s
	go func() {
		s.n, s.err = s.src.Read(s.b[:])
		u.readDone()
		close(s.got)
	}()
	timer := time.NewTimer(sniffTime)
	defer timer.Stop()
	select {
	case <-s.got:
		if s.n == 0 && s.err == io.EOF {
			return nil, u.close()
		}
		u.mu.Lock()
		u.began = false // what was read is in s
		u.mu.Unlock()
	case <-timer.C:
	}
	return u, nil
}

// usuallyLacksBody reports whether it is a method that net/http sniffs for.
func usuallyLacksBody(method string) bool {
	switch method {
	case "", "GET", "HEAD", "DELETE", "OPTIONS", "PROPFIND", "SEARCH":
		return true
	}
	return false
}

// sniffed is a body of which one byte may have been read.
type sniffed struct {
	src io.Reader
	got chan struct{} // closed once b, n and err say what Read has returned
	b   [1]byte
	n   int
	err error
}

func (s *sniffed) Read(p []byte) (int, error) {
	<-s.got
	n := copy(p, s.b[:s.n])
	if s.n -= n; s.n > 0 || s.err != nil {
		return n, s.err
	}
	if n > 0 {
		return n, nil
	}
	return s.src.Read(p)
}

// fillTrailer copies the caller's trailer fields, which are complete by now. If the body
// was closed meanwhile, that comes too late: the request may be the caller's again.
func (c *call) fillTrailer() error {
	if c.up.size >= 0 {
		return nil
	}
	c.up.mu.Lock()
	defer c.up.mu.Unlock()
	if c.up.closed {
		return errBodyClosed
	}
	c.req.Trailer = h1.Header{}
	for name, values := range c.hreq.Trailer {
		for _, v := range values {
			c.req.Trailer.Add(name, v)
		}
	}
	return nil
}
