package packet

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// The frames of the tests are written as text, layer after layer:
//
//	eth router > me / ip4 client > vip ttl=64 / tcp 40000 > 80 S seq=7 / data 10
//
// Lengths and checksums are what they ought to be, worked out by gopacket, unless the text says otherwise. The layers:
//
//	eth A > B                      addresses by name or as they are
//	vlan 5   qinq 6                tags, 802.1Q and 802.1ad
//	ip4 A > B [ttl= tos= id= df mf off= opts=HEX proto= len= sum= ihl= version=]
//	ip6 A > B [hop= tc= flow= next= len= version=]
//	hbh [N]   dst [N]   route [segments]   ah   frag off= mf id=  next=N in any: what follows, if it is not the next layer
//	tcp P > P FLAGS [seq= ack= win= opts=HEX sum= doff=]   FLAGS: letters of SAFRPU, or - for none
//	udp P > P [sum= len=]
//	gue [flags=]
//	icmp TYPE/CODE [rest=]   icmp6 TYPE/CODE [rest=]   rest: the four bytes after the checksum, a decimal number
//	data N   raw HEX   arp HEX   pad N       N bytes of a pattern; these bytes; N zero bytes that no header's length counts
//	[ LAYERS ]:N                   what the layers make, but only its first N bytes (all, without :N)
//	in   in:N                      the network layer and all above of the frame that went in
//
// off= is in bytes, as is len=; times to live and hop limits are 64 unless said otherwise.

// frame makes the bytes of a text. given is the frame that went in, which `in` stands for.
func frame(text string, given []byte) ([]byte, error) {
	parts, err := split(text)
	if err != nil {
		return nil, err
	}
	pad := 0
	if name, n, _ := strings.Cut(parts[len(parts)-1], " "); name == "pad" {
		if pad, err = strconv.Atoi(n); err != nil {
			return nil, fmt.Errorf("%q: %w", parts[len(parts)-1], err)
		}
		parts = parts[:len(parts)-1]
	}
	made := make([]*layer, len(parts))
	var net gopacket.NetworkLayer // whose addresses are in the checksums of what is above it
	for i, p := range parts {
		if made[i], err = newLayer(p, given); err != nil {
			return nil, fmt.Errorf("%q in %q: %w", p, text, err)
		}
		if n, ok := made[i].what.(gopacket.NetworkLayer); ok {
			net = n
		}
		made[i].below = net
	}
	buf := gopacket.NewSerializeBuffer()
	for i := len(made) - 1; i >= 0; i-- {
		var above *layer
		if i+1 < len(made) {
			above = made[i+1]
		}
		if err := made[i].serialise(buf, above); err != nil {
			return nil, fmt.Errorf("%q in %q: %w", parts[i], text, err)
		}
	}
	return append(append([]byte(nil), buf.Bytes()...), make([]byte, pad)...), nil
}

// split divides a text at its slashes, but for those within brackets and numbers (3/4).
func split(text string) ([]string, error) {
	var parts []string
	depth, from := 0, 0
	for i := range text {
		switch text[i] {
		case '[':
			depth++
		case ']':
			depth--
		case '/':
			if depth == 0 && strings.HasPrefix(text[i:], "/ ") {
				parts, from = append(parts, strings.TrimSpace(text[from:i])), i+1
			}
		}
	}
	if depth != 0 {
		return nil, fmt.Errorf("brackets of %q do not match", text)
	}
	return append(parts, strings.TrimSpace(text[from:])), nil
}

// A layer is one part of a frame's text.
type layer struct {
	name  string
	what  gopacket.SerializableLayer
	below gopacket.NetworkLayer
	set   map[string]string // what the text says of its fields
}

// kinds are the numbers by which what is below names a layer: the EtherType, and the IP protocol.
var kinds = map[string]struct {
	ether layers.EthernetType
	proto layers.IPProtocol
}{
	"vlan": {ether: layers.EthernetTypeDot1Q}, "qinq": {ether: layers.EthernetTypeQinQ},
	"ip4": {layers.EthernetTypeIPv4, layers.IPProtocolIPv4}, "ip6": {layers.EthernetTypeIPv6, layers.IPProtocolIPv6},
	"arp": {ether: layers.EthernetTypeARP},
	"tcp": {proto: layers.IPProtocolTCP}, "udp": {proto: layers.IPProtocolUDP},
	"icmp": {proto: layers.IPProtocolICMPv4}, "icmp6": {proto: layers.IPProtocolICMPv6},
	"hbh": {proto: layers.IPProtocolIPv6HopByHop}, "dst": {proto: layers.IPProtocolIPv6Destination},
	"route": {proto: layers.IPProtocolIPv6Routing}, "frag": {proto: layers.IPProtocolIPv6Fragment},
	"ah": {proto: layers.IPProtocolAH},
}

