package packet

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"muster/cluster"
)

// full is a Forwarder with 1,000 nodes and as many flows as it can keep.
func full(b *testing.B) (*Forwarder, int) {
	needRoot(b)
	f, err := New(Config{}, testLog(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { fine(b, f.Close()) })
	s := web(cluster.DR, "10.7.1.100", 80)
	fine(b, f.Apply([]Service{s}))
	var nodes []string
	for i := range 1000 {
		nodes = append(nodes, netip.AddrFrom4([4]byte{10, 7, byte(i >> 8), byte(i)}).String())
	}
	table := tableOf("rr", nodes...)
	fine(b, f.SetTable("web", table))
	list := make([]Flow, 200_000)
	for i := range list {
		share := &table.Shares[i%len(nodes)]
		list[i] = Flow{
			Service: "web", Node: share.Node, At: share.Addr, Proto: TCP, State: Established,
			Client: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, byte(i >> 16), byte(i >> 8)}), uint16(i)), VIP: netip.AddrPortFrom(s.Fronts[0].VIP, 80),
		}
	}
	insertAll(b, f, list)
	return f, len(list)
}

// BenchmarkSweep is what one step costs, of which there are twenty a second, and the whole way through.
func BenchmarkSweep(b *testing.B) {
	f, n := full(b)
	t := newTally()
	broom := newBroom(f.kernel.directorMaps.Flows, stepOf(f.kernel.directorMaps.Flows))
	steps := 0
	for b.Loop() {
		last, err := f.sweepStep(broom, t)
		if err != nil {
			b.Fatal(err)
		}
		if steps++; last {
			broom.restart()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(steps)*float64(sweepSteps)/1e6, fmt.Sprintf("ms/sweep-of-%d", n))
}

func BenchmarkStatus(b *testing.B) {
	f, _ := full(b)
	for b.Loop() {
		f.Status()
	}
}

// BenchmarkReset is how soon all flows of a node that has gone are found and ended.
func BenchmarkReset(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		f, _ := full(b)
		work := newTodo()
		for place := range uint32(1) {
			work.gone[place] = 1
			setFlag(&f.nodes[place].wire, directorNodeFlagN_GONE, true)
			f.nodes[place].service.Lost = Reset
		}
		b.StartTimer()
		began := time.Now()
		fine(b, f.purgeOnce(b.Context(), work))
		b.ReportMetric(float64(time.Since(began).Microseconds())/1e3, "ms")
	}
}
