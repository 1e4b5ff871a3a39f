package scenario

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"muster/lab/plot"
)

// A Report is what became of scenarios.
type Report struct {
	Scenarios []Result `json:"scenarios"`
	Passed    int      `json:"passed"`
	Failed    int      `json:"failed"`
}

// A Result is what became of one scenario.
type Result struct {
	Name       string             `json:"name"`
	Passed     bool               `json:"passed"`
	Requests   int64              `json:"requests"`
	Failed     int64              `json:"failed"`         // requests without a right answer
	Broken     int64              `json:"broken"`         // of those, the ones whose connection was cut, or whose answer had other bytes
	LongestGap float64            `json:"longest_gap_ms"` // that any client waited for an answer; slow downloads are not counted
	Median     float64            `json:"p50_ms"`
	Slow       float64            `json:"p99_ms"`
	Errors     map[string]int64   `json:"errors,omitempty"`  // the failed, by kind
	Figures    map[string]float64 `json:"figures,omitempty"` // what else was measured
	Parts      []Part             `json:"parts"`             // one after the other
	Asserted   []Assertion        `json:"asserted"`
	Problem    string             `json:"problem,omitempty"` // why it came to no end
	Seconds    float64            `json:"seconds"`
	Logs       string             `json:"logs,omitempty"` // the directory that was kept

	Tails  map[string]string `json:"-"` // of a scenario that did not pass: the ends of the nodes' logs
	Series []Moment          `json:"-"` // for a plot
}

// A Part is a piece of a scenario, from one thing that was done to the next. A request belongs to the part in which it ended.
type Part struct {
	Name       string           `json:"name"`
	Requests   int64            `json:"requests"`
	Failed     int64            `json:"failed"`
	Broken     int64            `json:"broken"`
	LongestGap float64          `json:"longest_gap_ms"`
	Errors     map[string]int64 `json:"errors,omitempty"`
	Nodes      map[string]int64 `json:"nodes,omitempty"` // right answers, by who gave them
	Seconds    float64          `json:"seconds"`
}

// An Assertion is one thing that must be so.
type Assertion struct {
	Must  string `json:"must"`
	Held  bool   `json:"held"`
	Found string `json:"found"`
}

// A Moment is a tenth of a second of a scenario.
type Moment struct {
	At           time.Duration // since its clients began
	Right, Wrong float64       // answers
}

func (r *Report) add(one Result) {
	r.Scenarios = append(r.Scenarios, one)
	if one.Passed {
		r.Passed++
	} else {
		r.Failed++
	}
}

func (a Assertion) String() string {
	verdict := "held"
	if !a.Held {
		verdict = "NOT SO"
	}
	return fmt.Sprintf("%s: %s: %s", verdict, a.Must, a.Found)
}

// Verdict is the result in a word.
func (r *Result) Verdict() string {
	if r.Passed {
		return "passed"
	}
	return "FAILED"
}

// String is the result on a line, and why it did not pass on further ones.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s in %.1f s: %d requests, %d failed, %d broken, longest gap %.0f ms",
		r.Verdict(), r.Name, r.Seconds, r.Requests, r.Failed, r.Broken, r.LongestGap)
	if r.Logs != "" {
		b.WriteString("\n  all logs: " + r.Logs)
	}
	if r.Passed {
		return b.String()
	}
	if r.Problem != "" {
		b.WriteString("\n  " + r.Problem)
	}
	for _, a := range r.Asserted {
		if !a.Held {
			b.WriteString("\n  " + a.String())
		}
	}
	for _, node := range slices.Sorted(maps.Keys(r.Tails)) {
		fmt.Fprintf(&b, "\n  %s said last:\n    %s", node, strings.ReplaceAll(r.Tails[node], "\n", "\n    "))
	}
	return b.String()
}

// Table prints the report for people.
func (r *Report) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "requests\tfailed\tbroken\tgap ms\tp50 ms\tp99 ms\tseconds\tasserted\t  scenario")
	for _, s := range r.Scenarios {
		held := 0
		for _, a := range s.Asserted {
			if a.Held {
				held++
			}
		}
		fmt.Fprintf(t, "%d\t%d\t%d\t%.0f\t%.1f\t%.1f\t%.1f\t%d of %d\t  %s %s%s\n", s.Requests, s.Failed, s.Broken, s.LongestGap,
			s.Median, s.Slow, s.Seconds, held, len(s.Asserted), s.Verdict(), s.Name, kinds(s.Errors))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d passed, %d failed\n", r.Passed, r.Failed)
	return err
}

// Plot draws what clients saw of each scenario, tenth of a second by tenth, into an SVG file.
func (r *Report) Plot(file string) error {
	var panels []plot.Panel
	for _, s := range r.Scenarios {
		var at, right, wrong []float64
		for _, m := range s.Series {
			at = append(at, m.At.Seconds())
			right = append(right, m.Right/beat.Seconds())
			wrong = append(wrong, m.Wrong/beat.Seconds())
		}
		if at == nil {
			continue // its clients were wrk, curl or dig alone
		}
		panels = append(panels, plot.Panel{
			Title: s.Name, X: "seconds", Y: "a second",
			Series: []plot.Series{{Name: "right answers", X: at, Y: right}, {Name: "failures", X: at, Y: wrong}},
		})
	}
	if panels == nil {
		return fmt.Errorf("draw %s: none of these scenarios has figures over time", file)
	}
	return plot.Write(file, panels...)
}

func kinds(errors map[string]int64) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(errors)) {
		list = append(list, fmt.Sprintf("%s %d", k, errors[k]))
	}
	if list == nil {
		return ""
	}
	return " (" + strings.Join(list, ", ") + ")"
}

func ms(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}
