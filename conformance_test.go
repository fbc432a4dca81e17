package h1

// conformance_test.go: docs/conformance.md names only what is there, and all of it;
// docs/coverage.md only what is there.
//
// Rule: the first document is the list of what h1 promises; a promise whose test has gone,
// or was renamed, fails here.

import (
	"bytes"
	"context"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
)

// conformanceRows is the checklist: how many behaviours each of its parts has.
var conformanceRows = []struct {
	part string
	rows int
}{{"L", 24}, {"Q", 23}, {"R", 15}, {"I", 14}, {"B", 17}, {"E", 18}}

func TestConformance(t *testing.T) {
	text, err := os.ReadFile("docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	tests, scripts := testNames(t), scriptRows(t)
	row := regexp.MustCompile(`^\| ([A-Z][0-9]+) \| (.+) \| (.+) \| (.*) \|$`)
	named := regexp.MustCompile("`([^`]+)`")
	held := map[string][]string{} // by row
	for i, line := range strings.Split(string(text), "\n") {
		m := row.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		id := m[1]
		if held[id] != nil {
			t.Errorf("docs/conformance.md:%d: %s is there twice", i+1, id)
		}
		held[id] = []string{}
		for _, n := range named.FindAllStringSubmatch(m[4], -1) {
			name := n[1]
			held[id] = append(held[id], name)
			rows, script := scripts[name]
			switch {
			case script && !slices.Contains(rows, id):
				t.Errorf("docs/conformance.md:%d: %s holds %s, and does not say so", i+1, name, id)
			case !script && !tests[name]:
				t.Errorf("docs/conformance.md:%d: there is no %s", i+1, name)
			}
		}
		if len(held[id]) == 0 && !strings.HasPrefix(m[4], "Left to the caller: ") {
			t.Errorf("docs/conformance.md:%d: nothing holds %s", i+1, id)
		}
	}
	for _, p := range conformanceRows {
		for n := 1; n <= p.rows; n++ {
			if id := p.part + strconv.Itoa(n); held[id] == nil {
				t.Errorf("docs/conformance.md: %s is missing", id)
			}
		}
	}
	for name, rows := range scripts {
		if len(rows) == 0 {
			t.Errorf("%s: its first line names no row of docs/conformance.md", name)
		}
		for _, id := range rows {
			if !slices.Contains(held[id], name) {
				t.Errorf("%s says that it holds %s; docs/conformance.md does not", name, id)
			}
		}
	}
}

// TestCoverage: docs/coverage.md names only functions that are there, and lines of theirs;
// and with -profile, what make cover has written, it names each block that was not run.
func TestCoverage(t *testing.T) {
	text, err := os.ReadFile("docs/coverage.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `(\\w+\\.go)` \\| `(\\w+)` \\| `(.+?)` \\| .+ \\|$").FindAllStringSubmatch(string(text), -1)
	if len(rows) == 0 {
		t.Fatal("docs/coverage.md names nothing")
	}
	if *profile != "" {
		checkProfile(t, rows)
	}
	for _, row := range rows {
		src, err := os.ReadFile(row[1])
		if err != nil {
			t.Error(err)
			continue
		}
		f := regexp.MustCompile(`(?ms)^func (\([^)]+\) )?` + row[2] + `\(.*?^}$`).Find(src)
		if !bytes.Contains(f, []byte("\t"+row[3]+"\n")) {
			t.Errorf("docs/coverage.md: %s of %s has no line %q", row[2], row[1], row[3])
		}
	}
}

var profile = flag.String("profile", "", "a profile that -coverprofile has written, for TestCoverage")

// leastCovered is the share of statements that have to be run.
const leastCovered = 0.95

// checkProfile holds a profile against the rows of docs/coverage.md.
func checkProfile(t *testing.T, rows [][]string) {
	text, err := os.ReadFile(*profile)
	if err != nil {
		t.Fatal(err)
	}
	all, run := 0, 0
	block := regexp.MustCompile(`(?m)^example\.com/h1/(\w+\.go):(\d+)\.\S+ (\d+) (\d+)$`)
	for _, b := range block.FindAllStringSubmatch(string(text), -1) {
		n, _ := strconv.Atoi(b[3])
		if all += n; b[4] != "0" {
			run += n
			continue
		}
		src, err := os.ReadFile(b[1])
		if err != nil {
			t.Fatal(err)
		}
		at, _ := strconv.Atoi(b[2])
		lines := strings.Split(string(src), "\n")[at-1 : at+1] // what leads to the block, and its first line
		if !slices.ContainsFunc(rows, func(row []string) bool {
			return row[1] == b[1] && (row[3] == strings.TrimSpace(lines[0]) || row[3] == strings.TrimSpace(lines[1]))
		}) {
			t.Errorf("%s:%d: not run, and not in docs/coverage.md: %s", b[1], at, strings.TrimSpace(lines[0]))
		}
	}
	if float64(run) < leastCovered*float64(all) || all == 0 {
		t.Errorf("%d of %d statements were run", run, all)
	}
}

// testNames returns the tests, fuzz targets, benchmarks and examples of all packages
// here: those of a sub-directory as "dir/TestName".
func testNames(t *testing.T) map[string]bool {
	names := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path)) + "/"
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil {
				continue
			}
			for _, kind := range []string{"Test", "Fuzz", "Benchmark", "Example"} {
				if strings.HasPrefix(f.Name.Name, kind) {
					names[strings.TrimPrefix(dir, "./")+f.Name.Name] = true
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// scriptRows returns, for each wire script, the rows that its first line says it holds:
//
//	# L5, B10, RFC 9112 6.3: ...
func scriptRows(t *testing.T) map[string][]string {
	files, err := filepath.Glob("testdata/wire/*.wire")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	id := regexp.MustCompile(`\b[LQRIBE][0-9]+\b`)
	rows := map[string][]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(text), ":")
		rows[filepath.Base(file)] = id.FindAllString(first, -1)
	}
	return rows
}

