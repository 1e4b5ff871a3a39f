package doctor

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const socketTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0
   1: 1501070A:0050 0900070A:C350 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0
   2: 000007FD00000100000000001500000000:0051 0:0000 0A
   3: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 0A 0
   4: 0000000000000000FFFF00001501070A:0036 00000000000000000000000000000000:0000 0A 0
   5: 00000000:0035 00000000:0000 07 0
`

func TestSockets(t *testing.T) {
	got, err := parseSockets(strings.NewReader(socketTable), false)
	must(t, err)
	same := cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
	want := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8080"), netip.MustParseAddrPort("[::]:53"), netip.MustParseAddrPort("10.7.1.21:54")}
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Errorf("TCP: %s", diff)
	}
	got, err = parseSockets(strings.NewReader(socketTable), true)
	must(t, err)
	if diff := cmp.Diff([]netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:53")}, got, same); diff != "" {
		t.Errorf("UDP: %s", diff)
	}
}

func TestReaches(t *testing.T) {
	for _, c := range []struct {
		socket, to string
		want       bool
	}{
		{"0.0.0.0:80", "10.7.1.100:80", true},
		{"[::]:80", "10.7.1.100:80", true},
		{"[::]:80", "[fd07:1::100]:80", true},
		{"0.0.0.0:80", "[fd07:1::100]:80", false},
		{"10.7.1.100:80", "10.7.1.100:80", true},
		{"10.7.1.21:80", "10.7.1.100:80", false},
		{"0.0.0.0:81", "10.7.1.100:80", false},
	} {
		if got := reaches(netip.MustParseAddrPort(c.socket), netip.MustParseAddrPort(c.to)); got != c.want {
			t.Errorf("%s for %s: %v, want %v", c.socket, c.to, got, c.want)
		}
	}
}

func TestDroppingChains(t *testing.T) {
	got, err := droppingChains([]byte(`{"nftables": [{"metainfo": {"version": "1.0.6"}},
		{"chain": {"family": "inet", "table": "filter", "name": "input", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}},
		{"chain": {"family": "inet", "table": "filter", "name": "forward", "hook": "forward", "prio": 0, "policy": "drop"}},
		{"chain": {"family": "ip", "table": "filter", "name": "INPUT", "hook": "input", "policy": "accept"}},
		{"chain": {"family": "ip", "table": "filter", "name": "mine"}}]}`))
	must(t, err)
	if diff := cmp.Diff([]chain{{"inet", "filter", "input", "input", "drop"}}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := droppingChains([]byte("no json")); err == nil {
		t.Error("that can be read")
	}
}

func FuzzParseSockets(f *testing.F) {
	f.Add(socketTable)
	f.Fuzz(func(t *testing.T, text string) {
		list, _ := parseSockets(strings.NewReader(text), false) // a line that is too long ends it
		for _, a := range list {
			if !a.IsValid() {
				t.Errorf("%q has the socket %v", text, a)
			}
		}
	})
}

func FuzzDroppingChains(f *testing.F) {
	f.Add([]byte(`{"nftables": [{"chain": {"family": "inet", "table": "filter", "name": "input", "hook": "input", "policy": "drop"}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := droppingChains(text)
		if err != nil && list != nil {
			t.Errorf("%s: both %v and %v", text, list, err)
		}
	})
}
