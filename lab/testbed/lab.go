package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"muster/config"
	"muster/console"
	"muster/lab/local"
	"muster/lab/peer"
	"muster/lab/site"
)

// A Lab is a cluster with a real network on this machine. Its methods may be called from any goroutine.
type Lab struct {
	Layout *Layout
	Paths  Paths
	Tree   *site.Tree // the documents

	plan     Plan
	cluster  *local.Cluster
	places   hierarchies
	groups   string // name of the control group of all machines
	reaper   *reaper
	machines map[string]*Machine
	network  *network
	faults   *faults

	closing sync.Once
}

// New builds the machines and the network of the plan, and writes the cluster's file. No node runs yet. The caller must
// Close the lab. It ends by itself when this process does, however that ends. It needs root.
func New(ctx context.Context, p Plan) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("build a lab: its machines are namespaces, and only root may make those: run it as root")
	}
	layout, err := p.Layout()
	if err != nil {
		return nil, err
	}
	l := &Lab{Layout: layout, plan: p.filled(), machines: map[string]*Machine{}, faults: newFaults()}
	if err := l.build(ctx); err != nil {
		l.Close()
		return nil, fmt.Errorf("build a lab: %w", err)
	}
	return l, nil
}

// Up builds a lab and starts it: New and Start.
func Up(ctx context.Context, p Plan) (*Lab, error) {
	l, err := New(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := l.Start(ctx); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Lab) build(ctx context.Context) (err error) {
	if l.places, err = findHierarchies(); err != nil {
		return err
	}
	l.places.sweep()
	if l.groups, err = ownGroups(); err != nil {
		return err
	}
	l.cluster, err = local.New(local.Config{
		Program: l.plan.Program, Prefix: dirPrefix, Keep: l.plan.Keep, Hosts: l.hosts(), Command: l.command, Var: l.disk,
	})
	if err != nil {
		return err
	}
	if l.reaper, err = startReaper(l.cluster.Dir(), l.plan.Keep, l.places.roots(l.groups)); err != nil {
		return err
	}
	if err := l.write(); err != nil {
		return err
	}
	l.plan.Progress(fmt.Sprintf("booting %d machines", len(l.Layout.Sites)))
	if err := l.each(ctx, l.Machines(), (*Machine).boot); err != nil {
		return err
	}
	l.plan.Progress("laying cables")
	if l.network, err = newNetwork(l.Machine("switch").keeper.space, l.plan.MTU); err != nil {
		return err
	}
	return l.each(ctx, l.Machines(), (*Machine).plug)
}

// dirPrefix is how the directories of labs begin.
const dirPrefix = "muster-lab-"

// hosts makes the machines, and says where the nodes of the cluster run.
func (l *Lab) hosts() map[string]peer.Host {
	hosts := map[string]peer.Host{}
	for i := range l.Layout.Sites {
		m := &Machine{Site: &l.Layout.Sites[i], lab: l, children: map[*Cmd]int{}}
		l.machines[m.Name] = m
		hosts[m.Name] = m.Host()
	}
	return hosts
}

// write writes what the lab serves, the names of its machines, and the cluster's file.
func (l *Lab) write() (err error) {
	dir := l.cluster.Dir()
	if l.plan.Site != "" {
		l.Tree, err = site.Open(l.plan.Site)
	} else {
		l.Tree, err = documents(dir)
	}
	if err != nil {
		return err
	}
	l.Paths = Paths{Dir: dir, Key: filepath.Join(dir, local.KeyName), Site: l.Tree.Root}
	var hosts strings.Builder
	hosts.WriteString("127.0.0.1 localhost\n::1 localhost\n")
	for _, s := range l.Layout.Sites {
		for _, j := range s.Jacks {
			fmt.Fprintf(&hosts, "%s %s %s-%s\n%s %s %s-%s\n", j.IPv4, s.Name, s.Name, j.Net, j.IPv6, s.Name, s.Name, j.Net)
		}
		if err := makeDisk(l.disk(s.Name)); err != nil {
			return err
		}
		if l.plan.Cluster.nginx(s) {
			if err := writeNginx(filepath.Join(l.disk(s.Name), strings.TrimPrefix(nginxDir, "/var")), s, l.Paths.Site); err != nil {
				return err
			}
		}
	}
	for _, vip := range l.plan.Cluster.VIPs() {
		fmt.Fprintf(&hosts, "%s www\n", vip)
	}
	if err := os.WriteFile(l.hostsFile(), []byte(hosts.String()), 0o644); err != nil {
		return fmt.Errorf("write the names of the machines: %w", err)
	}
	text := l.plan.Cluster.Text
	if l.plan.File != nil {
		text = l.plan.File
	}
	return l.cluster.Write(text(l.Layout, l.Paths))
}

// documents writes what the lab serves: a page, and files of sizes from a packet to a download.
func documents(dir string) (*site.Tree, error) {
	tree, err := site.Make(dir, site.Config{Sizes: []int{1 << 10, 64 << 10, 1 << 20, 16 << 20}})
	if err != nil {
		return nil, err
	}
	page := "<!doctype html>\n<title>Muster lab</title>\n<h1>It works</h1>\n<p>The header X-Muster-Node says which node answered.\n<ul>\n"
	for _, f := range tree.Files {
		page += fmt.Sprintf("<li><a href=%q>%s</a>\n", f.Path, f.Path)
	}
	if err := os.WriteFile(filepath.Join(tree.Root, "index.html"), []byte(page+"</ul>\n"), 0o644); err != nil {
		return nil, fmt.Errorf("write the page of the lab: %w", err)
	}
	return tree, nil
}

func writeNginx(dir string, s Site, root string) error {
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(nginxConfig(s, root)), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the configuration of nginx for %s: %w", s.Name, err)
	}
	return nil
}

