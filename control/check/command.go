package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"unicode"

	"muster/internal/spawn"
)

// newCommand returns a probe that runs a program and asks for exit status 0. At the time-out the program is killed with
// all that it started.
func newCommand(cfg Config, target netip.AddrPort) (func(context.Context) error, error) {
	if len(cfg.Command) == 0 {
		return nil, fmt.Errorf("check of %s: no command is given to run", target)
	}
	return func(ctx context.Context) error {
		var out tail
		cmd := exec.Command(cfg.Command[0], cfg.Command[1:]...)
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.Env = append(os.Environ(),
			"MUSTER_ADDRESS="+target.Addr().String(), fmt.Sprintf("MUSTER_PORT=%d", target.Port()))
		child, err := spawn.Start(cmd, syscall.SIGKILL)
		if err != nil {
			return err
		}
		select {
		case <-child.Done():
		case <-ctx.Done():
			child.Kill()
			<-child.Done()
			return fmt.Errorf("%s: not done within %v", cfg.Command[0], cfg.Timeout)
		}
		if child.End().Success() {
			return nil
		}
		if line := out.last(); line != "" {
			return errors.New(line)
		}
		return fmt.Errorf("%s: %v", cfg.Command[0], child.End())
	}, nil
}

// tailSize bounds what is kept of a program's output, and so the reason that it gives.
const tailSize = 512

// A tail keeps the end of what is written to it.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p[max(0, len(p)-tailSize):]...)
	t.b = t.b[max(0, len(t.b)-tailSize):]
	return len(p), nil
}

// last is the last line that is not blank, fit to be printed.
func (t *tail) last() string {
	b := bytes.TrimSpace(t.b)
	line := strings.ToValidUTF8(string(b[bytes.LastIndexByte(b, '\n')+1:]), "")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, line))
}
