package testbed

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestATagIsPutBackIntoItsFrame(t *testing.T) {
	plain := []byte("ddddddssssss\x08\x00payload")
	message := func(status uint32, tci, tpid uint16) []byte {
		b := make([]byte, unix.CmsgSpace(auxSize))
		binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(auxSize)))
		binary.NativeEndian.PutUint32(b[8:], unix.SOL_PACKET)
		binary.NativeEndian.PutUint32(b[12:], unix.PACKET_AUXDATA)
		data := b[unix.CmsgLen(0):]
		binary.NativeEndian.PutUint32(data, status)
		binary.NativeEndian.PutUint16(data[auxTCI:], tci)
		binary.NativeEndian.PutUint16(data[auxTPID:], tpid)
		return b
	}
	for _, test := range []struct {
		name string
		oob  []byte
		want string
	}{
		{"nothing said", nil, string(plain)},
		{"no tag", message(1, 7, 0), string(plain)},
		{"a tag", message(vlanValid|vlanTPID, 7, 0x88a8), "ddddddssssss\x88\xa8\x00\x07\x08\x00payload"},
		{"a tag, and not which kind", message(vlanValid, 7, 0), "ddddddssssss\x81\x00\x00\x07\x08\x00payload"},
		{"cut short", message(vlanValid, 7, 0)[:20], string(plain)},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, string(tagged(plain, test.oob))); diff != "" {
				t.Errorf("frame (-want +got)\n%s", diff)
			}
		})
	}
}
