package peer

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// A Space is a network, or a whole machine, that a thread can be moved into: testbed.Space, testbed.Machine. Enter locks the
// calling goroutine to its thread; leave undoes what can be undone.
type Space interface {
	Enter() (leave func(), err error)
}

// A Host is where a server runs, as if on a machine of its own. The zero Host is any processor, in the network of this
// process.
type Host struct {
	Space Space // where it runs; nil means beside this process
	CPUs  []int // none means any
}

// Do calls f on a thread of the host, and returns when f has: the sockets that f makes and the programs that it starts
// are the host's.
func (h Host) Do(f func() error) error {
	done := make(chan error)
	go func() { done <- h.do(f) }()
	return <-done
}

func (h Host) do(f func() error) error {
	runtime.LockOSThread() // never unlocked: the thread, whose processors were changed, ends with its goroutine
	if unix.Gettid() == unix.Getpid() {
		defer runtime.UnlockOSThread()
		return h.Do(f) // the main thread cannot end: while it waits here, another is taken
	}
	if len(h.CPUs) > 0 {
		var set unix.CPUSet
		for _, c := range h.CPUs {
			set.Set(c)
		}
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return fmt.Errorf("keep to processors %v: %w", h.CPUs, err)
		}
	}
	if h.Space == nil {
		return f()
	}
	leave, err := h.Space.Enter()
	if err != nil {
		return err
	}
	defer leave()
	return f()
}
