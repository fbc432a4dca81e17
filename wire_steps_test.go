package h1

// wire_steps_test.go: what the lines of a wire script do.
//
// Rule: a verb is one entry of wireVerbs. A call gives its result in the words a script
// would use for it; the runner compares words and knows nothing of their meaning.
// Not here: what can be seen without a call that waits (wire_see_test.go).

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing/synctest"
	"time"
)

// A wireVerb is one kind of step. One of do and call is set.
type wireVerb struct {
	raw      bool // the rest of the line is not words
	asks     bool // it has a result to compare
	min, max int  // words it takes
	do       func(r *wireRun, s *wireStep) error
	call     func(r *wireRun, s *wireStep) (func() string, error) // may wait
}

var wireVerbs map[string]wireVerb

func init() { // the verbs refer to the runner, and the runner to them
	wireVerbs = map[string]wireVerb{
		// Request lines: of the next request sent.
		"field":         {raw: true, do: wireField},
		"trailer":       {raw: true, do: wireTrailer},
		"latetrailer":   {raw: true, do: wireLateTrailer},
		"host":          {max: 1, min: 1, do: wireHost},
		"body":          {max: 1, min: 1, do: wireBody},
		"chunked":       {max: 99, do: wireChunked},
		"slow":          {max: 99, min: 1, do: wireSlow},
		"length":        {max: 1, min: 1, do: wireLength},
		"option":        {max: 9, min: 1, do: wireOption},
		"informational": {max: 1, do: wireInformational},
		// Calls of the engine.
		"send":        {asks: true, min: 2, max: 2, call: wireSend((*Conn).Send)},
		"trysend":     {asks: true, min: 2, max: 2, call: wireSend((*Conn).TrySend)},
		"do":          {asks: true, min: 2, max: 2, call: wireDo},
		"head":        {asks: true, call: wireHead},
		"read":        {asks: true, call: wireRead},
		"readall":     {asks: true, max: 1, call: wireReadAll},
		"writeto":     {asks: true, call: wireWriteTo},
		"bodyclose":   {asks: true, call: wireBodyClose},
		"write":       {asks: true, min: 1, max: 1, call: wireWrite},
		"closewrite":  {asks: true, call: wireCloseWrite},
		"waitready":   {asks: true, call: wireWaitReady},
		"watch":       {asks: true, call: wireWatch},
		"shutdown":    {asks: true, call: wireShutdown},
		"close":       {asks: true, call: wireClose},
		"detach":      {asks: true, call: wireDetach},
		"tunnelread":  {asks: true, call: wireTunnelRead},
		"tunnelwrite": {asks: true, min: 1, max: 1, call: wireTunnelWrite},
		"tunnelend":   {asks: true, call: wireTunnelEnd},
		// What can be seen.
		"life":   {asks: true, do: wireSee(func(r *wireRun, s *wireStep) string { return r.conn.State().String() })},
		"err":    {asks: true, do: wireSee(func(r *wireRun, s *wireStep) string { return wireErr(r.conn.Err(), s.want, "") })},
		"probe":  {asks: true, do: wireSee(func(r *wireRun, s *wireStep) string { return wireErr(r.conn.Probe(), s.want, "") })},
		"ready":  {asks: true, do: wireSee(wireReady)},
		"hints":  {asks: true, do: wireSee(wireHints)},
		"stats":  {asks: true, do: wireSee(wireStats)},
		"header": {asks: true, do: wireSee(wireHeader)},
		"timing": {asks: true, do: wireSee(wireTiming)},
		"info":   {asks: true, do: wireSee(wireInfo)},
		// The rest.
		"cancel":    {do: wireCancel},
		"cancelctx": {do: wireCancelContext},
		"sleep":     {min: 1, max: 1, do: wireSleep},
		"window":    {min: 1, max: 1, do: wireSetWindow},
		"swallow":   {min: 0, max: 0, do: wireSwallow},
		"<eof":      {do: func(r *wireRun, s *wireStep) error { r.stream.fail(io.EOF); return nil }},
		"<reset":    {do: func(r *wireRun, s *wireStep) error { r.stream.reset(); return nil }},
		">broken":   {max: 1, do: wireBroken},
		">nothing":  {do: wireNothing},
		">eof":      {do: wireEnded},
		">closed":   {do: wireEnded},
	}
}

