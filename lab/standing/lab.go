package standing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"muster/lab/testbed"
)

// A Lab is one that stands, as another process sees it.
type Lab struct {
	place
	http *http.Client
}

// Find finds a lab that stands, by its name.
func Find(name string) (*Lab, error) {
	p, err := newPlace(name)
	if err != nil {
		return nil, err
	}
	held, err := p.held()
	if err == nil && !held {
		err = ErrNone
		if names := Names(); len(names) > 0 {
			err = fmt.Errorf("there is no lab of that name; there are %s: name one with --name", strings.Join(names, " "))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("lab %s: %w", name, err)
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", p.socket())
	}
	return &Lab{p, &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}, nil
}

// Start starts a process that keeps a lab, by the arguments given, and waits until the lab stands. The process is to call
// Keep. Doing is told what it does. If the context ends before that, so does the lab.
func Start(ctx context.Context, name string, plan testbed.Plan, argv []string, doing func(string)) (*Lab, error) {
	p, err := newPlace(name)
	if err != nil {
		return nil, err
	}
	sweep()
	lock, err := p.take()
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	from, to, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start lab %s: %w", name, err)
	}
	defer from.Close()
	cmd, err := p.start(plan, argv, to, lock)
	to.Close()
	lock.Close()
	if err != nil {
		return nil, fmt.Errorf("start lab %s: %w", name, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	for words := json.NewDecoder(from); ; {
		var w word
		if err := words.Decode(&w); err != nil || w.Error != "" {
			_ = cmd.Wait() // why it ended, it has said
			switch {
			case ctx.Err() != nil:
				return nil, fmt.Errorf("start lab %s: it was interrupted, and nothing of it is left", name)
			case w.Error != "":
				return nil, errors.New(w.Error)
			}
			return nil, fmt.Errorf("start lab %s: what was to keep it has ended (%s); its last words are in %s", name, cmd.ProcessState, p.log())
		}
		if w.Ready {
			_ = cmd.Process.Release() // it is nobody's child from here on
			return Find(name)
		}
		doing(w.Doing)
	}
}

// What a process that keeps a lab is given: where it tells how it gets on, the lock of the lab's place, and the plan.
const (
	toldFile     = 3
	lockFile     = 4
	planVariable = "MUSTER_LAB_PLAN"
)

func (p place) start(plan testbed.Plan, argv []string, to, lock *os.File) (*exec.Cmd, error) {
	log, err := os.Create(p.log())
	if err != nil {
		return nil, err
	}
	defer log.Close()
	text, err := json.Marshal(plan)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), planVariable+"="+string(text))
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, []*os.File{to, lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it stays when the terminal goes
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	err = lock.Truncate(0)
	if err == nil {
		_, err = lock.WriteAt(fmt.Appendln(nil, cmd.Process.Pid), 0)
	}
	if err != nil {
		_ = cmd.Process.Kill() // the error says more
		_ = cmd.Wait()
	}
	return cmd, err
}

// readPlan reads the plan that Start has given this process.
func readPlan() (plan testbed.Plan, err error) {
	defer os.Unsetenv(planVariable)
	if err := json.Unmarshal([]byte(os.Getenv(planVariable)), &plan); err != nil {
		return plan, fmt.Errorf("read the plan of the lab from $%s: %w: this is only to be started by muster lab up", planVariable, err)
	}
	return plan, nil
}

// State says how the lab is.
func (l *Lab) State(ctx context.Context) (*State, error) {
	s := &State{}
	return s, l.ask(ctx, http.MethodGet, "/state", nil, s)
}

// Act does something to the lab, and waits until it is done.
func (l *Lab) Act(ctx context.Context, a Action) error {
	return l.ask(ctx, http.MethodPost, "/act", a, &struct{}{})
}

// downPatience is how long a lab may take to end before its owner is killed, which ends it as well.
const downPatience = 15 * time.Second

// Down ends the lab, and waits until it is gone.
func (l *Lab) Down(ctx context.Context) error {
	pid, err := l.owner()
	if err != nil {
		return err
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil // it has ended
	}
	defer func() { _ = unix.Close(fd) }() // it was only held
	late, cancel := context.WithTimeout(ctx, downPatience)
	defer cancel()
	if err := l.ask(late, http.MethodPost, "/down", nil, &struct{}{}); err != nil {
		_ = unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0) // it may not stand yet, or hang
	}
	if ended(late, fd) {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		return fmt.Errorf("kill the owner of lab %s, process %d: %w", l.name, pid, err)
	}
	if !ended(ctx, fd) {
		return ctx.Err()
	}
	return nil
}

// ended waits for the end of a process.
func ended(ctx context.Context, pidfd int) bool {
	for ctx.Err() == nil {
		const ms = 50
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, ms); n > 0 && err == nil {
			return true
		}
	}
	return false
}

// ask asks the owner.
func (l *Lab) ask(ctx context.Context, method, path string, body, to any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://lab"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r, err := l.http.Do(req)
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("lab %s is not up yet, or no more: wait a moment, or end it with muster lab down", l.name)
	}
	if err != nil {
		return fmt.Errorf("ask the owner of lab %s: %w", l.name, err)
	}
	defer r.Body.Close()
	answer := json.NewDecoder(r.Body)
	if r.StatusCode != http.StatusOK {
		var w word
		if err := answer.Decode(&w); err != nil || w.Error == "" {
			return fmt.Errorf("ask the owner of lab %s: it says %s", l.name, r.Status)
		}
		return errors.New(w.Error)
	}
	if err := answer.Decode(to); err != nil {
		return fmt.Errorf("ask the owner of lab %s: %w", l.name, err)
	}
	return nil
}
