package testbed

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"muster/config"
)

func TestEveryMachineHasItsPlace(t *testing.T) {
	l, err := Plan{Clients: 200, Directors: 8, Traffic: 64, Storage: 16, Monitors: 8, Cores: map[string]float64{"t64": 0.05}}.Layout()
	if err != nil {
		t.Fatal(err)
	}
	owner := map[string]string{}
	take := func(what, name string) {
		if other := owner[what]; other != "" {
			t.Errorf("%s and %s both have %s", other, name, what)
		}
		owner[what] = name
	}
	for i := range vipMost {
		take(VIP(i).String(), "a VIP")
		take(VIP6(i).String(), "a VIP")
	}
	for _, s := range l.Sites {
		take(s.Name, s.Name)
		for _, j := range s.Jacks {
			for _, what := range []string{j.IPv4.String(), j.IPv6.String(), j.MAC.String(), j.far, entry(j.far)} {
				take(what, s.Name)
			}
			if len(entry(j.far)) > 15 {
				t.Errorf("%s is too long a name for a port", entry(j.far))
			}
		}
	}
	t64 := l.Site("t64")
	got := fmt.Sprint(t64.Addr(), " ", t64.Jack(LANB).Name, " ", t64.Jack(LANB).IPv6, " ", t64.Cores, " ", t64.Jack(ClientsNet))
	if want := "10.7.1.84 eth1 fd07:2::84 0.05 <nil>"; got != want {
		t.Errorf("t64 has %s, want %s", got, want)
	}
}

func TestAPlanThatCannotBe(t *testing.T) {
	for _, test := range []struct {
		plan Plan
		want string
	}{
		{Plan{Traffic: 65}, "plan 65 machines that are traffic: a lab has 0 to 64"},
		{Plan{Clients: -1}, "plan -1 machines that are client: a lab has 0 to 200"},
		{Plan{Cores: map[string]float64{"t9": 1}}, "plan the processor time of t9: there is no such machine; there are switch router client1 d1 t1 t2 t3 t4"},
		{Plan{Cores: map[string]float64{"t1": -1}}, "plan -1 cores for t1: give 0, which is all, or more"},
	} {
		if _, err := test.plan.Layout(); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

func TestLinksByTheirNames(t *testing.T) {
	l, err := Plan{Traffic: 1}.Layout()
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"t1":       "[t1/a t1/b]",
		"t1/b":     "[t1/b]",
		"client1":  "[client1/clients]",
		"t1/":      "find the link t1/: machine t1 is not in that network",
		"client1/": "find the link client1/: machine client1 is not in that network",
		"x/a":      "find the link x/a: there is no machine x; there are switch router client1 d1 t1",
	} {
		links, err := l.Link(text)
		if got := fmt.Sprint(links); err == nil && got != want || err != nil && err.Error() != want {
			t.Errorf("%s: got %s, %v; want %s", text, got, err, want)
		}
	}
}

func TestTheFileIsRight(t *testing.T) {
	l, err := Plan{Directors: 2, Traffic: 3, Storage: 1, Monitors: 1}.Layout()
	if err != nil {
		t.Fatal(err)
	}
	paths := Paths{Dir: "/lab", Key: "/lab/cluster.key", Site: `/lab/the "site"`}
	for _, c := range []Cluster{
		{},
		{App: Nginx, Schedule: "wlc", Timings: "report: 50ms, timeout: 200ms", Service: "floor: 1%\nretry: {attempts: 2}", Pool: "limit: 100"},
		{App: Mixed, Extra: "  more: {listen: [10.7.1.11:81], pool: web}\n"},
		{Dispatch: "dr", XDP: "generic"},
		{Dispatch: "tunnel", IPv6: true, App: Nginx},
		{Dispatch: "nat"},
	} {
		text := c.Text(l, paths)
		f, err := config.Parse("cluster.yaml", []byte(text))
		if err != nil {
			t.Errorf("%v\n%s", err, text)
			continue
		}
		var got []string
		for i := range f.Nodes {
			got = append(got, f.Nodes[i].Name)
		}
		if want := []string{"d1", "d2", "t1", "t2", "t3"}; !slices.Equal(got, want) {
			t.Errorf("the nodes are %v, want %v", got, want)
		}
		var apps []string
		for _, n := range f.Pools[0].Nodes {
			app := "serve"
			if f.Application(n, "web").Run != nil {
				app = "run"
			}
			apps = append(apps, app)
		}
		want := map[App][]string{BuiltIn: {"serve", "serve", "serve"}, "": {"serve", "serve", "serve"}, Nginx: {"run", "run", "run"}, Mixed: {"run", "serve", "run"}}[c.App]
		if diff := cmp.Diff(want, apps); diff != "" {
			t.Errorf("%s: applications (-want +got)\n%s", c.App, diff)
		}
	}
}

func TestFaultsAreChecked(t *testing.T) {
	for _, f := range []Fault{{Way: "up"}, {Delay: -1}, {Rate: -1}, {Loss: 1.1}, {Loss: -0.1}, {MTU: 100}, {Queue: -1}} {
		if err := f.check(); err == nil {
			t.Errorf("%+v was taken", f)
		}
	}
	if err := (Fault{Way: In, Delay: 1, Rate: 1, Loss: 1, MTU: 1280}).check(); err != nil {
		t.Error(err)
	}
}

func TestFaultsInWords(t *testing.T) {
	for want, s := range map[string]slowness{
		"delay 10ms":                          {out: Fault{Delay: 10e6}, in: Fault{Delay: 10e6}},
		"out loss 50 %, 1000 bit/s":           {out: Fault{Loss: 0.5, Rate: 1000}},
		"out sound, in loss 100 %":            {in: Fault{Loss: 1, Way: In}},
		"sound, MTU 1400":                     {mtu: 1400},
		"out delay 1s, in delay 2s, MTU 1400": {out: Fault{Delay: 1e9}, in: Fault{Delay: 2e9}, mtu: 1400},
	} {
		if got := s.String(); !strings.EqualFold(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
