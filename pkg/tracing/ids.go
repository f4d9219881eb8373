package tracing

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"
)

// podKey and rootKey are those of a pod, and of the pod whose first span begins,
// in a context.
type (
	podKey  struct{}
	rootKey struct{}
)

type podOf struct {
	uid, namespace, name string
	caller               trace.SpanContext
}

// rootOf names the first span of a pod's trace. The trace is named by the pod's
// uid, without its hyphens: people find it, and a restart of docker-sd goes on
// with it.
func rootOf(podUID string) trace.SpanContext {
	sum := sha256.Sum256([]byte(podUID))
	var trace128 trace.TraceID
	copy(trace128[:], sum[:16])
	if id, err := uuid.Parse(podUID); err == nil && id != uuid.Nil {
		trace128 = trace.TraceID(id)
	}
	var span trace.SpanID
	copy(span[:], sum[16:24])
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace128, SpanID: span, TraceFlags: trace.FlagsSampled, Remote: true})
}

// podIDs names the first span of a pod as rootOf does, and all others at random.
type podIDs struct{}

func (podIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if uid, ok := ctx.Value(rootKey{}).(string); ok {
		root := rootOf(uid)
		return root.TraceID(), root.SpanID()
	}
	var id trace.TraceID
	binary.LittleEndian.PutUint64(id[:8], rand.Uint64()|1)
	binary.LittleEndian.PutUint64(id[8:], rand.Uint64())
	return id, podIDs{}.NewSpanID(ctx, id)
}

func (podIDs) NewSpanID(context.Context, trace.TraceID) trace.SpanID {
	var id trace.SpanID
	binary.LittleEndian.PutUint64(id[:], rand.Uint64()|1)
	return id
}
