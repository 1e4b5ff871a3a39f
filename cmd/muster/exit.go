package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"muster/config"
)

// The exit codes. Scripts decide by them, so they do not change.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitFile        = 3
	exitUnreachable = 4
	exitRefused     = 5
)

func exitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "what the exit codes mean",
		Long: `Every verb ends with one of these codes:

  0  it is done
  1  it went wrong; the message says what, and what to do
  2  the command line is wrong, or does not say which node of the file this machine is
  3  the cluster's file is missing or wrong
  4  no node that can answer was reached
  5  the node that was asked refused`,
	}
}

// coded is an error with the exit code that it ends the program with.
type coded struct {
	error
	code int
}

func (e coded) Unwrap() error { return e.error }

func usage(format string, args ...any) error { return coded{fmt.Errorf(format, args...), exitUsage} }

// report tells of the error, if there is one, and returns the exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	code := exitFailed
	if c, ok := errors.AsType[coded](err); ok {
		code = c.code
	}
	if problems, ok := errors.AsType[config.Problems](err); ok {
		fmt.Fprintln(w, problems) // a line each, as compilers do: editors jump to them
		return exitFile
	}
	if text := strings.TrimSpace(err.Error()); text != "" {
		fmt.Fprintln(w, "muster: "+text)
	}
	return code
}
