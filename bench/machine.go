package main

// machine.go: the machine that this runs on, and the core.

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// noCore leaves a process to the scheduler.
const noCore = -1

var everyCore = affinity()

func affinity() (set unix.CPUSet) {
	check(unix.SchedGetaffinity(0, &set))
	return set
}

// lastCore returns the core for pinned rows: the last, since the kernel's own work gathers
// on the first.
func lastCore() int {
	for core := 1023; core > 0; core-- {
		if everyCore.IsSet(core) {
			return core
		}
	}
	return 0
}

// pin binds every thread of this process to one core.
func pin(core int) {
	var set unix.CPUSet
	set.Set(core)
	bind(set)
}

// unpin takes pin back.
func unpin() { bind(everyCore) }

// bind sets each thread's affinity. It does so twice, for a thread that began during the
// first pass has the old one of the thread that began it.
func bind(set unix.CPUSet) {
	for range 2 {
		threads, err := os.ReadDir("/proc/self/task")
		check(err)
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			check(err)
			unix.SchedSetaffinity(id, &set) // fails where the thread has ended
		}
	}
}

// machine says what the figures were taken on.
func machine() string {
	var name unix.Utsname
	check(unix.Uname(&name))
	return fmt.Sprintf("%s, %d cores, Linux %s, %s, %s",
		cpuModel(), everyCore.Count(), unix.ByteSliceToString(name.Release[:]), runtime.Version(),
		time.Now().UTC().Format("2 January 2006"))
}

func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	check(err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
