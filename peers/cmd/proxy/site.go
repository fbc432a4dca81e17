package main

// site.go: nginx, the reverse proxy before it, the WebSocket server behind it, and the
// Transport that is the default one from then on.

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"example.com/h1/h1http"
	"example.com/h1/peers/internal/rig"
)

const (
	perConn = 100 // requests that a connection lasts for under /ending
	atOnce  = 32  // goroutines with requests, and connections to a host
)

// nginxConf: the responses of /chunked and /gzip have a trailer field; nginx sends chunks
// where there is one. It is announced under /chunked alone.
const nginxConf = `
	client_max_body_size 0;
	keepalive_requests 1000000;
	server {
		listen %[1]s;
		location /status { stub_status; }
		location /uri {
			add_header X-Connection $connection;
			add_header X-Requests $connection_requests;
			return 200 $request_uri;
		}
		location /ending {
			keepalive_requests %[4]d;
			add_header X-Connection $connection;
			add_header X-Requests $connection_requests;
			return 200 $request_uri;
		}
		location /up/ {
			dav_methods PUT;
			add_header X-Connection $connection;
			# $content_length would be what came, chunked or not; this is as it stood in the head
			add_header X-Framing $http_transfer_encoding$http_content_length;
		}
		location /chunked/ {
			alias %[2]s/www/up/;
			add_header Trailer X-Request-End;
			add_header X-Request-Id $request_id;
			add_trailer X-Request-End $request_id;
		}
		location /gzip/ {
			alias %[2]s/www/up/;
			gzip on;
			gzip_types *;
			gzip_proxied any;
			add_header X-Request-Id $request_id;
			add_trailer X-Request-End $request_id;
		}
		location /socket {
			proxy_pass http://%[3]s;
			proxy_http_version 1.1;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection upgrade;
		}
	}
`

// site is all that is needed for the steps.
type site struct {
	dir    string // nginx's
	nginx  *rig.Process
	origin string // its address
	front  *server
	back   *server
	url    string // of the reverse proxy
	before http.RoundTripper

	trailers  chan http.Header // what came to the reverse proxy behind a request's body
	socketEnd chan error       // of the WebSocket server

	mu     sync.Mutex
	dialed map[string]int // by h1http, for each address
	said   strings.Builder
}

// open starts everything and replaces the default Transport.
func open() (s *site, err error) {
	s = &site{dialed: map[string]int{}, before: http.DefaultTransport,
		trailers: make(chan http.Header, 1), socketEnd: make(chan error, 1)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "h1proxy"); err != nil {
		return s, err
	}
	for _, sub := range []string{"www/up", "tmp"} {
		if err = os.MkdirAll(filepath.Join(s.dir, sub), 0o755); err != nil {
			return s, err
		}
	}
	logger := log.New(s, "", 0)
	if s.back, err = serve(http.HandlerFunc(s.echo), logger); err != nil {
		return s, err
	}
	at, err := rig.Ports(1)
	if err != nil {
		return s, err
	}
	s.origin = at[0]
	s.nginx, err = rig.Nginx(s.dir, fmt.Sprintf(nginxConf, s.origin, s.dir, s.back.addr(), perConn), at)
	if err != nil {
		return s, err
	}
	to := &url.URL{Scheme: "http", Host: s.origin}
	proxy := &httputil.ReverseProxy{ErrorLog: logger, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	s.front, err = serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy.ServeHTTP(w, r)
		if len(r.Trailer) > 0 {
			s.trailers <- r.Trailer
		}
	}), logger)
	if err != nil {
		return s, err
	}
	s.url = "http://" + s.front.addr()
	http.DefaultTransport = &h1http.Transport{
		DialContext:           s.dial,
		MaxConnsPerHost:       atOnce,
		MaxIdleConnsPerHost:   atOnce,
		IdleConnTimeout:       90 * time.Second,
		ResponseHeaderTimeout: patience / 2, // http.Get has no context
	}
	return s, nil
}

// close ends whatever runs, and may be called again.
func (s *site) close() error {
	http.DefaultClient.CloseIdleConnections()
	http.DefaultTransport = s.before
	var bad []error
	for _, srv := range []*server{s.front, s.back} {
		if srv != nil {
			bad = append(bad, srv.Close())
		}
	}
	if s.nginx != nil {
		if said := s.nginx.Stop(); said != "" {
			bad = append(bad, fmt.Errorf("nginx said: %s", said))
		}
	}
	s.front, s.back, s.nginx = nil, nil, nil
	return errors.Join(append(bad, os.RemoveAll(s.dir))...)
}

// dial is the Transport's.
func (s *site) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, addr)
	if err == nil {
		s.mu.Lock()
		s.dialed[addr]++
		s.mu.Unlock()
	}
	return nc, err
}

// dials returns how many connections h1http has made to the reverse proxy and to nginx.
func (s *site) dials() (front, origin int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dialed[s.front.addr()], s.dialed[s.origin]
}

// fresh leaves no idle connection, and returns a function that says how many connections
// were made since.
func (s *site) fresh() func() (front, origin int) {
	http.DefaultClient.CloseIdleConnections()
	f0, o0 := s.dials()
	return func() (int, int) {
		f, o := s.dials()
		return f - f0, o - o0
	}
}

// Write is for what the servers complain of.
func (s *site) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.Write(p)
}

func (s *site) heard() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.said.Len() == 0 {
		return ""
	}
	return "\nthe servers said: " + s.said.String()
}

// server is an http.Server that counts its connections.
type server struct {
	*http.Server
	l *listener
}

func serve(h http.Handler, logger *log.Logger) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{&http.Server{Handler: h, ErrorLog: logger}, &listener{Listener: l}}
	go s.Serve(s.l)
	return s, nil
}

func (s *server) addr() string { return s.l.Addr().String() }

// listener counts the connections that are open, also those that speak HTTP no longer.
type listener struct {
	net.Listener
	open atomic.Int32
}

func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.open.Add(1)
	return &counted{TCPConn: nc.(*net.TCPConn), open: &l.open}, nil
}

type counted struct {
	*net.TCPConn
	once sync.Once
	open *atomic.Int32
}

func (c *counted) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.TCPConn.Close()
}
