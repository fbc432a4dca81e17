package main

// growth.go: row 16: how the cost grows with what there is to do. It should be flat or
// linear, without a knee.

import (
	"fmt"
	"math"
	"time"
)

// A curve is one work at several sizes.
type curve struct {
	name   string // for -run, and of the plot
	title  string
	size   string // what x is
	figure string // what y is
	points []int
	at     func(x int) row
	flat   bool // y is by request, and should not depend on x; else it should be linear
}

// A grown is a curve with its results, by point.
type grown struct {
	curve
	results []result
}

func curves(quick bool) []curve {
	cs := []curve{
		{
			name: "growthhead", title: "a response's head", size: "bytes of fields", figure: "time of an exchange",
			points: []int{256, kib, 4 * kib, 16 * kib, 64 * kib, 200 * kib},
			at: func(x int) row {
				return row{slow: true, pinned: true, contestants: alone(getHead(x), floor, h1Do, hostClient, clientConn)}
			},
		},
		{
			name: "growthbody", title: "a response's body", size: "bytes", figure: "time of an exchange",
			points: []int{1, 16, 256, 4 * kib, 64 * kib, mib, 16 * mib, 256 * mib, gib},
			at: func(x int) row {
				return row{slow: true, pinned: true, contestants: alone(get(int64(x)), floor, h1Do, hostClient, clientConn)}
			},
		},
		{
			name: "growthsegments", title: "a head that comes byte by byte, in memory", size: "bytes of fields",
			figure: "time of an exchange",
			points: []int{256, kib, 4 * kib, 16 * kib, 64 * kib},
			at: func(x int) row {
				w := getHead(x)
				w.inMemory, w.byteReads = true, true
				return row{slow: true, pinned: true, contestants: alone(w, floor, h1Do, hostClient, clientConn)}
			},
		},
		{
			name: "growthrequests", title: "requests on one new connection, in memory", size: "requests", figure: "time of a request",
			points: []int{1, 10, 100, 1000, 10_000, 100_000, 1_000_000}, flat: true,
			at: func(x int) row {
				return row{slow: true, pinned: true, contestants: []contestant{onNew(h1Do, x), onNew(hostClient, x)}}
			},
		},
		{
			name: "growthgoroutines", title: "goroutines on one connection, and its depth", size: "goroutines", figure: "time of a request",
			points: []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}, flat: true,
			at: func(x int) row {
				return row{slow: true, batch: x, contestants: append(together(hello, x, h1Do, pipelineClient), floorBatch(hello, x))}
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

// verdict says in words whether h1's curve has a knee: a step between two points that is
// steeper than the curve should be.
func (g grown) verdict() string {
	const steeper = 0.25 // of an exponent: 1.4 times as much work where there is 4 times as much to do
	should, word := 1.0, "linear"
	if g.flat {
		should, word = 0, "flat"
	}
	worst, at := g.steepest("h1")
	if worst <= should+steeper {
		return fmt.Sprintf("No step is steeper than %s: the steepest grows with the power %.2f.", word, worst)
	}
	return fmt.Sprintf("Steeper than %s from %d to %d %s: with the power %.2f.",
		word, g.points[at], g.points[at+1], g.size, worst)
}

// steepest returns the largest power of x with which a contestant's time grows from one
// point to the next.
func (g grown) steepest(who string) (power float64, at int) {
	power = math.Inf(-1)
	for i := range len(g.points) - 1 {
		times := g.results[i+1].median(who, wall) / g.results[i].median(who, wall)
		p := math.Log(times) / math.Log(float64(g.points[i+1])/float64(g.points[i]))
		if p > power {
			power, at = p, i
		}
	}
	return power, at
}
