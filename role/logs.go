package role

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"muster/datapath/request"
)

// logFiles are the access logs of a director. Services that name the same file share it.
type logFiles struct {
	mu   sync.Mutex
	open map[string]*logFile
}

func newLogFiles() *logFiles { return &logFiles{open: map[string]*logFile{}} }

// A logFile is opened to append. Moved away, it goes on in the file that was moved until it is opened again.
type logFile struct {
	path string
	mu   sync.Mutex
	f    *os.File
}

// to gives the writer of a path; "-" is standard error.
func (l *logFiles) to(path string) (io.Writer, error) {
	if path == "-" {
		return os.Stderr, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.open[path]; f != nil {
		return f, nil
	}
	f := &logFile{path: path}
	if err := f.again(); err != nil {
		return nil, err
	}
	l.open[path] = f
	return f, nil
}

// again opens all of them again, as a rotation of logs wants it.
func (l *logFiles) again() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, f := range l.open {
		errs = append(errs, f.again())
	}
	return errors.Join(errs...)
}

// keep closes those that the services do not write to. Lines that are still on the way to them are lost.
func (l *logFiles) keep(services []request.Service) {
	l.mu.Lock()
	defer l.mu.Unlock()
	used := map[io.Writer]bool{}
	for _, s := range services {
		used[s.Log.To] = true
	}
	for path, f := range l.open {
		if !used[f] {
			f.close()
			delete(l.open, path)
		}
	}
}

func (f *logFile) again() error {
	next, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("open the access log: %w; give the user that muster runs as access to it", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f != nil {
		_ = f.f.Close() // each line has been written, or its writer was told
	}
	f.f = next
	return nil
}

func (f *logFile) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.f.Write(b)
}

func (f *logFile) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.f.Close() // as above
}
