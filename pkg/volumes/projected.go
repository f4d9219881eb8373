package volumes

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// planProjected takes the files that interLink resolved and adds what it leaves
// out but the request holds (protocol 5.3): downward API items, and objects that
// another volume of the pod brings along. What is still missing is a warning,
// because the author of the pod cannot make interLink send it.
func (p *plan) planProjected(v *volume, sources []v1.VolumeProjection, mode *int32, uid *int64) {
	f := p.payload(v, projectedFolder, mode, uid)
	sent, ok := p.data.Projected[v.name]
	content := configMapData(sent)
	for _, name := range slices.Sorted(maps.Keys(content)) {
		clean, err := cleanItemPath(name)
		if err != nil {
			f.refuse("data: %v", err)
			continue
		}
		v.files[clean] = file{data: unescapePEM(content[name]), mode: f.options.mode, uid: f.options.uid, sent: true}
	}
	before := len(p.warnings)
	for i := range sources {
		f.addSource(i, &sources[i])
	}
	if !ok && len(p.warnings) > before {
		p.warnings = p.warnings[:before]
		f.warn("no data was sent for it (interLink's option DisableProjectedVolumes does this); it holds only what the pod itself tells")
	}
	f.checkFiles()
}

// addSource adds what the request holds of source number i.
func (f payload) addSource(i int, src *v1.VolumeProjection) {
	switch {
	case src.DownwardAPI != nil:
		f.addDownwardAPI(i, src.DownwardAPI.Items)
	case src.ConfigMap != nil:
		f.complete(i, f.plan.data.configMap(src.ConfigMap.Name), src.ConfigMap.Items, isTrue(src.ConfigMap.Optional))
	case src.Secret != nil:
		f.complete(i, f.plan.data.secret(src.Secret.Name), src.Secret.Items, isTrue(src.Secret.Optional))
	case src.ServiceAccountToken != nil:
		f.narrowToken(i, src.ServiceAccountToken)
	case src.ClusterTrustBundle != nil:
		f.expectFile(i, src.ClusterTrustBundle.Path)
	case src.PodCertificate != nil:
		for _, name := range []string{src.PodCertificate.CredentialBundlePath, src.PodCertificate.KeyPath, src.PodCertificate.CertificateChainPath} {
			if name != "" {
				f.expectFile(i, name)
			}
		}
	}
}

// complete gives the files of a ConfigMap or Secret source their modes, and
// the files that are missing the content of the object if the request has it.
func (f payload) complete(i int, o object, items []v1.KeyToPath, optional bool) {
	at := fmt.Sprintf("sources[%d] %s %s", i, o.kind, o.name)
	missing := len(items) == 0 && o.kind == "Secret"
	for n, item := range items {
		if err := checkMode(item.Mode); err != nil && !o.sent {
			f.refuse("%s items[%d]: %v", at, n, err)
		}
		clean, err := cleanItemPath(item.Path)
		if err != nil {
			f.refuse("%s items[%d]: %v", at, n, err)
			return
		}
		if !f.setOptions(clean, f.options.item(item.Mode, item.User)) {
			missing = true
		}
	}
	switch {
	case o.sent:
		f.addObject(o, items, optional)
	case !missing || optional:
	case o.kind == "Secret":
		f.warn("%s: interLink does not send the Secrets of projected volumes; mount the Secret as a volume of its own too, its files are then taken from there", at)
	default:
		f.warn("%s: not all its items were sent; their files are missing", at)
	}
}

// narrowToken narrows a service account token to its reader, as the kubelet does:
// with an fsGroup or one common user it is 0600 and owned by that user.
func (f payload) narrowToken(i int, src *v1.ServiceAccountTokenProjection) {
	if !f.expectFile(i, src.Path) {
		return
	}
	opts, user := f.options, commonUser(f.plan.pod)
	if user != nil || f.volume.gid != nil {
		opts.mode = 0o600
	}
	if user != nil {
		opts.uid = user
	}
	clean, _ := cleanItemPath(src.Path)
	f.setOptions(clean, opts.item(nil, src.User))
}

// expectFile warns when a file of source number i was not sent; it reports whether it was.
func (f payload) expectFile(i int, name string) bool {
	clean, err := cleanItemPath(name)
	if err != nil {
		f.refuse("sources[%d]: %v", i, err)
		return false
	}
	if _, ok := f.volume.files[clean]; !ok {
		f.warn("sources[%d]: file %s was not sent; it is missing", i, clean)
		return false
	}
	return true
}

// commonUser is the one user that all containers run as, nil if there is none.
func commonUser(pod *v1.Pod) *int64 {
	var user *int64
	for _, c := range containers(pod) {
		var own *int64
		if pod.Spec.SecurityContext != nil {
			own = pod.Spec.SecurityContext.RunAsUser
		}
		if c.SecurityContext != nil && c.SecurityContext.RunAsUser != nil {
			own = c.SecurityContext.RunAsUser
		}
		if own == nil || (user != nil && *user != *own) {
			return nil
		}
		user = own
	}
	return user
}

// unescapePEM repairs certificates whose line ends arrive as the two characters
// backslash and n, which an override in the virtual kubelet's configuration
// produces (protocol 5.3).
func unescapePEM(content []byte) []byte {
	s := string(content)
	if strings.HasPrefix(s, "-----BEGIN ") && !strings.Contains(s, "\n") {
		return []byte(strings.ReplaceAll(s, `\n`, "\n"))
	}
	return content
}
