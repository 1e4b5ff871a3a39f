package packet

import (
	"fmt"
	"testing"
)

// A chooser is a service whose new flows are watched.
type chooser struct {
	*stage
	id   uint32
	port int // of the newest flow
}

func newChooser(t testing.TB, g *ground, pick string, shares []share, slots []string) *chooser {
	s := &chooser{stage: newStage(t, g), port: 1024}
	s.id = s.service(directorService{Dispatch: dispatches["dr"], Pick: picks[pick], Syn: 10, Established: 900, Closing: 30, Udp: 60})
	s.front(t, s.id, places["vip"].four, 80, TCP)
	for _, m := range shares {
		s.node(t, s.id, m.node, places[m.node].four, directorNode{})
	}
	s.table(t, s.id, shares, slots)
	return s
}

// from is the node that a flow of the client goes to.
func (s *chooser) from(t testing.TB, client string, port int) string {
	t.Helper()
	v, out := s.run(t, "me", must(t, fmt.Sprintf("eth router > me / ip4 %s > vip / tcp %d > 80 S", client, port)))
	if v != sent {
		t.Fatalf("a flow from %s, port %d: got %s (%v)", client, port, v, s.why(t))
	}
	for name, p := range places {
		if [6]byte(out[:6]) == p.mac && s.names[name] != 0 {
			return name
		}
	}
	t.Fatalf("it went to nobody: %s", show(out))
	return ""
}

// next is the node of a flow that there was none like.
func (s *chooser) next(t testing.TB) string {
	t.Helper()
	s.port++
	return s.from(t, "client", s.port)
}

// spread counts where so many new flows go.
func (s *chooser) spread(t testing.TB, n int) map[string]int {
	t.Helper()
	found := map[string]int{}
	for range n {
		found[s.next(t)]++
	}
	return found
}

func TestPicks(t *testing.T) { playPicks(t, newGround(t, smallMaps)) }

