package doctor

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// listening: whether applications listen where packets for them arrive.
func listening(_ context.Context, e *examination) {
	if e.Traffic == nil {
		return
	}
	open := map[bool][]netip.AddrPort{}
	for udp, name := range map[bool]string{false: "tcp", true: "udp"} {
		for _, family := range []string{"", "6"} {
			list, err := sockets("/proc/thread-self/net/"+name+family, udp)
			if err != nil && !os.IsNotExist(err) { // without IPv6 there is none
				e.warn("traffic node", "applications", err.Error(), "it cannot be seen where they listen", "", nil)
				return
			}
			open[udp] = append(open[udp], list...)
		}
	}
	for _, l := range e.Traffic.Listens {
		name := "application of service " + l.Service
		proto := "TCP"
		if l.UDP {
			proto = "UDP"
		}
		if i := slices.IndexFunc(open[l.UDP], func(at netip.AddrPort) bool { return reaches(at, l.At) }); i >= 0 {
			e.ok("traffic node", name, fmt.Sprintf("%s %s is listened on, by %s", proto, l.At, open[l.UDP][i]))
			continue
		}
		e.wrong("traffic node", name, fmt.Sprintf("nothing listens on %s %s", proto, l.At), "clients are refused",
			"start it, and have it listen on that address or on all; ss -ltnup", nil)
	}
}

// reaches says whether a socket takes what is sent to an address: it is bound to that or to all.
func reaches(socket, to netip.AddrPort) bool {
	if socket.Port() != to.Port() {
		return false
	}
	a := socket.Addr()
	return a == to.Addr() || a.IsUnspecified() && (a.Is6() || to.Addr().Is4())
}

// sockets reads the sockets that listen from a table of /proc/net.
func sockets(path string, udp bool) ([]netip.AddrPort, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseSockets(f, udp)
}

func parseSockets(r io.Reader, udp bool) ([]netip.AddrPort, error) {
	listens := "0A" // TCP_LISTEN
	if udp {
		listens = "07" // TCP_CLOSE, which of UDP means that it hears everybody
	}
	var list []netip.AddrPort
	s := bufio.NewScanner(r)
	s.Scan() // the heading
	for s.Scan() {
		fields := strings.Fields(s.Text())
		if len(fields) < 4 || fields[3] != listens {
			continue
		}
		if at, ok := socketAddr(fields[1]); ok {
			list = append(list, at)
		}
	}
	return list, s.Err()
}

// socketAddr reads an address as /proc/net has it: words of 32 bits in the machine's order, and a port.
func socketAddr(text string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(text, ":")
	b, err := hex.DecodeString(host)
	n, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		slices.Reverse(b[i : i+4]) // a little-endian machine, as the programs are for
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), true
}

// firewall: whether rules of nftables may drop what comes for a VIP. It sees what is dropped unless a rule lets it in, and
// not what the rules say.
func firewall(ctx context.Context, e *examination) {
	if e.Traffic == nil || len(e.Traffic.Listens) == 0 {
		return
	}
	nft, err := exec.LookPath("nft")
	if err != nil {
		return // most likely there are no rules either
	}
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	text, err := exec.CommandContext(ctx, nft, "-j", "list", "chains").Output()
	if err != nil {
		e.warn("traffic node", "firewall", "nft list chains: "+err.Error(), "it cannot be seen whether packets are dropped", "sudo muster doctor", nil)
		return
	}
	dropping, err := droppingChains(text)
	if err != nil {
		e.warn("traffic node", "firewall", err.Error(), "it cannot be seen whether packets are dropped", "nft list ruleset", nil)
		return
	}
	for _, c := range dropping {
		e.warn("traffic node", "firewall", fmt.Sprintf("chain %s of table %s %s drops what no rule lets in", c.Name, c.Family, c.Table),
			"packets for VIPs may be dropped", fmt.Sprintf("nft list chain %s %s %s; let in what comes for the VIPs", c.Family, c.Table, c.Name), nil)
	}
	if len(dropping) == 0 {
		e.ok("traffic node", "firewall", "no chain drops what comes in")
	}
}

// A chain is one of nftables.
type chain struct {
	Family, Table, Name, Hook, Policy string
}

// droppingChains are those that drop what comes in and no rule accepts.
func droppingChains(text []byte) ([]chain, error) {
	var all struct {
		Nftables []struct{ Chain *chain }
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("read what nft says: %w", err)
	}
	var list []chain
	for _, one := range all.Nftables {
		if c := one.Chain; c != nil && c.Policy == "drop" && slices.Contains([]string{"prerouting", "input", "ingress"}, c.Hook) {
			list = append(list, *c)
		}
	}
	return list, nil
}