func newLayer(text string, given []byte) (*layer, error) {
	if strings.HasPrefix(text, "[") {
		return quoted(text, given)
	}
	words := strings.Fields(text)
	l := &layer{name: words[0], set: map[string]string{}}
	var plain []string
	for _, w := range words[1:] {
		if k, v, ok := strings.Cut(w, "="); ok {
			l.set[k] = v
		} else if w != ">" {
			plain = append(plain, w)
		}
	}
	if name, n, ok := strings.Cut(l.name, ":"); ok && name == "in" {
		b, err := cut(network(given), n)
		l.name, l.what = "in", gopacket.Payload(b)
		return l, err
	}
	for len(plain) < 3 {
		plain = append(plain, "")
	}
	var err error
	switch l.name {
	case "eth":
		l.what, err = ethernet(plain[0], plain[1])
	case "vlan", "qinq":
		var id int
		id, err = strconv.Atoi(plain[0])
		l.what = &layers.Dot1Q{VLANIdentifier: uint16(id)}
	case "ip4":
		l.what, err = l.ip4(plain[0], plain[1], plain[2:])
	case "ip6":
		l.what, err = l.ip6(plain[0], plain[1])
	case "tcp":
		l.what, err = l.tcp(plain[0], plain[1], plain[2])
	case "udp":
		l.what = &layers.UDP{SrcPort: layers.UDPPort(number(plain[0])), DstPort: layers.UDPPort(number(plain[1]))}
	case "icmp", "icmp6", "gue", "hbh", "dst", "route", "frag", "ah":
		l.set["kind"], l.set["more"] = plain[0], strings.Join(plain, " ") // made when it is known what follows
	case "data":
		b := make([]byte, number(plain[0]))
		for i := range b {
			b[i] = byte(i*7 + 1)
		}
		l.what = gopacket.Payload(b)
	case "raw", "arp":
		var b []byte
		b, err = hex.DecodeString(plain[0])
		l.what = gopacket.Payload(b)
	case "in":
		l.what = gopacket.Payload(network(given))
	default:
		return nil, fmt.Errorf("there is no layer %q", l.name)
	}
	return l, err
}

func quoted(text string, given []byte) (*layer, error) {
	end := strings.LastIndexByte(text, ']')
	b, err := frame(strings.TrimSpace(text[1:end]), given)
	if err != nil {
		return nil, err
	}
	if n, ok := strings.CutPrefix(text[end+1:], ":"); ok {
		if b, err = cut(b, n); err != nil {
			return nil, err
		}
	}
	return &layer{name: "quoted", what: gopacket.Payload(b)}, nil
}

func cut(b []byte, to string) ([]byte, error) {
	n, err := strconv.Atoi(to)
	if err != nil || n > len(b) {
		return nil, fmt.Errorf("cut %d bytes to %s", len(b), to)
	}
	return b[:n], nil
}

// network is the part of a frame behind its Ethernet header and tags.
func network(frame []byte) []byte {
	at := 12
	for len(frame) >= at+4 && (frame[at] == 0x81 && frame[at+1] == 0 || frame[at] == 0x88 && frame[at+1] == 0xa8) {
		at += 4
	}
	if len(frame) < at+2 {
		return nil
	}
	return frame[at+2:]
}

// number reads a number in a test's text; a wrong one is the test's mistake.
func number(s string) uint64 {
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		panic(fmt.Sprintf("a test's text has %q where a number belongs", s))
	}
	return n
}

// value is what the text says of a field, or what it is otherwise.
func (l *layer) value(key string, otherwise uint64) uint64 {
	if s, ok := l.set[key]; ok {
		return number(s)
	}
	return otherwise
}

// address is the name's address of the wanted family, or the address that the name is.
func address(name string, six bool) (netip.Addr, error) {
	if p, ok := places[name]; ok {
		if six {
			return p.six, nil
		}
		return p.four, nil
	}
	return netip.ParseAddr(name)
}

func hardware(name string) (net.HardwareAddr, error) {
	if p, ok := places[name]; ok {
		return p.mac[:], nil
	}
	return net.ParseMAC(name)
}

func ethernet(from, to string) (*layers.Ethernet, error) {
	src, err := hardware(from)
	if err != nil {
		return nil, err
	}
	dst, err := hardware(to)
	return &layers.Ethernet{SrcMAC: src, DstMAC: dst}, err
}

func (l *layer) ip4(from, to string, words []string) (*layers.IPv4, error) {
	src, err := address(from, false)
	if err != nil {
		return nil, err
	}
	dst, err := address(to, false)
	if err != nil {
		return nil, err
	}
	ip := &layers.IPv4{
		SrcIP: src.AsSlice(), DstIP: dst.AsSlice(), TTL: uint8(l.value("ttl", 64)), TOS: uint8(l.value("tos", 0)),
		Id: uint16(l.value("id", 1)), FragOffset: uint16(l.value("off", 0) / 8),
	}
	for _, w := range words {
		switch w {
		case "df":
			ip.Flags |= layers.IPv4DontFragment
		case "mf":
			ip.Flags |= layers.IPv4MoreFragments
		case "":
		default:
			return nil, fmt.Errorf("what is %q?", w)
		}
	}
	return ip, nil
}

func (l *layer) ip6(from, to string) (*layers.IPv6, error) {
	src, err := address(from, true)
	if err != nil {
		return nil, err
	}
	dst, err := address(to, true)
	return &layers.IPv6{
		Version: 6, SrcIP: src.AsSlice(), DstIP: dst.AsSlice(), HopLimit: uint8(l.value("hop", 64)),
		TrafficClass: uint8(l.value("tc", 0)), FlowLabel: uint32(l.value("flow", 0)),
	}, err
}

func (l *layer) tcp(from, to, flags string) (*layers.TCP, error) {
	t := &layers.TCP{
		SrcPort: layers.TCPPort(number(from)), DstPort: layers.TCPPort(number(to)), Seq: uint32(l.value("seq", 1000)), Window: uint16(l.value("win", 8192)),
	}
	for _, f := range flags {
		switch f {
		case 'S':
			t.SYN = true
		case 'A':
			t.ACK, t.Ack = true, 5000
		case 'F':
			t.FIN = true
		case 'R':
			t.RST = true
		case 'P':
			t.PSH = true
		case 'U':
			t.URG = true
		case '-':
		default:
			return nil, fmt.Errorf("%q is no flag of TCP", f)
		}
	}
	t.Ack = uint32(l.value("ack", uint64(t.Ack)))
	return t, nil
}
