package main

// rows_http.go: row 18: h1http beside net/http, both as http.RoundTripper.

import (
	"context"
	"net"
	"net/http"

	"example.com/h1/h1http"
)

// eightFields is the exchange of a GET that is answered with 8 fields and 13 bytes.
var eightFields = wire{
	head: "HTTP/1.1 200 OK\r\nServer: nginx/1.27.0\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\nLast-Modified: Sat, 05 Nov 1994 07:00:00 GMT\r\n" +
		"Connection: keep-alive\r\nETag: \"65f2-1a\"\r\nAccept-Ranges: bytes\r\n\r\n",
	body: "Hello, World!", length: 13,
}

func roundTripperRow() row {
	return row{
		number: "18", name: "roundtripper",
		work:   "GET with 8 response fields by http.RoundTripper, sequential; body read and closed",
		pinned: true, shows: perRequest,
		contestants: alone(eightFields, floor,
			roundTripper("h1http", func(dial dialFunc) idleCloser {
				return &h1http.Transport{DialContext: dial, DisableCompression: true}
			}),
			roundTripper("Transport", func(dial dialFunc) idleCloser {
				return &http.Transport{DialContext: dial, DisableCompression: true}
			})),
		targets: []target{
			{who: "h1http", what: allocs, most: 12},
			{who: "h1http", what: wall, most: 0.7, of: "Transport"},
		},
	}
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// An idleCloser is a Transport of either package.
type idleCloser interface {
	http.RoundTripper
	CloseIdleConnections()
}

// roundTripper returns the client that a Transport is. open gives it the settings that both
// packages have.
func roundTripper(name string, open func(dial dialFunc) idleCloser) client {
	return client{name, func(e *env, w wire, _ int) func() exchange {
		t := open(func(context.Context, string, string) (net.Conn, error) { return e.connect(w), nil })
		e.atEnd(t.CloseIdleConnections)
		return func() exchange { return e.roundTrip(t, w) }
	}}
}
