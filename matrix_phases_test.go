package h1

// matrix_phases_test.go: the phases of the matrix: how v comes into each, what each ender
// does there, and how the server goes on.

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing/synctest"
	"time"
)

// A phase is where v's exchange has come to.
type phase struct {
	name     string
	depth    int // Config.Depth; 0: with either
	enter    func(m *cell)
	outcomes outcomes
	rest     func(m *cell) // what comes after, if the connection lives
	unread   bool          // no response is awaited: Shutdown need not wait
}

// outcomes say what each ender does in a phase.
type outcomes struct {
	own   outcome // what v alone set: Deadline, ctx, Wait, Cancel
	head  outcome // HeadTimeout
	stall outcome // StallTimeout
	body  outcome // BodyClose
	close outcome // Shutdown, Close: who and kind are known
	moot  string  // enders that have nothing to end here, or of which nothing is said
}

// An outcome is what one ender does.
type outcome struct {
	who      string // whom it ends
	kind     Kind   // if not the ender's
	sent     Sent
	spares   func(m *cell) bool // whether the connection must live
	from, by time.Duration      // when it ends, if not when the ender acts
	grace    bool               // but where only Close ends a write, a moment later
}

const (
	nobody    = ""
	everybody = "everybody"
)

// hits reports whether the outcome is p's end.
func (w *outcome) hits(p *party) bool { return w.who == p.name || w.who == everybody }

// always: it must live on any stream.
func always(*cell) bool { return true }

// ifPipelined: it must live for c, which is out.
func ifPipelined(m *cell) bool { return m.depth > 1 }

// ifReadEnds: it must live where a read can be ended without it.
func ifReadEnds(m *cell) bool { return !m.plain }

// ifBothAreSo: it must live where c is out, and a read can be ended.
func ifBothAreSo(m *cell) bool { return ifPipelined(m) && ifReadEnds(m) }

// ifWriteIsCut: it must live where a write can be ended without it.
func ifWriteIsCut(m *cell) bool { return m.c.cutsWrites() }

// isMoot reports whether nothing is said of an ender in this phase.
func (p *phase) isMoot(ender string) bool {
	return slices.Contains(strings.Fields(p.outcomes.moot), ender)
}

// outcome returns what m's ender does.
func (p *phase) outcome(m *cell) (w outcome) {
	switch m.ender {
	case "HeadTimeout":
		w = p.outcomes.head
	case "StallTimeout":
		w = p.outcomes.stall
	case "BodyClose":
		w = p.outcomes.body
		if v := m.party("v"); v.reach == toHead && (m.depth == 1 || m.way == "POST") {
			w.by = m.at + drainTime // nobody behind reads on
		}
	case "Shutdown", "Close":
		w = p.outcomes.close
		w.who = everybody
	default:
		w = p.outcomes.own
	}
	if w.kind == 0 {
		w.kind = enderKinds[m.ender]
	}
	if w.from == 0 {
		w.from = m.at
	}
	if w.by == 0 {
		w.by = m.at
	}
	if w.grace && m.plain {
		w.from, w.by = w.from+graceBeforeClose, w.by+graceBeforeClose
	}
	if neighbours[m.way] != nil {
		w.spares = nil // c may be in line, so that v is alone
	}
	return w
}

// matrixPhases are all of them.
var matrixPhases = slices.Concat(writingPhases, pushingPhases, readingPhases, answeredPhases, behindPhases, desertedPhases())

// victim sends a GET of v's, whose exchange is ended.
func (m *cell) victim() {
	req := get("")
	req.Informational = m.callback
	m.sends(&party{name: "v"}, req)
}

// behind sends a GET of c's, which came later.
func (m *cell) behind() { m.sends(&party{name: "c"}, get("")) }

// answers has the server take all, and answer those that were sent.
func (m *cell) answers(names ...string) {
	m.s.setWindow(wireWindow)
	synctest.Wait()
	for _, name := range names {
		if e, ok := m.party(name).err.(*Error); ok && e.Sent == SentNothing {
			continue
		}
		m.serve("/" + name)
		synctest.Wait()
	}
}

