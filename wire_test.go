package h1

// wire_test.go: runs testdata/wire/*.wire; testdata/README.md says the format.
//
// Rule: a script is parsed whole before it runs, and what the runner does not know, or
// what a script leaves unread, fails it. Every failure begins with file:line.
// Not here: how a script is read (wire_parse_test.go), the steps (wire_steps_test.go), the
// stream (wire_stream_test.go).

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The ways a script is run.
const (
	wireWhole = "whole" // a packet is one read
	wireBytes = "bytes" // a read gives one byte
	wireGlued = "glued" // the server's last block is one packet, with one more response
)

// wireGlue is a response that nobody asked for.
const wireGlue = "HTTP/1.1 299 Glued\r\nX-Glued: yes\r\nContent-Length: 5\r\n\r\nglued"

func TestWire(t *testing.T) {
	files, err := filepath.Glob("testdata/wire/*.wire")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".wire"), func(t *testing.T) {
			sc, err := readWire(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, mode := range []string{wireWhole, wireBytes, wireGlued} {
				if sc.modes[mode] {
					t.Run(mode, func(t *testing.T) {
						if err := sc.run(t, mode); err != nil {
							t.Error(err)
						}
					})
				}
			}
		})
	}
}

// A wireRun is a script under way.
type wireRun struct {
	*wireScript
	mode    string
	line    atomic.Int64 // of the step under way
	stream  *wireStream
	conn    *Conn
	pending *wireRequest    // what the request lines have said so far
	xs      []*wireExchange // in the order sent
	calls   map[*wireStep]*wireCall
	parts   Parts
	tunnel  *Parts // once detached
	stop    chan struct{}
}

// A wireCall is a call of the engine, on a goroutine of its own.
type wireCall struct {
	begun, ended time.Time
	got          string
	done         chan struct{}
}

const (
	wireHang   = 24 * time.Hour   // false time: nothing in a script takes as long
	wireStuck  = 60 * time.Second // true time: for one script, under -race on a slow machine
	wireStatus = 299              // of wireGlue
)

// run runs the script in one mode.
func (sc *wireScript) run(t *testing.T, mode string) (err error) {
	return sc.bubble(t, mode, mode == wireBytes, func(r *wireRun) error {
		r.mode = mode
		for i, s := range sc.steps {
			r.line.Store(int64(s.line))
			if mode != wireBytes && i > sc.last && wireEnds[s.verb] && (s.how == "" || s.how == "go") {
				if mode == wireGlued {
					r.pending = nil
					break
				}
				sc.reuses = sc.reuses || r.conn.Err() == nil
			}
			if mode == wireGlued && i > sc.last && wireSkips[s.verb] {
				continue
			}
			if err := r.step(s, i); err != nil {
				return fmt.Errorf("%s:%d: %w", sc.name, s.line, err)
			}
		}
		if err := r.end(); err != nil {
			return fmt.Errorf("%s: at the end: %w", sc.name, err)
		}
		return nil
	})
}

// bubble makes a connection on a stream, both in a bubble, and ends them after f. What it
// returns, and a goroutine that stays, fails the test; how is for the case that f never
// comes back.
func (sc *wireScript) bubble(t *testing.T, how string, bytes bool, f func(*wireRun) error) (err error) {
	r := &wireRun{wireScript: sc, calls: map[*wireStep]*wireCall{}}
	alarm := time.AfterFunc(wireStuck, func() {
		panic(fmt.Sprintf("%s:%d: spins, or waits for what no timer ends (%s)", sc.name, r.line.Load(), how))
	})
	defer alarm.Stop()
	synctest.Test(t, func(*testing.T) {
		r.stream, r.stop = newWireStream(bytes), make(chan struct{})
		r.conn = NewConn(r.stream, &sc.cfg)
		if sc.plain {
			r.conn = NewConn(wirePlain{r.stream}, &sc.cfg)
		}
		err = f(r)
		if e := r.cleanUp(); err == nil {
			err = e
		}
	})
	return err
}

// wireSkips is what a response glued on changes; wireEnds is where the run with one
// glued on ends, since what follows means something else.
var (
	wireSkips = map[string]bool{"life": true, "err": true, "probe": true, "ready": true, "stats": true, ">closed": true}
	wireEnds  = map[string]bool{"send": true, "trysend": true, "do": true, "detach": true, "close": true,
		"shutdown": true, "watch": true, "<eof": true, "<reset": true, ">broken": true}
)

// step runs one step.
func (r *wireRun) step(s *wireStep, i int) error {
	switch s.verb {
	case "<":
		packets := s.packets
		if r.mode == wireGlued && i == r.last {
			var one []byte
			for _, p := range packets {
				one = append(one, p...)
			}
			packets = [][]byte{append(one, wireGlue...)}
		}
		r.stream.send(packets...)
		synctest.Wait()
		return nil
	case ">":
		return r.expect(s)
	}
	v := wireVerbs[s.verb]
	if v.do != nil {
		err := v.do(r, s)
		synctest.Wait()
		return err
	}
	switch s.how {
	case "waits":
		synctest.Wait()
		if c := r.calls[s.done]; c.over() {
			return fmt.Errorf("%s = %s, want it to wait", s.verb, c.got)
		}
		return nil
	case "done":
		return r.finish(s, r.calls[s.done], s.after > 0)
	}
	c, err := r.begin(s, v)
	if err != nil || s.how == "go" {
		return err
	}
	return r.finish(s, c, true)
}

