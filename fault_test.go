package h1

// fault_test.go: a fault at every offset of what is written and of what is read, and what
// each exchange has to say of it.
//
// Rule: the oracle (verdicts) knows the bytes of the requests and of their responses, which
// stand here as text, and where the stream failed. It shares nothing with the engine but
// the names of the kinds. Every case is run, in a bubble of its own, so that a goroutine
// left over is found with the case that left it.
// Not here: the stream (fault_stream_test.go), faults of one upload (fault_upload_test.go),
// early responses (early_test.go).

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A faultStep is one exchange of a story: its request and its response, to the byte.
type faultStep struct {
	method  string
	body    string // of the request
	request string // all of it
	head    string // of the response: informational ones, and the final head
	rest    string // of the response: its body as it stands on the wire
	data    string // what that body says
	sum     string // its trailer
	close   bool   // head says close
	until   bool   // the body ends with the stream
}

func (x *faultStep) response() string { return x.head + x.rest }

// A faultStory is exchanges that are pipelined in this order.
type faultStory struct {
	name  string
	steps []faultStep
}

// The stories. All methods are idempotent: others are not pipelined (fault_upload_test.go
// has one). The first is how a pipeline should go, with every way for a response to end;
// in the others a response in the middle is the last.
var faultStories = []faultStory{
	{"kept", []faultStep{
		faultGet(0, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "abc", "abc", ""),
		faultGet(1, "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
			"3\r\ndef\r\n2\r\ngh\r\n0\r\nSum: 5\r\n\r\n", "defgh", "5"),
		{method: "HEAD", request: "HEAD /2 HTTP/1.1\r\nHost: h\r\n\r\n", head: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"},
		faultGet(3, "HTTP/1.1 304 Not Modified\r\n\r\n", "", "", ""),
		{method: "PUT", body: "body", request: "PUT /4 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody",
			head: "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n", rest: "ok", data: "ok"},
	}},
	{"close", []faultStep{
		faultGet(0, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", "a", "a", ""),
		{method: "GET", request: "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n", close: true,
			head: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n", rest: "bc", data: "bc"},
		faultGet(2, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", "", ""),
		{method: "PUT", body: "body", request: "PUT /3 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody",
			head: "HTTP/1.1 204 No Content\r\n\r\n"},
	}},
	{"until", []faultStep{
		faultGet(0, "HTTP/1.1 204 No Content\r\n\r\n", "", "", ""),
		{method: "GET", request: "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n", until: true,
			head: "HTTP/1.1 200 OK\r\n\r\n", rest: "bcd", data: "bcd"},
		faultGet(2, "", "", "", ""),
	}},
}

func faultGet(i int, head, rest, data, sum string) faultStep {
	return faultStep{method: "GET", request: fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: h\r\n\r\n", i),
		head: head, rest: rest, data: data, sum: sum}
}

// faultWarm shows the server to speak HTTP/1.1 and to keep connections, without which
// nothing is pipelined; it runs before a story. faultNext is asked for after it, and never
// answered: so a fault behind the last byte of a story meets somebody, too.
var (
	faultWarm = faultStep{method: "GET", request: "GET /warm HTTP/1.1\r\nHost: h\r\n\r\n",
		head: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}
	faultNext = faultStep{method: "GET", request: "GET /next HTTP/1.1\r\nHost: h\r\n\r\n"}
)

// What a stream does once it has moved the bytes it was allowed.
const (
	faultNone  = ""
	faultEOF   = "eof"   // reads: io.EOF; writes: EPIPE
	faultReset = "reset" // ECONNRESET
	faultStall = "stall" // nothing
)

// faultBreaks are how writes fail, and how reads go on then.
var faultBreaks = [][2]string{{faultEOF, faultEOF}, {faultReset, faultReset}, {faultEOF, faultStall}}

// Which clock ends a stall.
const (
	faultByStall    = "StallTimeout"
	faultByHead     = "HeadTimeout"
	faultByDeadline = "Request.Deadline"
)

const faultPatience = time.Second // of each of them

// How reads give what there is.
const (
	faultWhole = "whole" // all of it; the last bytes together with io.EOF
	faultApart = "apart" // all of it; io.EOF alone
	faultBytes = "bytes" // one at a time
)

// A faultCase is one run of a story. Its String is what a failure is reported with.
type faultCase struct {
	story    *faultStory
	writes   int    // bytes of the requests that the stream takes, where wfault is set
	wfault   string // how it goes on then
	reads    int    // bytes of the responses that the stream gives
	rfault   string // how it goes on then
	clock    string // what ends a stall
	mode     string
	plain    bool // the stream has no deadlines
	parallel bool // each exchange is waited for by a goroutine of its own
}

func (f faultCase) String() string {
	name := ""
	if f.story != nil {
		name = f.story.name
	}
	return fmt.Sprintf("%s: writes %d %q, reads %d %q, clock %q, mode %s, plain %v, parallel %v",
		name, f.writes, f.wfault, f.reads, f.rfault, f.clock, f.mode, f.plain, f.parallel)
}

// A faultVerdict is what an exchange has to end with.
type faultVerdict struct {
	kind   Kind // 0: its response is delivered whole
	or     Kind // as good: see where it is set
	sent   Sent
	unproc bool // Unprocessed
	seen   bool
	unsure bool // the write had not returned: more may have gone out than sent says
	data   string
}

func (v faultVerdict) String() string {
	if v.kind == 0 {
		return fmt.Sprintf("a response with %q", v.data)
	}
	return fmt.Sprintf("%v (or kind %d) sent=%v unprocessed=%v seen=%v unsure=%v", v.kind, v.or, v.sent, v.unproc, v.seen, v.unsure)
}

// faultRefused is the verdict on a request of which nothing went out, after writes have
// failed: Send has refused it, or it was in the buffer with those before it.
var faultRefused = faultVerdict{kind: Closed, or: IO, unproc: true}

// verdicts is the oracle: what each exchange of the story ends with, that of faultNext
// last, and after how long by the stream's clock: at least, at most.
func (f *faultCase) verdicts() (vs []faultVerdict, least, most time.Duration) {
	steps := f.story.steps
	vs = make([]faultVerdict, len(steps)+1)
	next := &vs[len(steps)]
	*next = faultRefused
	queue, broken := f.writing(vs)
	if f.wfault == faultStall {
		if f.clock == faultByStall {
			// A write that had moved something was progress, and it took as long to tell.
			return vs, faultPatience, 2 * faultPatience
		}
		if f.story.between(f.writes) && !f.plain {
			// No request was in part out: each that was not out at all was taken back when its
			// own time was up, and if the write's end came first, the connection lived until
			// the time of the next was up as well: that of its write and of its read at one instant.
			next.or, next.unsure = Timeout, true
			return vs, faultPatience, 2 * faultPatience
		}
		return vs, faultPatience, faultPatience
	}
	from, end, after := 0, faultVerdict{}, time.Duration(0) // end: of those behind the one that ended it
	for _, i := range queue {
		x, v := &steps[i], &vs[i]
		got := min(max(f.reads-from, 0), len(x.response()))
		from += len(x.response())
		final := got >= len(x.head) && x.head != ""
		switch {
		case end.kind != 0:
			v.kind, v.or, v.unproc = end.kind, end.or, end.unproc
			continue
		case x.until && final && f.rfault == faultEOF:
			v.data = x.data[:got-len(x.head)]
		case got == len(x.response()) && final && !x.until:
			v.data = x.data
		default:
			v.seen = got > 0
			v.kind = f.cause(broken, v.seen)
			after = f.patience(broken, final)
		}
		switch {
		case x.close && final:
			// RFC 9112, 9.6: nothing behind a response with close is processed.
			end = faultVerdict{kind: Closed, unproc: true}
		case x.until && final:
			end = faultVerdict{kind: Closed}
		case v.kind == Incomplete || v.kind == IO:
			end = faultVerdict{kind: v.kind}
		case v.kind == Timeout && f.clock == faultByDeadline:
			end = faultVerdict{kind: Timeout} // its own time; theirs is up at the same instant
			if f.plain {
				end.or = Closed // the stream had to be closed to end the read
			}
		case v.kind != 0:
			end = faultVerdict{kind: Closed} // the connection's time was up
		}
	}
	switch {
	case broken || end.kind != 0:
	case f.mode == faultWhole && f.rfault == faultEOF: // the end was seen with the last bytes
	default:
		*next = faultVerdict{kind: f.cause(false, false), sent: SentAll}
		after = f.patience(false, false)
	}
	return vs, after, after
}

// writing fills in how far each request comes, and returns which may be answered. How many
// requests share a write is the engine's affair, and no verdict may depend on it.
func (f *faultCase) writing(vs []faultVerdict) (queue []int, broken bool) {
	from, stop := 0, f.story.requests()
	if f.wfault != faultNone {
		stop = f.writes
	}
	for i := range f.story.steps {
		v, to := &vs[i], from+len(f.story.steps[i].request)
		switch {
		case stop >= to:
			v.sent = SentAll
		case stop > from:
			v.sent = SentPart
		default:
			*v = faultRefused
		}
		if f.wfault == faultStall {
			// The time that was up is that of the bytes that did not move; if it is a
			// request's own, which of several is first is nobody's promise.
			// Without deadlines the stream is closed under the write, to end it, and where
			// that stood is not known; nor is it if a read's time is up at the same instant.
			v.kind, v.or, v.unsure = Closed, 0, f.plain || stop <= from || f.clock == faultByDeadline
			switch {
			case f.clock == faultByDeadline, f.plain:
				v.or = Timeout
			case from <= stop && stop < to:
				v.kind = Timeout
				if i > 0 { // the first has been read for as long, and got as little
					v.or, vs[0].or = Closed, Timeout
				}
			}
		} else if stop > from {
			queue = append(queue, i)
		}
		from = to
	}
	return queue, stop < from
}

// cause is the Kind of the exchange whose response does not come to its end.
func (f *faultCase) cause(broken, seen bool) Kind {
	switch {
	case broken && !seen: // a write error without a response is what happened
		return IO
	case f.rfault == faultEOF:
		return Incomplete
	case f.rfault == faultReset, broken:
		return IO
	}
	return Timeout
}

// patience is how long that takes to show.
func (f *faultCase) patience(broken, final bool) time.Duration {
	switch {
	case f.rfault != faultStall:
		return 0
	case broken:
		return graceAfterWriteError // the one wait that nobody asked for: see source.go
	case f.clock == faultByHead && final:
		return 5 * faultPatience // HeadTimeout is over then, and faultConfig has another
	}
	return faultPatience
}

func (f *faultCase) config() *Config {
	cfg := &Config{Depth: len(f.story.steps)}
	switch f.clock {
	case faultByStall:
		cfg.StallTimeout = faultPatience
	case faultByHead:
		cfg.HeadTimeout, cfg.StallTimeout = faultPatience, 5*faultPatience
	}
	return cfg
}

// A faultResult is what an exchange did end with.
type faultResult struct {
	err    error
	again  error // of the same call, made again
	bySend bool  // Send failed
	resp   Response
	data   []byte
}

// request makes the request of a step.
func (x *faultStep) req(clock string) *Request {
	_, target, _ := strings.Cut(x.request, " ")
	target, _, _ = strings.Cut(target, " ")
	req := &Request{Method: x.method, Target: target, Host: "h"}
	if x.body != "" {
		req.Body = strings.NewReader(x.body)
	}
	if clock == faultByDeadline {
		req.Deadline = time.Now().Add(faultPatience)
	}
	return req
}

// end waits for the response and reads its body.
func (r *faultResult) end(x Exchange) {
	ctx := context.Background()
	if r.err = x.Wait(ctx, &r.resp); r.err != nil {
		r.again = x.Wait(ctx, &r.resp)
		return
	}
	if r.data, r.err = r.resp.AppendBody(nil, -1); r.err != nil {
		_, r.again = r.resp.Body.Read(make([]byte, 1))
	}
}

// run runs the case and says in what it differs from the oracle.
func (f *faultCase) run() error {
	s := newFaultStream(f.mode)
	c := s.over(f.config(), f.plain)
	defer c.Close()
	var warm faultResult
	x, err := c.Send(context.Background(), faultWarm.req(faultNone))
	if err != nil {
		return fmt.Errorf("the first Send: %w", err)
	}
	synctest.Wait() // nobody answers what has not arrived
	s.send([]byte(faultWarm.response()))
	if warm.end(x); warm.err != nil {
		return fmt.Errorf("the first exchange: %w", warm.err)
	}
	before := len(s.written())
	s.breakWrites(f.writes, f.wfault)

	begun := time.Now()
	got := f.exchanges(c, s)
	took := time.Since(begun)

	vs, least, most := f.verdicts()
	for i, v := range vs {
		x := &faultNext
		if i < len(f.story.steps) {
			x = &f.story.steps[i]
		}
		if err := v.check(x, &got[i]); err != nil {
			return fmt.Errorf("exchange %d: %w\nwant %v", i, err, v)
		}
	}
	if took < least || took > most {
		return fmt.Errorf("all had ended after %v, want %v to %v", took, least, most)
	}
	if err := f.checkBytes(s.written()[before:], vs[len(vs)-1].sent); err != nil {
		return err
	}
	return faultEnded(c, s)
}

// exchanges runs the story and what comes after it.
func (f *faultCase) exchanges(c *Conn, s *faultStream) []faultResult {
	steps := f.story.steps
	got := make([]faultResult, len(steps)+1)
	done := make([]chan struct{}, len(steps))
	xs := make([]Exchange, len(steps))
	var all strings.Builder
	for i := range steps {
		all.WriteString(steps[i].response())
		r := &got[i]
		if xs[i], r.err = c.Send(context.Background(), steps[i].req(f.clock)); r.err != nil {
			r.bySend, r.again = true, r.err
			continue
		}
		if f.parallel {
			done[i] = make(chan struct{})
			go func() { r.end(xs[i]); close(done[i]) }()
			synctest.Wait() // it is in its Wait, or has failed
		}
	}
	synctest.Wait()
	s.give(all.String()[:f.reads], f.rfault)
	for i := range steps {
		switch {
		case got[i].bySend:
		case f.parallel:
			<-done[i]
		default:
			got[i].end(xs[i])
		}
	}
	next := &got[len(steps)]
	if x, err := c.Send(context.Background(), faultNext.req(f.clock)); err == nil {
		synctest.Wait() // it is out: of a write under way nobody knows how far it has come
		next.end(x)
	} else {
		next.err, next.again, next.bySend = err, err, true
	}
	return got
}

// check compares what an exchange ended with.
func (v *faultVerdict) check(x *faultStep, r *faultResult) error {
	if v.kind == 0 {
		sum := string(r.resp.Trailer.Peek("Sum"))
		if r.err != nil || string(r.data) != v.data || sum != x.sum || !strings.Contains(x.head, fmt.Sprintf(" %d ", r.resp.Status)) {
			return fmt.Errorf("got %d %q, trailer %q, error %w", r.resp.Status, r.data, sum, r.err)
		}
		return nil
	}
	var e *Error
	if !errors.As(r.err, &e) {
		return fmt.Errorf("got error %v, status %d, %q", r.err, r.resp.Status, r.data)
	}
	all := fmt.Errorf("got %w (kind %v, sent=%v unprocessed=%v retryable=%v bySend=%v)", e,
		e.Kind, e.Sent, e.Unprocessed(), e.Retryable(x.method), r.bySend)
	unproc := v.unproc
	if v.unsure && e.Sent == SentPart { // it may be more than was seen to go, and never less
		v.sent, unproc = SentPart, false
	}
	switch {
	case e.Kind != v.kind && e.Kind != v.or, e.Sent != v.sent, e.Unprocessed() != unproc:
		return all
	case r.bySend && e.Sent != SentNothing:
		return all
	case e.Retryable(x.method) != (unproc || !v.seen && x.method != "POST"):
		return all
	case r.again != r.err:
		return fmt.Errorf("%w, and then %w", all, r.again)
	case e.Kind == Timeout && !errors.Is(e, os.ErrDeadlineExceeded):
		return all
	}
	return nil
}

// checkBytes compares what went out, where the stream failed or did not.
func (f *faultCase) checkBytes(out string, next Sent) error {
	var want strings.Builder
	for _, x := range f.story.steps {
		want.WriteString(x.request)
	}
	all := want.String()
	if f.wfault != faultNone {
		all = all[:f.writes]
	}
	if next == SentAll {
		all += faultNext.request
	}
	if out != all {
		return fmt.Errorf("written: %q, want %q", out, all)
	}
	return nil
}

// faultEnded checks that the connection has ended, once, and takes nothing any more.
func faultEnded(c *Conn, s *faultStream) error {
	synctest.Wait()
	out := len(s.written())
	_, err := c.Send(context.Background(), faultNext.req(faultNone))
	var e *Error
	switch n := s.closes.Load(); {
	case c.Err() == nil || !c.State().Closed() || c.State().InFlight() != 0 || c.Stats().InFlight != 0:
		return fmt.Errorf("not ended: %v, error %v", c.State(), c.Err())
	case n != 1:
		return fmt.Errorf("the stream was closed %d times", n)
	case !errors.As(err, &e) || e.Kind != Closed || !e.Unprocessed() || len(s.written()) != out:
		return fmt.Errorf("a Send after the end: %v", err)
	case c.Close() != nil || s.closes.Load() != 1:
		return errors.New("Close did something")
	}
	return nil
}

// TestFaultRead: all is written, and what the server sends ends after any of its bytes.
func TestFaultRead(t *testing.T) {
	for i := range faultStories {
		story := &faultStories[i]
		t.Run(story.name, func(t *testing.T) {
			k := faultCount{t: t}
			for reads := 0; reads <= story.responses(); reads++ {
				for _, mode := range []string{faultWhole, faultApart, faultBytes} {
					for _, parallel := range []bool{false, true} {
						for _, plain := range []bool{false, true} {
							f := faultCase{story: story, reads: reads, mode: mode, parallel: parallel, plain: plain}
							f.ends(&k)
						}
					}
				}
			}
			t.Log(k.n, "cases")
		})
	}
}

// ends runs the case with every way for reads to end.
func (f faultCase) ends(k *faultCount) {
	for _, how := range []string{faultEOF, faultReset} {
		f.rfault = how
		k.run(f)
	}
	f.rfault = faultStall
	for _, f.clock = range []string{faultByStall, faultByHead, faultByDeadline} {
		if f.parallel && f.clock != faultByStall {
			continue // several deadlines at one instant: which is first is nobody's promise
		}
		k.run(f)
	}
}

func (s *faultStory) responses() (n int) {
	for i := range s.steps {
		n += len(s.steps[i].response())
	}
	return n
}

func (s *faultStory) requests() (n int) {
	for i := range s.steps {
		n += len(s.steps[i].request)
	}
	return n
}

// between reports whether that many bytes are whole requests.
func (s *faultStory) between(writes int) bool {
	at := 0
	for i := range s.steps {
		if at == writes {
			return true
		}
		at += len(s.steps[i].request)
	}
	return at == writes
}

// TestFaultWrite: the stream takes any number of bytes of the requests and then fails, and
// the server has answered none, some or all of those that came whole, and what it says
// ends in the one way or the other.
func TestFaultWrite(t *testing.T) {
	story := &faultStories[0]
	for _, how := range faultBreaks {
		t.Run(how[0]+","+how[1], func(t *testing.T) {
			k := faultCount{t: t}
			for writes := range story.requests() {
				for _, reads := range story.answers(writes) {
					f := faultCase{story: story, writes: writes, reads: reads, wfault: how[0], rfault: how[1]}
					for _, f.mode = range []string{faultWhole, faultApart, faultBytes} {
						k.run(f)
						f.parallel, f.plain = f.mode == faultApart, f.mode == faultBytes
						k.run(f)
						f.parallel, f.plain = false, false
					}
				}
			}
			t.Log(k.n, "cases")
		})
	}
	t.Run(faultStall, func(t *testing.T) {
		k := faultCount{t: t}
		for writes := range story.requests() {
			for _, clock := range []string{faultByStall, faultByDeadline} {
				for _, plain := range []bool{false, true} {
					k.run(faultCase{story: story, writes: writes, wfault: faultStall, clock: clock, plain: plain, mode: faultApart})
				}
			}
		}
		t.Log(k.n, "cases")
	})
}

// answers returns how many bytes of responses there may be when that many of the requests
// have come: for each request that came whole nothing, a byte, all but a byte, all.
func (s *faultStory) answers(writes int) (reads []int) {
	reads = append(reads, 0)
	from, to := 0, 0
	for i := range s.steps {
		if to += len(s.steps[i].request); to > writes {
			break
		}
		n := len(s.steps[i].response())
		reads = append(reads, from+1, from+n-1, from+n)
		from += n
	}
	return reads
}
