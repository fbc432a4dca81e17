package h1

// early_test.go: responses that come before the request's body is over.
//
// Rule: in a bubble, with a stream that takes no more than a window of bytes before the
// server reads some, as a socket does; so what is on its way is known to the byte.

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
)

const (
	earlyWindow = 8 << 10
	earlyDrain  = 64 << 10 // Config.MaxDrain's default
)

// TestEarlyKnownLeft: after a response that came early, what is known to be left of the
// body decides, and bytes that nobody has taken are left, whatever buffer they are in (J1).
func TestEarlyKnownLeft(t *testing.T) {
	for _, size := range []int{earlyDrain, earlyDrain + earlyWindow, 4 * earlyDrain} {
		for _, kind := range []string{"memory", "buffer", "reader", "push"} {
			name := faultName(fmt.Sprintf("%d bytes, %s", size, kind))
			bubble(t, name, func() error { return earlyKnownLeft(size, kind) })
		}
	}
}

func earlyKnownLeft(size int, kind string) error {
	s := newFaultStream(faultWhole)
	s.setWindow(earlyWindow)
	c := s.over(nil, false)
	defer c.Close()
	data := make([]byte, size)
	req := &Request{Method: "POST", Host: "h", ContentLength: int64(size)}
	switch kind {
	case "memory":
		req.Body = bytes.NewReader(data)
	case "buffer":
		req.Body = bytes.NewBuffer(data)
	case "reader":
		req.Body = io.MultiReader(bytes.NewReader(data))
	case "push":
		req.Push = true
	}
	x, err := c.Send(context.Background(), req)
	if err != nil {
		return err
	}
	if req.Push {
		go x.Write(data)
	}
	synctest.Wait() // the window is full
	left := size - (len(s.written()) - bytes.Index([]byte(s.written()), []byte("\r\n\r\n")) - 4)
	s.send([]byte("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"))
	var r faultResult
	if r.end(x); r.err != nil || r.resp.Status != 413 || string(r.data) != "no" {
		return fmt.Errorf("got %d %q, error %w", r.resp.Status, r.data, r.err)
	}
	synctest.Wait()
	want := "wShut rShut noreuse n=0"
	if left <= earlyDrain {
		want = "wBody rIdle reuse n=0"
	}
	if got := c.State().String(); got != want {
		return fmt.Errorf("%d bytes are left, and the state is %s, want %s", left, got, want)
	}
	return nil
}
