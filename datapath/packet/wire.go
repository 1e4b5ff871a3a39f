package packet

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// layout is LAYOUT of bpf/types.h: what keys and values look like. Maps that were pinned under another one are not taken
// over; their flows are copied.
const layout = 1

// The bounds of bpf/types.h. Place 0 is no service; the last one is kept for settle.
const (
	mostServices = 1024 - 2
	mostFronts   = 16384
	mostNodes    = 16384
	mostMembers  = 4096
	mostSlots    = 65537
)

// wireAddr is an address as the kernel's program has it: network order, IPv4 mapped into IPv6.
type wireAddr = [4]uint32

func toWire(a netip.Addr) (w wireAddr) {
	b := a.As16()
	for i := range w {
		w[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	return w
}

func fromWire(w wireAddr) netip.Addr {
	var b [16]byte
	for i := range w {
		binary.NativeEndian.PutUint32(b[4*i:], w[i])
	}
	return netip.AddrFrom16(b).Unmap()
}

// networkOrder is a port as a packet has it, and the other way round. The objects are for little-endian machines.
func networkOrder(port uint16) uint16 { return bits.ReverseBytes16(port) }

// frontKey is a front as the key of `services`.
func frontKey(f Front) (k directorFront) {
	k.Vip.W, k.Port, k.Proto = toWire(f.VIP), networkOrder(f.Port), uint8(f.Proto)
	return k
}

func frontOf(k directorFront) Front {
	return Front{VIP: fromWire(k.Vip.W), Port: networkOrder(k.Port), Proto: Proto(k.Proto)}
}

// wholeKey is the entry of `services` for packets to the front's address whose port cannot be read.
func wholeKey(f Front) directorFront {
	f.Port = 0
	k := frontKey(f)
	k.Whole = 1
	return k
}

func flowKey(p Proto, client, vip netip.AddrPort) (k directorFlowKey) {
	k.Src.W, k.Sport = toWire(client.Addr()), networkOrder(client.Port())
	k.Dst.W, k.Dport = toWire(vip.Addr()), networkOrder(vip.Port())
	k.Proto = uint8(p)
	return k
}

// from and to are the two ends of a flow's key.
func (k *directorFlowKey) from() netip.AddrPort {
	return netip.AddrPortFrom(fromWire(k.Src.W), networkOrder(k.Sport))
}

func (k *directorFlowKey) to() netip.AddrPort {
	return netip.AddrPortFrom(fromWire(k.Dst.W), networkOrder(k.Dport))
}

// counted says whether node_live.active has the flow.
func (v *directorFlow) counted() bool { return v.Flags&uint8(directorFlowFlagF_COUNTED) != 0 }

// reply says whether this is what a node of a nat service sends.
func (v *directorFlow) reply() bool { return v.Flags&uint8(directorFlowFlagF_REPLY) != 0 }

// idle is how long ago the newest packet came. The program may have seen one since now was taken.
func (v *directorFlow) idle(now uint64) time.Duration {
	if v.Seen > now {
		return 0
	}
	return time.Duration(now - v.Seen)
}

// ktime is the clock of the kernel's program, in nanoseconds.
func ktime() uint64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(fmt.Sprintf("packet: read the monotonic clock: %v", err)) // it has no reason to fail
	}
	return uint64(t.Nano())
}

// bytesOf is the memory of a slice of plain values.
func bytesOf[T any](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(s[0])))
}

// memoryOf is the memory of a plain value.
func memoryOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

// int64sOf is mapped memory as the numbers that it holds.
func int64sOf(b []byte) []int64 {
	return unsafe.Slice((*int64)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/8)
}
