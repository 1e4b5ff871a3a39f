package scenario

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"muster/cluster"
)

const dnsPort = 53

// dig asks which node answers.
func (s *Stage) dig(ctx context.Context, at netip.Addr, args ...string) (node string, err error) {
	said, err := s.run(ctx, s.client(), "dig", append(append([]string{"+short", "+time=1", "+tries=1"}, args...), "@"+at.String(), "TXT", whoName)...)
	for line := range strings.Lines(said) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, `"`) { // other lines are dig's remarks
			node = strings.Trim(line, `"`)
		}
	}
	if err == nil && node == "" {
		err = fmt.Errorf("dig got %q", said)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.countOne(err == nil)
	return node, err
}

// digs asks so many times, some at once unless it is told from where, and returns how often which node answered.
func (s *Stage) digs(ctx context.Context, times int, at netip.Addr, args ...string) (by map[string]int, failed []error) {
	var all errgroup.Group
	all.SetLimit(4)
	if args != nil { // all from one place
		all.SetLimit(1)
	}
	var mu sync.Mutex
	by = map[string]int{}
	for range times {
		all.Go(func() error {
			node, err := s.dig(ctx, at, args...)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = append(failed, err)
				return nil
			}
			by[node]++
			return nil
		})
	}
	_ = all.Wait() // they return nothing
	return by, failed
}

// eachFront calls f for every service of the shape, over IPv4 and IPv6.
func (s *Stage) eachFront(f func(name string, vip, client netip.Addr, by string) error) error {
	jack := s.client().Jacks[0]
	for _, o := range s.shape.offer {
		if err := f(o.name+" over IPv4", o.VIP4(), jack.IPv4, o.dispatch); err != nil {
			return err
		}
		if err := f(o.name+" over IPv6", o.VIP6(), jack.IPv6, o.dispatch); err != nil {
			return err
		}
	}
	return nil
}

