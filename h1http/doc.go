// Package h1http puts connections of the h1 engine under http.Client: a [Transport] to use
// in place of http.Transport wherever HTTP/1.1 is spoken, and a [Conn], which is one
// connection as an http.RoundTripper, over any stream.
//
//	client := &http.Client{Transport: &h1http.Transport{Proxy: http.ProxyFromEnvironment}}
//
// The zero Transport works. Its fields have the names and meanings of http.Transport's;
// docs/h1http.md lists what differs and what is left out (HTTP/2, first of all). What is
// better: a failed request is sent again only where it is known to be safe (see
// [h1.Error]); an idle connection that has died causes no error; a response costs a
// fraction of the allocations; and with Depth, callers share connections by pipelining.
//
// # How it is built
//
// The package is also meant to be read, as a model of a client built on the engine. There
// is one file for each concern; this is the order to read them in:
//
//	link.go       one connection, one exchange: send, wait, deliver, let go
//	request.go    http.Request becomes h1.Request
//	target.go     its Host field and request target
//	upload.go     the request's body, closed exactly once on every path
//	response.go   h1.Response becomes http.Response
//	head.go       its head, in net/http's form
//	tunnel.go     the stream after a successful CONNECT
//	names.go      field names in canonical form, without allocation
//	gzip.go       transparent decompression
//	trace.go      httptrace
//	conn.go       Conn
//	transport.go  Transport: its fields, RoundTrip, and when a request is sent again
//	pool.go       which connection a request gets, and where it goes afterwards
//	idle.go       the idle connections
//	ahead.go      streams that the engine cannot look into
//	dial.go       new connections, TLS
//	proxy.go      the route of a request, CONNECT
//	socks.go      SOCKS5
//	idna.go       host names beyond ASCII
//	socket_*.go   whether a stream's file descriptor is a socket
//
// A request starts no goroutine, except to dial; to send a body that does not fit the write
// buffer, or the body of a CONNECT; to find out whether a body of unknown length is empty,
// for methods that usually have none; to close a body that a Read still holds; and to watch
// http.Request.Cancel. A connection holds none, unless the engine cannot look into it (see
// ahead.go).
package h1http
