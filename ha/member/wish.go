package member

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"muster/cluster"
)

// Wished is what the operator wants of a node. It survives a restart of the director: a machine that somebody has opened
// must not get work because the director was upgraded.
type Wished struct {
	Node  string       `json:"node"`
	Wish  cluster.Wish `json:"wish"`
	Why   string       `json:"why,omitempty"`
	Since time.Time    `json:"since"`
}

// Say adds the operator's reason to ours.
func (w Wished) say(reason string) string {
	if w.Why != "" {
		return reason + ": " + w.Why
	}
	return reason
}

// A wish file may be no longer than this.
const mostWishes = 1 << 20

type wishFile struct {
	Wishes []Wished `json:"wishes"`
}

// SaveWishes writes the file of wishes as a whole, or leaves the old one as it was.
func SaveWishes(path string, wishes []Wished) (err error) {
	text, err := json.MarshalIndent(wishFile{wishes}, "", "\t")
	if err != nil {
		return fmt.Errorf("save wishes: %w", err)
	}
	if err := replace(path, append(text, '\n')); err != nil {
		return fmt.Errorf("save wishes in %s: %w", path, err)
	}
	return nil
}

// LoadWishes reads the file of wishes. One that is not there holds none. One that cannot be understood is set aside, so that
// the next one does not overwrite it, and the error says where it is.
func LoadWishes(path string) ([]Wished, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read wishes: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, mostWishes+1))
	if err != nil {
		return nil, fmt.Errorf("read wishes: %w", err)
	}
	wishes, err := parseWishes(text)
	if err == nil {
		return wishes, nil
	}
	aside := path + ".corrupt"
	if moved := os.Rename(path, aside); moved != nil {
		return nil, fmt.Errorf("read wishes in %s: %w; to go on, move the file away (%w)", path, err, moved)
	}
	return nil, fmt.Errorf("read wishes in %s: %w; it is kept as %s, and every node counts as ready: set again which are to drain or be in maintenance", path, err, aside)
}

func parseWishes(text []byte) ([]Wished, error) {
	if len(text) > mostWishes {
		return nil, fmt.Errorf("longer than %d bytes", mostWishes)
	}
	var file wishFile
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more after its end")
	}
	seen := map[string]bool{}
	for _, w := range file.Wishes {
		if w.Node == "" || seen[w.Node] {
			return nil, fmt.Errorf("node %q is named twice, or not at all", w.Node)
		}
		seen[w.Node] = true
	}
	return file.Wishes, nil
}

// Replace writes a file beside the old one and then puts it in its place: after a crash there is the one or the other.
func replace(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error is the one to tell
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
