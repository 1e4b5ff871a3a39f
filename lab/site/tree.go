package site

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/cespare/xxhash/v2"
)

// A File is one document of a tree.
type File struct {
	Path string // as it is asked for, with the leading slash
	Size int64
	Sum  uint64 // xxhash of its bytes
}

// A Tree is a directory of documents.
type Tree struct {
	Root  string
	Files []File
	Index bool // there is an index.html at the root
}

// Bytes is the size of all files together.
func (t *Tree) Bytes() int64 {
	var n int64
	for _, f := range t.Files {
		n += f.Size
	}
	return n
}

// A Config says which tree to make. Its zero value is the tree of 6,200 documents.
type Config struct {
	Count int    // how many documents; 0 means 6,200
	Seed  uint64 // of their bytes and of which has which size
	Sizes []int  // instead: one file of each of these sizes, /bytes/1024 and so on
}

const (
	count   = 6200
	median  = 1750
	sigma   = 1.55
	least   = 200
	most    = 512_000
	version = 1 // of what is written here; another one is written anew
)

// Make writes the tree below dir, or finds it there whole, and lists its files. The same Config gives the same bytes
// everywhere.
func Make(dir string, cfg Config) (*Tree, error) {
	t, contents := cfg.list(dir)
	if t.whole() {
		return t, nil
	}
	if err := t.write(dir, contents, cfg.Seed); err != nil {
		return nil, fmt.Errorf("write a document tree to %s: %w", t.Root, err)
	}
	return t, nil
}

func (cfg Config) list(dir string) (*Tree, []content) {
	if cfg.Count == 0 {
		cfg.Count = count
	}
	name := fmt.Sprintf("documents-v%d-%d-%d", version, cfg.Count, cfg.Seed)
	if cfg.Sizes != nil {
		name = fmt.Sprintf("sizes-v%d-%d", version, cfg.Seed)
		for _, n := range cfg.Sizes {
			name += "-" + strconv.Itoa(n)
		}
	}
	t := &Tree{Root: filepath.Join(dir, name)}
	contents := cfg.contents()
	for _, c := range contents {
		b := c.bytes(cfg.Seed)
		t.Files = append(t.Files, File{Path: c.path, Size: int64(len(b)), Sum: xxhash.Sum64(b)})
		t.Index = t.Index || c.path == "/index.html"
	}
	return t, contents
}

// Directory is where trees are kept for the next time: below the directory for temporary files, so that servers that run
// as another user can read them.
func Directory() (string, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("muster-site-%d", os.Getuid()))
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make a place for document trees: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("make a place for document trees: %w", err)
	}
	// Anybody may make a directory of that name.
	if st, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || !ok || int(st.Uid) != os.Getuid() || info.Mode()&0o022 != 0 {
		return "", fmt.Errorf("%s is not ours alone to write: remove it, or set TMPDIR to another directory", dir)
	}
	return dir, nil
}

// whole says whether all files are there in their sizes. The tree appears under its name only once it is written.
func (t *Tree) whole() bool {
	for _, f := range t.Files {
		info, err := os.Lstat(filepath.Join(t.Root, f.Path))
		if err != nil || !info.Mode().IsRegular() || info.Size() != f.Size {
			return false
		}
	}
	return true
}

func (t *Tree) write(dir string, contents []content, seed uint64) error {
	tmp, err := os.MkdirTemp(dir, "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) // which has been renamed if all went well
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	made := map[string]bool{}
	for _, c := range contents {
		file := filepath.Join(tmp, c.path)
		if d := filepath.Dir(file); !made[d] {
			if err := os.MkdirAll(d, 0o755); err != nil {
				return err
			}
			made[d] = true
		}
		if err := os.WriteFile(file, c.bytes(seed), 0o644); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(t.Root); err != nil {
		return err
	}
	err = os.Rename(tmp, t.Root)
	if err != nil && t.whole() { // somebody else has just written it
		return nil
	}
	return err
}

// content is a file before it is written.
type content struct {
	path string
	size int
	text []byte // instead of size
}

func (cfg Config) contents() []content {
	var out []content
	if cfg.Sizes != nil {
		for _, n := range cfg.Sizes {
			out = append(out, content{path: "/bytes/" + strconv.Itoa(n), size: n})
		}
		return out
	}
	sizes := quantiles(cfg.Count - 1)
	random := rand.New(rand.NewPCG(cfg.Seed, version))
	random.Shuffle(len(sizes), func(i, j int) { sizes[i], sizes[j] = sizes[j], sizes[i] })
	// Kinds as on a site of that time: mostly images and pages.
	kinds := []string{"html", "html", "gif", "gif", "jpg", "png", "css", "js", "txt"}
	for i, n := range sizes {
		path := fmt.Sprintf("/d%02d", i%40)
		for depth := i / 40 % 4; depth > 0; depth-- {
			path += fmt.Sprintf("/s%d", (i/160+depth)%6)
		}
		out = append(out, content{path: fmt.Sprintf("%s/f%05d.%s", path, i, kinds[i%len(kinds)]), size: n})
	}
	return append(out, index(out))
}

// quantiles are n sizes that have the distribution that the package describes.
func quantiles(n int) []int {
	sizes := make([]int, n)
	for i := range sizes {
		p := (float64(i) + 0.5) / float64(n)
		x := median * math.Exp(sigma*math.Sqrt2*math.Erfinv(2*p-1))
		sizes[i] = int(min(max(x, least), most))
	}
	return sizes
}

func index(files []content) content {
	b := []byte("<!DOCTYPE html>\n<title>Documents</title>\n<h1>Documents</h1>\n<ul>\n")
	for _, f := range files[:min(len(files), 20)] {
		b = fmt.Appendf(b, "<li><a href=\"%s\">%s</a>\n", f.path, f.path)
	}
	return content{path: "/index.html", text: append(b, "</ul>\n"...)}
}

// bytes are letters that differ from file to file, in lines.
func (c content) bytes(seed uint64) []byte {
	if c.text != nil {
		return slices.Clone(c.text)
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789  "
	random := rand.NewPCG(seed, xxhash.Sum64String(c.path))
	b := make([]byte, c.size)
	var word uint64
	for i := range b {
		if i%8 == 0 {
			word = random.Uint64()
		}
		b[i] = letters[word%64]
		word >>= 8
		if i%80 == 79 {
			b[i] = '\n'
		}
	}
	return b
}
