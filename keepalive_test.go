package h1

// keepalive_test.go: the rules, alone: what each event does in each state that can be
// reached, and the laws that hold over all of them.

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/states.txt anew")

const statesFile = "testdata/states.txt"

// A move is an event as a connection can make it happen: few is what finish says of a body
// on its way when it moves evLast, and is said nowhere else.
type move struct {
	name string
	ev   event
	few  bool
}

// moves are all events, each legal one by its name.
func moves() (ms []move) {
	for ev := evIllegal + 1; ev < events; ev++ {
		ms = append(ms, move{ev.String(), ev, false})
		if ev == evLast {
			ms = append(ms, move{"last, few", ev, true})
		}
	}
	return ms
}

// from returns the state to which a move leads from l.
func (m move) from(l life) (life, error) {
	if m.ev == evLast {
		l.few = m.few
	}
	err := l.step(m.ev)
	if l.w != wBody || l.n > 0 {
		l.few = false // nothing asks for it there: evLast says it anew
	}
	return l, err
}

// most is how many requests are in flight in the states looked at. From two on, one more
// changes nothing but the number.
const most = 3

// reachable returns the states that moves lead to from a new connection, nearest first.
func reachable() (ls []life) {
	seen := map[life]bool{}
	add := func(l life) {
		if l.n <= most && !seen[l] {
			seen[l] = true
			ls = append(ls, l)
		}
	}
	add(newLife())
	for i := 0; i < len(ls); i++ {
		for _, m := range moves() {
			if next, err := m.from(ls[i]); err == nil {
				add(next)
			}
		}
	}
	return ls
}

