package share

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
)

// Size is the usual number of slots: prime, and a hundred for each of 655 nodes, so that their parts differ by no more
// than 1 % (Maglev 3.4, 5.3).
const Size = 65537

// A Builder makes tables. The zero Builder is ready. It keeps its working memory, and the table of the last nominal
// weights, from one table to the next: besides the result, nothing is allocated when the number of names has not grown.
// One goroutine at a time may use it.
type Builder struct {
	names   []string // of the table in base, as the caller lists them
	nominal []uint32
	size    int

	base  []uint16 // slot to place in names, by nominal weight
	rank  []uint32 // slot to its number among its owner's, in the order in which they were taken
	quota []uint32 // place in names to its number of slots in base

	steps  []step
	hash   []uint64
	order  []uint16 // places in names, by the hash of the name
	byRest []uint16 // the same, by the remainder of the quota
	rest   []uint64
	turns  []uint16
	times  []uint32
	taken  []uint64

	zeros []uint32 // Build's nominal weights
	want  []uint32 // Rebuild's
	keep  []uint32
	count []uint32
	bound []uint32
}

// Build returns the table for the names and their weights: slot to place in names. A name gets
// size*weight/total slots, rounded by largest remainder, but at least one; a name of weight 0 gets none. Equal remainders
// are settled by the names' hashes. It returns nil when no weight is above 0.
//
// A name of weight 0 keeps its place: the table is the one where it has the mean weight, with its slots dealt anew. So
// among equals, one whose weight becomes 0 moves its own slots alone. Rebuild is for unequal ones.
//
// Size must be prime and at least the number of names, which are unique and at most 65,535; Build panics otherwise.
func (b *Builder) Build(names []string, weights []uint32, size int) []uint16 {
	var sum, n uint64
	for _, w := range weights {
		if w > 0 {
			sum, n = sum+uint64(w), n+1
		}
	}
	b.zeros = append(b.zeros[:0], weights...)
	if n > 0 && n < uint64(len(weights)) {
		for i := range b.zeros {
			if b.zeros[i] == 0 {
				b.zeros[i] = uint32(sum / n)
			}
		}
	}
	return b.Rebuild(names, b.zeros, weights, size)
}

// Rebuild returns a table by weights that differs as little as it can from Build's by the nominal weights. The node with
// the largest part left of its nominal weight keeps all its slots; the others keep theirs in proportion, first taken
// first; the rest is dealt anew. A node may get up to 1/16 more than its exact share, and at least one slot more, so that
// a deal seldom moves another. A nominal weight of 0 counts as the name's weight.
//
// When less than an eighth of the slots would stay where they are, there is little to keep, and the table is Build's.
func (b *Builder) Rebuild(names []string, nominal, weights []uint32, size int) []uint16 {
	check(names, nominal, weights, size)
	if !slices.ContainsFunc(weights, func(w uint32) bool { return w > 0 }) {
		return nil
	}
	b.want = append(b.want[:0], nominal...)
	for i, w := range b.want {
		if w == 0 {
			b.want[i] = weights[i]
		}
	}
	if b.size != size || !slices.Equal(b.names, names) || !slices.Equal(b.nominal, b.want) {
		b.fill(names, b.want, size)
	}
	if kept := b.retain(weights); kept < size {
		if kept < size/8 {
			b.fill(names, weights, size)
		} else {
			return b.deal(weights)
		}
	}
	return slices.Clone(b.base)
}

// Slot is the slot of a key in a table of the given size. Keys need not be well mixed.
func Slot(key uint64, size int) int {
	hi, _ := bits.Mul64(mix(key), uint64(size))
	return int(hi)
}

func check(names []string, nominal, weights []uint32, size int) {
	switch {
	case len(names) != len(weights) || len(names) != len(nominal):
		panic(fmt.Sprintf("share: %d names, %d nominal weights, %d weights", len(names), len(nominal), len(weights)))
	case len(names) > 65535 || len(names) > size:
		panic(fmt.Sprintf("share: %d names for %d slots; at most 65535, and one slot each", len(names), size))
	case size > 1<<30 || !prime(size):
		panic(fmt.Sprintf("share: a table of %d slots; the size must be prime and at most 2^30", size))
	}
}

func prime(n int) bool {
	if n < 2 {
		return false
	}
	for d := 2; d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return true
}

// Quotas sets how many slots each name gets. The largest give up what the names with less than a slot get too much.
func (b *Builder) quotas(weights []uint32, size int) {
	b.quota, b.rest = resize(b.quota, len(weights)), resize(b.rest, len(weights))
	total, left := sum(weights), size
	for i, w := range weights {
		part := uint64(w) * uint64(size)
		b.quota[i], b.rest[i] = uint32(part/total), part%total
		if b.quota[i] == 0 && w > 0 {
			b.quota[i], b.rest[i] = 1, 0
		}
		left -= int(b.quota[i])
	}
	for ; left < 0; left++ {
		b.quota[b.largest()]--
	}
	b.byRest = append(b.byRest[:0], b.order...)
	slices.SortStableFunc(b.byRest, func(x, y uint16) int { return cmp.Compare(b.rest[y], b.rest[x]) })
	for _, i := range b.byRest[:left] {
		b.quota[i]++
	}
}

func sum(weights []uint32) (total uint64) {
	for _, w := range weights {
		total += uint64(w)
	}
	return total
}

// Largest is the place of the name with the most slots; of equals, the first by hash.
func (b *Builder) largest() uint16 {
	at := b.order[0]
	for _, i := range b.order {
		if b.quota[i] > b.quota[at] {
			at = i
		}
	}
	return at
}
