package h1

// keepalive.go: what may happen next, and whether the connection lives on.
//
// Rule 1: everything that decides either lives in this file: the states, the events,
// one table per half, and the joint rules J1 to J4 under them.
// Rule 2: step and must alone move the halves. What no table allows is refused, and leaves
// the state as it was; the zero of every enumeration is illegal, so a forgotten cell
// refuses.
// Not here: bytes, I/O, clocks, whose turn it is (ready.go), whose bytes they are.
//
//	   write half                                    read half
//	      headEnd                                       info
//	       .--.                                         .--.
//	       v  |   head                                  v  |   final
//	---> wIdle ---------> wBody        ---> rIdle --> rHead ---------> rBody
//	       ^ |             |  |              | ^  J3                    |
//	       | J2    end     |  | stop, J1     | '---------- last --------'
//	       '-|-------------'  |              J4
//	         '--> wShut <-----'              '--> rShut      both shut: closed

import "fmt"

type wState uint8

const (
	wIllegal wState = iota
	wIdle           // between requests
	wBody           // the head of the latest request was appended, the end of its body was not
	wShut           // nothing more will be written
	wStates
)

type rState uint8

const (
	rIllegal rState = iota
	rIdle           // no response is due
	rHead           // the next bytes are a status line, or the rest of a head
	rBody           // a final head was read, its body was not
	rShut           // nothing more will be read
	rStates
)

type event uint8

const (
	evIllegal    event = iota
	evHeadEnd          // a request without a body was admitted
	evHead             // a request with a body was admitted
	evEnd              // the end of a request's body was appended
	evStop             // the write half failed, or a body was given up
	evDrop             // a request left: before a byte of it was written (in wBody the latest alone), or behind evStop
	evInfo             // a 1xx response but 101 was read
	evFinal            // a final response's head was read, and the connection persists
	evFinalClose       // a final response's head was read, and the connection ends with it
	evLast             // a response ended
	evSwitch           // 101, or 2xx to CONNECT: the stream is HTTP's no more
	evNoReuse          // no request is to come after those in flight: see noReuse
	evFail             // the connection ends at once: see Conn.fail
	events
)

var (
	wNames  = [wStates]string{"illegal", "wIdle", "wBody", "wShut"}
	rNames  = [rStates]string{"illegal", "rIdle", "rHead", "rBody", "rShut"}
	evNames = [events]string{"illegal", "headEnd", "head", "end", "stop", "drop", "info", "final",
		"finalClose", "last", "switch", "noReuse", "fail"}
)

func (w wState) String() string { return wNames[w] }
func (r rState) String() string { return rNames[r] }
func (e event) String() string  { return evNames[e] }

// The tables' sizes are rounded up to powers of two: an index modulo such a size needs no
// check, and no multiplication.
const (
	wRows   = 4
	rRows   = 8
	columns = 16
)

// wTable says where an event takes the write half.
var wTable = [wRows][columns]wState{
	wIdle: {evHeadEnd: wIdle, evHead: wBody, evStop: wShut, evDrop: wIdle, evInfo: wIdle, evFinal: wIdle,
		evFinalClose: wIdle, evLast: wIdle, evSwitch: wShut, evNoReuse: wIdle, evFail: wShut},
	wBody: {evEnd: wIdle, evStop: wShut, evDrop: wIdle, evInfo: wBody, evFinal: wBody, evFinalClose: wBody,
		evLast: wBody, evNoReuse: wBody, evFail: wShut},
	wShut: {evStop: wShut, evDrop: wShut, evInfo: wShut, evFinal: wShut, evFinalClose: wShut,
		evLast: wShut, evSwitch: wShut, evNoReuse: wShut, evFail: wShut},
}

// rTable says where an event takes the read half.
var rTable = [rRows][columns]rState{
	rIdle: {evHeadEnd: rIdle, evHead: rIdle, evEnd: rIdle, evStop: rIdle, evNoReuse: rIdle, evFail: rShut},
	rHead: {evHeadEnd: rHead, evHead: rHead, evEnd: rHead, evStop: rHead, evDrop: rHead, evInfo: rHead,
		evFinal: rBody, evFinalClose: rBody, evSwitch: rShut, evNoReuse: rHead, evFail: rShut},
	rBody: {evHeadEnd: rBody, evHead: rBody, evEnd: rBody, evStop: rBody, evDrop: rBody, evLast: rIdle,
		evNoReuse: rBody, evFail: rShut},
	rShut: {evStop: rShut, evNoReuse: rShut, evFail: rShut},
}

// life is the joint state of a connection. Owned by Conn.mu.
type life struct {
	w        wState
	r        rState
	reuse    bool // once false, never true again
	switched bool // both halves were given up to another protocol
	few      bool // little is known to be left of the body in wBody: see fewLeft
	n        int  // requests admitted whose response has not ended
}

