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
	opts := p.payload(v, projectedFolder, mode, uid)
	sent, ok := p.data.Projected[v.name]
	content := configMapData(sent)
	for _, name := range slices.Sorted(maps.Keys(content)) {
		clean, err := cleanItemPath(name)
		if err != nil {
			p.refuse(v.field, "data: %v", err)
			continue
		}
		v.files[clean] = file{data: unescapePEM(content[name]), mode: opts.mode, uid: opts.uid, sent: true}
	}
	before := len(p.warnings)
	for i := range sources {
		p.planSource(v, i, &sources[i], opts)
	}
	if !ok && len(p.warnings) > before {
		p.warnings = p.warnings[:before]
		p.warn(v.field, "no data was sent for it (interLink's option DisableProjectedVolumes does this); it holds only what the pod itself tells")
	}
	p.checkFiles(v)
}

func (p *plan) planSource(v *volume, i int, src *v1.VolumeProjection, opts fileOptions) {
	switch {
	case src.DownwardAPI != nil:
		p.planDownwardAPI(v, i, src.DownwardAPI.Items, opts)
	case src.ConfigMap != nil:
		cm, ok := p.data.ConfigMaps[src.ConfigMap.Name]
		o := object{"ConfigMap", src.ConfigMap.Name, configMapData(cm)}
		p.planObject(v, i, o, ok, src.ConfigMap.Items, isTrue(src.ConfigMap.Optional), opts)
	case src.Secret != nil:
		s, ok := p.data.Secrets[src.Secret.Name]
		o := object{"Secret", src.Secret.Name, s.Data}
		p.planObject(v, i, o, ok, src.Secret.Items, isTrue(src.Secret.Optional), opts)
	case src.ServiceAccountToken != nil:
		p.planToken(v, i, src.ServiceAccountToken, opts)
	case src.ClusterTrustBundle != nil:
		p.expectFile(v, i, src.ClusterTrustBundle.Path)
	case src.PodCertificate != nil:
		for _, name := range []string{src.PodCertificate.CredentialBundlePath, src.PodCertificate.KeyPath, src.PodCertificate.CertificateChainPath} {
			if name != "" {
				p.expectFile(v, i, name)
			}
		}
	}
}

// planObject gives the files of a ConfigMap or Secret source their modes, and
// the files that are missing the content of the object if the request has it.
func (p *plan) planObject(v *volume, i int, o object, found bool, items []v1.KeyToPath, optional bool, opts fileOptions) {
	at := fmt.Sprintf("sources[%d] %s %s", i, o.kind, o.name)
	missing := len(items) == 0 && o.kind == "Secret"
	for n, item := range items {
		if err := checkMode(item.Mode); err != nil && !found {
			p.refuse(v.field, "%s items[%d]: %v", at, n, err)
		}
		clean, err := cleanItemPath(item.Path)
		if err != nil {
			p.refuse(v.field, "%s items[%d]: %v", at, n, err)
			return
		}
		if !p.setOptions(v, clean, opts.item(item.Mode, item.User)) {
			missing = true
		}
	}
	switch {
	case found:
		p.addObject(v, o, items, optional, opts)
	case !missing || optional:
	case o.kind == "Secret":
		p.warn(v.field, "%s: interLink does not send the Secrets of projected volumes; mount the Secret as a volume of its own too, its files are then taken from there", at)
	default:
		p.warn(v.field, "%s: not all its items were sent; their files are missing", at)
	}
}

// planToken narrows a service account token to its reader, as the kubelet does:
// with an fsGroup or one common user it is 0600 and owned by that user.
func (p *plan) planToken(v *volume, i int, src *v1.ServiceAccountTokenProjection, opts fileOptions) {
	if !p.expectFile(v, i, src.Path) {
		return
	}
	user := p.commonUser()
	if user != nil || v.gid != nil {
		opts.mode = 0o600
	}
	if user != nil {
		opts.uid = user
	}
	clean, _ := cleanItemPath(src.Path)
	p.setOptions(v, clean, opts.item(nil, src.User))
}

// expectFile warns when a file of a source was not sent.
func (p *plan) expectFile(v *volume, i int, name string) bool {
	clean, err := cleanItemPath(name)
	if err != nil {
		p.refuse(v.field, "sources[%d]: %v", i, err)
		return false
	}
	if _, ok := v.files[clean]; !ok {
		p.warn(v.field, "sources[%d]: file %s was not sent; it is missing", i, clean)
		return false
	}
	return true
}

// setOptions gives a file that was sent its mode and owner; it reports whether
// there is such a file.
func (p *plan) setOptions(v *volume, clean string, opts fileOptions) bool {
	f, ok := v.files[clean]
	if ok {
		f.mode, f.uid = opts.mode, opts.uid
		v.files[clean] = f
	}
	return ok
}

// commonUser is the one user that all containers run as, nil if there is none.
func (p *plan) commonUser() *int64 {
	var user *int64
	for _, c := range containers(p.pod) {
		var own *int64
		if p.pod.Spec.SecurityContext != nil {
			own = p.pod.Spec.SecurityContext.RunAsUser
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
