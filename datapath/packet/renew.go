package packet

import (
	"bytes"
	"encoding/binary"

	"github.com/cilium/ebpf/asm"
)

const (
	etherSize = 14
	ip4Size   = 20
	ip6Size   = 40
	tcpSize   = 20
)

// renewal is the program that writes a frame's headers anew and goes on with the one in `next`. `turn` counts its runs,
// which are of so many flows in turn; 0: the frame stays as it is.
//
// A flow has its number in its source port and address. What that does to the checksums is taken back where it does not
// matter: by the identification of IPv4, by another part of an IPv6 address, by TCP's window and urgent pointer.
func renewal(frame []byte, flows, turn, next int) asm.Instructions {
	six := frame[12] == 0x86
	ip, tcp := int16(etherSize), int16(etherSize+ip4Size)
	if six {
		tcp = etherSize + ip6Size
	}
	head := frame[:tcp+tcpSize]
	insns := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R6, 4, asm.Word), // xdp_md.data_end
		asm.LoadMem(asm.R3, asm.R6, 0, asm.Word), // xdp_md.data
		asm.Sub.Reg(asm.R2, asm.R3),
		asm.Sub.Imm(asm.R2, int32(len(frame))), // by so much it has grown
		asm.JEq.Imm(asm.R2, 0, "whole"),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.FnXdpAdjustHead.Call(),
		asm.LoadMem(asm.R7, asm.R6, 0, asm.Word).WithSymbol("whole"),
		asm.LoadMem(asm.R8, asm.R6, 4, asm.Word),
		asm.Mov.Reg(asm.R2, asm.R7),
		asm.Add.Imm(asm.R2, int32(len(head))),
		asm.JGT.Reg(asm.R2, asm.R8, "out"),
	}
	at := 0
	for ; at+4 <= len(head); at += 4 {
		insns = append(insns, asm.StoreImm(asm.R7, int16(at), int64(int32(binary.NativeEndian.Uint32(head[at:]))), asm.Word))
	}
	for ; at < len(head); at++ {
		insns = append(insns, asm.StoreImm(asm.R7, int16(at), int64(int8(head[at])), asm.Byte))
	}
	// Half a word of the packet, and its complement somewhere else.
	both := func(at, other int16) asm.Instructions {
		return asm.Instructions{
			asm.HostTo(asm.BE, asm.R3, asm.Half),
			asm.StoreMem(asm.R7, at, asm.R3, asm.Half),
			asm.Xor.Imm(asm.R3, 0xffff),
			asm.StoreMem(asm.R7, other, asm.R3, asm.Half),
		}
	}
	insns = append(
		insns,
		asm.LoadMapValue(asm.R1, turn, 0),
		asm.LoadMem(asm.R2, asm.R1, 0, asm.DWord),
		asm.Mov.Reg(asm.R3, asm.R2),
		asm.Add.Imm(asm.R3, 1),
		asm.StoreMem(asm.R1, 0, asm.R3, asm.DWord),
	)
	if flows > 0 {
		insns = append(
			insns,
			asm.And.Imm(asm.R2, int32(flows-1)),
			asm.Mov.Reg(asm.R3, asm.R2),
			asm.And.Imm(asm.R3, 0x7fff),
			asm.Or.Imm(asm.R3, 0x8000),
		)
		insns = append(insns, both(tcp, tcp+14)...)
		insns = append(insns, asm.Mov.Reg(asm.R3, asm.R2), asm.RSh.Imm(asm.R3, 15), asm.Add.Imm(asm.R3, 1))
		if six {
			insns = append(insns, both(ip+22, ip+20)...)
		} else {
			insns = append(insns, both(ip+14, ip+4)...)
			insns = append(insns, asm.StoreMem(asm.R7, tcp+18, asm.R3, asm.Half))
		}
	}
	return append(
		insns,
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.LoadMapPtr(asm.R2, next),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnTailCall.Call(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("out"), // the frame is too short, or the call was one too deep
		asm.Return(),
	)
}

// flowZero is the frame as the first flow has it, with the checksums that all have.
func flowZero(frame []byte) []byte {
	b := bytes.Clone(frame)
	ip, tcp := b[etherSize:], b[etherSize+ip4Size:]
	addresses := ip[12:20]
	if b[12] == 0x86 {
		tcp, addresses = b[etherSize+ip6Size:], ip[8:40]
	}
	set := func(to []byte, v uint16) { binary.BigEndian.PutUint16(to, v) }
	set(tcp, 0x8000)
	set(tcp[14:], 0x7fff)
	if b[12] == 0x86 {
		set(ip[22:], 1)
		set(ip[20:], 0xfffe)
	} else {
		set(ip[14:], 1)
		set(ip[4:], 0xfffe)
		set(tcp[18:], 0xfffe)
		set(ip[10:], 0)
		set(ip[10:], internetSum(0, ip[:ip4Size]))
	}
	set(tcp[16:], 0)
	set(tcp[16:], internetSum(uint32(TCP)+uint32(len(tcp)), addresses, tcp))
	return b
}

// internetSum is the checksum of RFC 1071 over the parts, each of even length but the last, and what begin adds to them.
func internetSum(begin uint32, parts ...[]byte) uint16 {
	total := uint64(begin)
	for _, b := range parts {
		for ; len(b) > 1; b = b[2:] {
			total += uint64(binary.BigEndian.Uint16(b))
		}
		if len(b) == 1 {
			total += uint64(b[0]) << 8
		}
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return ^uint16(total)
}
