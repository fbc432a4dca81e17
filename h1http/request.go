package h1http

// request.go: http.Request becomes h1.Request.
//
// Rule: the caller's request is read, never changed. What net/http would send is sent,
// except for what no server could read as it was meant: that is put right, or refused
// before a byte of the request goes out.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"

	"example.com/h1"
)

// A call is one attempt to send a request, and the memory that the engine borrows for it.
type call struct {
	hreq *http.Request
	ctx  context.Context
	stop context.CancelCauseFunc // ends ctx with the exchange; nil: ctx is the caller's own
	tr   *tracer
	up   *upload
	into *upload // of CONNECT: what goes into the tunnel

	ready bool // after the exchange, the connection could take the next request
	req   h1.Request
	resp  h1.Response
	body  bytes.Reader   // of data
	data  []byte         // a copy of a short body in memory
	text  strings.Reader // of a body that is a string, which need not be copied

	keys     []string                    // of hreq.Header, sorted
	gzip     bool                        // this package asked for it
	expects  bool                        // 100 (Continue) is awaited
	infoLeft int64                       // bytes of 1xx heads that are left; they count until somebody looks
	info     func(int, *h1.Header) error // informational, bound once: to bind it allocates
}

var calls = sync.Pool{New: func() any {
	c := new(call)
	c.info = c.informational
	return c
}}

// free gives the memory back after an exchange that ended in good order. A call that had a
// body is left to the collector, since a goroutine may still read that, unless the
// connection was ready again, as it is only once the body is out.
func (c *call) free() {
	if c.up != nil && !c.ready || c.into != nil {
		return
	}
	c.hreq, c.ctx, c.stop, c.tr, c.up = nil, nil, nil, nil, nil
	c.ready, c.gzip, c.expects = false, false, false
	clear(c.keys)
	h := c.req.Header
	h.Reset()
	c.req = h1.Request{Header: h}
	c.text.Reset("")
	calls.Put(c)
}

// settings are what a connection, or its Transport, adds to each request.
type settings struct {
	noGzip  bool
	close   bool   // one request for each connection
	proxied bool   // the target is written in absolute form
	auth    string // Proxy-Authorization
	maxHead int64
}

// newCall prepares one attempt. After an error it has closed up, for the connection may be
// given to another request at once.
func newCall(ctx context.Context, stop context.CancelCauseFunc, hreq *http.Request,
	up *upload, set *settings) (*call, error) {
	c := calls.Get().(*call)
	c.hreq, c.ctx, c.stop, c.infoLeft = hreq, ctx, stop, set.maxHead
	if hooks := httptrace.ContextClientTrace(ctx); hooks != nil {
		c.tr = &tracer{hooks: hooks, call: c}
	}
	var err error
	if c.up, err = up.sniff(hreq); err == nil {
		err = c.fill(set)
	}
	if err != nil {
		c.tr.wroteRequest(err)
		up.close()
		return nil, err
	}
	return c, nil
}

// upload returns what is to be closed, or repeated, when the attempt has failed.
func (c *call) upload() *upload {
	if c.into != nil {
		return c.into
	}
	return c.up
}

// fill makes the engine's request of the caller's.
func (c *call) fill(set *settings) error {
	hreq, r := c.hreq, &c.req
	if hreq.Method == "CONNECT" {
		c.up, c.into = nil, c.up
	}
	host, err := hostOf(hreq, set.proxied)
	if err != nil {
		return err
	}
	r.Method, r.Host, r.Informational = hreq.Method, host, c.info
	if r.Target, err = target(hreq, host, set.proxied); err != nil {
		return err
	}
	if host == "" {
		r.Header.Add("Host", "")
	}
	r.Close = hreq.Close || set.close && !isUpgrade(hreq.Header)
	if c.up != nil {
		c.up.call = c
		r.Body = c.up.reader(hreq, c.tr != nil)
		r.ContentLength = c.up.size
	}
	c.fillHeader(set)
	r.Idempotent = hasKey(hreq.Header)
	return nil
}

// fillHeader writes the fields in the order of their names, so that a request is the same
// bytes each time.
func (c *call) fillHeader(set *settings) {
	hreq, h := c.hreq, &c.req.Header
	addUserAgent(h, hreq.Header)
	c.keys = c.keys[:0]
	for k := range hreq.Header {
		c.keys = append(c.keys, k)
	}
	slices.Sort(c.keys)
	for _, k := range c.keys {
		values := hreq.Header[k]
		switch {
		case writtenApart(k):
			continue
		case foldEqual(k, "Expect"):
			values = c.expectation(values)
		}
		for _, v := range values {
			h.Add(k, v)
		}
	}
	if c.up != nil && c.up.size < 0 && len(hreq.Trailer) > 0 {
		c.announceTrailer()
	}
	// gzip is not asked for where the caller asks for a coding, where part of a coded body
	// would come, or where no body comes.
	if !set.noGzip && hreq.Header.Get("Accept-Encoding") == "" && hreq.Header.Get("Range") == "" &&
		hreq.Method != "HEAD" && hreq.Method != "CONNECT" {
		c.gzip = true
		h.Add("Accept-Encoding", "gzip")
	}
	if set.auth != "" {
		h.Add("Proxy-Authorization", set.auth)
	}
}

