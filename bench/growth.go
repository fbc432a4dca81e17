package main

// growth.go: row 16: how the cost grows with what there is to do. It should be flat or
// linear, without a knee.

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// A curve is one work at several sizes.
type curve struct {
	name   string // for -run, and of the plot
	title  string
	size   string // what x is
	figure string // what y is
	why    string // what gives the curve its form, in every run
	points []int
	at     func(x int) row
	flat   bool // y is by request, and should not depend on x; false: it should be linear
}

// A curveResult is a curve with its results, by point.
type curveResult struct {
	curve
	results []result
}

func curves(quick bool) []curve {
	cs := []curve{
		{
			name: "growthhead", title: "a response's head", size: "bytes of fields", figure: "time of an exchange",
			why:    "Most of a small exchange is system calls and wake-ups, to which fields add nothing.",
			points: []int{256, kib, 4 * kib, 16 * kib, 64 * kib, 200 * kib},
			at: func(x int) row {
				return row{thirds: 1, pinned: true, contestants: alone(getHead(x), floor, h1Do, hostClient, clientConn)}
			},
		},
		{
			name: "growthbody", title: "a response's body", size: "bytes", figure: "time of an exchange",
			why:    "Most of a small exchange is system calls and wake-ups, most of a large one the copying of its bytes.",
			points: []int{1, 16, 256, 4 * kib, 64 * kib, mib, 16 * mib, 256 * mib, gib},
			at: func(x int) row {
				return row{thirds: 1, pinned: true, contestants: alone(get(int64(x)), floor, h1Do, hostClient, clientConn)}
			},
		},
		{
			name: "growthsegments", title: "a head that comes byte by byte, in memory", size: "bytes of fields",
			figure: "time of an exchange",
			why:    "Each byte is a Read of its own.",
			points: []int{256, kib, 4 * kib, 16 * kib, 64 * kib},
			at: func(x int) row {
				w := getHead(x)
				w.inMemory, w.byteReads = true, true
				return row{thirds: 1, pinned: true, contestants: alone(w, floor, h1Do, hostClient, clientConn)}
			},
		},
		{
			name: "growthrequests", title: "requests on one new connection, in memory", size: "requests", figure: "time of a request",
			why:    "The requests on a connection share what it costs to make.",
			points: []int{1, 10, 100, 1000, 10_000, 100_000, 1_000_000}, flat: true,
			at: func(x int) row {
				return row{thirds: 1, pinned: true, contestants: []contestant{onNew(h1Do, x), onNew(hostClient, x)}}
			},
		},
		{
			name: "growthgoroutines", title: "goroutines on one connection, and its depth", size: "goroutines", figure: "time of a request",
			why:    "Requests that are in flight at the same time share writes and reads.",
			points: []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}, flat: true,
			at: func(x int) row {
				return row{thirds: 1, batch: x, contestants: append(together(hello, x, h1Do, pipelineClient), floorBatch(hello, x))}
			},
		},
	}
	if quick {
		for i := range cs {
			cs[i].points = cs[i].points[:3]
		}
	}
	return cs
}

// onNew has a client make a new connection in memory and ask n times.
func onNew(c client, n int) contestant {
	w := hello
	w.inMemory = true
	return contestant{name: c.name, sample: func(e *env) (s sample) {
		start := time.Now()
		exchange := c.open(e, w, 1)()
		for range n {
			exchange()
		}
		s[wall] = float64(time.Since(start)) / float64(n)
		return s
	}}
}

// A stretch is a part of a curve whose steps are all of one kind.
type stretch struct {
	word string // the kind, as growing has it
	to   int    // the index of its last point
}

// slack is how far the exponent of a step may be from what it should be: 0.25 is 1.4 times
// as much work where there is 4 times as much to do.
const slack = 0.25

// verdict says in words how h1's time grows, and where its curve has a knee: a step between
// two points that is steeper than it should be.
func (g curveResult) verdict() string {
	should, none, some := 1.0, "No step is steeper than linear.", "It is steeper than linear "
	if g.flat {
		should, none, some = 0, "No step rises.", "It rises "
	}
	var stretches []stretch
	var knees []string
	for i := range len(g.points) - 1 {
		power := g.power("h1", i)
		if n := len(stretches); n > 0 && stretches[n-1].word == growing(power) {
			stretches[n-1].to = i + 1
		} else {
			stretches = append(stretches, stretch{growing(power), i + 1})
		}
		if power > should+slack {
			knees = append(knees, fmt.Sprintf("from %d to %d, with an exponent of %.2f%s", g.points[i], g.points[i+1], power, g.floorAt(i)))
		}
	}
	text := fmt.Sprintf("%s h1's time %s from %d to %d %s", g.why, stretches[0].word, g.points[0], g.points[stretches[0].to], g.size)
	for _, s := range stretches[1:] {
		text += fmt.Sprintf(", then %s to %d", s.word, g.points[s.to])
	}
	if knees == nil {
		return text + ". " + none
	}
	return text + ". " + some + strings.Join(knees, "; ") + "."
}

// growing says what a curve does in a step of that power.
func growing(power float64) string {
	switch {
	case power < -slack:
		return "falls"
	case power <= slack:
		return "is flat"
	case power < 1-slack:
		return "grows less than linearly"
	case power <= 1+slack:
		return "is linear"
	}
	return "grows more than linearly"
}

// power returns the exponent of x with which a contestant's time grows from point i to the
// next.
func (g curveResult) power(who string, i int) float64 {
	times := g.results[i+1].median(who, wall) / g.results[i].median(who, wall)
	return math.Log(times) / math.Log(float64(g.points[i+1])/float64(g.points[i]))
}

// floorAt says how the floor grows in the step from point i, if there is a floor.
func (g curveResult) floorAt(i int) string {
	if !g.results[i].has("floor") {
		return ""
	}
	return fmt.Sprintf(" (the floor: %.2f)", g.power("floor", i))
}