// A wireRequest is what request lines ask for.
type wireRequest struct {
	Request
	options map[string]string
	hook    bool
	hookErr error
}

// A wireExchange is a request sent, whether or not Send had accepted it.
type wireExchange struct {
	Exchange
	req    *wireRequest
	ctx    context.Context
	cancel context.CancelFunc
	resp   Response
	sent   bool // Send has accepted it
	asked  bool // its response was asked for, or it was canceled
	mu     sync.Mutex
	infos  []string
	eof    bool // Body.Read gave io.EOF together with bytes
}

// next is the request that the lines so far describe.
func (r *wireRun) next() *wireRequest {
	if r.pending == nil {
		r.pending = &wireRequest{Request: Request{Host: "example.com"}, options: map[string]string{}}
	}
	return r.pending
}

// exchange is the one that a step means.
func (r *wireRun) exchange(s *wireStep) (*wireExchange, error) {
	n := s.x
	if n == 0 {
		n = len(r.xs)
	}
	if n == 0 || n > len(r.xs) {
		return nil, fmt.Errorf("%s: there is no exchange #%d", s.verb, n)
	}
	return r.xs[n-1], nil
}

func wireField(r *wireRun, s *wireStep) error   { return wireAdd(&r.next().Header, s.raw) }
func wireTrailer(r *wireRun, s *wireStep) error { return wireAdd(&r.next().Trailer, s.raw) }

func wireLateTrailer(r *wireRun, s *wireStep) error {
	if len(r.xs) == 0 {
		return errors.New("latetrailer: no request")
	}
	return wireAdd(&r.xs[len(r.xs)-1].req.Trailer, s.raw)
}

// wireAdd adds "Name: value", or "Name: " and a quoted value, as given.
func wireAdd(h *Header, line string) error {
	name, value, ok := strings.Cut(line, ": ")
	if !ok {
		return fmt.Errorf("%q is no field", line)
	}
	for _, p := range []*string{&name, &value} {
		if strings.HasPrefix(*p, `"`) {
			b, err := wireData(*p)
			if err != nil {
				return err
			}
			*p = string(b)
		}
	}
	h.Add(name, value)
	return nil
}

// wireText is a word, or what a quoted word says.
func wireText(word string) (string, error) {
	if word[0] != '"' {
		return word, nil
	}
	b, err := wireData(word)
	return string(b), err
}

func wireHost(r *wireRun, s *wireStep) (err error) {
	r.next().Host, err = wireText(s.args[0])
	return err
}

// wireBody gives a body whose length can be asked for.
func wireBody(r *wireRun, s *wireStep) error {
	b, err := wireData(s.args[0])
	r.next().Body = strings.NewReader(string(b))
	return err
}

// A wirePieces is a body of unknown length: a piece for each Read, after a delay.
type wirePieces struct {
	pieces [][]byte
	err    error
	delay  time.Duration
	stop   chan struct{}
}

func (p *wirePieces) Read(b []byte) (int, error) {
	if p.delay > 0 {
		t := time.NewTimer(p.delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-p.stop:
			return 0, io.ErrClosedPipe
		}
	}
	if len(p.pieces) == 0 {
		return 0, p.err
	}
	n := copy(b, p.pieces[0])
	if p.pieces[0] = p.pieces[0][n:]; len(p.pieces[0]) == 0 {
		p.pieces = p.pieces[1:]
	}
	return n, nil
}

// wireChunked gives a body of unknown length; the word error=text ends it with an error.
func wireChunked(r *wireRun, s *wireStep) error {
	body := &wirePieces{err: io.EOF, stop: r.stop}
	for _, w := range s.args {
		if text, ok := strings.CutPrefix(w, "error="); ok {
			body.err = errors.New(text)
			continue
		}
		b, err := wireData(w)
		if err != nil {
			return err
		}
		body.pieces = append(body.pieces, b)
	}
	r.next().Body = body
	return nil
}

func wireSlow(r *wireRun, s *wireStep) error {
	d, err := time.ParseDuration(s.args[0])
	if err != nil {
		return err
	}
	if err := wireChunked(r, &wireStep{args: s.args[1:]}); err != nil {
		return err
	}
	r.next().Body.(*wirePieces).delay = d
	return nil
}

func wireLength(r *wireRun, s *wireStep) (err error) {
	r.next().ContentLength, err = strconv.ParseInt(s.args[0], 10, 64)
	return err
}

