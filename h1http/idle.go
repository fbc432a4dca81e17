package h1http

// idle.go: what comes to an idle connection whose stream cannot be asked.
//
// Rule: the engine looks at a socket before each request, which costs nothing. A stream that hides its
// socket (a wrapper without SyscallConn), and any stream where the system has no such look, is read
// instead: by one goroutine, while the link is idle. What that brings, or the stream's end, costs
// the link, which is lent only once the goroutine has left with nothing.

import (
	"errors"
	"io"
	"net"
	"runtime"
	"syscall"
	"time"
)

// listener is the goroutine that reads an idle link.
type listener struct {
	left chan bool // of capacity 1: it has heard nothing until it was told to leave
}

// canAsk reports whether the engine finds a socket under a stream, and may look into it.
func canAsk(rw io.ReadWriteCloser) bool {
	switch runtime.GOOS {
	case "windows", "plan9", "js", "wasip1":
		return false
	}
	under := any(rw)
	if layer, ok := rw.(interface{ NetConn() net.Conn }); ok {
		under = layer.NetConn()
	}
	_, ok := under.(syscall.Conn)
	return ok
}

// listen begins to read a link that has become idle, if need be. mu of the pool is held.
func (p *pool) listen(l *link) {
	if l.asked || l.nc.SetReadDeadline(time.Time{}) != nil {
		return
	}
	heard := &listener{left: make(chan bool, 1)}
	l.heard = heard
	go func() {
		n, err := l.nc.Read(make([]byte, 1))
		heard.left <- n == 0 && isTimeout(err)
		p.mu.Lock()
		if l.heard == heard { // nobody has told it to leave
			p.unlist(l)
			p.drop(l)
		}
		p.unlock()
	}()
}

// isTimeout reports whether an error of a stream is that of a deadline, and not of a peer who was not heard
// of for too long.
func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout() && !errors.Is(err, syscall.ETIMEDOUT)
}

// mostHush is how long a listener may take to leave: on a stream whose deadlines do nothing it does not.
const mostHush = time.Second

// hush makes a listener leave, and reports whether it has heard nothing; nil is none.
func (l *link) hush(heard *listener) bool {
	if heard == nil {
		return true
	}
	l.nc.SetReadDeadline(aLongTimeAgo)
	late := time.NewTimer(mostHush)
	defer late.Stop()
	select {
	case nothing := <-heard.left:
		return l.nc.SetReadDeadline(time.Time{}) == nil && nothing
	case <-late.C:
		return false
	}
}
