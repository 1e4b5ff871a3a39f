package packet

import (
	"fmt"
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// busy is BUSY of bpf/types.h; busyTries is how often a place that is marked is looked at again.
const (
	busy      = 1
	busyTries = 1000
)

// A flowMap has flows by their keys: `flows`, which is a map of the kernel's, and `unconfirmed`, which is a table of the
// program's.
type flowMap interface {
	Lookup(key, value any) error
	LookupAndDelete(key, value any) error
	Update(key, value any, flags ebpf.MapUpdateFlags) error
	Put(key, value any) error
	Delete(key any) error
	MaxEntries() uint32
}

// firsts is the table of first packets (bpf/first.h), as memory that is shared with the kernel. It is read and cleared
// here; what is written is written by the kernel, which marks a place meanwhile. Keys and values are directorFlowKey and
// directorFlow, or pointers to them.
type firsts struct {
	buckets []directorBucket
	put     *ebpf.Program
	setting *ebpf.Variable
}

func newFirsts(o *directorObjects) (*firsts, error) {
	size := int(o.Unconfirmed.MaxEntries()) * int(unsafe.Sizeof(directorBucket{}))
	b, err := unix.Mmap(o.Unconfirmed.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s into memory: %w", directorMapUnconfirmed, err)
	}
	n := int(o.Unconfirmed.MaxEntries())
	return &firsts{unsafe.Slice((*directorBucket)(unsafe.Pointer(unsafe.SliceData(b))), n), o.PutFirst, o.Settings}, nil
}

func (t *firsts) close() error {
	if t == nil || t.buckets == nil {
		return nil
	}
	b := bytesOf(t.buckets)
	t.buckets = nil
	return unix.Munmap(b)
}

func (t *firsts) String() string { return directorMapUnconfirmed }

func (t *firsts) MaxEntries() uint32 { return uint32(len(t.buckets) * len(directorBucket{}.First)) }

// bucketsFor is how many buckets hold so many flows.
func bucketsFor(flows int) uint32 {
	each := len(directorBucket{}.First)
	return uint32((flows + each - 1) / each)
}

// number is number_of_flow of bpf/hash.h.
func (k *directorFlowKey) number(mix uint64) uint64 {
	h := mix
	for _, w := range [...]uint64{
		uint64(k.Src.W[0])<<32 | uint64(k.Src.W[1]), uint64(k.Src.W[2])<<32 | uint64(k.Src.W[3]),
		uint64(k.Dst.W[0])<<32 | uint64(k.Dst.W[1]), uint64(k.Dst.W[2])<<32 | uint64(k.Dst.W[3]),
		uint64(k.Sport)<<48 | uint64(k.Dport)<<32 | uint64(k.Proto)<<16,
	} {
		h = (h ^ w) * 0x9e3779b97f4a7c15
		h ^= h >> 32
	}
	return h
}

// at is the bucket where a flow may be.
func (t *firsts) at(k *directorFlowKey) (*directorBucket, error) {
	var v directorSetting
	if err := t.setting.Get(&v); err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	i, _ := bits.Mul32(uint32(k.number(v.Mix)), uint32(len(t.buckets)))
	return &t.buckets[i], nil
}

// take reads the flow in a place of a bucket, and clears the place if that is wanted. The kernel may be writing it: what has
// the same tag before and after is whole.
func (e *directorFirst) take(k *directorFlowKey, v *directorFlow, remove bool) bool {
	tag := atomic.LoadUint32(&e.Tag)
	if tag <= busy {
		return false
	}
	*k, *v = e.Key, directorFlow{Seen: e.Seen, Node: e.Node, Front: e.Front, Service: e.Service, State: e.State, Flags: e.Flags}
	if remove {
		return atomic.CompareAndSwapUint32(&e.Tag, tag, 0)
	}
	return atomic.LoadUint32(&e.Tag) == tag
}

// find finds a flow, and clears its place if that is wanted.
func (t *firsts) find(key any, value *directorFlow, remove bool) error {
	k := pointer[directorFlowKey](key)
	b, err := t.at(k)
	if err != nil {
		return err
	}
	for i := range b.First {
		var found directorFlowKey
		e := (*directorFirst)(&b.First[i])
		for range busyTries { // the kernel marks a place for a moment
			if atomic.LoadUint32(&e.Tag) == busy {
				runtime.Gosched()
			} else if !e.take(&found, value, false) {
				continue // it was marked meanwhile, or is free
			} else if found != *k {
				break
			} else if !remove || e.take(&found, value, true) {
				return nil
			}
		}
	}
	return ebpf.ErrKeyNotExist
}

func (t *firsts) Lookup(key, value any) error {
	return t.find(key, pointer[directorFlow](value), false)
}

func (t *firsts) LookupAndDelete(key, value any) error {
	return t.find(key, pointer[directorFlow](value), true)
}

func (t *firsts) Delete(key any) error { return t.find(key, new(directorFlow), true) }

func (t *firsts) Put(key, value any) error { return t.Update(key, value, ebpf.UpdateAny) }

func (t *firsts) Update(key, value any, flags ebpf.MapUpdateFlags) error {
	v := pointer[directorFlow](value)
	f := directorFirst{Key: *pointer[directorFlowKey](key), Seen: v.Seen, Node: v.Node, Front: v.Front, Service: v.Service, State: v.State, Flags: v.Flags}
	if flags == ebpf.UpdateNoExist && t.Lookup(&f.Key, new(directorFlow)) == nil {
		return ebpf.ErrKeyExist
	}
	written, err := t.put.Run(&ebpf.RunOptions{Context: f})
	if err != nil {
		return err
	}
	if written == 0 {
		return fmt.Errorf("the place is being written without end")
	}
	return nil
}

// read reads some buckets from *from on, and says whether these are the last.
func (t *firsts) read(from *int, keys []directorFlowKey, values []directorFlow) (n int, last bool) {
	for ; *from < len(t.buckets); *from++ {
		b := &t.buckets[*from]
		if n+len(b.First) > len(keys) {
			return n, false
		}
		for i := range b.First {
			if (*directorFirst)(&b.First[i]).take(&keys[n], &values[n], false) {
				n++
			}
		}
	}
	return n, true
}

// pointer is a pointer to what is a T, or a pointer to one.
func pointer[T any](v any) *T {
	if p, ok := v.(*T); ok {
		return p
	}
	p := new(T)
	*p = v.(T)
	return p
}
