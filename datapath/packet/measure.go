package packet

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// A Trial is what Measure puts the program under: packets of many flows, in turn.
type Trial struct {
	Port  int    // index of the interface that they come in by, in the network of the calling thread
	First []byte // begins a flow: Ethernet, IP without options or extension headers, TCP with SYN
	Next  []byte // goes on with it: the same with ACK
	Flows int    // how many there are: a power of two. They differ in source port, and every 32,768 of them in address
	New   bool   // First is measured, each time of a flow that is not known; otherwise Next, of flows that are
	Turns int    // how many packets Next is measured with; 0: as many as Flows
	Reply []byte // is measured instead of Next, as it is, once the flows are there: what a node sends, of one flow
}

// A Cost is what one packet has cost.
type Cost struct {
	Packet time.Duration // in the program
	Frame  time.Duration // to bring it there, which is not in Packet
	Action uint32        // what the program said of the newest one (linux/bpf.h: 0 aborted, 1 drop, 2 pass, 3 tx, 4 redirect)
	Out    []byte        // what it left of it
}

// tries is how often a measurement that was interrupted is begun anew.
const tries = 10

var errInterrupted = errors.New("a signal came between")

// Measure forgets all flows, and has the program dispatch the packets of the trial, without a network: it is for
// benchmarks, on a Forwarder of their own. It runs on one processor, by BPF_PROG_TEST_RUN.
//
// That repeats a run as often as asked, but each time with what the program has left of the packet: a tunnel would grow
// within itself. So what is repeated is a small program that writes the headers anew, for the next flow, and goes on with
// the one to be measured by a tail call. Its own time is measured with one that only returns, and taken off.
func (f *Forwarder) Measure(ctx context.Context, t Trial) (Cost, error) {
	if t.Flows < 1 || bits.OnesCount(uint(t.Flows)) != 1 {
		return Cost{}, fmt.Errorf("measure with %d flows: their number must be a power of two", t.Flows)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kernel == nil {
		return Cost{}, errClosed
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	nothing, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "nothing", Type: ebpf.XDP, AttachType: ebpf.AttachXDP, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	if err != nil {
		return Cost{}, refused("load a program that does nothing", err)
	}
	defer nothing.Close()
	for range tries {
		var c Cost
		if c, err = f.kernel.measure(t, nothing); err == nil || !errors.Is(err, errInterrupted) || ctx.Err() != nil {
			return c, errors.Join(err, ctx.Err())
		}
	}
	return Cost{}, err
}

func (k *kernel) measure(t Trial, nothing *ebpf.Program) (c Cost, err error) {
	if err := k.forgetFlows(); err != nil {
		return c, err
	}
	frame, turns := t.Next, t.Turns
	if turns == 0 || t.New {
		turns = t.Flows
	}
	if t.New {
		frame = t.First
	} else {
		for _, b := range [][]byte{t.First, t.Next} { // every flow is established
			if _, err := repeat(t.Port, k.Director, flowZero(b), t.Flows, t.Flows); err != nil {
				return c, err
			}
		}
	}
	flows := t.Flows
	if t.Reply != nil {
		frame, flows = t.Reply, 0
	} else {
		frame = flowZero(frame)
	}
	empty, err := repeat(t.Port, nothing, frame, flows, turns)
	if err != nil {
		return c, err
	}
	if c, err = repeat(t.Port, k.Director, frame, flows, turns); err != nil {
		return c, err
	}
	c.Packet, c.Frame = c.Packet-empty.Packet, empty.Packet
	return c, k.forgetFlows()
}

// forgetFlows empties the maps of flows, and takes back what is counted of them.
func (k *kernel) forgetFlows() error {
	keys, values := make([]directorFlowKey, 8192), make([]directorFlow, 8192)
	cursor := new(ebpf.MapBatchCursor)
	for {
		_, err := k.Flows.BatchLookupAndDelete(cursor, keys, values, nil)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			break
		}
		if err != nil {
			return fmt.Errorf("empty %s: %w", k.Flows, err)
		}
	}
	clear(k.firsts.buckets)
	clear(k.live)
	return nil
}

// repeat runs a program with the frame, of one flow after the other; with no flows, as it is.
func repeat(port int, p *ebpf.Program, frame []byte, flows, turns int) (c Cost, err error) {
	next, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return c, refused("make a map of programs", err)
	}
	defer next.Close()
	if err := next.Put(uint32(0), p); err != nil {
		return c, fmt.Errorf("put a program into a map: %w", err)
	}
	turn, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		return c, refused("make a map", err)
	}
	defer turn.Close()
	renew, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "renew", Type: ebpf.XDP, AttachType: ebpf.AttachXDP, License: "GPL", Instructions: renewal(frame, flows, turn.FD(), next.FD()),
	})
	if err != nil {
		return c, refused("load the program that renews packets", err)
	}
	defer renew.Close()
	if c, err = testRun(renew.FD(), frame, port, turns); err != nil {
		return c, err
	}
	var ran uint64
	if err := turn.Lookup(uint32(0), &ran); err != nil {
		return c, err
	}
	if ran != uint64(turns) {
		return c, fmt.Errorf("%d runs of %d: %w", ran, turns, errInterrupted)
	}
	return c, nil
}

// testRun is BPF_PROG_TEST_RUN (bpf(2)) of a frame that comes in by a port. The package that we have for this says nothing
// of the time where it lets the port be named; and its own clock would count what the kernel does once for all turns.
func testRun(program int, frame []byte, port, turns int) (Cost, error) {
	out := make([]byte, len(frame)+256)
	md := [6]uint32{1: uint32(len(frame)), 3: uint32(port)} // struct xdp_md: where data ends, and where it came in
	var pin runtime.Pinner
	defer pin.Unpin()
	at := func(p *byte) uint64 {
		pin.Pin(p)
		return uint64(uintptr(unsafe.Pointer(p)))
	}
	pin.Pin(&md)
	attr := struct {
		program, action, in, out    uint32
		dataIn, dataOut             uint64
		repeat, nanoseconds         uint32
		contextIn, contextOut       uint32
		contextData, contextDataOut uint64
		flags, cpu, batch, _        uint32
	}{
		program: uint32(program), in: uint32(len(frame)), out: uint32(len(out)), dataIn: at(&frame[0]), dataOut: at(&out[0]),
		repeat: uint32(turns), contextIn: uint32(unsafe.Sizeof(md)), contextData: uint64(uintptr(unsafe.Pointer(&md))),
	}
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_TEST_RUN, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	switch errno {
	case 0:
		return Cost{Packet: time.Duration(attr.nanoseconds), Action: attr.action, Out: out[:attr.out]}, nil
	case unix.EINTR, unix.EAGAIN:
		return Cost{}, errInterrupted
	}
	return Cost{}, refused("run the program", errno)
}

// A Size is how large the program is.
type Size struct {
	Instructions int `json:"instructions"` // of eBPF, as the kernel has them
	Bytes        int `json:"bytes"`        // of machine code
	Verified     int `json:"verified"`     // instructions that the verifier went through
}

// Size says how large the program is.
func (f *Forwarder) Size() (Size, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.kernel == nil {
		return Size{}, errClosed
	}
	info, err := f.kernel.Director.Info()
	if err != nil {
		return Size{}, fmt.Errorf("ask about the program: %w", err)
	}
	translated, terr := info.TranslatedSize()
	jited, jerr := info.JitedSize()
	verified, _ := info.VerifiedInstructions() // 0 if the kernel does not say
	return Size{translated / 8, int(jited), int(verified)}, errors.Join(terr, jerr)
}
