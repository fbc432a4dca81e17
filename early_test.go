package h1

// early_test.go: responses that come before the request's body is over.
//
// Rule: in a bubble, over a stream that takes no more than a window of bytes before the
// server reads some, as a socket does; so what is on its way is known to the byte, and a
// wait on any clock shows, for the clock stands still otherwise.
// Not here: Expect (early_expect_test.go), real sockets (early_tcp_test.go).

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const (
	earlyWindow = 8 << 10
	earlyDrain  = 64 << 10  // Config.MaxDrain's default
	earlySmall  = 32 << 10  // a body that is less than that
	earlyBig    = 256 << 10 // one of which more is left, however the server goes about it
	earlyPiece  = 1000      // of a body: no divisor of any buffer
	earlyHold   = 5 * earlyPiece
)

// An earlyBody is a request's body that counts what was asked of it, and may stop.
type earlyBody struct {
	size  int64
	given atomic.Int64
	hold  int64         // it blocks here; 0: nowhere
	gate  chan struct{} // until this is closed
}

func (b *earlyBody) Read(p []byte) (int, error) {
	at := b.given.Load()
	if b.hold > 0 && at == b.hold {
		<-b.gate
	}
	if at == b.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), earlyPiece, b.size-at)]
	for i := range p {
		p[i] = byte(at + int64(i))
	}
	b.given.Add(int64(len(p)))
	return len(p), nil
}

// pushTo writes it to x, as a caller would that knows no more than Write's answers.
func (b *earlyBody) pushTo(x Exchange) error {
	p := make([]byte, earlyPiece)
	for {
		n, err := b.Read(p)
		if err == io.EOF {
			return x.CloseWrite()
		}
		if _, err := x.Write(p[:n]); err != nil {
			return err
		}
	}
}

// An earlyCase is one cell of the matrix.
type earlyCase struct {
	status  int
	ending  string // keep, close, fin, until, rst
	read    string // what the server reads before it answers: all, half, none; or blocked
	chunked bool
	push    bool
	size    int64
	body    string // of the response
	mode    string
	plain   bool
}

func (e earlyCase) String() string {
	type fields earlyCase // without this method
	return fmt.Sprintf("%+v", fields(e))
}

// response is what the server sends.
func (e *earlyCase) response() string {
	s := fmt.Sprintf("HTTP/1.1 %d Early\r\n", e.status)
	if e.ending == "close" {
		s += "Connection: close\r\n"
	}
	if e.ending != "until" {
		s += fmt.Sprintf("Content-Length: %d\r\n", len(e.body))
	}
	return s + "\r\n" + e.body
}

// request makes the request, and its body.
func (e *earlyCase) request() (*Request, *earlyBody) {
	b := &earlyBody{size: e.size, gate: make(chan struct{})}
	if e.read == "blocked" {
		b.hold = earlyHold
	}
	req := &Request{Method: "POST", Host: "h", ContentLength: e.size, Push: e.push}
	if e.chunked {
		req.ContentLength = -1
	}
	if !e.push {
		req.Body = b
	}
	return req, b
}

// An earlyRun is a case under way.
type earlyRun struct {
	*earlyCase
	s    *faultStream
	c    *Conn
	b    *earlyBody
	in   []byte // what the server has read
	head int    // bytes of the request's head
}

// serverReads reads the head, and then until want bytes of the body (as they stand on the
// wire) were read, or no more come.
func (r *earlyRun) serverReads(want int) {
	synctest.Wait()
	if r.head == 0 {
		r.head = strings.Index(r.s.written(), "\r\n\r\n") + 4
		r.in = r.s.receive(r.head)
	}
	for {
		synctest.Wait()
		got := r.s.receive(want - (len(r.in) - r.head))
		if r.in = append(r.in, got...); len(got) == 0 {
			return
		}
	}
}

// serverAnswers reads, and then says what it has to say.
func (r *earlyRun) serverAnswers() {
	switch r.read {
	case "all", "blocked":
		r.serverReads(1 << 30)
	case "half":
		r.serverReads(int(r.size / 2))
	default:
		r.serverReads(0)
	}
	r.s.send([]byte(r.response()))
	switch r.ending {
	case "close", "fin", "until":
		r.s.fail(io.EOF)
	case "rst":
		r.s.reset()
	}
}

// left is how many bytes of the body the stream has not taken.
func (r *earlyRun) left() int64 {
	return r.size - int64(len(r.in)+len(r.s.written())-r.head)
}

