package usage

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Busy is how long the processors of this machine have been busy, all together, since some time in the past: whatever is
// not idle, in nobody's time as well as in a process's. It is exact to some 10 ms.
func Busy() (time.Duration, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("read how long the machine was idle: %w", err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	fields := bytes.Fields(line)
	const idle, iowait = 4, 5 // proc_stat(5)
	if len(fields) <= iowait || string(fields[0]) != "cpu" {
		return 0, fmt.Errorf("read how long the machine was idle: %.80q is not what proc_stat(5) describes", line)
	}
	processors := bytes.Count(b, []byte("\ncpu"))
	var sum int64
	for _, i := range []int{idle, iowait} {
		n, err := strconv.ParseInt(string(fields[i]), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read how long the machine was idle: %w", err)
		}
		sum += n
	}
	return time.Duration(now.Nano())*time.Duration(processors) - time.Duration(sum)*time.Second/ticks, nil
}
