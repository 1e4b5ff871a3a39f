package vip

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf/link"

	"muster/internal/bpffs"
)

// In the pin directory there is a link for each program and port: in-eth0, out-eth0. It holds the program, and that its
// maps; the next process puts its own program in its place.

// pinned is the link of that name that an earlier process left, or nil.
func pinned(dir, name string) (link.Link, error) {
	if dir == "" {
		return nil, nil
	}
	path := filepath.Join(dir, bpffs.Name(name))
	l, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("take over %s: %w", path, explain(err))
	}
	return l, nil
}

func pin(dir, name string, l link.Link) error {
	if dir == "" {
		return nil
	}
	if err := bpffs.Prepare(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, bpffs.Name(name))
	if err := l.Pin(path); err != nil {
		return fmt.Errorf("have the program work on without this process, in %s: %w", path, explain(err))
	}
	return nil
}

// unpin removes what is pinned, but for what is kept, and the directory if nothing is. Programs that nobody holds end.
func unpin(dir string, keep map[string]bool) error {
	if dir == "" {
		return nil
	}
	kept := map[string]bool{}
	for name := range keep {
		kept[bpffs.Name(name)] = true
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var errs []error
	for _, e := range entries {
		if !kept[e.Name()] {
			errs = append(errs, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	if len(kept) == 0 {
		errs = append(errs, os.Remove(dir))
	}
	if err := errors.Join(append(errs, err)...); err != nil {
		return fmt.Errorf("remove the programs that were left: %w", explain(err))
	}
	return nil
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