// state is what rule J1 makes of the connection, when the response has ended: "" if it has
// to end.
func (r *earlyRun) state() string {
	over := r.read == "all"
	switch {
	case r.ending == "close" || r.ending == "until":
		return ""
	case !over && (r.chunked || r.left() > earlyDrain):
		return "" // what is left is not known, or is too much
	case r.ending == "fin" && r.mode == faultWhole:
		return "" // the stream's end was seen
	case r.ending == "rst" && !over && r.read != "blocked":
		return "" // the write under way has failed
	case over:
		return "wIdle rIdle reuse n=0"
	}
	return "wBody rIdle reuse n=0"
}

func (e earlyCase) run() error {
	req, b := e.request()
	s := newFaultStream(e.mode)
	s.setWindow(earlyWindow)
	r := &earlyRun{earlyCase: &e, s: s, c: s.over(nil, e.plain), b: b}
	defer r.c.Close()
	begun := time.Now()
	x, err := r.c.Send(context.Background(), req)
	if err != nil {
		return err
	}
	pushed := make(chan error, 1)
	if e.push {
		go func() { pushed <- b.pushTo(x) }()
	}
	r.serverAnswers()
	var got faultResult
	if got.end(x); got.err != nil || got.resp.Status != e.status || string(got.data) != e.body {
		return fmt.Errorf("got %d %q, error %w", got.resp.Status, got.data, got.err)
	}
	synctest.Wait()
	if took := time.Since(begun); took != 0 {
		return fmt.Errorf("it waited %v", took)
	}
	if want := e.ending == "close" || e.ending == "until"; got.resp.Close != want && e.ending != "rst" {
		return fmt.Errorf("Response.Close is %v", got.resp.Close)
	}
	want := r.state()
	if want == "" {
		err = faultEnded(r.c, s)
	} else if state := r.c.State().String(); state != want {
		err = fmt.Errorf("%d bytes are left, and the state is %s, want %s", r.left(), state, want)
	}
	if err == nil && want != "" {
		err = r.goesOn()
	}
	if err == nil && e.push && want == "" {
		err = r.pushEnds(pushed)
	}
	if b.hold > 0 && want == "" {
		close(b.gate)
	}
	if err == nil && time.Since(begun) != 0 {
		return fmt.Errorf("it waited %v in the end", time.Since(begun))
	}
	return err
}

// pushEnds checks what a caller who pushes is told of an upload that was stopped.
func (r *earlyRun) pushEnds(pushed chan error) error {
	if r.read == "blocked" || r.read == "all" {
		return nil // it is not in Write
	}
	var e *Error
	if err := <-pushed; !errors.As(err, &e) || e.Kind != Closed && e.Kind != IO {
		return fmt.Errorf("Write got %v", err)
	}
	return nil
}

// goesOn has the server read on, and makes the next request where the connection lives.
func (r *earlyRun) goesOn() error {
	if r.b.hold > 0 {
		close(r.b.gate)
	}
	if r.ending == "rst" {
		return r.dies(r.read != "all")
	}
	r.serverReads(1 << 30)
	if state := r.c.State().String(); state != "wIdle rIdle reuse n=0" {
		return fmt.Errorf("the upload is over, and the state is %s", state)
	}
	body, err := r.bodyReceived()
	if err != nil || body != r.size {
		return fmt.Errorf("the server got %d bytes of %d, error %w", body, r.size, err)
	}
	if r.ending == "fin" {
		return r.dies(false)
	}
	x, err := r.c.Send(context.Background(), faultNext.req(faultNone))
	if err != nil {
		return err
	}
	synctest.Wait()
	if next := string(r.s.receive(wireWindow)); next != faultNext.request {
		return fmt.Errorf("the next request is %q", next)
	}
	r.s.send([]byte("HTTP/1.1 204 No Content\r\n\r\n"))
	var got faultResult
	if got.end(x); got.err != nil || got.resp.Status != 204 {
		return fmt.Errorf("the next response: %d, error %w", got.resp.Status, got.err)
	}
	return nil
}

// dies checks that a connection whose stream is gone says so, at once or when asked for
// more: and that what it is asked for may be sent again.
func (r *earlyRun) dies(atOnce bool) error {
	synctest.Wait()
	if atOnce {
		return faultEnded(r.c, r.s)
	}
	var resp Response
	err := r.c.Do(context.Background(), faultNext.req(faultNone), &resp)
	var e *Error
	if !errors.As(err, &e) || !e.Retryable("GET") || e.Unprocessed() != (r.ending == "rst") {
		return fmt.Errorf("the next request: %v", err)
	}
	return faultEnded(r.c, r.s)
}

// bodyReceived parses what the server has read, with another's parser.
func (r *earlyRun) bodyReceived() (int64, error) {
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(r.in)))
	if err != nil {
		return 0, err
	}
	want := &earlyBody{size: r.size}
	whole, err := io.ReadAll(req.Body)
	if err == nil {
		if same, _ := io.ReadAll(want); !bytes.Equal(whole, same) {
			err = errors.New("the bytes differ")
		}
	}
	return int64(len(whole)), err
}

