package h1

// words_test.go: what errors say to people: what a request waits for, and where a response
// has ended.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// says checks an error's text behind "h1: ".
func says(t testing.TB, err error, words string) {
	t.Helper()
	if err == nil || err.Error() != "h1: "+words {
		t.Errorf("%v; want %q", err, words)
	}
}

// Who must wait, or has waited in vain, is told what for.
func TestWaitSaysWhatFor(t *testing.T) {
	post := &Request{Method: "POST", Host: "x"}
	for _, c := range []struct {
		depth    int
		occupy   func(r *rig)
		next     *Request
		why      string
		forPlain bool // also what Ready speaks of waits
	}{
		{1, func(r *rig) { r.begin(context.Background(), get("/a")) }, get("/b"),
			"waiting for the response in front to be read to its end", true},
		{4, func(r *rig) { r.headOf("/a") }, post,
			"waiting for the response in front to be read to its end", false},
		{4, func(r *rig) { r.begin(context.Background(), get("/a")) }, get("/b"),
			"waiting for a response of HTTP/1.1, before requests may be pipelined", true},
		{2, func(r *rig) {
			r.warm()
			r.begin(context.Background(), get("/a"))
			r.begin(context.Background(), get("/b"))
		}, get("/c"), "waiting, with as many requests in flight as Depth allows", true},
		{4, func(r *rig) { r.warm(); r.begin(context.Background(), get("/a")) }, post,
			"waiting for requests with which it may not be pipelined", false},
		{4, func(r *rig) { r.warm(); r.begin(context.Background(), post) }, get("/b"),
			"waiting for requests with which it may not be pipelined", true},
		{4, func(r *rig) { r.begin(context.Background(), &Request{Method: "PUT", Host: "x", Push: true}) }, get("/b"),
			"waiting for a request in front to be written", true},
		{4, func(r *rig) {
			r.warm()
			r.begin(context.Background(), get("/a"))
			r.begin(context.Background(), post) // in line
		}, get("/b"), "waiting for the requests that are in line before it", true},
		{4, func(r *rig) {
			r.warm()
			r.headOf("/r")
			r.s.setWindow(len(r.s.out) + 5)
			r.begin(context.Background(), get("/a"))
		},
			&Request{Method: "PUT", Host: "x", Body: strings.NewReader("abc")}, "waiting for a request in front to be written", false},
		{2, func(r *rig) { // their writes are none of its business
			r.warm()
			r.s.setWindow(5)
			r.begin(context.Background(), get("/a"))
			r.begin(context.Background(), get("/b"))
		}, get("/c"), "waiting, with as many requests in flight as Depth allows", true},
		{2, func(r *rig) {
			r.warm()
			r.begin(context.Background(), get("/a"))
			r.begin(context.Background(), get("/b"))
		},
			&Request{Method: "PUT", Host: "x", Body: strings.NewReader("abc")}, "waiting, with as many requests in flight as Depth allows", true},
		{4, func(r *rig) { // answered, and a few bytes of its body are left
			k := r.begin(context.Background(), &Request{Method: "PUT", Target: "/a", Host: "x", Push: true, ContentLength: 5})
			r.serve("/a")
			r.await(k)
			r.got(k, "/a")
		}, get("/b"), "waiting for a request in front to be written", true},
	} {
		inBubble(t, Config{Depth: c.depth}, false, func(r *rig) {
			c.occupy(r)
			_, err := r.c.TrySend(context.Background(), c.next)
			says(t, err, "send: not ready: "+c.why)
			if c.forPlain {
				says(t, r.c.Ready().Err(), "ready: not ready: "+c.why)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_, err = r.c.Send(ctx, c.next)
			says(t, err, "send: timeout: "+c.why+": context deadline exceeded")
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, Timeout) {
				t.Errorf("%v is not what its words say", err)
			}
			late := *c.next
			late.Deadline = time.Now().Add(time.Second)
			_, err = r.c.Send(context.Background(), &late)
			says(t, err, "send: timeout: "+c.why+": Request.Deadline: i/o timeout")
			if err := r.c.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

// headOf sends a request, and reads no more of the response than its head.
func (r *rig) headOf(target string) {
	r.raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
	k := r.begin(context.Background(), get(target))
	if err := k.x.Wait(context.Background(), &k.resp); err != nil {
		r.Fatal(err)
	}
}

// So is one who waits for a response that cannot come yet.
func TestWaitForResponseSaysWhatFor(t *testing.T) {
	push := &Request{Method: "PUT", Host: "x", Push: true}
	for _, c := range []struct {
		begin func(r *rig) *call
		words string
	}{
		{func(r *rig) *call { return r.begin(context.Background(), push) },
			"write body: timeout: waiting, before CloseWrite has ended the request's body: context deadline exceeded"},
		{func(r *rig) *call {
			r.begin(context.Background(), get("/a"))
			return r.begin(context.Background(), get("/b"))
		}, "read head: timeout: waiting for the response in front to be read to its end: context deadline exceeded"},
		{func(r *rig) *call { // all is out, and CloseWrite has nothing to add
			k := r.begin(context.Background(), &Request{Method: "PUT", Host: "x", Push: true, ContentLength: 3})
			k.x.Write([]byte("abc"))
			return k
		}, "write body: timeout: context deadline exceeded"},
		{func(r *rig) *call { // the server owes the rest of the response
			late := &Request{Method: "PUT", Host: "x", Push: true, Deadline: time.Now().Add(time.Second)}
			r.raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
			return r.begin(context.Background(), late)
		}, "read body: timeout: Request.Deadline: i/o timeout"},
	} {
		inBubble(t, Config{Depth: 2}, false, func(r *rig) {
			r.warm()
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			k := c.begin(r)
			r.awaitWith(ctx, k)
			time.Sleep(2 * time.Second)
			synctest.Wait()
			says(t, k.err, c.words)
		})
	}
}

// The alarm that ends an exchange whose caller is in no call names the rule, too.
func TestAlarmNamesItsRule(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		late := get("/a")
		late.Deadline = time.Now().Add(time.Second)
		r.raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
		k := r.begin(context.Background(), late)
		if err := k.x.Wait(context.Background(), &k.resp); err != nil {
			t.Fatal(err)
		}
		r.begin(context.Background(), get("/b"))
		time.Sleep(time.Second)
		synctest.Wait()
		_, err := k.resp.Body.Read(make([]byte, 9))
		says(t, err, "read body: timeout: Request.Deadline: i/o timeout")
	})
}

// So does the end of one whose time is up before it begins, or before its write does.
func TestLateNamesItsRule(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		late := get("/a")
		late.Deadline = time.Now()
		_, err := r.c.Send(context.Background(), late)
		says(t, err, "send: timeout: Request.Deadline: i/o timeout")

		r.c.mu.Lock()
		e := r.c.newExchange(context.Background(), get("/b"), &asked{idempotent: true})
		if err := r.c.start(e); err != nil || !r.c.unclaimed() {
			t.Fatal(err, r.c.life)
		}
		e.by = time.Now()
		err = r.c.receive(e, &Response{})
		r.c.unlock()
		says(t, err, "write head: timeout: Request.Deadline: i/o timeout")
		r.alive()
	})
}

