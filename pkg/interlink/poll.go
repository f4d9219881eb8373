package interlink

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// DecodeStatus reads the list of pods of /status. A ping, which is an empty
// list, null or no body at all, gives no pods. Only what a status answer needs
// is filled: identity, annotations, phase, and of each container its name,
// image, restart policy and whether it has a readiness probe. Polls come by the
// hundred, and reading whole pods took twice the time and nine times the memory;
// one pass over the text, in place of encoding/json's two, halves it again.
func DecodeStatus(body []byte) ([]*v1.Pod, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, nil
	}
	var polled []polledPod
	if err := pollable(body); err != nil {
		return nil, err
	}
	// One pass, as strict as wellFormed is with the other requests.
	if err := jsonv2.Unmarshal(body, &polled, polledNames); err != nil {
		return nil, malformed(err, reflect.TypeFor[[]v1.Pod]())
	}
	if len(polled) > maxPolled {
		return nil, fmt.Errorf("the list holds %d pods, one poll may ask for %d", len(polled), maxPolled)
	}
	pods := make([]*v1.Pod, len(polled))
	for i := range polled {
		pods[i] = polled[i].pod()
	}
	return pods, nil
}

// polledNames is how encoding/json takes names.
var polledNames = jsonv2.MatchCaseInsensitiveNames(true)

type polledPod struct {
	Metadata struct {
		Name        string            `json:"name"`
		Namespace   string            `json:"namespace"`
		UID         types.UID         `json:"uid"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Containers     []polledContainer `json:"containers"`
		InitContainers []polledContainer `json:"initContainers"`
	} `json:"spec"`
	Status struct {
		Phase v1.PodPhase `json:"phase"`
	} `json:"status"`
}

type polledContainer struct {
	Name           string                     `json:"name"`
	Image          string                     `json:"image"`
	RestartPolicy  *v1.ContainerRestartPolicy `json:"restartPolicy"`
	ReadinessProbe *struct{}                  `json:"readinessProbe"`
}

func (p *polledPod) pod() *v1.Pod {
	pod := &v1.Pod{}
	pod.Name, pod.Namespace, pod.UID = p.Metadata.Name, p.Metadata.Namespace, p.Metadata.UID
	pod.Annotations, pod.Status.Phase = p.Metadata.Annotations, p.Status.Phase
	pod.Spec.Containers = fillContainers(p.Spec.Containers)
	pod.Spec.InitContainers = fillContainers(p.Spec.InitContainers)
	return pod
}

func fillContainers(polled []polledContainer) []v1.Container {
	out := make([]v1.Container, len(polled))
	for i, c := range polled {
		out[i].Name, out[i].Image, out[i].RestartPolicy = c.Name, c.Image, c.RestartPolicy
		if c.ReadinessProbe != nil {
			out[i].ReadinessProbe = &v1.Probe{}
		}
	}
	return out
}

// Polls is DecodeStatus for callers that ask again and again: a pod that is as it
// was in the last poll is not decoded anew. The zero value is ready, and may be
// used by many at a time.
type Polls struct{ last atomic.Pointer[poll] }

// poll is one that was read. It is never changed.
type poll struct {
	pods []*v1.Pod
	// texts are what the pods were read from. They are JSON objects, so what begins
	// with the whole text of one is this one and no other.
	texts [][]byte
}

// maxRemembered bounds the body that is kept, in bytes; it is enough for a
// thousand pods as interLink describes them.
const maxRemembered = 4 << 20

// Decode is DecodeStatus. The pods belong to other callers as well and must not be
// changed.
func (p *Polls) Decode(body []byte) ([]*v1.Pod, error) {
	last := p.last.Load()
	if last == nil {
		last = &poll{}
	}
	if last.repeatedBy(body) {
		return last.pods, nil
	}
	if len(body) > maxRemembered || pollable(body) != nil {
		return DecodeStatus(body)
	}
	next, ok := last.follow(body)
	if !ok {
		// It has the last word on everything but a plain list of pods.
		return DecodeStatus(body)
	}
	p.last.Store(next)
	return next.pods, nil
}

// repeatedBy says that a body lists the same pods, unchanged.
func (last *poll) repeatedBy(body []byte) bool {
	rest, more := cut(body, '[')
	for _, text := range last.texts {
		if !more || !bytes.HasPrefix(rest, text) {
			return false
		}
		rest, more = cut(rest[len(text):], ',')
	}
	rest, ended := cut(rest, ']')
	return len(last.texts) > 0 && !more && ended && len(rest) == 0
}

// follow reads a list of pods, most of which the last poll may have had.
func (last *poll) follow(body []byte) (next *poll, ok bool) {
	next = &poll{pods: make([]*v1.Pod, 0, len(last.pods)), texts: make([][]byte, 0, len(last.texts))}
	decoder := newPodDecoder(last)
	expected := 0 // the place in the last poll of the pod that comes next
	rest, more := cut(body, '[')
	if !more {
		return nil, false
	}
	for more && len(next.pods) < maxPolled {
		var text []byte
		if expected < len(last.texts) && bytes.HasPrefix(rest, last.texts[expected]) {
			text = last.texts[expected]
			next.pods = append(next.pods, last.pods[expected])
		} else {
			pod, length, err := decoder.decode(rest)
			if err != nil {
				return nil, false
			}
			text = bytes.Clone(rest[:length])
			next.pods = append(next.pods, pod)
			expected = decoder.placeOf(pod.UID, expected)
		}
		next.texts = append(next.texts, text)
		expected++
		rest, more = cut(rest[len(text):], ',')
	}
	rest, ended := cut(rest, ']')
	return next, ended && len(rest) == 0
}

// cut takes a delimiter and the white space around it off the beginning.
func cut(text []byte, delimiter byte) (rest []byte, found bool) {
	const space = " \t\r\n"
	text = bytes.TrimLeft(text, space)
	if len(text) == 0 || text[0] != delimiter {
		return text, false
	}
	return bytes.TrimLeft(text[1:], space), true
}

// podDecoder reads pods that were not in the last poll as they are in this one.
type podDecoder struct {
	json   *jsontext.Decoder
	last   *poll
	places map[types.UID]int
}

func newPodDecoder(last *poll) *podDecoder {
	return &podDecoder{json: jsontext.NewDecoder(bytes.NewBuffer(nil)), last: last}
}

// decode reads the object at the beginning of a text.
func (d *podDecoder) decode(text []byte) (pod *v1.Pod, length int, err error) {
	if len(text) == 0 || text[0] != '{' {
		return nil, 0, errors.New("no object")
	}
	d.json.Reset(bytes.NewBuffer(text))
	var polled polledPod
	if err := jsonv2.UnmarshalDecode(d.json, &polled, polledNames); err != nil {
		return nil, 0, err
	}
	return polled.pod(), int(d.json.InputOffset()), nil
}

// placeOf is where the last poll had a pod, or the place before otherwise, where
// one that is new has come in.
func (d *podDecoder) placeOf(uid types.UID, otherwise int) int {
	if d.places == nil {
		d.places = make(map[types.UID]int, len(d.last.pods))
		for i, pod := range d.last.pods {
			d.places[pod.UID] = i
		}
	}
	if i, found := d.places[uid]; found {
		return i
	}
	return otherwise - 1
}
