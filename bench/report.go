package main

// report.go: tables, for the terminal and for RESULTS.md.

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
)

var metricNames = [metrics]string{
	wall: "wall", cpu: "CPU", allocs: "allocs", allocBytes: "bytes", reads: "reads", writes: "writes",
	memoryHeld: "held", goroutines: "goroutines",
}

// text prints a figure of this metric.
func (m metric) text(v float64) string {
	switch m {
	case wall, cpu:
		switch {
		case math.Abs(v) >= 1e6:
			return fmt.Sprintf("%.1f ms", v/1e6)
		case math.Abs(v) >= 1e4:
			return fmt.Sprintf("%.1f µs", v/1e3)
		}
		return fmt.Sprintf("%.0f ns", v)
	case allocBytes, memoryHeld:
		return fmt.Sprintf("%.0f B", v)
	}
	return fmt.Sprintf("%.1f", round(v))
}

// table prints a row: each contestant's figures, and some of them compared with the first
// contestant's.
func (r result) table() string {
	first := r.contestants[0].name
	var b strings.Builder
	fmt.Fprintf(&b, "### %s `%s`: %s\n\n| |", r.number, r.name, r.work)
	for _, m := range r.shows {
		fmt.Fprintf(&b, " %s |", metricNames[m])
	}
	compared := r.compared()
	for _, m := range compared {
		fmt.Fprintf(&b, " %s %s %s |", metricNames[m], r.sign(), first)
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(r.shows)+len(compared)) + "\n")
	for _, c := range r.contestants {
		fmt.Fprintf(&b, "| %s |", c.name)
		for _, m := range r.shows {
			fmt.Fprintf(&b, " %s |", m.text(r.median(c.name, m)))
		}
		for _, m := range compared {
			fmt.Fprintf(&b, " %s |", r.compareText(c.name, first, m))
		}
		b.WriteString("\n")
	}
	return b.String() + "\n"
}

// compared returns the metrics that are compared with the first contestant's.
func (r result) compared() (ms []metric) {
	for _, m := range r.shows {
		if m == wall || m == cpu || m == memoryHeld {
			ms = append(ms, m)
		}
	}
	return ms
}

func (r result) sign() string {
	if r.differs {
		return "-"
	}
	return "/"
}

func (r result) compareText(who, of string, m metric) string {
	v := r.against(who, of, m)
	if r.differs {
		return m.text(v)
	}
	return fmt.Sprintf("%.2f", v)
}

// meets returns a target's line: what is asked, what was measured, and whether it is met.
func (r result) meets(t target) (asked, measured string, met bool) {
	who, name := t.name(), metricNames[t.what]
	if who != "h1" {
		name = who + ": " + name
	}
	switch {
	case t.of == "":
		v := r.median(who, t.what)
		return fmt.Sprintf("%s at most %s", name, t.what.text(t.most)), t.what.text(v), round(v) <= t.most
	case r.differs:
		v := r.against(who, t.of, t.what)
		return fmt.Sprintf("%s at most %s over %s", name, t.what.text(t.most), t.of), t.what.text(v), round(v) <= t.most
	}
	v := r.against(who, t.of, t.what)
	return fmt.Sprintf("%s at most %.2f of %s", name, t.most, t.of), fmt.Sprintf("%.3f", v), v <= t.most
}

// floorMisses returns a remark if not even a floor meets a target that a peer sets.
func (r result) floorMisses(t target) string {
	if r.differs || t.of == "" || t.of == "floor" {
		return ""
	}
	for _, name := range []string{"floor", floorShared.name} {
		if !r.has(name) {
			continue
		}
		if v := r.against(name, t.of, t.what); v > t.most {
			return fmt.Sprintf("; the %s itself: %.2f", name, v)
		}
	}
	return ""
}

// round drops what the runtime allocates by itself, once in a slot, in a collection.
func round(v float64) float64 { return math.Round(v*10)/10 + 0 } // + 0 makes 0 of -0

// targetsTable lists all targets.
func targetsTable(results []result) string {
	var b strings.Builder
	b.WriteString("| # | benchmark | target | measured | |\n|---|---|---|---:|---|\n")
	for _, r := range results {
		for _, t := range r.targets {
			asked, measured, met := r.meets(t)
			verdict := "met"
			if !met {
				verdict = "**missed**" + r.floorMisses(t)
			}
			fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s |\n", r.number, r.name, asked, measured, verdict)
		}
	}
	return b.String() + "\n"
}

// table prints a curve's points.
func (g curveResult) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### 16 `%s`: %s\n\n| %s |", g.name, g.title, g.size)
	for _, c := range g.results[0].contestants {
		fmt.Fprintf(&b, " %s |", c.name)
	}
	b.WriteString("\n|---:|" + strings.Repeat("---:|", len(g.results[0].contestants)) + "\n")
	for i, r := range g.results {
		fmt.Fprintf(&b, "| %d |", g.points[i])
		for _, c := range r.contestants {
			fmt.Fprintf(&b, " %s |", wall.text(r.median(c.name, wall)))
		}
		b.WriteString("\n")
	}
	return b.String() + "\n"
}

