package podspec

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// fieldUse is what becomes of a field of a pod on this node.
type fieldUse int

const (
	// handled fields do what Kubernetes says.
	handled fieldUse = iota
	// refused fields are an error of the create that names them.
	refused
	// ignored fields are accepted and change nothing here.
	ignored
)

// String is the word of the documentation.
func (u fieldUse) String() string { return [...]string{"honoured", "refused", "ignored"}[u] }

// fieldRule says what becomes of one field, or of all that is below it.
type fieldRule struct {
	// path is the field's JSON name from "spec" on, with [] where a list is
	// entered. Fields of spec.containers[] stand for init containers as well.
	path string
	use  fieldUse
	// text names the packages that handle a field, with a remark after a semicolon;
	// or it is what a refusal tells its user to do, or why a field is ignored.
	text string
	// only lists the values that a refusal is for; without it, it is every value.
	only []string
	// except is what a handled field may not ask for.
	except string
}

// fieldRules covers each field of v1.PodSpec exactly once, so that a field that
// Kubernetes adds cannot go unnoticed. Validate acts on the refused ones.
var fieldRules = []fieldRule{
	{path: "spec.volumes", use: handled, text: "pkg/volumes",
		except: "kinds other than emptyDir, configMap, secret, projected, downwardAPI, hostPath, persistentVolumeClaim, ephemeral, image and nfs; host paths, claims and NFS servers that the operator did not allow"},
	{path: "spec.initContainers", use: handled, text: "pkg/pods; their fields as those of spec.containers[]",
		except: "probes and lifecycle of an init container that is not a sidecar"},
	{path: "spec.ephemeralContainers", use: refused, text: "is not supported by this node; add a container to the pod"},
	{path: "spec.restartPolicy", use: handled, text: "pkg/pods"},
	{path: "spec.terminationGracePeriodSeconds", use: handled, text: "pkg/pods"},
	{path: "spec.activeDeadlineSeconds", use: handled, text: "pkg/pods"},
	{path: "spec.dnsPolicy", use: handled, text: "pkg/podspec; without a full mesh there is no cluster DNS here, so each policy but None is Default"},
	{path: "spec.nodeSelector", use: ignored, text: "the scheduler has applied it"},
	{path: "spec.serviceAccountName", use: ignored, text: "its token arrives as a projected volume; the name itself serves fieldRef"},
	{path: "spec.serviceAccount", use: ignored, text: "the old name of serviceAccountName"},
	{path: "spec.automountServiceAccountToken", use: ignored, text: "the cluster has added the token's volume, or has not"},
	{path: "spec.nodeName", use: ignored, text: "the pod is here already; the name serves fieldRef"},
	{path: "spec.hostNetwork", use: handled, text: "pkg/podspec; the host is the pod's sandbox",
		except: "true, unless the operator lets it mean the sandbox's network (HostNetworkIsSandbox)"},
	{path: "spec.hostPID", use: handled, text: "pkg/podspec; the host is the pod's sandbox"},
	{path: "spec.hostIPC", use: handled, text: "pkg/podspec; the containers of a pod share the sandbox's IPC namespace in any case"},
	{path: "spec.shareProcessNamespace", use: handled, text: "pkg/pods"},

	{path: "spec.securityContext.seLinuxOptions", use: ignored, text: "sandboxes run without SELinux labels"},
	{path: "spec.securityContext.seLinuxChangePolicy", use: ignored, text: "sandboxes run without SELinux labels"},
	{path: "spec.securityContext.windowsOptions", use: refused, text: "is for Windows; this node runs Linux containers only"},
	{path: "spec.securityContext.runAsUser", use: handled, text: "pkg/podspec"},
	{path: "spec.securityContext.runAsGroup", use: handled, text: "pkg/podspec"},
	{path: "spec.securityContext.runAsNonRoot", use: handled, text: "pkg/podspec"},
	{path: "spec.securityContext.supplementalGroups", use: handled, text: "pkg/podspec"},
	{path: "spec.securityContext.supplementalGroupsPolicy", use: handled, text: "pkg/podspec"},
	{path: "spec.securityContext.fsGroup", use: handled, text: "pkg/podspec, pkg/volumes"},
	{path: "spec.securityContext.fsGroupChangePolicy", use: ignored, text: "volumes are made for the pod, so there is nothing to change later"},
	{path: "spec.securityContext.sysctls", use: handled, text: "pkg/pods",
		except: "sysctls that have no namespace of their own; unsafe ones, unless the operator allows them (AllowedUnsafeSysctls)"},
	{path: "spec.securityContext.seccompProfile", use: handled, text: "pkg/podspec, pkg/containers", except: "type Localhost, unless the operator names a folder of profiles (SeccompProfileRoot)"},
	{path: "spec.securityContext.appArmorProfile", use: handled, text: "pkg/podspec", except: "type Localhost, unless the operator allows the profile (AppArmorProfiles)"},

	{path: "spec.imagePullSecrets", use: ignored, text: "interLink does not send the secrets; the node's operator configures registry credentials"},
	{path: "spec.hostname", use: handled, text: "pkg/podspec"},
	{path: "spec.subdomain", use: handled, text: "pkg/podspec"},
	{path: "spec.affinity", use: ignored, text: "the scheduler has applied it"},
	{path: "spec.schedulerName", use: ignored, text: "the scheduler has done its work"},
	{path: "spec.tolerations", use: ignored, text: "the scheduler has applied them, and evictions for taints are the cluster's"},
	{path: "spec.hostAliases", use: handled, text: "pkg/podspec"},
	{path: "spec.priorityClassName", use: ignored, text: "the scheduler has applied it"},
	{path: "spec.priority", use: ignored, text: "the scheduler has applied it; this node preempts no pod"},
	{path: "spec.dnsConfig", use: handled, text: "pkg/podspec"},
	{path: "spec.readinessGates", use: ignored, text: "the Virtual Kubelet replaces the pod's conditions by Ready, so a gate cannot hold a pod back"},
	{path: "spec.runtimeClassName", use: handled, text: "pkg/podspec, pkg/containers", except: "classes that the operator did not map to a way to run them (RuntimeClasses)"},
	{path: "spec.enableServiceLinks", use: ignored, text: "the Virtual Kubelet adds the variables of services"},
	{path: "spec.preemptionPolicy", use: ignored, text: "the scheduler has applied it"},
	{path: "spec.overhead", use: ignored, text: "it comes with a runtimeClassName, for the scheduler's sums"},
	{path: "spec.topologySpreadConstraints", use: ignored, text: "the scheduler has applied them"},
	{path: "spec.setHostnameAsFQDN", use: handled, text: "pkg/podspec"},
	{path: "spec.os.name", use: refused, only: []string{"windows"}, text: "windows is not supported; this node runs Linux containers only"},
	{path: "spec.hostUsers", use: refused, only: []string{"false"},
		text: "false is not supported by this node, which has no user namespaces for pods; leave it out"},
	{path: "spec.schedulingGates", use: ignored, text: "a pod is bound to a node only after they are gone"},
	{path: "spec.resourceClaims", use: refused, text: "is not possible on this node: interLink does not send the devices that were allocated to a claim; ask for devices in resources.limits"},
	{path: "spec.resources.limits", use: handled, text: "pkg/podspec, pkg/pods", except: "hugepages-* that the node does not have, memory below 6Mi, less than a container's limit"},
	{path: "spec.resources.requests", use: handled, text: "pkg/podspec", except: "hugepages-* other than the limit, more than the limit, less than the containers' together"},
	{path: "spec.resources.claims", use: refused, text: "a pod as a whole cannot have claims"},
	{path: "spec.hostnameOverride", use: handled, text: "pkg/podspec"},
	{path: "spec.schedulingGroup", use: ignored, text: "the scheduler has applied it"},
	{path: "spec.evictionResponders", use: ignored, text: "evictions are the cluster's"},

	{path: "spec.containers[].name", use: handled, text: "pkg/podspec"},
	{path: "spec.containers[].image", use: handled, text: "pkg/images"},
	{path: "spec.containers[].command", use: handled, text: "pkg/podspec"},
	{path: "spec.containers[].args", use: handled, text: "pkg/podspec"},
	{path: "spec.containers[].workingDir", use: handled, text: "pkg/podspec"},
	{path: "spec.containers[].ports[].name", use: handled, text: "pkg/probes"},
	{path: "spec.containers[].ports[].hostPort", use: handled, text: "pkg/podspec", except: "one that another pod of the node holds"},
	{path: "spec.containers[].ports[].containerPort", use: handled, text: "pkg/podspec, pkg/probes"},
	{path: "spec.containers[].ports[].protocol", use: refused, only: []string{"SCTP"}, text: "SCTP is not supported by this node; use TCP or UDP"},
	{path: "spec.containers[].ports[].hostIP", use: handled, text: "pkg/podspec"},
	{path: "spec.containers[].envFrom", use: ignored, text: "the Virtual Kubelet has resolved it into env"},
	{path: "spec.containers[].env[].name", use: handled, text: "pkg/podspec"},
	{path: "spec.containers[].env[].value", use: handled, text: "pkg/podspec"},
	{path: "spec.containers[].env[].valueFrom.fieldRef", use: handled, text: "pkg/podspec"},
	{path: "spec.containers[].env[].valueFrom.resourceFieldRef", use: handled, text: "pkg/podspec"},
	{path: "spec.containers[].env[].valueFrom.configMapKeyRef", use: ignored,
		text: "the Virtual Kubelet has resolved it; a variable that arrives unresolved is left out, with a warning in the log"},
	{path: "spec.containers[].env[].valueFrom.secretKeyRef", use: ignored,
		text: "the Virtual Kubelet has resolved it; a variable that arrives unresolved is left out, with a warning in the log"},
	{path: "spec.containers[].env[].valueFrom.fileKeyRef", use: handled, text: "pkg/podspec, pkg/containers"},
	{path: "spec.containers[].resources.limits", use: handled, text: "pkg/podspec, pkg/gpu", except: "hugepages-* that the node does not have, memory below 6Mi"},
	{path: "spec.containers[].resources.requests", use: handled, text: "pkg/podspec, pkg/gpu", except: "hugepages-* other than the limit, more than the limit"},
	{path: "spec.containers[].resources.claims", use: refused, text: "is not possible on this node: interLink does not send the devices that were allocated to a claim; ask for devices in resources.limits"},
	{path: "spec.containers[].resizePolicy", use: ignored, text: "interLink sends no changes of a pod, so nothing is resized"},
	{path: "spec.containers[].restartPolicy", use: handled, text: "pkg/pods, pkg/podspec"},
	{path: "spec.containers[].restartPolicyRules[].action", use: handled, text: "pkg/containers"},
	{path: "spec.containers[].restartPolicyRules[].exitCodes", use: handled, text: "pkg/pods"},
	{path: "spec.containers[].volumeMounts", use: handled, text: "pkg/volumes", except: "bindMountOptions; mountPropagation Bidirectional of a container that is not privileged; recursiveReadOnly Enabled of a hostPath, a claim, or a volume that a container mounts Bidirectional"},
	{path: "spec.containers[].volumeDevices", use: refused, text: "is not supported by this node; use volumeMounts"},
	{path: "spec.containers[].livenessProbe", use: handled, text: "pkg/probes"},
	{path: "spec.containers[].readinessProbe", use: handled, text: "pkg/probes, pkg/pods"},
	{path: "spec.containers[].startupProbe", use: handled, text: "pkg/probes"},
	{path: "spec.containers[].lifecycle.postStart", use: handled, text: "pkg/pods, pkg/probes", except: "tcpSocket"},
	{path: "spec.containers[].lifecycle.preStop", use: handled, text: "pkg/pods, pkg/probes"},
	{path: "spec.containers[].lifecycle.stopSignal", use: handled, text: "pkg/podspec"},
	{path: "spec.containers[].terminationMessagePath", use: handled, text: "pkg/pods"},
	{path: "spec.containers[].terminationMessagePolicy", use: handled, text: "pkg/pods"},
	{path: "spec.containers[].imagePullPolicy", use: handled, text: "pkg/images"},

	{path: "spec.containers[].securityContext.capabilities", use: handled, text: "pkg/podspec", except: "capabilities that sandboxes do not have"},
	{path: "spec.containers[].securityContext.privileged", use: handled, text: "pkg/podspec", except: "where the operator does not allow it (AllowPrivilegedPods)"},
	{path: "spec.containers[].securityContext.seLinuxOptions", use: ignored, text: "sandboxes run without SELinux labels"},
	{path: "spec.containers[].securityContext.windowsOptions", use: refused, text: "is for Windows; this node runs Linux containers only"},
	{path: "spec.containers[].securityContext.runAsUser", use: handled, text: "pkg/podspec"},
	{path: "spec.containers[].securityContext.runAsGroup", use: handled, text: "pkg/podspec"},
	{path: "spec.containers[].securityContext.runAsNonRoot", use: handled, text: "pkg/podspec"},
	{path: "spec.containers[].securityContext.readOnlyRootFilesystem", use: handled, text: "pkg/podspec"},
	{path: "spec.containers[].securityContext.allowPrivilegeEscalation", use: handled, text: "pkg/podspec"},
	{path: "spec.containers[].securityContext.procMount", use: handled, text: "pkg/podspec", except: "Unmasked, unless the operator made sandboxes privileged"},
	{path: "spec.containers[].securityContext.seccompProfile", use: handled, text: "pkg/podspec, pkg/containers", except: "type Localhost, unless the operator names a folder of profiles (SeccompProfileRoot)"},
	{path: "spec.containers[].securityContext.appArmorProfile", use: handled, text: "pkg/podspec", except: "type Localhost, unless the operator allows the profile (AppArmorProfiles)"},
	{path: "spec.containers[].stdin", use: handled, text: "pkg/podspec"},
	{path: "spec.containers[].stdinOnce", use: handled, text: "pkg/podspec"},
	{path: "spec.containers[].tty", use: handled, text: "pkg/podspec"},
}

