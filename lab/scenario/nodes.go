package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"muster/cluster"
	"muster/console"
	"muster/lab/load"
	"muster/lab/testbed"
)

// Kinds of failure by what they mean to a client.
var (
	unanswered = []load.Kind{load.Timeout, load.ConnectTimeout}                                // it was left hanging
	unmade     = []load.Kind{load.Refused, load.Unreachable, load.ConnectTimeout}              // it did not come in
	ended      = []load.Kind{load.Reset, load.Closed, load.Truncated}                          // its connection was ended
	wrongly    = []load.Kind{load.Malformed, load.BadStatus, load.WrongLength, load.WrongBody} // it got something else
)

// retried is how long a connection may take whose first SYN was lost: clients send it again after 1 s, and a third time after
// 3 s (RFC 6298 2.1, 5.5).
const retried = 3 * time.Second

// warm begins the usual load, and has it go on until all nodes are at work.
func (s *Stage) warm(ctx context.Context, targets []netip.AddrPort) error {
	if err := s.crowd(ctx, targets); err != nil {
		return err
	}
	if err := s.pass(ctx, 1500*time.Millisecond); err != nil {
		return err
	}
	seen := s.part("all is well")
	s.unharmed(seen, "while all is well")
	return nil
}

// nothingHangs notes that no client may be left without an answer.
func (s *Stage) nothingHangs(seen *Seen, while string) {
	n := seen.Only(unanswered...) + seen.Only(wrongly...)
	s.must(n == 0, "no client is left hanging, or gets a wrong answer, "+while, "%s", seen.quote())
}

// oneNodes notes that failures may be no more than what one node had.
func (s *Stage) oneNodes(seen *Seen, flows int64, node string) {
	s.must(seen.Failed <= flows, "no more fails than what "+node+" had", "%d failed, %s had %d connections", seen.Failed, node, flows)
}

func nodeJoins(ctx context.Context, s *Stage) error {
	const joins = "t4"
	if err := s.warm(ctx, s.targets()); err != nil {
		return err
	}
	s.shape.absent = nil
	if err := s.follow(ctx, joins); err != nil {
		return err
	}
	began := time.Now()
	if err := s.Machine(joins).Start(ctx); err != nil {
		return err
	}
	if _, err := s.until(ctx, joins, cluster.Active); err != nil {
		return err
	}
	s.figure("joined_ms", ms(time.Since(began)))
	s.unharmed(s.part(joins+" joins"), "while a node joins")
	if err := s.pass(ctx, 2*time.Second); err != nil {
		return err
	}
	seen := s.part(joins + " is at work")
	s.unharmed(seen, "afterwards")
	n := seen.By[fresh]
	s.must(n.Nodes[joins] > n.Requests/8, "the new node has its share of new connections", "%d of %d", n.Nodes[joins], n.Requests)
	return nil
}

// follow writes the file anew, and waits until every node that runs works by it.
func (s *Stage) follow(ctx context.Context, but ...string) error {
	before := map[string]int{}
	for _, m := range s.Machines(testbed.Director, testbed.Traffic) {
		if slices.Contains(but, m.Name) {
			continue
		}
		st, err := s.Client(m.Name).Status(ctx)
		if err != nil {
			return err
		}
		before[m.Name] = st.File.Revision
	}
	if err := s.Write(s.file(s.Layout, s.Paths)); err != nil {
		return err
	}
	for name := range before {
		s.Machine(name).Signal(syscall.SIGHUP)
	}
	for name, revision := range before {
		if err := s.ask(ctx, name, func(st console.Status) string {
			if st.File.Revision > revision {
				return ""
			}
			return fmt.Sprintf("node %s works by revision %d of the file: %s", name, st.File.Revision, st.File.Problem)
		}); err != nil {
			return err
		}
	}
	return nil
}

