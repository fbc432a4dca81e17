package h1

// elsewhere_test.go: responses that other clients' tests look at, and ours did not.

import "testing"

// TestElsewhere: each comes to what can be understood in one way alone, or to an error.
func TestElsewhere(t *testing.T) {
	for _, c := range []struct {
		head, rest string // behind the status line, which is "HTTP/1.1 200 OK" where head begins with a line end
		want       string
	}{
		// Letters are ASCII's, whatever Unicode folds to them.
		{"\r\nTransfer-Encoding: chun\u212aed\r\n\r\n", "hello", "bad framing at 40"},
		// What begins as a status line of another protocol.
		{"ICY 200 OK\r\n\r\n", "music", "bad version at 0"},
		{"RTSP/1.0 200 OK\r\n\r\n", "", "bad version at 0"},
		{"HTTPX/1.1 200 OK\r\n\r\n", "", "bad version at 4"},
		// Lengths: in decimal; a list only of equals, in the same digits, without a gap.
		{"\r\nContent-Length: 4,4\r\nContent-Length: 4 ,\t4\r\n\r\n", "hello", "length: hell"},
		{"\r\nContent-Length: 010\r\n\r\n", "0123456789", "length: 0123456789"},
		{"\r\nContent-Length: 6,06,6\r\n\r\n", "hello!", "bad framing at 35"},
		{"\r\nContent-Length: 1,\r\n\r\n", "hello", "bad framing at 35"},
		// A fold belongs to the line before, whatever it looks like.
		{"\r\nNote: a\r\n Content-Length: 3\r\n\r\n", "hello", "close: hello"},
		{"\r\nNote:\r\n \t\r\n  a \r\n \r\nContent-Length: 5\r\n\r\n", "hello", "length: hello"},
		{"\r\nTransfer-\r\nEncoding: chunked\r\n\r\n", "hello", "bad field at 26"},
		// Chunks.
		{"\r\nTransfer-Encoding: chunked\r\n\r\n", "3\r\n0\r\n\r\n\r\n0\r\n\r\n", "chunked: 0\r\n, then bad chunk at 55"},
		{"\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\r;abcd\r\n1f\r\nx\r\n0\r\n\r\n", "chunked: , then bad chunk at 49"},
		{"\r\nTransfer-Encoding: chunked\r\n\r\n", "1;;; ;\r\na\r\n0;\r\n\r\n", "chunked: a"},
		{"\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\nX:GET /\r\n\r\n", "chunked:  [X|GET /]"},
	} {
		head := c.head
		if head[0] == '\r' {
			head = "HTTP/1.1 200 OK" + head
		}
		if got := responseOutcome(head+c.rest, 0); got != c.want {
			t.Errorf("%q:\n got %s\nwant %s", head+c.rest, got, c.want)
		}
	}
}

// TestFoldedOption: an option of Connection is one in a folded line as well, and only in
// ASCII's letters.
func TestFoldedOption(t *testing.T) {
	for field, want := range map[string]bool{"keep-alive,\r\n close": true, "clo\u017fe": false} {
		o := (&caseClient{}).run(nil, "HTTP/1.1 200 OK\r\nConnection: "+field+"\r\nContent-Length: 0\r\n\r\n")
		if o.status != 200 || o.close != want {
			t.Errorf("%q: status %d, Close %v", field, o.status, o.close)
		}
	}
}
