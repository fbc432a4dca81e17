package main

// h1.go: the engine under test.

import (
	"bytes"
	"context"
	"net"
	"runtime"
	"time"

	"example.com/h1"
)

var h1Do = h1Client("h1", usage{})

// A usage is how h1 is used: with the options whose cost is asked for.
type usage struct {
	cfg      h1.Config
	cancel   bool          // a context that can be canceled
	deadline time.Duration // from the start to the first Request.Deadline, of which each request has another; 0: none
	bare     bool          // the stream's deadline is set before each request, and not by h1
	procs    int           // GOMAXPROCS; 0: as it is
}

func h1Client(name string, use usage) client {
	return client{name, func(e *env, w wire, width int) func() exchange {
		cfg := use.cfg
		cfg.Depth = width
		cfg.MaxHeaders = 1 << 16 // growth has heads of thousands of fields
		stream := e.connect(w)
		conn := h1.NewConn(stream, &cfg)
		ctx := context.Background()
		if use.cancel {
			var cancel func()
			ctx, cancel = context.WithCancel(ctx)
			e.atEnd(cancel)
		}
		if use.procs > 0 {
			before := runtime.GOMAXPROCS(use.procs)
			e.atEnd(func() { runtime.GOMAXPROCS(before) })
		}
		return func() exchange {
			do := e.do(ctx, conn, w, use.deadline)
			if use.bare {
				return afterSetDeadline(stream, do)
			}
			return do
		}
	}}
}

// afterSetDeadline is an exchange with what a Request.Deadline cannot do without beside it.
func afterSetDeadline(stream net.Conn, do exchange) exchange {
	due := time.Now().Add(time.Hour)
	return func() {
		due = due.Add(1)
		check(stream.SetDeadline(due))
		do()
	}
}

func (e *env) do(ctx context.Context, conn *h1.Conn, w wire, deadline time.Duration) exchange {
	req, resp := h1.Request{Host: host, Target: path}, new(h1.Response)
	memory := new(bytes.Reader)
	switch {
	case w.post != nil:
		req.Method, req.Body = "POST", memory
	case w.upload.file != nil:
		req.Method, req.Body, req.ContentLength = "POST", w.upload.file, w.upload.size
		if w.upload.chunked {
			req.ContentLength = -1
		}
	}
	var due [256]time.Time // made before, for what they cost is the caller's affair
	for i := range due {
		due[i] = time.Now().Add(deadline)
	}
	read, sent := e.reader(w), 0
	return func() {
		if deadline > 0 {
			req.Deadline = due[sent%len(due)]
			sent++
		}
		memory.Reset(w.post)
		w.upload.rewind()
		check(conn.Do(ctx, &req, resp))
		insist(resp.Status == 200, "status %d", resp.Status)
		read(resp.Body)
	}
}

// h1Batch sends several requests, and then waits for their responses.
func h1Batch(w wire, batch int) contestant {
	return contestant{name: "h1", start: func(e *env) func(int) {
		conn := h1.NewConn(e.connect(w), &h1.Config{Depth: batch})
		e.do(context.Background(), conn, w, 0)() // until a response has come, the second Send waits
		req, resp := h1.Request{Host: host, Target: path}, new(h1.Response)
		sent := make([]h1.Exchange, batch)
		read := e.reader(w)
		ctx := context.Background()
		return func(n int) {
			for ; n > 0; n -= batch {
				for i := range sent {
					var err error
					sent[i], err = conn.Send(ctx, &req)
					check(err)
				}
				for _, x := range sent {
					check(x.Wait(ctx, resp))
					insist(resp.Status == 200, "status %d", resp.Status)
					read(resp.Body)
				}
			}
		}
	}}
}