func newLife() life { return life{w: wIdle, r: rIdle, reuse: true} }

// closed reports whether both halves are shut and the stream is HTTP's to close.
func (l *life) closed() bool { return l.w == wShut && l.r == rShut && !l.switched }

// idle reports whether nothing is outstanding and a request may come. (By J2, wIdle says
// that the connection may be used again.)
func (l *life) idle() bool { return l.w == wIdle && l.r == rIdle }

// step moves the state by one event, or refuses and leaves it.
func (l *life) step(ev event) error {
	w, r := wTable[l.w%wRows][ev%columns], rTable[l.r%rRows][ev%columns]
	legal := w != wIllegal && r != rIllegal
	reuse, n, switched := l.reuse, l.n, l.switched
	switch ev {
	case evHeadEnd, evHead:
		legal, n = legal && reuse, n+1
	case evLast:
		n--
	case evDrop: // the request whose response has begun is not the one that leaves
		legal, n = legal && (n > 1 || n == 1 && l.r == rHead), n-1
	case evStop, evNoReuse:
		reuse = false
	case evFinalClose: // RFC 9112, 9.6: what stands behind is not going to be answered
		reuse, n = false, 1
	case evSwitch: // it waits until the pipeline is empty, and its own body is out
		legal = legal && n == 1
		reuse, n, switched = false, 0, true
	case evFail:
		reuse, n = false, 0
	}
	if !legal {
		return fmt.Errorf("h1: %v in state %v", ev, *l)
	}
	l.reuse, l.n, l.switched = reuse, n, switched
	l.settle(w, r)
	return nil
}

// must is step for an event that the code around it has made legal.
func (l *life) must(ev event) {
	if err := l.step(ev); err != nil {
		panic(err)
	}
}

// settle moves the halves to w and r, and applies the joint rules, in order.
func (l *life) settle(w wState, r rState) {
	// J1: the response ended while its own request body was still being written: finish
	// that if little is left and it saves the connection, else stop it.
	if w == wBody && l.n == 0 && !(l.few && l.reuse) {
		w, l.reuse = wShut, false
	}
	// J2: no reuse, and the write half idle: shut it.
	if w == wIdle && !l.reuse {
		w = wShut
	}
	// J3: a response is due, or none.
	if r == rIdle && l.n > 0 {
		r = rHead
	} else if r == rHead && l.n == 0 {
		r = rIdle
	}
	// J4: write half shut and read half idle: closed.
	if w == wShut && r == rIdle {
		r = rShut
	}
	l.w, l.r = w, r
}

// String prints a state as scripts and goldens have it: "wIdle rHead reuse n=1".
func (l life) String() string {
	reuse := "noreuse"
	if l.reuse {
		reuse = "reuse"
	}
	s := fmt.Sprintf("%v %v %s n=%d", l.w, l.r, reuse, l.n)
	if l.switched {
		s += " switched"
	}
	return s
}

// persists reports whether the connection persists after a response, as far as its head
// says so (RFC 9112, section 9.3):
//
//  1. the close option is present: no;
//  2. else HTTP/1.1 or later: yes;
//  3. else HTTP/1.0 with the keep-alive option: yes;
//  4. else no.
func persists(minor int, h *Header) bool {
	if !h.has(knownConnection) {
		return minor >= 1
	}
	return optionsKeep(minor, h)
}

// optionsKeep is persists where there are connection options: apart, so that persists is
// inlined.
func optionsKeep(minor int, h *Header) bool {
	if h.hasOption("close") {
		return false
	}
	return minor >= 1 || h.hasOption("keep-alive")
}

// hints reads the parameters timeout (in seconds) and max of Keep-Alive fields; 0 where
// one is not said or is no number.
func hints(h *Header) (timeout, max int32) {
	for i := range h.fields {
		k, v := h.At(i)
		if !equalFold(k, "keep-alive") {
			continue
		}
		for e, rest, ok := nextElement(v); ok; e, rest, ok = nextElement(rest) {
			if n, ok := parameter(e, "timeout"); ok {
				timeout = n
			} else if n, ok := parameter(e, "max"); ok {
				max = n
			}
		}
	}
	return timeout, max
}

// parameter reads "name=number"; numbers past the limit count as the limit.
func parameter(e []byte, name string) (n int32, ok bool) {
	const limit = 1 << 30 / 10 // 3 years of seconds, which is as good as for ever; ten times it fits n
	if len(e) <= len(name)+1 || !equalFold(e[:len(name)], name) || e[len(name)] != '=' {
		return 0, false
	}
	for _, c := range e[len(name)+1:] {
		if !isDigit(c) {
			return 0, false
		}
		if n = n*10 + int32(c-'0'); n > limit {
			n = limit
		}
	}
	return n, true
}