// answersBoth answers v and c.
func answersBoth(m *cell) { m.answers("v", "c") }

// inWrite is what becomes of v whose request is not out: its end is that of the
// connection. A write that has moved some bytes before it stalls is begun anew.
func inWrite(moot string) outcomes {
	part := outcome{who: "v", sent: SentPart}
	stall := part
	stall.by = 2 * enderAt
	return outcomes{own: part, stall: stall, moot: moot}
}

// inSource is what becomes of v where no write is under way, for there is nothing to write
// yet.
func inSource(moot string) outcomes {
	w := inWrite(moot)
	w.stall = outcome{}
	return w
}

// behindA is what becomes of v behind a, whose response is due: a timeout of the server's
// is a's.
func behindA(sent Sent, moot string) outcomes {
	due := outcome{who: "a", sent: SentAll}
	return outcomes{own: outcome{who: "v", sent: sent, spares: always}, head: due, stall: due, moot: moot}
}

// The request is not out.
var writingPhases = []phase{
	{name: "line", enter: func(m *cell) {
		m.sends(&party{name: "a"}, &Request{Method: "POST"})
		m.victim()
		m.behind()
	}, outcomes: behindA(SentNothing, "Wait Cancel BodyClose"), rest: func(m *cell) { m.answers("a", "v", "c") }},
	{name: "write head, alone", depth: 1, enter: writesHead, outcomes: inWrite("Wait Cancel BodyClose"), rest: answersBoth},
	{name: "write head", depth: 4, enter: writesHead, outcomes: inWrite("BodyClose"), rest: answersBoth},
	{name: "write another's head", depth: 4, enter: func(m *cell) {
		writesHead(m)
		m.s.setWindow(getHead + 10)
		synctest.Wait()
	}, outcomes: outcomes{
		own:  outcome{who: "v", sent: SentAll, spares: ifWriteIsCut},
		head: outcome{who: "v", sent: SentAll},
		moot: "StallTimeout BodyClose", // whose stall it is depends on who writes
	}, rest: answersBoth},
	{name: "appended behind a stuck write", depth: 4, enter: func(m *cell) {
		m.s.setWindow(10)
		m.sends(&party{name: "a"}, get(""))
		m.victim()
		m.behind()
	}, outcomes: outcomes{
		own:   outcome{who: "v", sent: SentNothing, spares: always},
		stall: outcome{who: "a", sent: SentPart, by: 2 * enderAt},
		moot:  "BodyClose",
	}, rest: func(m *cell) { m.answers("a", "v", "c") }},
	{name: "pump waits for Body", enter: func(m *cell) {
		body, w := io.Pipe()
		m.source = w
		m.Cleanup(func() { w.Close() })
		m.sends(&party{name: "v"}, &Request{Method: "PUT", Body: body})
		m.behind()
	}, outcomes: inSource("BodyClose"), rest: func(m *cell) {
		m.source.Close()
		answersBoth(m)
	}},
	{name: "pump writes", enter: pumps(0), outcomes: inWrite("BodyClose"), rest: answersBoth},
	{name: "pump writes chunks", enter: pumps(-1), outcomes: inWrite("BodyClose"), rest: answersBoth},
}

// writesHead brings v into the write of its head, or stops whoever writes that.
func writesHead(m *cell) {
	m.s.setWindow(10)
	m.victim()
	m.behind()
}

// pumps brings the pump into the write of v's body.
func pumps(length int64) func(m *cell) {
	return func(m *cell) {
		m.s.setWindow(1000)
		body := strings.NewReader(strings.Repeat("x", 200000))
		m.sends(&party{name: "v"}, &Request{Method: "PUT", ContentLength: length, Body: body})
		m.behind()
	}
}

