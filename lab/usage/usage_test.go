package usage

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

func TestTimeGrowsWithWork(t *testing.T) {
	before, err := Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for used := (Time{}); used.Total < 20*time.Millisecond; {
		now, err := Of(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if used = now.Sub(before); used.Total < 0 {
			t.Fatalf("used %v", used)
		}
	}
}

func TestTreeHasChildren(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	pids, err := Tree(os.Getpid())
	if err != nil || pids[0] != os.Getpid() || !slices.Contains(pids, cmd.Process.Pid) {
		t.Errorf("got %v, %v; want %d first and %d", pids, err, os.Getpid(), cmd.Process.Pid)
	}
	if _, err := Of(os.Getpid(), 1<<30); err == nil {
		t.Error("no error for a process that is not there")
	}
}
