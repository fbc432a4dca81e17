//go:build !race

package h1

// race_off.go: without the race detector nothing is done for it (race_on.go).

const underRace = false
