package serve

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// A tree is the directory that is served. No path and no link leads out of it: the kernel sees to that.
type tree struct {
	dir  *os.File // closed by its finalizer, when the last user is gone
	root *os.Root // in its place where the kernel has no openat2
}

func openTree(path string) (*tree, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("serve: open the root: %w", err)
	}
	if st, err := dir.Stat(); err != nil || !st.IsDir() {
		_ = dir.Close()
		return nil, fmt.Errorf("serve: root %s is not a directory", path)
	}
	t := &tree{dir: dir}
	fd, err := t.open(".")
	switch {
	case err == nil:
		_ = unix.Close(fd)
	case errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM): // an old kernel; an old container's filter
		if t.root, err = os.OpenRoot(path); err != nil {
			return nil, fmt.Errorf("serve: open the root: %w", err)
		}
	default:
		return nil, fmt.Errorf("serve: open the root %s: %w", path, err)
	}
	return t, nil
}

// open opens a path beneath the root. It does not wait for the other end of a FIFO.
func (t *tree) open(name string) (int, error) {
	const flags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	if t.root != nil {
		f, err := t.root.OpenFile(name, flags, 0)
		if err != nil {
			return -1, err
		}
		defer f.Close()
		return unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	}
	for range 8 { // EAGAIN: something above was renamed meanwhile
		how := unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
		fd, err := unix.Openat2(int(t.dir.Fd()), name, &how)
		if err != unix.EAGAIN && err != unix.EINTR {
			return fd, err
		}
	}
	return -1, unix.EAGAIN
}

// stat follows links, even out of the tree: its answer is only compared with what open has found.
func (t *tree) stat(name string) (stamp, error) {
	var st unix.Stat_t
	err := unix.Fstatat(int(t.dir.Fd()), name, &st, 0)
	return stampOf(&st), err
}

// A stamp tells whether a file is still what it was.
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{uint64(st.Dev), st.Ino, st.Size, st.Mtim, st.Ctim}
}

// statusOf says what a client is told when a file cannot be opened.
func statusOf(err error) int {
	var no syscall.Errno
	if !errors.As(err, &no) {
		return 404 // os.Root says so when a path leads out
	}
	switch no {
	case unix.ENOENT, unix.ENOTDIR, unix.ENAMETOOLONG, unix.ELOOP, unix.EXDEV, unix.ENXIO, unix.EINVAL:
		return 404
	case unix.EACCES, unix.EPERM:
		return 403
	case unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EAGAIN:
		return 503
	}
	return 500
}

// A file is an open file that the cache and any number of answers share. The last one closes it.
type file struct {
	fd    int
	refs  atomic.Int32
	short atomic.Bool // it has been found to end before its size: no new answer may begin with it
}

func newFile(fd int) *file {
	f := &file{fd: fd}
	f.refs.Store(1)
	return f
}

// hold takes a share. It is false when the file is of no use any more, or has just been closed.
func (f *file) hold() bool {
	for {
		n := f.refs.Load()
		if n == 0 || f.short.Load() {
			return false
		}
		if f.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (f *file) release() {
	if f.refs.Add(-1) == 0 {
		_ = unix.Close(f.fd) // it was only read
	}
}

func openFilesLimit() int {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 1024
	}
	return int(min(l.Cur, 1<<20))
}
