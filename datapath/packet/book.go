package packet

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
)

// The book is a map that only user space reads: what the places in the other maps stand for. It is pinned beside them, so
// that the next process gives the same places to the same nodes. Its own layout never changes.
const bookName = "book"

var bookSpec = &ebpf.MapSpec{
	Name: bookName, Type: ebpf.Hash, KeySize: 8, ValueSize: 256, MaxEntries: 65536, Flags: 1, // BPF_F_NO_PREALLOC
}

// A bookKey says what an entry is about.
type bookKey struct{ Kind, Place uint32 }

// The kinds of entry.
const (
	bookLayout    = 1 + iota // Number: the layout of the maps
	bookSeed                 // Number: settings.mix
	bookFields               // Text: the fields of a flow's key (place 0), a flow (1) and a first packet (2, Number: its size)
	bookService              // Text: the name of a service
	bookNode                 // Text: the name of a node; Number: the place of its service; At, Port: where it is
	bookNeighbour            // Number: an interface; At: the neighbour there that is kept resolved
)

// A bookEntry is one entry, of 256 bytes.
type bookEntry struct {
	Number uint64
	At     [16]byte
	Port   uint16
	Length uint16
	Text   [228]byte
}

func entry(number uint64, at netip.AddrPort, text string) (e bookEntry) {
	e.Number, e.Port = number, at.Port()
	if at.IsValid() {
		e.At = at.Addr().As16()
	}
	e.Length = uint16(copy(e.Text[:], text))
	return e
}

func (e *bookEntry) text() string { return string(e.Text[:min(int(e.Length), len(e.Text))]) }

func (e *bookEntry) at() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(e.At).Unmap(), e.Port)
}

// begin writes what a new set of maps is.
func beginBook(book *ebpf.Map, seed uint64) error {
	for _, e := range []struct {
		key   bookKey
		value bookEntry
	}{
		{bookKey{bookFields, 0}, entry(0, netip.AddrPort{}, fields(directorFlowKey{}))},
		{bookKey{bookFields, 1}, entry(0, netip.AddrPort{}, fields(directorFlow{}))},
		{bookKey{bookFields, 2}, entry(uint64(unsafe.Sizeof(directorFirst{})), netip.AddrPort{}, fields(directorFirst{}))},
		{bookKey{Kind: bookSeed}, entry(seed, netip.AddrPort{}, "")},
		{bookKey{Kind: bookLayout}, entry(layout, netip.AddrPort{}, "")},
	} {
		if err := book.Put(e.key, &e.value); err != nil {
			return fmt.Errorf("write map %s: %w", bookName, err)
		}
	}
	return nil
}

// readBook reads all entries.
func readBook(book *ebpf.Map) (map[bookKey]bookEntry, error) {
	all := map[bookKey]bookEntry{}
	keys, values := make([]bookKey, 512), make([]bookEntry, 512)
	for cursor := (ebpf.MapBatchCursor{}); ; {
		n, err := book.BatchLookup(&cursor, keys, values, nil)
		for i := range n {
			all[keys[i]] = values[i]
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read map %s: %w", bookName, err)
		}
	}
}

// fields describes a plain struct: name, offset and size of each field.
func fields(v any) string {
	t := reflect.TypeOf(v)
	var b strings.Builder
	for i := range t.NumField() {
		if f := t.Field(i); f.Type.Size() > 0 {
			fmt.Fprintf(&b, "%s:%d:%d ", strings.ToLower(f.Name), f.Offset, f.Type.Size())
		}
	}
	return b.String()
}

// A span is where a value of another layout has a field, and where ours has the same one.
type span struct{ from, to, size int }

// spans finds the fields that a value of another layout has in common with ours, which it knows by name and size.
func spans(theirs, ours string) (list []span) {
	known := described(theirs)
	for name, f := range described(ours) {
		if k, ok := known[name]; ok && k.size == f.size {
			list = append(list, span{k.at, f.at, f.size})
		}
	}
	slices.SortFunc(list, func(a, b span) int { return a.to - b.to })
	return list
}

// A field is where a value has one.
type field struct{ at, size int }

// described reads what fields has written.
func described(text string) map[string]field {
	known := map[string]field{}
	for _, f := range strings.Fields(text) {
		part := strings.Split(f, ":")
		if len(part) != 3 {
			continue
		}
		at, err := strconv.Atoi(part[1])
		size, err2 := strconv.Atoi(part[2])
		if err == nil && err2 == nil && at >= 0 && at < 1<<16 && size > 0 {
			known[part[0]] = field{at, size}
		}
	}
	return known
}

// convert copies the fields from a value of another layout.
func convert(list []span, from, to []byte) {
	for _, s := range list {
		if s.from+s.size <= len(from) && s.to+s.size <= len(to) {
			copy(to[s.to:s.to+s.size], from[s.from:])
		}
	}
}