func datagrams(ctx context.Context, s *Stage) error {
	const lost = "t3"
	held := map[netip.Addr]string{} // where a client of the lost node sends from, by VIP
	err := s.eachFront(func(name string, vip, client netip.Addr, _ string) error {
		by, failed := s.digs(ctx, 16, vip)
		s.must(len(failed) == 0, name+": dig has its answer", "%d of 16: %v", 16-len(failed), errors.Join(failed...))
		s.must(len(by) == len(s.present()), name+": every node answers", "%v", by)
		from, err := s.clientOf(ctx, vip, client, lost)
		if err != nil {
			return err
		}
		held[vip] = from
		by, failed = s.digs(ctx, 4, vip, "-b", from)
		s.must(len(failed) == 0 && len(by) == 1 && by[lost] == 4, name+": one client's datagrams go to one node", "%v %v", by, errors.Join(failed...))
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.Machine(lost).Off(); err != nil {
		return err
	}
	var all errgroup.Group
	var mu sync.Mutex
	missed := map[string]error{}
	moved := map[string]string{}
	for vip, from := range held {
		all.Go(func() error {
			node, err := s.dig(ctx, vip, "-b", from, "+tries=4")
			mu.Lock()
			defer mu.Unlock()
			if moved[vip.String()] = node; err != nil || node == lost {
				missed[vip.String()] = err
			}
			return nil
		})
	}
	_ = all.Wait() // they return nothing
	s.must(len(missed) == 0, "a lost node's clients are answered by another on a later try", "%v %v", moved, missed)
	if _, err := s.until(ctx, lost, cluster.Out); err != nil {
		return err
	}
	return s.eachFront(func(name string, vip, _ netip.Addr, _ string) error {
		by, failed := s.digs(ctx, 8, vip)
		s.must(len(failed) == 0 && by[lost] == 0, name+": without the lost node every dig has its answer", "%v %v", by, errors.Join(failed...))
		return nil
	})
}

// clientOf finds a place to send from whose datagrams go to a node.
func (s *Stage) clientOf(ctx context.Context, vip, client netip.Addr, node string) (from string, err error) {
	for port := 20_000; port < 20_100; port++ {
		from = fmt.Sprintf("%s#%d", client, port)
		got, err := s.dig(ctx, vip, "-b", from)
		if err != nil {
			return "", err
		}
		if got == node {
			return from, nil
		}
	}
	return "", fmt.Errorf("of 100 clients none was sent to %s", node)
}

// largeQuery is how many bytes of a query say nothing: with them it takes three frames.
const largeQuery = 3000

func inPieces(ctx context.Context, s *Stage) error {
	raw, err := newSender(s.client())
	if err != nil {
		return err
	}
	defer raw.close()
	return s.eachFront(func(name string, vip, client netip.Addr, by string) error {
		if by == "tunnel" {
			if err := s.introduce(ctx, name, vip); err != nil {
				return err
			}
		}
		for _, o := range []struct {
			name  string
			order func(pieces [][][]byte) [][]byte // nil: as the kernel sends them
		}{
			{"in order", nil}, {"the last fragment first", reversed}, {"fragments of many datagrams mixed", mixed},
		} {
			by, missed, err := s.inOrder(ctx, raw, netip.AddrPortFrom(vip, dnsPort), client, o.order)
			if err != nil {
				return err
			}
			s.must(missed == 0, name+": datagrams of three fragments are answered, "+o.name, "answered %v, not answered %d", by, missed)
			if o.order == nil {
				s.must(len(by) == len(s.present()), name+": of datagrams whose fragments come in order, each node gets some", "%v", by)
			}
		}
		return nil
	})
}

// introduce has the client learn that its frames must leave room for a tunnel's header: the director answers one that is too
// large with an error, as a router would, and the client's kernel sends smaller ones from then on.
func (s *Stage) introduce(ctx context.Context, name string, vip netip.Addr) error {
	if err := s.client().Do(func() error {
		c, err := net.Dial("udp", netip.AddrPortFrom(vip, dnsPort).String())
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }() // whether it was sent has been said
		_, err = c.Write(query(0, largeQuery))
		return err
	}); err != nil {
		return fmt.Errorf("send a datagram to %s: %w", vip, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	said := ""
	for {
		now, err := s.run(ctx, s.client(), "ip", "route", "get", vip.String())
		if mtu := mtuWord.FindStringSubmatch(now); mtu != nil {
			s.must(true, name+": a client whose frames leave no room for the tunnel's header is told so", "it sends %s bytes at most", mtu[1])
			return nil
		}
		if err != nil { // of the time that is over
			s.must(false, name+": a client whose frames leave no room for the tunnel's header is told so", "it knows: %s", said)
			return nil
		}
		said = strings.TrimSpace(now)
	}
}

// reversed sends one datagram after the other, each from its end.
func reversed(datagrams [][][]byte) (list [][]byte) {
	for _, d := range datagrams {
		d = slices.Clone(d)
		slices.Reverse(d)
		list = append(list, d...)
	}
	return list
}

// mixed sends all second fragments, then all last ones, then all first ones.
func mixed(datagrams [][][]byte) (list [][]byte) {
	for _, piece := range []int{1, 2, 0} {
		for _, d := range datagrams {
			list = append(list, d[piece])
		}
	}
	return list
}

// manyDatagrams are sent at a time, each from a port of its own.
const manyDatagrams = 12

// inOrder sends datagrams in fragments, in an order or as the kernel does, and returns which nodes answered and how many datagrams had no answer.
func (s *Stage) inOrder(ctx context.Context, raw *sender, to netip.AddrPort, from netip.Addr, order func([][][]byte) [][]byte) (by map[string]int, missed int, err error) {
	var conns []*net.UDPConn
	defer func() {
		for _, c := range conns {
			_ = c.Close() // they were only read
		}
	}()
	if err := s.client().Do(func() error {
		for range manyDatagrams {
			c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)))
			if err != nil {
				return err
			}
			conns = append(conns, c)
		}
		return nil
	}); err != nil {
		return nil, 0, fmt.Errorf("listen for answers: %w", err)
	}
	var datagrams [][][]byte
	for i, c := range conns {
		q := query(uint16(i), largeQuery)
		if order == nil {
			if _, err := c.WriteToUDPAddrPort(q, to); err != nil {
				return nil, 0, fmt.Errorf("send a datagram to %s: %w", to, err)
			}
			continue
		}
		port := c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		pieces, err := fragments(netip.AddrPortFrom(from, port), to, q, uint32(port)<<8|uint32(i+1), 1200)
		if err != nil {
			return nil, 0, err
		}
		datagrams = append(datagrams, pieces)
	}
	if order != nil {
		for _, p := range order(datagrams) {
			if err := raw.send(p, to.Addr()); err != nil {
				return nil, 0, fmt.Errorf("send a fragment to %s: %w", to, err)
			}
		}
	}
	by = map[string]int{}
	late := time.Now().Add(2 * time.Second)
	for _, c := range conns {
		if err := c.SetReadDeadline(late); err != nil {
			return nil, 0, err
		}
		answer := make([]byte, 4096)
		n, err := c.Read(answer)
		if err != nil {
			missed++
			continue
		}
		by[text(answer[:n])]++
	}
	s.result.Requests += manyDatagrams
	s.result.Failed += int64(missed)
	return by, missed, ctx.Err()
}

// query asks for the text record of whoName (RFC 1035 4.1), with an option of so many bytes that means nothing (RFC 6891 6.1.2).
func query(id uint16, filler int) []byte {
	b := binary.BigEndian.AppendUint16(nil, id)
	b = append(b, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1) // recursion desired; one question, one additional record
	for label := range strings.SplitSeq(whoName, ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	b = append(b, 0, 0, 16, 0, 1)              // TXT, IN
	b = append(b, 0, 0, 41, 16, 0, 0, 0, 0, 0) // OPT: answers up to 4096 bytes
	b = binary.BigEndian.AppendUint16(b, uint16(filler+4))
	b = append(b, 0xfd, 0xe9) // option 65001: for local use
	b = binary.BigEndian.AppendUint16(b, uint16(filler))
	return append(b, make([]byte, filler)...)
}

// text is the last text of a name server's short answer: the node.
func text(answer []byte) string {
	const textType = "\x00\x10\x00\x01" // TXT, IN
	i := strings.LastIndex(string(answer), textType)
	if rest := answer[max(0, i):]; i >= 0 && len(rest) > 11 {
		if n := int(rest[10]); len(rest) >= 11+n {
			return string(rest[11 : 11+n])
		}
	}
	return fmt.Sprintf("%d bytes", len(answer))
}
