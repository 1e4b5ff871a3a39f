package scenario

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// build makes the program that the nodes run.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "muster")
	cmd := exec.Command("go", "build", "-o", path, "muster/cmd/muster")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build muster: %v\n%s", err, out)
	}
	return path
}
