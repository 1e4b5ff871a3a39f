package packet

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// crowd calls f from several threads in the network at the same time.
func (g *ground) crowd(t *testing.T, threads int, f func(thread int) error) {
	t.Helper()
	var ns *os.File
	var err error
	g.do(func() { ns, err = os.Open("/proc/thread-self/ns/net") })
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	var all sync.WaitGroup
	errs := make([]error, threads)
	for i := range threads {
		all.Go(func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
			if errs[i] = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); errs[i] == nil {
				errs[i] = f(i)
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestProcessorsAgree has packets of the same few flows come in on all processors at once: what begins, ends and moves is
// counted once, but for what user space mends.
func TestProcessorsAgree(t *testing.T) { processorsAgree(t, newGround(t, smallMaps)) }

func processorsAgree(t *testing.T, g *ground) {
	o := everything(t, g)
	var frames [][]byte
	for _, family := range []string{"ip4", "ip6"} {
		for _, port := range []int{drPort, ipipPort, natPort} {
			for _, flags := range []string{"S", "S", "A", "A", "A", "FA", "R"} {
				for sport := range 3 {
					frames = append(frames, must(t, fmt.Sprintf("eth router > me / %s client > vip / tcp %d > %d %s", family, 40000+sport, port, flags)))
				}
			}
			frames = append(frames,
				must(t, fmt.Sprintf("eth router > me / %s client > vip / udp 5353 > %d", family, port)),
				must(t, fmt.Sprintf("eth a > me / %s a > client / tcp %d > 40000 FA", family, 8000+natPort)),
				must(t, fmt.Sprintf("eth a > me / %s a > client / tcp %d > 40001 R", family, 8000+natPort)))
		}
	}
	for round := range 10 {
		g.crowd(t, max(2, runtime.NumCPU()), func(thread int) error {
			made := rand.New(rand.NewPCG(uint64(round), uint64(thread)))
			for range 1000 {
				b := frames[made.IntN(len(frames))]
				opts := ebpf.RunOptions{Data: b, DataOut: make([]byte, len(b)+256), Context: origin{End: uint32(len(b)), Ingress: g.ports["me"]}}
				if _, err := g.Director.Run(&opts); err != nil {
					return err
				}
			}
			return nil
		})
		o.tally(t, 5)
		for label := range o.names {
			o.mark(t, label, round%3 == 1 && len(label)%2 == 0)
		}
	}
}
