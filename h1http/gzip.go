package h1http

// gzip.go: the body of a response that came compressed because this package asked for it.
//
// Rule: nothing is read before the caller reads. A decompressor is borrowed from a pool,
// and given back at the end by whoever is certain that no Read is using it.

import (
	"compress/gzip"
	"io"
	"sync"
)

var gunzips sync.Pool // of *gzip.Reader

// gunzip is a Response.Body that decompresses.
type gunzip struct {
	body *body

	mu   sync.Mutex
	zr   *gzip.Reader
	err  error // what Read returns from now on
	busy bool  // a Read is under way, and may use zr without mu
}

// Read decompresses.
func (g *gunzip) Read(p []byte) (int, error) {
	if err := g.enter(); err != nil {
		return 0, err
	}
	n, err := g.read(p)
	g.leave(err)
	return n, err
}

// enter takes the decompressor for one Read.
func (g *gunzip) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.err != nil:
		return g.err
	case g.busy:
		return errConcurrentRead
	}
	g.busy = true
	return nil
}

// leave ends what enter began.
func (g *gunzip) leave(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy = false
	if g.err == nil {
		g.err = err
	}
	if g.err != nil { // perhaps by a Close, which has left the decompressor to this Read
		g.giveBack()
	}
}

func (g *gunzip) read(p []byte) (int, error) {
	if g.zr == nil {
		zr, _ := gunzips.Get().(*gzip.Reader)
		if zr == nil {
			zr = new(gzip.Reader)
		}
		g.zr = zr
		if err := zr.Reset(g.body); err != nil {
			return 0, err
		}
	}
	return g.zr.Read(p)
}

// giveBack gives the decompressor back to the pool. mu is held, and no Read is under way.
func (g *gunzip) giveBack() {
	if g.zr != nil {
		g.zr.Reset(nothing{}) // lets go of the body; it fails, and leaves zr fit for the next Reset
		gunzips.Put(g.zr)
		g.zr = nil
	}
}

// nothing is an empty flate.Reader: Reset makes no buffer for one.
type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }
func (nothing) ReadByte() (byte, error)  { return 0, io.EOF }

// Close closes the body.
func (g *gunzip) Close() error {
	g.mu.Lock()
	g.err = errReadAfterClose
	if !g.busy {
		g.giveBack()
	}
	g.mu.Unlock()
	return g.body.Close()
}
