package doctor

import (
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"muster/internal/bpffs"
	"muster/internal/netset"
)

// kernel: whether it can do what the roles need of it.
func kernel(_ context.Context, e *examination) {
	if !e.kernelDispatch() {
		return
	}
	release := "unknown"
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		release = unix.ByteSliceToString(u.Release[:])
	}
	const needs = "a director needs Linux 5.17 or newer, a node of a tunnel 6.6"
	major, minor := version(release)
	switch {
	case e.tunnels() && (major < 6 || major == 6 && minor < 6):
		e.wrong("machine", "kernel", "Linux "+release, "it cannot unpack tunnels: "+needs, "install a newer kernel, or set dispatch: dr or nat", nil)
	case major < 5 || major == 5 && minor < 17:
		e.wrong("machine", "kernel", "Linux "+release, needs, "install a newer kernel", nil)
	default:
		e.ok("machine", "kernel", "Linux "+release)
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil && e.Director != nil {
		e.wrong("machine", "type information", "the kernel has none", "programs cannot be loaded into it", "install a kernel that was built with CONFIG_DEBUG_INFO_BTF", nil)
	}
	if text, err := os.ReadFile("/proc/sys/net/core/bpf_jit_enable"); err == nil && strings.TrimSpace(string(text)) == "0" {
		e.warn("machine", "BPF compiler", "off", "every packet costs several times as much", "sysctl -w net.core.bpf_jit_enable=1", func() error {
			return os.WriteFile("/proc/sys/net/core/bpf_jit_enable", []byte("1"), 0)
		})
	}
}

// version reads the first two numbers of a release.
func version(release string) (major, minor int) {
	_, _ = fmt.Sscanf(release, "%d.%d", &major, &minor) // what is not there is 0
	return major, minor
}

// needed are the capabilities without which this cannot be seen, nor a daemon do it.
var needed = []struct {
	bit  int
	name string
	why  string
}{
	{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN", "the network cannot be set"},
	{unix.CAP_NET_RAW, "CAP_NET_RAW", "VIPs cannot be announced, nor neighbours be asked"},
	{unix.CAP_BPF, "CAP_BPF", "programs cannot be loaded into the kernel"},
}

// rights: those of whoever examines. Without them much cannot be seen.
func rights(_ context.Context, e *examination) {
	var data [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]); err != nil {
		e.warn("machine", "rights", err.Error(), "it cannot be seen what this process may do", "", nil)
		return
	}
	var missing, why []string
	for _, n := range needed {
		if data[n.bit/32].Effective&(1<<(n.bit%32)) == 0 {
			missing, why = append(missing, n.name), append(why, n.why)
		}
	}
	if missing == nil {
		e.ok("machine", "rights", "all that it takes")
		return
	}
	e.wrong("machine", "rights", "this process lacks "+strings.Join(missing, ", "),
		strings.Join(why, "; ")+"; what follows may not be the whole truth", "sudo muster doctor", nil)
}

// daemon: whether it runs, for then it mends by itself what it can.
func daemon(_ context.Context, e *examination) {
	if e.Keep.Journal == "" {
		return
	}
	running, err := netset.InUse(e.Keep.Journal)
	switch {
	case err != nil:
		e.warn("machine", "muster node", err.Error(), "it cannot be seen whether it runs", "sudo muster doctor", nil)
	case running:
		e.running = true
		e.ok("machine", "muster node", "runs, and keeps this machine's network")
	default:
		e.wrong("machine", "muster node", "does not run", "nobody reports, dispatches, or answers for a VIP", "systemctl start muster", nil)
	}
}

// places: where programs outlive their process.
func places(_ context.Context, e *examination) {
	var dirs []string
	if e.Director != nil && e.Director.Pin != "" {
		dirs = append(dirs, e.Director.Pin)
	}
	if e.tunnels() && e.Keep.Pin != "" {
		dirs = append(dirs, e.Keep.Pin)
	}
	for _, dir := range dirs {
		on, err := bpffs.On(dir)
		switch {
		case err != nil:
			e.warn("machine", "bpffs", err.Error(), "it cannot be seen whether there is one", "", nil)
		case !on:
			e.wrong("machine", "bpffs", dir+" is not on one", "packets stop when the daemon does", bpffs.Command, func() error { return bpffs.Prepare(dir) })
		default:
			e.ok("machine", "bpffs", dir)
			continue
		}
		return // once is enough
	}
}
