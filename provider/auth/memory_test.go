package auth_test

import (
	"context"
	"slices"

	"apocryph/provider/auth"
)

// memory is a store of tokens.
type memory struct {
	tokens []auth.Token
	saves  int
	err    error
	// onFind is called before each look-up.
	onFind func()
}

func (m *memory) SaveToken(_ context.Context, t auth.Token) error {
	m.saves++
	if m.err != nil {
		return m.err
	}
	m.tokens = append(slices.DeleteFunc(m.tokens, func(o auth.Token) bool { return o.ID == t.ID }), t)
	return nil
}

func (m *memory) TokenByHash(_ context.Context, hash [32]byte) (auth.Token, bool, error) {
	if m.onFind != nil {
		m.onFind()
	}
	for _, t := range m.tokens {
		if t.Hash == hash {
			return t, true, m.err
		}
	}
	return auth.Token{}, false, m.err
}

func (m *memory) Tokens(context.Context) ([]auth.Token, error) { return m.tokens, m.err }

func (m *memory) DeleteToken(_ context.Context, id string) error {
	m.tokens = slices.DeleteFunc(m.tokens, func(t auth.Token) bool { return t.ID == id })
	return m.err
}
