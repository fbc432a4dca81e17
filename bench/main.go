// Command bench compares h1 with the floor of its streams and with its peers, in one run
// and on the same bytes: see RESULTS.md, which it writes.
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
	rounds := flag.Int("rounds", 9, "rounds whose median is taken; of slow benchmarks a third, of large bodies twice as many")
	slot := flag.Duration("slot", 80*time.Millisecond, "time of one contestant in one round")
	quick := flag.Bool("quick", false, "do every benchmark once and short, to see that it works")
	out := flag.String("out", "", "write the results to this `file`, and plots beside it")
	readme := flag.String("readme", "../README.md", "with -out, write a few of the figures into this `file`, too")
	flag.Parse()
	if *out != "" && (*run != "" || *only != "" || *quick) {
		fatal("-out is for the whole suite: without -run, -only and -quick")
	}
	if *out != "" && *readme != "" {
		aroundFigures(*readme) // it must have a place for them, which is known before they are
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
	rep := suite(s, *quick, *profile != "", *run, *only)
	if *out != "" {
		rep.write(*out, *readme)
	}
}

// mostPerRow ends the program where a contestant hangs; the longest row takes a quarter.
const mostPerRow = 3 * time.Minute

// suite runs the benchmarks of that name, or all, and prints their tables.
func suite(s schedule, quick, profiling bool, run, only string) report {
	began := time.Now()
	pinned, stopPinned := startServer(lastCore())
	defer stopPinned()
	free, stopFree := startServer(noCore)
	defer stopFree()
	dir, err := os.MkdirTemp("", "h1-bench")
	check(err)
	defer os.RemoveAll(dir)
	serverOf := func(r row) string {
		if r.pinned {
			return pinned
		}
		return free
	}
	measure := func(s schedule, r row) result {
		r.pick(only)
		hangs := time.AfterFunc(mostPerRow, func() { fatal(r.name + " does not end") })
		defer hangs.Stop()
		return s.run(serverOf(r), dir, r)
	}

	rep := report{schedule: s}
	for _, r := range slices.Concat(soloRows(), pipelineRows(), codecRows(), []row{memoryRow()},
		bodyRows(quick), []row{idleRow(quick)}, poolRows(), []row{optionsRow(), roundTripperRow()}) {
		if run == "" || run == r.name {
			res := measure(s, r)
			rep.results = append(rep.results, res)
			fmt.Print(res.table())
			if who := res.missed(); len(who) > 0 && !profiling {
				rep.spent = append(rep.spent, s.spend(serverOf(r), dir, r, who))
				fmt.Print(rep.spent[len(rep.spent)-1].table())
			}
		}
	}
	s.slot /= 2 // a curve has many points
	for _, c := range curves(quick) {
		if run != "" && run != c.name {
			continue
		}
		g := grown{curve: c}
		for _, x := range c.points {
			r := c.at(x)
			r.name = c.name
			g.results = append(g.results, measure(s, r))
		}
		fmt.Print(g.table(), g.verdict(), "\n\n")
		rep.grown = append(rep.grown, g)
	}
	if len(rep.results)+len(rep.grown) == 0 {
		fatal("no benchmark is named " + run)
	}
	if len(rep.results) > 0 && !quick {
		fmt.Print(targetsTable(rep.results))
	}
	rep.took = time.Since(began)
	return rep
}

// pick leaves only the contestant of that name, for a profile: then no target says anything.
func (r *row) pick(only string) {
	if only != "" {
		r.contestants = slices.DeleteFunc(r.contestants, func(c contestant) bool { return c.name != only })
		r.targets = nil
		insist(len(r.contestants) > 0, "%s has no contestant named %s", r.name, only)
	}
}

func check(err error) {
	if err != nil {
		fatal(err)
	}
}

// fatal ends the program where no figure would be right.
func fatal(why any) {
	text := strings.TrimSpace(fmt.Sprint(why))
	_, file, line, _ := runtime.Caller(2)
	fmt.Fprintf(os.Stderr, "bench: %s:%d: %s\n", file[strings.LastIndex(file, "/")+1:], line, text)
	os.Exit(1)
}
