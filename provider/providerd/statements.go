package providerd

import (
	"context"

	"apocryph/provider"
	"apocryph/provider/store"
)

// statements keeps statements about builds among the store's documents, which are
// sealed with the data key: what somebody else put there does not come back.
type statements struct{ docs store.Documents }

// name is of both: two owners may build one image from two sources. An image id has
// no space.
func (statements) name(owner provider.PublisherID, imageID string) string {
	return imageID + " " + string(owner)
}

func (s statements) Statement(ctx context.Context, owner provider.PublisherID, imageID string) ([]byte, error) {
	return s.docs.Get(ctx, s.name(owner, imageID))
}

func (s statements) PutStatement(ctx context.Context, owner provider.PublisherID, imageID string, statement []byte) error {
	return s.docs.Put(ctx, s.name(owner, imageID), statement)
}

func (s statements) DropStatement(ctx context.Context, owner provider.PublisherID, imageID string) error {
	return s.docs.Delete(ctx, s.name(owner, imageID))
}
