package h1http

// hand_test.go: which of the requests that wait are given a connection, and which one in
// use is joined.

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// handLink returns a link of tr that is in no list, with so many exchanges on it.
func handLink(t *testing.T, tr *Transport, h *host, load int) *link {
	nc, err := tr.DialContext(context.Background(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	l := newLink(nc, tr.engineConfig(), tr, true)
	l.host, l.load = h, load
	l.used.Store(true)
	l.lasts.Store(true)
	t.Cleanup(func() { l.h.Close() })
	return l
}

// TestHand: requests are given a connection in their order. In waiting each is a letter: s
// may share it, a may not, and for S and A a dial runs.
func TestHand(t *testing.T) {
	for _, k := range []struct {
		load    int
		how     string // of the connection: alone, new
		waiting string
		own     int // which one it was dialed for; -1: none
		got     string
	}{
		{0, "", "", -1, ""},
		{0, "", "a", -1, "+"},
		{0, "", "as", -1, "+-"},
		{0, "", "aSs", -1, "+--"},
		{0, "", "s", -1, "+"},
		{0, "", "sa", -1, "+-"},
		{0, "", "sas", -1, "+--"},
		{0, "", "sAs", -1, "+-+"},
		{0, "", "SAASs", -1, "+--++"},
		{0, "", "ssss", -1, "+++-"},
		{2, "", "ss", -1, "+-"},
		{3, "", "s", -1, "-"},
		{1, "", "a", -1, "-"},
		{1, "alone", "s", -1, "-"},
		{1, "alone", "Ss", -1, "--"},
		{1, "new", "s", -1, "-"},
		{1, "new", "Ss", -1, "--"},
		{0, "", "SA", 1, "-+"},
		{0, "", "AS", 1, "-+"},
		{0, "", "sSs", 1, "+++"},
		{0, "new", "sSs", 1, "-+-"},
		{0, "new", "ss", -1, "+-"},
	} {
		t.Run(strings.TrimSpace(fmt.Sprint(k.load, " ", k.how, " ", k.waiting, " ", k.own)), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, tr := rawPipes(t, answers(""))
				tr.Depth, tr.MaxConnsPerHost = 3, 1
				h := tr.pool.host(key{})
				h.conns = 1
				l := handLink(t, tr, h, k.load)
				l.alone = k.how == "alone"
				l.used.Store(k.how != "new")
				l.lasts.Store(k.how != "new")
				if k.load > 0 && !l.alone {
					h.open = []*link{l}
				}
				var all []*want
				for _, c := range k.waiting {
					n := &want{got: make(chan grant, 1), share: c == 's' || c == 'S', dialed: c < 'a'}
					all = append(all, n)
				}
				h.waiting = append(h.waiting, all...)
				var own *want
				if k.own >= 0 {
					own = all[k.own]
				}
				tr.pool.mu.Lock()
				taken := tr.hand(h, l, own)
				tr.pool.unlock()
				got, load, alone := "", k.load, l.alone
				for _, n := range all {
					if len(n.got) == 0 {
						got += "-"
						continue
					}
					got += "+"
					load++
					alone = !n.share
				}
				left := strings.Count(k.got, "-")
				if got != k.got || taken != strings.Contains(got, "+") || len(h.waiting) != left {
					t.Errorf("got %s, taken %v, %d wait; want %s", got, taken, len(h.waiting), k.got)
				}
				if open := load > 0 && !alone; l.load != load || l.alone != alone || (len(h.open) == 1) != open {
					t.Errorf("%d exchanges, alone %v, %d are open", l.load, l.alone, len(h.open))
				}
			})
		})
	}
}

