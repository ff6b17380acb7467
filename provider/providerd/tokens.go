package providerd

import (
	"context"
	"maps"
	"slices"
	"sync"

	"apocryph/provider/auth"
	"apocryph/provider/store"
)

// tokens keeps local tokens. The store's documents are authority and all mirrors
// them: a token is looked for in every call, and opening each of a thousand
// documents for that would be work whose amount a caller chooses.
type tokens struct {
	docs store.Documents

	mu sync.Mutex // guards all
	// all is the tokens by their hash; nil until they are read, and again when it
	// is not known what the store has.
	all map[[32]byte]auth.Token
}

func (t *tokens) SaveToken(ctx context.Context, v auth.Token) error {
	err := putJSON(ctx, t.docs, v.ID, v)
	t.change(err, v.ID, func() { t.all[v.Hash] = v })
	return err
}

func (t *tokens) DeleteToken(ctx context.Context, id string) error {
	err := t.docs.Delete(ctx, id)
	t.change(err, id, func() {})
	return err
}

// change brings the mirror to what a write left: without the earlier token of the
// ID, and with what then adds. A write that broke off may have happened or not.
func (t *tokens) change(err error, id string, then func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err != nil:
		t.all = nil
	case t.all != nil:
		maps.DeleteFunc(t.all, func(_ [32]byte, v auth.Token) bool { return v.ID == id })
		then()
	}
}

func (t *tokens) Tokens(ctx context.Context) ([]auth.Token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.load(ctx); err != nil {
		return nil, err
	}
	return slices.Collect(maps.Values(t.all)), nil
}

// TokenByHash compares hashes: how long that takes tells nothing of the secret.
func (t *tokens) TokenByHash(ctx context.Context, hash [32]byte) (auth.Token, bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.load(ctx); err != nil {
		return auth.Token{}, false, err
	}
	v, ok := t.all[hash]
	return v, ok, nil
}

// load reads the store where the mirror is empty; mu is held, so that a write
// that is under way meanwhile changes the mirror after it.
func (t *tokens) load(ctx context.Context) error {
	if t.all != nil {
		return nil
	}
	list, err := allJSON[auth.Token](ctx, t.docs)
	if err != nil {
		return err
	}
	t.all = make(map[[32]byte]auth.Token, len(list))
	for _, v := range list {
		t.all[v.Hash] = v
	}
	return nil
}
