package role

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"muster/cluster"
	"muster/config"
	"muster/datapath/packet"
	"muster/datapath/vip"
	"muster/internal/wire"
)

const everyWay = `
cluster: c
key: k
packets: {mode: generic, flows: 2048, unconfirmed: 4096, sources: 8192}
nodes:
  d1: {addresses: [10.0.0.1, "fd00::1"], roles: [director, traffic], interfaces: [eth1]}
  d2: {addresses: [10.0.0.2, "fd00::2"], roles: [director, traffic]}
  t1: {addresses: [10.0.0.11, "fd00::11"], roles: [traffic]}
  t2: {addresses: [10.0.0.12, "fd00::12"], roles: [traffic]}
checks: {alive: {kind: exec, command: ["true"]}}
pools:
  web: {nodes: [d1, d2, t1], port: 8080, application: {serve: {root: /srv}}, zone: {borrow-from: [far], keep: 0}}
  far: {nodes: [t1, t2], port: 80}
  dns: {nodes: [t1, t2], port: 53, check: alive}
services:
  www: {vip: 10.0.0.100, ports: [80, 81], dispatch: dr, pool: web, flows: {syn: 1s, established: 2s, closing: 3s, lost: reset}, sources: {allow: [10.0.0.0/8], deny: [10.1.0.0/16], rate: 5, burst: 7}}
  any: {vip: 10.0.0.100, ports: all, kind: tcp, dispatch: tunnel, tunnel: {encapsulation: gue, port: 6081}, pool: web}
  six: {vip: "fd00::100", ports: [80], dispatch: tunnel, pool: far}
  nat: {vip: "fd00::101", ports: [8000], dispatch: nat, pool: far, without-xdp: proxy}
  dns: {vip: 10.0.0.102, ports: all, kind: udp, dispatch: nat, pool: dns, flows: {udp: 4s}}
  old: {vip: 10.0.0.103, ports: [80], pool: far}
`

