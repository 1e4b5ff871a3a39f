package peer

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
)

// NFTables has the kernel of a host balance by NAT, connection after connection in turn: nftables with the kernel's
// connection tracking. It has no process and ends with the host's network. Front is an address of the host's own; the
// nodes, all on one port, must send what they answer by way of the host, which must forward.
func NFTables(on Host, front netip.AddrPort, nodes []netip.AddrPort) error {
	nft, err := Find("nft")
	if err != nil {
		return fmt.Errorf("nft is not installed: run apt-get install nftables")
	}
	rules := nftRules(front, nodes)
	return on.Do(func() error {
		cmd := exec.Command(nft, "-f", "-")
		cmd.Stdin = strings.NewReader(rules)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("have nft take these rules: %w: %s\n%s", err, out, rules)
		}
		return nil
	})
}

func nftRules(front netip.AddrPort, nodes []netip.AddrPort) string {
	family := "ip"
	if front.Addr().Is6() {
		family = "ip6"
	}
	var list []string
	for i, n := range nodes {
		list = append(list, fmt.Sprintf("%d : %s", i, n.Addr()))
	}
	return fmt.Sprintf(`table %[1]s balance {
	chain in {
		type nat hook prerouting priority dstnat;
		%[1]s daddr %[2]s tcp dport %[3]d dnat to numgen inc mod %[4]d map { %[5]s }:%[6]d
	}
}
`, family, front.Addr(), front.Port(), len(nodes), strings.Join(list, ", "), nodes[0].Port())
}
