package spawn

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a killed process may take to be gone; one that waits for a dead disk takes forever.
const patience = 2 * time.Second

// end kills what lives of a process group and waits until it has let go of its ports and files, so that the next one can
// have them. A killed web server's workers would hold its port otherwise.
func end(group int) {
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		members := living(group)
		if len(members) == 0 {
			return
		}
		_ = syscall.Kill(-group, syscall.SIGKILL) // again for those that were born meanwhile
		for _, pid := range members {
			gone(pid, deadline)
		}
	}
}

// gone waits until a process has ended. Whoever has to reap it may take longer; its files are closed by then.
func gone(pid int, deadline time.Time) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // it has ended, or this kernel is older than 5.3: the caller looks again
	}
	defer func() { _ = unix.Close(fd) }()
	for {
		wait := time.Until(deadline).Milliseconds()
		if wait <= 0 {
			return
		}
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(wait))
		if err != unix.EINTR {
			return
		}
	}
}

// living lists the members of a process group that still run.
func living(group int) []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer func() { _ = dir.Close() }()
	names, _ := dir.Readdirnames(-1) // what could be read is what there is
	var pids []int
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err == nil && runs(stat, group) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// runs reads /proc/PID/stat (proc(5)): whether the process is of the group, and neither a zombie nor dead. Its name, in
// parentheses, may hold anything, parentheses too.
func runs(stat []byte, group int) bool {
	var state byte
	var parent, pgrp int
	_, err := fmt.Sscanf(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " %c %d %d", &state, &parent, &pgrp)
	return err == nil && pgrp == group && state != 'Z' && state != 'X'
}
