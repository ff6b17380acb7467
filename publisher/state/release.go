package state

import (
	"context"
	"fmt"

	"apocryph/proto/status"
	"apocryph/publisher"
)

// maxKeys bounds the keys of an app: one for each image of a revision.
const maxKeys = 256

// Release is what was released to a provider for an app, and on what evidence.
type Release struct {
	// ClaimsDigest is the digest of the claims that the provider had proved, "sha256:...".
	ClaimsDigest string
	// Keys are the private keys by key id, PKCS #8 DER.
	Keys map[string]Secret
}

func (s *State) keyPlace(name, provider, id string) string {
	return fmt.Sprintf("app %s at %s, key %s", name, provider, id)
}

// SaveRelease replaces what was released for an app that has been saved.
func (s *State) SaveRelease(ctx context.Context, name string, provider publisher.ProviderID, rel Release) error {
	if len(rel.Keys) > maxKeys {
		return status.New(status.InvalidArgument, "state.keys", "keys: got %d, want at most %d", len(rel.Keys), maxKeys)
	}
	return s.update(ctx, name, string(provider), func(r *record) error {
		if r.Name == "" {
			return s.unknown(fmt.Sprintf("%s at %s", name, provider))
		}
		sealed := &releaseRecord{ClaimsDigest: rel.ClaimsDigest, Keys: make(map[string][]byte)}
		for id, key := range rel.Keys {
			var err error
			if sealed.Keys[id], err = s.box.seal(key, s.keyPlace(name, string(provider), id)); err != nil {
				return err
			}
		}
		r.Release = sealed
		return nil
	})
}

// Released returns what was released for an app; provider as in [State.Get].
// An app for which nothing was released has no keys.
func (s *State) Released(_ context.Context, name string, provider publisher.ProviderID) (Release, error) {
	r, err := s.find(name, string(provider))
	if err != nil || r.Release == nil {
		return Release{}, err
	}
	rel := Release{ClaimsDigest: r.Release.ClaimsDigest, Keys: make(map[string]Secret)}
	for id, sealed := range r.Release.Keys {
		if rel.Keys[id], err = s.box.open(sealed, s.keyPlace(r.Name, r.Provider, id)); err != nil {
			return Release{}, err
		}
	}
	return rel, nil
}
