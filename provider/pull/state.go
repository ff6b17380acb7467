package pull

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"apocryph/proto/status"
)

// Documents is what is kept, durably and sealed.
type Documents interface {
	Put(ctx context.Context, name string, value []byte) error
	All(ctx context.Context) (map[string][]byte, error)
	Delete(ctx context.Context, name string) error
}

// state is a namespace's configuration, and what came of it.
type state struct {
	Config
	// Commit is the last that was applied as a whole, At when.
	Commit string    `json:"synced_commit,omitempty"`
	At     time.Time `json:"synced_at,omitzero"`
	// Partial is a later one, or an older one, of which a sync that failed has placed some apps.
	Partial string `json:"partial_commit,omitempty"`
	// Apps is what was applied, by name and environment, "shop/production".
	Apps map[string]applied `json:"apps,omitempty"`
	// Tried is the last that a sync of nobody's asking failed for.
	Tried string `json:"tried_commit,omitempty"`
	// Hints counts the hints that were acknowledged, Seen those that were followed.
	Hints uint64 `json:"hints,omitempty"`
	Seen  uint64 `json:"seen,omitempty"`
	// Deliveries are the last webhooks that were taken.
	Deliveries []string `json:"deliveries,omitempty"`
}

// applied is one app as it was deployed.
type applied struct {
	App         string `json:"app_id"`
	Deployment  string `json:"deployment"`
	Fingerprint string `json:"fingerprint"`
}

func (s state) clone() state {
	apps := make(map[string]applied, len(s.Apps))
	for k, v := range s.Apps {
		apps[k] = v
	}
	s.Apps, s.Deliveries = apps, slices.Clone(s.Deliveries)
	return s
}

// namespaces are the states, in memory and on disk.
type namespaces struct {
	docs Documents

	mu     sync.Mutex // guards states; held while one is stored
	states map[string]state
}

func (n *namespaces) load(ctx context.Context) error {
	all, err := n.docs.All(ctx)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, raw := range all {
		var s state
		if err := json.Unmarshal(raw, &s); err != nil {
			return fmt.Errorf("reading the repository of namespace %s: %w", name, err)
		}
		n.states[s.Namespace] = s
	}
	return nil
}

func (n *namespaces) get(namespace string) (state, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s, ok := n.states[namespace]
	return s.clone(), ok
}

func (n *namespaces) all() []state {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make([]state, 0, len(n.states))
	for _, s := range n.states {
		out = append(out, s.clone())
	}
	return out
}

// change stores what fn makes of a state, which is empty where there is none.
func (n *namespaces) change(ctx context.Context, namespace string, fn func(s *state, known bool) error) (state, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	have, known := n.states[namespace]
	next := have.clone()
	if err := fn(&next, known); err != nil {
		return state{}, err
	}
	raw, err := json.Marshal(next)
	if err != nil {
		return state{}, fmt.Errorf("encoding the repository of namespace %s: %w", namespace, err)
	}
	if err := n.docs.Put(ctx, namespace, raw); err != nil {
		return state{}, err
	}
	n.states[namespace] = next
	return next.clone(), nil
}

func (n *namespaces) remove(ctx context.Context, namespace string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.states[namespace]; !known {
		return errNone(namespace)
	}
	if err := n.docs.Delete(ctx, namespace); err != nil {
		return err
	}
	delete(n.states, namespace)
	return nil
}

func errNone(namespace string) error {
	return status.New(status.InvalidArgument, "sync.no_repository", "namespace %.80q has no repository configured", namespace).
		WithHint("configure one: PUT /api/v1/namespaces/%.80s/git with github_repo_path", namespace)
}
