package schedule

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestZones(t *testing.T) {
	text, err := os.ReadFile("testdata/zone.txt")
	if err != nil {
		t.Fatal(err)
	}
	var zones []Zone
	var z *Zones
	seats := map[string]Seat{}
	for n, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		input, want, step := strings.Cut(line, "->")
		f := strings.Fields(input)
		switch {
		case len(f) == 0:
			if len(strings.TrimSpace(line)) == 0 && z != nil { // the end of a block
				zones, z, seats = nil, nil, map[string]Seat{}
			}
		case f[0] == "zone":
			above, _ := strconv.Atoi(f[len(f)-4])
			below, _ := strconv.Atoi(f[len(f)-3])
			keep, _ := strconv.Atoi(f[len(f)-2])
			hold, _ := time.ParseDuration(f[len(f)-1])
			zones = append(zones, Zone{f[1], f[2 : len(f)-4], uint16(above), uint16(below), keep, hold})
		case f[0] == "home":
			for _, node := range f[2:] {
				seats[node] = Seat{Node: node, Home: f[1], In: f[1]}
			}
		case step:
			if z == nil {
				z = NewZones(zones)
			}
			now, err := time.ParseDuration(f[0])
			if err != nil {
				t.Fatalf("line %d: %v", n+1, err)
			}
			var active []Seat
			for _, a := range f[1:] {
				node, busy, _ := strings.Cut(a, "=")
				s := seats[node]
				v, err := strconv.Atoi(busy)
				if err != nil || s.Home == "" {
					t.Fatalf("line %d: %q", n+1, a)
				}
				s.Busy = uint16(v)
				active = append(active, s)
			}
			var got []string
			for _, m := range z.Step(now, active) {
				s := seats[m.Node]
				if s.In != m.From || m.Why == "" {
					t.Errorf("line %d: %+v, but the node works for %s", n+1, m, s.In)
				}
				s.In = m.To
				seats[m.Node] = s
				got = append(got, m.Node+":"+m.From+">"+m.To)
			}
			if g, w := strings.Join(got, " "), strings.Join(strings.Fields(want), " "); g != w {
				t.Errorf("line %d: got %q, want %q", n+1, g, w)
			}
		default:
			t.Fatalf("line %d: %q", n+1, line)
		}
	}
}
