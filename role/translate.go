package role

import (
	"cmp"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"time"

	"muster/cluster"
	"muster/config"
	"muster/console"
	"muster/control/check"
	"muster/control/report"
	"muster/control/schedule"
	"muster/datapath/http1"
	"muster/datapath/packet"
	"muster/datapath/request"
	"muster/datapath/serve"
	"muster/ha/member"
	"muster/ha/supervise"
	"muster/internal/wire"
)

// Each part has a small Config of its own, whose zero values are its defaults; the file states every value. What 0 means
// in the file, where it is not a part's default, is said here in the part's terms.

// services are the file's services as the proxy runs them, those too that it may have to run in the kernel's place. Access logs are opened by opened, by the name of the file.
func services(f *config.File, opened func(path string) (io.Writer, error)) ([]request.Service, error) {
	list := make([]request.Service, 0, len(f.Services))
	ahead := f.VIPs == config.VIPsHold && mayAdmin()
	for i := range f.Services {
		if s := &f.Services[i]; s.Dispatch.Kernel() && s.WithoutXDP != config.WithoutProxy {
			continue
		}
		s, err := service(&f.Services[i], opened)
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", f.Services[i].Name, err)
		}
		s.Ahead = ahead && f.Services[i].VIP.IsValid()
		list = append(list, s)
	}
	return list, nil
}

func service(s *config.Service, opened func(path string) (io.Writer, error)) (request.Service, error) {
	r := request.Service{
		Name: s.Name, Kind: s.Kind, Listen: s.Addresses(), Pool: s.Pool, Threads: s.Threads,
		Limits: request.Limits{
			Connections: s.Limits.Connections,
			PerSource:   s.Limits.ConnectionsPerSource,
			Queue:       s.Limits.Queue,
			Requests:    s.Limits.RequestsPerConnection,
			BodyRate:    int(s.Limits.BodyRate),
			Head:        http1.Limits{Head: int(s.Limits.Head), Headers: s.Limits.Headers},
		},
		Timeouts: request.Timeouts{
			Head: s.Timeouts.Head, Idle: s.Timeouts.Idle, Connect: s.Timeouts.Connect, Response: s.Timeouts.Response,
			Stall: s.Timeouts.Stall, Queue: s.Timeouts.Queue, Tunnel: s.Timeouts.Tunnel,
		},
		Retry: request.Retry{
			Attempts: s.Retry.Attempts, Idempotent: s.Retry.Idempotent, Budget: s.Retry.Budget.Part(),
		},
		ProxyAccept: s.ProxyProtocol.Accept,
		ProxyTrust:  s.ProxyProtocol.Trust,
		ProxySend:   proxyVersion(s.ProxyProtocol.Send),
	}
	if r.Limits.Queue == 0 {
		r.Limits.Queue = -1 // none may wait
	}
	if r.Limits.BodyRate == 0 {
		r.Limits.BodyRate = -1 // no limit
	}
	if r.Retry.Budget == 0 {
		r.Retry.Budget = -1 // none
	}
	for _, h := range s.Forwarded {
		switch h {
		case config.XForwarded:
			r.XForwarded = true
		case config.Forwarded:
			r.Forwarded = true
		case config.Via:
			r.Via = true
		}
	}
	if fb := s.Fallback; fb != nil {
		r.Fallback = request.Fallback{Addr: fb.Address, Status: fb.Status}
		if fb.BodyFile != "" {
			body, err := readUpTo(fb.BodyFile, config.MaxBodyFile)
			if err != nil {
				return r, fmt.Errorf("read the page of its fallback: %w", err)
			}
			r.Fallback.Body = body
		}
	}
	if s.AccessLog.Format != config.AccessOff && s.AccessLog.Format != "" {
		to, err := opened(s.AccessLog.File)
		if err != nil {
			return r, err
		}
		r.Log = request.AccessLog{Format: string(s.AccessLog.Format), To: to}
	}
	return r, nil
}

