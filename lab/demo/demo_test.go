package demo

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"muster/config"
	"muster/lab/local"
)

func TestTheFileIsRight(t *testing.T) {
	place, err := local.FindPlace(3)
	if err != nil {
		t.Fatal(err)
	}
	f := File{
		Place: place, Listen: netip.MustParseAddrPort("127.0.0.1:8080"), Schedule: "lc", Check: "/a.html",
		Nodes: []Node{
			{Name: "t1", Application: Serve(`/srv/it's "so"`)},
			{Name: "t2", Weight: 50, Application: Serve("site")},
			{Name: "t3", Application: "{run: {command: [nginx]}}"},
		},
		More: []Service{{Name: "more", Listen: netip.MustParseAddrPort("127.0.0.1:8081"), Port: 8082, Nodes: []string{"t1"}, Application: Serve("site")}},
	}
	got, err := config.Parse("cluster.yaml", []byte(f.Text()))
	if err != nil {
		t.Fatalf("%v\n%s", err, f.Text())
	}
	if root := got.Application("t1", "web").Serve.Root; root != `/srv/it's "so"` {
		t.Errorf("root %q", root)
	}
	if len(got.Nodes) != 4 || got.Node("t2").Weight != 50 || len(got.Services) != 2 || got.Services[0].Schedule != "lc" {
		t.Errorf("got %s", got.Show())
	}
}

func TestEachNodesPagesHaveADateOfTheirOwn(t *testing.T) {
	seen := map[int64]string{}
	for i, node := range []string{"t1", "t2", "t3"} {
		root := filepath.Join(t.TempDir(), node)
		if err := makeSite(root, node, i); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(root, NodeFile))
		if err != nil {
			t.Fatal(err)
		}
		if other := seen[info.ModTime().Unix()]; other != "" {
			t.Errorf("%s and %s have one date, and so one ETag for different pages", node, other)
		}
		seen[info.ModTime().Unix()] = node
	}
}
