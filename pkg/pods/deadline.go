package pods

import (
	"context"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/records"
)

// untilDeadline ends with the pod's deadline, if it has one, or when cancel is called.
func (p *pod) untilDeadline(ctx context.Context) (_ context.Context, cancel context.CancelFunc) {
	if p.spec.Spec.ActiveDeadlineSeconds == nil {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, p.timeLeft(), errDeadline)
}

// timeLeft until the pod's deadline, which it has. It began when the pod was admitted.
func (p *pod) timeLeft() time.Duration {
	return time.Duration(*p.spec.Spec.ActiveDeadlineSeconds)*time.Second - p.record.Load().Age(records.Now(), time.Now())
}
