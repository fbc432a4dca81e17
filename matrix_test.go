package h1

// matrix_test.go: all that can end an exchange, in each phase of it, on each kind of
// stream.
//
// Rule: whatever ends an exchange does so in time, and says why and how much was sent; it
// takes others along only where the bytes leave no choice; and the connection is usable
// afterwards, or closed.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// enders are what may end the exchange of the party v.
var enders = []string{"Deadline", "ctx", "Wait", "Cancel", "HeadTimeout", "StallTimeout", "Shutdown", "Close", "BodyClose"}

// enderKinds are the kinds of the errors that they lead to.
var enderKinds = map[string]Kind{
	"Deadline": Timeout, "HeadTimeout": Timeout, "StallTimeout": Timeout,
	"ctx": Canceled, "Wait": Canceled, "Cancel": Canceled, "BodyClose": Canceled,
	"Shutdown": Closed, "Close": Closed,
}

// enderAt is when the ender acts.
const enderAt = time.Minute

// A cell of the matrix is one run: the party v is brought into a phase, and its exchange
// is ended there.
type cell struct {
	*rig
	ender   string
	way     string // how the calls are made, or what c sends
	plain   bool
	depth   int
	start   time.Time
	at      time.Duration // when the ender acts
	parties []*party

	source   io.Closer                // feeds v's Body
	callback func(int, *Header) error // v's Informational
	shutdown call
	shutAt   time.Time
}

// A party makes one request.
type party struct {
	call
	name   string
	reach  reach
	pauses bool         // between Send and Wait, until all others wait
	more   []*call      // its other calls
	back   func() error // what it calls to hear of its end, for it is in no call
	whole  bool         // it has all it wants before the ender acts
}

// A reach is how far a party goes by itself.
type reach uint8

const (
	toBody reach = iota
	toHead
	toSent
)

// neighbours are what c may send instead.
var neighbours = map[string]func(req *Request){
	"POST": func(req *Request) { req.Method = "POST" },
	"PUT":  func(req *Request) { req.Method, req.Body = "PUT", strings.NewReader("hello") },
	"pump": func(req *Request) { req.Method, req.Body = "PUT", pumped("hello") },
	"long": func(req *Request) { req.Method, req.Body = "PUT", pumped(strings.Repeat("l", 30000)) },
}

// pumped is a body that says nothing of its length.
func pumped(body string) io.Reader { return struct{ io.Reader }{strings.NewReader(body)} }

// sends lets a party make its request on a goroutine of its own, and returns when all wait.
func (m *cell) sends(p *party, req *Request) *party {
	m.parties = append(m.parties, p)
	if f := neighbours[m.way]; f != nil && p.name == "c" {
		f(req)
	}
	req.Target, req.Host = "/"+p.name, "x"
	ctx, waits := m.limits(p, req)
	gate := make(chan struct{})
	go func() {
		defer p.over.Store(true)
		p.err = m.exchanges(p, req, ctx, waits, gate)
	}()
	if m.way == "split" || p.pauses {
		synctest.Wait()
	}
	close(gate)
	synctest.Wait()
	return p
}

// exchanges makes p's exchange, as far as it goes.
func (m *cell) exchanges(p *party, req *Request, ctx, waits context.Context, gate chan struct{}) (err error) {
	if m.way == "do" && p.reach != toSent && !p.pauses && !req.Push && m.ender != "Cancel" && m.ender != "Wait" {
		err = m.c.Do(ctx, req, &p.resp)
	} else {
		if p.x, err = m.c.Send(ctx, req); err != nil || p.reach == toSent {
			return err
		}
		<-gate
		err = p.x.Wait(waits, &p.resp)
	}
	if err != nil || p.reach == toHead {
		return err
	}
	return p.reads()
}

// reads reads p's body to its end, without the bytes that make one long.
func (p *party) reads() error {
	b, err := p.resp.AppendBody(nil, -1)
	p.body = strings.TrimRight(string(b), "\x00")
	return err
}

// limits sets the ender where it is something that v's request or its calls are given.
func (m *cell) limits(p *party, req *Request) (ctx, waits context.Context) {
	ctx, waits = context.Background(), context.Background()
	if p.name != "v" {
		return ctx, waits
	}
	ending, cancel := context.WithCancel(context.Background())
	m.Cleanup(cancel)
	switch m.ender {
	case "Deadline":
		req.Deadline = m.start.Add(m.at)
	case "ctx":
		ctx = ending
		time.AfterFunc(m.at, cancel)
	case "Wait":
		waits = ending
		time.AfterFunc(m.at, cancel)
	}
	return ctx, waits
}

