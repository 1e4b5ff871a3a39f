package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"muster/cluster"
	"muster/console"
	"muster/lab/load"
	"muster/lab/site"
	"muster/lab/testbed"
)

// A Stage is where a scenario takes place: a lab with its cluster and clients.
type Stage struct {
	*testbed.Lab
	cfg      Config
	scenario *Scenario
	shape    shape
	dir      string
	program  string // what the nodes run: a copy
	docs     *site.Tree
	clients  *clients
	result   *Result
	last     time.Time // when the part under way began
	cut      func()    // drops what clients do
	wrong    error     // of writing the file

	mu sync.Mutex // over counts of what several goroutines ask
}

// patience is how long anything may take to come about.
const patience = 30 * time.Second

func (s *Stage) client() *testbed.Machine { return s.Machine("client1") }

// present are the names of the traffic nodes in the file.
func (s *Stage) present() (names []string) {
	for _, m := range s.Machines(testbed.Traffic) {
		if !slices.Contains(s.shape.absent, m.Name) {
			names = append(names, m.Name)
		}
	}
	return names
}

// targets are where the first offer's clients come in, over both families.
func (s *Stage) targets() []netip.AddrPort { return s.shape.offer[0].both(webPort) }

// Rates of the usual clients, a second over all of them.
const (
	keptRate  = 200
	freshRate = 80
	slowRate  = 1 << 20 // bytes a second of each download
)

// crowd has the usual clients ask: on connections that are kept, on a new one for each request, and in slow downloads that
// outlast what is done. Half of them use IPv6.
func (s *Stage) crowd(ctx context.Context, targets []netip.AddrPort) error {
	small := requests(s.docs.Files[:smallDocuments]...)
	large := requests(s.docs.Files[len(s.docs.Files)-1])
	return errors.Join(
		s.clients.ask(ctx, kept, load.Config{Targets: targets, Requests: small, Connections: 16, Rate: keptRate, Seed: 1}),
		s.clients.ask(ctx, fresh, load.Config{Targets: targets, Requests: small, Connections: 16, Rate: freshRate, Close: true, Seed: 2}),
		s.clients.ask(ctx, slow, load.Config{Targets: targets, Requests: large, Connections: 8, ReadRate: s.slowRate(), Close: true}),
	)
}

// slowRate is bytes a second of each slow download: a short run has shorter ones.
func (s *Stage) slowRate() int {
	if s.cfg.Short {
		return 2 * slowRate
	}
	return slowRate
}

// The usual askers.
const (
	kept  = "kept"
	fresh = "fresh"
	slow  = "slow"
)