// Field is a field of a pod, and what becomes of it on this node.
type Field struct {
	// Path is the field's JSON name from "spec" on, with [] where a list is entered. The
	// fields of spec.containers[] stand for those of init containers as well.
	Path string
	// Use is honoured, refused or ignored.
	Use string
	// Values are those that a refusal is for; none means every value.
	Values []string
	// Text is what a refusal tells its user to do, or why a field is ignored.
	Text string
	// Except is what an honoured field may not ask for.
	Except string
}

// Fields is every field of a pod, in the order of the API.
func Fields() []Field {
	out := make([]Field, 0, len(fieldRules))
	for _, rule := range fieldRules {
		f := Field{Path: rule.path, Use: rule.use.String(), Values: rule.only, Text: rule.text, Except: rule.except}
		if rule.use == handled {
			f.Text = ""
		}
		out = append(out, f)
	}
	return out
}

// fields refuses the fields that the table calls refused, wherever they are set.
func (f *faults) fields(pod *v1.Pod) {
	spec, at := reflect.ValueOf(&pod.Spec), field.NewPath("spec")
	for _, rule := range fieldRules {
		if rule.use != refused {
			continue
		}
		rest := strings.TrimPrefix(rule.path, "spec.")
		if below, ok := strings.CutPrefix(rest, "containers[]."); ok {
			f.refuse(spec, at, "initContainers[]."+below, rule)
		}
		f.refuse(spec, at, rest, rule)
	}
}

