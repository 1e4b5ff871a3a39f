package packet

import (
	"fmt"
	"net/netip"
	"time"

	"muster/cluster"
)

// check says what is wrong with services, taken for themselves.
func check(list []Service, cfg Config) error {
	names := map[string]bool{}
	fronts := map[Front]string{}
	entries := 0
	for _, s := range list {
		if s.Name == "" {
			return fmt.Errorf("%w: a service has no name", ErrConflict)
		}
		if names[s.Name] {
			return fmt.Errorf("%w: there are two services %s", ErrConflict, s.Name)
		}
		names[s.Name] = true
		if err := s.check(); err != nil {
			return fmt.Errorf("service %s: %w", s.Name, err)
		}
		for _, fr := range s.Fronts {
			if other, ok := fronts[fr]; ok {
				return fmt.Errorf("service %s: %w: %s is a front of service %s already", s.Name, ErrConflict, fr, other)
			}
			fronts[fr] = s.Name
		}
		entries += len(s.Allow) + len(s.Deny)
	}
	switch {
	case len(list) > mostServices:
		return fmt.Errorf("%w: %d services are asked for; there is room for %d", ErrFull, len(list), mostServices)
	case len(fronts) > mostFronts:
		return fmt.Errorf("%w: %d addresses and ports are asked for; there is room for %d", ErrFull, len(fronts), mostFronts)
	case entries > cfg.Sources:
		return fmt.Errorf("%w: the source lists have %d entries; there is room for %d, unless Sources is larger", ErrFull, entries, cfg.Sources)
	}
	return nil
}

func (fr Front) String() string {
	return fmt.Sprintf("%s %s", fr.Proto, netip.AddrPortFrom(fr.VIP, fr.Port))
}

func (s *Service) check() error {
	switch s.Dispatch {
	case cluster.DR, cluster.Tunnel, cluster.NAT:
	default:
		return fmt.Errorf("%w: dispatch %q is none of the kernel's: dr, tunnel or nat", ErrConflict, s.Dispatch)
	}
	if len(s.Fronts) == 0 {
		return fmt.Errorf("%w: it has no address", ErrConflict)
	}
	for _, fr := range s.Fronts {
		if !plain(fr.VIP) || fr.VIP.IsUnspecified() || fr.VIP.IsMulticast() {
			return fmt.Errorf("%w: %s: clients cannot send to that", ErrConflict, fr)
		}
		if fr.Proto != TCP && fr.Proto != UDP {
			return fmt.Errorf("%w: %s: protocol %d is not dispatched: tcp or udp", ErrConflict, fr, fr.Proto)
		}
	}
	said := map[netip.Prefix]bool{}
	for i, p := range append(append([]netip.Prefix(nil), s.Allow...), s.Deny...) {
		if !p.IsValid() || !plain(p.Addr()) {
			return fmt.Errorf("%w: entry %d of its source lists is no prefix of addresses", ErrConflict, i)
		}
		if p = p.Masked(); said[p] {
			return fmt.Errorf("%w: %s is on its source lists twice", ErrConflict, p)
		}
		said[p] = true
	}
	for _, d := range []time.Duration{s.Timeouts.SYN, s.Timeouts.Established, s.Timeouts.Closing, s.Timeouts.UDP} {
		if d < 0 || d > 365*24*time.Hour {
			return fmt.Errorf("%w: a flow cannot be kept for %s", ErrConflict, d)
		}
	}
	if s.Rate < 0 || s.Burst < 0 || s.Rate > 1e9 || s.Burst > 1e9 {
		return fmt.Errorf("%w: at most %d new flows a second, %d at once: from 0 to 1,000,000,000", ErrConflict, s.Rate, s.Burst)
	}
	return nil
}

// plain says whether an address is one that packets have: valid, without a zone, and IPv4 as such.
func plain(a netip.Addr) bool { return a.IsValid() && a.Zone() == "" && !a.Is4In6() }