// begin starts a call and lets it come as far as it can.
func (r *wireRun) begin(s *wireStep, v wireVerb) (*wireCall, error) {
	call, err := v.call(r, s)
	if err != nil {
		return nil, err
	}
	c := &wireCall{begun: time.Now(), done: make(chan struct{})}
	r.calls[s] = c
	go func() {
		c.got = call()
		c.ended = time.Now()
		close(c.done)
	}()
	if s.how == "go" {
		synctest.Wait()
	}
	return c, nil
}

func (c *wireCall) over() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// finish waits for a call's end and compares what it gave, and how long it took.
func (r *wireRun) finish(s *wireStep, c *wireCall, timed bool) error {
	alarm := time.NewTimer(wireHang)
	defer alarm.Stop()
	select {
	case <-c.done:
	case <-alarm.C:
		return fmt.Errorf("%s %s, want %s", s.verb, wireHangs, wireBrief(strings.Join(s.want, " ")))
	}
	synctest.Wait()
	want, err := wireWant(s.want)
	if err != nil {
		return err
	}
	if c.got != want {
		return fmt.Errorf("%s = %s, want %s", s.verb, wireBrief(c.got), wireBrief(want))
	}
	if took := c.ended.Sub(c.begun); timed && took != s.after {
		return fmt.Errorf("%s took %v, want %v", s.verb, took, s.after)
	}
	return nil
}

// expect compares the next of the client's bytes.
func (r *wireRun) expect(s *wireStep) error {
	want := []byte(s.raw + "\r\n")
	if strings.HasPrefix(s.raw, `"`) {
		var err error
		if want, err = wireData(s.raw); err != nil {
			return err
		}
	}
	var got []byte
	for len(got) < len(want) {
		synctest.Wait()
		b := r.stream.receive(len(want) - len(got))
		got = append(got, b...)
		if len(b) == 0 || string(got) != string(want[:len(got)]) {
			break
		}
	}
	if string(got) != string(want) {
		synctest.Wait()
		more := r.stream.receive(len(want) + 80)
		return fmt.Errorf("> %s, want %s", wireBrief(strconv.Quote(string(got)+string(more))), wireBrief(strconv.Quote(string(want))))
	}
	return nil
}

// end sees to it that nothing is left unread, and what a response glued on has done.
func (r *wireRun) end() error {
	synctest.Wait()
	if r.mode == wireWhole {
		r.reuses = r.reuses || r.conn.Err() == nil
	}
	if b := r.stream.receive(1 << 20); len(b) > 0 {
		return fmt.Errorf("the client wrote %s, unread", wireBrief(strconv.Quote(string(b))))
	}
	if r.pending != nil {
		return errors.New("a request that was never sent")
	}
	for i, x := range r.xs {
		switch {
		case x.sent && !x.asked:
			return fmt.Errorf("nobody asked for the response #%d", i+1)
		case len(x.infos) > 0:
			return fmt.Errorf("informational %q of #%d, unread", x.infos[0], i+1)
		case x.resp.Status == wireStatus:
			return fmt.Errorf("#%d got the response glued on", i+1)
		}
	}
	if r.mode == wireGlued {
		return r.endGlued()
	}
	if n := r.conn.Stats().InFlight; n != 0 {
		return fmt.Errorf("%d in flight, %v", n, r.conn.State())
	}
	return nil
}

// endGlued holds the law of the third mode: bytes that nobody asked for end the
// connection and are never anyone's response.
func (r *wireRun) endGlued() error {
	err := r.conn.Err()
	switch {
	case r.conn.Stats().InFlight > 0:
		return errors.New("a response may not be glued on here: say modes whole bytes")
	case err == nil:
		return errors.New("err = ok after unasked bytes")
	case r.reuses && !errors.Is(err, Unsolicited):
		return fmt.Errorf("err = %v, want %v", err, Unsolicited)
	}
	_, err = r.conn.TrySend(context.Background(), &Request{Host: "example.com"})
	var e *Error
	if !errors.As(err, &e) || !e.Unprocessed() {
		return fmt.Errorf("trysend = %v after unasked bytes, want unprocessed", err)
	}
	return nil
}

// cleanUp ends all that may still wait, so that what is left is a leak, which
// synctest.Test reports.
func (r *wireRun) cleanUp() error {
	r.conn.Close()
	synctest.Wait()
	var err error
	if r.tunnel == nil && r.stream.ended() != "closed" {
		err = fmt.Errorf("%s: Close has left the stream open", r.name)
	}
	close(r.stop)
	for _, x := range r.xs {
		x.cancel()
	}
	r.stream.Close()
	synctest.Wait()
	return err
}

// wireBrief shortens what only fills a screen.
func wireBrief(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s...(%d characters)...%s", s[:most/2], len(s)-most, s[len(s)-most/2:])
}

// wireWant puts the wanted words into the form in which results are written.
func wireWant(words []string) (string, error) {
	out := make([]string, len(words))
	for i, w := range words {
		switch key, value, pair := strings.Cut(w, "="); {
		case w[0] == '"':
			b, err := wireData(w)
			if err != nil {
				return "", err
			}
			out[i] = strconv.Quote(string(b))
		case pair && strings.HasPrefix(value, `"`):
			b, err := wireData(value)
			if err != nil {
				return "", err
			}
			out[i] = key + "=" + wireWord(string(b))
		default:
			out[i] = w
		}
	}
	return strings.Join(out, " "), nil
}

// wireWord writes a value: quoted where it is not plainly one word.
func wireWord(s string) string {
	if s == "" || strings.ContainsAny(s, ` "=`) || strconv.Quote(s) != `"`+s+`"` {
		return strconv.Quote(s)
	}
	return s
}
