package h1_test

// laws_test.go: what must hold of the repository's files, whatever they do.
//
// Rule: a law reads source text or runs the go command; it calls nothing of the package.
// Its failure names the file and says what to do.

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/doc"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// pureFiles decide and encode, and leave acting to others: they do no I/O, take no lock
// and read no clock. So each can be tested with bytes alone.
var pureFiles = []string{"decode.go", "lenient.go", "framing.go", "header.go", "encode.go", "chunked.go", "keepalive.go"}

// pureImports is what pureFiles may import, and pureFmt what they may call of fmt, which
// can write too.
var (
	pureImports = []string{
		"bytes", "cmp", "encoding/binary", "errors", "fmt", "iter", "maps", "math", "math/bits",
		"slices", "strconv", "strings", "unicode/utf8",
	}
	pureFmt = []string{"Errorf", "Sprint", "Sprintf", "Append", "Appendf", "Stringer", "State", "Formatter"}
)

func TestLawModuleRequiresNothing(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(mod), "\n") {
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word != "" && word != "module" && word != "go" && !strings.HasPrefix(word, "//") {
			t.Errorf("go.mod:%d: %q: the module has a name and a Go version, and needs nothing else", i+1, line)
		}
	}
	if _, err := os.Stat("go.sum"); err == nil {
		t.Error("go.sum exists: the module requires nothing, so it has nothing to sum")
	}
}

func TestLawEngineImports(t *testing.T) {
	// reflect and unsafe may be needed one day; then the import's own line must say why.
	justified := []string{"reflect", "unsafe"}
	never := []string{"net/http", "crypto/tls"}
	fset := token.NewFileSet()
	for _, name := range engineFiles(t) {
		for _, imp := range parse(t, fset, name, parser.ImportsOnly|parser.ParseComments).Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			first, _, _ := strings.Cut(path, "/")
			switch at := fset.Position(imp.Pos()); {
			case strings.Contains(first, "."):
				t.Errorf("%s: imports %s: the standard library alone", at, path)
			case slices.Contains(never, path):
				t.Errorf("%s: imports %s", at, path)
			case slices.Contains(justified, path) && imp.Comment.Text() == "":
				t.Errorf("%s: imports %s and does not say why on the same line", at, path)
			}
		}
	}
}

// TestLawNetHTTP: of the whole module h1http alone, and tests, import net/http. (bench is
// another module.)
func TestLawNetHTTP(t *testing.T) {
	fset := token.NewFileSet()
	for _, pattern := range []string{"*.go", "cmd/*/*.go"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			for _, imp := range parse(t, fset, name, parser.ImportsOnly).Imports {
				if imp.Path.Value == `"net/http"` {
					t.Errorf("%s: imports net/http", fset.Position(imp.Pos()))
				}
			}
		}
	}
}

// TestLawEngineDependencies sees what the engine imports through others.
func TestLawEngineDependencies(t *testing.T) {
	deps := strings.Fields(goCommand(t, nil, "list", "-deps", "."))
	for _, path := range []string{"net/http", "crypto/tls"} {
		if slices.Contains(deps, path) {
			t.Errorf("the engine depends on %s", path)
		}
	}
}

func TestLawPureFiles(t *testing.T) {
	fset := token.NewFileSet()
	for _, name := range pureFiles {
		file := parse(t, fset, name, 0)
		for _, imp := range file.Imports {
			if path, _ := strconv.Unquote(imp.Path.Value); !slices.Contains(pureImports, path) {
				t.Errorf("%s: imports %s: this file does no I/O, takes no lock and reads no clock",
					fset.Position(imp.Pos()), path)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "fmt" && !slices.Contains(pureFmt, sel.Sel.Name) {
					t.Errorf("%s: fmt.%s: this file does no I/O", fset.Position(n.Pos()), sel.Sel.Name)
				}
			}
			return true
		})
	}
}

// TestLawCompiles builds the engine for systems that this test does not run on, of each
// kind and of both widths of int. Where they differ most the tests must compile too: it
// takes twice the time, for they need net/http.
func TestLawCompiles(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles parts of the standard library for each system, a minute in all")
	}
	for _, target := range []struct {
		system, machine string
		tests           bool
	}{
		{"linux", "arm64", false},
		{"linux", "386", true},
		{"darwin", "arm64", false},
		{"windows", "amd64", true},
		{"windows", "386", false},
		{"freebsd", "amd64", false},
		{"plan9", "amd64", false},
		{"aix", "ppc64", false}, // a Unix that cannot look into a socket without waiting
		{"js", "wasm", false},
		{"wasip1", "wasm", false},
	} {
		t.Run(target.system+"_"+target.machine, func(t *testing.T) {
			env := []string{"GOOS=" + target.system, "GOARCH=" + target.machine, "CGO_ENABLED=0"}
			goCommand(t, env, "build", ".")
			if target.tests {
				goCommand(t, env, "vet", ".")
			}
		})
	}
}