// setOff sets the ender where it is a call.
func (m *cell) setOff() {
	v := m.party("v")
	switch m.ender {
	case "Cancel":
		time.AfterFunc(m.at, v.x.Cancel)
	case "Close":
		time.AfterFunc(m.at, func() { m.c.Close() })
	case "BodyClose":
		closing := &call{}
		v.more = append(v.more, closing)
		time.AfterFunc(m.at, func() {
			v.resp.Body.Close()
			closing.over.Store(true)
		})
	case "Shutdown":
		ctx, cancel := context.WithTimeout(context.Background(), m.at)
		m.Cleanup(cancel)
		go func() {
			m.shutdown.err, m.shutAt = m.c.Shutdown(ctx), time.Now()
			m.shutdown.over.Store(true)
		}()
	}
	synctest.Wait()
}

// party returns the one of that name.
func (m *cell) party(name string) *party {
	for _, p := range m.parties {
		if p.name == name {
			return p
		}
	}
	m.Fatalf("there is no party %s", name)
	return nil
}

// calls has p make another call, on a goroutine of its own.
func (p *party) calls(f func() error) {
	k := &call{}
	p.more = append(p.more, k)
	go func() {
		k.err = f()
		k.over.Store(true)
	}()
	synctest.Wait()
}

// writes has p write n bytes of its body.
func (p *party) writes(n int) {
	p.calls(func() error { _, err := p.x.Write(make([]byte, n)); return err })
}

// done reports whether all of p's calls have returned.
func (p *party) done() bool {
	done := p.over.Load()
	for _, k := range p.more {
		done = done && k.over.Load()
	}
	return done
}

// errs returns the errors of p's calls that have returned.
func (p *party) errs() (errs []error) {
	for _, k := range append([]*call{&p.call}, p.more...) {
		if k.over.Load() && k.err != nil {
			errs = append(errs, k.err)
		}
	}
	return errs
}

// plays brings v into the phase, lets the ender act, and checks all that comes of it.
func (m *cell) plays(p *phase) {
	p.enter(m)
	for _, k := range m.parties {
		k.whole = k.done() && k.err == nil && k.reach == toBody && k.back == nil
	}
	w := p.outcome(m)
	m.setOff()
	m.awaits(&w)
	switch {
	case w.who == nobody:
		m.goesUnharmed()
	case w.who == everybody:
		m.endsAll(p)
	default:
		m.endsOne(&w)
	}
	time.Sleep(time.Second)
	synctest.Wait()
	if err := m.c.Err(); err == nil {
		p.rest(m)
		time.Sleep(time.Second)
		synctest.Wait()
	} else if w.spares != nil && w.spares(m) {
		m.Errorf("the connection has ended: %v", err)
	}
	m.sparesOthers(&w)
	if m.c.Err() != nil {
		m.dead()
	} else {
		if !m.c.State().Idle() {
			m.Errorf("it is not idle at last: %v", m.c.State())
		}
		m.alive()
	}
	m.counts()
}

// awaits lets the time come at which the ender has acted, and checks that its victim does
// not end before. Shutdown refuses those in line at once.
func (m *cell) awaits(w *outcome) {
	v := m.party("v")
	if w.who != nobody && m.ender != "Shutdown" {
		hit := v
		if w.who != everybody {
			hit = m.party(w.who)
		}
		time.Sleep(w.from - time.Since(m.start) - time.Nanosecond)
		synctest.Wait()
		if errs := hit.errs(); len(errs) > 0 {
			m.Errorf("%s has ended too early: %v", hit.name, errs)
		}
	}
	time.Sleep(w.by - time.Since(m.start))
	synctest.Wait()
	if w.hits(v) && v.back != nil {
		v.calls(v.back)
	}
}

// goesUnharmed checks that nobody ends where there is nothing to end.
func (m *cell) goesUnharmed() {
	time.Sleep(10 * m.at)
	synctest.Wait()
	for _, p := range m.parties {
		if errs := p.errs(); len(errs) > 0 {
			m.Errorf("%s has ended: %v", p.name, errs)
		}
	}
}

