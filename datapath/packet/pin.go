package packet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// What outlives the process stands below one directory:
//
//	maps-N/NAME   the maps; N counts the sets that were made, the book is pinned last: a set without one is not whole
//	ports/NAME    the link of the program to each port ('.' in a name is written ':', as a bpffs takes no dots)
type pins struct {
	dir  string
	lock *os.File // held as long as this process works with what is there
	set  int      // the number of the set of maps that is used, 0: none yet
}

const bpffs = "/sys/fs/bpf"

// openPins takes the directory for this process. It makes it, and mounts the usual bpffs, if need be.
func openPins(dir string) (*pins, error) {
	dir = filepath.Clean(dir)
	if err := mountFor(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "ports"), 0o700); err != nil {
		return nil, fmt.Errorf("make a place for what outlives this process: %w", rights(err))
	}
	return lockPins(dir)
}

func lockPins(dir string) (*pins, error) {
	lock, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open the pins: %w", rights(err))
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close() // it was only read
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("%w: stop that process first, or give this one another directory", ErrInUse)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return &pins{dir: dir, lock: lock}, nil
}

func rights(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: run as root (%w)", ErrRights, err)
	}
	return err
}

// mountFor sees to it that the directory is, or would be, on a bpffs.
func mountFor(dir string) error {
	at := dir
	var st unix.Statfs_t
	for {
		err := unix.Statfs(at, &st)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.ENOENT) || at == filepath.Dir(at) {
			return fmt.Errorf("look at %s: %w", at, err)
		}
		at = filepath.Dir(at)
	}
	if st.Type == unix.BPF_FS_MAGIC {
		return nil
	}
	if dir != bpffs && !strings.HasPrefix(dir, bpffs+"/") {
		return fmt.Errorf("pin below %s: %w: use a directory below %s, or mount one there: mount -t bpf bpf %s", dir, ErrNoBPFFS, bpffs, at)
	}
	if err := unix.Mount("bpf", bpffs, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RELATIME, "mode=0700"); err != nil {
		return fmt.Errorf("pin below %s: %w, and it cannot be mounted: mount -t bpf bpf %s: %w", dir, ErrNoBPFFS, bpffs, rights(err))
	}
	return nil
}

func (p *pins) close() error {
	if p == nil {
		return nil
	}
	return p.lock.Close()
}

// sets are the numbers of the sets of maps, in order.
func (p *pins) sets() ([]int, error) {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return nil, fmt.Errorf("read the pins: %w", err)
	}
	var list []int
	for _, e := range entries {
		if n, ok := strings.CutPrefix(e.Name(), "maps-"); ok {
			if n, err := strconv.Atoi(n); err == nil {
				list = append(list, n)
			}
		}
	}
	slices.Sort(list)
	return list, nil
}

func (p *pins) folder(set int) string { return filepath.Join(p.dir, fmt.Sprintf("maps-%d", set)) }

// newest opens the newest set that is whole, and returns its number; there may be none.
func (p *pins) newest() (int, map[string]*ebpf.Map, error) {
	list, err := p.sets()
	if err != nil {
		return 0, nil, err
	}
	for _, n := range slices.Backward(list) {
		named, err := openSet(p.folder(n))
		if err != nil {
			return 0, nil, err
		}
		if named[bookName] != nil {
			return n, named, nil
		}
		closeAll(named)
	}
	return 0, nil, nil
}

func openSet(dir string) (map[string]*ebpf.Map, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the pins: %w", err)
	}
	named := map[string]*ebpf.Map{}
	for _, e := range entries {
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, e.Name()), nil)
		if err != nil {
			closeAll(named)
			return nil, refused("take over map "+filepath.Join(dir, e.Name()), err)
		}
		named[e.Name()] = m
	}
	return named, nil
}

func closeAll(named map[string]*ebpf.Map) {
	for _, m := range named {
		_ = m.Close() // nothing is written any more
	}
}

