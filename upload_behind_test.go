package h1

// upload_behind_test.go: a body that is given up behind responses that others wait for.
//
// Rule: these responses come all the same, whole, and the connection ends with the last of
// them; nothing is written behind the cut body, and who stands in line is told at once.

import (
	"context"
	"errors"
	"io"
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