// refuse goes down from a value to the field of a rule, whose path below that value is
// rest, and refuses it where it is set.
func (f *faults) refuse(v reflect.Value, at *field.Path, rest string, rule fieldRule) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	if rest == "" {
		if rule.refuses(v) {
			f.forbid(at, "%s", rule.text)
		}
		return
	}
	name, rest, _ := strings.Cut(rest, ".")
	name, list := strings.CutSuffix(name, "[]")
	v, at = jsonField(v, name), at.Child(name)
	if !list {
		f.refuse(v, at, rest, rule)
		return
	}
	for i := range v.Len() {
		f.refuse(v.Index(i), at.Index(i), rest, rule)
	}
}

// refuses says whether the value that a field has is one that the rule is for.
func (r fieldRule) refuses(v reflect.Value) bool {
	if r.only != nil {
		return slices.Contains(r.only, fmt.Sprint(v.Interface()))
	}
	if v.Kind() == reflect.Slice || v.Kind() == reflect.Map {
		return v.Len() > 0
	}
	return !v.IsZero()
}

// jsonField is the field of a struct by its JSON name; a test holds the table's
// names to those that exist.
func jsonField(v reflect.Value, name string) reflect.Value {
	for i := range v.NumField() {
		if tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); tag == name {
			return v.Field(i)
		}
	}
	return reflect.Zero(reflect.TypeFor[[]string]())
}
