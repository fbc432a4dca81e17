package h1

// wire_parse_test.go: a wire script becomes steps.
//
// Rule: a script is read whole before any of it runs, and what is not understood is an
// error: an unknown word, a result nobody compares, a call that is begun and never ended.

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// A wireScript is one file.
type wireScript struct {
	name   string
	cfg    Config
	plain  bool // the stream has no deadlines
	modes  map[string]bool
	steps  []*wireStep
	last   int  // index of the server's last block in steps, or -1
	reuses bool // run whole, the connection took requests once the last block was dealt with
}

// A wireStep is one line, or one block of lines beginning with "<".
type wireStep struct {
	line    int
	verb    string
	how     string   // "", "go", "waits" or "done", which stand before a call
	raw     string   // what follows the verb
	args    []string // the same in words, up to "=", without #n
	want    []string // the words after "="
	asks    bool     // there is a "="
	x       int      // of #n; 0: the last one sent
	after   time.Duration
	packets [][]byte // of "<"
	done    *wireStep
}

// readWire reads a script's file.
func readWire(file string) (*wireScript, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseWire(filepath.Base(file), string(text))
}

// parseWire reads a script.
func parseWire(name, text string) (*wireScript, error) {
	sc := &wireScript{name: name, last: -1, modes: map[string]bool{wireWhole: true, wireBytes: true, wireGlued: true}}
	if !strings.HasPrefix(text, "# ") {
		return nil, fmt.Errorf("%s:1: a script begins with a comment that says why it exists", name)
	}
	if !strings.HasSuffix(text, "\n") {
		return nil, fmt.Errorf("%s: no end of line at the end", name)
	}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		if err := sc.parseLine(i+1, line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
	}
	if sc.last < 0 {
		sc.modes[wireGlued] = false // there is nothing to glue it to
	}
	return sc, sc.link()
}

func (sc *wireScript) parseLine(n int, line string) error {
	verb, raw, _ := strings.Cut(line, " ")
	switch verb {
	case "<":
		return sc.parseServer(n, raw)
	case ">":
		sc.steps = append(sc.steps, &wireStep{line: n, verb: verb, raw: raw})
		return nil
	}
	words, err := wireWords(raw)
	if err != nil {
		return err
	}
	switch verb {
	case "config":
		return sc.parseConfig(words)
	case "modes":
		clear(sc.modes)
		for _, w := range words {
			if w != wireWhole && w != wireBytes && w != wireGlued {
				return fmt.Errorf("unknown mode %s", w)
			}
			sc.modes[w] = true
		}
		return nil
	}
	s := &wireStep{line: n, verb: verb, raw: strings.TrimLeft(raw, " "), args: words}
	if verb == "go" || verb == "waits" || verb == "done" {
		if len(words) == 0 {
			return fmt.Errorf("%s what?", verb)
		}
		s.how, s.verb, s.args = verb, words[0], words[1:]
	}
	if v, ok := wireVerbs[s.verb]; !ok {
		return fmt.Errorf("unknown step %q", s.verb)
	} else if !v.raw {
		err = s.parseCall(v)
	}
	sc.steps = append(sc.steps, s)
	return err
}

// parseCall sorts the words of a step.
func (s *wireStep) parseCall(v wireVerb) (err error) {
	for i, w := range s.args {
		if w == "=" {
			s.args, s.want, s.asks = s.args[:i:i], s.args[i+1:], true
			break
		}
	}
	if len(s.args) > 0 && s.args[0][0] == '#' {
		if s.x, err = strconv.Atoi(s.args[0][1:]); err != nil || s.x < 1 {
			return fmt.Errorf("%s is no exchange", s.args[0])
		}
		s.args = s.args[1:]
	}
	switch {
	case s.how != "" && v.call == nil:
		return fmt.Errorf("%s %s: it never waits", s.how, s.verb)
	case s.asks && len(s.want) == 0:
		return errors.New("nothing follows =")
	case s.asks != (v.asks && s.how != "go" && s.how != "waits"):
		return fmt.Errorf("%s has a = too many, or none", strings.TrimSpace(s.how+" "+s.verb))
	case len(s.args) < v.min || len(s.args) > v.max:
		return fmt.Errorf("%s takes %d to %d words, not %d", s.verb, v.min, v.max, len(s.args))
	}
	if n := len(s.want); n > 2 && s.want[n-2] == "after" {
		s.after, err = time.ParseDuration(s.want[n-1])
		s.want = s.want[:n-2]
	}
	return err
}

