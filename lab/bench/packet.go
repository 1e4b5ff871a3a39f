package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"muster/cluster"
	"muster/datapath/packet"
	"muster/lab/testbed"
)

// Goals of a packet (P2), in nanoseconds, with all features compiled in: both families, counters, the table of flows.
const (
	goalKnown = 100
	goalNew   = 300
)

// A PacketCost is what one way of dispatch costs, in nanoseconds a packet.
type PacketCost struct {
	Known float64 `json:"known_ns"` // of a flow that is known
	New   float64 `json:"new_ns"`   // that begins one
}

// A PacketDetail is one way of dispatch for one family.
type PacketDetail struct {
	Kind   string `json:"kind"`   // dr, ipip, gue, nat
	Family string `json:"family"` // ipv4, ipv6
	PacketCost
	Many  float64 `json:"known_many_ns"`      // of 32,768 known flows in turn, which do not fit into a processor's nearest caches
	Flood float64 `json:"new_flood_ns"`       // that begins one while there is room for no more: the oldest of its kind makes way
	Reply float64 `json:"reply_ns,omitempty"` // nat: from the node to the client, of a flow that is known
	Frame float64 `json:"frame_ns"`           // what it took to bring one to the program, which is in none of the others
}

// PacketOptions say how to measure packets.
type PacketOptions struct {
	Options          // Rounds and Progress
	Packets int      // of each figure in a round, a power of two; 0 means 524,288
	Kinds   []string // of dispatch, those of PacketDetail; nil means all
}

// A PacketResult is what bench packet brings.
type PacketResult struct {
	DR      PacketCost     `json:"dr"`
	Tunnel  PacketCost     `json:"tunnel"` // IP in IP
	NAT     PacketCost     `json:"nat"`    // from the client to the node
	Detail  []PacketDetail `json:"detail"`
	Goals   PacketCost     `json:"goals"`
	Kernel  string         `json:"kernel"`
	CPU     string         `json:"cpu"`
	Program packet.Size    `json:"program"`
	Rounds  int            `json:"rounds"`
}

// packetTrial is one thing that is measured, again in each round.
type packetTrial struct {
	packet.Trial
	detail int                          // its place in the result
	figure func(*PacketDetail) *float64 // what it is there
}