// But an error tells of no wait where the exchange's own call was under way, where it was
// in none, or where it has the head already.
func TestNoWaitIsToldOfNone(t *testing.T) {
	push := func() *Request { return &Request{Method: "PUT", Host: "x", Push: true} }
	for _, c := range []struct {
		begin func(r *rig, ctx context.Context) *call
		words string
	}{
		{func(r *rig, ctx context.Context) *call {
			k, body := r.slowPostWith(ctx, "/") // its body is the engine's to send
			r.Cleanup(func() { body.Close() })
			return k
		}, "write body"},
		{func(r *rig, ctx context.Context) *call {
			k := r.begin(ctx, push())
			r.await(k)
			r.s.setWindow(0)
			go k.x.Write([]byte("hello"))
			return k
		}, "write body"},
		{func(r *rig, ctx context.Context) *call { return r.begin(ctx, push()) }, "write body"},
		{func(r *rig, ctx context.Context) *call {
			k := r.begin(ctx, push())
			k.x.CloseWrite()
			r.await(k)
			return k
		}, "read head"},
		{func(r *rig, ctx context.Context) *call {
			k := r.begin(ctx, push())
			r.raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
			r.await(k)
			return k
		}, "read body"},
		{func(r *rig, ctx context.Context) *call {
			r.begin(context.Background(), get("/a"))
			return r.begin(ctx, get("/b"))
		}, "read head"},
		{func(r *rig, ctx context.Context) *call { // it reads /a for nobody
			a, b := r.begin(context.Background(), get("/a")), r.begin(ctx, get("/b"))
			a.x.Cancel()
			r.await(b)
			return b
		}, "read head"},
	} {
		inBubble(t, Config{Depth: 2}, false, func(r *rig) {
			r.warm()
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			k := c.begin(r, ctx)
			time.Sleep(2 * time.Second)
			r.await(k)
			says(t, k.err, c.words+": timeout: context deadline exceeded")
		})
	}
}

