package drill

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"muster/cluster"
	"muster/console"
	"muster/lab/demo"
	"muster/lab/local"
	"muster/lab/peer"
	"muster/lab/site"
)

// Config says what to drill. Program must be given.
type Config struct {
	Program string        // muster
	Site    string        // the directory that is served; empty means an installed documentation tree
	Nodes   int           // traffic nodes; 0 means 4, and 3 is the least
	Port    uint16        // of the site, on 127.0.0.1; 0 means any that is free
	Keep    bool          // leave the directory with file and logs
	Length  time.Duration // the least that all steps take together; 0 means as long as it takes

	Progress func(line string) // is told of each step that is over, from the goroutine of Run; nil means nobody
}

// nginxNodes are how many nodes run nginx: t1, t2.
const nginxNodes = 2

// patience is how long a step may take to come about.
const patience = 30 * time.Second

// A drill is one drill under way.
type drill struct {
	*local.Cluster
	cfg     Config
	tree    *site.Tree
	large   site.File // beside the tree
	file    demo.File
	clients *clients

	noticed, back time.Duration // of this step
}

// Run drills a cluster. It returns what clients saw also with an error, of the steps before that.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if cfg.Nodes == 0 {
		cfg.Nodes = 4
	}
	if cfg.Nodes <= nginxNodes {
		return nil, fmt.Errorf("a drill takes %d nodes with nginx and one with the built-in server: give it more than %d", nginxNodes, cfg.Nodes)
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	nginx, tree, err := wanted(cfg.Site)
	if err != nil {
		return nil, err
	}
	d := &drill{cfg: cfg}
	if d.Cluster, err = local.New(local.Config{Program: cfg.Program, Prefix: "muster-demo-", Keep: cfg.Keep}); err != nil {
		return nil, err
	}
	defer d.Stop()
	if d.tree, d.large, err = documents(filepath.Join(d.Dir(), "documents"), tree); err != nil {
		return nil, err
	}
	if err := d.describe(nginx); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := d.Start(ctx); err != nil {
		return nil, err
	}
	if err := d.Await(ctx, demo.Patience, local.NotActive); err != nil {
		return nil, err
	}
	cfg.Progress(fmt.Sprintf("a director and %d traffic nodes serve %d files of %s, ready in %.1f s",
		cfg.Nodes, len(tree.Files), tree.Root, time.Since(began).Seconds()))
	return d.run(ctx)
}

// wanted is what must be installed: nginx, and something to serve.
func wanted(dir string) (nginx string, tree *site.Tree, err error) {
	var missing []string
	if nginx, err = peer.Find("nginx"); err != nil {
		missing = append(missing, "nginx-light")
	}
	if dir != "" {
		tree, err = site.Open(dir)
	} else if tree, err = site.Docs(); err != nil {
		missing = append(missing, site.DocsPackage)
		err = nil
	}
	if len(missing) > 0 {
		return "", nil, fmt.Errorf("a drill takes real nginx and real documents: run apt-get install %s", strings.Join(missing, " "))
	}
	return nginx, tree, err
}

// describe writes the cluster's file.
func (d *drill) describe(nginx string) error {
	port := d.cfg.Port
	if port == 0 {
		at, err := peer.Free(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
		if err != nil {
			return err
		}
		port = at.Port()
	}
	listen, err := demo.Listen(port)
	if err != nil {
		return err
	}
	place, err := local.FindPlace(d.cfg.Nodes)
	if err != nil {
		return err
	}
	d.file = demo.File{Place: place, Listen: listen, Check: d.tree.Files[0].Path}
	for i := range d.cfg.Nodes {
		n := demo.Node{Name: "t" + strconv.Itoa(i+1), Application: demo.Serve(d.tree.Root)}
		if i < nginxNodes {
			at := netip.AddrPortFrom(place.Nodes[i], place.Application)
			if n.Application, err = d.nginx(nginx, n.Name, at); err != nil {
				return err
			}
		}
		d.file.Nodes = append(d.file.Nodes, n)
	}
	return d.Write(d.file.Text())
}

// nginx makes a directory for nginx, and returns what the file says of it.
func (d *drill) nginx(program, node string, at netip.AddrPort) (string, error) {
	dir := filepath.Join(d.Dir(), "nginx-"+node)
	text := strings.ReplaceAll(peer.NginxNodeConfig(node, at, d.tree.Root), "DIR", dir)
	err := os.Mkdir(dir, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(text), 0o644)
	}
	if err != nil {
		return "", fmt.Errorf("write the configuration of nginx: %w", err)
	}
	return fmt.Sprintf(`{run: {command: [%q, -p, %q, -c, %q, -e, stderr], dir: %q}}`, program, dir, filepath.Join(dir, "nginx.conf"), dir), nil
}

