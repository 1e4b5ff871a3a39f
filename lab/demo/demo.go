package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"muster/lab/local"
)

// Config says what to show. Program must be given.
type Config struct {
	Program string        // muster
	Site    string        // the directory that is served; empty means a site of the demo's own
	Nodes   int           // traffic nodes; 0 means 4
	Port    uint16        // of the site, on 127.0.0.1; 0 means 8080
	Keep    bool          // leave the directory with file and logs
	Again   time.Duration // when a node that has died is started again; 0 means 5s
}

// A Demo is one cluster.
type Demo struct {
	*local.Cluster
	cfg    Config
	place  local.Place
	listen netip.AddrPort
	took   time.Duration // to be ready

	mu    sync.Mutex
	notes []string // what the demo itself has done, the newest last
	says  func(string)
}

// Patience is how long a cluster may take to be ready.
const Patience = 20 * time.Second

// New makes the demo's directory, file and site. Nothing runs yet. The caller must Stop it.
func New(cfg Config) (*Demo, error) {
	if cfg.Nodes == 0 {
		cfg.Nodes = 4
	}
	if cfg.Port == 0 {
		cfg.Port = 8080
	}
	if cfg.Again == 0 {
		cfg.Again = 5 * time.Second
	}
	listen, err := Listen(cfg.Port)
	if err != nil {
		return nil, err
	}
	if cfg.Site != "" {
		if cfg.Site, err = directory(cfg.Site); err != nil {
			return nil, err
		}
	}
	place, err := local.FindPlace(cfg.Nodes)
	if err != nil {
		return nil, err
	}
	c, err := local.New(local.Config{Program: cfg.Program, Prefix: "muster-demo-", Keep: cfg.Keep})
	if err != nil {
		return nil, err
	}
	d := &Demo{Cluster: c, cfg: cfg, place: place, listen: listen, says: func(string) {}}
	if err := d.write(); err != nil {
		c.Stop()
		return nil, err
	}
	return d, nil
}

// Listen is where the site is, if that is free.
func Listen(port uint16) (netip.AddrPort, error) {
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
	switch err := local.Free(at); {
	case errors.Is(err, syscall.EADDRINUSE):
		return at, fmt.Errorf("port %d of 127.0.0.1 is in use: choose another with --port", port)
	case errors.Is(err, syscall.EACCES):
		return at, fmt.Errorf("port %d takes root: choose one of 1024 or more with --port", port)
	case err != nil:
		return at, fmt.Errorf("listen on %s: %w", at, err)
	}
	return at, nil
}

func directory(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find the site: %w", err)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("the site %s does not exist: name a directory with --site", path)
	case err != nil:
		return "", fmt.Errorf("read the site: %w", err)
	case !info.IsDir():
		return "", fmt.Errorf("the site %s is not a directory: name one with --site", path)
	}
	return path, nil
}

func (d *Demo) write() error {
	f := File{Place: d.place, Listen: d.listen}
	for i := range d.cfg.Nodes {
		name, root := fmt.Sprintf("t%d", i+1), d.cfg.Site
		if root == "" {
			root = filepath.Join("site", name)
			if err := makeSite(filepath.Join(d.Dir(), root), name, i); err != nil {
				return err
			}
		}
		f.Nodes = append(f.Nodes, Node{Name: name, Application: Serve(root)})
	}
	return d.Write(f.Text())
}

// Start starts all nodes, and waits until all do their work.
func (d *Demo) Start(ctx context.Context) error {
	began := time.Now()
	err := d.Cluster.Start(ctx)
	if err == nil {
		err = d.Await(ctx, Patience, local.NotActive)
	}
	d.took = time.Since(began)
	return err
}

// Run has show show the cluster until it returns or the context ends, and brings back nodes that die meanwhile. Of each it
// tells says, from several goroutines; so do the notes.
func (d *Demo) Run(ctx context.Context, says func(string), show func(context.Context) error) error {
	d.says = says
	ctx, stop := context.WithCancel(ctx)
	var keepers sync.WaitGroup
	for i := range d.File().Nodes {
		keepers.Go(func() { d.keep(ctx, d.File().Nodes[i].Name) })
	}
	err := show(ctx)
	stop()
	keepers.Wait()
	return err
}

// keep starts a node again each time that it has ended.
func (d *Demo) keep(ctx context.Context, name string) {
	for {
		p := d.Process(name)
		select {
		case <-ctx.Done():
			return
		case <-p.Done():
		}
		d.note("%s (pid %d) has ended: it is started again in %v", name, p.PID(), d.cfg.Again)
		for again := true; again; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(d.cfg.Again):
			}
			err := d.StartNode(ctx, name)
			switch again = err != nil; {
			case ctx.Err() != nil:
				return
			case again:
				d.note("%s does not start: %v", name, err)
			default:
				d.note("%s is started again (pid %d)", name, d.Process(name).PID())
			}
		}
	}
}

const notesMost = 4

func (d *Demo) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	d.mu.Lock()
	d.notes = append(d.notes, time.Now().Format(time.TimeOnly)+" "+text)
	d.notes = d.notes[max(0, len(d.notes)-notesMost):]
	d.mu.Unlock()
	d.says(text)
}

// Notes are the last things that the demo itself has done.
func (d *Demo) Notes() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.notes)
}
