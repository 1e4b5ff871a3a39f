// Package supervise keeps an application's process running: starts it, starts it again when it dies or does not get
// well, keeps the last of its output, and stops it with all that it started.
package supervise

import (
	"cmp"
	"context"
	"log/slog"
	"runtime"
	"sync"
	"syscall"
	"time"

	"muster/internal/spawn"
)

// Config says what to run. Only Command must be given.
type Config struct {
	Command []string          // the program, looked up in PATH, and its arguments
	Dir     string            // where it is started; empty means where this process is
	Env     map[string]string // added to this process's own environment
	User    string            // name or number; empty means as this process; another takes root

	StopSignal  syscall.Signal // asks it to stop; 0 means SIGTERM
	StopTimeout time.Duration  // how long it may take to; it is killed then; 0 means 10s

	BackoffMin time.Duration // pause before it is started again; doubles each time; 0 means 200ms
	BackoffMax time.Duration // 0 means 30s
	Settle     time.Duration // when it has run for so long, pauses begin at BackoffMin again; 0 means 10s

	// Grace is how long its check may fail before it is started again; 0 means 10s. It doubles each time that this has
	// not helped, up to 32 times as long: an application that takes minutes to start gets its minutes.
	Grace time.Duration

	Lines int // how many lines of its output are kept; 0 means 50
}

func (c Config) withDefaults() Config {
	c.StopSignal = cmp.Or(c.StopSignal, syscall.SIGTERM)
	c.StopTimeout = cmp.Or(c.StopTimeout, 10*time.Second)
	c.BackoffMin = cmp.Or(c.BackoffMin, 200*time.Millisecond)
	c.BackoffMax = cmp.Or(c.BackoffMax, 30*time.Second)
	c.Settle = cmp.Or(c.Settle, 10*time.Second)
	c.Grace = cmp.Or(c.Grace, 10*time.Second)
	c.Lines = cmp.Or(c.Lines, 50)
	return c
}

// A State is what the application's process is doing.
type State string

// The states.
const (
	Stopped    State = "stopped" // not to run
	Starting   State = "starting"
	Running    State = "running"
	Stopping   State = "stopping"
	BackingOff State = "backing-off" // it ended or could not be started; it is tried again after a pause
)

// Status is what is known of the application's process.
type Status struct {
	State    State
	Since    time.Time // when it came into this state
	PID      int       // of the process; 0 when there is none
	Restarts int       // how often it has been started again
	Exit     string    // how the last process ended, or why it could not be started; empty when none has yet
	Unwell   string    // why its check fails; empty when it does not
	Lines    []string  // the last of its output
}

// A Supervisor runs one application.
type Supervisor struct {
	cfg     Config
	log     *slog.Logger
	changed func(Status)
	output  *output
	wake    chan struct{}

	now   func() time.Time
	after func(time.Duration) <-chan time.Time

	patience time.Duration // Run's: how long the check may fail this time
	heard    int           // Run's: how much of wells it has seen

	mu      sync.Mutex
	status  Status
	starts  int
	wells   int    // how often Well was called
	restart string // why it is to be started again at once; empty when it is not
}

// New returns a supervisor. It calls changed, from the goroutine of Run, when the state changes; nil means that nobody
// wants to know.
func New(cfg Config, log *slog.Logger, changed func(Status)) *Supervisor {
	if changed == nil {
		changed = func(Status) {}
	}
	cfg = cfg.withDefaults()
	return &Supervisor{
		cfg: cfg, log: log, changed: changed, output: newOutput(cfg.Lines, log),
		wake: make(chan struct{}, 1), now: time.Now, after: time.After, patience: cfg.Grace,
		status: Status{State: Stopped, Since: time.Now()},
	}
}

// Status returns what is known now.
func (s *Supervisor) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := s.status
	status.Lines = s.output.lines()
	return status
}

// Restart stops the application and starts it again, without a pause.
func (s *Supervisor) Restart(reason string) {
	s.mu.Lock()
	s.restart = cmp.Or(reason, "it was asked for")
	s.mu.Unlock()
	s.nudge()
}

// Unwell says that the application's check fails. Unless Well is called within the grace, it is started again.
func (s *Supervisor) Unwell(reason string) {
	s.mu.Lock()
	s.status.Unwell = cmp.Or(reason, "its check fails")
	s.mu.Unlock()
	s.nudge()
}

