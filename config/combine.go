package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"muster/cluster"
)

func (d *decoder) checkNodes(f *File, x index) {
	if f.Timings.Timeout <= f.Timings.Report && d.sound("timings.report", "timings.timeout") {
		d.say(d.firstGiven("timings.timeout", "timings.report"), fmt.Sprintf("timeout, %s, is not longer than report, %s", formatDuration(f.Timings.Timeout), formatDuration(f.Timings.Report)),
			"every node would be out between two reports; three times report forgives two lost ones")
	}
	roles := true
	for _, n := range f.Nodes {
		path := join("nodes", n.Name)
		roles = roles && d.sound(path, path+".roles")
		for i, a := range n.Addresses {
			d.checkAddress(fmt.Sprintf("%s.addresses[%d]", path, i), a)
		}
		for i, name := range n.Interfaces {
			if at := fmt.Sprintf("%s.interfaces[%d]", path, i); len(name) > 15 || strings.ContainsAny(name, "/: ") {
				d.say(at, quote(name)+" cannot be the name of a network port", "write it as `ip link` shows it, like eth0")
			}
		}
		for _, o := range n.Applications {
			p := join(join(path, "applications"), o.Name)
			if pool := x.pools[o.Name]; pool != nil && d.sound(p) && !slices.Contains(x.poolsOf[n.Name], pool) {
				d.say(p, fmt.Sprintf("%s is not a node of pool %s", n.Name, o.Name), "add it to the pool, or take the application out")
			}
			d.checkApplication(p, &o.Application)
		}
	}
	if len(f.Nodes) > 0 && roles && d.sound("nodes") && len(f.Directors()) == 0 {
		d.say("nodes", "no node has the role director", "add director to the roles of one or more nodes")
	}
}

// checkAddress refuses what no machine can have as its own.
func (d *decoder) checkAddress(path string, a netip.Addr) {
	if a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		d.say(path, a.String()+" is not the address of one machine", "write the address that others reach it at")
	}
}

func (d *decoder) checkChecks(f *File) {
	for _, c := range f.Checks {
		path := join("checks", c.Name)
		if c.Timeout > c.Interval && d.sound(path+".interval", path+".timeout") {
			d.say(d.firstGiven(path+".timeout", path+".interval"), fmt.Sprintf("timeout, %s, is longer than interval, %s", formatDuration(c.Timeout), formatDuration(c.Interval)),
				"a check must end before the next begins: set timeout too")
		}
		if c.Path != "" && (c.Path[0] != '/' || strings.ContainsAny(c.Path, " #")) {
			d.say(path+".path", quote(c.Path)+" is not the path of a request", "begin with / and write spaces as %20, like /health?full=1")
		}
		if strings.ContainsAny(c.Host, "/ @?#") {
			d.say(path+".host", quote(c.Host)+" is not a host", "write a name with or without a port, like shop.example")
		}
		if c.Method == "HEAD" && c.Body != "" && d.sound(path+".method") {
			d.say(path+".body", "an answer to HEAD has no body", "take body out, or set method: GET")
		}
		for _, name := range sorted(c.Headers) {
			p := join(path+".headers", shown(name))
			switch {
			case !isToken(name):
				d.say(p, quote(name)+" cannot be the name of a header field", "a name has letters, digits and -")
			case strings.EqualFold(name, "Host"):
				d.say(p, "the field Host has a key of its own", "set host instead")
			case slices.ContainsFunc([]string{"Content-Length", "Transfer-Encoding", "Connection"}, func(s string) bool { return strings.EqualFold(s, name) }):
				d.say(p, "the check writes this field itself", "take it out")
			}
		}
		d.checkCommand(path+".command", c.Command)
	}
}

// isToken says whether the text is a token (RFC 9110 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func (d *decoder) checkCommand(path string, command []string) {
	switch {
	case len(command) == 0:
	case command[0] == "":
		d.say(path+"[0]", "the name of the program is empty", "write the program first, like "+`[nginx, -g, "daemon off;"]`)
	case len(command) == 1 && strings.Contains(command[0], " "):
		d.say(path+"[0]", "the command is one text with spaces", "write each argument as an element: ["+strings.Join(strings.Fields(command[0]), ", ")+"]")
	}
}

func (d *decoder) checkApplication(path string, a *Application) {
	serve, run := path+".serve", path+".run"
	switch {
	case !d.sound(path, serve, run):
	case a.Serve != nil && a.Run != nil:
		d.say(run, "both serve and run are given", "an application is one of them")
	case a.Serve == nil && a.Run == nil:
		d.say(path, "neither serve nor run is given", "write serve: {root: DIRECTORY} or run: {command: [PROGRAM]}")
	}
	if r := a.Run; r != nil {
		d.checkCommand(run+".command", r.Command)
		for _, name := range sorted(r.Env) {
			if strings.Contains(name, "=") {
				d.say(join(run+".env", shown(name)), quote(name)+" cannot be the name of a variable", "a name has no =")
			}
		}
		if r.BackoffMin > r.BackoffMax && d.sound(run+".backoff-min", run+".backoff-max") {
			d.say(d.firstGiven(run+".backoff-min", run+".backoff-max"), fmt.Sprintf("backoff-min, %s, is longer than backoff-max, %s", formatDuration(r.BackoffMin), formatDuration(r.BackoffMax)), "the wait grows from the one to the other")
		}
	}
}

