package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"

	"muster/lab/load"
)

// mixedRate is requests a second: a load that the nodes carry together.
const mixedRate = 300

func mixedHardware(ctx context.Context, s *Stage) error {
	for _, o := range s.shape.offer {
		cfg := load.Config{
			Targets: o.both(webPort), Requests: requests(s.docs.Files[:smallDocuments]...), Connections: 32, Close: true, Rate: mixedRate, Duration: 4 * time.Second,
		}
		if s.cfg.Short {
			cfg.Duration /= 2
		}
		r, err := s.clients.once(ctx, cfg)
		if err != nil {
			return err
		}
		seen := &Seen{Result: r}
		s.note("schedule "+o.schedule, seen)
		s.unharmed(seen, "by the schedule "+o.schedule)
		var list []string
		rising, before := true, int64(0)
		for _, n := range s.present() {
			list = append(list, fmt.Sprintf("%s %d", n, seen.Nodes[n]))
			rising = rising && seen.Nodes[n] > before
			before = seen.Nodes[n]
			s.figure(o.schedule+"_"+n, float64(seen.Nodes[n]))
		}
		s.must(rising, "by the schedule "+o.schedule+", a node answers the more the more it has", "%s", strings.Join(list, ", "))
	}
	return nil
}
