package h1

// stress_test.go: many callers, who do all that a caller may do, at once and in no order.
//
// Rule: whatever happens, who is given bytes is given its own, who is told that nothing was
// sent was not heard, and every call ends.

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// A heard server remembers what it was asked, and answers in one of several ways.
type heard struct {
	mu    sync.Mutex
	asked map[string]int
}

func (h *heard) reply(dst, head []byte) []byte {
	_, rest, _ := bytes.Cut(head, []byte(" "))
	target, _, _ := bytes.Cut(rest, []byte(" "))
	h.mu.Lock()
	h.asked[string(target)]++
	h.mu.Unlock()
	switch kind := target[len(target)-1]; kind {
	case '1', '2', '3':
		dst = append(dst, "HTTP/1.1 103 Early Hints\r\n\r\n"...)
		fallthrough
	case '4', '5':
		return fmt.Appendf(dst, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nSum: %s\r\n\r\n", len(target), target, target)
	case '9':
		if bytes.HasSuffix(target, []byte("29")) {
			dst = append(dst, "HTTP/1.1 200 OK\r\nConnection: close\r\n"...)
			return append(dst, answer(string(target))[len("HTTP/1.1 200 OK\r\n"):]...)
		}
	}
	return append(dst, answer(string(target))...)
}

// A stress is one connection under it.
type stress struct {
	*testing.T
	c    *Conn
	h    *heard
	odds int // one in so many is ended early
}

func TestStress(t *testing.T) {
	before := runtime.NumGoroutine()
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for round := range rounds {
		s := &stress{t, nil, &heard{asked: map[string]int{}}, 12 << (round % 3 * 3)}
		cfg := &Config{Depth: 1 + round/3%3*3, MaxDrain: 40}
		switch round % 4 {
		case 0:
			s.c = NewConn(newMirror(s.h.reply), cfg)
		case 1:
			s.c = NewConn(wirePlain{newMirror(s.h.reply)}, cfg)
		default:
			s.c = NewConn(dialServer(t, s.h.reply), cfg)
		}
		s.run(uint64(round))
	}
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+2*rounds; time.Sleep(time.Millisecond) {
		if time.Now().After(end) { // a server has one, and ends when the test does
			t.Fatalf("%d goroutines are left, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// run has eight callers and some who look on, and sees that all come back.
func (s *stress) run(seed uint64) {
	ctx, cancel := context.WithCancel(context.Background())
	var callers, others sync.WaitGroup
	for g := range 8 {
		callers.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(g)))
			for i := 0; i < 100 && s.c.Err() == nil; i++ {
				s.once(rnd, fmt.Sprintf("/%d/%d", g, i))
			}
		})
	}
	others.Go(func() { s.c.Watch(ctx) })
	others.Go(func() {
		for s.c.Err() == nil && ctx.Err() == nil {
			s.c.Probe()
			s.c.Hints()
			s.c.Stats()
			_ = s.c.State().String()
			soon, stop := context.WithTimeout(ctx, time.Millisecond)
			s.c.Ready().Wait(soon)
			stop()
		}
	})
	done := make(chan bool)
	go func() {
		callers.Wait()
		s.end(seed)
		cancel()
		others.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		buf := make([]byte, 1<<20)
		s.Fatalf("seed %d: calls hang: %v, %v\n%s", seed, s.c.State(), s.c.Err(), buf[:runtime.Stack(buf, true)])
	}
	s.c.Close()
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	for target, n := range s.h.asked {
		if n > 1 {
			s.Errorf("seed %d: %s was asked %d times", seed, target, n)
		}
	}
}

// end ends the connection, in a way or in several at once.
func (s *stress) end(seed uint64) {
	if st := s.c.State(); s.c.Err() == nil && seed%3 == 0 {
		if err := s.c.Shutdown(context.Background()); err != nil {
			s.Errorf("seed %d: Shutdown: %v, in %v", seed, err, st)
		}
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.c.Close() })
	wg.Go(func() { s.c.Shutdown(context.Background()) })
	wg.Go(func() {
		if p, err := s.c.Detach(); err == nil {
			p.IO.Close()
		}
	})
	wg.Wait()
}

// once makes one exchange, and ends it in one of the ways there are.
func (s *stress) once(rnd *rand.Rand, target string) {
	req := get(target)
	switch rnd.IntN(6) {
	case 0:
		req.Method = "POST"
	case 1:
		req.Method, req.Body = "PUT", strings.NewReader("some bytes")
	case 2:
		req.Method, req.Body, req.ContentLength = "PUT", io.MultiReader(strings.NewReader(strings.Repeat("x", 9000))), 9000
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	soon := time.Duration(rnd.IntN(300)) * time.Microsecond
	switch rnd.IntN(s.odds) {
	case 0:
		defer time.AfterFunc(soon, cancel).Stop()
	case 1:
		req.Deadline = time.Now().Add(soon)
	case 2:
		req.Deadline = time.Now().Add(time.Hour)
	}
	var resp Response
	var x Exchange
	var err error
	switch rnd.IntN(4) {
	case 0:
		err = s.c.Do(ctx, req, &resp)
	case 1:
		x, err = s.c.TrySend(ctx, req)
	default:
		x, err = s.c.Send(ctx, req)
	}
	if err == nil && x.e != nil {
		switch rnd.IntN(s.odds) {
		case 0:
			x.Cancel()
		case 1:
			defer time.AfterFunc(soon, x.Cancel).Stop()
		case 2:
			runtime.Gosched()
		}
		err = x.Wait(ctx, &resp)
	}
	if err == nil {
		err = s.body(rnd, &resp, target)
	}
	s.judge(err, target)
	if x.Wait(ctx, &Response{}) == nil {
		s.Errorf("%s was answered twice", target)
	}
}

// body reads a body, or some of it.
func (s *stress) body(rnd *rand.Rand, resp *Response, target string) error {
	var b []byte
	var err error
	switch rnd.IntN(8) {
	case 0:
		b = make([]byte, 3)
		var n int
		if n, err = io.ReadFull(resp.Body, b); err == io.ErrUnexpectedEOF {
			err = nil
		}
		b = b[:n]
		resp.Body.Close()
	default:
		if b, err = resp.AppendBody(nil, -1); err == nil && string(b) != target {
			s.Errorf("%s was answered %q", target, b)
		}
	}
	if !strings.HasPrefix(target, string(b)) || resp.Status != 200 {
		s.Errorf("%s was answered %d %q", target, resp.Status, b)
	}
	return err
}

// judge compares an error with what the server has heard.
func (s *stress) judge(err error, target string) {
	if err == nil {
		return
	}
	e, ok := err.(*Error)
	if !ok || e == nil {
		s.Errorf("%s: %#v", target, err)
		return
	}
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	if e.Sent == SentNothing && s.h.asked[target] > 0 {
		s.Errorf("%s was not sent: %v. The server received it", target, err)
	}
}

// Ready.Wait waits on where another request was quicker than whoever was woken: NotReady is
// no answer of its.
func TestReadyWaitsOn(t *testing.T) {
	c := NewConn(newMirror(echo), nil)
	defer c.Close()
	end := time.Now().Add(200 * time.Millisecond)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			var resp Response
			for time.Now().Before(end) {
				if err := c.Do(context.Background(), get("/a"), &resp); err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			}
		})
		all.Go(func() {
			for time.Now().Before(end) {
				if err := c.Ready().Wait(context.Background()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
