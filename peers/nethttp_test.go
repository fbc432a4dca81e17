package peers

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestNetHTTP(t *testing.T) {
	o := &origin{stored: map[string][]byte{}}
	s := &server{small: "/small/", upgrade: "/echo", trailer: "/trailer", served: o.served}
	s.addr, s.limited, s.idle = o.serve(t, 0, time.Minute), o.serve(t, limit, time.Minute), o.serve(t, 0, time.Second)
	s.proxy = s.addr
	suite(t, s)
}

// backend is net/http behind other servers.
func backend(t *testing.T) (o *origin, addr string) {
	o = &origin{stored: map[string][]byte{}}
	return o, o.serve(t, 0, time.Minute)
}

// An origin is an http.Handler that does all that a server is asked for.
type origin struct {
	mu     sync.Mutex
	stored map[string][]byte
	seen   []string // targets of GET on connections with a limit
}

type connKey struct{}

// serve listens until the test ends. A connection ends with its max-th request, if that is
// not 0, and after being idle.
func (o *origin) serve(t *testing.T, max int32, idle time.Duration) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	srv := &http.Server{
		IdleTimeout: idle,
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, new(atomic.Int32))
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if max != 0 {
				o.see(r)
				if r.Context().Value(connKey{}).(*atomic.Int32).Add(1) == max {
					w.Header().Set("Connection", "close")
				}
			}
			o.ServeHTTP(w, r)
		}),
	}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return l.Addr().String()
}

func (o *origin) see(r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = append(o.seen, r.URL.Path)
}

func (o *origin) served(*testing.T) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, chunked := strings.CutPrefix(r.URL.Path, "/chunked")
	switch {
	case r.Method == "CONNECT":
		out, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer out.Close()
		switched(w, "HTTP/1.1 200 OK\r\n\r\n", out)
	case r.URL.Path == "/echo" && r.Header.Get("Upgrade") == "echo":
		switched(w, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", nil)
	case r.URL.Path == "/trailer":
		http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Trailer", "X-Sum")
		w.(http.Flusher).Flush()
		io.Copy(w, r.Body)
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum"))
	case r.Method == "PUT":
		o.put(w, r)
	default:
		o.get(w, path, chunked)
	}
}

func (o *origin) put(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/small/") {
		if r.ContentLength > maxBody {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	}
	body, err := io.ReadAll(r.Body)
	if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	} else if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stored[r.URL.Path] = body
	w.WriteHeader(http.StatusCreated)
}

func (o *origin) get(w http.ResponseWriter, path string, chunked bool) {
	o.mu.Lock()
	body, ok := o.stored[path]
	o.mu.Unlock()
	if n, err := strconv.Atoi(strings.TrimPrefix(path, "/f/")); err == nil {
		body, ok = fileBody(n), true
	} else if path == "/big" {
		body, ok = big, true
	}
	switch {
	case !ok:
		http.Error(w, "nothing here", http.StatusNotFound)
		return
	case chunked:
		w.(http.Flusher).Flush()
	default:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.Write(body)
}

// switched speaks HTTP no longer: what comes goes to out, and comes from there; nil: back.
func switched(w http.ResponseWriter, head string, out io.ReadWriter) {
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer nc.Close()
	io.WriteString(nc, head)
	if out == nil {
		io.Copy(nc, rw)
		return
	}
	go io.Copy(out, rw)
	io.Copy(nc, out)
}