// Well says that the application passes its check.
func (s *Supervisor) Well() {
	s.mu.Lock()
	s.status.Unwell = ""
	s.wells++
	s.mu.Unlock()
	s.nudge()
}

func (s *Supervisor) nudge() {
	select {
	case s.wake <- struct{}{}:
	default: // Run has yet to look
	}
}

// Run keeps the application running until the context ends, then stops it and waits until all of it is gone.
func (s *Supervisor) Run(ctx context.Context) error {
	// The kernel sends the application a signal when the thread that started it ends, so that it does not outlive this
	// process (spawn.Start). This goroutine lives longer than what it starts; let its thread do so too.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer s.enter(Stopped, 0)
	pause := s.cfg.BackoffMin
	for ctx.Err() == nil {
		began := s.now()
		if again := s.once(ctx); again {
			continue
		}
		if s.now().Sub(began) >= s.cfg.Settle {
			pause = s.cfg.BackoffMin
		}
		s.rest(ctx, pause)
		pause = min(2*pause, s.cfg.BackoffMax)
	}
	return nil
}

// once starts the application and stays until it has ended. It says whether that was our doing, so that it is to be
// started again without a pause.
func (s *Supervisor) once(ctx context.Context) (again bool) {
	s.enter(Starting, 0)
	s.takeRestart() // what was asked for before is being done
	child, err := s.start()
	if err != nil {
		s.ended(err.Error())
		s.log.Error("application could not be started", "err", err)
		return false
	}
	began := s.now()
	s.enter(Running, child.PID())
	s.log.Info("application started", "pid", child.PID())
	reason := s.watch(ctx, child)
	if reason != "" {
		s.enter(Stopping, child.PID())
		s.log.Info("application is being stopped", "pid", child.PID(), "reason", reason)
		s.stop(child)
	}
	s.output.flush()
	s.ended(child.End().String())
	s.log.Log(ctx, level(reason), "application ended",
		"pid", child.PID(), "how", child.End().String(), "ran", s.now().Sub(began))
	return reason != ""
}

// level is how bad it is that an application has ended.
func level(reason string) slog.Level {
	if reason == "" {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// watch waits until the application has ended, and returns nothing, or is to be stopped, and returns why.
func (s *Supervisor) watch(ctx context.Context, child *spawn.Child) (reason string) {
	var grace <-chan time.Time // nil while it is well
	for {
		s.mu.Lock()
		unwell, wells := s.status.Unwell, s.wells
		s.mu.Unlock()
		if wells != s.heard { // it has been well, if only between two looks
			s.heard, grace, s.patience = wells, nil, s.cfg.Grace
		}
		if unwell != "" && grace == nil {
			grace = s.after(s.patience)
		}
		select {
		case <-child.Done():
			return ""
		case <-ctx.Done():
			return "the node stops"
		case <-s.wake:
			if reason := s.takeRestart(); reason != "" {
				return reason
			}
		case <-grace:
			s.patience = min(2*s.patience, 32*s.cfg.Grace)
			return "not well for too long: " + unwell
		}
	}
}

// stop asks the application to stop, and kills all of it if it takes too long.
func (s *Supervisor) stop(child *spawn.Child) {
	child.Signal(s.cfg.StopSignal)
	child.Signal(syscall.SIGCONT) // a frozen process does not hear the first
	select {
	case <-child.Done():
	case <-s.after(s.cfg.StopTimeout):
		s.log.Warn("application is killed: it has not stopped in time", "pid", child.PID(), "timeout", s.cfg.StopTimeout)
		child.Kill()
		<-child.Done()
	}
}

// rest waits before the next start. Restart cuts it short.
func (s *Supervisor) rest(ctx context.Context, pause time.Duration) {
	s.enter(BackingOff, 0)
	over := s.after(pause)
	for {
		select {
		case <-ctx.Done():
			return
		case <-over:
			return
		case <-s.wake:
			if s.takeRestart() != "" {
				return
			}
		}
	}
}

func (s *Supervisor) takeRestart() (reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reason, s.restart = s.restart, ""
	return reason
}

func (s *Supervisor) enter(state State, pid int) {
	s.mu.Lock()
	s.status.State, s.status.PID, s.status.Since = state, pid, s.now()
	if state == Running {
		s.starts++
		s.status.Restarts = s.starts - 1
	}
	s.mu.Unlock()
	s.changed(s.Status())
}

func (s *Supervisor) ended(how string) {
	s.mu.Lock()
	s.status.Exit = how
	s.mu.Unlock()
}
