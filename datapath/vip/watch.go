package vip

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// changes are the groups in which the kernel tells of what can undo something here. It does not tell of every sysctl.
var changes = []int{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
	unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF,
}

// A watch says when something about the network has changed, and not what.
type watch struct {
	C    chan struct{} // has one more whenever something has changed
	file *os.File
	done chan struct{}
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
	w := &watch{C: make(chan struct{}, 1), file: os.NewFile(uintptr(fd), "rtnetlink"), done: make(chan struct{})}
	go w.read()
	return w, nil
}

func (w *watch) read() {
	defer close(w.done)
	buf := make([]byte, 32<<10)
	for {
		_, err := w.file.Read(buf)
		if pathErr, is := err.(*os.PathError); is && pathErr.Err != unix.ENOBUFS { // more than could be kept: something has changed
			return
		}
		select {
		case w.C <- struct{}{}:
		default: // it is known already
		}
	}
}

func (w *watch) close() {
	_ = w.file.Close() // it ends the reading
	<-w.done
}
