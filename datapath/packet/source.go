package packet

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// What an entry of a source list does.
const (
	allow = 1
	deny  = 2
)

// sourcesOf is what the source lists of services are to hold.
func sourcesOf(list []wanted) map[directorSourceKey]uint32 {
	all := map[directorSourceKey]uint32{}
	for _, w := range list {
		if four := netip.PrefixFrom(netip.IPv4Unspecified(), 0); len(w.def.Allow) > 0 {
			// The kernel has IPv4 addresses mapped into IPv6, but ::/0 is not meant for them.
			all[sourceKey(w.place, four)] = deny
		} else if len(w.def.Deny) > 0 {
			all[sourceKey(w.place, four)] = allow
		}
		for _, p := range w.def.Allow {
			all[sourceKey(w.place, p)] = allow
		}
		for _, p := range w.def.Deny {
			all[sourceKey(w.place, p)] = deny
		}
	}
	return all
}

func sourceKey(service uint32, p netip.Prefix) directorSourceKey {
	bits := 32 + p.Bits() // the service comes first
	if p.Addr().Is4() {
		bits += 96
	}
	k := directorSourceKey{Prefixlen: uint32(bits), Service: service}
	k.Addr.W = toWire(p.Masked().Addr())
	return k
}

// addSources adds what the lists are to hold to what they hold, the longest prefixes first: so each source meets either
// what it met before or what it is to meet, at every moment. If it cannot, it puts back what was.
func (f *Forwarder) addSources(want map[directorSourceKey]uint32) error {
	keys := slices.SortedFunc(maps.Keys(want), func(a, b directorSourceKey) int { return cmp.Compare(b.Prefixlen, a.Prefixlen) })
	for _, k := range keys {
		if f.sources[k] == want[k] {
			continue
		}
		if err := f.kernel.Sources.Put(k, want[k]); err != nil {
			f.restoreSources(want)
			return fmt.Errorf("write map %s: %w: %d entries are asked for (%w)", directorMapSources, ErrFull, len(want), err)
		}
	}
	return nil
}

// restoreSources takes back what addSources did. What it meets is either there or not: there is nothing to do about it.
func (f *Forwarder) restoreSources(want map[directorSourceKey]uint32) {
	for k, v := range want {
		if old, had := f.sources[k]; !had {
			_ = f.kernel.Sources.Delete(k)
		} else if old != v {
			_ = f.kernel.Sources.Put(k, old)
		}
	}
}

// dropSources removes what the lists are not to hold any more, the shortest prefixes first, for the same reason.
func (f *Forwarder) dropSources(want map[directorSourceKey]uint32) {
	over := slices.DeleteFunc(slices.Collect(maps.Keys(f.sources)), func(k directorSourceKey) bool { _, stays := want[k]; return stays })
	slices.SortFunc(over, func(a, b directorSourceKey) int { return cmp.Compare(a.Prefixlen, b.Prefixlen) })
	for _, k := range over {
		_ = f.kernel.Sources.Delete(k) // it is not there, then
	}
	f.sources = want
}

func sameLists(a, b Service) bool {
	return slices.Equal(a.Allow, b.Allow) && slices.Equal(a.Deny, b.Deny)
}

// A judge says whether a source may have flows of a service, as the kernel does.
type judge struct {
	verdicts map[netip.Prefix]int
	bits     []int // lengths of prefixes that occur, the longest first
	others   bool  // who is on no list may
}

func newJudge(s Service) *judge {
	j := &judge{verdicts: map[netip.Prefix]int{}, others: len(s.Allow) == 0}
	for _, p := range s.Allow {
		j.verdicts[p.Masked()] = allow
	}
	for _, p := range s.Deny {
		j.verdicts[p.Masked()] = deny
	}
	for p := range j.verdicts {
		if !slices.Contains(j.bits, p.Bits()) {
			j.bits = append(j.bits, p.Bits())
		}
	}
	slices.SortFunc(j.bits, func(a, b int) int { return cmp.Compare(b, a) })
	return j
}

func (j *judge) admits(a netip.Addr) bool {
	for _, n := range j.bits {
		p, err := a.Prefix(n)
		if err != nil { // longer than the address
			continue
		}
		if v, ok := j.verdicts[p]; ok {
			return v == allow
		}
	}
	return j.others
}
