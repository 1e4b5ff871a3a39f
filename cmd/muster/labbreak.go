package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"muster/lab/standing"
	"muster/lab/testbed"
)

// labFaultVerbs are what can be done to a lab that stands.
func labFaultVerbs() []*cobra.Command {
	list := []*cobra.Command{labSlowVerb(), labPartVerb(), labDeafenVerb()}
	for _, v := range []struct{ name, of, short string }{
		{"cut", "LINK", "unplug cables"},
		{"mend", "LINK", "plug cables in again, and have them be as good as new"},
		{"kill", "MACHINE", "kill the nodes of machines (SIGKILL)"},
		{"stop", "MACHINE", "stop the nodes of machines in good order"},
		{"start", "MACHINE", "start the nodes of machines"},
		{"restart", "MACHINE", "stop the nodes of machines, and start them again"},
		{"freeze", "MACHINE", "stop everything on machines where it is; their kernels go on"},
		{"thaw", "MACHINE", "let it go on"},
		{"off", "MACHINE", "pull the plug of machines: only /var stays"},
		{"on", "MACHINE", "give machines power again, and start their nodes"},
	} {
		complete := machines
		if v.of == "LINK" {
			complete = links
		}
		list = append(list, &cobra.Command{
			Use:               v.name + " " + v.of + "...",
			Short:             v.short,
			Args:              atLeast(1, v.of),
			ValidArgsFunction: complete,
			RunE:              func(c *cobra.Command, args []string) error { return labAct(c, standing.Action{Do: v.name, To: args}) },
		})
	}
	return append(list, &cobra.Command{
		Use:   "heal",
		Short: "mend all cables, and end all partitions",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return labAct(c, standing.Action{Do: "heal"}) },
	})
}

func labAct(c *cobra.Command, a standing.Action) error {
	l, err := labOf(c)
	if err != nil {
		return err
	}
	return l.Act(c.Context(), a)
}

// atLeast has a verb take so many arguments or more.
func atLeast(n int, of string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < n {
			return usage("name the %s: %s", strings.ToLower(of), c.UseLine())
		}
		return nil
	}
}

func labSlowVerb() *cobra.Command {
	var f testbed.Fault
	var way, rate, loss string
	c := &cobra.Command{
		Use:   "slow LINK...",
		Short: "have cables delay, lose or throttle what they carry",
		Long: `Has cables delay, lose or throttle what they carry, in both directions or in one. What they did before in that direction ends;
mend makes them as good as new.`,
		Example: `  sudo muster lab slow client1 --delay 20ms
  sudo muster lab slow t1/a --loss 1% --way in
  sudo muster lab slow t1/a --rate 10M --queue 65536
  sudo muster lab slow t2/a --loss 100% --way out      # silent, though the port seems up
  sudo muster lab slow t3 --mtu 1400`,
		Args:              atLeast(1, "LINK"),
		ValidArgsFunction: links,
		RunE: func(c *cobra.Command, args []string) error {
			if way != "both" {
				f.Way = testbed.Way(way)
			}
			if err := oneOf("way", way, "both", "in", "out"); err != nil {
				return err
			}
			var err error
			if f.Loss, err = partOf(loss); err != nil {
				return err
			}
			if f.Rate, err = bitsPerSecond(rate); err != nil {
				return err
			}
			if f.Delay == 0 && f.Loss == 0 && f.Rate == 0 && f.MTU == 0 {
				return usage("say how: --delay, --loss, --rate or --mtu; muster lab mend ends it")
			}
			return labAct(c, standing.Action{Do: "slow", To: args, Fault: &f})
		},
	}
	c.Flags().DurationVar(&f.Delay, "delay", 0, "of each frame, such as 20ms")
	c.Flags().StringVar(&loss, "loss", "", "part of the frames that is lost, such as 1%")
	c.Flags().StringVar(&rate, "rate", "", "bits a second, such as 10M")
	c.Flags().IntVar(&f.Queue, "queue", 0, "bytes that wait for --rate; the rest is lost (default 131072)")
	c.Flags().IntVar(&f.MTU, "mtu", 0, "of both ends of the cable")
	c.Flags().StringVar(&way, "way", "both", "what the machine is sent (in), what it sends (out), or both")
	_ = c.RegisterFlagCompletionFunc("way", cobra.FixedCompletions([]string{"both", "in", "out"}, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	return c
}

// partOf reads a percentage.
func partOf(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || !strings.HasSuffix(text, "%") || !(n >= 0 && n <= 100) {
		return 0, usage("--loss %s: write a percentage, such as 1%%", text)
	}
	return n / 100, nil
}

// bitsPerSecond reads a rate: 800k, 10M, 1G.
func bitsPerSecond(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	digits, unit := strings.TrimRight(text, "kKMG"), 1.0
	switch text[len(digits):] {
	case "":
	case "k", "K":
		unit = 1e3
	case "M":
		unit = 1e6
	case "G":
		unit = 1e9
	default:
		unit = 0
	}
	n, err := strconv.ParseFloat(digits, 64)
	if rate := n * unit; err == nil && rate >= 1 && rate <= 1e12 {
		return int(rate), nil
	}
	return 0, usage("--rate %s: write bits a second, such as 800k, 10M or 1G", text)
}

func labPartVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "part GROUP GROUP...",
		Short: "part machines from each other: groups, each with commas between",
		Long: `Keeps machines of different groups from exchanging frames, in every LAN; cables and ports seem sound. Machines that are in no
group reach all. Former groups are forgotten. heal ends it.`,
		Example:           `  sudo muster lab part d1,t1 d2,t2,t3`,
		Args:              atLeast(2, "GROUP"),
		ValidArgsFunction: machines,
		RunE: func(c *cobra.Command, args []string) error {
			a := standing.Action{Do: "part"}
			for _, g := range args {
				a.Groups = append(a.Groups, strings.Split(g, ","))
			}
			return labAct(c, a)
		},
	}
}

func labDeafenVerb() *cobra.Command {
	return &cobra.Command{
		Use:               "deafen FROM TO",
		Short:             "keep frames of one machine from reaching another, one way",
		Args:              takes("FROM", "TO"),
		ValidArgsFunction: machines,
		RunE: func(c *cobra.Command, args []string) error {
			return labAct(c, standing.Action{Do: "deafen", To: args})
		},
	}
}
