package netset

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestEverythingIsDoneAndUndone(t *testing.T) {
	space(t)
	settled(t)
	before := picture(t)
	path := filepath.Join(t.TempDir(), "network.json")
	j := open(t, path)
	for _, o := range apply(t, j, everySetting...) {
		rp := o.Setting.(interface{ String() string }).String() == "sysctl -w net.ipv4.conf.a.rp_filter=2"
		if rp && (o.Done || o.Ours) {
			t.Error("rp_filter is set, though it was not strict")
		}
		if !rp && (!o.Done || !o.Ours) {
			t.Errorf("%s: done %v, ours %v, want both", o.Setting, o.Done, o.Ours)
		}
	}
	for _, o := range Look(everySetting) {
		if o.Err != nil {
			t.Errorf("%s: %v", o.Setting, o.Err)
		}
	}
	for _, o := range apply(t, j, everySetting...) {
		if o.Done {
			t.Errorf("%s was done twice", o.Setting)
		}
	}
	if err := j.Undo(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, picture(t)); diff != "" {
		t.Errorf("something is left: %s", diff)
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(text), "was") {
		t.Errorf("%s: %v", text, err)
	}
}

// settled waits for the link-local addresses of the pair: they come a moment after it is up.
func settled(t *testing.T) {
	t.Helper()
	for strings.Contains(ip(t, "-6 -o addr"), "tentative") || strings.Count(ip(t, "-6 -o addr"), "fe80::") < 2 {
		if t.Context().Err() != nil {
			t.Fatal("no link-local addresses")
		}
	}
}

// The commands that are shown do what the settings do.
func TestCommands(t *testing.T) {
	space(t)
	for _, s := range everySetting {
		words := strings.Fields(s.String())
		if words[0] == "sysctl" {
			name, value, _ := strings.Cut(words[2], "=")
			set(t, strings.ReplaceAll(strings.TrimPrefix(name, "net."), ".", "/"), value)
		} else {
			ip(t, strings.Join(words[1:], " "))
		}
		if _, fine, err := s.look(); err != nil || !fine {
			t.Errorf("after %s: fine %v, %v", s, fine, err)
		}
	}
	for _, s := range slices.Backward(everySetting) {
		if undo, is := strings.CutPrefix(s.Undo(), "ip "); is {
			ip(t, undo)
			if _, fine, err := s.look(); err != nil || fine {
				t.Errorf("after %s: fine %v, %v", s.Undo(), fine, err)
			}
		}
	}
}

func TestWhatAnEarlierProcessLeftIsTakenOver(t *testing.T) {
	space(t)
	path := filepath.Join(t.TempDir(), "network.json")
	first := open(t, path)
	ignore, vip, other := Conf("ipv4", "all", "arp_ignore", 1, AtLeast), Address{Link: "lo", Addr: v4}, Address{Link: "lo", Addr: v6}
	apply(t, first, ignore, vip, other)
	if _, err := Open(path); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v, want %v", err, ErrBusy)
	}
	if used, err := InUse(path); !used || err != nil {
		t.Errorf("in use: %v, %v", used, err)
	}
	_ = first.lock.Close() // as the kernel does when a process dies
	if used, err := InUse(path); used || err != nil {
		t.Errorf("in use: %v, %v, though nobody has it open", used, err)
	}
	if list, err := Read(path); len(list) != 3 || err != nil {
		t.Errorf("it has %v, %v", list, err)
	}

	second := open(t, path)
	out := apply(t, second, ignore, vip)
	if out[0].Done || out[1].Done || !out[0].Ours || !out[1].Ours {
		t.Errorf("got %+v, want both ours and neither done again", out)
	}
	if strings.Contains(ip(t, "addr show lo"), v6.String()) {
		t.Error("what is wanted no longer is still there")
	}
	if err := second.Undo(); err != nil {
		t.Fatal(err)
	}
	if sysctl(t, "ipv4/conf/all/arp_ignore") != "0" || strings.Contains(ip(t, "addr show lo"), v4.String()) {
		t.Error("what the first process did is not undone")
	}
}

