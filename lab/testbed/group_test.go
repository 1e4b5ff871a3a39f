package testbed

import (
	"testing"
	"time"
)

func TestQuotas(t *testing.T) {
	for cores, want := range map[float64][2]time.Duration{
		1.5:   {30 * time.Millisecond, 20 * time.Millisecond},
		0.05:  {time.Millisecond, 20 * time.Millisecond},
		0.01:  {time.Millisecond, 100 * time.Millisecond},
		0.001: {time.Millisecond, time.Second},
	} {
		quota, every, err := quotaOf(cores)
		if err != nil || quota.Round(time.Microsecond) != want[0] || every.Round(time.Microsecond) != want[1] {
			t.Errorf("%v cores: got %v of %v, %v; want %v", cores, quota, every, err, want)
		}
	}
	if _, _, err := quotaOf(0.0009); err == nil {
		t.Error("less than the kernel takes was taken")
	}
}
