//go:build !race

package h1

// alloc_test.go: what a warm connection allocates (nothing), and what an idle one holds.
// The race detector's own allocations would be counted.

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	lengthReply  = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
	chunkedReply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nA: b\r\n\r\n"
	emptyReply   = "HTTP/1.1 204 No Content\r\n\r\n"
)

// answerTo answers every request with the same bytes: a chunked one at its end, which looks
// like a head of its own to a mirror, and one that expects 100 with that first.
func answerTo(wire string) func(dst, head []byte) []byte {
	return func(dst, head []byte) []byte {
		switch {
		case bytes.Contains(head, []byte("Expect: ")):
			return append(dst, "HTTP/1.1 100 Continue\r\n\r\n"...)
		case bytes.Contains(head, []byte("Transfer-Encoding: ")):
			return dst
		}
		return append(dst, wire...)
	}
}

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

// apart sends without a context, and waits with one.
func (u *user) apart(ctx context.Context) {
	x, err := u.c.Send(context.Background(), &u.req)
	if err == nil {
		err = x.Wait(ctx, &u.resp)
	}
	if err != nil {
		u.t.Fatal(err)
	}
	u.readBody()
}

// whole makes one exchange, and takes its body into a slice used before.
func (u *user) whole(ctx context.Context) {
	if err := u.c.Do(ctx, &u.req, &u.resp); err != nil {
		u.t.Fatal(err)
	}
	var err error
	if u.buf, err = u.resp.AppendBody(u.buf[:0], -1); err != nil {
		u.t.Fatal(err)
	}
	u.buf = u.buf[:cap(u.buf)]
}

// postChunked gives the request a body that is not said to be of any length.
func (u *user) postChunked(size int) {
	u.post(size)
	u.req.ContentLength = -1
}

// post gives the request a body, to be read again each time.
func (u *user) post(size int) {
	u.req.Method = "POST"
	u.body = bytes.NewReader(append(make([]byte, size-1), 'e'))
	u.req.Body = u.body
}

// An allocCase is something a user does again and again, and what each time may allocate.
type allocCase struct {
	name  string
	cfg   Config
	reply string
	setup func(u *user)
	run   func(u *user)
	max   float64
}

// allocCases are those without a context that may end (plain), and some with one (done).
func allocCases(plain, done context.Context) []allocCase {
	everyTimeout := Config{ExpectTimeout: time.Hour, HeadTimeout: time.Hour, StallTimeout: time.Hour}
	return []allocCase{
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
		{"POST, chunked", Config{}, lengthReply, func(u *user) { u.postChunked(100) }, func(u *user) { u.do(plain) }, 0},
		{"POST, chunked and long, both ways", Config{}, chunkedReply, func(u *user) { u.postChunked(100000) }, func(u *user) { u.do(plain) }, 0},
		{"POST, any reader", Config{}, chunkedReply, func(u *user) {
			u.post(100000)
			u.req.Body = struct{ io.Reader }{u.body}
		}, func(u *user) { u.do(plain) }, 0},
		{"POST, all timeouts", everyTimeout, lengthReply, func(u *user) {
			u.post(100000)
			u.req.Deadline = time.Now().Add(time.Hour)
		}, func(u *user) { u.do(plain) }, 0},
		{"ExpectTimeout", everyTimeout, lengthReply, func(u *user) {
			u.postChunked(100)
			u.req.Header.Add("Expect", "100-continue")
		}, func(u *user) { u.do(plain) }, 0},
		{"AppendBody", Config{}, chunkedReply, nil, func(u *user) { u.whole(plain) }, 0},
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
		{"context, of Wait", Config{}, lengthReply, nil, func(u *user) { u.apart(done) }, 2},
		{"context, in a row", Config{Depth: 16}, lengthReply, nil, func(u *user) { u.row(done) }, 16 * 2},
	}
}

