package main

import (
	"testing"

	"example.com/h1/peers/internal/rig"
)

func TestProxy(t *testing.T) {
	if _, err := rig.Program("nginx"); err != nil {
		t.Skip(err)
	}
	if err := run(t.Context(), t.Output()); err != nil {
		t.Fatal(err)
	}
}
