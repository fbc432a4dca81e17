//go:build race

package h1

// writev_race_linux.go: writev for the race detector. It takes a write by package syscall
// for what it is: what happened before it has happened for whoever reads the bytes. A
// system call that it does not know would make it see races in the caller's tests that are
// none.

import "syscall"

const canWritev = true

// writev writes a, which is not empty, and then b, as much as the socket takes at once.
func writev(fd uintptr, a, b []byte) (int, error) {
	n, err := syscall.Write(int(fd), a)
	if err != nil || n < len(a) || len(b) == 0 {
		return n, err
	}
	m, _ := syscall.Write(int(fd), b) // an error that matters comes back with the rest
	return n + max(m, 0), nil
}
