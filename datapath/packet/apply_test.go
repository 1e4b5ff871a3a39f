package packet

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/cluster"
)

func prefixes(list ...string) (all []netip.Prefix) {
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func TestServicesThatAreWrongAreRefused(t *testing.T) {
	good := web(cluster.DR, "10.7.1.100", 80)
	change := func(f func(*Service)) Service {
		s := good
		f(&s)
		return s
	}
	for name, test := range map[string]struct {
		list []Service
		want error
	}{
		"no name":         {[]Service{change(func(s *Service) { s.Name = "" })}, ErrConflict},
		"twice":           {[]Service{good, good}, ErrConflict},
		"proxy":           {[]Service{change(func(s *Service) { s.Dispatch = cluster.Proxy })}, ErrConflict},
		"no front":        {[]Service{change(func(s *Service) { s.Fronts = nil })}, ErrConflict},
		"zone":            {[]Service{web(cluster.DR, "fe80::1%eth0", 80)}, ErrConflict},
		"mapped":          {[]Service{web(cluster.DR, "::ffff:10.7.1.100", 80)}, ErrConflict},
		"no protocol":     {[]Service{change(func(s *Service) { s.Fronts = []Front{{VIP: netip.MustParseAddr("10.7.1.100"), Port: 80}} })}, ErrConflict},
		"same front":      {[]Service{good, change(func(s *Service) { s.Name = "shop" })}, ErrConflict},
		"both lists":      {[]Service{change(func(s *Service) { s.Allow, s.Deny = prefixes("10.7.9.0/24"), prefixes("10.7.9.1/24") })}, ErrConflict},
		"timeout":         {[]Service{change(func(s *Service) { s.Timeouts.UDP = -time.Second })}, ErrConflict},
		"rate":            {[]Service{change(func(s *Service) { s.Rate = -1 })}, ErrConflict},
		"too many lists":  {[]Service{change(func(s *Service) { s.Deny = many(1025) })}, ErrFull},
		"too many fronts": {[]Service{change(func(s *Service) { s.Fronts = crowd(mostFronts + 1) })}, ErrFull},
	} {
		if err := check(test.list, small(Config{})); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
	if err := check([]Service{good}, small(Config{})); err != nil {
		t.Errorf("got %v, want nothing wrong", err)
	}
}

func many(n int) (list []netip.Prefix) {
	for i := range n {
		list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32))
	}
	return list
}

func crowd(n int) (list []Front) {
	for i := range n {
		list = append(list, Front{netip.AddrFrom4([4]byte{10, 7, 1, byte(i >> 12)}), uint16(i&4095 + 1), TCP})
	}
	return list
}

// kernelHas is what the kernel has of services, by front.
func kernelHas(t *testing.T, f *Forwarder) map[string]uint32 {
	t.Helper()
	list := map[string]uint32{}
	for k, e := range all[directorFront, directorService](t, f.kernel.Services) {
		list[fmt.Sprintf("%s %d", frontOf(k), k.Whole)] = e.Id
		if e != f.entries[k] {
			t.Errorf("the kernel has %+v, want %+v", e, f.entries[k])
		}
		if k.Whole == 0 && get[directorEntrance](t, f.kernel.Fronts, e.Front) != (directorEntrance{Front: k, Service: e}) {
			t.Errorf("front %s is not at its place", frontOf(k))
		}
	}
	return list
}

