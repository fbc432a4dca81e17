package h1

// early_expect_test.go: Expect: 100-continue, and every way for a server to answer it.
//
// Rule: as in early_test.go, with the server a few lines of text: what has to stand on the
// wire is known to the byte, and no clock runs but ExpectTimeout, and that only where the
// server says nothing.
// Not here: the order of 100 among other 1xx (testdata/wire/continue_*.wire).

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const expectPatience = 3 * time.Second // no default of anything

// An expectAnswer is what a server makes of a head with Expect.
type expectAnswer struct {
	name   string
	says   string // "": nothing
	infos  []int  // the 1xx among that
	status int    // of the final response among that; 0: none, so the body is to come
	close  bool   // that response, or the stream's end, is the connection's end
	eof    bool   // the stream ends behind it
}

const (
	expectOK   = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	expectRest = "Content-Length: 2\r\n\r\nok"
)

var expectAnswers = []expectAnswer{
	{name: "100", says: "HTTP/1.1 100 Continue\r\n\r\n", infos: []int{100}},
	{name: "102, 100", says: "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\nA: b\r\n\r\n", infos: []int{102, 100}},
	{name: "silent"},
	{name: "417", says: "HTTP/1.1 417 Expectation Failed\r\n" + expectRest, status: 417},
	{name: "300", says: "HTTP/1.1 300 Multiple Choices\r\n" + expectRest, status: 300},
	{name: "401", says: "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n" + expectRest, status: 401},
	{name: "200", says: "HTTP/1.1 200 OK\r\n" + expectRest, status: 200},
	{name: "102, 417", says: "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 417 Expectation Failed\r\n" + expectRest, infos: []int{102}, status: 417},
	{name: "chunked 403", says: "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", status: 403},
	{name: "close", says: "HTTP/1.1 500 No\r\nConnection: close\r\n" + expectRest, status: 500, close: true},
	{name: "close, FIN", says: "HTTP/1.1 500 No\r\nConnection: close\r\n" + expectRest, status: 500, close: true, eof: true},
	{name: "until close", says: "HTTP/1.1 500 No\r\n\r\nok", status: 500, close: true, eof: true},
	{name: "HTTP/1.0", says: "HTTP/1.0 500 No\r\n" + expectRest, status: 500, close: true},
	{name: "FIN", close: true, eof: true},
}

// expectBodies are the ways to give a body; pushes are one Write before the answer and one
// behind it, or both behind it.
var expectBodies = []string{"memory", "reader", "push", "late push"}

// An expectCase is one cell of the matrix.
type expectCase struct {
	expectAnswer
	body    string
	chunked bool
	size    int
	mode    string
	plain   bool
}

func (e expectCase) String() string {
	return fmt.Sprintf("%s: %s, chunked %v, %d bytes, %s, plain %v", e.name, e.body, e.chunked, e.size, e.mode, e.plain)
}

func (e *expectCase) push() bool { return strings.HasSuffix(e.body, "push") }

// goes reports whether the body is to be sent.
func (e *expectCase) goes() bool { return e.status == 0 && !e.eof }

// lives reports whether the connection takes a further request.
func (e *expectCase) lives() bool { return e.goes() }

// head is the request's.
func (e *expectCase) head() string {
	s := "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
	if e.chunked {
		return s + "Transfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n"
	}
	return s + fmt.Sprintf("Content-Length: %d\r\n\r\n", e.size)
}

// data is the request's body.
func (e *expectCase) data() []byte {
	b := make([]byte, e.size)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	return b
}

// wire is what follows the head, at the end of all.
func (e *expectCase) wire() string {
	switch {
	case !e.goes():
		return ""
	case !e.chunked:
		return string(e.data())
	}
	var s strings.Builder
	for p := range slices.Chunk(e.data(), e.piece()) {
		fmt.Fprintf(&s, "%x\r\n%s\r\n", len(p), p)
	}
	return s.String() + "0\r\nSum: 1\r\n\r\n"
}

