package h1

// expect_desync_test.go: servers that refuse a body which Expect holds back, say nothing of
// close, and take whatever comes next for a request. Two are about: Apache Traffic Server
// 9.2 and gevent.pywsgi 22.10, whose bytes these are.
// Not here: the servers that read the rest of the request (early_expect_test.go).

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	atsRefuses = "HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 13\r\nContent-Type: application/octet-stream\r\n" +
		"Date: Tue, 01 Dec 2026 01:17:52 GMT\r\nAge: 0\r\nConnection: keep-alive\r\nServer: ATS/9.2.9\r\n\r\nearly answer\n"
	atsInvalid = "HTTP/1.0 400 Invalid HTTP Request\r\nDate: Tue, 01 Dec 2026 01:17:52 GMT\r\nServer: ATS/9.2.9\r\n" +
		"Cache-Control: no-store\r\nContent-Type: text/html\r\nContent-Language: en\r\nContent-Length: 4\r\n\r\nbad\n"
	geventRefuses = "HTTP/1.1 413 Payload Too Large\r\nContent-Type: application/octet-stream\r\nContent-Length: 13\r\n" +
		"Date: Tue, 01 Dec 2026 01:19:19 GMT\r\n\r\nearly answer\n"
	geventInvalid = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-length: 0\r\n\r\n"
)

// The request behind a refused upload gets its own answer, or an error that says it may be
// sent again; never what such a server makes of the end of a body that it does not read.
func TestExpectRefusedUnread(t *testing.T) {
	for name, says := range map[string][2]string{
		"Traffic Server": {atsRefuses, atsInvalid},
		"gevent":         {geventRefuses, geventInvalid},
	} {
		for _, length := range []int64{4, -1} {
			t.Run(fmt.Sprint(name, " ", length), func(t *testing.T) { expectRefusedUnread(t, says[0], says[1], length) })
		}
	}
}

func expectRefusedUnread(t *testing.T, refuses, invalid string, length int64) {
	client, server := tcpPair(t)
	defer server.Close()
	go func() {
		defer server.Close()
		br := bufio.NewReader(server)
		for {
			if line, err := br.Peek(1); err != nil {
				return
			} else if line[0] == '0' { // no request line
				io.WriteString(server, invalid)
				return
			}
			req, err := http.ReadRequest(br)
			switch {
			case err != nil:
				return
			case req.Method == "POST":
				io.WriteString(server, refuses)
			default:
				io.WriteString(server, "HTTP/1.1 204 No Content\r\n\r\n")
			}
		}
	}()
	c := NewConn(client, nil)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var resp Response
	req := &Request{Method: "POST", Host: "h", Body: strings.NewReader("body"), ContentLength: length,
		Header: fieldsOf("Expect: 100-continue")}
	if err := c.Do(ctx, req, &resp); err != nil || resp.Status != 413 {
		t.Fatalf("the refusal: %d, %v", resp.Status, err)
	}
	if _, err := resp.AppendBody(nil, 100); err != nil {
		t.Fatal(err)
	}
	err := c.Do(ctx, &Request{Host: "h"}, &resp)
	if err == nil && resp.Status != 204 {
		t.Errorf("the next request's answer: %d", resp.Status)
	}
	if e, ok := err.(*Error); err != nil && (!ok || !e.Unprocessed()) {
		t.Errorf("the next request: %v", err)
	}
}
