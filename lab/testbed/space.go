package testbed

import (
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A Space is a network namespace. A nil Space is the one that this process is in.
type Space struct{ ns *os.File }

// NewSpace makes a space in which only the loopback interface is up. The caller must Close it.
func NewSpace() (*Space, error) {
	s, err := newSpace()
	if err != nil {
		return nil, err
	}
	h, err := s.handle()
	if err == nil {
		defer h.Close()
		err = up(h, "lo")
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("set up a network namespace: %w", err)
	}
	return s, nil
}

func newSpace() (*Space, error) {
	runtime.LockOSThread()
	here, err := current()
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer here.Close()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("make a network namespace: %w: run it as root", err)
	}
	defer here.back()
	return current()
}

// current is the space that this thread is in.
func current() (*Space, error) {
	ns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("find the network namespace of this thread: %w", err)
	}
	return &Space{ns}, nil
}

// back returns the thread to its space, and unlocks it. A thread that cannot return stays locked: it ends with its
// goroutine.
func (s *Space) back() {
	if s.enter() == nil {
		runtime.UnlockOSThread()
	}
}

func (s *Space) enter() error {
	if err := unix.Setns(int(s.ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter a network namespace: %w", err)
	}
	return nil
}

// Enter locks the calling goroutine to its thread and moves that into the space: the sockets that it makes and the
// programs that it starts belong there. Whatever else the goroutine leads to goes on where it was. Leave undoes both.
func (s *Space) Enter() (leave func(), err error) {
	runtime.LockOSThread()
	if s == nil {
		return runtime.UnlockOSThread, nil
	}
	here, err := current()
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	if err := s.enter(); err != nil {
		here.Close()
		runtime.UnlockOSThread()
		return nil, err
	}
	return func() {
		here.back()
		here.Close()
	}, nil
}

// Close lets go of the space. It ends when the last process in it does.
func (s *Space) Close() {
	if s != nil {
		_ = s.ns.Close() // it was only held
	}
}

func (s *Space) handle() (*netlink.Handle, error) {
	return netlink.NewHandleAt(netns.NsHandle(s.ns.Fd()), unix.NETLINK_ROUTE)
}

func up(h *netlink.Handle, name string) error {
	link, err := h.LinkByName(name)
	if err == nil {
		err = h.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("bring up %s: %w", name, err)
	}
	return nil
}
