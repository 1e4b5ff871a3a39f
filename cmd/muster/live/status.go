package live

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"muster/cluster"
	"muster/console"
)

// Text writes a director's view of its cluster as tables: its nodes, then its services. Width 0 is as wide as it takes.
func Text(s console.Status, now time.Time, width int, colours bool) string {
	var b strings.Builder
	paint := func(style lipgloss.Style, text string) string {
		if colours {
			return style.Render(text)
		}
		return text
	}
	fmt.Fprintf(&b, "%s as %s sees it, file %s (revision %d)\n", paint(strong, "cluster "+s.Cluster), s.Node, s.File.Hash, s.File.Revision)
	if s.File.Problem != "" {
		fmt.Fprintf(&b, "%s %s\n", paint(bad, "last reload refused:"), strings.ReplaceAll(s.File.Problem, "\n", "\n  "))
	}
	if d := s.Detached; d != nil {
		fmt.Fprintf(&b, "%s %s\n", paint(turns, s.Node+" is "+d.State+", until a file is read again"), d.Problem)
	}
	for _, trouble := range troubles(s) {
		fmt.Fprintf(&b, "%s %s\n", paint(bad, trouble.of+":"), strings.ReplaceAll(trouble.text, "\n", "\n  "))
	}
	if s.Director == nil {
		b.WriteString("this node is no director and does not know the others\n")
		return b.String()
	}
	b.WriteString("\n" + layout(nodeColumns, nodeRows(s.Director, now), width, colours))
	if rows := serviceRows(s.Director); len(rows) > 0 {
		b.WriteString("\n" + layout(serviceColumns, rows, width, colours))
	}
	if p := s.Director.Packets; p != nil {
		b.WriteString("\n" + layout(portColumns, portRows(p), width, colours))
		b.WriteString("\n" + layout(tableColumns, tableRows(p), width, colours))
	}
	return b.String()
}

// A trouble is something that an operator should know of first.
type trouble struct{ of, text string }

func troubles(s console.Status) (list []trouble) {
	if s.Network != nil && s.Network.Problem != "" {
		list = append(list, trouble{"network of " + s.Node, s.Network.Problem})
	}
	if s.Director == nil {
		return list
	}
	for _, v := range s.Director.Services {
		if v.Problem != "" {
			list = append(list, trouble{"service " + v.Name, v.Problem})
		}
	}
	if p := s.Director.Packets; p != nil {
		for _, w := range p.Wrong {
			list = append(list, trouble{"packets", w})
		}
	}
	return list
}

var portColumns = []column{
	{name: "PORT"},
	{name: "DRIVER", spare: 1},
	{name: "DISPATCH"},
	{name: "WHY", least: 20},
}

func portRows(p *console.Packets) (rows [][]cell) {
	for _, port := range p.Ports {
		mode := cell{port.Mode, good}
		switch {
		case port.Mode == "":
			mode = cell{"none", bad}
		case port.Mode != "native":
			mode.style = turns
		}
		why := port.Why
		switch {
		case why != "":
		case !port.Up:
			why = "it is down"
		case !port.Forwards:
			why = "forwarding is off"
		}
		rows = append(rows, []cell{{port.Name, strong}, {text: port.Driver}, mode, {why, faint}})
	}
	return rows
}

var tableColumns = []column{
	{name: "TABLE"},
	{name: "ENTRIES", right: true},
	{name: "OF", right: true},
	{name: "USE", right: true},
}

func tableRows(p *console.Packets) (rows [][]cell) {
	for _, t := range []struct {
		name string
		console.Fill
	}{{"flows", p.Flows}, {"unconfirmed", p.Unconfirmed}, {"nodes", p.Nodes}, {"sources", p.Sources}} {
		use := 0
		if t.Max > 0 {
			use = 100 * t.Used / t.Max
		}
		style := faint
		if use >= 90 {
			style = bad
		}
		rows = append(rows, []cell{{t.name, strong}, {text: count(int64(t.Used))}, {text: count(int64(t.Max))}, {fmt.Sprintf("%d%%", use), style}})
	}
	return rows
}

var nodeColumns = []column{
	{name: "NODE"},
	{name: "ROLES", spare: 3},
	{name: "POOLS", least: 8, spare: 6},
	{name: "STATE"},
	{name: "SINCE", right: true},
	{name: "WISH"},
	{name: "INDEX", right: true, spare: 2},
	{name: "ROOM", right: true, spare: 1},
	{name: "BUSY", right: true},
	{name: "CONNECTIONS", right: true, spare: 5},
	{name: "SERVED", right: true, spare: 4},
	{name: "FAILED", right: true, spare: 7},
	{name: "RATE/S", right: true},
	{name: "REASON", least: 20},
}

