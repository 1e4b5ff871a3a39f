package testbed

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// A reaper removes what the kernel does not remove by itself when this process is killed: control groups, and the lab's
// directory. It is a process that waits for its input to end. A reaper that is killed as well leaves that to the next lab.
type reaper struct {
	cmd  *exec.Cmd
	life *os.File
}

// A control group can be removed once the last process in it is gone, which a moment later than its machine it is.
const reaperScript = `trap "" INT HUP TERM
read -r _
dir=$1
shift
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	left=
	for group; do
		[ ! -d "$group" ] || rmdir "$group"/*/ "$group" || left=$group
	done
	[ "$left" ] || break
	sleep 0.1
done 2>/dev/null
[ ! "$dir" ] || rm -rf "$dir"
`

func startReaper(dir string, keep bool, groups []string) (*reaper, error) {
	if keep {
		dir = ""
	}
	in, life, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer in.Close()
	cmd := exec.Command("/bin/sh", append([]string{"-c", reaperScript, "muster-lab-reaper", dir}, groups...)...)
	cmd.Dir = "/"
	cmd.Stdin = in
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // what is typed at a terminal is not for it
	if err := cmd.Start(); err != nil {
		life.Close()
		return nil, fmt.Errorf("start what cleans up: %w", err)
	}
	return &reaper{cmd, life}, nil
}

// end ends the reaper, and waits until all is gone.
func (r *reaper) end() {
	if r == nil {
		return
	}
	r.life.Close()
	_ = r.cmd.Wait() // it has done what it could
}
