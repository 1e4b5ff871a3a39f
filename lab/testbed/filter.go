package testbed

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// A filter loses frames on ports of the switch: at random, or those of certain machines. It is two programs, for what comes
// out of a machine and for what goes in to it, and what they look up by the index of the port.
type filter struct {
	chances *ebpf.Map // chanceKey: of 1<<32 frames, how many are lost
	walls   *ebpf.Map // wallKey: there, frames of that machine are lost
	out, in *ebpf.Program
}

type chanceKey [2]uint32 // index of the port; 1: from the machine, 0: to it

type wallKey [16]byte // index of the port, four bytes; MAC address of the sender, six; nothing

func newWallKey(port int, from net.HardwareAddr) (k wallKey) {
	binary.NativeEndian.PutUint32(k[:], uint32(port))
	copy(k[4:], from)
	return k
}

// Both maps have room for each port of the largest lab, and each wall between machines of it.
const (
	chancesMost = 1024
	wallsMost   = 65536
)

func newFilter() (*filter, error) {
	f := &filter{}
	err := f.load()
	if err != nil {
		f.close()
		return nil, fmt.Errorf("load programs that lose frames: %w", err)
	}
	return f, nil
}

func (f *filter) load() (err error) {
	f.chances, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "lab_chances", Type: ebpf.Hash, KeySize: 8, ValueSize: 8, MaxEntries: chancesMost,
	})
	if err != nil {
		return err
	}
	f.walls, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "lab_walls", Type: ebpf.Hash, KeySize: 16, ValueSize: 1, MaxEntries: wallsMost, Flags: unix.BPF_F_NO_PREALLOC,
	})
	if err != nil {
		return err
	}
	if f.out, err = f.program("lab_out", 1); err != nil {
		return err
	}
	f.in, err = f.program("lab_in", 0)
	return err
}

// Of struct __sk_buff and enum tcx_action_base (linux/bpf.h), and of an Ethernet frame.
const (
	skbIfindex = 40
	tcxNext    = -1
	tcxDrop    = 2
	sourceMAC  = 6
)

func (f *filter) program(name string, out int32) (*ebpf.Program, error) {
	code := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R7, asm.R6, skbIfindex, asm.Word),

		// chances[port, out] > random? lost.
		asm.StoreMem(asm.RFP, -8, asm.R7, asm.Word),
		asm.StoreImm(asm.RFP, -4, int64(out), asm.Word),
		asm.LoadMapPtr(asm.R1, f.chances.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -8),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "walls"),
		asm.LoadMem(asm.R8, asm.R0, 0, asm.DWord),
		asm.FnGetPrandomU32.Call(),
		asm.JLT.Reg(asm.R0, asm.R8, "lost"),
	}
	if out == 0 {
		code = append(code,
			// walls[port, source]? lost. A frame without a source is left to others.
			asm.StoreMem(asm.RFP, -24, asm.R7, asm.Word).WithSymbol("walls"),
			asm.StoreImm(asm.RFP, -20, 0, asm.Word),
			asm.StoreImm(asm.RFP, -16, 0, asm.Word),
			asm.StoreImm(asm.RFP, -12, 0, asm.Word),
			asm.Mov.Reg(asm.R1, asm.R6),
			asm.Mov.Imm(asm.R2, sourceMAC),
			asm.Mov.Reg(asm.R3, asm.RFP),
			asm.Add.Imm(asm.R3, -20),
			asm.Mov.Imm(asm.R4, 6),
			asm.FnSkbLoadBytes.Call(),
			asm.JNE.Imm(asm.R0, 0, "pass"),
			asm.LoadMapPtr(asm.R1, f.walls.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -24),
			asm.FnMapLookupElem.Call(),
			asm.JNE.Imm(asm.R0, 0, "lost"),
			asm.Mov.Imm(asm.R0, tcxNext).WithSymbol("pass"),
		)
	} else {
		code = append(code, asm.Mov.Imm(asm.R0, tcxNext).WithSymbol("walls"))
	}
	code = append(code,
		asm.Return(),
		asm.Mov.Imm(asm.R0, tcxDrop).WithSymbol("lost"),
		asm.Return(),
	)
	return ebpf.NewProgram(&ebpf.ProgramSpec{Name: name, Type: ebpf.SchedCLS, License: "GPL", Instructions: code})
}

// attach puts the programs on a port. The caller's thread is in the switch's space.
func (f *filter) attach(port int) ([]link.Link, error) {
	var list []link.Link
	for _, at := range []struct {
		program *ebpf.Program
		kind    ebpf.AttachType
	}{{f.out, ebpf.AttachTCXIngress}, {f.in, ebpf.AttachTCXEgress}} {
		l, err := link.AttachTCX(link.TCXOptions{Program: at.program, Attach: at.kind, Interface: port})
		if err != nil {
			for _, l := range list {
				_ = l.Close() // the error says more
			}
			return nil, fmt.Errorf("attach a program that loses frames to the switch's port: %w: Linux 6.6 or newer is needed", err)
		}
		list = append(list, l)
	}
	return list, nil
}

// set says what a port loses: parts of the frames in both directions, and all those to it of the walls.
func (f *filter) set(port int, out, in float64, walls []net.HardwareAddr) error {
	f.forget(port)
	for key, loss := range map[chanceKey]float64{{uint32(port), 1}: out, {uint32(port), 0}: in} {
		if loss > 0 {
			if err := f.chances.Put(key, uint64(loss*(1<<32))); err != nil {
				return fmt.Errorf("have a port of the switch lose frames: %w", err)
			}
		}
	}
	for _, mac := range walls {
		if err := f.walls.Put(newWallKey(port, mac), uint8(1)); err != nil {
			return fmt.Errorf("have a port of the switch lose frames from %s: %w", mac, err)
		}
	}
	return nil
}

// forget has the port lose nothing any more.
func (f *filter) forget(port int) {
	for _, out := range []uint32{0, 1} {
		_ = f.chances.Delete(chanceKey{uint32(port), out}) // it may have none
	}
	var key wallKey
	var value uint8
	var old []wallKey
	for all := f.walls.Iterate(); all.Next(&key, &value); {
		if of := newWallKey(port, nil); bytes.Equal(key[:4], of[:4]) {
			old = append(old, key)
		}
	}
	for _, key := range old {
		_ = f.walls.Delete(key) // it was there
	}
}

func (f *filter) close() {
	for _, m := range []*ebpf.Map{f.chances, f.walls} {
		_ = m.Close() // it was only held
	}
	for _, p := range []*ebpf.Program{f.out, f.in} {
		_ = p.Close() // it was only held
	}
}
