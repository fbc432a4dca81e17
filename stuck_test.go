package h1

// stuck_test.go: a write that is stuck though its request was answered, and those who come
// behind it.

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// behindStuck runs f on a connection whose write is stuck in /a, which was answered, while
// /b, with a Deadline, and /c lie in the buffer, and /b reads. What ends a read does so a
// millisecond late.
func behindStuck(t *testing.T, by time.Duration, f func(r *rig, b, c *call)) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{tap: &tap{wireStream: newWireStream(false)}, reads: time.Millisecond}
		r := &rig{t, s.tap, NewConn(s, &Config{Depth: 4})}
		defer r.c.Close()
		r.warm()
		r.s.setWindow(3)
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		r.serve("/a")
		r.got(a, "/a")
		b := r.begin(context.Background(), soon("/b", by))
		r.await(b)
		c := r.begin(context.Background(), get("/c"))
		r.await(c)
		if e := b.x.e; !r.c.inWrite || e == nil || e.start < r.c.taken || r.c.reader != e {
			t.Fatal("not the state that is to be tested")
		}
		f(r, b, c)
	})
}

// bare is a request without a body that nothing shares the connection with.
func bare(target string) *Request { return &Request{Method: "POST", Target: target, Host: "x"} }

// together sends some requests, in one write, which is under way in the name of the first.
func (r *rig) together(reqs ...*Request) (calls []*call) {
	r.Helper()
	r.c.flushing = true // by a goroutine that the scheduler is slow to run
	for _, req := range reqs {
		calls = append(calls, r.begin(context.Background(), req))
	}
	go r.c.runSoon()
	synctest.Wait()
	last := calls[len(calls)-1].x.e
	if r.c.writer != calls[0].x.e || !r.c.inWrite || last == nil || last.start >= r.c.taken {
		r.Fatal("not the state that is to be tested")
	}
	return calls
}

// A request that was given up for its Deadline with no byte out is never written, though
// bytes have come in its turn to read, and it cannot leave the queue for that.
func TestTimedOutInTheBufferIsNotWritten(t *testing.T) {
	behindStuck(t, time.Second, func(r *rig, b, c *call) {
		r.raw("HTTP/1.")
		time.Sleep(2 * time.Second)
		r.failed(b, Timeout, SentNothing)
		r.s.setWindow(wireWindow)
		synctest.Wait()
		if got := string(r.s.receive(1 << 20)); strings.Contains(got, "/b") {
			r.Errorf("the server received %q", got)
		}
		r.failed(c, Closed, SentNothing)
		r.dead()
	})
}

// What comes in the read of one that is taken back answers nothing that lies in the buffer:
// the next is not written either, however little came.
func TestBytesInTheReadOfOneTakenBack(t *testing.T) {
	behindStuck(t, time.Hour, func(r *rig, b, c *call) {
		b.x.Cancel()
		r.raw("HTTP/1.")
		r.failed(b, Canceled, SentNothing)
		r.failed(c, Unsolicited, SentNothing)
		r.s.setWindow(wireWindow)
		synctest.Wait()
		if got := string(r.s.receive(1 << 20)); strings.Contains(got, "/c") {
			r.Errorf("the server received %q", got)
		}
		r.dead()
	})
}

// Requests in line move up as soon as there is room in the buffer, and so does Ready,
// though a write is stuck: not only when that is over.
func TestLineMovesUpBehindAStuckWrite(t *testing.T) {
	for name, first := range map[string]*Request{
		"head": get("/a"),
		"body": {Method: "PUT", Target: "/a", Host: "x", Body: strings.NewReader("hello")},
	} {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			r.warm()
			post := r.begin(context.Background(), posting("/post"))
			a := r.begin(context.Background(), first)
			b := r.begin(context.Background(), get("/b"))
			if a.sent.Load() || b.sent.Load() {
				r.Fatal("not the state that is to be tested")
			}
			r.s.receive(1 << 20)
			r.s.setWindow(0)
			r.serve("/post")
			r.await(post)
			r.got(post, "/post")
			if !r.c.inWrite || !b.sent.Load() {
				r.Errorf("%s: it is in line: %v", name, r.c.Ready().Err())
			}
			r.s.setWindow(wireWindow)
			synctest.Wait()
			r.bothGot(a, b)
		})
	}
}