// endsAll checks that Close, or Shutdown whose time is over, has ended all calls.
func (m *cell) endsAll(p *phase) {
	if m.ender == "Shutdown" {
		switch took := m.shutAt.Sub(m.start); {
		case !m.shutdown.over.Load():
			m.Error("Shutdown hangs")
		case !p.unread && (!errors.Is(m.shutdown.err, Timeout) || took != m.at):
			m.Errorf("Shutdown returned %v after %v", m.shutdown.err, took)
		}
	}
	for _, k := range m.parties {
		errs := k.errs()
		if !k.done() || (len(errs) > 0) == k.whole {
			m.Errorf("%s: over %v, %v", k.name, k.done(), errs)
		}
		for _, err := range errs {
			if e, ok := err.(*Error); !ok || e.Kind != Closed {
				m.Errorf("%s: %v", k.name, err)
			}
		}
	}
}

// endsOne checks that the one it is about has ended.
func (m *cell) endsOne(w *outcome) {
	hit := m.party(w.who)
	errs := hit.errs()
	if !hit.done() || len(errs) == 0 {
		m.Errorf("%s goes on: over %v and %d calls, %v", hit.name, hit.over.Load(), len(hit.more), errs)
	}
	for _, err := range errs {
		wantError(m, err, w.kind, w.sent)
	}
}

// sparesOthers checks that those behind are answered if the connection lives, and else do
// not fail by what was another's affair.
func (m *cell) sparesOthers(w *outcome) {
	spared := w.who == nobody || m.c.Err() == nil || w.spares != nil && w.spares(m)
	for _, p := range m.parties {
		errs := p.errs()
		switch {
		case !p.done():
			m.Errorf("%s hangs at last", p.name)
			continue
		case w.hits(p):
			continue
		case (spared || len(errs) == 0) && (len(errs) > 0 || p.body != "/"+p.name):
			m.Errorf("%s is not spared: %q, %v", p.name, p.body, errs)
		}
		for _, err := range errs {
			if _, ok := err.(*Error); !ok || isAnothers(err) {
				m.Errorf("%s fails by another's: %v", p.name, err)
			}
		}
	}
}

// isAnothers reports whether an error that came to someone's neighbour tells of that one's
// own affair.
func isAnothers(err error) bool {
	return errors.Is(err, Timeout) || errors.Is(err, Canceled) || errors.Is(err, context.Canceled)
}

// counts checks that each request was received once at most, and that no error says
// otherwise.
func (m *cell) counts() {
	wire := string(m.s.receive(1<<22)) + " " // a head may be cut behind its target
	for _, p := range m.parties {
		n := strings.Count(wire, " /"+p.name+" ")
		if n > 1 {
			m.Errorf("%s was received %d times", p.name, n)
		}
		for _, err := range p.errs() {
			if e, ok := err.(*Error); ok && (e.Sent == SentNothing) != (n == 0) {
				m.Errorf("%s was received %d times: %v", p.name, n, err)
			}
		}
	}
}

// In each phase each ender does what is its own, and no more.
func TestMatrix(t *testing.T) { testMatrix(t, "") }

// So it is with other ways of calling, and with other requests behind.
func TestMatrixOtherWays(t *testing.T) {
	for _, way := range []string{"do", "split", "POST", "PUT", "pump", "long"} {
		t.Run(way, func(t *testing.T) { testMatrix(t, way) })
	}
}

// matrixStreams are the kinds of stream; plain is one without deadlines.
var matrixStreams = map[string]streamKind{
	"opaque": opaque, "plain": opaque, "layered": layered, "sealed": sealed, "wrapped": wrapped, "direct": direct,
}

// testMatrix runs all cells.
func testMatrix(t *testing.T, way string) {
	for i := range matrixPhases {
		p := &matrixPhases[i]
		for _, ender := range enders {
			if p.isMoot(ender) {
				continue
			}
			for stream, kind := range matrixStreams {
				for _, depth := range []int{1, 4} {
					if p.depth != 0 && p.depth != depth {
						continue
					}
					name := fmt.Sprintf("%s/%s/%s/%d", p.name, ender, stream, depth)
					t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
						inBubble(t, cellConfig(ender, depth, enderAt), stream == "plain", func(r *rig) {
							r.c.kind = kind
							r.warm()
							m := &cell{rig: r, ender: ender, way: way, plain: stream == "plain", depth: depth, start: time.Now(), at: enderAt}
							m.plays(p)
						})
					})
				}
			}
		}
	}
}

// cellConfig is the Config of a cell, with the ender's timeout if it is one.
func cellConfig(ender string, depth int, at time.Duration) Config {
	cfg := Config{Depth: depth, ExpectTimeout: 24 * time.Hour}
	switch ender {
	case "HeadTimeout":
		cfg.HeadTimeout = at
	case "StallTimeout":
		cfg.StallTimeout = at
	}
	return cfg
}
