package demo

import (
	"fmt"
	"strings"
)

// Intro says what runs, and where.
func (d *Demo) Intro() string {
	var b strings.Builder
	fmt.Fprintf(&b, "A director and %d traffic nodes, each a process of its own, ready in %.1f s.\n", d.cfg.Nodes, d.took.Seconds())
	fmt.Fprintf(&b, "The site: http://%s/   Its file, logs and state: %s\n", d.listen, d.Dir())
	return b.String()
}

// Try says what can be tried, with the processes that run now. Muster is how the program is called here.
func (d *Demo) Try(muster string) string {
	url := fmt.Sprintf("http://%s/", d.listen)
	var b strings.Builder
	b.WriteString("Processes:")
	for i := range d.File().Nodes {
		name := d.File().Nodes[i].Name
		fmt.Fprintf(&b, "  %s %d", name, d.Process(name).PID())
	}
	b.WriteString("\nTry, in another terminal:\n")
	try := func(what, then string) {
		if len(what) > tryWide {
			what += "\n" + strings.Repeat(" ", 2+tryWide)
		}
		fmt.Fprintf(&b, "  %-*s  %s\n", tryWide, what, then)
	}
	if d.cfg.Site == "" {
		try("curl "+url+NodeFile, "who answers? ask again")
	} else {
		try("curl -sI "+url, "X-Muster-Node says who answers; ask again")
	}
	name, pid := d.pick(0)
	try(fmt.Sprintf("kill -9 %d", pid), fmt.Sprintf("%s dies; nobody notices; it is back %v later", name, d.cfg.Again))
	name, pid = d.pick(1)
	try(fmt.Sprintf("kill -STOP %d; sleep 5; kill -CONT %[1]d", pid), name+" hangs for a while")
	name, _ = d.pick(2)
	try(muster+" drain "+name+" --config "+d.Path(), name+" gets no new work; undrain takes it back")
	try(muster+" status --watch --config "+d.Path(), "what the director sees")
	return b.String()
}

const tryWide = 44

// pick is one of the traffic nodes, and its process.
func (d *Demo) pick(i int) (name string, pid int) {
	name = fmt.Sprintf("t%d", 1+i%d.cfg.Nodes)
	return name, d.Process(name).PID()
}
