package vip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// changes are the groups in which the kernel tells of what can undo something here. It does not tell of every sysctl.
var changes = []int{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
	unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF,
}

// A watch says when something about the network has changed, and of what has changed only which interfaces were down,
// however briefly.
type watch struct {
	C    chan struct{} // has one whenever something has changed
	file *os.File
	done chan struct{}

	mu   sync.Mutex
	down map[int]bool // numbers of interfaces; 0: some may have been missed
}

func newWatch() (*watch, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("watch the network: %w", err)
	}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	for _, group := range changes {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group)
		}
	}
	if err != nil {
		_ = unix.Close(fd) // the error tells
		return nil, fmt.Errorf("watch the network: %w", err)
	}
	w := &watch{C: make(chan struct{}, 1), file: os.NewFile(uintptr(fd), "rtnetlink"), done: make(chan struct{}), down: map[int]bool{}}
	go w.read()
	return w, nil
}

func (w *watch) read() {
	defer close(w.done)
	buf := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buf)
		if err != nil && !errors.Is(err, unix.ENOBUFS) { // that is: more than could be kept
			return
		}
		w.mu.Lock()
		if err != nil {
			w.down[0] = true
		} else {
			noteDown(buf[:n], w.down)
		}
		w.mu.Unlock()
		select {
		case w.C <- struct{}{}:
		default: // it is known already
		}
	}
}

// noteDown notes the interfaces that messages of the kernel say are down.
func noteDown(b []byte, down map[int]bool) {
	for len(b) >= unix.SizeofNlMsghdr {
		length := int(binary.NativeEndian.Uint32(b))
		if length < unix.SizeofNlMsghdr || length > len(b) {
			return
		}
		kind, body := binary.NativeEndian.Uint16(b[4:]), b[unix.SizeofNlMsghdr:length]
		if kind == unix.RTM_NEWLINK && len(body) >= unix.SizeofIfInfomsg {
			const can = unix.IFF_UP | unix.IFF_RUNNING
			if flags := binary.NativeEndian.Uint32(body[8:]); flags&can != can {
				down[int(binary.NativeEndian.Uint32(body[4:]))] = true
			}
		}
		b = b[min((length+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), len(b)):]
	}
}

// wereDown are the interfaces that were down since it was last asked.
func (w *watch) wereDown() map[int]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	down := w.down
	w.down = map[int]bool{}
	return down
}

func (w *watch) close() {
	_ = w.file.Close() // it ends the reading
	<-w.done
}
