package publisher_test

import (
	"context"

	"apocryph/proto/status"
	"apocryph/publisher"
)

// pods are the pods at all providers.
type pods struct{ w *world }

func (p pods) PodStatus(ctx context.Context, at publisher.ProviderID, name string) ([]publisher.PodStatus, error) {
	f := p.w.nets[at]
	p.w.note("status %s", at)
	if f.lost && f.provisions > 0 || ctx.Err() != nil {
		return nil, status.New(status.Unavailable, "peer.unreachable", "it is gone")
	}
	if pod, ok := f.pods[name]; ok {
		return []publisher.PodStatus{pod}, nil
	}
	return nil, status.New(status.NotFound, "pod.unknown", "no such pod")
}

func (pods) DeletePod(context.Context, publisher.ProviderID, string, bool) error { return nil }

func (p pods) FollowLogs(ctx context.Context, _ publisher.ProviderID, _ publisher.LogQuery, fn func(publisher.LogLine) error) error {
	if p.w.follow == nil {
		return nil
	}
	return p.w.follow(ctx, fn)
}

// policies are those that were used, by scope.
type policies map[string]publisher.UsedPolicy

func (p policies) UsedPolicy(_ context.Context, scope string) (publisher.UsedPolicy, error) {
	return p[scope], nil
}

func (p policies) UsePolicy(_ context.Context, scope string, u publisher.UsedPolicy) error {
	p[scope] = u
	return nil
}

// nowhere remembers no machine.
type nowhere struct{}

func (nowhere) Activated([32]byte, []byte) bool { return false }
func (nowhere) Remember([32]byte, []byte) error { return nil }

// apps is what is remembered.
type apps struct{ w *world }

func (a apps) Save(_ context.Context, app publisher.App) error {
	state := "settled"
	if app.Pending != nil {
		state = "pending"
	}
	a.w.note("save %s %s", app.Provider.ID, state)
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	a.w.apps[app.Name+"@"+string(app.Provider.ID)] = app
	return nil
}

func (a apps) Get(_ context.Context, name string, at publisher.ProviderID) (publisher.App, error) {
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	for _, app := range a.w.apps {
		if app.Name == name && (at == "" || app.Provider.ID == at) {
			return app, nil
		}
	}
	return publisher.App{}, status.New(status.NotFound, "state.not_found", "no such app")
}

func (a apps) Delete(_ context.Context, name string, at publisher.ProviderID) error {
	a.w.note("forget %s", at)
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	delete(a.w.apps, name+"@"+string(at))
	return nil
}
