package main

// rows_body.go: rows 9 to 13: bodies, both ways.

import (
	"fmt"
	"os"
	"slices"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// varied is for rows whose operations fill a slot each. Each of them is on a connection of
// its own, whose windows decide more than what is compared: such rows get twice the rounds
// of others.
const varied = 6

func bodyRows(quick bool) []row {
	big := int64(gib)
	if quick {
		big = mib
	}
	relay := get(big)
	relay.relay = true
	return slices.Concat([]row{
		{
			number: "9", name: "download", work: "GET, body of " + sizeText(big) + ", read into 64 KiB",
			thirds: varied, shows: perRequest,
			contestants: alone(get(big), floor, h1Do, hostClient, clientConn, transport),
			targets:     []target{{what: wall, most: 1.03, of: "floor"}},
		},
		{
			number: "10", name: "relay", work: "the same, to another TCP connection",
			thirds: varied, shows: perRequest,
			contestants: alone(relay, floor, h1Do, hostClient, clientConn, transport),
			targets: []target{
				{what: wall, most: 1.05, of: "floor"},
				{what: cpu, most: 1.05, of: "floor"},
			},
		},
		chunkedRow(kib, target{what: wall, most: 0.4, of: "ClientConn"}),
		chunkedRow(64*kib, target{what: wall, most: 1.1, of: "floor"}),
	}, uploadRows(big), []row{postRow(kib), postRow(64 * kib)})
}

func chunkedRow(chunk int, t target) row {
	w := getChunked(mib, chunk)
	return row{
		number: "11", name: fmt.Sprintf("chunks%dk", chunk/kib),
		work:   "GET, 1 MiB in chunks of " + sizeText(int64(chunk)),
		pinned: true, shows: perRequest,
		contestants: alone(w, floor, h1Do, hostClient, clientConn, transport),
		targets:     []target{t},
	}
}

func postRow(n int) row {
	return row{
		number: "13", name: fmt.Sprintf("post%dk", n/kib), work: "POST of " + sizeText(int64(n)) + " from memory",
		pinned: true, shows: perRequest,
		contestants: alone(post(n), floor, h1Do, hostClient, clientConn, transport),
		targets: []target{
			{what: wall, most: 1.05, of: "floor"},
			{what: writes, most: 1},
		},
	}
}

// uploadRows uploads from a file that has no blocks on any disk: its zeros come from
// memory.
func uploadRows(size int64) (rows []row) {
	file, err := os.CreateTemp("", "h1-bench")
	check(err)
	check(os.Remove(file.Name()))
	check(file.Truncate(size))
	for _, chunked := range []bool{false, true} {
		w := hello
		w.upload = upload{file, size, chunked}
		r := row{
			number: "12", name: "upload", work: "POST of " + sizeText(size) + " from a file, length known",
			thirds: varied, shows: perRequest,
			contestants: alone(w, floor, h1Do, hostClient, clientConn, transport),
			targets:     []target{{what: wall, most: 1.05, of: "floor"}},
		}
		if chunked {
			r.name, r.work = "uploadchunked", "the same, chunked; the floor sends no chunks"
			r.targets, r.thirds = nil, 1
		}
		rows = append(rows, r)
	}
	return rows
}
