// Package h1 is one HTTP/1.1 client connection over a byte stream that the caller brings.
//
// It writes requests, reads responses and says what may happen next. It does not dial,
// resolve names, speak TLS, keep a pool, follow redirects, decode content or store
// cookies: for those use net/http, or build them on a [Conn]. A Conn has no goroutine
// of its own, and on the usual path allocates nothing; under TLS the look at an idle
// connection, before each request, makes crypto/tls allocate twice.
//
// # One exchange
//
//	nc, err := net.Dial("tcp", "example.com:80")
//	...
//	c := h1.NewConn(nc, nil)
//	defer c.Close()
//
//	var resp h1.Response
//	err = c.Do(ctx, &h1.Request{Target: "/", Host: "example.com"}, &resp)
//	...
//	body, err := resp.AppendBody(nil, 1<<20)
//
// Any [io.ReadWriteCloser] will do: a TCP or TLS connection, a unix socket, a pipe, one
// end of a tunnel. NewConn does no I/O. The zero [Request] is a GET of "/", and needs a
// host: in Host, in Header, or in a Target of absolute or authority form. Methods,
// targets, names and values that may not stand on the wire are refused, with
// [BadRequest], before the first byte is written.
//
// Do is [Conn.Send], which writes the request and returns an [Exchange], and then
// [Exchange.Wait], which reads the response's head. The body is read after that, by the
// caller, from Response.Body: to its end, or closed. Until then the next response cannot
// be read. Closing a body that has not ended reads on, for at most Config.MaxDrain bytes,
// to save the connection, and where that is not enough ends the connection. Using the
// Response again closes its body, too.
//
// # Views
//
// A Request belongs to the caller, who leaves it alone until its exchange has ended. A
// [Response] belongs to the caller too, and is meant to be used again: its memory stays,
// its content is overwritten. Whatever is handed out as []byte (by [Header.Peek],
// [Header.At], [Header.All], [Response.Reason]) is a view into that memory. It lives until
// the Response is used again; what has to live longer must be copied, as [Header.Get] and
// [Header.Clone] do. The Header given to Request.Informational dies when that call returns.
//
// # Many goroutines, many requests
//
// All methods of a Conn may be called from any number of goroutines at once. An Exchange,
// a Response and its Body belong to one goroutine at a time; an Exchange's Write side and
// its Wait side may be two goroutines, and Cancel may come from anywhere.
//
// One request is in flight at a time, unless Config.Depth says more: then up to Depth
// requests are written before the first of their responses has been read. Only what is
// safe is pipelined. Send waits its turn, first come first served, while
//
//   - Depth requests are in flight, or a request's body is still being written,
//   - a request whose method is not idempotent is in flight, or is the next (methods
//     by RFC 9110, section 9.2.2, and QUERY; Request.Idempotent adds to them),
//   - a CONNECT, an Upgrade or an Expect is in flight,
//   - no response has shown yet that the server speaks HTTP/1.1 and keeps the
//     connection: so the first request of a connection goes alone.
//
// [Conn.TrySend] fails with [NotReady] instead. [Conn.Ready] tells beforehand, and can be
// selected on. It reserves nothing: Send needs no Ready, and after a Ready may still have
// to wait, where another goroutine was quicker.
//
// Responses come in the order of the requests, and each Exchange gets its own, in
// whatever order they are waited for by different goroutines. One goroutine that has sent
// several requests must wait for them, and read their bodies, in the order it sent them:
// a response can be read only when those before it have been.
//
// Requests that are sent at about the same time go out in one write. For that, a request
// stays in the buffer for some microseconds. It stays longer, for a millisecond at most,
// where responses have arrived that others wait for: until they have taken these, for then
// they are likely to send more.
//
// # Bodies
//
// A request's body is an [io.Reader], Request.Body, or comes piece by piece through
// [Exchange.Write] and [Exchange.CloseWrite] when Request.Push is set. With a known length
// it goes out with Content-Length, and must be exactly that long; otherwise it is sent
// chunked, and may be followed by Request.Trailer. A body that has a Len() and fits the
// write buffer goes out with its head in one write; with Do so does a bytes.Reader or a
// bytes.Buffer of up to 64 KiB, where the stream itself is a TCP or unix socket, Depth is 1
// and the system is Linux. Any other, and what the socket does not take at once, is
// written by a goroutine that lives as long as the upload, so that the response can be read
// while it is still going on: both bodies may stream at once. What a slow reader has given
// is not held back for more.
//
// When a response ends before the request's body does (a 413, say), the upload is
// finished if no more than MaxDrain bytes are known to be left, and is otherwise
// stopped, which ends the connection. A context that ends before the upload has ends the
// connection, too: do not cancel it before the connection is Ready or, with Push, before
// CloseWrite has returned. A body that Expect holds back is not sent after the response,
// which ends the connection: a server might take the end of an empty body for the next
// request, or, behind a 2xx, for the whole of this one (and, if it reads on before it ends
// its response, waits for one in vain). The response is delivered in any case; but once a
// write has failed, each read of it may take a tenth of a second, and no more.
//
// A response's body is read straight from the stream into the caller's slice. It is an
// [io.WriterTo], too. Response.Trailer is filled once it has returned io.EOF.
//
// # Informational responses, upgrades and tunnels
//
// Each 1xx but 101 is given to Request.Informational, in order, before the call that
// waits returns the final response. A request with Expect: 100-continue keeps its body
// back until the server asks for it, until Config.ExpectTimeout has passed, or until a
// final response makes it needless. Only Do and Wait hear the server: until one of them is
// called, a body waits, and so does the caller who pushes it, for as long as ExpectTimeout.
//
// After a 101 that was asked for (by an Upgrade field, which the engine names in
// Connection), and after any 2xx to CONNECT, the connection speaks HTTP no longer.
// [Conn.Detach] gives the stream back, with what was read beyond the response;
// [Parts.Stream] makes one stream of both. The request is out whole by then; a 101 that
// comes while some of its body is still the caller's, or is held back for a 100, is an
// error ([NotSwitched]). Any other answer is an ordinary response, and HTTP goes on.
//
// # Errors, and sending again
//
// Errors are [*Error]s, and the [Kind] of one is an error itself:
//
//	errors.Is(err, h1.Incomplete)     // the stream ended inside a message
//	errors.Is(err, context.Canceled)  // or ask for the cause
//
// It says what went wrong, while doing what, at which byte of the message, and how much of
// the request had gone out by then. The question that matters afterwards has two answers:
// [Error.Unprocessed] reports that the server certainly did not act on the request, so
// that one of any method may be sent again on another connection; [Error.Retryable] adds
// idempotent requests of which no byte of a response was seen. Nothing is ever sent again
// by the package itself.
//
// A connection ends once and does not come back. [Conn.Err] is nil while it takes requests
// and says afterwards why it does not: the server said close, a body went on until the
// stream's end, bytes came that nobody asked for, an exchange failed. A response that can
// be read but whose framing is ambiguous is delivered, and its connection not used again.
//
// # Limits
//
// [Config] bounds whatever a peer could make grow: the bytes and the fields of a head,
// informational responses, bytes moved for nothing. Past them calls fail with [TooLarge].
// Nothing is allocated by a number that the peer sent. A body is as long as it is;
// [Response.AppendBody], which collects one, takes a limit. An idle connection holds no
// buffer and some 400 bytes; with a timer, where deadlines were used or Depth is more than
// 1, some 530.
//
// There are no time limits by default. A context ends an exchange, and so does
// Request.Deadline; Config.HeadTimeout and Config.StallTimeout find that the server is
// stuck, and end the connection, with all that is in flight on it. A context that can be
// done costs allocations, the others none. A context's end reaches its exchange by way
// of another goroutine ([context.AfterFunc]): calls fail soon after it, not at once. A
// request that is ended while it waits its turn leaves no trace. One that was written
// whole and shares the connection with others is abandoned: its response is drained, up to
// MaxDrain bytes, by whoever reads next, or by whoever waits in Send where nothing else is
// in flight; and the connection lives. Until then it counts towards Depth. Anything else
// ends the connection.
//
// # What the stream can do
//
// Read, Write and Close are enough. They must return: whoever's call finds that the
// connection is over waits for Close. They must not panic, or end their goroutine: the
// program would end. More is used where the stream has it:
//
//   - SetReadDeadline and SetWriteDeadline (net.Conn has them) let a deadline or a cancel
//     interrupt a read or write. That then returns an error with a Timeout method that
//     returns true, as os.ErrDeadlineExceeded has, or one that wraps such an error; any
//     other is told as IO. Reads must be able to go on afterwards, or a cancel costs the
//     other requests on the connection, too; crypto/tls can go on where the error of what
//     is below it has a Temporary method that returns true. A write must count all that has
//     gone, or may yet go: Sent and Unprocessed rely on it. To set a deadline must not wait
//     for the call that it ends, nor for a Close that waits for that. A Read or Write that
//     is still under way when Close has returned, or a tenth of a second after it began, is
//     ended by a deadline. Without these methods, or where they return an error and no
//     socket is there, the stream is closed instead, from another goroutine, and its Read
//     and Write must return then. (Those of an SSH channel do so once the peer has
//     answered: where that may be dead, close the ssh.Client.) A stream whose methods
//     return nil and do nothing is better without them: a context still ends its reads, but
//     no other time limit does. A Read or Write that sets deadlines of its own undoes the
//     engine's.
//   - SyscallConn (TCP and unix sockets), or NetConn that returns one (TLS): an idle
//     connection is probed, without blocking, before it is written to, so that a request on
//     one that the server has closed meanwhile fails Unprocessed instead of being lost.
//     [Conn.Probe] asks the same at any time, and [Conn.Watch] blocks until the connection
//     ends. Through what has NetConn the engine reads with a deadline that has passed: a
//     type that embeds a WebSocket, whose reads do not go on after that, must hide it. A
//     stream without them, or a PeekNow, is not probed (TLS in TLS, say): a stale
//     connection shows only when the response fails to come, and what the server sent to
//     an idle one is taken for the response. Such a stream is better not used again.
//
// On systems without sockets to peek at (Plan 9, AIX, js, wasip1) only a stream with
// PeekNow (see [NewConn]) is probed.
//
// TLS may have to write while it reads, where the server asks it to change its keys. A
// deadline does not end that where the server takes nothing: what lies under TLS is then
// closed, a tenth of a second after the time of the read is over, or two tenths after a
// look at an idle connection began.
//
// # Specifications
//
// RFC 9110 (semantics) and RFC 9112 (HTTP/1.1), with their errata. Strict where a byte
// could be understood in two ways; docs/conformance.md lists each behaviour, its section
// and its test.
package h1
