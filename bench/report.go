package main

import (
	"fmt"
	"strings"
	"time"
)

type report struct {
	results []result
	took    time.Duration
}

func (report) write(string) {}
func (r result) table() string {
	var b strings.Builder
	fmt.Fprintln(&b, r.number, r.name)
	for _, c := range r.contestants {
		fmt.Fprintf(&b, "%16s", c.name)
		for _, m := range r.shows {
			fmt.Fprintf(&b, " %10.1f", r.median(c.name, m))
		}
		fmt.Fprintf(&b, " %6.3f %6.3f\n", r.against(c.name, r.contestants[0].name, wall, false), r.against(c.name, r.contestants[0].name, cpu, false))
	}
	return b.String()
}