// The body is pushed, or held back.
var pushingPhases = []phase{
	{name: "Write", enter: pushes(toBody), outcomes: inWrite("BodyClose"), rest: endsPush},
	{name: "Write, nobody waits", enter: pushes(toSent), outcomes: inWrite("Wait BodyClose"), rest: endsPush},
	{name: "CloseWrite", enter: endsPushing(toBody), outcomes: inWrite("BodyClose"), rest: waitsAtLast},
	{name: "CloseWrite, nobody waits", enter: endsPushing(toSent), outcomes: inWrite("Wait BodyClose"), rest: waitsAtLast},
	{name: "100, Body", enter: func(m *cell) {
		body := strings.NewReader("hello")
		m.sends(&party{name: "v"}, &Request{Method: "PUT", Header: fieldsOf("Expect: 100-continue"), Body: body})
		m.behind()
	}, outcomes: inSource("BodyClose"), rest: func(m *cell) {
		m.raw("HTTP/1.1 100 Continue\r\n\r\n")
		answersBoth(m)
	}},
	{name: "100, Write", enter: func(m *cell) {
		v := m.sends(&party{name: "v"}, &Request{Method: "PUT", Header: fieldsOf("Expect: 100-continue"), Push: true})
		v.writes(5)
		m.behind()
	}, outcomes: inSource("BodyClose"), rest: func(m *cell) {
		m.raw("HTTP/1.1 100 Continue\r\n\r\n")
		endsPush(m)
	}},
}

// pushing begins v's request, whose body is pushed.
func (m *cell) pushing(reach reach, length int64) *party {
	v := m.sends(&party{name: "v", reach: reach}, &Request{Method: "PUT", Push: true, ContentLength: length})
	if reach == toSent {
		v.back = func() error { return v.x.Wait(context.Background(), &v.resp) }
	}
	return v
}

// pushes brings v into Write.
func pushes(reach reach) func(m *cell) {
	return func(m *cell) {
		v := m.pushing(reach, 0)
		m.s.setWindow(1000)
		v.writes(100000)
		m.behind()
	}
}

// endsPushing brings v into CloseWrite.
func endsPushing(reach reach) func(m *cell) {
	return func(m *cell) {
		m.stopsInCloseWrite(m.pushing(reach, 0))
		m.behind()
	}
}

// stopsInCloseWrite lets two bytes of the last chunk out.
func (m *cell) stopsInCloseWrite(v *party) {
	v.writes(5)
	m.s.setWindow(len(m.s.out) + 2)
	v.calls(v.x.CloseWrite)
}

// endsPush ends v's body, and lets it have its response.
func endsPush(m *cell) {
	m.s.setWindow(wireWindow)
	synctest.Wait()
	v := m.party("v")
	v.calls(v.x.CloseWrite)
	waitsAtLast(m)
}

// waitsAtLast lets v have its response, even if nobody has waited for it yet.
func waitsAtLast(m *cell) {
	if v := m.party("v"); v.reach == toSent {
		v.calls(func() error {
			if err := v.x.Wait(context.Background(), &v.resp); err != nil {
				return err
			}
			return v.reads()
		})
	}
	answersBoth(m)
}

