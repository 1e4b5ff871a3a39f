package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const hostFile = `
cluster: here
key: k
state: state
nodes:
  d: {addresses: [127.0.0.1], roles: [director]}
  t: {addresses: [127.0.0.2], roles: [traffic]}
checks:
  c: {kind: exec, command: [no-such-program-anywhere]}
pools:
  a: {nodes: [t], port: 80, check: c, application: {serve: {root: www}}}
  b: {nodes: [t], port: 81, application: {run: {command: [./run.sh], dir: ., user: no-such-user-anywhere}}}
services:
  s: {listen: ["127.0.0.1:80"], pool: a, fallback: {status: 503, body-file: sorry.html}, access-log: {format: json, file: logs/s.log}}
`

func TestCheckHost(t *testing.T) {
	dir := t.TempDir()
	f, err := Parse(filepath.Join(dir, "cluster.yaml"), []byte(hostFile))
	if err != nil {
		t.Fatal(err)
	}
	said := func(node string) []string {
		err := f.CheckHost(node)
		if err == nil {
			return nil
		}
		return strings.Split(strings.ReplaceAll(err.Error(), dir+"/", ""), "\n")
	}
	noKey := "cluster key k does not exist: copy it from another node of the cluster, or make one with `muster key new k`"
	traffic := []string{
		noKey,
		"the root of the application of pool a, www, does not exist: make the directory or change the file",
		"the program no-such-program-anywhere of check c is not on this machine: install it, or write its whole path",
		"the program run.sh of the application of pool b is not on this machine: install it, or write its whole path",
		"the user no-such-user-anywhere of the application of pool b is not on this machine: add the user or change the file",
	}
	if diff := cmp.Diff(traffic, said("t")); diff != "" {
		t.Errorf("the traffic node's faults differ (-want +got):\n%s", diff)
	}
	director := []string{
		noKey,
		"the body-file of the fallback of service s, sorry.html, does not exist: write it or take body-file out",
		"the directory of the access log of service s, logs, does not exist: make the directory or change the file",
	}
	if diff := cmp.Diff(director, said("d")); diff != "" {
		t.Errorf("the director's faults differ (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{`cluster here has no node "dd"; nodes: d, t`}, said("dd")); diff != "" {
		t.Errorf("the unknown node's fault differs (-want +got):\n%s", diff)
	}

	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("k", strings.Repeat("0f", 32)+"\n", 0o600)
	write("sorry.html", "sorry", 0o644)
	write("logs/s.log", "", 0o644)
	if got := said("d"); got != nil {
		t.Errorf("got %q, want nothing", got)
	}
	write("state", "", 0o644)
	write("www", "", 0o644)
	write("run.sh", "", 0o644)
	got := said("t")
	for i, want := range []string{
		"the state directory state is a file: name a directory with state",
		"the root of the application of pool a, www, is not a directory: name a directory",
	} {
		if len(got) <= i || got[i] != want {
			t.Errorf("got %q, want %q among them", got, want)
		}
	}
	if !strings.Contains(strings.Join(got, "\n"), "the program run.sh of the application of pool b may not be run: run chmod +x on it, or name another") {
		t.Errorf("got %q, want a word on run.sh", got)
	}
	if err := os.Remove(filepath.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct {
		text string
		mode os.FileMode
		want string
	}{
		{strings.Repeat("0f", 32), 0o644, "run chmod 600"},
		{strings.Repeat("0f", 31), 0o600, "has 62 characters"},
	} {
		if err := os.Remove(filepath.Join(dir, "k")); err != nil {
			t.Fatal(err)
		}
		write("k", k.text, k.mode)
		if got := said("d"); len(got) != 1 || !strings.Contains(got[0], k.want) {
			t.Errorf("got %q, want one with %q", got, k.want)
		}
	}
}
