package testbed

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"muster/lab/peer"
)

// A keeper is the first process of a machine: its namespaces last as long as it does, and the kernel kills with it whatever
// else runs there. It ends when its input does, and its input is a pipe from this process: there is no way for this process
// to end that would leave a machine behind.
type keeper struct {
	cmd   *exec.Cmd
	life  *os.File // closed: the keeper ends
	pidfd int
	space *Space // the machine's network
}

// All that takes a process inside is done by it: processes that lose their parent become its children, and as it ignores
// their end, the kernel buries them. A shell could not: it wants to hear of children, and its read ends when one does.
const keeperScript = `mount -t proc proc /proc && echo up && exec env --ignore-signal=CHLD cat`

// namespaces are those that a machine has for itself.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

func startKeeper() (*keeper, error) {
	in, life, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer in.Close()
	cmd := exec.Command("/bin/sh", "-c", keeperScript)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Dir = "/"
	cmd.Stdin = in
	// The mount namespace is left by unshare(2), after which package syscall keeps its mounts from spreading.
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: namespaces &^ unix.CLONE_NEWNS, Unshareflags: unix.CLONE_NEWNS, Setsid: true,
	}
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		life.Close()
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w: run it as root", err)
		}
		return nil, fmt.Errorf("make namespaces: %w", err)
	}
	k := &keeper{cmd: cmd, life: life, pidfd: -1}
	_, err = bufio.NewReader(out).ReadString('\n')
	if err == nil {
		k.pidfd, err = unix.PidfdOpen(cmd.Process.Pid, 0)
	}
	if err == nil {
		var ns *os.File
		ns, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
		k.space = &Space{ns}
	}
	if err != nil {
		k.end(func() {})
		if s := strings.TrimSpace(said.String()); s != "" {
			err = errors.New(s)
		}
		return nil, fmt.Errorf("start the first process of a machine: %w", err)
	}
	return k, nil
}

// end ends the keeper and all that runs with it, and waits until they are gone. The first process of a PID namespace cannot
// end before whoever has started the others has taken note of their end: bury does so for those of which nobody does.
func (k *keeper) end(bury func()) {
	if k == nil {
		return
	}
	k.life.Close()
	_ = k.cmd.Process.Kill() // it may sit in a stopped group
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = k.cmd.Wait() // it was killed
	}()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for over := false; !over; {
		select {
		case <-gone:
			over = true
		case <-again.C: // whoever waits for them has had the chance
			bury()
		}
	}
	k.space.Close()
	if k.pidfd >= 0 {
		_ = unix.Close(k.pidfd) // it was only held
	}
}

// enter moves the calling goroutine's thread into the namespaces of a process, for good.
func enter(pidfd int) error {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() { // it cannot end before the process does, and is what others take for the process
		return errors.New("enter a machine with the main thread: another one is needed")
	}
	// Only a thread that shares its root and working directory with no other may change its mount namespace.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("part this thread's directories from the others': %w", err)
	}
	if err := unix.Setns(pidfd, namespaces); err != nil {
		return fmt.Errorf("enter the namespaces of a machine: %w", err)
	}
	return nil
}

// inside calls f on a thread in the namespaces, which ends with it.
func (k *keeper) inside(f func() error) error {
	return peer.Host{Space: threshold(k.pidfd)}.Do(f)
}

// A view is what a machine has in its file systems beside what it shares with this one.
type view struct {
	name  string
	disk  string            // the directory that is its /var
	hosts string            // the file that is its /etc/hosts
	trees map[string]string // where directories are to be seen, and which of this machine they are
}

// furnish gives the machine its own file systems.
func (k *keeper) furnish(v view) error {
	return k.inside(func() error {
		if err := unix.Sethostname([]byte(v.name)); err != nil {
			return fmt.Errorf("name the machine: %w", err)
		}
		held := map[string]int{} // before they are out of sight
		for to, from := range v.trees {
			fd, err := unix.OpenTree(unix.AT_FDCWD, from, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
			if err != nil {
				return fmt.Errorf("look at %s: %w", from, err)
			}
			defer func() { _ = unix.Close(fd) }() // it was only held
			held[to] = fd
		}
		if err := v.mount(); err != nil {
			return err
		}
		for to, from := range v.trees {
			if _, err := os.Stat(to); err == nil {
				continue
			}
			if err := os.MkdirAll(to, 0o755); err != nil {
				return fmt.Errorf("have the machine see %s: %w", from, err)
			}
			if err := unix.MoveMount(held[to], "", unix.AT_FDCWD, to, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
				return fmt.Errorf("have the machine see %s: %w", from, err)
			}
		}
		return nil
	})
}

// mount mounts what replaces this machine's. The thread is in the machine.
func (v view) mount() error {
	const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	for _, m := range []struct {
		from, to, kind, data string
		flags                uintptr
	}{
		{from: v.disk, to: "/var", flags: unix.MS_BIND},
		{from: v.hosts, to: "/etc/hosts", flags: unix.MS_BIND},
		{from: "run", to: "/run", kind: "tmpfs", flags: unix.MS_NOSUID | unix.MS_NODEV, data: "mode=755,size=256m"},
		{from: "sys", to: "/sys", kind: "sysfs", flags: quiet},
		{from: "groups", to: "/sys/fs/cgroup", kind: "tmpfs", flags: quiet, data: "mode=755,size=1m"},
		{from: "bpf", to: "/sys/fs/bpf", kind: "bpf", flags: quiet, data: "mode=700"},
	} {
		if _, err := os.Stat(m.to); m.from == v.hosts && err != nil {
			continue // names are a convenience
		}
		if err := unix.Mount(m.from, m.to, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.from, m.to, err)
		}
	}
	return nil
}

// makeDisk makes what a machine has in /var.
func makeDisk(path string) error {
	for dir, mode := range map[string]fs.FileMode{"": 0o755, "lib": 0o755, "log": 0o755, "cache": 0o755, "tmp": 0o1777} {
		at := filepath.Join(path, dir)
		if err := os.MkdirAll(at, 0o755); err != nil {
			return fmt.Errorf("make the machine's /var: %w", err)
		}
		if err := os.Chmod(at, mode&fs.ModePerm|fs.ModeSticky*(mode>>9&1)); err != nil {
			return fmt.Errorf("make the machine's /var: %w", err)
		}
	}
	if err := os.Symlink("/run", filepath.Join(path, "run")); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the machine's /var: %w", err)
	}
	return nil
}
