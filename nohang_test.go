//go:build unix

package h1

// nohang_test.go: the server and the callers of pipe_test.go, over sockets that hold
// little.

import (
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// narrowEnds is narrowPair, as it is, with its deadlines alone, or under TLS.
func narrowEnds(t *testing.T, kind uint64) (client io.ReadWriteCloser, server net.Conn) {
	t.Helper()
	a, b := narrowPair(t)
	b.SetDeadline(time.Time{})
	switch kind {
	case 0:
		return a, b
	case 1:
		return wirePlain{a}, b
	}
	cfg := testTLS().Clone()
	cfg.InsecureSkipVerify = true
	return tls.Client(a, cfg), tls.Server(b, cfg)
}

// On a socket, too, nobody waits for ever.
func TestNoHangOnSocket(t *testing.T) {
	rounds := uint64(60)
	if testing.Short() || raceDetector {
		rounds = 15
	}
	var ok atomic.Int32
	for seed := range rounds {
		rnd := rand.New(rand.NewPCG(seed, 1))
		cfg := Config{Depth: 1 + rnd.IntN(4), WriteBuffer: 128 << rnd.IntN(12), MaxDrain: int64(rnd.IntN(3000))}
		client, server := narrowEnds(t, seed%3)
		w := pipeWorld{rand.New(rand.NewPCG(seed, 2)), &ok}
		served := make(chan struct{})
		go func() { w.serve(server); close(served) }()
		c := NewConn(client, &cfg)
		var all sync.WaitGroup
		for range 1 + rnd.IntN(6) {
			own := rand.New(rand.NewPCG(rnd.Uint64(), 3))
			all.Go(func() {
				for i := 0; i < 4 && c.Err() == nil; i++ {
					w.ask(t, c, own)
				}
			})
		}
		over := make(chan struct{})
		go func() { all.Wait(); close(over) }()
		select {
		case <-over:
		case <-time.After(tcpHang):
			t.Fatalf("seed %d: somebody hangs: %v, Err %v", seed, c.State(), c.Err())
		}
		c.Close()
		server.Close()
		<-served
	}
	if n := uint64(ok.Load()); n < rounds {
		t.Errorf("only %d responses in %d rounds", n, rounds)
	}
}
