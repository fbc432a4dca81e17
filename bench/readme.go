package main

// readme.go: the few figures that the README shows.

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The program owns what stands between these lines of the README.
const (
	figuresBegin = "<!-- make bench writes what follows -->\n"
	figuresEnd   = "<!-- make bench wrote what is above -->\n"
)

// aroundFigures returns what a README has before and after its figures.
func aroundFigures(file string) (before, after string) {
	text, err := os.ReadFile(file)
	check(err)
	before, rest, begins := strings.Cut(string(text), figuresBegin)
	_, after, ends := strings.Cut(rest, figuresEnd)
	insist(begins && ends, "%s has no place for figures", file)
	return before + figuresBegin, figuresEnd + after
}

// shown are the rows of the README's table.
var shown = []struct{ name, work string }{
	{"get", "GET of 13 bytes, one after the other"},
	{"tls", "the same over TLS"},
	{"depth64", "64 goroutines on one connection"},
	{"pool64", "64 workers, 64 connections"},
	{"download", "1 GiB read"},
	{"relay", "1 GiB to another socket"},
	{"chunks1k", "1 MiB in chunks of 1 KiB"},
	{"upload", "1 GiB from a file"},
	{"post64k", "POST of 64 KiB"},
	{"parse236", "parse a head"},
	{"encode", "encode a head"},
}

// showIn writes the figures into the README. The plots are in another directory.
func (rep report) showIn(readme, plots string) {
	before, after := aroundFigures(readme)
	from, err := filepath.Abs(filepath.Dir(readme))
	check(err)
	plots, err = filepath.Abs(plots)
	check(err)
	plots, err = filepath.Rel(from, plots)
	check(err)
	plots = filepath.ToSlash(plots)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nh1's time for one operation, and how many times as long the others take: fasthttp's HostClient (on the shared\n"+
		"connection its PipelineClient) and net/http's ClientConn. Measured on %s.\n\n", before, machine())
	b.WriteString("| | h1 | floor | fasthttp | net/http |\n|---|---:|---:|---:|---:|\n")
	for _, s := range shown {
		r := rep.of(s.name)
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", s.work, wall.text(r.median("h1", wall)),
			r.times("floor"), r.times("HostClient", "PipelineClient", "fasthttp"), r.times("ClientConn", "net/http"))
	}
	fmt.Fprintf(&b, "\n%s\n\n![%s](%s/headline.svg)\n\n", rep.besides(), headlineTitle, plots)
	for _, g := range rep.curves {
		fmt.Fprintf(&b, "<img src=\"%s/%s.svg\" width=\"32%%\" alt=\"%s\">\n", plots, g.name, g.title)
	}
	check(os.WriteFile(readme, []byte(b.String()+"\n"+after), 0o644))
}

// of returns the row of that name.
func (rep report) of(name string) result {
	i := slices.IndexFunc(rep.results, func(r result) bool { return r.name == name })
	insist(i >= 0, "no row is named %s", name)
	return rep.results[i]
}

// times returns how many times as long as h1 the first of these contestants takes that did
// the work.
func (r result) times(others ...string) string {
	for _, other := range others {
		if r.has(other) {
			return fmt.Sprintf("%.2f", r.against(other, "h1", wall))
		}
	}
	return ""
}

// besides returns the figures that are no multiple of h1's time.
func (rep report) besides() string {
	http, idle := rep.of("roundtripper"), rep.of("idle")
	return fmt.Sprintf("As an `http.RoundTripper`, `h1http.Transport` takes %.2f of `http.Transport`'s time for a GET with 8 response\n"+
		"fields, and makes %.0f allocations instead of %.0f. Beyond its socket an idle connection holds %s and %.0f\n"+
		"goroutines; one of net/http's holds %s and %.0f.",
		http.against("h1http", "Transport", wall), http.median("h1http", allocs), http.median("Transport", allocs),
		memoryHeld.text(idle.against("h1", "floor", memoryHeld)), round(idle.median("h1", goroutines)),
		memoryHeld.text(idle.against("ClientConn", "floor", memoryHeld)), idle.median("ClientConn", goroutines))
}
