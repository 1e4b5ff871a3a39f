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

// Plot draws the figures.
func (r *PacketResult) Plot(file string) error {
	var groups []string
	var known, fresh plot.Series
	known.Name, fresh.Name = "known flow", "new flow"
	for _, d := range r.Detail {
		groups = append(groups, d.Kind+" "+d.Family)
		known.Y, fresh.Y = append(known.Y, d.Known), append(fresh.Y, d.New)
	}
	half := len(groups) / 2
	panel := func(from, to int) plot.Panel {
		k, f := known, fresh
		k.Y, f.Y = k.Y[from:to], f.Y[from:to]
		return plot.Panel{Title: "A packet in the kernel", Y: "ns", Groups: groups[from:to], Series: []plot.Series{k, f}}
	}
	return plot.Write(file, panel(0, half), panel(half, len(groups)))
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
