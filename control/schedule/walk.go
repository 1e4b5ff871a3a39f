package schedule

import "muster/cluster"

// Walk is how many slots are tried after the one that was asked for, before the shares are gone through instead.
const walk = 32

// Next returns the first share from the slot on that may take the request, or -1. After some slots it goes through the
// shares themselves, from the last one that it saw: so it is bounded by their number, and the same slot leads to the same
// share as long as the same ones may.
func next(t *cluster.Table, ask *cluster.Ask, slot int) int {
	i := 0
	for range min(walk, len(t.Slots)) {
		if i = int(t.Slots[slot]); ask.May(t, i) {
			return i
		}
		if slot++; slot == len(t.Slots) {
			slot = 0
		}
	}
	for range t.Shares {
		if i++; i >= len(t.Shares) {
			i = 0
		}
		if ask.May(t, i) {
			return i
		}
	}
	return -1
}

// ByTurn gives the slots out one after the other. The turns of a node that may not take them are given out in turn as
// well: were they all its neighbour's, that one would carry the load of two.
func byTurn(t *cluster.Table, ask *cluster.Ask) int {
	n := uint64(len(t.Slots))
	if n == 0 {
		return -1
	}
	round, at := ask.Turn/n, ask.Turn%n
	if i := int(t.Slots[at]); ask.May(t, i) {
		return i
	}
	return next(t, ask, int((at+1+round%max(n-1, 1))%n))
}

// Scaled brings 32 random bits to a slot.
func scaled(bits uint32, slots int) int { return int(uint64(bits) * uint64(slots) >> 32) }
