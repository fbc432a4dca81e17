package peers

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"example.com/h1/h1http"
)

// client does it with http.Client on h1http: pipelined, against connections that end.
func client(t *testing.T, s *server) {
	tr := &h1http.Transport{Depth: 8, MaxConnsPerHost: 2}
	defer tr.CloseIdleConnections()
	hc := &http.Client{Transport: tr, Timeout: 20 * time.Second}
	fetch := func(url string, want []byte) error {
		resp, err := hc.Get(url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return same(url, resp.StatusCode, body, err, want)
	}
	addr := s.limited
	if addr == "" {
		addr = s.addr
	}
	workers(t, func(n int) error { return fetch("http://"+addr+target(n), fileBody(n)) })

	req, err := http.NewRequest("PUT", "http://"+s.addr+"/up/client", bytes.NewReader(big))
	must(t, err)
	resp, err := hc.Do(req)
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		t.Fatal(resp.Status)
	}
	must(t, fetch("http://"+s.addr+"/up/client", big))
}
