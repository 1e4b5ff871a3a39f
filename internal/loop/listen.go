package loop

import (
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Accept takes one connection from a listening socket. It returns ErrAgain when none waits.
func Accept(listener int) (fd int, from netip.AddrPort, err error) {
	var sa unix.RawSockaddrAny
	fd, errno := accept(listener, &sa)
	if errno == unix.EAGAIN {
		return -1, from, ErrAgain
	}
	if errno != 0 {
		return -1, from, errno
	}
	return fd, addrPort(&sa), nil
}

// Listen opens a non-blocking listening socket. A port of 0 lets the kernel choose; LocalAddr tells what it chose. The error
// says what is in the way, and what to do about it.
func Listen(at netip.AddrPort, backlog int) (int, error) { return listen(at, backlog, false) }

// ListenAhead is Listen on an address that this machine may not have yet: one that it is to take over from another.
func ListenAhead(at netip.AddrPort, backlog int) (int, error) { return listen(at, backlog, true) }

func listen(at netip.AddrPort, backlog int, ahead bool) (int, error) {
	fd, err := stream(at)
	if err != nil {
		return -1, err
	}
	switch { // what fails here, Bind says
	case ahead && at.Addr().Is6():
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
	case ahead:
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) // without it a restart waits for old connections
	if at.Addr().Is6() {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1) // [::]:80 beside 0.0.0.0:80
	}
	if err := unix.Bind(fd, sockaddr(at)); err != nil {
		rawClose(fd)
		return -1, fmt.Errorf("listen on %s: %w%s", at, err, advice(at, err))
	}
	if err := unix.Listen(fd, backlog); err != nil {
		rawClose(fd)
		return -1, fmt.Errorf("listen on %s: %w", at, err)
	}
	return fd, nil
}

func advice(at netip.AddrPort, err error) string {
	switch err {
	case unix.EADDRINUSE:
		return fmt.Sprintf("; another program has the port: find it with `ss -ltnp 'sport = :%d'`, or choose another", at.Port())
	case unix.EADDRNOTAVAIL:
		return fmt.Sprintf("; no interface of this machine has the address: correct it, or add it (`ip address add %s dev lo`), "+
			"or set %s=1 where another director has it", at.Addr(), nonlocal(at.Addr()))
	case unix.EACCES:
		return "; ports below 1024 need root or the capability NET_BIND_SERVICE"
	}
	return ""
}

// nonlocal is the kernel's setting that lets a program listen on an address that no interface has (ip(7)).
func nonlocal(a netip.Addr) string {
	if a.Is6() {
		return "net.ipv6.ip_nonlocal_bind"
	}
	return "net.ipv4.ip_nonlocal_bind"
}

// LocalAddr is the address that a socket is bound to.
func LocalAddr(fd int) netip.AddrPort {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() || a.Addr().Is4In6() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().Unmap().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func addrPort(sa *unix.RawSockaddrAny) netip.AddrPort {
	switch sa.Addr.Family {
	case unix.AF_INET:
		p := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(p.Addr), p.Port>>8|p.Port<<8)
	case unix.AF_INET6:
		p := (*unix.RawSockaddrInet6)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom16(p.Addr), p.Port>>8|p.Port<<8)
	}
	return netip.AddrPort{}
}
