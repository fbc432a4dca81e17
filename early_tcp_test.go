package h1

// early_tcp_test.go: early responses over real sockets, with a real FIN and a real RST, and
// the ways of a body that the kernel moves.
//
// Rule: nothing sleeps for luck. Before a server resets the connection its response has
// arrived: a look into the client's socket has shown it, or the client has returned it; a
// response is one small segment, so its first bytes are there with its last.
// Not here: the fate of every state (early_test.go), which needs a clock that stands still.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

const (
	tcpBody   = 5 << 20  // more than two sockets hold, and than the kernel is handed at once
	tcpBuffer = 64 << 10 // of each socket, as far as the system lets one say
	tcpHang   = time.Minute
)

// tcpPair is loopback with buffers of tcpBuffer, and a server's end that does not wait for
// ever.
func tcpPair(t testing.TB) (client, server *net.TCPConn) {
	t.Helper()
	client, server = loopback(t, nil)
	for _, c := range []*net.TCPConn{client, server} {
		c.SetReadBuffer(tcpBuffer)
		c.SetWriteBuffer(tcpBuffer)
		c.SetDeadline(time.Now().Add(tcpHang))
	}
	client.SetDeadline(time.Time{}) // the engine's from now on
	return client, server
}

// hangs ends the run if f does not return.
func hangs(name string, f func()) {
	dog := time.AfterFunc(tcpHang, func() { panic("hangs: " + name + "\n" + stacks()) })
	defer dog.Stop()
	f()
}

// noneLeft checks that no more goroutines run than before.
func noneLeft(t *testing.T, before int) {
	t.Helper()
	for range 1000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("goroutines are left over\n%s", stacks())
}

