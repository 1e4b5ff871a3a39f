package drill

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"muster/lab/load"
)

// A Result is what clients saw of a drill.
type Result struct {
	Steps    []Step `json:"steps"`
	Requests int64  `json:"requests"`
	Failed   int64  `json:"failed"` // requests without a right answer
	Broken   int64  `json:"broken"` // of those, the ones whose answer was cut in the middle or had other bytes
}

// A Step is what clients saw of one step. A request belongs to the step in which it ended.
type Step struct {
	Name       string           `json:"name"`
	Requests   int64            `json:"requests"`
	Failed     int64            `json:"failed"`
	LongestGap float64          `json:"longest_gap_ms"` // that any client waited for an answer; slow clients are not counted
	Broken     int64            `json:"broken"`
	Errors     map[string]int64 `json:"errors,omitempty"` // the failed, by kind
	Retries    uint64           `json:"retries"`          // requests that the director gave to a second node
	Resumes    uint64           `json:"resumes"`          // answers that one node began and another finished
	Median     float64          `json:"p50_ms"`
	Slow       float64          `json:"p99_ms"`
	Noticed    float64          `json:"noticed_ms,omitempty"` // from the fault, or the order, until the director acted on it
	Back       float64          `json:"back_ms,omitempty"`    // from the repair until the director gave the node work again
	Seconds    float64          `json:"seconds"`

	failures []load.Failure
}

func (r *Result) add(s Step) {
	r.Steps = append(r.Steps, s)
	r.Requests += s.Requests
	r.Failed += s.Failed
	r.Broken += s.Broken
}

// String is the step on a line.
func (s Step) String() string {
	t := fmt.Sprintf("%s: %d requests, %d failed, longest gap %.0f ms", s.Name, s.Requests, s.Failed, s.LongestGap)
	if s.Noticed > 0 {
		t += fmt.Sprintf(", noticed after %.0f ms", s.Noticed)
	}
	if s.Back > 0 {
		t += fmt.Sprintf(", back after %.0f ms", s.Back)
	}
	for _, f := range s.failures {
		t += "\n  " + f.String()
	}
	return t
}

// Table prints the steps for people.
func (r *Result) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(s Step, errs string) {
		fmt.Fprintf(t, "%d\t%d\t%d\t%.0f\t%.1f\t%.1f\t%s\t%s\t%d\t%d\t  %s%s\n", s.Requests, s.Failed, s.Broken, s.LongestGap,
			s.Median, s.Slow, some(s.Noticed), some(s.Back), s.Retries, s.Resumes, s.Name, errs)
	}
	fmt.Fprintln(t, "requests\tfailed\tbroken\tgap ms\tp50 ms\tp99 ms\tnoticed ms\tback ms\tretries\tresumes\t  step")
	for _, s := range r.Steps {
		var errs []string
		for _, k := range slices.Sorted(maps.Keys(s.Errors)) {
			errs = append(errs, fmt.Sprintf("%s %d", k, s.Errors[k]))
		}
		note := ""
		if len(errs) > 0 {
			note = " (" + strings.Join(errs, ", ") + ")"
		}
		row(s, note)
	}
	fmt.Fprintf(t, "%d\t%d\t%d\t\t\t\t\t\t\t\t  in all\n", r.Requests, r.Failed, r.Broken)
	return t.Flush()
}

func some(ms float64) string {
	if ms == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f", ms)
}
