package packet

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// The tests of a whole Forwarder need a network of their own, which all threads of the process are in: as root, the tests
// begin anew in one, in the same process. The mounts are theirs as well, and so everything ends with it.
const inside = "PACKET_TEST_INSIDE"

func TestMain(m *testing.M) {
	if os.Geteuid() == 0 && os.Getenv(inside) == "" {
		fmt.Fprintln(os.Stderr, "tests in a network of their own:", enter())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// enter returns only if it cannot be done.
func enter() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	if err := unix.Mount("bpf", bpffs, "bpf", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mount a bpffs: %w", err)
	}
	return unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), inside+"=1"))
}

// needRoot skips a test that cannot be done by everybody.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: programs can neither be loaded nor attached, nor networks made")
	}
}
