package h1

// fault_upload_test.go: a fault at every offset of one request with a body that is written
// by a goroutine, or pushed, and of its response; and what else may befall a write.
//
// Rule: as in fault_test.go. The request is a POST, so that it may be sent again only if
// nothing of it went out.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A faultUpload is a request with a body, to the byte.
type faultUpload struct {
	name    string
	request string
	make    func() *Request
	push    []string // pieces of the body, where it is pushed
}

var faultUploads = []faultUpload{
	{"reader", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\nSum: 11\r\n\r\n",
		func() *Request {
			return faultPost(&Request{Body: io.MultiReader(strings.NewReader("hello "), strings.NewReader("world"))}, "11")
		}, nil},
	{"memory", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 70\r\n\r\n" + strings.Repeat("0123456789", 7),
		func() *Request {
			return faultPost(&Request{Body: bytes.NewReader([]byte(strings.Repeat("0123456789", 7)))}, "")
		}, nil},
	{"pushed", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n5\r\nhello\r\n2\r\nyo\r\n0\r\nSum: 7\r\n\r\n",
		func() *Request { return faultPost(&Request{Push: true}, "7") }, []string{"hello", "yo"}},
	{"pushed length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\nhelloyo",
		func() *Request { return faultPost(&Request{Push: true, ContentLength: 7}, "") }, []string{"hello", "yo"}},
}

// faultPost completes a request.
func faultPost(req *Request, sum string) *Request {
	req.Method, req.Host = "POST", "h"
	if sum != "" {
		req.Trailer.Add("Sum", sum)
	}
	return req
}

// faultAnswer is the response to each of them.
var faultAnswer = faultStep{method: "POST", head: "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\n", rest: "no", data: "no"}

// faultWriteBuffer is that of its connection: some heads fit it, and some do not.
const faultWriteBuffer = 64

// A faultPosting is one run.
type faultPosting struct {
	faultCase
	up         *faultUpload
	idempotent bool // Request.Idempotent
	blocked    bool // the body's reader blocks after its first piece
}

func (f *faultPosting) String() string {
	return fmt.Sprintf("%s: idempotent %v, blocked %v, %v", f.up.name, f.idempotent, f.blocked, f.faultCase)
}

// verdict is the oracle. The answer comes after the fault of the writes.
func (f *faultPosting) verdict() (v faultVerdict, least, most time.Duration) {
	answered := f.reads == len(faultAnswer.response())
	head := strings.Index(f.up.request, "\r\n\r\n") + 4
	if f.up.push != nil && f.wfault == faultStall && f.writes < head && head <= faultWriteBuffer {
		answered = false // Send itself writes such a head, and nobody reads meanwhile
	}
	v.sent, v.seen = SentAll, f.reads > 0
	switch {
	case f.wfault != faultNone && f.writes == 0:
		v.sent, v.unproc, v.seen = SentNothing, true, false
	case f.wfault != faultNone || f.blocked:
		v.sent = SentPart
	}
	switch {
	case f.wfault != faultNone && f.writes == 0 && f.wfault != faultStall:
		v.kind = IO // nothing went out, so what comes in is no answer
	case answered:
		v.data = faultAnswer.data
	case f.wfault == faultStall:
		// The read's time may be up at the same instant, while the write is under way.
		v.kind, v.unsure = Timeout, f.plain || f.writes == 0
		return v, faultPatience, 2 * faultPatience
	default:
		v.kind = f.cause(f.wfault != faultNone, v.seen)
		least = f.patience(f.wfault != faultNone, f.reads >= len(faultAnswer.head))
	}
	return v, least, least
}

