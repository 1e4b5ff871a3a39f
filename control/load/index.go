package load

import "muster/cluster"

// HAS is the load index of HAS 3.22.6: BogoMIPS times free RAM over the least total RAM of any node. Both amounts of RAM
// are in the same unit. It is at least 1: a node that answers is never taken for one that does not.
func HAS(bogomips float64, free, least uint64) cluster.Index {
	return index(bogomips * share(free, least))
}

// Terms are what Room is made of. The zero value of each is "none of it in use".
type Terms struct {
	BogoMIPS       float64 // of all processors together
	Use            float64 // part of the processors' time in use, 0 to 1
	Queue          float64 // runnable tasks for each processor, from 0
	CPUPressure    float64 // part of the time in which some task waited for a processor, 0 to 1
	Available      uint64  // RAM that programs can still get, in bytes
	Least          uint64  // total RAM of the cluster's node with the least, in bytes
	MemoryPressure float64 // part of the time in which some task waited for memory, 0 to 1
	Links          int     // how many network links Free is of; 0 leaves it out
	Free           float64 // free bandwidth of all links together, in bits per second
}

// scarce is the free bandwidth, in bits per second, at which it halves the room.
const scarce = 100e6

// fine is how many parts of one the index `load` counts. Of a full node little is left after so many factors: it would round
// to 1, and small nodes and large ones would seem the same just when that matters.
const fine = 1000

// Room is the index `load`; see the package. It falls, or stays, when any one term gets worse.
func (t Terms) Room() cluster.Index {
	room := fine * t.BogoMIPS * share(t.Available, t.Least)
	room *= factor(1 - t.Use)
	room *= factor(1 / (1 + max(0, t.Queue)))
	room *= factor(1 - t.CPUPressure)
	room *= factor(1 - t.MemoryPressure)
	if t.Links > 0 {
		free := max(0, t.Free)
		room *= factor(free / (free + scarce))
	}
	return index(room)
}

// share is a/b; an unknown b, 0, makes it 1.
func share(a, b uint64) float64 {
	if b == 0 {
		return 1
	}
	return float64(a) / float64(b)
}

// factor keeps one shortage from hiding all others.
func factor(f float64) float64 { return min(1, max(0.01, f)) }

// index rounds down, and saturates at 1 and at 2^53, up to which every number is exact in the arithmetic of schedules.
func index(f float64) cluster.Index {
	if !(f >= 1) { // also what is not a number
		return 1
	}
	return cluster.Index(min(f, 1<<53))
}
