package testbed

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A group is the account of what a machine's processes use of the processors, and its limit: a control group, in one
// hierarchy (cgroup v2) or in one each (v1).
type group struct {
	v2       bool
	cpu, acc string            // directories; the same in v2
	members  []*os.File        // whoever writes 0 to all of them has joined
	seen     map[string]string // where the machine sees the directories, as proc_pid_cgroup(5) names them, and which they are
}

// A quota is the time of processors that a machine may use in each period. The period is short, so that a machine that has
// used it up does not answer late by more than that; but a quota has a least size, and a period a longest (sched/core.c,
// min_cfs_quota_period, max_cfs_quota_period).
const (
	period     = 20 * time.Millisecond
	periodMost = time.Second
	quotaLeast = time.Millisecond
)

// quotaOf is the quota for so much of the processors' time, and its period.
func quotaOf(cores float64) (quota, every time.Duration, err error) {
	every = max(period, time.Duration(float64(quotaLeast)/cores))
	if every > periodMost {
		return 0, 0, fmt.Errorf("the kernel takes no less than %v cores", quotaLeast.Seconds()/periodMost.Seconds())
	}
	return max(quotaLeast, time.Duration(cores*float64(every))), every, nil
}

// hierarchies are where control groups are.
type hierarchies struct {
	v2               bool
	cpu, acc         string
	cpuRoot, accRoot string // which part of the hierarchy is there; mostly /
}

// findHierarchies reads where this machine has its control groups.
func findHierarchies() (hierarchies, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return hierarchies{}, fmt.Errorf("find the control groups: %w", err)
	}
	return hierarchiesOf(string(b))
}

func hierarchiesOf(mounts string) (hierarchies, error) {
	var h hierarchies
	var unified, unifiedRoot string
	for line := range strings.Lines(mounts) {
		// 31 23 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu (proc_pid_mountinfo(5))
		before, after, _ := strings.Cut(line, " - ")
		at, kind := strings.Fields(before), strings.Fields(after)
		if len(at) < 5 || len(kind) < 3 {
			continue
		}
		options := strings.Split(kind[2], ",")
		if kind[0] == "cgroup2" && unified == "" {
			unified, unifiedRoot = at[4], at[3]
		}
		if kind[0] == "cgroup" && slices.Contains(options, "cpu") && h.cpu == "" {
			h.cpu, h.cpuRoot = at[4], at[3]
		}
		if kind[0] == "cgroup" && slices.Contains(options, "cpuacct") && h.acc == "" {
			h.acc, h.accRoot = at[4], at[3]
		}
	}
	if h.cpu != "" && h.acc != "" {
		return h, nil
	}
	if unified == "" {
		return h, errors.New("find the control groups: neither cgroup v2 nor the hierarchies cpu and cpuacct of v1 are mounted; " +
			"mount them, as systemd does")
	}
	return hierarchies{v2: true, cpu: unified, acc: unified, cpuRoot: unifiedRoot, accRoot: unifiedRoot}, nil
}

// groupPrefix is how the control groups of labs begin; the owner's process follows, when that began, and a number.
const groupPrefix = "muster-lab-"

var labs atomic.Int64 // of this process

// ownGroups is a name for the control group of all machines of one lab of this process.
func ownGroups() (string, error) {
	began, err := startTime(os.Getpid())
	if err != nil {
		return "", fmt.Errorf("name the control groups: %w", err)
	}
	return fmt.Sprintf("%s%d-%s-%d", groupPrefix, os.Getpid(), began, labs.Add(1)), nil
}

// startTime is when a process began, in ticks since this machine did (proc_pid_stat(5)).
func startTime(pid int) (string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	const after = 19 // of the fields after the name
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) <= after {
		return "", fmt.Errorf("read /proc/%d/stat: got %q", pid, b)
	}
	return fields[after], nil
}

// roots are the directories of all groups of that name.
func (h hierarchies) roots(name string) []string {
	if h.cpu == h.acc {
		return []string{filepath.Join(h.cpu, name)}
	}
	return []string{filepath.Join(h.cpu, name), filepath.Join(h.acc, name)}
}

// sweep removes the groups of processes that are gone. A process that was killed, together with what was to clean up after
// it, leaves them.
func (h hierarchies) sweep() {
	for _, pattern := range h.roots(groupPrefix + "*") {
		list, _ := filepath.Glob(pattern) // the pattern is ours
		for _, dir := range list {
			owner, began, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), groupPrefix), "-")
			pid, err := strconv.Atoi(owner)
			began, _, _ = strings.Cut(began, "-")
			if now, statErr := startTime(pid); err != nil || statErr == nil && now == began {
				continue
			}
			removeGroups(dir)
		}
	}
}

