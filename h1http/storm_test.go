package h1http

// storm_test.go: many requests at once, against servers that hang up whenever they like.

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/h1"
)

// pattern is a body that only its seed can have.
func pattern(seed string, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8(sha256.Sum256([]byte(seed))).Read(b)
	return b
}

// fickle answers requests, and hangs up at random: after any byte of an answer, before one,
// between two, or after an answer that did not say so.
func fickle(acted *sync.Map) func(net.Conn, *bufio.Reader, int) {
	return func(nc net.Conn, br *bufio.Reader, _ int) {
		for {
			req, body, err := readRequest(br)
			if err != nil {
				return
			}
			id := req.URL.Path
			n, _ := acted.LoadOrStore(id, new(atomic.Int32))
			n.(*atomic.Int32).Add(1)
			size, _ := strconv.Atoi(req.URL.Query().Get("n"))
			sum := sha256.Sum256([]byte(body))
			var out bytes.Buffer
			data := pattern(id, size)
			fmt.Fprintf(&out, "HTTP/1.1 200 OK\r\nX-Id: %s\r\nX-Body: %x\r\n", id, sum)
			if rand.IntN(2) == 0 {
				fmt.Fprintf(&out, "Content-Length: %d\r\n\r\n%s", size, data)
			} else {
				out.WriteString("Transfer-Encoding: chunked\r\n\r\n")
				for len(data) > 0 {
					k := min(len(data), 1+rand.IntN(5000))
					fmt.Fprintf(&out, "%x\r\n%s\r\n", k, data[:k])
					data = data[k:]
				}
				out.WriteString("0\r\n\r\n")
			}
			switch rand.IntN(12) {
			case 0:
				return
			case 1:
				nc.Write(out.Bytes()[:rand.IntN(out.Len())])
				return
			case 2:
				nc.Write(out.Bytes())
				return
			case 3:
				nc.(*net.TCPConn).SetLinger(0)
				nc.Write(out.Bytes()[:rand.IntN(out.Len())])
				return
			}
			if _, err := nc.Write(out.Bytes()); err != nil {
				return
			}
			if rand.IntN(20) == 0 {
				time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
				return
			}
		}
	}
}

