package packet

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// A kernel is what has been loaded: the program, its maps, and the book.
type kernel struct {
	directorObjects
	book   *ebpf.Map            // see book.go
	named  map[string]*ebpf.Map // all that are pinned, by the names of their pins
	inner  *ebpf.MapSpec        // of a share table
	blank  *ebpf.Map            // an empty one; see settle
	firsts *firsts              // unconfirmed, mapped
	live   []int64              // node_live, mapped: by node, changed by atomic addition
	taken  bool                 // the maps were there before
}

// specOf is what is to be loaded for a configuration.
func specOf(cfg Config) (*ebpf.CollectionSpec, error) {
	spec, err := loadDirector()
	if err != nil {
		return nil, err
	}
	spec.Maps[directorMapFlows].MaxEntries = uint32(cfg.Flows)
	spec.Maps[directorMapUnconfirmed].MaxEntries = bucketsFor(cfg.Unconfirmed)
	// A list that replaces another one is written before that is removed; each has an entry of ours as well.
	spec.Maps[directorMapSources].MaxEntries = uint32(2 * (cfg.Sources + mostServices))
	return spec, nil
}

// load brings the program into the kernel. It uses the maps of the pinned set, if that is not nil; they fit.
func load(spec *ebpf.CollectionSpec, pinned map[string]*ebpf.Map) (*kernel, error) {
	if err := rlimit.RemoveMemlock(); err != nil && !errors.Is(err, unix.EPERM) { // without the right to, loading says more
		return nil, fmt.Errorf("lift the limit of locked memory: %w", err)
	}
	opts := ebpf.CollectionOptions{MapReplacements: maps.Clone(pinned)}
	delete(opts.MapReplacements, bookName)
	coll, err := ebpf.NewCollectionWithOptions(spec, opts)
	if err != nil {
		return nil, refused("load the program", err)
	}
	defer coll.Close() // what has been assigned is not closed
	k := &kernel{named: map[string]*ebpf.Map{}, taken: pinned != nil}
	for name, m := range coll.Maps {
		if !strings.HasPrefix(name, ".") { // the settings, which every process writes anew
			k.named[name] = m
		}
	}
	if err := coll.Assign(&k.directorObjects); err != nil {
		return nil, err
	}
	k.inner = spec.Maps[directorMapTables].InnerMap.Copy()
	k.inner.Key, k.inner.Value = nil, nil // descriptions of types, which only cost time
	if err := k.rest(pinned[bookName]); err != nil {
		_ = k.Close() // the first error says it
		return nil, err
	}
	return k, nil
}

// rest makes what the program does not know of.
func (k *kernel) rest(book *ebpf.Map) (err error) {
	if book != nil {
		k.book, err = book.Clone()
	} else {
		k.book, err = ebpf.NewMap(bookSpec)
	}
	if err != nil {
		return refused("make map "+bookName, err)
	}
	k.named[bookName] = k.book
	if k.blank, err = ebpf.NewMap(k.inner); err != nil {
		return refused("make an empty share table", err)
	}
	size := int(k.NodeLive.MaxEntries()) * 8
	mapped, err := unix.Mmap(k.NodeLive.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s into memory: %w", directorMapNodeLive, err)
	}
	k.live = int64sOf(mapped)
	k.firsts, err = newFirsts(&k.directorObjects)
	return err
}

// Close gives back what the process has of it. What is pinned or attached stays in the kernel.
func (k *kernel) Close() error {
	var errs []error
	if k.live != nil {
		errs = append(errs, unix.Munmap(bytesOf(k.live)))
		k.live = nil
	}
	errs = append(errs, k.firsts.close())
	for _, m := range []*ebpf.Map{k.book, k.blank} {
		if m != nil {
			errs = append(errs, m.Close())
		}
	}
	return errors.Join(append(errs, k.directorObjects.Close())...)
}

// settle waits until no packet is under way that saw what the maps held before: the kernel does so whenever a table is
// replaced, and this replaces one that nobody follows.
func (k *kernel) settle() error {
	if err := k.Tables.Put(uint32(mostServices+1), k.blank); err != nil {
		return fmt.Errorf("wait for packets under way: %w", err)
	}
	return nil
}

// refused explains what the kernel says to programs and maps.
func refused(what string, err error) error {
	var verifier *ebpf.VerifierError
	isVerifier := errors.As(err, &verifier)
	switch {
	case !isVerifier && errors.Is(err, fs.ErrPermission), isVerifier && !trusted(): // which the verifier says of much that is allowed
		return fmt.Errorf("%s for dispatch in the kernel: %w: run as root, or with CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN and CAP_NET_RAW (%w)", what, ErrRights, err)
	case errors.Is(err, btf.ErrNotFound):
		return fmt.Errorf("%s for dispatch in the kernel: %w: it has no type information: it must be built with CONFIG_DEBUG_INFO_BTF (%w)", what, ErrKernel, err)
	case errors.Is(err, ebpf.ErrNotSupported), isVerifier, errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("%s for dispatch in the kernel: %w: this is Linux %s; %s or later is needed (%w)", what, ErrKernel, release(), oldest, err)
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.E2BIG):
		return fmt.Errorf("%s for dispatch in the kernel: no memory: ask for fewer flows or sources (%w)", what, err)
	}
	return fmt.Errorf("%s for dispatch in the kernel: %w", what, err)
}

// trusted says whether this thread may load programs that calculate with pointers.
func trusted() bool {
	var has [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &has[0]); err != nil {
		return true // then it is not known, and the program is not to blame for that
	}
	may := func(c uint) bool { return has[c/32].Effective&(1<<(c%32)) != 0 }
	return may(unix.CAP_PERFMON) || may(unix.CAP_SYS_ADMIN)
}

// oldest is the first Linux that has all that the program calls (bpf_loop, LRU maps read and deleted in one step).
const oldest = "5.17"

func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "of an unknown version"
	}
	return unix.ByteSliceToString(u.Release[:])
}
