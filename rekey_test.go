//go:build unix

package h1

// rekey_test.go: TLS that writes while it reads, for the server asks it to change its
// keys, and a server that reads nothing of that.
//
// Rule: what is asserted is that a call returns; the time until it is given up decides
// nothing else.

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A rekeyer writes a server's records (RFC 8446, section 5.2) with the keys that its
// handshake has logged.
type rekeyer struct {
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

func expandLabel(secret []byte, label string, n int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(append(info, byte(len("tls13 "+label))), "tls13 "+label...)
	out, err := hkdf.Expand(sha256.New, secret, string(append(info, 0)), n)
	if err != nil {
		panic(err)
	}
	return out
}

func (k *rekeyer) use(secret []byte) {
	k.secret, k.seq = secret, 0
	block, _ := aes.NewCipher(expandLabel(secret, "key", 16))
	k.aead, _ = cipher.NewGCM(block)
	k.iv = expandLabel(secret, "iv", 12)
}

const (
	recordHandshake = 22
	recordData      = 23
)

func (k *rekeyer) record(dst []byte, kind byte, data string) []byte {
	inner := append([]byte(data), kind)
	head := binary.BigEndian.AppendUint16([]byte{recordData, 3, 3}, uint16(len(inner)+16))
	nonce := bytes.Clone(k.iv)
	for i := range 8 {
		nonce[4+i] ^= byte(k.seq >> (56 - 8*i))
	}
	k.seq++
	return k.aead.Seal(append(dst, head...), nonce, inner, head)
}

// updates asks n times for new keys, which a client has to answer.
func (k *rekeyer) updates(n int) (out []byte) {
	for range n {
		out = k.record(out, recordHandshake, "\x18\x00\x00\x01\x01")
		k.use(expandLabel(k.secret, "traffic upd", 32))
	}
	return out
}

// rekeying returns a connection over TLS, and what writes for its server.
func rekeying(t *testing.T, cfg *Config) (c *Conn, under *fullSocket, server *tls.Conn, raw net.Conn, k *rekeyer) {
	t.Helper()
	a, raw := ends(t, "tcp")
	under = &fullSocket{TCPConn: a.(*net.TCPConn)}
	client, server, k := shaken(t, under, raw)
	c = NewConn(client, cfg)
	t.Cleanup(func() { under.Close(); c.Close() })
	return c, under, server, raw, k
}

// shaken makes a client and a server of TLS, and what writes records as that server does.
func shaken(t *testing.T, a, b net.Conn) (client, server *tls.Conn, k *rekeyer) {
	t.Helper()
	var log strings.Builder
	with := testTLS().Clone()
	with.MinVersion, with.SessionTicketsDisabled, with.KeyLogWriter = tls.VersionTLS13, true, &log
	server = tls.Server(b, with)
	client = tls.Client(a, &tls.Config{InsecureSkipVerify: true})
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := client.ConnectionState().CipherSuite; got != tls.TLS_AES_128_GCM_SHA256 {
		t.Skipf("the cipher is %v, and this server knows one", tls.CipherSuiteName(got))
	}
	k = &rekeyer{}
	for _, line := range strings.Split(log.String(), "\n") {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "SERVER_TRAFFIC_SECRET_0" {
			secret, _ := hex.DecodeString(f[2])
			k.use(secret)
		}
	}
	return client, server, k
}

// A fullSocket takes no more, once that is said: its peer reads nothing.
type fullSocket struct {
	*net.TCPConn
	full, closed atomic.Bool
	by           atomic.Int64
}

func (s *fullSocket) Write(p []byte) (int, error) {
	for s.full.Load() {
		if by := s.by.Load(); by != 0 && time.Now().UnixNano() > by {
			return 0, os.ErrDeadlineExceeded
		}
		if s.closed.Load() {
			return 0, net.ErrClosed
		}
		time.Sleep(time.Millisecond)
	}
	return s.TCPConn.Write(p)
}

func (s *fullSocket) Close() error { s.closed.Store(true); return s.TCPConn.Close() }

func (s *fullSocket) SetWriteDeadline(t time.Time) error {
	s.by.Store(0)
	if !t.IsZero() {
		s.by.Store(t.UnixNano())
	}
	return s.TCPConn.SetWriteDeadline(t)
}

func (s *fullSocket) SetDeadline(t time.Time) error {
	s.SetWriteDeadline(t)
	return s.SetReadDeadline(t)
}

// returns checks that a call does.
func returns(t *testing.T, f func() error) (err error) {
	t.Helper()
	over := make(chan error, 1)
	go func() { over <- f() }()
	select {
	case err = <-over:
	case <-time.After(10 * time.Second):
		t.Fatal("the call hangs")
	}
	return err
}

// A read that writes ends in its time.
func TestReadThatWrites(t *testing.T) {
	const limit = 100 * time.Millisecond
	for _, name := range []string{"Deadline", "HeadTimeout", "StallTimeout", "body", "context"} {
		t.Run(name, func(t *testing.T) {
			cfg, req, ctx := &Config{}, get("/"), context.Background()
			head := "HTTP/1.1 200 OK\r\nX: "
			switch name {
			case "Deadline":
				req.Deadline = time.Now().Add(limit)
			case "body":
				req.Deadline = time.Now().Add(limit)
				head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8000\r\n"
			case "HeadTimeout":
				cfg.HeadTimeout = limit
			case "StallTimeout":
				cfg.StallTimeout = limit
			case "context":
				var stop func()
				ctx, stop = context.WithTimeout(ctx, limit)
				defer stop()
			}
			c, under, server, raw, k := rekeying(t, cfg)
			go func() {
				server.Read(make([]byte, 4096))
				under.full.Store(true)
				out := k.record(nil, recordData, head)
				for range 10 {
					out = k.record(append(out, k.updates(1)...), recordData, "a")
				}
				raw.Write(out)
			}()
			err := returns(t, func() error {
				var resp Response
				err := c.Do(ctx, req, &resp)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
				}
				return err
			})
			if err == nil { // the time that is over, or what TLS makes of a write that was
				t.Error("a response that is not whole")
			}
		})
	}
}

