package h1

// fuzz_sequence_test.go: a connection under whatever its callers and its server do, in any
// order.
//
// Rule: one caller, and a stream that answers at once; the question is whose bytes are
// whose.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

// A seqCall is a request, and what its caller was given.
type seqCall struct {
	req    Request
	x      Exchange
	body   string // of the request
	pushed int    // of body
	resp   Response
	infos  int
	before int  // bytes that had been read when it was sent
	head   bool // it was there
	got    []byte
	err    error // how it ended; io.EOF: well
}

// A seqRun is a connection with one caller, whose calls never wait for one another.
type seqRun struct {
	*testing.T
	cfg   *Config
	c     *Conn
	s     *seqServer
	calls []*seqCall // those that were admitted
	odd   bool       // not all was done as a server may hope for
}

const seqVerbs = "swrRxcpPbeE"

// do makes one call, or lets the server do something.
func (r *seqRun) do(verb byte, arg int) {
	var open []*seqCall
	for _, k := range r.calls {
		if k.err == nil {
			open = append(open, k)
		}
	}
	r.odd = r.odd || strings.IndexByte("swrR", verb) < 0
	switch {
	case verb == 's':
		r.send(arg)
	case verb == 'b':
		r.s.mu.Lock()
		r.s.dirty = true
		r.s.say(r.s.piece(), nil)
		r.s.mu.Unlock()
	case verb == 'e':
		r.s.finish(io.EOF)
	case verb == 'E':
		r.s.finish(syscall.ECONNRESET)
	case len(open) == 0:
	case verb == 'c':
		k := open[arg%len(open)]
		k.x.Cancel()
		if r.read(k, 1); k.err == nil {
			r.Errorf("%s was canceled and goes on", k.req.Target)
		}
	case verb == 'p' || verb == 'P':
		if k := open[arg/32%len(open)]; k.req.Push {
			r.push(k, verb == 'P', arg%32)
		}
	case verb == 'x' && open[0].head:
		open[0].resp.Body.Close()
		if r.read(open[0], 1); open[0].err == nil {
			r.Errorf("%s was closed and goes on", open[0].req.Target)
		}
	case verb == 'R':
		for turns := 0; open[0].err == nil; turns++ {
			if r.read(open[0], 1+arg); turns > 10000 {
				r.Fatal("a body without an end")
			}
		}
	case verb != 'x': // one step
		r.read(open[0], 1+arg%32)
	}
}

func (r *seqRun) send(arg int) {
	kind, size := arg%16, arg/16
	k := &seqCall{before: r.s.read}
	target := "/" + strconv.Itoa(len(r.calls)) // one that was not admitted is nobody's
	k.req = Request{Method: "PUT", Target: target, Host: "x"}
	k.req.Informational = func(int, *Header) error { k.infos++; return nil }
	k.body = strings.Repeat(target+".", size)
	switch kind {
	case 0, 1, 2:
		k.req.Method, k.body = [...]string{"GET", "HEAD", "DELETE"}[kind], ""
	case 3:
		k.req.Body = strings.NewReader(k.body)
	case 4:
		k.body = strings.Repeat(k.body, 200)
		k.req.Body = bytes.NewReader([]byte(k.body))
	case 5:
		k.req.Body = io.MultiReader(strings.NewReader(k.body))
	case 6:
		k.req.Body, k.req.ContentLength = twoReads(k.body), int64(len(k.body))
	case 7:
		k.req.Method, k.req.Body = "POST", strings.NewReader(k.body)
	case 8:
		k.req.Method, k.req.Idempotent, k.body = "POST", true, ""
	case 9, 10: // by hand
		k.req.Push, k.body = true, strings.Repeat(k.body, 4)
		if kind == 10 {
			k.req.Header.Add("Expect", "100-continue")
		}
	case 11:
		k.req.Body = io.MultiReader(strings.NewReader(k.body))
		k.req.Header.Add("Expect", "100-continue")
	case 12: // it fails
		k.body += "."
		k.req.Body, k.req.ContentLength = twoReads(k.body), int64(len(k.body)+size%3-1)
	case 13:
		k.req.Method, k.body = "GET", ""
		k.req.Header.Add("Upgrade", "x")
		k.req.Header.Add("Connection", "upgrade")
	case 14:
		k.req.Method, k.req.Target, k.body = "CONNECT", "x:"+target[1:], ""
	case 15:
		k.req.Method, k.req.Close, k.body = "GET", true, ""
	}
	r.odd = r.odd || kind > 8
	var err error
	if k.x, err = r.c.TrySend(context.Background(), &k.req); err == nil {
		r.calls = append(r.calls, k)
	} else if !errors.Is(err, NotReady) {
		r.odd = r.odd || errors.Is(err, BodyFailed)
		if !r.odd && r.c.Err() == nil {
			r.Errorf("%s was refused: %v", target, err)
		}
	}
}

