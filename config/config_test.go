package config

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonschema-go/jsonschema"
	"go.yaml.in/yaml/v4"
)

func examples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../examples/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("got %d examples (%v), want at least 5", len(files), err)
	}
	return files
}

func read(t *testing.T, path string) *File {
	t.Helper()
	f, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestExamplesAreValid(t *testing.T) {
	for _, path := range examples(t) {
		read(t, path)
	}
}

func TestShownFileParsesToTheSame(t *testing.T) {
	for _, path := range examples(t) {
		f := read(t, path)
		again, err := Parse("/elsewhere/cluster.yaml", f.Show())
		if err != nil {
			t.Fatalf("%s: %v\n%s", path, err, f.Show())
		}
		if !reflect.DeepEqual(f, again) {
			t.Errorf("%s: the shown file differs:\n%s", path, cmp.Diff(string(f.Show()), string(again.Show())))
		}
		if changes := Diff(f, again); len(changes) > 0 {
			t.Errorf("%s: got changes %v, want none", path, changes)
		}
	}
}

func TestDefaultsAreAFile(t *testing.T) {
	f, err := Parse("/etc/muster/cluster.yaml", Defaults())
	if err != nil {
		t.Fatalf("%v\n%s", err, Defaults())
	}
	want := Timings{Report: 200 * time.Millisecond, Timeout: 700 * time.Millisecond, SlowStart: 10 * time.Second, Drain: 30 * time.Second}
	if f.Timings != want {
		t.Errorf("got timings %v, want %v", f.Timings, want)
	}
	if got := f.Services[0].Limits; got.Connections != 10000 || got.Head != 16<<10 {
		t.Errorf("got limits %+v, want 10000 connections and 16 KiB of head", got)
	}
	// A comment that is a key becomes one when its mark is taken away.
	if !strings.Contains(string(Defaults()), "\n    # zone:\n    #   # The pools whose nodes may move here.") {
		t.Errorf("the zone is not shown as a comment:\n%s", Defaults())
	}
}

func TestEveryKeyIsDescribed(t *testing.T) {
	var walk func(reflect.Type, string)
	walk = func(typ reflect.Type, path string) {
		for _, k := range keysOf(tableType(typ)) {
			p := join(path, k.name)
			if !strings.HasSuffix(k.doc, ".") {
				t.Errorf("%s: got doc %q, want sentences", p, k.doc)
			}
			switch formOf(k.typ) {
			case tableForm:
				walk(k.typ, p)
			case namedForm:
				walk(k.typ.Elem(), p)
			default:
				if !k.hasDefault && k.eg == "" && k.from == "" {
					t.Errorf("%s: has neither default nor example", p)
				}
				for _, text := range []string{k.def, k.eg} {
					if text == "" {
						continue
					}
					if v := k.parsed(text); formOf(k.typ) == scalarForm && !k.within(v) {
						t.Errorf("%s: %q is out of its own range", p, text)
					}
				}
			}
		}
	}
	walk(reflect.TypeFor[File](), "")
}

func TestOneExampleHasEveryKey(t *testing.T) {
	f := read(t, "../examples/every-key.yaml")
	data, err := os.ReadFile("../examples/every-key.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d := &decoder{dir: "/", at: map[string]mark{}, bad: map[string]bool{}}
	d.decode(d.load(data), &File{})
	given := map[string]bool{}
	plain := func(path string) string { // without the names of entries
		parts := strings.Split(path, ".")
		for i := 1; i < len(parts); i++ {
			if s := parts[i-1]; s == "nodes" || s == "checks" || s == "pools" || s == "services" || s == "applications" {
				parts[i] = "*"
			}
		}
		return strings.Join(parts, ".")
	}
	for path := range d.at {
		given[plain(path)] = true
	}
	each(reflect.ValueOf(f).Elem(), "", func(k *key, _ reflect.Value, path string) {
		if p := plain(path); !given[p] && !strings.Contains(p, "applications.") {
			t.Errorf("examples/every-key.yaml does not have %s", p)
		}
	})
}

func TestReferenceIsCurrent(t *testing.T) {
	page, err := os.ReadFile("../docs/configuration.md")
	if err != nil || !bytes.Equal(page, Reference()) {
		t.Errorf("docs/configuration.md is not current (%v); run: go generate ./config", err)
	}
}

func TestSchemaAcceptsTheExamples(t *testing.T) {
	var s jsonschema.Schema
	if err := json.Unmarshal(Schema(), &s); err != nil {
		t.Fatal(err)
	}
	schema, err := s.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true})
	if err != nil {
		t.Fatal(err)
	}
	instance := func(data []byte) any {
		var v any
		if err := yaml.Load(data, &v); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var out any
		if err := json.Unmarshal(text, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, path := range examples(t) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range [][]byte{data, read(t, path).Show(), Defaults()} {
			if err := schema.Validate(instance(text)); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	for _, wrong := range []string{"cluster: x", "cluster: x\nkey: k\nnodes: {}\n", "cluster: x\nkey: k\nnodes: {n: {addresses: [1.2.3.4], roles: [queen]}}"} {
		if schema.Validate(instance([]byte(wrong))) == nil {
			t.Errorf("the schema accepts %q", wrong)
		}
	}
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	data, err := os.ReadFile("../examples/two-directors.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse("/etc/muster/cluster.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{f.Key, f.State, f.Services[0].Fallback.BodyFile, f.Services[0].AccessLog.File}
	want := []string{"/etc/muster/cluster.key", "/var/lib/muster", "/etc/muster/sorry.html", "/var/log/muster/www.log"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("paths differ (-want +got):\n%s", diff)
	}
}

func TestValuesThatComeFromTheTop(t *testing.T) {
	f, err := Parse("x.yaml", []byte(`{cluster: a, key: k, nodes: {n: {addresses: [10.0.0.1], roles: [director, traffic], ports: {admin: 99}}}, ports: {report: 55}, threads: 3,
  pools: {p: {nodes: [n], port: 80}}, services: {s: {listen: ["127.0.0.1:80"], pool: p}, t: {listen: ["127.0.0.1:81"], pool: p, threads: 0}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := f.Nodes[0].Ports, (Ports{Report: 55, Admin: 99}); got != want {
		t.Errorf("got ports %v, want %v", got, want)
	}
	if a, b := f.Services[0].Threads, f.Services[1].Threads; a != 3 || b != 0 {
		t.Errorf("got threads %d and %d, want 3 and 0", a, b)
	}
}

func TestSizeAndNumberOfProblemsAreBounded(t *testing.T) {
	if _, err := Parse("x.yaml", make([]byte, MaxSize+1)); err == nil || !strings.Contains(err.Error(), "larger than 4MiB") {
		t.Errorf("got %v, want a word on the size", err)
	}
	var b strings.Builder
	for b.Len() < 1<<20 {
		b.WriteString("k" + strings.Repeat("x", b.Len()%7) + ": 1\n")
	}
	_, err := Parse("x.yaml", []byte(b.String()))
	if p, ok := err.(Problems); !ok || len(p) != maxProblems+1 || !strings.Contains(p[maxProblems].Text, "more problems") {
		t.Errorf("got %d problems, want %d", len(p), maxProblems+1)
	}
}

func TestDiff(t *testing.T) {
	old := read(t, "../examples/media-zones.yaml")
	text := string(old.Show())
	text = strings.NewReplacer("above: 80%", "above: 90%", "  media:\n    vip", "  film:\n    vip", "cache: 64MiB", "cache: 1MiB", "    zone:\n", "    limit: 9\n    zone:\n").Replace(strings.Replace(text, "    limit: 0\n", "", 1))
	now, err := Parse("x.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range Diff(old, now) {
		got = append(got, c.String())
	}
	want := []string{
		"pools.web.limit: 0 -> 9",
		"pools.web.application.serve.cache: 64MiB -> 1MiB",
		"pools.web.zone.above: 80% -> 90%",
		"services.media: removed {vip: 10.0.0.101, ports: [80], schedule: lc, pool: media, threads: 0, timeouts: {stall: 2m}}",
		"services.film: added {vip: 10.0.0.101, ports: [80], schedule: lc, pool: media, threads: 0, timeouts: {stall: 2m}}",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes differ (-want +got):\n%s", diff)
	}
}

func TestLookups(t *testing.T) {
	f := read(t, "../examples/every-key.yaml")
	names := func(pools []*Pool) (list []string) {
		for _, p := range pools {
			list = append(list, p.Name)
		}
		return list
	}
	if diff := cmp.Diff([]string{"web", "media"}, names(f.PoolsOf("m1"))); diff != "" {
		t.Errorf("the pools of m1 differ, its own and that which may borrow it (-want +got):\n%s", diff)
	}
	if a := f.Application("t2", "web"); a == nil || a.Serve == nil {
		t.Errorf("got application %+v for t2, want its own", a)
	}
	if a := f.Application("t1", "web"); a == nil || a.Run == nil {
		t.Errorf("got application %+v for t1, want the pool's", a)
	}
	if a := f.Application("t1", "mail"); a != nil {
		t.Errorf("got application %+v for mail, want none", a)
	}
	n, err := f.NodeFor([]netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::ffff:10.1.0.12")})
	if err != nil || n.Name != "t2" {
		t.Errorf("got node %v, %v, want t2", n, err)
	}
	if _, err := f.NodeFor([]netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}); err == nil || !strings.Contains(err.Error(), "d1, d2") {
		t.Errorf("got %v, want both names", err)
	}
	if _, err := f.NodeFor(nil); err == nil {
		t.Error("got no error though no address is here")
	}
	if got := len(f.Directors()); got != 2 {
		t.Errorf("got %d directors, want 2", got)
	}
	want := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.2:8947"), netip.MustParseAddrPort("10.1.0.2:8947")}
	if got := f.Node("d2").ReportAddrs(); !reflect.DeepEqual(got, want) {
		t.Errorf("got report addresses %v, want %v", got, want)
	}
	if got := f.Service("www").Addresses(); !reflect.DeepEqual(got, []netip.AddrPort{netip.MustParseAddrPort("10.0.0.100:80")}) {
		t.Errorf("got addresses %v, want the VIP's port", got)
	}
	if f.Pool("none") != nil || f.Check("none") != nil || f.Node("none") != nil || f.Service("none") != nil {
		t.Error("got something for a name that is not there")
	}
}

func TestWhatAChangeOfDispatchChanges(t *testing.T) {
	parse := func(service string) *File {
		f, err := Parse("cluster.yaml", []byte("cluster: c\nkey: k\nnodes: {d: {addresses: [10.0.0.1], roles: [director]}, t: {addresses: [10.0.0.2], roles: [traffic]}}\n"+
			"pools: {web: {nodes: [t], port: 80}}\nservices: {www: {vip: 10.0.0.100, pool: web, "+service+"}}\n"))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	old, now := parse("ports: [80], timeouts: {head: 3s}"), parse("ports: all, dispatch: tunnel, tunnel: {encapsulation: gue}")
	want := []Change{
		{"services.www.ports", "[80]", "all"},
		{"services.www.dispatch", "proxy", "tunnel"},
		{"services.www.without-xdp", "", "refuse"},
		{"services.www.tunnel", "", "{encapsulation: gue}"},
		{"services.www.timeouts", "{head: 3s}", ""},
		{"services.www.forwarded", "[x-forwarded, forwarded, via]", ""},
	}
	if diff := cmp.Diff(want, Diff(old, now)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s := now.Services[0]
	if got := s.Entrances(); len(got) != 1 || got[0] != "10.0.0.100:all" {
		t.Errorf("got entrances %v, want 10.0.0.100:all", got)
	}
	if s.Limits != (Limits{}) || s.AccessLog.Format != "" {
		t.Errorf("keys without a meaning have values: %+v", s)
	}
	if p := parse("ports: [80], dispatch: dr, without-xdp: proxy, timeouts: {head: 3s}").Services[0]; p.Timeouts.Head != 3*time.Second || p.Limits.Connections == 0 {
		t.Errorf("a service that may be proxied has no limits and timeouts: %+v", p)
	}
}

func TestTheAddressThatPacketsAreSentTo(t *testing.T) {
	f, err := Parse("cluster.yaml", []byte(`
cluster: c
key: k
nodes:
  d1: {addresses: [10.0.0.1, "fd00::1"], roles: [director]}
  d2: {addresses: [10.0.0.2], roles: [director]}
  t1: {addresses: [10.0.0.11, "fd00::11"], roles: [traffic]}
pools: {web: {nodes: [t1], port: 80}}
services:
  four: {vip: 10.0.0.100, ports: [80], pool: web, dispatch: dr}
  six: {vip: "fd00::100", ports: [80], pool: web, dispatch: dr}
  far: {vip: "fd00::101", ports: [80], pool: web, dispatch: tunnel}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ director, service, want string }{
		{"d1", "four", "10.0.0.11"}, {"d1", "six", "fd00::11"}, {"d1", "far", "fd00::11"}, {"d2", "far", "10.0.0.11"},
	} {
		got, ok := f.AddressFor(f.Node(c.director), f.Node("t1"), f.Service(c.service))
		if !ok || got.String() != c.want {
			t.Errorf("%s for %s: got %v, %v, want %s", c.director, c.service, got, ok, c.want)
		}
	}
}
