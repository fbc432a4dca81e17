package main

// left.go: that nothing is left at the end.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"time"

	"example.com/h1/h1http"
)

// nothingLeft closes what is idle, and then everything. No connection may outlive the
// first, and no goroutine the second.
func nothingLeft(ctx context.Context, s *site, goroutines int) (string, error) {
	front, origin := s.dials()
	http.DefaultClient.CloseIdleConnections()
	var active int
	err := until(ctx, func() error {
		var err error
		if active, err = s.active(ctx); err != nil {
			return err
		}
		if f, b := s.front.l.open.Load(), s.back.l.open.Load(); f != 0 || b != 0 || active != 0 {
			return fmt.Errorf("open connections: %d to the proxy, %d to nginx, %d behind it", f, active, b)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if said := s.heard(); said != "" {
		return "", errors.New(said)
	}
	if err := s.close(); err != nil {
		return "", err
	}
	err = until(ctx, func() error {
		if n := runtime.NumGoroutine(); n > goroutines {
			stacks := make([]byte, 1<<20)
			return fmt.Errorf("%d goroutines, %d before:\n%s", n, goroutines, stacks[:runtime.Stack(stacks, true)])
		}
		return nil
	})
	return fmt.Sprintf("of %d connections to the proxy and %d to nginx none is open; %d goroutines, as before",
		front, origin, goroutines), err
}

// active asks nginx how many connections it has, over one that it does not count here.
func (s *site) active(ctx context.Context) (n int, err error) {
	nc, err := net.Dial("tcp", s.origin)
	if err != nil {
		return 0, err
	}
	c := h1http.NewConn(nc, nil)
	defer c.Close()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+s.origin+"/status", nil)
	if err != nil {
		return 0, err
	}
	_, body, err := fetch(&http.Client{Transport: c}, req)
	if err != nil {
		return 0, err
	}
	if _, err = fmt.Fscanf(bytes.NewReader(body), "Active connections: %d", &n); err != nil {
		return 0, fmt.Errorf("%q: %w", body, err)
	}
	return n - 1, nil
}

// until waits a while for something to be right, since ends of connections take their time.
func until(ctx context.Context, right func() error) (err error) {
	for range 250 {
		if err = right(); err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}
