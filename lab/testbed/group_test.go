package testbed

import (
	"testing"
	"time"
)

func TestQuotas(t *testing.T) {
	for cores, want := range map[float64][2]time.Duration{
		1.5:   {30 * time.Millisecond, 20 * time.Millisecond},
		0.05:  {time.Millisecond, 20 * time.Millisecond},
		0.01:  {time.Millisecond, 100 * time.Millisecond},
		0.001: {time.Millisecond, time.Second},
	} {
		quota, every, err := quotaOf(cores)
		if err != nil || quota.Round(time.Microsecond) != want[0] || every.Round(time.Microsecond) != want[1] {
			t.Errorf("%v cores: got %v of %v, %v; want %v", cores, quota, every, err, want)
		}
	}
	if _, _, err := quotaOf(0.0009); err == nil {
		t.Error("less than the kernel takes was taken")
	}
}

func TestWhereControlGroupsAre(t *testing.T) {
	const v1 = `25 1 0:23 / /sys/fs/cgroup rw,relatime shared:1 - tmpfs tmpfs rw,mode=755
26 25 0:24 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:2 - cgroup cgroup rw,cpu,cpuacct
27 25 0:25 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
28 25 0:26 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`
	const apart = `26 25 0:24 /docker/1 /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
27 25 0:25 /docker/1 /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
`
	const v2 = `30 24 0:27 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
`
	for text, want := range map[string]hierarchies{
		v1:    {cpu: "/sys/fs/cgroup/cpu,cpuacct", acc: "/sys/fs/cgroup/cpu,cpuacct", cpuRoot: "/", accRoot: "/"},
		apart: {cpu: "/sys/fs/cgroup/cpu", acc: "/sys/fs/cgroup/cpuacct", cpuRoot: "/docker/1", accRoot: "/docker/1"},
		v2:    {v2: true, cpu: "/sys/fs/cgroup", acc: "/sys/fs/cgroup", cpuRoot: "/", accRoot: "/"},
	} {
		if got, err := hierarchiesOf(text); err != nil || got != want {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	for _, text := range []string{"", "x", "1 2 3\n", "26 25 0:24 / /sys rw - cgroup cgroup rw,cpu\n"} {
		if got, err := hierarchiesOf(text); err == nil {
			t.Errorf("%q: got %+v", text, got)
		}
	}
}
