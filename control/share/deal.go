package share

import "math/bits"

// Retain says how many of its slots each node keeps, and returns how many that are together.
func (b *Builder) retain(weights []uint32) int {
	b.keep = resize(b.keep, len(weights))
	top := 0 // the node with the largest part left
	for i, w := range weights {
		if weights[top] == 0 || uint64(w)*uint64(b.nominal[top]) > uint64(weights[top])*uint64(b.nominal[i]) {
			top = i
		}
	}
	kept := 0
	for i, w := range weights {
		b.keep[i] = 0
		if w > 0 {
			// quota * (w/nominal) / (top's w/nominal), rounded; the products need more than 64 bits
			hi, lo := bits.Mul64(uint64(b.quota[i])*uint64(b.nominal[top]), uint64(w))
			div := uint64(b.nominal[i]) * uint64(weights[top])
			lo, carry := bits.Add64(lo, div/2, 0)
			part, _ := bits.Div64(hi+carry, lo, div)
			b.keep[i] = min(max(uint32(part), 1), b.quota[i])
		}
		kept += int(b.keep[i])
	}
	return kept
}

// Deal gives each slot whose owner does not keep it to the owner of another slot, the first in the slot's own random order
// that is kept. So nodes receive in proportion to what they keep, and whom a slot goes to does not depend on the others,
// but for the bound on what a node may get.
func (b *Builder) deal(weights []uint32) []uint16 {
	table := make([]uint16, b.size)
	copy(table, b.base)
	b.limit(weights)
	b.count = append(b.count[:0], b.keep...)
	n := uint64(b.size)
	for s := range table {
		if b.rank[s] < b.keep[b.base[s]] {
			continue
		}
		at, x := uint64(0), uint64(s)
		for tries := 0; ; tries++ {
			if tries < 64 {
				x += 0x9e3779b97f4a7c15
				at, _ = bits.Mul64(mix(x), n)
			} else if at++; at >= n { // nearly all that is kept is at its bound: find the rest in turn
				at = 0
			}
			if i := b.base[at]; b.rank[at] < b.keep[i] && b.count[i] < b.bound[i] {
				table[s] = i
				b.count[i]++
				break
			}
		}
	}
	return table
}

// Limit sets each node's bound: 1/16 above its exact share, and one slot. The sum of the bounds exceeds the slots, so
// every slot finds an owner.
func (b *Builder) limit(weights []uint32) {
	total := sum(weights)
	b.bound = resize(b.bound, len(weights))
	for i, w := range weights {
		part := uint64(w) * uint64(b.size) / total
		b.bound[i] = uint32(part+part/16) + 1
	}
}

// Mix is the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