// piece is how much of the body comes in one chunk.
func (e *expectCase) piece() int {
	switch {
	case e.push():
		return min((e.size+1)/2, mostAtOnce)
	case e.body == "reader":
		return pumpBuffer
	}
	return mostAtOnce
}

// An expectRun is a case under way.
type expectRun struct {
	*expectCase
	s      *faultStream
	c      *Conn
	x      Exchange
	source *bytes.Reader
	infos  []int
	resp   faultResult
	done   chan struct{} // resp is there
	pushed []error       // of two Writes and of CloseWrite
	over   chan struct{} // they are there
	late   chan struct{} // closed when a late push begins
}

func (e *expectCase) start() (*expectRun, error) {
	r := &expectRun{expectCase: e, s: newFaultStream(e.mode), source: bytes.NewReader(e.data()),
		done: make(chan struct{}), over: make(chan struct{}), late: make(chan struct{})}
	r.c = r.s.over(&Config{ExpectTimeout: expectPatience}, e.plain)
	req := &Request{Method: "POST", Host: "h", Header: fieldsOf("Expect: 100-continue"), Push: e.push(), ContentLength: int64(e.size)}
	if e.chunked {
		req.ContentLength = -1
		req.Trailer.Add("Sum", "1")
	}
	req.Informational = func(status int, _ *Header) error {
		r.infos = append(r.infos, status)
		return nil
	}
	switch e.body {
	case "memory":
		req.Body = r.source
	case "reader":
		req.Body = noLenReader{r.source}
	}
	var err error
	if r.x, err = r.c.Send(context.Background(), req); err != nil {
		return r, err
	}
	go func() { r.resp.end(r.x); close(r.done) }()
	if e.push() {
		go r.pushes()
	}
	synctest.Wait()
	return r, nil
}

func (r *expectRun) pushes() {
	defer close(r.over)
	if r.body == "late push" {
		<-r.late
	}
	data := r.data()
	for p := range slices.Chunk(data, (len(data)+1)/2) {
		n, err := r.x.Write(p)
		if err == nil && n != len(p) || err != nil && n != 0 {
			err = fmt.Errorf("Write returned %d, %w", n, err)
		}
		r.pushed = append(r.pushed, err)
	}
	r.pushed = append(r.pushed, r.x.CloseWrite())
}

// stands checks what is on the wire, all in all.
func (r *expectRun) stands(want string) error {
	synctest.Wait()
	if got := r.s.written(); got != want {
		return fmt.Errorf("on the wire: %d bytes, %.300q; want %d, %.300q", len(got), got, len(want), want)
	}
	return nil
}

// held checks that nothing of the body went out, or was asked of its reader.
func (r *expectRun) held() error {
	if n := r.asked(); n > 0 {
		return fmt.Errorf("%d bytes of the body were read", n)
	}
	return r.stands(r.head())
}

// asked returns how much of the body was read. The bubble's clock orders goroutines, but
// only for the bubble: for the race detector the connection's lock does.
func (r *expectRun) asked() int {
	r.c.State()
	defer r.c.State()
	return r.size - r.source.Len()
}

func (e expectCase) run() error {
	begun := time.Now()
	r, err := e.start()
	if err == nil {
		err = r.held()
	}
	if err == nil {
		err = r.answered()
	}
	if err == nil {
		err = r.ended()
	}
	took := time.Since(begun)
	r.c.Close()
	if err != nil {
		return err
	}
	if want := map[bool]time.Duration{true: expectPatience}[e.name == "silent"]; took != want {
		return fmt.Errorf("it took %v, want %v", took, want)
	}
	return nil
}

