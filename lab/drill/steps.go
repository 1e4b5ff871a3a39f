package drill

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"muster/cluster"
	"muster/console"
	"muster/lab/demo"
	"muster/lab/local"
	"muster/lab/peer"
)

// A step is one thing that is done to the cluster. When it is over the cluster is whole again.
type step struct {
	name string
	do   func(context.Context) error
}

func (d *drill) steps() []step {
	nginx, other, builtin := d.file.Nodes[0].Name, d.file.Nodes[1].Name, d.file.Nodes[nginxNodes].Name
	last := d.file.Nodes[len(d.file.Nodes)-1].Name
	with := func(f func(context.Context, string) error, node string) func(context.Context) error {
		return func(ctx context.Context) error { return f(ctx, node) }
	}
	return []step{
		{"all is well", d.everyNodeAnswers},
		{"kill -9 node " + builtin + " (built-in server)", with(d.killNode, builtin)},
		{"kill -9 node " + nginx + " (nginx)", with(d.killNode, nginx)},
		{"kill -9 the nginx of node " + other, with(d.killApplication, other)},
		{"freeze node " + last + " (built-in server)", with(d.freeze, last)},
		{"freeze node " + nginx + ", but not its nginx", with(d.freeze, nginx)},
		{"silence the reports of node " + other, with(d.silence, other)},
		{"drain node " + builtin, with(d.drain, builtin)},
		{"drain node " + nginx + " (nginx)", with(d.drain, nginx)},
		{"stop node " + last + " and start it", with(d.restart, last)},
		{"change the file, reload", d.reload},
		{"all is well again", d.everyNodeAnswers},
	}
}

// killNode kills a node's process, as a power cut does.
func (d *drill) killNode(ctx context.Context, node string) error {
	return d.end(ctx, node, syscall.SIGKILL)
}

// end ends a node's process by the signal, and starts it when the director has noticed.
func (d *drill) end(ctx context.Context, node string, how syscall.Signal) error {
	d.Signal(node, how)
	if err := d.gone(ctx, node, cluster.Out); err != nil {
		return err
	}
	return d.start(ctx, node)
}

func (d *drill) start(ctx context.Context, node string) error {
	<-d.Process(node).Done()
	since := time.Now()
	if err := d.StartNode(ctx, node); err != nil {
		return err
	}
	return d.returned(ctx, node, since)
}

// restart stops a node as systemd would, and starts it.
func (d *drill) restart(ctx context.Context, node string) error {
	return d.end(ctx, node, syscall.SIGTERM)
}