// until waits for what becomes true of a connection.
func until(c *Conn, is func() bool) {
	for {
		c.mu.Lock()
		done := is()
		c.mu.Unlock()
		if done {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// A tcpCase is one cell of the matrix.
type tcpCase struct {
	status int
	ending string // keep, close, FIN, RST
	read   string // what the server reads before it answers: all, half, none
	body   string // length, file, push; chunked, chunked push
	after  bool   // the client looks for the response only after the ending
}

func (e tcpCase) String() string {
	return fmt.Sprintf("%d, %s, %s is read, %s, after %v", e.status, e.ending, e.read, e.body, e.after)
}

const tcpHead = "POST / HTTP/1.1\r\nHost: h\r\n"

// tcpServer is the server's end of one case.
type tcpServer struct {
	*tcpCase
	nc       *net.TCPConn
	arrived  func() error  // returns when the response has reached the client
	returned chan struct{} // closed when the client has it in hand
	ended    chan struct{} // closed after the ending, or where it is known that none comes
}

func (s *tcpServer) serve() error {
	defer s.nc.Close()
	err := s.answer()
	close(s.ended)
	if err != nil || s.ending == "close" || s.ending == "RST" {
		return err
	}
	if s.ending == "FIN" || s.read != "all" {
		<-s.returned
		return nil
	}
	next := make([]byte, len(faultNext.request))
	if _, err := io.ReadFull(s.nc, next); err != nil || string(next) != faultNext.request {
		return fmt.Errorf("the next request is %q, %w", next, err)
	}
	_, err = io.WriteString(s.nc, "HTTP/1.1 204 No Content\r\n\r\n")
	return err
}

// answer reads what it reads, answers, and does to the connection what it does.
func (s *tcpServer) answer() error {
	framing := fmt.Sprintf("Content-Length: %d\r\n\r\n", tcpBody)
	if strings.HasPrefix(s.body, "chunked") {
		framing = "Transfer-Encoding: chunked\r\n\r\n"
	}
	head := make([]byte, len(tcpHead+framing))
	if _, err := io.ReadFull(s.nc, head); err != nil || string(head) != tcpHead+framing {
		return fmt.Errorf("the head is %q, %w", head, err)
	}
	switch s.read {
	case "all":
		if err := s.readBody(); err != nil {
			return err
		}
	case "half":
		if _, err := io.CopyN(io.Discard, s.nc, tcpBody/2); err != nil {
			return err
		}
	}
	say := ""
	if s.ending == "close" {
		say = "Connection: close\r\n"
	}
	if _, err := fmt.Fprintf(s.nc, "HTTP/1.1 %d Early\r\n%sContent-Length: 4\r\n\r\nbody", s.status, say); err != nil {
		return err
	}
	if err := s.arrived(); err != nil {
		return err
	}
	switch s.ending {
	case "close":
		return s.nc.Close() // with bytes unread that is a reset, too
	case "RST":
		s.nc.SetLinger(0)
		return s.nc.Close()
	case "FIN":
		return s.nc.CloseWrite()
	}
	return nil
}

// readBody reads the whole body and compares it.
func (s *tcpServer) readBody() error {
	want := tcpBytes()
	if !strings.HasPrefix(s.body, "chunked") {
		got := make([]byte, len(want))
		_, err := io.ReadFull(s.nc, got)
		if err == nil && !bytes.Equal(got, want) {
			err = errors.New("the server got other bytes")
		}
		return err
	}
	for one := make([]byte, 1); ; {
		line := ""
		for !strings.HasSuffix(line, "\r\n") {
			if _, err := io.ReadFull(s.nc, one); err != nil {
				return err
			}
			line += string(one)
		}
		n, err := strconv.ParseInt(strings.TrimSuffix(line, "\r\n"), 16, 32)
		if err != nil || n > int64(len(want)) {
			return fmt.Errorf("chunk size %q, and %d bytes are to come", line, len(want))
		}
		chunk := make([]byte, n+2)
		if _, err := io.ReadFull(s.nc, chunk); err != nil {
			return err
		}
		if string(chunk[n:]) != "\r\n" || !bytes.Equal(chunk[:n], want[:n]) {
			return errors.New("the server got other bytes")
		}
		if want = want[n:]; n == 0 {
			if len(want) > 0 {
				return fmt.Errorf("%d bytes are missing", len(want))
			}
			return nil
		}
	}
}

var tcpContent = func() []byte {
	b := make([]byte, tcpBody)
	for i := range b {
		b[i] = byte(i * i >> 7)
	}
	return b
}()

func tcpBytes() []byte { return tcpContent }

// tcpFile makes a file of it.
func tcpFile(t *testing.T) string {
	name := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(name, tcpBytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestEarlyTCP: a response that has arrived is never lost to what the server does next,
// even if writes fail with EPIPE or ECONNRESET.
func TestEarlyTCP(t *testing.T) {
	file := tcpFile(t)
	for _, ending := range []string{"keep", "close", "FIN", "RST"} {
		t.Run(ending, func(t *testing.T) {
			for _, read := range []string{"all", "half", "none"} {
				for _, status := range []int{413, 200} {
					for _, body := range []string{"length", "file", "push", "chunked", "chunked push"} {
						for _, after := range []bool{false, true} {
							if after && runtime.GOOS != "linux" {
								continue // elsewhere a reset may take along what has arrived
							}
							e := tcpCase{status, ending, read, body, after}
							hangs(e.String(), func() { e.run(t, file) })
						}
					}
				}
			}
		})
	}
}

func (e tcpCase) run(t *testing.T, file string) {
	before := runtime.NumGoroutine()
	client, nc := tcpPair(t)
	c := NewConn(client, nil)
	defer c.Close()
	s := &tcpServer{tcpCase: &e, nc: nc, returned: make(chan struct{}), ended: make(chan struct{})}
	s.arrived = func() error { <-s.returned; return nil }
	if e.after {
		s.arrived = func() error { return tcpArrived(client) }
	}
	served := make(chan error, 1)
	go func() { served <- s.serve() }()

	req, source := e.request(t, file)
	x, err := c.Send(context.Background(), req)
	if err != nil {
		t.Errorf("%v: %v", e, err)
		return
	}
	pushed := make(chan error, 1)
	if req.Push {
		go func() { pushed <- tcpPush(x) }()
	}
	if e.after {
		<-s.ended
	}
	var r faultResult
	r.end(x)
	close(s.returned)
	if r.err != nil || r.resp.Status != e.status || string(r.data) != "body" {
		t.Errorf("%v: got %d %q, %v", e, r.resp.Status, r.data, r.err)
	}
	if err := e.next(c, s.nc); err != nil {
		t.Errorf("%v: %v", e, err)
	}
	if err := <-served; err != nil {
		t.Errorf("%v: the server: %v", e, err)
	}
	c.Close()
	if req.Push {
		var bad *Error // CloseWrite may come after the last response's end
		if err := <-pushed; e.read == "all" && e.ending == "keep" && err != nil || err != nil && (!errors.As(err, &bad) || bad.Kind != Closed && bad.Kind != IO) {
			t.Errorf("%v: Write got %v", e, err)
		}
	}
	noneLeft(t, before)
	if source != nil {
		source.Close()
	}
}

// tcpArrived waits until the client's socket holds something to read.
func tcpArrived(client *net.TCPConn) error {
	raw, err := client.SyscallConn()
	if err != nil {
		return err
	}
	for {
		if _, n, err := peek(raw); n > 0 || err != nil {
			return err
		}
		time.Sleep(100 * time.Microsecond) // a look each time, not a guess
	}
}

func (e *tcpCase) request(t *testing.T, file string) (*Request, io.Closer) {
	req := &Request{Method: "POST", Host: "h", ContentLength: tcpBody}
	switch e.body {
	case "push", "chunked push":
		req.Push = true
	case "file":
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		req.Body = f
		return req, f
	default:
		req.Body = noLenReader{bytes.NewReader(tcpBytes())}
	}
	if strings.HasPrefix(e.body, "chunked") {
		req.ContentLength = -1
	}
	return req, nil
}

func tcpPush(x Exchange) error {
	for b := tcpBytes(); len(b) > 0; {
		n := min(len(b), 100000)
		if _, err := x.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return x.CloseWrite()
}

// next checks the connection's fate by a further request.
func (e *tcpCase) next(c *Conn, server *net.TCPConn) error {
	var resp Response
	if e.ending == "FIN" || e.ending == "RST" && !e.after {
		// It has to have come, for the look that is taken before a request to find it.
		if e.read == "all" {
			watched, cancel := context.WithTimeout(context.Background(), tcpHang)
			defer cancel()
			if err := c.Watch(watched); canProbe && (err == nil || watched.Err() != nil) {
				return fmt.Errorf("Watch returned %w", err)
			}
		}
	}
	err := c.Do(context.Background(), faultNext.req(faultNone), &resp)
	if e.ending == "keep" && e.read == "all" {
		if err != nil || resp.Status != 204 || c.Err() != nil {
			return fmt.Errorf("the next response: %d, %w", resp.Status, err)
		}
		return nil
	}
	var bad *Error
	if !errors.As(err, &bad) || canProbe && !bad.Unprocessed() || c.Err() == nil || !c.State().Closed() {
		return fmt.Errorf("the next request got %w; the connection %v, %w", err, c.State(), c.Err())
	}
	return nil
}

// tcpSizes are of files about the limits of what is moved at once.
var tcpSizes = []int{1, 4096, mostAtOnce - 1, mostAtOnce, mostAtOnce + 1, 100000, leastPiece, leastPiece + mostAtOnce, leastPiece + mostAtOnce + 1}

// TestFileKeepsConn: files go up whole, one after the other, on one connection, which
// lives; also where the answer comes before their last write was counted.
func TestFileKeepsConn(t *testing.T) {
	before := runtime.NumGoroutine()
	file, err := os.OpenFile(tcpFile(t), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	client, server := tcpPair(t)
	c := NewConn(client, nil)
	defer c.Close()
	const rounds = 300
	served := make(chan error, 1)
	go func() { served <- tcpFiles(server, rounds) }()
	hangs("files", func() {
		for i := range rounds {
			if err := c.Ready().Wait(context.Background()); err != nil {
				t.Fatalf("round %d: %v", i, err)
			}
			if _, err := file.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			req := Request{Method: "POST", Host: "h", Body: file, ContentLength: int64(tcpSizes[i%len(tcpSizes)])}
			long := req.ContentLength
			if i%2 == 1 {
				req.Body, long = io.LimitReader(file, long), tcpBody
			}
			if _, err := file.WriteAt(tcpBytes()[:long], 0); err != nil || file.Truncate(long) != nil {
				t.Fatal(err)
			}
			var resp Response
			if err := c.Do(context.Background(), &req, &resp); err != nil || resp.Status != 204 {
				t.Fatalf("round %d: %d, %v", i, resp.Status, err)
			}
			if l, ok := req.Body.(*io.LimitedReader); ok {
				if c.Ready().Wait(context.Background()); l.N != 0 {
					t.Fatalf("round %d: %d bytes are left of the limit", i, l.N)
				}
			}
		}
		if err := <-served; err != nil {
			t.Errorf("the server: %v", err)
		}
	})
	if c.Err() != nil || c.Stats().Requests != rounds {
		t.Errorf("the connection: %v, %+v", c.Err(), c.Stats())
	}
	c.Close()
	noneLeft(t, before)
}

// tcpFiles answers each request as soon as its last byte is there.
func tcpFiles(nc net.Conn, rounds int) error {
	got := make([]byte, tcpBody)
	for i := range rounds {
		size := tcpSizes[i%len(tcpSizes)]
		want := fmt.Sprintf("%sContent-Length: %d\r\n\r\n", tcpHead, size)
		n := len(want) + size
		if _, err := io.ReadFull(nc, got[:n]); err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
		if head, body := string(got[:len(want)]), got[len(want):n]; head != want || !bytes.Equal(body, tcpBytes()[:size]) {
			return fmt.Errorf("round %d: head %q, and the body is the file's: %v", i, head, bytes.Equal(body, tcpBytes()[:size]))
		}
		if _, err := io.WriteString(nc, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
			return err
		}
	}
	return nil
}

// TestFileFails: what is wrong with a body that the kernel could move is the body's fault,
// told at once, and not the stream's.
func TestFileFails(t *testing.T) {
	mine := errors.New("the reader's own")
	short, err := os.Open(tcpFile(t))
	if err != nil {
		t.Fatal(err)
	}
	defer short.Close()
	closed, _ := os.Open(short.Name())
	closed.Close()
	folder, err := os.Open(filepath.Dir(short.Name()))
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	for _, k := range []struct {
		name  string
		body  io.Reader
		cause error
	}{
		{"short file", short, errShort},
		{"short limit", io.LimitReader(short, 10), errShort},
		{"closed file", closed, os.ErrClosed},
		{"folder", folder, nil},
		{"limited reader", io.LimitReader(iotest.ErrReader(mine), 1<<30), mine},
		{"limited reader, later", io.LimitReader(io.MultiReader(strings.NewReader("hello"), iotest.ErrReader(mine)), 1<<30), mine},
	} {
		client, server := tcpPair(t)
		go io.Copy(io.Discard, server)
		c := NewConn(client, nil)
		begun := time.Now()
		var bad *Error
		hangs(k.name, func() {
			short.Seek(0, io.SeekStart)
			req := Request{Method: "PUT", Host: "h", Body: k.body, ContentLength: tcpBody + 1}
			err = c.Do(context.Background(), &req, &Response{})
		})
		if !errors.As(err, &bad) || bad.Kind != BodyFailed || bad.Sent == SentAll || k.cause != nil && !errors.Is(err, k.cause) {
			t.Errorf("%s: %v (after %v)", k.name, err, time.Since(begun))
		}
		if !c.State().Closed() || c.Close() != nil {
			t.Errorf("%s: the connection goes on: %v", k.name, c.State())
		}
	}
}

// TestFileIsNotCopied: a file's bytes do not pass through this process. What the kernel
// sends from a file are the file's own pages: changed after they were sent, and before
// they are received, they arrive changed. Bytes that were copied arrive as they were.
func TestFileIsNotCopied(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux is known to send a file's pages themselves")
	}
	byHand := func(nc *net.TCPConn, f *os.File) error {
		_, err := nc.ReadFrom(io.LimitReader(f, pagesSize))
		return err
	}
	if !pagesChange(t, byHand) {
		t.Skip("the file system here copies what sendfile(2) is given")
	}
	engine := func(body func(*os.File) io.Reader, cfg *Config) func(*net.TCPConn, *os.File) error {
		return func(nc *net.TCPConn, f *os.File) error {
			c := NewConn(nc, cfg)
			req := Request{Method: "POST", Host: "h", Body: body(f), ContentLength: pagesSize}
			_, err := c.Send(context.Background(), &req)
			for err == nil && c.Stats().BytesWritten < pagesSize {
				runtime.Gosched()
				err = c.Err()
			}
			return err
		}
	}
	for _, k := range []struct {
		name string
		body func(*os.File) io.Reader
		cfg  *Config
		want bool
	}{
		{"file", func(f *os.File) io.Reader { return f }, nil, true},
		{"limited file", func(f *os.File) io.Reader { return io.LimitReader(f, pagesSize) }, nil, true},
		{"reader", func(f *os.File) io.Reader { return noLenReader{f} }, nil, false},
		{"file, and progress is asked for", func(f *os.File) io.Reader { return f }, &Config{StallTimeout: tcpHang}, false},
	} {
		hangs(k.name, func() {
			if got := pagesChange(t, engine(k.body, k.cfg)); got != k.want {
				t.Errorf("%s: sent as pages of the file: %v, want %v", k.name, got, k.want)
			}
		})
	}
}

const pagesSize = 32 << 10 // fits the sockets' buffers

// pagesChange sends a file of a's, changes it to b's, and reports whether b's arrive.
func pagesChange(t *testing.T, send func(*net.TCPConn, *os.File) error) bool {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "pages"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(bytes.Repeat([]byte("a"), pagesSize), 0); err != nil {
		t.Fatal(err)
	}
	client, server := tcpPair(t)
	if err := send(client, f); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte("b"), pagesSize), 0); err != nil {
		t.Fatal(err)
	}
	client.CloseWrite()
	got, err := io.ReadAll(server)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) < pagesSize {
		t.Fatalf("%d bytes arrived", len(got))
	}
	return got[len(got)-pagesSize] == 'b'
}

// moved returns how many bytes this process has read and written by calls that pass them
// through it; splice(2) is none of these.
func moved(t *testing.T) (n int64) {
	if runtime.GOOS != "linux" { // Wine shows a Windows program Linux's /proc
		t.Skip("the system does not count what a process reads and writes")
	}
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skipf("the system does not count what a process reads and writes: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		name, count, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if name == "rchar" || name == "wchar" {
			i, err := strconv.ParseInt(count, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			n += i
		}
	}
	return n
}

// TestBodyIsSpliced: a response's body on its way from one socket to another does not pass
// through this process. What does is what the server writes and the sink reads: a body
// each; a copy would be two more.
func TestBodyIsSpliced(t *testing.T) {
	moved(t)
	const size = 16 << 20
	for _, k := range []struct {
		name    string
		framing string
		cfg     *Config
		hide    bool // what the writer is
		bodies  int64
	}{
		{"length", fmt.Sprintf("Content-Length: %d\r\n", size), nil, false, 2},
		{"until close", "", nil, false, 2},
		{"a writer", fmt.Sprintf("Content-Length: %d\r\n", size), nil, true, 4},
		{"progress is asked for", fmt.Sprintf("Content-Length: %d\r\n", size), &Config{StallTimeout: tcpHang}, false, 4},
	} {
		hangs(k.name, func() {
			before := runtime.NumGoroutine()
			client, server := tcpPair(t)
			out, sink := tcpPair(t)
			c := NewConn(client, k.cfg)
			from := moved(t)
			go tcpBig(server, k.framing, size)
			sunk := make(chan int64, 1)
			go func() { sunk <- tcpSink(sink, size) }()
			var resp Response
			if err := c.Do(context.Background(), faultNext.req(faultNone), &resp); err != nil {
				t.Fatal(err)
			}
			var w io.Writer = out
			if k.hide {
				w = struct{ io.Writer }{out}
			}
			n, err := resp.Body.(io.WriterTo).WriteTo(w)
			out.CloseWrite()
			if got := <-sunk; n != size || got != size || err != nil {
				t.Errorf("%s: WriteTo returned %d, %v, and %d bytes arrived whole", k.name, n, err, got)
			}
			bodies := float64(moved(t)-from) / size
			if low, high := float64(k.bodies)-0.2, float64(k.bodies)+0.2; bodies < low || bodies > high {
				t.Errorf("%s: the process has moved %.2f bodies, want %d", k.name, bodies, k.bodies)
			}
			if until := k.framing == ""; until != (c.Err() != nil) {
				t.Errorf("%s: the connection: %v, %v", k.name, c.State(), c.Err())
			}
			if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("%s: behind the end: %d, %v", k.name, n, err)
			}
			c.Close()
			server.Close()
			noneLeft(t, before)
		})
	}
}

// tcpBig answers one request with a body of so many bytes.
func tcpBig(nc *net.TCPConn, framing string, size int) {
	io.ReadFull(nc, make([]byte, len(faultNext.request)))
	io.WriteString(nc, "HTTP/1.1 200 OK\r\n"+framing+"\r\n")
	for ; size > 0; size -= 1 << 20 {
		if _, err := nc.Write(tcpBytes()[:1<<20]); err != nil {
			return
		}
	}
	if framing == "" {
		nc.CloseWrite()
	}
}

// tcpSink counts the bytes that arrive as they were sent.
func tcpSink(nc *net.TCPConn, size int) (n int64) {
	b := make([]byte, 1<<20)
	for {
		m, err := io.ReadFull(nc, b)
		if !bytes.Equal(b[:m], tcpBytes()[:m]) {
			return -1
		}
		if n += int64(m); err != nil || n == int64(size) {
			return n
		}
	}
}

// TestSpliceCut: a body that ends before its length does is not whole on that way either.
func TestSpliceCut(t *testing.T) {
	for _, framing := range []string{"Content-Length: 2000000\r\n", "Transfer-Encoding: chunked\r\n"} {
		client, server := tcpPair(t)
		out, sink := tcpPair(t)
		c := NewConn(client, nil)
		go io.Copy(io.Discard, sink)
		go func() { tcpBig(server, framing, 1<<20); server.CloseWrite() }()
		var resp Response
		if err := c.Do(context.Background(), faultNext.req(faultNone), &resp); err != nil {
			t.Fatal(err)
		}
		n, err := resp.Body.(io.WriterTo).WriteTo(out)
		if length := framing[0] == 'C'; length && (n != 1<<20 || !errors.Is(err, Incomplete)) || err == nil || c.Err() == nil {
			t.Errorf("%q: %d bytes, %v; the connection: %v", framing, n, err, c.State())
		}
		c.Close()
	}
}