// keep pins the maps as the newest set, and forgets the sets before it.
func (p *pins) keep(k *kernel) error {
	list, err := p.sets()
	if err != nil {
		return err
	}
	n := 1
	if len(list) > 0 {
		n = list[len(list)-1] + 1
	}
	dir := p.folder(n)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("pin the maps: %w", rights(err))
	}
	for name, m := range k.named {
		if name == bookName {
			continue
		}
		if err := m.Pin(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("pin map %s: %w", name, err)
		}
	}
	if err := k.book.Pin(filepath.Join(dir, bookName)); err != nil {
		return fmt.Errorf("pin map %s: %w", bookName, err)
	}
	p.set = n
	return p.forget(list)
}

// forgetOthers removes what a process that ended in the middle of a change left behind.
func (p *pins) forgetOthers() error {
	list, err := p.sets()
	if err != nil {
		return err
	}
	return p.forget(slices.DeleteFunc(list, func(n int) bool { return n == p.set }))
}

// forget removes sets. The book goes first: what is left of a set is not taken for one.
func (p *pins) forget(list []int) error {
	var errs []error
	for _, n := range list {
		dir := p.folder(n)
		_ = os.Remove(filepath.Join(dir, bookName)) // if it is still there, RemoveAll says why
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}

// portPin is the file of a port's link.
func (p *pins) portPin(name string) string {
	return filepath.Join(p.dir, "ports", strings.ReplaceAll(name, ".", ":"))
}

// pinnedPorts are the names of the ports that have a link.
func (p *pins) pinnedPorts() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(p.dir, "ports"))
	if err != nil {
		return nil, fmt.Errorf("read the pins: %w", err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, strings.ReplaceAll(e.Name(), ":", "."))
	}
	return list, nil
}

// remove detaches all ports, and removes what is pinned.
func (p *pins) remove() error {
	names, err := p.pinnedPorts()
	errs := []error{err}
	for _, name := range names {
		errs = append(errs, p.detach(name))
	}
	_, named, err := p.newest()
	errs = append(errs, err)
	if named != nil {
		book, err := readBook(named[bookName])
		errs = append(errs, err)
		for k, e := range book {
			if k.Kind == bookNeighbour {
				forgetNeighbour(hop{int(e.Number), e.at().Addr()})
			}
		}
		closeAll(named)
	}
	list, err := p.sets()
	errs = append(errs, err, p.forget(list), os.RemoveAll(p.dir))
	return errors.Join(errs...)
}

// detach ends the program on a port.
func (p *pins) detach(name string) error {
	l, err := link.LoadPinnedLink(p.portPin(name), nil)
	if err != nil {
		return refused("detach from port "+name, err)
	}
	if err = l.Detach(); err != nil {
		err = fmt.Errorf("detach from port %s: %w", name, err)
	}
	return errors.Join(err, l.Unpin(), l.Close())
}

// Detach removes what a Forwarder that is no more left behind below the directory: programs, maps, neighbours. Nothing
// there is no error.
func Detach(pin string) error {
	if _, err := os.Stat(pin); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	p, err := lockPins(filepath.Clean(pin))
	if err != nil {
		return err
	}
	return errors.Join(p.remove(), p.close())
}

// fits says whether a pinned set can be used as it is.
func fits(spec *ebpf.CollectionSpec, named map[string]*ebpf.Map, book map[bookKey]bookEntry) error {
	if got := book[bookKey{Kind: bookLayout}].Number; got != layout {
		return fmt.Errorf("they have layout %d, this program has %d", got, layout)
	}
	for name, s := range spec.Maps {
		if strings.HasPrefix(name, ".") {
			continue
		}
		m := named[name]
		if m == nil {
			return fmt.Errorf("there is no map %s", name)
		}
		if err := s.Compatible(m); err != nil {
			return fmt.Errorf("map %s: %w", name, err)
		}
	}
	return nil
}
