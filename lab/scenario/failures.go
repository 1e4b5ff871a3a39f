package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"muster/cluster"
	"muster/console"
	"muster/lab/load"
	"muster/lab/testbed"
)

func appDies(ctx context.Context, s *Stage) error {
	const node = "t1"
	if err := s.warm(ctx, s.targets()); err != nil {
		return err
	}
	before, err := s.process(ctx, node)
	if err != nil {
		return err
	}
	flows, err := s.flowsOf(ctx, node)
	if err != nil {
		return err
	}
	began := time.Now()
	if _, err := s.run(ctx, s.Machine(node), "sh", "-c", "kill -9 "+strconv.Itoa(before.PID)); err != nil {
		return err
	}
	if err := s.ask(ctx, node, func(st console.Status) string {
		if p := processOf(st); p == nil || p.PID == 0 || p.PID == before.PID || p.Restarts <= before.Restarts {
			return fmt.Sprintf("the nginx of %s has not been started again", node)
		}
		return ""
	}); err != nil {
		return err
	}
	s.figure("restarted_ms", ms(time.Since(began)))
	if err := s.back(ctx, node); err != nil {
		return err
	}
	// A slow download goes on until what the node's kernel has of it is sent.
	if err := s.pass(ctx, 4*time.Second); err != nil {
		return err
	}
	seen := s.part("the nginx of " + node + " dies")
	s.nothingHangs(seen, "when an application dies")
	s.oneNodes(seen, flows+keptConnections, node)
	s.must(seen.Failed == seen.Only(ended...)+seen.Only(load.Refused), "what fails is ended or refused by the node's kernel, at once", "%s", seen.quote())
	return s.worksAgain(ctx, node)
}

// process is the process of a node's application for the pool web.
func (s *Stage) process(ctx context.Context, node string) (console.Process, error) {
	st, err := s.Client(node).Status(ctx)
	if err != nil {
		return console.Process{}, err
	}
	if p := processOf(st); p != nil && p.PID != 0 {
		return *p, nil
	}
	return console.Process{}, fmt.Errorf("node %s shows no process of its application", node)
}

func processOf(st console.Status) *console.Process {
	if st.Traffic != nil {
		for _, a := range st.Traffic.Applications {
			if a.Pool == "web" {
				return a.Process
			}
		}
	}
	return nil
}

// reportPort is where directors take load reports.
const reportPort = 7947

func reportsCut(ctx context.Context, s *Stage) error {
	const node = "t2"
	if err := s.warm(ctx, s.targets()); err != nil {
		return err
	}
	on := s.Machine(node)
	rule := fmt.Sprintf("table inet cut { chain out { type filter hook output priority 0; udp dport %d drop; }; }", reportPort)
	if _, err := s.run(ctx, on, "nft", rule); err != nil {
		return err
	}
	if err := s.noticed(ctx, node, cluster.Out); err != nil {
		return err
	}
	if err := s.pass(ctx, 500*time.Millisecond); err != nil {
		return err
	}
	seen := s.part("the reports of " + node + " are cut")
	s.nothingHangs(seen, "when reports are cut")
	s.must(seen.Failed == seen.Only(ended...), "what fails is ended by the director", "%s", seen.quote())
	if err := s.pass(ctx, time.Second); err != nil {
		return err
	}
	seen = s.part("without " + node)
	s.unharmed(seen, "once the node is out")
	s.must(seen.Nodes[node] == 0, "the node gets no more work", "%d of %d requests", seen.Nodes[node], seen.Requests)
	if _, err := s.run(ctx, on, "nft", "delete table inet cut"); err != nil {
		return err
	}
	if err := s.back(ctx, node); err != nil {
		return err
	}
	return s.worksAgain(ctx, node)
}

func daemonRestart(ctx context.Context, s *Stage) error {
	targets := slices.Concat(s.shape.offer[0].both(webPort), s.shape.offer[1].both(webPort), s.shape.offer[2].both(webPort))
	if err := s.warm(ctx, targets); err != nil {
		return err
	}
	d := s.Machine("d1")
	d.Kill()
	s.part("the director's daemon is killed")
	if err := s.pass(ctx, 2*time.Second); err != nil {
		return err
	}
	away := s.part("the director's daemon is away")
	s.unharmed(away, "while the daemon is away")
	if err := s.startAgain(ctx, d); err != nil {
		return err
	}
	if err := s.pass(ctx, time.Second); err != nil {
		return err
	}
	s.unharmed(s.part("the daemon is started again"), "when the daemon comes back")
	if err := s.packets(ctx, "the daemon takes over what the kernel has", func(p *console.Packets) (bool, string) {
		return p.TakenOver, fmt.Sprintf("taken over: %v, %d flows", p.TakenOver, p.Flows.Used)
	}); err != nil {
		return err
	}

	old, err := programOf(d)
	if err != nil {
		return err
	}
	if err := install(s.cfg.Program, s.program, "another build"); err != nil {
		return err
	}
	if err := d.Restart(ctx); err != nil {
		return err
	}
	if err := s.awaitActive(ctx, s.present()...); err != nil {
		return err
	}
	now, err := programOf(d)
	if err != nil {
		return err
	}
	s.must(!os.SameFile(old, now), "another program runs", "%d bytes, before %d", now.Size(), old.Size())
	if err := s.pass(ctx, time.Second); err != nil {
		return err
	}
	s.unharmed(s.part("the daemon is upgraded"), "when the daemon is upgraded")
	s.must(s.clients.total.Broken() == 0, "no connection breaks", "%d have", s.clients.total.Broken())
	return nil
}

