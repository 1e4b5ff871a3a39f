package console

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"muster/cluster"
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("muster_"+name, help, labels, nil)
}

// The metrics of every node.
var (
	buildInfo    = desc("build_info", "Always 1; the label says what the node runs.", "version")
	fileRevision = desc("file_revision", "How many files have taken effect since the process began.")
	datagrams    = desc("report_datagrams_total", "Load reports (kind report) and their answers (beacon) received, by what became of them.", "kind", "verdict")
	fileRefused  = desc("file_refused", "1 when the newest file was refused, and an older one is in effect.")
)

// The metrics of a director.
var (
	nodeState       = desc("node_state", "1 for the state that the node is in, 0 for the others.", "node", "state")
	nodeIndex       = desc("node_index", "Load index of the node's last report (HAS 3.22.6); more is more room.", "node")
	nodeRoom        = desc("node_room", "Load index `load` of the node's last report; more is more room.", "node")
	nodeBusy        = desc("node_busy_ratio", "How much of the node is in use, 0 to 1.", "node")
	nodeConnections = desc("node_connections", "Requests and connections under way at the node.", "node")

	serviceProblem     = desc("service_problem", "1 when the service is not served as the file says.", "service")
	serviceClients     = desc("service_clients", "Connections of clients that are open.", "service")
	serviceWaiting     = desc("service_waiting_requests", "Requests that wait for a node with room.", "service")
	serviceConnections = desc("service_connections_total", "Connections of clients.", "service")
	serviceRequests    = desc("service_requests_total", "Requests of clients.", "service")
	serviceBytes       = desc("service_bytes_total", "Bytes received from clients (in) and sent to them (out).", "service", "direction")
	serviceRetries     = desc("service_retries_total", "Requests that were given to another node.", "service")
	lostLines          = desc("access_log_lost_lines_total", "Lines of access logs that were left out because the disk did not keep up.")
	serviceRefused     = desc("service_retries_refused_total", "Retries that the budget did not allow.", "service")
	serviceResumes     = desc("service_resumes_total", "Answers that one node began and another finished.", "service")
	serviceResponses   = desc("service_responses_total", "Responses by class of status.", "service", "class")
	serviceEnded       = desc("service_ended_total", "Requests and connections by how they ended.", "service", "cause")
	serviceDuration    = desc("service_request_duration_seconds", "Time from a request's first byte to its response's last.", "service")

	memberWeight = desc("member_weight", "Share of the node in the service's table; 0 gets no new work.", "service", "node")
	memberActive = desc("member_active_requests", "Requests or connections of the pool's services under way at the node.", "pool", "node")
	memberServed = desc("member_served_total", "Requests or connections that the node has finished.", "pool", "node")
	memberFailed = desc("member_failed_total", "Times that the node did not finish one.", "pool", "node")
	memberTime   = desc("member_first_byte_seconds", "Moving average of the time to a response's first byte.", "pool", "node")
)

// The metrics of a traffic node.
var (
	loadIndex = desc("load_index", "The node's load index (HAS 3.22.6); more is more room.")
	loadRoom  = desc("load_room", "The node's load index `load`; more is more room.")
	loadBusy  = desc("load_busy_ratio", "How much of the node is in use, 0 to 1.")
	loadTerm  = desc("load_term", "What the load indexes are computed from; see control/load.", "term")
	muted     = desc("reports_muted", "1 when the node was told to send no reports.")

	applicationUp       = desc("application_up", "1 when the application answers its check.", "pool")
	applicationTook     = desc("application_check_duration_seconds", "How long the last probe took.", "pool")
	applicationRunning  = desc("application_running", "1 when the application's process runs.", "pool")
	applicationRestarts = desc("application_restarts_total", "How often the application was started again.", "pool")

	directorHeard = desc("director_heard", "1 when the node and the director hear each other on the LAN.", "director", "lan")
)

// metrics turns what is shown into metrics, at each scrape from one look at it.
type metrics struct{ status func() Status }

// Describe describes nothing: which metrics there are depends on the node's roles.
func (metrics) Describe(chan<- *prometheus.Desc) {}

// Collect sends the metrics of one look.
func (m metrics) Collect(ch chan<- prometheus.Metric) {
	s := m.status()
	out := figures{ch}
	out.gauge(buildInfo, 1, s.Version)
	out.gauge(fileRevision, float64(s.File.Revision))
	out.gauge(fileRefused, truth(s.File.Problem != ""))
	if s.Director != nil {
		s.Director.collect(out)
	}
	if s.Traffic != nil {
		s.Traffic.collect(out)
	}
	if s.Network != nil {
		s.Network.collect(out)
	}
}

