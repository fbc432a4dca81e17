package h1http

// response_test.go: what becomes of a response's bytes.

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.com/h1"
)

// rawServer answers with bytes. serve gets each connection, and its number from 0 on; the
// connection is closed when serve returns.
func rawServer(t *testing.T, serve func(nc net.Conn, br *bufio.Reader, n int)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for n := 0; ; n++ {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer nc.Close()
				nc.SetDeadline(time.Now().Add(time.Minute)) // longer than anybody waits
				serve(nc, bufio.NewReader(nc), n)
			})
		}
	})
	return "http://" + ln.Addr().String()
}

// readRequest reads a request and its body.
func readRequest(br *bufio.Reader) (*http.Request, string, error) {
	req, err := http.ReadRequest(br)
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(req.Body)
	return req, string(b), err
}

// answers returns a server's part that reads requests and answers each in the same way.
func answers(answer string) func(net.Conn, *bufio.Reader, int) {
	return func(nc net.Conn, br *bufio.Reader, _ int) {
		for {
			if _, _, err := readRequest(br); err != nil {
				return
			}
			io.WriteString(nc, answer)
			if strings.Contains(answer, "lose\r\n") {
				return
			}
		}
	}
}

// rawRig is a rawServer and a Transport for it.
func rawRig(t *testing.T, serve func(net.Conn, *bufio.Reader, int)) (string, *Transport) {
	t.Helper()
	noLeak(t)
	url := rawServer(t, serve)
	tr := &Transport{}
	t.Cleanup(tr.CloseIdleConnections) // before the server's own
	return url, tr
}

// rawPipes is rawRig in a bubble, where a busy machine makes nobody late.
func rawPipes(t *testing.T, serve func(net.Conn, *bufio.Reader, int)) (string, *Transport) {
	t.Helper()
	idle := idleSocket(t)
	var dials atomic.Int32
	tr := &Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return pipeTo(serve, int(dials.Add(1))-1, idle), nil
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return "http://pipe.example:80", tr
}

// pipeTo returns a pipe to a server, which shows the engine a socket to look into.
func pipeTo(serve func(net.Conn, *bufio.Reader, int), n int, shows *net.UDPConn) socketed {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		serve(server, bufio.NewReader(server), n)
	}()
	return socketed{client, shows}
}

// idleSocket returns a socket to which nothing comes.
func idleSocket(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.UDPConn)
}

// socketed is a stream that shows a socket.
type socketed struct {
	net.Conn
	socket *net.UDPConn
}

func (s socketed) SyscallConn() (syscall.RawConn, error) { return s.socket.SyscallConn() }

