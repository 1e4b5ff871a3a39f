package vip

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"muster/internal/netset"
)

// What follows only looks. It is for who examines a machine beside its daemon.

// Settings are all that a machine with these ports needs, in the order in which they are to be made. The journal is only
// read, also if it is in use; there may be none.
func (w Want) Settings(list []Port, journal string) ([]netset.Setting, error) {
	had, err := netset.Read(journal)
	return w.settings(list, &tables{had: had, taken: tableTaken}), err
}

// Who asks a port's LAN who has the addresses, and waits that long for answers. This machine does not answer itself.
func Who(port string, addrs []netip.Addr, patience time.Duration) (map[netip.Addr]net.HardwareAddr, error) {
	return holders(port, addrs, patience)
}

// Unpacks says whether the programs that unpack tunnels, and have clients send what fits them, work on a port.
func Unpacks(p Port) (bool, error) {
	for _, one := range []struct {
		name string
		kind ebpf.AttachType
	}{{"unwrap", ebpf.AttachTCXIngress}, {"clamp", ebpf.AttachTCXEgress}} {
		found, err := attached(p.Index, one.kind, one.name)
		if err != nil || !found {
			return false, err
		}
	}
	return true, nil
}

func attached(index int, kind ebpf.AttachType, name string) (bool, error) {
	result, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: kind})
	if errors.Is(err, ebpf.ErrNotSupported) {
		return false, fmt.Errorf("%w: it needs Linux 6.6 or newer", ErrKernel)
	}
	if err != nil {
		return false, fmt.Errorf("ask which programs a port has: %w", explain(err))
	}
	for _, one := range result.Programs {
		p, err := ebpf.NewProgramFromID(one.ID)
		if err != nil {
			continue // it ended meanwhile
		}
		info, err := p.Info()
		_ = p.Close() // it was only looked at
		if err == nil && info.Name == name {
			return true, nil
		}
	}
	return false, nil
}

// Mss is the most that a client's segment may carry to the VIP so that it fits these ports with the tunnel around it.
func (w Want) Mss(a Accept, list []Port) int { return int(w.mss(a, list)) }
