package request

import (
	"strconv"
	"time"

	"muster/datapath/http1"
)

// refuse answers a request that is not HTTP, or more than is allowed, and ends the connection.
func (c *client) refuse(err error) {
	status, reason := 400, err.Error()
	if e, ok := err.(*http1.Error); ok {
		status = e.Status
	}
	if status == 502 {
		status = 400
	}
	if c.w.mayWarn() {
		c.w.p.log.Warn("bad request", "service", c.v.s.name, "client", c.from, "reason", reason, "status", status)
	}
	c.keep = false
	if c.ex.started { // half an answer is with the client: it must not take it for whole
		c.cut(BadRequest)
		return
	}
	if c.ex.headAt == 0 {
		c.v.count.Requests.Add(1)
	}
	c.say(status, BadRequest, reason)
}

// why is the line that a client gets with a status of our own.
var why = [causes]string{
	HeadTimeout:   "The request did not arrive in time.",
	BodyTimeout:   "The rest of the request did not arrive in time.",
	NoNode:        "No node of the pool is active.",
	QueueFull:     "All nodes are busy, and the queue is full.",
	QueueTimeout:  "All nodes are busy.",
	ConnectFailed: "No node of the pool could be connected to.",
	NodeClosed:    "The node closed the connection before it answered.",
	NodeTimeout:   "The node did not answer in time.",
	BadResponse:   "The node's answer is not HTTP.",
}

// answer ends an exchange with a status of our own, or, if the client has part of a response already, with a cut.
func (c *client) answer(status int, cause Cause) {
	if c.ex.started { // another node was to finish the response
		c.phase = streaming
		c.cut(cause)
		return
	}
	if !c.ex.bodyDone {
		c.keep = false
	}
	if c.ex.headAt == 0 {
		c.v.count.Requests.Add(1)
	}
	c.say(status, cause, why[cause])
}

// say writes the answer and ends the exchange.
func (c *client) say(status int, cause Cause, text string) {
	ex := &c.ex
	body := append([]byte(text), '\n')
	kind := "text/plain; charset=utf-8"
	if f := &c.cfg.Fallback; cause == NoNode && len(f.Body) > 0 {
		status, body, kind = f.Status, f.Body, "text/html; charset=utf-8"
	}
	ex.status, ex.cause = status, cause
	b := http1.AppendStatusLine(make([]byte, 0, 256+len(body)), status)
	b = append(b, "Date: "...)
	b = http1.AppendDate(b, time.Now())
	b = append(append(append(b, "\r\nContent-Type: "...), kind...), "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\nCache-Control: no-store\r\n"...)
	if status == 503 {
		b = append(b, "Retry-After: 1\r\n"...)
	}
	b = append(c.appendConnection(b), '\r', '\n')
	if ex.verb != http1.HEAD {
		b = append(b, body...)
	}
	if c.write(b) {
		c.endExchange(false)
		c.half = nil
		c.after()
	}
}
