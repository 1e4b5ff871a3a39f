package usage

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Busy is how long processors of this machine have been busy, all of these together, since some time in the past: whatever
// is not idle, in nobody's time as well as in a process's. It is exact to some 10 ms. No number means all processors.
func Busy(processors ...int) (time.Duration, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("read how long the machine was idle: %w", err)
	}
	const idle, iowait = 4, 5 // proc_stat(5)
	var count, sum int64
	for line := range bytes.Lines(b) {
		fields := bytes.Fields(line)
		if len(fields) <= iowait || !bytes.HasPrefix(fields[0], []byte("cpu")) {
			continue
		}
		n, err := strconv.Atoi(string(fields[0][len("cpu"):])) // the first line is that of all
		if err != nil || len(processors) > 0 && !slices.Contains(processors, n) {
			continue
		}
		count++
		for _, i := range []int{idle, iowait} {
			n, err := strconv.ParseInt(string(fields[i]), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read how long the machine was idle: %w", err)
			}
			sum += n
		}
	}
	if count == 0 {
		return 0, fmt.Errorf("read how long processors %v were idle: /proc/stat has none of them", processors)
	}
	return time.Duration(now.Nano()*count) - time.Duration(sum)*time.Second/ticks, nil
}
