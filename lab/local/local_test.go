package local

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

func TestWhatAKilledClusterLeftIsRemovedByTheNext(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	const prefix = "muster-test-"
	lives, err := makeDir(prefix, false)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := makeDir(prefix, true)
	if err != nil {
		t.Fatal(err)
	}
	dead, err := makeDir(prefix, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.lock.Close(); err != nil { // as the kernel does when its process is killed
		t.Fatal(err)
	}
	linked := filepath.Join(t.TempDir(), "linked")
	if err := os.MkdirAll(linked, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(linked, lockName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(linked, filepath.Join(os.TempDir(), prefix+"link")); err != nil {
		t.Fatal(err)
	}

	next, err := makeDir(prefix, false)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{lives.path: true, kept.path: true, dead.path: false, next.path: true, linked: true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", path, err == nil, want)
		}
	}
	next.remove()
	if _, err := os.Stat(next.path); err == nil {
		t.Errorf("%s is still there", next.path)
	}
}

func TestAPlaceIsFree(t *testing.T) {
	l, err := net.Listen("tcp", ":8080") // the usual ports may be in use on all addresses
	if err == nil {
		defer l.Close()
	}
	a, err := FindPlace(4)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[netip.Addr]bool{}
	for _, addr := range a.all() {
		if !addr.IsLoopback() || seen[addr] {
			t.Errorf("%s is no loopback address, or is there twice", addr)
		}
		seen[addr] = true
		l, err := net.Listen("tcp", netip.AddrPortFrom(addr, a.Application).String())
		if err != nil {
			t.Error(err)
			continue
		}
		l.Close()
	}
	if len(seen) != 5 {
		t.Errorf("%d addresses, want 5", len(seen))
	}
}

func TestAWrongFileIsNotWritten(t *testing.T) {
	c, err := New(Config{Program: "/nonexistent", Prefix: "muster-test-"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	if err := c.Write("cluster: x\n"); err == nil {
		t.Error("a file without nodes was taken")
	}
	if _, err := os.Stat(c.Path()); err == nil {
		t.Error("it was written")
	}
}
