package h1http

// trace.go: the events of net/http/httptrace.
//
// Rule: each event comes once for an attempt, in net/http's order. The upload runs on a
// goroutine of the engine's, so a lock keeps the head's events before the body's. DNS and
// connect events come from package net, by way of the dial's context.

import (
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"sync"
	"time"

	"example.com/h1"
)

// tracer fires the events of one attempt. A nil *tracer fires none.
type tracer struct {
	hooks *httptrace.ClientTrace
	call  *call

	mu    sync.Mutex // held while the hooks of writing run
	head  bool       // WroteHeaders was fired
	whole bool       // WroteRequest was fired
	first bool       // GotFirstResponseByte was fired; owned by the goroutine that waits for the response
}

// gotConn says which connection the attempt uses.
func gotConn(hooks *httptrace.ClientTrace, l *link, idleAt time.Time, reused bool) {
	if hooks == nil || hooks.GotConn == nil {
		return
	}
	info := httptrace.GotConnInfo{Conn: l.nc, Reused: reused}
	if !idleAt.IsZero() {
		info.WasIdle, info.IdleTime = true, time.Since(idleAt)
	}
	hooks.GotConn(info)
}

// wroteHead is called when the head has gone out. The end of the body may have reported it
// already.
func (t *tracer) wroteHead() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.headLocked()
}

// headLocked fires the events of a head that has gone out, once. mu is held.
func (t *tracer) headLocked() {
	if t.head {
		return
	}
	t.head = true
	if t.hooks.WroteHeaderField != nil {
		t.fields(t.hooks.WroteHeaderField)
	}
	if t.hooks.WroteHeaders != nil {
		t.hooks.WroteHeaders()
	}
	if t.hooks.Wait100Continue != nil && t.call.expects {
		t.hooks.Wait100Continue()
	}
}

// fields reports the fields as they were written, including those that the engine adds.
func (t *tracer) fields(hook func(string, []string)) {
	r := &t.call.req
	if r.Host != "" {
		hook("Host", []string{r.Host})
	}
	for i := 0; i < r.Header.Len(); {
		name, value := r.Header.At(i)
		key, values := string(name), []string{string(value)}
		for i++; i < r.Header.Len(); i++ { // repeats stand together
			if n, v := r.Header.At(i); string(n) == key {
				values = append(values, string(v))
				continue
			}
			break
		}
		hook(key, values)
	}
	switch {
	case r.Body != nil && r.ContentLength > 0:
		hook("Content-Length", []string{strconv.FormatInt(r.ContentLength, 10)})
	case r.Body != nil:
		hook("Transfer-Encoding", []string{"chunked"})
	case r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH":
		hook("Content-Length", []string{"0"})
	}
	if r.Close {
		hook("Connection", []string{"close"})
	}
}

// wroteRequest is called when the whole request has gone out, or has failed to.
func (t *tracer) wroteRequest(err error) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.headLocked()
	}
	if t.whole {
		return
	}
	t.whole = true
	if t.hooks.WroteRequest != nil {
		t.hooks.WroteRequest(httptrace.WroteRequestInfo{Err: err})
	}
}

// firstByte is called when a head was read, 1xx or final, and fires for the first one.
func (t *tracer) firstByte() {
	if t == nil || t.first {
		return
	}
	t.first = true
	if t.hooks.GotFirstResponseByte != nil {
		t.hooks.GotFirstResponseByte()
	}
}

// got1xx is called for each informational head. It reports whether the caller saw it.
func (t *tracer) got1xx(status int, h *h1.Header) (shown bool, err error) {
	if t == nil {
		return false, nil
	}
	t.firstByte()
	if status == 100 && t.hooks.Got100Continue != nil && t.call.expects {
		t.hooks.Got100Continue()
	}
	if t.hooks.Got1xxResponse == nil {
		return false, nil
	}
	return true, t.hooks.Got1xxResponse(status, textproto.MIMEHeader(fields(h)))
}

// putIdle says what became of the connection after the response.
func (t *tracer) putIdle(err error) {
	if t != nil && t.hooks.PutIdleConn != nil {
		t.hooks.PutIdleConn(err)
	}
}