// v waits in a read, and c behind it.
var readingPhases = []phase{
	reading("head", "", answer("/v"), ifBothAreSo),
	reading("half head", "HTTP/1.1 200 O", "K\r\nContent-Length: 2\r\n\r\n/v", ifBothAreSo),
	reading("behind 1xx", "HTTP/1.1 103 E\r\nA: b\r\n\r\n", answer("/v"), ifBothAreSo),
	inCallback(),
	reading("length", ok+"Content-Length: 2\r\n\r\n/", "v", ifBothAreSo),
	reading("length, much", ok+"Content-Length: 100000\r\n\r\n/", "v"+strings.Repeat("\x00", 99998), nil),
	reading("chunk", ok+"Transfer-Encoding: chunked\r\n\r\n2\r\n/", "v\r\n0\r\n\r\n", ifBothAreSo),
	reading("chunk size", ok+"Transfer-Encoding: chunked\r\n\r\n2\r\n/v\r\n0", "\r\n\r\n", ifBothAreSo),
	reading("trailer", ok+"Transfer-Encoding: chunked\r\n\r\n2\r\n/v\r\n0\r\nA: b", "\r\n\r\n", ifBothAreSo),
	untilClose(),
	{name: "body, away", enter: func(m *cell) {
		v := m.sends(&party{name: "v", reach: toHead}, get(""))
		v.back = func() error { _, err := v.resp.Body.Read(make([]byte, 9)); return err }
		m.behind()
		m.raw(ok + "Content-Length: 2\r\n\r\n/")
		synctest.Wait()
	}, outcomes: outcomes{
		own:  outcome{who: "v", sent: SentAll, spares: ifPipelined},
		body: outcome{who: "v", kind: Closed, sent: SentAll, spares: ifPipelined},
		moot: "Wait",
	}, rest: func(m *cell) {
		if v := m.party("v"); v.err == nil && len(v.more) == 0 {
			v.calls(v.reads)
		}
		m.raw("v")
		m.answers("c")
	}},
}

// reading is a phase in which some bytes of v's response have come.
func reading(name, wire, rest string, spares func(*cell) bool) phase {
	p := phase{name: name, enter: func(m *cell) {
		m.victim()
		m.behind()
		m.raw(wire)
		synctest.Wait()
	}, outcomes: outcomes{
		own:   outcome{who: "v", sent: SentAll, spares: spares},
		head:  outcome{who: "v", sent: SentAll},
		stall: outcome{who: "v", sent: SentAll},
		body:  outcome{who: "v", sent: SentAll, spares: spares},
		moot:  "BodyClose",
	}, rest: func(m *cell) {
		m.raw(rest)
		m.answers("c")
	}}
	if hasHead(wire) {
		p.outcomes.head, p.outcomes.moot = outcome{}, "Wait"
	}
	return p
}

// hasHead reports whether a response's final head has come.
func hasHead(wire string) bool { return strings.Contains(wire, ok) }

// untilClose is a body that only the connection's end ends. No head comes behind it.
func untilClose() phase {
	p := reading("until close", ok+"\r\n/", "v", nil)
	p.outcomes.moot += " HeadTimeout"
	return p
}

// inCallback has v in its callback when the ender acts, and hear of that when it returns.
// No read is under way then, so that c is spared on any stream.
func inCallback() phase {
	p := reading("callback", "HTTP/1.1 103 E\r\n\r\n", answer("/v"), ifPipelined)
	enter, late := p.enter, 2*enderAt
	p.enter = func(m *cell) {
		m.callback = func(int, *Header) error {
			time.Sleep(late - time.Since(m.start))
			return nil
		}
		enter(m)
	}
	o := &p.outcomes
	o.own.from, o.own.by = late, late
	o.head.from, o.head.by = late, late+2*nearDeadline
	o.stall.from, o.stall.by = 3*enderAt, 3*enderAt
	o.close.by = late
	return p
}

