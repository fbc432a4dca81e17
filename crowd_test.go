package h1

// crowd_test.go: many callers on one connection, with bodies of every kind, and a server
// that reads, answers and ends as it likes; the question is what stands on the wire.
//
// Rule: all chance comes from one seed, and all time is a bubble's. Afterwards the wire is
// read by itself: each request stands there once at most, whole or cut at the wire's very
// end, and what its caller was told of it agrees.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// A crowdCall is a request and what became of it.
type crowdCall struct {
	target string
	body   string
	expect bool
	got    string
	err    error
}

// A crowdBody gives a body in pieces, after a while each.
type crowdBody struct {
	rng  *rand.Rand
	text string
}

func (b *crowdBody) Read(p []byte) (int, error) {
	time.Sleep(time.Duration(b.rng.IntN(3)) * time.Millisecond)
	n := copy(p, b.text[:min(len(b.text), b.rng.IntN(len(b.text)+1))])
	b.text = b.text[n:]
	if b.text == "" {
		return n, io.EOF
	}
	return n, nil
}

// A crowd is one run.
type crowd struct {
	seed  uint64
	c     *Conn
	s     *wireStream
	mu    sync.Mutex // of rng, where it is shared
	rng   *rand.Rand
	calls []*crowdCall
	wire  []byte // all that the server has received
	said  bool   // it has said close, or less than it should
}

