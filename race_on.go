//go:build race

package h1

// race_on.go: what is done for the race detector. It does not know the system call by which
// net.Buffers writes, and would see races in the caller's tests where there are none: see
// writev_race_linux.go.

const underRace = true