func playPicks(t *testing.T, g *ground) {
	three := []share{{"a", 100}, {"b", 100}, {"c", 200}}
	slots := []string{"a", "c", "b", "c"}
	// about says whether n is a part of all, but for what chance does.
	about := func(n, all int, part float64) bool {
		want := float64(all) * part
		return float64(n) > 0.8*want && float64(n) < 1.2*want
	}

	t.Run("turn", func(t *testing.T) {
		s := newChooser(t, g, "turn", three, slots)
		for i := range 3 * len(slots) {
			if got, want := s.next(t), slots[i%len(slots)]; got != want {
				t.Errorf("turn %d: got %s, want %s", i, got, want)
			}
		}
		// Slots of who may not are given to all others, not to the neighbour alone.
		s.change(t, "c", func(n *directorNode) { n.Flags = uint16(directorNodeFlagN_GONE) })
		if got := s.spread(t, 400); !about(got["a"], 400, 0.5) || !about(got["b"], 400, 0.5) {
			t.Errorf("c is gone: got %v, want halves", got)
		}
	})
	t.Run("source", func(t *testing.T) {
		s := newChooser(t, g, "source", three, slots)
		found := map[string]int{}
		for i := range 1000 {
			client := fmt.Sprintf("10.9.%d.%d", i/250, i%250+1)
			first := s.from(t, client, 1000)
			for port := 1001; port < 1004; port++ {
				if got := s.from(t, client, port); got != first {
					t.Fatalf("%s: got %s and %s", client, first, got)
				}
			}
			found[first]++
		}
		if !about(found["a"], 1000, 0.25) || !about(found["c"], 1000, 0.5) {
			t.Errorf("got %v, want a quarter, a quarter and a half", found)
		}
		mixed := s.from(t, "10.9.0.1", 2000)
		differ := false
		for mix := uint64(1); mix < 64 && !differ; mix++ {
			s.set(t, directorSetting{Mix: mix * 0x9e3779b97f4a7c15})
			differ = s.from(t, "10.9.0.1", 2000+int(mix)) != mixed
		}
		if !differ {
			t.Error("the secret number does not matter: whoever knows the program can choose a node")
		}
	})
	t.Run("flow", func(t *testing.T) {
		s := newChooser(t, g, "flow", three, slots)
		if got := s.spread(t, 1000); !about(got["a"], 1000, 0.25) || !about(got["b"], 1000, 0.25) || !about(got["c"], 1000, 0.5) {
			t.Errorf("got %v, want a quarter, a quarter and a half", got)
		}
		// The same flow, nothing being known of it, goes where it went.
		first := s.from(t, "client", 999)
		clear(s.firsts.buckets)
		if got := s.from(t, "client", 999); got != first {
			t.Errorf("got %s, want %s again", got, first)
		}
	})
	t.Run("chance", func(t *testing.T) {
		s := newChooser(t, g, "chance", three, slots)
		if got := s.spread(t, 2000); !about(got["a"], 2000, 0.25) || !about(got["b"], 2000, 0.25) || !about(got["c"], 2000, 0.5) {
			t.Errorf("got %v, want a quarter, a quarter and a half", got)
		}
	})
	t.Run("two", func(t *testing.T) {
		s := newChooser(t, g, "two", []share{{"a", 100}, {"b", 100}}, nil)
		put(t, s.NodeLive, s.names["a"], directorNodeLive{Active: 50})
		put(t, s.NodeLive, s.names["b"], directorNodeLive{Active: 40})
		if got := s.spread(t, 1000); !about(got["a"], 1000, 0.25) || !about(got["b"], 1000, 0.75) {
			t.Errorf("b has less: got %v, want one in four at a, of which both draws were", got)
		}
		s.table(t, s.id, []share{{"a", 200}, {"b", 100}}, []string{"a", "b"})
		if got := s.spread(t, 1000); !about(got["a"], 1000, 0.75) || !about(got["b"], 1000, 0.25) {
			t.Errorf("a has less for its weight: got %v, want three in four at a", got)
		}
		put(t, s.NodeLive, s.names["a"], directorNodeLive{Active: -3})
		if got := s.spread(t, 200); got["a"] < got["b"] {
			t.Errorf("a has less than none: got %v, want most at a", got)
		}
	})
	t.Run("least", func(t *testing.T) {
		s := newChooser(t, g, "least", []share{{"a", 100}, {"b", 100}, {"c", 200}}, nil)
		for _, c := range []struct {
			a, b, c int64
			want    string
		}{
			{5, 4, 10, "b"}, {3, 4, 10, "a"}, {5, 5, 9, "c"}, {0, 0, 0, "c"}, {0, 7, 7, "a"}, {7, 0, 7, "b"}, {1 << 29, 1 << 30, 1 << 31, "a"},
		} {
			put(t, s.NodeLive, s.names["a"], directorNodeLive{Active: c.a})
			put(t, s.NodeLive, s.names["b"], directorNodeLive{Active: c.b})
			put(t, s.NodeLive, s.names["c"], directorNodeLive{Active: c.c})
			if got := s.next(t); got != c.want {
				t.Errorf("%d, %d and %d flows, weights 100, 100 and 200: got %s, want %s", c.a, c.b, c.c, got, c.want)
			}
		}
		for _, n := range []string{"a", "b", "c"} {
			put(t, s.NodeLive, s.names[n], directorNodeLive{Active: 10})
		}
		s.table(t, s.id, []share{{"a", 100}, {"b", 100}, {"c", 100}}, nil)
		if got := s.spread(t, 300); !about(got["a"], 300, 1.0/3) || !about(got["b"], 300, 1.0/3) {
			t.Errorf("all have as many: got %v, want thirds", got)
		}
		s.change(t, "a", func(n *directorNode) { n.Limit = 10 })
		s.change(t, "b", func(n *directorNode) { n.Flags = uint16(directorNodeFlagN_GONE) })
		if got := s.spread(t, 20); got["c"] != 20 {
			t.Errorf("a is at its limit and b gone: got %v, want all at c", got)
		}
	})
}
