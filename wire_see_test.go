package h1

// wire_see_test.go: how a wire script sees a connection's state, and errors.
//
// Rule: of an error, or of a struct of counters, only what the script names is written; of
// anything else, all of it.

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"
)

// wireSee compares what a call that never waits returns.
func wireSee(see func(*wireRun, *wireStep) string) func(*wireRun, *wireStep) error {
	return func(r *wireRun, s *wireStep) error {
		want, err := wireWant(s.want)
		if err != nil {
			return err
		}
		synctest.Wait()
		if got := see(r, s); got != want {
			return fmt.Errorf("%s = %s, want %s", s.verb, wireBrief(got), wireBrief(want))
		}
		return nil
	}
}

func wireReady(r *wireRun, s *wireStep) string {
	ready := r.conn.Ready()
	select {
	case <-ready.Done():
		return wireErr(ready.Err(), s.want, "")
	default:
		return "waiting"
	}
}

func wireHints(r *wireRun, s *wireStep) string {
	timeout, max := r.conn.Hints()
	return fmt.Sprintf("timeout=%v max=%d", timeout, max)
}

// wireStats writes the counters that want names.
func wireStats(r *wireRun, s *wireStep) string {
	v := reflect.ValueOf(r.conn.Stats())
	var out []string
	for _, w := range s.want {
		name, _, _ := strings.Cut(w, "=")
		if f := v.FieldByName(name); f.IsValid() {
			out = append(out, fmt.Sprintf("%s=%d", name, f.Interface()))
		} else {
			out = append(out, name+" is unknown")
		}
	}
	return strings.Join(out, " ")
}

// wireHeader writes all fields of the response, in order and as they came.
func wireHeader(r *wireRun, s *wireStep) (all string) {
	x, err := r.exchange(s)
	if err != nil {
		return err.Error()
	}
	defer func() {
		if p := recover(); p != nil {
			all = fmt.Sprint(wirePanics, ": ", p)
		}
	}()
	var out []string
	for k, v := range x.resp.Header.All() {
		out = append(out, strconv.Quote(string(k)+": "+string(v)))
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, " ")
}

// wireTiming writes which times are set, in the order they came in.
func wireTiming(r *wireRun, s *wireStep) string {
	x, err := r.exchange(s)
	if err != nil {
		return err.Error()
	}
	t := &x.resp.Timing
	var out []string
	var last time.Time
	for _, p := range []struct {
		name string
		at   time.Time
	}{{"queued", t.Queued}, {"admitted", t.Admitted}, {"sent", t.Sent}, {"head", t.Head}, {"done", t.Done}} {
		if p.at.IsZero() {
			continue
		}
		if p.at.Before(last) {
			out = append(out, "early:")
		}
		out, last = append(out, p.name), p.at
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, " ")
}

// wireInfo takes the next 1xx that the hook was given.
func wireInfo(r *wireRun, s *wireStep) string {
	x, err := r.exchange(s)
	if err != nil {
		return err.Error()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.infos) == 0 {
		return "none"
	}
	first := x.infos[0]
	x.infos = x.infos[1:]
	return first
}

// What is wrong in any story.
const (
	wireHangs    = "hangs"
	wireUnquoted = "an unquoted byte"
	wireAtOdds   = "an error at odds with itself"
	wirePanics   = "it panics"
)

// wireErr writes an error: its kind in words, and of the rest what want asks for.
//
//	bad status at 9    incomplete message sent=all unprocessed retryable    EOF
func wireErr(err error, want []string, method string) string {
	switch err {
	case nil:
		return "ok"
	case io.EOF:
		return "EOF"
	}
	text := err.Error()
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return fmt.Sprintf("%s in the error %q", wireUnquoted, text)
	}
	var e *Error
	if !errors.As(err, &e) {
		return "other: " + text
	}
	if !errors.Is(err, e.Kind) || e.Unprocessed() && !e.Retryable("POST") {
		return fmt.Sprintf("%s: %#v", wireAtOdds, e)
	}
	kind := strings.Fields(e.Kind.Error())
	if len(want) < len(kind) || strings.Join(want[:len(kind)], " ") != e.Kind.Error() {
		return fmt.Sprintf("%v (%s)", e.Kind, text)
	}
	out := kind
	for _, w := range want[len(kind):] {
		switch key, value, _ := strings.Cut(w, "="); key {
		case "at":
			out = append(out, "at", strconv.FormatInt(e.Offset, 10))
		case "sent":
			out = append(out, "sent="+e.Sent.String())
		case "unprocessed", "processed?":
			out = append(out, wireIf(e.Unprocessed(), "unprocessed", "processed?"))
		case "retryable", "unretryable":
			out = append(out, wireIf(e.Retryable(method), "retryable", "unretryable"))
		case "op":
			out = append(out, "op="+wireWord(e.Op))
		case "cause":
			value = strings.Trim(value, `"`)
			cause := ""
			if e.Err != nil {
				cause = e.Err.Error()
			}
			if strings.Contains(cause, value) {
				cause = value
			}
			out = append(out, "cause="+wireWord(cause))
		}
	}
	return strings.Join(out, " ")
}

func wireIf(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}
