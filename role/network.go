package role

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"muster/cluster"
	"muster/config"
	"muster/datapath/vip"
	"muster/internal/run"
)

// network is this machine's network as the node's roles want it. Nothing is touched before each role has said what it
// wants, so that what an earlier process has left stays without a gap; and nothing at all where no role wants anything.
type network struct {
	cfg      vip.Config
	log      *slog.Logger
	happened happened
	running  run.Group // the host's Run

	changing sync.Mutex // held while the machine is changed
	host     *vip.Host  // nil: nothing has been wanted yet
	waiting  map[cluster.Role]bool
	wants    map[cluster.Role]vip.Want
	stays    bool // what is there outlives the process

	mu    sync.Mutex
	begun bool   // something has been done
	wrong string // what is not as it is wanted
	holes string // what of that keeps a traffic node from taking packets for its VIPs
	later vip.Want
	due   time.Time // when later takes the place of what a traffic node wants; zero: there is none
}

func newNetwork(cfg vip.Config, roles []cluster.Role, happened happened, log *slog.Logger) *network {
	n := &network{cfg: cfg, log: log.With("part", "network"), happened: happened, waiting: map[cluster.Role]bool{}, wants: map[cluster.Role]vip.Want{}}
	for _, r := range roles {
		n.waiting[r] = true
	}
	return n
}

// tasks stand ahead of everything that needs the VIPs.
func (n *network) tasks() []run.Task {
	return []run.Task{
		{Name: "network", Run: n.running.Run},
		{Name: "VIPs", Run: n.watch},
	}
}

// set says what a role wants from now on.
func (n *network) set(role cluster.Role, w vip.Want) {
	n.changing.Lock()
	defer n.changing.Unlock()
	n.wants[role] = w
	delete(n.waiting, role)
	n.apply()
}

// retire is set for a traffic node, but what is not wanted any more stays for a time: flows finish.
func (n *network) retire(w vip.Want, after time.Duration) {
	n.changing.Lock()
	defer n.changing.Unlock()
	now := n.wants[cluster.Traffic]
	n.mu.Lock()
	n.due = time.Time{}
	if both := join(now, w); after > 0 && len(both.Accept) > len(w.Accept) || after > 0 && len(both.Return) > len(w.Return) {
		n.later, n.due, w = w, time.Now().Add(after), both
	}
	n.mu.Unlock()
	n.wants[cluster.Traffic] = w
	delete(n.waiting, cluster.Traffic)
	n.apply()
}

// apply makes the machine as wanted. The caller holds changing.
func (n *network) apply() {
	if len(n.waiting) > 0 {
		return
	}
	defer func() {
		n.mu.Lock()
		n.begun = true
		n.mu.Unlock()
	}()
	w := join(n.wants[cluster.Director], n.wants[cluster.Traffic])
	if n.host == nil {
		if _, err := os.Stat(n.cfg.Journal); empty(w) && err != nil {
			return
		}
		host, err := vip.New(n.cfg, n.log)
		if err != nil {
			n.say(err.Error(), err.Error())
			return // watch tries again
		}
		n.host = host
		n.running.Start(run.Task{Name: "host", Run: host.Run})
	}
	_ = n.host.Apply(w) // its status says what is wrong, and its Run tries again
	n.look()
}

// watch looks after what is to happen later, and says what is wrong, until the end. Then it has a traffic node give up its
// VIPs, whose flows have ended; those of a director stay while the kernel goes on to dispatch.
func (n *network) watch(ctx context.Context) error {
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case <-again.C:
			n.changing.Lock()
			n.mu.Lock()
			due := !n.due.IsZero() && time.Now().After(n.due)
			if due {
				n.wants[cluster.Traffic], n.due = n.later, time.Time{}
			}
			n.mu.Unlock()
			if due || n.host == nil && len(n.waiting) == 0 && n.trouble() != "" {
				n.apply()
			}
			n.look()
			n.changing.Unlock()
		case <-ctx.Done():
			n.changing.Lock()
			defer n.changing.Unlock()
			if n.host != nil {
				n.wants[cluster.Traffic] = vip.Want{}
				n.apply()
				n.host.Leave(n.stays)
			}
			return nil
		}
	}
}

// leave says whether what a director wants stays at the end of the process.
func (n *network) leave(stays bool) {
	n.changing.Lock()
	defer n.changing.Unlock()
	n.stays = stays
}

// look asks what is not as it is wanted. The caller holds changing.
func (n *network) look() {
	if n.host == nil {
		return
	}
	s := n.host.Status()
	n.say(s.Problem, holes(n.wants[cluster.Traffic], s))
}

// holes says what keeps a traffic node from taking packets as it wants to. A port that is missing does not: there may be
// others, and the director sees what way there is.
func holes(w vip.Want, s vip.Status) string {
	for _, one := range s.Settings {
		if one.Problem != "" {
			return one.What + ": " + one.Problem
		}
	}
	tunnels := slices.ContainsFunc(w.Accept, func(a vip.Accept) bool { return a.Tunnel != vip.None })
	if tunnels && (s.Tunnels == nil || len(s.Tunnels.Ports) == 0) {
		return cmp.Or(s.Problem, "no port unpacks tunnels")
	}
	return ""
}

