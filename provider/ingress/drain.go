package ingress

import (
	"context"

	"apocryph/provider"
)

// Drain waits until no request, upgraded connection or TCP connection of a pod
// goes to backends that were replaced, or until ctx ends. An unknown pod has none.
func (i *Ingress) Drain(ctx context.Context, id provider.PodID) {
	i.mu.Lock()
	var leaving []<-chan struct{}
	if p := i.pods[id]; p != nil {
		p.left()
		leaving = append(leaving, p.leaving...)
	}
	i.mu.Unlock()
	for _, empty := range leaving {
		select {
		case <-empty:
		case <-ctx.Done():
			return
		}
	}
}

// leave notes what is still under way to where the pod's routes led. The caller
// holds the ingress's lock.
func (p *pod) leave(empty <-chan struct{}) {
	p.left()
	p.leaving = append(p.leaving, empty)
}

// left forgets what has come to its end, so that a pod whose routes change often
// does not collect it.
func (p *pod) left() {
	var still []<-chan struct{}
	for _, empty := range p.leaving {
		select {
		case <-empty:
		default:
			still = append(still, empty)
		}
	}
	p.leaving = still
}
