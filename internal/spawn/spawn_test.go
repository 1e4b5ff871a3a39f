package spawn

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// start starts a shell script and returns it with a reader of its output.
func start(t *testing.T, script string) (*Child, *bufio.Reader) {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Stdout = w
	c, err := Start(cmd, syscall.SIGTERM)
	_ = w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Kill(); <-c.Done() })
	return c, bufio.NewReader(r)
}

func TestKilledProgramLeavesNothing(t *testing.T) {
	c, out := start(t, `sleep 1000 & trap "" TERM; echo $!; wait`)
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if line = strings.TrimSpace(line); line == "" {
		t.Fatal("the script named no process")
	}
	c.Signal(syscall.SIGKILL) // the leader alone
	<-c.Done()
	if left := living(c.PID()); len(left) > 0 {
		t.Errorf("processes %v of the group are left, want none", left)
	}
	if got, want := c.End().String(), "signal: killed"; got != want {
		t.Errorf("ended with %q, want %q", got, want)
	}
	// Nobody holds the pipe any more: this would wait for as long as the sleep otherwise.
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
		t.Errorf("read %q, %v; want the end", rest, err)
	}
	c.Kill() // of a group that is gone: nothing
}

func TestEndOfItself(t *testing.T) {
	c, _ := start(t, "exit 3")
	<-c.Done()
	if got := c.End().ExitCode(); got != 3 {
		t.Errorf("exit status %d, want 3", got)
	}
}

// The program gets the signal when its starter dies, though its own parent is a shell that was killed with -9.
func TestProgramDoesNotOutliveItsStarter(t *testing.T) {
	if os.Getenv("SPAWN_TEST") == "starter" {
		runtime.LockOSThread()
		cmd := exec.Command("/bin/sh", "-c", `trap "echo ended; kill -9 \$!; exit" TERM; sleep 1000 & echo ready; wait`)
		cmd.Stdout = os.Stdout
		if _, err := Start(cmd, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		select {}
	}
	starter := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	starter.Env = append(os.Environ(), "SPAWN_TEST=starter")
	pipe, err := starter.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(pipe)
	if line, err := out.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("read %q, %v; want ready", line, err)
	}
	if err := starter.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if line, err := out.ReadString('\n'); err != nil || line != "ended\n" {
		t.Errorf("read %q, %v; want ended", line, err)
	}
	_ = starter.Wait() // it was killed
}

func TestExplain(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", "/nowhere")
	for _, test := range []struct{ name, program, dir, want string }{
		{"not in path", "no-such-program", "", "start no-such-program: there is no such program in /nowhere"},
		{"no file", dir + "/absent", "", "start " + dir + "/absent: there is no such file"},
		{"not executable", plain, "", "start " + plain + ": the file is not executable for this user"},
		{"no directory", "/bin/sh", dir + "/absent", "start /bin/sh: there is no directory " + dir + "/absent to start it in"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := exec.Command(test.program)
			cmd.Dir = test.dir
			_, err := Start(cmd, syscall.SIGKILL)
			if err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestRuns(t *testing.T) {
	for _, test := range []struct {
		stat string
		want bool
	}{
		{"12 (nginx) S 1 77 77 0", true},
		{"12 (a) Z (b) R 1 77 77 0", true},
		{"12 (nginx) Z 1 77 77 0", false},
		{"12 (nginx) S 1 78 77 0", false},
		{"12 (nginx", false},
		{"", false},
	} {
		if got := runs([]byte(test.stat), 77); got != test.want {
			t.Errorf("runs(%s) = %v, want %v", strconv.Quote(test.stat), got, test.want)
		}
	}
}