// run runs the case and says in what it differs from the oracle.
func (f *faultPosting) run() error {
	s := newFaultStream(f.mode)
	// MaxDrain: an upload that was answered early ends with the response.
	cfg := &Config{WriteBuffer: faultWriteBuffer, MaxDrain: -1}
	req := f.up.make()
	req.Idempotent = f.idempotent
	switch f.clock {
	case faultByStall:
		cfg.StallTimeout = faultPatience
	case faultByHead:
		cfg.HeadTimeout, cfg.StallTimeout = faultPatience, 5*faultPatience
	case faultByDeadline:
		req.Deadline = time.Now().Add(faultPatience)
	}
	release := func() {}
	if f.blocked {
		r, w := io.Pipe()
		req.Body = io.MultiReader(strings.NewReader("hello "), r)
		release = func() { w.Close() }
	}
	c := s.over(cfg, f.plain)
	defer c.Close()
	s.breakWrites(f.writes, f.wfault)
	begun := time.Now()
	var r faultResult
	x, err := c.Send(context.Background(), req)
	if err != nil {
		r.err, r.again, r.bySend = err, err, true
	} else {
		go f.pushTo(x)
		synctest.Wait() // nobody answers what has not arrived
		s.give(faultAnswer.response()[:f.reads], f.rfault)
		r.end(x)
	}
	took := time.Since(begun)

	v, least, most := f.verdict()
	step := faultAnswer
	if f.idempotent {
		step.method = "PUT" // for what check asks of Retryable
	}
	out, want := s.written(), f.up.request
	switch {
	case f.wfault != faultNone:
		want = want[:f.writes]
	case f.blocked:
		want, _, _ = strings.Cut(want, "5\r\nworld")
	}
	if err := v.check(&step, &r); err != nil {
		return fmt.Errorf("%w\nwant %v", err, v)
	}
	if v.kind != 0 && r.err.(*Error).Retryable("POST") != (r.err.(*Error).Unprocessed() || f.idempotent && !v.seen) {
		return fmt.Errorf("a POST is Retryable: %w", r.err)
	}
	if took < least || took > most {
		return fmt.Errorf("it had ended after %v, want %v to %v", took, least, most)
	}
	if out != want {
		return fmt.Errorf("written: %q, want %q", out, want)
	}
	if v.kind == 0 && f.wfault == faultNone && !f.blocked {
		return nil // the connection lives
	}
	if v.kind == 0 && f.wfault == faultStall {
		time.Sleep(2 * faultPatience) // the body's last bytes, in the buffer, are few enough to be waited for
	}
	err = faultEnded(c, s) // before the reader is released: nothing waits for it
	release()
	return err
}

// pushTo pushes the body, where it is pushed. Its errors are the exchange's.
func (f *faultPosting) pushTo(x Exchange) {
	for _, p := range f.up.push {
		if _, err := x.Write([]byte(p)); err != nil {
			return
		}
	}
	if f.up.push != nil {
		x.CloseWrite()
	}
}

// all runs the case in each mode, on a stream with and without deadlines.
func (f faultPosting) all(k *faultCount) {
	for _, f.mode = range []string{faultWhole, faultApart, faultBytes} {
		for _, f.plain = range []bool{false, true} {
			k.runAny(&f, f.run)
		}
	}
}

// TestFaultUploadWrite: the stream takes any number of bytes of the request, and the
// server has answered nothing, a part, or all.
func TestFaultUploadWrite(t *testing.T) {
	answers := []int{0, 1, len(faultAnswer.head), len(faultAnswer.response()) - 1, len(faultAnswer.response())}
	for i := range faultUploads {
		up := &faultUploads[i]
		t.Run(up.name, func(t *testing.T) {
			k := faultCount{t: t}
			for writes := range len(up.request) {
				for _, reads := range answers {
					for _, how := range faultBreaks {
						f := faultPosting{up: up}
						f.writes, f.reads, f.wfault, f.rfault = writes, reads, how[0], how[1]
						f.all(&k)
					}
				}
				for _, clock := range []string{faultByStall, faultByDeadline} {
					f := faultPosting{up: up}
					f.writes, f.wfault, f.rfault, f.clock = writes, faultStall, faultStall, clock
					f.all(&k)
					f.reads = len(faultAnswer.response())
					f.all(&k)
				}
			}
			t.Log(k.n, "cases")
		})
	}
}