// figures sends single metrics.
type figures struct{ ch chan<- prometheus.Metric }

func (f figures) gauge(d *prometheus.Desc, v float64, labels ...string) {
	f.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (f figures) count(d *prometheus.Desc, v uint64, labels ...string) {
	f.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func (f figures) received(kind string, byVerdict map[string]uint64) {
	for verdict, n := range byVerdict {
		f.count(datagrams, n, kind, verdict)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (d *Director) collect(out figures) {
	for _, n := range d.Nodes {
		for _, state := range []cluster.State{cluster.Out, cluster.Active, cluster.Standby, cluster.InTransition} {
			out.gauge(nodeState, truth(n.State == state), n.Name, state.String())
		}
		out.gauge(nodeIndex, float64(n.Index), n.Name)
		out.gauge(nodeRoom, float64(n.Room), n.Name)
		out.gauge(nodeBusy, float64(n.Busy)/1000, n.Name)
		out.gauge(nodeConnections, float64(n.Connections), n.Name)
	}
	out.received("report", d.Datagrams)
	out.count(lostLines, d.LostLines)
	if d.Packets != nil {
		d.Packets.collect(out)
	}
	told := map[string]bool{}
	for _, s := range d.Services {
		out.gauge(serviceProblem, truth(s.Problem != ""), s.Name)
		if s.Packets != nil {
			s.collectPackets(out)
			continue // the proxy's figures say nothing of it
		}
		out.gauge(serviceClients, float64(s.Clients), s.Name)
		out.gauge(serviceWaiting, float64(s.Waiting), s.Name)
		out.count(serviceConnections, s.Connections, s.Name)
		out.count(serviceRequests, s.Requests, s.Name)
		out.count(serviceBytes, s.BytesIn, s.Name, "in")
		out.count(serviceBytes, s.BytesOut, s.Name, "out")
		out.count(serviceRetries, s.Retries, s.Name)
		out.count(serviceRefused, s.Refused, s.Name)
		out.count(serviceResumes, s.Resumes, s.Name)
		for class, n := range s.Codes {
			out.count(serviceResponses, n, s.Name, class)
		}
		for cause, n := range s.Ended {
			out.count(serviceEnded, n, s.Name, cause)
		}
		if s.Duration != nil {
			s.Duration.collect(out, s.Name)
		}
		for _, m := range s.Members {
			out.gauge(memberWeight, float64(m.Weight), s.Name, m.Node)
			if told[s.Pool] {
				continue // services of one pool count together
			}
			out.gauge(memberActive, float64(m.Active), s.Pool, m.Node)
			out.count(memberServed, uint64(max(m.Served, 0)), s.Pool, m.Node)
			out.count(memberFailed, uint64(max(m.Failed, 0)), s.Pool, m.Node)
			out.gauge(memberTime, m.TimeMS/1000, s.Pool, m.Node)
		}
		told[s.Pool] = true
	}
}

func (h *Histogram) collect(out figures, service string) {
	buckets, sum := map[float64]uint64{}, uint64(0)
	for i, n := range h.Counts {
		sum += n
		if i < len(h.Bounds) {
			buckets[h.Bounds[i]] = sum
		}
	}
	out.ch <- prometheus.MustNewConstHistogram(serviceDuration, sum, h.Sum.Seconds(), buckets, service)
}

func (t *Traffic) collect(out figures) {
	out.gauge(loadIndex, float64(t.Index))
	out.gauge(loadRoom, float64(t.Room))
	out.gauge(loadBusy, float64(t.Busy)/1000)
	for _, term := range t.Terms {
		out.gauge(loadTerm, term.Value, term.Name)
	}
	out.gauge(muted, truth(t.Muted))
	out.received("beacon", t.Datagrams)
	for _, a := range t.Applications {
		out.gauge(applicationUp, truth(a.Check.Up), a.Pool)
		out.gauge(applicationTook, a.Check.TookMS/1000, a.Pool)
		if a.Process != nil {
			out.gauge(applicationRunning, truth(a.Process.PID != 0), a.Pool)
			out.count(applicationRestarts, uint64(max(a.Process.Restarts, 0)), a.Pool)
		}
	}
	for _, h := range t.Directors {
		out.gauge(directorHeard, truth(h.Heard), h.Director, strconv.Itoa(h.LAN))
	}
}
