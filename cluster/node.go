package cluster

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A Role is what a node does in the cluster. A node may have several.
type Role string

// The roles that this program can run.
const (
	Director Role = "director" // owns VIPs, dispatches (HAS: HA tier)
	Traffic  Role = "traffic"  // runs the web application, answers clients (HAS: SSA tier)
)

// Roles lists every role, in the order in which help and documentation name them.
func Roles() []Role { return []Role{Director, Traffic} }

// A Node is one machine of the cluster.
type Node struct {
	Name   string
	Roles  []Role
	Addrs  []netip.Addr // one per LAN, in the order of the LANs in the file
	Weight int          // its share beside its peers, 0..1000; 100 is the norm
}

// Has says whether the node has the role.
func (n Node) Has(r Role) bool { return slices.Contains(n.Roles, r) }

// A State is what the cluster makes of a node (HAS 3.7).
type State uint8

// The states of a node. Only an Active node is given new work.
const (
	Out          State = iota // not in the cluster's work: dead, silent, its application does not answer, in maintenance
	Active                    // takes new work
	Standby                   // sound, and kept back until it is needed
	InTransition              // gets no new work, finishes what it has
)

var stateNames = [...]string{Out: "out", Active: "active", Standby: "standby", InTransition: "in-transition"}

func (s State) String() string { return stateNames[s] }

// MarshalText gives the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a state's name.
func (s *State) UnmarshalText(b []byte) error {
	i := slices.Index(stateNames[:], string(b))
	if i < 0 {
		return fmt.Errorf("%q is no node state; one of %s", b, strings.Join(stateNames[:], ", "))
	}
	*s = State(i)
	return nil
}

// A Wish is what the operator wants of a node. The state follows it as far as the node's health allows.
type Wish uint8

// The wishes.
const (
	Ready Wish = iota // work
	Drain             // finish what you have, take nothing new
	Maint             // be out, whatever the node itself says
)

var wishNames = [...]string{Ready: "ready", Drain: "drain", Maint: "maint"}

func (w Wish) String() string { return wishNames[w] }

// MarshalText gives the wish's name.
func (w Wish) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText reads a wish's name.
func (w *Wish) UnmarshalText(b []byte) error {
	i := slices.Index(wishNames[:], string(b))
	if i < 0 {
		return fmt.Errorf("%q is no wish; one of %s", b, strings.Join(wishNames[:], ", "))
	}
	*w = Wish(i)
	return nil
}
