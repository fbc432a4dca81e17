package h1http

// tunnel.go: the stream that a successful CONNECT leaves.
//
// Rule: the exchange goes on until the tunnel is closed: until then the request's context
// can end the tunnel, and the connection counts for the pool's limits.

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// tunnel is the Body of a CONNECT's response: the stream. The request's body, if there is
// one, is copied into it, as net/http does.
type tunnel struct {
	io.ReadWriteCloser
	link *link
	call *call
	late atomic.Bool // the context has ended, and the stream with it
	shut atomic.Bool // Close was called

	mu   sync.Mutex  // cut may run before newTunnel has set stop
	stop func() bool // has the context no longer call cut
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

// why returns the error of the tunnel for one of its stream: the cause, once the context
// has ended.
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

// Close closes the stream, the first time it is called. (Closing the body may call it
// again.) The body comes last, for its Close may take its time; each call waits for a Read
// of the body that is under way, for afterwards the memory that it reads may be the
// caller's again.
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