// answered has the server say what it says, and checks what comes of it.
func (r *expectRun) answered() error {
	how := faultNone
	if r.eof {
		how = faultEOF
	}
	r.s.give(r.says, how)
	if r.goes() && r.says == "" {
		time.Sleep(expectPatience - 1)
		if err := r.held(); err != nil {
			return err
		}
		time.Sleep(time.Nanosecond)
	}
	synctest.Wait()
	close(r.late)
	if err := r.stands(r.head() + r.wire()); err != nil {
		return err
	}
	if !r.goes() {
		if n := r.asked(); n > 0 {
			return fmt.Errorf("%d bytes of a body that was not wanted were read", n)
		}
		return nil
	}
	select {
	case <-r.done:
		return fmt.Errorf("a response before there was one: %d, %w", r.resp.resp.Status, r.resp.err)
	default:
	}
	r.s.send([]byte(expectOK))
	return nil
}

// ended checks the response, what those who push were told, and the connection's fate.
func (r *expectRun) ended() error {
	<-r.done
	if !slices.Equal(r.infos, r.expectAnswer.infos) {
		return fmt.Errorf("informational responses %d", r.infos)
	}
	if err := r.delivered(); err != nil {
		return err
	}
	if r.push() {
		<-r.over
		if err := r.told(); err != nil {
			return err
		}
	}
	if !r.lives() {
		return faultEnded(r.c, r.s)
	}
	if state := r.c.State().String(); state != "wIdle rIdle reuse n=0" || r.c.Err() != nil {
		return fmt.Errorf("the connection: %s, %w", state, r.c.Err())
	}
	x, err := r.c.Send(context.Background(), faultNext.req(faultNone))
	if err != nil {
		return err
	}
	if err := r.stands(r.head() + r.wire() + faultNext.request); err != nil {
		return err
	}
	r.s.send([]byte("HTTP/1.1 204 No Content\r\n\r\n"))
	var next faultResult
	if next.end(x); next.err != nil || next.resp.Status != 204 {
		return fmt.Errorf("the next response: %d, %w", next.resp.Status, next.err)
	}
	return nil
}

func (r *expectRun) delivered() error {
	got, status := &r.resp, r.status
	if r.goes() {
		status = 200
	}
	if status == 0 {
		var e *Error
		if !errors.As(got.err, &e) || e.Kind != Incomplete || e.Sent != SentPart || e.Unprocessed() || e.Retryable("POST") || !e.Retryable("PUT") {
			return fmt.Errorf("at the stream's end: %w", got.err)
		}
		return nil
	}
	if got.err != nil || got.resp.Status != status || string(got.data) != "ok" {
		return fmt.Errorf("got %d %q, %w", got.resp.Status, got.data, got.err)
	}
	if got.resp.Close == r.lives() {
		return fmt.Errorf("Response.Close is %v", got.resp.Close)
	}
	return nil
}

// told checks what Write and CloseWrite have returned, and that they say so again.
func (r *expectRun) told() error {
	if r.goes() {
		return errors.Join(r.pushed...)
	}
	r.pushed = append(r.pushed, r.x.CloseWrite())
	_, err := r.x.Write([]byte("x"))
	for _, err := range append(r.pushed, err) {
		var e *Error
		kind := Closed
		if r.status == 0 {
			kind = Incomplete
		}
		if !errors.As(err, &e) || e.Kind != kind || e.Sent == SentNothing || e.Unprocessed() {
			return fmt.Errorf("a push that is not wanted got %w", err)
		}
	}
	return nil
}

// TestExpect: the body is held back until the server asks for it or has been silent for
// ExpectTimeout, to the byte and to the nanosecond. A final response instead: nothing of it
// is sent, not even its end, and the connection ends with the response.
func TestExpect(t *testing.T) {
	for _, answer := range expectAnswers {
		t.Run(answer.name, func(t *testing.T) {
			k := faultCount{t: t}
			for _, body := range expectBodies {
				for i := range 1 << 3 {
					for _, mode := range []string{faultWhole, faultApart, faultBytes} {
						e := expectCase{expectAnswer: answer, body: body, chunked: i&1 != 0, plain: i&2 != 0, size: 5, mode: mode}
						if i&4 != 0 {
							if e.size = mostAtOnce + 5000; mode != faultWhole {
								continue // the length has no bearing on how responses are read
							}
						}
						k.runAny(e, e.run)
					}
				}
			}
			t.Log(k.n, "cases")
		})
	}
}