// TestStorm sends 1,000 requests from 64 goroutines. Every body that arrives whole is the
// one of its request; what fails, fails with an h1.Error; and no POST without a key reaches
// a server twice.
func TestStorm(t *testing.T) {
	for _, depth := range []int{1, 4} {
		t.Run(fmt.Sprintf("depth %d", depth), func(t *testing.T) {
			var acted sync.Map
			url, tr := rawRig(t, fickle(&acted))
			tr.MaxIdleConnsPerHost, tr.Depth = 16, depth
			if depth > 1 {
				tr.MaxConnsPerHost = 16
			}
			var ok, failed, cut atomic.Int32
			var wg sync.WaitGroup
			for g := range 64 {
				wg.Go(func() {
					for i := g; i < 1000; i += 64 {
						switch err := stormRequest(context.Background(), tr, url, i, false); {
						case err == nil:
							ok.Add(1)
						case errors.Is(err, errStormBody):
							cut.Add(1)
						case errors.As(err, new(*h1.Error)):
							failed.Add(1)
						default:
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			t.Logf("%d whole, %d failed, %d cut off", ok.Load(), failed.Load(), cut.Load())
			if ok.Load() < 500 {
				t.Error("too few")
			}
			acted.Range(func(id, n any) bool {
				if c := n.(*atomic.Int32).Load(); c > 1 && strings.HasPrefix(id.(string), "/POST") {
					t.Errorf("%s reached a server %d times", id, c)
				}
				return true
			})
			eventually(t, "no connection in use", func() bool { idle, conns := tr.counts(""); return idle == conns })
		})
	}
}

var errStormBody = errors.New("cut off")

// stormRequest sends one request and checks what comes back; part means to read half of it.
func stormRequest(ctx context.Context, tr *Transport, url string, i int, part bool) error {
	method, sizeUp := "GET", 0
	if i%3 == 0 {
		method, sizeUp = "POST", []int{0, 10, 3000, 40_000, 150_000}[i%5]
	}
	id := fmt.Sprintf("/%s/%d", method, i)
	up := pattern("up"+id, sizeUp)
	down := []int{0, 1, 100, 5000, 100_000}[i%7%5]
	var body io.Reader
	switch {
	case method == "POST" && i%2 == 0:
		body = bytes.NewReader(up)
	case method == "POST":
		body = struct{ io.Reader }{bytes.NewReader(up)}
	}
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("%s%s?n=%d", url, id, down), body)
	if err != nil {
		return err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	sum := sha256.Sum256(up)
	if got := resp.Header.Get("X-Id"); got != id {
		return fmt.Errorf("the answer to %s came for %s", got, id)
	}
	if got := resp.Header.Get("X-Body"); got != fmt.Sprintf("%x", sum) {
		return fmt.Errorf("%s: another body arrived", id)
	}
	all := io.Reader(resp.Body)
	if part {
		all = io.LimitReader(all, int64(down/2))
		down /= 2 // a pattern's beginning does not depend on its length
	}
	b, err := io.ReadAll(all)
	if want := pattern(id, down); err == nil && !bytes.Equal(b, want) || !bytes.HasPrefix(want, b) {
		return fmt.Errorf("%s: another body came back", id)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errStormBody, err)
	}
	return nil
}

// TestStormPolite: where no server misbehaves, nothing fails.
func TestStormPolite(t *testing.T) {
	r := newRig(t, false, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		sum := sha256.Sum256(b)
		w.Header().Set("X-Id", r.URL.Path)
		w.Header().Set("X-Body", fmt.Sprintf("%x", sum))
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		if rand.IntN(10) == 0 {
			w.Header().Set("Connection", "close")
		}
		runtime.Gosched()
		w.Write(pattern(r.URL.Path, n))
	})
	r.tr.MaxConnsPerHost = 8
	r.tr.MaxIdleConnsPerHost = 4
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			for i := g; i < 1000; i += 64 {
				if err := stormRequest(context.Background(), r.tr, r.URL, i, false); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestStormCancel: the same with callers that are as fickle: they cancel at any time, and
// close bodies half read. Nobody gets another's answer, and nobody waits for ever.
func TestStormCancel(t *testing.T) {
	for _, depth := range []int{1, 8} {
		t.Run(fmt.Sprintf("depth %d", depth), func(t *testing.T) {
			var acted sync.Map
			url, tr := rawRig(t, fickle(&acted))
			tr.MaxConnsPerHost, tr.Depth = 4, depth
			hung := errors.New("hung")
			var ok, canceled atomic.Int32
			var wg sync.WaitGroup
			for g := range 32 {
				wg.Go(func() {
					for i := g; i < 1000; i += 32 {
						ctx, cancel := context.WithTimeoutCause(context.Background(), 15*time.Second, hung)
						if rand.IntN(2) == 0 {
							time.AfterFunc(time.Duration(rand.IntN(5000))*time.Microsecond, cancel)
						}
						switch err := stormRequest(ctx, tr, url, i, rand.IntN(3) == 0); {
						case errors.Is(err, hung):
							t.Error(err)
						case err == nil:
							ok.Add(1)
						case errors.Is(err, context.Canceled):
							canceled.Add(1)
						case !errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, new(*h1.Error)):
							t.Error(err)
						}
						cancel()
					}
				})
			}
			wg.Wait()
			t.Logf("%d answered, %d canceled", ok.Load(), canceled.Load())
			if ok.Load() < 100 || canceled.Load() < 100 {
				t.Error("too few")
			}
			eventually(t, "no connection in use", func() bool { idle, conns := tr.counts(""); return idle == conns })
		})
	}
}
