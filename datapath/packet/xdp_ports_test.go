package packet

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestFramesLeave has the kernel carry out what the program says (BPF_F_TEST_XDP_LIVE_FRAMES): the frames come out of the
// cables' other ends.
func TestFramesLeave(t *testing.T) {
	const live = 1 << 1
	g := newGround(t, smallMaps)
	s := newStage(t, g)
	id := s.service(directorService{Dispatch: dispatches["dr"], Pick: picks["turn"], Syn: 10, Established: 900, Closing: 30, Udp: 60})
	s.front(t, id, places["vip"].four, 80, TCP)
	for _, n := range []string{"a", "d", "e"} {
		s.node(t, id, n, places[n].four, directorNode{})
	}
	s.table(t, id, []share{{"a", 1}, {"d", 1}, {"e", 1}}, nil)

	ends := map[string]*os.File{}
	for name, port := range map[string]string{"me": "to-port0", "me2": "to-port1"} {
		var err error
		g.do(func() { ends[name], err = listenOn(t, port) })
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []struct{ end, frame string }{
		{"me", "eth me > a / in"}, {"me2", "eth me2 > d / in"}, {"me", "eth me > e / vlan 5 / in"},
	} {
		in := must(t, "eth router > me / ip4 client > vip / tcp "+[]string{"1", "2", "3"}[i]+" > 80 S / data 100")
		opts := ebpf.RunOptions{Data: in, Context: origin{End: uint32(len(in)), Ingress: g.ports["me"]}, Repeat: 1, Flags: live}
		var err error
		g.do(func() { _, err = g.Director.Run(&opts) })
		if err != nil {
			t.Fatal(err)
		}
		whole, err := frame(want.frame, in)
		if err != nil {
			t.Fatal(err)
		}
		if want.end == "me" && i == 2 { // the kernel takes the tag out, and says it beside the frame
			whole, _ = frame("eth me > e / in", in)
		}
		got := make([]byte, 2048)
		for {
			n, err := ends[want.end].Read(got)
			if err != nil {
				t.Fatalf("%s does not come out: %v", want.frame, err)
			}
			if bytes.Equal(got[:n], whole) {
				break // the kernel itself sends some, as neighbour discovery
			}
			t.Logf("%d bytes for somebody else: %s", n, show(got[:n]))
		}
	}
}

// listenOn opens a socket that gets what comes out of a port, and has the port take frames as they are sent on (XDP).
func listenOn(t *testing.T, port string) (*os.File, error) {
	l, err := netlink.LinkByName(port)
	if err != nil {
		return nil, err
	}
	pass, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	if err != nil {
		return nil, err
	}
	defer pass.Close()
	x, err := link.AttachXDP(link.XDPOptions{Program: pass, Interface: l.Attrs().Index})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = x.Close() })
	const every = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, every)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), port)
	t.Cleanup(func() { _ = f.Close() })
	return f, errors.Join(
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: every, Ifindex: l.Attrs().Index}),
		f.SetReadDeadline(time.Now().Add(10*time.Second)),
	)
}
