package load

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"muster/cluster"
)

// Config says where a Meter reads. The zero value is right for a node.
type Config struct {
	Proc    string   // root of the proc file system; "" means /proc
	Sys     string   // root of sysfs; "" means /sys
	MemFree bool     // take MemFree for the index, to the letter of HAS 3.22.4
	Links   []string // interfaces whose bandwidth counts; empty: see the package
	Speed   uint64   // bits per second of a link that does not know its speed; 0 means 1 Gbit/s
}

// A Reading is what one look at the node gave.
type Reading struct {
	Index   cluster.Index // HAS 3.22.6
	Room    cluster.Index // index `load`
	Busy    uint16        // per mille: the fullest of processors, memory and links
	Terms                 // what they were computed from
	Total   uint64        // RAM of the node, in bytes
	MemFree uint64        // RAM that holds nothing, in bytes
	Fullest float64       // part of the fullest link's bandwidth in use, 0 to 1
	Missing []string      // terms that could not be read and are left out; shared, do not change it
}

// Smoothing of rates, and how often what rarely changes is read again.
const (
	smooth  = time.Second
	tooSoon = 20 * time.Millisecond // a rate over less says nothing: the kernel counts in ticks of 10 ms
	relook  = 10 * time.Second
)

// A Meter reads the node's load. Its methods may be called from any goroutine.
type Meter struct {
	cfg                               Config
	cores                             float64
	bogomips                          float64
	noBogo                            bool
	stat, mem, avg, psiCPU, psiMemory *file
	net                               *links
	quota                             quota

	mu      sync.Mutex
	least   uint64
	at      time.Time
	use     ratio
	allowed float64 // processors that the node may use; infinite: all that there are
	own     float64 // part of those in use
	cpu     counter
	memory  counter
	queue   average
	free    average
	fullest average
	last    Reading
}

// New returns a meter that has taken its first look. It returns an error where there is no proc file system.
func New(cfg Config) (*Meter, error) {
	if cfg.Proc == "" {
		cfg.Proc = "/proc"
	}
	if cfg.Sys == "" {
		cfg.Sys = "/sys"
	}
	if cfg.Speed == 0 {
		cfg.Speed = 1e9
	}
	open := func(name string, size int) *file { return openFile(filepath.Join(cfg.Proc, name), size) }
	m := &Meter{
		cfg:       cfg,
		stat:      open("stat", 512),
		mem:       open("meminfo", 512),
		avg:       open("loadavg", 128),
		psiCPU:    open("pressure/cpu", 256),
		psiMemory: open("pressure/memory", 256),
		net:       newLinks(cfg, open("net/dev", 64<<10)),
		quota:     newQuota(cfg),
	}
	cpus, bogomips, err := processors(filepath.Join(cfg.Proc, "cpuinfo"))
	if err != nil && m.stat == nil && m.mem == nil {
		return nil, fmt.Errorf("measure the node's load: %w; is %s mounted?", err, cfg.Proc)
	}
	m.cores, m.bogomips, m.noBogo = float64(cpus), bogomips, bogomips <= 0
	if m.noBogo {
		m.bogomips = 1000 * m.cores // as if all nodes that do not say had equal processors
	}
	m.Read()
	return m, nil
}

// Measure is a reading as the report wants it. least is the total RAM, in bytes, of the cluster's node with the least, 0
// while it is not known. Beside the load, without its applications, it returns the node's own total RAM.
func (m *Meter) Measure(least uint64) (cluster.Load, uint64) {
	m.mu.Lock()
	m.least = least
	m.mu.Unlock()
	r := m.Read()
	return cluster.Load{Index: r.Index, Room: r.Room, Busy: r.Busy}, r.Total
}

// Last returns the newest reading, without taking one: another reader's looks would cut the rates short.
func (m *Meter) Last() Reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// Read looks at the node.
func (m *Meter) Read() Reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := Reading{}
	var missing [7]string
	lack := missing[:0]
	note := func(ok bool, term string) {
		if !ok {
			lack = append(lack, term)
		}
	}
	note(!m.noBogo, "bogomips")
	memory := m.readMemory(&r)
	note(memory, "memory")
	now := time.Now()
	if dt := now.Sub(m.at); dt >= tooSoon {
		m.at = now
		weight := 1 - math.Exp(-dt.Seconds()/smooth.Seconds())
		note(m.readUse(weight), "cpu use")
		m.allowed, m.own = m.quota.read(dt, weight)
		note(m.readQueue(weight), "run queue")
		note(pressure(m.psiCPU, &m.cpu, dt, weight), "cpu pressure")
		note(pressure(m.psiMemory, &m.memory, dt, weight), "memory pressure")
		r.Links = m.readLinks(now, dt, weight)
		note(r.Links > 0, "bandwidth")
		if !slices.Equal(lack, m.last.Missing) {
			m.last.Missing = slices.Clone(lack)
		}
	} else {
		r.Links = m.last.Links
	}
	r.Missing = m.last.Missing
	r.BogoMIPS = m.bogomips * min(1, m.allowed/m.cores)
	r.Use, r.Queue, r.CPUPressure, r.MemoryPressure = max(m.use.value, m.own), m.queue.value, m.cpu.value, m.memory.value
	r.Free, r.Fullest = m.free.value, m.fullest.value

	switch {
	case !memory: // and so without a share of it
	case m.least > 0:
		r.Least = m.least
	default:
		r.Least = r.Total
	}
	free := r.Available
	if m.cfg.MemFree {
		free = r.MemFree
	}
	r.Index = HAS(r.BogoMIPS, free, r.Least)
	r.Room = r.Terms.Room()
	inUse := 0.0
	if r.Total > 0 {
		inUse = 1 - share(r.Available, r.Total)
	}
	r.Busy = uint16(1000 * min(1, max(0, r.Use, inUse, r.Fullest)))
	m.last = r
	return r
}

func (m *Meter) readMemory(r *Reading) bool {
	b := m.mem.read()
	total, ok := kilobytes(b, "MemTotal:")
	free, ok2 := kilobytes(b, "MemFree:")
	available, ok3 := kilobytes(b, "MemAvailable:")
	if !ok3 {
		available = free
	}
	if !ok || !(ok2 || ok3) {
		return false
	}
	r.Total, r.MemFree, r.Available = total, free, min(available, total)
	return true
}

func (m *Meter) readUse(weight float64) bool {
	busy, total, ok := jiffies(m.stat.read())
	m.use.take(busy, total, ok, weight)
	return ok
}

func (m *Meter) readQueue(weight float64) bool {
	n, ok := runnable(m.avg.read())
	if !ok {
		m.queue = average{}
		return false
	}
	// One of them is the task that reads.
	m.queue.take(float64(max(n, 1)-1)/m.cores, weight)
	return true
}

func (m *Meter) readLinks(now time.Time, dt time.Duration, weight float64) int {
	free, fullest, n := m.net.read(now, dt)
	if n == 0 {
		m.free, m.fullest = average{}, average{}
		return 0
	}
	m.free.take(free, weight)
	m.fullest.take(fullest, weight)
	return n
}

// pressure reads one file of pressure stall information (Documentation/accounting/psi.rst) into c.
func pressure(f *file, c *counter, dt time.Duration, weight float64) bool {
	us, ok := stalled(f.read())
	c.take(us, ok, dt, weight)
	return ok
}