func TestTheKernelsPartOfTheFile(t *testing.T) {
	f, err := config.Parse("cluster.yaml", []byte(everyWay))
	if err != nil {
		t.Fatal(err)
	}
	same := func(what string, got, want any) {
		t.Helper()
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{}, netip.Prefix{}, netip.Addr{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	front := func(a string, port uint16, p packet.Proto) packet.Front {
		return packet.Front{VIP: addr(a), Port: port, Proto: p}
	}
	usual := packet.Timeouts{SYN: 30 * time.Second, Established: 15 * time.Minute, Closing: 2 * time.Minute}
	list := []packet.Service{
		{
			Name: "www", Dispatch: cluster.DR, Fronts: []packet.Front{front("10.0.0.100", 80, packet.TCP), front("10.0.0.100", 81, packet.TCP)},
			Timeouts: packet.Timeouts{SYN: time.Second, Established: 2 * time.Second, Closing: 3 * time.Second}, Lost: packet.Reset,
			Allow: []netip.Prefix{prefix("10.0.0.0/8")}, Deny: []netip.Prefix{prefix("10.1.0.0/16")}, Rate: 5, Burst: 7,
		},
		{
			Name: "any", Dispatch: cluster.Tunnel, Fronts: []packet.Front{front("10.0.0.100", 0, packet.TCP)}, Timeouts: usual,
			Tunnel: packet.Encapsulation{GUE: true, Port: 6081},
		},
		{Name: "six", Dispatch: cluster.Tunnel, Fronts: []packet.Front{front("fd00::100", 80, packet.TCP)}, Timeouts: usual, Tunnel: packet.Encapsulation{Port: 6080}},
		{Name: "nat", Dispatch: cluster.NAT, Fronts: []packet.Front{front("fd00::101", 8000, packet.TCP)}, Timeouts: usual},
		{
			Name: "dns", Dispatch: cluster.NAT, Fronts: []packet.Front{front("10.0.0.102", 0, packet.UDP)},
			Timeouts: packet.Timeouts{SYN: 30 * time.Second, UDP: 4 * time.Second},
		},
	}
	same("services on d1", kernelServices(f, "d1"), list)
	same("services on d2, which is a node of some and does not answer for VIPs", kernelServices(f, "d2"), list[2:])

	key := wire.NewKey()
	c := packetConfig(f, f.Node("d1"), key)
	if c.Seed == 0 || c.Seed != packetConfig(f, f.Node("d2"), key).Seed || c.Seed == packetConfig(f, f.Node("d1"), wire.NewKey()).Seed {
		t.Error("the seed does not follow from the key alone")
	}
	c.Seed = 0
	same("packets", c, packet.Config{
		Interfaces: []string{"eth1"}, Addresses: f.Node("d1").Addresses, Mode: packet.Generic, Pin: "/sys/fs/bpf/muster/c/d1",
		Flows: 2048, Unconfirmed: 4096, Sources: 8192,
	})

	at := func(service, director string) map[string]netip.AddrPort {
		return packetAddrs(f, f.Node(director), f.Service(service))
	}
	port := netip.MustParseAddrPort
	same("dr and a zone", at("www", "d1"), map[string]netip.AddrPort{
		"d1": port("10.0.0.1:0"), "d2": port("10.0.0.2:0"), "t1": port("10.0.0.11:0"), "t2": port("10.0.0.12:0"),
	})
	same("nat", at("nat", "d1"), map[string]netip.AddrPort{"t1": port("[fd00::11]:80"), "t2": port("[fd00::12]:80")})
	same("nat of all ports", at("dns", "d1"), map[string]netip.AddrPort{"t1": port("10.0.0.11:0"), "t2": port("10.0.0.12:0")})
	if at("old", "d1") != nil {
		t.Error("a proxied service has addresses for packets")
	}

	directors := []netip.Addr{addr("10.0.0.1"), addr("fd00::1"), addr("10.0.0.2"), addr("fd00::2")}
	accept := []vip.Accept{{VIP: addr("10.0.0.100")}, {VIP: addr("10.0.0.100"), Tunnel: vip.GUE, Port: 6081}, {VIP: addr("fd00::100"), Tunnel: vip.IPIP}}
	same("what t1 accepts", accepts(f, f.Node("t1")), vip.Want{
		Addresses: f.Node("t1").Addresses, Interfaces: f.Node("t1").Interfaces, Directors: directors, Accept: accept,
		Return: []vip.Return{
			{Addr: port("[fd00::11]:80"), Proto: cluster.TCP, Via: addr("fd00::101")}, {Addr: port("10.0.0.11:0"), Proto: cluster.UDP, Via: addr("10.0.0.102")},
		},
	})
	same("what d2 accepts", accepts(f, f.Node("d2")), vip.Want{Addresses: f.Node("d2").Addresses, Interfaces: f.Node("d2").Interfaces, Directors: directors, Accept: accept[:2]})
	served := func(s *config.Service) bool { return s.Name != "dns" }
	same("what d1 answers for", answers(f, f.Node("d1"), served), vip.Want{
		Addresses: f.Node("d1").Addresses, Interfaces: f.Node("d1").Interfaces, Forward: true, Answer: []netip.Addr{addr("10.0.0.100"), addr("fd00::100"), addr("fd00::101"), addr("10.0.0.103")},
	})
	same("what d2 answers for", answers(f, f.Node("d2"), served), vip.Want{Addresses: f.Node("d2").Addresses, Interfaces: f.Node("d2").Interfaces, Forward: true})
	same("where the built-in server listens", directAddrs(f, f.Node("t1"), f.Pool("web")), []netip.AddrPort{port("10.0.0.100:80"), port("10.0.0.100:81"), port("10.0.0.100:8080")})
	same("with nat", directAddrs(f, f.Node("t1"), f.Pool("far")), []netip.AddrPort{port("[fd00::100]:80"), port("[fd00::11]:80")})
	f.VIPs = config.VIPsLeave
	same("what d1 answers for when something else does", answers(f, f.Node("d1"), served), vip.Want{Addresses: f.Node("d1").Addresses, Interfaces: f.Node("d1").Interfaces, Forward: true})
}
