package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"muster/lab/site"
	"muster/lab/testbed"
)

// A Config says how to run scenarios. Program must be given.
type Config struct {
	Program string // muster
	Keep    bool   // leave the directories with files and logs
	Short   bool   // as little load as shows what is to be shown

	Progress func(line string) // is told what is being done, from the goroutine of Run; nil means nobody
}

// Run runs the scenarios of these names, one after the other, or all. An error says that the rest could not be run; what came
// before is in the report.
func Run(ctx context.Context, cfg Config, names ...string) (*Report, error) {
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	list, err := Find(names...)
	if err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("scenarios build networks and load programs into the kernel: run them as root")
	}
	r := &Report{Scenarios: []Result{}}
	for _, s := range list {
		cfg.Progress(s.Name + ": " + s.Does)
		one := s.run(ctx, cfg)
		if err := ctx.Err(); err != nil {
			return r, fmt.Errorf("interrupted in %s: %w", s.Name, err)
		}
		r.add(one)
		cfg.Progress(one.String())
	}
	return r, nil
}

// limit is how long a scenario may take, whatever hangs.
const limit = 3 * time.Minute

// run runs one scenario. What goes wrong is in the result.
func (s *Scenario) run(ctx context.Context, cfg Config) (r Result) {
	r = Result{Name: s.Name, Parts: []Part{}, Asserted: []Assertion{}, Figures: map[string]float64{}}
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it was not over after %v", limit))
	defer cancel()
	if what := missing(s.Needs); what != "" {
		r.Problem = "a program is missing: " + what
		return r
	}
	st := &Stage{cfg: cfg, scenario: s, result: &r, shape: s.shape.filled(), last: began}
	asking, cut := context.WithCancel(ctx)
	defer cut()
	st.cut = cut
	err := st.set(ctx)
	if err == nil {
		err = s.do(asking, st)
	}
	err = errors.Join(err, st.strike(err == nil))
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	if err != nil {
		r.Problem = err.Error()
	}
	st.total()
	r.Passed = err == nil && !slices.ContainsFunc(r.Asserted, func(a Assertion) bool { return !a.Held })
	if !r.Passed {
		r.Tails = st.tails()
	}
	r.Seconds = time.Since(began).Seconds()
	st.leave()
	return r
}

// Find returns the scenarios of these names, in that order; all of them for none, or for the word all.
func Find(names ...string) ([]*Scenario, error) {
	if len(names) == 0 || slices.Contains(names, "all") {
		return All(), nil
	}
	var list []*Scenario
	for _, name := range names {
		i := slices.IndexFunc(All(), func(s *Scenario) bool { return s.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no scenario %s: there are %s", name, strings.Join(Names(), " "))
		}
		list = append(list, All()[i])
	}
	return list, nil
}

// Names are those of all scenarios.
func Names() (names []string) {
	for _, s := range All() {
		names = append(names, s.Name)
	}
	return names
}

// sizes are of the documents that clients ask for: the small ones in turn, the largest in slow downloads, the one before by
// those who look at bytes.
var sizes = []int{1 << 10, 16 << 10, 100_000, 1 << 20, 4 << 20}

const smallDocuments = 3

// set builds the lab, and starts all of it.
func (s *Stage) set(ctx context.Context) error {
	var err error
	if s.dir, err = os.MkdirTemp("", "muster-scenario-"); err != nil {
		return fmt.Errorf("make a directory for the scenario: %w", err)
	}
	if err := os.Chmod(s.dir, 0o755); err != nil { // servers that run as another user read it
		return err
	}
	cache, err := site.Directory()
	if err != nil {
		return err
	}
	if s.docs, err = site.Make(cache, site.Config{Sizes: sizes}); err != nil {
		return err
	}
	// A copy of the program can be replaced under the nodes' feet, as an upgrade does.
	s.program = filepath.Join(s.dir, "muster")
	if err := install(s.cfg.Program, s.program, ""); err != nil {
		return err
	}
	plan := testbed.Plan{
		Program: s.program, Traffic: s.shape.traffic, Cores: s.shape.cores, Keep: s.cfg.Keep, File: s.file,
	}
	if s.Lab, err = testbed.New(ctx, plan); err != nil {
		return err
	}
	s.clients = newClients(s.client())
	return s.begin(ctx)
}

// file writes the cluster's file, and nginx's beside it.
func (s *Stage) file(l *testbed.Layout, p testbed.Paths) string {
	for _, node := range s.shape.nginx {
		if err := os.WriteFile(nginxFile(p, node), []byte(nginxText(node, s.docs)), 0o644); err != nil {
			s.wrong = errors.Join(s.wrong, fmt.Errorf("write the configuration of nginx: %w", err))
		}
	}
	return s.shape.text(l, p, s.docs)
}

// begin starts the nodes, but for those that are not in the file yet, and waits until the cluster does its work.
func (s *Stage) begin(ctx context.Context) error {
	if s.wrong != nil {
		return s.wrong
	}
	if s.shape.absent == nil {
		return s.Start(ctx)
	}
	for _, m := range s.Machines(testbed.Director, testbed.Traffic) {
		if slices.Contains(s.shape.absent, m.Name) {
			continue
		}
		if err := m.Start(ctx); err != nil {
			return err
		}
	}
	return s.awaitActive(ctx, s.present()...)
}

// install copies the program to a path, where it appears whole, with some bytes after its end.
func install(from, to, more string) error {
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to+".new", append(b, more...), 0o755)
	}
	if err == nil {
		err = os.Rename(to+".new", to)
	}
	if err != nil {
		return fmt.Errorf("install %s: %w", to, err)
	}
	return nil
}
