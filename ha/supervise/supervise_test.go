package supervise

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A stage runs a supervisor and shows what it does: its states, its log, and what it waits for.
type stage struct {
	*Supervisor
	t      *testing.T
	states chan Status
	logged chan string // messages, with the line that was printed
	waits  chan wait
}

// A wait is one that the supervisor has begun; the test ends it.
type wait struct {
	d    time.Duration
	over chan time.Time
}

func perform(t *testing.T, cfg Config) *stage {
	t.Helper()
	s := idle(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for {
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("Run: %v", err)
				}
				if status := s.Status(); status.State != Stopped || status.PID != 0 {
					t.Errorf("status after Run: %+v, want stopped", status)
				}
				return
			case <-s.states:
			case w := <-s.waits:
				close(w.over)
			}
		}
	})
	return s
}

// idle is a stage whose supervisor does not run yet.
func idle(t *testing.T, cfg Config) *stage {
	s := &stage{t: t, states: make(chan Status), logged: make(chan string, 1000), waits: make(chan wait)}
	s.Supervisor = New(cfg, slog.New(s), func(status Status) { s.states <- status })
	s.after = func(d time.Duration) <-chan time.Time {
		w := wait{d, make(chan time.Time)}
		s.waits <- w
		return w.over
	}
	return s
}

func (s *stage) Enabled(context.Context, slog.Level) bool { return true }
func (s *stage) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s *stage) WithGroup(string) slog.Handler            { return s }
func (s *stage) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "line" || a.Key == "reason" {
			text += ": " + a.Value.String()
		}
		return true
	})
	s.logged <- text
	return nil
}

// enters wants the next states to be these, and returns the last.
func (s *stage) enters(want ...State) Status {
	s.t.Helper()
	var status Status
	for _, state := range want {
		select {
		case status = <-s.states:
		case w := <-s.waits:
			s.t.Fatalf("it waits for %v, want %s", w.d, state)
		}
		if status.State != state {
			s.t.Fatalf("it is %s, want %s: %+v", status.State, state, status)
		}
	}
	return status
}

// awaits wants it to wait next, for d.
func (s *stage) awaits(d time.Duration) wait {
	s.t.Helper()
	select {
	case w := <-s.waits:
		if w.d != d {
			s.t.Fatalf("it waits for %v, want %v", w.d, d)
		}
		return w
	case status := <-s.states:
		s.t.Fatalf("it is %s, want a wait for %v", status.State, d)
		panic("unreachable")
	}
}

// logs waits for a line of the log.
func (s *stage) logs(want string) {
	for got := range s.logged {
		if got == want {
			return
		}
	}
}

func shell(script string) []string { return []string{"/bin/sh", "-c", script} }

// steady runs until it is asked to stop, and says so.
const steady = `trap "echo bye; exit 0" TERM; sleep 1000 & echo ready; while :; do wait; done`

func TestBackOff(t *testing.T) {
	s := perform(t, Config{Command: shell("echo dying; exit 3"), BackoffMax: time.Second})
	for i, ms := range []time.Duration{200, 400, 800, 1000, 1000} {
		s.enters(Starting, Running)
		status := s.enters(BackingOff)
		if status.Exit != "exit status 3" || status.PID != 0 || status.Restarts != i {
			t.Errorf("at end %d: %+v, want exit status 3 and %d restarts", i, status, i)
		}
		if got := status.Lines[len(status.Lines)-1]; got != "dying" {
			t.Errorf("last line %q, want dying", got)
		}
		close(s.awaits(ms * time.Millisecond).over)
	}
}

