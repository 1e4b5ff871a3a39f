package vip

import (
	"net/netip"
	"slices"
	"time"

	"muster/internal/netset"
)

// news is a VIP of which a port's LAN is to be told.
type news struct {
	at   time.Time
	link string
	vip  netip.Addr
}

// announce has the LAN told of a VIP, now and some times later: a frame may be lost, and a switch may be learning. The
// caller holds mu.
func (h *Host) announce(a netset.Address) {
	h.due = slices.DeleteFunc(h.due, func(n news) bool { return n.link == a.Link && n.vip == a.Addr })
	now := time.Now()
	for _, after := range h.cfg.Announce {
		h.due = append(h.due, news{now.Add(after), a.Link, a.Addr})
	}
	select {
	case h.wake <- struct{}{}:
	default: // Run knows
	}
}

// tell announces what is due, and says when the next is.
func (h *Host) tell() (next time.Time, some bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	byLink := map[string][]netip.Addr{}
	h.due = slices.DeleteFunc(h.due, func(n news) bool {
		switch {
		case !slices.Contains(h.seen.Answer, n.vip): // given up since
			return true
		case n.at.After(now):
			if !some || n.at.Before(next) {
				next, some = n.at, true
			}
			return false
		}
		if !slices.Contains(byLink[n.link], n.vip) {
			byLink[n.link] = append(byLink[n.link], n.vip)
		}
		return true
	})
	for link, vips := range byLink {
		if err := announce(link, vips, h.want.Forward); err != nil {
			h.log.Error("a VIP is not announced", "port", link, "error", err)
		}
	}
	return next, some
}

// notePorts notes the ports. One that can carry frames again has its VIPs announced: who was on its LAN may have been
// somebody else meanwhile. The caller holds mu.
func (h *Host) notePorts(list []Port) {
	for _, p := range list {
		i := slices.IndexFunc(h.ports, func(old Port) bool { return old.Index == p.Index })
		if i < 0 || h.ports[i].Up || !p.Up {
			continue
		}
		for _, v := range h.seen.Answer {
			if at, ok := PortOf(list, v); ok && at.Index == p.Index {
				h.announce(netset.Address{Link: p.Name, Addr: v})
			}
		}
	}
	h.ports = list
}
