//go:build !race

package h1

// alloc_test.go: what a warm connection allocates (nothing), and what an idle one holds.
// The race detector's own allocations would be counted.

import (
	"bytes"
	"context"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	lengthReply  = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
	chunkedReply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nA: b\r\n\r\n"
	emptyReply   = "HTTP/1.1 204 No Content\r\n\r\n"
)

// A user makes exchanges and allocates nothing itself.
type user struct {
	t    *testing.T
	c    *Conn
	req  Request
	resp Response
	body *bytes.Reader
	buf  []byte
	xs   [16]Exchange
}

func newUser(t *testing.T, c *Conn) *user {
	u := &user{t: t, c: c, buf: make([]byte, 4096)}
	u.req.Target, u.req.Host = "/", "example.com"
	u.req.Header.Add("User-Agent", "alloc_test")
	return u
}

// do makes one exchange.
func (u *user) do(ctx context.Context) {
	if u.body != nil {
		u.body.Seek(0, io.SeekStart)
	}
	if err := u.c.Do(ctx, &u.req, &u.resp); err != nil {
		u.t.Fatal(err)
	}
	u.readBody()
}

func (u *user) readBody() {
	for {
		switch _, err := u.resp.Body.Read(u.buf); err {
		case nil:
		case io.EOF:
			return
		default:
			u.t.Fatal(err)
		}
	}
}

// row sends sixteen requests before it waits for the first response.
func (u *user) row(ctx context.Context) {
	for i := range u.xs {
		x, err := u.c.Send(ctx, &u.req)
		if err != nil {
			u.t.Fatal(err)
		}
		u.xs[i] = x
	}
	for _, x := range u.xs {
		if err := x.Wait(ctx, &u.resp); err != nil {
			u.t.Fatal(err)
		}
		u.readBody()
	}
}

// post gives the request a body, to be read again each time.
func (u *user) post(size int) {
	u.req.Method = "POST"
	u.body = bytes.NewReader(append(make([]byte, size-1), 'e'))
	u.req.Body = u.body
}

func TestAllocExchange(t *testing.T) {
	plain := context.Background()
	done, cancel := context.WithCancel(plain)
	defer cancel()
	for _, c := range []struct {
		name  string
		cfg   Config
		reply string
		setup func(u *user)
		run   func(u *user)
		max   float64
	}{
		{"GET, length", Config{}, lengthReply, nil, func(u *user) { u.do(plain) }, 0},
		{"GET, chunked", Config{}, chunkedReply, nil, func(u *user) { u.do(plain) }, 0},
		{"GET, empty", Config{}, emptyReply, nil, func(u *user) { u.do(plain) }, 0},
		{"GET, body closed", Config{}, lengthReply, nil, func(u *user) {
			if err := u.c.Do(plain, &u.req, &u.resp); err != nil {
				u.t.Fatal(err)
			}
			u.resp.Body.Close()
		}, 0},
		{"HEAD", Config{}, strings.TrimSuffix(lengthReply, "hello"), func(u *user) { u.req.Method = "HEAD" }, func(u *user) { u.do(plain) }, 0},
		{"POST, length", Config{}, lengthReply, func(u *user) { u.post(100) }, func(u *user) { u.do(plain) }, 0},
		{"POST, long", Config{}, lengthReply, func(u *user) { u.post(100000) }, func(u *user) { u.do(plain) }, 0},
		{"POST, chunked reply", Config{}, chunkedReply, func(u *user) { u.post(100) }, func(u *user) { u.do(plain) }, 0},
		{"POST, pipelining", Config{Depth: 16}, lengthReply, func(u *user) { u.post(100) }, func(u *user) { u.do(plain) }, 0},
		{"1xx", Config{}, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + lengthReply, func(u *user) {
			u.req.Informational = func(int, *Header) error { return nil }
		}, func(u *user) { u.do(plain) }, 0},
		{"Depth 16, one by one", Config{Depth: 16}, lengthReply, nil, func(u *user) { u.do(plain) }, 0},
		{"Depth 16, in a row", Config{Depth: 16}, lengthReply, nil, func(u *user) { u.row(plain) }, 0},
		{"Depth 16, in a row, chunked", Config{Depth: 16}, chunkedReply, nil, func(u *user) { u.row(plain) }, 0},
		{"Deadline", Config{}, lengthReply, nil, func(u *user) {
			u.req.Deadline = time.Now().Add(time.Hour)
			u.do(plain)
		}, 0},
		{"Deadline, in a row", Config{Depth: 16}, lengthReply, nil, func(u *user) {
			u.req.Deadline = time.Now().Add(time.Hour)
			u.row(plain)
		}, 0},
		{"HeadTimeout", Config{HeadTimeout: time.Hour}, lengthReply, nil, func(u *user) { u.do(plain) }, 0},
		{"StallTimeout", Config{StallTimeout: time.Hour}, chunkedReply, nil, func(u *user) { u.do(plain) }, 0},
		{"all timeouts, in a row", Config{Depth: 16, StallTimeout: time.Hour, HeadTimeout: time.Hour}, lengthReply, nil, func(u *user) {
			u.req.Deadline = time.Now().Add(time.Hour)
			u.row(plain)
		}, 0},
		{"Timing", Config{Timing: true}, lengthReply, nil, func(u *user) { u.do(plain) }, 0},
		{"context", Config{}, lengthReply, nil, func(u *user) { u.do(done) }, 2},
		{"context, POST", Config{}, chunkedReply, func(u *user) { u.post(100) }, func(u *user) { u.do(done) }, 2},
		{"context, in a row", Config{Depth: 16}, lengthReply, nil, func(u *user) { u.row(done) }, 16 * 2},
	} {
		for name, stream := range map[string]func() io.ReadWriteCloser{
			"memory":                   func() io.ReadWriteCloser { return newMirror(replyWith(c.reply)) },
			"memory without deadlines": func() io.ReadWriteCloser { return wirePlain{newMirror(replyWith(c.reply))} },
			"tcp":                      func() io.ReadWriteCloser { return dialCanned(t, c.reply) },
		} {
			t.Run(strings.ReplaceAll(c.name+"/"+name, " ", "_"), func(t *testing.T) {
				conn := NewConn(stream(), &c.cfg)
				defer conn.Close()
				u := newUser(t, conn)
				if c.setup != nil {
					c.setup(u)
				}
				u.do(plain) // shows that the server keeps connections
				for range 10 {
					c.run(u)
				}
				if n := testing.AllocsPerRun(200, func() { c.run(u) }); n > c.max {
					t.Errorf("%v allocations, want at most %v", n, c.max)
				}
			})
		}
	}
}

