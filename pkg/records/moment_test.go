package records

import (
	"testing"
	"time"
)

func TestNow(t *testing.T) {
	first := Now()
	if first.Boot == "" || first.Up <= 0 {
		t.Fatalf("now() = %+v", first)
	}
	if again := Now(); again.Boot != first.Boot || again.Up < first.Up {
		t.Errorf("now() = %+v after %+v", again, first)
	}
}

// TestAge: a clock that is set does not change how long a pod has been active.
func TestAge(t *testing.T) {
	clock := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	began := Record{Since: clock, Began: Moment{Boot: "b", Up: time.Hour}}
	for name, c := range map[string]struct {
		record   Record
		at       Moment
		clock    time.Time
		want     time.Duration
		rebooted bool
	}{
		"ten seconds later":      {began, Moment{"b", time.Hour + 10*time.Second}, clock.Add(10 * time.Second), 10 * time.Second, false},
		"set forward":            {began, Moment{"b", time.Hour + 10*time.Second}, clock.Add(time.Hour), 10 * time.Second, false},
		"set back":               {began, Moment{"b", time.Hour + 10*time.Second}, clock.Add(-time.Hour), 10 * time.Second, false},
		"another boot":           {began, Moment{"c", time.Minute}, clock.Add(time.Hour), time.Hour, true},
		"another boot, set back": {began, Moment{"c", time.Minute}, clock.Add(-time.Hour), 0, true},
		"an older record":        {Record{Since: clock}, Moment{"b", time.Minute}, clock.Add(time.Minute), time.Minute, false},
		"a silent kernel":        {Record{Since: clock}, Moment{}, clock.Add(time.Minute), time.Minute, false},
		"silent since":           {began, Moment{}, clock.Add(time.Minute), time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.record.Age(c.at, c.clock); got != c.want {
				t.Errorf("age() = %s, want %s", got, c.want)
			}
			if got := c.record.Rebooted(c.at); got != c.rebooted {
				t.Errorf("rebooted() = %t", got)
			}
		})
	}
}