// pass has clients ask for a while, half as long in a short run.
func (s *Stage) pass(ctx context.Context, d time.Duration) error {
	if s.cfg.Short {
		d /= 2
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// part ends a part of the scenario, and returns what clients saw in it.
func (s *Stage) part(name string) *Seen {
	seen := s.clients.seen()
	now := time.Now()
	p := seen.part(name, now.Sub(s.last))
	s.last = now
	s.result.Parts = append(s.result.Parts, p)
	s.cfg.Progress(fmt.Sprintf("  %s: %d requests, %d failed%s, longest gap %.0f ms", name, p.Requests, p.Failed, kinds(p.Errors), p.LongestGap))
	return seen
}

// must notes that something must be so, whether it is, and what was found.
func (s *Stage) must(held bool, must, found string, args ...any) {
	a := Assertion{Must: must, Held: held, Found: fmt.Sprintf(found, args...)}
	s.result.Asserted = append(s.result.Asserted, a)
	s.cfg.Progress("  " + a.String())
}

// unharmed notes that no request may have failed.
func (s *Stage) unharmed(seen *Seen, while string) {
	s.must(seen.Failed == 0 && (seen.Requests > 0 || seen.Elapsed < time.Second), "no request fails "+while, "%s", seen.quote())
}

// figure notes something that was measured.
func (s *Stage) figure(name string, value float64) { s.result.Figures[name] = value }

// state is what the director makes of a node.
func state(st console.Status, node string) (cluster.State, string) {
	if st.Director != nil {
		for _, n := range st.Director.Nodes {
			if n.Name == node {
				return n.State, n.Reason
			}
		}
	}
	return cluster.Out, "the director does not know it"
}

// until waits until the director sees a node in one of the states, and returns how long that was.
func (s *Stage) until(ctx context.Context, node string, want ...cluster.State) (time.Duration, error) {
	began := time.Now()
	err := s.Await(ctx, patience, func(st console.Status) string {
		if got, why := state(st, node); !slices.Contains(want, got) {
			return fmt.Sprintf("the director sees %s as %s (%s), not %v", node, got, why, want)
		}
		return ""
	})
	return time.Since(began), err
}

// noticed waits until the director gives a node no more work, and notes how long that was.
func (s *Stage) noticed(ctx context.Context, node string, want ...cluster.State) error {
	took, err := s.until(ctx, node, want...)
	s.figure("noticed_ms", ms(took))
	return err
}

// back waits until the director gives a node work again, and notes how long that was.
func (s *Stage) back(ctx context.Context, node string) error {
	took, err := s.until(ctx, node, cluster.Active)
	s.figure("back_ms", ms(took))
	return err
}

func (s *Stage) awaitActive(ctx context.Context, nodes ...string) error {
	for _, n := range nodes {
		if _, err := s.until(ctx, n, cluster.Active); err != nil {
			return err
		}
	}
	return nil
}

// flowsOf are the connections that the director counts at a node, of all services.
func (s *Stage) flowsOf(ctx context.Context, node string) (n int64, err error) {
	st, err := s.Status(ctx)
	if err != nil {
		return 0, err
	}
	if st.Director == nil {
		return 0, errors.New("who answers is no director")
	}
	for _, d := range st.Director.Nodes {
		if d.Name == node {
			n = d.Connections
		}
	}
	return n, nil
}

// strike has the clients finish, and ends the lab. In good order, what they had begun is a part of its own.
func (s *Stage) strike(inOrder bool) (err error) {
	if s.clients != nil && s.clients.askers != nil {
		if inOrder {
			err = s.clients.stop()
			s.unharmedAtTheEnd()
		} else {
			s.part("when it went wrong")
			s.cut()
			_ = s.clients.all.Wait() // what went wrong is known
		}
	}
	return err
}

func (s *Stage) unharmedAtTheEnd() {
	if last := s.part("what was under way"); last.Failed > 0 {
		s.unharmed(last, "that was under way at the end")
	}
}

// total puts together what clients saw in all.
func (s *Stage) total() {
	if s.clients == nil || s.clients.total == nil {
		return
	}
	t := &Seen{Result: s.clients.total}
	r := s.result
	r.Requests += t.Requests
	r.Failed += t.Failed
	r.Broken += t.Broken()
	r.LongestGap = max(r.LongestGap, ms(t.Longest()))
	r.Median, r.Slow = ms(t.Percentile(50)), ms(t.Percentile(99))
	r.Errors = named(t.Errors)
	r.Series = s.clients.beats
}

// tails are the ends of the logs of all nodes.
func (s *Stage) tails() map[string]string {
	if s.Lab == nil {
		return nil
	}
	const lines = 12
	out := map[string]string{}
	for _, m := range s.Machines(testbed.Director, testbed.Traffic) {
		b, err := os.ReadFile(s.Log(m.Name))
		if err != nil {
			continue // it has said nothing
		}
		all := strings.Split(strings.TrimSpace(string(b)), "\n")
		out[m.Name] = strings.Join(all[max(0, len(all)-lines):], "\n")
	}
	return out
}

// leave ends the lab and removes what was made.
func (s *Stage) leave() {
	if s.Lab != nil {
		s.Close()
		if s.cfg.Keep {
			s.result.Logs = s.Paths.Dir
		}
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir) // nothing but copies
	}
}
