//go:build unix

package h1

// rekey_test.go: TLS that writes while it reads, for the server asks it to change its keys, and a server
// that reads nothing of that.
//
// Rule: what is asserted is that a call returns; the time until it is given up decides nothing else.

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
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A rekeyer writes a server's records (RFC 8446, section 5.2) with the keys that its handshake has logged.
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
	var log strings.Builder
	with := testTLS().Clone()
	with.MinVersion, with.SessionTicketsDisabled, with.KeyLogWriter = tls.VersionTLS13, true, &log
	server = tls.Server(raw, with)
	client := tls.Client(under, &tls.Config{InsecureSkipVerify: true})
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
	c = NewConn(client, cfg)
	t.Cleanup(func() { under.Close(); c.Close() })
	return c, under, server, raw, k
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

// So does a look at an idle connection, be it that TLS has read ahead what it has to answer; and nobody
// else waits for it.
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
