package bench

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// keepTo keeps processes that run already to one processor, with all their threads and whatever these will start.
func keepTo(pids []int, processor int) error {
	var set unix.CPUSet
	set.Set(processor)
	for _, pid := range pids {
		// A thread that began meanwhile may have been missed in the first look: threads inherit what theirs had.
		for range 2 {
			threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
			if err != nil {
				return fmt.Errorf("keep process %d to processor %d: %w", pid, processor, err)
			}
			for _, t := range threads {
				tid, err := strconv.Atoi(t.Name())
				if err == nil {
					err = unix.SchedSetaffinity(tid, &set)
				}
				if err != nil && !errors.Is(err, unix.ESRCH) { // it has ended
					return fmt.Errorf("keep process %d to processor %d: %w", pid, processor, err)
				}
			}
		}
	}
	return nil
}
