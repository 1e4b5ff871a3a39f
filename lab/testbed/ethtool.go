package testbed

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// plainChecksums has the kernel fill in checksums before a frame leaves the port, as a card would. A veth port leaves them
// half done, which XDP programs pass on so, and receivers take for damage.
func plainChecksums(port string) error {
	if err := ethtool(port, unix.ETHTOOL_STXCSUM, 0); err != nil {
		return fmt.Errorf("turn off checksum offload of %s: %w", port, err)
	}
	return nil
}

// setGRO says whether the port joins frames of one flow, as cards do. Where a relay reads, what it reads must be what was
// sent.
func setGRO(port string, on bool) error {
	value := uint32(0)
	if on {
		value = 1
	}
	if err := ethtool(port, unix.ETHTOOL_SGRO, value); err != nil {
		return fmt.Errorf("set receive offload of %s: %w", port, err)
	}
	return nil
}

// ethtool sets one value of a port of the calling thread's network (struct ethtool_value, linux/ethtool.h).
func ethtool(port string, command, data uint32) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	defer func() { _ = unix.Close(s) }() // it was only used
	value := struct{ command, data uint32 }{command, data}
	req := struct { // struct ifreq
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(req.name[:unix.IFNAMSIZ-1], port)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return errno
	}
	return nil
}
