package packet

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// serialise puts the layer ahead of what is in the buffer, which is the layer above it and what that carries.
func (l *layer) serialise(buf gopacket.SerializeBuffer, above *layer) error {
	right := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	var next string
	if above != nil {
		next = above.name
		if next == "in" || next == "quoted" {
			next = versionOf(buf.Bytes())
		}
	}
	proto := kinds[next].proto
	if l.set != nil {
		proto = layers.IPProtocol(l.value("next", l.value("proto", uint64(proto))))
	}
	switch what := l.what.(type) {
	case *layers.Ethernet:
		b, err := buf.PrependBytes(14) // gopacket would pad a short frame
		if err == nil {
			copy(b, what.DstMAC)
			copy(b[6:], what.SrcMAC)
			binary.BigEndian.PutUint16(b[12:], uint16(kinds[next].ether))
		}
		return err
	case *layers.Dot1Q:
		what.Type = kinds[next].ether
		return what.SerializeTo(buf, right)
	case *layers.IPv4:
		what.Protocol = proto
		return l.putIPv4(what, buf)
	case *layers.IPv6:
		what.NextHeader = proto
		if err := what.SerializeTo(buf, right); err != nil {
			return err
		}
		l.patch(buf.Bytes(), "len", 4, 2)
		l.patch(buf.Bytes(), "version", 0, -1)
		return nil
	case *layers.TCP:
		return l.putTCP(what, buf)
	case *layers.UDP:
		if err := what.SetNetworkLayerForChecksum(l.below); err != nil {
			return err
		}
		if err := what.SerializeTo(buf, right); err != nil {
			return err
		}
		l.patch(buf.Bytes(), "len", 4, 2)
		l.patch(buf.Bytes(), "sum", 6, 2)
		return nil
	case gopacket.Payload:
		return what.SerializeTo(buf, right)
	}
	return l.putPlain(buf, uint8(proto))
}

// versionOf names the IP version of bytes that come without a name.
func versionOf(b []byte) string {
	if len(b) > 0 && b[0]>>4 == 6 {
		return "ip6"
	}
	return "ip4"
}

// patch writes what the text says of a field over what is right. Width -1 is the upper half of a byte, -2 its lower one.
func (l *layer) patch(b []byte, key string, at, width int) {
	if _, ok := l.set[key]; !ok {
		return
	}
	v := l.value(key, 0)
	switch width {
	case -1:
		b[at] = b[at]&0x0f | byte(v)<<4
	case -2:
		b[at] = b[at]&0xf0 | byte(v)
	case 2:
		binary.BigEndian.PutUint16(b[at:], uint16(v))
	}
}

func (l *layer) putIPv4(ip *layers.IPv4, buf gopacket.SerializeBuffer) error {
	options, err := hex.DecodeString(l.set["opts"])
	if err != nil {
		return err
	}
	// gopacket knows options one by one; as they are here, they are made by hand.
	above := len(buf.Bytes())
	b, err := buf.PrependBytes(20 + len(options))
	if err != nil {
		return err
	}
	clear(b)
	b[0] = 4<<4 | uint8(5+len(options)/4)
	b[1] = ip.TOS
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+above))
	binary.BigEndian.PutUint16(b[4:], ip.Id)
	binary.BigEndian.PutUint16(b[6:], uint16(ip.Flags)<<13|ip.FragOffset)
	b[8], b[9] = ip.TTL, uint8(ip.Protocol)
	copy(b[12:], ip.SrcIP.To4())
	copy(b[16:], ip.DstIP.To4())
	copy(b[20:], options)
	l.patch(b, "len", 2, 2)
	l.patch(b, "version", 0, -1)
	l.patch(b, "ihl", 0, -2)
	binary.BigEndian.PutUint16(b[10:], gopacket.FoldChecksum(gopacket.ComputeChecksum(b, 0)))
	l.patch(b, "sum", 10, 2)
	return nil
}

func (l *layer) putTCP(t *layers.TCP, buf gopacket.SerializeBuffer) error {
	options, err := hex.DecodeString(l.set["opts"])
	if err != nil {
		return err
	}
	for at := 0; at < len(options); {
		o := layers.TCPOption{OptionType: layers.TCPOptionKind(options[at]), OptionLength: 1}
		if options[at] > 1 {
			o.OptionLength = options[at+1]
			o.OptionData = options[at+2 : at+int(o.OptionLength)]
		}
		t.Options = append(t.Options, o)
		at += int(o.OptionLength)
	}
	if err := t.SetNetworkLayerForChecksum(l.below); err != nil {
		return err
	}
	if err := t.SerializeTo(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}); err != nil {
		return err
	}
	l.patch(buf.Bytes(), "doff", 12, -1)
	l.patch(buf.Bytes(), "sum", 16, 2)
	return nil
}

// putPlain puts the headers that are made by hand, each a few bytes.
func (l *layer) putPlain(buf gopacket.SerializeBuffer, next uint8) error {
	above := buf.Bytes()
	put := func(head []byte) error {
		b, err := buf.PrependBytes(len(head))
		copy(b, head)
		return err
	}
	switch l.name {
	case "gue": // variant 0: control bit and header length 0, the protocol, flags
		return put(binary.BigEndian.AppendUint16([]byte{0, next}, uint16(l.value("flags", 0))))
	case "hbh", "dst": // one option that pads (PadN), of N times 8 bytes more
		more := 0
		if l.set["kind"] != "" {
			more = int(number(l.set["kind"]))
		}
		head := make([]byte, 8+8*more)
		head[0], head[1], head[2], head[3] = next, byte(more), 1, byte(4+8*more)
		return put(head)
	case "route":
		return put([]byte{next, 0, 4, byte(number(l.set["kind"])), 0, 0, 0, 0})
	case "ah": // RFC 4302: length in words less 2
		return put(append([]byte{next, 4}, make([]byte, 22)...))
	case "frag":
		off := uint16(l.value("off", 0)) // in bytes, which is where the field has it
		if strings.Contains(l.set["more"], "mf") {
			off |= 1
		}
		head := binary.BigEndian.AppendUint16([]byte{next, 0}, off)
		return put(binary.BigEndian.AppendUint32(head, uint32(l.value("id", 1))))
	case "icmp", "icmp6":
		var kind, code uint8
		if _, err := fmt.Sscanf(l.set["kind"], "%d/%d", &kind, &code); err != nil {
			return fmt.Errorf("a type and code like 3/4: %w", err)
		}
		whole := append(binary.BigEndian.AppendUint32([]byte{kind, code, 0, 0}, uint32(l.value("rest", 0))), above...)
		var sum uint32
		if ip, ok := l.below.(*layers.IPv6); ok && l.name == "icmp6" {
			pseudo := append(append([]byte(nil), ip.SrcIP...), ip.DstIP...)
			pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(whole)))
			sum = gopacket.ComputeChecksum(append(pseudo, 0, 0, 0, 58), 0)
		}
		binary.BigEndian.PutUint16(whole[2:], gopacket.FoldChecksum(gopacket.ComputeChecksum(whole, sum)))
		l.patch(whole, "sum", 2, 2)
		return put(whole[:8])
	}
	return fmt.Errorf("%s cannot be made", l.name)
}
