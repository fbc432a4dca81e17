package h1http_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"example.com/h1"
	"example.com/h1/h1http"
)

// Under http.Client, which adds redirects, cookies and a timeout.
func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s", r.URL.Query().Get("name"))
	}))
	defer server.Close()

	transport := &h1http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		IdleConnTimeout: 90 * time.Second,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}

	resp, err := client.Get(server.URL + "/?name=h1")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, string(body), err)
	// Output: 200 OK hello h1 <nil>
}

// One connection over a unix socket: no pool, no dialing, no second attempt.
func ExampleConn() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	listener, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "pong")
	})}
	go server.Serve(listener)
	defer server.Close()

	stream, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	conn := h1http.NewConn(stream, nil)
	defer conn.Close()
	client := &http.Client{Transport: conn}
	for range 2 {
		resp, err := client.Get("http://daemon/ping")
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Println(string(body), conn.Available())
	}
	fmt.Println(conn.Conn().Stats().Requests, "requests on one connection")
	// Output:
	// pong 1
	// pong 1
	// 2 requests on one connection
}

// Under httputil.ReverseProxy; Depth lets the requests of many clients share two
// connections to the server behind it.
func ExampleTransport_reverseProxy() {
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "from behind: ", r.URL.Path)
	}))
	defer behind.Close()
	to, err := url.Parse(behind.URL)
	if err != nil {
		log.Fatal(err)
	}
	transport := &h1http.Transport{Depth: 16, MaxConnsPerHost: 2}
	defer transport.CloseIdleConnections()
	front := httptest.NewServer(&httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
	})
	defer front.Close()

	resp, err := http.Get(front.URL + "/path")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(string(body), err)
	// Output: from behind: /path <nil>
}

// own is a RoundTripper written directly on the engine, for one server that is known: one
// connection, made when it is needed, and shared by pipelining. What [h1http.Transport]
// does beyond that is in its files.
type own struct {
	addr string
	mu   sync.Mutex
	conn *h1.Conn
}

// get returns the connection, a new one if the last has ended.
func (o *own) get(ctx context.Context) (*h1.Conn, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn == nil || o.conn.Err() != nil {
		var d net.Dialer
		stream, err := d.DialContext(ctx, "tcp", o.addr)
		if err != nil {
			return nil, err
		}
		o.conn = h1.NewConn(stream, &h1.Config{Depth: 8})
	}
	return o.conn, nil
}

func (o *own) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close() // the engine leaves it open; an upload that was answered ends here
	}
	conn, err := o.get(r.Context())
	if err != nil {
		return nil, err
	}
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	req := h1.Request{Method: r.Method, Target: r.URL.RequestURI(), Host: host, ContentLength: r.ContentLength}
	if r.Body != nil && r.Body != http.NoBody {
		req.Body = r.Body
	}
	for name, values := range r.Header {
		for _, v := range values {
			req.Header.Add(name, v)
		}
	}
	in := new(h1.Response)
	if err := conn.Do(r.Context(), &req, in); err != nil {
		return nil, err // an *h1.Error: it knows whether to try again
	}
	out := &http.Response{
		Status: fmt.Sprint(in.Status, " ", string(in.Reason())), StatusCode: in.Status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: in.Minor, Header: http.Header{},
		Body: in.Body, ContentLength: in.ContentLength, Close: in.Close, Request: r,
	}
	for name, value := range in.Header.All() {
		out.Header.Add(string(name), string(value))
	}
	return out, nil
}

// A RoundTripper of one's own, directly on h1.Conn.
func Example_ownRoundTripper() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %q", r.Method, r.URL, body)
	}))
	defer server.Close()

	rt := &own{addr: server.Listener.Addr().String()}
	client := &http.Client{Transport: rt}
	for _, text := range []string{"", "hi"} {
		resp, err := client.Post(server.URL+"/a", "text/plain", io.MultiReader(strings.NewReader(text)))
		if err != nil {
			log.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Println(resp.Status, string(body), err, rt.conn.Stats().Requests)
	}
	rt.conn.Close()
	// Output:
	// 200 OK POST /a "" <nil> 1
	// 200 OK POST /a "hi" <nil> 2
}