func (w *crowd) int(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

// one makes one request, in one of the ways there are.
func (w *crowd) one(k *crowdCall) {
	rng := rand.New(rand.NewPCG(w.seed, uint64(w.int(1<<30))))
	req := &Request{Method: "PUT", Target: k.target, Host: "x"}
	kind := rng.IntN(10)
	if kind > 2 {
		k.body = strings.Repeat(k.target+".", 1+rng.IntN(1<<rng.IntN(12)))
	}
	switch kind {
	case 3, 4:
		req.Body = strings.NewReader(k.body)
	case 5:
		req.Body = bytes.NewBufferString(k.body)
	case 6, 7:
		req.Body = &crowdBody{rng, k.body}
		if kind == 7 {
			req.ContentLength = int64(len(k.body))
		}
	case 8, 9:
		req.Push = true
		if kind == 9 {
			req.ContentLength = int64(len(k.body))
		}
	}
	if k.body != "" && rng.IntN(4) == 0 {
		k.expect = true
		req.Header.Add("Expect", "100-continue")
	}
	if rng.IntN(3) == 0 {
		req.Deadline = time.Now().Add(time.Duration(1+rng.IntN(100)) * time.Millisecond)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if rng.IntN(3) == 0 {
		after := time.AfterFunc(time.Duration(rng.IntN(100))*time.Millisecond, cancel)
		defer after.Stop()
	}
	var resp Response
	if !req.Push && rng.IntN(2) == 0 {
		k.err = w.c.Do(ctx, req, &resp)
	} else {
		var x Exchange
		if x, k.err = w.c.Send(ctx, req); k.err != nil {
			return
		}
		if req.Push {
			over := make(chan struct{})
			push := &crowdBody{rand.New(rand.NewPCG(w.seed, rng.Uint64())), k.body}
			go func() { defer close(over); crowdPush(x, push) }()
			defer func() { <-over }()
		}
		k.err = x.Wait(ctx, &resp)
	}
	if k.err == nil {
		var b []byte
		b, k.err = resp.AppendBody(nil, -1)
		k.got = string(b)
	}
}

func crowdPush(x Exchange, from *crowdBody) {
	p := make([]byte, 5000)
	for {
		n, err := from.Read(p)
		if _, bad := x.Write(p[:n]); bad != nil {
			return
		}
		if err != nil {
			x.CloseWrite()
			return
		}
	}
}

// A crowdAsked is a request as it stands on the wire.
type crowdAsked struct {
	target, body string
	whole        bool
}

// crowdParse takes the wire apart.
func crowdParse(wire []byte) (as []crowdAsked, err error) {
	for len(wire) > 0 {
		head, rest, ok := bytes.Cut(wire, []byte("\r\n\r\n"))
		line, _, _ := bytes.Cut(head, []byte("\r\n"))
		f := strings.Fields(string(line))
		if len(f) < 3 || !ok {
			if ok || bytes.Contains(head, []byte("\r\n\r\n")) {
				return as, fmt.Errorf("%.100q is no request", head)
			}
			if len(f) > 1 && !bytes.HasSuffix(line, []byte(f[1])) { // its target is there to its end
				as = append(as, crowdAsked{target: f[1]})
			}
			return as, nil
		}
		if f[0] != "PUT" || f[2] != "HTTP/1.1" {
			return as, fmt.Errorf("%q is no request line", line)
		}
		a := crowdAsked{target: f[1]}
		if _, v, ok := strings.Cut(string(head)+"\r\n", "\r\nContent-Length: "); ok {
			n := 0
			fmt.Sscan(v, &n)
			a.body, a.whole = string(rest[:min(n, len(rest))]), n <= len(rest)
			rest = rest[min(n, len(rest)):]
		} else {
			data, n, err := plainChunked(rest)
			if err == errPlain {
				return as, fmt.Errorf("%s: a bad chunk: %.100q", a.target, rest)
			}
			a.body = string(data)
			if a.whole = err == nil && len(rest) >= n+2; a.whole {
				if string(rest[n:n+2]) != "\r\n" {
					return as, fmt.Errorf("%s: a trailer nobody gave: %.100q", a.target, rest[n:])
				}
				rest = rest[n+2:]
			} else {
				rest = nil
			}
		}
		as, wire = append(as, a), rest
		if !a.whole && len(wire) > 0 {
			return as, fmt.Errorf("%s is cut, and more comes behind it", a.target)
		}
	}
	return as, nil
}

// serve receives and answers until the client has closed the stream.
func (w *crowd) serve() {
	answered, continued := 0, -1
	for w.s.ended() == "" {
		time.Sleep(time.Duration(w.int(4)) * time.Millisecond)
		w.s.setWindow(1 + w.int(1<<w.int(16)))
		w.wire = append(w.wire, w.s.receive(1+w.int(1<<w.int(16)))...)
		as, err := crowdParse(w.wire)
		if err != nil {
			w.s.reset() // judge says it
			return
		}
		if answered >= len(as) || w.said {
			continue
		}
		a := as[answered]
		head := bytes.Index(w.wire, []byte("PUT "+a.target+" "))
		ready := bytes.Contains(w.wire[head:], []byte("\r\n\r\n"))
		expects := ready && bytes.Contains(w.wire[head:], []byte("Expect"))
		switch luck := w.int(400); {
		case !ready:
		case luck == 0:
			w.said = true
			w.s.reset()
		case luck == 1:
			w.said = true
			w.s.fail(io.EOF)
		case luck < 6:
			w.said = true
			w.s.send([]byte("HTTP/1.1 200 OK\r\nConnection: close\r\n" + strings.TrimPrefix(answer(a.target), "HTTP/1.1 200 OK\r\n")))
		case a.whole || luck < 12:
			answered++
			text := []byte(answer(a.target))
			cut := w.int(len(text))
			w.s.send(text[:cut], text[cut:])
		case expects && continued < answered && luck < 200:
			continued = answered
			w.s.send([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
		}
	}
	w.wire = append(w.wire, w.s.receive(1<<30)...)
}

// judge compares the wire with what the callers were told.
func (w *crowd) judge() error {
	as, err := crowdParse(w.wire)
	if err != nil {
		return err
	}
	seen := map[string]crowdAsked{}
	for _, a := range as {
		if _, twice := seen[a.target]; twice {
			return fmt.Errorf("%s stands on the wire twice", a.target)
		}
		seen[a.target] = a
	}
	for _, k := range w.calls {
		a, on := seen[k.target]
		delete(seen, k.target)
		var bad *Error
		errors.As(k.err, &bad)
		switch {
		case k.err == nil && (!on || k.got != k.target):
			return fmt.Errorf("%s was answered with %q; on the wire: %v", k.target, k.got, on)
		case !strings.HasPrefix(k.body, a.body):
			return fmt.Errorf("%s: its body is %.100q, on the wire %.100q", k.target, k.body, a.body)
		case a.whole && a.body != k.body && !(k.expect && a.body == ""):
			return fmt.Errorf("%s: %d bytes of body, on the wire %d", k.target, len(k.body), len(a.body))
		case k.err == nil:
		case bad == nil:
			return fmt.Errorf("%s: %w", k.target, k.err)
		case bad.Sent == SentNothing && on, bad.Sent == SentAll && !a.whole,
			bad.Unprocessed() && on && !w.said:
			return fmt.Errorf("%s: sent %v, unprocessed %v; on the wire %v, whole %v: %w", k.target, bad.Sent, bad.Unprocessed(), on, a.whole, k.err)
		}
	}
	for target := range seen {
		return fmt.Errorf("%s stands on the wire, and was never asked", target)
	}
	return nil
}

func (w *crowd) run(plain bool) error {
	cfg := &Config{Depth: 1 + w.int(6), WriteBuffer: 64 << w.int(7), ExpectTimeout: 20 * time.Millisecond}
	if w.int(4) == 0 {
		cfg.StallTimeout = time.Duration(5+w.int(100)) * time.Millisecond
	}
	if w.int(4) == 0 {
		cfg.MaxDrain = int64(w.int(4000) - 1000)
	}
	w.s = newWireStream(false)
	var rw io.ReadWriteCloser = w.s
	if plain {
		rw = wirePlain{w.s}
	}
	w.c = NewConn(rw, cfg)
	served := make(chan struct{})
	go func() { defer close(served); w.serve() }()
	var all sync.WaitGroup
	for g := range 1 + w.int(8) {
		wait, n := time.Duration(w.int(10))*time.Millisecond, 1+w.int(6)
		var mine []*crowdCall
		for i := range n {
			mine = append(mine, &crowdCall{target: fmt.Sprintf("/%d-%d", g, i)})
		}
		w.calls = append(w.calls, mine...)
		all.Go(func() {
			for _, k := range mine {
				time.Sleep(wait)
				w.one(k)
			}
		})
	}
	all.Wait()
	w.c.Close()
	<-served
	time.Sleep(time.Second) // a body may be in a Read yet
	return w.judge()
}

// TestCrowd: whatever many callers do at once, each request is on the wire once at most,
// whole and in one piece, and its caller is told the truth about it.
func TestCrowd(t *testing.T) {
	k := faultCount{t: t}
	answered, failed := 0, 0
	const runs = 200
	for seed := range uint64(runs) {
		plain := seed%4 == 3
		w := &crowd{seed: seed, rng: rand.New(rand.NewPCG(seed, 1))}
		k.runAny(faultName(fmt.Sprintf("seed %d", seed)), func() error { return w.run(plain) })
		for _, call := range w.calls {
			if call.err == nil {
				answered++
			} else {
				failed++
			}
		}
	}
	t.Logf("%d were answered, %d failed", answered, failed)
}