// TestStates compares every reachable joint state times every event with the golden file.
func TestStates(t *testing.T) {
	var got bytes.Buffer
	fmt.Fprintf(&got, "# Every reachable joint state (at most %d requests in flight), and what each event\n", most)
	got.WriteString("# makes of it. \"few\" says that little is left of the request body on its way.\n")
	got.WriteString("# Written by: go test -run States -update\n")
	for _, l := range reachable() {
		fmt.Fprintf(&got, "\n%s%s\n", l, mark(l))
		for _, m := range moves() {
			if next, err := m.from(l); err != nil {
				fmt.Fprintf(&got, "    %-10s refused\n", m.name)
			} else {
				fmt.Fprintf(&got, "    %-10s => %s%s\n", m.name, next, mark(next))
			}
		}
	}
	if *update {
		if err := os.WriteFile(statesFile, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(statesFile)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(got.Bytes(), want) {
		return
	}
	g, w := strings.Split(got.String(), "\n"), strings.Split(string(want), "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			t.Fatalf("%s:%d differs: the rules now say\n%s", statesFile, i+1, g[i])
		}
	}
	t.Fatalf("%s is longer than what the rules say", statesFile)
}

// mark names the states in which nothing is outstanding.
func mark(l life) string {
	switch {
	case l.closed():
		return "  closed"
	case l.switched:
		return "  given away"
	case l.idle():
		return "  idle"
	}
	return ""
}

// No state is stuck: where nothing is outstanding, the connection is ready, closed, or
// given away; elsewhere good events alone, those that a working peer and body bring, lead
// there. (hyper issue 4176 is a state of which neither was true.)
func TestStatesNoneIsStuck(t *testing.T) {
	good := map[event]bool{evEnd: true, evFinal: true, evFinalClose: true, evLast: true, evDrop: true}
	for _, l := range reachable() {
		rests := l.closed() || l.idle() || l.switched
		if outstanding := l.n > 0 || l.w == wBody; outstanding == rests {
			t.Errorf("%v: outstanding %v, at rest %v", l, outstanding, rests)
		}
		if !l.switched {
			if end, err := (move{ev: evFail}).from(l); err != nil || !end.closed() {
				t.Errorf("%v: a broken stream leads to %v, %v", l, end, err)
			}
		}
		// Each state on the way is another's start: one good event that brings the end
		// nearer is enough.
		seen, front := map[life]bool{l: true}, []life{l}
		for !rests && len(front) > 0 {
			at := front[0]
			front = front[1:]
			for _, m := range moves() {
				if next, err := m.from(at); err == nil && good[m.ev] && !seen[next] {
					seen[next] = true
					front = append(front, next)
					rests = rests || next.closed() || next.idle()
				}
			}
		}
		if !rests {
			t.Errorf("%v: no good event leads to an end", l)
		}
	}
}

// What holds in every reachable state, and over every step.
func TestStatesInvariants(t *testing.T) {
	for _, l := range reachable() {
		for law, holds := range map[string]bool{
			"a response is due just where a request is in flight":                      (l.n > 0) == (l.r == rHead || l.r == rBody),
			"J2: an idle write half is one that may be used again":                     l.w != wIdle || l.reuse,
			"J4: nothing is read where nothing is written or due":                      l.r != rIdle || l.w != wShut,
			"who reads no more writes no more":                                         l.r != rShut || l.w == wShut,
			"what is shut is not used again":                                           l.w != wShut || !l.reuse,
			"J1: a body is written on after its response to save the connection alone": l.w != wBody || l.n > 0 || l.reuse && l.few,
			"a stream given away is shut on both sides":                                !l.switched || l.w == wShut && l.r == rShut,
		} {
			if !holds {
				t.Errorf("%v: does not hold: %s", l, law)
			}
		}
		for _, m := range moves() {
			next, err := m.from(l)
			switch {
			case err != nil:
			case next.reuse && !l.reuse:
				t.Errorf("%v: %s brings reuse back: %v", l, m.name, next)
			case (l.closed() || l.switched) && (next.w != l.w || next.r != l.r || next.n != l.n):
				t.Errorf("%v: %s leads out of the end: %v", l, m.name, next)
			case next.n < 0 || next.n > l.n+1:
				t.Errorf("%v: %s makes n %d", l, m.name, next.n)
			}
		}
	}
}

// A refusal leaves the state as it was: in any state, reachable or not, at any event.
func TestStatesRefusalMovesNothing(t *testing.T) {
	refused := 0
	for i := range int(wStates) * int(rStates) * 8 * 4 {
		l := life{w: wState(i % int(wStates)), r: rState(i / int(wStates) % int(rStates))}
		rest := i / (int(wStates) * int(rStates))
		l.reuse, l.switched, l.few, l.n = rest&1 > 0, rest&2 > 0, rest&4 > 0, rest>>3
		for ev := range events {
			moved := l
			err := moved.step(ev)
			if err == nil {
				if l.w == wIllegal || l.r == rIllegal || ev == evIllegal {
					t.Errorf("%v: %v is granted", l, ev)
				}
				continue
			}
			refused++
			if moved != l {
				t.Errorf("%v: %v is refused, and moves to %v", l, ev, moved)
			}
			if s := err.Error(); !strings.Contains(s, ev.String()) || !strings.Contains(s, l.String()) {
				t.Errorf("%v: %v is refused with %q", l, ev, s)
			}
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

// The ends of a body and of its response in each order (J1), and what it does to reuse.
func TestStatesEarlyResponse(t *testing.T) {
	for _, c := range []struct {
		events []event
		few    bool
		want   string
	}{
		{[]event{evHead, evEnd, evFinal, evLast}, false, "wIdle rIdle reuse n=0"},
		{[]event{evHead, evFinal, evEnd, evLast}, false, "wIdle rIdle reuse n=0"},
		{[]event{evHead, evFinal, evLast}, true, "wBody rIdle reuse n=0"},
		{[]event{evHead, evFinal, evLast, evEnd}, true, "wIdle rIdle reuse n=0"},
		{[]event{evHead, evFinal, evLast, evStop}, true, "wShut rShut noreuse n=0"},
		{[]event{evHead, evFinal, evLast}, false, "wShut rShut noreuse n=0"},
		{[]event{evHead, evFinalClose, evLast}, true, "wShut rShut noreuse n=0"},
		{[]event{evHead, evFinalClose, evEnd}, true, "wShut rBody noreuse n=1"},
		{[]event{evHeadEnd, evHeadEnd, evHead, evFinal, evLast}, false, "wBody rHead reuse n=2"},
		{[]event{evHeadEnd, evNoReuse, evInfo, evFinal, evLast}, false, "wShut rShut noreuse n=0"},
	} {
		l := newLife()
		for _, ev := range c.events {
			l.few = c.few
			if err := l.step(ev); err != nil {
				t.Fatalf("%v: %v", c.events, err)
			}
		}
		if l.String() != c.want {
			t.Errorf("%v, few %v: %v, want %s", c.events, c.few, l, c.want)
		}
	}
}

func TestPersists(t *testing.T) {
	for _, c := range []struct {
		minor int
		lines string // separated by |
		want  bool
	}{
		{1, "", true},
		{0, "", false},
		{2, "", true}, // a later minor version is read as 1.1 (RFC 9110, section 2.5)
		{1, "Connection: close", false},
		{1, "connection: CLOSE", false},
		{1, "CONNECTION: Close", false},
		{1, "Connection: keep-alive", true},
		{0, "Connection: keep-alive", true},
		{0, "Connection: Keep-Alive", true},
		{0, "Connection: KEEP-ALIVE", true},
		{0, "Connection: keep-alive, close", false},
		{0, "Connection: close, keep-alive", false},
		{1, "Connection: keep-alive, close", false},
		{1, "Connection: upgrade, close", false},
		{1, "Connection: upgrade ,\tclose ", false},
		{1, "Connection: ,,close,,", false},
		{1, "Connection: , ,", true},
		{1, "Connection: ", true},
		{0, "Connection: ", false},
		{0, "Connection: upgrade|Connection: keep-alive", true},
		{1, "Connection: upgrade|X: y|Connection: close", false},
		{1, "Connection: upgrade|Upgrade: close|Keep-Alive: close|TE: close", true},
		{1, "Connection: closed", true},
		{1, "Connection: not-close", true},
		{1, "Connection: \"close\"", true}, // options are tokens: no quotes
		{1, "Connection: close;q=1", true},
		{0, "Connection: keep-alive;timeout=5", false},
		{0, "Connection: keep alive", false},
		{1, "X-Connection: close", true},
		{1, "X: close|Connection: upgrade|X: close", true},
		{0, "Proxy-Connection: keep-alive", false}, // RFC 9112, appendix C.2.2: not to be acted on
		{1, "Proxy-Connection: close", true},
		{0, "Keep-Alive: timeout=5", false},
	} {
		var h Header
		if c.lines != "" {
			h = fieldsOf(strings.Split(c.lines, "|")...)
		}
		if got := persists(c.minor, &h); got != c.want {
			t.Errorf("HTTP/1.%d, %q: persists %v", c.minor, c.lines, got)
		}
	}
}

func TestHints(t *testing.T) {
	for _, c := range []struct {
		lines        string
		timeout, max int32
	}{
		{"Keep-Alive: timeout=5, max=100", 5, 100},
		{"keep-alive: MAX=7,TimeOut=5", 5, 7},
		{"Keep-Alive: timeout=5", 5, 0},
		{"Keep-Alive: max=1", 0, 1},
		{"Keep-Alive: timeout=5|Keep-Alive: max=2", 5, 2},
		{"Keep-Alive: 300", 0, 0},
		{"Keep-Alive: ", 0, 0},
		{"Keep-Alive: timeout=", 0, 0},
		{"Keep-Alive: timeout", 0, 0},
		{"Keep-Alive: timeout=5s", 0, 0},
		{"Keep-Alive: timeout=-5", 0, 0},
		{"Keep-Alive: timeout=1.5", 0, 0},
		{"Keep-Alive: timeouts=5, xmax=3", 0, 0},
		{"Keep-Alive: foo=1, timeout=0,, bar , max=9", 0, 9},
		{"Connection: timeout=5", 0, 0},
		{"Keep-Alive: timeout=99999999999999999999, max=18446744073709551617", hintLimit, hintLimit},
		{"Keep-Alive: timeout=2147483648", hintLimit, 0},
	} {
		h := fieldsOf(strings.Split(c.lines, "|")...)
		if timeout, max := hints(&h); timeout != c.timeout || max != c.max {
			t.Errorf("%q: timeout %d, max %d, want %d, %d", c.lines, timeout, max, c.timeout, c.max)
		}
	}
	if d, _ := (&Conn{keep: [2]int32{hintLimit, 0}}).Hints(); d <= 0 {
		t.Errorf("the longest timeout overflows: %v", d)
	}
}

// hintLimit is what numbers past every use count as.
const hintLimit = 1 << 30 / 10

// What is no hint takes nothing from those in front of it, however much it looks like one.
func TestHintsBeforeOthers(t *testing.T) {
	for _, more := range []string{"x, y=3", "timeout=", "max=", "timeout:7", "max:7", "seconds=3", "mix=4", "=1", "timeout", "max",
		"timeout=7s", "max=-1"} {
		h := fieldsOf("Keep-Alive: timeout=5, max=9, "+more, "Keep-Alive: z")
		if timeout, max := hints(&h); timeout != 5 || max != 9 {
			t.Errorf("%q: timeout %d, max %d", more, timeout, max)
		}
	}
}

// An event that the code around it should have made legal, and has not, is not passed over.
func TestMustBeLegal(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a response has ended that no request was sent for")
		}
	}()
	l := newLife()
	l.must(evLast)
}
