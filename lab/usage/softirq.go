package usage

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// A Network is a network namespace, by its number: that of /proc/PID/ns/net.
type Network uint32

// Here is the network that the calling thread is in.
func Here() (Network, error) {
	info, err := os.Stat("/proc/thread-self/ns/net")
	if err != nil {
		return 0, fmt.Errorf("find the network namespace of this thread: %w", err)
	}
	return Network(info.Sys().(*syscall.Stat_t).Ino), nil // the file system of namespaces has inodes of 32 bits
}

// A Meter measures how long the kernel is busy with packets that have come in, by programs of its own on the kernel's
// tracepoints (bpf/softirq.c). While there is one, each packet costs a little more. It needs root.
type Meter struct {
	objects softirqObjects
	links   []link.Link
}

// NewMeter begins to measure. The caller must Close the meter.
func NewMeter() (*Meter, error) {
	m := &Meter{}
	if err := loadSoftirqObjects(&m.objects, nil); err != nil {
		return nil, fmt.Errorf("measure packets: load the programs that do: %w: run it as root", err)
	}
	o := &m.objects
	// The entry comes last: nothing counts before it.
	for _, p := range []struct {
		point   string
		program *ebpf.Program
	}{{"softirq_exit", o.Leave}, {"napi_poll", o.Polled}, {"netif_receive_skb", o.Receive}, {"softirq_entry", o.Entry}} {
		l, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: p.point, Program: p.program})
		if err != nil {
			m.Close()
			return nil, fmt.Errorf("measure packets: attach to tracepoint %s: %w", p.point, err)
		}
		m.links = append(m.links, l)
	}
	return m, nil
}

// Close ends the measuring.
func (m *Meter) Close() {
	for _, l := range m.links {
		_ = l.Close() // it was only held
	}
	_ = m.objects.Close() // likewise
}

// Packets is how long the kernel was busy with packets that came in.
type Packets map[Pair]time.Duration

// A Pair says to which network packets came, and of which network the process was in whose time they were worked on;
// zero if it was that of no process.
type Pair struct{ Packet, Process Network }

// Read returns what was measured since the meter began.
func (m *Meter) Read() (Packets, error) {
	var whose softirqWhose
	var each []softirqSpent
	out := Packets{}
	all := m.objects.Spending.Iterate()
	for all.Next(&whose, &each) {
		var sum time.Duration
		for _, s := range each {
			sum += time.Duration(s.Ns)
		}
		out[Pair{Network(whose.Packet), Network(whose.Process)}] = sum
	}
	if err := all.Err(); err != nil && !errors.Is(err, ebpf.ErrIterationAborted) {
		return nil, fmt.Errorf("read the time spent on packets: %w", err)
	}
	return out, nil
}

// Sub is what was spent since an earlier reading.
func (p Packets) Sub(earlier Packets) Packets {
	out := Packets{}
	for k, v := range p {
		out[k] = v - earlier[k]
	}
	return out
}

// Of is the time spent on what came to the network, in whosever time.
func (p Packets) Of(n Network) (sum time.Duration) {
	for k, v := range p {
		if k.Packet == n {
			sum += v
		}
	}
	return sum
}

// Borrowed is the time of others that was spent on what came to the network, less that of its own processes which was
// spent on what came to others: what must be added to the time of its processes, so that each pays for its own.
func (p Packets) Borrowed(n Network) (sum time.Duration) {
	for k, v := range p {
		switch {
		case k.Packet == n && k.Process != n:
			sum += v
		case k.Packet != n && k.Process == n:
			sum -= v
		}
	}
	return sum
}
