package packet

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// Branches counts which ways the program's conditional jumps have gone. A mark, three instructions that set a byte of a
// map, is put on either way of each jump: behind the jump, and in a stretch at the function's end that leads on to where
// it jumps to. A mark needs a register whose value nobody reads any more; where there is none, the way is not marked.
type branches struct {
	ways []branch // by place in the map
}

// A branch is one of the two that a conditional jump can go.
type branch struct {
	source string // the line of C, as the compiler says
	marked bool
}

const marksMap = "branches"

// instrument puts marks into the program of the spec.
func instrument(spec *ebpf.CollectionSpec, program string) *branches {
	b := &branches{}
	p := spec.Programs[program]
	var whole asm.Instructions
	for from := 0; from < len(p.Instructions); {
		to := from + 1
		for to < len(p.Instructions) && p.Instructions[to].Symbol() == "" {
			to++
		}
		whole = append(whole, b.function(p.Instructions[from:to], fmt.Sprintf("f%d_", from))...)
		from = to
	}
	p.Instructions = whole
	spec.Maps[marksMap] = &ebpf.MapSpec{Name: marksMap, Type: ebpf.Array, KeySize: 4, ValueSize: uint32(len(b.ways)), MaxEntries: 1}
	return b
}

// function marks one function. label is ahead of all labels in it.
func (b *branches) function(code asm.Instructions, label string) asm.Instructions {
	targets := jumps(code)
	dead := unread(code, targets)
	at := func(i int) string { return fmt.Sprintf("%s%d", label, i) }
	aim := map[int]bool{} // who is jumped to, and so needs a label
	for _, to := range targets {
		aim[to] = true
	}
	var out, end asm.Instructions
	var source string
	for i, ins := range code {
		if l, ok := ins.Source().(*btf.Line); ok {
			source = fmt.Sprintf("%s:%d: %s", filepath.Base(l.FileName()), l.LineNumber(), strings.TrimSpace(l.Line()))
		}
		if aim[i] && i > 0 {
			ins = ins.WithSymbol(at(i))
		}
		to, jumping := targets[i]
		if jumping {
			if ins.OpCode.JumpOp() == asm.Ja {
				ins.OpCode, ins.Constant = asm.Ja.Op(asm.ImmSource), 0
			}
			ins.Offset = -1
			ins = ins.WithReference(at(to))
		}
		if !jumping || ins.OpCode.JumpOp() == asm.Ja {
			out = append(out, ins)
			continue
		}
		if mark := b.mark(branch{source: source}, dead[to]); mark != nil {
			stretch := at(i) + "_taken"
			ins = ins.WithReference(stretch)
			mark[0] = mark[0].WithSymbol(stretch)
			end = append(append(end, mark...), asm.Ja.Label(at(to)))
		}
		out = append(out, ins)
		out = append(out, b.mark(branch{source: source}, dead[i+1])...)
	}
	return append(out, end...)
}

// mark notes a way, and returns what marks it.
func (b *branches) mark(w branch, dead [10]bool) asm.Instructions {
	place := len(b.ways)
	b.ways = append(b.ways, w)
	for r, free := range dead {
		if free {
			b.ways[place].marked = true
			r := asm.Register(r)
			return asm.Instructions{
				asm.LoadMapValue(r, 0, uint32(place)).WithReference(marksMap),
				asm.StoreImm(r, 0, 1, asm.Byte),
			}
		}
	}
	return nil
}

// jumps says where each jump leads, by place in the code.
func jumps(code asm.Instructions) map[int]int {
	place := map[asm.RawInstructionOffset]int{}
	var raw asm.RawInstructionOffset
	offsets := make([]asm.RawInstructionOffset, len(code))
	for i, ins := range code {
		place[raw], offsets[i] = i, raw
		raw += ins.Width()
	}
	found := map[int]int{}
	for i, ins := range code {
		if !ins.OpCode.Class().IsJump() {
			continue
		}
		distance := int64(ins.Offset)
		switch ins.OpCode.JumpOp() {
		case asm.Call, asm.Exit:
			continue
		case asm.Ja:
			if ins.OpCode.Class() == asm.Jump32Class {
				distance = ins.Constant
			}
		}
		to, ok := place[asm.RawInstructionOffset(int64(offsets[i])+1+distance)]
		if !ok {
			panic(fmt.Sprintf("%v leads nowhere", ins))
		}
		found[i] = to
	}
	return found
}

