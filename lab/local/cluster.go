package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"muster/cluster"
	"muster/config"
	"muster/console"
	"muster/internal/wire"
	"muster/lab/peer"
	"muster/role"
)

// A Config says how to run a cluster. Program must be given.
type Config struct {
	Program string               // muster
	Prefix  string               // of the directory's name; empty means muster-local-
	Keep    bool                 // leave the directory when the cluster has stopped
	Hosts   map[string]peer.Host // where a node runs, by its name; the zero Host is here

	// Command makes a command of arguments, as a node is to be started with; nil means exec.Command.
	Command func(node string, argv ...string) (*exec.Cmd, error)
	// Var is where a node's /var is, seen from here; nil means here.
	Var func(node string) string
}

// A Cluster is a cluster on this machine. Its methods may be called from any goroutine.
type Cluster struct {
	cfg Config
	dir *dir

	mu        sync.Mutex
	file      *config.File
	processes map[string]*peer.Process // the newest of each node
	clients   map[string]*console.Client
	stopped   bool
}

// New makes the cluster's directory with a new key in it. Nothing runs yet. The caller must Stop the cluster.
func New(cfg Config) (*Cluster, error) {
	if cfg.Prefix == "" {
		cfg.Prefix = "muster-local-"
	}
	d, err := makeDir(cfg.Prefix, cfg.Keep)
	if err != nil {
		return nil, err
	}
	c := &Cluster{cfg: cfg, dir: d, processes: map[string]*peer.Process{}, clients: map[string]*console.Client{}}
	if err := wire.WriteKey(filepath.Join(d.path, KeyName), wire.NewKey()); err != nil {
		d.remove()
		return nil, err
	}
	return c, nil
}

// Names in the cluster's directory: what its file says of key and state.
const (
	KeyName   = "cluster.key"
	StateName = "state"
)

// Dir is the cluster's directory. It holds its file, its key, and the state and the log of each node.
func (c *Cluster) Dir() string { return c.dir.path }

// Path is where the cluster's file is.
func (c *Cluster) Path() string { return filepath.Join(c.dir.path, "cluster.yaml") }

// Log is where what a node says is kept.
func (c *Cluster) Log(node string) string { return filepath.Join(c.dir.path, node+".log") }

// Write makes the text the cluster's file, if it is right. Nodes that run go on with the one before until they reload.
func (c *Cluster) Write(text string) error {
	f, err := config.Parse(c.Path(), []byte(text))
	if err != nil {
		return err
	}
	if err := replace(c.Path(), []byte(text), 0o644); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.file = f
	return nil
}

// File is the cluster's file as it was written last.
func (c *Cluster) File() *config.File {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.file
}

// Start starts all nodes, all at a time, and waits until each can be asked. When one cannot be started, it stops all.
func (c *Cluster) Start(ctx context.Context) error {
	var all errgroup.Group
	for i := range c.File().Nodes {
		name := c.File().Nodes[i].Name
		all.Go(func() error { return c.StartNode(ctx, name) })
	}
	err := all.Wait()
	if err != nil {
		c.Stop()
	}
	return err
}