// TestConversion compares with net/http what comes of a response, field by field.
func TestConversion(t *testing.T) {
	for _, test := range []struct{ name, method, wire string }{
		{"plain", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: 1\r\nx: 2\r\n\r\nab"},
		{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"},
		{"chunked with trailer", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: a, B\r\n\r\n2\r\nab\r\n0\r\nA: 1\r\nC: 3\r\n\r\n"},
		{"undeclared trailer", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: 1\r\n\r\n"},
		{"chunked and length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"empty", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"until close", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 123\r\n\r\n"},
		{"HEAD without length", "HEAD", "HTTP/1.1 200 OK\r\n\r\n"},
		{"HEAD chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n"},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"},
		{"304 to HEAD", "HEAD", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"},
		{"204 to HEAD", "HEAD", "HTTP/1.1 204 No Content\r\n\r\n"},
		{"204 to HEAD with length", "HEAD", "HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n"},
		{"204 chunked", "GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"1.2", "GET", "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"304 chunked", "GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nX: close\r\n\r\na"},
		{"1.0 keep-alive", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na"},
		{"1.0 keep-alive, chunked", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"},
		{"no reason", "GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"},
		{"another reason", "GET", "HTTP/1.1 200 Fine by me\r\nContent-Length: 0\r\n\r\n"},
		{"status without a usual reason", "GET", "HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n"},
		{"status past the usual ones", "GET", "HTTP/1.1 600 Odd\r\nContent-Length: 0\r\n\r\n"},
		{"unknown status", "GET", "HTTP/1.1 999 \xe9t\xe9\r\nContent-Length: 0\r\n\r\n"},
		{"bare LF", "GET", "HTTP/1.1 200 OK\nContent-Length: 1\nA: b\n\na"},
		{"folded", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: b\r\n  c\r\n\r\n"},
		{"lengths that agree", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na"},
		{"pragma", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nPragma: no-cache\r\n\r\n"},
		{"empty value", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA:\r\nB: \t \r\n\r\n"},
		{"names", "GET", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nETAG: e\r\nwww-AUTHENTICATE: b\r\nfoo_bar-BAZ: 1\r\n" +
			strings.Repeat("Long-", 20) + "x: 1\r\n\r\n"},
		{"bad length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: +1\r\nConnection: close\r\n\r\na"},
		{"empty length", "GET", "HTTP/1.1 200 OK\r\nContent-Length:\r\nConnection: close\r\n\r\na"},
		{"no HTTP", "GET", "SSH-2.0-OpenSSH Close\r\n\r\n"},
		{"bad status", "GET", "HTTP/1.1 20 OK\r\nConnection: close\r\n\r\n"},
		{"identity", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nX: close\r\n\r\nab"},
	} {
		t.Run(test.name, func(t *testing.T) {
			wire := test.wire
			url, tr := rawRig(t, answers(wire))
			if strings.HasPrefix(test.name, "1.0") || test.name == "no HTTP" {
				url, tr = rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
					readRequest(br)
					io.WriteString(nc, wire)
				})
			}
			req := newRequest(t, test.method, url, nil)
			got, err := tr.RoundTrip(req)
			want, wantErr := http.ReadResponse(bufio.NewReader(strings.NewReader(wire)), req)
			if test.name == "identity" || test.name == "1.0 keep-alive, chunked" {
				// By RFC 9112, 6.3, it ends with the connection, or is decoded: net/http refuses
				// the one, and does not decode the other.
				if err != nil || slurp(t, got) != "ab" || !got.Close {
					t.Errorf("%v", err)
				}
				return
			}
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("error %v, net/http's %v", err, wantErr)
			}
			if err != nil {
				var e *h1.Error
				if !errors.As(err, &e) {
					t.Errorf("%v is no h1.Error", err)
				}
				return
			}
			if test.name == "chunked and length" {
				want.Close = true // by RFC 9112, 6.3
			}
			compare(t, got, want)
		})
	}
}

// A body is delivered as it is coded, and the codings are told, the outermost first.
func TestCodingsAreTold(t *testing.T) {
	for fields, want := range map[string][]string{
		"Transfer-Encoding: GZip":                                {"gzip"},
		"Transfer-Encoding: a, b;x=1\r\nTransfer-Encoding: gzip": {"gzip", "b;x=1", "a"},
		"Transfer-Encoding: chunked, gzip":                       {"gzip", "chunked"},
		"Transfer-Encoding: identity":                            nil,
	} {
		url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
			readRequest(br)
			io.WriteString(nc, "HTTP/1.1 200 OK\r\nTrailer: Sum\r\n"+fields+"\r\n\r\nab")
		})
		resp, err := tr.RoundTrip(newRequest(t, "GET", url, nil))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(resp.TransferEncoding, want) || resp.Trailer != nil {
			t.Errorf("%q: TransferEncoding %q, Trailer %v, want %q", fields, resp.TransferEncoding, resp.Trailer, want)
		}
		if body := slurp(t, resp); body != "ab" {
			t.Errorf("%q: body %q", fields, body)
		}
	}
}

// No codings are told where there is no body, nor of what follows a switch (RFC 9110,
// 9.3.6), nor in HTTP/1.0, where net/http ignores the field.
func TestCodingsAreNotTold(t *testing.T) {
	for _, k := range []struct{ method, head string }{
		{"GET", "HTTP/1.0 200 OK"}, {"HEAD", "HTTP/1.1 200 OK"}, {"GET", "HTTP/1.1 204 No Content"},
		{"GET", "HTTP/1.1 304 Not Modified"}, {"CONNECT", "HTTP/1.1 200 OK"},
		{"GET", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x"},
	} {
		url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
			readRequest(br)
			io.WriteString(nc, k.head+"\r\nTransfer-Encoding: gzip\r\n\r\n")
			br.ReadByte()
		})
		req := newRequest(t, k.method, url, nil)
		req.Header = http.Header{"Connection": {"upgrade"}, "Upgrade": {"x"}}
		if k.method == "CONNECT" {
			req.URL.Path, req.Header = "", http.Header{}
		}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(k.method, k.head, err)
		}
		if resp.TransferEncoding != nil {
			t.Errorf("%s, %s: %q", k.method, k.head, resp.TransferEncoding)
		}
		resp.Body.Close()
	}
}

func compare(t *testing.T, got, want *http.Response) {
	t.Helper()
	eq := func(what string, a, b any) {
		t.Helper()
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: %#v, net/http's %#v", what, a, b)
		}
	}
	eq("Status", got.Status, want.Status)
	eq("StatusCode", got.StatusCode, want.StatusCode)
	eq("Proto", got.Proto, want.Proto)
	eq("ProtoMajor", got.ProtoMajor, want.ProtoMajor)
	eq("ProtoMinor", got.ProtoMinor, want.ProtoMinor)
	eq("Header", got.Header, want.Header)
	eq("ContentLength", got.ContentLength, want.ContentLength)
	eq("TransferEncoding", got.TransferEncoding, want.TransferEncoding)
	eq("Close", got.Close, want.Close)
	eq("Uncompressed", got.Uncompressed, want.Uncompressed)
	eq("Trailer before the end", got.Trailer, want.Trailer)
	eq("NoBody", got.Body == http.NoBody, want.Body == http.NoBody)
	a, err := io.ReadAll(got.Body)
	b, wantErr := io.ReadAll(want.Body)
	eq("body", string(a), string(b))
	eq("body's error", err, wantErr)
	eq("Trailer", got.Trailer, want.Trailer)
	if err := got.Body.Close(); err != nil {
		t.Error(err)
	}
}

// TestTolerance: what differs from net/http on purpose.
func TestTolerance(t *testing.T) {
	url, tr := rawRig(t, answers("HTTP/1.1 200 OK\r\nFoo : bar\r\nno colon\r\nB a: d\r\nContent-Length: 2\r\n\r\nhi"))
	resp, err := tr.RoundTrip(newRequest(t, "GET", url, nil))
	if err != nil {
		t.Fatal(err)
	}
	if slurp(t, resp) != "hi" || resp.Header.Get("Foo") != "bar" || len(resp.Header) != 2 {
		t.Errorf("%v", resp.Header)
	}
}

func gzipped(s string) string {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	io.WriteString(zw, s)
	zw.Close()
	return b.String()
}

// zips serves text, compressed in the ways that the paths name.
func zips(long string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Asked", r.Header.Get("Accept-Encoding"))
		text := long
		if r.URL.Path == "/short" {
			text = "short"
		}
		if r.URL.Path != "/plain" {
			w.Header().Set("Content-Encoding", map[bool]string{true: "GZip", false: "gzip"}[r.URL.Path == "/case"])
			text = gzipped(text)
		}
		if r.URL.Path == "/twice" {
			text = gzipped(text)
		}
		if r.URL.Path == "/cut" {
			text = text[:len(text)-8]
		}
		if r.URL.Path != "/chunked" {
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		} else {
			w.(http.Flusher).Flush()
		}
		io.WriteString(w, text)
	}
}

func TestGzip(t *testing.T) {
	long := strings.Repeat("compress me ", 20_000)
	r := newRig(t, false, zips(long))
	for range 2 {
		for _, test := range []struct {
			path, want   string
			uncompressed bool
			set          func(*http.Request)
		}{
			{"/", long, true, nil},
			{"/short", "short", true, nil},
			{"/case", long, true, nil},
			{"/chunked", long, true, nil},
			{"/twice", gzipped(long), true, nil},
			{"/plain", long, false, nil},
			{"/own", gzipped(long), false, func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") }},
			{"/range", gzipped(long), false, func(r *http.Request) { r.Header.Set("Range", "bytes=0-") }},
		} {
			req := newRequest(t, "GET", r.URL+test.path, nil)
			if test.set != nil {
				test.set(req)
			}
			resp, err := r.tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			if got := slurp(t, resp); got != test.want || resp.Uncompressed != test.uncompressed {
				t.Errorf("%s: %d bytes, want %d, Uncompressed %v", test.path, len(got), len(test.want), resp.Uncompressed)
			}
			if test.uncompressed && (resp.ContentLength != -1 || resp.Header.Get("Content-Length") != "" || resp.Header.Get("Content-Encoding") != "") {
				t.Errorf("%s: %d %v", test.path, resp.ContentLength, resp.Header)
			}
			if _, err := resp.Body.Read(make([]byte, 1)); err == nil || err == io.EOF {
				t.Errorf("%s: read after close: %v", test.path, err)
			}
		}
	}
	if n := r.dials.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	resp, err := r.tr.RoundTrip(newRequest(t, "GET", r.URL+"/cut", nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); err != io.ErrUnexpectedEOF {
		t.Errorf("cut short: %v", err)
	}
	resp.Body.Close()
	if got := do(t, r.tr, newRequest(t, "HEAD", r.URL, nil)); got != "" {
		t.Errorf("HEAD: %q", got)
	}
	r.tr.DisableCompression = true
	r.tr.CloseIdleConnections()
	resp, _ = r.tr.RoundTrip(newRequest(t, "GET", r.URL+"/plain", nil))
	if slurp(t, resp); resp.Header.Get("X-Asked") != "" {
		t.Errorf("DisableCompression: asked for %q", resp.Header.Get("X-Asked"))
	}
}

// TestGzipFailed: what was no gzip once is none later, whatever comes.
func TestGzipFailed(t *testing.T) {
	next := make(chan struct{})
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
		readRequest(br)
		more := gzipped("more")
		fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\nno gzip...", 10+len(more))
		<-next
		io.WriteString(nc, more)
	})
	resp, err := tr.RoundTrip(newRequest(t, "GET", url, nil))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if n, err := resp.Body.Read(make([]byte, 9)); n != 0 || err != gzip.ErrHeader {
			t.Errorf("%d %v", n, err)
		}
		if i == 0 {
			close(next)
		}
	}
	resp.Body.Close()
}

// TestGunzipGivenBack: a decompressor goes back once, and not under a Read.
func TestGunzipGivenBack(t *testing.T) {
	g := &gunzip{body: new(body), zr: new(gzip.Reader)}
	if g.Close(); g.zr != nil {
		t.Error("kept after Close")
	}
	g = &gunzip{body: new(body), zr: new(gzip.Reader)}
	g.enter()
	if g.Close(); g.zr == nil {
		t.Error("gone under a Read")
	}
	if g.leave(nil); g.zr != nil {
		t.Error("kept after the Read that Close has found")
	}
	if err := g.enter(); err != errReadAfterClose {
		t.Errorf("read on: %v", err)
	}
}

// TestGzipBesideGzip: a decompressor is one response's, whatever became of those before.
func TestGzipBesideGzip(t *testing.T) {
	r := newRig(t, false, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, gzipped(strings.Repeat(r.URL.Path, 1000)))
	})
	for range 10 {
		if got := get(t, r.tr, r.URL+"/before"); got != strings.Repeat("/before", 1000) {
			t.Fatalf("got %.20q", got)
		}
		var bodies [2]io.ReadCloser
		var got [2]strings.Builder
		for i := range bodies {
			resp, err := r.tr.RoundTrip(newRequest(t, "GET", fmt.Sprintf("%s/%d", r.URL, i), nil))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			bodies[i] = resp.Body
		}
		for range 20 {
			for i, b := range bodies {
				io.CopyN(&got[i], b, 100)
			}
		}
		for i := range bodies {
			if want := strings.Repeat(fmt.Sprintf("/%d", i), 1000); got[i].String() != want {
				t.Fatalf("response %d: %d bytes, %.20q", i, got[i].Len(), got[i].String())
			}
			bodies[i].Close()
		}
	}
}

