package role

import (
	"slices"

	"muster/cluster"
	"muster/config"
	"muster/datapath/doctor"
	"muster/datapath/vip"
)

// Patient is what the file wants of the machine that the node runs on, as far as packets go.
func Patient(f *config.File, name string) doctor.Patient {
	self := f.Node(name)
	p := doctor.Patient{Keep: vip.Config{Journal: Journal(f.State, name), Pin: PinVIP(f.Cluster, name)}}
	if self.Has(cluster.Director) {
		p.Network = answers(f, self, func(*config.Service) bool { return true })
		p.Director = directorOf(f, self)
	}
	if self.Has(cluster.Traffic) {
		p.Network = join(p.Network, accepts(f, self))
		p.Traffic = &doctor.Traffic{Listens: listensOf(f, self)}
	}
	return p
}

// directorOf is what a director needs for the services that it dispatches in the kernel, nil if there are none.
func directorOf(f *config.File, self *config.Node) *doctor.Director {
	services := kernelServices(f, self.Name)
	if len(services) == 0 {
		return nil
	}
	d := &doctor.Director{Interfaces: self.Interfaces, Native: f.Packets.Mode == config.PacketNative, Pin: Pin(f.Cluster, self.Name)}
	for _, one := range services {
		s := f.Service(one.Name)
		at := packetAddrs(f, self, s)
		for i := range f.Nodes {
			if a, ok := at[f.Nodes[i].Name]; ok {
				d.Nodes = union(d.Nodes, []doctor.Node{{Name: f.Nodes[i].Name, Addr: a.Addr(), Dispatch: s.Dispatch}})
			}
		}
	}
	return d
}

// listensOf are where a node's applications have to be reachable for packets that directors send to it.
func listensOf(f *config.File, self *config.Node) []doctor.Listen {
	var list []doctor.Listen
	for i := range f.Services {
		s := &f.Services[i]
		p := f.Pool(s.Pool)
		if !s.Dispatch.Kernel() || !f.Serves(self.Name, p) {
			continue
		}
		at := s.Addresses()
		if a, ok := f.AddressFor(self, self, s); s.Dispatch == cluster.NAT {
			if at = at[:0]; ok {
				at = append(at, packetsTo(s, p, a))
			}
		}
		for _, a := range at {
			l := doctor.Listen{Service: s.Name, At: a, UDP: s.Kind == cluster.UDP}
			if a.Port() != 0 && !slices.Contains(list, l) {
				list = append(list, l)
			}
		}
	}
	return list
}
