package h1http

// tunnel.go: what a CONNECT comes to.
//
// Rule: the exchange goes on until the tunnel is closed: until then the request's context can end it,
// and the connection counts.

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// tunnel is the Body of a CONNECT's response: a stream, into which the request's body goes, as net/http has
// it, if there is one.
type tunnel struct {
	io.ReadWriteCloser
	link *link
	call *call
	late atomic.Bool // the context has ended, and the stream with it
	shut atomic.Bool // Close was called

	mu   sync.Mutex
	stop func() bool // takes cut back
}

// tunnelConn is a tunnel through a net.Conn, and is one.
type tunnelConn struct {
	net.Conn
	*tunnel
}

func (t tunnelConn) Read(p []byte) (int, error)  { return t.tunnel.Read(p) }
func (t tunnelConn) Write(p []byte) (int, error) { return t.tunnel.Write(p) }
func (t tunnelConn) Close() error                { return t.tunnel.Close() }

func newTunnel(l *link, c *call, stream io.ReadWriteCloser) io.ReadWriteCloser {
	t := &tunnel{ReadWriteCloser: stream, link: l, call: c}
	if c.into != nil {
		go func() {
			io.Copy(stream, readerFunc(c.into.read))
			c.into.close()
		}()
	}
	t.mu.Lock()
	t.stop = context.AfterFunc(c.ctx, t.cut)
	t.mu.Unlock()
	l.owner.tunneled(t)
	if nc, ok := stream.(net.Conn); ok {
		return tunnelConn{nc, t}
	}
	return t
}

// cut ends the tunnel with its request's context.
func (t *tunnel) cut() {
	t.late.Store(true)
	t.Close()
}

// why is the error of the tunnel for one of its stream's.
func (t *tunnel) why(err error) error {
	if err != nil && t.late.Load() {
		return context.Cause(t.call.ctx)
	}
	return err
}

func (t *tunnel) Read(p []byte) (int, error) {
	if t.shut.Load() { // something may be buffered
		return 0, t.why(net.ErrClosed)
	}
	n, err := t.ReadWriteCloser.Read(p)
	return n, t.why(err)
}

func (t *tunnel) Write(p []byte) (int, error) {
	if t.shut.Load() {
		return 0, t.why(net.ErrClosed)
	}
	n, err := t.ReadWriteCloser.Write(p)
	return n, t.why(err)
}

// CloseWrite closes the sending side, where the stream can do that.
func (t *tunnel) CloseWrite() error { return closeWrite(t.ReadWriteCloser) }

// Close closes the stream once: what it closes may call it again. The body comes last, for its Close may
// take its time; each Close sees to that, since what the body reads from is the caller's when it returns.
func (t *tunnel) Close() error {
	defer t.call.into.close()
	if t.shut.Swap(true) {
		return nil
	}
	err := t.ReadWriteCloser.Close()
	t.mu.Lock()
	stop := t.stop
	t.mu.Unlock()
	stop()
	t.link.over(t.call)
	return err
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