func TestBodyEnds(t *testing.T) {
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, n int) {
		for {
			req, _, err := readRequest(br)
			if err != nil {
				return
			}
			io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")
			if req.URL.Path == "/cut" {
				return
			}
			io.WriteString(nc, "56789")
		}
	})
	t.Run("cut", func(t *testing.T) {
		resp, err := tr.RoundTrip(newRequest(t, "GET", url+"/cut", nil))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if string(b) != "01234" || err != io.ErrUnexpectedEOF {
			t.Errorf("%q %v", b, err)
		}
		if _, again := resp.Body.Read(make([]byte, 1)); again != err {
			t.Errorf("%v, then %v", err, again)
		}
		resp.Body.Close()
		if _, err := resp.Body.Read(make([]byte, 1)); err != errReadAfterClose {
			t.Errorf("after Close: %v", err)
		}
	})
	t.Run("read after close", func(t *testing.T) {
		resp, _ := tr.RoundTrip(newRequest(t, "GET", url, nil))
		resp.Body.Close()
		resp.Body.Close()
		if _, err := resp.Body.Read(make([]byte, 1)); err != errReadAfterClose {
			t.Error(err)
		}
	})
	t.Run("WriteTo", func(t *testing.T) {
		resp, _ := tr.RoundTrip(newRequest(t, "GET", url, nil))
		var b bytes.Buffer
		n, err := io.Copy(&b, resp.Body)
		if n != 10 || err != nil || b.String() != "0123456789" {
			t.Errorf("%d %v %q", n, err, b.String())
		}
		if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("after the end: %d %v", n, err)
		}
		resp.Body.Close()
	})
}

