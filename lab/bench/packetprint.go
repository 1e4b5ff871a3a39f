package bench

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"

	"muster/lab/plot"
)

// Table prints the figures, and the goals beside them.
func (r *PacketResult) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "dispatch\tfamily\tknown flow\tone of 32,768\tnew flow\tnew, no room\treply\t")
	for _, d := range r.Detail {
		reply := ""
		if d.Reply > 0 {
			reply = fmt.Sprintf("%.1f", d.Reply)
		}
		fmt.Fprintf(t, "%s\t%s\t%.1f\t%.1f\t%.1f\t%.1f\t%s\t\n", d.Kind, d.Family, d.Known, d.Many, d.New, d.Flood, reply)
	}
	fmt.Fprintf(t, "goal (P2)\t\t<= %.0f\t\t<= %.0f\t\t\t\n", r.Goals.Known, r.Goals.New)
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nNanoseconds a packet in the program, medians of %d rounds; %.0f more to bring it there are taken off.\n"+
		"Linux %s, %s; the program has %d instructions.\n", r.Rounds, r.Detail[0].Frame, r.Kernel, r.CPU, r.Program.Instructions)
	return err
}

// Plot draws the figures: of known flows, and of new ones.
func (r *PacketResult) Plot(file string) error {
	panel := func(what string, goal float64, figure func(PacketDetail) float64) plot.Panel {
		p := plot.Panel{Title: fmt.Sprintf("A packet of a %s flow (goal: %.0f ns)", what, goal), Y: "ns"}
		for _, family := range []string{"ipv4", "ipv6"} {
			s := plot.Series{Name: family}
			for _, d := range r.Detail {
				if d.Family == family {
					s.Y = append(s.Y, figure(d))
				}
				if d.Family == family && family == "ipv4" {
					p.Groups = append(p.Groups, d.Kind)
				}
			}
			p.Series = append(p.Series, s)
		}
		return p
	}
	return plot.Write(
		file,
		panel("known", r.Goals.Known, func(d PacketDetail) float64 { return d.Known }),
		panel("new", r.Goals.New, func(d PacketDetail) float64 { return d.New }),
	)
}

// release is the kernel's version.
func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// processor is the machine's, as the kernel names it.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return ""
}
