// Package usage reads how much processor time was used: by processes, by BPF programs, by the kernel for the packets of a
// network, and by the whole machine. It is what a request costs the server under test.
package usage

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A Time is processor time that processes have used, all their threads together, also those that have ended.
type Time struct {
	Total  time.Duration // user and system, to the nanosecond
	User   time.Duration // to the tick of /proc/PID/stat, 10 ms
	System time.Duration
}

// Sub is the time used since an earlier reading.
func (t Time) Sub(earlier Time) Time {
	return Time{Total: t.Total - earlier.Total, User: t.User - earlier.User, System: t.System - earlier.System}
}

// Of adds up the time of the processes. A process that has gone is an error: its time is lost.
func Of(pids ...int) (Time, error) {
	var sum Time
	for _, pid := range pids {
		t, err := of(pid)
		if err != nil {
			return Time{}, err
		}
		sum.Total += t.Total
		sum.User += t.User
		sum.System += t.System
	}
	return sum, nil
}

const ticks = 100 // a second, of /proc/PID/stat; the same on every Linux that Go runs on

func of(pid int) (Time, error) {
	fields, err := stat(pid)
	if err != nil {
		return Time{}, err
	}
	user, err1 := strconv.ParseInt(fields[utime], 10, 64)
	system, err2 := strconv.ParseInt(fields[stime], 10, 64)
	if err1 != nil || err2 != nil {
		return Time{}, fmt.Errorf("read the times of process %d: %q, %q", pid, fields[utime], fields[stime])
	}
	t := Time{User: time.Duration(user) * time.Second / ticks, System: time.Duration(system) * time.Second / ticks}
	t.Total = t.User + t.System
	// The process's own clock counts the same, finer (clock_getcpuclockid(3)).
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err == nil {
		t.Total = time.Duration(ts.Nano())
	}
	return t, nil
}

// Fields of /proc/PID/stat after the name, which is in parentheses (proc_pid_stat(5)).
const (
	ppid  = 1
	utime = 11
	stime = 12
)

func stat(pid int) ([]string, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil, fmt.Errorf("read the times of process %d: %w", pid, err)
	}
	_, rest, ok := bytes.Cut(b[max(0, bytes.LastIndexByte(b, ')')):], []byte(") "))
	fields := bytes.Fields(rest)
	if !ok || len(fields) <= stime {
		return nil, fmt.Errorf("read the times of process %d: %.80q is not what proc_pid_stat(5) describes", pid, b)
	}
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = string(f)
	}
	return out, nil
}

// Tree lists a process and all its descendants.
func Tree(pid int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	children := map[int][]int{}
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		fields, err := stat(child)
		if err != nil {
			continue // it has ended since
		}
		parent, err := strconv.Atoi(fields[ppid])
		if err == nil {
			children[parent] = append(children[parent], child)
		}
	}
	tree := []int{pid}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i]]...)
	}
	return tree, nil
}