// A report is what a run has found.
type report struct {
	schedule
	results []result
	spent   []spending
	curves  []curveResult
	took    time.Duration
}

const method = `Each contestant has a slot of %v in each of %d rounds. The contestants take
turns, and send and receive the same bytes. Growth, idle connections and chunks from a file
get a third of the rounds; other bodies of 1 GiB get twice as many, because a slot holds
only one of them. In each slot a contestant opens new connections, warms up, is measured,
and closes them: the kernel gives some connections better windows than others for all their
life, so a figure must come from many. A figure is the median over the rounds; a ratio is
the median of the rounds' ratios. All figures are per operation: wall time, CPU time of the
client's process (getrusage), heap objects and bytes, and read and write system calls.

The server is a process of its own, with one thread that counts requests and writes canned
bytes. In rows 1, 2, 5, 11, 13 and 18, and in the growth of heads and bodies, client and
server share one core, and the client has GOMAXPROCS=1: to wake an idle core costs more than
most of what is compared, and more Ps than cores make net/http slower than it is. Rows 6, 7,
8 and 17 run on one core as well, and no server answers them. The other rows have all cores.
Rows 6 and 7 run h1's own benchmarks of its parser and encoder, which are not exported. Rows
of less than a microsecond may differ by a tenth by where the linker puts the code.

The floor is the same bytes written and read without HTTP, in one Write and as few Reads as
possible; for uploads it is io.Copy of the file, which is sendfile, and for a relay io.Copy
between connections, which is splice. ClientConn and Transport are net/http's, HostClient
and PipelineClient are fasthttp's. In row 15 Transport opens no more connections than it
needs, and the others use all of them in turn. On the pool of one connection the workers of
"h1, depth 64" share it, and those of the others hand it from one to the next. In row 18
both RoundTrippers have the same settings and send one request again and again, which
http.RoundTripper allows once the body is closed.

The README shows how many times as long as h1 the others take. That is a median of the
rounds' ratios, too, and so not exactly the quotient of two ratios to the floor. In growth,
a step is called flat or linear if its exponent of the size is within %v of 0 or 1.

`

const aboutSpending = `These rows miss a target. The figures are CPU time per operation,
from a CPU profile of each contestant alone; that is not wall time if other threads work
meanwhile, or all of them wait. Where a floor itself misses a target, a client would have to
be faster than bare writes and reads to meet it.

Before a request goes to an idle connection, h1 looks whether bytes or an end have come,
which would be taken for the response. On a socket that is no additional system call: it
replaces a read that would find nothing. Under TLS (row 2) it is a system call, and a Read
with a deadline that has passed, to see what TLS has read ahead. fasthttp does not look.

On a shared connection (rows 3 and 4) each request has a goroutine, which waits and is
woken; the floor is one goroutine that writes a batch and reads it. The shared floor has as
many goroutines as h1, but no HTTP: one writes and reads for all. When the runtime wakes a
goroutine it also wakes an idle processor, which then finds little to do. With GOMAXPROCS=1
it does not, and the difference in CPU time is what that costs.

In row 5 the floor neither parses responses nor matches them to requests. In row 7 h1 checks
what it writes, and fasthttp does not. Reads and writes that the scheduler does not know of
would cost less, but mostly because the runtime's monitor then sleeps, and nothing
interrupts a goroutine that computes (TestOthersRunAfterDo).

In row 17 a Deadline has one SetDeadline called for each request, and the time read once:
"bare SetDeadline" is h1 without a Deadline, and such a call beside it.

`

// write writes the report, its plots beside it, and a few of its figures in a README.
func (rep report) write(file, readme string) {
	var b strings.Builder
	fmt.Fprintf(&b, "# Results\n\nWritten by `make bench` in %v, on: %s.\n\n", rep.took.Round(time.Second), machine())
	fmt.Fprintf(&b, method, rep.slot, rep.rounds, slack)
	b.WriteString("![" + headlineTitle + "](plots/headline.svg)\n\n## Targets\n\n" + targetsTable(rep.results) + "## Figures\n\n")
	for _, r := range rep.results {
		b.WriteString(r.table())
	}
	if len(rep.spent) > 0 {
		b.WriteString("## Where the time goes\n\n" + aboutSpending)
	}
	for _, sp := range rep.spent {
		b.WriteString(sp.table())
	}
	b.WriteString("## Growth\n\n")
	for _, g := range rep.curves {
		fmt.Fprintf(&b, "%s%s\n\n![%s](plots/%s.svg)\n\n", g.table(), g.verdict(), g.title, g.name)
	}
	plots := filepath.Join(filepath.Dir(file), "plots")
	check(os.MkdirAll(plots, 0o755))
	check(os.WriteFile(file, []byte(strings.TrimSpace(b.String())+"\n"), 0o644))
	rep.plotHeadline(filepath.Join(plots, "headline.svg"))
	for _, g := range rep.curves {
		g.plot(filepath.Join(plots, g.name+".svg"))
	}
	if readme != "" {
		rep.showIn(readme, plots)
	}
}
