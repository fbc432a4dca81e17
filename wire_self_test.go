package h1

// wire_self_test.go: a wire script can fail: each way in which one does, with its place.

import (
	"strings"
	"testing"
)

const wireGet = "# why\nsend GET / = ok\n> GET / HTTP/1.1\n> Host: example.com\n>\n"

func TestWireFails(t *testing.T) {
	const answer = wireGet + "< HTTP/1.1 200 OK\n< Content-Length: 5\n<\n< \"hello\"\n"
	const done = answer + "head = 200 length=5\nread = \"hello\" then EOF\n"
	for _, c := range []struct{ name, text, want string }{
		{"passes", done, ""},
		{"status", answer + "head = 201 length=5\n", "x.wire:10: head = 200 length=5, want 201 length=5"},
		{"framing", answer + "head = 200 chunked\n", "x.wire:10: head = 200 length=5, want 200 chunked"},
		{"field", answer + "head = 200 length=5 Via=x\n", "x.wire:10: head = 200 length=5 Via is missing, want"},
		{"body", answer + "head = 200 length=5\nread = \"hellO\"\n", `x.wire:11: read = "hello", want "hellO"`},
		{"short body", answer + "head = 200 length=5\nread = \"hell\" then EOF\n", `x.wire:11: read = "hello" then EOF, want "hell" then EOF`},
		{"long body", answer + "head = 200 length=5\nread = \"hello!\"\n", `x.wire:11: read = "hello", want "hello!"`},
		{"trailer", answer + "head = 200 length=5\nreadall = \"hello\" then EOF Sum=1\n", `x.wire:11: readall = "hello", want "hello" then EOF Sum=1`},
		{"kind", wireGet + "< \"x\"\nhead = bad status\n", "x.wire:7: head = bad version (h1: "},
		{"offset", wireGet + "< \"HTTP/1.1 2x\"\nhead = bad status at 9\n", "x.wire:7: head = bad status at 10, want bad status at 9"},
		{"verdict", wireGet + "< \"x\"\nhead = bad version sent=part unprocessed retryable\n",
			"x.wire:7: head = bad version sent=all processed? unretryable, want bad version sent=part unprocessed retryable"},
		{"no error", answer + "head = timeout\n", "x.wire:10: head = 200 length=5, want timeout"},
		{"hang", wireGet + "head = 200 length=5\n", "x.wire:6: head hangs, want 200 length=5"},
		{"too fast", answer + "head = 200 length=5 after 1s\n", "x.wire:10: head took 0s, want 1s"},
		{"too slow", "# why\nconfig headtimeout=2s\n" + wireGet[6:] + "head = timeout after 1s\n", "x.wire:7: head took 2s, want 1s"},
		{"does not wait", answer + "go head\nwaits head\ndone head = 200 length=5\n", "x.wire:11: head = 200 length=5, want it to wait"},
		{"client's bytes", "# why\nsend GET / = ok\n> GET /b HTTP/1.1\n", `x.wire:3: > "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", want "GET /b HTTP/1.1\r\n"`},
		{"client silent", wireGet + "> more\n", `x.wire:6: > "", want "more\r\n"`},
		{"client not silent", "# why\nsend GET / = ok\n>nothing\n", "x.wire:3: > \"GET /"},
		{"client's bytes unread", "# why\nsend GET / = ok\n", `x.wire: at the end: the client wrote "GET / HTTP/1.1`},
		{"response unasked", wireGet, "x.wire: at the end: nobody asked for the response #1"},
		{"body unread", answer + "head = 200 length=5\n", "x.wire: at the end: 1 in flight, wIdle rBody reuse n=1"},
		{"request unsent", "# why\nfield A: b\n", "x.wire: at the end: a request that was never sent"},
		{"info unread", "# why\ninformational\n" + wireGet[6:] + "< HTTP/1.1 103 Hint\n<\n< HTTP/1.1 204 No Content\n<\nhead = 204 length=0\n",
			`x.wire: at the end: informational "103" of #1, unread`},
		{"info none", done + "info = 103\n", "x.wire:12: info = none, want 103"},
		{"life", done + "life = wIdle rIdle reuse n=1\n", "x.wire:12: life = wIdle rIdle reuse n=0, want wIdle rIdle reuse n=1"},
		{"err", done + "err = connection closed\n", "x.wire:12: err = ok, want connection closed"},
		{"ready", wireGet + "ready = ok\n", "x.wire:6: ready = waiting, want ok"},
		{"stats", done + "stats = Requests=2\n", "x.wire:12: stats = Requests=1, want Requests=2"},
		{"no such counter", done + "stats = Sheep=2\n", "x.wire:12: stats = Sheep is unknown, want Sheep=2"},
		{"open", done + ">closed\n", `x.wire:12: the client's end is "", want "closed"`},
		{"no such exchange", "# why\nhead #2 = ok\n", "x.wire:2: head: there is no exchange #2"},
		{"glued on, read", "# why\nmodes glued\n" + wireGet[6:] + "< HTTP/1.1 200 OK\n<\n< \"\"\nhead = 200 unsized close\n", "x.wire: at the end: a response may not be glued on here"},
		// Of the text alone.
		{"no reason", "send GET / = ok\n", "x.wire:1: a script begins with a comment"},
		{"no line end", "# why\nclose = ok", "x.wire: no end of line at the end"},
		{"unknown step", "# why\nsned GET / = ok\n", `x.wire:2: unknown step "sned"`},
		{"unknown setting", "# why\nconfig deep=4\n", `x.wire:2: unknown setting "deep"`},
		{"unknown leniency", "# why\nconfig lenient=All\n", `x.wire:2: unknown Lenient "All"`},
		{"unknown mode", "# why\nmodes backwards\n", "x.wire:2: unknown mode backwards"},
		{"unknown option", "# why\noption fast\n", `x.wire:2: unknown option "fast"`},
		{"no result", "# why\nsend GET /\n", "x.wire:2: send has a = too many, or none"},
		{"result unasked", "# why\ncancel = ok\n", "x.wire:2: cancel has a = too many, or none"},
		{"empty result", "# why\nclose =\n", "x.wire:2: nothing follows ="},
		{"words", "# why\nsend GET = ok\n", "x.wire:2: send takes 2 to 2 words, not 1"},
		{"bad quoting", "# why\nbody \"x\n", "x.wire:2: bad quoting in \"x"},
		{"bad data", "# why\n< \"x\"*y\n", "x.wire:2: *y follows a quoted string"},
		{"never done", "# why\ngo head\n", "x.wire:2: head is never done"},
		{"never begun", "# why\ndone head = ok\n", "x.wire:2: head does not go on"},
		{"never waits", "# why\ngo life\n", "x.wire:2: go life: it never waits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sc, err := parseWire("x.wire", c.text)
			if err == nil {
				mode := wireWhole
				if !sc.modes[mode] {
					mode = wireGlued
				}
				err = sc.run(t, mode)
			}
			switch {
			case err == nil && c.want == "":
			case err == nil:
				t.Errorf("no failure, want %s", c.want)
			case c.want == "" || !strings.HasPrefix(err.Error(), c.want):
				t.Errorf("%v\nwant %s", err, c.want)
			}
		})
	}
}
