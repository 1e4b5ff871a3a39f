package scenario

import "context"

// A Scenario is one thing that can happen to a cluster.
type Scenario struct {
	Name  string   `json:"name"`
	Does  string   `json:"does"`  // what is done, in one sentence
	Must  string   `json:"must"`  // what clients must see of it
	Needs []string `json:"needs"` // programs, beside muster

	shape shape
	do    func(context.Context, *Stage) error
}

// All are the scenarios, in the order in which they are run.
func All() []*Scenario {
	return []*Scenario{
		{
			Name: "dr", Does: "dispatches by new MAC addresses, over IPv4 and IPv6, to nginx and to the built-in server",
			Must:  "every answer is right; replies do not pass the director; each node has its share",
			Needs: []string{"nginx", "wrk", "curl"},
			shape: shape{offer: []offer{{name: "www", dispatch: "dr"}}}, do: dispatched(direct),
		},
		{
			Name: "nat", Does: "dispatches by new addresses, both ways through the director, over IPv4 and IPv6",
			Must:  "every answer is right; replies pass the director; each node has its share",
			Needs: []string{"nginx", "wrk", "curl"},
			shape: shape{offer: []offer{{name: "www", dispatch: "nat"}}}, do: dispatched(through),
		},
		{
			Name: "tunnel", Does: "dispatches inside other packets, IP in IP and GUE, over IPv4 and IPv6",
			Must:  "every answer is right; replies do not pass the director; each node has its share",
			Needs: []string{"nginx", "wrk", "curl"},
			shape: shape{offer: []offer{
				{name: "ipip", vip: 0, dispatch: "tunnel"},
				{name: "gue", vip: 1, dispatch: "tunnel", more: []string{"tunnel: {encapsulation: gue}"}},
			}}, do: dispatched(direct),
		},
		{
			Name: "udp", Does: "dispatches datagrams to dnsmasq on every node, by dr, tunnel and nat; pulls the plug of a node",
			Must:  "dig has its answer from every service; one client's datagrams go to one node; a lost node's clients are answered by another on their next try",
			Needs: []string{"dnsmasq", "dig"},
			shape: shape{nginx: []string{}, dns: true, offer: []offer{
				{name: "dns-dr", vip: 0, dispatch: "dr", kind: "udp", ports: "[53]", pool: "dns"},
				{name: "dns-tunnel", vip: 1, dispatch: "tunnel", kind: "udp", ports: "[53]", pool: "dns"},
				{name: "dns-nat", vip: 2, dispatch: "nat", kind: "udp", ports: "[53]", pool: "dns"},
			}}, do: datagrams,
		},
		{
			Name: "pmtu", Does: "narrows the path between clients and cluster to 1300 bytes, under downloads and uploads by dr, tunnel and nat",
			Must:  "downloads and uploads go through, whole; the router's ICMP reaches the node that it is for, which learns the path's MTU",
			Needs: []string{"nginx", "curl", "ip"},
			shape: shape{traffic: 3, nginx: []string{"t1", "t2", "t3"}, offer: []offer{
				{name: "www", vip: 0, dispatch: "dr"},
				{name: "ipip", vip: 1, dispatch: "tunnel"},
				{name: "gue", vip: 2, dispatch: "tunnel", more: []string{"tunnel: {encapsulation: gue}"}},
				{name: "nat", vip: 3, dispatch: "nat"},
			}}, do: narrowPath,
		},
		{
			Name: "fragments", Does: "sends datagrams in several fragments, in order, reversed and mixed with each other, to dnsmasq on every node",
			Must:  "every datagram is answered: all of its fragments have come to one node",
			Needs: []string{"dnsmasq", "dig", "ip"},
			shape: shape{nginx: []string{}, dns: true, offer: []offer{
				{name: "dns-dr", vip: 0, dispatch: "dr", kind: "udp", ports: "[53]", pool: "dns"},
				{name: "dns-tunnel", vip: 1, dispatch: "tunnel", kind: "udp", ports: "[53]", pool: "dns"},
				{name: "dns-nat", vip: 2, dispatch: "nat", kind: "udp", ports: "[53]", pool: "dns"},
			}}, do: inPieces,
		},
		{
			Name: "node-joins", Does: "adds a node to the file, has all nodes read it, and starts the new one",
			Must:  "no request fails, no download breaks; the new node has its share",
			Needs: []string{"nginx"},
			shape: shape{absent: []string{"t4"}}, do: nodeJoins,
		},
		{
			Name: "node-lost", Does: "pulls the plug of a node, with flows that are reset and flows that move",
			Must:  "no new connection fails, and none takes longer than the client's first SYN retry; what the node had is ended, not left hanging; later requests all succeed",
			Needs: []string{"nginx"},
			shape: shape{offer: []offer{
				{name: "www", vip: 0, dispatch: "dr", more: []string{"flows: {lost: reset}"}},
				{name: "move", vip: 1, dispatch: "dr", more: []string{"flows: {lost: move}"}},
			}}, do: nodeLost,
		},
		{
			Name: "node-drained", Does: "drains a node, and makes it ready again",
			Must:  "no request fails; running downloads finish; the drained node gets no new connection",
			Needs: []string{"nginx"},
			do:    nodeDrained,
		},
		{
			Name: "node-frozen", Does: "stops every process of a node where it is, for some seconds, while its kernel goes on",
			Must:  "what the node had is reset when its reports stay away, and nothing after that fails",
			Needs: []string{"nginx"},
			shape: shape{offer: []offer{{name: "www", dispatch: "dr", more: []string{"flows: {lost: reset}"}}}}, do: nodeFrozen,
		},
		{
			Name: "app-dies", Does: "kills the nginx of a node, which the node starts again",
			Must:  "only requests to that node fail, as connections that its kernel ends, until the director knows; none hangs; other nodes' downloads finish",
			Needs: []string{"nginx"},
			do:    appDies,
		},
		{
			Name: "reports-cut", Does: "drops a node's load reports by its own firewall, and lets them pass again",
			Must:  "the node gets no more work, what it had is reset at once, and nothing after that fails; it comes back",
			Needs: []string{"nginx", "nft"},
			shape: shape{offer: []offer{{name: "www", dispatch: "dr", more: []string{"flows: {lost: reset}"}}}}, do: reportsCut,
		},
		{
			Name: "daemon-restart", Does: "kills the director's daemon with kill -9 and starts it again; then puts another program in its place and restarts it",
			Must:  "no request fails and no download breaks, neither while the daemon is away nor when it comes back",
			Needs: []string{"nginx"},
			shape: shape{offer: []offer{
				{name: "www", vip: 0, dispatch: "dr"}, {name: "tunnel", vip: 1, dispatch: "tunnel"}, {name: "nat", vip: 2, dispatch: "nat"},
			}}, do: daemonRestart,
		},
		{
			Name: "synflood", Does: "floods the VIPs with SYNs from addresses that do not exist, more than the director keeps in mind",
			Must:  "kept connections and downloads live on without a failure, new clients come in",
			Needs: []string{"nginx", "ip"},
			shape: shape{packets: "unconfirmed: 4096"}, do: synFlood,
		},
		{
			Name: "mixed-hardware", Does: "gives nodes 1, 2, 4 and 8 parts of the processors' time, and dispatches by the schedules has and load",
			Must:  "every answer is right; work goes where the room is: the more a node has, the more it answers",
			Needs: []string{},
			shape: shape{
				nginx: []string{}, cores: map[string]float64{"t1": 0.06, "t2": 0.12, "t3": 0.24, "t4": 0.48},
				offer: []offer{{name: "has", vip: 0, dispatch: "dr", schedule: "has"}, {name: "load", vip: 1, dispatch: "dr", schedule: "load"}},
			}, do: mixedHardware,
		},
		{
			Name: "neighbour-lost", Does: "has the director forget the MAC addresses of all nodes, under load",
			Must:  "no request fails: they are asked for again",
			Needs: []string{"nginx", "ip"},
			do:    neighbourLost,
		},
		{
			Name: "link-flap", Does: "unplugs a node's cable for a moment, then the director's",
			Must:  "no request fails: what was lost is sent again by TCP",
			Needs: []string{"nginx"},
			do:    linkFlap,
		},
		{
			Name: "table-full", Does: "opens more connections than the director keeps flows, by the schedule mh",
			Must:  "no request fails: a connection that was forgotten hashes to the node that it was at",
			Needs: []string{"nginx"},
			shape: shape{schedule: "mh", packets: "flows: 1024"}, do: tableFull,
		},
		{
			Name: "two-ports", Does: "dispatches from one LAN to nodes in another, through the director's second port, by dr, tunnel and nat",
			Must:  "every answer is right, from every node",
			Needs: []string{"nginx"},
			shape: shape{nodeOnB: true, offer: []offer{
				{name: "www", vip: 0, dispatch: "dr"}, {name: "tunnel", vip: 1, dispatch: "tunnel"}, {name: "nat", vip: 2, dispatch: "nat"},
			}}, do: twoPorts,
		},
	}
}
