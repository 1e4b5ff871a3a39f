package site

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// DocsPackage is the Debian package whose documentation tree is taken first: 900 pages and pictures, of a few hundred bytes
// to 2 MB, and it needs no other package.
const DocsPackage = "sqlite3-doc"

const (
	dpkg     = "/var/lib/dpkg/info"
	docsMost = 20_000    // files of a tree
	fileMost = 256 << 20 // bytes of a file
)

// Docs finds a documentation tree that a Debian package has installed: that of DocsPackage, else the largest that another
// -doc package or debian-policy has. Its files are those that Open lists.
func Docs() (*Tree, error) {
	lists, err := filepath.Glob(dpkg + "/*.list")
	if err != nil {
		return nil, err
	}
	var best string
	var pages int
	for _, list := range lists {
		name, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(list), ".list"), ":")
		if !strings.HasSuffix(name, "-doc") && !strings.Contains(name, "-doc-") && name != "debian-policy" {
			continue
		}
		root, n, err := docRoot(list)
		if err != nil {
			return nil, err
		}
		if n > 0 && name == DocsPackage {
			best = root
			break
		}
		if n > pages {
			best, pages = root, n
		}
	}
	if best == "" {
		return nil, fmt.Errorf("no Debian documentation tree is installed: run apt-get install %s", DocsPackage)
	}
	return Open(best)
}

// docRoot is the directory with an index.html below which a package's list has the most HTML pages, and how many.
func docRoot(list string) (string, int, error) {
	f, err := os.Open(list)
	if err != nil {
		return "", 0, fmt.Errorf("read what a package has installed: %w", err)
	}
	defer f.Close()
	roots := map[string]int{}
	var pages []string
	for s := bufio.NewScanner(f); s.Scan(); {
		if path := s.Text(); strings.HasSuffix(path, ".html") {
			pages = append(pages, path)
			if filepath.Base(path) == "index.html" {
				if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
					roots[filepath.Dir(path)] = 0
				}
			}
		}
	}
	best, most := "", 0
	for root := range roots {
		n := 0
		for _, p := range pages {
			if strings.HasPrefix(p, root+"/") {
				n++
			}
		}
		if n > most || n == most && root < best {
			best, most = root, n
		}
	}
	return best, most, nil
}

// Open lists the files of a directory with their sizes and sums. Symbolic links and what cannot be asked for plainly (a
// name that begins with a dot or that a URL would have to escape) are left out, and so are files that only a web server's
// negotiation would choose: name.gz beside name.
func Open(root string) (*Tree, error) {
	t := &Tree{Root: root}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		switch {
		case path == root:
			return nil
		case strings.HasPrefix(name, ".") || strings.ContainsFunc(name, needsEscape):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular():
			return nil
		case len(t.Files) >= docsMost:
			return fmt.Errorf("more than %d files", docsMost)
		}
		if plain, ok := strings.CutSuffix(path, ".gz"); ok {
			if _, err := os.Stat(plain); err == nil {
				return nil
			}
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Size() == 0 || info.Size() > fileMost {
			return nil
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrPermission) {
			return nil // a server could not read it either
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		t.Files = append(t.Files, File{Path: "/" + filepath.ToSlash(rel), Size: int64(len(b)), Sum: xxhash.Sum64(b)})
		t.Index = t.Index || rel == "index.html"
		return nil
	})
	if err == nil && len(t.Files) == 0 {
		err = errors.New("no file in it can be asked for")
	}
	if err != nil {
		return nil, fmt.Errorf("list the documents in %s: %w", root, err)
	}
	return t, nil
}

// needsEscape says whether a URL's path may not have the character as it is (RFC 3986 3.3, narrowed to what no server
// treats specially).
func needsEscape(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-._~+", c))
}
