package main

// measure.go: rounds. In each round every contestant has a slot in turn, so that a machine
// that slows down slows all of them, and opens connections of its own, since some
// connections are faster than others all their life. Medians, also of ratios, are over the
// rounds.

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A metric is what is measured, per operation unless it says otherwise.
type metric int

const (
	wall       metric = iota // ns
	cpu                      // ns of this process, user and system
	allocs                   // heap objects
	allocBytes               // heap bytes
	reads                    // read system calls
	writes                   // write system calls
	memoryHeld               // bytes per idle connection
	goroutines               // per idle connection
	metrics
)

type sample [metrics]float64

// A row is one piece of work and all contestants that do it.
type row struct {
	number      string // in RESULTS.md; rows of one kind share it
	name        string // for -run
	work        string
	pinned      bool // client and server share one core
	shows       []metric
	differs     bool // contestants are compared by difference, not by ratio
	thirds      int  // it gets this many thirds of the rounds, fewer if it is slow, more if it varies; 0: all
	batch       int  // operations are done in multiples of this; 0 means 1
	contestants []contestant
	targets     []target
}

// A target is a limit for a contestant's figure.
type target struct {
	who  string // the contestant; "": h1
	what metric
	most float64
	of   string // the contestant that it is compared with; "": most is a figure itself
}

// name returns the contestant that is to meet the target.
func (t target) name() string { return cmp.Or(t.who, "h1") }

// A result holds a row's samples: by contestant, then by round.
type result struct {
	row
	samples [][]sample
}

// A schedule says how much time a measurement takes.
type schedule struct {
	rounds int
	slot   time.Duration // of one contestant in one round
	// profile is the file for the CPU profile of a contestant that measures itself; "": none.
	profile string
}

// run measures a row, with contestants that talk to the server and build in dir.
func (s schedule) run(server, dir string, r row) result {
	if r.pinned {
		// One P for one core: with more Ps, those that look for work take the core from
		// those that have some, which makes net/http a fifth slower.
		pin(lastCore())
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		defer unpin()
	}
	rounds := s.rounds
	if r.thirds > 0 && rounds > 1 {
		rounds = (rounds*r.thirds + 2) / 3
	}
	r.batch = max(r.batch, 1)
	counts := make([]int, len(r.contestants)) // of operations that fit a slot
	res := result{r, make([][]sample, len(r.contestants))}
	for round := range rounds {
		for i := range r.contestants {
			i = (i + round) % len(r.contestants) // so that none goes first in all rounds
			e := &env{server: server, dir: dir, profile: s.profile}
			res.samples[i] = append(res.samples[i], s.slotOf(e, r.contestants[i], &counts[i], r.batch))
			e.close()
		}
	}
	return res
}

// slotOf has a contestant start anew, warm up and be measured. The first time it finds out
// how many operations fit a slot, and keeps that in count.
func (s schedule) slotOf(e *env, c contestant, count *int, batch int) sample {
	if c.sample != nil {
		runtime.GC()
		return c.sample(e)
	}
	do := c.start(e)
	switch {
	case *count == 0:
		*count = s.calibrate(do, batch)
	case *count > batch: // else a batch takes the whole slot, and needs no warm-up
		do(max(*count/warmUp/batch, 1) * batch)
	}
	runtime.GC()
	return measure(do, *count)
}

// warmUp is how many times longer a slot is than what goes before it.
const warmUp = 4

// calibrate returns how many operations fit a slot, in multiples of batch. It also warms
// the contestant up.
func (s schedule) calibrate(do func(int), batch int) int {
	timed := func(n int) time.Duration {
		start := time.Now()
		do(n)
		return time.Since(start)
	}
	for n := batch; ; {
		took := timed(n)
		if took >= s.slot/2 && n > batch {
			took = min(took, timed(n)) // the first may have met a delay that was not its own
		}
		if took >= s.slot/2 {
			return n
		}
		grow := min(max(float64(s.slot)/float64(max(took, 1)), 1.5), 16)
		n = int(float64(n)*grow)/batch*batch + batch
	}
}

// measure does the work n times. The counters are read in one order before it and in the
// opposite order after it, so that reading one is not counted by another.
func measure(do func(int), n int) (s sample) {
	var mem, memAfter runtime.MemStats
	r, w := systemCalls()
	runtime.ReadMemStats(&mem)
	used, start := cpuTime(), time.Now()

	do(n)

	s[wall] = float64(time.Since(start))
	s[cpu] = cpuTime() - used
	runtime.ReadMemStats(&memAfter)
	s[allocs] = float64(memAfter.Mallocs - mem.Mallocs)
	s[allocBytes] = float64(memAfter.TotalAlloc - mem.TotalAlloc)
	rAfter, wAfter := systemCalls()
	s[reads], s[writes] = rAfter-r, wAfter-w
	for m := range s {
		s[m] /= float64(n)
	}
	return s
}

// cpuTime returns the nanoseconds that this process has run, for itself and in the kernel.
func cpuTime() float64 {
	var use unix.Rusage
	check(unix.Getrusage(unix.RUSAGE_SELF, &use))
	return float64(use.Utime.Nano() + use.Stime.Nano())
}

// systemCalls returns how often this process has called read and write, and their kin.
func systemCalls() (reads, writes float64) {
	text, err := os.ReadFile("/proc/self/io")
	check(err)
	_, err = fmt.Sscanf(string(text[bytes.Index(text, []byte("syscr")):]), "syscr: %g\nsyscw: %g", &reads, &writes)
	check(err)
	return reads, writes
}

// median returns a contestant's figure.
func (r result) median(who string, m metric) float64 {
	return median(r.column(who, m))
}

// has reports whether a contestant of that name did the work.
func (r result) has(who string) bool {
	return r.index(who) >= 0
}

func (r result) index(who string) int {
	return slices.IndexFunc(r.contestants, func(c contestant) bool { return c.name == who })
}

// against returns the median of the rounds' ratios, or differences, of two contestants.
func (r result) against(who, of string, m metric) float64 {
	ours, theirs := r.column(who, m), r.column(of, m)
	for i := range ours {
		if r.differs {
			ours[i] -= theirs[i]
		} else {
			ours[i] /= theirs[i]
		}
	}
	return median(ours)
}

func (r result) column(who string, m metric) (column []float64) {
	for _, s := range r.samples[r.index(who)] {
		column = append(column, s[m])
	}
	return column
}

func median(values []float64) float64 {
	slices.Sort(values)
	half := len(values) / 2
	if len(values)%2 == 1 {
		return values[half]
	}
	return (values[half-1] + values[half]) / 2
}
