package peers

import "testing"

// suite runs all checks that a server can take part in.
func suite(t *testing.T, s *server) {
	for _, check := range []struct {
		name string
		can  bool
		run  func(*testing.T, *server)
	}{
		{"Sequential", true, sequential},
		{"Head", true, head},
		{"Missing", true, missing},
		{"Chunked", true, chunked},
		{"Download", true, download},
		{"Upload", true, upload},
		{"Duplex", s.trailer != "", duplex},
		{"Pipeline", true, pipeline},
		{"PipelineCancel", true, pipelineCancel},
		{"Limit", s.limited != "", limited},
		{"Idle", s.idle != "", idle},
		{"Expect", true, expect},
		{"ExpectRefused", s.small != "", expectRefused},
		{"TooLarge", s.small != "", tooLarge},
		{"Upgrade", s.upgrade != "", upgrade},
		{"Connect", s.proxy != "", connect},
		{"Trailer", s.trailer != "", trailer},
		{"Client", true, client},
	} {
		if check.can {
			t.Run(check.name, func(t *testing.T) { check.run(t, s) })
		}
	}
}
