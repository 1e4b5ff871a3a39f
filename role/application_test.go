package role

import (
	"net/http"
	"os"
	"strconv"
	"syscall"
	"testing"
)

// application1 is the program of the tests: a web server that serves one page until it is killed.
func application1(page string) {
	err := http.ListenAndServe(os.Getenv("MUSTER_TEST_ADDRESS"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(page))
	}))
	println(err.Error())
	os.Exit(1)
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
