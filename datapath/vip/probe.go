package vip

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// asks is how often the LAN is asked for an address before it is taken (RFC 5227 1.1).
const asks = 3

// A wire is a port as ARP or neighbour discovery sees it.
type wire struct {
	port  string
	mac   mac
	fd    int
	addrs []netip.Addr // those that it is open for
}

// tap listens to one protocol on a port: to all that comes by, also what is meant for everybody.
func tap(port string, proto uint16) (*wire, error) {
	l, err := net.InterfaceByName(port)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", port, err)
	}
	if len(l.HardwareAddr) != 6 {
		return nil, fmt.Errorf("%s is no Ethernet port: it has no MAC address to tell others", port)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto<<8 | proto>>8, Ifindex: l.Index})
		if err != nil {
			_ = unix.Close(fd) // the error tells
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s for who has an address: %w", port, explain(err))
	}
	return &wire{port: port, mac: mac(l.HardwareAddr), fd: fd}, nil
}

func (w *wire) close() { _ = unix.Close(w.fd) } // nothing is under way on it

// taps opens a port for addresses, once for each protocol.
func taps(port string, addrs []netip.Addr) (list []*wire, err error) {
	for _, proto := range []uint16{etherARP, etherIPv6} {
		var mine []netip.Addr
		for _, a := range addrs {
			if a.Is4() == (proto == etherARP) {
				mine = append(mine, a)
			}
		}
		if mine == nil {
			continue
		}
		w, err := tap(port, proto)
		if err != nil {
			for _, w := range list {
				w.close()
			}
			return nil, err
		}
		w.addrs = mine
		list = append(list, w)
	}
	return list, nil
}

func (w *wire) send(frames ...[]byte) error {
	for _, f := range frames {
		// A full queue loses a frame, as a cable may; none is sent only once.
		if _, err := unix.Write(w.fd, f); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return fmt.Errorf("send on %s: %w", w.port, err)
		}
	}
	return nil
}

// holders asks a port's LAN who has the addresses, and waits that long for answers.
func holders(port string, addrs []netip.Addr, patience time.Duration) (map[netip.Addr]net.HardwareAddr, error) {
	wires, err := taps(port, addrs)
	if err != nil {
		return nil, err
	}
	found := map[netip.Addr]net.HardwareAddr{}
	for _, w := range wires {
		defer w.close()
	}
	for range asks {
		for _, w := range wires {
			for _, a := range w.addrs {
				if err := w.send(ask(w.mac, a)); err != nil {
					return nil, err
				}
			}
		}
		if err := listen(wires, time.Now().Add(patience/asks), found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// listen notes who says that it has one of the addresses, until it is over.
func listen(wires []*wire, until time.Time, found map[netip.Addr]net.HardwareAddr) error {
	frame := make([]byte, 2048)
	poll := make([]unix.PollFd, len(wires))
	for {
		left := time.Until(until)
		if left <= 0 {
			return nil
		}
		for i, w := range wires {
			poll[i] = unix.PollFd{Fd: int32(w.fd), Events: unix.POLLIN}
		}
		if _, err := unix.Poll(poll, int(left.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for who has an address: %w", err)
		}
		for _, w := range wires {
			n, err := unix.Read(w.fd, frame)
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				return fmt.Errorf("listen on %s: %w", w.port, err)
			}
			from, whose, is := claim(frame[:n])
			if is && from != w.mac {
				for _, a := range w.addrs {
					if a == whose {
						found[a] = from[:]
					}
				}
			}
		}
	}
}

// announce tells a port's LAN that we have the addresses.
func announce(port string, addrs []netip.Addr, router bool) error {
	wires, err := taps(port, addrs)
	if err != nil {
		return err
	}
	var errs []error
	for _, w := range wires {
		for _, a := range w.addrs {
			errs = append(errs, w.send(tell(w.mac, a, router)...))
		}
		w.close()
	}
	return errors.Join(errs...)
}
