package role

import (
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"muster/cluster"
	"muster/datapath/vip"
)

func TestWhatKeepsPacketsFromANode(t *testing.T) {
	set := vip.Setting{What: "ip addr add 10.0.0.100/32 dev lo"}
	failed := vip.Setting{What: set.What, Problem: "no rights"}
	dr, tunnel := vip.Want{Accept: []vip.Accept{{}}}, vip.Want{Accept: []vip.Accept{{Tunnel: vip.GUE}}}
	for _, c := range []struct {
		what string
		want vip.Want
		has  vip.Status
		got  string
	}{
		{"all is well", dr, vip.Status{Settings: []vip.Setting{set}}, ""},
		{"a setting", dr, vip.Status{Settings: []vip.Setting{set, failed}, Problem: "no rights"}, set.What + ": no rights"},
		{"a port that is missing", dr, vip.Status{Settings: []vip.Setting{set}, Problem: "no interface has 10.1.0.11"}, ""},
		{"no program", tunnel, vip.Status{Settings: []vip.Setting{set}, Problem: "the kernel is too old"}, "the kernel is too old"},
		{"no port", tunnel, vip.Status{Tunnels: &vip.Tunnels{}}, "no port unpacks tunnels"},
		{"a tunnel", tunnel, vip.Status{Tunnels: &vip.Tunnels{Ports: []string{"eth0"}}}, ""},
	} {
		if got := holes(c.want, c.has); got != c.got {
			t.Errorf("%s: got %q, want %q", c.what, got, c.got)
		}
	}
}

// A node that wants nothing of its machine's network leaves it alone, and waits until all its roles have said so.
func TestANetworkThatNobodyWants(t *testing.T) {
	journal := filepath.Join(t.TempDir(), "network.json")
	n := newNetwork(vip.Config{Journal: journal}, cluster.Roles(), func(_, _, _, _ string) {}, slog.New(slog.DiscardHandler))
	n.set(cluster.Director, vip.Want{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if got := n.blocked(); got != settingUp {
		t.Errorf("while one role is to be heard: %q", got)
	}
	n.retire(vip.Want{}, 0)
	if got := n.blocked(); got != "" {
		t.Errorf("when nothing is wanted: %q", got)
	}
	if _, ok := n.status(); ok {
		t.Error("it has touched the network")
	}
	if _, err := os.Stat(journal); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it has a journal: %v", err)
	}
}

func TestWhatIsNotWantedAnyMoreStaysForATime(t *testing.T) {
	n := newNetwork(vip.Config{Journal: filepath.Join(t.TempDir(), "no", "network.json")}, []cluster.Role{cluster.Traffic}, func(_, _, _, _ string) {}, slog.New(slog.DiscardHandler))
	a, b := vip.Accept{VIP: netip.MustParseAddr("10.0.0.100")}, vip.Accept{VIP: netip.MustParseAddr("10.0.0.101")}
	n.retire(vip.Want{Accept: []vip.Accept{a}}, 0)
	if n.blocked() == "" {
		t.Error("a journal that cannot be written is no trouble")
	}
	n.retire(vip.Want{Accept: []vip.Accept{b}}, 1e9)
	if got := n.wants[cluster.Traffic].Accept; len(got) != 2 || n.due.IsZero() || len(n.later.Accept) != 1 {
		t.Errorf("it wants %v now, and %v later", got, n.later)
	}
	n.retire(vip.Want{Accept: []vip.Accept{a, b}}, 1e9)
	if got := n.wants[cluster.Traffic].Accept; len(got) != 2 || !n.due.IsZero() {
		t.Errorf("it wants %v, due %v", got, n.due)
	}
}
