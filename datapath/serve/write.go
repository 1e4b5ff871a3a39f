package serve

import (
	"io"

	"muster/internal/loop"
)

const (
	fileTurn  = 1 << 20  // bytes of a file in a turn: then the others have theirs
	ownSize   = 4 << 10  // memory that a connection keeps for heads that wait
	gatherOut = 32 << 10 // bytes of answers to pipelined requests that are written together
)

// An output is what is to be written: heads, then the body of the last of them from memory, or from a file, and for
// several ranges more parts of the same.
type output struct {
	heads []byte // of the worker's out, or of own
	body  []byte
	file  *file
	off   int64
	left  int64
	parts []part
	own   []byte // keeps heads when they could not be written at once
}

// A part is one of several ranges: what goes ahead of it, and where it lies.
type part struct {
	head []byte
	span span
}

func (o *output) pending() bool {
	return len(o.heads) > 0 || len(o.body) > 0 || o.left > 0 || len(o.parts) > 0
}

// large says whether it must be written before another answer can go behind it.
func (o *output) large() bool {
	return len(o.body) > 0 || o.file != nil || len(o.parts) > 0 || len(o.heads) > gatherOut
}

func (o *output) forget() {
	if o.file != nil {
		o.file.release()
	}
	if cap(o.own) > ownSize {
		o.own = nil
	}
	*o = output{own: o.own[:0]}
}

type progress uint8

const (
	done    progress = iota // all is written, and the connection goes on
	blocked                 // there is more; the connection will have another turn
	ended                   // the connection is closed, or waits for the client's end only
)

// send writes what it can of the output, and does what comes after it.
func (c *conn) send() progress {
	p, err := c.write()
	switch {
	case err != nil:
		c.close()
		return ended
	case p == blocked:
		if len(c.out.heads) > 0 {
			c.out.own = append(c.out.own[:0], c.out.heads...)
			c.out.heads = c.out.own
		}
		c.wait(phaseWrite)
		return blocked
	}
	c.out.forget()
	c.w.out = c.w.out[:0]
	if !c.last {
		c.phase = phaseIdle
		return done
	}
	if !c.linger || c.CloseWrite() != nil {
		c.close()
		return ended
	}
	c.putIn(nil)
	c.wait(phaseLinger)
	c.drop()
	return ended
}

func (c *conn) write() (progress, error) {
	o := &c.out
	for sent := 0; ; {
		for len(o.heads) > 0 || len(o.body) > 0 {
			var n int
			var err error
			switch {
			case len(o.body) > 0 && len(o.heads) > 0:
				n, err = c.Write2(o.heads, o.body)
			case len(o.body) > 0:
				n, err = c.Write(o.body)
			case o.left > 0 || len(o.parts) > 1:
				n, err = c.WriteMore(o.heads)
			default:
				n, err = c.Write(o.heads)
			}
			c.w.n.sent += uint64(n)
			h := min(n, len(o.heads))
			o.heads, o.body = o.heads[h:], o.body[n-h:]
			if err == loop.ErrAgain {
				return blocked, nil
			} else if err != nil {
				return ended, err
			}
		}
		for o.left > 0 {
			if sent >= fileTurn {
				c.w.later(c)
				return blocked, nil
			}
			n, err := c.SendFile(o.file.fd, o.off, int(min(o.left, fileTurn)))
			if err == loop.ErrAgain {
				return blocked, nil
			} else if err != nil {
				if err == io.EOF {
					o.file.short.Store(true)
					c.w.log.Warn("a file has become shorter while it was sent; the connection is cut", "client", c.from)
				}
				return ended, err
			}
			o.off, o.left = o.off+int64(n), o.left-int64(n)
			sent += n
			c.w.n.sent += uint64(n)
		}
		if len(o.parts) == 0 {
			return done, nil
		}
		p := o.parts[0]
		o.parts = o.parts[1:]
		o.heads, o.off, o.left = p.head, p.span.off, p.span.n
	}
}
