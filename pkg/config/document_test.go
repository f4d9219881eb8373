package config_test

import (
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"sigs.k8s.io/yaml"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

const documented = "../../config.yaml"

func TestDocumentedFile_EqualsDefault(t *testing.T) {
	got, warnings, err := config.Load(documented, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) > 0 {
		t.Errorf("warnings: %q", warnings)
	}
	if diff := cmp.Diff(config.Default(), got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("config.yaml differs from Default (-default +file):\n%s", diff)
	}
}

func TestDocumentedFile_NamesEveryKey(t *testing.T) {
	data, err := os.ReadFile(documented)
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := yaml.UnmarshalStrict(data, &document); err != nil {
		t.Fatal(err)
	}
	effective, ignored := config.Keys()
	for _, key := range effective {
		value, ok := any(document), true
		for name := range strings.SplitSeq(key, ".") {
			mapping, _ := value.(map[string]any)
			value, ok = mapping[name]
		}
		if !ok {
			t.Errorf("config.yaml lacks the key %s", key)
		}
	}
	words := strings.FieldsFunc(string(data), func(r rune) bool { return strings.ContainsRune(" ,\n()", r) })
	mentioned := map[string]bool{}
	for _, word := range words {
		mentioned[word] = true
	}
	for _, key := range ignored {
		if !mentioned[key] {
			t.Errorf("config.yaml does not mention the ignored key %s", key)
		}
	}
}

// TestSettings_ReachEveryField fails for a field that no key can set.
func TestSettings_ReachEveryField(t *testing.T) {
	var cfg config.Config
	reached := map[uintptr]bool{}
	for _, dst := range config.Destinations(&cfg) {
		if dst != nil {
			reached[reflect.ValueOf(dst).Pointer()] = true
		}
	}
	var visit func(name string, v reflect.Value)
	visit = func(name string, v reflect.Value) {
		for i := range v.NumField() {
			field, fieldName := v.Field(i), name+"."+v.Type().Field(i).Name
			if field.Kind() == reflect.Struct {
				visit(fieldName, field)
				continue
			}
			if !reached[field.Addr().Pointer()] {
				t.Errorf("no key sets %s", fieldName)
			}
		}
	}
	visit("Config", reflect.ValueOf(&cfg).Elem())
}
