package h1

// due_test.go: from when the timeouts of a Config count.

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A read that stalls ends in its time, whatever others write meanwhile.
func TestReadStallIsNotPutOff(t *testing.T) {
	for name, others := range map[string]func(*rig) func(){
		"a body": func(r *rig) func() {
			b := r.begin(context.Background(), &Request{Method: "PUT", Target: "/b", Host: "x", Push: true})
			return func() { b.x.Write([]byte("hello")) }
		},
		"requests": func(r *rig) func() {
			return func() { r.await(r.begin(context.Background(), get("/c"))) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{Depth: 8, StallTimeout: time.Minute}, false, func(r *rig) {
				r.warm()
				start := time.Now()
				a := r.begin(context.Background(), get("/a"))
				r.await(a)
				another := others(r)
				time.Sleep(50 * time.Second)
				another()
				r.timedOut(a, start, time.Minute, "StallTimeout")
			})
		})
	}
}

// HeadTimeout is the server's: it does not count while the response in front comes in, nor against a
// head that is there, however late its caller is.
func TestHeadThatIsThere(t *testing.T) {
	onBoth(t, Config{HeadTimeout: time.Minute}, func(r *rig) {
		a := r.begin(context.Background(), get("/a"))
		r.serve("/a")
		time.Sleep(2 * time.Minute)
		r.await(a)
		r.got(a, "/a")
		r.alive()
	})
}

func TestHeadBehindALongBody(t *testing.T) {
	for _, left := range []bool{false, true} {
		inBubble(t, Config{HeadTimeout: time.Minute, Depth: 4}, false, func(r *rig) {
			r.warm()
			a, b := r.begin(context.Background(), get("/a")), r.begin(context.Background(), get("/b"))
			r.await(a)
			r.await(b)
			r.raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
			if left {
				synctest.Wait()
				a.x.Cancel()
			}
			for range 9 {
				time.Sleep(10 * time.Second)
				r.raw("x")
				synctest.Wait()
			}
			time.Sleep(50 * time.Second)
			r.serve("/b")
			if left {
				r.failed(a, Canceled, SentAll)
			} else {
				r.got(a, "xxxxxxxxx")
			}
			r.got(b, "/b")
			r.alive()
		})
	}
}

// A head that is not there, and was due before its caller came, is not waited for.
func TestHeadThatIsLate(t *testing.T) {
	onBoth(t, Config{HeadTimeout: time.Minute}, func(r *rig) {
		a := r.begin(context.Background(), get("/a"))
		time.Sleep(2 * time.Minute)
		start := time.Now()
		r.await(a)
		r.timedOut(a, start, nearDeadline, "HeadTimeout")
	})
}

// So it is with a head that lies behind an informational one whose callback takes its time.
func TestHeadThatIsThereBehindAnother(t *testing.T) {
	inBubble(t, Config{HeadTimeout: time.Minute}, false, func(r *rig) {
		req := get("/a")
		req.Informational = func(int, *Header) error { time.Sleep(time.Second); return nil }
		a := r.begin(context.Background(), req)
		r.raw("HTTP/1.1 103 Early Hints\r\nLink: " + strings.Repeat("x", 5000) + "\r\n\r\n")
		r.serve("/a")
		time.Sleep(2 * time.Minute)
		r.await(a)
		time.Sleep(time.Second)
		r.got(a, "/a")
		r.alive()
	})
}

// The time of a request that is out counts, be it that the writer goes on with others, and they move.
func TestTimesBesideAWrite(t *testing.T) {
	for name, cfg := range map[string]Config{
		"HeadTimeout":  {Depth: 4, HeadTimeout: time.Minute},
		"StallTimeout": {Depth: 4, StallTimeout: time.Minute},
	} {
		for _, together := range []bool{false, true} {
			if together && name == "HeadTimeout" {
				continue // how far one Write has come is not known
			}
			inBubble(t, cfg, false, func(r *rig) {
				r.warm()
				r.late(together)
				r.s.setWindow(3)
				a := r.begin(context.Background(), get("/a"))
				b := r.begin(context.Background(), get("/b"+strings.Repeat("b", 500)))
				r.late(false)
				r.flush()
				r.await(a)
				r.s.setWindow(getHead)
				if together {
					time.Sleep(time.Minute) // the write's own stall, after which that is known
				}
				start := time.Now()
				go func() {
					for n := range 10 {
						time.Sleep(20 * time.Second)
						r.s.setWindow(getHead + n + 1)
					}
				}()
				r.timedOut(a, start, time.Minute, name)
				r.await(b)
				time.Sleep(time.Hour)
			})
		}
	}
}

// Under TLS, too, a write is nothing to the time of a read that is under way.
func TestDeadlineBesideAWriteOfTLS(t *testing.T) {
	for _, kind := range []streamKind{layered, sealed} {
		inBubble(t, Config{Depth: 4}, false, func(r *rig) {
			r.c.kind = kind
			r.warm()
			start := time.Now()
			req := get("/a")
			req.Deadline = start.Add(time.Minute)
			a := r.begin(context.Background(), req)
			r.await(a)
			time.Sleep(time.Second)
			r.begin(context.Background(), get("/b"))
			r.timedOut(a, start, time.Minute, whyDeadline)
		})
	}
}