func proxyVersion(v config.ProxyHeader) int {
	switch v {
	case config.ProxyV1:
		return 1
	case config.ProxyV2:
		return 2
	}
	return 0
}

func readUpTo(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s is larger than %s", path, config.Bytes(most))
	}
	return b, err
}

// plansOf is what the node does for each pool that it serves, or may have to serve by a zone: a node that is borrowed is
// ready at once, because its application for the other pool runs all the time.
func plansOf(f *config.File, self *config.Node) []plan {
	var list []plan
	for _, p := range f.PoolsOf(self.Name) {
		at := p.Address(self)
		one := plan{Pool: p.Name, Target: at, Asked: at}
		a := f.Application(self.Name, p.Name)
		switch {
		case a != nil && a.Serve != nil:
			one.Serve = serveOf(a.Serve, self, at, drainOf(f))
			one.Serve.VIPs = directAddrs(f, self, p)
		case a != nil && a.Run != nil:
			one.Run = runOf(a.Run)
		}
		if c := f.Check(p.Check); c != nil {
			one.Check = checkOf(c)
			if c.Port != 0 {
				one.Asked = netip.AddrPortFrom(at.Addr(), c.Port)
			}
		} else if a == nil {
			// That it listens is the least that can be known of an application that something else runs.
			one.Check = &check.Config{Kind: check.TCP}
		}
		list = append(list, one)
	}
	return list
}

func serveOf(s *config.Serve, self *config.Node, at netip.AddrPort, drain time.Duration) *serve.Config {
	c := &serve.Config{
		Listen: []netip.AddrPort{at}, Threads: cmp.Or(s.Threads, runtime.NumCPU()),
		Root: s.Root, Index: s.Index, Listing: s.Listing, CacheBytes: int64(s.Cache), Name: self.Name, ShowName: s.NameHeader, Drain: drain,
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = -1 // none
	}
	if c.Index == nil {
		c.Index = []string{} // none, and not the default
	}
	return c
}

func checkOf(c *config.Check) *check.Config {
	to := &check.Config{
		Kind: check.Kind(c.Kind), Method: string(c.Method), Path: c.Path, Host: c.Host, Headers: c.Headers, Body: c.Body,
		Verify: c.Verify, ServerName: c.ServerName, Command: c.Command,
		Interval: c.Interval, Timeout: c.Timeout, Rise: c.Rise, Fall: c.Fall,
	}
	for _, s := range c.Status {
		to.Status = append(to.Status, check.Range{First: s.From, Last: s.To})
	}
	return to
}

func runOf(r *config.Run) *supervise.Config {
	return &supervise.Config{
		Command: r.Command, Dir: r.Dir, Env: r.Env, User: r.User,
		StopSignal: r.StopSignal.Number(), StopTimeout: r.StopTimeout,
		BackoffMin: r.BackoffMin, BackoffMax: r.BackoffMax,
	}
}

// directorsOf are the directors that a node reports to.
func directorsOf(f *config.File) []report.Director {
	var list []report.Director
	for _, d := range f.Directors() {
		list = append(list, report.Director{Name: d.Name, Addrs: d.ReportAddrs()})
	}
	return list
}

// clientsOf ask the directors.
func clientsOf(f *config.File) []*console.Client {
	var list []*console.Client
	for _, d := range f.Directors() {
		list = append(list, console.NewClient(texts(d.AdminAddrs()), ""))
	}
	return list
}

// names are the nodes that a director listens to: all, so that directors know of each other too.
func names(f *config.File) []string {
	list := make([]string, len(f.Nodes))
	for i := range f.Nodes {
		list[i] = f.Nodes[i].Name
	}
	return list
}

func nodesOf(f *config.File) []cluster.Node {
	var list []cluster.Node
	for i := range f.Nodes {
		list = append(list, f.Nodes[i].Plain())
	}
	return list
}