// killApplication kills the process that serves, which is its node's to start again.
func (d *drill) killApplication(ctx context.Context, node string) error {
	before, err := d.process(ctx, node)
	if err != nil {
		return err
	}
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill process %d: %w", before.PID, err)
	}
	began := time.Now()
	for {
		now, err := d.process(ctx, node)
		switch {
		case err == nil && now.Restarts > before.Restarts && now.PID != 0:
			return d.returned(ctx, node, began)
		case time.Since(began) > patience:
			return fmt.Errorf("it was not started again in %v: %+v (%v)", patience, now, err)
		}
		if sleep(ctx, 10*time.Millisecond); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// process is the process of a node's application.
func (d *drill) process(ctx context.Context, node string) (console.Process, error) {
	s, err := d.Client(node).Status(ctx)
	if err != nil {
		return console.Process{}, err
	}
	if s.Traffic != nil {
		for _, a := range s.Traffic.Applications {
			if a.Process != nil {
				return *a.Process, nil
			}
		}
	}
	return console.Process{}, errNoProcess
}

// freeze stops a node's process in the middle of whatever it does, and lets it go on when the director has noticed.
func (d *drill) freeze(ctx context.Context, node string) error {
	d.Signal(node, syscall.SIGSTOP)
	err := d.gone(ctx, node, cluster.Out)
	since := time.Now()
	d.Signal(node, syscall.SIGCONT)
	if err != nil {
		return err
	}
	return d.returned(ctx, node, since)
}

func (d *drill) silence(ctx context.Context, node string) error {
	if err := d.Client(node).Mute(ctx, true); err != nil {
		return err
	}
	if err := d.gone(ctx, node, cluster.Out); err != nil {
		return err
	}
	since := time.Now()
	if err := d.Client(node).Mute(ctx, false); err != nil {
		return err
	}
	return d.returned(ctx, node, since)
}

// drain lets a node finish what it has.
func (d *drill) drain(ctx context.Context, node string) error {
	director := d.Client(d.File().Directors()[0].Name)
	if err := director.Wish(ctx, node, cluster.Drain, "drill"); err != nil {
		return err
	}
	if err := d.gone(ctx, node, cluster.Standby); err != nil {
		return err
	}
	since := time.Now()
	if err := director.Wish(ctx, node, cluster.Ready, ""); err != nil {
		return err
	}
	return d.returned(ctx, node, since)
}

// reload changes weights, the schedule and an application, adds a service and takes it away again. All nodes are told at
// once.
func (d *drill) reload(ctx context.Context) error {
	at, err := peer.Free(d.file.Listen.Addr())
	if err != nil {
		return err
	}
	builtin := []string{}
	for _, n := range d.file.Nodes[nginxNodes:] {
		builtin = append(builtin, n.Name)
	}
	hosts := d.file.Place.Nodes[nginxNodes:]
	port, err := peer.FreePort(hosts...)
	if err != nil {
		return err
	}
	changed := d.file
	changed.Schedule = "lc"
	changed.Nodes = slices.Clone(d.file.Nodes)
	changed.Nodes[0].Weight = 50
	changed.More = []demo.Service{{Name: "more", Listen: at, Port: port, Nodes: builtin, Application: demo.Serve(d.tree.Root)}}
	if err := d.follow(ctx, changed); err != nil {
		return err
	}
	if err := d.answers(ctx, at); err != nil {
		return err
	}
	changed = d.file // and nginx of one node is to be stopped and started for its new environment
	changed.Nodes = slices.Clone(d.file.Nodes)
	changed.Nodes[1].Application = changed.Nodes[1].Application[:len(changed.Nodes[1].Application)-2] + ", env: {DRILL: \"1\"}}}"
	if err := d.follow(ctx, changed); err != nil {
		return err
	}
	if err := d.Await(ctx, patience, local.NotActive); err != nil {
		return err
	}
	return d.served(ctx)
}

// follow writes the file, has every node read it, and waits until every node has.
func (d *drill) follow(ctx context.Context, f demo.File) error {
	before := map[string]int{}
	for _, n := range d.File().Nodes {
		s, err := d.Client(n.Name).Status(ctx)
		if err != nil {
			return err
		}
		before[n.Name] = s.File.Revision
	}
	if err := d.Write(f.Text()); err != nil {
		return err
	}
	for name := range before {
		d.Signal(name, syscall.SIGHUP)
	}
	late := time.Now().Add(patience)
	for name, revision := range before {
		for {
			s, err := d.Client(name).Status(ctx)
			if err == nil && s.File.Revision > revision {
				break
			}
			if s.File.Problem != "" {
				return fmt.Errorf("node %s does not take the file: %s", name, s.File.Problem)
			}
			if time.Now().After(late) {
				return fmt.Errorf("node %s has not taken the file in %v: it has revision %d (%v)", name, patience, s.File.Revision, err)
			}
			if sleep(ctx, 10*time.Millisecond); ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return nil
}

// answers waits until a service does.
func (d *drill) answers(ctx context.Context, at netip.AddrPort) error {
	late := time.Now().Add(patience)
	for {
		err := get(ctx, "http://"+at.String()+d.tree.Files[0].Path, d.tree.Files[0].Size)
		if err == nil {
			return nil
		}
		if time.Now().After(late) {
			return fmt.Errorf("the new service does not answer: %w", err)
		}
		if sleep(ctx, 10*time.Millisecond); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func get(ctx context.Context, url string, want int64) error {
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return err
	}
	r.Close = true
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = got.Body.Close() }() // all of it has been read
	n, err := io.Copy(io.Discard, got.Body)
	if err == nil && (got.StatusCode != 200 || n != want) {
		err = fmt.Errorf("%s: %s, %d bytes", url, got.Status, n)
	}
	return err
}

// everyNodeAnswers waits until each node has answered some of the clients' requests.
func (d *drill) everyNodeAnswers(ctx context.Context) error {
	const some = 5
	before := map[string]int64{}
	err := d.Await(ctx, patience, func(s console.Status) string {
		first := len(before) == 0
		for _, m := range s.Director.Services[0].Members {
			if first {
				before[m.Node] = m.Served
			} else if n := m.Served - before[m.Node]; n < some {
				return fmt.Sprintf("node %s has answered %d of the clients' requests", m.Node, n)
			}
		}
		if first {
			return "no request is answered yet"
		}
		return local.NotActive(s)
	})
	if err != nil {
		return err
	}
	return d.served(ctx)
}
