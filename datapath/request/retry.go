package request

import "muster/cluster"

const retryBurst = 100_000 // thousandths of a retry that may be made at once: a dying node may hold that many requests

// attemptFailed is when a node has not done what was asked of it. The request goes to another if that cannot harm; else
// the client is told.
func (c *client) attemptFailed(why Cause) {
	ex := &c.ex
	u := ex.up
	stale := u != nil && u.uses > 1 && why == NodeClosed
	if !stale {
		ex.live.Failed.Add(1)
	}
	// A connection that had waited was closed as the request came: that says nothing against the node. A new connection
	// to the same one is as good as any.
	if stale {
		ex.fresh = true
		ex.attempts--
	} else if ex.share >= 0 && ex.table == c.v.table {
		ex.ask.Tried(ex.share)
	}
	again := c.mayRepeat()
	resuming := ex.started && c.canResume()
	c.letGo(false)
	c.phase = reading
	switch {
	case resuming && c.spend():
		ex.resume.tries++
		c.v.count.Resumes.Add(1)
		c.prepareResume()
		c.dispatch()
	case ex.started:
		c.phase = streaming
		if why == NodeClosed {
			why = Truncated
		}
		c.cut(why)
	case again && ex.attempts < c.cfg.Retry.Attempts && c.spend():
		ex.retries++
		c.v.count.Retries.Add(1)
		c.dispatch()
	case why == NodeTimeout:
		c.answer(504, why)
	default:
		c.answer(502, why)
	}
}

// mayRepeat says whether the request can be sent once more: all of it is still here, and no node can have acted on it, or
// doing it twice is doing it once.
func (c *client) mayRepeat() bool {
	ex := &c.ex
	return ex.whole && (!ex.wrote || c.cfg.Retry.Idempotent && ex.idempotent)
}

// spend takes a retry from the budget, which fills with the requests: when everything fails, retries must not double the
// load on what is left.
func (c *client) spend() bool {
	if c.v.tokens < 1000 || c.cfg.Retry.Budget < 0 {
		c.v.count.BudgetSpent.Add(1)
		return false
	}
	c.v.tokens -= 1000
	return true
}

// noticeOut takes a request elsewhere, if it can go elsewhere, when its node has been called out, or its report is overdue,
// and it has given no sign of life for a short while: a node that is only cut off from reporting goes on answering.
func (c *client) noticeOut() {
	ex, t := &c.ex, c.v.table
	if t == nil || ex.share < 0 || ex.live == nil {
		return
	}
	out := ex.live.Overdue.Load()
	if !out && ex.table != t {
		out = outIn(t, ex.live)
	}
	if !out || !ex.bodyDone {
		return
	}
	can := c.phase == connecting ||
		c.phase == waiting && c.mayRepeat() ||
		c.phase == streaming && c.canResume() && c.out.empty()
	now, heard := c.w.loop.Now(), ex.target.heard
	if c.phase == streaming {
		heard = ex.up.heard
	}
	if due := max(now+1, heard+int64(c.cfg.Timeouts.Out)); can && c.timer.Due() > due {
		c.timer.Set(due - now)
	}
}

// outIn says whether a node is out, or not there at all, in a table.
func outIn(t *cluster.Table, live *cluster.Live) bool {
	for i := range t.Shares {
		if t.Shares[i].Live == live {
			return t.Shares[i].State == cluster.Out
		}
	}
	return true
}