// run takes the steps.
func (d *drill) run(ctx context.Context) (*Result, error) {
	result := &Result{Steps: []Step{}}
	var err error
	if d.clients, err = newClients(d.file.Listen, d.tree, d.large); err != nil {
		return nil, err
	}
	own, cut := context.WithCancel(ctx)
	d.clients.start(own)
	defer func() {
		cut()
		_ = d.clients.all.Wait() // it has been heard, or something else went wrong before
	}()
	steps := d.steps()
	var before console.Service
	for _, s := range steps {
		began := time.Now()
		d.noticed, d.back = 0, 0
		err = s.do(ctx)
		if err != nil {
			err = fmt.Errorf("%s: %w", s.name, err)
		} else if rest := d.cfg.Length/time.Duration(len(steps)) - time.Since(began); rest > 0 {
			sleep(ctx, rest)
		}
		lap := d.clients.lap(s.name)
		lap.Noticed, lap.Back, lap.Seconds = ms(d.noticed), ms(d.back), time.Since(began).Seconds()
		before = d.retries(ctx, &lap, before)
		result.add(lap)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return result, err
		}
		d.cfg.Progress(lap.String())
	}
	err = d.clients.stop()
	last := d.clients.lap("what was under way")
	d.retries(ctx, &last, before)
	result.add(last)
	d.cfg.Progress(last.String())
	return result, err
}

// retries notes what the director has done for the service since before, and returns what that is counted from next.
func (d *drill) retries(ctx context.Context, lap *Step, before console.Service) console.Service {
	s, err := d.Status(ctx)
	if err != nil || s.Director == nil || len(s.Director.Services) == 0 {
		return before // the step says what is wrong
	}
	now := s.Director.Services[0]
	lap.Retries, lap.Resumes = now.Retries-before.Retries, now.Resumes-before.Resumes
	return now
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// until waits until the director sees a node in one of the states, and returns how long that was.
func (d *drill) until(ctx context.Context, node string, states ...cluster.State) (time.Duration, error) {
	began := time.Now()
	err := d.Await(ctx, patience, func(s console.Status) string {
		for _, n := range s.Director.Nodes {
			if n.Name != node {
				continue
			}
			for _, state := range states {
				if n.State == state {
					return ""
				}
			}
			return fmt.Sprintf("the director sees %s as %s (%s), not %v", node, n.State, n.Reason, states)
		}
		return "the director does not know " + node
	})
	return time.Since(began), err
}

// gone waits until the director gives a node no more work, notes how long that took, and has clients ask on for a while.
func (d *drill) gone(ctx context.Context, node string, states ...cluster.State) (err error) {
	if d.noticed, err = d.until(ctx, node, states...); err != nil {
		return err
	}
	return d.served(ctx)
}

// fair is how many more requests clients must have been answered before it is fair to say that they go on.
const fair = 150

// served waits until clients have been answered.
func (d *drill) served(ctx context.Context) error {
	var before uint64
	return d.Await(ctx, patience, func(s console.Status) string {
		now := s.Director.Services[0].Ended["ok"]
		if before == 0 {
			before = now
		}
		if now < before+fair {
			return fmt.Sprintf("the director has answered %d requests", now-before)
		}
		return ""
	})
}

// returned waits until the director gives a node work again, and notes how long that took since then.
func (d *drill) returned(ctx context.Context, node string, since time.Time) error {
	if _, err := d.until(ctx, node, cluster.Active); err != nil {
		return err
	}
	d.back = time.Since(since)
	return d.served(ctx)
}

var errNoProcess = errors.New("the node shows no process of its application")