func TestAllocExchange(t *testing.T) {
	plain := context.Background()
	done, cancel := context.WithCancel(plain)
	defer cancel()
	for _, c := range allocCases(plain, done) {
		for name, stream := range map[string]func() io.ReadWriteCloser{
			"memory":                   func() io.ReadWriteCloser { return newMirror(answerTo(c.reply)) },
			"memory without deadlines": func() io.ReadWriteCloser { return wirePlain{newMirror(answerTo(c.reply))} },
			"tcp":                      func() io.ReadWriteCloser { return dialServer(t, answerTo(c.reply)) },
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

// Goroutines that write what a body has left in the buffer end with their exchange, also
// where the processor is busy.
func TestFlushersDoNotPileUp(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	c := NewConn(newMirror(answerTo(emptyReply)), nil)
	defer c.Close()
	before := runtime.NumGoroutine()
	var resp Response
	for range 1000 {
		req := &Request{Method: "POST", Host: "x", Body: io.LimitReader(strings.NewReader("body"), 4)}
		if err := c.Do(context.Background(), req, &resp); err != nil {
			t.Fatal(err)
		}
		if _, err := resp.AppendBody(nil, -1); err != nil {
			t.Fatal(err)
		}
	}
	if n := runtime.NumGoroutine() - before; n > 10 {
		t.Errorf("%d goroutines after 1000 exchanges that have ended", n)
	}
}

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

// A tinyTLS is one that looks like TLS over a socket, which has never anything to read.
type tinyTLS struct {
	tinyStream
	over bool // its read deadline has passed
}

func (s *tinyTLS) NetConn() net.Conn { return tinySocket{} }

func (s *tinyTLS) SetReadDeadline(t time.Time) error {
	s.over = t.Equal(longAgo)
	return nil
}

func (s *tinyTLS) Read(p []byte) (int, error) {
	if s.over {
		return 0, os.ErrDeadlineExceeded
	}
	return s.tinyStream.Read(p)
}

type tinySocket struct{ net.Conn }

func (tinySocket) Close() error                          { return nil }
func (tinySocket) SyscallConn() (syscall.RawConn, error) { return noRaw{}, nil }

// An idleCase is what goes over a connection before it is idle.
type idleCase struct {
	cfg   *Config
	plain bool // the stream has no deadlines
	tcp   bool
	tls   bool
	post  int
	timed bool
	row   bool
	ctx   bool
}

// stream makes the stream of one connection.
func (k *idleCase) stream(t *testing.T) io.ReadWriteCloser {
	switch {
	case k.tcp:
		nc := dialServer(t, replyWith(lengthReply))
		io.WriteString(nc, "POST / HTTP/1.1\r\nContent-Length: 20000\r\n\r\n"+strings.Repeat("x", 20000)) // the server's memory is not h1's
		if _, err := io.ReadFull(nc, make([]byte, len(lengthReply))); err != nil {
			t.Fatal(err)
		}
		return nc
	case k.tls:
		return &tinyTLS{}
	case k.plain:
		return wirePlain{&tinyStream{}}
	}
	return &tinyStream{}
}

// use makes two or three exchanges on a connection.
func (k *idleCase) use(u *user, c *Conn, ctx context.Context) {
	u.c, u.req.Body, u.req.Method, u.body, u.req.Deadline = c, nil, "", nil, time.Time{}
	u.do(context.Background())
	if k.post > 0 {
		u.post(k.post)
	}
	if k.timed {
		u.req.Deadline = time.Now().Add(time.Hour)
	}
	u.do(ctx)
	if k.row { // a tiny stream owes one reply at most
		if u.body != nil {
			u.body.Seek(0, io.SeekStart)
		}
		u.apart(ctx)
	}
	runtime.Gosched() // goroutines that are over are the runtime's, each a few hundred bytes
}

// An idle connection costs no goroutine and at most 512 bytes, whatever went over it.
func TestAllocIdle(t *testing.T) {
	timeouts := &Config{HeadTimeout: time.Hour, StallTimeout: time.Hour, ExpectTimeout: time.Hour}
	all := *timeouts
	all.Depth, all.TitleCase = 16, true
	for name, k := range map[string]idleCase{
		"defaults":               {},
		"Config":                 {cfg: &Config{TitleCase: true}},
		"POST":                   {post: 10},
		"long POST":              {post: 10000},
		"pipelining":             {cfg: &Config{Depth: 16}, row: true},
		"timeouts":               {cfg: timeouts, timed: true},
		"timeouts, no deadlines": {cfg: timeouts, timed: true, plain: true},
		"context":                {ctx: true},
		"tcp":                    {tcp: true},
		"tcp, all but timeouts":  {cfg: &Config{Depth: 16, TitleCase: true}, post: 10000, row: true, ctx: true, tcp: true}, // timers are the runtime's
		"TLS":                    {tls: true},
		"TLS, timeouts":          {cfg: timeouts, timed: true, tls: true},
		"all at once":            {cfg: &all, timed: true, post: 10000, row: true, ctx: true, plain: true},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) { k.check(t) })
	}
}

func (k *idleCase) check(t *testing.T) {
	conns, most := 4000, int64(512)
	if k.tcp {
		conns = 400
	}
	ctx := context.Background()
	if k.ctx {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
	}
	rws, held := make([]io.ReadWriteCloser, conns), make([]*Conn, conns)
	for i := range rws {
		rws[i] = k.stream(t)
	}
	u := newUser(t, nil)
	for range 200 { // the first of all fill pools, and the runtime's tables
		c := NewConn(&tinyStream{}, k.cfg)
		k.use(u, c, ctx)
		c.Close()
	}
	if k.tls { // each alarm that rings is a goroutine for a moment, and the runtime keeps what those were
		var all sync.WaitGroup
		all.Add(conns)
		for range conns {
			go func() { all.Done(); all.Wait() }()
		}
		all.Wait()
	}
	before, goroutines := heap(), runtime.NumGoroutine()
	for i := range held {
		held[i] = NewConn(rws[i], k.cfg)
		k.use(u, held[i], ctx)
	}
	u.c, u.body, u.req, u.resp = nil, nil, Request{}, Response{}
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), goroutines)
		}
	}
	if k.tls {
		time.Sleep(2 * graceBeforeClose) // the alarm of a look is the runtime's until it rings
	}
	each := (heap() - before) / int64(conns)
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