// twoReads reads text, one piece at a time.
func twoReads(text string) io.Reader {
	return io.MultiReader(strings.NewReader(text[:len(text)/2]), strings.NewReader(text[len(text)/2:]))
}

func (r *seqRun) push(k *seqCall, end bool, n int) {
	if !end {
		n, _ = k.x.Write([]byte(k.body[k.pushed:min(len(k.body), k.pushed+n)]))
		k.pushed += n
	} else if err := k.x.CloseWrite(); err == nil {
		k.body = k.body[:k.pushed]
	}
}

// read waits for the head, or reads n bytes of the body.
func (r *seqRun) read(k *seqCall, n int) {
	if !k.head {
		if k.err = k.x.Wait(context.Background(), &k.resp); k.err != nil {
			return
		}
		k.head = true
		if k.resp.Header.Len() > r.c.cfg.MaxHeaders || k.infos > r.c.cfg.MaxInformational {
			r.Errorf("%s: %d fields, %d informational responses", k.req.Target, k.resp.Header.Len(), k.infos)
		}
		return
	}
	buf := make([]byte, n)
	n, k.err = k.resp.Body.Read(buf)
	k.got = append(k.got, buf[:n]...)
}

// finish ends all that is open, and the connection.
func (r *seqRun) finish() {
	for _, k := range r.calls {
		if k.err == nil && k.req.Push {
			r.push(k, true, 0)
		}
		for turns := 0; k.err == nil && turns < 10000; turns++ {
			r.read(k, 100)
		}
		if k.err == nil {
			r.Errorf("%s does not end", k.req.Target)
		}
	}
	if err := r.c.Err(); err != nil && !r.odd && !r.s.odd {
		r.Errorf("the connection ended: %v", err)
	}
	tunnel := -1 // how much is behind the answers
	if r.c.State().Switched() {
		p, err := r.c.Detach()
		if err != nil {
			r.Fatal(err)
		}
		tunnel = len(p.Buffered) + len(r.s.out) - r.s.read
		if !strings.HasSuffix(string(r.s.out[:r.s.read]), string(p.Buffered)) {
			r.Errorf("given back: %q, the last of %q", p.Buffered, r.s.out[:r.s.read])
		}
	}
	r.c.Close()
	synctest.Wait()
	if l := r.c.State().life; !l.closed() || l.n != 0 || r.c.queue.head != nil || r.s.closed == (tunnel >= 0) {
		r.Errorf("after Close: %v, stream closed %v", l, r.s.closed)
	}
	buf := make([]byte, 1)
	for _, k := range r.calls {
		if n, err := k.resp.Body.Read(buf); k.head && (n != 0 || err != k.err) {
			r.Errorf("%s: its body ended with %v, and again with %d, %v", k.req.Target, k.err, n, err)
		}
		if err := k.x.Wait(context.Background(), &Response{}); err == nil {
			r.Errorf("%s has ended twice", k.req.Target)
		}
	}
	if most := int64(len(r.calls)) * r.c.cfg.MaxDrain; r.c.Stats().Drained > most {
		r.Errorf("%d bytes were drained, at most %d may be", r.c.Stats().Drained, most)
	}
	if r.s.bad != "" {
		r.Error(r.s.bad)
	}
	r.judge(tunnel)
}