// TestExpectOvertaken: 100 and the final response come at once. Whether the body has begun
// when that is read is nobody's promise; that the framing stays whole is: the body went out
// whole and the connection lives, or it ends.
func TestExpectOvertaken(t *testing.T) {
	k := faultCount{t: t}
	for range 8 {
		for i := range 1 << 3 {
			for _, body := range expectBodies[:3] {
				e := expectCase{expectAnswer: expectAnswers[0], body: body, chunked: i&1 != 0, plain: i&2 != 0, size: 5, mode: faultWhole}
				if i&4 != 0 {
					e.size = earlyBig
				}
				k.runAny(e, e.overtaken)
			}
		}
	}
}

func (e expectCase) overtaken() error {
	r, err := e.start()
	if err != nil {
		r.c.Close()
		return err
	}
	defer r.c.Close()
	r.s.setWindow(earlyWindow)
	r.s.send([]byte(e.says + expectOK))
	<-r.done
	synctest.Wait()
	if err := r.resp.err; err != nil || string(r.resp.data) != "ok" || r.resp.resp.Status != 200 {
		return fmt.Errorf("got %d %q, %w", r.resp.resp.Status, r.resp.data, err)
	}
	whole := e.head() + e.wire()
	if r.c.Err() != nil {
		if !strings.HasPrefix(whole, r.s.written()) {
			return fmt.Errorf("on the wire: %.300q", r.s.written())
		}
		return faultEnded(r.c, r.s)
	}
	if e.size == earlyBig {
		return fmt.Errorf("the connection waits for the rest of a long body: %v", r.c.State())
	}
	return r.stands(whole)
}

// TestExpectPushRuns: a pushed body is not answered for by its first Write: between 100 and
// its end the server may wait as long as it likes, and ExpectTimeout is over.
func TestExpectPushRuns(t *testing.T) {
	for _, plain := range []bool{false, true} {
		e := expectCase{expectAnswer: expectAnswers[0], body: "late push", chunked: true, size: 6, mode: faultApart, plain: plain}
		bubble(t, e, func() error {
			r, err := e.start()
			if err != nil {
				r.c.Close()
				return err
			}
			defer r.c.Close()
			r.s.send([]byte(e.says))
			for i, want := range []string{"", "3\r\nabc\r\n", "3\r\nabc\r\n3\r\ndef\r\n"} {
				if i > 0 {
					if _, err := r.x.Write(e.data()[3*i-3 : 3*i]); err != nil {
						return err
					}
				}
				time.Sleep(10 * expectPatience)
				if err := r.stands(e.head() + want); err != nil {
					return err
				}
			}
			if err := r.x.CloseWrite(); err != nil {
				return err
			}
			r.s.send([]byte(expectOK))
			<-r.done
			close(r.late) // what comes now is refused
			<-r.over
			if r.pushed[0] == nil || r.pushed[2] == nil {
				return fmt.Errorf("after the end: %v", r.pushed)
			}
			if err := r.stands(e.head() + e.wire()); err != nil {
				return err
			}
			return r.delivered()
		})
	}
}

// expectCalls end an exchange whose body is held back.
var expectCalls = []struct {
	name string
	kind Kind
	end  func(*expectRun)
}{
	{"Cancel", Canceled, func(r *expectRun) { r.x.Cancel() }},
	{"Close", Closed, func(r *expectRun) { r.c.Close() }},
	{"Shutdown", Closed, func(r *expectRun) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		r.c.Shutdown(ctx)
	}},
	{"reset", IO, func(r *expectRun) { r.s.reset() }},
}

