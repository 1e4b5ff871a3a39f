package bench

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
)

// PagePath is where a page of bench scale is.
const PagePath = "/worked"

// Page is a page of 1 KiB that takes a server so much work: the SHA-256 of so many KiB, in hexadecimal digits, again and
// again. It stands for what an application does for a request.
func Page(work int) []byte {
	h := sha256.New()
	var block [1024]byte
	for range work {
		_, _ = h.Write(block[:]) // it never fails
	}
	return bytes.Repeat([]byte(hex.EncodeToString(h.Sum(nil))), len(block)/(2*sha256.Size))
}
