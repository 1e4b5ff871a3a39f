package usage_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"muster/lab/peer"
	"muster/lab/testbed"
	"muster/lab/usage"
)

// Two hosts on a cable.
func hosts(t *testing.T) (a, b peer.Host) {
	t.Helper()
	var spaces [2]*testbed.Space
	for i := range spaces {
		s, err := testbed.NewSpace()
		if errors.Is(err, unix.EPERM) {
			t.Skipf("not root: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		spaces[i] = s
	}
	err := testbed.Cable(
		testbed.Port{Space: spaces[0], Name: "b", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}},
		testbed.Port{Space: spaces[1], Name: "a", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}},
	)
	if err != nil {
		t.Fatal(err)
	}
	return peer.Host{Space: spaces[0]}, peer.Host{Space: spaces[1]}
}

// in does something on a host.
func in(t *testing.T, h peer.Host, do func() error) {
	t.Helper()
	if err := h.Do(do); err != nil {
		t.Fatal(err)
	}
}

// talk sends datagrams from a to b.
func talk(t *testing.T, a, b peer.Host, count int) {
	t.Helper()
	var from, to *net.UDPConn
	in(t, b, func() (err error) {
		to, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 9})
		return err
	})
	defer to.Close()
	in(t, a, func() (err error) {
		from, err = net.DialUDP("udp", nil, to.LocalAddr().(*net.UDPAddr))
		return err
	})
	defer from.Close()
	var got [16]byte
	in(t, a, func() error { // this thread sends, so that it is this network's time
		for range count {
			if _, err := from.Write([]byte("x")); err != nil {
				return err
			}
			if _, err := to.Read(got[:]); err != nil {
				return err
			}
		}
		return nil
	})
}

func here(t *testing.T, h peer.Host) (n usage.Network) {
	t.Helper()
	in(t, h, func() (err error) {
		n, err = usage.Here()
		return err
	})
	return n
}

func TestPacketsAreChargedToTheirNetwork(t *testing.T) {
	a, b := hosts(t)
	m, err := usage.NewMeter()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	before, err := m.Read()
	if err != nil {
		t.Fatal(err)
	}
	talk(t, a, b, 1000)
	after, err := m.Read()
	if err != nil {
		t.Fatal(err)
	}
	p := after.Sub(before)
	from, to := here(t, a), here(t, b)
	// The sender's time is what the kernel takes to work on what the receiver has got.
	if got := p[usage.Pair{Packet: to, Process: from}]; got < 100*time.Microsecond || got > p.Of(to) {
		t.Errorf("%v of %v for a thousand packets: %v", got, p.Of(to), p)
	}
	if p.Borrowed(to) < 100*time.Microsecond || p.Borrowed(from) > -100*time.Microsecond {
		t.Errorf("the receiver borrowed %v, the sender %v", p.Borrowed(to), p.Borrowed(from))
	}
}

func TestPairsAddUp(t *testing.T) {
	p := usage.Packets{{1, 1}: 1, {1, 2}: 10, {2, 1}: 100, {2, 2}: 1000, {1, 0}: 10000, {0, 2}: 100000}
	for n, want := range map[usage.Network][2]time.Duration{1: {10011, 9910}, 2: {1100, -99910}, 3: {0, 0}} {
		if p.Of(n) != want[0] || p.Borrowed(n) != want[1] {
			t.Errorf("network %d: got %v, %v; want %v", n, p.Of(n), p.Borrowed(n), want)
		}
	}
	if got := p.Sub(usage.Packets{{1, 1}: 1}); got[usage.Pair{Packet: 1, Process: 1}] != 0 || got.Of(2) != 1100 {
		t.Errorf("got %v", got)
	}
}

func TestRunsOfProgramsAreCounted(t *testing.T) {
	a, b := hosts(t)
	const pass = 2
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, pass), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	in(t, b, func() error {
		i, err := net.InterfaceByName("a")
		if err != nil {
			return err
		}
		l, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: i.Index})
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	})
	counting, err := usage.CountPrograms()
	if err != nil {
		t.Fatal(err)
	}
	defer counting.Close()
	var all usage.Programs
	in(t, b, func() (err error) {
		all, err = usage.Attached()
		return err
	})
	defer all.Close()
	before, err := all.Read()
	if err != nil {
		t.Fatal(err)
	}
	talk(t, a, b, 100)
	after, err := all.Read()
	if err != nil {
		t.Fatal(err)
	}
	if r := after.Sub(before); len(all) != 1 || r.Times < 100 || r.Time <= 0 {
		t.Errorf("%d programs, %+v", len(all), r)
	}
}

func TestTheMachineIsBusy(t *testing.T) {
	all, err := usage.Busy()
	if err != nil {
		t.Fatal(err)
	}
	if one, err := usage.Busy(0); err != nil || one <= 0 || one > all {
		t.Errorf("processor 0 was busy for %v of %v, %v", one, all, err)
	}
	if _, err := usage.Busy(1 << 20); err == nil {
		t.Error("a processor that is not there was busy")
	}
	before, err := usage.Busy()
	if err != nil {
		t.Fatal(err)
	}
	for until := before + 50*time.Millisecond; ; {
		now, err := usage.Busy()
		if err != nil {
			t.Fatal(err)
		}
		if now >= until {
			return
		}
	}
}
