package scenario

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"muster/console"
)

// Networks that nobody has: of benchmarks (RFC 2544, RFC 5180).
var (
	nobody4 = netip.MustParsePrefix("198.18.0.0/15")
	nobody6 = netip.MustParsePrefix("2001:2::/48")
)

// floodRate is SYNs a second: in half a second, more than the director keeps in mind here. The machine that sends them runs the
// whole lab.
const floodRate = 10_000

func synFlood(ctx context.Context, s *Stage) error {
	// The cluster's answers to the flood go to nobody, and nobody tells it so.
	for _, args := range [][]string{
		{"route", "replace", "blackhole", nobody4.String()}, {"-6", "route", "replace", "blackhole", nobody6.String()},
	} {
		if _, err := s.run(ctx, s.Machine("router"), "ip", args...); err != nil {
			return err
		}
	}
	raw, err := newSender(s.client())
	if err != nil {
		return err
	}
	defer raw.close()
	if err := s.warm(ctx, s.targets()); err != nil {
		return err
	}
	f := flood{to: s.targets(), sources: []netip.Prefix{nobody4, nobody6}, rate: floodRate, length: 4 * time.Second}
	if s.cfg.Short {
		f.length /= 2
	}
	sent, err := f.send(ctx, raw)
	if err != nil {
		return err
	}
	seen := s.part("a flood of SYNs")
	s.figure("syns", float64(sent))
	s.must(sent > 4*4096, "the flood is more than the director keeps in mind", "%d SYNs, and room for 4096", sent)
	if err := s.packets(ctx, "the director has room for no more of them", func(p *console.Packets) (bool, string) {
		return 10*p.Unconfirmed.Used >= 9*p.Unconfirmed.Max, fmt.Sprintf("%d of %d places are in use", p.Unconfirmed.Used, p.Unconfirmed.Max)
	}); err != nil {
		return err
	}
	s.must(seen.By[kept].Failed == 0 && seen.By[kept].Requests > 0, "kept connections live on", "%d requests, %d failed", seen.By[kept].Requests, seen.By[kept].Failed)
	s.must(seen.By[slow].Failed == 0, "downloads live on", "%d ended, %d failed", seen.By[slow].Requests, seen.By[slow].Failed)
	n := seen.By[fresh]
	s.must(n.Failed == 0 && n.Requests > 0, "new clients come in", "%d requests, %d failed", n.Requests, n.Failed)
	if err := s.pass(ctx, time.Second); err != nil {
		return err
	}
	s.unharmed(s.part("after the flood"), "after the flood")
	return nil
}
