//go:build unix

package h1

// fresh_test.go: what a server sends before the first request.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// firsts are requests that may be a connection's first.
var firsts = map[string]func(c *Conn, resp *Response) error{
	"Do": func(c *Conn, resp *Response) error { return c.Do(context.Background(), get("/"), resp) },
	"a deadline": func(c *Conn, resp *Response) error {
		return c.Do(context.Background(), &Request{Host: "x", Deadline: time.Now().Add(time.Minute)}, resp)
	},
	"a body in memory": func(c *Conn, resp *Response) error {
		return c.Do(context.Background(), &Request{Method: "POST", Host: "x", Body: bytes.NewReader([]byte("body"))}, resp)
	},
	"a long body in memory": func(c *Conn, resp *Response) error {
		return c.Do(context.Background(), &Request{Method: "POST", Host: "x", Body: bytes.NewReader(make([]byte, 60000))}, resp)
	},
	"a body that fits": func(c *Conn, resp *Response) error {
		return c.Do(context.Background(), &Request{Method: "POST", Host: "x", Body: strings.NewReader("body")}, resp)
	},
	"a body that does not": func(c *Conn, resp *Response) error {
		return c.Do(context.Background(), &Request{Method: "POST", Host: "x", Body: strings.NewReader(strings.Repeat("x", 50000))}, resp)
	},
	"a body of any length": func(c *Conn, resp *Response) error {
		return c.Do(context.Background(), &Request{Method: "POST", Host: "x", Body: io.LimitReader(zeros{}, 10)}, resp)
	},
	"Send": func(c *Conn, resp *Response) error {
		x, err := c.Send(context.Background(), get("/"))
		if err != nil {
			return err
		}
		return x.Wait(context.Background(), resp)
	},
	"TrySend": func(c *Conn, resp *Response) error {
		x, err := c.TrySend(context.Background(), get("/"))
		if err != nil {
			return err
		}
		return x.Wait(context.Background(), resp)
	},
}

// TestFresh: what has come to a stream that was opened for its first request is the
// response to that, if Config says so, whatever the request; and the last one, for the
// server may yet answer that request.
func TestFresh(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for name, first := range firsts {
			for _, depth := range []int{1, 4} {
				t.Run(strings.ReplaceAll(fmt.Sprint(network, "/", name, "/", depth), " ", "_"), func(t *testing.T) {
					d := dialUp(t, network, &Config{Depth: depth, Fresh: true})
					d.say(answer("busy"))
					go io.Copy(io.Discard, d.server)
					var resp Response
					if err := first(d.c, &resp); err != nil {
						t.Fatal(err)
					}
					if b, err := resp.AppendBody(nil, -1); string(b) != "busy" || err != nil {
						t.Fatalf("%q, %v", b, err)
					}
					if err := first(d.c, &Response{}); !resp.Close || !errors.Is(err, errEarly) {
						t.Errorf("Close %v, and the connection goes on: %v", resp.Close, err)
					}
				})
			}
		}
	}
}

// TestFreshPeeker: the same on a stream that is looked at by its PeekNow; also where it
// takes no byte of the request, once the server has hung up.
func TestFreshPeeker(t *testing.T) {
	for name, first := range firsts {
		for _, depth := range []int{1, 4} {
			for _, broken := range []bool{false, true} {
				s := &hungUp{broken: broken}
				s.more.L = &s.mu
				c := NewConn(s, &Config{Depth: depth, Fresh: true})
				s.says(answer("busy"), nil)
				var resp Response
				if err := first(c, &resp); err != nil {
					t.Errorf("%s, depth %d, broken %v: %v", name, depth, broken, err)
				} else if b, err := resp.AppendBody(nil, -1); string(b) != "busy" || err != nil {
					t.Errorf("%s, depth %d, broken %v: %q, %v", name, depth, broken, b, err)
				}
				if err := first(c, &Response{}); !resp.Close || err == nil {
					t.Errorf("%s, depth %d, broken %v: Close %v, and the connection goes on: %v", name, depth, broken, resp.Close, err)
				}
				c.Close()
			}
		}
	}
}

