package h1

// fault_stream_test.go: a stream that fails at a byte, and a bubble for each case.
//
// Rule: the bytes moved are exactly those a case allows, and what a case leaves behind (a
// goroutine, a stream closed twice or never) is found with that case.

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A faultStream counts how often it is closed, can keep io.EOF to itself until it is asked
// again, and wakes a server that waits for what is written.
type faultStream struct {
	*wireStream
	apart  bool
	closes atomic.Int32
}

func (s *faultStream) Read(p []byte) (int, error) {
	n, err := s.wireStream.Read(p)
	if n > 0 && s.apart {
		err = nil
	}
	return n, err
}

func (s *faultStream) Write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.closed || s.outEnd:
			return n, net.ErrClosed
		case s.write.passed():
			return n, os.ErrDeadlineExceeded
		case s.werr != nil && s.werrIn == 0:
			return n, s.werr
		}
		room := min(len(p)-n, max(s.window-len(s.out), 0))
		if s.werr != nil {
			room = min(room, s.werrIn)
			s.werrIn -= room
		}
		if s.out = append(s.out, p[n:n+room]...); room > 0 {
			s.cond.Broadcast()
		}
		if n += room; n == len(p) {
			return n, nil
		}
		if room == 0 {
			s.cond.Wait()
		}
	}
}

func (s *faultStream) Close() error {
	s.closes.Add(1)
	return s.wireStream.Close()
}

func newFaultStream(mode string) *faultStream {
	return &faultStream{wireStream: newWireStream(mode == faultBytes), apart: mode == faultApart}
}

// over makes a connection over it.
func (s *faultStream) over(cfg *Config, plain bool) *Conn {
	if plain {
		return NewConn(wirePlain{s}, cfg)
	}
	return NewConn(s, cfg)
}

// breakWrites makes writes fail after n more bytes.
func (s *faultStream) breakWrites(n int, how string) {
	switch how {
	case faultEOF:
		s.failWrites(n, syscall.EPIPE)
	case faultReset:
		s.failWrites(n, syscall.ECONNRESET)
	case faultStall:
		s.change(func() { s.window = len(s.out) + n })
	}
}

// give gives the client b, and the fault along with it: no read comes between the two.
func (s *faultStream) give(b string, how string) {
	s.change(func() {
		if b != "" {
			s.packets = append(s.packets, []byte(b))
		}
		switch how {
		case faultEOF:
			s.rerr = io.EOF
		case faultReset:
			s.rerr = syscall.ECONNRESET
		}
	})
}

// written returns all that the client has written.
func (s *faultStream) written() (b string) {
	s.change(func() { b = string(s.out) })
	return b
}

// faultHang is longer than anything in a case takes by the clock of its bubble.
const faultHang = time.Hour

// bubble runs one case in a bubble and reports its failure. A case that hangs, or leaves
// a goroutine, ends the run of all: with its name, which the bubble does not know.
func bubble(t *testing.T, name fmt.Stringer, run func() error) {
	var err error
	before := runtime.NumGoroutine() + 2
	synctest.Test(t, func(*testing.T) {
		hang := time.AfterFunc(faultHang, func() { panic(fmt.Sprintf("hangs: %v\n%s", name, stacks())) })
		err = run()
		hang.Stop()
		synctest.Wait()
		if n := runtime.NumGoroutine(); n > before {
			// Others come and go in the runtime; those of a bubble say so. Three are testing's.
			if all := stacks(); strings.Count(all, ", synctest bubble") > 3 {
				panic(fmt.Sprintf("leaves a goroutine: %v (error %v)\n%s", name, err, all))
			}
		}
	})
	if err != nil {
		t.Errorf("%v\n%v", name, err)
	}
}

func stacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}

// A faultCount runs cases and stops after some failures: where one rule is broken,
// thousands of cases say so.
type faultCount struct {
	t      *testing.T
	n, bad int
}

const faultEnough = 8

func (k *faultCount) run(f faultCase) { k.runAny(f, f.run) }

func (k *faultCount) runAny(name fmt.Stringer, run func() error) {
	if k.bad >= faultEnough {
		return
	}
	k.n++
	bubble(k.t, name, func() error {
		err := run()
		if err != nil {
			k.bad++
		}
		return err
	})
}
