// Package keyring is credentials for registries of images: those of a pod's secrets and of
// Docker's own configuration, with its helpers.
package keyring

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/cpuguy83/dockercfg"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// Keyring holds registry credentials, in the form of Docker's own configuration.
type Keyring []dockercfg.Config

// Of reads the credentials among secrets that came with a pod, in the order
// of the secrets' names. interLink sends the secrets that a pod mounts, not its
// imagePullSecrets (protocol 5.3).
func Of(secrets map[string]v1.Secret) Keyring {
	var keys Keyring
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		secret := secrets[name]
		var config dockercfg.Config
		var err error
		switch secret.Type {
		case v1.SecretTypeDockerConfigJson:
			err = json.Unmarshal(secret.Data[v1.DockerConfigJsonKey], &config)
		case v1.SecretTypeDockercfg: // the entries alone
			err = json.Unmarshal(secret.Data[v1.DockerConfigKey], &config.AuthConfigs)
		default:
			continue
		}
		if err == nil {
			// A pod's secret must not name programs that this host would run.
			config.CredentialsStore, config.CredentialHelpers = "", nil
			keys = append(keys, config)
		}
	}
	return keys
}

// For are the credentials for a repository of a registry, in the order in which kubelet tries
// them: the longest path first, a host before a pattern of hosts, then as the
// keyring has them. None is not an
// error, since images may be public. A helper is run when its turn comes.
func (k Keyring) For(ctx context.Context, host, repository string) iter.Seq2[engine.Credentials, error] {
	registry := registryOf(host)
	var all []lookup
	for _, config := range k {
		all = append(all, lookups(config, host)...)
	}
	all = slices.DeleteFunc(all, func(l lookup) bool { return !l.has(registry, repository) })
	slices.SortStableFunc(all, func(a, b lookup) int {
		return cmp.Or(cmp.Compare(len(b.path), len(a.path)), cmp.Compare(b.precise(), a.precise()))
	})
	return func(yield func(engine.Credentials, error) bool) {
		for _, one := range all {
			found, err := one.get(ctx)
			if err != nil {
				found, err = engine.Credentials{}, fmt.Errorf("look for credentials of registry %s: %w", host, err)
			} else if found == (engine.Credentials{}) {
				continue
			} else {
				found.Server = host
			}
			if !yield(found, err) {
				return
			}
		}
	}
}

// lookup is one way to credentials, which need not lead to any.
type lookup struct {
	place
	get func(context.Context) (engine.Credentials, error)
}

// lookups are all ways of a configuration to credentials; host is the registry
// that helpers are asked about.
func lookups(config dockercfg.Config, host string) []lookup {
	server, store := dockercfg.ResolveRegistryHost(host), config.CredentialsStore
	var out []lookup
	ask := func(about place, helper string) {
		if helper != "" {
			out = append(out, lookup{about, func(ctx context.Context) (engine.Credentials, error) { return askHelper(ctx, helper, server) }})
		}
	}
	whole := place{host: registryOf(host)}
	for _, key := range shortestFirst(config.CredentialHelpers) {
		about, helper := placeOf(key), config.CredentialHelpers[key]
		ask(about, helper)
		if about == whole && helper != "" {
			store = "" // Docker asks the store about registries without a helper
		}
	}
	ask(whole, store)
	for _, key := range shortestFirst(config.AuthConfigs) {
		out = append(out, lookup{placeOf(key), func(context.Context) (engine.Credentials, error) { return entered(config.AuthConfigs[key]) }})
	}
	return out
}

// shortestFirst orders keys: where several mean one registry, that is the bare
// host before all others.
func shortestFirst[T any](keys map[string]T) []string {
	return slices.SortedFunc(maps.Keys(keys), func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
}

// entered are the credentials of an entry. Beside an identity token, which takes
// the place of a password, user and password mean nothing.
func entered(entry dockercfg.AuthConfig) (engine.Credentials, error) {
	switch {
	case entry.IdentityToken != "":
		return engine.Credentials{IdentityToken: entry.IdentityToken}, nil
	case entry.Username != "" && entry.Password != "":
		return engine.Credentials{User: entry.Username, Password: entry.Password}, nil
	}
	user, password, err := dockercfg.DecodeBase64Auth(entry)
	return engine.Credentials{User: user, Password: password}, err
}

// place is what a key of a configuration is about: a registry, and the
// repositories below a path there, "" for all.
type place struct{ host, path string }

// placeOf reads a key as Docker and kubelet do: it may have a scheme, the version
// of the registry's API, and a path.
func placeOf(key string) place {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	host, path, _ := strings.Cut(key, "/")
	if version, rest, _ := strings.Cut(path, "/"); version == "v1" || version == "v2" {
		path = rest
	}
	return place{registryOf(host), strings.Trim(path, "/")}
}

// registryOf gives all names of Docker Hub one form.
func registryOf(host string) string {
	if dockercfg.ResolveRegistryHost(host) != host {
		return "docker.io"
	}
	return host
}

// has says whether a place is that of a repository, by whole names: whose key is
// for team has none for teammates. As in kubelet, a host may be a pattern.
func (p place) has(host, repository string) bool {
	below, found := strings.CutPrefix(repository, p.path)
	return found && (p.path == "" || below == "" || below[0] == '/') && (p.host == host || p.covers(host))
}

// covers matches hosts with the same number of names, each by its own pattern;
// the port, if any, is no pattern.
func (p place) covers(host string) bool {
	patterns, port, _ := strings.Cut(p.host, ":")
	names, asked, _ := strings.Cut(host, ":")
	wanted, given := strings.Split(patterns, "."), strings.Split(names, ".")
	if port != asked || len(wanted) != len(given) {
		return false
	}
	for i, pattern := range wanted {
		if matches, err := path.Match(pattern, given[i]); err != nil || !matches {
			return false
		}
	}
	return true
}

// precise is 1 for a host, 0 for a pattern of hosts.
func (p place) precise() int {
	if strings.ContainsAny(p.host, "*?[") {
		return 0
	}
	return 1
}
