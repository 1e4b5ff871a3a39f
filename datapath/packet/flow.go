package packet

import (
	"net/netip"
	"time"
)

// A Flow is one connection of a client, or its datagrams to one service.
type Flow struct {
	Service string         `json:"service"`
	Node    string         `json:"node"`
	At      netip.AddrPort `json:"at"` // the node's place in its pool, as in cluster.Share
	Proto   Proto          `json:"proto"`
	Client  netip.AddrPort `json:"client"`
	VIP     netip.AddrPort `json:"vip"`
	State   FlowState      `json:"state"`
	Ack     uint32         `json:"ack"`  // TCP: what the client expects next
	Idle    time.Duration  `json:"idle"` // since its newest packet
}

// A FlowState is how far a flow is.
type FlowState uint8

// The states of a flow.
const (
	Unconfirmed FlowState = iota + 1 // nothing but its first packet has come
	Established                      // a second one has
	Closing                          // a FIN has come
	Closed                           // a RST has come
)

var stateNames = [...]string{"none", "unconfirmed", "established", "closing", "closed"}

func (s FlowState) String() string { return stateNames[s] }

// MarshalText gives the state's name.
func (s FlowState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalText gives the protocol's name.
func (p Proto) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// An Event says that a flow has come, or gone.
type Event struct {
	Kind EventKind
	Flow Flow
}

// An EventKind is what has happened to a flow.
type EventKind uint8

// The kinds of event.
const (
	Began     EventKind = iota + 1 // its first packet
	Confirmed                      // its second: it is established now
	Ended                          // closed, expired, reset or forgotten
)
