package preflight_test

import (
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

func TestInterlink(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ago := func(s int) time.Time { return now.Add(-time.Duration(s) * time.Second) }
	api := func(ping, create int, lists bool) preflight.Caller {
		c := preflight.Caller{What: "interLink's API server", Address: "127.0.0.1:4000", UserAgent: "Go-http-client/1.1", Lists: lists}
		if ping > 0 {
			c.Ping = ago(ping)
		}
		if create > 0 {
			c.Create = ago(create)
		}
		return c
	}
	kubelet := preflight.Caller{What: "a Virtual Kubelet", Address: ":3000", Same: true}
	calling := kubelet
	calling.Ping, calling.Create = ago(7), ago(60)
	judge := func(callers ...preflight.Caller) preflight.Line {
		return preflight.Interlink(true, ago(3600), now, callers...)
	}
	holds(t, map[string]judged{
		"none runs":     {preflight.Interlink(false, time.Time{}, now), preflight.OK, "not known while no docker-sd runs"},
		"does not tell": {judge(), preflight.OK, "of another version"},
		"just started":  {preflight.Interlink(true, ago(20), now, api(0, 0, false)), preflight.OK, "no call yet, and docker-sd runs for 20s"},
		"never":         {judge(api(0, 0, false)), preflight.Warn, "nobody has called since docker-sd was started 1h0m0s ago, and interLink pings every 30s: it expects interLink's API server at 127.0.0.1:4000"},
		"never, two":    {judge(api(0, 0, false), kubelet), preflight.Warn, "interLink's API server at 127.0.0.1:4000 or a Virtual Kubelet at :3000"},
		"pings":         {judge(api(12, 0, false)), preflight.OK, "interLink's API server calls: last ping 12s ago; its version is not known before its first create (Go-http-client/1.1)"},
		"new":           {judge(api(12, 300, false)), preflight.OK, "last ping 12s ago, create 5m0s ago; it is of interLink 0.5.0 or later"},
		"old":           {judge(api(12, 300, true)), preflight.OK, "before 0.5.0"},
		"went away":     {judge(api(600, 700, false)), preflight.Warn, "last ping 10m0s ago"},
		"only one":      {judge(api(0, 0, false), calling), preflight.OK, "a Virtual Kubelet calls: last ping 7s ago, create 1m0s ago; its calls do not tell its version"},
		"one went away": {judge(api(600, 0, false), calling), preflight.OK, "a Virtual Kubelet calls"},
	})
}
