package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A stage is a demo that runs, with a directory for temporary files of its own.
type stage struct {
	t     *testing.T
	cmd   *exec.Cmd
	tmp   string
	lines chan string // closed when it has ended
}

func play(t *testing.T, tmp string, args ...string) *stage {
	t.Helper()
	s := &stage{t: t, tmp: tmp, lines: make(chan string, 1000)}
	s.cmd = exec.Command("muster", append([]string{"demo", "--no-tui"}, args...)...)
	s.cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stderr = s.cmd.Stdout
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			s.lines <- in.Text()
		}
	}()
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	return s
}

// until reads on to a line that matches, and returns what its parentheses matched.
func (s *stage) until(pattern string) []string {
	s.t.Helper()
	re, late := regexp.MustCompile(pattern), time.After(30*time.Second)
	var said []string
	for {
		select {
		case line, more := <-s.lines:
			if !more {
				s.t.Fatalf("it ended before it printed %q:\n%s", pattern, strings.Join(said, "\n"))
			}
			said = append(said, line)
			if m := re.FindStringSubmatch(line); m != nil {
				return m
			}
		case <-late:
			s.t.Fatalf("it never printed %q:\n%s", pattern, strings.Join(said, "\n"))
		}
	}
}

// end waits for its end, and returns the exit code.
func (s *stage) end() int {
	s.t.Helper()
	for range s.lines {
	}
	_ = s.cmd.Wait() // how it ended is in ProcessState
	return s.cmd.ProcessState.ExitCode()
}

// left lists the processes that have something of the directory on their command line, and what is in it.
func left(t *testing.T, tmp string) (list []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(tmp)) {
			list = append(list, filepath.Dir(f)+": "+string(bytes.ReplaceAll(b, []byte{0}, []byte(" "))))
		}
	}
	entries, err := os.ReadDir(tmp)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// processesGone waits until none is left, whatever is in the directory.
func processesGone(t *testing.T, tmp string) {
	t.Helper()
	for late := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		list := strings.Join(left(t, tmp), "\n")
		if !strings.Contains(list, "/proc/") {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("still there:\n%s", list)
		}
	}
}

func temp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "m") // t.TempDir is too long for a socket in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // root's nginx reads as another user
		t.Fatal(err)
	}
	return dir
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func get(t *testing.T, port, path string) (string, http.Header) {
	t.Helper()
	r, err := http.Get("http://127.0.0.1:" + port + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != 200 {
		t.Fatalf("%s: %s %v", path, r.Status, err)
	}
	return string(b), r.Header
}

func TestTwoDemosRunSideBySideAndLeaveNothing(t *testing.T) {
	one, two := freePort(t), freePort(t)
	a := play(t, temp(t), "--port", one, "--nodes", "3", "--again", "1s")
	site := t.TempDir()
	if err := os.WriteFile(filepath.Join(site, "page.txt"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	b := play(t, temp(t), "--port", two, "--nodes", "2", "--site", site)
	a.until("ready in ")
	b.until("ready in ")
	pid, err := strconv.Atoi(a.until(`^Processes:  d1 \d+  t1 (\d+)`)[1])
	if err != nil {
		t.Fatal(err)
	}
	answered := map[string]bool{}
	for range 30 {
		body, head := get(t, one, "/node.txt")
		if name := head.Get("X-Muster-Node"); body != name+"\n" {
			t.Errorf("node %q serves %q", name, body)
		}
		answered[body] = true
	}
	if len(answered) != 3 {
		t.Errorf("answered: %v, want three nodes", answered)
	}
	if body, _ := get(t, one, "/"); !strings.Contains(body, "This page came from <b>t") {
		t.Errorf("page: %s", body)
	}
	if body, _ := get(t, two, "/page.txt"); body != "mine" {
		t.Errorf("page of the other: %s", body)
	}

	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	a.until(fmt.Sprintf(` t1 \(pid %d\) has ended: it is started again in 1s$`, pid))
	a.until(` t1: active -> out \(silent for `)
	a.until(` t1: out -> active`)
	for _, s := range []*stage{a, b} {
		if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if code := s.end(); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
		if list := left(t, s.tmp); list != nil {
			t.Errorf("it has left\n%s", strings.Join(list, "\n"))
		}
	}
}

func TestADemoThatIsKilledLeavesNoProcess(t *testing.T) {
	tmp, port := temp(t), freePort(t)
	s := play(t, tmp, "--port", port, "--nodes", "2")
	s.until("ready in ")
	pid, err := strconv.Atoi(s.until(`  t2 (\d+)`)[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil { // even one that hears nothing
		t.Fatal(err)
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.end()
	processesGone(t, tmp)

	s = play(t, tmp, "--port", port, "--nodes", "1")
	s.until("ready in ")
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := s.end(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if list := left(t, tmp); list != nil {
		t.Errorf("the next one has left\n%s", strings.Join(list, "\n"))
	}
}

func TestADemoThatCannotStartSaysWhatToDo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--port", port}, 1, "^muster: port " + port + " of 127.0.0.1 is in use: choose another with --port$"},
		{[]string{"--port", freePort(t), "--site", "/nowhere/at/all"}, 1, "^muster: the site /nowhere/at/all does not exist: name a directory with --site$"},
		{[]string{"--nodes", "0"}, 2, "^muster: --nodes 0: there can be 1 to 200$"},
	} {
		s := play(t, temp(t), c.args...)
		s.until(c.want)
		if code := s.end(); code != c.code {
			t.Errorf("%v: exit code %d, want %d", c.args, code, c.code)
		}
		if list := left(t, s.tmp); list != nil {
			t.Errorf("%v: it has left\n%s", c.args, strings.Join(list, "\n"))
		}
	}
}

func TestADrillLosesNoRequest(t *testing.T) {
	tmp := temp(t)
	cmd := exec.Command("muster", "demo", "--drill", "-o", "json")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if strings.Contains(errs.String(), "apt-get install") {
		t.Skip(errs.String())
	}
	if err != nil {
		t.Fatalf("%v\n%s%s", err, &errs, &out)
	}
	var r struct {
		Steps []struct {
			Name     string
			Requests int64
			Gap      float64 `json:"longest_gap_ms"`
		}
		Requests, Failed, Broken int64
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	var sum int64
	for _, s := range r.Steps {
		if sum += s.Requests; s.Requests == 0 {
			t.Errorf("%s: nobody asked", s.Name)
		}
	}
	if len(r.Steps) < 10 || r.Requests != sum || r.Failed != 0 || r.Broken != 0 {
		t.Errorf("got %s", &out)
	}
	if list := left(t, tmp); list != nil {
		t.Errorf("it has left\n%s", strings.Join(list, "\n"))
	}
	t.Logf("\n%s", &errs)
}
