package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
)

// Faults are what is wrong with the network on purpose.
type faults struct {
	mu    sync.Mutex // before that of any machine
	cut   map[Link]bool
	slow  map[Link]slowness
	apart map[pair]bool // by Part
	deaf  map[pair]bool // by Deafen
}

// A slowness is what Slow has done to a link.
type slowness struct {
	out, in Fault
	mtu     int // 0: what it was
}

// A pair is who sends, and who does not hear it.
type pair struct{ from, to string }

func newFaults() *faults {
	return &faults{cut: map[Link]bool{}, slow: map[Link]slowness{}, apart: map[pair]bool{}, deaf: map[pair]bool{}}
}

// Cut unplugs cables: both ends see it.
func (l *Lab) Cut(links ...Link) error {
	return l.change(links, func(link Link) { l.faults.cut[link] = true })
}

// Mend plugs cables in again, and ends what Slow has done to them.
func (l *Lab) Mend(links ...Link) error {
	return l.change(links, func(link Link) {
		delete(l.faults.cut, link)
		delete(l.faults.slow, link)
	})
}

// Slow has a link behave badly. A way's former fault is replaced; the other way's stays.
func (l *Lab) Slow(link Link, f Fault) error {
	if err := f.check(); err != nil {
		return fmt.Errorf("slow link %s: %w", link, err)
	}
	return l.change([]Link{link}, func(link Link) {
		s := l.faults.slow[link]
		if f.Way != In {
			s.out = f
		}
		if f.Way != Out {
			s.in = f
		}
		s.mtu = f.MTU
		l.faults.slow[link] = s
	})
}

func (f Fault) check() error {
	switch {
	case f.Way != Both && f.Way != Out && f.Way != In:
		return fmt.Errorf("there is no way %q; there are %q and %q, and both if it is empty", f.Way, Out, In)
	case f.Delay < 0 || f.Rate < 0 || f.Queue < 0:
		return errors.New("a number below 0")
	case !(f.Loss >= 0 && f.Loss <= 1):
		return fmt.Errorf("a loss of %v: it is a part, from 0 to 1", f.Loss)
	case f.MTU != 0 && (f.MTU < 576 || f.MTU > 65535):
		return fmt.Errorf("an MTU of %d: it is 576 to 65535; IPv6 takes 1280", f.MTU)
	}
	return nil
}

// relayed says whether frames take time.
func (f Fault) relayed() bool { return f.Delay > 0 || f.Rate > 0 }

// Part parts machines from each other: those of different groups exchange no more frames, in any LAN. Who is in no group
// reaches all. Former groups are forgotten; no groups at all ends it.
func (l *Lab) Part(groups ...[]string) error {
	apart := map[pair]bool{}
	for i, g := range groups {
		for _, from := range g {
			for j, other := range groups {
				for _, to := range other {
					if i != j {
						apart[pair{from, to}] = true
					}
				}
			}
		}
	}
	return l.wall(slices.Concat(groups...), func() { l.faults.apart = apart })
}

// Deafen keeps frames of one machine from reaching another, in that direction alone, until Heal.
func (l *Lab) Deafen(from, to string) error {
	return l.wall([]string{from, to}, func() { l.faults.deaf[pair{from, to}] = true })
}

// Heal mends every link and ends every parting.
func (l *Lab) Heal() error {
	return l.wall(nil, func() {
		clear(l.faults.cut)
		clear(l.faults.slow)
		clear(l.faults.deaf)
		clear(l.faults.apart)
	})
}

// wall changes who hears whom, and has all links follow.
func (l *Lab) wall(names []string, change func()) error {
	for _, name := range names {
		if l.Machine(name) == nil {
			return l.unknown(name)
		}
	}
	var all []Link
	for _, s := range l.Layout.Sites {
		for _, j := range s.Jacks {
			all = append(all, s.Link(j.Net))
		}
	}
	l.faults.mu.Lock()
	defer l.faults.mu.Unlock()
	change()
	return l.follow(all)
}

func (l *Lab) change(links []Link, change func(Link)) error {
	for _, link := range links {
		if s := l.Layout.Site(link.Machine); s == nil || s.Jack(link.Net) == nil {
			return fmt.Errorf("there is no link %s", link)
		}
	}
	l.faults.mu.Lock()
	defer l.faults.mu.Unlock()
	for _, link := range links {
		change(link)
	}
	return l.follow(links)
}

// follow makes links as they are to be. The caller holds the faults.
func (l *Lab) follow(links []Link) error {
	var errs []error
	for _, link := range links {
		if err := l.Machine(link.Machine).fit(link.Net, l.wanted(link)); err != nil {
			errs = append(errs, fmt.Errorf("change link %s: %w", link, err))
		}
	}
	return errors.Join(errs...)
}

