package main

// profile.go: where the time goes. A row that misses a target is run once more under a CPU
// profile, by the contestants that the target names.

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// profileTime is how long a contestant is profiled, at 100 samples a second.
const profileTime = 3 * time.Second

// A cause is what time is spent on, by functions whose names match.
type cause struct {
	name string
	of   *regexp.Regexp
}

// causes lists them all. A stack belongs to the first cause that any of its functions
// matches.
var causes = []cause{
	{"is the idle connection still good?", regexp.MustCompile(`^example\.com/h1\.(\(\*Conn\)\.(gate|probeThrough)|\(\*asking\)\.runPeek)$`)},
	{"goroutines that wait and are woken", regexp.MustCompile(`^runtime\.(schedule|findRunnable|goready|ready|park_m|mcall|mstart|gosched_m|netpoll|wakep|resetspinning)`)},
	{"reads and writes of the system", regexp.MustCompile(`^(syscall\.|internal/runtime/syscall|runtime\.(entersyscall|exitsyscall|reentersyscall))`)},
	{"memory and its collection", regexp.MustCompile(`^runtime\.(mallocgc|gc|newobject|makeslice|growslice|bgsweep)`)},
	{"TLS records", regexp.MustCompile(`^crypto/`)},
	{"locks", regexp.MustCompile(`^(internal/)?sync\.\(\*(RW)?Mutex\)`)},
	{"buffers on loan", regexp.MustCompile(`^sync\.\(\*Pool\)`)},
	{"a request checked", regexp.MustCompile(`^example\.com/h1\.\(\*Request\)\.check$`)},
	{"a head written", regexp.MustCompile(`^example\.com/h1\.appendHead$`)},
	{"a head parsed", regexp.MustCompile(`^example\.com/h1\.(\(\*headDecoder\)|frame$)`)},
	{"the rest of h1", regexp.MustCompile(`^example\.com/h1\.`)},
	{"h1http, net/http, fasthttp", regexp.MustCompile(`^(example\.com/h1/h1http|net/http|github\.com/valyala)`)},
	{"the rest of net, and the benchmark", regexp.MustCompile(``)},
}

// A spending is what the contestants of a row spend their time on, per operation.
type spending struct {
	row row
	who []string
	ns  [][]float64 // by contestant, then by cause
}

// missed returns the contestants that missed targets name, after the floors, whose costs
// all of them have.
func (r result) missed() (who []string) {
	for _, t := range r.targets {
		if _, _, met := r.meets(t); met || t.what == memoryHeld || t.what == goroutines {
			continue // a CPU profile says nothing of what is held
		}
		for _, name := range []string{"floor", floorShared.name, t.name(), t.of} {
			if r.has(name) && !slices.Contains(who, name) {
				who = append(who, name)
			}
		}
	}
	return who
}

// spend runs a row again, with each of who alone, and looks where its time goes.
func (s schedule) spend(server, dir string, r row, who []string) spending {
	sp := spending{row: r, who: who}
	file := filepath.Join(dir, "cpu.prof")
	for _, name := range who {
		alone := r
		alone.contestants = slices.Clone(r.contestants)
		alone.pick(name)
		var own bytes.Buffer
		check(pprof.StartCPUProfile(&own))
		watched := schedule{rounds: s.rounds, slot: s.slot, profile: file}
		if s.rounds > 1 {
			watched.rounds = int(profileTime / s.slot)
			alone.thirds = min(alone.thirds, 1) // rows that vary are slow as well
		}
		res := watched.run(server, dir, alone)
		pprof.StopCPUProfile()
		text := own.Bytes()
		took := res.median(name, cpu)
		if took == 0 { // the work was done by another process, which has left its profile
			var err error
			text, err = os.ReadFile(file)
			check(err)
			took = res.median(name, wall)
		}
		p, err := profile.ParseData(text)
		check(err)
		sp.ns = append(sp.ns, divide(p, took))
	}
	return sp
}

// divide divides the time of an operation among the causes, in proportion to the samples of
// a profile.
func divide(p *profile.Profile, took float64) []float64 {
	counts, all := make([]float64, len(causes)), 0.0
	for _, s := range p.Sample {
		counts[causeOf(s)] += float64(s.Value[0])
		all += float64(s.Value[0])
	}
	for i := range counts {
		counts[i] *= took / max(all, 1)
	}
	return counts
}

// causeOf returns the index of the cause that a stack belongs to: the last if none of the
// others matches, or the profile does not know the stack.
func causeOf(s *profile.Sample) int {
	i := slices.IndexFunc(causes, func(c cause) bool {
		return slices.ContainsFunc(s.Location, func(l *profile.Location) bool {
			return slices.ContainsFunc(l.Line, func(l profile.Line) bool { return c.of.MatchString(l.Function.Name) })
		})
	})
	if i < 0 {
		i = len(causes) - 1
	}
	return i
}

// table prints what each contestant spends on what. Rows that are next to nothing for all
// are left out.
func (sp spending) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s `%s`\n\n| |", sp.row.number, sp.row.name)
	for _, name := range sp.who {
		fmt.Fprintf(&b, " %s |", name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(sp.who)) + "\n")
	totals := make([]float64, len(sp.who))
	for i := range sp.who {
		for _, ns := range sp.ns[i] {
			totals[i] += ns
		}
	}
	for c := range causes {
		said := false
		line := fmt.Sprintf("| %s |", causes[c].name)
		for i := range sp.who {
			said = said || sp.ns[i][c] > totals[i]/100
			line += fmt.Sprintf(" %s |", cpu.text(sp.ns[i][c]))
		}
		if said {
			b.WriteString(line + "\n")
		}
	}
	b.WriteString("| **together** |")
	for i := range sp.who {
		fmt.Fprintf(&b, " **%s** |", cpu.text(totals[i]))
	}
	return b.String() + "\n\n"
}
