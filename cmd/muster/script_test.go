package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"muster": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			return os.Unsetenv("NOTIFY_SOCKET")
		},
		RequireExplicitExec: true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "within": within, "ports": ports, "signal": send,
		},
	})
}

// exits CODE PROGRAM ARGS... runs the program, which must end with that code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d\n%s%s", code, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// within REGEXP PROGRAM ARGS... runs the program again and again until it ends well and has printed the text.
func within(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: within REGEXP PROGRAM ARGS...")
	}
	text := regexp.MustCompile(`(?m)` + args[0])
	for late := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && text.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(late) {
			ts.Fatalf("it never printed %q: %v\n%s%s", args[0], err, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
		}
	}
}

// signal NAME NODE sends a signal to the process whose number is in NODE.pid.
func send(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: signal NAME NODE")
	}
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(args[1] + ".pid")))
	ts.Check(err)
	ts.Check(syscall.Kill(pid, unix.SignalNum("SIG"+args[0])))
}

// ports FILE... replaces $PORT0 to $PORT9 in the files by free ports, and sets the variables.
func ports(ts *testscript.TestScript, neg bool, files []string) {
	var open []net.Listener
	for i := range 10 {
		l, err := net.Listen("tcp", "0.0.0.0:0")
		ts.Check(err)
		open = append(open, l)
		ts.Setenv(fmt.Sprintf("PORT%d", i), strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	for _, l := range open {
		ts.Check(l.Close())
	}
	for _, name := range files {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o644))
	}
}