// startAgain starts a director's daemon, and waits until it knows the nodes.
func (s *Stage) startAgain(ctx context.Context, d *testbed.Machine) error {
	began := time.Now()
	if err := d.Start(ctx); err != nil {
		return err
	}
	err := s.awaitActive(ctx, s.present()...)
	s.figure("back_ms", ms(time.Since(began)))
	return err
}

// programOf is the file that a machine's node runs.
func programOf(m *testbed.Machine) (os.FileInfo, error) {
	n := m.Node()
	if n == nil {
		return nil, errors.New("no node runs on " + m.Name)
	}
	return os.Stat(fmt.Sprintf("/proc/%d/exe", n.PID()))
}

func neighbourLost(ctx context.Context, s *Stage) error {
	if err := s.warm(ctx, s.targets()); err != nil {
		return err
	}
	for i := range 3 {
		if _, err := s.run(ctx, s.Machine("d1"), "ip", "neigh", "flush", "all"); err != nil {
			return err
		}
		if err := s.pass(ctx, time.Second); err != nil {
			return err
		}
		s.unharmed(s.part(fmt.Sprintf("neighbours are forgotten, %d", i+1)), "when neighbours are forgotten")
	}
	return nil
}

func linkFlap(ctx context.Context, s *Stage) error {
	if err := s.warm(ctx, s.targets()); err != nil {
		return err
	}
	for _, machine := range []string{"t3", "d1"} {
		link := s.Machine(machine).Link(testbed.LANA)
		if err := s.Cut(link); err != nil {
			return err
		}
		err := s.pass(ctx, 300*time.Millisecond)
		if err = errors.Join(err, s.Mend(link)); err != nil {
			return err
		}
		if err := s.pass(ctx, 3*time.Second); err != nil {
			return err
		}
		s.unharmed(s.part("the cable of "+machine+" is out for a moment"), "when a cable is out for a moment")
	}
	return s.awaitActive(ctx, s.present()...)
}

func tableFull(ctx context.Context, s *Stage) error {
	small := requests(s.docs.Files[0])
	// Each connection is idle for several seconds between two requests, and there are half as many again as flows fit.
	if err := s.clients.ask(ctx, "idle", load.Config{Targets: s.targets(), Requests: small, Connections: 1536, Rate: 500, InTurn: true}); err != nil {
		return err
	}
	if err := s.pass(ctx, 12*time.Second); err != nil {
		return err
	}
	s.unharmed(s.part("more connections than flows"), "when flows are forgotten")
	return s.packets(ctx, "flows have made room for others", func(p *console.Packets) (bool, string) {
		return p.Evicted > 0, fmt.Sprintf("%d of them, with room for %d", p.Evicted, p.Flows.Max)
	})
}

// packets waits until the director's kernel has counted what must be so.
func (s *Stage) packets(ctx context.Context, must string, look func(*console.Packets) (held bool, found string)) error {
	found := ""
	err := s.Await(ctx, 5*time.Second, func(st console.Status) string {
		if st.Director == nil || st.Director.Packets == nil {
			return "the director shows nothing of its packets"
		}
		var held bool
		if held, found = look(st.Director.Packets); held {
			return ""
		}
		return found
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.must(err == nil, must, "%s", found)
	return nil
}

func twoPorts(ctx context.Context, s *Stage) error {
	for _, o := range s.shape.offer {
		for i, at := range o.both(webPort) {
			name := fmt.Sprintf("%s over IPv%d", o.name, 4+2*i)
			if err := s.plain(ctx, name, load.Config{
				Targets: append(o.both(webPort)[:0:0], at), Requests: requests(s.docs.Files[:smallDocuments+1]...), Connections: 16, Rate: 200, Close: true,
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// plain has clients ask for a moment, and wants every answer right and every node at work.
func (s *Stage) plain(ctx context.Context, name string, cfg load.Config) error {
	cfg.Duration = time.Second
	if s.cfg.Short {
		cfg.Duration /= 2
	}
	r, err := s.clients.once(ctx, cfg)
	if err != nil {
		return err
	}
	seen := &Seen{Result: r, By: map[string]*load.Result{}}
	s.note(name, seen)
	s.unharmed(seen, "by "+name)
	s.shares(name, r)
	return nil
}