func TestServicesComeChangeAndGo(t *testing.T) {
	f := newForwarder(t, Config{})
	web1, dns := web(cluster.DR, "10.7.1.100", 80, 443), web(cluster.Tunnel, "10.7.1.100", 53)
	dns.Name = "dns"
	dns.Fronts = append(dns.Fronts, Front{netip.MustParseAddr("10.7.1.100"), 53, UDP}, Front{netip.MustParseAddr("fd07:1::100"), 0, UDP})
	fine(t, f.Apply([]Service{web1, dns}))
	id, other := f.services["web"].place, f.services["dns"].place
	want := map[string]uint32{
		"tcp 10.7.1.100:80 0": id, "tcp 10.7.1.100:443 0": id, "tcp 10.7.1.100:0 1": id,
		"tcp 10.7.1.100:53 0": other, "udp 10.7.1.100:53 0": other, "udp 10.7.1.100:0 1": other,
		"udp [fd07:1::100]:0 0": other, "udp [fd07:1::100]:0 1": other,
	}
	if diff := cmp.Diff(want, kernelHas(t, f)); diff != "" {
		t.Error(diff)
	}
	table := tableOf("rr", "10.7.1.11")
	fine(t, f.SetTable("web", table))
	fine(t, f.SetTable("dns", tableOf("rr", "10.7.1.11")))
	start(t, f)
	insertAll(t, f, flowsTo(web1, table, 0, 5))

	// Port 80 changes hands, so its flows end; 443 goes on as it was.
	end := flowsTo(web1, table, 0, 10)[5:]
	for i := range end {
		end[i].VIP = netip.MustParseAddrPort("10.7.1.100:443")
	}
	insertAll(t, f, end)
	web1.Fronts, dns.Fronts = web1.Fronts[1:], append([]Front{web1.Fronts[0]}, dns.Fronts...)
	fine(t, f.Apply([]Service{web1, dns}))
	want["tcp 10.7.1.100:80 0"] = other
	if diff := cmp.Diff(want, kernelHas(t, f)); diff != "" {
		t.Error(diff)
	}
	until(t, "the flows of port 80 end", func() bool { return len(flowsOf(f)) == 5 && table.Shares[0].Live.Active.Load() == 5 })

	// A change that cannot be made leaves all as it is.
	bad := dns
	bad.Deny = many(2000)
	if err := f.Apply([]Service{bad}); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want %v", err, ErrFull)
	}
	if diff := cmp.Diff(want, kernelHas(t, f)); diff != "" {
		t.Error(diff)
	}

	// To NAT: the flows cannot go on. The table stays.
	web1.Dispatch = cluster.NAT
	fine(t, f.Apply([]Service{web1}))
	if got := f.services["web"]; got.place == id || got.table != table {
		t.Errorf("got place %d with table %v, want another place with the same table", got.place, got.table)
	}
	until(t, "the old flows end, and the old places are free", func() bool {
		f.mu.RLock()
		defer f.mu.RUnlock()
		return f.serviceAt[id] == nil && f.serviceAt[other] == nil && f.nodePlaces.taken == 1 && f.frontPlaces.taken == 1
	})
	if n := len(flowsOf(f)); n != 0 {
		t.Errorf("got %d flows, want none", n)
	}
	fine(t, f.Apply(nil))
	until(t, "everything is gone", func() bool {
		return len(kernelHas(t, f)) == 0
	})
}

func TestSourceListsDecideAsTheLongestPrefixSays(t *testing.T) {
	s := web(cluster.DR, "10.7.1.100", 80)
	s.Allow, s.Deny = prefixes("10.7.0.0/16", "fd07:9::/64"), prefixes("10.7.9.0/24")
	j := newJudge(s)
	for addr, want := range map[string]bool{"10.7.8.1": true, "10.7.9.1": false, "10.8.0.1": false, "fd07:9::1": true, "fd07:8::1": false} {
		if got := j.admits(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: got %t, want %t", addr, got, want)
		}
	}
	s.Allow, s.Deny = nil, prefixes("::/0")
	j = newJudge(s)
	if !j.admits(netip.MustParseAddr("10.7.8.1")) || j.admits(netip.MustParseAddr("fd07::1")) {
		t.Error("::/0 is for IPv6 alone")
	}

	// The kernel's map says the same.
	f := newForwarder(t, Config{})
	fine(t, f.Apply([]Service{s}))
	says := func(addr string) (v uint32) {
		t.Helper()
		k := sourceKey(f.services["web"].place, netip.PrefixFrom(netip.MustParseAddr(addr), netip.MustParseAddr(addr).BitLen()))
		_ = f.kernel.Sources.Lookup(k, &v) // nothing is 0
		return v
	}
	if says("10.7.8.1") != allow || says("fd07::1") != deny {
		t.Errorf("got %d and %d, want %d and %d", says("10.7.8.1"), says("fd07::1"), allow, deny)
	}
	s.Allow, s.Deny = prefixes("10.7.9.0/24"), nil
	fine(t, f.Apply([]Service{s}))
	if says("10.7.8.1") != deny || says("10.7.9.1") != allow || says("fd07::1") != 0 {
		t.Errorf("got %d, %d, %d; want %d, %d, 0", says("10.7.8.1"), says("10.7.9.1"), says("fd07::1"), deny, allow)
	}
	s.Allow = nil
	fine(t, f.Apply([]Service{s}))
	if n := len(all[directorSourceKey, uint32](t, f.kernel.Sources)); n != 0 {
		t.Errorf("%d entries are left, want none", n)
	}
}

func TestFlowsOfSourcesThatAreDeniedEnd(t *testing.T) {
	f := newForwarder(t, Config{})
	s := web(cluster.DR, "10.7.1.100", 80)
	fine(t, f.Apply([]Service{s}))
	table := tableOf("rr", "10.7.1.11")
	fine(t, f.SetTable("web", table))
	list := flowsTo(s, table, 0, 4)
	list[3].Client = netip.MustParseAddrPort("10.7.8.1:4000")
	insertAll(t, f, list)
	start(t, f)
	s.Deny = prefixes("10.7.9.0/24")
	fine(t, f.Apply([]Service{s}))
	until(t, "one flow is left", func() bool { return len(flowsOf(f)) == 1 && table.Shares[0].Live.Active.Load() == 1 })
	if got := flowsOf(f)[0].Client; got != list[3].Client {
		t.Errorf("%s is left, want %s", got, list[3].Client)
	}
}