// A look at an idle connection ends in time, too, even if TLS has read ahead what it has to
// answer; and nobody else waits for it.
func TestLookThatWrites(t *testing.T) {
	for _, ahead := range []bool{false, true} {
		for name, act := range map[string]func(*Conn, context.Context) error{
			"Probe": func(c *Conn, _ context.Context) error { c.Probe(); return nil },
			"Send": func(c *Conn, ctx context.Context) error {
				c.Send(ctx, get("/"))
				return nil
			},
			"Watch":    func(c *Conn, ctx context.Context) error { c.Watch(ctx); return nil },
			"Close":    func(c *Conn, _ context.Context) error { go c.Probe(); waitsForLock(); return c.Close() },
			"Shutdown": func(c *Conn, ctx context.Context) error { go c.Probe(); waitsForLock(); return c.Shutdown(ctx) },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c, under, server, raw, k := rekeying(t, nil)
				go func() {
					server.Read(make([]byte, 4096))
					out := k.record(nil, recordData, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					if ahead {
						under.full.Store(true)
						out = append(out, k.updates(1)...)
					}
					raw.Write(out)
				}()
				if err := c.Do(context.Background(), get("/"), &Response{}); err != nil {
					t.Fatal(err)
				}
				if !ahead {
					under.full.Store(true)
					raw.Write(k.updates(1))
					until(c, func() bool { _, n, _ := peek(c.sock); return n > 0 })
				}
				ctx, stop := context.WithTimeout(context.Background(), 100*time.Millisecond)
				defer stop()
				returns(t, func() error { return act(c, ctx) })
				returns(t, func() error { return c.Err() })
			})
		}
	}
}

// inDeafBubble runs f on a stream like TLS whose reads may write for ever, to a server
// that does not read.
func inDeafBubble(t *testing.T, cfg Config, f func(r *rig, s *deafened)) {
	t.Helper()
	inBubble(t, cfg, false, func(r *rig) {
		s := &deafened{tap: r.s}
		r.c = NewConn(s, &cfg)
		defer r.c.Close()
		f(r, s)
	})
}

