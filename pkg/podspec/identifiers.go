package podspec

import (
	"math"
	"net/netip"
	"strings"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
)

// uid checks that a UID is one as Kubernetes writes it.
func (f *faults) uid(uid string) {
	if len(uid) != 36 || uuid.Validate(uid) != nil || strings.ToLower(uid) != uid {
		f.invalid(field.NewPath("metadata", "uid"), "%s is not a lower-case UUID", shown(uid))
	}
}

// label checks a name that is a part of others, by the rules of DNS.
func (f *faults) label(at *field.Path, value string) {
	if len(validation.IsDNS1123Label(value)) > 0 {
		f.invalid(at, "%s is not a DNS label: lower-case letters, digits and hyphens, at most 63 characters", shown(value))
	}
}

// domain checks a name that may have several labels.
func (f *faults) domain(at *field.Path, value string) {
	if len(validation.IsDNS1123Subdomain(value)) > 0 {
		f.invalid(at, "%s is not a DNS name: lower-case letters, digits, hyphens and dots, at most 253 characters", shown(value))
	}
}

// ip checks an address without a zone.
func (f *faults) ip(at *field.Path, value string) {
	if ip, err := netip.ParseAddr(value); err != nil || ip.Zone() != "" {
		f.invalid(at, "%s is not an IP address", shown(value))
	}
}

// id checks a user or a group.
func (f *faults) id(at *field.Path, id *int64) {
	f.between(at, ptr.Deref(id, 0), 0, math.MaxInt32)
}
