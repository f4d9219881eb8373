package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// Places of calls: the host's engine, and what is in its sandboxes.
const (
	hostPlace    = "host "
	sandboxPlace = "sandbox "
)

// Calls that docker-sd makes on a host where nothing happens: signs of life, the
// search for strays, and waits that are renewed.
const (
	pingCall     = "/_ping" // GET and HEAD
	listCall     = "GET /containers/json"
	networksCall = "GET /networks"
	volumesCall  = "GET /volumes"
	waitCall     = "POST /containers/*/wait"
)

// plainCalls are what docker-sd asks an engine and an init for plain pods whose images are
// there: at either place, if it names none.
var plainCalls = []string{
	"GET /_ping", "HEAD /_ping", "GET /info", "GET /events", listCall, networksCall, volumesCall, waitCall,
	"POST /containers/create", "GET /containers/*/json", "GET /containers/*/logs", "POST /containers/*/start",
	"POST /containers/*/stop", "POST /containers/*/rename", "POST /containers/*/update", "DELETE /containers/*",
	"POST /networks/create", "DELETE /networks/*", "POST /networks/*/disconnect", "POST /networks/*/connect",
	"GET /images/json", "GET /images/*/json",
	// The image of the container that proves that a new sandbox runs containers.
	sandboxPlace + "POST /images/create",
	"init " + initapi.OpStatus, "init " + initapi.OpKill, "init " + initapi.OpCheck, "init " + initapi.OpPin,
	"init " + initapi.OpTmpfs, "init " + initapi.OpShm, "init " + initapi.OpSysctl,
}

// unexpectedCalls returns the calls that no plain pod needs.
func unexpectedCalls(calls map[string]int) []string {
	var out []string
	for _, call := range slices.Sorted(maps.Keys(calls)) {
		kind := strings.TrimPrefix(strings.TrimPrefix(call, hostPlace), sandboxPlace)
		if !slices.Contains(plainCalls, kind) && !slices.Contains(plainCalls, call) {
			out = append(out, fmt.Sprintf("%d x %s", calls[call], call))
		}
	}
	return out
}

// sweepPeriod is how often docker-sd looks for strays on its host.
const sweepPeriod = time.Minute

// polledCalls returns which calls between two takes cannot be explained by what
// goes on in the background of a docker-sd: they would have been made for polls.
func polledCalls(before, after map[string]int, took time.Duration) []string {
	sweeps := int(took/sweepPeriod) + 1
	allowed := map[string]int{hostPlace + listCall: sweeps, hostPlace + networksCall: sweeps, hostPlace + volumesCall: sweeps}
	var out []string
	for _, call := range slices.Sorted(maps.Keys(after)) {
		made := after[call] - before[call] - allowed[call]
		if made > 0 && !background(call) {
			out = append(out, fmt.Sprintf("%d x %s", made, call))
		}
	}
	return out
}

// background says that a call's number means nothing: signs of life, and waits,
// which are renewed.
func background(call string) bool {
	return strings.HasSuffix(call, pingCall) || strings.HasSuffix(call, waitCall)
}
