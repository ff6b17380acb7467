package state

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"apocryph/proto/status"
	"apocryph/publisher"
)

const seenVersion = 1

// Seen is what a provider was when its evidence was accepted last: trust on
// first use, for a policy that wants to hear of a change.
type Seen struct {
	// Platform identifies the machine, as attest has it; it is opaque here.
	Platform string
	// ClaimsDigest is that of the claims last accepted.
	ClaimsDigest string
	// First is when this platform was seen first, Last when it was seen last.
	First, Last time.Time
}

type seenRecord struct {
	Version      int       `json:"version"`
	Provider     string    `json:"provider"`
	Platform     string    `json:"platform"`
	ClaimsDigest string    `json:"claims_digest,omitempty"`
	First        time.Time `json:"first"`
	Last         time.Time `json:"last"`
}

func (s *State) seenPath(provider string) string {
	return filepath.Join(s.dir, "seen", hashName(provider)+".json")
}

// Seen returns what a provider was last, and false for one never seen.
func (s *State) Seen(_ context.Context, provider publisher.ProviderID) (Seen, bool, error) {
	var r seenRecord
	path := s.seenPath(string(provider))
	err := s.readJSON(path, seenVersion, &r)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Seen{}, false, nil
	case err != nil:
		return Seen{}, false, err
	case r.Provider != string(provider):
		return Seen{}, false, status.New(status.InvalidArgument, "state.corrupt", "%s is damaged: it is about provider %.80q", path, r.Provider).
			WithHint("move the file away")
	}
	return Seen{Platform: r.Platform, ClaimsDigest: r.ClaimsDigest, First: r.First, Last: r.Last}, true, nil
}

// SaveSeen remembers what a provider showed at a time. First is kept while the
// platform stays the same.
func (s *State) SaveSeen(ctx context.Context, provider publisher.ProviderID, platform, claimsDigest string, at time.Time) error {
	if !providerPattern.MatchString(string(provider)) {
		return status.New(status.InvalidArgument, "state.provider", "provider: got %.80q, want a peer id", provider)
	}
	release, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	before, known, err := s.Seen(ctx, provider)
	if err != nil {
		return err
	}
	first := at
	if known && before.Platform == platform {
		first = before.First
	}
	return s.writeJSON(s.seenPath(string(provider)), seenRecord{
		Version: seenVersion, Provider: string(provider), Platform: platform, ClaimsDigest: claimsDigest, First: first, Last: at,
	})
}
