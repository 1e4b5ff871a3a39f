package role

import (
	"muster/cluster"
	"muster/config"
	"muster/console"
	"muster/datapath/packet"
	"muster/datapath/vip"
	"muster/ha/member"
)

// status is how dispatch in the kernel stands, nil where there is none, and the figures of its services.
func (p *packets) status() (*console.Packets, map[string]packet.ServiceStatus) {
	figures := map[string]packet.ServiceStatus{}
	fw := p.current()
	if fw == nil {
		return nil, figures
	}
	s := fw.Status()
	for _, one := range s.Services {
		figures[one.Service] = one
	}
	to := &console.Packets{
		Ports: []console.Port{}, Flows: console.Fill(s.Flows), Unconfirmed: console.Fill(s.Unconfirmed),
		Nodes: console.Fill(s.Nodes), Sources: console.Fill(s.Sources), States: s.States, Reasons: s.Reasons,
		Expired: s.Expired, Resets: s.Resets, Evicted: s.Mended, LostEvents: s.Lost,
		Swaps: s.Swaps, SwapMS: ms(s.Swap), TakenOver: s.Taken, Wrong: s.Wrong,
	}
	for _, port := range s.Ports {
		to.Ports = append(to.Ports, console.Port{
			Name: port.Name, Driver: port.Driver, Mode: port.Mode, Why: port.Why, Up: port.Up, Forwards: port.Forwards,
		})
	}
	return to, figures
}

// problem is why the service is not served as the file says, empty when it is.
func (p *packets) problem(s *config.Service) string {
	if !s.Dispatch.Kernel() {
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.proxied[s.Name] != nil:
		return "it is proxied, for the kernel cannot dispatch it: " + p.proxied[s.Name].Error()
	case p.forwarder == nil && p.wrong != nil:
		return "it is not served, for the kernel cannot dispatch it: " + p.wrong.Error()
	case p.tables[s.Name] != nil:
		return "it goes on by its last table: " + p.tables[s.Name].Error()
	}
	return ""
}

// packetStatus is a service that is dispatched in the kernel.
func packetStatus(s *config.Service, v packet.ServiceStatus, picture *member.Snapshot) console.Service {
	to := console.Service{
		Name: s.Name, Kind: s.Kind, Dispatch: s.Dispatch, Schedule: string(s.Schedule), Pool: s.Pool, Addresses: s.Entrances(),
		Clients: v.Active, Connections: v.Flows, BytesIn: v.Bytes, Members: []console.Member{},
		Packets: &console.ServicePackets{Packets: v.Packets, Bytes: v.Bytes, Unconfirmed: v.Unconfirmed, Reasons: v.Reasons},
	}
	for _, n := range v.Nodes {
		if n.Retired && n.Active == 0 {
			continue
		}
		to.BytesOut += n.ReplyBytes
		m := console.Member{
			Node: n.Node, Address: n.Address, Weight: n.Weight, Active: n.Active, Served: int64(n.Flows),
			Packets: &console.MemberPackets{
				Active: n.Active, Packets: n.Packets, Bytes: n.Bytes, ReplyPackets: n.ReplyPackets, ReplyBytes: n.ReplyBytes,
				Gone: n.Gone, Local: n.Local, Way: n.Way,
			},
		}
		m.State = cluster.Out
		if state, ok := picture.Node(n.Node); ok {
			if place, ok := state.Pools[s.Pool]; ok {
				m.State, m.Active = place.State, place.Active
			}
		}
		to.Members = append(to.Members, m)
	}
	return to
}

// membersOf are the nodes of a service that this director would dispatch to.
func (d *director) membersOf(service string) []console.Member {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := []console.Member{}
	for _, f := range d.followers {
		if f.service != service || f.table == nil {
			continue
		}
		for _, s := range f.table.Shares {
			list = append(list, console.Member{Node: s.Node, Address: s.Addr.Addr().String(), State: s.State, Weight: s.Weight, Active: s.Live.Active.Load()})
		}
	}
	return list
}

func networkStatus(s vip.Status) *console.Network {
	to := &console.Network{Answer: s.Answer, Problem: s.Problem, Settings: []console.Setting{}}
	for _, one := range s.Settings {
		to.Settings = append(to.Settings, console.Setting(one))
	}
	if t := s.Tunnels; t != nil {
		to.Tunnels = &console.Tunnels{Ports: t.Ports, Packets: t.Packets, Bytes: t.Bytes, Clamped: t.Clamped, NotDone: map[string]uint64{}}
		for fate, n := range t.NotDone {
			to.Tunnels.NotDone[string(fate)] = n
		}
	}
	return to
}
