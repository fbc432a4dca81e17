package h1

// file_test.go: how much of a file the kernel is handed at once.

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
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