func TestInformational(t *testing.T) {
	head := strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 50) + "HTTP/1.1 100 Continue\r\n\r\n"
	url, tr := rawRig(t, answers(head+"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
	if got := get(t, tr, url); got != "hi" {
		t.Errorf("got %q", got)
	}
	seen := map[int]int{}
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			if seen[code]++; code == 103 && h.Get("Link") != "</a>" {
				t.Errorf("%v", h)
			}
			return nil
		},
	})
	if got := do(t, tr, newRequest(t, "GET", url, nil).WithContext(ctx)); got != "hi" || seen[103] != 50 || seen[100] != 1 {
		t.Errorf("got %q, seen %v", got, seen)
	}
	tr.CloseIdleConnections()
	tr.MaxResponseHeaderBytes = 200 // which those that the caller sees do not count for
	if got := do(t, tr, newRequest(t, "GET", url, nil).WithContext(ctx)); got != "hi" {
		t.Errorf("got %q", got)
	}
	want := errors.New("enough")
	ctx = httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		Got1xxResponse: func(int, textproto.MIMEHeader) error { return want },
	})
	if _, err := tr.RoundTrip(newRequest(t, "GET", url, nil).WithContext(ctx)); !errors.Is(err, want) {
		t.Errorf("%v", err)
	}
}

