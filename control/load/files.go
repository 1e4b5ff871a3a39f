package load

import (
	"bufio"
	"bytes"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// A file is kept open and read again from its start: the kernel makes its content anew for each read at 0. A nil file
// reads as empty.
type file struct {
	f   *os.File
	buf []byte
}

// openFile opens a file of which the first size bytes matter. It returns nil if there is none.
func openFile(path string, size int) *file {
	f, err := os.Open(path)
	if err != nil {
		return nil // the reading names the term that is missing
	}
	return &file{f, make([]byte, size)}
}

// read returns the content; it is valid until the next read.
func (f *file) read() []byte {
	if f == nil {
		return nil
	}
	n, _ := f.f.ReadAt(f.buf, 0) // at an error n is what was read, mostly nothing
	return f.buf[:n]
}

func (f *file) close() {
	if f != nil {
		_ = f.f.Close() // it was only read
	}
}

// processors reads how many processors there are and their BogoMIPS together. Architectures write the name of the field
// differently; some have none.
func processors(path string) (n int, bogomips float64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return runtime.NumCPU(), 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		switch name = strings.TrimSpace(name); {
		case name == "processor":
			n++
		case strings.EqualFold(name, "bogomips"):
			if v, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil && v > 0 && v < 1e9 {
				bogomips += v
			}
		}
	}
	if n == 0 {
		n = runtime.NumCPU()
	}
	return n, bogomips, nil
}

// kilobytes finds a line of /proc/meminfo and returns its amount in bytes.
func kilobytes(b []byte, name string) (uint64, bool) {
	_, after, ok := bytes.Cut(b, []byte(name))
	if !ok {
		return 0, false
	}
	n, _, ok := number(after)
	if !ok || n > 1<<53 {
		return 0, false
	}
	return n * 1024, true
}

// jiffies reads the first line of /proc/stat: time of all processors that was not idle, and in all. Time that the
// hypervisor took is in use; time that guests took is counted in user time already.
func jiffies(b []byte) (busy, total uint64, ok bool) {
	b, ok = bytes.CutPrefix(b, []byte("cpu "))
	if !ok {
		return 0, 0, false
	}
	b, _, _ = bytes.Cut(b, []byte("\n"))
	const idle, iowait, steal = 3, 4, 7
	fields := 0
	for ; fields <= steal; fields++ {
		var n uint64
		if n, b, ok = number(b); !ok {
			break
		}
		total += n
		if fields != idle && fields != iowait {
			busy += n
		}
	}
	return busy, total, fields > idle
}

// runnable reads /proc/loadavg: how many tasks want a processor now.
func runnable(b []byte) (uint64, bool) {
	for range 3 {
		_, after, ok := bytes.Cut(b, []byte(" "))
		if !ok {
			return 0, false
		}
		b = after
	}
	n, rest, ok := number(b)
	return n, ok && len(rest) > 0 && rest[0] == '/'
}

// stalled reads the "some" line of a pressure file: microseconds in which at least one task waited.
func stalled(b []byte) (uint64, bool) {
	b, ok := bytes.CutPrefix(b, []byte("some "))
	if !ok {
		return 0, false
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	_, after, ok := bytes.Cut(line, []byte("total="))
	if !ok {
		return 0, false
	}
	n, _, ok := number(after)
	return n, ok
}

// number reads a decimal number after blanks. A number too large for 64 bits is none.
func number(b []byte) (n uint64, rest []byte, ok bool) {
	b = bytes.TrimLeft(b, " \t")
	i := 0
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		d := uint64(b[i] - '0')
		if n > (1<<64-1-d)/10 {
			return 0, b, false
		}
		n = 10*n + d
	}
	return n, b[i:], i > 0
}
