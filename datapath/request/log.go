package request

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"muster/cluster"
	"muster/datapath/http1"
	"muster/internal/loop"
)

// logWriter writes the lines of all loops, so that a slow disk holds up none of them: what it cannot take is counted and
// left out.
type logWriter struct {
	log     *slog.Logger
	batches chan batch
	spare   chan []byte   // buffers that have been written
	lost    atomic.Uint64 // lines
}

type batch struct {
	to   io.Writer
	text []byte
}

func newLogWriter(log *slog.Logger) *logWriter {
	return &logWriter{log: log, batches: make(chan batch, 256), spare: make(chan []byte, 16)}
}

// Run writes until the context ends, and then what is left.
func (l *logWriter) Run(ctx context.Context) error {
	failed := false
	write := func(b batch) {
		if _, err := b.to.Write(b.text); err != nil != failed {
			failed = err != nil
			if failed {
				l.log.Error("access log is not written", "error", err)
			} else {
				l.log.Info("access log is written again")
			}
		}
		select {
		case l.spare <- b.text[:0]:
		default:
		}
	}
	for {
		select {
		case b := <-l.batches:
			write(b)
		case <-ctx.Done():
			for {
				select {
				case b := <-l.batches:
					write(b)
				default:
					return nil
				}
			}
		}
	}
}

const logBatch = 32 << 10

// line is a worker's lines of a service that have not been handed over.
type lines struct {
	to   io.Writer
	text []byte
}

func (v *view) flushLog(l *logWriter) {
	if len(v.lines.text) == 0 {
		return
	}
	select {
	case l.batches <- batch{v.lines.to, v.lines.text}:
		select {
		case v.lines.text = <-l.spare:
		default:
			v.lines.text = nil
		}
	default:
		l.lost.Add(uint64(bytes.Count(v.lines.text, []byte{'\n'})))
		v.lines.text = v.lines.text[:0]
	}
}

func (w *worker) flushLogs() {
	for _, v := range w.views {
		v.flushLog(w.p.logs)
	}
}

// mayWarn bounds the log lines that clients can cause: ten a second on each loop.
func (w *worker) mayWarn() bool {
	if now := w.loop.Now(); now-w.warned.since > int64(time.Second) {
		w.warned.since, w.warned.n = now, 0
	}
	w.warned.n++
	return w.warned.n <= 10
}

// account counts an exchange that has ended, and writes its line.
func (c *client) account() {
	ex, count := &c.ex, c.v.count
	now := loop.Monotonic()
	count.BytesIn.Add(uint64(ex.bytesIn))
	count.BytesOut.Add(uint64(ex.bytesOut))
	count.Status[min(ex.status/100, 5)].Add(1)
	count.Ended[ex.cause].Add(1)
	count.observe(now - ex.began)
	if f := c.cfg.Log.Format; f == "" || f == "off" {
		return
	}
	v := c.v
	if v.lines.to != c.cfg.Log.To {
		v.flushLog(c.w.p.logs)
		v.lines.to = c.cfg.Log.To
	}
	r := &c.w.logged
	*r = http1.Request{Head: http1.Head{Fields: r.Fields[:0]}}
	if ex.replay != nil {
		_ = r.Parse(ex.replay, &anyHead) // we have put it together ourselves
	}
	c.w.stir()
	e := entry{c: c, ex: ex, r: r, now: now}
	if c.cfg.Log.Format == "json" {
		v.lines.text = e.appendJSON(v.lines.text)
	} else {
		v.lines.text = e.appendCombined(v.lines.text)
	}
	if len(v.lines.text) > logBatch {
		v.flushLog(c.w.p.logs)
	}
}

// anyHead lets every head pass that has passed before, with what we have put into it.
var anyHead = http1.Limits{Head: 4 << 20, Headers: 1 << 20, Target: 4 << 20}

// entry is one line of an access log.
type entry struct {
	c   *client
	ex  *exchange
	r   *http1.Request
	now int64
}

// timers are HAProxy's: Tq for the request's head to come, Tw in queue, Tc to connect, Tr until the response began, Ta in
// all. -1 is for what was not reached.
func (e *entry) timers() (t [5]int64) {
	ex := e.ex
	span := func(from, to int64) int64 {
		if from == 0 || to == 0 {
			return -1
		}
		return max(0, to-from)
	}
	return [5]int64{
		span(ex.began, ex.headAt), span(ex.headAt, ex.nodeAt), span(ex.nodeAt, ex.sentAt),
		span(ex.sentAt, ex.firstAt), span(ex.began, e.now),
	}
}

