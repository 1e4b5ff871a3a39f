package netset

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// most is how long a journal may be, in bytes.
const most = 8 << 20

// file is how a journal is written down.
type file struct {
	Boot    string      `json:"boot"`    // of the machine: a new start undoes everything by itself
	Network uint64      `json:"network"` // cookie of the namespace
	Changes []fileEntry `json:"changes"`
}

// fileEntry has one of the settings.
type fileEntry struct {
	Sysctl  *Sysctl  `json:"sysctl,omitempty"`
	Address *Address `json:"address,omitempty"`
	Route   *Route   `json:"route,omitempty"`
	Rule    *Rule    `json:"rule,omitempty"`
	Was     string   `json:"was,omitempty"`
	Index   int      `json:"index,omitempty"`
}

func (j *Journal) save() error {
	f, err := here()
	if err != nil {
		return err
	}
	for _, e := range j.entries {
		f.Changes = append(f.Changes, fileEntryOf(e))
	}
	text, err := json.MarshalIndent(f, "", "\t")
	if err == nil {
		err = replace(j.path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write the journal %s, without which nothing is changed: %w", j.path, err)
	}
	return nil
}

// load reads a journal. One that is not there is empty.
func load(path string) ([]entry, error) {
	r, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	f, entries, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("read the journal %s: %w; move it away to go on: what it names will then not be undone", path, err)
	}
	now, err := here()
	if err != nil {
		return nil, err
	}
	if f.Boot != now.Boot || f.Network != now.Network {
		return nil, nil
	}
	return entries, nil
}

func parse(text []byte) (f file, entries []entry, err error) {
	if len(text) > most {
		return f, nil, fmt.Errorf("it is longer than %d bytes", most)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return f, nil, err
	}
	for i, c := range f.Changes {
		e := entry{was: c.Was, index: c.Index}
		var all []Setting
		if c.Sysctl != nil {
			all = append(all, *c.Sysctl)
		}
		if c.Address != nil {
			all = append(all, *c.Address)
		}
		if c.Route != nil {
			all = append(all, *c.Route)
		}
		if c.Rule != nil {
			all = append(all, *c.Rule)
		}
		if len(all) != 1 {
			return f, nil, fmt.Errorf("its change %d is of %d kinds, and can only be of one", i+1, len(all))
		}
		e.set = all[0]
		if s, is := e.set.(interface{ valid() error }); is {
			if err := s.valid(); err != nil {
				return f, nil, fmt.Errorf("its change %d: %w", i+1, err)
			}
		}
		entries = append(entries, e)
	}
	return f, entries, nil
}

func fileEntryOf(e entry) fileEntry {
	f := fileEntry{Was: e.was, Index: e.index}
	switch s := e.set.(type) {
	case Sysctl:
		f.Sysctl = &s
	case Address:
		f.Address = &s
	case Route:
		f.Route = &s
	case Rule:
		f.Rule = &s
	}
	return f
}

// here is the network that this thread is in.
func here() (file, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return file{}, fmt.Errorf("tell this start of the machine from others: %w", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return file{}, fmt.Errorf("tell this network from others: %w", err)
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if errors.Is(err, unix.ENOPROTOOPT) { // Linux before 5.14: boots alone are told apart
		cookie, err = 0, nil
	}
	if err != nil {
		return file{}, fmt.Errorf("tell this network from others: %w", err)
	}
	return file{Boot: strings.TrimSpace(string(boot)), Network: cookie}, nil
}

// replace writes a file so that it is there whole, the old or the new one, whenever the machine stops.
func replace(path string, text []byte) (err error) {
	w, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(w.Name()) // it is of no use
		}
	}()
	give(w)
	_, err = w.Write(text)
	if err == nil {
		err = w.Sync()
	}
	if closed := w.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(w.Name(), path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// give makes a file its directory's owner's: root may write what a daemon of another user will have to read.
func give(f *os.File) {
	var dir unix.Stat_t
	if os.Geteuid() == 0 && unix.Stat(filepath.Dir(f.Name()), &dir) == nil && dir.Uid != 0 {
		_ = f.Chown(int(dir.Uid), int(dir.Gid)) // if not, that daemon will say so
	}
}

// InUse says whether another process has the journal open. It touches nothing.
func InUse(path string) (bool, error) {
	f, err := os.Open(path + ".lock")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look whether the journal is in use: %w", err)
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("look whether the journal is in use: %w", err)
	}
	return false, nil
}

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	give(f)
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close() // it is not ours
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrBusy
		}
		return nil, err
	}
	return f, nil
}

// index is the number of an interface; without a name there is none to look for.
func index(name string) (n int, there bool) {
	if name == "" {
		return 0, true
	}
	l, err := net.InterfaceByName(name)
	if err != nil {
		return 0, false
	}
	return l.Index, true
}

// explain says what to do about errors that say it too briefly.
func explain(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%w: %w", err, ErrRights)
	}
	return err
}
