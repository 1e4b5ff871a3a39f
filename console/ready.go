package console

import "fmt"

// Readiness says whether a node does its work, and why not.
type Readiness struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons"`
}

// Ready says whether a node does the work of each of its roles: of a director, some service has a node for new work; of a
// traffic node, its applications answer and some director hears it.
func (s Status) Ready() Readiness {
	reasons := []string{}
	if s.Director != nil {
		reasons = append(reasons, s.Director.troubles()...)
	}
	if s.Traffic != nil {
		reasons = append(reasons, s.Traffic.troubles()...)
	}
	return Readiness{len(reasons) == 0, reasons}
}

func (d *Director) troubles() []string {
	if len(d.Services) == 0 {
		return []string{"no service is configured"}
	}
	var list []string
	for _, s := range d.Services {
		for _, m := range s.Members {
			if m.Weight > 0 {
				return nil
			}
		}
		if s.Problem != "" {
			list = append(list, fmt.Sprintf("service %s: %s", s.Name, s.Problem))
			continue
		}
		list = append(list, fmt.Sprintf("service %s: no node of pool %s takes new work", s.Name, s.Pool))
	}
	return list
}

func (t *Traffic) troubles() []string {
	var list []string
	for _, a := range t.Applications {
		if !a.Check.Up {
			list = append(list, fmt.Sprintf("application of pool %s: %s", a.Pool, a.Check.Reason))
		}
	}
	for _, h := range t.Directors {
		if h.Heard {
			return list
		}
	}
	return append(list, "no director hears this node")
}
