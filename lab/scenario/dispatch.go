package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"muster/lab/load"
	"muster/lab/testbed"
)

// A route is what replies take.
type route string

const (
	direct  route = "straight to the client"
	through route = "through the director"
)

// dispatched has clients of both families ask for a while, by our generator, by curl and by wrk, and looks at what passed the
// director's ports meanwhile.
func dispatched(replies route) func(context.Context, *Stage) error {
	return func(ctx context.Context, s *Stage) error {
		for _, o := range s.shape.offer {
			for i, at := range o.both(webPort) {
				if err := s.dispatchedTo(ctx, fmt.Sprintf("%s over IPv%d", o.name, 4+2*i), at, replies); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

func (s *Stage) dispatchedTo(ctx context.Context, name string, at netip.AddrPort, replies route) error {
	before, err := s.ports("d1")
	if err != nil {
		return err
	}
	all := requests(s.docs.Files[:smallDocuments]...)
	length := time.Second
	if s.cfg.Short {
		length /= 2
	}
	seen := &Seen{Result: empty(), By: map[string]*load.Result{}}
	loads := []load.Config{{Connections: 16, Rate: 200}, {Connections: 16, Rate: 80, Close: true}}
	for _, cfg := range loads {
		cfg.Targets, cfg.Requests, cfg.Duration = []netip.AddrPort{at}, all, length
		r, err := s.clients.once(ctx, cfg)
		if err != nil {
			return err
		}
		join(seen.Result, r)
		if cfg.Close { // only these find their node anew each time
			s.shares(name, r)
		}
	}
	s.note(name, seen)
	after, err := s.ports("d1")
	if err != nil {
		return err
	}
	passed := after.received - before.received
	switch body := uint64(seen.Bytes); replies {
	case direct:
		s.must(passed < body/4, name+": replies do not pass the director", "its ports took in %d kB while clients got %d kB", passed>>10, body>>10)
	case through:
		s.must(passed > body, name+": replies pass the director", "its ports took in %d kB while clients got %d kB", passed>>10, body>>10)
	}
	s.unharmed(seen, "by "+name)
	return errors.Join(s.byCurl(ctx, name, at), s.byWrk(ctx, name, at))
}

// note makes a load of its own a part of the scenario.
func (s *Stage) note(name string, seen *Seen) {
	if s.clients.total == nil {
		s.clients.total = empty()
	}
	join(s.clients.total, seen.Result)
	s.result.Parts = append(s.result.Parts, seen.part(name, seen.Elapsed))
	s.last = time.Now()
}

// shares looks whether each node of the pool had at least half of what an even share is of new connections.
func (s *Stage) shares(name string, seen *load.Result) {
	var list []string
	nodes := s.present()
	even := float64(seen.Requests-seen.Failed) / float64(len(nodes))
	held := true
	for _, n := range nodes {
		list = append(list, fmt.Sprintf("%s %d", n, seen.Nodes[n]))
		held = held && float64(seen.Nodes[n]) >= even/2
	}
	s.must(held, name+": each node has its share", "%s", strings.Join(list, ", "))
}

// byCurl fetches a document with curl, and looks at each byte of it.
func (s *Stage) byCurl(ctx context.Context, name string, at netip.AddrPort) error {
	doc := s.docs.Files[smallDocuments]
	to := filepath.Join(s.dir, "fetched")
	for range 4 {
		said, err := s.curl(ctx, "-o", to, "-w", "%{http_code} %{size_download}", "http://"+at.String()+doc.Path)
		s.countOne(err == nil)
		if err != nil {
			s.must(false, name+": curl gets its page", "%v", err)
			return nil
		}
		same, err := sameFile(to, filepath.Join(s.docs.Root, doc.Path))
		if err != nil {
			return err
		}
		if want := fmt.Sprintf("200 %d", doc.Size); said != want || !same {
			s.must(false, name+": curl gets the page as it is", "%s, its bytes are right: %v", said, same)
			return nil
		}
	}
	s.must(true, name+": curl gets the page as it is", "4 times %d bytes", doc.Size)
	return nil
}

// byWrk has wrk ask as fast as it can.
func (s *Stage) byWrk(ctx context.Context, name string, at netip.AddrPort) error {
	w, err := s.wrk(ctx, "http://"+at.String()+s.docs.Files[0].Path, 16, time.Second)
	if err != nil {
		return err
	}
	s.result.Requests += w.Requests
	s.result.Failed += w.Errors
	s.must(w.Errors == 0 && w.Requests > 0, name+": wrk sees no error", "%d requests, %d errors", w.Requests, w.Errors)
	return nil
}

// countOne counts a request that something other than our clients made.
func (s *Stage) countOne(right bool) {
	s.result.Requests++
	if !right {
		s.result.Failed++
	}
}

// A traffic is what has passed all ports of a machine.
type traffic struct{ received, sent uint64 } // bytes

func (s *Stage) ports(machine string) (t traffic, err error) {
	m := s.Machine(machine)
	err = m.Do(func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return fmt.Errorf("read the counters of %s: %w", machine, err)
		}
		for _, l := range links {
			a := l.Attrs()
			if slices.ContainsFunc(m.Jacks, func(j testbed.Jack) bool { return j.Name == a.Name }) && a.Statistics != nil {
				t.received += a.Statistics.RxBytes
				t.sent += a.Statistics.TxBytes
			}
		}
		return nil
	})
	return t, err
}
