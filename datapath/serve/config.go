package serve

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"time"

	"muster/datapath/http1"
)

// A Config says what to serve, and how. Only Root is needed.
type Config struct {
	// Listeners and Threads are fixed when the server is made; Reload leaves them as they are.
	Listen    []netip.AddrPort // port 0 lets the kernel choose; see Server.Addrs
	VIPs      []netip.AddrPort // listened on as well, also while this machine does not have the address
	Listeners []int            // descriptors that listen already; the server closes them when it ends
	Threads   int              // loops; 0 means one for each core

	Root       string   // the directory that is served; nothing outside of it is, by whatever link
	Index      []string // what a directory is served by, the first that exists; nil means index.html
	Listing    bool     // list a directory that has none of them; otherwise it is 403
	Hidden     bool     // serve files and directories whose names begin with a dot; otherwise only /.well-known/ is
	CacheBytes int64    // memory for documents; 0 means 64 MiB, negative none

	Name     string // of this node
	ShowName bool   // send it with every response, as X-Muster-Node

	// Dynamic is asked for every path that is not in the cache, if it is not nil. It is called on the loops' threads, of
	// which several may be in it at a time, and must neither wait nor change the body afterwards. The path is decoded.
	Dynamic func(path, query string) (body []byte, contentType string, ok bool)

	Limits      http1.Limits
	Connections int           // most at a time; others wait to be accepted; 0 means 10000
	Head        time.Duration // a head must be complete so long after it began; 0 means 10 s
	Idle        time.Duration // a connection may be without a request so long; 0 means 60 s
	Stall       time.Duration // a client may take nothing of a response so long; 0 means 30 s
	Drain       time.Duration // what is under way when the server is stopped has so long to finish; 0 means 30 s

	AccessLog io.Writer // a line for each request in combined format; nil means none. Several threads write whole lines
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&c.Head, 10*time.Second)
	set(&c.Idle, 60*time.Second)
	set(&c.Stall, 30*time.Second)
	set(&c.Drain, 30*time.Second)
	if c.Threads <= 0 {
		c.Threads = runtime.GOMAXPROCS(0)
	}
	if c.Connections <= 0 {
		c.Connections = 10000
	}
	if c.Index == nil {
		c.Index = []string{"index.html"}
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = 64 << 20
	}
	return c
}

// A site is what a Config makes of the server. It is immutable, and swapped whole.
type site struct {
	Config
	tree  *tree
	cache *cache
}

func newSite(cfg Config) (*site, error) {
	cfg = cfg.withDefaults()
	if cfg.Root == "" {
		return nil, errors.New("serve: no root directory is given; set root to the directory with the files")
	}
	for _, name := range cfg.Index {
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			return nil, fmt.Errorf("serve: index %q is not a file name", name)
		}
	}
	if cfg.ShowName && strings.ContainsFunc(cfg.Name, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
		return nil, fmt.Errorf("serve: name %q cannot be sent in a header field", cfg.Name)
	}
	t, err := openTree(cfg.Root)
	if err != nil {
		return nil, err
	}
	return &site{Config: cfg, tree: t, cache: newCache(cfg.CacheBytes, maxFiles())}, nil
}

// close gives up what is open. Answers under way keep their files.
func (s *site) close() { s.cache.close() }

// maxFiles is how many files the cache may hold open: a part of what the process may.
func maxFiles() int {
	return max(16, min(openFilesLimit()/4, 2048))
}

var _ io.Writer = (*os.File)(nil) // whose writes may come from several threads, as AccessLog's do
