package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"muster/cluster"
	"muster/config"
	"muster/lab/peer"
	"muster/lab/standing"
	"muster/lab/testbed"
)

func labVerb() *cobra.Command {
	c := section(
		&cobra.Command{
			Use:     "lab",
			Short:   "a cluster with a real network on this machine: clients, router, LANs, nodes",
			GroupID: trying,
			Long: `Builds clients, a router, two LANs and the machines of a cluster on this one machine: each a set of namespaces with its own
network, processes, /var and /run, joined by virtual cables to a virtual switch. Every director and traffic node is a real
muster node. Nothing of it is seen outside, and whatever becomes of it, nothing is left. It needs root.

  client1 --- router --- LAN A  10.7.1.0/24, fd07:1::/64 --- d1 t1 t2 ...
                     \-- LAN B  10.7.2.0/24, fd07:2::/64 --- d1 t1 t2 ...

A machine is named as above, its cable to a network as t1/a, t1/b, client1/clients; t1 alone means all its cables.`,
			Example: `  sudo muster lab up --nodes 4 --dispatch dr
  sudo muster lab exec client1 -- curl -i http://10.7.1.100/
  sudo muster lab cut t1/a
  sudo muster lab status
  sudo muster lab down`,
		},
		labUpVerb(), labDownVerb(), labKeepVerb(), labStatusVerb(), labExecVerb(), labLogVerb(),
		labRunVerb(), labListVerb(),
	)
	c.AddCommand(labFaultVerbs()...)
	c.PersistentFlags().String("name", standing.Default, "which lab, if there are several")
	_ = c.RegisterFlagCompletionFunc("name", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return standing.Names(), cobra.ShellCompDirectiveNoFileComp
	}) // the flag exists
	return c
}

// words turns names into the words that a flag may have.
func words[T ~string](names ...T) []string {
	var list []string
	for _, n := range names {
		list = append(list, string(n))
	}
	return list
}

func labUpVerb() *cobra.Command {
	var plan testbed.Plan
	var app string
	var cores []string
	dispatches, apps := words(cluster.Dispatches()...), words(testbed.BuiltIn, testbed.Nginx, testbed.Mixed)
	modes := words(config.PacketAuto, config.PacketNative, config.PacketGeneric)
	c := &cobra.Command{
		Use:   "up",
		Short: "build a lab, start its cluster, and leave both running",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			for _, f := range []struct {
				name, value string
				allowed     []string
			}{{"dispatch", plan.Cluster.Dispatch, dispatches}, {"app", app, apps}, {"xdp", plan.Cluster.XDP, modes}} {
				if err := oneOf(f.name, f.value, f.allowed...); err != nil {
					return err
				}
			}
			plan.Cluster.App = testbed.App(app)
			if plan.Site != "" { // the lab's owner runs elsewhere
				if plan.Site, err = filepath.Abs(plan.Site); err != nil {
					return fmt.Errorf("find the site: %w", err)
				}
			}
			if plan.Cores, err = coresOf(cores); err != nil {
				return err
			}
			layout, err := plan.Layout()
			if err != nil {
				return usage("%w", err)
			}
			if err := labNeeds(plan); err != nil {
				return err
			}
			return labUp(c, plan, layout)
		},
	}
	f := c.Flags()
	f.IntVar(&plan.Traffic, "nodes", 4, "how many traffic nodes, to 64")
	f.IntVar(&plan.Directors, "directors", 1, "how many directors, to 8")
	f.IntVar(&plan.Clients, "clients", 1, "how many clients, to 200")
	f.IntVar(&plan.Storage, "storage", 0, "how many machines for storage; nothing runs on them yet")
	f.IntVar(&plan.Monitors, "monitors", 0, "how many machines for monitors; nothing runs on them yet")
	f.StringVar(&plan.Cluster.Dispatch, "dispatch", string(cluster.DR), "how requests travel to their nodes: "+strings.Join(dispatches, ", "))
	f.StringVar(&plan.Cluster.Schedule, "schedule", "has", "which node gets a request")
	f.StringVar(&app, "app", string(testbed.BuiltIn), "what traffic nodes run: "+strings.Join(apps, ", "))
	f.StringVar(&plan.Cluster.XDP, "xdp", string(config.PacketAuto), "how the director's program is attached: "+strings.Join(modes, ", "))
	f.BoolVar(&plan.Cluster.IPv6, "ipv6", false, "no IPv4 in the cluster's file: nodes and VIP have IPv6 addresses alone")
	f.StringSliceVar(&cores, "cores", nil, "machines that may use only so much of the processors: t1=0.05 is a twentieth of one")
	f.IntVar(&plan.MTU, "mtu", 1500, "of all networks")
	f.StringVar(&plan.Site, "site", "", "the directory to serve (default: files of several sizes)")
	f.BoolVar(&plan.Keep, "keep", false, "leave the directory with file and logs when the lab ends")
	for name, values := range map[string][]string{"dispatch": dispatches, "app": apps, "xdp": modes} {
		_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	}
	_ = c.MarkFlagDirname("site") // so does this one
	return c
}

