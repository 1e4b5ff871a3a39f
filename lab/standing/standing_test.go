package standing

import (
	"strings"
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
