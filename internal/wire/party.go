package wire

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// Bounds of what travels and of who takes part.
const (
	MaxDatagram = 1400 // bytes: one packet on every link, with room for tunnels
	MaxName     = 63   // bytes of a party's name, as in a DNS label
	MaxPeers    = 8192
)

// A Purpose keeps kinds of datagram apart: each has its own keys, so one can never pass for another.
type Purpose byte

// The purposes.
const (
	Report Purpose = 1 // node to director: load
	Beacon Purpose = 2 // director to node: the answer
)

// header is the length of what stands before the sender's name, challenges of what stands before the payload.
const (
	version    = 1
	header     = 20
	challenges = 16
	tag        = chacha20poly1305.Overhead
)

// MaxPayload is how many bytes a datagram of a sender with this name can carry.
func MaxPayload(name string) int { return MaxDatagram - header - len(name) - challenges - tag }

// A Party is one end: it seals datagrams to its peers and opens theirs. It is for one goroutine at a time.
type Party struct {
	key        Key
	id         byte
	name       string
	send, take Purpose
	peers      map[string]*Peer
	nonce      [chacha20poly1305.NonceSizeX]byte // here because what an interface is handed escapes
	buf        [MaxDatagram]byte
}

// NewParty returns a party without peers. It sends datagrams of one purpose and takes those of another.
func NewParty(key Key, name string, send, take Purpose) (*Party, error) {
	if len(name) < 1 || len(name) > MaxName {
		return nil, fmt.Errorf("name %q: a name has 1 to %d bytes", name, MaxName)
	}
	return &Party{key: key, id: key.id(), name: name, send: send, take: take, peers: map[string]*Peer{}}, nil
}

// A Peer is the other end of a Party's exchange.
type Peer struct {
	party     *Party
	name      string
	out, in   cipher.AEAD
	session   uint64 // ours towards it
	sequence  uint64 // of the last datagram that we sealed to it
	theirs    uint64 // its session that we have accepted
	accepted  bool
	window    window
	challenge uint64 // what a new session of it must echo
	echo      uint64 // its challenge to us
}

// Name is the peer's name.
func (p *Peer) Name() string { return p.name }

// Known says whether a session of the peer has been accepted.
func (p *Peer) Known() bool { return p.accepted }

// Challenge is what the peer wants echoed, 0 while it has not said. A new value means that the peer may not yet have
// accepted our session and waits to see it.
func (p *Peer) Challenge() uint64 { return p.echo }

// SetPeers makes these the only names that Open knows. Peers that stay keep their sessions.
func (y *Party) SetPeers(names []string) error {
	if len(names) > MaxPeers {
		return fmt.Errorf("%d peers: at most %d", len(names), MaxPeers)
	}
	peers := make(map[string]*Peer, len(names))
	for _, name := range names {
		if len(name) < 1 || len(name) > MaxName {
			return fmt.Errorf("peer %q: a name has 1 to %d bytes", name, MaxName)
		}
		if p, ok := y.peers[name]; ok {
			peers[name] = p
			continue
		}
		peers[name] = &Peer{
			party: y, name: name, session: random(), challenge: random(),
			out: y.key.aead(y.send, y.name, name),
			in:  y.key.aead(y.take, name, y.name),
		}
	}
	y.peers = peers
	return nil
}

// Peer returns the peer of that name, or nil.
func (y *Party) Peer(name string) *Peer { return y.peers[name] }

// aead is the key for datagrams of one purpose from one party to another. The lengths keep the names apart.
func (k Key) aead(p Purpose, from, to string) cipher.AEAD {
	a, err := chacha20poly1305.NewX(k.derive(fmt.Sprintf("datagram %d %d:%s %d:%s", p, len(from), from, len(to), to)))
	if err != nil {
		panic(err) // the key has the right length
	}
	return a
}

// random draws 64 bits that are not 0, which stands for "none".
func random() uint64 {
	for {
		var b [8]byte
		_, _ = rand.Read(b[:]) // crypto/rand never returns an error
		if n := binary.BigEndian.Uint64(b[:]); n != 0 {
			return n
		}
	}
}

// Seal appends one datagram with the payload to dst. The payload must not be longer than MaxPayload allows, nor overlap
// dst's room.
func (p *Peer) Seal(dst, payload []byte) ([]byte, error) {
	y := p.party
	if len(payload) > MaxPayload(y.name) {
		return dst, fmt.Errorf("seal to %s: %d bytes: at most %d fit in a datagram", p.name, len(payload), MaxPayload(y.name))
	}
	p.sequence++
	start := len(dst)
	dst = append(dst, version, y.id, byte(y.send), byte(len(y.name)))
	dst = binary.BigEndian.AppendUint64(dst, p.session)
	dst = binary.BigEndian.AppendUint64(dst, p.sequence)
	dst = append(dst, y.name...)
	plain := binary.BigEndian.AppendUint64(y.buf[:0], p.challenge)
	plain = binary.BigEndian.AppendUint64(plain, p.echo)
	plain = append(plain, payload...)
	copy(y.nonce[:], dst[start+4:start+header])
	return p.out.Seal(dst, y.nonce[:], plain, dst[start:]), nil
}
