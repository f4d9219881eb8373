package interlink

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of one body. What is refused by them is no pod: a value of a few bytes
// can stand for a structure of a kilobyte, and a quantity is read in a time that
// grows with the square of its length.
const (
	// maxValues bounds the JSON values of a create.
	maxValues = 1 << 17
	// maxElements bounds the elements of a poll, which may list all pods of a node.
	maxElements = 1 << 21
	// maxPolled bounds the pods of a poll.
	maxPolled = 10000
	// maxQuantity bounds the text of a Kubernetes quantity, in bytes.
	maxQuantity = 64
)

// wellFormed refuses what encoding/json takes without a word: names given twice
// and text that is not UTF-8.
func wellFormed(body []byte, typ reflect.Type) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(body))
	if _, err := d.ReadValue(); err != nil {
		return malformed(err, typ)
	}
	if _, err := d.ReadToken(); errors.Is(err, io.EOF) {
		return nil
	}
	return errors.New("the body is not the JSON that interLink sends: it goes on after the first value")
}

// pollable refuses a poll of more elements than a node can have.
func pollable(body []byte) error {
	elements := 0
	for _, c := range []string{",", "{", "["} {
		elements += bytes.Count(body, []byte(c))
	}
	if elements > maxElements {
		return fmt.Errorf("the body holds more than %d elements", maxElements)
	}
	return nil
}

// creatable is wellFormed for a create, without more values or longer quantities
// than a pod has.
func creatable(body []byte, typ reflect.Type) error {
	if err := wellFormed(body, typ); err != nil {
		return err
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true))
	for n := 0; ; n++ {
		token, err := d.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return malformed(err, typ)
		}
		if n > 2*maxValues { // names and closing brackets count as well
			return fmt.Errorf("the body holds more than %d JSON values", maxValues)
		}
		if kind := token.Kind(); kind != '"' && kind != '0' || isName(d) {
			continue
		}
		if suspicious(token.String()) && isQuantity(string(d.StackPointer())) {
			return fmt.Errorf("%s: not a quantity as Kubernetes writes it, with at most %d characters and two digits of exponent",
				placeOf(d.StackPointer(), typ), maxQuantity)
		}
	}
}

// isName says that the token just read is the name of a member, such as "memory".
func isName(d *jsontext.Decoder) bool {
	kind, tokens := d.StackIndex(d.StackDepth())
	return kind == '{' && tokens%2 == 1
}

// suspicious tells a text that takes long to read as a quantity.
func suspicious(text string) bool {
	if len(text) > maxQuantity {
		return true
	}
	i := strings.LastIndexAny(text, "eE")
	return i >= 0 && len(text)-i > len("e-99")
}

// isQuantity tells by its place in a pod whether a value is read as a quantity.
func isQuantity(pointer string) bool {
	rest, name := cutLast(pointer)
	for _, field := range quantityFields {
		if strings.EqualFold(name, field) {
			return true
		}
	}
	_, parent := cutLast(rest)
	for _, field := range quantityLists {
		if strings.EqualFold(parent, field) {
			return true
		}
	}
	return false
}

// Fields of a pod that are quantities, and those that are lists of them by
// resource.
var (
	quantityFields = [...]string{"sizeLimit", "divisor", "quantity", "perPod", "perContainer"}
	quantityLists  = [...]string{"limits", "requests", "overhead", "allocatedResources", "capacity"}
)

func cutLast(pointer string) (before, last string) {
	i := max(strings.LastIndexByte(pointer, '/'), 0)
	return pointer[:i], strings.TrimPrefix(pointer[i:], "/")
}
