package testbed

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A cord is the switch's end of a cable. While the cable is slow, a relay stands between the port and the bridge:
//
//	machine ---- t1-a == relay == t1-a.r ---- t1-a.b [bridge a]
type cord struct {
	index   int // of the port
	xdp     link.Link
	mtu     int
	relay   *relay
	bridged int // while there is a relay: the index of the port in the bridge

	losing []link.Link // programs that lose frames
	at     int         // the index of the port that they are on
}

// spliced is the port of a relay, and entry the one in the bridge.
func spliced(port string) string { return port + ".r" }
func entry(port string) string   { return port + ".b" }

// close ends what this process does for the port.
func (c *cord) close() {
	if c == nil {
		return
	}
	c.sound()
	if c.relay != nil {
		c.relay.close()
	}
	_ = c.xdp.Close() // the port goes with it, or has gone
}

// sound takes the programs that lose frames off the port.
func (c *cord) sound() {
	for _, l := range c.losing {
		_ = l.Close() // the port goes with it, or has gone
	}
	c.losing = nil
}

func (c *cord) facing() int {
	if c.relay != nil {
		return c.bridged
	}
	return c.index
}

// fit makes a machine's cable as it is to be.
func (n *network) fit(j *Jack, near *Space, w shape) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.cords[j.far]
	if c == nil {
		return errors.New("it is not plugged in")
	}
	h, err := n.space.handle()
	if err != nil {
		return fmt.Errorf("talk to the switch: %w", err)
	}
	defer h.Close()
	port, err := h.LinkByIndex(c.index)
	if err != nil {
		return fmt.Errorf("find %s: %w", j.far, err)
	}
	if w.cut { // before anything else can let a frame through
		if err := h.LinkSetDown(port); err != nil {
			return fmt.Errorf("take %s down: %w", j.far, err)
		}
	}
	if slow := w.out.relayed() || w.in.relayed(); slow != (c.relay != nil) {
		change := n.unsplice
		if slow {
			change = n.splice
		}
		if err := n.space.do(func() error { return change(h, port, c, j) }); err != nil {
			return err
		}
		n.forget(c) // what was at the other place
	}
	if c.relay != nil {
		c.relay.out.fault.Store(&w.out)
		c.relay.in.fault.Store(&w.in)
	}
	if err := n.lose(c, w); err != nil {
		return err
	}
	if err := n.resize(h, port, c, j, near, w.mtu); err != nil {
		return err
	}
	if w.cut || port.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	if err := h.LinkSetUp(port); err != nil {
		return fmt.Errorf("bring up %s: %w", j.far, err)
	}
	return seen(j, near)
}

// seen waits until the machine's port has noticed that there is another end.
func seen(j *Jack, near *Space) error {
	h, err := near.handle()
	if err != nil {
		return err
	}
	defer h.Close()
	return working(h, j.Name)
}

// working waits until a port does. The kernel may take up to a second to notice that there is another end
// (net/core/link_watch.c), and drops frames until then.
func working(h *netlink.Handle, name string) error {
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for until := time.Now().Add(5 * time.Second); time.Now().Before(until); <-again.C {
		port, err := h.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find %s: %w", name, err)
		}
		if a := port.Attrs(); a.OperState == netlink.OperUp || a.Flags&net.FlagUp == 0 { // somebody took it down
			return nil
		}
	}
	return fmt.Errorf("port %s does not come up", name)
}

// lose has the port lose the frames that are to be lost.
func (n *network) lose(c *cord, w shape) (err error) {
	if w.out.Loss == 0 && w.in.Loss == 0 && len(w.walls) == 0 {
		n.forget(c)
		return nil
	}
	if n.filter == nil {
		if n.filter, err = newFilter(); err != nil {
			return err
		}
	}
	c.at = c.facing()
	if err := n.filter.set(c.at, w.out.Loss, w.in.Loss, w.walls); err != nil || c.losing != nil {
		return err
	}
	return n.space.do(func() (err error) {
		c.losing, err = n.filter.attach(c.at)
		return err
	})
}

func (n *network) forget(c *cord) {
	c.sound()
	if n.filter != nil {
		n.filter.forget(c.at)
	}
}

// splice puts a relay between the port and the bridge. The thread is in the switch's space.
func (n *network) splice(h *netlink.Handle, port netlink.Link, c *cord, j *Jack) error {
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: spliced(j.far), MTU: n.mtu}, PeerName: entry(j.far), PeerMTU: uint32(n.mtu)}
	if err := h.LinkAdd(pair); err != nil {
		return fmt.Errorf("make a veth pair for a relay: %w", err)
	}
	err := n.spliceTo(h, port, pair, c, j)
	if err != nil {
		return errors.Join(err, n.unsplice(h, port, c, j))
	}
	return nil
}

func (n *network) spliceTo(h *netlink.Handle, port netlink.Link, pair *netlink.Veth, c *cord, j *Jack) error {
	for _, name := range []string{spliced(j.far), entry(j.far)} {
		if err := plainChecksums(name); err != nil {
			return err
		}
	}
	if err := setGRO(j.far, false); err != nil {
		return err
	}
	far, err := h.LinkByName(entry(j.far))
	if err == nil {
		err = h.LinkSetMasterByIndex(far, n.nets[j.Net])
	}
	if err == nil {
		err = h.LinkSetNoMaster(port)
	}
	for _, l := range []netlink.Link{far, pair} {
		if err == nil {
			err = h.LinkSetUp(l)
		}
	}
	if err != nil {
		return fmt.Errorf("put a relay into the cable: %w", err)
	}
	for _, name := range []string{spliced(j.far), entry(j.far)} {
		if err := working(h, name); err != nil {
			return err
		}
	}
	c.relay, err = newRelay(c.index, pair.Index)
	c.bridged = far.Attrs().Index
	return err
}

// unsplice removes the relay. The thread is in the switch's space.
func (n *network) unsplice(h *netlink.Handle, port netlink.Link, c *cord, j *Jack) error {
	if c.relay != nil {
		c.relay.close()
		c.relay = nil
	}
	if err := remove(h, spliced(j.far)); err != nil {
		return err
	}
	if err := setGRO(j.far, true); err != nil {
		return err
	}
	if err := h.LinkSetMasterByIndex(port, n.nets[j.Net]); err != nil {
		return fmt.Errorf("put %s back into the bridge: %w", j.far, err)
	}
	return nil
}

// resize sets the MTU of both ends of the cable; 0 is what all have.
func (n *network) resize(h *netlink.Handle, port netlink.Link, c *cord, j *Jack, near *Space, mtu int) error {
	if mtu == 0 {
		mtu = n.mtu
	}
	if mtu == c.mtu {
		return nil
	}
	other, err := near.handle()
	if err != nil {
		return err
	}
	defer other.Close()
	end, err := other.LinkByName(j.Name)
	if err == nil {
		err = errors.Join(h.LinkSetMTU(port, mtu), other.LinkSetMTU(end, mtu))
	}
	if err != nil {
		return fmt.Errorf("set the MTU of the cable to %d: %w", mtu, err)
	}
	c.mtu = mtu
	return nil
}

// remove removes a port, if it is there.
func remove(h *netlink.Handle, name string) error {
	port, err := h.LinkByName(name)
	if err == nil {
		err = h.LinkDel(port)
	}
	_, gone := errors.AsType[netlink.LinkNotFoundError](err)
	if err == nil || gone || errors.Is(err, unix.ENODEV) { // the kernel removes it with the namespace of its other end
		return nil
	}
	return fmt.Errorf("remove port %s: %w", name, err)
}
