package packet

import (
	"bytes"
	"fmt"
	"testing"
)

// samples are frames of every kind, to be spoilt.
var samples = []string{
	"ip4 client > vip / tcp 40000 > 80 S opts=020405b4 / data 9",
	"ip4 client > vip opts=94040000 / tcp 40000 > 81 A / data 9",
	"ip4 client > vip / udp 5353 > 82 / data 20",
	"ip4 client > vip / tcp 40000 > 83 S / data 9",
	"ip6 client > vip / tcp 40000 > 80 S / data 9",
	"ip6 client > vip / hbh / dst 1 / route 0 / tcp 40000 > 81 S / data 9",
	"ip6 client > vip / frag id=3 / udp 5353 > 82 / data 20",
	"ip6 client > vip / udp 5353 > 83 / data 20",
	"ip4 client > vip id=7 mf / udp 5353 > 80 len=208 sum=0 / data 96",
	"ip4 client > vip id=7 off=104 proto=17 / data 104",
	"ip6 client > vip / frag id=7 mf / udp 5353 > 81 len=208 sum=1 / data 96",
	"ip6 client > vip / frag id=7 off=104 next=17 / data 104",
	"ip4 hop > vip / icmp 3/4 rest=1300 / [ ip4 vip > client / tcp 80 > 40000 A / data 60 ]",
	"ip4 hop > vip / icmp 11/0 / [ ip4 vip > client opts=94040000 / udp 83 > 5353 / data 20 ]",
	"ip6 hop > vip / icmp6 2/0 rest=1300 / [ ip6 vip > client / tcp 83 > 40000 A / data 60 ]",
	"ip6 hop > vip / icmp6 1/0 / [ ip6 vip > client / hbh / tcp 80 > 40000 A / data 60 ]",
	"eth a > me / ip4 a > client / tcp 8083 > 40000 SA / data 9",
	"eth a > me / ip6 a > client / udp 8083 > 5353 / data 9",
	"eth a > me / ip4 a > client / icmp 3/3 / [ ip4 client > a / tcp 40000 > 8083 S ]",
	"eth a > me / ip6 a > client / icmp6 1/4 / [ ip6 client > a / udp 5353 > 8083 / data 20 ]",
	"eth router > me / vlan 5 / ip4 client > vip / tcp 40000 > 80 S / data 9",
	"eth router > me / qinq 7 / vlan 5 / ip6 client > vip / udp 5353 > 80 / data 9",
}

// TestSpoiltFrames cuts frames at every length, and changes every byte of their headers, where flows are known and where
// they are not. The oracle judges what becomes of them.
func TestSpoiltFrames(t *testing.T) { spoiltFrames(t, newGround(t, smallMaps)) }

func spoiltFrames(t *testing.T, g *ground) {
	for _, known := range []bool{false, true} {
		t.Run(fmt.Sprintf("known=%v", known), func(t *testing.T) {
			o := everything(t, g)
			for _, text := range samples {
				if text[:3] != "eth" {
					text = "eth router > me / " + text
				}
				whole := must(t, text)
				see := func(what string, b []byte) {
					t.Helper()
					if _, _, err := o.run(t, "me", b); err != nil {
						t.Fatalf("%s of %s: %v", what, text, err)
					}
				}
				o.forget(t)
				if known {
					o.acquaint(t)
				}
				for n := 14; n <= len(whole); n++ {
					see(fmt.Sprintf("%d bytes", n), whole[:n])
				}
				for at := 6; at < min(len(whole), 130); at++ {
					for _, v := range []byte{0, 1, 0x7f, 0x80, 0xff, whole[at] + 1, whole[at] - 1, whole[at] ^ 0x10, whole[at] ^ 0x20} {
						b := bytes.Clone(whole)
						b[at] = v
						see(fmt.Sprintf("byte %d as %#x", at, v), b)
					}
				}
				o.tally(t, 0)
			}
		})
	}
}

// acquaint establishes the flows that the samples are of.
func (o *oracle) acquaint(t testing.TB) {
	for _, family := range []string{"ip4", "ip6"} {
		for port := 80; port <= 83; port++ {
			for _, proto := range []string{"tcp 40000 > %d S", "tcp 40000 > %d A", "udp 5353 > %d", "udp 5353 > %d"} {
				text := fmt.Sprintf("eth router > me / %s client > vip / %s", family, fmt.Sprintf(proto, port))
				if _, _, err := o.run(t, "me", must(t, text)); err != nil {
					t.Fatalf("%s: %v", text, err)
				}
			}
		}
	}
}
