package load

import (
	"testing"
	"testing/synctest"
	"time"
)

// A machine of 2 processors with 10000 BogoMIPS.
func TestAQuotaIsTheNodesPartOfTheMachine(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		later map[string]string // a second after the first reading
		mips  float64
		use   float64
	}{
		{"none", map[string]string{"proc/self/cgroup": "0::/\n"}, nil, 10000, 0.1},
		{
			"version 2", map[string]string{
				"proc/self/cgroup":             "0::/a/b\n",
				"sys/fs/cgroup/a/b/cpu.max":    "50000 100000\n",
				"sys/fs/cgroup/a/b/cpu.stat":   "usage_usec 1000000\nuser_usec 7\n",
				"sys/fs/cgroup/a/cpu.max":      "max 100000\n",
				"sys/fs/cgroup/unrelated/file": "",
			}, map[string]string{"sys/fs/cgroup/a/b/cpu.stat": "usage_usec 1400000\nuser_usec 7\n"}, 2500, 0.8,
		},
		{
			"the tightest of several around each other", map[string]string{
				"proc/self/cgroup":          "0::/a/b\n",
				"sys/fs/cgroup/a/b/cpu.max": "100000 100000\n", "sys/fs/cgroup/a/b/cpu.stat": "usage_usec 0\n",
				"sys/fs/cgroup/a/cpu.max": "20000 100000\n", "sys/fs/cgroup/a/cpu.stat": "usage_usec 0\n",
			}, map[string]string{"sys/fs/cgroup/a/cpu.stat": "usage_usec 150000\n"}, 1000, 0.75,
		},
		{
			"version 1", map[string]string{
				"proc/self/cgroup":                       "4:memory:/x\n3:cpuacct:/n1\n2:cpu:/n1\n1:name=systemd:/\n",
				"sys/fs/cgroup/cpu/n1/cpu.cfs_quota_us":  "10000\n",
				"sys/fs/cgroup/cpu/n1/cpu.cfs_period_us": "20000\n",
				"sys/fs/cgroup/cpuacct/n1/cpuacct.usage": "5000000000\n",
				"sys/fs/cgroup/cpu/cpu.cfs_quota_us":     "-1\n",
				"sys/fs/cgroup/cpu/cpu.cfs_period_us":    "100000\n",
			}, map[string]string{"sys/fs/cgroup/cpuacct/n1/cpuacct.usage": "5250000000\n"}, 2500, 0.5,
		},
		{
			"version 1 whose use is not counted", map[string]string{
				"proc/self/cgroup":                       "3:cpuacct:/\n2:cpu:/n1\n",
				"sys/fs/cgroup/cpu/n1/cpu.cfs_quota_us":  "100000\n",
				"sys/fs/cgroup/cpu/n1/cpu.cfs_period_us": "100000\n",
			}, nil, 5000, 0.1,
		},
		{
			"a container that sees only its root", map[string]string{
				"proc/self/cgroup":      "0::/far/away\n",
				"sys/fs/cgroup/cpu.max": "150000 100000\n", "sys/fs/cgroup/cpu.stat": "usage_usec 0\n",
			}, nil, 7500, 0.1,
		},
		{
			"more than the machine has", map[string]string{
				"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "900000 100000\n", "sys/fs/cgroup/cpu.stat": "usage_usec 0\n",
			}, nil, 10000, 0.1,
		},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			n := newNode(t)
			for path, text := range tt.files {
				n.write(path, text)
			}
			m := n.meter(Config{})
			time.Sleep(time.Second)
			n.stat(10, 90)
			for path, text := range tt.later {
				n.write(path, text)
			}
			got := m.Read()
			if got.BogoMIPS != tt.mips || got.Use != tt.use {
				t.Errorf("%s: got %v BogoMIPS, use %v, want %v, %v", tt.name, got.BogoMIPS, got.Use, tt.mips, tt.use)
			}
			if got.Index != HAS(tt.mips, got.Available, got.Total) {
				t.Errorf("%s: got index %d of %v BogoMIPS", tt.name, got.Index, got.BogoMIPS)
			}
		})
	}
}

func FuzzGroups(f *testing.F) {
	f.Add([]byte("0::/a/b\n2:cpu,cpuacct:/x\n"))
	f.Add([]byte("0::../..\n:::\n1:cpu"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for controller, path := range groups(b) {
			if n := len(around(path)); path[0] != '/' || n > depthMax {
				t.Errorf("%q: got %q for %q, %d groups", b, path, controller, n)
			}
		}
	})
}
