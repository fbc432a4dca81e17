package main

// socket.go: a WebSocket through the reverse proxy and nginx. The library's Dial makes its
// handshake with http.DefaultClient, and so with h1http.

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// echo is the server behind nginx. It sends back all messages, and tells how it ended.
func (s *site) echo(w http.ResponseWriter, r *http.Request) {
	s.socketEnd <- func() error {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return err
		}
		defer ws.CloseNow()
		ws.SetReadLimit(1 << 20)
		for {
			kind, message, err := ws.Read(r.Context())
			if err != nil {
				return err
			}
			if err := ws.Write(r.Context(), kind, message); err != nil {
				return err
			}
		}
	}()
}

func webSocket(ctx context.Context, s *site) (string, error) {
	const texts, size = 100, 1 << 20
	short, cancel := context.WithTimeout(ctx, 10*time.Second)
	ws, _, err := websocket.Dial(short, s.url+"/socket", nil)
	cancel() // it was for the handshake
	if err != nil {
		return "", err
	}
	defer ws.CloseNow()
	ws.SetReadLimit(size)
	back := func(kind websocket.MessageType, message []byte) error {
		if err := ws.Write(ctx, kind, message); err != nil {
			return err
		}
		k, got, err := ws.Read(ctx)
		if err == nil && (k != kind || !bytes.Equal(got, message)) {
			err = fmt.Errorf("%v of %d bytes came back as %v of %d", kind, len(message), k, len(got))
		}
		return err
	}
	for n := range texts {
		if err := back(websocket.MessageText, fmt.Appendf(nil, "message %d", n)); err != nil {
			return "", err
		}
	}
	binary, err := io.ReadAll(content("socket", size))
	if err != nil {
		return "", err
	}
	if err := back(websocket.MessageBinary, binary); err != nil {
		return "", err
	}
	if err := ws.Close(websocket.StatusNormalClosure, "enough"); err != nil {
		return "", fmt.Errorf("closing: %w", err)
	}
	select {
	case err = <-s.socketEnd:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if code := websocket.CloseStatus(err); code != websocket.StatusNormalClosure {
		return "", fmt.Errorf("the server's end: %w", err)
	}
	return fmt.Sprintf("%d text messages and 1 of %d KiB came back; closed in good order (1000) on both ends", texts, size>>10), nil
}
