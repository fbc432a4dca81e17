package main

// page.go: the form of what is printed: rows of a gutter, a mark, a text and a note.
//
// Rule: nothing that came from a server reaches the terminal unquoted.

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

const (
	gutter = 10  // columns before the mark: "write 1234"
	column = 40  // columns of text before a note
	widest = 100 // columns of a text that clip shortens
)

// A page is where rows are printed. The goroutine that uploads and the one that reads may
// both print.
type page struct {
	mu      sync.Mutex
	w       io.Writer
	colours bool
}

// The few colours, as SGR parameters.
const (
	bold  = "1"
	dim   = "2"
	cyan  = "36"
	green = "32"
	amber = "33"
)

// newPage returns a page on f, in colours if f is a terminal and NO_COLOR is not set
// (https://no-color.org).
func newPage(f *os.File) *page {
	info, err := f.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
	return &page{w: f, colours: terminal && os.Getenv("NO_COLOR") == ""}
}

// in returns s in a colour.
func (p *page) in(colour, s string) string {
	if !p.colours || s == "" {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

func (p *page) print(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.w, strings.TrimRight(s, " "))
}

func (p *page) title(format string, args ...any) {
	p.print("\n" + p.in(bold, clip(fmt.Sprintf(format, args...))) + "\n")
}

func (p *page) legend(s string) { p.print(strings.Repeat(" ", gutter+1) + p.in(dim, s)) }

func (p *page) end(format string, args ...any) { p.print("\n" + plain(fmt.Sprintf(format, args...))) }

// state prints the state of the connection, and what has led to it.
func (p *page) state(now, why string) {
	p.print(fmt.Sprintf("%*s %s%s %s", gutter, "state",
		p.in(amber, now), pad(now, column+2), p.in(dim, why)))
}

// row prints one line of the wire. call is the call that moved it, "" behind the first line
// of a call.
func (p *page) row(call string, mark byte, text, note string) {
	colour := cyan
	if mark == '<' {
		colour = green
	}
	p.print(fmt.Sprintf("%s%s %s %s%s %s", pad(call, gutter), p.in(dim, call),
		p.in(colour, string(mark)), text, pad(text, column), p.in(dim, note)))
}

// pad returns the spaces that s lacks to be n columns wide.
func pad(s string, n int) string {
	return strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s)))
}

// plain returns s on one line, with control characters escaped.
func plain(s string) string {
	quoted := strconv.Quote(s)
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(quoted[1 : len(quoted)-1])
}

// clip is plain, cut off at widest: for what may be long and need not be read whole.
func clip(s string) string {
	if s = plain(s); utf8.RuneCountInString(s) > widest {
		s = string([]rune(s)[:widest-3]) + "..."
	}
	return s
}
