package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"muster/lab/standing"
)

// A labBench runs muster lab, for a lab of the test's own.
type labBench struct {
	t    *testing.T
	name string
}

// run runs a verb of the lab, which must end with that code, and returns what it prints.
func (b labBench) run(code int, args ...string) (out, errs string) {
	b.t.Helper()
	cmd := exec.Command("muster", append([]string{"lab", "--name", b.name}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != code {
		owner, _ := os.ReadFile("/run/muster-lab/" + b.name + "/log") // if there is one
		b.t.Fatalf("muster lab %v: %v, want exit code %d\n%s%s%s", args, err, code, stdout.String(), stderr.String(), owner)
	}
	return stdout.String(), stderr.String()
}

// says runs a verb that must go wrong, and say why.
func (b labBench) says(code int, why string, args ...string) {
	b.t.Helper()
	if _, errs := b.run(code, args...); !strings.Contains(errs, why) {
		b.t.Errorf("muster lab %v says %q, want %q", args, errs, why)
	}
}

func (b labBench) state() (s standing.State) {
	b.t.Helper()
	out, _ := b.run(0, "status", "-o", "json")
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
	return s
}

// until waits until the director says that of a node.
func (b labBench) until(node, state string) {
	b.t.Helper()
	late := time.Now().Add(30 * time.Second)
	for {
		s := b.state()
		m, err := s.Machine(node)
		if err != nil {
			b.t.Fatal(err)
		}
		if m.Node.State == state {
			return
		}
		if time.Now().After(late) {
			b.t.Fatalf("%s is %+v, want %s", node, m.Node, state)
		}
	}
}

func TestLabUpAndDown(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: a lab is made of namespaces")
	}
	b := labBench{t, fmt.Sprintf("test-%d", os.Getpid())}
	b.says(1, "there is no lab", "status")
	b.says(2, "a lab has 0 to 64", "up", "--nodes", "65")
	b.says(2, "there is none of that name", "up", "--dispatch", "pigeon")
	b.says(2, "write a machine and how many cores", "up", "--cores", "t1")
	t.Cleanup(func() { _ = exec.Command("muster", "lab", "--name", b.name, "down").Run() })
	out, _ := b.run(0, "up", "--nodes", "2", "--app", "mixed", "--cores", "t2=0.5")
	for _, want := range []string{"LAN A: d1 10.7.1.11, t1-t2 10.7.1.21-22", "www      10.7.1.100:80     http  dr        has", "www6     [fd07:1::100]:80", "exec client1 -- curl -i http://10.7.1.100/"} {
		if !strings.Contains(out, want) {
			t.Errorf("up does not print %q:\n%s", want, out)
		}
	}
	b.says(1, "it is up already", "up")

	for range 2 { // rr would do, has does: each node gets one
		if out, _ := b.run(0, "exec", "client1", "--", "curl", "-sSi", "http://www/"); !strings.HasPrefix(out, "HTTP/1.1 200") || !strings.Contains(out, "It works") {
			t.Errorf("curl got %q", out)
		}
	}
	if out, _ := b.run(0, "exec", "d1", "muster", "status"); !strings.Contains(out, "cluster lab as d1 sees it") {
		t.Errorf("muster status on d1: %q", out)
	}
	b.run(7, "exec", "t1", "--", "sh", "-c", "exit 7")
	b.run(128+9, "exec", "t1", "--", "sh", "-c", "kill -9 $$")
	b.says(1, "did you mean t1?", "exec", "t11", "--", "true")
	if out, err := exec.Command("muster", "__complete", "lab", "--name", b.name, "exec", "").Output(); err != nil || !strings.Contains(string(out), "client1\n") {
		t.Errorf("the shell is offered %q, %v", out, err)
	}

	s := b.state()
	if m, err := s.Machine("t1"); err != nil || len(m.Processes) < 3 || m.Node.PID == 0 || m.CPU == 0 || m.Ports[0].IPv4 != "10.7.1.21" {
		t.Errorf("t1 is %+v, %v", m, err)
	}
	if m, err := s.Machine("t2"); err != nil || m.Cores != 0.5 {
		t.Errorf("t2 is %+v, %v", m, err)
	}
	b.run(0, "freeze", "t2")
	b.until("t2", "out")
	b.run(0, "thaw", "t2")
	b.until("t2", "active")
	b.run(0, "off", "t1")
	b.until("t1", "out")
	b.says(1, "t1 is off: muster lab on t1", "exec", "t1", "--", "true")
	b.run(0, "on", "t1")
	b.until("t1", "active")
	b.says(1, "the node of t1 runs", "start", "t1")
	b.says(1, "no node runs on client1", "kill", "client1")
	b.run(0, "slow", "client1", "--delay", "1ms", "--loss", "1%", "--rate", "10M", "--way", "out")
	b.run(0, "cut", "t1/b", "t2/b")
	b.run(0, "part", "d1", "t2")
	out, _ = b.run(0, "status")
	for _, want := range []string{"broken: t1/b is cut", "broken: client1/clients: out delay 1ms, loss 1 %, 10000000 bit/s", "broken: t2 does not hear d1"} {
		if !strings.Contains(out, want) {
			t.Errorf("status does not print %q:\n%s", want, out)
		}
	}
	b.run(0, "heal")
	if left := b.state().Faults; len(left) != 0 {
		t.Errorf("healed, and %v is left", left)
	}
	b.says(2, "say how: --delay", "slow", "t1")
	b.says(2, "write a percentage", "slow", "t1", "--loss", "1")
	b.says(2, "write bits a second", "slow", "t1", "--rate", "fast")
	b.says(2, "name the link", "cut")
	b.says(1, "machine client1 is not in that network", "cut", "client1/a")
	if out, _ := b.run(0, "log", "d1"); !strings.Contains(out, "node state") {
		t.Errorf("d1 has said %q", out)
	}
	b.run(0, "down")
	b.says(1, "there is no lab", "down")
	for _, dir := range []string{s.Dir, "/run/muster-lab/" + b.name} {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is left", dir)
		}
	}
}

func TestALabWhoseOwnerIsKilled(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: a lab is made of namespaces")
	}
	b := labBench{t, fmt.Sprintf("killed-%d", os.Getpid())}
	t.Cleanup(func() { _ = exec.Command("muster", "lab", "--name", b.name, "down").Run() })
	b.run(0, "up", "--nodes", "1", "--dispatch", "proxy")
	s := b.state()
	m, err := s.Machine("d1")
	if err != nil {
		t.Fatal(err)
	}
	var ends []int
	for _, pid := range []int{m.Door.PID, m.Node.PID} {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		ends = append(ends, fd)
	}
	if err := syscall.Kill(s.Owner, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for _, fd := range ends {
		for {
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != unix.EINTR {
				break
			}
		}
	}
	b.says(1, "there is no lab", "status")
	b.run(0, "up", "--nodes", "1", "--dispatch", "proxy") // nothing of the one before is in its way
	b.run(0, "down")
}
