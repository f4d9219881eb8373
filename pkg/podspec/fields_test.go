package podspec

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// eachField calls visit for every field reachable from a type of the core API.
// visit returns whether to go below the field.
func eachField(t reflect.Type, path string, visit func(path string, below reflect.Type) bool) {
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		at, below := path+"."+name, field.Type
		if name == "" { // an embedded struct, whose fields are the outer one's
			eachField(below, path, visit)
			continue
		}
		for below.Kind() == reflect.Pointer || below.Kind() == reflect.Slice {
			below = below.Elem()
		}
		if below.Kind() != reflect.Struct || below.PkgPath() != reflect.TypeFor[v1.Pod]().PkgPath() {
			visit(at, nil)
			continue
		}
		if !visit(at, below) {
			continue
		}
		if field.Type.Kind() == reflect.Slice {
			at += "[]"
		}
		eachField(below, at, visit)
	}
}

func ruleAt(path string) *fieldRule {
	i := slices.IndexFunc(fieldRules, func(r fieldRule) bool { return r.path == path })
	if i < 0 {
		return nil
	}
	return &fieldRules[i]
}

func TestEveryFieldOfThePodHasARule(t *testing.T) {
	leaves := 0
	eachField(reflect.TypeFor[v1.PodSpec](), "spec", func(path string, below reflect.Type) bool {
		if ruleAt(path) != nil {
			leaves++
			return false
		}
		if below == nil {
			t.Errorf("%s is not in fieldRules: handle it, refuse it or ignore it with a reason", path)
		}
		return true
	})
	if leaves != len(fieldRules) {
		t.Errorf("%d of %d rules were met: a rule is below another one, or twice in the list", leaves, len(fieldRules))
	}
}

func TestRulesNameFieldsThatExist(t *testing.T) {
	known := map[string]bool{}
	eachField(reflect.TypeFor[v1.PodSpec](), "spec", func(path string, _ reflect.Type) bool {
		known[path] = true
		return true
	})
	seen := map[string]bool{}
	for _, rule := range fieldRules {
		if !known[rule.path] {
			t.Errorf("%s is no field of a pod", rule.path)
		}
		if seen[rule.path] {
			t.Errorf("%s has two rules", rule.path)
		}
		seen[rule.path] = true
		if rule.text == "" {
			t.Errorf("%s has no text", rule.path)
		}
		if rule.use != refused && rule.only != nil || rule.use != handled && rule.except != "" {
			t.Errorf("%s: only is for refused fields, except for handled ones", rule.path)
		}
	}
}

// TestEveryRefusedFieldIsRefused sets the fields of the table one by one, in a
// main container and in an init container.
func TestEveryRefusedFieldIsRefused(t *testing.T) {
	for _, rule := range fieldRules {
		if rule.use != refused {
			continue
		}
		paths := []string{rule.path}
		if below, ok := strings.CutPrefix(rule.path, "spec.containers[]"); ok {
			paths = append(paths, "spec.initContainers[]"+below)
		}
		for _, path := range paths {
			values := rule.only
			if values == nil {
				values = []string{""}
			}
			for _, value := range values {
				t.Run(path+" "+value, func(t *testing.T) {
					pod := plainPod()
					pod.Spec.InitContainers = []v1.Container{{Name: "init", Image: "busybox"}}
					put(t, reflect.ValueOf(&pod.Spec).Elem(), strings.TrimPrefix(path, "spec."), value)
					err := refuse(pod)
					want := strings.ReplaceAll(path, "[]", "[0]") + ": " + rule.text
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("got %v, want %s", err, want)
					}
				})
			}
		}
	}
}

// put sets the field at path to a text, or to whatever is not zero.
func put(t *testing.T, v reflect.Value, path, text string) {
	t.Helper()
	name, rest, below := strings.Cut(path, ".")
	name, element := strings.CutSuffix(name, "[]")
	target := v
	for i := range v.NumField() {
		if tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); tag == name {
			target = v.Field(i)
		}
	}
	if target.Kind() == reflect.Pointer {
		target.Set(reflect.New(target.Type().Elem()))
		target = target.Elem()
	}
	if element && target.Len() == 0 {
		target.Set(reflect.MakeSlice(target.Type(), 1, 1))
	}
	if element {
		target = target.Index(0)
	}
	if below {
		put(t, target, rest, text)
		return
	}
	fill(t, target, text)
}

func fill(t *testing.T, v reflect.Value, text string) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
		if text == "" {
			v.SetString("something")
		}
	case reflect.Bool:
		v.SetBool(text != "false")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), text)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.Zero(v.Type().Key()), reflect.Zero(v.Type().Elem()))
	case reflect.Struct:
		fill(t, v.Field(0), text)
	default:
		t.Fatalf("a field of kind %s cannot be set by this test", v.Kind())
	}
}

// TestHandledFieldsNamePackages that exist.
func TestHandledFieldsNamePackages(t *testing.T) {
	for _, rule := range fieldRules {
		if rule.use != handled {
			continue
		}
		packages, _, _ := strings.Cut(rule.text, ";")
		for name := range strings.SplitSeq(packages, ", ") {
			if !strings.HasPrefix(name, "pkg/") {
				t.Errorf("%s is handled by %q, which is no package", rule.path, name)
			} else if _, err := os.Stat(filepath.Join("../..", name)); err != nil {
				t.Errorf("%s: %v", rule.path, err)
			}
		}
	}
}

// TestFields: what others are told of the fields fits into a table.
func TestFields(t *testing.T) {
	fields := Fields()
	if len(fields) != len(fieldRules) {
		t.Fatalf("%d fields, %d rules", len(fields), len(fieldRules))
	}
	uses := map[string]int{}
	for i, f := range fields {
		rule := fieldRules[i]
		uses[f.Use]++
		if f.Path != rule.path || (f.Text == "") != (rule.use == handled) || f.Except != rule.except {
			t.Errorf("%s is told as %+v", rule.path, f)
		}
		if strings.ContainsAny(f.Text+f.Except, "|\n") {
			t.Errorf("%s: its text would break the table", f.Path)
		}
	}
	if len(uses) != 3 || uses["honoured"] == 0 || uses["refused"] == 0 || uses["ignored"] == 0 {
		t.Errorf("the fields are %v", uses)
	}
}
