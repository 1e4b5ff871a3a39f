package role

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"muster/control/check"
	"muster/ha/supervise"
)

// application1 is the program of the tests: a web server that serves one page until it is killed.
func application1(page string) {
	err := http.ListenAndServe(os.Getenv("MUSTER_TEST_ADDRESS"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(page))
	}))
	println(err.Error())
	os.Exit(1)
}

func TestANewProcessIsStartingAndNotDown(t *testing.T) {
	var told []string
	says := func(up bool, reason string, turned bool) {
		told = append(told, fmt.Sprint(up, " ", reason, " ", turned))
	}
	a, err := newApplication(plan{Pool: "web", Check: &check.Config{}}, slog.New(slog.DiscardHandler), says)
	if err != nil {
		t.Fatal(err)
	}
	a.tell(true, "")
	a.process(supervise.Status{State: supervise.BackingOff, Exit: "exit status 1"})
	a.process(supervise.Status{State: supervise.Running})
	want := []string{"true  true", "false its process has ended: exit status 1 true", "false it is starting false"}
	if d := cmp.Diff(want, told); d != "" {
		t.Errorf("told (-want +got):\n%s", d)
	}
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
