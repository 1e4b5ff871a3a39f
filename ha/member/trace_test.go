package member

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"muster/cluster"
)

// A trace is a text file of what a picture is told and what must follow. Every line begins with the time since the start,
// or the same time as the line before:
//
//	node t1 traffic                  a node, with its roles         } Configure
//	pool web t1 t2 [key=value ...]   a pool; limit= slow-start= from=,  }
//	configure                        takes the nodes and pools since the last one
//	heard t1 index=4484 web=up media="connection refused"
//	silent t1 700ms
//	wish t1 drain for the new disk
//	move m1 media web
//	active t1/web 3                  so much is under way there
//	expect t1 out "silent for 700ms"
//	expect t1/web active ramp=0.05
//	told, quiet                      whether watchers have been told since the last such line
//	refused move ...                 an input that must be an error
func TestTraces(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no traces: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newTrace(t).play(string(text)) })
		})
	}
}

type trace struct {
	*testing.T
	p       *Picture
	start   time.Time
	changes <-chan struct{}
	nodes   []cluster.Node
	pools   []Pool
}

func newTrace(t *testing.T) *trace {
	tr := &trace{T: t, p: NewPicture(Config{Self: "d1"}, slog.New(slog.DiscardHandler)), start: time.Now()}
	changes, stop := tr.p.Watch()
	t.Cleanup(stop)
	tr.changes = changes
	ended := make(chan error, 1)
	go func() { ended <- tr.p.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return tr
}

func (tr *trace) play(text string) {
	for n, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		f := words(line)
		if len(f) == 0 {
			continue
		}
		if at, found := strings.CutPrefix(f[0], "t="); found {
			d, err := time.ParseDuration(at)
			if err != nil {
				tr.Fatalf("line %d: %v", n+1, err)
			}
			time.Sleep(d - time.Since(tr.start))
			f = f[1:]
		}
		synctest.Wait()
		if err := tr.do(f); err != nil {
			tr.Errorf("line %d: %s: %v", n+1, strings.TrimSpace(line), err)
		}
		synctest.Wait()
	}
}

func (tr *trace) do(f []string) error {
	switch f[0] {
	case "node":
		n := cluster.Node{Name: f[1], Weight: 100, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(len(tr.nodes) + 1)})}}
		for _, r := range f[2:] {
			n.Roles = append(n.Roles, cluster.Role(r))
		}
		tr.nodes = append(tr.nodes, n)
	case "pool":
		w := Pool{Name: f[1], Port: 8080}
		for _, a := range f[2:] {
			switch key, value, _ := strings.Cut(a, "="); key {
			case "limit":
				w.Limit, _ = strconv.Atoi(value)
			case "slow-start":
				w.SlowStart, _ = time.ParseDuration(value)
			case "from":
				w.From = strings.Split(value, ",")
			default:
				w.Nodes = append(w.Nodes, a)
			}
		}
		tr.pools = append(tr.pools, w)
	case "configure":
		tr.p.Configure(tr.nodes, tr.pools)
		tr.nodes, tr.pools = nil, nil
	case "heard":
		l := cluster.Load{Node: f[1]}
		for _, a := range f[2:] {
			if key, value, _ := strings.Cut(a, "="); key == "index" {
				v, _ := strconv.Atoi(value)
				l.Index = cluster.Index(v)
			} else if value == "up" {
				l.Apps = append(l.Apps, cluster.App{Pool: key, Up: true})
			} else {
				l.Apps = append(l.Apps, cluster.App{Pool: key, Reason: value})
			}
		}
		tr.p.Heard(l)
	case "silent":
		d, err := time.ParseDuration(f[2])
		tr.p.Silent(f[1], d)
		return err
	case "wish":
		var w cluster.Wish
		if err := w.UnmarshalText([]byte(f[2])); err != nil {
			return err
		}
		return tr.p.SetWish(f[1], w, strings.Join(f[3:], " "))
	case "move":
		return tr.p.Move(f[1], f[2], f[3])
	case "active":
		node, pool, _ := strings.Cut(f[1], "/")
		for _, m := range tr.p.Members(pool) {
			if v, err := strconv.Atoi(f[2]); m.Node == node {
				m.Live.Active.Store(int64(v))
				return err
			}
		}
		return fmt.Errorf("pool %s has no %s", pool, node)
	case "refused":
		if tr.do(f[1:]) == nil {
			return fmt.Errorf("it was accepted")
		}
	case "told", "quiet":
		select {
		case <-tr.changes:
			if f[0] == "quiet" {
				return fmt.Errorf("watchers were told")
			}
		default:
			if f[0] == "told" {
				return fmt.Errorf("watchers were not told")
			}
		}
	case "expect":
		return tr.expect(f[1], f[2:])
	default:
		return fmt.Errorf("no such word")
	}
	return nil
}

// Expect compares a node, or a node/pool, with what is wanted of it.
func (tr *trace) expect(what string, want []string) error {
	name, pool, inPool := strings.Cut(what, "/")
	s := tr.p.Snapshot()
	n, ok := s.Node(name)
	if !ok {
		if want[0] == "gone" {
			return nil
		}
		return fmt.Errorf("there is no node %s", name)
	}
	state, reason, age := n.State, n.Reason, n.Age
	if inPool {
		pl, ok := n.Pools[pool]
		if !ok {
			if want[0] == "gone" {
				return nil
			}
			return fmt.Errorf("%s has no place in pool %s", name, pool)
		}
		state, reason, age = pl.State, pl.Reason, pl.Age
	}
	got := []string{state.String()}
	for _, w := range want[1:] {
		switch key, _, found := strings.Cut(w, "="); {
		case !found:
			got = append(got, reason)
		case key == "age":
			got = append(got, "age="+age.String())
		case key == "wish":
			got = append(got, "wish="+n.Wish.String())
		default:
			for _, m := range s.Pool(pool) {
				if m.Node != name {
					continue
				}
				switch key {
				case "ramp":
					got = append(got, fmt.Sprintf("ramp=%.3g", m.Ramp))
				case "index":
					got = append(got, fmt.Sprintf("index=%d", m.Index))
				case "limit":
					got = append(got, fmt.Sprintf("limit=%d", m.Live.Limit.Load()))
				case "gone":
					got = append(got, fmt.Sprintf("gone=%v", m.Gone))
				case "active":
					got = append(got, fmt.Sprintf("active=%d", m.Live.Active.Load()))
				case "addr":
					got = append(got, "addr="+m.Addr.String())
				}
			}
		}
	}
	if g, w := strings.Join(got, " | "), strings.Join(want, " | "); g != w {
		return fmt.Errorf("got %s", g)
	}
	return nil
}

// Words splits a line at spaces, but for those in double quotes.
func words(line string) (list []string) {
	word, quoted, begun := "", false, false
	for _, r := range line + " " {
		switch {
		case r == '"':
			quoted, begun = !quoted, true
		case !quoted && (r == ' ' || r == '\t'):
			if begun {
				list = append(list, word)
			}
			word, begun = "", false
		default:
			word, begun = word+string(r), true
		}
	}
	return list
}
