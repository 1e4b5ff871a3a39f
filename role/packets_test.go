package role

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"muster/cluster"
)

const kernelFile = `
cluster: street
key: cluster.key
state: state
timings: {report: 50ms, timeout: 2s, slow-start: 0, drain: 5s}
nodes:
  d1: {addresses: [10.9.0.1], roles: [director]}
  t1: {addresses: [10.9.0.11], roles: [traffic]}
  t2: {addresses: [10.9.0.12], roles: [traffic], applications: {web: {serve: {root: www-t2, threads: 1}}}}
pools:
  web: {nodes: [t1, t2], port: 8080, application: {serve: {root: www-t1, threads: 1}}}
services:
  www: {vip: 10.9.0.100, ports: [80], dispatch: dr, schedule: rr, pool: web}
  far: {vip: 10.9.0.101, ports: [80], dispatch: tunnel, schedule: rr, pool: web}
  far2: {vip: 10.9.0.102, ports: [80], dispatch: tunnel, tunnel: {encapsulation: gue}, schedule: rr, pool: web}
  translated: {vip: 10.9.0.103, ports: [80], dispatch: nat, schedule: rr, pool: web}
  asked: {vip: 10.9.0.100, ports: [8000], schedule: rr, pool: web}
`

var kernelAddrs = map[string]string{"d1": "10.9.0.1", "t1": "10.9.0.11", "t2": "10.9.0.12", "c1": "10.9.0.200"}

var kernelURLs = map[string]string{
	"www": "http://10.9.0.100/", "far": "http://10.9.0.101/", "far2": "http://10.9.0.102/", "translated": "http://10.9.0.103/", "asked": "http://10.9.0.100:8000/",
}