func (l *Lab) hostsFile() string          { return filepath.Join(l.cluster.Dir(), "hosts") }
func (l *Lab) disk(machine string) string { return filepath.Join(l.cluster.Dir(), "var", machine) }

// visible are the directories that machines see though they may be below one of their own.
func (l *Lab) visible() []string {
	list := []string{l.Paths.Dir, l.Paths.Site}
	if l.plan.Program != "" {
		list = append(list, filepath.Dir(l.plan.Program))
	}
	return list
}

// each does something to machines, several at a time.
func (l *Lab) each(ctx context.Context, list []*Machine, do func(*Machine, context.Context) error) error {
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(32)
	for _, m := range list {
		all.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return do(m, ctx)
		})
	}
	return all.Wait()
}

// patience is how long a cluster may take to do its work.
const patience = 30 * time.Second

// Start starts the nodes of all machines, and waits until the cluster does its work: every node is active, and clients can
// connect to each TCP port of each VIP.
func (l *Lab) Start(ctx context.Context) error {
	var nodes []*Machine
	for _, m := range l.Machines() {
		if m.Runs() {
			nodes = append(nodes, m)
		}
	}
	l.plan.Progress(fmt.Sprintf("starting %d nodes", len(nodes)))
	if err := l.each(ctx, nodes, (*Machine).Start); err != nil {
		return fmt.Errorf("start the lab: %w", err)
	}
	l.plan.Progress("waiting for the cluster")
	if err := l.Ready(ctx); err != nil {
		return fmt.Errorf("start the lab: %w", err)
	}
	return nil
}

// Ready waits until every node is active, and clients can connect to each TCP port of each VIP.
func (l *Lab) Ready(ctx context.Context) error {
	if err := l.Await(ctx, patience, local.NotActive); err != nil {
		return err
	}
	clients := l.Machines(Client)
	if len(clients) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, local.ErrPatience)
	defer cancel()
	for _, to := range vips(l.cluster.File()) {
		if err := clients[0].Do(func() error { return connects(ctx, to) }); err != nil {
			return fmt.Errorf("%s does not reach %s: %w", clients[0].Name, to, err)
		}
	}
	return nil
}

// vips are the TCP ports of all VIPs.
func vips(f *config.File) []netip.AddrPort {
	var list []netip.AddrPort
	for i := range f.Services {
		s := &f.Services[i]
		if !s.VIP.IsValid() || s.Kind == "udp" {
			continue
		}
		for _, p := range s.Ports {
			if p != config.AllPorts {
				list = append(list, netip.AddrPortFrom(s.VIP, uint16(p)))
			}
		}
	}
	return list
}

// connects tries until it can.
func connects(ctx context.Context, to netip.AddrPort) error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", to.String())
		if err == nil {
			_ = c.Close() // it was only to see
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// Close ends everything that runs in the lab and removes all of it. It may be called more than once.
func (l *Lab) Close() {
	l.closing.Do(func() {
		var all sync.WaitGroup
		for _, m := range l.machines {
			all.Go(m.close)
		}
		all.Wait()
		if l.network != nil {
			l.network.close()
		}
		if l.groups != "" {
			for _, m := range l.machines {
				m.group.close()
			}
			for _, dir := range l.places.roots(l.groups) {
				removeGroups(dir)
			}
		}
		if l.cluster != nil {
			l.cluster.Stop()
		}
		l.reaper.end()
	})
}

// Machine is the machine of that name; nil if there is none.
func (l *Lab) Machine(name string) *Machine { return l.machines[name] }

// Machines are all machines, in the order of the layout; those with one of the roles, if any is given.
func (l *Lab) Machines(roles ...Role) []*Machine {
	var list []*Machine
	for _, s := range l.Layout.Sites {
		if len(roles) == 0 || slices.Contains(roles, s.Role) {
			list = append(list, l.machines[s.Name])
		}
	}
	return list
}

// Write makes the text the cluster's file, if it is right. Nodes go on with the one before until they reload: Signal HUP.
func (l *Lab) Write(text string) error { return l.cluster.Write(text) }

// File is the cluster's file as it was written last.
func (l *Lab) File() *config.File { return l.cluster.File() }

// Path is where the cluster's file is, here and on the lab's machines.
func (l *Lab) Path() string { return l.cluster.Path() }

// Log is where what a machine's node says is kept.
func (l *Lab) Log(machine string) string { return l.cluster.Log(machine) }

// Client asks the node of a machine, on its socket.
func (l *Lab) Client(machine string) *console.Client { return l.cluster.Client(machine) }

// Status is what the first director that answers knows.
func (l *Lab) Status(ctx context.Context) (console.Status, error) { return l.cluster.Status(ctx) }

// Await asks the directors again and again, until what the first that answers knows is as it should be. Wrong says what is
// not yet as it should be; empty means that all is.
func (l *Lab) Await(ctx context.Context, patience time.Duration, wrong func(console.Status) string) error {
	return l.cluster.Await(ctx, patience, wrong)
}