// Ready is done once the end of a pushed body lies in the buffer: there is room behind it,
// though its write is stuck.
func TestReadyBehindAStuckEnd(t *testing.T) {
	inBubble(t, Config{Depth: 2}, false, func(r *rig) {
		r.warm()
		k := r.begin(context.Background(), &Request{Method: "PUT", Target: "/a", Host: "x", Push: true})
		r.s.setWindow(0)
		done := r.c.Ready().Done()
		if is(done) {
			r.Fatal("ready in the midst of a body")
		}
		ended := make(chan error, 1)
		go func() { ended <- k.x.CloseWrite() }()
		synctest.Wait()
		if !r.c.inWrite || !is(done) {
			r.Errorf("in the write: %v, ready: %v", r.c.inWrite, r.c.Ready().Err())
		}
		r.s.setWindow(wireWindow)
		if err := <-ended; err != nil {
			r.Error(err)
		}
		r.serve("/a")
		r.await(k)
		r.got(k, "/a")
		r.alive()
	})
}

// The buffers of one in line may be given back while it waits, for all in front was
// answered, though a write of that is stuck: it gets others.
func TestBuffersForOneInLine(t *testing.T) {
	inBubble(t, Config{Depth: 2}, false, func(r *rig) {
		r.warm()
		r.s.setWindow(getHead + 3)
		both := r.together(get("/a"), get("/b"))
		c := r.begin(context.Background(), bare("/c"))
		if c.sent.Load() || r.c.wbuf == nil {
			r.Fatal("not the state that is to be tested")
		}
		r.serve("/a", "/b")
		for i, k := range both {
			r.await(k)
			r.got(k, []string{"/a", "/b"}[i])
		}
		if !r.c.inWrite || !c.sent.Load() {
			r.Fatal("not the state that is to be tested")
		}
		r.await(c)
		r.s.setWindow(wireWindow)
		synctest.Wait()
		r.serve("/c")
		r.got(c, "/c")
		r.alive()
	})
}

// Under TLS the Deadline of a write is kept, even where it also moves another's request
// that was canceled: that is no concern of the write's.
func TestWriteKeepsItsDeadlineUnderTLS(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		r.c = NewConn(r.s, &Config{Depth: 4})
		defer r.c.Close()
		r.warm()
		r.c.kind = sealed
		r.s.setWindow(3)
		all := r.together(soon("/a", time.Minute), soon("/b", time.Hour), get("/c"))
		all[1].x.Cancel()
		time.Sleep(time.Minute + time.Millisecond)
		r.await(all[2])
		r.failed(all[2], Closed, SentNothing)
		r.dead()
	})
}

// The head of a last response spares the request it answers, even where that request's last
// bytes are written in the name of one behind it: that one has failed, and its Deadline no
// longer limits the write.
func TestLastResponseOutlivesAnothersWrite(t *testing.T) {
	for _, kind := range []streamKind{opaque, sealed} {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			r.warm()
			r.c.kind = kind
			r.s.setWindow(3)
			r.c.flushing = true // by a goroutine that the scheduler is slow to run
			a := r.begin(context.Background(), get("/a"))
			b := r.begin(context.Background(), soon("/b", time.Second))
			r.await(b)
			r.c.flushing = false
			if r.c.writer != b.x.e || !r.c.inWrite {
				r.Fatal("not the state that is to be tested")
			}
			r.await(a)
			r.raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhe")
			r.failed(b, Closed, SentPart)
			if e, ok := b.err.(*Error); !ok || !e.Unprocessed() {
				r.Errorf("it counts as processed: %v", b.err)
			}
			time.Sleep(time.Minute)
			r.raw("llo")
			r.got(a, "hello")
			r.dead()
		})
	}
}

// Under TLS a write that has moved some of its bytes in StallTimeout, and not all, ends
// then: TLS does not go on behind a write that was cut.
func TestStallUnderTLSIsTheEnd(t *testing.T) {
	inBubble(t, Config{StallTimeout: time.Minute}, false, func(r *rig) {
		r.warm()
		r.c.kind = sealed
		r.s.setWindow(3)
		start := time.Now()
		k := &call{}
		go func() {
			k.err = r.c.Do(context.Background(), get("/a"), &k.resp)
			k.over.Store(true)
		}()
		synctest.Wait()
		r.timedOut(k, start, time.Minute, "StallTimeout")
		r.dead()
	})
}

// CloseWrite's last write may be over just after its StallTimeout, where nothing but Close
// ends a write: it is given a moment, which spares the connection.
func TestLastWriteOverAfterItsStall(t *testing.T) {
	inBubble(t, Config{StallTimeout: time.Minute}, true, func(r *rig) {
		r.warm()
		a := r.pushed(context.Background(), time.Time{})
		ended := a.ends()
		synctest.Wait()
		r.serve("/a")
		r.got(a, "/a")
		time.Sleep(time.Minute + graceBeforeClose/2)
		r.s.setWindow(wireWindow)
		synctest.Wait()
		if err := ended(); err != nil {
			r.Error(err)
		}
		r.alive()
	})
}