// dialCanned is a server behind a socket that answers every request with the same bytes,
// and allocates nothing for it.
func dialCanned(t *testing.T, reply string) net.Conn { return dialServer(t, replyWith(reply)) }

// A tinyStream sends one reply when a Write ends a request, and holds nothing. A body ends
// with the byte 'e', which stands nowhere else in it.
type tinyStream struct{ owed atomic.Int32 }

func (s *tinyStream) Write(p []byte) (int, error) {
	if last := p[len(p)-1]; last == '\n' && !bytes.HasPrefix(p, []byte("POST")) || last == 'e' {
		s.owed.Store(int32(len(lengthReply)))
	}
	return len(p), nil
}

func (s *tinyStream) Read(p []byte) (int, error) {
	for s.owed.Load() == 0 {
		runtime.Gosched()
	}
	n := copy(p, lengthReply[len(lengthReply)-int(s.owed.Load()):])
	s.owed.Add(int32(-n))
	return n, nil
}

func (s *tinyStream) Close() error                     { return nil }
func (s *tinyStream) SetReadDeadline(time.Time) error  { return nil }
func (s *tinyStream) SetWriteDeadline(time.Time) error { return nil }

// An idle connection costs no goroutine and at most 512 bytes, whatever went over it.
func TestAllocIdle(t *testing.T) {
	const conns, most = 4000, 512
	for name, c := range map[string]struct {
		cfg   *Config
		plain bool
		post  int
		timed bool
		row   bool
	}{
		"defaults":               {},
		"Config":                 {cfg: &Config{TitleCase: true}},
		"POST":                   {post: 10},
		"long POST":              {post: 10000},
		"pipelining":             {cfg: &Config{Depth: 16}, row: true},
		"timeouts":               {cfg: &Config{HeadTimeout: time.Hour, StallTimeout: time.Hour}, timed: true},
		"timeouts, no deadlines": {cfg: &Config{HeadTimeout: time.Hour, StallTimeout: time.Hour}, timed: true, plain: true},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			streams := make([]tinyStream, conns)
			rws := make([]io.ReadWriteCloser, conns)
			for i := range rws {
				if rws[i] = &streams[i]; c.plain {
					rws[i] = wirePlain{&streams[i]}
				}
			}
			held := make([]*Conn, conns)
			use := func(u *user) {
				u.do(context.Background())
				if c.post > 0 {
					u.post(c.post)
				}
				if c.timed {
					u.req.Deadline = time.Now().Add(time.Hour)
				}
				u.do(context.Background())
				if c.row { // a tiny stream owes one reply at most
					x, err := u.c.Send(context.Background(), &u.req)
					if err == nil {
						err = x.Wait(context.Background(), &u.resp)
					}
					if err != nil {
						t.Fatal(err)
					}
					u.readBody()
				}
			}
			for range 200 { // the first of all fill pools, and the runtime's tables
				use(newUser(t, NewConn(&tinyStream{}, c.cfg)))
			}
			u := newUser(t, nil)
			before, goroutines := heap(), runtime.NumGoroutine()
			for i := range held {
				held[i] = NewConn(rws[i], c.cfg)
				u.c, u.req.Body, u.req.Method, u.body, u.req.Deadline = held[i], nil, "", nil, time.Time{}
				use(u)
				runtime.Gosched() // goroutines that are over are the runtime's, each a few hundred bytes
			}
			u.c, u.body, u.req, u.resp = nil, nil, Request{}, Response{}
			for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), goroutines)
				}
			}
			each := (heap() - before) / conns
			t.Logf("%d bytes", each)
			if each > most {
				t.Errorf("an idle connection holds %d bytes", each)
			}
			for _, c := range held {
				if !c.State().Idle() {
					t.Fatal(c.State(), c.Err())
				}
				c.Close()
			}
		})
	}
}

// heap is the bytes in use, but for what pools hold.
func heap() int64 {
	for range 3 { // a pool keeps its content over one collection
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
