package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func versionVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "print which build this is",
		GroupID: miscellany,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			info, ok := debug.ReadBuildInfo()
			say(c, "muster %s", version())
			if ok {
				say(c, " (%s)", info.GoVersion)
			}
			say(c, "\n")
			return nil
		},
	}
}

// version is what the Go toolchain wrote into the program: the tag or commit that it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "of unknown build"
	}
	set := map[string]string{}
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
		if rev := set["vcs.revision"]; len(rev) >= 12 {
			v = fmt.Sprintf("devel-%s", rev[:12])
		}
	}
	return v
}
