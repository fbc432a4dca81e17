//go:build unix

package h1

// matrix_look_test.go: the same where TLS does not return: from a look at an idle
// connection, or from a read, in which it writes to a server that does not read.

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// deafAt is when the ender acts, and deafWakes when the server reads again, if it does.
const (
	deafAt    = 40 * time.Millisecond
	deafWakes = 60 * time.Millisecond
)

// A deafPhase is where v is when TLS does not return.
type deafPhase struct {
	name  string
	depth int  // Config.Depth; 0: with either
	look  bool // TLS is in a look
	enter func(m *cell, s *deafened)
	moot  string // enders that have nothing to end here
	rest  func(m *cell)
}

// notInLook are the enders of which a request that was not begun knows nothing.
const notInLook = "Wait Cancel HeadTimeout StallTimeout BodyClose"

var deafPhases = []deafPhase{
	{name: "own look", look: true, moot: notInLook, enter: func(m *cell, s *deafened) {
		s.deaf.Store(true)
		m.victim()
		m.behind()
	}},
	{name: "behind a look", look: true, moot: notInLook, enter: func(m *cell, s *deafened) {
		s.deaf.Store(true)
		m.behind()
		m.victim()
	}},
	{name: "behind Probe", look: true, moot: notInLook, enter: func(m *cell, s *deafened) {
		s.deaf.Store(true)
		go m.c.Probe()
		synctest.Wait()
		m.victim()
		m.behind()
	}},
	{name: "head", moot: "BodyClose", enter: func(m *cell, s *deafened) {
		s.deaf.Store(true)
		m.victim()
		m.behind()
	}, rest: func(m *cell) { m.serve("/v") }},
	{name: "body", moot: "Wait HeadTimeout", enter: func(m *cell, s *deafened) {
		deafens := func() { s.deaf.Store(true) }
		m.s.onRead.Store(&deafens)
		m.victim()
		m.behind()
		m.raw(ok + "Content-Length: 2\r\n\r\n")
		synctest.Wait()
	}, rest: func(m *cell) { m.raw("/v") }},
	{name: "drains", depth: 4, moot: "BodyClose", enter: func(m *cell, s *deafened) {
		s.deaf.Store(true)
		m.drains()
	}, rest: func(m *cell) { m.serve("/x", "/v") }},
	{name: "clears the way", depth: 4, moot: "Wait Cancel BodyClose", enter: func(m *cell, s *deafened) {
		m.deserted()
		s.deaf.Store(true)
		m.clearsWay()
	}, rest: func(m *cell) {
		m.serve("/b")
		time.Sleep(time.Second)
	}},
}

// Whatever ends an exchange does so also where no deadline ends the read, or the look: a
// little later, and with the connection if that does not return by then.
func TestMatrixDeaf(t *testing.T) {
	for _, p := range deafPhases {
		for _, ender := range enders {
			if slices.Contains(strings.Fields(p.moot), ender) {
				continue
			}
			for _, depth := range []int{1, 4} {
				if p.depth != 0 && p.depth != depth {
					continue
				}
				for _, wakes := range []bool{false, true} {
					name := fmt.Sprintf("%s/%s/%d/wakes_%v", p.name, ender, depth, wakes)
					t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
						inDeafBubble(t, cellConfig(ender, depth, deafAt), func(r *rig, s *deafened) {
							defer func() { // whoever hangs is let go
								s.closed.Store(true)
								r.c.Close()
								time.Sleep(time.Second)
							}()
							m := &cell{rig: r, ender: ender, depth: depth, at: deafAt}
							m.playsDeaf(&p, s, wakes)
						})
					})
				}
			}
		}
	}
}

// playsDeaf brings v into the phase, lets the ender act, and checks all that comes of it.
func (m *cell) playsDeaf(p *deafPhase, s *deafened, wakes bool) {
	m.c.kind = layered
	m.warm()
	if p.look {
		m.c.sock = noRaw{}
	}
	m.start = time.Now()
	p.enter(m, s)
	m.setOff()
	if wakes {
		time.AfterFunc(deafWakes-time.Since(m.start), func() { s.deaf.Store(false) })
	}
	late := m.at + graceBeforeClose
	if p.look {
		late = 2 * graceBeforeClose
	}
	time.Sleep(late + 3*time.Millisecond - time.Since(m.start)) // a read returns in steps of one
	synctest.Wait()
	m.hearsDeaf()
	if m.c.Err() == nil {
		if p.rest != nil {
			p.rest(m)
		}
		m.serve("/c")
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	own := enderKinds[m.ender] == Canceled || m.ender == "Deadline"
	m.sparesDeaf(wakes && own && m.depth > 1 && p.name != "body")
	if m.c.Err() != nil && (!m.c.State().Closed() || m.s.ended() != "closed" && !s.closed.Load()) {
		m.Errorf("it has ended, and is not closed: %v", m.c.State())
	}
}

// hearsDeaf checks that v has ended, and so has Shutdown.
func (m *cell) hearsDeaf() {
	v := m.party("v")
	if e, ok := v.err.(*Error); !v.over.Load() || !ok || e.Kind != enderKinds[m.ender] {
		m.Errorf("v: over %v, %v", v.over.Load(), v.err)
	}
	if m.ender == "Shutdown" && !m.shutdown.over.Load() {
		m.Error("Shutdown hangs")
	}
}

// sparesDeaf checks that c is answered if the connection lives, as it must if that is
// said, and else does not fail by what was v's.
func (m *cell) sparesDeaf(must bool) {
	c := m.party("c")
	switch {
	case !c.over.Load():
		m.Errorf("c hangs: %v, Err %v", m.c.State(), m.c.Err())
	case c.err != nil && (must || m.c.Err() == nil):
		m.Errorf("c is not spared: %v", c.err)
	case c.err != nil && (errors.Is(c.err, Timeout) || errors.Is(c.err, Canceled)):
		m.Errorf("c fails by another's: %v", c.err)
	}
}