// wireOption sets what is a bool, a time or a context.
func wireOption(r *wireRun, s *wireStep) error {
	for _, w := range s.args {
		switch key, value, _ := strings.Cut(w, "="); key {
		case "push":
			r.next().Push = true
		case "close":
			r.next().Close = true
		case "idempotent":
			r.next().Idempotent = true
		case "deadline", "context":
			if _, err := time.ParseDuration(value); err != nil && value != "" {
				return err
			}
			r.next().options[key] = value
		default:
			return fmt.Errorf("unknown option %q", w)
		}
	}
	return nil
}

// wireInformational records 1xx responses, for info; with a word, the hook fails so.
func wireInformational(r *wireRun, s *wireStep) error {
	r.next().hook = true
	if len(s.args) > 0 {
		r.next().hookErr = errors.New(s.args[0])
	}
	return nil
}

// start makes the exchange of the next request.
func (r *wireRun) start(method, target string) (*wireExchange, error) {
	req := r.next()
	r.pending = nil
	var err error
	if req.Method, err = wireText(method); err != nil {
		return nil, err
	}
	if req.Target, err = wireText(target); err != nil {
		return nil, err
	}
	x := &wireExchange{req: req, ctx: context.Background(), cancel: func() {}}
	if d, ok := req.options["deadline"]; ok {
		after, _ := time.ParseDuration(d)
		req.Deadline = time.Now().Add(after)
	}
	if d, ok := req.options["context"]; ok {
		if after, _ := time.ParseDuration(d); after > 0 {
			x.ctx, x.cancel = context.WithTimeout(x.ctx, after)
		} else {
			x.ctx, x.cancel = context.WithCancel(x.ctx)
		}
	}
	if req.hook {
		req.Informational = func(status int, h *Header) error {
			x.mu.Lock()
			defer x.mu.Unlock()
			info := strconv.Itoa(status)
			for k, v := range h.All() {
				info += " " + string(k) + "=" + wireWord(string(v))
			}
			x.infos = append(x.infos, info)
			return req.hookErr
		}
	}
	r.xs = append(r.xs, x)
	return x, nil
}

func wireSend(send func(*Conn, context.Context, *Request) (Exchange, error)) func(*wireRun, *wireStep) (func() string, error) {
	return func(r *wireRun, s *wireStep) (func() string, error) {
		x, err := r.start(s.args[0], s.args[1])
		return func() string {
			ex, err := send(r.conn, x.ctx, &x.req.Request)
			if err == nil {
				x.Exchange, x.sent = ex, true
			}
			return wireErr(err, s.want, x.req.Method)
		}, err
	}
}

func wireDo(r *wireRun, s *wireStep) (func() string, error) {
	x, err := r.start(s.args[0], s.args[1])
	return func() string {
		if err := r.conn.Do(x.ctx, &x.req.Request, &x.resp); err != nil {
			return wireErr(err, s.want, x.req.Method)
		}
		return x.head(s.want)
	}, err
}

func wireWrite(r *wireRun, s *wireStep) (func() string, error) {
	x, err := r.exchange(s)
	if err != nil {
		return nil, err
	}
	p, err := wireData(s.args[0])
	return func() string { return wireCount(x.Write(p))(s.want, x.req.Method) }, err
}

// wireCount writes what a Write has returned: 5, or 3 then an error.
func wireCount(n int, err error) func(want []string, method string) string {
	return func(want []string, method string) string {
		switch {
		case err == nil:
			return strconv.Itoa(n)
		case n == 0:
			return wireErr(err, want, method)
		}
		if len(want) > 2 && want[1] == "then" {
			want = want[2:]
		}
		return strconv.Itoa(n) + " then " + wireErr(err, want, method)
	}
}

func wireCloseWrite(r *wireRun, s *wireStep) (func() string, error) {
	x, err := r.exchange(s)
	return func() string { return wireErr(x.CloseWrite(), s.want, x.req.Method) }, err
}

func wireWaitReady(r *wireRun, s *wireStep) (func() string, error) {
	ready := r.conn.Ready()
	return func() string { return wireErr(ready.Wait(context.Background()), s.want, "") }, nil
}

func wireWatch(r *wireRun, s *wireStep) (func() string, error) {
	return func() string { return wireErr(r.conn.Watch(context.Background()), s.want, "") }, nil
}

