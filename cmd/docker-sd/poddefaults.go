package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/docker/go-units"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/hostfiles"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
)

// podDefaults are those of a valid configuration.
func podDefaults(d config.PodDefaults) podspec.Defaults {
	out := podspec.Defaults{Limits: resourceList(d.Limits), Requests: resourceList(d.Requests), ShmBytes: d.ShmBytes}
	for _, variable := range []v1.EnvVar{{Name: "http_proxy", Value: d.HTTPProxy}, {Name: "https_proxy", Value: d.HTTPSProxy}, {Name: "no_proxy", Value: d.NoProxy}} {
		if variable.Value == "" {
			continue
		}
		// Programs differ in which of the two they read.
		out.Env = append(out.Env, variable, v1.EnvVar{Name: strings.ToUpper(variable.Name), Value: variable.Value})
	}
	return out
}

// readDefaults adds what pods take over from files of the host.
func readDefaults(d config.PodDefaults, to *podspec.Defaults) error {
	root := os.DirFS("/")
	if d.TimeZone != "" {
		zone, err := hostfiles.ReadZone(root, d.TimeZone)
		if err != nil {
			return fmt.Errorf("PodDefaults.timeZone: %w", err)
		}
		to.Env, to.ZoneName, to.Zone = append(to.Env, v1.EnvVar{Name: "TZ", Value: zone.Name}), zone.Name, zone.Data
	}
	if d.CACertificates != "" {
		var err error
		if to.Authorities, err = hostfiles.ReadAuthorities(root, strings.TrimPrefix(d.CACertificates, "/")); err != nil {
			return fmt.Errorf("PodDefaults.caCertificates: %w", err)
		}
	}
	return nil
}

func resourceList(amounts config.Amounts) v1.ResourceList {
	out := v1.ResourceList{}
	for name, text := range amounts {
		out[v1.ResourceName(name)] = resource.MustParse(text)
	}
	return out
}

// ulimits of the containers of a sandbox, in the order of their names: they are part of its
// generation.
func ulimits(amounts config.Amounts) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(amounts)) {
		if limit, err := units.ParseUlimit(name + "=" + amounts[name]); err == nil { // the configuration is valid
			out = append(out, limit.String())
		}
	}
	return out
}