// TestEarlyMatrix: whatever the server does after a response that came early, the response
// is delivered whole and at once, and the connection has the fate that rule J1 gives it.
func TestEarlyMatrix(t *testing.T) {
	for _, ending := range []string{"keep", "close", "fin", "until", "rst"} {
		t.Run(ending, func(t *testing.T) {
			k := faultCount{t: t}
			for _, read := range []string{"all", "half", "none", "blocked"} {
				for _, status := range []int{413, 401, 200} {
					for i := range 1 << 6 {
						on := func(bit int) bool { return i>>bit&1 == 1 }
						e := earlyCase{status: status, ending: ending, read: read, chunked: on(0), push: on(1), plain: on(2), size: earlyBig}
						if on(3) {
							e.size = earlySmall
						}
						if on(4) {
							e.body = "0123456789"
						}
						if on(5) && (status != 413 || e.size == earlyBig) {
							continue // the modes of reading need not meet all
						}
						for _, e.mode = range []string{faultWhole, faultApart, faultBytes} {
							if !on(5) && e.mode != faultApart {
								continue
							}
							k.runAny(e, e.run)
						}
					}
				}
			}
			t.Log(k.n, "cases")
		})
	}
}

// TestEarlyKnownLeft: what is known to be left of the body decides, and bytes that the
// stream has not taken are left, whatever buffer they are in. Of a write that has not
// returned it is not known what it has moved, so a body within it may go either way.
func TestEarlyKnownLeft(t *testing.T) {
	for _, drain := range []int64{-1, 1000, 0} {
		for _, size := range []int{earlyWindow + 500, earlyDrain, earlyDrain + earlyWindow, 4 * earlyDrain} {
			for _, kind := range []string{"memory", "buffer", "reader", "push"} {
				name := faultName(fmt.Sprintf("%d bytes, %s, MaxDrain %d", size, kind, drain))
				bubble(t, name, func() error { return earlyKnownLeft(size, kind, drain) })
			}
		}
	}
}

func earlyKnownLeft(size int, kind string, drain int64) error {
	s := newFaultStream(faultWhole)
	s.setWindow(earlyWindow)
	c := s.over(&Config{MaxDrain: drain}, false)
	defer c.Close()
	data := make([]byte, size)
	req := &Request{Method: "POST", Host: "h", ContentLength: int64(size)}
	switch kind {
	case "memory":
		req.Body = bytes.NewReader(data)
	case "buffer":
		req.Body = bytes.NewBuffer(data)
	case "reader":
		req.Body = io.MultiReader(bytes.NewReader(data))
	case "push":
		req.Push = true
	}
	x, err := c.Send(context.Background(), req)
	if err != nil {
		return err
	}
	if req.Push {
		go x.Write(data)
	}
	synctest.Wait() // the window is full
	left := int64(size - (len(s.written()) - strings.Index(s.written(), "\r\n\r\n") - 4))
	s.send([]byte("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"))
	var r faultResult
	if r.end(x); r.err != nil || r.resp.Status != 413 || string(r.data) != "no" {
		return fmt.Errorf("got %d %q, error %w", r.resp.Status, r.data, r.err)
	}
	synctest.Wait()
	if drain == 0 {
		drain = earlyDrain
	}
	stopped := c.State().Closed()
	if left > max(drain, mostAtOnce) && !stopped || int64(size) <= drain && stopped {
		return fmt.Errorf("%d bytes of %d are left, and the state is %v", left, size, c.State())
	}
	if !stopped && c.State().String() != "wBody rIdle reuse n=0" {
		return fmt.Errorf("the state is %v", c.State())
	}
	return nil
}

// TestEarlyGrace: writes fail, and the server neither answers nor ends the stream. This is
// the one wait on a clock: a tenth of a second for a response that may be on its way.
func TestEarlyGrace(t *testing.T) {
	for _, plain := range []bool{false, true} {
		for _, at := range []time.Duration{0, graceAfterWriteError - 1, graceAfterWriteError} {
			name := faultName(fmt.Sprintf("plain %v, response after %v", plain, at))
			bubble(t, name, func() error { return earlyGrace(plain, at) })
		}
	}
}

