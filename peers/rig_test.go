package peers

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"example.com/h1"
	"example.com/h1/peers/internal/rig"
)

const (
	files   = 200     // /f/0 ... /f/199
	bigSize = 5 << 20 // /big
	limit   = 10      // requests on a connection to server.limited
	maxBody = 1 << 20 // what server.small takes
)

// A server is a running peer. All of them answer to GET, HEAD /f/N and /big with
// Content-Length, to the same under /chunked with chunks, keep what is PUT to /up/NAME,
// and have nothing elsewhere.
type server struct {
	addr    string                      // host:port
	limited string                      // the same, where a connection ends with the limit-th request
	idle    string                      // the same, where an idle connection ends after 1 s
	small   string                      // a path that takes no body of more than maxBody; "": none
	upgrade string                      // a path that switches to "echo"
	proxy   string                      // host:port of a proxy that does CONNECT
	sums    bool                        // a short body has a length even under /chunked
	trailer string                      // a path that answers a POST with its body, and its trailer X-Sum as trailer
	served  func(t *testing.T) []string // targets that server.limited acted on, as it tells itself
}

// fileBody is what /f/n has.
func fileBody(n int) []byte { return bytes.Repeat(fmt.Appendf(nil, "this is file %d\n", n), 1+n%50) }

// big is what /big has, and no piece of it is like another.
var big = func() []byte {
	b := make([]byte, 0, bigSize+16)
	for n := uint64(1); len(b) < bigSize; n++ {
		b = strconv.AppendUint(b, n*0x9e3779b97f4a7c15, 36)
	}
	return b[:bigSize]
}()

// tree writes the files into a directory that any user may read.
func tree(t *testing.T) string {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	for _, sub := range []string{"www", "www/f", "www/chunked", "www/chunked/f", "www/up", "www/small", "tmp"} {
		must(t, os.Mkdir(filepath.Join(dir, sub), 0o755))
		must(t, os.Chmod(filepath.Join(dir, sub), 0o777)) // a server may run as another user
	}
	for _, sub := range []string{"www", "www/chunked"} {
		must(t, os.WriteFile(filepath.Join(dir, sub, "big"), big, 0o644))
		for n := range files {
			must(t, os.WriteFile(filepath.Join(dir, sub, "f", strconv.Itoa(n)), fileBody(n), 0o644))
		}
	}
	return dir
}

// ports returns n addresses on loopback that nobody listens on.
func ports(t *testing.T, n int) []string {
	t.Helper()
	addrs, err := rig.Ports(n)
	must(t, err)
	return addrs
}

// program finds a program, or skips the test.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := rig.Program(name)
	if err != nil {
		t.Skip(err)
	}
	return path
}

// run starts a program, waits until it listens, and stops it when the test ends.
func run(t *testing.T, listens []string, name string, args ...string) {
	t.Helper()
	p, err := rig.Start(listens, name, args...)
	must(t, err)
	stopped(t, p)
}

// stopped ends a program with the test.
func stopped(t *testing.T, p *rig.Process) {
	t.Cleanup(func() {
		if said := p.Stop(); t.Failed() {
			t.Logf("it said: %s", said)
		}
	})
}

// write writes a configuration file and returns its path.
func write(t *testing.T, dir, name, text string) string {
	path := filepath.Join(dir, name)
	must(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// lines returns the lines of a log, once it has been written to the end.
func lines(t *testing.T, path string) []string {
	time.Sleep(200 * time.Millisecond)
	text, err := os.ReadFile(path)
	must(t, err)
	var all []string
	for l := range bytes.Lines(text) {
		all = append(all, string(bytes.TrimSpace(l)))
	}
	return all
}

func isRoot() bool {
	u, err := user.Current()
	return err == nil && u.Uid == "0"
}

// dial makes a connection that is closed when the test ends.
func dial(t *testing.T, network, addr string, cfg *h1.Config) *h1.Conn {
	t.Helper()
	nc, err := net.DialTimeout(network, addr, 5*time.Second)
	must(t, err)
	c := h1.NewConn(nc, cfg)
	t.Cleanup(func() { c.Close() })
	return c
}

// bounded is the context of every exchange.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// do makes one exchange and returns status and body.
func do(ctx context.Context, c *h1.Conn, req *h1.Request, resp *h1.Response) (int, []byte, error) {
	if req.Host == "" {
		req.Host = "peer.test"
	}
	if err := c.Do(ctx, req, resp); err != nil {
		return 0, nil, err
	}
	status := resp.Status
	body, err := resp.AppendBody(nil, 64<<20)
	return status, body, err
}

// get wants a body of a target, with status 200.
func get(ctx context.Context, c *h1.Conn, target string, want []byte) error {
	var resp h1.Response
	status, body, err := do(ctx, c, &h1.Request{Target: target}, &resp)
	return same(target, status, body, err, want)
}

func same(target string, status int, body []byte, err error, want []byte) error {
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", target, err)
	case status != 200:
		return fmt.Errorf("%s: status %d: %.300q", target, status, body)
	case !bytes.Equal(body, want):
		return fmt.Errorf("%s: %d bytes, %.30q..., want %d, %.30q...", target, len(body), body, len(want), want)
	}
	return nil
}

// reusable wants a connection that takes another request, and proves it with one.
func reusable(t *testing.T, c *h1.Conn) {
	t.Helper()
	if err := c.Err(); err != nil {
		t.Fatalf("not reusable: %v", err)
	}
	must(t, get(bounded(t), c, "/f/1", fileBody(1)))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// port returns what stands behind the colon of an address.
func port(t *testing.T, addr string) string {
	t.Helper()
	_, p, err := net.SplitHostPort(addr)
	must(t, err)
	return p
}
