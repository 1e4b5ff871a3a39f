package serve

import (
	"sync"
	"sync/atomic"
)

// A page is what a path leads to: one document, in each coding that it is kept in. But for its times it is immutable; a
// page that is no longer right is replaced whole.
type page struct {
	key   string // the canonical path
	forms [codings]*form
	many  bool // there are others than identity

	checked atomic.Int64 // when it was last seen to be right, on the loops' clock
	probed  atomic.Int64 // when the absent forms were last looked for

	// The rest belongs to the cache, under its mu.
	cost        int64
	files       int
	used        int64
	visited, in bool
	prev, next  *page
}

// release gives up the shares in open files that came with the page.
func (p *page) release() {
	for _, f := range p.forms {
		if f != nil && f.file != nil {
			f.file.release()
		}
	}
}

func (p *page) hold() {
	for _, f := range p.forms {
		if f != nil && f.file != nil {
			f.file.refs.Add(1) // the caller has a share already
		}
	}
}

// A cache keeps pages by their paths, bounded in bytes and in open files. What goes first when it is full is told by
// SIEVE (Zhang et al., NSDI 2024): a hand goes round and takes the first page that was not asked for since it last came
// by. A hit only sets a mark.
type cache struct {
	bytes int64 // bounds
	files int

	mu        sync.Mutex
	pages     map[string]*page
	head      page // of the ring; next is the newest
	hand      *page
	used      int64 // bytes
	open      int   // files
	closed    bool
	discarded uint64
}

func newCache(bytes int64, files int) *cache {
	c := &cache{bytes: bytes, files: files, pages: map[string]*page{}}
	c.head.next, c.head.prev = &c.head, &c.head
	c.hand = &c.head
	return c
}

func (c *cache) get(path []byte, now int64) *page {
	c.mu.Lock()
	p := c.pages[string(path)]
	if p != nil {
		p.visited, p.used = true, now
	}
	c.mu.Unlock()
	return p
}

// put takes the page in, in the place of one with the same path. It takes shares of its own in the page's files.
func (c *cache) put(p *page, now int64) {
	p.cost, p.files = 1<<10, 0 // about what the heads and the page itself take
	for _, f := range p.forms {
		if f != nil {
			p.cost += int64(len(f.fields)) + int64(len(f.body)) + 512
			if f.file != nil {
				p.files++
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.pages[p.key]; old != nil {
		c.remove(old)
	}
	if c.closed || p.cost > c.bytes/4 || p.files > c.files {
		return
	}
	for c.used+p.cost > c.bytes || c.open+p.files > c.files {
		c.evict()
	}
	p.hold()
	p.in, p.used = true, now
	p.prev, p.next = &c.head, c.head.next
	p.prev.next, p.next.prev = p, p
	c.pages[p.key] = p
	c.used += p.cost
	c.open += p.files
}

func (c *cache) drop(p *page) {
	c.mu.Lock()
	c.remove(p)
	c.mu.Unlock()
}

// remove takes a page out, if it is in. The caller has mu.
func (c *cache) remove(p *page) {
	if !p.in {
		return
	}
	if c.hand == p {
		c.hand = p.prev
	}
	p.prev.next, p.next.prev = p.next, p.prev
	p.in = false
	delete(c.pages, p.key)
	c.used -= p.cost
	c.open -= p.files
	p.release()
}

// evict makes room. The caller has mu, and there is at least one page.
func (c *cache) evict() {
	for {
		if c.hand == &c.head {
			c.hand = c.head.prev
		}
		p := c.hand
		c.hand = p.prev
		if !p.visited {
			c.discarded++
			c.remove(p)
			return
		}
		p.visited = false
	}
}

// sweep closes the files of pages that were not asked for since the given time: a file that was deleted must not keep its
// disk space for ever.
func (c *cache) sweep(since int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := c.head.next; p != &c.head; {
		next := p.next
		if p.files > 0 && p.used < since {
			c.remove(p)
		}
		p = next
	}
}

// close empties the cache for good.
func (c *cache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for c.head.next != &c.head {
		c.remove(c.head.next)
	}
}

func (c *cache) size() (pages int, bytes int64, files int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pages), c.used, c.open
}