// A deafened stream is TLS over one that takes no more once it is deaf, and in whose Read
// it then writes.
type deafened struct {
	*tap
	net.Conn // none
	deaf     atomic.Bool
	closed   atomic.Bool
}

func (s *deafened) NetConn() net.Conn                  { return underDeaf{s: s} }
func (s *deafened) Write(p []byte) (int, error)        { return s.tap.Write(p) }
func (s *deafened) SetDeadline(t time.Time) error      { return s.tap.SetDeadline(t) }
func (s *deafened) SetReadDeadline(t time.Time) error  { return s.tap.SetReadDeadline(t) }
func (s *deafened) SetWriteDeadline(t time.Time) error { return s.tap.SetWriteDeadline(t) }
func (s *deafened) Close() error                       { return s.tap.Close() }

func (s *deafened) Read(p []byte) (int, error) {
	for s.deaf.Load() {
		if s.closed.Load() {
			return 0, net.ErrClosed
		}
		time.Sleep(time.Millisecond)
	}
	return s.tap.Read(p)
}

type underDeaf struct {
	net.Conn // none
	s        *deafened
}

func (u underDeaf) Close() error {
	u.s.closed.Store(true)
	return nil
}

// One who has stopped waiting for a read that writes does not leave those behind in it,
// whatever it was that ended its wait.
func TestReadThatWritesInFront(t *testing.T) {
	for _, name := range []string{"Deadline", "context", "Cancel", "HeadTimeout"} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Depth: 2}
			if name == "HeadTimeout" {
				cfg.HeadTimeout = time.Second
			}
			inDeafBubble(t, cfg, func(r *rig, s *deafened) {
				r.warm()
				s.deaf.Store(true)
				ctx, req := context.Background(), get("/a")
				switch name {
				case "Deadline":
					req.Deadline = time.Now().Add(time.Second)
				case "context":
					var stop func()
					ctx, stop = context.WithTimeout(ctx, time.Second)
					defer stop()
				}
				start := time.Now()
				a := r.begin(ctx, req)
				r.await(a)
				b := r.begin(context.Background(), get("/b"))
				r.await(b)
				if name == "Cancel" {
					time.Sleep(time.Second)
					a.x.Cancel()
				}
				time.Sleep(time.Minute - time.Since(start))
				kind := Timeout
				if name == "Cancel" {
					kind = Canceled
				}
				r.failed(a, kind, SentAll)
				r.failed(b, Closed, SentAll)
				r.dead()
			})
		})
	}
}

// A read is given time to return when its own time is over, and the connection is spared
// if it does.
func TestReadThatWritesInTime(t *testing.T) {
	inDeafBubble(t, Config{Depth: 2}, func(r *rig, s *deafened) {
		r.warm()
		s.deaf.Store(true)
		req := get("/a")
		req.Deadline = time.Now().Add(time.Second)
		a := r.begin(context.Background(), req)
		r.await(a)
		b := r.begin(context.Background(), get("/b"))
		r.await(b)
		time.Sleep(time.Second + graceBeforeClose/2)
		s.deaf.Store(false)
		time.Sleep(graceBeforeClose / 4)
		r.failed(a, Timeout, SentAll)
		r.serve("/a", "/b")
		r.got(b, "/b")
		time.Sleep(time.Minute)
		r.alive()
	})
}

// The time of a handshake in a write is that of a read which has begun before it, too.
func TestHandshakeBehindARead(t *testing.T) {
	inDeafBubble(t, Config{StallTimeout: time.Second}, func(r *rig, s *deafened) {
		c := r.c
		c.mu.Lock()
		defer c.mu.Unlock()
		e := c.newExchange(context.Background(), get("/a"), new(asked))
		c.reader, e.inUse, e.start, e.end = e, true, 0, 10
		c.beginRead()
		c.writing = true
		c.beginWrite(e)
		if want := time.Now().Add(time.Second); !c.readBy.Equal(want) || !e.recv.until.Equal(want) || e.recv.why != whyStall {
			t.Errorf("the read is limited by %v (%v, %v)", c.readBy, e.recv.until, e.recv.why)
		}
	})
}