// removeGroups removes a control group and those below it. One with processes stays.
func removeGroups(dir string) {
	below, _ := os.ReadDir(dir) // none, if it is gone already
	for _, e := range below {
		if e.IsDir() {
			removeGroups(filepath.Join(dir, e.Name()))
		}
	}
	_ = unix.Rmdir(dir) // what is still in use, the next sweep finds
}

// newGroup makes the group of a machine below that of its lab.
func (h hierarchies) newGroup(lab, machine string) (*group, error) {
	g := &group{v2: h.v2, cpu: filepath.Join(h.cpu, lab, machine), acc: filepath.Join(h.acc, lab, machine)}
	const at = "/sys/fs/cgroup"
	g.seen = map[string]string{
		filepath.Join(at, "cpu", h.cpuRoot, lab, machine): g.cpu, filepath.Join(at, "cpuacct", h.accRoot, lab, machine): g.acc,
	}
	join := "tasks"
	if h.v2 {
		g.seen = map[string]string{filepath.Join(at, h.cpuRoot, lab, machine): g.cpu}
		join = "cgroup.procs"
		if err := os.MkdirAll(filepath.Dir(g.cpu), 0o755); err != nil {
			return nil, fmt.Errorf("make control group %s: %w", g.cpu, err)
		}
		// Where something else has the right to decide, or v1 has the controller, there is no quota; see setCores.
		for _, dir := range []string{h.cpu, filepath.Dir(g.cpu)} {
			_ = put(filepath.Join(dir, "cgroup.subtree_control"), "+cpu")
		}
	}
	for _, dir := range slices.Compact([]string{g.cpu, g.acc}) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			g.close()
			return nil, fmt.Errorf("make control group %s: %w", dir, err)
		}
		f, err := os.OpenFile(filepath.Join(dir, join), os.O_WRONLY, 0)
		if err != nil {
			g.close()
			return nil, fmt.Errorf("open control group %s: %w", dir, err)
		}
		g.members = append(g.members, f)
	}
	return g, nil
}

func (g *group) close() {
	if g == nil {
		return
	}
	for _, f := range g.members {
		_ = f.Close() // it was only held
	}
}

// setCores limits the group to so much of the processors' time; 0 is no limit.
func (g *group) setCores(cores float64) error {
	quota, every := int64(-1), period
	if cores != 0 {
		q, e, err := quotaOf(cores)
		if err != nil {
			return fmt.Errorf("limit the machine to %v cores: %w", cores, err)
		}
		quota, every = q.Microseconds(), e
	}
	var err error
	if g.v2 {
		text := fmt.Sprintf("%d %d", quota, every.Microseconds())
		if quota < 0 {
			text = fmt.Sprintf("max %d", every.Microseconds())
		}
		err = put(filepath.Join(g.cpu, "cpu.max"), text)
		if cores == 0 && errors.Is(err, fs.ErrNotExist) { // no controller, no limit
			err = nil
		}
	} else {
		err = errors.Join(
			put(filepath.Join(g.cpu, "cpu.cfs_period_us"), fmt.Sprint(every.Microseconds())),
			put(filepath.Join(g.cpu, "cpu.cfs_quota_us"), fmt.Sprint(quota)),
		)
	}
	if err != nil {
		return fmt.Errorf("limit the machine to %v cores: %w: the kernel's cpu controller is needed, with CONFIG_CFS_BANDWIDTH", cores, err)
	}
	return nil
}

// put writes to a file that is there: the kernel's error for one that it does not have would be another.
func put(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// usage is the processor time that the group's processes have used, also those that have ended.
func (g *group) usage() (time.Duration, error) {
	if !g.v2 {
		b, err := os.ReadFile(filepath.Join(g.acc, "cpuacct.usage"))
		if err != nil {
			return 0, fmt.Errorf("read what the machine has used: %w", err)
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read what the machine has used: %w", err)
		}
		return time.Duration(n), nil
	}
	b, err := os.ReadFile(filepath.Join(g.acc, "cpu.stat"))
	if err != nil {
		return 0, fmt.Errorf("read what the machine has used: %w", err)
	}
	var us int64
	if _, err := fmt.Sscanf(string(b), "usage_usec %d", &us); err != nil {
		return 0, fmt.Errorf("read what the machine has used: %w", err)
	}
	return time.Duration(us) * time.Microsecond, nil
}
