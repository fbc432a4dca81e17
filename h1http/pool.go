package h1http

// pool.go: which connection a request gets, and where it goes afterwards.
//
// Rule: a request that finds no idle connection takes the first that comes: one that
// another request lets go, or one that is dialed for it. A connection that was dialed and
// is not wanted any more goes to the next request that waits, or becomes idle. The lists
// change under pool.mu alone, and nothing is closed before that is released: closing may
// block.

import (
	"context"
	"errors"
	"io"
	"slices"
	"sort"
	"sync"
	"time"
)

// pool is the connections of a Transport.
type pool struct {
	mu      sync.Mutex
	hosts   map[key]*host
	oldest  *link // idle links of all hosts, by the time they became idle
	newest  *link
	idle    int
	closing bool // CloseIdleConnections was called, and no request has come since
	dials   map[*dial]struct{}
	timer   *time.Timer // runs sweep; nil: no sweep is due
	dead    []*link     // to be closed once mu is released
}

// A key tells what a connection is for: those with equal keys are interchangeable.
type key struct{ proxy, scheme, addr string }

// host is the connections of one key.
type host struct {
	key     key
	conns   int     // all, those being dialed included
	idle    []*link // the one used last at the end
	open    []*link // in use, and may be joined: with Depth alone
	waiting []*want // in order of arrival, which is the order they are dialed for
}

// want is a request that waits for a connection.
type want struct {
	ctx    context.Context
	route  route
	got    chan grant // of capacity 1
	share  bool       // it may go onto a connection in use
	dialed bool       // a dial runs for it
	done   bool       // it was given something, or gave up
}

// grant is a connection, or the error that there is none.
type grant struct {
	l   *link
	was history
	err error
}

// history is what a connection was when it was granted.
type history struct {
	used   bool      // a response had come over it, or it was idle
	shared bool      // others are in flight on it
	idleAt time.Time // since when it was idle; zero: it was not
}

// dial is a connection being made.
type dial struct {
	host   *host
	want   *want
	cancel context.CancelFunc
}

func (p *pool) host(k key) *host {
	h := p.hosts[k]
	if h == nil {
		if p.hosts == nil {
			p.hosts = make(map[key]*host)
		}
		h = &host{key: k}
		p.hosts[k] = h
	}
	return h
}

// unlock releases mu, and closes what was dropped meanwhile.
func (p *pool) unlock() {
	dead := p.dead
	p.dead = nil
	p.mu.Unlock()
	for _, l := range dead {
		l.close()
	}
}

// get returns a connection for a request, and what it was before. It must be given back by
// release.
func (t *Transport) get(ctx context.Context, r route, share bool) (*link, history, error) {
	p := &t.pool
	p.mu.Lock()
	p.closing = false
	h := p.host(r.key)
	if l, was := t.takeIdle(h, share); l != nil {
		p.unlock()
		return l, was, nil
	}
	n := &want{ctx: ctx, route: r, got: make(chan grant, 1), share: share}
	p.hosts[r.key] = h // takeIdle may have dropped the last connection, and the host with it
	h.waiting = append(h.waiting, n)
	t.dialWaiting(h)
	p.unlock()
	var g grant
	select {
	case g = <-n.got:
	case <-ctx.Done():
		p.mu.Lock()
		if !n.done {
			h.forget(n)
			p.unlock()
			return nil, history{}, context.Cause(ctx)
		}
		p.unlock()
		if g = <-n.got; g.l != nil {
			t.release(g.l, nil, g.l.h.Err() == nil)
		}
		return nil, history{}, context.Cause(ctx)
	}
	if g.err != nil && ctx.Err() != nil { // says more than what came of that
		return nil, history{}, context.Cause(ctx)
	}
	return g.l, g.was, g.err
}

// takeIdle returns an idle connection, or else one in use to join, or nil. mu is held.
func (t *Transport) takeIdle(h *host, share bool) (*link, history) {
	p := &t.pool
	for n := len(h.idle); n > 0; n = len(h.idle) {
		l := h.idle[n-1]
		if l.h.Err() != nil || t.tooOld(l) || l.ahead.unasked() {
			p.dropIdle(l)
			continue
		}
		p.unlist(l)
		return l, t.lend(l, share)
	}
	if !share || h.mustQueue() {
		return nil, history{}
	}
	var best *link
	for _, l := range h.open {
		if t.joinable(l) && l.h.Err() == nil && (best == nil || l.load < best.load) {
			best = l
		}
	}
	if best == nil {
		return nil, history{}
	}
	return best, t.lend(best, share)
}

// joinable reports whether a connection in use may take one exchange more. Before the end
// of its first response it might wait in vain: a server that does not keep the connection
// need not say so, and a request that comes behind its close may then cost that response
// its end (RFC 9112, section 9.6). Behind the response of a canceled request, which may
// never come, it would wait as well, and behind one that was answered and is not out. mu is
// held.
func (t *Transport) joinable(l *link) bool {
	return !l.alone && l.load < t.Depth && l.lasts.Load() && l.h.Stats().Abandoned == 0 && l.isOut(l.uncounted)
}

