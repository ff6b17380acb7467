package providerd

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"apocryph/provider/artifacts"
	"apocryph/provider/store"
)

// layerCache remembers encrypted layers among the store's documents, which are
// sealed: it has the layers' keys.
type layerCache struct {
	docs store.Documents

	mu  sync.Mutex // guards all
	all map[string][]byte
}

func openLayers(ctx context.Context, docs store.Documents) (*layerCache, error) {
	all, err := docs.All(ctx)
	return &layerCache{docs: docs, all: all}, err
}

func (c *layerCache) Get(key string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[key], nil
}

func (c *layerCache) Put(key string, value []byte) error {
	// Its callers have no context: a layer that was encrypted is to be found again.
	if err := c.docs.Put(context.Background(), key, value); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[key] = value
	return nil
}

func (c *layerCache) Sweep(keep func(key string, value []byte) bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, value := range c.all {
		if keep(key, value) {
			continue
		}
		if err := c.docs.Delete(context.Background(), key); err != nil {
			return err
		}
		delete(c.all, key)
	}
	return nil
}

// artifactRecords keeps the records of artifacts.
type artifactRecords struct{ docs store.Documents }

func (r artifactRecords) SaveArtifact(ctx context.Context, a artifacts.Artifact) error {
	return putJSON(ctx, r.docs, a.ID, a)
}

func (r artifactRecords) Artifacts(ctx context.Context) ([]artifacts.Artifact, error) {
	return allJSON[artifacts.Artifact](ctx, r.docs)
}

func (r artifactRecords) DeleteArtifact(ctx context.Context, id string) error {
	return r.docs.Delete(ctx, id)
}

func putJSON(ctx context.Context, docs store.Documents, name string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", name, err)
	}
	return docs.Put(ctx, name, raw)
}

func allJSON[T any](ctx context.Context, docs store.Documents) ([]T, error) {
	raw, err := docs.All(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]T, 0, len(raw))
	for name, r := range raw {
		var v T
		if err := json.Unmarshal(r, &v); err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		out = append(out, v)
	}
	return out, nil
}