// ask asks one node until what it says is as it should be.
func (s *Stage) ask(ctx context.Context, node string, wrong func(console.Status) string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for why := node + " does not answer"; ; {
		st, err := s.Client(node).Status(ctx)
		if err == nil {
			if why = wrong(st); why == "" {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited for %v: %s", patience, why)
		case <-again.C:
		}
	}
}

func nodeLost(ctx context.Context, s *Stage) error {
	const lost = "t3"
	if err := s.warm(ctx, s.targets()); err != nil {
		return err
	}
	if err := s.movingCrowd(ctx); err != nil {
		return err
	}
	if err := s.pass(ctx, time.Second); err != nil {
		return err
	}
	s.unharmed(s.part("with moving flows, too"), "before")
	flows, err := s.flowsOf(ctx, lost)
	if err != nil {
		return err
	}
	if err := s.Machine(lost).Off(); err != nil {
		return err
	}
	if err := s.noticed(ctx, lost, cluster.Out); err != nil {
		return err
	}
	if err := s.pass(ctx, 3*time.Second); err != nil {
		return err
	}
	seen := s.part("the plug of " + lost + " is pulled")
	s.nothingHangs(seen, "when a node is lost")
	s.must(seen.Only(unmade...) == 0, "no new connection fails", "%s", seen.quote())
	held := s.held(seen, fresh) + s.held(seen, moving+fresh)
	s.figure("held_up", float64(held))
	slowest := max(s.slowest(seen, fresh), s.slowest(seen, moving+fresh))
	s.must(slowest < retried, "a new connection takes no longer than the client's first SYN retry", "the slowest took %.0f ms", ms(slowest))
	s.oneNodes(seen, flows+keptConnections, lost)
	if err := s.pass(ctx, time.Second); err != nil {
		return err
	}
	seen = s.part("without " + lost)
	s.unharmed(seen, "once the node is known to be lost")
	moved := seen.By[moving+kept].ClientGap
	s.must(moved < 2*time.Second, "whose flow has moved knows, by then, that it is no more", "the longest that one of them has waited is %.0f ms", ms(moved))
	m := s.Machine(lost)
	if err := m.On(ctx); err != nil {
		return err
	}
	if err := m.Start(ctx); err != nil {
		return err
	}
	if err := s.back(ctx, lost); err != nil {
		return err
	}
	return s.worksAgain(ctx, lost)
}

// keptConnections are those that a node can get between the director's count and what is done to it.
const keptConnections = 16

// moving is how askers of the service begin whose flows move.
const moving = "moving, "

// movingCrowd is half the usual crowd, for the service whose flows move.
func (s *Stage) movingCrowd(ctx context.Context) error {
	small := requests(s.docs.Files[:smallDocuments]...)
	large := requests(s.docs.Files[len(s.docs.Files)-1])
	var errs []error
	for name, cfg := range map[string]load.Config{
		kept:  {Requests: small, Connections: 8, Rate: keptRate / 2},
		fresh: {Requests: small, Connections: 8, Rate: freshRate / 2, Close: true},
		slow:  {Requests: large, Connections: 8, ReadRate: s.slowRate(), Close: true}, // these say nothing while they wait
	} {
		cfg.Targets = s.shape.offer[1].both(webPort)
		errs = append(errs, s.clients.ask(ctx, moving+name, cfg))
	}
	return errors.Join(errs...)
}

// held are the answers to one asker that took so long that a first packet must have been lost.
func (s *Stage) held(seen *Seen, asker string) (n int64) {
	const lost = 900 * time.Millisecond // clients wait 1 s before they send it again
	for _, b := range seen.By[asker].Latency.Distribution() {
		if b.From >= int64(lost) {
			n += b.Count
		}
	}
	return n
}

// slowest is the longest time that an answer to one asker took.
func (s *Stage) slowest(seen *Seen, asker string) time.Duration {
	return time.Duration(seen.By[asker].Latency.Max())
}

// worksAgain looks whether a node that has come back gets work, and nothing fails.
func (s *Stage) worksAgain(ctx context.Context, node string) error {
	if err := s.pass(ctx, 1500*time.Millisecond); err != nil {
		return err
	}
	seen := s.part(node + " is back")
	s.unharmed(seen, "when the node is back")
	s.must(seen.By[fresh].Nodes[node] > 0, "the node has work again", "%d of %d new connections", seen.By[fresh].Nodes[node], seen.By[fresh].Requests)
	return nil
}

func nodeDrained(ctx context.Context, s *Stage) error {
	const node = "t3"
	if err := s.warm(ctx, s.targets()); err != nil {
		return err
	}
	director := s.Client("d1")
	if err := director.Wish(ctx, node, cluster.Drain, "scenario"); err != nil {
		return err
	}
	if err := s.noticed(ctx, node, cluster.Standby, cluster.InTransition); err != nil {
		return err
	}
	s.unharmed(s.part("the drain of "+node+" begins"), "when a drain begins")
	if err := s.pass(ctx, 5*time.Second); err != nil {
		return err
	}
	seen := s.part(node + " drains")
	s.unharmed(seen, "while the node drains")
	got := seen.By[fresh].Nodes[node]
	s.must(got == 0, "the drained node gets no new connection", "%d of %d", got, seen.By[fresh].Requests)
	if err := director.Wish(ctx, node, cluster.Ready, ""); err != nil {
		return err
	}
	if err := s.back(ctx, node); err != nil {
		return err
	}
	return s.worksAgain(ctx, node)
}

func nodeFrozen(ctx context.Context, s *Stage) error {
	const node = "t3"
	if err := s.warm(ctx, s.targets()); err != nil {
		return err
	}
	m := s.Machine(node)
	if err := m.Freeze(); err != nil {
		return err
	}
	if err := s.noticed(ctx, node, cluster.Out); err != nil {
		return err
	}
	if err := s.pass(ctx, 500*time.Millisecond); err != nil {
		return err
	}
	seen := s.part(node + " is frozen")
	s.nothingHangs(seen, "when a node is frozen")
	s.must(seen.Failed == seen.Only(ended...), "what fails is ended, at the node or by the director", "%s", seen.quote())
	if err := s.pass(ctx, time.Second); err != nil {
		return err
	}
	s.unharmed(s.part("without "+node), "once the node is known to be frozen")
	if err := m.Thaw(); err != nil {
		return err
	}
	if err := s.back(ctx, node); err != nil {
		return err
	}
	return s.worksAgain(ctx, node)
}
