package share

import (
	"cmp"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// The seeds of a name's two hashes. They are part of the format: to change them is to move every client.
const (
	seedOffset = 0x6d757374_65723031
	seedSkip   = 0x6d757374_65723032
)

// A step is where a node is in its permutation of the slots, and how far it goes to the next one.
type step struct{ at, skip uint32 }

// Fill makes base, rank and quota: the table of the nominal weights.
func (b *Builder) fill(names []string, weights []uint32, size int) {
	b.names = append(b.names[:0], names...)
	b.nominal = append(b.nominal[:0], weights...)
	b.size = size
	b.base = resize(b.base, size)
	b.rank = resize(b.rank, size)
	b.permute(size)
	b.quotas(weights, size)
	b.line()

	// The taken slots are bits, so that all of them stay in the first level cache: the search for a free one is nearly all
	// the work.
	b.taken = resize(b.taken, (size+63)/64)
	clear(b.taken)
	b.count = resize(b.count, len(names))
	clear(b.count)
	steps, taken, base, rank, count, n := b.steps, b.taken, b.base, b.rank, b.count, uint32(size)
	for _, i := range b.turns {
		s := &steps[i]
		at, skip := s.at, s.skip
		for taken[at>>6]&(1<<(at&63)) != 0 {
			if at += skip; at >= n {
				at -= n
			}
		}
		taken[at>>6] |= 1 << (at & 63)
		base[at], rank[at] = i, count[i]
		count[i]++
		s.at = at
	}
}

// Permute hashes the names: each one's permutation, and the order that breaks ties.
func (b *Builder) permute(size int) {
	n := len(b.names)
	b.steps, b.hash, b.order = resize(b.steps, n), resize(b.hash, n), resize(b.order, n)
	var d xxhash.Digest
	for i, name := range b.names {
		d.ResetWithSeed(seedOffset)
		_, _ = d.WriteString(name) // it never fails
		b.hash[i] = d.Sum64()
		d.ResetWithSeed(seedSkip)
		_, _ = d.WriteString(name)
		b.steps[i] = step{at: uint32(b.hash[i] % uint64(size))}
		if size > 2 {
			b.steps[i].skip = uint32(d.Sum64()%uint64(size-1)) + 1
		}
		b.order[i] = uint16(i)
	}
	slices.SortFunc(b.order, func(x, y uint16) int {
		return cmp.Or(cmp.Compare(b.hash[x], b.hash[y]), strings.Compare(b.names[x], b.names[y]))
	})
}

// Line puts the turns in order: the k-th of a node's q turns comes at (k+1/2)/q of the whole. A counting sort by time does
// it in two passes; at the same time, the order of the hashes decides.
func (b *Builder) line() {
	size := uint64(b.size)
	b.turns, b.times = resize(b.turns, b.size), resize(b.times, b.size+1)
	clear(b.times)
	for pass := range 2 {
		for _, i := range b.order {
			q := uint64(b.quota[i])
			if q == 0 {
				continue
			}
			// Fixed point, 32 bits of fraction. The error, below q/2^32 of a slot's time, is the same on every machine.
			stride := size << 32 / q
			for t := stride / 2; q > 0; q, t = q-1, t+stride {
				if at := t >> 32; pass == 0 {
					b.times[at+1]++
				} else {
					b.turns[b.times[at]] = i
					b.times[at]++
				}
			}
		}
		if pass == 0 {
			for i := range b.size {
				b.times[i+1] += b.times[i]
			}
		}
	}
}

func resize[T any](s []T, n int) []T { return slices.Grow(s[:0], n)[:n] }
