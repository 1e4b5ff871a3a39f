package wire

import "encoding/binary"

// A Verdict is what Open makes of a datagram. Only an Accepted one may have an effect.
type Verdict uint8

// The verdicts.
const (
	Accepted  Verdict = iota
	Unproven          // the peer's, of a session that does not echo our challenge: answer it, take nothing from it
	Malformed         // too short, too long, or of another version
	WrongKey          // sealed with another cluster's key, by its number
	Misplaced         // of a purpose that this party does not take
	Stranger          // from a name that is no peer
	Forged            // not sealed by its sender for us, or damaged
	Replayed          // seen before, or too old to say
	verdicts
)

var verdictNames = [verdicts]string{
	"accepted", "unproven", "malformed", "wrong-key", "misplaced", "stranger", "forged", "replayed",
}

func (v Verdict) String() string { return verdictNames[v] }

// Counts counts datagrams by verdict.
type Counts [verdicts]uint64

// Map gives the counts by name.
func (c *Counts) Map() map[string]uint64 {
	m := make(map[string]uint64, verdicts)
	for v, n := range c {
		m[Verdict(v).String()] = n
	}
	return m
}

// Opened is a datagram that Open has looked at.
type Opened struct {
	Verdict  Verdict
	Peer     *Peer  // who sealed it; nil unless Accepted or Unproven
	Claimed  *Peer  // whom a WrongKey or Forged one names as its sender, which proves nothing; nil for a stranger
	Sequence uint64 // its place in the peer's session
	Newest   bool   // no later one of the session has come before it
	First    bool   // it began a session: the peer is new, or has been started again
	Payload  []byte // nil unless Accepted; valid until the party next opens or seals
}

// Open checks and decrypts a datagram. It allocates nothing and changes nothing unless the datagram is its peer's own.
func (y *Party) Open(b []byte) Opened {
	if len(b) < header+challenges+tag || len(b) > MaxDatagram || b[0] != version {
		return Opened{Verdict: Malformed}
	}
	body := header + int(b[3])
	switch {
	case b[1] != y.id:
		o := Opened{Verdict: WrongKey}
		if body <= len(b) {
			o.Claimed = y.peers[string(b[header:body])]
		}
		return o
	case Purpose(b[2]) != y.take:
		return Opened{Verdict: Misplaced}
	case len(b) < body+challenges+tag:
		return Opened{Verdict: Malformed}
	}
	p, ok := y.peers[string(b[header:body])]
	if !ok {
		return Opened{Verdict: Stranger}
	}
	session, seq := binary.BigEndian.Uint64(b[4:]), binary.BigEndian.Uint64(b[12:])
	known := p.accepted && session == p.theirs
	if known && !p.window.fresh(seq) {
		// Not yet authenticated: said before the costly part, because copies are what a flood is made of.
		return Opened{Verdict: Replayed}
	}
	copy(y.nonce[:], b[4:header])
	plain, err := p.in.Open(y.buf[:0], y.nonce[:], b[body:], b[:body])
	if err != nil {
		return Opened{Verdict: Forged, Claimed: p}
	}
	challenge, echo := binary.BigEndian.Uint64(plain), binary.BigEndian.Uint64(plain[8:])
	o := Opened{Peer: p, Sequence: seq, Newest: true}
	switch {
	case known:
		o.Newest = seq > p.window.newest
		p.window.note(seq)
	case echo == p.challenge:
		o.First = true
		p.accepted, p.theirs, p.challenge = true, session, random()
		p.window.start(seq)
	default:
		// A peer that has been started again does not know our challenge: it learns it from an answer that echoes its
		// own. If this is an old recording, the echo is worth nothing to anybody.
		p.echo = challenge
		o.Verdict = Unproven
		return o
	}
	if o.Newest {
		p.echo = challenge
	}
	o.Payload = plain[challenges:]
	return o
}