func TestDispatchInTheKernel(t *testing.T) {
	s := build(t, kernelFile, kernelAddrs)
	s.start("t1", "t2", "d1")
	for name, url := range kernelURLs {
		s.serves(name, "t1", "t2")
		seen := s.under(url, func() {})
		if seen["t1"] == 0 || seen["t2"] == 0 {
			t.Errorf("%s: answers came from %v, want both nodes", name, seen)
		}
	}
	for _, name := range []string{"www", "far", "far2", "translated"} {
		v := s.service(name)
		if v.Packets == nil || v.Packets.Packets == 0 || v.Connections == 0 || v.Problem != "" {
			t.Errorf("%s: %+v %+v", name, v, v.Packets)
		}
		for _, m := range v.Members {
			if m.Packets == nil || m.Packets.Packets == 0 || m.State != cluster.Active || (m.Packets.ReplyPackets > 0) != (name == "translated") {
				t.Errorf("%s: member %+v %+v", name, m, m.Packets)
			}
		}
	}
	if v := s.service("asked"); v.Packets != nil || v.Requests == 0 {
		t.Errorf("the proxied service: %+v", v)
	}
	if p := s.status("d1").Director.Packets; len(p.Ports) != 1 || p.Ports[0].Mode != "native" || len(p.Wrong) > 0 {
		t.Errorf("packets: %+v", p)
	}

	t.Log("a node stops in good order, and comes back")
	s.under(kernelURLs["www"], func() {
		s.stop("t2")
		s.start("t2")
		s.serves("www", "t1", "t2")
	})
	t.Log("the director's process is replaced")
	before := s.service("www").Packets.Packets
	s.under(kernelURLs["www"], func() {
		s.stop("d1")
		for range 3 {
			if _, err := s.get(kernelURLs["www"]); err != nil {
				t.Error("without the director's process:", err)
			}
		}
		s.start("d1")
		s.serves("www", "t1", "t2")
	})
	if after := s.service("www").Packets.Packets; after <= before || !s.status("d1").Director.Packets.TakenOver {
		t.Errorf("the kernel had counted %d packets, and %d after the director's restart", before, after)
	}
	t.Log("a node is drained under a download that goes on")
	slow := s.command("c1", "curl", "-sS", "--limit-rate", "1M", "http://10.9.0.100/large")
	var body bytes.Buffer
	slow.Stdout = &body
	if err := slow.Start(); err != nil {
		t.Fatal(err)
	}
	s.until("the download is under way", func() bool { return activeAt(s, "www", "t1")+activeAt(s, "www", "t2") > 0 })
	node, other := "t1", "t2"
	if activeAt(s, "www", "t2") > 0 {
		node, other = other, node
	}
	if err := s.client("d1").Wish(t.Context(), node, cluster.Drain, ""); err != nil {
		t.Fatal(err)
	}
	s.serves("www", other)
	if err := slow.Wait(); err != nil || !strings.HasPrefix(body.String(), node+node) || body.Len() != 2<<20 {
		t.Errorf("the download from a drained node: %d bytes, %v", body.Len(), err)
	}
	if err := s.client("d1").Wish(t.Context(), node, cluster.Ready, ""); err != nil {
		t.Fatal(err)
	}

	t.Log("the file changes")
	text, err := os.ReadFile(s.dir + "/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	more := strings.Replace(string(text), "  far: ", "  more: {vip: 10.9.0.104, ports: [80, 81], dispatch: dr, pool: web}\n  far: ", 1)
	s.under(kernelURLs["www"], func() {
		s.write("cluster.yaml", more)
		for _, name := range []string{"t1", "t2", "d1"} {
			if _, err := s.client(name).Reload(t.Context()); err != nil {
				t.Error(name, err)
			}
		}
		for _, url := range []string{"http://10.9.0.104/", "http://10.9.0.104:81/"} {
			if _, err := s.get(url); err != nil {
				t.Error(err)
			}
		}
		s.write("cluster.yaml", string(text))
		for _, name := range []string{"d1", "t1", "t2"} {
			if _, err := s.client(name).Reload(t.Context()); err != nil {
				t.Error(name, err)
			}
		}
	})

	t.Log("everything is taken back")
	for _, name := range []string{"d1", "t1"} {
		if err := s.client(name).Detach(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.until(name+" is detached", func() bool { d := s.status(name).Detached; return d != nil && d.State == "detached" && d.Problem == "" })
		if out := s.in(name, "ip", "addr"); strings.Contains(out, "10.9.0.10") || strings.Contains(out, "xdp") {
			t.Errorf("%s still has:\n%s", name, out)
		}
	}
	if _, err := s.client("d1").Reload(t.Context()); err != nil {
		t.Error(err)
	}
	s.serves("www", "t2")
	if got, err := s.get(kernelURLs["www"]); err != nil || got != "t2" {
		t.Errorf("after a reload: %q, %v", got, err)
	}
	s.stop("d1")
	if got, err := s.get(kernelURLs["www"]); err != nil || got != "t2" {
		t.Errorf("without the director's process: %q, %v", got, err)
	}
	if out, err := s.program("d1", "MUSTER_TEST_DETACH=yes").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if out := s.in("d1", "ip", "addr"); strings.Contains(out, "10.9.0.10") || strings.Contains(out, "xdp") {
		t.Errorf("d1, which does not run, still has:\n%s", out)
	}
}

// A machine that is director and traffic node at once takes its own share of packets as the kernel gives them.
func TestADirectorThatServesItself(t *testing.T) {
	s := build(t, `
cluster: street
key: cluster.key
state: state
timings: {report: 50ms, timeout: 2s, slow-start: 0, drain: 5s}
nodes:
  d1: {addresses: [10.9.0.1], roles: [director, traffic]}
  t1: {addresses: [10.9.0.11], roles: [traffic]}
  d2: {addresses: [10.9.0.2], roles: [director, traffic], applications: {web: {serve: {root: www-t2, threads: 1}}}}
pools:
  web: {nodes: [t1, d2], port: 8080, application: {serve: {root: www-t1, threads: 1}}}
  own: {nodes: [d1, d2], port: 8081, application: {serve: {root: www-t1, threads: 1}}}
services:
  www: {vip: 10.9.0.100, ports: [80], dispatch: dr, schedule: rr, pool: web}
  own: {vip: 10.9.0.100, ports: [81], dispatch: dr, schedule: rr, pool: own}
`, map[string]string{"d1": "10.9.0.1", "d2": "10.9.0.2", "t1": "10.9.0.11", "c1": "10.9.0.200"})
	s.start("t1", "d2", "d1")
	for service, port := range map[string]string{"www": "80", "own": "81"} {
		nodes := []string{"t1", "d2"}
		if service == "own" {
			nodes = []string{"d1", "d2"}
		}
		s.serves(service, nodes...)
		s.under("http://10.9.0.100:"+port+"/", func() {})
		for _, m := range s.service(service).Members {
			if m.Packets.Packets == 0 || m.Packets.Local != (m.Node == "d1") {
				t.Errorf("%s: %s got %+v", service, m.Node, m.Packets)
			}
		}
	}
	if out := s.in("d1", "ip", "addr", "show", "lo"); strings.Contains(out, "10.9.0.100") {
		t.Errorf("d1 answers for the VIP, and has it on lo too:\n%s", out)
	}
	if out := s.in("d2", "ip", "addr", "show", "eth0"); strings.Contains(out, "10.9.0.100") {
		t.Errorf("d2 does not answer for the VIP, and has it on its port:\n%s", out)
	}
	s.under("http://10.9.0.100:81/", func() {
		s.stop("d2")
		s.serves("own", "d1")
		s.start("d2")
		s.serves("own", "d1", "d2")
	})
}

const withoutXDP = `
cluster: street
key: cluster.key
state: state
timings: {report: 50ms, timeout: 2s, slow-start: 0, drain: 1s}
nodes:
  d1: {addresses: [10.9.0.1], roles: [director]}
  t1: {addresses: [10.9.0.11], roles: [traffic]}
pools:
  web: {nodes: [t1], port: 8080, application: {serve: {root: www-t1, threads: 1}}}
services:
  may: {vip: 10.9.0.101, ports: [80], dispatch: dr, without-xdp: proxy, pool: web}
  plain: {vip: 10.9.0.102, ports: [80], pool: web}
`

func TestWithoutXDP(t *testing.T) {
	s := build(t, withoutXDP, map[string]string{"d1": "10.9.0.1", "t1": "10.9.0.11", "c1": "10.9.0.200"})
	if out, err := s.program("d1", "MUSTER_TEST_FOREIGN=eth0").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.start("t1", "d1")
	s.serves("may", "t1")
	for _, url := range []string{"http://10.9.0.101/", "http://10.9.0.102/"} {
		if got, err := s.get(url); err != nil || got != "t1" {
			t.Errorf("%s: %q, %v", url, got, err)
		}
	}
	if v := s.service("may"); v.Packets != nil || v.Requests == 0 || !strings.Contains(v.Problem, "it is proxied") || !strings.Contains(v.Problem, "foreign") {
		t.Errorf("the service that may be proxied: %+v", v)
	}

	t.Log("a file that this director cannot follow is refused")
	must := "  must: {vip: 10.9.0.100, ports: [80], dispatch: dr, pool: web}\n"
	s.write("cluster.yaml", withoutXDP+must)
	if _, err := s.client("t1").Reload(t.Context()); err != nil {
		t.Error(err)
	}
	_, err := s.client("d1").Reload(t.Context())
	if err == nil || !strings.Contains(err.Error(), "service must cannot be dispatched in the kernel") || !strings.Contains(err.Error(), "foreign") {
		t.Errorf("the reload: %v", err)
	}
	if got, err := s.get("http://10.9.0.101/"); err != nil || got != "t1" {
		t.Errorf("after the refusal: %q, %v", got, err)
	}

	t.Log("one that begins with it serves the rest, says so, and tries again")
	s.stop("d1")
	s.start("d1")
	s.serves("may", "t1")
	s.until("it says so", func() bool { return strings.Contains(s.service("must").Problem, "it is not served") })
	if out := s.in("d1", "ip", "addr"); strings.Contains(out, "10.9.0.100") {
		t.Errorf("d1 answers for what it does not serve:\n%s", out)
	}
	s.in("d1", "ip", "link", "set", "eth0", "xdp", "off")
	s.serves("must", "t1")
	s.until("it is served", func() bool { got, err := s.get("http://10.9.0.100/"); return err == nil && got == "t1" })
	if v := s.service("may"); v.Packets != nil || !strings.Contains(v.Problem, "it is proxied") {
		t.Errorf("the proxied service has changed: %+v", v)
	}
	if v := s.service("must"); v.Packets == nil || v.Problem != "" {
		t.Errorf("the service: %+v", v)
	}
}

func activeAt(s *street, service, node string) int64 {
	for _, m := range s.service(service).Members {
		if m.Node == node && m.Packets != nil {
			return m.Packets.Active
		}
	}
	return 0
}
