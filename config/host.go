package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"

	"muster/cluster"
	"muster/internal/wire"
)

// MaxBodyFile is the most that the body of a fallback may have, in bytes.
const MaxBodyFile = 1 << 20

// CheckHost says whether this machine has what the file asks of the node: the key, directories, programs, users. Each
// line of the error is one fault and what to do about it. It changes nothing.
func (f *File) CheckHost(node string) error {
	n := f.Node(node)
	if n == nil {
		names := make([]string, len(f.Nodes))
		for i := range f.Nodes {
			names[i] = f.Nodes[i].Name
		}
		return fmt.Errorf("cluster %s has no node %s; %s", f.Cluster, quote(node), meant(node, names, "nodes"))
	}
	var errs []error
	if _, err := wire.ReadKey(f.Key); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, canHold(f.State))
	if n.Has(cluster.Traffic) {
		for _, p := range f.PoolsOf(n.Name) {
			errs = append(errs, f.checkPoolHere(n, p)...)
		}
	}
	if n.Has(cluster.Director) {
		for i := range f.Services {
			errs = append(errs, f.Services[i].checkHere()...)
		}
	}
	return errors.Join(errs...)
}

func (f *File) checkPoolHere(n *Node, p *Pool) []error {
	var errs []error
	what := fmt.Sprintf("the application of pool %s", p.Name)
	if a := f.Application(n.Name, p.Name); a != nil && a.Serve != nil {
		errs = append(errs, canList(a.Serve.Root, "root of "+what))
	} else if a != nil && a.Run != nil {
		errs = append(errs, canList(a.Run.Dir, "dir of "+what), canRun(a.Run.Command[0], a.Run.Dir, what), canBe(a.Run.User, what))
	}
	if c := f.Check(p.Check); c != nil && c.Kind == CheckExec {
		errs = append(errs, canRun(c.Command[0], "/", "check "+c.Name))
	}
	return errs
}

func (s *Service) checkHere() []error {
	var errs []error
	if fb := s.Fallback; fb != nil && fb.BodyFile != "" {
		errs = append(errs, canSend(fb.BodyFile, "the fallback of service "+s.Name))
	}
	if log := s.AccessLog; log.Format != AccessOff && log.File != "-" {
		errs = append(errs, canList(filepath.Dir(log.File), "directory of the access log of service "+s.Name))
	}
	return errs
}

// canHold says whether a directory is there or can be made.
func canHold(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("the state directory %s is a file: name a directory with state", dir)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the state directory %s cannot be used (%w): give the user that Muster runs as access to it", dir, cause(err))
	}
	return nil // it is made when the node starts
}

// canList says whether a directory is there and can be read.
func canList(dir, what string) error {
	d, err := os.Open(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the %s, %s, does not exist: make the directory or change the file", what, dir)
		}
		return fmt.Errorf("the %s, %s, cannot be read (%w): give the user that Muster runs as access to it", what, dir, cause(err))
	}
	defer d.Close()
	if info, err := d.Stat(); err == nil && !info.IsDir() {
		return fmt.Errorf("the %s, %s, is not a directory: name a directory", what, dir)
	}
	return nil
}

// canSend says whether a file can be the body of an answer.
func canSend(path, what string) error {
	info, err := os.Stat(path) // before it is opened: opening a pipe would wait
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the body-file of %s, %s, does not exist: write it or take body-file out", what, path)
	case err != nil:
		return fmt.Errorf("the body-file of %s, %s, cannot be read (%w): give the user that Muster runs as access to it", what, path, cause(err))
	case !info.Mode().IsRegular():
		return fmt.Errorf("the body-file of %s, %s, is not a file: name a file", what, path)
	case info.Size() > MaxBodyFile:
		return fmt.Errorf("the body-file of %s, %s, is larger than %s: make it smaller", what, path, Bytes(MaxBodyFile))
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("the body-file of %s, %s, cannot be read (%w): give the user that Muster runs as access to it", what, path, cause(err))
	}
	return f.Close()
}

// canRun says whether a program is there. A path with a slash is relative to the directory that the program runs in.
func canRun(program, dir, what string) error {
	if strings.Contains(program, "/") && !filepath.IsAbs(program) {
		program = filepath.Join(dir, program)
	}
	_, err := exec.LookPath(program)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the program %s of %s may not be run: run chmod +x on it, or name another", program, what)
	}
	return fmt.Errorf("the program %s of %s is not on this machine: install it, or write its whole path", program, what)
}

// canBe says whether a program can be run as the user.
func canBe(name, what string) error {
	if name == "" {
		return nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return fmt.Errorf("the user %s of %s is not on this machine: add the user or change the file", name, what)
	}
	if me := os.Geteuid(); me != 0 && u.Uid != fmt.Sprint(me) {
		return fmt.Errorf("the user %s of %s is another than Muster's own: run Muster as root, or take user out", name, what)
	}
	return nil
}

// cause is what the system says, without the name that the message has already.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