func TestOnlyOursIsUndone(t *testing.T) {
	space(t)
	set(t, "ipv4/conf/all/arp_ignore", "2")
	ip(t, "addr add 10.7.1.100/32 dev lo")
	j := open(t, filepath.Join(t.TempDir(), "network.json"))
	for _, o := range apply(t, j, Conf("ipv4", "all", "arp_ignore", 1, AtLeast), Address{Link: "lo", Addr: v4}) {
		if o.Ours || o.Done {
			t.Errorf("%s was so before: %+v", o.Setting, o)
		}
	}
	apply(t, j, Conf("ipv4", "all", "arp_announce", 2, Always))
	set(t, "ipv4/conf/all/arp_announce", "1") // somebody else's will
	if err := j.Undo(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(ip(t, "addr show lo"), v4.String()) || sysctl(t, "ipv4/conf/all/arp_ignore") != "2" {
		t.Error("what was so before has been undone")
	}
	if got := sysctl(t, "ipv4/conf/all/arp_announce"); got != "1" {
		t.Errorf("arp_announce is %s, though somebody has set it to 1 since", got)
	}
}

func TestWhatSomebodyUndoesIsDoneAgain(t *testing.T) {
	space(t)
	j := open(t, filepath.Join(t.TempDir(), "network.json"))
	forward, vip := Conf("ipv4", "a", "forwarding", 1, Always), Address{Link: "a", Addr: v4}
	before := sysctl(t, "ipv4/conf/a/forwarding")
	apply(t, j, forward, vip)
	set(t, "ipv4/conf/a/forwarding", "0")
	ip(t, "addr del 10.7.1.100/32 dev a")
	for _, o := range apply(t, j, forward, vip) {
		if !o.Done || !o.Ours {
			t.Errorf("%+v, want it done again", o)
		}
	}
	if err := j.Undo(); err != nil {
		t.Fatal(err)
	}
	if got := sysctl(t, "ipv4/conf/a/forwarding"); got != before {
		t.Errorf("forwarding is %s after all, and was %s before all", got, before)
	}
}

// An interface that went and came back under its name has not been changed.
func TestANewInterface(t *testing.T) {
	space(t)
	j := open(t, filepath.Join(t.TempDir(), "network.json"))
	forward, vip := Conf("ipv4", "a", "forwarding", 1, Always), Address{Link: "a", Addr: v4}
	apply(t, j, forward, vip)
	remove(t, "a")
	out, err := j.Apply([]Setting{forward, vip})
	if err != nil || out[0].Err == nil || out[1].Err == nil {
		t.Errorf("%v, %+v: without the interface nothing can be done", err, out)
	}
	pair(t)
	set(t, "ipv4/conf/a/forwarding", "1") // this one's owner wants it
	out = apply(t, j, forward, vip)
	if out[0].Ours || out[0].Done || !out[1].Done {
		t.Errorf("%+v", out)
	}
	remove(t, "a")
	pair(t)
	ip(t, "addr add 10.7.1.100/32 dev a")
	if err := j.Undo(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(ip(t, "addr show a"), v4.String()) {
		t.Error("an address of an interface that we have never changed was removed")
	}
}

func TestAnotherValue(t *testing.T) {
	space(t)
	j := open(t, filepath.Join(t.TempDir(), "network.json"))
	before := sysctl(t, "ipv4/conf/a/arp_announce")
	apply(t, j, Conf("ipv4", "a", "arp_announce", 1, Always))
	apply(t, j, Conf("ipv4", "a", "arp_announce", 2, Always))
	if got := sysctl(t, "ipv4/conf/a/arp_announce"); got != "2" {
		t.Errorf("got %s, want 2", got)
	}
	via := Route{Table: 5200, Via: v4, Link: "a", Src: netip.MustParseAddr("10.7.1.21")}
	if got := len(j.Settings()); got != 1 {
		t.Errorf("%d entries, want 1", got)
	}
	ip(t, "addr add 10.7.1.21/24 dev a")
	apply(t, j, via)
	if got := sysctl(t, "ipv4/conf/a/arp_announce"); got != before {
		t.Errorf("got %s, want what was there before both: %s", got, before)
	}
	via.Via = v4.Next()
	apply(t, j, via)
	if got := ip(t, "route show table 5200"); !strings.Contains(got, "via 10.7.1.101 ") || strings.Count(got, "\n") != 1 {
		t.Errorf("got %q, want one route, by 10.7.1.101", got)
	}
}

func TestWhatCannotBeDone(t *testing.T) {
	space(t)
	set(t, "ipv6/conf/a/disable_ipv6", "1")
	j := open(t, filepath.Join(t.TempDir(), "network.json"))
	out, err := j.Apply([]Setting{
		Address{Link: "a", Addr: v6},
		Address{Link: "nowhere", Addr: v4},
		Sysctl{Name: "net/ipv4/conf/a/no_such", Value: "1"},
		Route{Table: 5200, Via: v4, Link: "a", Src: netip.MustParseAddr("10.99.0.1")}, // not an address of ours
		Address{Link: "a", Addr: v4},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"IPv6 is off on a: sysctl", "there is no interface nowhere", "no such file", "invalid argument", ""} {
		got := ""
		if out[i].Err != nil {
			got = out[i].Err.Error()
		}
		if (want == "") != (got == "") || !strings.Contains(got, want) || out[i].Ours != (want == "") {
			t.Errorf("%s: got %q, ours %v; want %q", out[i].Setting, got, out[i].Ours, want)
		}
	}
	if got := len(j.Settings()); got != 1 {
		t.Errorf("the journal has %d entries, want 1", got)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "nowhere", "j")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestAJournalOfAnotherNetworkIsVoid(t *testing.T) {
	space(t)
	path := filepath.Join(t.TempDir(), "network.json")
	j := open(t, path)
	apply(t, j, Address{Link: "lo", Addr: v4})
	_ = j.Close() // it was open
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	if got := open(t, path).Settings(); len(got) > 0 {
		t.Errorf("got %v, want none", got)
	}
}

func TestABrokenJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "network.json")
	if err := os.WriteFile(path, []byte(`{"changes": [{}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"boot":"b","network":3,"changes":[{"sysctl":{"name":"net/ipv4/conf/all/arp_ignore","value":"1","when":1},"was":"0"},
		{"address":{"link":"lo","addr":"10.7.1.100","local":true},"index":1},{"route":{"table":5200,"via":"fd07:1::1","link":"a","src":"fd07:1::2"}},
		{"rule":{"priority":5201,"family":6,"from":"","proto":17,"port":53,"table":5200}}]}`))
	f.Add([]byte(`{"changes":[{"sysctl":{"name":"net/../../kernel/core_pattern"}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, entries, err := parse(text)
		if err != nil {
			return
		}
		for _, e := range entries {
			if s, is := e.set.(Sysctl); is && !strings.HasPrefix(filepath.Clean("/proc/sys/"+s.Name), "/proc/sys/net/") {
				t.Errorf("%q leaves the network's sysctls", s.Name)
			}
			if e.set.key() == "" || e.set.String() == "" || e.set.Undo() == "" {
				t.Errorf("%+v has no name", e)
			}
		}
	})
}
