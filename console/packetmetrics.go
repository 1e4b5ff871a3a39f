package console

// The metrics of dispatch in the kernel. Counters run since its tables were made, which outlive the process.
var (
	packets       = desc("packets_total", "Packets of clients that were sent to the node.", "service", "node")
	packetBytes   = desc("packet_bytes_total", "Bytes of those packets.", "service", "node")
	packetReplies = desc("packet_replies_total", "Packets of the node that were sent to clients through the director (nat).", "service", "node")
	replyBytes    = desc("packet_reply_bytes_total", "Bytes of those packets.", "service", "node")
	flows         = desc("flows_total", "Connections, by their second packet, that the node was given.", "service", "node")
	flowsActive   = desc("flows_active", "Connections of the service at the node that are not closed.", "service", "node")
	packetWeight  = desc("flows_weight", "Share of the node in the service's table; 0 gets no new connections.", "service", "node")
	flowsFirst    = desc("flows_unconfirmed_total", "Connections of which a first packet has come.", "service")
	packetReasons = desc("packets_aside_total", "Packets that went nowhere, or elsewhere than to their connection's node, by why; those of no service have none.", "service", "reason")

	packetUsed    = desc("packet_table_used", "Entries in a table of the kernel, as of its last sweep.", "table")
	packetRoom    = desc("packet_table_size", "Entries that a table of the kernel has room for.", "table")
	flowsByState  = desc("flows", "Connections that the kernel knows, by state.", "state")
	flowsExpired  = desc("flows_expired_total", "Connections that were forgotten because they were idle.")
	flowsEvicted  = desc("flows_evicted_total", "Connections that were forgotten for want of room.")
	flowResets    = desc("flow_resets_total", "Resets sent to clients whose node is gone.")
	eventsLost    = desc("flow_events_lost_total", "Events of the kernel that came faster than they were read.")
	tableSwaps    = desc("packet_table_swaps_total", "Share tables that the kernel was given.")
	tableSwapTime = desc("packet_table_swap_seconds", "How long the newest took.")
	packetPort    = desc("packet_port", "1 for how packets are dispatched on the port: native, generic, or none.", "port", "driver", "mode")
	packetTrouble = desc("packet_troubles", "How many things keep packets from flowing.")

	networkTrouble = desc("network_problem", "1 when the machine's network is not as its VIPs need it.")
	vipHeld        = desc("vip_held", "1 for each VIP that the machine answers for.", "vip")
	unpacked       = desc("tunnel_packets_total", "Packets that were unpacked.")
	unpackedBytes  = desc("tunnel_bytes_total", "Bytes of what was inside.")
	notUnpacked    = desc("tunnel_packets_aside_total", "Packets that were not unpacked, by why.", "reason")
)

func (p *Packets) collect(out figures) {
	for table, fill := range map[string]Fill{"flows": p.Flows, "unconfirmed": p.Unconfirmed, "nodes": p.Nodes, "sources": p.Sources} {
		out.gauge(packetUsed, float64(fill.Used), table)
		out.gauge(packetRoom, float64(fill.Max), table)
	}
	for state, n := range p.States {
		out.gauge(flowsByState, float64(n), state)
	}
	for reason, n := range p.Reasons {
		out.count(packetReasons, n, "", reason)
	}
	out.count(flowsExpired, p.Expired)
	out.count(flowsEvicted, p.Evicted)
	out.count(flowResets, p.Resets)
	out.count(eventsLost, p.LostEvents)
	out.count(tableSwaps, p.Swaps)
	out.gauge(tableSwapTime, p.SwapMS/1000)
	for _, port := range p.Ports {
		mode := port.Mode
		if mode == "" {
			mode = "none"
		}
		out.gauge(packetPort, 1, port.Name, port.Driver, mode)
	}
	out.gauge(packetTrouble, float64(len(p.Wrong)))
}

func (s *Service) collectPackets(out figures) {
	out.count(flowsFirst, s.Packets.Unconfirmed, s.Name)
	for reason, n := range s.Packets.Reasons {
		out.count(packetReasons, n, s.Name, reason)
	}
	for _, m := range s.Members {
		out.gauge(packetWeight, float64(m.Weight), s.Name, m.Node)
		out.count(flows, uint64(max(m.Served, 0)), s.Name, m.Node)
		p := m.Packets
		if p == nil {
			continue
		}
		out.count(packets, p.Packets, s.Name, m.Node)
		out.count(packetBytes, p.Bytes, s.Name, m.Node)
		out.gauge(flowsActive, float64(p.Active), s.Name, m.Node)
		if p.ReplyPackets > 0 {
			out.count(packetReplies, p.ReplyPackets, s.Name, m.Node)
			out.count(replyBytes, p.ReplyBytes, s.Name, m.Node)
		}
	}
}

func (n *Network) collect(out figures) {
	out.gauge(networkTrouble, truth(n.Problem != ""))
	for _, a := range n.Answer {
		out.gauge(vipHeld, 1, a.String())
	}
	if t := n.Tunnels; t != nil {
		out.count(unpacked, t.Packets)
		out.count(unpackedBytes, t.Bytes)
		for reason, k := range t.NotDone {
			out.count(notUnpacked, k, reason)
		}
	}
}
