// H1run makes two requests on one connection and shows what goes over the wire, in both
// directions, and how the connection's state moves.
//
//	h1run                          # a small server of its own, on loopback
//	h1run http://host:port/path    # GET, then POST, on that server
//
// It exits with status 1 unless both exchanges came to their end.
package main

// main.go: the two exchanges. Not here: how they are shown (wire.go, page.go), and the
// small server (server.go).

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"time"

	"example.com/h1"
)

// patience limits both exchanges together. A server may be slow, but nobody watches a
// terminal for longer.
const patience = 15 * time.Second

func main() {
	p := newPage(os.Stdout)
	if err := run(p, os.Args[1:]); err != nil {
		p.end("h1run: %v", err)
		os.Exit(1)
	}
}

// run is main without its exit: it asks the server that args name, or one of its own.
func run(p *page, args []string) error {
	switch {
	case len(args) > 1 || len(args) == 1 && (args[0] == "-h" || args[0] == "--help"):
		return errors.New("usage: h1run [http://host:port/path]")
	case len(args) == 1 && args[0] != "":
		return twoExchanges(p, args[0], "")
	}
	addr, stop, err := serve()
	if err != nil {
		return err
	}
	defer stop()
	return twoExchanges(p, "http://"+addr+"/greeting", ", a small server of h1run's own")
}

// twoExchanges makes a GET and a POST with the server at target; whose stands behind its
// address.
func twoExchanges(p *page, target, whose string) error {
	u, err := url.Parse(target)
	if err != nil {
		return fmt.Errorf("%q is not of the form http://host:port/path: %w", target, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	nc, err := dial(ctx, u)
	if err != nil {
		return err
	}
	w := newWire(nc, p)
	s := &session{page: p, conn: h1.NewConn(w, nil), url: u, deadline: time.Now().Add(patience)}
	defer s.conn.Close()

	p.title("Two requests on one connection to %s%s", u.Host, whose)
	p.legend("> what h1 writes, < what the server sends; at the left, the bytes of each call")
	p.legend("state: the write half, the read half, may it be used again, requests in flight")
	p.legend("")
	s.state("a new connection")
	if err := s.get(ctx); err != nil {
		return err
	}
	if err := s.conn.Ready().Wait(ctx); err != nil {
		return fmt.Errorf("there can be no second request on this connection: %w", err)
	}
	if err := s.post(ctx); err != nil {
		return err
	}
	n := s.conn.Stats()
	p.end("%d requests, %d responses, 1 connection: %d bytes in %d writes, %d bytes in %d reads.",
		n.Requests, n.Responses, n.BytesWritten, w.out.calls, n.BytesRead, w.in.calls)
	return nil
}

func dial(ctx context.Context, u *url.URL) (net.Conn, error) {
	port := u.Port()
	switch {
	case u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%q is not of the form http://host:port/path", u)
	case port == "" && u.Scheme == "http":
		port = "80"
	case port == "":
		port = "443"
	}
	addr := net.JoinHostPort(u.Hostname(), port)
	if u.Scheme == "http" {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
	// Asking for HTTP/1.1 by name keeps a server from choosing HTTP/2.
	d := tls.Dialer{Config: &tls.Config{NextProtos: []string{"http/1.1"}}}
	return d.DialContext(ctx, "tcp", addr)
}

// A session is the connection and what is shown of it.
type session struct {
	page     *page
	conn     *h1.Conn
	url      *url.URL
	deadline time.Time
	resp     h1.Response // of the exchange at hand
}

func (s *session) request(method string) *h1.Request {
	req := &h1.Request{Method: method, Target: s.url.RequestURI(), Host: s.url.Host, Deadline: s.deadline}
	req.Header.Add("User-Agent", "h1run")
	req.Header.Add("Accept", "*/*")
	return req
}

// get sends a request without a body.
func (s *session) get(ctx context.Context) error {
	req := s.request("GET")
	s.page.title("1. %s %s", req.Method, req.Target)
	x, err := s.conn.Send(ctx, req)
	if err != nil {
		return err
	}
	s.state("Send: the request is out")
	return s.finish(ctx, x)
}

// post sends a body in two writes, so that the state in between can be seen.
func (s *session) post(ctx context.Context) error {
	pieces := []string{"A body of known length,\n", "pushed in two pieces.\n"}
	req := s.request("POST")
	req.Header.Add("Content-Type", "text/plain")
	req.Push = true
	for _, piece := range pieces {
		req.ContentLength += int64(len(piece))
	}
	s.page.title("2. %s %s, on the same connection", req.Method, req.Target)
	x, err := s.conn.Send(ctx, req)
	if err != nil {
		return err
	}
	s.state("Send: the head is out, the body is not")
	for _, piece := range pieces {
		if _, err := io.WriteString(x, piece); err != nil {
			return err
		}
	}
	if err := x.CloseWrite(); err != nil {
		return err
	}
	s.state("CloseWrite: the body is out")
	return s.finish(ctx, x)
}

// finish waits for the response and reads its body to the end.
func (s *session) finish(ctx context.Context, x h1.Exchange) error {
	if err := x.Wait(ctx, &s.resp); err != nil {
		return err
	}
	s.state("Wait: the head; " + length(&s.resp))
	n, err := io.Copy(io.Discard, s.resp.Body)
	if err != nil {
		return err
	}
	note := fmt.Sprintf("Read: the end, after %d bytes", n)
	for name, value := range s.resp.Trailer.All() {
		note += clip(fmt.Sprintf(", %s=%s", name, value))
	}
	s.state(note)
	return nil
}

func length(resp *h1.Response) string {
	if resp.ContentLength < 0 {
		return "a body of unknown length"
	}
	return fmt.Sprintf("a body of %d bytes", resp.ContentLength)
}

func (s *session) state(why string) { s.page.state(s.conn.State().String(), why) }