// TestJoin: what joins a connection joins the one with the fewest exchanges, if it may, and
// nobody is in line whom it would overtake.
func TestJoin(t *testing.T) {
	for _, k := range []struct {
		loads string // of those in use; ! is a dead one
		share bool
		queue string // as in TestHand
		got   int    // which one; -1: none
	}{
		{"1", true, "", 0},
		{"1", false, "", -1},
		{"21", true, "", 1},
		{"12", true, "", 0},
		{"11", true, "", 0},
		{"3", true, "", -1},
		{"32", true, "", 1},
		{"!2", true, "", 1},
		{"1", true, "S", 0},
		{"1", true, "s", -1},
		{"1", true, "Sa", -1},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, tr := rawPipes(t, answers(""))
			tr.Depth = 3
			h := tr.pool.host(key{})
			for _, c := range k.loads {
				l := handLink(t, tr, h, 1)
				if c == '!' {
					l.h.Close()
				} else {
					l.load = int(c - '0')
				}
				h.open = append(h.open, l)
			}
			open := h.open
			for _, c := range k.queue {
				h.waiting = append(h.waiting, &want{dialed: c < 'a'})
			}
			tr.pool.mu.Lock()
			l, was := tr.takeIdle(h, k.share)
			tr.pool.unlock()
			got := -1
			for i := range open {
				if open[i] == l {
					got = i
				}
			}
			if got != k.got || was != (history{used: l != nil, shared: l != nil}) || len(h.open) != len(open) {
				t.Errorf("%s, share %v, behind %q: got %d, %+v; want %d", k.loads, k.share, k.queue, got, was, k.got)
			}
		})
	}
}

// TestIdleOnce: a connection that goes from one request to the next was not idle for that.
func TestIdleOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, tr := rawPipes(t, answers(""))
		h := tr.pool.host(key{})
		h.conns = 1
		l := handLink(t, tr, h, 1)
		tr.release(l, nil, true)
		time.Sleep(time.Second)
		tr.pool.mu.Lock()
		got, was := tr.takeIdle(h, false)
		tr.pool.unlock()
		if got != l || !was.used || was.shared || time.Since(was.idleAt) != time.Second {
			t.Errorf("%+v", was)
		}
		n := &want{got: make(chan grant, 1)}
		h.waiting = append(h.waiting, n)
		tr.release(l, nil, true)
		if g := <-n.got; g.l != l || !g.was.used || g.was.shared || !g.was.idleAt.IsZero() {
			t.Errorf("%+v", g.was)
		}
	})
}

// TestGetShares: who may not share is given a connection alone, and nobody joins that.
func TestGetShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, tr := rawPipes(t, answers(""))
		tr.Depth = 3
		get := func(share bool) *link {
			l, _, err := tr.get(context.Background(), route{target: "x:80"}, share)
			if err != nil {
				t.Fatal(err)
			}
			l.used.Store(true)
			l.lasts.Store(true)
			return l
		}
		a, joins, alone := get(true), get(true), get(false)
		if joins != a || alone == a || get(true) != a {
			t.Error("of four, only the third has a connection alone")
		}
		b := get(true)
		if b == a || b == alone {
			t.Error("joined one that is full, or another's alone")
		}
		tr.release(alone, nil, true)
		if get(false) != alone || get(true) != b || get(true) != b || get(true) == alone {
			t.Error("joined one that was idle, and is another's alone")
		}
		for _, h := range tr.pool.hosts {
			for _, l := range h.open {
				l.h.Close()
			}
		}
		alone.h.Close()
	})
}

