package main

import (
	"testing"

	"github.com/google/pprof/profile"
)

// A profile may hold a sample of which it does not know the stack.
func TestCauseOfAnUnknownStack(t *testing.T) {
	if i := causeOf(&profile.Sample{}); i != len(causes)-1 {
		t.Errorf("cause %d", i)
	}
}