func wireShutdown(r *wireRun, s *wireStep) (func() string, error) {
	return func() string { return wireErr(r.conn.Shutdown(context.Background()), s.want, "") }, nil
}

func wireClose(r *wireRun, s *wireStep) (func() string, error) {
	return func() string { return wireErr(r.conn.Close(), s.want, "") }, nil
}

// wireDetach gives what was read too far: detach = "bytes". How much that is depends on
// the packets; detach = ok takes any.
func wireDetach(r *wireRun, s *wireStep) (func() string, error) {
	return func() string {
		parts, err := r.conn.Detach()
		if err != nil {
			return wireErr(err, s.want, "")
		}
		r.tunnel = &parts
		if s.want[0] == "ok" {
			return "ok"
		}
		return strconv.Quote(string(parts.Buffered))
	}, nil
}

// tunnelStream is the same stream at every use.
func (r *wireRun) tunnelStream() (io.ReadWriteCloser, error) {
	if r.tunnel == nil {
		return nil, errors.New("nothing was detached")
	}
	if r.parts.IO == nil {
		r.parts.IO = r.tunnel.Stream()
	}
	return r.parts.IO, nil
}

func wireTunnelRead(r *wireRun, s *wireStep) (func() string, error) {
	t, err := r.tunnelStream()
	if err != nil {
		return nil, err
	}
	if s.want[0] == "EOF" {
		return func() string {
			n, err := t.Read(make([]byte, 1))
			if n == 0 && err == io.EOF {
				return "EOF"
			}
			return fmt.Sprint(n, " bytes then ", err)
		}, nil
	}
	data, err := wireData(s.want[0])
	return func() string {
		buf := make([]byte, len(data))
		n, err := io.ReadFull(t, buf)
		if err != nil {
			return fmt.Sprintf("%q then %v", buf[:n], err)
		}
		return strconv.Quote(string(buf))
	}, err
}

func wireTunnelWrite(r *wireRun, s *wireStep) (func() string, error) {
	t, err := r.tunnelStream()
	if err != nil {
		return nil, err
	}
	data, err := wireData(s.args[0])
	return func() string { return wireCount(t.Write(data))(s.want, "") }, err
}

// wireTunnelEnd half-closes the tunnel.
func wireTunnelEnd(r *wireRun, s *wireStep) (func() string, error) {
	t, err := r.tunnelStream()
	return func() string {
		c, ok := t.(interface{ CloseWrite() error })
		if !ok {
			return "no CloseWrite"
		}
		return wireErr(c.CloseWrite(), s.want, "")
	}, err
}

func wireCancel(r *wireRun, s *wireStep) error {
	x, err := r.exchange(s)
	if err == nil {
		x.asked = true
		x.Cancel()
	}
	return err
}

// wireCancelContext cancels the context that option context has made.
func wireCancelContext(r *wireRun, s *wireStep) error {
	x, err := r.exchange(s)
	if err == nil {
		x.cancel()
		if x.ctx.Err() == nil {
			return errors.New("cancelctx without option context")
		}
	}
	return err
}

func wireSleep(r *wireRun, s *wireStep) error {
	d, err := time.ParseDuration(s.args[0])
	time.Sleep(d)
	return err
}

func wireSetWindow(r *wireRun, s *wireStep) error {
	n, err := strconv.Atoi(s.args[0])
	r.stream.setWindow(n)
	return err
}

// wireSwallow is a server that reads what there is and does not look at it.
func wireSwallow(r *wireRun, s *wireStep) error {
	for {
		synctest.Wait()
		if len(r.stream.receive(1<<20)) == 0 {
			return nil
		}
	}
}

func wireBroken(r *wireRun, s *wireStep) (err error) {
	n := 0
	if len(s.args) > 0 {
		n, err = strconv.Atoi(s.args[0])
	}
	r.stream.failWrites(n, syscall.EPIPE)
	return err
}

func wireNothing(r *wireRun, s *wireStep) error {
	synctest.Wait()
	if b := r.stream.receive(1 << 20); len(b) > 0 {
		return fmt.Errorf("> %s, want nothing", wireBrief(strconv.Quote(string(b))))
	}
	return nil
}

func wireEnded(r *wireRun, s *wireStep) error {
	synctest.Wait()
	if got := r.stream.ended(); got != s.verb[1:] {
		return fmt.Errorf("the client's end is %q, want %q", got, s.verb[1:])
	}
	return nil
}
