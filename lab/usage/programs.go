package usage

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// CountPrograms has the kernel count the run time of all BPF programs until what it returns is closed. Each run takes
// some nanoseconds longer meanwhile, which are counted in part. It needs root.
func CountPrograms() (io.Closer, error) {
	c, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return nil, fmt.Errorf("count the run time of BPF programs: %w", err)
	}
	return c, nil
}

// Programs are the BPF programs on the interfaces of one network. The caller must Close them.
type Programs []*ebpf.Program

// Attached finds the programs of the network that the calling thread is in: XDP, and tcx in both directions.
func Attached() (Programs, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var out Programs
	add := func(id ebpf.ProgramID) error {
		p, err := ebpf.NewProgramFromID(id)
		if err == nil {
			out = append(out, p)
		}
		return err
	}
	for _, l := range links {
		at := l.Attrs()
		if at.Xdp != nil && at.Xdp.Attached {
			err = add(ebpf.ProgramID(at.Xdp.ProgId))
		}
		for _, way := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
			r, qerr := link.QueryPrograms(link.QueryOptions{Target: at.Index, Attach: way})
			if errors.Is(qerr, unix.ENOENT) || errors.Is(qerr, link.ErrNotSupported) { // none was ever attached, or can be
				continue
			}
			if err = errors.Join(err, qerr); err != nil {
				break
			}
			for _, p := range r.Programs {
				err = errors.Join(err, add(p.ID))
			}
		}
		if err != nil {
			out.Close()
			return nil, fmt.Errorf("find the BPF programs of %s: %w", at.Name, err)
		}
	}
	return out, nil
}

// Close lets go of the programs.
func (p Programs) Close() {
	for _, one := range p {
		_ = one.Close() // it was only held
	}
}

// A Run is how long programs ran, and how often.
type Run struct {
	Time  time.Duration
	Times uint64
}

// Sub is what was run since an earlier reading.
func (r Run) Sub(earlier Run) Run { return Run{r.Time - earlier.Time, r.Times - earlier.Times} }

// Read adds up what the programs have run since they were loaded, as far as it was counted.
func (p Programs) Read() (sum Run, err error) {
	seen := map[ebpf.ProgramID]bool{} // one program may be on several interfaces
	for _, one := range p {
		info, err := one.Info()
		if err != nil {
			return sum, fmt.Errorf("read the run time of %s: %w", one, err)
		}
		if id, ok := info.ID(); ok && seen[id] {
			continue
		} else if ok {
			seen[id] = true
		}
		s, err := one.Stats()
		if err != nil {
			return sum, fmt.Errorf("read the run time of %s: %w", one, err)
		}
		sum.Time += s.Runtime
		sum.Times += s.RunCount
	}
	return sum, nil
}