// hungUp is an askable whose writes may fail.
type hungUp struct {
	askable
	broken bool
	fails  chan struct{} // closed when they do; nil: at once
}

func (s *hungUp) Write(p []byte) (int, error) {
	if s.broken {
		if s.fails != nil {
			<-s.fails
		}
		return 0, io.ErrClosedPipe
	}
	return s.askable.Write(p)
}

// TestFreshUnseen: a stream that cannot be looked at is not, when it does not take the
// first request; nor is one where nothing has come.
func TestFreshUnseen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &hungUp{broken: true}
		s.more.L = &s.mu
		for _, rw := range []io.ReadWriteCloser{s, struct{ io.ReadWriteCloser }{s}} {
			c, began := NewConn(rw, &Config{Fresh: true}), time.Now()
			wantError(t, c.Do(context.Background(), soon("/", time.Minute), &Response{}), IO, SentNothing)
			if d := time.Since(began); d > 0 {
				t.Errorf("after %v", d)
			}
		}
	})
}

// TestFreshMeanwhile: nor is the response lost where it comes, or some of it is read, while
// the write that fails is under way.
func TestFreshMeanwhile(t *testing.T) {
	const head, body = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\n", "busy"
	for _, before := range []string{"", head[:9], head} {
		synctest.Test(t, func(t *testing.T) {
			s := &hungUp{broken: true, fails: make(chan struct{})}
			s.more.L = &s.mu
			c := NewConn(s, &Config{Fresh: true})
			var resp Response
			var got string
			over := make(chan error)
			go func() {
				err := firsts["a body that does not"](c, &resp)
				if err == nil {
					time.Sleep(time.Second)
					var b []byte
					b, err = resp.AppendBody(nil, -1)
					got = string(b)
				}
				over <- err
			}()
			synctest.Wait()
			s.says(before, nil)
			synctest.Wait()
			close(s.fails)
			synctest.Wait()
			s.says((head + body)[len(before):], nil)
			if err := <-over; err != nil || got != body {
				t.Errorf("%q is read: then %q, %v", before, got, err)
			}
			c.Close()
		})
	}
}

// TestFreshEnds: the end of such a stream is seen before the request is written; and
// without Config.Fresh, or once Probe or Watch was called, or under TLS, nothing that has
// come is a response.
func TestFreshEnds(t *testing.T) {
	evil := func(d *dialed) { d.say(answer("evil")) }
	for _, k := range []struct {
		name    string
		network string
		cfg     Config
		before  func(d *dialed)
		want    Kind
	}{
		{"not fresh", "tcp", Config{}, evil, Unsolicited},
		{"TLS", "tls", Config{Fresh: true}, evil, Unsolicited},
		{"FIN", "tcp", Config{Fresh: true}, func(d *dialed) { d.server.Close(); d.settle(d.readable) }, Closed},
		{"Probe", "tcp", Config{Fresh: true}, func(d *dialed) { d.c.Probe(); evil(d) }, Unsolicited},
		{"Probe behind it", "tcp", Config{Fresh: true}, func(d *dialed) { evil(d); d.c.Probe() }, Unsolicited},
		{"Watch", "tcp", Config{Fresh: true}, func(d *dialed) {
			watched := d.watch(context.Background())
			d.parked()
			d.say(answer("evil"))
			wantError(d.T, d.soon(watched), Unsolicited, SentNothing)
		}, Unsolicited},
		{"Watch, over by then", "tcp", Config{Fresh: true}, func(d *dialed) {
			ctx, cancel := context.WithCancel(context.Background())
			watched := d.watch(ctx)
			d.parked()
			cancel()
			d.soon(watched)
			evil(d)
		}, Unsolicited},
		{"Watch behind it", "tcp", Config{Fresh: true}, func(d *dialed) {
			evil(d)
			wantError(d.T, d.soon(d.watch(context.Background())), Unsolicited, SentNothing)
		}, Unsolicited},
	} {
		for name, first := range firsts {
			d := dialUp(t, k.network, &k.cfg)
			k.before(d)
			err := first(d.c, &Response{})
			if e, ok := err.(*Error); !ok || !e.Unprocessed() || d.c.Stats().BytesWritten > 0 {
				t.Errorf("%s, %s: %v", k.name, name, err)
			}
			wantError(t, d.c.Err(), k.want, SentNothing)
		}
	}
}