// StartNode starts one node, which must not run, and waits until it can be asked.
func (c *Cluster) StartNode(ctx context.Context, name string) error {
	n := c.File().Node(name)
	if n == nil {
		return fmt.Errorf("the cluster has no node %s", name)
	}
	log, err := os.OpenFile(c.Log(name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("start node %s: %w", name, err)
	}
	defer func() { _ = log.Close() }() // the node has it, too
	cmd, err := c.command(name, c.cfg.Program, "node", "--config", c.Path(), "--name", name)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = log, log
	// A node that is frozen would not hear a softer signal.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p, err := peer.Command(ctx, "node "+name, cmd, netip.AddrPortFrom(n.Addresses[0], n.Ports.Admin), c.cfg.Hosts[name])
	if err != nil {
		if said := tail(c.Log(name)); said != "" {
			err = fmt.Errorf("%w\n%s", err, said)
		}
		return err
	}
	c.mu.Lock()
	c.processes[name] = p
	stopped := c.stopped
	c.mu.Unlock()
	if stopped { // meanwhile
		end(p)
		return errors.New("the cluster has been stopped")
	}
	return nil
}

func (c *Cluster) command(node string, argv ...string) (*exec.Cmd, error) {
	if c.cfg.Command != nil {
		return c.cfg.Command(node, argv...)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Args[0] = "muster" // as one would type it
	return cmd, nil
}

// socket is where a node is asked.
func (c *Cluster) socket(node string) string {
	path := role.Socket(c.file.State, node)
	if below, ok := strings.CutPrefix(path, "/var/"); ok && c.cfg.Var != nil {
		return filepath.Join(c.cfg.Var(node), below)
	}
	return path
}

// tail is the end of a file, where a program says why it ended.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-3):], []byte("\n")))
}

// Process is the newest process of a node, nil if there was none yet.
func (c *Cluster) Process(name string) *peer.Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.processes[name]
}

// Signal sends a signal to a node's process, and to nothing that it has started.
func (c *Cluster) Signal(name string, s syscall.Signal) {
	if p := c.Process(name); p != nil {
		p.Signal(s)
	}
}

// Client asks a node on its socket. It is the same one each time: it keeps a connection.
func (c *Cluster) Client(name string) *console.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clients[name] == nil {
		c.clients[name] = console.NewClient([]string{"unix:" + c.socket(name)}, "")
	}
	return c.clients[name]
}

// Status is what the first director knows that answers, in the order of the file.
func (c *Cluster) Status(ctx context.Context) (s console.Status, err error) {
	for _, d := range c.File().Directors() {
		if s, err = c.Client(d.Name).Status(ctx); err == nil || ctx.Err() != nil {
			break
		}
	}
	return s, err
}

// ErrPatience says that something that was waited for has not come.
var ErrPatience = errors.New("it has not come about in time")

// Await asks the directors again and again, until what the first that answers knows is as it should be. Wrong says what is
// not yet as it should be; empty means that all is.
func (c *Cluster) Await(ctx context.Context, patience time.Duration, wrong func(console.Status) string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, ErrPatience)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for why := "no director answers"; ; {
		s, err := c.Status(ctx)
		switch {
		case err == nil:
			if why = wrong(s); why == "" {
				return nil
			}
		case ctx.Err() == nil: // not for want of time
			why = "no director answers: " + err.Error() + c.ended()
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %s", context.Cause(ctx), why)
		}
	}
}

// ended says which nodes have, by themselves.
func (c *Cluster) ended() string {
	var list []string
	for i := range c.File().Nodes {
		name := c.File().Nodes[i].Name
		if p := c.Process(name); p != nil {
			select {
			case <-p.Done():
				list = append(list, fmt.Sprintf("; node %s has ended: %s", name, tail(c.Log(name))))
			default:
			}
		}
	}
	return strings.Join(list, "")
}

// NotActive says which nodes are not.
func NotActive(s console.Status) string {
	var list []string
	for _, n := range s.Director.Nodes {
		if n.State != cluster.Active {
			list = append(list, fmt.Sprintf("%s is %s: %s", n.Name, n.State, n.Reason))
		}
	}
	return strings.Join(list, "; ")
}

// Stop ends all nodes, waits until they have ended, and removes the directory. It may be called more than once.
func (c *Cluster) Stop() {
	c.mu.Lock()
	first := !c.stopped
	c.stopped = true
	var list []*peer.Process
	for _, p := range c.processes {
		list = append(list, p)
	}
	c.mu.Unlock()
	var all sync.WaitGroup
	for _, p := range list {
		all.Go(func() { end(p) })
	}
	all.Wait()
	if first && !c.cfg.Keep {
		c.dir.remove()
	}
}

// end ends a process, even one that is frozen.
func end(p *peer.Process) {
	p.Signal(syscall.SIGCONT)
	p.Stop()
}