// judge compares what the callers were given with what stands in the streams.
func (r *seqRun) judge(tunnel int) {
	answers := plainAnswers(string(r.s.out), r.s.asked, r.s.end == io.EOF)
	at := 0
	for _, k := range r.calls {
		asked := at < len(r.s.asked) && r.s.asked[at].target == k.req.Target
		if e, ok := k.err.(*Error); k.err != io.EOF && (!ok || e == nil) {
			r.Errorf("%s ended with %#v", k.req.Target, k.err)
		} else if ok && e != errEnded && e != errBodyClosed && (e.Sent == SentNothing && asked || e.Sent == SentAll && !(asked && r.s.asked[at].whole)) {
			r.Errorf("%s failed, sent %v; the server received it: %v. %v", k.req.Target, e.Sent, asked, e)
		}
		if !asked {
			if k.head {
				r.Errorf("%s was answered, and never asked", k.req.Target)
			}
			continue
		}
		q := r.s.asked[at]
		at++
		if !strings.HasPrefix(k.body, q.body) || q.whole && q.body != k.body && !strings.Contains(q.head, "\r\nExpect:") {
			r.Errorf("%s: body %.100q was received as %.100q", k.req.Target, k.body, q.body)
		}
		if !k.head {
			if !r.odd && !r.s.odd {
				r.Errorf("%s: %v", k.req.Target, k.err)
			}
			continue
		}
		if at > len(answers) {
			r.Errorf("%s was answered %d %q: that is in the place of another answer, or none", k.req.Target, k.resp.Status, k.got)
			continue
		}
		a := answers[at-1]
		if err := a.compare(k); err != nil {
			r.Errorf("%s: %v", k.req.Target, err)
		}
		if q.sure && (k.resp.Header.Get("Tag") != q.target || k.err == io.EOF && string(k.got) != q.answer) {
			r.Errorf("%s was given %q %q, which is another's", k.req.Target, fieldsAs(&k.resp.Header), k.got)
		}
		if a.start < k.before {
			r.Errorf("%s was given an answer from %d on, and sent when %d bytes had been read", k.req.Target, a.start, k.before)
		}
		if tunnel >= 0 && at == len(answers) && (!a.last || len(r.s.out)-a.next != tunnel) {
			r.Errorf("behind the switch are %d bytes, and %d were given back", len(r.s.out)-a.next, tunnel)
		}
	}
	if at < len(r.s.asked) {
		r.Errorf("the server received %s, which was never asked, or twice, or out of turn", r.s.asked[at].target)
	}
}

// compare says in what an answer differs from what a caller was given of it.
func (a *plainAnswer) compare(k *seqCall) error {
	fields := fieldsAs(&k.resp.Header)
	switch trailer := fieldsAs(&k.resp.Trailer); {
	case k.resp.Status != a.status || !slices.Equal(fields, a.fields):
		return fmt.Errorf("status %d, fields %q; in the stream %d, %q", k.resp.Status, fields, a.status, a.fields)
	case !strings.HasPrefix(a.body, string(k.got)):
		return fmt.Errorf("body %q, in the stream %q", k.got, a.body)
	case k.err == io.EOF && (!a.whole || len(k.got) != len(a.body)):
		return fmt.Errorf("body %q ended well; in the stream %q, whole %v", k.got, a.body, a.whole)
	case k.err == io.EOF && !slices.Equal(trailer, a.trailer):
		return fmt.Errorf("trailer %q, in the stream %q", trailer, a.trailer)
	}
	return nil
}

