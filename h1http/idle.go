package h1http

// idle.go: the idle connections of a pool: how many are kept, and for how long.
//
// Rule: an idle link is in two lists, its host's and the pool's, and only enlist and unlist
// change them. While there are idle links a sweep is due.

import (
	"net/http"
	"time"
)

// keep makes a connection idle, or says why not. mu is held.
func (t *Transport) keep(l *link) error {
	p, h := &t.pool, l.host
	most := t.MaxIdleConnsPerHost
	if most == 0 {
		most = http.DefaultMaxIdleConnsPerHost
	}
	switch {
	case t.DisableKeepAlives || most < 0:
		return errKeepAlivesDisabled
	case p.closing:
		return errCloseIdle
	case len(h.idle) >= most:
		return errTooManyIdleHost
	}
	l.rest()
	l.idleAt = time.Now()
	p.enlist(l)
	if t.MaxIdleConns != 0 && p.idle > t.MaxIdleConns {
		p.dropIdle(p.oldest)
	}
	t.armSweep()
	return nil
}

// tooOld reports whether IdleConnTimeout has passed, by either clock: the monotonic one
// stands still while a machine sleeps, and the wall clock may be set back.
func (t *Transport) tooOld(l *link) bool {
	if t.IdleConnTimeout <= 0 {
		return false
	}
	now := time.Now()
	return max(now.Sub(l.idleAt), now.Round(0).Sub(l.idleAt.Round(0))) >= t.IdleConnTimeout
}

// dropIdle is drop for a connection that is idle. mu is held.
func (p *pool) dropIdle(l *link) {
	p.unlist(l)
	p.drop(l)
}

// enlist appends a link to the lists of idle links: the pool's and its host's. mu is held.
func (p *pool) enlist(l *link) {
	l.prev, l.next = p.newest, nil
	if p.newest != nil {
		p.newest.next = l
	} else {
		p.oldest = l
	}
	p.newest = l
	p.idle++
	l.host.idle = append(l.host.idle, l)
}

// unlist takes a link off both. mu is held.
func (p *pool) unlist(l *link) {
	if l.prev != nil {
		l.prev.next = l.next
	} else {
		p.oldest = l.next
	}
	if l.next != nil {
		l.next.prev = l.prev
	} else {
		p.newest = l.prev
	}
	l.prev, l.next = nil, nil
	p.idle--
	h := l.host
	if n := len(h.idle) - 1; h.idle[n] == l { // it mostly is, and the list may be long
		h.idle[n] = nil
		h.idle = h.idle[:n]
	} else {
		h.idle = without(h.idle, l)
	}
}

// sweepEvery is how long a connection that its server has closed may hold its descriptor
// while nobody wants it.
const sweepEvery = 10 * time.Second

// untilSweep returns how long it is until there will be something to do. There is an idle
// link, and mu is held.
func (t *Transport) untilSweep() time.Duration {
	if t.IdleConnTimeout <= 0 {
		return sweepEvery
	}
	return max(min(time.Until(t.pool.oldest.idleAt.Add(t.IdleConnTimeout)), sweepEvery), time.Millisecond)
}

// armSweep has sweep run while there are idle connections. mu is held.
func (t *Transport) armSweep() {
	if p := &t.pool; p.timer == nil && p.oldest != nil {
		p.timer = time.AfterFunc(t.untilSweep(), t.sweep)
	}
}

// sweep closes idle connections that are too old, or that their server has closed.
func (t *Transport) sweep() {
	p := &t.pool
	var probe []*link
	p.mu.Lock()
	p.timer = nil
	for l := p.oldest; l != nil; {
		next := l.next
		if t.tooOld(l) {
			p.dropIdle(l)
		} else {
			probe = append(probe, l)
		}
		l = next
	}
	p.unlock()
	for _, l := range probe {
		l.h.Probe() // without mu, for it takes time; it does no harm to one that was lent meanwhile
	}
	p.mu.Lock()
	for l := p.oldest; l != nil; {
		next := l.next
		if l.h.Err() != nil {
			p.dropIdle(l)
		}
		l = next
	}
	t.armSweep()
	p.unlock()
}

// CloseIdleConnections closes the connections that no request uses, and those that become
// idle before the next request, and ends dials that no request waits for. It also calls the
// method of that name of the RoundTrippers that were given to RegisterProtocol.
func (t *Transport) CloseIdleConnections() {
	p := &t.pool
	p.mu.Lock()
	p.closing = true
	for p.oldest != nil {
		p.dropIdle(p.oldest)
	}
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	for d := range p.dials {
		if len(d.host.waiting) == 0 {
			d.cancel()
		}
	}
	p.unlock()
	t.altMu.RLock()
	defer t.altMu.RUnlock()
	for _, rt := range t.alt {
		if c, ok := rt.(interface{ CloseIdleConnections() }); ok {
			c.CloseIdleConnections()
		}
	}
}