// parseServer adds a line to the server's block, or begins one. What is quoted ends a
// packet; so does the block.
func (sc *wireScript) parseServer(n int, raw string) error {
	var s *wireStep
	if len(sc.steps) > 0 && sc.steps[len(sc.steps)-1].verb == "<" {
		s = sc.steps[len(sc.steps)-1]
	} else {
		s = &wireStep{line: n, verb: "<", packets: [][]byte{nil}}
		sc.last = len(sc.steps)
		sc.steps = append(sc.steps, s)
	}
	end := &s.packets[len(s.packets)-1]
	if !strings.HasPrefix(raw, `"`) {
		*end = append(append(*end, raw...), "\r\n"...)
		return nil
	}
	b, err := wireData(raw)
	*end = append(*end, b...)
	s.packets = append(s.packets, nil)
	return err
}

// parseConfig sets fields of Config by their names in lower case.
func (sc *wireScript) parseConfig(words []string) error {
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		if key == "plain" {
			sc.plain = true
			continue
		}
		f := reflect.ValueOf(&sc.cfg).Elem().FieldByNameFunc(func(s string) bool {
			return strings.ToLower(s) == key
		})
		if !f.IsValid() {
			return fmt.Errorf("unknown setting %q", key)
		}
		var err error
		switch f.Interface().(type) {
		case bool:
			f.SetBool(true)
		case time.Duration:
			var d time.Duration
			d, err = time.ParseDuration(value)
			f.SetInt(int64(d))
		case Lenient:
			names := map[string]Lenient{"BareLF": BareLF, "SpaceBeforeColon": SpaceBeforeColon,
				"SkipInvalidField": SkipInvalidField, "HTTP09": HTTP09}
			for _, name := range strings.Split(value, ",") {
				if names[name] == 0 {
					return fmt.Errorf("unknown Lenient %q", name)
				}
				sc.cfg.Lenient |= names[name]
			}
		default:
			var n int64
			n, err = strconv.ParseInt(value, 0, 64)
			f.SetInt(n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// link finds the end of every call that goes on, so that none is left unread.
func (sc *wireScript) link() error {
	open := map[string]*wireStep{}
	for _, s := range sc.steps {
		key := s.key()
		switch {
		case s.how == "go" && open[key] != nil:
			return fmt.Errorf("%s:%d: %s goes on already", sc.name, s.line, key)
		case s.how == "go":
			open[key] = s
		case s.how != "" && open[key] == nil:
			return fmt.Errorf("%s:%d: %s does not go on", sc.name, s.line, key)
		case s.how == "done":
			open[key].done, open[key].want = s, s.want
			s.done = open[key]
			delete(open, key)
		case s.how == "waits":
			s.done = open[key]
		}
	}
	for key, s := range open {
		return fmt.Errorf("%s:%d: %s is never done", sc.name, s.line, key)
	}
	return nil
}

// key is what go, waits and done have in common: the call's words.
func (s *wireStep) key() string {
	if s.x > 0 {
		return fmt.Sprint(s.verb, " #", s.x, " ", strings.Join(s.args, " "))
	}
	return strings.TrimSpace(s.verb + " " + strings.Join(s.args, " "))
}

// wireWords cuts a line at its spaces; what is quoted holds together.
func wireWords(line string) (words []string, err error) {
	for line = strings.TrimLeft(line, " "); line != ""; line = strings.TrimLeft(line, " ") {
		i := 0
		for i < len(line) && line[i] != ' ' {
			if line[i] != '"' {
				i++
				continue
			}
			q, err := strconv.QuotedPrefix(line[i:])
			if err != nil {
				return nil, fmt.Errorf("bad quoting in %s", line[i:])
			}
			i += len(q)
		}
		words, line = append(words, line[:i]), line[i:]
	}
	return words, nil
}

// wireData reads a quoted string, and how often: "x"*80.
func wireData(word string) ([]byte, error) {
	q, err := strconv.QuotedPrefix(word)
	if err != nil || q[0] != '"' {
		return nil, fmt.Errorf("%s is no quoted string", word)
	}
	text, err := strconv.Unquote(q)
	if err != nil {
		return nil, err
	}
	times := 1
	if rest := word[len(q):]; rest != "" {
		if times, err = strconv.Atoi(strings.TrimPrefix(rest, "*")); err != nil || rest[0] != '*' {
			return nil, fmt.Errorf("%s follows a quoted string", rest)
		}
	}
	return []byte(strings.Repeat(text, times)), nil
}
