package main

import (
	"math"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

// Usage is what the pods of the example use: each in its own way over the last hour.
func (e example) Usage() usage.Report {
	shapes := map[string]func(x float64) (cores, gib float64){
		"genomics": func(x float64) (float64, float64) { return 3 + math.Sin(x*9) + 0.4*math.Sin(x*61), 2 + 5*x },
		"physics":  func(x float64) (float64, float64) { return 0.9 + 0.1*math.Sin(x*80), 1.2 },
		"vision": func(x float64) (float64, float64) {
			return 6 + 3*math.Copysign(1, math.Sin(x*40)), 22 + 2*math.Sin(x*20)
		},
	}
	out := usage.Report{Time: time.Now(), Pods: []usage.Pod{}}
	for _, p := range e.Pods().Pods {
		shape, known := shapes[p.Namespace]
		if !known || p.Phase != "running" {
			continue
		}
		cores, gib := shape(1)
		one := usage.Pod{UID: p.UID, Figures: usage.Figures{Cores: &cores, WorkingSetBytes: uint64(gib * (1 << 30))}}
		for _, c := range p.Containers {
			part := cores / float64(len(p.Containers))
			one.Containers = append(one.Containers, usage.Container{Name: c.Name, CPULimit: 4, MemoryLimitBytes: 16 << 30,
				Figures: usage.Figures{Cores: &part, WorkingSetBytes: uint64(gib * (1 << 30) / 2)}})
		}
		for i := range 120 {
			ago := time.Duration(119-i) * 30 * time.Second
			if before(ago).Before(p.Created) {
				continue
			}
			cores, gib := shape(float64(i) / 120)
			one.History = append(one.History, usage.Point{Second: before(ago).Unix(), Cores: float32(cores), KiB: uint32(gib * (1 << 20))})
		}
		out.Pods = append(out.Pods, one)
	}
	return out
}
