package role

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"muster/cluster"
	"muster/config"
	"muster/console"
	"muster/control/load"
	"muster/control/report"
	"muster/datapath/vip"
	"muster/internal/run"
	"muster/internal/wire"
)

// Options say which node of the file a process is, and where it keeps things. Path and Name must be set.
type Options struct {
	Path    string // of the cluster's file
	Name    string // of the node
	State   string // the state directory; empty means the file's
	Version string // of the program
	Level   *slog.LevelVar
}

// A Node is all that one process runs: the lists of its roles.
type Node struct {
	opts     Options
	log      *slog.Logger
	state    string // the state directory
	key      wire.Key
	began    time.Time
	events   console.Events
	console  *console.Console
	meter    *load.Meter
	reporter *report.Reporter
	network  *network
	director *director // nil without the role
	traffic  *traffic  // nil without the role

	reloading sync.Mutex
	toDetach  chan struct{}

	mu       sync.Mutex
	file     *config.File
	seen     console.File
	detached console.Detached
}

// happened notes an event: a change of what the node knows of the cluster, or of itself.
type happened func(kind, name, change, reason string)

// Socket is where the node of that name serves its API on its own machine. Each node has a directory of its own in the
// state directory, so that one machine can run several.
func Socket(state, name string) string { return filepath.Join(state, name, "muster.sock") }

func (n *Node) socket() string { return Socket(n.state, n.opts.Name) }
func (n *Node) dir() string    { return filepath.Dir(n.socket()) }

// New reads the file and prepares the node that it names. What can be seen to be wrong is wrong now, and the error says
// what to do: of the file (config.Problems), or of this machine. Ports are taken; nothing has begun.
func New(opts Options, log *slog.Logger) (*Node, error) {
	f, hash, err := read(opts.Path)
	if err != nil {
		return nil, err
	}
	if opts.State != "" {
		f.State = opts.State
	}
	if err := f.CheckHost(opts.Name); err != nil {
		return nil, err
	}
	self := f.Node(opts.Name)
	n := &Node{
		opts: opts, log: log, state: f.State, began: time.Now(), file: f, toDetach: make(chan struct{}, 1),
		seen: console.File{Path: opts.Path, Hash: hash, Revision: 1, Loaded: time.Now()},
	}
	if err := os.MkdirAll(n.dir(), 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w; run as a user that may, or name another with state", err)
	}
	if n.key, err = wire.ReadKey(f.Key); err != nil {
		return nil, err
	}
	if n.meter, err = load.New(load.Config{}); err != nil {
		return nil, err
	}
	conns, err := report.Listen(anyPort(self.Addresses))
	if err != nil {
		return nil, err
	}
	n.reporter, err = report.NewReporter(report.ReporterConfig{
		Name: self.Name, Interval: f.Timings.Report, Timeout: f.Timings.Timeout, Measure: n.meter.Measure,
	}, n.key, conns, n.log)
	if err != nil {
		return nil, err
	}
	if err := n.reporter.SetDirectors(directorsOf(f)); err != nil {
		return nil, err
	}
	n.network = newNetwork(vip.Config{
		Journal: Journal(n.state, self.Name), Pin: PinVIP(f.Cluster, self.Name),
	}, self.Roles, n.happened, n.log)
	if self.Has(cluster.Director) {
		if n.director, err = newDirector(f, self, n.key, filepath.Join(n.dir(), "wishes.json"), n.network, n.happened, n.log); err != nil {
			return nil, err
		}
	}
	if self.Has(cluster.Traffic) {
		if n.traffic, err = newTraffic(f, self, n.reporter, n.network, n.happened, n.log); err != nil {
			return nil, err
		}
	}
	parts := console.Parts{Status: n.Status, Events: &n.events, Reload: n.Reload, Mute: n.mute, Detach: n.askDetach}
	if n.director != nil {
		parts.Wish = n.director.setWish
	}
	n.console = console.New(console.Config{
		Listen: self.AdminAddrs(), Socket: n.socket(), Key: n.key[:],
	}, parts, prometheus.NewRegistry(), n.log.With("part", "console"))
	return n, nil
}

