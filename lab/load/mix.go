package load

import (
	"math/rand/v2"
	"sort"
)

// mix draws requests by their weights, or gives them in the order of the list.
type mix struct {
	requests []request
	upto     []uint64 // running sums of the weights; nil when all weigh the same
	total    uint64
	random   *rand.PCG
	sequence bool
	next     int
}

func newMix(requests []request, seed uint64, sequence bool) *mix {
	m := &mix{requests: requests, random: rand.NewPCG(seed, 0x6d757374), sequence: sequence}
	even := true
	for i := range requests {
		w := uint64(max(requests[i].Weight, 1))
		even = even && w == uint64(max(requests[0].Weight, 1))
		m.total += w
		m.upto = append(m.upto, m.total)
	}
	if even {
		m.upto, m.total = nil, uint64(len(requests))
	}
	return m
}

func (m *mix) pick() *request {
	switch {
	case len(m.requests) == 1:
		return &m.requests[0]
	case m.sequence:
		m.next = (m.next + 1) % len(m.requests)
		return &m.requests[m.next]
	}
	x := m.random.Uint64() % m.total // the bias is below one in 2^40
	if m.upto == nil {
		return &m.requests[x]
	}
	return &m.requests[sort.Search(len(m.upto), func(i int) bool { return x < m.upto[i] })]
}
