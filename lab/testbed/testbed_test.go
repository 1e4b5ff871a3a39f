package testbed

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func space(t *testing.T) *Space {
	t.Helper()
	s, err := NewSpace()
	if errors.Is(err, unix.EPERM) {
		t.Skipf("not root: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// in does something with its thread in the space.
func in(t *testing.T, s *Space, do func() error) {
	t.Helper()
	leave, err := s.Enter()
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	if err := do(); err != nil {
		t.Error(err)
	}
}

func name(t *testing.T, s *Space) string {
	t.Helper()
	n, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", s.ns.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// users are the threads, and the open files of this process, that hold on to a namespace.
func users(t *testing.T, name string) (list []string) {
	t.Helper()
	for _, pattern := range []string{"/proc/[0-9]*/task/*/ns/net", "/proc/self/fd/*"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			if n, err := os.Readlink(p); err == nil && n == name {
				list = append(list, p)
			}
		}
	}
	return list
}

func TestSpacesTalkOverTheirCable(t *testing.T) {
	a, b := space(t), space(t)
	err := Cable(
		Port{a, "right", []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}},
		Port{b, "left", []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24"), netip.MustParsePrefix("10.0.0.3/24")}},
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{"10.0.0.2:80", "10.0.0.3:80"} {
		var l net.Listener
		in(t, b, func() (err error) {
			l, err = net.Listen("tcp", addr)
			return err
		})
		defer l.Close()
		in(t, a, func() error {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				defer c.Close()
				if got := c.LocalAddr().(*net.TCPAddr).AddrPort().Addr().String(); got != "10.0.0.1" {
					t.Errorf("the connection comes from %s", got)
				}
			}
			return err
		})
	}
	if _, err := net.InterfaceByName("right"); err == nil {
		t.Error("the cable can be seen from outside its spaces")
	}
	if err := Cable(Port{Name: "x"}, Port{Space: b, Name: "y"}); err == nil {
		t.Error("a cable to the network of this process was laid")
	}
}

func TestNothingIsLeftOfASpace(t *testing.T) {
	s := space(t)
	n := name(t, s)
	in(t, s, func() error { return nil })
	s.Close()
	if left := users(t, n); left != nil {
		t.Errorf("the space is held by %v", left)
	}
	var none *Space
	in(t, none, func() error { return nil })
	none.Close()
}

// A process that is killed takes its spaces along, with what runs in them.
func TestNothingIsLeftAfterAKill(t *testing.T) {
	if os.Getenv("TESTBED_TEST") == "killed" {
		s, err := NewSpace()
		if err != nil {
			t.Fatal(err)
		}
		runtime.LockOSThread()
		if _, err := s.Enter(); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sleep", "1000")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		fmt.Println("space", cmd.Process.Pid, name(t, s))
		select {}
	}
	space(t) // or skip
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "TESTBED_TEST=killed")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	var pid int
	var n string
	if _, scan := fmt.Sscanf(line, "space %d %s", &pid, &n); scan != nil || !strings.HasPrefix(n, "net:") {
		t.Fatalf("got %q: %v, %v", line, err, scan)
	}
	child, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(child)
	if users(t, n) == nil {
		t.Error("the space is held by nobody while it is used")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	gone := []unix.PollFd{{Fd: int32(child), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(gone, -1); err != unix.EINTR {
			break
		}
	}
	if left := users(t, n); left != nil {
		t.Errorf("the space is held by %v", left)
	}
}