// Tasks are what the node runs. Their context's end is a stop in good order: others take over first.
func (n *Node) Tasks() []run.Task {
	list := []run.Task{{Name: "console", Run: n.console.Run}, {Name: "service manager", Run: n.attend}, {Name: "detach", Run: n.detachWhenTold}}
	list = append(list, n.network.tasks()...)
	if n.director != nil {
		list = append(list, n.director.list()...)
	}
	reports := run.Task{Name: "reports out", Run: n.reporter.Run}
	if n.traffic != nil {
		return append(list, n.traffic.list(reports)...)
	}
	return append(list, reports)
}

// Reload reads the file again and makes the node follow it, without a connection of what stays noticing. A file that is
// wrong, or that this machine or a running node cannot follow, changes nothing; the error says why, and so does Status
// until a file is taken.
func (n *Node) Reload() error {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	defer n.telling()()
	err := n.reload()
	if err == nil {
		return nil
	}
	n.mu.Lock()
	n.seen.Problem = err.Error()
	n.mu.Unlock()
	for _, line := range lines(err) {
		n.log.Error("reload refused", "why", line)
	}
	n.happened("file", n.opts.Path, "refused", lines(err)[0])
	return err
}

func (n *Node) reload() error {
	f, hash, err := read(n.opts.Path)
	if err != nil {
		return err
	}
	if n.opts.State != "" {
		f.State = n.opts.State
	}
	n.mu.Lock()
	old := n.file
	n.mu.Unlock()
	if err := fixed(old, f, n.opts.Name); err != nil {
		return err
	}
	if err := f.CheckHost(n.opts.Name); err != nil {
		return err
	}
	self := f.Node(n.opts.Name)
	if n.director != nil {
		apply, err := n.director.prepare(f)
		if err == nil {
			err = apply()
		}
		if err != nil {
			return err
		}
	}
	// From here on the file is followed; what still goes wrong is one application's trouble.
	var errs []error
	errs = append(errs, n.reporter.SetDirectors(directorsOf(f)))
	n.reporter.SetTimings(f.Timings.Report, f.Timings.Timeout)
	if n.traffic != nil {
		errs = append(errs, n.traffic.apply(f, self))
	}
	if n.opts.Level != nil {
		n.opts.Level.Set(f.Log.Level.Slog())
	}
	changes := config.Diff(old, f)
	for _, c := range changes {
		n.log.Info("file changed", "what", c)
	}
	for _, line := range later(old, f, n.opts.Name) {
		n.log.Warn("a change takes effect when the node is started again", "what", line)
	}
	n.mu.Lock()
	n.file = f
	n.seen.Hash, n.seen.Loaded, n.seen.Problem = hash, time.Now(), ""
	n.detached = console.Detached{}
	n.seen.Revision++
	n.mu.Unlock()
	n.happened("file", n.opts.Path, "reloaded", fmt.Sprintf("%d changes", len(changes)))
	return errors.Join(append(errs, n.ReopenLogs())...)
}

// ReopenLogs opens the access logs again, under the names that the file gives them.
func (n *Node) ReopenLogs() error {
	if n.director == nil {
		return nil
	}
	return n.director.logs.again()
}

func (n *Node) mute(muted bool) error {
	n.reporter.Mute(muted)
	n.happened("reports", n.opts.Name, map[bool]string{true: "muted", false: "sent again"}[muted], "")
	return nil
}

func (n *Node) happened(kind, name, change, reason string) {
	n.events.Add(console.Event{Kind: kind, Name: name, Change: change, Reason: reason})
}

// read reads the file, and names its content.
func read(path string) (f *config.File, hash string, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("there is no file %s: name the cluster's file with --config", path)
	}
	if err != nil {
		return nil, "", fmt.Errorf("read the cluster's file: %w", err)
	}
	f, err = config.Parse(path, text)
	sum := sha256.Sum256(text)
	return f, hex.EncodeToString(sum[:6]), err
}