// Buffers go from one connection to another also where one writes with larger ones than the
// other, and one that grew for a long head is not kept.
func TestAllocBuffersOfTwoSizes(t *testing.T) {
	var users []*user
	for _, size := range []int{4 << 10, 8 << 10} {
		c := NewConn(newMirror(answerTo(lengthReply)), &Config{WriteBuffer: size})
		defer c.Close()
		users = append(users, newUser(t, c))
	}
	both := func() {
		for _, u := range users {
			u.do(context.Background())
		}
	}
	both()
	if n := testing.AllocsPerRun(200, both); n > 0 {
		t.Errorf("%v allocations where two connections take turns", n)
	}
	wide := newUser(t, NewConn(newMirror(answerTo(lengthReply)), &Config{WriteBuffer: 1 << classes}))
	defer wide.c.Close()
	wide.do(context.Background())
	both() // one of them finds a buffer that is too large to be shared
	long := newUser(t, NewConn(dialServer(t, answerTo(lengthReply)), nil))
	defer long.c.Close()
	long.req.Header.Add("X", strings.Repeat("x", 100<<10))
	long.do(context.Background())
	r := getReadBuffer(long.c.cfg.ReadBuffer, long.c)
	if r.out != nil && cap(r.out.b) > 8<<10 {
		t.Errorf("a buffer of %d bytes is kept", cap(r.out.b))
	}
	r.put()
}
