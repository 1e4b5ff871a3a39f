package report

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"muster/internal/wire"
)

// readBuffer is what a socket may hold of reports while the director cannot run: some seconds of a thousand nodes. The
// kernel allows less without CAP_NET_ADMIN. readBound is how many datagrams are taken before others get their turn.
const (
	readBuffer = 4 << 20
	readBound  = 1024
)

// A udpConn is a Conn of the kernel's. The Go poller does not know it: that would wake the program for every datagram,
// which costs ten times what a report does. Its calls do not wait, so the scheduler is not told of them either.
type udpConn struct {
	fd    int
	in    unix.RawSockaddrInet6 // has room for both families
	out   unix.RawSockaddrInet6
	buf   [wire.MaxDatagram + 1]byte // one more than allowed, to see what is too long
	local netip.AddrPort
}

func listen(a netip.AddrPort) (*udpConn, error) {
	family := unix.AF_INET
	if a.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	c := &udpConn{fd: fd}
	size := c.address(a)
	if _, _, errno := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&c.out)), size); errno != 0 {
		_ = c.Close() // nothing was sent on it
		return nil, os.NewSyscallError("bind", errno)
	}
	size32 := uint32(unsafe.Sizeof(c.in))
	if _, _, errno := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&c.in)), uintptr(unsafe.Pointer(&size32))); errno != 0 {
		_ = c.Close() // nothing was sent on it
		return nil, os.NewSyscallError("getsockname", errno)
	}
	c.local = c.from()
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, readBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, readBuffer) // less is enough while the director runs
	}
	return c, nil
}

func (c *udpConn) Close() error { return unix.Close(c.fd) }

func (c *udpConn) Read(take func(b []byte, from netip.AddrPort)) (n int) {
	for n < readBound {
		size := uint32(unsafe.Sizeof(c.in))
		m, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(c.fd), uintptr(unsafe.Pointer(&c.buf[0])), uintptr(len(c.buf)),
			unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&c.in)), uintptr(unsafe.Pointer(&size)))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 { // nothing more, or the network went away
			break
		}
		n++
		take(c.buf[:m], c.from())
	}
	return n
}

func (c *udpConn) Write(b []byte, to netip.AddrPort) error {
	size := c.address(to)
	for {
		_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uintptr(unsafe.Pointer(&c.out)), size)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return os.NewSyscallError("sendto", errno)
		}
		return nil
	}
}

// from is the address that the kernel has put into c.in.
func (c *udpConn) from() netip.AddrPort {
	if c.in.Family == unix.AF_INET {
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(&c.in))
		return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), swap(in.Port))
	}
	ip := netip.AddrFrom16(c.in.Addr)
	if c.in.Scope_id != 0 {
		ip = ip.WithZone(strconv.FormatUint(uint64(c.in.Scope_id), 10))
	}
	return netip.AddrPortFrom(ip, swap(c.in.Port))
}

// address puts an address into c.out and returns its length.
func (c *udpConn) address(a netip.AddrPort) uintptr {
	if a.Addr().Is4() {
		out := (*unix.RawSockaddrInet4)(unsafe.Pointer(&c.out))
		*out = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: swap(a.Port()), Addr: a.Addr().As4()}
		return unsafe.Sizeof(*out)
	}
	c.out = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: swap(a.Port()), Addr: a.Addr().As16(), Scope_id: scope(a.Addr().Zone())}
	return unsafe.Sizeof(c.out)
}

// scope is the number of the interface that a link-local address is on.
func scope(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0 // the kernel refuses to send, which is counted
	}
	return uint32(i.Index)
}

// swap turns a port from the machine's byte order into the network's, and back.
func swap(port uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], port)
	return binary.NativeEndian.Uint16(b[:])
}
