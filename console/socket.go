package console

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// A socket is a listener on a Unix socket that only its owner may open.
type socket struct {
	net.Listener
	path string
	file os.FileInfo
}

// pathLimit is what the kernel takes of a Unix socket's path (unix(7)).
const pathLimit = 107

// listenSocket makes the socket under a name that nobody else can reach and moves it to its place when its mode is set:
// there is no moment in which others may open it. What a killed process left there is replaced.
func listenSocket(path string) (*socket, error) {
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = conn.Close() // it was only to see whether anybody is there
		return nil, fmt.Errorf("serve the API on %s: another muster serves there; stop it, or give this one a state directory of its own", path)
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".c")
	if err != nil {
		return nil, fmt.Errorf("serve the API on %s: %w", path, err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	hidden := filepath.Join(dir, "s")
	if len(hidden) > pathLimit || len(path) > pathLimit {
		return nil, fmt.Errorf("serve the API on %s: the path is too long for a socket; choose a shorter state directory", path)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("serve the API on %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false) // it will have another name
	s := &socket{Listener: l, path: path}
	err = errors.Join(os.Chmod(hidden, 0o600), os.Rename(hidden, path))
	if err == nil {
		s.file, err = os.Lstat(path)
	}
	if err != nil {
		_ = l.Close() // the error says why
		return nil, fmt.Errorf("serve the API on %s: %w", path, err)
	}
	return s, nil
}

// remove removes the socket's file, unless another process has put its own there since.
func (s *socket) remove() {
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.file) {
		_ = os.Remove(s.path) // a file that stays is replaced at the next start
	}
}
