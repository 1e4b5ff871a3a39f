// Package netset sets what the kernel is told about a network (sysctls, addresses, routes, rules) and notes it in a
// journal first, so that every change can be undone: in reverse order, also after a crash, and only what was changed here
// and is still as it was left.
package netset

import (
	"errors"
	"fmt"
	"os"
	"slices"
)

// Errors that a caller may decide by.
var (
	// ErrBusy: another process has the journal.
	ErrBusy = errors.New("another process has it open")
	// ErrRights: the process may not change the network.
	ErrRights = errors.New("it takes root (CAP_NET_ADMIN)")
)

// A Setting is one thing as it shall be: a Sysctl, an Address, a Route or a Rule. Settings are compared with ==.
type Setting interface {
	String() string // the command that does the same
	// Undo is the command that takes it back.
	Undo() string

	key() string // what it is about: of two settings with one key, only one can be
	link() string
	// look says how things are: what undo has to bring back, and whether that is as it shall be.
	look() (was string, fine bool, err error)
	do() error
	undo(was string) error
}

// An entry is a change that was made, or was about to be made.
type entry struct {
	set   Setting
	was   string
	index int // of the interface that it is on: another one of that name has not been changed
}

// A Journal is what has been changed and will be undone. One goroutine uses it at a time; it acts on the network
// namespace of the calling thread.
type Journal struct {
	path    string
	lock    *os.File
	entries []entry // oldest first
}

// An Outcome is what became of one wanted setting.
type Outcome struct {
	Setting Setting
	Done    bool  // it was not so, and has been done now
	Ours    bool  // it is in the journal, and will be undone
	Err     error // why it is not so
}

// Open opens the journal and reads what an earlier process left in it. Nothing is changed. Entries of a machine that has
// been started anew since, or of a network that is gone, are void. A journal that cannot be read is an error.
func Open(path string) (*Journal, error) {
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("open the journal %s: %w", path, err)
	}
	entries, err := load(path)
	if err != nil {
		_ = lock.Close() // it was only held
		return nil, err
	}
	return &Journal{path: path, lock: lock, entries: entries}, nil
}

// Read reads the settings in a journal, which may be in use. One that is not there has none.
func Read(path string) ([]Setting, error) {
	entries, err := load(path)
	j := Journal{entries: entries}
	return j.Settings(), err
}

// Close lets go of the journal; what it holds stays to be undone.
func (j *Journal) Close() error { return j.lock.Close() }

// Path is where the journal is.
func (j *Journal) Path() string { return j.path }

// Settings are those in the journal, the oldest first.
func (j *Journal) Settings() []Setting {
	list := make([]Setting, len(j.entries))
	for i, e := range j.entries {
		list[i] = e.set
	}
	return list
}

// Apply makes everything as wanted, in this order, and undoes what the journal has beyond that, the newest first. Only
// differences are touched. The outcomes are of the wanted, in order; the error is of what could not be undone, which stays
// in the journal, or of the journal itself, without which nothing is changed.
func (j *Journal) Apply(want []Setting) ([]Outcome, error) {
	keys := map[string]bool{}
	for _, s := range want {
		keys[s.key()] = true
	}
	undone := j.undo(func(e entry) bool { return !keys[e.set.key()] })
	out, err := j.add(want)
	return out, errors.Join(undone, err)
}

// Add makes everything as wanted and leaves the rest of the journal alone.
func (j *Journal) Add(want []Setting) ([]Outcome, error) { return j.add(want) }

func (j *Journal) add(want []Setting) ([]Outcome, error) {
	out := make([]Outcome, len(want))
	var todo []int
	changed := false
	for i, s := range want {
		out[i].Setting = s
		n, there := index(s.link())
		if !there {
			out[i].Err = fmt.Errorf("%s: there is no interface %s", s, s.link())
			continue
		}
		at := j.find(s)
		if at >= 0 && j.entries[at].index != n {
			j.entries = slices.Delete(j.entries, at, at+1)
			at, changed = -1, true
		}
		was, fine, err := s.look()
		switch {
		case err != nil:
			out[i].Err = fmt.Errorf("%s: %w", s, err)
			continue
		case at >= 0 && j.entries[at].set != s && !fine:
			// Changed by us, to another value. Until the new one is there, either may be what is to be undone.
			j.entries = append(j.entries, entry{set: s, was: j.entries[at].was, index: n})
			changed = true
		case at < 0 && !fine:
			j.entries = append(j.entries, entry{set: s, was: was, index: n})
			changed = true
		}
		if !fine {
			todo = append(todo, i)
		}
	}
	if changed { // before anything is done: after a crash, what may have been done is known
		if err := j.save(); err != nil {
			return out, err
		}
	}
	changed = false
	for _, i := range todo {
		s := want[i]
		err := s.do()
		if err == nil {
			out[i].Done = true
			n := len(j.entries)
			j.entries = slices.DeleteFunc(j.entries, func(e entry) bool { return e.set.key() == s.key() && e.set != s })
			changed = changed || len(j.entries) < n
			continue
		}
		out[i].Err = fmt.Errorf("%s: %w", s, explain(err))
		if _, fine, lookErr := s.look(); lookErr == nil && !fine {
			if at := j.find(s); at >= 0 {
				j.entries = slices.Delete(j.entries, at, at+1)
				changed = true
			}
		}
	}
	for i, s := range want {
		out[i].Ours = j.find(s) >= 0
	}
	if changed {
		return out, j.save()
	}
	return out, nil
}

// Undo undoes all that the journal has.
func (j *Journal) Undo() error { return j.undo(func(entry) bool { return true }) }

// undo undoes the entries that which names, the newest first.
func (j *Journal) undo(which func(entry) bool) error {
	var errs []error
	changed := false
	for i, e := range slices.Backward(slices.Clone(j.entries)) {
		if !which(e) {
			continue
		}
		if n, there := index(e.set.link()); there && n == e.index {
			if err := e.set.undo(e.was); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", e.set.Undo(), explain(err)))
				continue
			}
		}
		j.entries = slices.Delete(j.entries, i, i+1)
		changed = true
	}
	if changed {
		errs = append(errs, j.save())
	}
	return errors.Join(errs...)
}

// find is the place of the newest entry with that setting's key, or -1.
func (j *Journal) find(s Setting) int {
	for i, e := range slices.Backward(j.entries) {
		if e.set.key() == s.key() {
			return i
		}
	}
	return -1
}

// Look says whether everything is as wanted, and changes nothing.
func Look(want []Setting) []Outcome {
	out := make([]Outcome, len(want))
	for i, s := range want {
		out[i].Setting = s
		was, fine, err := s.look()
		_, isSysctl := s.(Sysctl)
		switch {
		case err != nil:
			out[i].Err = err
		case !fine && isSysctl:
			out[i].Err = fmt.Errorf("it is %s", was)
		case !fine:
			out[i].Err = errMissing
		}
	}
	return out
}

var errMissing = errors.New("it is not there")