// TestExpectGivenUp: an exchange that ends while its body is held back ends at once, for
// who waits and for who writes, and nothing of the body goes out then or later.
func TestExpectGivenUp(t *testing.T) {
	for _, call := range expectCalls {
		for _, body := range expectBodies {
			for i := range 1 << 2 {
				e := expectCase{body: body, chunked: i&1 != 0, plain: i&2 != 0, size: 5, mode: faultApart}
				e.name = call.name
				bubble(t, e, func() error {
					begun := time.Now()
					r, err := e.start()
					if err != nil {
						r.c.Close()
						return err
					}
					defer r.c.Close()
					call.end(r)
					<-r.done
					close(r.late)
					if e.push() {
						<-r.over
						r.pushed = append(r.pushed, r.resp.err)
					} else {
						r.pushed = []error{r.resp.err}
					}
					for _, err := range r.pushed {
						var bad *Error
						if !errors.As(err, &bad) || bad.Kind != call.kind || bad.Sent != SentPart {
							return fmt.Errorf("got %w", err)
						}
					}
					if took := time.Since(begun); took != 0 {
						return fmt.Errorf("it took %v", took)
					}
					time.Sleep(2 * expectPatience)
					return errors.Join(r.held(), faultEnded(r.c, r.s))
				})
			}
		}
	}
}

// TestExpectDeadline: Request.Deadline goes on while the body is held back, and of two
// clocks the first rings.
func TestExpectDeadline(t *testing.T) {
	for _, plain := range []bool{false, true} {
		for _, early := range []time.Duration{1, -1} {
			name := faultName(fmt.Sprintf("plain %v, %v before ExpectTimeout", plain, early))
			bubble(t, name, func() error {
				s := newFaultStream(faultApart)
				c := s.over(&Config{ExpectTimeout: expectPatience}, plain)
				defer c.Close()
				begun := time.Now()
				by := expectPatience - early
				e := expectCase{body: "memory", size: 5}
				req := &Request{Method: "POST", Host: "h", Header: fieldsOf("Expect: 100-continue"),
					Body: bytes.NewReader(e.data()), Deadline: begun.Add(by)}
				var resp Response
				err := c.Do(context.Background(), req, &resp)
				want, sent := e.head(), SentPart
				if early < 0 {
					want, sent = want+e.wire(), SentAll
				}
				var bad *Error
				if !errors.As(err, &bad) || bad.Kind != Timeout || bad.Sent != sent || !errors.Is(err, os.ErrDeadlineExceeded) {
					return fmt.Errorf("got %w", err)
				}
				if took := time.Since(begun); took != by {
					return fmt.Errorf("it took %v, want %v", took, by)
				}
				time.Sleep(2 * expectPatience)
				if got := s.written(); got != want {
					return fmt.Errorf("on the wire: %q", got)
				}
				return faultEnded(c, s)
			})
		}
	}
}

// TestExpectUnsent: where the head cannot be written no body is, however long it is waited.
func TestExpectUnsent(t *testing.T) {
	for n := range 20 {
		bubble(t, faultName(fmt.Sprint("after ", n)), func() error {
			s := newFaultStream(faultApart)
			c := s.over(&Config{ExpectTimeout: expectPatience}, false)
			defer c.Close()
			s.breakWrites(n, faultEOF)
			source := strings.NewReader("hello")
			req := &Request{Method: "POST", Host: "h", Header: fieldsOf("Expect: 100-continue"), Body: noLenReader{source}, ContentLength: 5}
			x, err := c.Send(context.Background(), req)
			if err == nil {
				s.give("", faultEOF)
				err = x.Wait(context.Background(), &Response{})
			}
			var bad *Error
			if !errors.As(err, &bad) || bad.Kind != IO || bad.Unprocessed() != (n == 0) || errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("got %w", err)
			}
			time.Sleep(2 * expectPatience)
			if got := s.written(); len(got) != n || source.Len() != 5 {
				return fmt.Errorf("on the wire: %q; %d bytes of the body are left", got, source.Len())
			}
			return faultEnded(c, s)
		})
	}
}

