package h1_test

// example_shared_test.go: one connection for many goroutines.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"

	"example.com/h1"
)

// Sharing: goroutines use one connection, and once that takes no more requests the next
// one. It is dropped then, and not closed: others may still wait for their responses on it,
// and it closes its stream when the last has been read.
func ExampleConn_Err() {
	var served atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if served.Add(1)%8 == 0 {
			w.Header().Set("Connection", "close")
		}
		io.WriteString(w, r.URL.Path)
	}))
	defer srv.Close()
	var mu sync.Mutex
	var shared *h1.Conn
	conn := func() *h1.Conn {
		mu.Lock()
		defer mu.Unlock()
		if shared == nil || shared.Err() != nil {
			shared = h1.NewConn(dial(srv), &h1.Config{Depth: 16})
		}
		return shared
	}
	fetch := func(req *h1.Request, resp *h1.Response) (body []byte, err error) {
		for range 20 {
			if err = conn().Do(context.Background(), req, resp); err == nil {
				return resp.AppendBody(nil, 1<<20)
			}
			var e *h1.Error
			if !errors.As(err, &e) || !e.Unprocessed() { // else no server has acted on it
				break
			}
		}
		return nil, err
	}
	var all sync.WaitGroup
	var good atomic.Int32
	for i := range 40 {
		all.Go(func() {
			path := fmt.Sprint("/", i)
			var resp h1.Response
			body, err := fetch(&h1.Request{Target: path, Host: "x"}, &resp)
			if err == nil && string(body) == path {
				good.Add(1)
			}
		})
	}
	all.Wait()
	conn().Shutdown(context.Background())
	fmt.Println(good.Load(), "answers,", served.Load(), "requests served")
	// Output:
	// 40 answers, 40 requests served
}
