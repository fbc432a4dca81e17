package h1

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
)

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

// A caseOutcome is what a caller sees of one response: verdict is R, C, E or B as the cases
// have it.
type caseOutcome struct {
	verdict byte
	kind    Kind
	offset  int64
	status  int
	body    string
	infos   int
}

// runCase asks once and says what came of it.
func runCase(cfg Config, wire ...string) (o caseOutcome) {
	c := NewConn(&pieces{left: wire}, &cfg)
	defer c.Close()
	req := Request{Host: "x", Informational: func(int, *Header) error { o.infos++; return nil }}
	var resp Response
	var bad *Error
	if err := c.Do(context.Background(), &req, &resp); err != nil {
		bad, o.verdict = err.(*Error), 'E'
	} else {
		o.status = resp.Status
		body, err := resp.AppendBody(nil, -1)
		o.body = string(body)
		switch {
		case err != nil:
			bad, o.verdict = err.(*Error), 'B'
		case c.Err() != nil:
			o.verdict = 'C'
		default:
			o.verdict = 'R'
		}
	}
	if bad != nil {
		o.kind, o.offset = bad.Kind, bad.Offset
	}
	return o
}

// splits returns where to cut a response in two: at every offset; in the few that are long,
// at every one near both ends and at a stride between.
func splits(wire string) (at []int) {
	const all, ends, stride = 3000, 200, 4093
	for i := 1; i < len(wire); i++ {
		if len(wire) <= all || i < ends || len(wire)-i < ends || i%stride == 0 {
			at = append(at, i)
		}
	}
	return at
}

// Every case has the verdict it is listed with, and the same outcome however it is cut.
func TestCases(t *testing.T) {
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
			if o := runCase(Config{}, string(wire)); c.N == 52 && o.infos != 1 {
				t.Errorf("%d informational responses were delivered", o.infos)
			}
		})
	}
}

// checkCase runs one case in every way. Where bytes follow the response that nobody asked
// for (tail), and come later than its end, this stream cannot be asked for them: R is then
// as good as C. That no request meets them on a socket is TestPoisonBehindResponse's.
func checkCase(t *testing.T, cfg Config, wire string, want byte, tail bool) {
	t.Helper()
	later := func(o caseOutcome) caseOutcome {
		if tail && o.verdict == 'R' {
			o.verdict = 'C'
		}
		return o
	}
	whole := runCase(cfg, wire)
	if whole.verdict != want {
		t.Fatalf("%c, want %c: %+v", whole.verdict, want, whole)
	}
	if got := later(runCase(cfg, strings.Split(wire, "")...)); got != whole {
		t.Fatalf("byte by byte %+v, whole %+v", got, whole)
	}
	for _, i := range splits(wire) {
		got := later(runCase(cfg, wire[:i], wire[i:]))
		if got != whole {
			t.Fatalf("cut at %d %+v, whole %+v", i, got, whole)
		}
	}
}
