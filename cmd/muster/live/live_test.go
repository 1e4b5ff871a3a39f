package live

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/cluster"
	"muster/console"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

var shop = console.Status{
	Cluster: "shop", Node: "d1", File: console.File{Hash: "abc", Revision: 2},
	Director: &console.Director{
		Nodes: []console.Node{
			{Name: "d1", Roles: []cluster.Role{cluster.Director}, State: cluster.Active, Since: now.Add(-3 * time.Hour)},
			{
				Name: "t1", Roles: []cluster.Role{cluster.Traffic}, Pools: []string{"web"}, State: cluster.Active,
				Since: now.Add(-61 * time.Second), Index: 12345, Room: 67, Busy: 123, Connections: 4,
			},
			{
				Name: "t2", Roles: []cluster.Role{cluster.Traffic}, Pools: []string{"web"}, State: cluster.Out, Reason: "silent for 700ms",
				Since: now.Add(-5 * time.Second), Wish: cluster.Drain,
			},
		},
		Services: []console.Service{{
			Name: "www", Kind: cluster.HTTP, Schedule: "has", Pool: "web", Addresses: []string{"10.0.0.100:80"}, Clients: 7, Requests: 1234567,
			Rate: 99.6, Retries: 3, Ended: map[string]uint64{"ok": 9, "client-gone": 5, "no-node": 1, "node-timeout": 2},
			Members: []console.Member{{Node: "t1", Served: 1000, Rate: 99.6}, {Node: "t2", Served: 2, Failed: 3}},
		}},
	},
}

const wide = `cluster shop as d1 sees it, file abc (revision 2)

NODE  ROLES     POOLS  STATE   SINCE  WISH    INDEX  ROOM  BUSY  CONNECTIONS  SERVED  FAILED  RATE/S  REASON
d1    director         active  3h00m
t1    traffic   web    active  1m01s         12 345    67   12%            4   1 000             100
t2    traffic   web    out        5s  drain       0     0    0%            0       2       3       0  silent for 700ms

SERVICE  ADDRESS        SCHEDULE  POOL  RATE/S  CLIENTS  WAITING   REQUESTS  RETRIES  ERRORS  WHICH
www      10.0.0.100:80  has       web      100        7        0  1 234 567        3       3  node-timeout 2, no-node 1
`