func TestBackOffBeginsAnewAfterALongRun(t *testing.T) {
	s := idle(t, Config{Command: shell("read line")}) // its input is empty: it ends at once
	times := make(chan time.Time, 1)
	s.now = func() time.Time { return <-times }
	go func() {
		now := time.Unix(0, 0)
		for {
			select {
			case times <- now:
				now = now.Add(4 * time.Second) // each look at the clock: a run takes longer than Settle
			case <-t.Context().Done():
				return
			}
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	for range 3 {
		s.enters(Starting, Running, BackingOff)
		close(s.awaits(200 * time.Millisecond).over)
	}
	go func() {
		for range s.states { // until the test ends
		}
	}()
	cancel()
	select {
	case <-done:
	case w := <-s.waits:
		close(w.over)
		<-done
	}
}

func TestRestart(t *testing.T) {
	s := perform(t, Config{Command: shell(steady)})
	first := s.enters(Starting, Running)
	s.logs("application printed: ready")
	s.Restart("a new binary")
	s.enters(Stopping)
	s.logs("application is being stopped: a new binary")
	s.awaits(10 * time.Second) // it stops sooner
	s.logs("application printed: bye")
	second := s.enters(Starting, Running)
	s.logs("application printed: ready")
	if second.PID == first.PID || second.PID == 0 || second.Restarts != 1 || second.Exit != "exit status 0" {
		t.Errorf("after the restart: %+v; before: %+v", second, first)
	}
}

func TestRestartCutsThePauseShort(t *testing.T) {
	s := perform(t, Config{Command: shell("exit 1")})
	s.enters(Starting, Running, BackingOff)
	s.awaits(200 * time.Millisecond)
	s.Restart("")
	s.enters(Starting, Running, BackingOff)
}

func TestStubbornApplicationIsKilled(t *testing.T) {
	s := perform(t, Config{Command: shell(`trap "echo no" TERM; sleep 1000 & echo ready; while :; do wait; done`), StopTimeout: 3 * time.Second})
	s.enters(Starting, Running)
	s.logs("application printed: ready")
	s.Restart("test")
	s.enters(Stopping)
	w := s.awaits(3 * time.Second)
	s.logs("application printed: no")
	close(w.over)
	if status := s.enters(Starting); status.Exit != "signal: killed" {
		t.Errorf("ended with %q, want a kill", status.Exit)
	}
	s.enters(Running)
}

func TestStopSignal(t *testing.T) {
	s := perform(t, Config{Command: shell(`trap "exit 7" QUIT; echo ready; while :; do sleep 1000 & wait $!; done`), StopSignal: syscall.SIGQUIT})
	status := s.enters(Starting, Running)
	s.logs("application printed: ready")
	if err := syscall.Kill(status.PID, syscall.SIGSTOP); err != nil { // a frozen one stops as well
		t.Fatal(err)
	}
	s.Restart("test")
	s.enters(Stopping)
	s.awaits(10 * time.Second)
	if status := s.enters(Starting); status.Exit != "exit status 7" {
		t.Errorf("ended with %q, want exit status 7", status.Exit)
	}
	s.enters(Running)
}

func TestUnwellApplicationIsStartedAgain(t *testing.T) {
	s := perform(t, Config{Command: shell(steady), Grace: time.Second})
	s.enters(Starting, Running)
	s.logs("application printed: ready")
	s.Unwell("status 500")
	s.awaits(time.Second)
	s.Well() // in time
	for _, grace := range []time.Duration{1, 2, 4} {
		s.Unwell("status 500")
		w := s.awaits(grace * time.Second)
		s.Unwell("status 503") // no new grace
		close(w.over)
		s.enters(Stopping)
		s.logs("application is being stopped: not well for too long: status 503")
		s.awaits(10 * time.Second)
		s.enters(Starting, Running) // at once
		s.logs("application printed: ready")
	}
	s.awaits(8 * time.Second)
	s.Well()
	s.Unwell("again")
	s.awaits(time.Second)
}

func TestStartThatCannotBe(t *testing.T) {
	program := filepath.Join(t.TempDir(), "late")
	for _, test := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "start the application: no command is given"},
		{Config{Command: []string{"/bin/true"}, User: "no-such-user"}, `start /bin/true: there is no user "no-such-user" on this machine`},
		{Config{Command: []string{program}}, "start " + program + ": there is no such file"},
	} {
		s := perform(t, test.cfg)
		if status := s.enters(Starting, BackingOff); status.Exit != test.want || status.Restarts != 0 {
			t.Errorf("got %+v, want %s", status, test.want)
		}
		if test.cfg.Command == nil || test.cfg.Command[0] != program {
			continue
		}
		if err := os.WriteFile(program, []byte("#!/bin/sh\nexit 5\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		close(s.awaits(200 * time.Millisecond).over)
		if status := s.enters(Starting, Running, BackingOff); status.Exit != "exit status 5" {
			t.Errorf("once it was there: %+v, want exit status 5", status)
		}
	}
}

func TestSurroundings(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/systemd/notify")
	t.Setenv("COLOUR", "red")
	dir := t.TempDir()
	s := perform(t, Config{
		Command: shell(`echo $PWD $COLOUR $SIZE "[$NOTIFY_SOCKET]"`), Dir: dir,
		Env: map[string]string{"SIZE": "big", "COLOUR": "blue"},
	})
	s.enters(Starting, Running, BackingOff)
	if d := cmp.Diff([]string{dir + " blue big []"}, s.Status().Lines); d != "" {
		t.Errorf("output (-want +got):\n%s", d)
	}
}

func TestUser(t *testing.T) {
	if os.Getuid() != 0 {
		s := perform(t, Config{Command: shell("exit"), User: "root"})
		if got, want := s.enters(Starting, BackingOff).Exit, "start /bin/sh: only root may start it as another user"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		return
	}
	for _, user := range []string{"nobody", "65534"} {
		s := perform(t, Config{Command: shell("id -un; echo $USER"), User: user, Dir: "/"})
		s.enters(Starting, Running, BackingOff)
		if d := cmp.Diff([]string{"nobody", "nobody"}, s.Status().Lines); d != "" {
			t.Errorf("as %s (-want +got):\n%s", user, d)
		}
	}
}

func TestOutputIsBounded(t *testing.T) {
	s := idle(t, Config{Lines: 3})
	for range 500 {
		_, _ = s.output.Write([]byte("one\r\nt")) // it never fails
		_, _ = s.output.Write([]byte("wo\n" + strings.Repeat("x", 5000)))
		_, _ = s.output.Write([]byte("y\n\xff"))
	}
	s.output.flush()
	want := []string{"\uFFFDone", "two", strings.Repeat("x", lineLimit)}
	got := s.Status().Lines
	if d := cmp.Diff(append(want[1:], "\uFFFD"), got); d != "" {
		t.Errorf("lines (-want +got):\n%s", d)
	}
	close(s.logged)
	lines := slices.Collect(func(yield func(string) bool) {
		for l := range s.logged {
			if !yield(l) {
				return
			}
		}
	})
	if len(lines) < linesBurst || len(lines) > 1000 {
		t.Errorf("%d lines logged, want about %d", len(lines), linesBurst)
	}
	if got := lines[len(lines)-1]; got != "application printed more than is logged" {
		t.Errorf("last in the log: %q, want how many lines were left out", got)
	}
}
