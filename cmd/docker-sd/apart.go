package main

import (
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// checkApart refuses host paths for pods from which they would reach the engine or
// docker-sd itself.
func checkApart(settings config.Config, info engine.Info) error {
	places := settings.Places()
	if info.RootDir != "" {
		places = append(places, config.Place{Path: info.RootDir, What: "the Docker engine's data root"})
	}
	return settings.CheckApart(places)
}
