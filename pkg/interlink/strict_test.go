package interlink_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
)

// TestBombs: a body that costs far more to read than to send is refused at once.
func TestBombs(t *testing.T) {
	digits := strings.Repeat("1", 100_000)
	many := func(element string, n int) string { return strings.TrimSuffix(strings.Repeat(element+",", n), ",") }
	create := func(body []byte) error { _, err := interlink.DecodeCreate(body); return err }
	status := func(body []byte) error { _, err := interlink.DecodeStatus(body); return err }
	remove := func(body []byte) error { _, err := interlink.DecodeDelete(body); return err }
	logs := func(body []byte) error { _, err := interlink.DecodeLogs(body); return err }
	for name, c := range map[string]struct {
		decode     func([]byte) error
		body, want string
	}{
		"empty containers":   {create, `{"pod":{"spec":{"containers":[` + many("{}", 1<<18) + `]}}}`, "more than 131072 JSON values"},
		"null volumes":       {create, `{"pod":{"spec":{"volumes":[` + many("null", 1<<19) + `]}}}`, "more than 131072 JSON values"},
		"empty pods":         {status, "[" + many("{}", 1<<21) + "]", "more than 2097152 elements"},
		"many pods":          {status, "[" + many("{}", 10001) + "]", "10001 pods, one poll may ask for 10000"},
		"deep create":        {create, strings.Repeat(`{"pod":`, 20000), "not the JSON"},
		"deep status":        {status, strings.Repeat("[", 20000), "not the JSON"},
		"deep unknown field": {remove, `{"x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + "}", "not the JSON"},
		"name given twice":   {create, `{"pod":{"metadata":{"uid":"a","uid":"b"}}}`, `a name is given twice at /pod/metadata/uid`},
		"twice in a delete":  {remove, `{"metadata":{"uid":"a"},"metadata":{}}`, `a name is given twice at /metadata`},
		"not UTF-8":          {logs, "{\"PodUID\":\"\xff\"}", "UTF-8"},
		"half a surrogate":   {remove, `{"UID":"\ud800"}`, "not the JSON"},
		"number too large":   {logs, `{"Opts":{"Tail":1e400}}`, "not the JSON"},
		"number with a part": {remove, `{"metadata":{"deletionGracePeriodSeconds":0.5}}`, "not the JSON"},
		"goes on":            {create, `{}{}`, "goes on after"},
		"long limit":         {create, `{"pod":{"spec":{"containers":[{"resources":{"limits":{"cpu":"` + digits + `"}}}]}}}`, "/pod/spec/containers/0/resources/limits/cpu: not a quantity"},
		"long request":       {create, `{"pod":{"spec":{"initContainers":[{"resources":{"Requests":{"cpu":` + digits + `}}}]}}}`, "not a quantity"},
		"large exponent":     {create, `[{"pod":{"spec":{"volumes":[{"emptyDir":{"sizeLimit":"1e-99999999"}}]}}}]`, "not a quantity"},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			err := c.decode([]byte(c.body))
			if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 500 {
				t.Errorf("got %.600v, want %q", err, c.want)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("refused after %s", took)
			}
		})
	}
	limits := `{"pod":{"spec":{"containers":[{"resources":{"limits":{"memory":"64Mi","ephemeral-storage":1e3}}}],"volumes":[{"emptyDir":{"sizeLimit":"1Gi"}}]}}}`
	if _, err := interlink.DecodeCreate([]byte(limits)); err != nil {
		t.Errorf("names with the letter of an exponent in them: %v", err)
	}
	long := strings.Repeat("1e999,", 50_000)
	body := fmt.Sprintf(`{"pod":{"spec":{"containers":[{"env":[{"name":"A","value":%q}]}]}},"container":[{"configMaps":[{"data":{"limits":%q}}]}]}`, long, long)
	if request, err := interlink.DecodeCreate([]byte(body)); err != nil || request.Pod.Spec.Containers[0].Env[0].Value != long {
		t.Errorf("a long text that is no quantity: %v", err)
	}
}

// TestRefusalsNameNoKeys: a refusal tells the place, as far as it is made of fields
// that everybody knows, and neither a name that a user has chosen nor a value.
func TestRefusalsNameNoKeys(t *testing.T) {
	create := func(body []byte) error { _, err := interlink.DecodeCreate(body); return err }
	status := func(body []byte) error { _, err := interlink.DecodeStatus(body); return err }
	remove := func(body []byte) error { _, err := interlink.DecodeDelete(body); return err }
	logs := func(body []byte) error { _, err := interlink.DecodeLogs(body); return err }
	for name, c := range map[string]struct {
		decode     func([]byte) error
		body, want string
	}{
		"key of a Secret":        {create, `{"container":[{"name":"c","secrets":[{"data":{"MARK":"","MARK":""}}]}]}`, "twice at /container/0/secrets/0/data,"},
		"in the list of 2024":    {create, `[{"container":[{"CONFIGMAPS":[{"data":{"MARK":"","MARK":""}}]}]}]`, "twice at /0/container/0/configMaps/0/data,"},
		"annotation":             {create, `{"pod":{"metadata":{"annotations":{"MARK":"","MARK":""}}}}`, "twice at /pod/metadata/annotations,"},
		"within an unknown name": {create, `{"pod":{"MARK":{"name":1,"name":2}}}`, "twice at /pod,"},
		"of the body itself":     {logs, `{"MARK":1,"MARK":2}`, "twice at the outermost value,"},
		"unknown to a delete":    {remove, `{"metadata":{"annotations":{"MARK":"","MARK":""}}}`, "twice at /metadata,"},
		"label in a poll":        {status, `[{"metadata":{"labels":{"MARK":"","MARK":""}}}]`, "twice at /0/metadata/labels,"},
		"of another kind":        {status, `[{"metadata":{"annotations":{"MARK":7}}}]`, "/0/metadata/annotations is not of the kind"},
		"breaks off in a value":  {create, `{"container":[{"secrets":[{"data":{"MARK":"MARK`, "at /container/0/secrets/0/data"},
		"no JSON":                {create, `{"container":[{"secrets":[{"data":{"MARK":MARK}}]}]}`, "at /container/0/secrets/0/data"},
		"an odd escape":          {create, `{"container":[{"secrets":[{"data":{"MARK":"\MARK"}}]}]}`, "at /container/0/secrets/0/data"},
		"a key and a quantity":   {create, `{"pod":{"metadata":{"annotations":{"MARK":{"limits":{"MARK":"1e-9999"}}}}}}`, "/pod/metadata/annotations: not a quantity"},
	} {
		err := c.decode([]byte(c.body))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "MARK") {
			t.Errorf("%s: %v, want %q and no key", name, err, c.want)
		}
	}
}

// TestEveryQuantityIsBounded walks the types of a create: a quantity in a place
// that is not known would be read however long it is.
func TestEveryQuantityIsBounded(t *testing.T) {
	quantity := reflect.TypeFor[resource.Quantity]()
	found := 0
	var visit func(typ reflect.Type, open, end string, within []reflect.Type)
	visit = func(typ reflect.Type, open, end string, within []reflect.Type) {
		for _, outer := range within {
			if outer == typ {
				return
			}
		}
		switch within := append(within[:len(within):len(within)], typ); {
		case typ == quantity:
			found++
			if _, err := interlink.DecodeCreate([]byte(open + `"1e-9999"` + end)); err == nil || !strings.Contains(err.Error(), "not a quantity") {
				t.Errorf("%s...%s is read: %v", open, end, err)
			}
		case typ.Kind() == reflect.Pointer:
			visit(typ.Elem(), open, end, within)
		case typ.Kind() == reflect.Slice:
			visit(typ.Elem(), open+"[", "]"+end, within)
		case typ.Kind() == reflect.Map:
			visit(typ.Elem(), open+`{"x":`, "}"+end, within)
		case typ.Kind() == reflect.Struct:
			for i := range typ.NumField() {
				field := typ.Field(i)
				name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
				switch {
				case !field.IsExported() || name == "-":
				case name == "":
					visit(field.Type, open, end, within)
				default:
					visit(field.Type, open+`{"`+name+`":`, "}"+end, within)
				}
			}
		}
	}
	visit(reflect.TypeFor[interlink.CreateRequest](), "", "", nil)
	visit(reflect.TypeFor[v1.Pod](), `{"pod":`, "}", nil)
	if found < 10 {
		t.Errorf("only %d quantities found", found)
	}
}