// coresOf reads machines and their parts of the processors: t1=0.05.
func coresOf(list []string) (map[string]float64, error) {
	cores := map[string]float64{}
	for _, text := range list {
		name, value, ok := strings.Cut(text, "=")
		n, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil {
			return nil, usage("--cores %s: write a machine and how many cores it may use, such as t1=0.05", text)
		}
		cores[name] = n
	}
	return cores, nil
}

// labNeeds says what a lab takes that is not there.
func labNeeds(plan testbed.Plan) error {
	if plan.Cluster.App != testbed.BuiltIn {
		if _, err := peer.Find("nginx"); err != nil {
			return fmt.Errorf("nginx is not installed: run apt-get install nginx-light, or take --app %s", testbed.BuiltIn)
		}
	}
	return nil
}

func labUp(c *cobra.Command, plan testbed.Plan, layout *testbed.Layout) error {
	name, _ := c.Flags().GetString("name")
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program, to start it as a node: %w", err)
	}
	plan.Program = program
	began := time.Now()
	l, err := standing.Start(c.Context(), name, plan, []string{program, "lab", "keep", "--name", name}, func(doing string) {
		fmt.Fprintln(c.ErrOrStderr(), doing)
	})
	if err != nil {
		return err
	}
	s, err := l.State(c.Context())
	if err != nil {
		return err
	}
	say(c, "\nThe lab is up, after %.1f s.\n\n", time.Since(began).Seconds())
	labPicture(c.OutOrStdout(), layout)
	labServices(c.OutOrStdout(), s)
	labTry(c, called(program), s)
	return nil
}

// labPicture draws the network.
func labPicture(w io.Writer, l *testbed.Layout) {
	group := func(r testbed.Role, n testbed.Net) string {
		list := l.With(r)
		if len(list) == 0 {
			return ""
		}
		first, last := list[0], list[len(list)-1]
		text := fmt.Sprintf("%s %s", first.Name, first.Jack(n).IPv4)
		if len(list) > 1 {
			text = fmt.Sprintf("%s-%s %s-%d", first.Name, last.Name, first.Jack(n).IPv4, last.Jack(n).IPv4.As4()[3])
		}
		return text
	}
	fmt.Fprintf(w, "  %s\n    |\n  router\n", group(testbed.Client, testbed.ClientsNet))
	for _, n := range []testbed.Net{testbed.LANA, testbed.LANB} {
		var all []string
		for _, r := range []testbed.Role{testbed.Director, testbed.Traffic, testbed.Storage, testbed.Monitor} {
			if text := group(r, n); text != "" {
				all = append(all, text)
			}
		}
		fmt.Fprintf(w, "    |-- LAN %s: %s\n", strings.ToUpper(string(n)), strings.Join(all, ", "))
	}
	fmt.Fprintln(w)
}

func labTry(c *cobra.Command, program string, s *standing.State) {
	if os.Getenv("SUDO_USER") != "" {
		program = "sudo " + program
	}
	program += " lab"
	if s.Name != standing.Default {
		program += " --name " + s.Name
	}
	url := "http://" + strings.TrimSuffix(s.Services[0].Addresses[0], ":80")
	say(c, `Try:
  %[1]s exec client1 -- curl -i %[2]s/
  %[1]s exec client1 -- wrk -c 32 -d 5s %[2]s/bytes/1024
  %[1]s exec d1 -- muster status --watch
  %[1]s exec switch -- tcpdump -ni t1-a          each cable's end on the switch
  %[1]s cut t1/a; %[1]s mend t1/a                and kill, freeze, off, slow, part
  %[1]s status
  %[1]s down
`, program, url)
}

func labDownVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "end a lab, and remove all of it",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := labOf(c)
			if err != nil {
				return err
			}
			return l.Down(c.Context())
		},
	}
}

// labOf finds the lab that is meant.
func labOf(c *cobra.Command) (*standing.Lab, error) {
	name, _ := c.Flags().GetString("name")
	return standing.Find(name)
}

// labKeepVerb is the process that owns a lab.
func labKeepVerb() *cobra.Command {
	return &cobra.Command{
		Use:    "keep",
		Short:  "own a lab: what lab up leaves running",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			name, _ := c.Flags().GetString("name")
			ctx, stop := signal.NotifyContext(context.WithoutCancel(c.Context()), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return standing.Keep(ctx, name)
		},
	}
}
