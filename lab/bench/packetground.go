package bench

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"

	"muster/cluster"
	"muster/datapath/packet"
	"muster/lab/testbed"
)

const packetPort = "port0"

// packetHost is an address of the network, of either family.
func packetHost(family, n int) netip.Addr {
	if family == 4 {
		return netip.AddrFrom4([4]byte{10, 7, 1, byte(n)})
	}
	return netip.AddrFrom16([16]byte{0: 0xfd, 1: 7, 3: 1, 15: byte(n)})
}

// packetNodes is how many nodes each service has.
const packetNodes = 16

// packetGround is a director's network: one port, nodes whose addresses are known, and clients behind a router.
func packetGround(space, far *testbed.Space) (port int, err error) {
	var own []netip.Prefix
	own = append(own, netip.PrefixFrom(packetHost(4, 2), 24), netip.PrefixFrom(packetHost(6, 2), 64))
	if err := testbed.Cable(testbed.Port{Space: space, Name: packetPort, Addresses: own}, testbed.Port{Space: far, Name: "far"}); err != nil {
		return 0, err
	}
	for _, s := range []string{"ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding"} {
		if err := os.WriteFile("/proc/sys/net/"+s, []byte("1"), 0o644); err != nil {
			return 0, err
		}
	}
	link, err := netlink.LinkByName(packetPort)
	if err != nil {
		return 0, err
	}
	port = link.Attrs().Index
	for _, family := range []int{4, 6} {
		for i := range packetNodes + 1 { // the last one is the router
			at := packetHost(family, 100+i)
			err := netlink.NeighSet(&netlink.Neigh{
				LinkIndex: port, State: netlink.NUD_PERMANENT, IP: at.AsSlice(), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 1, byte(i)},
			})
			if err != nil {
				return 0, fmt.Errorf("neighbour %s: %w", at, err)
			}
		}
		bits := packetHost(family, 0).BitLen()
		all := &net.IPNet{IP: make(net.IP, bits/8), Mask: net.CIDRMask(0, bits)}
		err := netlink.RouteAdd(&netlink.Route{Dst: all, Gw: packetHost(family, 100+router).AsSlice(), LinkIndex: port})
		if err != nil {
			return 0, fmt.Errorf("route to clients: %w", err)
		}
	}
	return port, nil
}

// packetTable gives each node its turn.
func packetTable(s packet.Service, nodes int) *cluster.Table {
	family, port := 4, uint16(8000)
	if s.Fronts[0].VIP.Is6() {
		family = 6
	}
	t := &cluster.Table{Pool: "web", Schedule: "wrr"}
	for i := range nodes {
		at := netip.AddrPortFrom(packetHost(family, 100+i), port)
		t.Shares = append(t.Shares, cluster.Share{Node: fmt.Sprintf("t%d", i+1), Addr: at, Weight: 100, Live: &cluster.Live{}})
		t.Slots = append(t.Slots, uint16(i))
	}
	return t
}

// packetClient is the client of the first flow, as packet.Measure has it.
func packetClient(family int) netip.AddrPort {
	at := netip.AddrFrom4([4]byte{10, 99, 0, 1})
	if family == 6 {
		at = netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x99, 12: 0xff, 13: 0xfe, 15: 1})
	}
	return netip.AddrPortFrom(at, 0x8000)
}

// router is the number of the router among the neighbours; those before it are nodes.
const router = packetNodes

// segment is a frame from a neighbour, with TCP and no data. Its checksums are not right; packet.Measure mends those of
// frames from clients.
func segment(to net.HardwareAddr, neighbour byte, from, dst netip.AddrPort, flags byte) []byte {
	b := append(append([]byte(nil), to...), 2, 0, 0, 0, 1, neighbour)
	if from.Addr().Is4() {
		b = append(b, 8, 0, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0)
	} else {
		b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64)
	}
	b = append(append(b, from.Addr().AsSlice()...), dst.Addr().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, dst.Port())
	return append(b, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0, 0, 0, 0, 0, 0)
}