// Shutdown whose context ends has the calls in flight fail by it, not by a stream that
// breaks.
func TestShutdownUnderTLS(t *testing.T) {
	inDeafBubble(t, Config{}, func(r *rig, s *deafened) {
		ctx, cancel := context.WithCancel(context.Background())
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		down := make(chan error, 1)
		go func() { down <- r.c.Shutdown(ctx) }()
		synctest.Wait()
		cancel()
		wantError(t, <-down, Canceled, SentNothing)
		r.failed(a, Closed, SentAll)
		if !s.closed.Load() {
			t.Error("TLS was to close the stream")
		}
	})
}

// A look that dwells ends the connection, whoever comes, goes or waits for it meanwhile;
// one that returns in time does not, nor do many of them.
func TestLookThatDwells(t *testing.T) {
	for name, act := range map[string]func(r *rig, s *deafened, ctx context.Context) bool{
		"Probe":            func(r *rig, _ *deafened, _ context.Context) bool { return r.c.Probe() != nil },
		"Send and its end": func(r *rig, _ *deafened, ctx context.Context) bool { return r.c.Do(ctx, get("/a"), &Response{}) != nil },
		"Send and Deadline": func(r *rig, _ *deafened, ctx context.Context) bool {
			return r.c.Do(ctx, soon("/a", time.Hour), &Response{}) != nil
		},
		"one in line": func(r *rig, _ *deafened, ctx context.Context) bool {
			go r.c.Probe()
			synctest.Wait()
			return r.c.Do(context.Background(), soon("/a", time.Hour), &Response{}) != nil
		},
		"one canceled in line": func(r *rig, _ *deafened, ctx context.Context) bool {
			go r.c.Probe()
			synctest.Wait()
			err := r.c.Do(ctx, soon("/a", time.Hour), &Response{})
			time.Sleep(graceBeforeClose/2 + time.Millisecond)
			return err != nil
		},
		"after a Deadline": func(r *rig, s *deafened, _ context.Context) bool {
			s.deaf.Store(false)
			r.c.Probe()
			time.AfterFunc(time.Millisecond, func() { r.serve("/a") })
			if _, err := fetch(r.c, soon("/a", time.Hour)); err != nil {
				r.Fatal(err)
			}
			s.deaf.Store(true)
			return r.c.Probe() != nil
		},
		"many": func(r *rig, s *deafened, _ context.Context) bool {
			for i := range 100 {
				s.deaf.Store(true)
				time.AfterFunc(graceBeforeClose-10*time.Millisecond, func() { s.deaf.Store(false) })
				if err := r.c.Probe(); err != nil {
					r.Errorf("look %d: %v", i, err)
				}
				time.Sleep(time.Duration(i) * time.Millisecond)
			}
			s.deaf.Store(true)
			return r.c.Probe() != nil
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			inDeafBubble(t, Config{}, func(r *rig, s *deafened) {
				r.next("/warm")
				r.c.sock, r.c.kind = noRaw{}, layered
				s.deaf.Store(true)
				ctx, stop := context.WithTimeout(context.Background(), graceBeforeClose*3/2)
				defer stop()
				time.AfterFunc(10*time.Second*100, func() { s.closed.Store(true) })
				start := time.Now()
				if !act(r, s, ctx) {
					t.Error("the look found nothing")
				}
				if took := time.Since(start); took > 2*graceBeforeClose+10*time.Millisecond && name != "many" {
					t.Errorf("it took %v", took)
				}
				if !errors.Is(r.c.Err(), Closed) {
					t.Error(r.c.Err())
				}
				time.Sleep(time.Minute)
				r.dead()
			})
		})
	}
}

// TLS may lie in TLS, as with a proxy that is spoken to through it: what lies at the
// bottom is closed.
func TestReadThatWritesInTwoLayers(t *testing.T) {
	for _, name := range []string{"Deadline", "context", "Shutdown"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, under, server, update := rekeyingTwice(t)
			req, ctx := get("/"), context.Background()
			limited, stop := context.WithTimeout(ctx, 100*time.Millisecond)
			defer stop()
			switch name {
			case "Deadline":
				req.Deadline = time.Now().Add(100 * time.Millisecond)
			case "context":
				ctx = limited
			}
			go func() {
				server.Read(make([]byte, 4096))
				under.full.Store(true)
				update()
				if name == "Shutdown" {
					c.Shutdown(limited)
				}
			}()
			if err := returns(t, func() error { return c.Do(ctx, req, &Response{}) }); err == nil {
				t.Error("a response that nobody sent")
			}
			returns(t, c.Close)
		})
	}
}

