package h1

// fuzz_conn_test.go: what fuzzes a whole connection: the script of an input, a server that
// is driven by it, and a slow reader of the bytes that says whose they are.
//
// Rule: a letter of an input says what is done, and the byte behind it how.

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing/synctest"
	"time"
)

// A fuzzScript is an input that says what is done: pairs of a letter and a byte.
type fuzzScript string

// next takes a pair. A letter that is none of those there are stands for one of them.
func (s *fuzzScript) next(letters string) (verb byte, arg int) {
	if len(*s) < 2 {
		*s = ""
		return 0, 0
	}
	verb, arg = (*s)[0], int(byte((*s)[1]-'0'))
	*s = (*s)[2:]
	if strings.IndexByte(letters, verb) < 0 {
		verb = letters[int(verb)%len(letters)]
	}
	return verb, arg
}

// fuzzConfigs is how many settings fuzzConfig makes.
const fuzzConfigs = 27648

// fuzzConfig makes settings of a number; 0: the defaults, but four requests at once.
func fuzzConfig(bits uint16) (cfg Config, plain bool) {
	left := int(bits)
	pick := func(of ...int) int {
		n := of[left%len(of)]
		left /= len(of)
		return n
	}
	cfg.Depth = pick(4, 1, 2, 3)
	cfg.ReadBuffer = pick(0, 16, 64)
	cfg.WriteBuffer = pick(0, 16, 128)
	cfg.MaxDrain = int64(pick(0, -1, 8, 100))
	cfg.MaxHeadBytes = pick(0, 64, 200)
	cfg.MaxHeaders = pick(0, 2)
	cfg.MaxInformational = pick(0, 1)
	plain = pick(0, 1) == 1
	cfg.StallTimeout = time.Duration(pick(0, 1)) * time.Second
	cfg.HeadTimeout = time.Duration(pick(0, 2)) * time.Second
	cfg.Timing = pick(0, 1) == 1
	return cfg, plain
}

// A plainAnswer is what a slow reader finds in the place of one request's answer.
type plainAnswer struct {
	start, next     int // its first byte in the stream, and the one behind it
	status          int
	fields, trailer []string // "name:value"
	body            string
	whole           bool // it is there to its end
	last            bool // what stands behind it is no answer
}

var plainStatus = regexp.MustCompile(`^HTTP/1\.([0-9]) ([1-9][0-9][0-9])(?: .*)?$`)

// plainAnswers takes a stream apart, as answers to what was asked, for as long as it can be
// told what is what. ended says that the stream's end was its server's will.
func plainAnswers(wire string, asked []*seqAsked, ended bool) (as []*plainAnswer) {
	at := 0
	for _, q := range asked {
		a := &plainAnswer{start: at}
		if !a.read(wire, q, ended) {
			break
		}
		as = append(as, a)
		if at = a.next; a.last || !a.whole {
			break
		}
	}
	return as
}

// read reads one answer, and reports whether its head is one.
func (a *plainAnswer) read(wire string, q *seqAsked, ended bool) bool {
	a.next = a.start
	minor := ""
	for a.status == 0 || a.status/100 == 1 && a.status != 101 {
		head, _, ok := strings.Cut(wire[a.next:], "\r\n\r\n")
		line, lines, _ := strings.Cut(head, "\r\n")
		m := plainStatus.FindStringSubmatch(line)
		if !ok || m == nil {
			return false
		}
		minor = m[1]
		a.status, _ = strconv.Atoi(m[2])
		a.fields = plainFields(lines)
		a.next += len(head) + 4
	}
	options := strings.ToLower(strings.Join(a.get("Connection"), ","))
	says := func(option string) bool {
		return slices.ContainsFunc(strings.Split(options, ","), func(s string) bool { return strings.Trim(s, " \t") == option })
	}
	a.last = says("close") || minor == "0" && !says("keep-alive")
	rest, codings, lengths := wire[a.next:], a.get("Transfer-Encoding"), a.get("Content-Length")
	switch {
	case a.status == 101 || q.method == "CONNECT" && a.status/100 == 2:
		a.last, a.whole = true, true
	case q.method == "HEAD" || a.status == 204 || a.status == 304:
		a.whole = true
	case len(codings) > 0:
		list := strings.Split(strings.Join(codings, ","), ",")
		if !strings.EqualFold(strings.Trim(list[len(list)-1], " \t"), "chunked") {
			return a.untilClose(rest, ended)
		}
		a.last = a.last || len(lengths) > 0 || minor == "0"
		a.chunked(rest)
	case len(lengths) > 0:
		list := strings.Split(strings.Join(lengths, ","), ",")
		n, err := strconv.ParseUint(strings.Trim(list[0], " \t"), 10, 63)
		for _, other := range list {
			if strings.Trim(other, " \t") != strings.Trim(list[0], " \t") {
				err = errPlain
			}
		}
		if err != nil {
			return false
		}
		a.whole = n <= uint64(len(rest))
		a.body = rest[:min(n, uint64(len(rest)))]
		a.next += len(a.body)
	default:
		return a.untilClose(rest, ended)
	}
	return true
}