func nodeRows(d *console.Director, now time.Time) (rows [][]cell) {
	for _, n := range d.Nodes {
		var served, failed int64
		var rate float64
		told := map[string]bool{} // services of one pool that are proxied count together
		for _, s := range d.Services {
			if told[s.Pool] {
				continue
			}
			told[s.Pool] = s.Packets == nil
			for _, m := range s.Members {
				if m.Node == n.Name {
					served, failed, rate = served+m.Served, failed+m.Failed, rate+m.Rate
				}
			}
		}
		var roles []string
		for _, r := range n.Roles {
			roles = append(roles, string(r))
		}
		wish := cell{text: ""}
		if n.Wish != cluster.Ready {
			wish = cell{n.Wish.String(), turns}
		}
		figures := []string{"", "", "", "", "", "", ""}
		if slices.Contains(n.Roles, cluster.Traffic) {
			figures = []string{
				count(n.Index), count(n.Room), fmt.Sprintf("%d%%", (n.Busy+5)/10),
				count(n.Connections), count(served), some(failed), fmt.Sprintf("%.0f", rate),
			}
		}
		row := []cell{
			{n.Name, strong},
			{text: strings.Join(roles, " ")},
			{text: strings.Join(n.Pools, " ")},
			{n.State.String(), stateStyle(n.State)},
			{text: age(now.Sub(n.Since))},
			wish,
		}
		for _, f := range figures {
			row = append(row, cell{text: f})
		}
		row[11].style = bad
		rows = append(rows, append(row, cell{n.Reason, faint}))
	}
	return rows
}

func stateStyle(s cluster.State) lipgloss.Style {
	switch s {
	case cluster.Active:
		return good
	case cluster.Out:
		return bad
	}
	return turns
}

var serviceColumns = []column{
	{name: "SERVICE"},
	{name: "ADDRESS", least: 14},
	{name: "SCHEDULE", spare: 1},
	{name: "POOL", spare: 2},
	{name: "DISPATCH"},
	{name: "PACKETS/S", right: true},
	{name: "RATE/S", right: true},
	{name: "CLIENTS", right: true},
	{name: "WAITING", right: true, spare: 4},
	{name: "REQUESTS", right: true, spare: 5},
	{name: "RETRIES", right: true, spare: 3},
	{name: "ERRORS", right: true},
	{name: "WHICH", least: 16},
}

func serviceRows(d *console.Director) (rows [][]cell) {
	for _, s := range d.Services {
		requests := s.Requests
		dispatch, packets := "", ""
		if s.Kind != cluster.HTTP || s.Packets != nil {
			requests = s.Connections
		}
		switch {
		case s.Packets != nil:
			dispatch, packets = string(s.Dispatch), fmt.Sprintf("%.0f", s.Packets.Rate)
		case s.Dispatch.Kernel():
			dispatch = "not " + string(s.Dispatch)
		}
		errors, which := Errors(s)
		rows = append(rows, []cell{
			{s.Name, strong},
			{text: strings.Join(s.Addresses, " ")},
			{text: s.Schedule},
			{text: s.Pool},
			{text: dispatch},
			{text: packets},
			{text: fmt.Sprintf("%.0f", s.Rate)},
			{text: count(s.Clients)},
			{text: count(s.Waiting)},
			{text: count(requests)},
			{text: count(s.Retries)},
			{some(int64(errors)), bad},
			{which, faint},
		})
	}
	return rows
}

// well are the reasons for which a packet goes elsewhere than to its connection's node, or nowhere, and all is well.
var well = []string{"passed", "strange", "denied", "rate", "icmp-error", "fragment", "too-big", "gone-moved"}

// Errors is how many requests and connections of a service came to a bad end, or packets with dispatch in the kernel, and
// which, by their number. A client that goes away is none, nor one that may not come in.
func Errors(s console.Service) (n uint64, which string) {
	type end struct {
		name string
		n    uint64
	}
	var ends []end
	for name, k := range s.Ended {
		if name != "ok" && name != "client-gone" && k > 0 {
			ends = append(ends, end{name, k})
			n += k
		}
	}
	if p := s.Packets; p != nil {
		for name, k := range p.Reasons {
			if !slices.Contains(well, name) && k > 0 {
				ends = append(ends, end{name, k})
				n += k
			}
		}
	}
	slices.SortFunc(ends, func(a, b end) int {
		if a.n != b.n {
			return int(int64(b.n) - int64(a.n))
		}
		return strings.Compare(a.name, b.name)
	})
	var parts []string
	for _, e := range ends {
		parts = append(parts, fmt.Sprintf("%s %d", e.name, e.n))
	}
	return n, strings.Join(parts, ", ")
}

// count writes a number with its thousands set apart.
func count[T ~int64 | ~uint64](n T) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}

// some is a count that is only shown when there is any.
func some(n int64) string {
	if n == 0 {
		return ""
	}
	return count(n)
}

// age writes a duration as people say it, to its two largest units.
func age(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}