// TestFaultUploadRead: the request is out, or its reader blocks half way, and the response
// ends after any of its bytes.
func TestFaultUploadRead(t *testing.T) {
	for i := range faultUploads {
		up := &faultUploads[i]
		t.Run(up.name, func(t *testing.T) {
			k := faultCount{t: t}
			for reads := 0; reads <= len(faultAnswer.response()); reads++ {
				for _, idempotent := range []bool{false, true} {
					f := faultPosting{up: up, idempotent: idempotent}
					f.reads = reads
					for _, f.rfault = range []string{faultEOF, faultReset} {
						f.all(&k)
					}
					f.rfault = faultStall
					for _, f.clock = range []string{faultByStall, faultByHead, faultByDeadline} {
						f.all(&k)
					}
				}
				if i > 0 {
					continue
				}
				f := faultPosting{up: up, blocked: true}
				f.reads = reads
				for _, f.rfault = range []string{faultEOF, faultReset, faultStall} {
					if f.rfault == faultStall {
						f.clock = faultByDeadline // the others wait for the request's last byte
					}
					f.all(&k)
				}
			}
			t.Log(k.n, "cases")
		})
	}
}

// TestFaultBodyBehindWrite: a request with a body waits while the write of those before it
// is under way, whoever does that write, and goes out once it has ended.
func TestFaultBodyBehindWrite(t *testing.T) {
	story := &faultStories[0]
	bubble(t, faultCase{story: story}, func() error {
		s := newFaultStream(faultWhole)
		c := s.over(&Config{Depth: 4}, false)
		defer c.Close()
		warm, err := c.Send(context.Background(), faultWarm.req(faultNone))
		if err != nil {
			return err
		}
		synctest.Wait()
		s.send([]byte(faultWarm.response()))
		var r faultResult
		if r.end(warm); r.err != nil {
			return r.err
		}
		s.breakWrites(3, faultStall)
		if _, err := c.Send(context.Background(), story.steps[0].req(faultNone)); err != nil {
			return err
		}
		sent := make(chan error)
		go func() {
			_, err := c.Send(context.Background(), story.steps[4].req(faultNone))
			sent <- err
		}()
		synctest.Wait()
		s.setWindow(wireWindow)
		synctest.Wait()
		select {
		case err := <-sent:
			return err
		default:
			return fmt.Errorf("Send waits, with nothing to wait for: %v", c.State())
		}
	})
}

// TestFaultRetryable: whether a request may be sent again depends on the method asked
// about, not on the one that failed.
func TestFaultRetryable(t *testing.T) {
	bubble(t, faultCase{story: &faultStories[0]}, func() error {
		s := newFaultStream(faultWhole)
		c := s.over(nil, false)
		s.give("", faultEOF)
		var e *Error
		if err := c.Do(context.Background(), faultNext.req(faultNone), &Response{}); !errors.As(err, &e) {
			return fmt.Errorf("got %v", err)
		}
		if !e.Retryable("GET") || !e.Retryable("PUT") || e.Retryable("POST") {
			return fmt.Errorf("GET %v, PUT %v, POST %v", e.Retryable("GET"), e.Retryable("PUT"), e.Retryable("POST"))
		}
		return nil
	})
}

// TestFaultInWrite: the exchange is ended while its write is under way. Of what that has
// moved nothing is known, so the request may have been processed; and a stream that took
// no more than a part did not take all.
func TestFaultInWrite(t *testing.T) {
	x := &faultStories[0].steps[0]
	for _, depth := range []int{1, 4} {
		for _, plain := range []bool{false, true} {
			for writes := range len(x.request) {
				for name, end := range faultEnds {
					name := faultName(fmt.Sprintf("%s, depth %d, plain %v, after %d bytes", name, depth, plain, writes))
					bubble(t, name, func() error { return faultInWrite(x, depth, plain, writes, end) })
				}
			}
		}
	}
}

