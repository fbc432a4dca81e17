package main

// content.go: what is sent, and how it is known again.

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
)

// content returns size bytes, the same each time for a name. There are letters in it alone,
// so that it can be compressed, to about half.
func content(name string, size int64) io.Reader {
	return io.LimitReader(letters{rand.NewChaCha8(sha256.Sum256([]byte(name)))}, size)
}

type letters struct{ random *rand.ChaCha8 }

func (l letters) Read(p []byte) (int, error) {
	l.random.Read(p)
	for i, b := range p {
		p[i] = 'a' + b&15
	}
	return len(p), nil
}

// digest is what contents are compared by.
type digest struct {
	size int64
	sum  [sha256.Size]byte
}

func (d digest) String() string { return fmt.Sprintf("%d bytes, SHA-256 %.4x...", d.size, d.sum) }

func digestOf(r io.Reader) (d digest, err error) {
	h := sha256.New()
	d.size, err = io.Copy(h, r)
	h.Sum(d.sum[:0])
	return d, err
}

// wants compares what came with what a name stands for.
func wants(r io.Reader, name string, size int64) (digest, error) {
	got, err := digestOf(r)
	if err != nil {
		return got, fmt.Errorf("after %d of %d bytes: %w", got.size, size, err)
	}
	return got, got.is(name, size)
}

func (d digest) is(name string, size int64) error {
	want, err := digestOf(content(name, size))
	if err == nil && d != want {
		err = fmt.Errorf("got %v, want %v", d, want)
	}
	return err
}

// stored compares the file that nginx has with what a name stands for.
func (s *site) stored(name string, size int64) (digest, error) {
	f, err := os.Open(filepath.Join(s.dir, "www/up", name))
	if err != nil {
		return digest{}, err
	}
	defer f.Close()
	return wants(f, name, size)
}

// put uploads what a name stands for, through the reverse proxy and to nginx, which must
// see it come as it was sent: with a length or without. prepare may change the request.
func (s *site) put(ctx context.Context, hc *http.Client, name string, size int64, prepare func(*http.Request)) error {
	req, err := http.NewRequestWithContext(ctx, "PUT", s.url+"/up/"+name, content(name, size))
	if err != nil {
		return err
	}
	if prepare != nil {
		prepare(req)
	}
	framing := "chunked"
	if req.ContentLength > 0 {
		framing = strconv.FormatInt(size, 10)
	}
	resp, body, err := fetch(hc, req)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusCreated:
		return fmt.Errorf("PUT %s: %s: %q", name, resp.Status, body)
	case resp.Header.Get("X-Framing") != framing:
		return fmt.Errorf("PUT %s: %q reached nginx, want %q", name, resp.Header.Get("X-Framing"), framing)
	}
	return nil
}

// fetch makes one exchange whose response is short.
func fetch(hc *http.Client, req *http.Request) (*http.Response, []byte, error) {
	resp, err := hc.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}
