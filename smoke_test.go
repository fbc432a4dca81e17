package h1

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"fmt"
	"bytes"
)

func TestSmoke(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Len", fmt.Sprint(len(b)))
		fmt.Fprintf(w, "hello %s %s %d", r.Method, r.URL, len(b))
	}))
	defer srv.Close()
	nc, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := NewConn(nc, &Config{Depth: 8})
	defer c.Close()
	var resp Response
	for i := 0; i < 3; i++ {
		if err := c.Do(context.Background(), &Request{Host: "x", Target: "/a"}, &resp); err != nil {
			t.Fatal(err)
		}
		b, err := resp.AppendBody(nil, -1)
		t.Logf("%d %q %v %v", resp.Status, b, err, c.State())
	}
	for _, n := range []int{0, 5, 5000, 100000, 3000000} {
		for k := 0; k < 3; k++ {
			req := &Request{Method: "POST", Host: "x", Target: "/p"}
			switch k {
			case 0:
				req.Body = strings.NewReader(strings.Repeat("x", n))
			case 1:
				req.Body = bytes.NewReader(make([]byte, n))
			case 2:
				req.Body = io.MultiReader(strings.NewReader(strings.Repeat("x", n)))
			}
			if err := c.Do(context.Background(), req, &resp); err != nil {
				t.Fatal(err)
			}
			b, err := resp.AppendBody(nil, -1)
			if err != nil || !strings.HasSuffix(string(b), fmt.Sprintf(" %d", n)) {
				t.Fatalf("%q %v %v", b, err, c.State())
			}
		}
	}
	var wg sync.WaitGroup
	for g := 0; g < 16; g++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var resp Response
			for i := 0; i < 500; i++ {
				target := fmt.Sprintf("/%d/%d", g, i)
				if err := c.Do(context.Background(), &Request{Host: "x", Target: target}, &resp); err != nil {
					t.Error(err)
					return
				}
				b, err := resp.AppendBody(nil, -1)
				if err != nil || !strings.Contains(string(b), target+" ") {
					t.Errorf("%q %v", b, err)
				}
			}
		}()
	}
	wg.Wait()
	t.Log(c.State(), c.Stats())
}
