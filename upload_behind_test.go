package h1

// upload_behind_test.go: a body that is given up behind responses that others wait for.
//
// Rule: these responses come all the same, whole, and the connection ends with the last of
// them; nothing is written behind the cut body, and who stands in line is told at once.

import (
	"context"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// uploadEnders are what may give up the body of b, of which "one" is out.
var uploadEnders = []struct {
	name string
	kind Kind
	end  func(r *rig, b *call, source *io.PipeWriter, cancel func())
}{
	{"Body fails", BodyFailed, func(_ *rig, _ *call, source *io.PipeWriter, _ func()) { source.CloseWithError(errors.New("boom")) }},
	{"Body is short", BodyFailed, func(_ *rig, _ *call, source *io.PipeWriter, _ func()) { source.Close() }},
	{"Body is long", BodyFailed, func(_ *rig, _ *call, source *io.PipeWriter, _ func()) { go source.Write(make([]byte, 100)) }},
	{"pushed, short", BodyFailed, func(_ *rig, b *call, _ *io.PipeWriter, _ func()) { b.x.CloseWrite() }},
	{"pushed, long", BadRequest, func(_ *rig, b *call, _ *io.PipeWriter, _ func()) { b.x.Write(make([]byte, 100)) }},
	{"pushed, Cancel", Canceled, func(_ *rig, b *call, _ *io.PipeWriter, _ func()) { b.x.Cancel() }},
	{"pushed, ctx", Canceled, func(_ *rig, _ *call, _ *io.PipeWriter, cancel func()) { cancel() }},
	{"pushed, Deadline", Timeout, func(*rig, *call, *io.PipeWriter, func()) { time.Sleep(time.Hour) }},
	{"Cancel", Canceled, func(_ *rig, b *call, _ *io.PipeWriter, _ func()) { b.x.Cancel() }},
	{"ctx", Canceled, func(_ *rig, _ *call, _ *io.PipeWriter, cancel func()) { cancel() }},
	{"Deadline", Timeout, func(*rig, *call, *io.PipeWriter, func()) { time.Sleep(time.Hour) }},
}

func TestUploadEndsBehindOthers(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"
	for _, ender := range uploadEnders {
		for _, before := range []string{"", head, head + "abc"} {
			for _, waits := range []bool{false, true} {
				t.Run(ender.name, func(t *testing.T) {
					onBoth(t, Config{Depth: 4}, func(r *rig) {
						r.warm()
						first, second := r.begin(context.Background(), get("/a1")), r.begin(context.Background(), get("/a2"))
						source, w := io.Pipe()
						defer w.Close()
						req := &Request{Method: "PUT", Host: "x", ContentLength: 10, Body: source, Deadline: time.Now().Add(time.Minute)}
						push := ender.name[0] == 'p'
						if push {
							req.Body, req.Push = nil, true
						}
						ctx, cancel := context.WithCancel(context.Background())
						defer cancel()
						b := r.begin(ctx, req)
						if push {
							b.x.Write([]byte("one"))
						} else {
							w.Write([]byte("one"))
						}
						line := r.begin(context.Background(), &Request{Method: "POST", Host: "x"})
						if r.await(first); before != "" {
							r.raw(before)
						}
						if waits {
							r.await(second)
							r.await(b)
						}
						synctest.Wait()
						out := r.c.Stats().BytesWritten
						ender.end(r, b, w, cancel)
						synctest.Wait()
						r.failed(line, Closed, SentNothing)
						if r.c.Err() == nil {
							r.Error("it takes requests")
						}
						if waits {
							r.failed(b, ender.kind, SentPart)
						}
						r.raw((head + "abcdef")[len(before):])
						r.got(first, "abcdef")
						r.raw(head + "second")
						if !waits {
							r.await(second)
							r.await(b)
						}
						r.got(second, "second")
						r.failed(b, ender.kind, SentPart)
						r.dead()
						if n := r.c.Stats(); n.BytesWritten != out || n.InFlight != 0 {
							r.Errorf("%d bytes were written behind the cut body; in flight %d", n.BytesWritten-out, n.InFlight)
						}
					})
				})
			}
		}
	}
}

// Where nobody wants what is in front, before or later, there is nothing to wait for.
func TestUploadEndsBehindAbandoned(t *testing.T) {
	for _, later := range []bool{false, true} {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			r.warm()
			a := r.begin(context.Background(), get("/a"))
			b := r.begin(context.Background(), &Request{Method: "PUT", Host: "x", Push: true})
			b.x.Write([]byte("one"))
			r.await(a)
			calls := []*call{a, b}
			if later {
				calls = []*call{b, a}
			}
			for _, k := range calls {
				k.x.Cancel()
			}
			r.await(b)
			r.failed(a, Canceled, SentAll)
			r.failed(b, Canceled, SentPart)
			r.dead()
		})
	}
}

// Nor are these taken along where a write of the body is about to begin, and whoever does
// that lets others run first (letAppend): nothing of it is written then.
func TestUploadEndsBeforeItsWrite(t *testing.T) {
	for name, kind := range map[string]Kind{"Cancel": Canceled, "short": BodyFailed} {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			r.warm()
			a := r.begin(context.Background(), get("/a"))
			b := r.begin(context.Background(), &Request{Method: "PUT", Host: "x", Push: true, ContentLength: 10})
			b.x.Write([]byte("one"))
			out := r.c.Stats().BytesWritten
			r.c.writing = true // by a goroutine that the scheduler is slow to run
			b.x.Write([]byte("two"))
			if r.c.Stats().Unwritten != 3 {
				r.Fatal("not the state that is to be tested")
			}
			if name == "Cancel" {
				b.x.Cancel()
			} else {
				b.x.CloseWrite()
			}
			r.c.writing = false
			r.await(b)
			r.failed(b, kind, SentPart)
			r.await(a)
			r.serve("/a")
			r.got(a, "/a")
			r.dead()
			if n := r.c.Stats().BytesWritten - out; n != 0 {
				r.Errorf("%s: %d bytes were written behind the cut body", name, n)
			}
		})
	}
}

// gone is a body that gives three bytes, and does not come back from its next Read, a
// second later. With a Len, Send itself reads it.
type gone struct{ read bool }

func (g *gone) Read(p []byte) (int, error) {
	if g.read {
		time.Sleep(time.Second)
		runtime.Goexit()
	}
	g.read = true
	return copy(p, "one"), nil
}

type goneWithLen struct{ gone }

func (*goneWithLen) Len() int { return 10 }

// Nor are they where the body's Read does not return.
func TestDesertedBehindOthers(t *testing.T) {
	for sent, body := range map[Sent]io.Reader{SentPart: &gone{}, SentNothing: &goneWithLen{}} {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			r.warm()
			a := r.begin(context.Background(), get("/a"))
			b := r.begin(context.Background(), &Request{Method: "PUT", Target: "/b", Host: "x", Body: body})
			time.Sleep(2 * time.Second)
			if sent == SentPart {
				r.await(b)
				r.failed(b, Canceled, SentPart)
			}
			if got := r.took(); (got == "GET /a;") != (sent == SentNothing) {
				r.Errorf("the server received %q", got)
			}
			r.await(a)
			r.serve("/a")
			r.got(a, "/a")
			r.dead()
			if r.c.br != nil || r.c.wbuf != nil || r.c.writing {
				r.Error("it holds buffers")
			}
		})
	}
}
