package h1

// wire_cut_test.go: every wire script once more, and again for every place at which its
// stream can break.
//
// Rule: what a script wants is not compared, for it wants another story. What must hold
// still: every call returns, every error agrees with itself, nothing is in flight after
// Close, and no goroutine stays (L23, L24).

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

// A wireCut is where and how a stream breaks.
type wireCut struct {
	at    int
	write bool  // the client's writes fail behind that many bytes; else its reads
	with  error // io.EOF: the server ends its side; else both sides break
	bytes bool  // reads give one byte
}

func (c wireCut) String() string {
	way := map[bool]string{true: "writes", false: "reads"}[c.write]
	return fmt.Sprintf("%s cut at %d with %v", way, c.at, c.with)
}

func TestWireCut(t *testing.T) {
	const most = 50 // places in a script, evenly spread where it has more
	files, err := filepath.Glob("testdata/wire/*.wire")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		sc, err := readWire(file)
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, s := range sc.steps {
			for _, p := range s.packets {
				total += len(p)
			}
		}
		t.Run(strings.TrimSuffix(sc.name, ".wire"), func(t *testing.T) {
			for at := 0; at < total && !t.Failed(); at += 1 + total/most {
				sc.cut(t, wireCut{at: at, with: io.EOF})
				sc.cut(t, wireCut{at: at, with: syscall.ECONNRESET, bytes: true})
			}
			for at := 0; at < most && !t.Failed(); at++ {
				sc.cut(t, wireCut{at: at, with: syscall.EPIPE, write: true})
			}
		})
	}
}

// cut runs a script on a stream that breaks.
func (sc *wireScript) cut(t *testing.T, cut wireCut) {
	err := sc.bubble(t, cut.String(), cut.bytes, func(r *wireRun) error {
		if cut.write {
			r.stream.failWrites(cut.at, cut.with)
		}
		var failed error
		left := cut.at
		for _, s := range sc.steps {
			r.line.Store(int64(s.line))
			switch {
			case s.verb == "<" && !cut.write:
				left = r.sendPart(s.packets, left, cut.with)
			case s.verb == ">" || s.verb == ">nothing":
			default:
				if err := r.step(s, 0); err != nil && wireNever(err) {
					failed = fmt.Errorf("%s:%d: %v: %w, %v", sc.name, s.line, cut, err, r.conn.State())
				}
			}
			synctest.Wait()
			r.stream.receive(1 << 20)
			if failed != nil {
				return failed
			}
		}
		r.conn.Close()
		if n := r.conn.Stats().InFlight; n != 0 {
			return fmt.Errorf("%s: %v: %d in flight after Close", sc.name, cut, n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// sendPart sends packets up to the place of the cut, where the stream breaks, and returns
// how far that is from there; less than 0: it has broken.
func (r *wireRun) sendPart(packets [][]byte, left int, with error) int {
	for _, p := range packets {
		if left < 0 {
			break
		}
		if len(p) <= left {
			r.stream.send(p)
			left -= len(p)
			continue
		}
		r.stream.send(p[:left])
		left = -1
		if with == io.EOF {
			r.stream.fail(io.EOF)
		} else {
			r.stream.reset()
		}
	}
	return left
}

// wireNever reports whether a step's failure is one that no story excuses.
func wireNever(err error) bool {
	for _, never := range []string{wireHangs, wireUnquoted, wireAtOdds, wirePanics} {
		if strings.Contains(err.Error(), never) {
			return true
		}
	}
	return false
}