// TestNothingIsTouchedAfterwards: a read that was canceled leaves the caller's memory
// alone from then on, whatever the server still sends (E10).
func TestNothingIsTouchedAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWireStream(false)
		c := NewConn(s, nil)
		defer c.Close()
		ctx, cancel := context.WithCancel(context.Background())
		var resp Response
		s.send([]byte("HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 9\r\n\r\nabc"))
		if err := c.Do(ctx, &Request{Host: "example.com"}, &resp); err != nil {
			t.Fatal(err)
		}
		buf := []byte("---------")
		if n, err := resp.Body.Read(buf); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		go func() { synctest.Wait(); cancel() }()
		if n, err := resp.Body.Read(buf[3:]); n != 0 || err == nil {
			t.Fatal(n, err)
		}
		s.send([]byte("defghiHTTP/1.1 404 Evil\r\n\r\n"))
		synctest.Wait()
		if string(buf) != "abc------" || resp.Status != 200 || resp.Header.Get("X") != "y" {
			t.Errorf("after the read had returned: %q, %d, %q", buf, resp.Status, resp.Header.Get("X"))
		}
	})
}

// TestFileIsSent: a body that is a file goes out whole, on the way the kernel has for it,
// and as much of it as was said (Q20).
func TestFileIsSent(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	name := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, size := range []int{len(content), 100000, 1} {
		got := make(chan []byte, 1)
		go func() {
			nc, err := l.Accept()
			if err != nil {
				got <- nil
				return
			}
			defer nc.Close()
			head := "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: " + strconv.Itoa(size) + "\r\n\r\n"
			all := make([]byte, len(head)+size)
			n, _ := io.ReadFull(nc, all)
			io.WriteString(nc, "HTTP/1.1 204 No Content\r\n\r\n")
			got <- bytes.TrimPrefix(all[:n], []byte(head))
		}()
		if err := os.WriteFile(name, content[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c := NewConn(nc, nil)
		defer c.Close()
		var resp Response
		req := Request{Method: "POST", Host: "example.com", Body: file, ContentLength: int64(size)}
		if err := c.Do(context.Background(), &req, &resp); err != nil || resp.Status != 204 {
			t.Errorf("%d bytes: status %d, %v", size, resp.Status, err)
		}
		if b := <-got; !bytes.Equal(b, content[:size]) {
			t.Errorf("%d bytes: the server got %d, or others", size, len(b))
		}
		if err := c.Err(); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}
