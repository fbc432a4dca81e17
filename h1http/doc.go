// Package h1http puts connections of the h1 engine under http.Client: a [Transport] to use in
// place of http.Transport wherever HTTP/1.1 is spoken, and a [Conn], which is one connection
// as an http.RoundTripper, over any stream.
//
//	client := &http.Client{Transport: &h1http.Transport{Proxy: http.ProxyFromEnvironment}}
//
// The zero Transport works. Its fields have the names and the meanings that http.Transport
// gives them; what differs, and what is left out (HTTP/2, first of all), is listed in
// docs/h1http.md. What is better: a request that failed is sent again by what is known of it,
// not by guesses (see [h1.Error]); an idle connection that has died costs no error; a response
// costs a fraction of the allocations; and with Depth, callers share connections by pipelining.
//
// # How it is built
//
// It is also meant to be read, as the model of a client on the engine. One file for each
// concern, in the order to read them in:
//
//	link.go       one connection, one exchange: send, wait, deliver, let go
//	request.go    http.Request becomes h1.Request
//	upload.go     the request's body, closed exactly once on every path
//	response.go   h1.Response becomes http.Response
//	tunnel.go     what a CONNECT comes to
//	names.go      field names in canonical form, without allocation
//	gzip.go       transparent decompression
//	trace.go      httptrace
//	conn.go       Conn
//	transport.go  Transport: its fields, RoundTrip, and when a request is sent again
//	pool.go       which connection a request gets, and where it goes afterwards
//	ahead.go      streams that cannot be asked whether something has come
//	dial.go       new connections, TLS
//	proxy.go      which way a request goes, CONNECT
//	socks.go      SOCKS5
//	idna.go       host names beyond ASCII
//	socket_*.go   whether a stream's file descriptor is a socket
//
// No goroutine is started for a request, except to dial, to send a body that does not fit the write
// buffer (or what CONNECT's body says), to find out whether a body of unknown length is empty,
// where the method mostly has none, to close a body that a Read still holds, to watch
// http.Request.Cancel, and to read a connection that cannot be asked whether something has come.
package h1http
