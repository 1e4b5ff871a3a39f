package wire

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster.key")
	key := NewKey()
	if err := WriteKey(path, key); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v, want 0600", info.Mode(), err)
	}
	if got, err := ReadKey(path); err != nil || got != key {
		t.Errorf("got another key or %v", err)
	}
	check(t, "an old key", WriteKey(path, NewKey()), "cluster key "+path+" exists already, and a new one would lock out the nodes that have it")
	if again, err := ReadKey(path); err != nil || again != key {
		t.Errorf("an old key was overwritten: %v", err)
	}
}

func TestBadKeyFiles(t *testing.T) {
	digits := strings.Repeat("0123456789abcdef", 4)
	tests := []struct {
		name, content string
		mode          os.FileMode
		want          string
	}{
		{"short", digits[:63], 0o600, "has 63 characters: a key is 64 hex digits"},
		{"long", digits + "0", 0o600, "has 65 characters: a key is 64 hex digits"},
		{"empty", "", 0o600, "has 0 characters: a key is 64 hex digits"},
		{"huge", strings.Repeat("0", 1<<20), 0o600, "has 4096 characters: a key is 64 hex digits"},
		{"letters", digits[:63] + "g", 0o600, "has a character that is no hex digit: a key is 64 hex digits"},
		{"open", digits, 0o644, "can be read by others (mode 0644): run chmod 600 "},
		{"group", digits, 0o640, "can be read by others (mode 0640): run chmod 600 "},
	}
	dir := t.TempDir()
	for _, tt := range tests {
		path := filepath.Join(dir, tt.name)
		if err := os.WriteFile(path, []byte(tt.content), tt.mode); err != nil {
			t.Fatal(err)
		}
		_, err := ReadKey(path)
		check(t, tt.name, err, path, tt.want)
		if err != nil && strings.Contains(err.Error(), "0123456789") {
			t.Errorf("%s: the error repeats the key: %v", tt.name, err)
		}
	}
	missing := filepath.Join(dir, "missing")
	_, err := ReadKey(missing)
	check(t, "missing", err, missing, "does not exist: copy it from another node of the cluster, or make one with `muster key new "+missing+"`")
	_, err = ReadKey(dir)
	check(t, "directory", err, dir, "is not a file")
	_, err = ReadKey(filepath.Join(dir, "short", "below"))
	check(t, "below a file", err, "cannot be read: not a directory")
}

func check(t *testing.T, name string, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", name)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %q, want one line with %q", name, err, part)
		}
	}
}

func TestEachUseHasAKeyOfItsOwn(t *testing.T) {
	k := NewKey()
	seen := map[string]string{}
	for _, use := range []string{"key id", "datagram 1 2:t1 2:d1", "datagram 2 2:t1 2:d1", "datagram 1 2:d1 2:t1"} {
		b := string(k.derive(use))
		if other, ok := seen[b]; ok || b == string(k[:]) {
			t.Errorf("%q has the key of %q or the cluster's own", use, other)
		}
		seen[b] = use
	}
}
