// Command bench compares h1 with the cost of its streams alone (the floor) and with its
// peers, in one run and on the same bytes. RESULTS.md, which it writes, says how.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == serverFlag {
		core, err := strconv.Atoi(os.Args[2])
		check(err)
		serve(core)
	}
	run := flag.String("run", "", "run only the benchmark of this `name`")
	only := flag.String("only", "", "with -run, run only the contestant of this `name`: for profiles")
	profile := flag.String("cpuprofile", "", "write a CPU profile to this `file`")
	rounds := flag.Int("rounds", 9, "take the median over this `number` of rounds; over a third of it for slow benchmarks, twice as many for large bodies")
	slot := flag.Duration("slot", 80*time.Millisecond, "`time` of one contestant in one round")
	quick := flag.Bool("quick", false, "run each benchmark once and briefly, to see that it works")
	out := flag.String("out", "", "write the results to this `file`, and plots beside it")
	readme := flag.String("readme", "../README.md", "with -out, also write a few of the figures into this `file`")
	flag.Parse()
	if *out != "" && (*run != "" || *only != "" || *quick) {
		fatal("-out is for the whole suite: without -run, -only and -quick")
	}
	if *out != "" && *readme != "" {
		aroundFigures(*readme) // fails now, not after the run, if it has no place for them
	}
	s := schedule{rounds: *rounds, slot: *slot}
	if *quick {
		s = schedule{rounds: 1, slot: time.Millisecond}
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		check(err)
		check(pprof.StartCPUProfile(f))
		defer pprof.StopCPUProfile()
	}
	rep := suite(s, options{run: *run, only: *only, quick: *quick, profiling: *profile != ""})
	if *out != "" {
		rep.write(*out, *readme)
	}
}

// options are the flags that say what to measure.
type options struct {
	run       string // the name of a row or a curve; "": all
	only      string // of the contestant; "": all
	quick     bool
	profiling bool // this process writes a CPU profile
}

func (o options) wants(name string) bool { return o.run == "" || o.run == name }

// suite runs the benchmarks that are wanted, and prints their tables.
func suite(s schedule, o options) report {
	began := time.Now()
	p, end := newPlace()
	defer end()
	rep := report{schedule: s}
	for _, r := range rows(o.quick) {
		if !o.wants(r.name) {
			continue
		}
		r.pick(o.only)
		res := p.measure(s, r)
		rep.results = append(rep.results, res)
		fmt.Print(res.table())
		if who := res.missed(); len(who) > 0 && !o.profiling {
			sp := s.spend(p.serverOf(r), p.dir, r, who)
			rep.spent = append(rep.spent, sp)
			fmt.Print(sp.table())
		}
	}
	s.slot /= 2 // a curve has many points
	for _, c := range curves(o.quick) {
		if !o.wants(c.name) {
			continue
		}
		g := curveResult{curve: c}
		for _, x := range c.points {
			r := c.at(x)
			r.name = c.name
			r.pick(o.only)
			g.results = append(g.results, p.measure(s, r))
		}
		fmt.Print(g.table(), g.verdict(), "\n\n")
		rep.curves = append(rep.curves, g)
	}
	if len(rep.results)+len(rep.curves) == 0 {
		fatal("no benchmark is named " + o.run)
	}
	if len(rep.results) > 0 && !o.quick {
		fmt.Print(targetsTable(rep.results))
	}
	rep.took = time.Since(began)
	return rep
}

func rows(quick bool) []row {
	return slices.Concat(soloRows(), pipelineRows(), codecRows(), []row{memoryRow()}, bodyRows(quick),
		[]row{idleRow(quick)}, poolRows(), []row{optionsRow(), roundTripperRow()})
}

// A place is where rows are measured.
type place struct {
	pinned, free string // the servers' addresses: of one on the last core, and one on any
	dir          string // for what contestants build
}

func newPlace() (p place, end func()) {
	var stopPinned, stopFree func()
	p.pinned, stopPinned = startServer(lastCore())
	p.free, stopFree = startServer(noCore)
	var err error
	p.dir, err = os.MkdirTemp("", "h1-bench")
	check(err)
	return p, func() {
		os.RemoveAll(p.dir)
		stopFree()
		stopPinned()
	}
}

func (p place) serverOf(r row) string {
	if r.pinned {
		return p.pinned
	}
	return p.free
}

// mostPerRow ends the program if a contestant hangs; the longest row takes a quarter of it.
const mostPerRow = 3 * time.Minute

func (p place) measure(s schedule, r row) result {
	hangs := time.AfterFunc(mostPerRow, func() { fatal(r.name + " does not end") })
	defer hangs.Stop()
	return s.run(p.serverOf(r), p.dir, r)
}

// pick leaves only the contestant of that name, if one is named. The targets are dropped,
// for they need the others.
func (r *row) pick(only string) {
	if only != "" {
		r.contestants = slices.DeleteFunc(r.contestants, func(c contestant) bool { return c.name != only })
		r.targets = nil
		insist(len(r.contestants) > 0, "%s has no contestant named %s", r.name, only)
	}
}

func check(err error) {
	if err != nil {
		fatal(caller(), err)
	}
}

// fatal ends the program: no figure would be right.
func fatal(why ...any) {
	fmt.Fprintln(os.Stderr, "bench:", strings.TrimSpace(fmt.Sprintln(why...)))
	os.Exit(1)
}

// caller says where the function that asks was called.
func caller() string {
	_, file, line, _ := runtime.Caller(2)
	return fmt.Sprintf("%s:%d:", file[strings.LastIndex(file, "/")+1:], line)
}
