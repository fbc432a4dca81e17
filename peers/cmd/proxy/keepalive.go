package main

// keepalive.go: many requests, and on how many connections they go.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

const requests = 1000

// keepAlive has everything go over one connection on each side of the reverse proxy.
func keepAlive(_ context.Context, s *site) (string, error) {
	dials := s.fresh()
	conn := ""
	for n := 1; n <= requests; n++ {
		uri := fmt.Sprint("/uri?n=", n)
		resp, err := http.Get(s.url + uri)
		if err != nil {
			return "", err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != uri {
			return "", fmt.Errorf("%s: %q, %v", uri, body, err)
		}
		if n == 1 {
			conn = resp.Header.Get("X-Connection")
		}
		if c, r := resp.Header.Get("X-Connection"), resp.Header.Get("X-Requests"); c != conn || r != strconv.Itoa(n) {
			return "", fmt.Errorf("nginx had request %d as the %sth of its connection %s, not %s", n, r, c, conn)
		}
	}
	front, origin := dials()
	if front != 1 || origin != 1 {
		return "", fmt.Errorf("%d connections to the proxy, %d to nginx", front, origin)
	}
	return fmt.Sprintf("%d times http.Get: 1 connection to the proxy, 1 from there to nginx, which counted %d requests on it",
		requests, requests), nil
}

// ending has nginx end each connection after some requests. These are POSTs: nobody may
// send one again without knowing that it was not acted on.
func ending(ctx context.Context, s *site) (string, error) {
	dials := s.fresh()
	conns := map[string]int{}
	for n := range requests {
		uri := fmt.Sprint("/ending?n=", n)
		req, err := http.NewRequestWithContext(ctx, "POST", s.url+uri, strings.NewReader("some body"))
		if err != nil {
			return "", err
		}
		resp, body, err := fetch(http.DefaultClient, req)
		if err != nil || string(body) != uri {
			return "", fmt.Errorf("%s: %q, %v", uri, body, err)
		}
		conns[resp.Header.Get("X-Connection")]++
	}
	front, origin := dials()
	if want := requests / perConn; front != 1 || origin != want || len(conns) != want {
		return "", fmt.Errorf("%d connections to the proxy, %d to nginx, which saw %d", front, origin, len(conns))
	}
	return fmt.Sprintf("%d POSTs where nginx ends a connection after %d: all answered; 1 connection to the proxy, %d to nginx",
		requests, perConn, origin), nil
}

// concurrent has many callers at once, each with requests of three kinds.
func concurrent(ctx context.Context, s *site) (string, error) {
	const gets, size = 100, 1 << 20
	dials := s.fresh()
	var mu sync.Mutex
	var bad []error
	conns := map[string]bool{}
	saw := func(resp *http.Response) {
		mu.Lock()
		defer mu.Unlock()
		conns[resp.Header.Get("X-Connection")] = true
	}
	var wg sync.WaitGroup
	for g := range atOnce {
		wg.Go(func() {
			if err := s.caller(ctx, g, gets, size, saw); err != nil {
				mu.Lock()
				defer mu.Unlock()
				bad = append(bad, fmt.Errorf("goroutine %d: %w", g, err))
			}
		})
	}
	wg.Wait()
	if bad != nil {
		return "", errors.Join(bad...)
	}
	front, origin := dials()
	if front > atOnce || origin > atOnce || len(conns) > origin {
		return "", fmt.Errorf("%d connections to the proxy, %d to nginx, which saw %d", front, origin, len(conns))
	}
	return fmt.Sprintf("%d goroutines, each %d GETs and a file of %d KiB up and down: %d connections to the proxy, %d to nginx (at most %d)",
		atOnce, gets, size>>10, front, origin, atOnce), nil
}

// caller is one of those. Its Client has a Timeout, which reaches the Transport by another
// way than a context does.
func (s *site) caller(ctx context.Context, g, gets int, size int64, saw func(*http.Response)) error {
	hc := &http.Client{Timeout: patience}
	get := func(uri string) (*http.Response, []byte, error) {
		req, err := http.NewRequestWithContext(ctx, "GET", s.url+uri, nil)
		if err != nil {
			return nil, nil, err
		}
		resp, body, err := fetch(hc, req)
		if err == nil {
			saw(resp)
		}
		return resp, body, err
	}
	for n := range gets {
		uri := fmt.Sprintf("/uri?g=%d&n=%d", g, n)
		if _, body, err := get(uri); err != nil || string(body) != uri {
			return fmt.Errorf("%s: %q, %v", uri, body, err)
		}
	}
	name := fmt.Sprint("caller", g)
	if err := s.put(ctx, hc, name, size, nil); err != nil {
		return err
	}
	_, body, err := get("/up/" + name)
	if err != nil {
		return err
	}
	_, err = wants(strings.NewReader(string(body)), name, size)
	return err
}
