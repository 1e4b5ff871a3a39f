package bpffs

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// alone gives the test's thread mounts of its own, for good.
func alone(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: it mounts a file system")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
}

func TestPrepare(t *testing.T) {
	alone(t)
	dir := filepath.Join(Usual, "muster-test", "n1")
	for on, _ := On(dir); on; on, _ = On(dir) { // whatever this machine has there
		if err := unix.Unmount(Usual, unix.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
	}
	if err := Prepare(dir); err != nil {
		t.Fatal(err)
	}
	if on, err := On(dir); !on || err != nil {
		t.Errorf("%v, %v: not on a bpffs", on, err)
	}
	if err := os.Mkdir(filepath.Join(dir, Name("eth0.10")), 0o700); err != nil {
		t.Errorf("a name with a dot: %v", err)
	}
	if err := Prepare(dir); err != nil {
		t.Errorf("the second time: %v", err)
	}
}

func TestPrepareElsewhere(t *testing.T) {
	if err := Prepare(t.TempDir()); !errors.Is(err, ErrNone) {
		t.Errorf("got %v, want %v", err, ErrNone)
	}
}
