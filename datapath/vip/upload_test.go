package vip

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wrapper has what a machine sends to VIPs leave in a tunnel, as a director would wrap it.
type wrapper struct {
	outer func(inner []byte) []byte // the packet around it
	to    *machine
}

// run opens a tun device on the machine, and wraps what is routed there until the test ends.
func (w wrapper) run(m *machine, vips ...netip.Addr) {
	t := m.t
	t.Helper()
	var tun *os.File
	m.in(func() {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		must(t, err)
		var req struct {
			name  [unix.IFNAMSIZ]byte
			flags uint16
			_     [22]byte
		}
		copy(req.name[:], "tun0")
		req.flags = unix.IFF_TUN | unix.IFF_NO_PI
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&req))); errno != 0 {
			t.Fatalf("make a tun device: %v", errno)
		}
		tun = os.NewFile(uintptr(fd), "tun0")
		m.ip("link set tun0 mtu 1400 up")
		for _, v := range vips {
			m.ip(fmt.Sprintf("route add %s dev tun0 src %s", v, clientOf(v)))
		}
	})
	out := m.tap()
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 2048)
		for {
			n, err := tun.Read(b)
			if err != nil {
				return
			}
			if packet := b[:n]; packet[0]>>4 == 4 || packet[6] == protoTCP { // nothing that a tun device says by itself
				_ = out.send(w.to.to(frame(w.outer(packet)))) // TCP sends again what is lost
			}
		}
	}()
	t.Cleanup(func() {
		_ = tun.Close() // it ends the reading
		<-done
	})
}

func clientOf(vip netip.Addr) netip.Addr {
	if vip.Is4() {
		return client4
	}
	return client6
}

// Megabytes come whole through each tunnel, also where the kernel merges packets before they are unpacked: ports do that
// unless they are told not to.
func TestUploadsThroughTunnels(t *testing.T) {
	type way struct {
		name   string
		tunnel Tunnel
		outer  func(inner []byte) []byte
	}
	in4 := func(inner []byte) []byte {
		return ip4{src: director4, dst: node4, proto: protoOf(inner), frag: 0x4000}.with(inner)
	}
	in6 := func(inner []byte) []byte { return ip6{src: director6, dst: node6, next: protoOf(inner)}.with(inner) }
	ways := []way{
		{"IPIP in IPv4", IPIP, in4},
		{"IPIP in IPv6", IPIP, in6},
		{"GUE in IPv4", GUE, func(inner []byte) []byte {
			return ip4{src: director4, dst: node4, proto: protoUDP}.with(udpTo(GUEPort, gue(protoOf(inner), inner)))
		}},
		{"GUE in IPv6", GUE, func(inner []byte) []byte {
			return ip6{src: director6, dst: node6, next: protoUDP}.with(udpTo(GUEPort, gue(protoOf(inner), inner)))
		}},
	}
	for _, merge := range []bool{false, true} {
		for _, w := range ways {
			t.Run(fmt.Sprintf("%s, merged %v", w.name, merge), func(t *testing.T) {
				l := lan(t, directorOn, nodeOn)
				director, node := l[0], l[1]
				director.in(func() {
					director.ip("addr add 10.7.9.9/32 dev lo")
					director.ip("-6 addr add fd07:9::9/128 dev lo nodad")
				})
				var h *Host
				var listener net.Listener
				node.in(func() {
					must(t, offload("eth0", "rx-gro", merge))
					patient(t, "eth0", merge)
					node.ip("route add 10.7.9.0/24 via 10.7.1.1")
					node.ip("-6 route add fd07:9::/64 via fd07:1::1")
					h = node.host(Config{})
					must(t, h.Apply(accepts(w.tunnel)))
					var err error
					listener, err = net.Listen("tcp", ":80")
					must(t, err)
				})
				defer listener.Close()
				wrapper{w.outer, node}.run(director, vip4, vip6)
				for _, v := range []netip.Addr{vip4, vip6} {
					upload(t, director, listener, v)
				}
				s := h.Status().Tunnels
				if len(s.NotDone) > 0 || s.Clamped != 2 {
					t.Errorf("%+v, want all unpacked and both connections clamped", s)
				}
				if merged := s.Bytes/s.Packets > 2000; merged != merge && (w.tunnel == IPIP || merged) {
					t.Errorf("%d packets of %d bytes: merged %v, want %v", s.Packets, s.Bytes, merged, merge)
				}
				runtime.KeepAlive(h)
			})
		}
	}
}

// patient has a port wait for a millisecond for more to merge, so that it finds some.
func patient(t *testing.T, port string, is bool) {
	t.Helper()
	if !is {
		return
	}
	must(t, unix.Unshare(unix.CLONE_NEWNS))
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	dir := t.TempDir()
	must(t, unix.Mount("sysfs", dir, "sysfs", 0, ""))
	must(t, os.WriteFile(dir+"/class/net/"+port+"/gro_flush_timeout", []byte("1000000"), 0))
	must(t, unix.Unmount(dir, 0))
}

// upload sends from a machine to the VIP, and wants the same at the listener.
func upload(t *testing.T, from *machine, listener net.Listener, vip netip.Addr) {
	t.Helper()
	got := make(chan [32]byte, 1)
	go func() {
		c, err := listener.Accept()
		if err != nil {
			t.Error(err)
			close(got)
			return
		}
		defer c.Close()
		hash := sha256.New()
		if _, err := io.Copy(hash, c); err != nil {
			t.Error(err)
		}
		got <- [32]byte(hash.Sum(nil))
	}()
	data := make([]byte, 3<<20)
	rand.NewChaCha8([32]byte{7}).Read(data)
	var c net.Conn
	from.in(func() {
		// The dialler's goroutines are on other machines: the socket is made here.
		family, address := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: 80, Addr: [4]byte(vip.AsSlice()[:4])})
		if vip.Is6() {
			family, address = unix.AF_INET6, &unix.SockaddrInet6{Port: 80, Addr: vip.As16()}
		}
		fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		must(t, err)
		must(t, unix.Connect(fd, address))
		f := os.NewFile(uintptr(fd), "upload")
		defer f.Close()
		c, err = net.FileConn(f)
		must(t, err)
	})
	_, err := c.Write(data)
	must(t, err)
	must(t, c.Close())
	if hash := <-got; hash != sha256.Sum256(data) {
		t.Errorf("to %s: what came is not what was sent", vip)
	}
}
