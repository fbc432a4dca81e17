package h1

// file_test.go: how much of a file the kernel is handed at once, and the end meanwhile.

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A pieceStream is a stream on which the kernel seems to move a file, at once what fits its
// buffer, and the rest at so many bytes a second.
type pieceStream struct {
	*tap
	room, rate int64
	pieces     []int64 // what it was handed, in mebibytes
}

func (s *pieceStream) ReadFrom(r io.Reader) (int64, error) {
	n := r.(*io.LimitedReader).N
	s.pieces = append(s.pieces, (n+1<<19)>>20)
	free := min(s.room, n)
	s.room -= free
	time.Sleep(time.Duration(n-free) * time.Second / time.Duration(s.rate))
	return n, nil
}

// A file goes out in longer pieces where it goes out fast; where it does not, it is still
// known after some mebibytes how far it has come.
func TestFilePieces(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Truncate(byHand)
	const mib = 1 << 20
	for _, k := range []struct {
		name       string
		size       int64
		room, rate int64
		want       []int64
	}{
		{"fast", 300, 0, 10 << 30, []int64{4, 8, 16, 32, 64, 64, 64, 48}},
		{"slow", 18, 0, mib, []int64{4, 4, 4, 4, 2}},
		{"in between", 50, 0, 240 * mib, []int64{4, 8, 12, 12, 12, 2}},
		{"slow behind a buffer", 34, 6 * mib, mib, []int64{4, 8, 4, 4, 4, 4, 4, 2}},
	} {
		f.Seek(0, io.SeekStart)
		inBubble(t, Config{}, false, func(r *rig) {
			s := &pieceStream{tap: r.s, room: k.room, rate: k.rate}
			r.c = NewConn(s, nil)
			r.c.kind = direct
			defer r.c.Close()
			x := r.begin(context.Background(),
				&Request{Method: "PUT", Target: "/a", Host: "x", Body: f, ContentLength: k.size*mib + byHand})
			r.await(x)
			time.Sleep(time.Minute)
			r.serve("/a")
			r.got(x, "/a")
			if !slices.Equal(s.pieces, k.want) {
				t.Errorf("%s: pieces of %d MiB, want %d", k.name, s.pieces, k.want)
			}
		})
	}
}

// A slowDisk is a socket to which the kernel moves a file that comes from a slow disk. It
// is as net's are: Close waits until the kernel is done with what it was handed, or may
// write no more.
type slowDisk struct {
	*tap
	shut, done chan struct{}
	r          *rig
}

func (s *slowDisk) ReadFrom(io.Reader) (int64, error) {
	defer close(s.done)
	select {
	case <-s.shut:
	case <-time.After(time.Hour):
	}
	return 0, syscall.EPIPE
}

// CloseWrite may have to wait for the socket, which the kernel may have locked: nobody is
// to wait for mu meanwhile.
func (s *slowDisk) CloseWrite() error {
	defer close(s.shut)
	for range 10000 {
		if s.r.c.mu.TryLock() {
			s.r.c.mu.Unlock()
			return nil
		}
		runtime.Gosched()
	}
	s.r.Error("mu is held while a half is closed")
	return nil
}

func (s *slowDisk) Close() error {
	err := s.tap.Close()
	<-s.done
	return err
}

// The end of a connection does not wait for a disk: neither with a response that ends it,
// nor in a call that does.
func TestSlowDisk(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for _, k := range []struct {
		name string
		end  func(*rig, Exchange)
		want Kind // 0: the response
	}{
		{"answered", func(r *rig, _ Exchange) { r.serve("/a") }, 0},
		{"Cancel", func(_ *rig, x Exchange) { x.Cancel() }, Canceled},
		{"Close", func(r *rig, _ Exchange) { r.c.Close() }, Closed},
		{"Shutdown", func(r *rig, _ Exchange) { r.c.Shutdown(over) }, Closed},
	} {
		inBubble(t, Config{}, false, func(r *rig) {
			r.c = NewConn(&slowDisk{r.s, make(chan struct{}), make(chan struct{}), r}, nil)
			r.c.kind = direct
			defer r.c.Close()
			x := r.begin(context.Background(),
				&Request{Method: "PUT", Target: "/a", Host: "x", Body: f, ContentLength: mostPiece})
			r.await(x)
			began := time.Now()
			k.end(r, x.x)
			for synctest.Wait(); !x.over.Load(); synctest.Wait() {
				time.Sleep(time.Minute)
			}
			if took := time.Since(began); took > 0 {
				t.Errorf("%s: it took %v", k.name, took)
			}
			if k.want == 0 {
				r.got(x, "/a")
			} else {
				r.failed(x, k.want, SentPart)
			}
		})
	}
}

// A file is not sent on behind a request whose response says close.
func TestFileBehindALastResponse(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	inBubble(t, Config{}, false, func(r *rig) {
		s := &pieceStream{tap: r.s, rate: leastPiece}
		r.c = NewConn(s, &Config{Depth: 4})
		r.c.kind = direct
		defer r.c.Close()
		r.warm()
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		b := r.begin(context.Background(),
			&Request{Method: "PUT", Target: "/b", Host: "x", Body: f, ContentLength: 10 * leastPiece})
		time.Sleep(time.Second / 2)
		r.raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n")
		r.await(b)
		r.failed(b, Closed, SentPart)
		time.Sleep(time.Minute)
		r.raw("/a")
		r.got(a, "/a")
		if len(s.pieces) != 1 {
			t.Errorf("%d pieces of the file, want 1", len(s.pieces))
		}
	})
}

// neverShut is a socket on which no half is to be closed.
type neverShut struct {
	*tap
	*testing.T
}

func (s neverShut) CloseWrite() error {
	s.Error("a half is closed")
	return nil
}

// A write that Close ends is not to find the write half shut before: that would be a
// SIGPIPE to the program, and a FIN to a server that is to see a RST.
func TestNoShutdown(t *testing.T) {
	inBubble(t, Config{}, false, func(r *rig) {
		r.c = NewConn(neverShut{r.s, r.T}, nil)
		r.c.kind = direct
		r.s.setWindow(100)
		x := r.begin(context.Background(),
			&Request{Method: "PUT", Target: "/a", Host: "x", Body: zeros{}, ContentLength: mostPiece})
		r.await(x)
		x.x.Cancel()
		r.failed(x, Canceled, SentPart)
	})
}
