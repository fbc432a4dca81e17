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
	only := flag.String("only", "", "run only the contestant of this `name`: for profiles")
	profile := flag.String("cpuprofile", "", "write a CPU profile to this `file`")
	rounds := flag.Int("rounds", 5, "rounds whose median is taken")
	slot := flag.Duration("slot", 200*time.Millisecond, "time of one contestant in one round")
	quick := flag.Bool("quick", false, "do every benchmark once and short, to see that it works")
	out := flag.String("out", "", "write the results to this `file`, and plots beside it")
	flag.Parse()
	if *out != "" && (*run != "" || *only != "" || *quick) {
		fatal("-out is for the whole suite: without -run, -only and -quick")
	}
	s := schedule{*rounds, *slot}
	if *quick {
		s = schedule{1, time.Millisecond}
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		check(err)
		check(pprof.StartCPUProfile(f))
		defer pprof.StopCPUProfile()
	}
	suite(s, *quick, *run, *only).write(*out)
}

// suite runs the rows of that name, or all.
func suite(s schedule, quick bool, run, only string) (done report) {
	pinned, stopPinned := startServer(lastCore())
	defer stopPinned()
	free, stopFree := startServer(noCore)
	defer stopFree()
	began := time.Now()
	for _, r := range slices.Concat(smallRows(), bodyRows(quick), codecRows()) {
		if run != "" && run != r.name {
			continue
		}
		if os.Getenv("NOH1") != "" { // TEMP
			r.contestants = slices.DeleteFunc(r.contestants, func(c contestant) bool { return strings.HasPrefix(c.name, "h1") })
			r.targets = nil
			if len(r.contestants) == 0 {
				continue
			}
		}
		if only != "" {
			r.contestants = slices.DeleteFunc(r.contestants, func(c contestant) bool { return c.name != only })
			r.targets = nil
		}
		e := &env{server: free}
		if r.pinned {
			e.server = pinned
		}
		res := s.run(e, r)
		fmt.Fprint(os.Stdout, res.table())
		done.results = append(done.results, res)
	}
	done.took = time.Since(began)
	return done
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
