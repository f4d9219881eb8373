package interlink

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"k8s.io/apimachinery/pkg/api/resource"
)

// malformed says what is wrong with a body of a type without repeating what it
// holds: the sentence is logged, and a value may be a secret in the wrong place.
func malformed(err error, typ reflect.Type) error {
	const what = "the body is not the JSON that interLink sends"
	var (
		syntax   *jsontext.SyntacticError
		mismatch *json.UnmarshalTypeError
		semantic *jsonv2.SemanticError
	)
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return fmt.Errorf("%s: a name is given twice at %s, %d bytes in", what, placeOf(syntax.JSONPointer, typ), syntax.ByteOffset)
	case errors.As(err, &syntax):
		return fmt.Errorf("%s: it breaks off, or is no JSON or no UTF-8, %d bytes in, at %s", what, syntax.ByteOffset, placeOf(syntax.JSONPointer, typ))
	case errors.As(err, &mismatch):
		kind, _, _ := strings.Cut(mismatch.Value, " ")
		return fmt.Errorf("%s: a %s in the place of %s is no %s", what, kind, mismatch.Field, mismatch.Type)
	case errors.As(err, &semantic):
		return fmt.Errorf("%s: %s is not of the kind that belongs there", what, placeOf(semantic.JSONPointer, typ))
	}
	return fmt.Errorf("%s: a time, a quantity or an encoded text in it cannot be read", what)
}

// placeOf describes where in a body of a type something is wrong, for the log and
// for people: by the names of fields that Kubernetes and interLink know, and numbers.
// It ends before a name that a user has chosen, such as a key of a Secret, and
// before one that is not known.
func placeOf(pointer jsontext.Pointer, typ reflect.Type) string {
	var out strings.Builder
	for token := range pointer.Tokens() {
		name, next := step(token, typ)
		if next == nil {
			break
		}
		out.WriteString("/" + name)
		typ = next
	}
	if out.Len() == 0 {
		return "the outermost value"
	}
	return out.String()
}

var quantityType = reflect.TypeFor[resource.Quantity]()

// step goes to a member or an element of a type; the type is nil where there is no
// such one.
func step(token string, typ reflect.Type) (name string, next reflect.Type) {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch typ.Kind() {
	case reflect.Struct:
		return member(token, typ)
	case reflect.Slice:
		if _, err := strconv.ParseUint(token, 10, 32); err == nil {
			return token, typ.Elem()
		}
	case reflect.Map:
		if typ.Elem() == quantityType {
			return fmt.Sprintf("%.100s", token), typ.Elem() // a resource's name
		}
	}
	return "", nil
}

// member finds a field by its name in JSON, which encoding/json takes in any case.
func member(token string, typ reflect.Type) (name string, next reflect.Type) {
	for i := range typ.NumField() {
		field := typ.Field(i)
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case !field.IsExported() || tag == "-":
		case tag == "" && field.Anonymous:
			if name, next := step(token, field.Type); next != nil {
				return name, next
			}
		case tag == "":
			tag = field.Name
			fallthrough
		default:
			if strings.EqualFold(tag, token) {
				return tag, field.Type
			}
		}
	}
	return "", nil
}