// TestLawReadme: the README's first program compiles as it stands there.
func TestLawReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, begins := strings.Cut(string(readme), "```go\n")
	program, _, ends := strings.Cut(rest, "```\n")
	if !begins || !ends {
		t.Fatal("README.md: there is no program in it")
	}
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	goCommand(t, nil, "vet", file) // which compiles it, within this module
}

// TestLawDocs: every exported name has its sentence, fields of structs included.
func TestLawDocs(t *testing.T) {
	for _, dir := range libraries {
		t.Run(dir, func(t *testing.T) { lawDocs(t, dir) })
	}
}

func lawDocs(t *testing.T, dir string) {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range filesOf(t, dir) {
		files = append(files, parse(t, fset, name, parser.ParseComments))
	}
	pkg, err := doc.NewFromFiles(fset, files, path.Join("example.com/h1", dir))
	if err != nil {
		t.Fatal(err)
	}
	if pkg.Doc == "" {
		t.Error("the package has no overview")
	}
	want := func(pos token.Pos, name, text string) {
		if ast.IsExported(name) && strings.TrimSpace(text) == "" {
			t.Errorf("%s: %s has no doc comment", fset.Position(pos), name)
		}
	}
	values := func(groups []*doc.Value) {
		for _, group := range groups {
			for _, spec := range group.Decl.Specs {
				spec := spec.(*ast.ValueSpec)
				for _, name := range spec.Names {
					// A group's text speaks for a lone value, but not for each of several.
					text := spec.Doc.Text() + spec.Comment.Text()
					if len(group.Decl.Specs) == 1 {
						text += group.Doc
					}
					want(name.Pos(), name.Name, text)
				}
			}
		}
	}
	funcs := func(of string, list []*doc.Func) {
		for _, f := range list {
			if ast.IsExported(f.Name) {
				want(f.Decl.Pos(), f.Name, f.Doc)
			}
			if f.Doc != "" && of == "" && !strings.HasPrefix(f.Doc, f.Name) {
				t.Errorf("%s: the comment of %s does not begin with its name", fset.Position(f.Decl.Pos()), f.Name)
			}
		}
	}
	values(pkg.Consts)
	values(pkg.Vars)
	funcs("", pkg.Funcs)
	for _, typ := range pkg.Types {
		want(typ.Decl.Pos(), typ.Name, typ.Doc)
		values(typ.Consts)
		values(typ.Vars)
		funcs("", typ.Funcs)
		funcs(typ.Name, typ.Methods)
		for _, spec := range typ.Decl.Specs {
			if s, ok := spec.(*ast.TypeSpec).Type.(*ast.StructType); ok {
				for _, field := range s.Fields.List {
					for _, name := range field.Names {
						want(name.Pos(), typ.Name+"."+name.Name, field.Doc.Text()+field.Comment.Text())
					}
				}
			}
		}
	}
}

// TestLawFiles: every file of the engine can be read in one sitting, every file of the
// engine and of h1http says first what it is about, and every file of the repository is as
// gofmt leaves it, with comments that need no wide window.
func TestLawFiles(t *testing.T) {
	const most = 700  // lines; past it, a file is two files
	const widest = 92 // columns of a line that is a comment
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != "." && strings.HasPrefix(entry.Name(), "."):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if formatted, err := format.Source(src); err != nil {
			t.Errorf("%s: %v", path, err)
		} else if !bytes.Equal(formatted, src) {
			t.Errorf("%s: run gofmt -w on it", path)
		}
		if lines := bytes.Count(src, []byte("\n")); filepath.Dir(path) == "." && lines > most {
			t.Errorf("%s has %d lines, more than %d", path, lines, most)
		}
		for i, line := range strings.Split(string(src), "\n") {
			comment := strings.TrimLeft(line, "\t")
			if strings.HasPrefix(comment, "//") && utf8.RuneCountInString(line) > widest {
				t.Errorf("%s:%d: a comment wider than %d columns", path, i+1, widest)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range libraries {
		for _, name := range filesOf(t, dir) {
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			opening := "// " + filepath.Base(name) + ": "
			if filepath.Base(name) != "doc.go" && !bytes.Contains(src, []byte("\n"+opening)) {
				t.Errorf("%s: its opening comment, %q, is missing", name, opening+"what it is about")
			}
		}
	}
}

// libraries are the directories of the packages that others import: the engine, and h1http.
var libraries = []string{".", "h1http"}

// engineFiles returns the Go files of the root package but its tests, for every system.
func engineFiles(t *testing.T) []string { return filesOf(t, ".") }

// filesOf does so for the package in dir.
func filesOf(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
	if len(names) < len(pureFiles) {
		t.Fatalf("found %q alone: laws are tested in the root package's directory", names)
	}
	return names
}

func parse(t *testing.T, fset *token.FileSet, name string, mode parser.Mode) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(fset, name, nil, mode)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// goCommand runs the go command and returns its output. It skips the test where there is
// none: a binary of tests may run on a machine without Go.
func goCommand(t *testing.T, env []string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("go")
	if err != nil {
		t.Skipf("%v on this %s", err, runtime.GOOS)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(fmt.Sprintf("%s go %s: %v\n", strings.Join(env, " "), strings.Join(args, " "), err) + stderr.String())
	}
	return string(out)
}
