package h1

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// raceDetector reports whether it is on.
var raceDetector = func() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}()

// pieces is a stream whose server has said what it will say, in pieces, and then closed.
type pieces struct{ left []string }

func (p *pieces) Read(b []byte) (int, error) {
	for len(p.left) > 0 && p.left[0] == "" {
		p.left = p.left[1:]
	}
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.left[0])
	p.left[0] = p.left[0][n:]
	return n, nil
}

func (*pieces) Write(b []byte) (int, error) { return len(b), nil }
func (*pieces) Close() error                { return nil }

// A caseOutcome is what a caller sees of one response, but for what a caseClient keeps:
// verdict is R, C, E or B as the cases have it.
type caseOutcome struct {
	verdict byte
	kind    Kind
	offset  int64
	why     string // the error's text, which quotes the server
	status  int
	minor   int
	length  int64
	close   bool
}

// A caseClient runs cases, one after the other, in memory that it uses again.
type caseClient struct {
	resp  Response
	body  []byte
	infos []byte // the 1xx responses, printed
}

// run asks once and says what came of it.
func (u *caseClient) run(cfg *Config, wire ...string) (o caseOutcome) {
	c := NewConn(&pieces{left: wire}, cfg)
	defer c.Close()
	u.body, u.infos = u.body[:0], u.infos[:0]
	req := Request{Host: "x", Informational: func(status int, h *Header) error {
		u.infos = append(strconv.AppendInt(u.infos, int64(status), 10), h.buf...)
		return nil
	}}
	failed := func(verdict byte, err error) {
		bad := err.(*Error)
		o.verdict, o.kind, o.offset, o.why = verdict, bad.Kind, bad.Offset, bad.Error()
	}
	if err := c.Do(context.Background(), &req, &u.resp); err != nil {
		failed('E', err)
		return o
	}
	o.status, o.minor, o.length, o.close = u.resp.Status, u.resp.Minor, u.resp.ContentLength, u.resp.Close
	var err error
	switch u.body, err = u.resp.AppendBody(u.body, -1); {
	case err != nil:
		failed('B', err)
	case c.Err() != nil:
		o.verdict = 'C'
	default:
		o.verdict = 'R'
	}
	return o
}

// saw reports whether what u keeps of its last case is what v keeps of its own.
func (u *caseClient) saw(v *caseClient) bool {
	same := func(a, b *Header) bool {
		return bytes.Equal(a.buf, b.buf) && slices.Equal(a.fields, b.fields) && a.known == b.known
	}
	return bytes.Equal(u.body, v.body) && bytes.Equal(u.infos, v.infos) && bytes.Equal(u.resp.reason, v.resp.reason) &&
		same(&u.resp.Header, &v.resp.Header) && same(&u.resp.Trailer, &v.resp.Trailer)
}

// everyCut calls try for each way to cut n bytes in two, on as many goroutines as may run
// at once, each with a client of its own, and returns the first error.
//
// With -short, and under the race detector, which makes it ten times as slow, a long
// response is cut at each of 200 offsets at both ends and at a stride between: what it
// would find at one offset it finds at another, since one goroutine does all.
func everyCut(n int, try func(u *caseClient, at int) error) error {
	const all, ends, stride = 3000, 200, 4093
	var next atomic.Int64
	failed := make(chan error, runtime.GOMAXPROCS(0))
	for range cap(failed) {
		go func() {
			u, err := new(caseClient), error(nil)
			for at := int(next.Add(1)); at < n && err == nil; at = int(next.Add(1)) {
				if (testing.Short() || raceDetector) && n > all && at > ends && n-at > ends && at%stride != 0 {
					continue
				}
				err = try(u, at)
			}
			failed <- err
		}()
	}
	var first error
	for range cap(failed) {
		if err := <-failed; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Every case has the verdict it is listed with, and the same outcome however it is cut.
func TestCases(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // a head of 200 KB is read into a new buffer each time
	data, err := os.ReadFile("testdata/cases/responses.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		N                   int
		Name, Verdict, Wire string
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != 67 {
		t.Fatalf("%d cases", len(cases))
	}
	lenient := map[int]Lenient{14: BareLF, 17: SpaceBeforeColon, 66: HTTP09}
	for _, c := range cases {
		wire := make([]byte, 0, len(c.Wire)) // a character a byte
		for _, r := range c.Wire {
			wire = append(wire, byte(r))
		}
		want := c.Verdict[0]
		switch c.N {
		case 48, 55: // delivered, then C
			want = 'C'
		case 52: // the 103 is delivered; its "body" is no head
			want = 'E'
		}
		t.Run(strings.ReplaceAll(c.Name, "/", "_"), func(t *testing.T) {
			checkCase(t, Config{}, string(wire), want, c.N == 48 || c.N == 55)
			if bit, ok := lenient[c.N]; ok {
				checkCase(t, Config{Lenient: bit}, string(wire), c.Verdict[strings.LastIndex(c.Verdict, ": ")+2], false)
			}
			var u caseClient
			if u.run(&Config{}, string(wire)); c.N == 52 && !strings.HasPrefix(string(u.infos), "103") {
				t.Errorf("informational responses: %q", u.infos)
			}
		})
	}
}

// checkCase runs one case in every way. Where bytes follow the response that nobody asked
// for (tail), and come later than its end, this stream cannot be asked for them: R is then
// as good as C. That no request meets them on a socket is TestPoisonBehindResponse's.
func checkCase(t *testing.T, cfg Config, wire string, want byte, tail bool) {
	t.Helper()
	var one caseClient
	whole := one.run(&cfg, wire)
	if whole.verdict != want {
		t.Fatalf("%c, want %c: %+v", whole.verdict, want, whole)
	}
	compare := func(u *caseClient, name string, wire ...string) error {
		got := u.run(&cfg, wire...)
		if tail && got.verdict == 'R' {
			got.verdict = 'C'
		}
		if got == whole && u.saw(&one) {
			return nil
		}
		return fmt.Errorf("%s %+v, body %.99q; whole %+v, body %.99q", name, got, u.body, whole, one.body)
	}
	if err := compare(new(caseClient), "byte by byte", strings.Split(wire, "")...); err != nil {
		t.Fatal(err)
	}
	err := everyCut(len(wire), func(u *caseClient, at int) error {
		return compare(u, "cut at "+strconv.Itoa(at), wire[:at], wire[at:])
	})
	if err != nil {
		t.Fatal(err)
	}
}
