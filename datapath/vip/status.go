package vip

import (
	"net/netip"
	"slices"
)

// A Status says how things stand.
type Status struct {
	Settings []Setting    `json:"settings"`
	Answer   []netip.Addr `json:"answer"`            // the VIPs that this machine answers for
	Tunnels  *Tunnels     `json:"tunnels,omitempty"` // nil: none are unpacked
	Problem  string       `json:"problem,omitempty"` // all that was wrong when it was last looked at, a line each
}

// A Setting is one thing that is wanted of the machine's network.
type Setting struct {
	What    string `json:"what"`              // as an operator would type it
	Problem string `json:"problem,omitempty"` // why it is not so; empty: it is
	Ours    bool   `json:"ours"`              // it was changed by us, and will be put back; otherwise it was so before
	Times   uint64 `json:"times"`             // how often it was done; more than once means that somebody undid it
}

// Tunnels are the figures of the program that unpacks, since it was loaded.
type Tunnels struct {
	Ports   []string        `json:"ports"`
	Packets uint64          `json:"packets"`
	Bytes   uint64          `json:"bytes"`              // of what was inside
	Clamped uint64          `json:"clamped"`            // SYN-ACKs whose MSS was made to fit the tunnel
	NotDone map[Fate]uint64 `json:"not_done,omitempty"` // packets that were not unpacked
}

// Status may be called at any time. It waits for an Apply that is under way.
func (h *Host) Status() Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.seen
	s.Settings, s.Answer = slices.Clone(s.Settings), slices.Clone(s.Answer)
	if h.programs == nil {
		return s
	}
	t := &Tunnels{NotDone: map[Fate]uint64{}}
	for _, p := range h.ports {
		if h.programs.links["in-"+p.Name] != nil {
			t.Ports = append(t.Ports, p.Name)
		}
	}
	packets, bytes, err := h.programs.figures()
	if err != nil {
		h.log.Error("figures of tunnels cannot be read", "error", err)
	}
	for f, n := range packets {
		switch {
		case f == int(decapFateUNWRAPPED):
			t.Packets, t.Bytes = n, bytes[f]
		case f == int(decapFateCLAMPED):
			t.Clamped = n
		case n > 0:
			t.NotDone[fates[f]] = n
		}
	}
	s.Tunnels = t
	return s
}