// expectation returns what is to be sent of an Expect field.
func (c *call) expectation(values []string) []string {
	switch {
	case c.up == nil: // it must not be sent then: RFC 9110, 10.1.1
		return nil
	case !onlyToken(values, "100-continue"): // the engine refuses it
		return values
	case c.expects || !hasToken(values, "100-continue"):
		return nil // a proxy's client may say it twice, or name nothing; the engine takes it once
	}
	c.expects = true
	return []string{"100-continue"}
}

// announceTrailer names the trailer fields in the head. Their values may come until the
// body's end, when fillTrailer begins anew; but what may not be sent is refused now.
func (c *call) announceTrailer() {
	names := make([]string, 0, len(c.hreq.Trailer))
	for k, values := range c.hreq.Trailer {
		names = append(names, http.CanonicalHeaderKey(k))
		for _, v := range values {
			c.req.Trailer.Add(k, v)
		}
	}
	slices.Sort(names)
	c.req.Header.Add("Trailer", strings.Join(names, ","))
}

// addUserAgent writes the caller's User-Agent, if it is not empty, or this package's.
func addUserAgent(h *h1.Header, from http.Header) {
	if ua, ok := from["User-Agent"]; !ok {
		h.Add("User-Agent", "Go-http-client/1.1") // what servers know net/http's callers by
	} else if len(ua) > 0 && ua[0] != "" {
		h.Add("User-Agent", ua[0])
	}
}

// writtenApart reports whether a field is not copied from the caller's Header: another
// field of http.Request, or the engine, says what it is.
func writtenApart(k string) bool {
	return k == "User-Agent" || foldEqual(k, "Host") || foldEqual(k, "Trailer") ||
		foldEqual(k, "Content-Length") || foldEqual(k, "Transfer-Encoding")
}

// informational is called for each 1xx head, and limits the bytes of those that no trace
// looks at.
func (c *call) informational(status int, h *h1.Header) error {
	shown, err := c.tr.got1xx(status, h)
	if err != nil || shown {
		return err
	}
	for name, value := range h.All() {
		c.infoLeft -= int64(len(name) + len(value) + 4)
	}
	if c.infoLeft -= int64(len("HTTP/1.1 100 \r\n\r\n")); c.infoLeft < 0 {
		return &h1.Error{Kind: h1.TooLarge, Op: "read head", Offset: -1,
			Err: errors.New("server response headers exceeded MaxResponseHeaderBytes")}
	}
	return nil
}

// check refuses what cannot be sent, by its fields.
func check(hreq *http.Request) error {
	switch {
	case hreq.URL == nil:
		return errors.New("h1http: nil Request.URL")
	case hreq.Header == nil:
		return errors.New("h1http: nil Request.Header")
	}
	if bad := invalidField(hreq.Header); bad != "" {
		return fmt.Errorf("h1http: invalid header %s", bad)
	}
	if bad := invalidField(hreq.Trailer); bad != "" {
		return fmt.Errorf("h1http: invalid trailer %s", bad)
	}
	for k := range hreq.Trailer {
		switch http.CanonicalHeaderKey(k) {
		case "Transfer-Encoding", "Trailer", "Content-Length":
			return fmt.Errorf("h1http: invalid Trailer key %q", k)
		}
	}
	return nil
}

// checkHTTP refuses what cannot be sent by HTTP, whatever its fields.
func checkHTTP(hreq *http.Request) error {
	if hreq.Method != "" && !isToken(hreq.Method) {
		return fmt.Errorf("h1http: invalid method %q", hreq.Method)
	}
	if hreq.URL.Host == "" {
		return errors.New("h1http: no Host in request URL")
	}
	if hreq.ContentLength != 0 && hreq.Body == nil {
		return fmt.Errorf("h1http: Request.ContentLength=%d with nil Body", hreq.ContentLength)
	}
	return nil
}

// invalidField describes a field that may not be sent, or returns "". It leaves out the
// value, which may be a secret.
func invalidField(h http.Header) string {
	for k, values := range h {
		if !isToken(k) {
			return fmt.Sprintf("field name %q", k)
		}
		for _, v := range values {
			if !consists(v, valueOctet) {
				return fmt.Sprintf("field value for %q", k)
			}
		}
	}
	return ""
}

// isUpgrade reports whether a request asks for another protocol.
func isUpgrade(h http.Header) bool {
	return len(h["Upgrade"]) > 0 && hasToken(h["Connection"], "Upgrade")
}

// hasKey reports whether the caller says that the request may be sent twice.
func hasKey(h http.Header) bool {
	_, ok := h["Idempotency-Key"]
	_, okX := h["X-Idempotency-Key"]
	return ok || okX
}

// replayable reports whether net/http would send the request again, if its body allows it.
// PUT and DELETE are idempotent but not replayable: the caller would not know that they
// were sent twice.
func replayable(hreq *http.Request) bool {
	switch hreq.Method {
	case "", "GET", "HEAD", "OPTIONS", "TRACE":
		return true
	}
	return hasKey(hreq.Header)
}
