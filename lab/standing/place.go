package standing

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Default is the name of a lab that was given none.
const Default = "lab"

// base is where standing labs are found; tests have another.
var base = "/run/muster-lab"

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// A place is the directory of one standing lab.
type place struct{ name string }

func (p place) dir() string    { return filepath.Join(base, p.name) }
func (p place) socket() string { return filepath.Join(p.dir(), "sock") }
func (p place) lock() string   { return filepath.Join(p.dir(), "lock") }
func (p place) log() string    { return filepath.Join(p.dir(), "log") }

func newPlace(name string) (place, error) {
	if !nameForm.MatchString(name) {
		return place{}, fmt.Errorf("%q is no name of a lab: take small letters, digits and hyphens, up to 32", name)
	}
	if os.Geteuid() != 0 {
		return place{}, errors.New("a lab is root's: its machines are namespaces; run this as root")
	}
	return place{name}, nil
}

// ErrNone: no lab of that name stands.
var ErrNone = errors.New("there is no lab; start one: muster lab up")

// ErrStands: a lab of that name stands already.
var ErrStands = errors.New("it is up already: see it with muster lab status, end it with muster lab down, or name another with --name")

// takePatience is how long somebody else may hold the lock who only looks, or removes what was left.
const takePatience = 500 * time.Millisecond

// take makes the directory and takes its lock, if nothing stands there. The lock is the open file's: whoever inherits that
// has it, too.
func (p place) take() (*os.File, error) {
	for until := time.Now().Add(takePatience); ; time.Sleep(5 * time.Millisecond) {
		f, err := p.tryTake()
		if f != nil || err != nil && !errors.Is(err, ErrStands) || time.Now().After(until) {
			return f, err
		}
	}
}

func (p place) tryTake() (*os.File, error) {
	if err := os.MkdirAll(p.dir(), 0o700); errors.Is(err, fs.ErrExist) { // it was there, and was removed before MkdirAll looked
		return nil, ErrStands
	} else if err != nil {
		return nil, fmt.Errorf("make a place for lab %s: %w", p.name, err)
	}
	f, err := os.OpenFile(p.lock(), os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
		return nil, ErrStands
	}
	if err != nil {
		return nil, fmt.Errorf("lock lab %s: %w", p.name, err)
	}
	if err := p.hold(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("lab %s: %w", p.name, err)
	}
	return f, nil
}

// hold locks the file, if it is still the one that others would open.
func (p place) hold(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrStands
	}
	if err != nil {
		return err
	}
	own, err := f.Stat()
	if err != nil {
		return err
	}
	if other, err := os.Stat(p.lock()); err != nil || !os.SameFile(own, other) {
		return ErrStands // until it is tried again
	}
	return nil
}

// held says whether an owner has the lock.
func (p place) held() (bool, error) {
	f, err := os.OpenFile(p.lock(), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// remove removes the directory. The caller has the lock.
func (p place) remove() { _ = os.RemoveAll(p.dir()) } // what is still there, the next one finds

// sweep removes the directories of labs that were killed.
func sweep() {
	list, _ := os.ReadDir(base) // without it there is none
	for _, e := range list {
		p := place{e.Name()}
		f, err := os.OpenFile(p.lock(), os.O_RDWR, 0)
		if err != nil {
			continue // it may be about to stand
		}
		if p.hold(f) == nil {
			p.remove()
		}
		f.Close()
	}
}

// owner is the process that has the lock.
func (p place) owner() (int, error) {
	b, err := os.ReadFile(p.lock())
	var pid int
	if err == nil {
		_, err = fmt.Sscan(string(b), &pid)
	}
	if err != nil {
		return 0, fmt.Errorf("find the owner of lab %s: %w", p.name, err)
	}
	return pid, nil
}

// Names are those of the labs that stand.
func Names() []string {
	var names []string
	list, _ := os.ReadDir(base) // without it there is none
	for _, e := range list {
		if held, err := (place{e.Name()}).held(); err == nil && held {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names
}
