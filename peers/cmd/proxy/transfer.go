package main

// transfer.go: bodies of 100 MB, which nginx keeps in files. Those that were uploaded are
// downloaded again.

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"
)

const bulk = 100_000_000

func uploadLength(ctx context.Context, s *site) (string, error) {
	return s.upload(ctx, "length", func(req *http.Request) { req.ContentLength = bulk })
}

func uploadChunked(ctx context.Context, s *site) (string, error) {
	return s.upload(ctx, "chunked", nil) // no length is known of it
}

func (s *site) upload(ctx context.Context, name string, prepare func(*http.Request)) (string, error) {
	began := time.Now()
	if err := s.put(ctx, http.DefaultClient, name, bulk, prepare); err != nil {
		return "", err
	}
	took := time.Since(began)
	d, err := s.stored(name, bulk)
	return fmt.Sprintf("nginx's file has %v: the same as was sent; %s", d, rate(took)), err
}

func downloadLength(ctx context.Context, s *site) (string, error) {
	return s.download(ctx, "/up/", "chunked", func(r *http.Response) bool {
		return r.ContentLength == bulk && r.TransferEncoding == nil
	})
}

func downloadChunked(ctx context.Context, s *site) (string, error) {
	return s.download(ctx, "/chunked/", "length", func(r *http.Response) bool {
		return r.ContentLength == -1 && slices.Equal(r.TransferEncoding, []string{"chunked"})
	})
}

func downloadGzip(ctx context.Context, s *site) (string, error) {
	return s.download(ctx, "/gzip/", "length", func(r *http.Response) bool {
		return r.ContentLength == -1 && r.Uncompressed
	})
}

func (s *site) download(ctx context.Context, under, name string, right func(*http.Response) bool) (string, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", s.url+under+name, nil)
	if err != nil {
		return "", err
	}
	began := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || !right(resp) {
		return "", fmt.Errorf("%s, length %d, coded %q, unpacked %v",
			resp.Status, resp.ContentLength, resp.TransferEncoding, resp.Uncompressed)
	}
	d, err := digestOf(resp.Body)
	took := time.Since(began)
	if err != nil {
		return "", fmt.Errorf("after %d bytes: %w", d.size, err)
	}
	return fmt.Sprintf("%v: the same as in nginx's file; %s", d, rate(took)), d.is(name, bulk)
}

// rate is of a bulk, the hashing of it included.
func rate(took time.Duration) string {
	return fmt.Sprintf("%.0f MB/s", bulk/1e6/took.Seconds())
}
