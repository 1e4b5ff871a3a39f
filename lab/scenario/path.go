package scenario

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"muster/lab/site"
	"muster/lab/testbed"
)

// narrow is the MTU of the path, in narrowPath.
const narrow = 1300

// narrowPath has curl fetch and send while the path's MTU is what all links have, and then less.
func narrowPath(ctx context.Context, s *Stage) error {
	for _, mtu := range []int{0, narrow} {
		if err := s.PathMTU(ctx, mtu); err != nil {
			return err
		}
		for _, o := range s.shape.offer {
			for i, at := range o.both(webPort) {
				name := fmt.Sprintf("%s over IPv%d", o.name, 4+2*i)
				if mtu != 0 {
					name += fmt.Sprintf(", by a path of %d bytes", mtu)
				}
				if err := s.largeTransfers(ctx, name, at, o.dispatch, mtu); err != nil {
					return err
				}
			}
		}
	}
	s.part("downloads and uploads")
	return nil
}

func (s *Stage) largeTransfers(ctx context.Context, name string, at netip.AddrPort, dispatch string, mtu int) error {
	if err := s.forget(ctx); err != nil {
		return err
	}
	doc := s.docs.Files[smallDocuments] // it takes hundreds of packets
	node, err := s.download(ctx, at, doc)
	s.must(err == nil, name+": a download goes through whole", "%d bytes from %s, %v", doc.Size, node, err)
	if err == nil && mtu != 0 {
		learned, err := s.learned(ctx, node, at.Addr(), dispatch)
		if err != nil {
			return err
		}
		s.must(learned == mtu, name+": the node that answers learns the path's MTU", "%s has %d", node, learned)
	}
	node, err = s.upload(ctx, at, doc)
	s.must(err == nil, name+": an upload goes through whole", "%d bytes to %s, %v", doc.Size, node, err)
	return nil
}

// forget has all forget what they know of paths.
func (s *Stage) forget(ctx context.Context) error {
	for _, m := range s.Machines(testbed.Client, testbed.Traffic) {
		if _, err := s.run(ctx, m, "sh", "-c", "ip route flush cache && ip -6 route flush cache"); err != nil {
			return err
		}
	}
	return nil
}

// byNode has curl say who answered, after what else it says.
const byNode = " %header{x-muster-node}"

func (s *Stage) download(ctx context.Context, at netip.AddrPort, doc site.File) (node string, err error) {
	to := filepath.Join(s.dir, "fetched")
	said, err := s.curl(ctx, "-o", to, "-w", "%{http_code} %{size_download}"+byNode, "http://"+at.String()+doc.Path)
	s.countOne(err == nil)
	if err != nil {
		return "", err
	}
	want := fmt.Sprintf("200 %d ", doc.Size)
	node, ok := strings.CutPrefix(said, want)
	if !ok {
		return node, fmt.Errorf("curl got %s, want %s", said, want)
	}
	same, err := sameFile(to, filepath.Join(s.docs.Root, doc.Path))
	if err == nil && !same {
		err = fmt.Errorf("curl got other bytes")
	}
	return node, err
}

// upload sends a document to nginx, which says how many bytes came.
func (s *Stage) upload(ctx context.Context, at netip.AddrPort, doc site.File) (node string, err error) {
	said, err := s.curl(ctx, "-w", byNode, "-H", "Expect:", "--data-binary", "@"+filepath.Join(s.docs.Root, doc.Path), "http://"+at.String()+"/upload")
	s.countOne(err == nil)
	if err != nil {
		return "", err
	}
	want := fmt.Sprintf("%d ", doc.Size)
	node, ok := strings.CutPrefix(said, want)
	if !ok {
		return node, fmt.Errorf("nginx got %s bytes, want %s", said, want)
	}
	return node, nil
}

var mtuWord = regexp.MustCompile(`\bmtu (\d+)`)

// learned is what a node has learned of the path to the client, by which it answers for the VIP, 0 for nothing. With nat it
// answers as itself, and by a way of its own.
func (s *Stage) learned(ctx context.Context, node string, vip netip.Addr, dispatch string) (mtu int, err error) {
	m := s.Machine(node)
	if m == nil || !slices.Contains(s.present(), node) {
		return 0, fmt.Errorf("%q is no node", node)
	}
	to, from := s.client().Jacks[0], m.Jacks[0]
	client, self := to.IPv4, from.IPv4
	if vip.Is6() {
		client, self = to.IPv6, from.IPv6
	}
	if dispatch != "nat" {
		self = vip
	}
	said, err := s.run(ctx, m, "ip", "route", "get", client.String(), "from", self.String(),
		"ipproto", "tcp", "sport", strconv.Itoa(webPort), "dport", "1024")
	if err != nil {
		return 0, err
	}
	if found := mtuWord.FindStringSubmatch(said); found != nil {
		mtu, err = strconv.Atoi(found[1])
	}
	return mtu, err
}

func sameFile(a, b string) (bool, error) {
	x, err := os.ReadFile(a)
	if err != nil {
		return false, err
	}
	y, err := os.ReadFile(b)
	return bytes.Equal(x, y), err
}