// Nor is one told of writes who waits for the read of one that was canceled.
func TestWaitForReadSaysWhatFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{tap: &tap{wireStream: newWireStream(false)}, reads: time.Millisecond}
		r := &rig{t, s.tap, NewConn(s, &Config{Depth: 2})}
		defer r.c.Close()
		r.warm()
		s.setWindow(40)
		put := r.begin(context.Background(), &Request{Method: "PUT", Host: "x", Body: strings.NewReader(strings.Repeat("x", 50))})
		r.serve("/put")
		r.await(put)
		r.got(put, "/put")
		k := r.begin(context.Background(), get("/"))
		r.await(k)
		k.x.Cancel()
		s.setWindow(wireWindow)
		synctest.Wait()
		says(t, r.c.Ready().Err(), "ready: not ready: waiting for a canceled request's read to return")
		time.Sleep(time.Millisecond)
		r.alive()
	})
}

// A response that is cut off says how far it came.
func TestEndSaysWhere(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
	for wire, words := range map[string]string{
		"":                     "read head: incomplete message: the server closed the connection without an answer: EOF",
		"HTTP":                 "read head: incomplete message: unexpected EOF",
		head + "abc":           "read body: incomplete message: 3 of 10 bytes: unexpected EOF",
		head:                   "read body: incomplete message: 0 of 10 bytes: unexpected EOF",
		chunkedHead + "5\r\na": "read body: incomplete message: unexpected EOF",
	} {
		inBubble(t, Config{}, false, func(r *rig) {
			r.raw(wire)
			k := r.begin(context.Background(), get("/"))
			r.s.fail(io.EOF)
			r.await(k)
			says(t, k.err, words)
			want := error(io.ErrUnexpectedEOF)
			if wire == "" {
				want = io.EOF
			}
			if !errors.Is(k.err, want) || !errors.Is(k.err, Incomplete) {
				t.Errorf("%v is not what its words say", k.err)
			}
		})
	}
}

const chunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

// A line that ends as it may not is not said to hold a control byte.
func TestRefusalSaysWhy(t *testing.T) {
	for wire, words := range map[string]string{
		"HTTP/1.1 200 OK\n":        "bad status at 15: LF without CR",
		"HTTP/1.1 2000":            "bad status at 12: no space after the status code",
		"HTTP/1.1 200 O\x00":       "bad status at 14: control byte in a reason phrase",
		ok + "A: b\n":              "bad field at 21: LF without CR",
		ok + "A: b\x00":            "bad field at 21: control byte in a field value",
		ok + "A: b\rc":             "bad field at 22: CR without LF",
		ok + "A: b\r\nB: c\r\nC: ": "too large at 29: more fields than MaxHeaders, 2",
	} {
		var d headDecoder
		d.reset(0, testBytes, 2)
		_, _, err := d.next([]byte(wire), new(Response))
		if err == nil || !strings.HasPrefix(err.Error(), "h1: : "+words) {
			t.Errorf("%q: %v; want %q", wire, err, words)
		}
	}
}

// Who has the head of the first response waits for nobody in front, nor does the writer of
// a body whose response has ended.
func TestCancelSaysNothingOfOthers(t *testing.T) {
	for _, length := range []int{2, 5} {
		inBubble(t, Config{}, false, func(r *rig) {
			k := r.begin(context.Background(), &Request{Method: "PUT", Host: "x", Push: true, ContentLength: 9})
			r.raw(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n/a", length))
			if err := k.x.Wait(context.Background(), &k.resp); err != nil {
				t.Fatal(err)
			}
			io.ReadFull(k.resp.Body, make([]byte, 2))
			k.x.Cancel()
			_, err := k.x.Write([]byte("x"))
			says(t, err, "read body: canceled: Cancel was called")
		})
	}
}

// A request in line may be canceled after the connection has ended, and before it hears of
// that.
func TestCanceledAsTheLineEnds(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		r.begin(context.Background(), get("/a"))
		k := r.begin(context.Background(), get("/k"))
		r.c.mu.Lock()
		e := r.c.line.head
		r.c.fail(nil, errByCaller)
		r.c.cancel(e, newError(Canceled, "test", nil))
		r.c.unlock()
		r.failed(k, Closed, SentNothing)
	})
}