// Where the read of one that was taken back does not end, the stream is closed under it,
// though nobody waits.
func TestTakenBackDeafRead(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		never := &slow{tap: r.s, reads: time.Hour}
		r.c.dl, r.c.rw = never, never
		b := r.takenBack("/b")
		b.x.Cancel()
		r.s.setWindow(wireWindow) // what the alarm is left for is the read alone
		synctest.Wait()
		time.Sleep(graceBeforeClose)
		r.failed(b, Canceled, SentNothing)
		r.dead()
	})
}

// A write that StallTimeout ends goes on where it was, as long as one octet of it moves.
func TestWriteGoesOnAfterAStall(t *testing.T) {
	inBubble(t, Config{StallTimeout: time.Minute}, false, func(r *rig) {
		r.s.setWindow(1)
		r.begin(context.Background(), get("/a"))
		const want = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
		var got string
		for range len(want) {
			time.Sleep(50 * time.Second)
			got += string(r.s.receive(1))
		}
		if got != want {
			t.Errorf("the server received %q", got)
		}
	})
}

// A pushed body that is answered, and then stalls, ends the connection at that time, also
// where only Close ends its write.
func TestStallAfterTheResponse(t *testing.T) {
	inBubble(t, Config{StallTimeout: time.Minute}, true, func(r *rig) {
		a := r.begin(context.Background(), &Request{Method: "PUT", Target: "/a", Host: "x", Push: true, ContentLength: 10})
		r.await(a)
		r.serve("/a")
		r.got(a, "/a")
		r.s.receive(1 << 20)
		r.s.setWindow(0)
		start := time.Now()
		_, err := a.x.Write([]byte("hello"))
		if took := time.Since(start); took != time.Minute {
			t.Errorf("it took %v", took)
		}
		wantError(t, err, Timeout, SentPart)
		wantError(t, r.c.Err(), Timeout, SentNothing)
		r.dead()
	})
}

// TrySend of a body writes all that others have left, if the stream is sure to take it.
func TestTrySendWritesWhatFits(t *testing.T) {
	inBubble(t, Config{Depth: 4}, false, func(r *rig) {
		r.warm()
		r.c.kind = wrapped
		r.c.flushing = true // by a goroutine that the scheduler is slow to run
		a, b := r.begin(context.Background(), get("/a")), r.begin(context.Background(), get("/b"))
		if len(r.s.receive(1)) > 0 {
			r.Fatal("not the state that is to be tested")
		}
		put := &Request{Method: "PUT", Target: "/k", Host: "x", Body: strings.NewReader("hello")}
		x, err := r.c.TrySend(context.Background(), put)
		if err != nil {
			r.Fatal(err)
		}
		r.c.flushing = false
		r.serve("/a", "/b", "/k")
		for target, k := range map[string]*call{"/a": a, "/b": b, "/k": {x: x}} {
			r.await(k)
			defer r.got(k, target)
		}
	})
}

// It does not write what it may have to wait for, also where that is the rest of a request
// that was answered, and nobody's any more.
func TestTrySendLeavesTheRestOfTheAnswered(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		more := r.answeredEarly()
		defer more.Close()
		if !r.c.pending() || r.c.queue.head != nil {
			t.Fatal("not the state that is to be tested")
		}
		_, err := r.c.TrySend(context.Background(), posting("/k"))
		wantError(t, err, NotReady, SentNothing)
		if got := r.s.receive(1 << 20); len(got) > 0 {
			t.Errorf("it wrote %q", got)
		}
		r.late(false)
		more.Write(make([]byte, 80))
		synctest.Wait()
		r.s.receive(1 << 20)
		r.alive()
	})
}

// Once a response has said close, no more is sent of the requests behind the one that it
// answers, in whoever's name they are being written (RFC 9112, section 9.6).
func TestCloseSaidCutsWhatIsBehind(t *testing.T) {
	for name, inFirst := range map[string]bool{"in the first's name": true, "in the second's name": false} {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			r.warm()
			r.s.setWindow(getHead + 3)
			var a, b *call
			if inFirst {
				both := r.together(get("/a"), get("/b"))
				a, b = both[0], both[1]
				r.await(b)
			} else {
				r.c.flushing = true
				a, b = r.begin(context.Background(), get("/a")), r.begin(context.Background(), get("/b"))
				r.await(b)
				r.c.flushing = false
				if r.c.writer != b.x.e || !r.c.inWrite {
					r.Fatal("not the state that is to be tested")
				}
			}
			r.await(a)
			r.raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n/")
			r.failed(b, Closed, SentPart)
			r.s.setWindow(wireWindow)
			synctest.Wait()
			if got := string(r.s.receive(1 << 20)); strings.Count(got, "\r\n\r\n") != 1 {
				r.Errorf("%s: the server received %q", name, got)
			}
			r.raw("a")
			r.got(a, "/a")
			r.dead()
		})
	}
}