func poolsOf(f *config.File) []member.Pool {
	var list []member.Pool
	for _, p := range f.Pools {
		one := member.Pool{Name: p.Name, Nodes: p.Nodes, Port: p.Port, Limit: p.Limit, SlowStart: f.Timings.SlowStart}
		if p.Zone != nil {
			one.From = p.Zone.BorrowFrom
		}
		list = append(list, one)
	}
	return list
}

func zonesOf(f *config.File) []schedule.Zone {
	var list []schedule.Zone
	for _, p := range f.Pools {
		if z := p.Zone; z != nil {
			list = append(list, schedule.Zone{
				Pool: p.Name, From: z.BorrowFrom, Above: uint16(10 * z.Above), Below: uint16(10 * z.Below), Keep: z.Keep, Hold: z.Hold,
			})
		}
	}
	return list
}

// threads is how many loops serve a director's clients: as many as the service that wants the most, for a director has one
// proxy for all of them.
func threads(f *config.File) int {
	most := 0
	for _, s := range f.Services {
		if !s.Dispatch.Kernel() || s.WithoutXDP == config.WithoutProxy {
			most = max(most, cmp.Or(s.Threads, runtime.NumCPU()))
		}
	}
	return cmp.Or(most, f.Threads)
}

// packetConfig is dispatch in the kernel on a director. Which slot a client has depends on the key, so that nobody can
// choose addresses that share one, and is the same on all directors.
func packetConfig(f *config.File, self *config.Node, key wire.Key) packet.Config {
	seed, err := hkdf.Key(sha256.New, key[:], nil, "muster packet 1 slots", 4)
	if err != nil {
		panic(err) // 4 bytes are never too many
	}
	return packet.Config{
		Interfaces: self.Interfaces, Addresses: self.Addresses, Pin: Pin(f.Cluster, self.Name), Seed: binary.BigEndian.Uint32(seed),
		Mode:  map[config.PacketMode]packet.Mode{config.PacketNative: packet.Native, config.PacketGeneric: packet.Generic}[f.Packets.Mode],
		Flows: f.Packets.Flows, Unconfirmed: f.Packets.Unconfirmed, Sources: f.Packets.Sources,
	}
}

// directAddrs are where the built-in server of a pool is asked on a node by packets that are dispatched to it: at VIPs, or
// with nat at its address of the VIP's family.
func directAddrs(f *config.File, self *config.Node, p *config.Pool) []netip.AddrPort {
	var list []netip.AddrPort
	add := func(a netip.AddrPort) {
		if a.Port() == 0 {
			a = netip.AddrPortFrom(a.Addr(), p.Port)
		}
		if a != p.Address(self) {
			list = union(list, []netip.AddrPort{a})
		}
	}
	for i := range f.Services {
		s := &f.Services[i]
		switch at, ok := f.AddressFor(self, self, s); {
		case s.Pool != p.Name || s.Kind == cluster.UDP:
		case s.Dispatch.Direct():
			for _, a := range s.Addresses() {
				add(a)
			}
		case s.Dispatch == cluster.NAT && ok:
			add(packetsTo(s, p, at))
		}
	}
	return list
}

// directPools are the pools that packets come for, by dispatch in the kernel.
func directPools(f *config.File) map[string]bool {
	pools := map[string]bool{}
	for _, s := range f.Services {
		if s.Dispatch.Kernel() {
			pools[s.Pool] = true
		}
	}
	return pools
}

// drainOf is how long work may finish, in the terms of parts that take 0 for their default.
func drainOf(f *config.File) time.Duration { return max(f.Timings.Drain, 1) }

func anyPort(addrs []netip.Addr) []netip.AddrPort {
	var list []netip.AddrPort
	for _, a := range addrs {
		list = append(list, netip.AddrPortFrom(a, 0))
	}
	return list
}

func texts[T fmt.Stringer](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = v.String()
	}
	return out
}