// unread says of each instruction which registers nothing that comes from there on reads before writing.
func unread(code asm.Instructions, targets map[int]int) [][10]bool {
	live := make([][10]bool, len(code)+1)
	for changed := true; changed; {
		changed = false
		for i := len(code) - 1; i >= 0; i-- {
			var after [10]bool
			follow := func(to int) {
				for r, l := range live[to] {
					after[r] = after[r] || l
				}
			}
			op := code[i].OpCode
			to, jumping := targets[i]
			if jumping {
				follow(to)
			}
			if !op.Class().IsJump() || op.JumpOp() != asm.Exit && (!jumping || op.JumpOp() != asm.Ja) {
				follow(i + 1)
			}
			reads, writes := effect(code[i])
			for _, r := range writes {
				after[r] = false
			}
			for _, r := range reads {
				if r < 10 {
					after[r] = true
				}
			}
			if after != live[i] {
				live[i], changed = after, true
			}
		}
	}
	for i := range live {
		for r := range live[i] {
			live[i][r] = !live[i][r]
		}
	}
	return live
}

// effect says which registers an instruction reads and writes. A call is taken to read all that can be arguments.
func effect(ins asm.Instruction) (reads, writes []asm.Register) {
	op := ins.OpCode
	switch class := op.Class(); {
	case class.IsALU():
		writes = []asm.Register{ins.Dst}
		if op.ALUOp() != asm.Mov && op.ALUOp() != asm.MovSX8 && op.ALUOp() != asm.MovSX16 && op.ALUOp() != asm.MovSX32 {
			reads = append(reads, ins.Dst)
		}
		if op.Source() == asm.RegSource {
			reads = append(reads, ins.Src)
		}
	case class == asm.LdClass:
		writes = []asm.Register{ins.Dst}
	case class == asm.LdXClass:
		reads, writes = []asm.Register{ins.Src}, []asm.Register{ins.Dst}
	case class == asm.StClass:
		reads = []asm.Register{ins.Dst}
	case class == asm.StXClass:
		reads = []asm.Register{ins.Dst, ins.Src, asm.R0} // an exchange compares with R0
	case op.JumpOp() == asm.Exit:
		reads = []asm.Register{asm.R0}
	case op.JumpOp() == asm.Call:
		reads = []asm.Register{asm.R1, asm.R2, asm.R3, asm.R4, asm.R5}
		writes = append(reads, asm.R0)
	case op.JumpOp() != asm.Ja:
		reads = []asm.Register{ins.Dst}
		if op.Source() == asm.RegSource {
			reads = append(reads, ins.Src)
		}
	}
	return reads, writes
}

// gone reads which ways have been gone since the program was loaded.
func (b *branches) gone(t testing.TB, m *ebpf.Map) []bool {
	marks := get[[]byte](t, m, uint32(0))
	gone := make([]bool, len(b.ways))
	for i := range gone {
		gone[i] = marks[i] != 0
	}
	return gone
}

// TestBranches plays everything to a program with marks, and says which ways of its jumps nothing has gone.
func TestBranches(t *testing.T) {
	var b *branches
	g := newGround(t, func(spec *ebpf.CollectionSpec) {
		smallMaps(spec)
		b = instrument(spec, "director")
	})
	defer func() { b.report(t, g.marks) }() // also of a program that fails
	playConversations(t, g)
	playPicks(t, g)
	spoiltFrames(t, g)
	processorsAgree(t, g)
	randomTraffic(t, g, 5000)
}

// report says which ways nothing has gone. One line of C can have several jumps, and be compiled in several places.
func (b *branches) report(t *testing.T, m *ebpf.Map) {
	missed, all := map[string]int{}, map[string]int{}
	gone, marked := 0, 0
	for i, was := range b.gone(t, m) {
		w := b.ways[i]
		all[w.source]++
		switch {
		case !w.marked:
		case was:
			gone++
			marked++
		default:
			marked++
			missed[w.source]++
		}
	}
	t.Logf("%d of %d ways gone, of %d that there are", gone, marked, len(b.ways))
	// What the verifier wants to see, and what only another CPU could bring about, is never gone.
	if gone < marked*2/3 {
		t.Errorf("that is too few: show in testdata/packets what is below")
	}
	for _, source := range slices.Sorted(maps.Keys(missed)) {
		t.Logf("%d of %d not gone: %s", missed[source], all[source], source)
	}
}