// fit makes a cable of the machine as it is to be. That of a machine without power waits for On.
func (m *Machine) fit(n Net, w shape) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.keeper == nil {
		return nil
	}
	return m.lab.network.fit(m.Jack(n), m.keeper.space, w)
}

// A shape is how a cable is to be.
type shape struct {
	slowness
	cut   bool
	walls []net.HardwareAddr // whose frames do not come out of it
}

func (l *Lab) wanted(link Link) shape {
	w := shape{slowness: l.faults.slow[link], cut: l.faults.cut[link]}
	for _, pairs := range []map[pair]bool{l.faults.apart, l.faults.deaf} {
		for p := range pairs {
			if j := l.Layout.Site(p.from).Jack(link.Net); p.to == link.Machine && j != nil {
				w.walls = append(w.walls, j.MAC)
			}
		}
	}
	return w
}

// PathMTU has the router know a path between clients and LANs that is so narrow, in both directions: what is larger, it
// answers with an error, or takes apart. All links keep theirs. 0 is no limit.
func (l *Lab) PathMTU(_ context.Context, mtu int) error {
	if mtu != 0 && (mtu < 576 || mtu > l.plan.MTU) {
		return fmt.Errorf("narrow the path to %d bytes: it is 576 to %d, for IPv6 1280 at least", mtu, l.plan.MTU)
	}
	router := l.Machine("router")
	router.mu.RLock()
	defer router.mu.RUnlock()
	if router.keeper == nil {
		return router.powerless()
	}
	h, err := router.keeper.space.handle()
	if err != nil {
		return fmt.Errorf("narrow the path: %w", err)
	}
	defer h.Close()
	for _, j := range router.Jacks {
		if err := narrow(h, j, mtu); err != nil {
			return fmt.Errorf("narrow the path to %s: %w", j.Net, err)
		}
	}
	return nil
}

func narrow(h *netlink.Handle, j Jack, mtu int) error {
	port, err := h.LinkByName(j.Name)
	if err != nil {
		return err
	}
	routes, err := h.RouteList(port, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	for _, r := range routes {
		if r.Dst == nil || !(r.Dst.Contains(j.IPv4.AsSlice()) || r.Dst.Contains(j.IPv6.AsSlice())) {
			continue
		}
		r.MTU = mtu
		if err := h.RouteReplace(&r); err != nil {
			return fmt.Errorf("replace the route to %s: %w", r.Dst, err)
		}
	}
	return nil
}

func (l *Lab) unknown(name string) error {
	return fmt.Errorf("the lab has no machine %s; there are %v", name, l.Layout.Names())
}

// Broken lists what is wrong with the network on purpose, in words.
func (l *Lab) Broken() []string {
	l.faults.mu.Lock()
	defer l.faults.mu.Unlock()
	var list []string
	for _, s := range l.Layout.Sites {
		for _, j := range s.Jacks {
			link := s.Link(j.Net)
			if l.faults.cut[link] {
				list = append(list, fmt.Sprintf("%s is cut", link))
			}
			if slow, ok := l.faults.slow[link]; ok {
				list = append(list, fmt.Sprintf("%s: %s", link, slow))
			}
		}
	}
	for _, pairs := range []map[pair]bool{l.faults.apart, l.faults.deaf} {
		var said []string
		for p := range pairs {
			said = append(said, fmt.Sprintf("%s does not hear %s", p.to, p.from))
		}
		slices.Sort(said)
		list = append(list, said...)
	}
	return list
}

func (s slowness) String() string {
	text := fmt.Sprintf("out %s", s.out)
	if s.out.String() == s.in.String() {
		text = s.out.String()
	} else if s.in != (Fault{Way: s.in.Way}) {
		text += fmt.Sprintf(", in %s", s.in)
	}
	if s.mtu != 0 {
		text += fmt.Sprintf(", MTU %d", s.mtu)
	}
	return text
}

// String is the fault of one way, without its MTU.
func (f Fault) String() string {
	var text string
	add := func(s string) {
		if text != "" {
			text += ", "
		}
		text += s
	}
	if f.Delay > 0 {
		add("delay " + f.Delay.String())
	}
	if f.Loss > 0 {
		add(fmt.Sprintf("loss %g %%", f.Loss*100))
	}
	if f.Rate > 0 {
		add(fmt.Sprintf("%d bit/s", f.Rate))
	}
	if text == "" {
		return "sound"
	}
	return text
}
