// Proxy replaces http.DefaultTransport by h1http.Transport and puts it to use: http.Client
// in front of a reverse proxy (httputil.ReverseProxy) in front of nginx, where both the
// client and the reverse proxy know of no other Transport than the default.
//
//	http.Client --h1http--> httputil.ReverseProxy --h1http--> nginx --> a WebSocket server
//
// It prints a line for each thing that was done, with the figures seen, and exits with 1 at
// the first that went wrong. It needs nginx, and listens on loopback alone.
package main

// main.go: what is done, in which order. Not here: the servers (site.go), and each of the
// things done, in a file of its kind.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// patience is for all of it together.
const patience = time.Minute

func main() {
	// SIGPIPE too, as of "| head": nginx must be stopped by any end.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "proxy:", err)
		os.Exit(1)
	}
}

// A step is one thing that is done. It says what was seen.
type step struct {
	name string
	run  func(ctx context.Context, s *site) (saw string, err error)
}

var steps = []step{
	{"keep-alive", keepAlive},
	{"connections that end", ending},
	{"concurrent requests", concurrent},
	{"upload, with length", uploadLength},
	{"upload, chunked", uploadChunked},
	{"download, with length", downloadLength},
	{"download, chunked", downloadChunked},
	{"download, gzip", downloadGzip},
	{"trailers of responses", responseTrailers},
	{"trailers of requests", requestTrailers},
	{"WebSocket", webSocket},
}

// run does everything. Afterwards nothing is left of it.
func run(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	before := runtime.NumGoroutine()
	s, err := open()
	if err != nil {
		return err
	}
	defer s.close()
	last := step{"nothing is left", func(ctx context.Context, s *site) (string, error) { return nothingLeft(ctx, s, before) }}
	for _, st := range append(steps[:len(steps):len(steps)], last) {
		began := time.Now()
		saw, err := st.run(ctx, s)
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w%s", st.name, err, s.heard()), s.close())
		}
		fmt.Fprintf(out, "ok %-22s %5.2f s  %s\n", st.name, time.Since(began).Seconds(), saw)
	}
	return nil
}