// TestExpectThenBroken: writes fail after 100, in whatever way the body goes out. Who reads
// learns of it: a response that was on its way is waited for no longer than a tenth of a
// second, and not lost before.
func TestExpectThenBroken(t *testing.T) {
	for _, body := range expectBodies[:3] {
		for _, size := range []int{5000, mostAtOnce + 5000} {
			for i := range 1 << 2 {
				for _, at := range []time.Duration{0, graceAfterWriteError - 1, graceAfterWriteError} {
					e := expectCase{expectAnswer: expectAnswers[0], body: body, chunked: i&1 != 0, plain: i&2 != 0, size: size, mode: faultApart}
					bubble(t, faultName(fmt.Sprintf("%v, %v later", e, at)), func() error { return e.breaks(at) })
				}
			}
		}
	}
}

func (e expectCase) breaks(at time.Duration) error {
	begun := time.Now()
	r, err := e.start()
	if err != nil {
		r.c.Close()
		return err
	}
	defer r.c.Close()
	r.s.breakWrites(e.size/2, faultEOF)
	r.s.send([]byte(e.says))
	synctest.Wait()
	if at < graceAfterWriteError {
		time.Sleep(at)
		r.s.send([]byte(expectOK))
	}
	<-r.done
	var bad *Error
	switch took := time.Since(begun); {
	case took != at:
		return fmt.Errorf("it took %v, want %v", took, at)
	case at < graceAfterWriteError && (r.resp.err != nil || string(r.resp.data) != "ok"):
		return fmt.Errorf("got %q, %w", r.resp.data, r.resp.err)
	case at == graceAfterWriteError && (!errors.As(r.resp.err, &bad) || bad.Kind != IO || bad.Sent != SentPart):
		return fmt.Errorf("got %w", r.resp.err)
	}
	if whole := e.head() + e.wire(); r.s.written() != whole[:len(e.head())+e.size/2] {
		return fmt.Errorf("on the wire: %d bytes", len(r.s.written()))
	}
	if e.push() {
		<-r.over
		for _, err := range r.pushed {
			if err != nil && !errors.As(err, &bad) {
				return err
			}
		}
		if r.pushed[2] == nil {
			return errors.New("CloseWrite after a failed write is well")
		}
	}
	return faultEnded(r.c, r.s)
}

// TestBodyMeetsBuffer: a body at hand that just fits behind its head, or just does not.
func TestBodyMeetsBuffer(t *testing.T) {
	const buffer = 4096
	for _, expect := range []bool{false, true} {
		for off := -3; off <= 3; off++ {
			bubble(t, faultName(fmt.Sprintf("%d more than the buffer, expect %v", off, expect)), func() error {
				s := newFaultStream(faultApart)
				c := s.over(&Config{WriteBuffer: buffer, ExpectTimeout: expectPatience}, false)
				defer c.Close()
				req := &Request{Method: "POST", Host: "h"}
				head := "POST / HTTP/1.1\r\nHost: h\r\n"
				if expect {
					req.Header = fieldsOf("Expect: 100-continue")
					head += "Expect: 100-continue\r\n"
				}
				head += "Content-Length: 4000\r\n\r\n"
				e := expectCase{size: buffer + off - len(head)}
				head = strings.Replace(head, "4000", fmt.Sprint(e.size), 1)
				req.Body = bytes.NewReader(e.data())
				x, err := c.Send(context.Background(), req)
				if err != nil {
					return err
				}
				if synctest.Wait(); expect && s.written() != head {
					return fmt.Errorf("before 100: %d bytes", len(s.written()))
				}
				if expect {
					time.Sleep(expectPatience)
				}
				if synctest.Wait(); !expect && s.written() != head+string(e.data()) {
					return fmt.Errorf("on the wire: %d bytes", len(s.written()))
				}
				s.send([]byte(expectOK))
				var r faultResult
				if r.end(x); r.err != nil || c.Err() != nil {
					return errors.Join(r.err, c.Err())
				}
				if synctest.Wait(); s.written() != head+string(e.data()) {
					return fmt.Errorf("on the wire: %d bytes", len(s.written()))
				}
				return nil
			})
		}
	}
}