type faultName string

func (s faultName) String() string { return string(s) }

// faultEnds is what may end an exchange during its write.
var faultEnds = map[string]func(*Conn, *faultStream, context.CancelFunc){
	"Close":   func(c *Conn, _ *faultStream, _ context.CancelFunc) { c.Close() },
	"context": func(_ *Conn, _ *faultStream, cancel context.CancelFunc) { cancel() },
	"EOF":     func(_ *Conn, s *faultStream, _ context.CancelFunc) { s.give("", faultEOF) },
	"reset":   func(_ *Conn, s *faultStream, _ context.CancelFunc) { s.reset() },
}

func faultInWrite(x *faultStep, depth int, plain bool, writes int, end func(*Conn, *faultStream, context.CancelFunc)) error {
	s := newFaultStream(faultWhole)
	c := s.over(&Config{Depth: depth}, plain)
	s.breakWrites(writes, faultStall)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	got := make(chan error, 2)
	go func() {
		e, err := c.Send(ctx, x.req(faultNone))
		if err == nil {
			err = e.Wait(ctx, &Response{})
		}
		got <- err
	}()
	synctest.Wait()
	end(c, s, cancel)
	synctest.Wait()
	c.Close() // where the end of reads alone does not end a write
	var e *Error
	if err := <-got; !errors.As(err, &e) {
		return fmt.Errorf("got %v", err)
	}
	if writes > 0 && (e.Sent != SentPart || e.Unprocessed()) || e.Sent == SentAll || e.Unprocessed() != (e.Sent == SentNothing) {
		return fmt.Errorf("got %w (sent=%v unprocessed=%v)", e, e.Sent, e.Unprocessed())
	}
	return nil
}

// A fullStream tells of an error along with the last byte that it takes.
type fullStream struct {
	*faultStream
	with error
}

func (s fullStream) Write(p []byte) (int, error) {
	n, err := s.faultStream.Write(p)
	if err == nil {
		err = s.with
	}
	return n, err
}

// TestFaultWithAllWritten: an error that comes along with a full count has cost nothing:
// the request is out, its response is read, and the connection goes on. If it matters, the
// next call has it again.
func TestFaultWithAllWritten(t *testing.T) {
	for _, with := range []error{syscall.EPIPE, os.ErrDeadlineExceeded} {
		for _, up := range faultUploads {
			bubble(t, faultName(fmt.Sprintf("%s, %v", up.name, with)), func() error {
				s := newFaultStream(faultWhole)
				c := NewConn(fullStream{s, with}, nil)
				defer c.Close()
				x, err := c.Send(context.Background(), up.make())
				if err != nil {
					return err
				}
				for _, p := range up.push {
					if n, err := x.Write([]byte(p)); n != len(p) || err != nil {
						return fmt.Errorf("Write: %d, %w", n, err)
					}
				}
				if up.push != nil {
					if err := x.CloseWrite(); err != nil {
						return fmt.Errorf("CloseWrite: %w", err)
					}
				}
				synctest.Wait()
				s.send([]byte("HTTP/1.1 204 No Content\r\n\r\n"))
				var got faultResult
				if got.end(x); got.err != nil || got.resp.Status != 204 || s.written() != up.request {
					return fmt.Errorf("%d, %w, and %q was written", got.resp.Status, got.err, s.written())
				}
				if c.Err() != nil || !c.State().Idle() {
					return fmt.Errorf("the connection: %v, %w", c.State(), c.Err())
				}
				return nil
			})
		}
	}
}

// CloseWrite fails as Write does if its own write fails.
func TestCloseWriteFails(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		k := r.begin(context.Background(), &Request{Method: "PUT", Host: "x", Push: true})
		if _, err := k.x.Write([]byte("some")); err != nil {
			t.Fatal(err)
		}
		r.s.failWrites(0, syscall.EPIPE)
		wantError(t, k.x.CloseWrite(), IO, SentPart)
	})
}