// TestFreshOnce: only the first request's response may be there before it: behind that
// nothing is one that nobody asked for.
func TestFreshOnce(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for name, next := range firsts {
			d := dialUp(t, network, &Config{Fresh: true})
			go func() {
				d.head()
				io.WriteString(d.server, answer("good"))
			}()
			var resp Response
			if err := d.c.Do(context.Background(), get("/"), &resp); err != nil {
				t.Fatal(err)
			}
			if b, err := resp.AppendBody(nil, -1); string(b) != "good" || err != nil || resp.Close {
				t.Fatalf("%q, %v, Close %v", b, err, resp.Close)
			}
			sent := d.c.Stats().BytesWritten
			d.say(answer("evil"))
			err := next(d.c, &Response{})
			if e, ok := err.(*Error); !ok || !e.Unprocessed() || d.c.Stats().BytesWritten > sent {
				t.Errorf("%s, %s: %v", network, name, err)
			}
			wantError(t, d.c.Err(), Unsolicited, SentNothing)
		}
	}
}

// TestFreshBusy: the response of a server that says that it is too busy, and hangs up, is
// not lost where the request cannot be written any more.
func TestFreshBusy(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for _, reset := range []bool{false, true} {
			for name, first := range firsts {
				d := dialUp(t, network, &Config{Fresh: true})
				d.say("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
				if tc, ok := d.server.(*net.TCPConn); ok && reset {
					tc.SetLinger(0)
				}
				d.server.Close()
				time.Sleep(time.Millisecond) // a reset is on its way
				var resp Response
				if err := first(d.c, &resp); err != nil {
					t.Errorf("%s, reset %v, %s: %v", network, reset, name, err)
				} else if b, err := resp.AppendBody(nil, -1); string(b) != "busy" || err != nil || !resp.Close {
					t.Errorf("%s, reset %v, %s: %q, %v, Close %v", network, reset, name, b, err, resp.Close)
				}
			}
		}
	}
}

// TestFreshBusyInParts: the same where its head comes in several reads, and some of it was
// read when the request's writer began.
func TestFreshBusyInParts(t *testing.T) {
	head := "HTTP/1.1 503 Busy\r\nPad: " + strings.Repeat("x", 60000) + "\r\nContent-Length: 4\r\n\r\n"
	for range 200 { // one in twenty has it
		d := dialUp(t, "unix", &Config{Fresh: true})
		d.say(head + "busy")
		d.server.Close()
		var resp Response
		if err := firsts["a long body in memory"](d.c, &resp); err != nil {
			t.Fatal(err)
		}
		if b, err := resp.AppendBody(nil, -1); string(b) != "busy" || err != nil || !resp.Close {
			t.Fatalf("%q, %v, Close %v", b, err, resp.Close)
		}
		d.c.Close()
	}
}

// TestFreshSwitch: what was there before the request does not switch protocols: the answer
// to that may yet come, and would be taken for the first bytes of the other one.
func TestFreshSwitch(t *testing.T) {
	for early, req := range map[string]*Request{
		"HTTP/1.1 200 OK\r\n\r\n": {Method: "CONNECT", Target: "h.example:1"},
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n": upgradeTo("a"),
	} {
		d := dialUp(t, "tcp", &Config{Fresh: true})
		d.say(early)
		err := d.c.Do(context.Background(), req, &Response{})
		if !errors.Is(err, NotSwitched) || !strings.Contains(err.Error(), "there before the request") || d.c.Err() == nil {
			t.Errorf("%.12s: %v; the connection: %v", early, err, d.c.Err())
		}
	}
}

func upgradeTo(protocol string) *Request {
	req := &Request{Host: "h.example"}
	req.Header.Add("Connection", "upgrade")
	req.Header.Add("Upgrade", protocol)
	return req
}
