package drill

import (
	"archive/tar"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cespare/xxhash/v2"

	"muster/lab/site"
)

// archiveSize is how large the download at least is that slow clients ask for: some megabytes of it stand in the kernel's
// buffers, and there must be more, that is still to come when its node dies.
const archiveSize = 24 << 20

const archivePath = "/documents.tar"

// copyMost is the largest tree that is copied.
const copyMost = 1 << 30

// documents copies a tree to a directory, and puts an archive of its beginning beside it, for slow clients. The archive is
// not among the tree's files.
func documents(dir string, from *site.Tree) (*site.Tree, site.File, error) {
	if n := from.Bytes(); n > copyMost {
		return nil, site.File{}, fmt.Errorf("a drill copies what it serves: %s has %d MiB, which is too much", from.Root, n>>20)
	}
	to := &site.Tree{Root: dir, Files: from.Files, Index: from.Index}
	err := copyFiles(to, from)
	var large site.File
	if err == nil {
		large, err = archive(to)
	}
	if err != nil {
		return nil, large, fmt.Errorf("copy the documents of %s: %w", from.Root, err)
	}
	return to, large, nil
}

func copyFiles(to, from *site.Tree) error {
	for _, f := range from.Files {
		b, err := os.ReadFile(filepath.Join(from.Root, f.Path))
		if err != nil {
			return err
		}
		path := filepath.Join(to.Root, f.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func archive(tree *site.Tree) (site.File, error) {
	large := site.File{Path: archivePath}
	f, err := os.Create(filepath.Join(tree.Root, archivePath))
	if err != nil {
		return large, err
	}
	defer func() { _ = f.Close() }() // the Close that counts is below
	sum := xxhash.New()
	w := tar.NewWriter(io.MultiWriter(f, sum))
	for i := 0; large.Size < archiveSize; i++ { // a small tree is in it more than once
		d := tree.Files[i%len(tree.Files)]
		b, err := os.ReadFile(filepath.Join(tree.Root, d.Path))
		if err != nil {
			return large, err
		}
		if err := w.WriteHeader(&tar.Header{Name: d.Path[1:], Mode: 0o644, Size: d.Size}); err != nil {
			return large, err
		}
		if _, err := w.Write(b); err != nil {
			return large, err
		}
		if large.Size, err = f.Seek(0, io.SeekCurrent); err != nil {
			return large, err
		}
	}
	if err := w.Close(); err != nil {
		return large, err
	}
	large.Sum = sum.Sum64()
	if large.Size, err = f.Seek(0, io.SeekCurrent); err != nil {
		return large, err
	}
	return large, f.Close()
}