func earlyGrace(plain bool, at time.Duration) error {
	s := newFaultStream(faultWhole)
	s.breakWrites(earlyHold, faultEOF)
	c := s.over(nil, plain)
	defer c.Close()
	begun := time.Now()
	x, err := c.Send(context.Background(), &Request{Method: "POST", Host: "h", Body: &earlyBody{size: earlyBig}})
	if err != nil {
		return err
	}
	answer := time.AfterFunc(at, func() { s.send([]byte("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")) })
	defer answer.Stop()
	if at == graceAfterWriteError {
		answer.Stop() // both at one instant: which is first is nobody's promise
	}
	var r faultResult
	r.end(x)
	var e *Error
	switch took := time.Since(begun); {
	case took != at:
		return fmt.Errorf("it took %v, want %v (error %v)", took, at, r.err)
	case at < graceAfterWriteError && (r.err != nil || string(r.data) != "no"):
		return fmt.Errorf("got %d %q, error %w", r.resp.Status, r.data, r.err)
	case at == graceAfterWriteError && (!errors.As(r.err, &e) || e.Kind != IO || e.Sent != SentPart || e.Unprocessed()):
		return fmt.Errorf("got %v", r.err)
	}
	return faultEnded(c, s)
}

// An earlyServer reads what the client has written: the other end of a faultStream.
type earlyServer struct{ s *faultStream }

func (r earlyServer) Read(p []byte) (int, error) {
	s := r.s.wireStream
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.out) == 0 {
		if s.closed || s.outEnd {
			return 0, io.EOF
		}
		s.cond.Wait()
	}
	n := copy(p, s.out)
	s.out = s.out[n:]
	s.cond.Broadcast()
	return n, nil
}

// TestEarlyEcho: a response that has begun stops nothing: both bodies stream at once, and
// no byte of either waits for another byte of the same body.
func TestEarlyEcho(t *testing.T) {
	for i := range 1 << 3 {
		for _, mode := range []string{faultWhole, faultBytes} {
			length, push, plain := i&1 == 0, i&2 == 0, i&4 == 0
			name := faultName(fmt.Sprintf("length %v, push %v, plain %v, %s", length, push, plain, mode))
			bubble(t, name, func() error { return earlyEcho(length, push, plain, mode) })
		}
	}
}

// earlyPieces are the sizes of what is echoed: about the buffers, and about the window.
var earlyPieces = []int{1, 2, 17, 4077, 4078, 4079, 4096, 4097, earlyWindow, earlyWindow + 1, 3 * earlyWindow, 1}

func earlyEcho(length, push, plain bool, mode string) error {
	s := newFaultStream(mode)
	s.setWindow(earlyWindow)
	c := s.over(nil, plain)
	defer c.Close()
	served := make(chan error, 1)
	go func() { served <- earlyEchoServer(s) }()

	begun := time.Now()
	req := &Request{Method: "POST", Host: "h", ContentLength: -1, Push: push}
	if length {
		req.ContentLength = 0
		for _, n := range earlyPieces {
			req.ContentLength += int64(n)
		}
	}
	pieces, sink := io.Pipe()
	write, end := sink.Write, sink.Close
	if !push {
		req.Body = pieces
	}
	x, err := c.Send(context.Background(), req)
	if err != nil {
		return err
	}
	if push {
		write, end = x.Write, x.CloseWrite
	}
	var resp Response
	if err := x.Wait(context.Background(), &resp); err != nil {
		return err
	}
	for i, n := range earlyPieces {
		p := bytes.Repeat([]byte{byte('a' + i)}, n)
		wrote := make(chan error, 1)
		go func() { _, err := write(p); wrote <- err }()
		back := make([]byte, n)
		if _, err := io.ReadFull(resp.Body, back); err != nil || !bytes.Equal(back, p) {
			return fmt.Errorf("piece %d came back wrong, or not: %w", i, err)
		}
		if err := <-wrote; err != nil {
			return err
		}
	}
	if err := end(); err != nil {
		return err
	}
	if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return fmt.Errorf("at the end: %d, %w", n, err)
	}
	if took := time.Since(begun); took != 0 {
		return fmt.Errorf("it waited %v", took)
	}
	if state := c.State().String(); state != "wIdle rIdle reuse n=0" {
		return fmt.Errorf("the state is %s", state)
	}
	return <-served
}

// earlyEchoServer answers one request with its own body, as it comes.
func earlyEchoServer(s *faultStream) error {
	req, err := http.ReadRequest(bufio.NewReader(earlyServer{s}))
	if err != nil {
		return err
	}
	s.send([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"))
	p := make([]byte, 3000)
	for {
		n, err := req.Body.Read(p)
		if n > 0 {
			s.send(fmt.Appendf(nil, "%x\r\n%s\r\n", n, p[:n]))
		}
		if err == io.EOF {
			s.send([]byte("0\r\n\r\n"))
			return nil
		}
		if err != nil {
			return err
		}
	}
}