func (a *plainAnswer) untilClose(rest string, ended bool) bool {
	a.body, a.whole, a.last = rest, ended, true
	a.next += len(rest)
	return true
}

func (a *plainAnswer) chunked(rest string) {
	data, n, err := plainChunked([]byte(rest))
	if a.body = string(data); err != nil {
		return
	}
	lines, _, ok := strings.Cut("\r\n"+rest[n:], "\r\n\r\n")
	a.whole = ok
	a.next += n + len(lines) + 2
	for _, f := range plainFields(strings.TrimPrefix(lines, "\r\n")) {
		if name, _, _ := strings.Cut(f, ":"); !forbiddenInTrailer(name) {
			a.trailer = append(a.trailer, f)
		}
	}
}

// plainFields returns the fields of lines, each of which may be folded.
func plainFields(lines string) (fields []string) {
	for _, line := range strings.Split(lines, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		switch n := len(fields); {
		case line == "":
		case n > 0 && (line[0] == ' ' || line[0] == '\t'):
			name, value, _ = strings.Cut(fields[n-1], ":")
			fields[n-1] = name + ":" + strings.Trim(value+" "+strings.Trim(line, " \t"), " \t")
		default:
			fields = append(fields, name+":"+strings.Trim(value, " \t"))
		}
	}
	return fields
}

func (a *plainAnswer) get(name string) (values []string) {
	for _, f := range a.fields {
		if key, value, _ := strings.Cut(f, ":"); strings.EqualFold(key, name) {
			values = append(values, value)
		}
	}
	return values
}

// fieldsAs writes fields as a plainAnswer has them.
func fieldsAs(h *Header) (fields []string) {
	for name, value := range h.All() {
		fields = append(fields, string(name)+":"+string(value))
	}
	return fields
}

// A seqServer is a stream with a server in it, which answers when it is written to, or when
// it is read from and nothing else is left to say.
type seqServer struct {
	conn    *Conn
	size    int // the most that conn's buffer may hold for a head
	peak    int // the most that it has held: what came behind a body in small chunks needs room
	mu      sync.Mutex
	in      []byte // written, and not yet a whole request
	asked   []*seqAsked
	answers fuzzScript
	raw     string // pieces of whatever bytes, with ~ between them
	held    string // answers that are not given yet
	out     []byte // all that was sent
	read    int    // of out
	cuts    []byte // how many bytes the next reads give, at most; 0: any
	until   time.Time
	end     error // behind out
	broken  bool  // writes fail
	dirty   bool  // what was sent may be taken for the answer to another request
	odd     bool  // not all answers were such as a client may hope for
	closed  bool
	bad     string // what the client did wrong
}

// A seqAsked is a request that the server has received the head of.
type seqAsked struct {
	method, target, head string
	body                 string // received
	whole                bool   // all of it is
	said                 bool   // an answer was given, or will not be
	sure                 bool   // that answer cannot be taken for another
	answer               string // the answer's body, if sure
}

func (s *seqServer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return 0, net.ErrClosed
	case s.broken:
		return 0, syscall.EPIPE
	}
	s.in = append(s.in, p...)
	for s.receive() {
	}
	return len(p), nil
}

// receive takes one request, or the rest of one, from in, and reports whether it is whole.
func (s *seqServer) receive() bool {
	n := len(s.asked)
	if n == 0 || s.asked[n-1].whole {
		head, _, ok := bytes.Cut(s.in, []byte("\r\n\r\n"))
		if !ok {
			return false
		}
		q := &seqAsked{head: string(head) + "\r\n"}
		q.method, q.target, _ = strings.Cut(q.head, " ")
		q.target, _, _ = strings.Cut(q.target, " ")
		s.in = s.in[len(head)+4:]
		s.asked = append(s.asked, q)
		n++
	}
	q, used, data := s.asked[n-1], 0, []byte(nil)
	if _, after, ok := strings.Cut(q.head, "\r\nContent-Length: "); ok {
		size, _, _ := strings.Cut(after, "\r\n")
		used, _ = strconv.Atoi(size)
		data = s.in[:min(used, len(s.in))]
	} else if strings.Contains(q.head, "\r\nTransfer-Encoding: ") {
		var err error
		if data, used, err = plainChunked(s.in); err == errPlain {
			s.bad = fmt.Sprintf("the client wrote a bad chunk: %q", s.in)
		}
		if end := bytes.Index(s.in[used:], crlf); err != nil || end < 0 {
			used = len(s.in) + 1
		} else {
			used += end + 2 // no trailers are sent here
		}
	}
	q.body, q.whole = string(data), used <= len(s.in)
	if !q.said {
		s.answer(q)
	}
	if q.whole {
		s.in = s.in[used:]
	}
	return q.whole && len(s.in) > 0
}

// seqAnswers are what a server may answer with; in capitals, before the request's body.
const seqAnswers = "lctmniuekbrsxw-LCNX"

