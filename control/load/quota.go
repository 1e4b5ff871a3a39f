package load

import (
	"bytes"
	"math"
	"path/filepath"
	"strings"
	"time"
)

// A quota is what a node may use of its machine's processors: that of its control group, or of a group around it (cgroups(7)).
// A node without groups, or without a limit in any, has none.
type quota []*group

// depthMax is how many groups may stand around each other.
const depthMax = 16

// A group is one control group with its limit of processor time. Version 1 has limit and period in a file each.
type group struct {
	limit, period, usage *file
	used                 counter // part of the limit, 0 to 1
}

// newQuota finds the control groups of this process.
func newQuota(cfg Config) quota {
	own := openFile(filepath.Join(cfg.Proc, "self/cgroup"), 4<<10)
	defer own.close()
	paths := groups(own.read())
	root := filepath.Join(cfg.Sys, "fs/cgroup")
	var q quota
	if path, ok := paths["cpu"]; ok {
		accounts, counted := paths["cpuacct"]
		for _, at := range around(path) {
			g := &group{
				limit:  openFile(filepath.Join(root, "cpu", at, "cpu.cfs_quota_us"), 64),
				period: openFile(filepath.Join(root, "cpu", at, "cpu.cfs_period_us"), 64),
			}
			if counted && accounts == path { // the same group counts what is used
				g.usage = openFile(filepath.Join(root, "cpuacct", at, "cpuacct.usage"), 64)
			}
			q = q.with(g, g.period != nil)
		}
		return q
	}
	if path, ok := paths[""]; ok {
		for _, at := range around(path) {
			g := &group{
				limit: openFile(filepath.Join(root, at, "cpu.max"), 64),
				usage: openFile(filepath.Join(root, at, "cpu.stat"), 256),
			}
			q = q.with(g, true)
		}
	}
	return q
}

func (q quota) with(g *group, whole bool) quota {
	if g.limit == nil || !whole {
		for _, f := range []*file{g.limit, g.period, g.usage} {
			f.close()
		}
		return q
	}
	return append(q, g)
}

// groups reads /proc/self/cgroup: the path of the process's group by controller; that of version 2 stands under "".
func groups(b []byte) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(string(b)) {
		number, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, path, ok2 := strings.Cut(rest, ":")
		if !ok || !ok2 || number == "" || !strings.HasPrefix(path, "/") {
			continue
		}
		for c := range strings.SplitSeq(controllers, ",") {
			out[c] = path
		}
	}
	return out
}

// around are a group's path and those of the groups around it. In a container that has a view of its own of the groups, only
// the root may be there.
func around(path string) (list []string) {
	for path = filepath.Clean(path); len(list) < depthMax-1 && path != "/" && path != "."; path = filepath.Dir(path) {
		list = append(list, path)
	}
	return append(list, "/")
}

// read returns how many processors the node may use, infinity for no limit, and which part of the tightest limit it does use.
func (q quota) read(dt time.Duration, weight float64) (cores, use float64) {
	cores = math.Inf(1)
	for _, g := range q {
		may, limited := g.cores()
		if !limited {
			g.used = counter{}
			continue
		}
		us, ok := g.usedSoFar()
		g.used.take(us, ok, time.Duration(float64(dt)*may), weight)
		cores, use = min(cores, may), max(use, g.used.value)
	}
	return cores, use
}

// cores is how many processors the group may use, and whether there is a limit at all.
func (g *group) cores() (float64, bool) {
	limit, rest, ok := number(g.limit.read()) // "max 100000" and -1 are no limit
	if !ok || limit == 0 {
		return 0, false
	}
	period, _, ok := number(rest)
	if g.period != nil {
		period, _, ok = number(g.period.read())
	}
	if !ok || period == 0 {
		return 0, false
	}
	return float64(limit) / float64(period), true
}

// usedSoFar is the processor time that the group has used, in microseconds.
func (g *group) usedSoFar() (uint64, bool) {
	b := g.usage.read()
	if g.period != nil { // version 1 counts nanoseconds
		ns, _, ok := number(b)
		return ns / 1000, ok
	}
	_, b, ok := bytes.Cut(b, []byte("usage_usec "))
	if !ok {
		return 0, false
	}
	us, _, ok := number(b)
	return us, ok
}
