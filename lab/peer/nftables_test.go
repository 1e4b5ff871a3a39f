package peer_test

import (
	"errors"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"muster/lab/peer"
	"muster/lab/testbed"
)

// The kernel must take the rules of both families. What they do, bench dispatch shows.
func TestTheKernelBalances(t *testing.T) {
	if _, err := peer.Find("nft"); err != nil {
		t.Skip("nft is not installed")
	}
	space, err := testbed.NewSpace()
	if errors.Is(err, unix.EPERM) {
		t.Skipf("not root: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer space.Close()
	host := peer.Host{Space: space}
	for _, one := range []struct{ front, a, b, want string }{
		{"10.0.0.1:80", "10.0.0.2:8080", "10.0.0.3:8080", "dnat to numgen inc mod 2 map { 0 : 10.0.0.2, 1 : 10.0.0.3 }:8080"},
		{"[fd00::1]:80", "[fd00::2]:81", "[fd00::3]:81", "dnat to numgen inc mod 2 map { 0 : fd00::2, 1 : fd00::3 }:81"},
	} {
		nodes := []netip.AddrPort{netip.MustParseAddrPort(one.a), netip.MustParseAddrPort(one.b)}
		if err := peer.NFTables(host, netip.MustParseAddrPort(one.front), nodes); err != nil {
			t.Fatal(err)
		}
		var has []byte
		err := host.Do(func() (err error) {
			has, err = exec.Command("/usr/sbin/nft", "list", "ruleset").CombinedOutput()
			return err
		})
		if err != nil || !strings.Contains(string(has), one.want) {
			t.Errorf("%v: got %s, want %q", err, has, one.want)
		}
	}
	mixed := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.2:80")}
	if err := peer.NFTables(host, netip.MustParseAddrPort("[fd00::1]:80"), mixed); err == nil || !strings.Contains(err.Error(), "map { 0 : 10.0.0.2 }") {
		t.Errorf("got %v", err)
	}
}