// TestRelease: what becomes of a connection, and who is given it or a dial.
func TestRelease(t *testing.T) {
	for _, k := range []struct {
		load    int
		usable  bool
		off     string // DisableKeepAlives, or none are kept idle
		waiting string // s, or nobody
		want    string
	}{
		{1, true, "", "", "idle 1, open 0, of 1, put"},
		{1, false, "", "", "idle 0, open 0, of 0"},
		{1, true, "off", "", "idle 0, open 0, of 0"},
		{1, true, "none kept", "", "idle 0, open 0, of 0"},
		{1, true, "none kept", "s", "idle 0, open 1, of 1, given, put"},
		{1, true, "", "s", "idle 0, open 1, of 1, given, put"},
		{1, false, "", "s", "idle 0, open 0, of 1, dialed"},
		{1, true, "off", "s", "idle 0, open 0, of 1, dialed"},
		{2, true, "", "", "idle 0, open 1, of 1, put"},
		{2, false, "", "", "idle 0, open 1, of 1"},
		{2, true, "", "s", "idle 0, open 1, of 1, given, put"},
		{2, false, "", "s", "idle 0, open 1, of 1"},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, tr := rawPipes(t, answers(""))
			gate := make(chan struct{})
			defer close(gate)
			tr.Depth, tr.MaxConnsPerHost, tr.DisableKeepAlives = 3, 1, k.off == "off"
			if k.off == "none kept" {
				tr.MaxIdleConnsPerHost = -1
			}
			put := ""
			hooks := &httptrace.ClientTrace{PutIdleConn: func(err error) {
				if put += ", put"; err != nil {
					t.Errorf("%+v: %v", k, err)
				}
			}}
			h := tr.pool.host(key{})
			h.conns = 1
			l := handLink(t, tr, h, k.load)
			tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
				<-gate
				return nil, io.EOF
			}
			h.open = append(h.open, l)
			n := &want{ctx: context.Background(), got: make(chan grant, 1), share: true}
			if k.waiting != "" {
				h.waiting = append(h.waiting, n)
			}
			tr.release(l, &tracer{hooks: hooks}, k.usable)
			tr.pool.mu.Lock()
			got := fmt.Sprintf("idle %d, open %d, of %d", len(h.idle), len(h.open), h.conns)
			if len(n.got) > 0 {
				got += ", given"
			}
			if n.dialed {
				got += ", dialed"
			}
			got += put
			if len(tr.pool.dead) > 0 {
				t.Errorf("%+v: what was closed is kept", k)
			}
			if known := tr.pool.hosts[h.key] == h; known != (h.conns > 0) {
				t.Errorf("%+v: %d connections of a host that is known: %v", k, h.conns, known)
			}
			tr.pool.mu.Unlock()
			if got != k.want {
				t.Errorf("%+v: got %s", k, got)
			}
		})
	}
}

// TestShares: which requests join others, and that the rest do not wait behind them.
func TestShares(t *testing.T) {
	for _, k := range []struct {
		name string
		set  func(*Transport, *http.Request)
		want bool
	}{
		{"GET", func(*Transport, *http.Request) {}, true},
		{"Depth 1", func(tr *Transport, _ *http.Request) { tr.Depth = 1 }, false},
		{"POST", func(_ *Transport, r *http.Request) { r.Method = "POST" }, false},
		{"POST with a key", func(_ *Transport, r *http.Request) { r.Method = "POST"; r.Header.Set("Idempotency-Key", "x") }, true},
		{"a body", func(_ *Transport, r *http.Request) { r.Body = io.NopCloser(strings.NewReader("x")) }, false},
		{"Close", func(_ *Transport, r *http.Request) { r.Close = true }, false},
		{"Expect", func(_ *Transport, r *http.Request) { r.Header.Set("Expect", "100-continue") }, false},
		{"Upgrade", func(_ *Transport, r *http.Request) {
			r.Header.Set("Connection", "upgrade")
			r.Header.Set("Upgrade", "x")
		}, false},
		{"DisableKeepAlives", func(tr *Transport, _ *http.Request) { tr.DisableKeepAlives = true }, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			hold := make(chan struct{})
			url, tr := rawPipes(t, func(nc net.Conn, br *bufio.Reader, _ int) {
				for {
					req, _, err := readRequest(br)
					if err != nil {
						return
					}
					if req.URL.Path == "/hold" {
						<-hold
					}
					io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			tr.Depth = 4
			get(t, tr, url)
			go get(t, tr, url+"/hold")
			synctest.Wait()
			req := newRequest(t, "GET", url, nil)
			k.set(tr, req)
			var over atomic.Bool
			go func() { do(t, tr, req); over.Store(true) }()
			synctest.Wait()
			if over.Load() == k.want {
				t.Errorf("%s: answered at once: %v", k.name, over.Load())
			}
			close(hold)
		})
	}
}
