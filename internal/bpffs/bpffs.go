// Package bpffs gives programs and maps of the kernel a place in a BPF file system, where they outlive the process.
package bpffs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Usual is where machines have their BPF file system.
const Usual = "/sys/fs/bpf"

// ErrNone: the directory is not on a BPF file system, and none can be mounted there.
var ErrNone = errors.New("not on a bpffs")

// On says whether the directory is, or would be, on a BPF file system.
func On(dir string) (bool, error) {
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		var st unix.Statfs_t
		err := unix.Statfs(at, &st)
		if err == nil {
			return st.Type == unix.BPF_FS_MAGIC, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			return false, fmt.Errorf("look at %s: %w", at, err)
		}
	}
}

// Prepare makes the directory, and mounts the usual file system if need be.
func Prepare(dir string) error {
	on, err := On(dir)
	if err != nil {
		return err
	}
	if !on {
		dir := filepath.Clean(dir)
		if dir != Usual && !strings.HasPrefix(dir, Usual+"/") {
			return fmt.Errorf("use %s: %w: name a directory below %s, or mount one there: mount -t bpf bpf %s", dir, ErrNone, Usual, dir)
		}
		const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RELATIME
		if err := unix.Mount("bpf", Usual, "bpf", flags, "mode=0700"); err != nil {
			return fmt.Errorf("use %s: %w, and as root: %s: %w", dir, ErrNone, Command, err)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make a place for what outlives the process: %w", err)
	}
	return nil
}

// Command mounts the usual file system.
const Command = "mount -t bpf bpf " + Usual

// Name is a file name for something, which may have dots in its own: the file system takes none.
func Name(of string) string { return strings.ReplaceAll(of, ".", ":") }
