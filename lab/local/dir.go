package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

const lockName = "lock"

// A dir is a cluster's directory. For as long as its cluster lives, a file in it is locked.
type dir struct {
	path string
	lock *os.File // nil: it is to stay
}

// makeDir makes a directory whose name begins so, and removes those of that kind whose owner was killed.
func makeDir(prefix string, keep bool) (*dir, error) {
	sweep(prefix)
	path, err := os.MkdirTemp("", prefix)
	if err != nil {
		return nil, fmt.Errorf("make a directory for the cluster: %w; name another place in $TMPDIR", err)
	}
	d := &dir{path: path}
	// Servers that run as another user read it; the key in it has a mode of its own.
	err = os.Chmod(path, 0o755)
	if err == nil && !keep {
		err = d.claim()
	}
	if err != nil {
		d.remove()
		return nil, fmt.Errorf("make a directory for the cluster: %w", err)
	}
	return d, nil
}

// claim locks the directory. It has no lock before it is locked: a sweep that found one would take it for abandoned.
func (d *dir) claim() (err error) {
	early := filepath.Join(d.path, ".lock")
	if d.lock, err = os.OpenFile(early, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if err := unix.Flock(int(d.lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	return os.Rename(early, filepath.Join(d.path, lockName))
}

// remove removes the directory with all that is in it.
func (d *dir) remove() {
	_ = os.RemoveAll(d.path) // nothing but what was generated
	if d.lock != nil {
		_ = d.lock.Close() // it was only held
	}
}

// sweep removes what clusters have left that were killed: this user's directories whose lock nobody holds.
func sweep(prefix string) {
	locks, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*", lockName)) // the pattern is ours
	for _, name := range locks {
		path := filepath.Dir(name)
		info, err := os.Lstat(path)
		if err != nil || !info.IsDir() || !ours(info) {
			continue
		}
		f, err := os.OpenFile(name, os.O_RDWR|unix.O_NOFOLLOW, 0)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = os.RemoveAll(path) // what is still there, the next one finds
		}
		_ = f.Close() // it was only held
	}
}

func ours(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

// replace writes a file so that whoever reads it sees the old or the new one, and nothing between.
func replace(path string, text []byte, mode fs.FileMode) error {
	early := path + ".new"
	err := os.WriteFile(early, text, mode)
	if err == nil {
		err = os.Rename(early, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), removed(early))
	}
	return nil
}

func removed(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