// answer gives an answer, if it is time for one.
func (s *seqServer) answer(q *seqAsked) {
	if !q.whole {
		rest := s.answers
		switch how, _ := rest.next(seqAnswers); {
		case how == 'i' && strings.Contains(q.head, "\r\nExpect:"):
			s.say("HTTP/1.1 100 Continue\r\n\r\n", nil)
			return
		case how < 'A' || how > 'Z':
			return
		}
	}
	q.said = true
	how, arg := s.answers.next(seqAnswers)
	s.odd = s.odd || strings.IndexByte("\x00lctnib", how) < 0
	how |= 0x20
	if how == '-' { // none: those behind it come too early
		s.dirty = true
		return
	}
	q.sure, q.answer = !s.dirty && q.method != "CONNECT" && how != 'w', strings.Repeat(q.target+";", arg%16)
	length := fmt.Sprintf("Content-Length: %d\r\n", len(q.answer))
	before, head, body, end := "", "HTTP/1.1 200 OK\r\nTag: "+q.target+"\r\n", q.answer, error(nil)
	switch how {
	case 'c', 't', 'm': // chunked, with a trailer, with a length too
		head += "Transfer-Encoding: chunked\r\n"
		if how == 'm' {
			head += length
		}
		if body = "0\r\n"; q.answer != "" {
			body = fmt.Sprintf("%x;ext\r\n%s\r\n0\r\n", len(q.answer), q.answer)
		}
		if how == 't' {
			body += "Sum: 1\r\nHost: x\r\nTag: " + q.target + "\r\n"
		}
		body += "\r\n"
	case 'n': // without a body, whatever the length
		head = "HTTP/1.1 304 Not Modified\r\nTag: " + q.target + "\r\n" + length
		body, q.answer = "", ""
	case 'u': // until close
		end = io.EOF
	case 'e': // cut off
		head += "Content-Length: 999\r\n"
		end = io.EOF
	case 'k': // the last
		head += length + "Connection: close\r\n"
	case 'b': // an old server's
		head = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTag: " + q.target + "\r\n" + length
	case 'w': // of another protocol
		head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\nTag: " + q.target + "\r\n"
		body, q.answer = "tunnel", ""
	default: // of a length
		head += length
		if how == 'i' { // informational ones first
			before = strings.Repeat("HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n", 1+arg/64)
		}
	}
	if q.method == "HEAD" {
		body, q.answer = "", ""
	}
	switch s.dirty = s.dirty || strings.IndexByte("rsxw", how) >= 0 || q.method == "CONNECT"; how {
	case 's': // bytes that nobody asked for, behind
		body += s.piece()
	case 'x': // and in front
		before, q.sure = s.piece(), false
	}
	if how == 'r' { // whatever
		q.sure = false
		s.say(s.piece(), nil)
	} else if text := before + head + "\r\n" + body; arg&16 != 0 && end == nil {
		s.held += text
	} else {
		s.say(text, end)
	}
}

func (s *seqServer) piece() string {
	p, rest, _ := strings.Cut(s.raw, "~")
	s.raw = rest
	return p
}

func (s *seqServer) say(text string, end error) {
	if s.end == nil {
		s.out = append(append(s.out, s.held...), text...)
		s.held, s.end = "", end
	}
}

func (s *seqServer) Read(p []byte) (int, error) {
	most := max(s.size, 1<<class(s.peak))
	if n := s.conn.br.Size(); n > most {
		s.fault("%d bytes are buffered, %d are the limit", n, most)
	}
	for try := 0; ; try++ {
		synctest.Wait() // who writes does it first
		if n, err := s.take(p); n > 0 || err != nil || len(p) == 0 {
			s.peak = max(s.peak, s.conn.br.Buffered()+n)
			return n, err
		}
		s.mu.Lock()
		until := s.until
		s.mu.Unlock()
		switch {
		case try > 5:
			s.finish(io.EOF)
		case !until.IsZero():
			time.Sleep(time.Until(until))
		default:
			time.Sleep(time.Second)
		}
	}
}

// take gives what there is.
func (s *seqServer) take(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.read == len(s.out) {
		s.say("", nil)
	}
	switch {
	case s.closed:
		return 0, net.ErrClosed
	case !s.until.IsZero() && !time.Now().Before(s.until):
		return 0, os.ErrDeadlineExceeded
	case s.read == len(s.out):
		return 0, s.end
	}
	if len(s.cuts) > 0 {
		if n := int(s.cuts[0]); n > 0 {
			p = p[:min(n, len(p))]
		}
		s.cuts = append(s.cuts[1:], s.cuts[0])
	}
	n := copy(p, s.out[s.read:])
	s.read += n
	return n, nil
}

// finish ends the server's side, or both where err is not io.EOF.
func (s *seqServer) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.say("", err)
	s.broken = s.broken || err != io.EOF
}

func (s *seqServer) fault(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bad == "" {
		s.bad = fmt.Sprintf(format, args...)
	}
}

func (s *seqServer) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

func (s *seqServer) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = t
	return nil
}

func (s *seqServer) SetWriteDeadline(time.Time) error { return nil }
