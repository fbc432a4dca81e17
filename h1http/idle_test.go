package h1http

// idle_test.go: when a connection that is idle goes.

import (
	"bufio"
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// TestSweepIsInTime: an idle connection goes when IdleConnTimeout has passed; one that its
// server has closed within sweepEvery.
func TestSweepIsInTime(t *testing.T) {
	for _, k := range []struct {
		timeout time.Duration
		closed  bool // by the server, after a second
		want    time.Duration
	}{
		{time.Second / 2, false, time.Second / 2},
		{15 * time.Second, false, 15 * time.Second},
		{time.Hour, false, time.Hour},
		{time.Hour, true, sweepEvery},
		{0, true, sweepEvery},
	} {
		synctest.Test(t, func(t *testing.T) {
			tr := &Transport{IdleConnTimeout: k.timeout}
			tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go func() {
					defer theirs.Close()
					br := bufio.NewReader(theirs)
					readRequest(br)
					io.WriteString(theirs, okAnswer)
					if k.closed {
						time.Sleep(time.Second)
						return
					}
					io.Copy(io.Discard, br)
				}()
				return ours, nil
			}
			defer tr.CloseIdleConnections()
			get(t, tr, "http://x.example")
			time.Sleep(k.want - time.Millisecond)
			synctest.Wait()
			if idle, conns := tr.counts(""); idle != 1 || conns != 1 {
				t.Errorf("%+v: %d idle of %d before it is time", k, idle, conns)
			}
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
			if idle, conns := tr.counts(""); idle != 0 || conns != 0 {
				t.Errorf("%+v: %d idle of %d afterwards", k, idle, conns)
			}
		})
	}
}

// TestSpareIsNotKept: a connection that comes when its request has given up is not kept
// where none are.
func TestSpareIsNotKept(t *testing.T) {
	for name, k := range map[string]struct {
		set  func(*Transport)
		kept int
	}{
		"defaults":            {func(*Transport) {}, 1},
		"DisableKeepAlives":   {func(tr *Transport) { tr.DisableKeepAlives = true }, 0},
		"MaxIdleConnsPerHost": {func(tr *Transport) { tr.MaxIdleConnsPerHost = -1 }, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			url, tr := rawPipes(t, answers(okAnswer))
			dial := tr.DialContext
			tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				time.Sleep(time.Second)
				return dial(ctx, network, addr)
			}
			k.set(tr)
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			defer cancel()
			if _, err := tr.RoundTrip(newRequest(t, "GET", url, nil).WithContext(ctx)); err != context.DeadlineExceeded {
				t.Error(err)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if idle, conns := tr.counts(""); idle != k.kept || conns != k.kept {
				t.Errorf("%s: %d idle of %d", name, idle, conns)
			}
		})
	}
}
