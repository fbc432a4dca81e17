package main

// rows_small.go: rows 1 to 5, 8, 15 and 17: a GET of 13 bytes, asked for in many ways.

import (
	"fmt"
	"slices"
	"time"

	"example.com/h1"
)

// perRequest is what rows of exchanges show.
var perRequest = []metric{wall, cpu, allocs, allocBytes, reads, writes}

func soloRows() []row {
	secure := hello
	secure.tls = true
	return []row{
		{
			number: "1", name: "get", work: "GET, 13-byte body, one connection, sequential",
			pinned: true, shows: perRequest,
			contestants: alone(hello, floor, h1Do, hostClient, clientConn, transport),
			targets: []target{
				{what: wall, most: 1.03, of: "floor"},
				{what: cpu, most: 1.06, of: "floor"},
				{what: allocs, most: 0},
			},
		},
		{
			number: "2", name: "tls", work: "the same over TLS 1.3",
			pinned: true, shows: perRequest,
			contestants: alone(secure, floor, h1Do, hostClient, clientConn, transport),
			targets:     []target{{what: wall, most: 1.05, of: "floor"}},
		},
	}
}

func pipelineRows() []row {
	return []row{
		onOne("3", 16, 0.5),
		onOne("4", 64, 0.2),
		{
			number: "5", name: "batch", work: "one goroutine, 16 times Send, then 16 times Wait",
			pinned: true, shows: perRequest, batch: 16,
			contestants: []contestant{floorBatch(hello, 16), h1Batch(hello, 16)},
			targets:     []target{{what: wall, most: 1.25, of: "floor"}},
		},
	}
}

// onOne returns the row of n goroutines on one connection.
func onOne(number string, n int, most float64) row {
	return row{
		number: number, name: fmt.Sprint("depth", n),
		work:  fmt.Sprintf("%d goroutines on one connection, depth %d; the floor %d at a time", n, n, n),
		shows: perRequest, batch: n,
		contestants: append([]contestant{floorBatch(hello, n)},
			together(hello, n, floorShared, h1Do, h1Client("h1, GOMAXPROCS=1", usage{procs: 1}), pipelineClient)...),
		targets: []target{{what: wall, most: most, of: "PipelineClient"}},
	}
}

func memoryRow() row {
	memory := hello
	memory.inMemory = true
	return row{
		number: "8", name: "memory", work: "GET over an in-memory stream that answers at once",
		pinned: true, shows: []metric{wall, cpu, allocs, allocBytes},
		contestants: alone(memory, floor, h1Do, hostClient, clientConn, transport),
		targets: []target{
			{what: wall, most: 0.5, of: "HostClient"},
			{what: wall, most: 0.1, of: "ClientConn"},
		},
	}
}

func poolRows() (rows []row) {
	const workers = 64
	for _, conns := range []int{1, 64, 1024} {
		r := row{
			number: "15", name: fmt.Sprint("pool", conns),
			work:  fmt.Sprintf("%d workers on a pool of %s", workers, plural(conns, "connection")),
			shows: perRequest,
			contestants: slices.Concat(
				pooled(hello, conns, workers, floor, h1Do, clientConn),
				ownPool(hello, conns, workers, hostClient, transport)),
			targets: poolTargets("h1"),
		}
		if conns == 1 { // the workers can share it at a depth, instead of handing it on
			deep := h1Client(fmt.Sprint("h1, depth ", workers), usage{})
			r.contestants = slices.Insert(r.contestants, 2, together(hello, workers, deep)...)
			r.targets = append(r.targets, poolTargets(deep.name)...)
		}
		rows = append(rows, r)
	}
	return rows
}

func poolTargets(who string) []target {
	return []target{
		{who: who, what: cpu, most: 0.6, of: "Transport"},
		{who: who, what: cpu, most: 1, of: "HostClient"},
	}
}

// plural prints a number of things.
func plural(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprint(n, " ", thing)
}

// ownPool has workers share up to conns connections by the client's own pool.
func ownPool(w wire, conns, workers int, clients ...client) []contestant {
	for i, c := range clients {
		clients[i].open = func(e *env, w wire, _ int) func() exchange { return c.open(e, w, conns) }
	}
	return together(w, workers, clients...)
}

func optionsRow() row {
	memory := hello
	memory.inMemory, memory.deadlines = true, true
	return row{
		number: "17", name: "options",
		work:   "what an option adds, over an in-memory stream whose deadlines are a socket's",
		pinned: true, shows: []metric{wall, cpu, allocs, allocBytes}, differs: true,
		contestants: alone(memory, h1Do,
			h1Client("h1, context with Done", usage{cancel: true}),
			h1Client("h1, Request.Deadline", usage{deadline: time.Hour}),
			h1Client("h1, bare SetDeadline", usage{bare: true}),
			h1Client("h1, StallTimeout", usage{cfg: h1.Config{StallTimeout: time.Minute}}),
			h1Client("h1, Timing", usage{cfg: h1.Config{Timing: true}})),
		targets: []target{{who: "h1, Request.Deadline", what: wall, most: 200, of: "h1"}},
	}
}
