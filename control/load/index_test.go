package load

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"muster/cluster"
)

// The worked example of HAS 3.22.6.
func TestHASWorkedExample(t *testing.T) {
	if got := HAS(3358.72, 524288, 262144); got != 6717 {
		t.Errorf("got %d, want 6717", got)
	}
}

// HAS Table 11: eight equal nodes with different free RAM; the order of the list is the order of the free RAM.
func TestHASTable11(t *testing.T) {
	want := []cluster.Index{4484, 4397, 4353, 4295, 4235, 4190, 4097, 3973}
	const least = 262144
	var got []cluster.Index
	for _, i := range []int{5, 2, 7, 0, 3, 6, 1, 4} {
		free := math.Ceil(float64(want[i]) * least / 3358.72)
		got = append(got, HAS(3358.72, uint64(free), least))
	}
	slices.SortFunc(got, func(a, b cluster.Index) int { return int(b) - int(a) })
	if !slices.Equal(got, want) {
		t.Errorf("got %d, want %d", got, want)
	}
}

func TestIndexSaturates(t *testing.T) {
	tests := []struct {
		bogomips    float64
		free, least uint64
		want        cluster.Index
	}{
		{3358.72, 0, 262144, 1}, // no free RAM: not to be taken for an application that does not answer
		{0, 524288, 262144, 1},
		{math.NaN(), 1, 1, 1},
		{-5, 1, 1, 1},
		{3358.72, 524288, 0, 3358}, // nobody has said how much the least is
		{1e9, math.MaxUint64, 1, 1 << 53},
		{math.Inf(1), 1, 1, 1 << 53},
	}
	for _, tt := range tests {
		if got := HAS(tt.bogomips, tt.free, tt.least); got != tt.want {
			t.Errorf("HAS(%v, %d, %d): got %d, want %d", tt.bogomips, tt.free, tt.least, got, tt.want)
		}
	}
}

func TestRoomByHand(t *testing.T) {
	idle := Terms{BogoMIPS: 10000, Available: 2 << 30, Least: 1 << 30}
	tests := []struct {
		name string
		set  func(*Terms)
		want cluster.Index
	}{
		{"idle", func(*Terms) {}, 20000_000},
		{"half of the processors in use", func(t *Terms) { t.Use = 0.5 }, 10000_000},
		{"one task waits for each processor", func(t *Terms) { t.Queue = 1 }, 10000_000},
		{"a quarter of the time waited for a processor", func(t *Terms) { t.CPUPressure = 0.25 }, 15000_000},
		{"half of the time waited for memory", func(t *Terms) { t.MemoryPressure = 0.5 }, 10000_000},
		{"100 Mbit/s free", func(t *Terms) { t.Links, t.Free = 1, 100e6 }, 10000_000},
		{"900 Mbit/s free", func(t *Terms) { t.Links, t.Free = 1, 900e6 }, 18000_000},
		{"no bandwidth free", func(t *Terms) { t.Links = 1 }, 200_000},
		{"everything in use", func(t *Terms) { t.Use, t.Queue, t.CPUPressure, t.MemoryPressure, t.Links = 1, 1e6, 1, 1, 1 }, 1},
		{"half the memory", func(t *Terms) { t.Available /= 2 }, 10000_000},
	}
	for _, tt := range tests {
		terms := idle
		tt.set(&terms)
		if got := terms.Room(); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

// Room never rises when one term gets worse, is never 0 and never more than the terms without any shortage give.
func TestRoomIsMonotoneInEachTerm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Terms{
			BogoMIPS:       rapid.Float64Range(0, 1e7).Draw(t, "bogomips"),
			Use:            rapid.Float64Range(0, 1).Draw(t, "use"),
			Queue:          rapid.Float64Range(0, 1e5).Draw(t, "queue"),
			CPUPressure:    rapid.Float64Range(0, 1).Draw(t, "cpu pressure"),
			Available:      rapid.Uint64().Draw(t, "available"),
			Least:          rapid.Uint64().Draw(t, "least"),
			MemoryPressure: rapid.Float64Range(0, 1).Draw(t, "memory pressure"),
			Links:          rapid.IntRange(0, 4).Draw(t, "links"),
			Free:           rapid.Float64Range(0, 1e12).Draw(t, "free"),
		}
		b := a
		more := rapid.Float64Range(0, 2).Draw(t, "more")
		switch rapid.IntRange(0, 6).Draw(t, "term") {
		case 0:
			b.Use += more
		case 1:
			b.Queue += 100 * more
		case 2:
			b.CPUPressure += more
		case 3:
			b.MemoryPressure += more
		case 4:
			b.Free -= more * a.Free
		case 5:
			b.Available -= uint64(min(1, more) / 2 * float64(a.Available))
		case 6:
			b.BogoMIPS *= min(1, more)
		}
		if got, was := b.Room(), a.Room(); got > was || got < 1 {
			t.Errorf("got %d for the worse %+v, %d for %+v", got, b, was, a)
		}
		if got, most := a.Room(), HAS(fine*a.BogoMIPS, a.Available, a.Least); got > most {
			t.Errorf("got %d, more than %d without any shortage", got, most)
		}
	})
}