// mustQueue reports whether a request waits that no connection may be dialed for now. A
// later request does not overtake it, or it might wait for ever. mu is held.
func (h *host) mustQueue() bool {
	n := len(h.waiting)
	return n > 0 && !h.waiting[n-1].dialed
}

// lend counts one exchange more on a link, and returns what the link was before. mu is
// held.
func (t *Transport) lend(l *link, share bool) history {
	was := history{used: l.used.Load(), shared: l.load > 0, idleAt: l.idleAt}
	l.idleAt = time.Time{}
	l.load++
	l.alone = !share
	if share && l.load == 1 {
		l.host.open = append(l.host.open, l)
	}
	return was
}

var (
	errKeepAlivesDisabled = errors.New("h1http: keep alives disabled")
	errCloseIdle          = errors.New("h1http: CloseIdleConnections was called")
	errTooManyIdleHost    = errors.New("h1http: too many idle connections for host")
)

// tunneled has nothing to do: the exchange counts until the tunnel is closed.
func (t *Transport) tunneled(io.Closer) {}

// release takes a connection back after an exchange: it goes to a request that waits,
// becomes idle, or is dropped.
func (t *Transport) release(l *link, tr *tracer, usable bool) {
	l.settled() // by now an answer that was ready would be another request's
	p := &t.pool
	p.mu.Lock()
	h := l.host
	l.load--
	if l.load == 0 {
		h.open = without(h.open, l)
	}
	usable = usable && t.reusable(l)
	var why error
	switch {
	case !usable:
		if l.load == 0 {
			p.drop(l)
			t.dialWaiting(h)
		}
	case t.hand(h, l, nil):
	case l.load == 0:
		if why = t.keep(l); why != nil {
			p.drop(l)
		}
	}
	p.unlock()
	if usable && why != errKeepAlivesDisabled {
		tr.putIdle(why)
	}
}

// reusable reports whether the pool, too, would send another request on a connection that
// has been given back. mu is held.
func (t *Transport) reusable(l *link) bool {
	switch {
	case t.DisableKeepAlives: // and the request did not say so: it asked for an upgrade
		return false
	case l.load > 0:
		return true
	case t.Depth > 1 && l.h.State().InFlight() > 0:
		return false // a canceled request's response, for which the next would have to wait
	case t.Depth > 1 && !l.isOut(l.allBut()):
		return false // another's that has come meanwhile
	}
	return !l.ahead.unasked()
}

// hand gives a connection to requests that wait: first to own, which it was dialed for, if
// that still waits. A request that may share it overtakes only requests that a dial runs
// for. hand reports whether any request took it. mu is held.
func (t *Transport) hand(h *host, l *link, own *want) bool {
	taken := own != nil && !own.done
	if taken {
		t.grant(h, l, own)
	}
	for i := 0; i < len(h.waiting); {
		n := h.waiting[i]
		switch {
		case l.load == 0, n.share && t.joinable(l):
			t.grant(h, l, n)
			taken = true
		case l.alone || l.load >= t.Depth || !n.dialed:
			return taken
		default:
			i++
		}
	}
	return taken
}

// grant gives a connection to a request that waits. mu is held.
func (t *Transport) grant(h *host, l *link, n *want) {
	h.forget(n)
	n.got <- grant{l: l, was: t.lend(l, n.share)}
}

// forget takes a request off the list of those that wait. mu is held.
func (h *host) forget(n *want) {
	n.done = true
	if h.waiting[0] == n {
		h.waiting[0] = nil // its context may hold much
		h.waiting = h.waiting[1:]
		return
	}
	h.waiting = without(h.waiting, n)
}

// without removes x from a list, in place.
func without[T comparable](list []T, x T) []T {
	return slices.DeleteFunc(list, func(y T) bool { return y == x })
}

// dialWaiting dials for requests that wait, as far as MaxConnsPerHost allows. mu is held.
func (t *Transport) dialWaiting(h *host) {
	may := func() bool { return t.MaxConnsPerHost <= 0 || h.conns < t.MaxConnsPerHost }
	if !may() {
		return
	}
	i := sort.Search(len(h.waiting), func(i int) bool { return !h.waiting[i].dialed })
	for ; i < len(h.waiting) && may(); i++ {
		t.startDial(h, h.waiting[i])
	}
}

// drop forgets a connection that is in no list; unlock closes it. mu is held.
func (p *pool) drop(l *link) {
	l.host.conns--
	p.dead = append(p.dead, l)
	p.tidy(l.host)
}

// tidy forgets a host that has no connection left and no request that waits. mu is held.
func (p *pool) tidy(h *host) {
	if h.conns == 0 && len(h.waiting) == 0 {
		delete(p.hosts, h.key)
	}
}