func TestHeadLimit(t *testing.T) {
	hint := "HTTP/1.1 103 Early Hints\r\nX: " + strings.Repeat("a", 1000) + "\r\n\r\n"
	for name, test := range map[string]struct {
		wire  string
		limit int64
		ok    bool
	}{
		"within":      {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 9000) + "\r\nContent-Length: 0\r\n\r\n", 10_000, true},
		"past":        {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 11_000) + "\r\nContent-Length: 0\r\n\r\n", 10_000, false},
		"default":     {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 1<<20) + "\r\nContent-Length: 0\r\n\r\n", 0, true},
		"many fields": {"HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 3000) + "Content-Length: 0\r\n\r\n", 0, true},
		"1xx within":  {strings.Repeat(hint, 5) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 10_000, true},
		"1xx past":    {strings.Repeat(hint, 11) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 10_000, false},
		"1xx to the byte": {strings.Repeat("HTTP/1.1 103 \r\nLink: "+strings.Repeat("a", 75)+"\r\n\r\n", 2) + // 100 bytes each
			"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, true},
		"1xx a byte past": {strings.Repeat("HTTP/1.1 103 \r\nLink: "+strings.Repeat("a", 75)+"\r\n\r\n", 2) +
			"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 199, false},
	} {
		t.Run(name, func(t *testing.T) {
			url, tr := rawRig(t, answers(test.wire))
			tr.MaxResponseHeaderBytes = test.limit
			for _, ctx := range []context.Context{context.Background(),
				httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{})} { // that does not look at 1xx
				resp, err := tr.RoundTrip(newRequest(t, "GET", url, nil).WithContext(ctx))
				if (err == nil) != test.ok || !test.ok && !errors.Is(err, h1.TooLarge) {
					t.Fatalf("%v", err)
				}
				if err == nil {
					slurp(t, resp)
				}
			}
		})
	}
	u := rawServer(t, answers(hint+"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
	nc, err := net.Dial("tcp", strings.TrimPrefix(u, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	c := NewConn(nc, &h1.Config{}) // whose zero is the engine's default
	defer c.Close()
	if got := get(t, c, u); got != "hi" {
		t.Errorf("Config without a limit: %q", got)
	}
	if nc, err = net.Dial("tcp", strings.TrimPrefix(u, "http://")); err != nil {
		t.Fatal(err)
	}
	c = NewConn(nc, &h1.Config{MaxHeadBytes: len(hint) - 1})
	defer c.Close()
	if _, err := c.RoundTrip(newRequest(t, "GET", u, nil)); !errors.Is(err, h1.TooLarge) {
		t.Errorf("Config with a limit: %v", err)
	}
}

func TestSwitch(t *testing.T) {
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
		req, _, err := readRequest(br)
		if err != nil {
			return
		}
		if req.Header.Get("Upgrade") != "echo" || !strings.Contains(req.Header.Get("Connection"), "Upgrade") || req.Close {
			t.Errorf("%v", req.Header)
		}
		io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\nTransfer-Encoding: chunked\r\n\r\nhello ")
		io.Copy(nc, br)
	})
	tr.DisableKeepAlives = true // which must not break the upgrade
	req := newRequest(t, "GET", url, nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	ctx, cancel := context.WithCancel(context.Background())
	resp, err := tr.RoundTrip(req.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	cancel() // the stream is the caller's by now
	if resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "echo" || resp.ContentLength != 0 {
		t.Errorf("%v", resp)
	}
	rwc, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatalf("Body is a %T", resp.Body)
	}
	io.WriteString(rwc, "world")
	buf := make([]byte, 11)
	if _, err := io.ReadFull(rwc, buf); err != nil || string(buf) != "hello world" {
		t.Errorf("%q %v", buf, err)
	}
	if cw, ok := resp.Body.(interface{ CloseWrite() error }); !ok {
		t.Error("Body has no CloseWrite")
	} else if cw.CloseWrite(); ok {
		if n, err := rwc.Read(buf); n != 0 || err != io.EOF {
			t.Errorf("after CloseWrite: %d %v", n, err)
		}
	}
	rwc.Close()
}

func TestConnect(t *testing.T) {
	url, tr := rawRig(t, func(nc net.Conn, br *bufio.Reader, _ int) {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		switch req.Host {
		case "gone.example:1":
			return
		case "no.example:1":
			io.WriteString(nc, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
			return
		}
		if req.Method != "CONNECT" || req.Host != "foo.example:443" {
			t.Errorf("%s %s", req.Method, req.Host)
		}
		io.WriteString(nc, "HTTP/1.1 200 OK\r\n\r\n")
		io.Copy(nc, br)
	})
	pr, pw := io.Pipe()
	req := newRequest(t, "CONNECT", url, pr)
	req.URL.Opaque = "foo.example:443"
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"one", "two"} {
		io.WriteString(pw, s)
		buf := make([]byte, 3)
		if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != s {
			t.Errorf("%q %v", buf, err)
		}
	}
	resp.Body.Close()
	if _, err := pw.Write([]byte("x")); err != io.ErrClosedPipe {
		t.Errorf("the body is still open: %v", err)
	}
	body := &closeCounter{Reader: strings.NewReader("x")}
	req = newRequest(t, "CONNECT", url, nil)
	req.Body = body
	req.URL.Opaque = "no.example:1"
	if resp, err = tr.RoundTrip(req); err != nil || resp.StatusCode != 403 || slurp(t, resp) != "no" || body.n.Load() != 1 {
		t.Errorf("%v %v, closed %d times", resp, err, body.n.Load())
	}
	tr.CloseIdleConnections() // which the server has closed, too
	body = &closeCounter{Reader: strings.NewReader("x")}
	req = newRequest(t, "CONNECT", url, body)
	req.URL.Opaque = "gone.example:1"
	if resp, err = tr.RoundTrip(req); !errors.Is(err, h1.Incomplete) || body.n.Load() != 1 {
		t.Errorf("no answer: %v %v, closed %d times", resp, err, body.n.Load())
	}
}