// v was answered before it was done.
var answeredPhases = []phase{
	{name: "answered, in Write", unread: true, enter: func(m *cell) {
		v := m.pushing(toBody, 20000)
		m.s.setWindow(1000)
		v.writes(15000)
		m.raw(answer("/v"))
		synctest.Wait()
		m.behind()
	}, outcomes: inWrite("Wait BodyClose"), rest: func(m *cell) {
		m.s.setWindow(wireWindow)
		synctest.Wait()
		v := m.party("v")
		v.writes(5000)
		v.calls(v.x.CloseWrite)
		m.answers("c")
	}},
	{name: "answered, in CloseWrite", unread: true, enter: func(m *cell) {
		m.stopsInCloseWrite(m.pushing(toBody, -1))
		m.raw(answer("/v"))
		synctest.Wait()
		m.behind()
	}, outcomes: outcomes{ // c may take the rest along
		own:   outcome{who: "v", sent: SentPart, spares: ifWriteIsCut, grace: true},
		stall: outcome{who: "v", sent: SentPart, by: 2 * enderAt},
		moot:  "Wait BodyClose",
	}, rest: func(m *cell) { m.answers("c") }},
	{name: "answered, away", unread: true, enter: func(m *cell) {
		v := m.pushing(toBody, 20)
		v.writes(5)
		m.raw(answer("/v"))
		synctest.Wait()
		v.back = func() error { _, err := v.x.Write([]byte("more")); return err }
		m.behind()
	}, outcomes: outcomes{
		own:  outcome{who: "v", sent: SentPart},
		moot: "Wait BodyClose",
	}, rest: func(m *cell) {
		v := m.party("v")
		v.writes(15)
		v.calls(v.x.CloseWrite)
		m.answers("c")
	}},
	{name: "answered, its write goes on", depth: 4, enter: func(m *cell) {
		m.s.setWindow(10)
		m.sends(&party{name: "v", pauses: true}, get(""))
		m.behind()
		m.s.setWindow(getHead + 10)
		m.raw(answer("/v"))
		synctest.Wait()
	}, outcomes: outcomes{ // it has all it wants, and the bytes are c's
		stall: outcome{who: "c", sent: SentPart, by: 2 * enderAt},
		moot:  "BodyClose",
	}, rest: func(m *cell) { m.answers("c") }},
}

// v's response is behind another's.
var behindPhases = []phase{
	{name: "pipelined", depth: 4, enter: func(m *cell) {
		m.sends(&party{name: "a"}, get(""))
		m.victim()
		m.behind()
	}, outcomes: behindA(SentAll, "BodyClose"), rest: func(m *cell) { m.answers("a", "v", "c") }},
}

// desertedPhases are those in which v reads what nobody wants any more: in front of its
// own response, or to clear the way of a request that may not be pipelined.
func desertedPhases() (all []phase) {
	for _, at := range []struct{ name, wire, rest string }{
		{"head", "", answer("/x")},
		{"half head", "HTTP/1.1 2", "00 OK\r\nContent-Length: 1\r\n\r\nx"},
		{"length", ok + "Content-Length: 2\r\n\r\nx", "x"},
		{"chunk", ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nx", "x\r\n0\r\n\r\n"},
		{"trailer", ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nxx\r\n0\r\nA:", " b\r\n\r\n"},
	} {
		drains := phase{name: "drains, " + at.name, depth: 4, enter: func(m *cell) {
			m.drains()
			m.raw(at.wire)
			synctest.Wait()
		}, outcomes: inDeserted(at.wire, SentAll, "BodyClose")}
		clears := phase{name: "clears the way, " + at.name, depth: 4, unread: true, enter: func(m *cell) {
			m.deserted()
			m.clearsWay()
			m.raw(at.wire)
			synctest.Wait()
		}, outcomes: inDeserted(at.wire, SentNothing, "Wait Cancel BodyClose")}
		drains.rest = func(m *cell) {
			m.raw(at.rest)
			answersBoth(m)
		}
		clears.rest = drains.rest
		all = append(all, drains, clears)
	}
	return all
}

// drains brings v into the read of a response that its owner has left.
func (m *cell) drains() {
	x := m.begin(context.Background(), get("/x"))
	m.victim()
	m.behind()
	x.x.Cancel()
}

// clearsWay brings v, and c behind it, into line, where such a response alone is due.
func (m *cell) clearsWay() {
	m.sends(&party{name: "v"}, &Request{Method: "POST"})
	m.sends(&party{name: "c"}, &Request{Method: "POST"})
}

// inDeserted is what becomes of v who reads another's response.
func inDeserted(wire string, sent Sent, moot string) outcomes {
	o := outcomes{
		own:   outcome{who: "v", sent: sent, spares: ifReadEnds},
		head:  outcome{who: "v", sent: sent},
		stall: outcome{who: "v", sent: sent},
		moot:  moot,
	}
	if hasHead(wire) {
		o.head = outcome{}
	}
	return o
}
