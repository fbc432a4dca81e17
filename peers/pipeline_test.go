package peers

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"example.com/h1"
)

// target spreads requests over the kinds of framing.
func target(n int) string {
	if n%3 == 0 {
		return fmt.Sprint("/chunked/f/", n)
	}
	return fmt.Sprint("/f/", n)
}

// workers runs f for 0 to 199 in eight goroutines.
func workers(t *testing.T, f func(n int) error) {
	var wg sync.WaitGroup
	var next atomic.Int32
	for range 8 {
		wg.Go(func() {
			for n := int(next.Add(1)) - 1; n < files; n = int(next.Add(1)) - 1 {
				if err := f(n); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func pipeline(t *testing.T, s *server) {
	c, ctx := dial(t, "tcp", s.addr, &h1.Config{Depth: 8}), bounded(t)
	var most atomic.Int32
	workers(t, func(n int) error {
		most.Store(max(most.Load(), int32(c.State().InFlight())))
		return get(ctx, c, target(n), fileBody(n))
	})
	if st := c.Stats(); st.Requests != files || st.Responses != files {
		t.Errorf("%+v", st)
	}
	if most.Load() < 2 {
		t.Errorf("never more than %d in flight", most.Load())
	}
	reusable(t, c)
}

// pipelineCancel gives up two of eight requests that are under way, which those beside them
// must not notice.
func pipelineCancel(t *testing.T, s *server) {
	ctx := bounded(t)
	c := dial(t, "tcp", s.addr, &h1.Config{Depth: 8})
	must(t, get(ctx, c, "/f/0", fileBody(0)))
	for round := range 20 {
		var xs [8]h1.Exchange
		for i := range xs {
			var err error
			xs[i], err = c.Send(ctx, &h1.Request{Target: target(round*8 + i), Host: "peer.test"})
			must(t, err)
		}
		var resp h1.Response
		for i, x := range xs {
			if i == 0 {
				must(t, x.Wait(ctx, &resp)) // all are written
				xs[3].Cancel()
				xs[6].Cancel()
			} else if err := x.Wait(ctx, &resp); i == 3 || i == 6 {
				if !errors.Is(err, h1.Canceled) {
					t.Fatalf("a canceled exchange: %v", err)
				}
				continue
			} else {
				must(t, err)
			}
			body, err := resp.AppendBody(nil, 1<<20)
			must(t, same(target(round*8+i), resp.Status, body, err, fileBody(round*8+i)))
		}
	}
	reusable(t, c)
}