// Packet measures what the program of dispatch in the kernel costs a packet. Of each figure it is the median of the rounds.
func Packet(ctx context.Context, opt PacketOptions) (*PacketResult, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("measure packets in the kernel: this user may not load programs there: run it as root")
	}
	opt.Options = opt.Options.withDefaults()
	if opt.Packets == 0 {
		opt.Packets = 1 << 19
	}
	space, err := testbed.NewSpace()
	if err != nil {
		return nil, err
	}
	defer space.Close()
	far, err := testbed.NewSpace()
	if err != nil {
		return nil, err
	}
	defer far.Close()
	leave, err := space.Enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	port, err := packetGround(space, far)
	if err != nil {
		return nil, fmt.Errorf("make a network for the packets: %w", err)
	}
	f, err := packet.New(packet.Config{
		Interfaces: []string{packetPort}, Addresses: []netip.Addr{packetHost(4, 2), packetHost(6, 2)}, Unconfirmed: 65536,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := &PacketResult{Goals: PacketCost{goalKnown, goalNew}, Kernel: release(), CPU: processor(), Rounds: opt.Rounds}
	trials, err := r.prepare(opt, f, port)
	if err != nil {
		return nil, err
	}
	if r.Program, err = f.Size(); err != nil {
		return nil, err
	}
	if err := r.measure(ctx, opt, f, trials); err != nil {
		return nil, err
	}
	return r, nil
}

// packetKinds are the ways of dispatch, each with a service of either family at its port of the VIP.
var packetKinds = []struct {
	name     string
	dispatch cluster.Dispatch
	gue      bool
	port     uint16
}{
	{"dr", cluster.DR, false, 80}, {"ipip", cluster.Tunnel, false, 81}, {"gue", cluster.Tunnel, true, 82}, {"nat", cluster.NAT, false, 83},
}

// prepare makes services of all kinds, and what is to be measured of each.
func (r *PacketResult) prepare(opt PacketOptions, f *packet.Forwarder, port int) ([]packetTrial, error) {
	link, err := netlink.LinkByIndex(port)
	if err != nil {
		return nil, err
	}
	mac := link.Attrs().HardwareAddr
	var services []packet.Service
	var trials []packetTrial
	for _, k := range packetKinds {
		if opt.Kinds != nil && !slices.Contains(opt.Kinds, k.name) {
			continue
		}
		for _, family := range []int{4, 6} {
			s := packet.Service{Name: fmt.Sprintf("%s%d", k.name, family), Dispatch: k.dispatch, Tunnel: packet.Encapsulation{GUE: k.gue}}
			vip := netip.AddrPortFrom(packetHost(family, 50), k.port)
			s.Fronts = []packet.Front{{VIP: vip.Addr(), Port: vip.Port(), Proto: packet.TCP}}
			services = append(services, s)
			detail := len(r.Detail)
			r.Detail = append(r.Detail, PacketDetail{Kind: k.name, Family: fmt.Sprintf("ipv%d", family)})
			add := func(figure func(*PacketDetail) *float64, t packet.Trial) {
				t.Port = port
				t.First, t.Next = segment(mac, router, packetClient(family), vip, 2), segment(mac, router, packetClient(family), vip, 16)
				trials = append(trials, packetTrial{t, detail, figure})
			}
			add(func(d *PacketDetail) *float64 { return &d.Known }, packet.Trial{Flows: 1, Turns: opt.Packets})
			add(func(d *PacketDetail) *float64 { return &d.Many }, packet.Trial{Flows: min(opt.Packets, 1<<15), Turns: opt.Packets})
			add(func(d *PacketDetail) *float64 { return &d.New }, packet.Trial{Flows: min(opt.Packets, 1<<15), New: true})
			add(func(d *PacketDetail) *float64 { return &d.Flood }, packet.Trial{Flows: opt.Packets, New: true})
			if k.dispatch == cluster.NAT { // of a service with one node, so that it is known who replies
				s.Name += "back"
				vip = netip.AddrPortFrom(vip.Addr(), k.port+1)
				s.Fronts = []packet.Front{{VIP: vip.Addr(), Port: vip.Port(), Proto: packet.TCP}}
				services = append(services, s)
				node := packetTable(s, 1).Shares[0].Addr
				reply := segment(mac, 0, node, packetClient(family), 16)
				add(func(d *PacketDetail) *float64 { return &d.Reply }, packet.Trial{Flows: 1, Turns: opt.Packets, Reply: reply})
			}
		}
	}
	if err := f.Apply(services); err != nil {
		return nil, err
	}
	for _, s := range services {
		nodes := packetNodes
		if strings.HasSuffix(s.Name, "back") {
			nodes = 1
		}
		if err := f.SetTable(s.Name, packetTable(s, nodes)); err != nil {
			return nil, err
		}
	}
	return trials, f.Attach() // which tells the program of the port
}

// measure goes through the trials round by round.
func (r *PacketResult) measure(ctx context.Context, opt PacketOptions, f *packet.Forwarder, trials []packetTrial) error {
	figures := make([][]float64, len(trials))
	frames := make([][]float64, len(r.Detail))
	for round := range opt.Rounds {
		for i, t := range trials {
			d := &r.Detail[t.detail]
			if opt.Progress != nil {
				opt.Progress(round*len(trials)+i, opt.Rounds*len(trials), d.Kind+" "+d.Family)
			}
			c, err := f.Measure(ctx, t.Trial)
			if err != nil {
				return err
			}
			if err := rightly(d, t.Trial, c); err != nil {
				return fmt.Errorf("%s, %s: %w; %v", d.Kind, d.Family, err, f.Status().Wrong)
			}
			figures[i] = append(figures[i], float64(c.Packet))
			frames[t.detail] = append(frames[t.detail], float64(c.Frame))
		}
	}
	for i, t := range trials {
		*t.figure(&r.Detail[t.detail]) = median(figures[i])
	}
	for i := range r.Detail {
		d := &r.Detail[i]
		d.Frame = median(frames[i])
		// The figure of a way of dispatch is that of the family that costs more.
		of := map[string]*PacketCost{"dr": &r.DR, "ipip": &r.Tunnel, "nat": &r.NAT}[d.Kind]
		if of != nil {
			of.Known, of.New = max(of.Known, d.Known), max(of.New, d.New)
		}
	}
	return nil
}

// rightly says whether the packet went where it should have gone: what is not sent on says nothing.
func rightly(d *PacketDetail, t packet.Trial, c packet.Cost) error {
	grown := map[string]int{"dr": 0, "ipip": 20, "gue": 32, "nat": 0}[d.Kind]
	if d.Family == "ipv6" && grown > 0 {
		grown += 20
	}
	if c.Action != 3 || len(c.Out) != len(t.Next)+grown {
		return fmt.Errorf("a packet of %d bytes came to action %d and %d bytes, want 3 (tx) and %d", len(t.Next), c.Action, len(c.Out), len(t.Next)+grown)
	}
	return nil
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return float64(int((v[(len(v)-1)/2]+v[len(v)/2])/2*10+0.5)) / 10 // a tenth of a nanosecond is noise already
}
