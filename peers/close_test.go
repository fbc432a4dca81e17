package peers

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"example.com/h1"
)

// limited pipelines over connections that end with their limit-th request. Those behind
// must be Unprocessed, and that must be true: the server has acted on each request once.
func limited(t *testing.T, s *server) {
	ctx := bounded(t)
	var mu sync.Mutex
	var cur *h1.Conn
	conns, again := 0, 0
	conn := func() *h1.Conn {
		mu.Lock()
		defer mu.Unlock()
		if cur == nil || cur.Err() != nil {
			conns++
			cur = dial(t, "tcp", s.limited, &h1.Config{Depth: 8})
		}
		return cur
	}
	workers(t, func(n int) error {
		for range 1000 {
			err := get(ctx, conn(), target(n), fileBody(n))
			if err == nil || !unprocessed(err) {
				return err
			}
			mu.Lock()
			again++
			mu.Unlock()
		}
		return fmt.Errorf("request %d never got its turn", n)
	})
	t.Logf("%d connections, %d requests sent again", conns, again)
	// Apache counts from the second request on.
	if conns < files/(limit+1) || conns > files/limit+3 {
		t.Errorf("%d connections for %d requests, %d on each", conns, files, limit)
	}
	if s.served == nil || t.Failed() {
		return
	}
	times := map[string]int{}
	for _, target := range s.served(t) {
		times[target]++
	}
	for n := range files {
		if times[target(n)] != 1 {
			t.Errorf("%s was served %d times", target(n), times[target(n)])
		}
	}
}

// idle has the server end connections that are idle. Probe, Send and Watch each find it.
func idle(t *testing.T, s *server) {
	ctx := bounded(t)
	probed, sent, watched := dial(t, "tcp", s.idle, nil), dial(t, "tcp", s.idle, nil), dial(t, "tcp", s.idle, nil)
	for _, c := range []*h1.Conn{probed, sent, watched} {
		must(t, get(ctx, c, "/f/1", fileBody(1)))
		must(t, c.Probe())
	}
	wctx, cancel := context.WithTimeout(ctx, 6*time.Second)
	defer cancel()
	if err := watched.Watch(wctx); err == nil || wctx.Err() != nil || watched.Err() == nil {
		t.Fatalf("Watch: %v, Err %v", err, watched.Err())
	}
	for until := time.Now().Add(5 * time.Second); probed.Probe() == nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("Probe finds nothing")
		}
	}
	if probed.Err() == nil {
		t.Error("Err is nil after Probe found the end")
	}
	time.Sleep(300 * time.Millisecond)
	for _, c := range []*h1.Conn{sent, probed, watched} { // the first is not known to have ended
		_, err := c.Send(ctx, &h1.Request{Method: "POST", Target: "/f/1", Host: "peer.test"})
		if err == nil || !unprocessed(err) {
			t.Errorf("Send: %v", err)
		}
	}
}
