package wire

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// A Key is the secret of one cluster. Nothing is sealed with it: each use has a key of its own, derived from it.
type Key [32]byte

// NewKey draws a key.
func NewKey() Key {
	var k Key
	_, _ = rand.Read(k[:]) // crypto/rand never returns an error
	return k
}

// ReadKey reads a key file: 64 hex digits that nobody but their owner may read.
func ReadKey(path string) (Key, error) {
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Key{}, fmt.Errorf("cluster key %s does not exist: copy it from another node of the cluster, or make one with `muster key new %s`", path, path)
	case err != nil:
		return Key{}, fmt.Errorf("cluster key %s cannot be read: %w; run as its owner", path, cause(err))
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return Key{}, fmt.Errorf("cluster key %s cannot be read: %w", path, cause(err))
	case !info.Mode().IsRegular():
		return Key{}, fmt.Errorf("cluster key %s is not a file: name a file with 64 hex digits", path)
	case info.Mode().Perm()&0o077 != 0:
		return Key{}, fmt.Errorf("cluster key %s can be read by others (mode %04o): run chmod 600 %s", path, info.Mode().Perm(), path)
	}
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return Key{}, fmt.Errorf("cluster key %s cannot be read: %w", path, cause(err))
	}
	k, err := ParseKey(string(b))
	if err != nil {
		return Key{}, fmt.Errorf("cluster key %s: %w", path, err)
	}
	return k, nil
}

// ParseKey reads 64 hex digits; space around them does not count. Its errors never repeat what they read.
func ParseKey(text string) (Key, error) {
	text = strings.TrimSpace(text)
	if len(text) != hex.EncodedLen(len(Key{})) {
		return Key{}, fmt.Errorf("has %d characters: a key is 64 hex digits", len(text))
	}
	b, err := hex.DecodeString(text)
	if err != nil {
		return Key{}, errors.New("has a character that is no hex digit: a key is 64 hex digits")
	}
	return Key(b), nil
}

// WriteKey writes a key to a new file that only its owner may read. It never overwrites one: that would lock out every
// node that has the old key.
func WriteKey(path string, k Key) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cluster key %s exists already, and a new one would lock out the nodes that have it: name another file, or move it away", path)
	}
	if err != nil {
		return fmt.Errorf("write cluster key %s: %w", path, cause(err))
	}
	_, err = f.WriteString(hex.EncodeToString(k[:]) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write cluster key %s: %w", path, cause(err))
	}
	return nil
}

// id is the key's number in the header of a datagram. It only tells a wrong key from a forgery, and an old key from a
// new one; it proves nothing.
func (k Key) id() byte { return k.derive("key id")[0] }

// derive makes a key of 32 bytes for one use (RFC 5869 2.3). The key is random already, so there is nothing to extract.
func (k Key) derive(use string) []byte {
	b, err := hkdf.Expand(sha256.New, k[:], "muster wire 1 "+use, 32)
	if err != nil {
		panic(err) // only for lengths past 255 hashes
	}
	return b
}

// cause is the reason without the path, which our sentence already names.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