func (d *decoder) checkPools(f *File, x index) {
	for i := range f.Pools {
		p := &f.Pools[i]
		path := join("pools", p.Name)
		for j, name := range p.Nodes {
			at := fmt.Sprintf("%s.nodes[%d]", path, j)
			n := x.nodes[name]
			if n != nil && d.sound(at, join("nodes", name), join("nodes", name)+".roles") && !n.Has(cluster.Traffic) {
				d.say(at, name+" does not have the role traffic", "add traffic to its roles, or take it out of the pool")
			}
		}
		if p.Application != nil {
			d.checkApplication(path+".application", p.Application)
		}
		if p.Zone != nil {
			d.checkZone(x, p, path+".zone")
		}
	}
}

func (d *decoder) checkZone(x index, p *Pool, path string) {
	z := p.Zone
	if z.Below >= z.Above && d.sound(path+".above", path+".below") {
		d.say(d.firstGiven(path+".below", path+".above"), fmt.Sprintf("below, %s, is not less than above, %s", z.Below, z.Above), "nodes would go to and fro")
	}
	for j, name := range z.BorrowFrom {
		at := fmt.Sprintf("%s.borrow-from[%d]", path, j)
		lender := x.pools[name]
		switch {
		case name == p.Name:
			d.say(at, "a pool cannot borrow from itself", "name another pool")
		case lender == nil:
		case lender.Port != p.Port && !x.everyRuns(lender.Nodes, p) && d.sound(join("pools", p.Name)+".port", join("pools", name)+".port"):
			d.say(at, fmt.Sprintf("the nodes of %s listen on port %d, those of %s on %d", name, lender.Port, p.Name, p.Port),
				"give both pools the same port, or give "+p.Name+" an application for the borrowed nodes to run")
		case z.Keep >= len(lender.Nodes) && d.sound(path+".keep", join("pools", name)+".nodes") && len(lender.Nodes) > 0:
			d.say(at, fmt.Sprintf("%s can lend nothing: its nodes are %d, and keep is %d", name, len(lender.Nodes), z.Keep), "set keep lower, or give "+name+" more nodes")
		}
	}
}

func (d *decoder) checkServices(f *File, x index) {
	d.checkRoom(f, x)
	d.checkReturns(f, x)
	for i := range f.Services {
		s := &f.Services[i]
		path := join("services", s.Name)
		if !d.sound(path) {
			continue
		}
		d.checkEntrance(s, path)
		if s.VIP.IsValid() {
			d.checkAddress(path+".vip", s.VIP)
		}
		d.checkDispatch(f, x, s, path)
		if p := x.pools[s.Pool]; p != nil && len(p.Nodes) > 0 && !slices.ContainsFunc(p.Nodes, func(name string) bool {
			n := x.nodes[name]
			return n == nil || n.Weight > 0
		}) {
			d.say(path+".pool", "every node of "+s.Pool+" has weight 0", "nothing could serve; set the weight of a node to 100")
		}
		if pp := s.ProxyProtocol; pp.Accept && len(pp.Trust) == 0 && d.sound(path+".proxy-protocol.trust") {
			d.say(path+".proxy-protocol.accept", "no network is trusted, so no PROXY header would be believed", "list the proxies in front, like trust: [10.0.0.0/8]")
		}
		if s.Fallback != nil {
			d.checkFallback(s, path+".fallback")
		}
		if log := s.AccessLog; log.File != "-" && log.File != "" && !d.given(path+".access-log.format") {
			d.say(path+".access-log.file", "nothing is written to it, for the format is off by default", "add format: combined, json or off")
		}
	}
}

// checkEntrance checks where clients come in: at a VIP and ports, or at addresses that directors have.
func (d *decoder) checkEntrance(s *Service, path string) {
	vip, listen, ports := path+".vip", path+".listen", path+".ports"
	if !d.sound(vip, listen, ports) {
		return
	}
	switch {
	case s.VIP.IsValid() && len(s.Listen) > 0:
		d.say(listen, "both vip and listen are given", "a service has a VIP that the cluster owns, or listens where directors already have the address")
	case !s.VIP.IsValid() && len(s.Listen) == 0 && !d.given(listen):
		d.say(path, "neither vip nor listen is given", "write vip: ADDRESS and ports: [80], or listen: [ADDRESS:PORT]")
	case s.VIP.IsValid() && len(s.Ports) == 0 && !d.given(ports):
		d.say(vip, "a VIP needs ports", "add ports: [80]")
	case len(s.Listen) > 0 && len(s.Ports) > 0:
		d.say(ports, "ports go with a VIP", "listen has the ports in it; take ports out")
	}
}

func (d *decoder) checkFallback(s *Service, path string) {
	fb := s.Fallback
	switch {
	case !d.sound(path, path+".address", path+".status"):
	case fb.Address.IsValid() && fb.Status != 0:
		d.say(path+".status", "both address and status are given", "a fallback is a server, or an answer of the director's own")
	case !fb.Address.IsValid() && fb.Status == 0:
		d.say(path, "neither address nor status is given", "write address: ADDRESS:PORT, or for kind http status: 503")
	case fb.Address.IsValid() && slices.Contains(s.Addresses(), fb.Address):
		d.say(path+".address", "is the service itself", "name another server")
	}
	if fb.BodyFile != "" && fb.Address.IsValid() && fb.Status == 0 {
		d.say(path+".body-file", "a fallback server sends its own body", "take body-file out, or give status in place of address")
	}
}

func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