func (e *entry) node() string {
	switch {
	case e.ex.share >= 0 && e.ex.table != nil:
		return e.ex.table.Shares[e.ex.share].Node
	case e.ex.attempts > 0:
		return "fallback"
	}
	return "-"
}

func appendMillis(b []byte, ns int64) []byte {
	if ns < 0 {
		return append(b, "-1"...)
	}
	return strconv.AppendFloat(b, float64(ns)/1e6, 'f', 3, 64)
}

// appendCombined appends the line in the combined format of NCSA and Apache, and behind it: service, node, the five timers
// in milliseconds, the cause, the retries.
func (e *entry) appendCombined(b []byte) []byte {
	b = e.c.from.Addr().Unmap().AppendTo(b)
	b = append(b, " - - ["...)
	b = time.Now().AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, `] "`...)
	switch {
	case e.c.cfg.Kind == cluster.TCP:
		b = append(b, "TCP"...)
	case e.r.Target == nil:
		b = append(b, "<BADREQ>"...)
	default:
		b = append(append(append(b, e.r.Method...), ' '), e.r.Target...)
		b = append(b, " HTTP/1."...)
		b = append(b, "10"[btoi(e.ex.oldClient)])
	}
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(e.ex.status), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, e.ex.bytesOut, 10)
	b = appendQuoted(append(b, ' '), e.r.Value(http1.Referer))
	b = appendQuoted(append(b, ' '), e.r.Value(http1.UserAgent))
	b = append(append(b, ' '), e.c.v.s.name...)
	b = append(append(b, ' '), e.node()...)
	sep := byte(' ')
	for _, t := range e.timers() {
		b = appendMillis(append(b, sep), t)
		sep = '/'
	}
	b = append(append(b, ' '), e.ex.cause.String()...)
	b = strconv.AppendInt(append(b, ' '), int64(e.ex.retries), 10)
	return append(b, '\n')
}

func btoi(v bool) int {
	if v {
		return 1
	}
	return 0
}

// appendQuoted appends the value in quotes; what would end them is escaped, as Apache does it.
func appendQuoted(b, value []byte) []byte {
	if value == nil {
		return append(b, `"-"`...)
	}
	b = append(b, '"')
	for _, ch := range value {
		if ch == '"' || ch == '\\' {
			b = append(b, '\\')
		}
		b = append(b, ch)
	}
	return append(b, '"')
}

// appendJSON appends the line as one JSON object; times are in milliseconds.
func (e *entry) appendJSON(b []byte) []byte {
	text := func(name string, v []byte) {
		b = append(append(append(b, `,"`...), name...), `":`...)
		b = appendJSONString(b, v)
	}
	number := func(name string, v int64) {
		b = append(append(append(b, `,"`...), name...), `":`...)
		b = strconv.AppendInt(b, v, 10)
	}
	b = append(b, `{"time":"`...)
	b = time.Now().UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z07:00")
	b = append(b, `","client":"`...)
	b = e.c.from.Addr().Unmap().AppendTo(b)
	b = append(b, `","service":`...)
	b = appendJSONString(b, []byte(e.c.v.s.name))
	if e.r.Target != nil {
		text("method", e.r.Method)
		text("target", e.r.Target)
		text("host", e.r.Host)
		text("referer", e.r.Value(http1.Referer))
		text("user_agent", e.r.Value(http1.UserAgent))
	}
	number("status", int64(e.ex.status))
	number("bytes_in", e.ex.bytesIn)
	number("bytes_out", e.ex.bytesOut)
	text("node", []byte(e.node()))
	text("cause", []byte(e.ex.cause.String()))
	number("retries", int64(e.ex.retries))
	number("resumes", int64(e.ex.resume.tries))
	for i, t := range e.timers() {
		b = append(append(append(b, `,"`...), [...]string{"tq", "tw", "tc", "tr", "ta"}[i]...), `":`...)
		b = appendMillis(b, t)
	}
	return append(b, '}', '\n')
}

func appendJSONString(b, s []byte) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		ch := s[i]
		switch {
		case ch == '"' || ch == '\\':
			b = append(b, '\\', ch)
		case ch < 0x20 || ch == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[ch>>4], hex[ch&15])
		case ch >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(s[i:])
			b = utf8.AppendRune(b, r)
			i += n
			continue
		default:
			b = append(b, ch)
		}
		i++
	}
	return append(b, '"')
}
