package standing

import (
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"muster/lab/testbed"
)

func TestNames(t *testing.T) {
	for name, good := range map[string]bool{"lab": true, "a-1": true, "": false, "Lab": false, "../etc": false, "-a": false, strings.Repeat("a", 33): false} {
		if got := nameForm.MatchString(name); got != good {
			t.Errorf("%q is a name: %v", name, got)
		}
	}
}

func TestWhatCannotBeDone(t *testing.T) {
	layout, err := testbed.Plan{Traffic: 1}.Layout()
	if err != nil {
		t.Fatal(err)
	}
	l := &testbed.Lab{Layout: layout}
	for _, test := range []struct {
		action Action
		want   string
	}{
		{Action{Do: "explode"}, "a lab cannot explode; it can cut, mend, slow"},
		{Action{Do: "cut", To: []string{"t1/x"}}, "machine t1 is not in that network"},
		{Action{Do: "freeze", To: []string{"t11"}}, "did you mean t1?"},
		{Action{Do: "slow", To: []string{"t1"}}, "say how the link is to be slow"},
		{Action{Do: "deafen", To: []string{"t1"}}, "name who is not heard"},
	} {
		if err := test.action.do(t.Context(), l); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v, want %s", test.action, err, test.want)
		}
	}
}

func TestAPlaceHasOneOwner(t *testing.T) {
	base = t.TempDir()
	var owners, taken atomic.Int64
	var all, sweepers sync.WaitGroup
	done := make(chan struct{})
	sweepers.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				sweep()
			}
		}
	})
	for range 4 {
		all.Go(func() {
			for range 50 {
				p := place{"lab"}
				f, err := p.take()
				if errors.Is(err, ErrStands) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if owners.Add(1) != 1 {
					t.Error("it has two owners")
				}
				if held, err := p.held(); err != nil || !held {
					t.Errorf("held: %v, %v", held, err)
				}
				taken.Add(1)
				owners.Add(-1)
				if taken.Load()%2 == 0 { // every second one is killed
					p.remove()
				}
				f.Close()
			}
		})
	}
	all.Wait()
	close(done)
	sweepers.Wait()
	if taken.Load() == 0 {
		t.Error("nobody got it")
	}
	sweep()
	if left, err := os.ReadDir(base); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}
