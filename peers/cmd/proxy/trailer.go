package main

// trailer.go: trailers. Those of responses are nginx's own (add_trailer): nginx before
// 1.27.2 passes on none of a server behind it.

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// responseTrailers wants each trailer to be that of its response, which nginx names in its
// head too.
func responseTrailers(ctx context.Context, s *site) (string, error) {
	const name, size, each = "small", 10_000, 10
	if err := s.put(ctx, http.DefaultClient, name, size, nil); err != nil {
		return "", err
	}
	for n := range 2 * each {
		under := []string{"/chunked/", "/gzip/"}[n%2]
		req, err := http.NewRequestWithContext(ctx, "GET", s.url+under+name, nil)
		if err != nil {
			return "", err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err
		}
		_, announced := resp.Trailer["X-Request-End"]
		_, err = wants(resp.Body, name, size)
		resp.Body.Close()
		if err != nil {
			return "", err
		}
		id, got := resp.Header.Get("X-Request-Id"), resp.Trailer.Get("X-Request-End")
		if announced != (under == "/chunked/") || len(id) != 32 || got != id || resp.Header["X-Request-End"] != nil {
			return "", fmt.Errorf("%s: announced %v, trailer %q for request %q", under, announced, resp.Trailer, id)
		}
	}
	return fmt.Sprintf("nginx's X-Request-End came in resp.Trailer of %d responses that announced it, and of %d that did not (and were gzip)",
		each, each), nil
}

// requestTrailers sends one that is known only when the body has been read. It ends at the
// reverse proxy: httputil.ReverseProxy passes on that there will be one, and then none.
func requestTrailers(ctx context.Context, s *site) (string, error) {
	const name, size = "trailer", 1_000_000
	err := s.put(ctx, http.DefaultClient, name, size, func(req *http.Request) {
		req.Trailer = http.Header{"X-Sum": nil}
		d, _ := digestOf(content(name, size))
		req.Body = &withTrailer{ReadCloser: req.Body, at: func() { req.Trailer.Set("X-Sum", d.String()) }}
	})
	if err != nil {
		return "", err
	}
	select {
	case got := <-s.trailers:
		d, err := s.stored(name, size)
		if err == nil && got.Get("X-Sum") != d.String() {
			err = fmt.Errorf("%q for %v", got, d)
		}
		return "the reverse proxy got what was set when the body had been read; httputil.ReverseProxy passes none on", err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// withTrailer is a body that calls at when it was read to its end.
type withTrailer struct {
	io.ReadCloser
	at func()
}

func (b *withTrailer) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.at()
	}
	return n, err
}