// A layer may name none below it.
func TestReadThatWritesOverALayer(t *testing.T) {
	a, raw := ends(t, "tcp")
	under := &fullSocket{TCPConn: a.(*net.TCPConn)}
	client, server, k := shaken(t, namesNone{under}, raw)
	c := NewConn(client, nil)
	t.Cleanup(func() { under.Close(); c.Close() })
	go func() {
		server.Read(make([]byte, 4096))
		under.full.Store(true)
		raw.Write(k.updates(1))
	}()
	returns(t, func() error { return c.Do(context.Background(), soon("/", 100*time.Millisecond), &Response{}) })
}

type namesNone struct{ *fullSocket }

func (namesNone) NetConn() net.Conn { return nil }

// rekeyingTwice is rekeying for TLS in TLS; update has the outermost layer's server ask
// for new keys.
func rekeyingTwice(t *testing.T) (c *Conn, under *fullSocket, server *tls.Conn, update func()) {
	t.Helper()
	a, raw := ends(t, "tcp")
	under = &fullSocket{TCPConn: a.(*net.TCPConn)}
	counted := &recordCounter{Conn: raw}
	client, proxy, k := shaken(t, under, counted)
	counted.counts.Store(true)
	client, server, _ = shaken(t, client, proxy)
	c = NewConn(client, nil)
	t.Cleanup(func() { under.Close(); c.Close() })
	return c, under, server, func() {
		k.seq = counted.n.Load()
		raw.Write(k.updates(1))
	}
}

// A recordCounter counts the records of TLS that are written through it.
type recordCounter struct {
	net.Conn
	counts atomic.Bool
	n      atomic.Uint64
}

func (c *recordCounter) Write(p []byte) (int, error) {
	for q := p; c.counts.Load() && len(q) >= 5; q = q[5+int(q[3])<<8+int(q[4]):] {
		c.n.Add(1)
	}
	return c.Conn.Write(p)
}

// What a look, or a read, was ended by is what the connection says: nobody's time was over.
func TestReadThatWritesIsCanceled(t *testing.T) {
	inDeafBubble(t, Config{Depth: 2}, func(r *rig, s *deafened) {
		r.warm()
		s.deaf.Store(true)
		a := r.begin(context.Background(), get("/a"))
		r.await(a)
		b := r.begin(context.Background(), get("/b"))
		r.await(b)
		a.x.Cancel()
		time.Sleep(time.Minute)
		r.failed(a, Canceled, SentAll)
		r.failed(b, Closed, SentAll)
		wantError(t, r.c.Err(), Canceled, SentAll)
		if errors.Is(b.err, Timeout) {
			t.Error(b.err)
		}
	})
}

// A request whose time is over when a look has ended is not begun, and costs nothing.
func TestDeadlineInALook(t *testing.T) {
	for _, depth := range []int{1, 2} {
		inDeafBubble(t, Config{Depth: depth}, func(r *rig, s *deafened) {
			r.next("/warm")
			r.took()
			r.c.sock, r.c.kind = noRaw{}, layered
			s.deaf.Store(true)
			time.AfterFunc(50*time.Millisecond, func() { s.deaf.Store(false) })
			err := r.c.Do(context.Background(), soon("/a", 20*time.Millisecond), &Response{})
			wantError(t, err, Timeout, SentNothing)
			says(t, err, "send: timeout: Request.Deadline: i/o timeout")
			if r.c.Err() != nil || r.took() != "" {
				t.Errorf("depth %d: %v", depth, r.c.Err())
			}
			s.deaf.Store(true)
			err = r.c.Do(context.Background(), soon("/a", 20*time.Millisecond), &Response{})
			wantError(t, err, Timeout, SentNothing)
		})
	}
}