// FuzzSequence: whatever a server sends and however it is cut, each exchange ends once, and
// what its caller is given is to the byte the answer in the place of its own request.
func FuzzSequence(f *testing.F) {
	for _, seed := range []struct{ plan, answers, raw string }{
		{"s0R0s1R0s3R0s0s0s2R0R0R0", "l3c4t5n6i7u8", ""},
		{"s0R0s0s0s1s0r1r5c1R0R0", "l3c4lSt5lIi7u8", ""},
		{"sDr0RZs5RZsFRZsGRZ", "l3L4c3l2", ""},
		{"s9pOp5POR0s:P0R0s;R0s<R0s0R0", "i3i3i2lP", ""},
		{"s0R0s=R0s0R0", "l1w1", ""},
		{"s0R0s>R0", "l1l1", ""},
		{"s0R0s?R0s0R0", "l1k1", ""},
		{"s0R0s0s0s0R0x0r0x0R0", "l1l?c?t?", ""},
		{"s0R0s0r0r1s0s0R0R0R0", "l1s5l1l1", "HTTP/1.1 200 Evil\r\nContent-Length: 4\r\n\r\nevil"},
		{"s0R0b0s0R0", "l1l1", "HTTP/1.1 408 Request Timeout\r\n\r\n"},
		{"s0R0s0s0R0R0", "l1x1l1", "HTTP/1.1 100 Continue\r\n\r\n"},
		{"s0R0s0s0R0e0R0", "l1e5l1", ""},
		{"s0R0s0s0R0E0R0", "m1b1l5", ""},
		{"s0R0s0s0c0R0", "l1t1l1", ""},
		{"s0R0s0sCc1R0", "l1l1l1", ""},
	} {
		f.Add(uint16(0), seed.plan, seed.answers, seed.raw, []byte{})
		f.Add(uint16(4), seed.plan, seed.answers, seed.raw, []byte{1})
		f.Add(uint16(7), seed.plan, seed.answers, seed.raw, []byte{7, 0, 30})
	}
	addScripts(f, func(plan, answers, raw string) { f.Add(uint16(0), plan, answers, raw, []byte{}) })
	f.Fuzz(func(t *testing.T, bits uint16, plan, answers, raw string, cuts []byte) {
		if len(plan) > 100 || len(answers) > 100 || len(raw) > 4000 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			cfg, plain := fuzzConfig(bits)
			s := &seqServer{answers: fuzzScript(answers), raw: raw, cuts: slices.Clone(cuts)}
			r := &seqRun{T: t, cfg: &cfg, s: s, odd: bits >= 4*3*3}
			var rw io.ReadWriteCloser = s
			if plain {
				rw = wirePlain{s}
			}
			r.c = NewConn(rw, &cfg)
			s.conn, s.size = r.c, max(1<<class(r.c.cfg.ReadBuffer), 2*r.c.cfg.MaxHeadBytes)
			for todo := fuzzScript(plan); len(todo) > 0; {
				if verb, arg := todo.next(seqVerbs); verb != 0 {
					r.do(verb, arg)
				}
			}
			r.finish()
		})
	})
}

// addScripts makes plans of the scripts in testdata/wire: their requests, one after the
// other, and each block of their servers' bytes for an answer.
func addScripts(f *testing.F, add func(plan, answers, raw string)) {
	files, err := filepath.Glob("testdata/wire/*.wire")
	if err != nil || len(files) == 0 {
		f.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		sc, err := readWire(file)
		if err != nil {
			f.Fatal(err)
		}
		var plan, answers string
		var raw []string
		for _, s := range sc.steps {
			switch {
			case s.verb == "<":
				raw = append(raw, string(bytes.Join(s.packets, nil)))
			case s.verb == "send" && len(s.args) > 0 && s.args[0] == "HEAD":
				plan, answers = plan+"s1R0", answers+"r0"
			case s.verb == "send":
				plan, answers = plan+"s0R0", answers+"r0"
			case s.verb == "<eof":
				plan += "e0"
			}
		}
		if all := strings.Join(raw, "~"); len(all) < 2000 {
			add(plan, answers, all)
		}
	}
}