func (n *network) say(wrong, holes string) {
	n.mu.Lock()
	before := n.wrong
	n.wrong, n.holes = wrong, holes
	n.mu.Unlock()
	switch {
	case wrong == before:
	case wrong == "":
		n.log.Info("network is as the VIPs need it")
		n.happened("network", "VIPs", "mended", before)
	default:
		n.log.Error("network is not as the VIPs need it", "why", strings.ReplaceAll(wrong, "\n", "; "))
		n.happened("network", "VIPs", "trouble", wrong)
	}
}

// trouble is what is not as it is wanted, empty when all is.
func (n *network) trouble() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.wrong
}

const settingUp = "its VIPs are being set up"

// blocked is why packets for the VIPs of a traffic node cannot come, empty when they can.
func (n *network) blocked() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.begun {
		return settingUp
	}
	return n.holes
}

func (n *network) status() (vip.Status, bool) {
	n.changing.Lock()
	defer n.changing.Unlock()
	if n.host == nil {
		return vip.Status{}, false
	}
	return n.host.Status(), true
}

// join is what both want.
func join(a, b vip.Want) vip.Want {
	w := vip.Want{Forward: a.Forward || b.Forward}
	w.Addresses = union(a.Addresses, b.Addresses)
	w.Interfaces = union(a.Interfaces, b.Interfaces)
	w.Answer = union(a.Answer, b.Answer)
	w.Accept = union(a.Accept, b.Accept)
	w.Directors = union(a.Directors, b.Directors)
	w.Return = union(a.Return, b.Return)
	return w
}

func union[T comparable](a, b []T) []T {
	list := slices.Clone(a)
	for _, v := range b {
		if !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	return list
}

func empty(w vip.Want) bool {
	return !w.Forward && len(w.Answer)+len(w.Accept)+len(w.Return) == 0
}

// mayAdmin says whether this process may change the machine's network.
func mayAdmin() bool {
	var data [2]unix.CapUserData
	err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0])
	return err == nil && data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}

// holds says whether Muster puts VIPs on ports of directors, and this director is the one.
func holds(f *config.File, director string) bool {
	return f.VIPs == config.VIPsHold && f.Directors()[0].Name == director
}

// answers is what a director wants of the network: its VIPs, but for those of services that are not served. Who may not
// change the network is left in peace if the proxy is all there is: something else has given it the VIPs.
func answers(f *config.File, self *config.Node, served func(*config.Service) bool) vip.Want {
	w := vip.Want{Addresses: self.Addresses, Interfaces: self.Interfaces}
	for i := range f.Services {
		s := &f.Services[i]
		if !s.VIP.IsValid() || !served(s) {
			continue
		}
		w.Forward = w.Forward || s.Dispatch.Kernel()
		if holds(f, self.Name) {
			w.Answer = union(w.Answer, []netip.Addr{s.VIP})
		}
	}
	if !w.Forward && !mayAdmin() {
		w.Answer = nil
	}
	return w
}

// accepts is what a traffic node wants of the network: the VIPs of the services whose packets directors send to it, and
// the way back for those that they translate.
func accepts(f *config.File, self *config.Node) vip.Want {
	w := vip.Want{Addresses: self.Addresses, Interfaces: self.Interfaces}
	for _, d := range f.Directors() {
		w.Directors = append(w.Directors, d.Addresses...)
	}
	for i := range f.Services {
		s := &f.Services[i]
		p := f.Pool(s.Pool)
		if !s.Dispatch.Kernel() || !f.Serves(self.Name, p) {
			continue
		}
		switch at, ok := f.AddressFor(self, self, s); {
		case s.Dispatch == cluster.DR:
			w.Accept = union(w.Accept, []vip.Accept{{VIP: s.VIP}})
		case s.Dispatch == cluster.Tunnel && s.Tunnel.Encapsulation == config.GUE:
			w.Accept = union(w.Accept, []vip.Accept{{VIP: s.VIP, Tunnel: vip.GUE, Port: s.Tunnel.Port}})
		case s.Dispatch == cluster.Tunnel:
			w.Accept = union(w.Accept, []vip.Accept{{VIP: s.VIP, Tunnel: vip.IPIP}})
		case ok:
			r := vip.Return{Addr: packetsTo(s, p, at), Via: s.VIP, Proto: cluster.TCP}
			if s.Kind == cluster.UDP {
				r.Proto = cluster.UDP
			}
			if !slices.ContainsFunc(w.Return, func(o vip.Return) bool { return o.Addr == r.Addr && o.Proto == r.Proto }) {
				w.Return = append(w.Return, r) // of several VIPs of the director, one is enough
			}
		}
	}
	return w
}