func TestTables(t *testing.T) {
	if diff := cmp.Diff(wide, Text(shop, now, 0, false)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, width := range []int{110, 100, 80} {
		text := Text(shop, now, width, false)
		for _, line := range strings.Split(text, "\n") {
			if n := len([]rune(line)); n > width {
				t.Errorf("%d columns, want at most %d: %s", n, width, line)
			}
		}
		if !strings.Contains(text, "silent for 700ms") {
			t.Errorf("in %d columns the reason is lost:\n%s", width, text)
		}
	}
	if text := Text(shop, now, 0, true); !strings.Contains(text, "\x1b[") || strings.Contains(wide, "\x1b") {
		t.Errorf("colours are not where they belong: %q", text)
	}
	refused := shop
	refused.File.Problem = "cluster.yaml:1:1: no\ncluster.yaml:2:1: no"
	refused.Director = nil
	want := "cluster shop as d1 sees it, file abc (revision 2)\nlast reload refused: cluster.yaml:1:1: no\n  cluster.yaml:2:1: no\n" +
		"this node is no director and does not know the others\n"
	if diff := cmp.Diff(want, Text(refused, now, 0, false)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", 60 * time.Second: "1m00s", 3599 * time.Second: "59m59s",
		47 * time.Hour: "47h00m", 75 * time.Hour: "3d03h",
	} {
		if got := age(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1 000", 1234567: "1 234 567"} {
		if got := count(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

// TestWatchGoesOn: where there is no terminal, tables follow each other, and an error is one of them.
func TestWatchGoesOn(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	looks := 0
	var out bytes.Buffer
	cfg := Config{Every: time.Millisecond, Head: "head", Foot: func() string { return "foot\n" }}
	err := Watch(ctx, &out, cfg, func(context.Context) (console.Status, error) {
		looks++
		switch looks {
		case 2:
			return console.Status{}, errors.New("nobody answers")
		case 4:
			stop()
		}
		return shop, nil
	})
	if err != nil {
		t.Error(err)
	}
	text := out.String()
	if n := strings.Count(text, "head\n"); n != 3 {
		t.Errorf("got %d looks, want 3:\n%s", n, text)
	}
	if strings.Count(text, "foot\n") != 3 || strings.Count(text, "nobody answers\n") != 1 || strings.Count(text, "www ") != 2 {
		t.Errorf("got:\n%s", text)
	}
}

const inKernel = `cluster shop as d1 sees it, file abc (revision 2)
network of d1: answer for 10.0.0.101 on eth0: another machine answers for it
service dns: it is not served, for the kernel cannot dispatch it: no rights
packets: t2: no route to 10.3.0.12

NODE  ROLES    POOLS  STATE   SINCE  INDEX  ROOM  BUSY  CONNECTIONS  SERVED  RATE/S
t1    traffic  web    active  1m01s      1     1    0%            3      12       2

SERVICE  ADDRESS        SCHEDULE  POOL  DISPATCH  PACKETS/S  RATE/S  CLIENTS  WAITING  REQUESTS  RETRIES  ERRORS  WHICH
www      10.0.0.100:80  wlc       web   dr             1000       2        3        0        12        0       5  no-node 5
dns      10.0.0.101:53  wlc       web   not dr                    0        0        0         0        0

PORT  DRIVER  DISPATCH  WHY
eth0  veth    native
eth1  dummy   none      the port cannot run XDP programs

TABLE        ENTRIES       OF  USE
flows              3  262 144   0%
unconfirmed   60 000   65 536  91%
nodes              2   16 384   0%
sources            0   65 536   0%
`

func TestWhatTheKernelDispatches(t *testing.T) {
	s := console.Status{
		Cluster: "shop", Node: "d1", File: console.File{Hash: "abc", Revision: 2},
		Network: &console.Network{Problem: "answer for 10.0.0.101 on eth0: another machine answers for it"},
		Director: &console.Director{
			Nodes: []console.Node{{
				Name: "t1", Roles: []cluster.Role{cluster.Traffic}, Pools: []string{"web"}, State: cluster.Active,
				Since: now.Add(-61 * time.Second), Index: 1, Room: 1, Connections: 3,
			}},
			Services: []console.Service{
				{
					Name: "www", Kind: cluster.HTTP, Dispatch: cluster.DR, Schedule: "wlc", Pool: "web", Addresses: []string{"10.0.0.100:80"},
					Clients: 3, Connections: 12, Rate: 2,
					Members: []console.Member{{Node: "t1", Served: 12, Rate: 2, Packets: &console.MemberPackets{}}},
					Packets: &console.ServicePackets{Packets: 5000, Rate: 1000, Reasons: map[string]uint64{"no-node": 5, "denied": 7}},
				},
				{
					Name: "dns", Kind: cluster.UDP, Dispatch: cluster.DR, Schedule: "wlc", Pool: "web", Addresses: []string{"10.0.0.101:53"},
					Problem: "it is not served, for the kernel cannot dispatch it: no rights",
				},
			},
			Packets: &console.Packets{
				Ports: []console.Port{
					{Name: "eth0", Driver: "veth", Mode: "native", Up: true, Forwards: true},
					{Name: "eth1", Driver: "dummy", Why: "the port cannot run XDP programs", Up: true},
				},
				Flows: console.Fill{Used: 3, Max: 262144}, Unconfirmed: console.Fill{Used: 60000, Max: 65536},
				Nodes: console.Fill{Used: 2, Max: 16384}, Sources: console.Fill{Max: 65536},
				Wrong: []string{"t2: no route to 10.3.0.12"},
			},
		},
	}
	if diff := cmp.Diff(inKernel, Text(s, now, 0, false)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
