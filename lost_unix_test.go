//go:build unix && !aix

package h1

// lost_unix_test.go: what looks like the end, while an upload's write is under way.

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A socket has lost its peer once the connection is gone; what is no socket never had one.
func TestLostPeer(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	raw, _ := r.SyscallConn()
	if lostPeer(raw) {
		t.Error("a pipe has lost its peer")
	}
	for _, network := range []string{"tcp", "unix"} {
		client, server := ends(t, network)
		for _, nc := range []net.Conn{client, server} {
			raw, _ := nc.(syscall.Conn).SyscallConn()
			if lostPeer(raw) {
				t.Errorf("%s: lost", network)
			}
		}
	}
}

// descriptor is a RawConn of no connection.
type descriptor struct {
	syscall.RawConn
	fd uintptr
}

func (d descriptor) Control(f func(fd uintptr)) error {
	f(d.fd)
	return nil
}

// A socket without a peer has an error for the write under way, or has told it that error
// already. So the end waits for the write, but for no longer than graceAfterWriteError.
func TestEndWaitsForWrite(t *testing.T) {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(socket)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	const later = 10 * time.Millisecond
	returns := func(r *rig) { r.s.setWindow(wireWindow) }
	fails := func(r *rig) { r.s.failWrites(0, syscall.ECONNRESET) }
	lasts := func(*rig) {}
	for name, c := range map[string]struct {
		fd    uintptr
		write func(*rig)
		waits time.Duration
		lost  bool
	}{
		"returns": {uintptr(socket), returns, later, false},
		"fails":   {uintptr(socket), fails, later, true},
		"lasts":   {uintptr(socket), lasts, graceAfterWriteError, false},
		"a pipe":  {r.Fd(), lasts, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{}, false, func(r *rig) {
				r.s.setWindow(100)
				body := struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 10<<10))}
				k := r.begin(context.Background(), &Request{Method: "PUT", Host: "x", Body: body})
				r.raw("HTTP/1.1 413 Too Large\r\n\r\nwhole")
				r.await(k)
				r.c.sock = descriptor{fd: c.fd}
				time.AfterFunc(later, func() { c.write(r) })
				began := time.Now()
				r.s.fail(io.EOF)
				for synctest.Wait(); !k.over.Load() && time.Since(began) < time.Second; synctest.Wait() {
					time.Sleep(time.Millisecond)
				}
				if took := time.Since(began); took != c.waits {
					r.Errorf("the end has waited for %v", took)
				}
				if c.lost {
					r.failed(k, Incomplete, SentPart)
				} else {
					r.got(k, "whole")
				}
				r.dead()
			})
		})
	}
}
