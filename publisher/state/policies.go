package state

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"apocryph/proto/status"
	"apocryph/publisher"
)

const policyVersion = 1

// usedPolicy is the newest policy of a scope, policies/HASH.json. It outlives
// the app: a policy that was replaced stays replaced.
type usedPolicy struct {
	Version int    `json:"version"`
	Scope   string `json:"scope"`
	// Policy is the policy's own version, Key 64 hexadecimal digits or "".
	Policy int       `json:"policy_version"`
	Key    string    `json:"key,omitempty"`
	File   []byte    `json:"file,omitempty"`
	Used   time.Time `json:"used"`
}

var _ publisher.Policies = (*State)(nil)

func (s *State) policyPath(scope string) string {
	return filepath.Join(s.dir, "policies", hashName(scope)+".json")
}

// UsedPolicy returns the newest policy that was used in a scope. A file that
// cannot be read is an error: what it says is why older policies are refused.
func (s *State) UsedPolicy(_ context.Context, scope string) (publisher.UsedPolicy, error) {
	path := s.policyPath(scope)
	var have usedPolicy
	err := s.readJSON(path, policyVersion, &have)
	if errors.Is(err, fs.ErrNotExist) {
		return publisher.UsedPolicy{}, nil
	}
	if err != nil {
		return publisher.UsedPolicy{}, err
	}
	key, err := hex.DecodeString(have.Key)
	if err != nil || len(key) != 0 && len(key) != ed25519.PublicKeySize || have.Scope != scope || have.Policy < 1 {
		return publisher.UsedPolicy{}, status.New(status.InvalidArgument, "state.corrupt", "%s is damaged: it is about %.80q, version %d", path, have.Scope, have.Policy).
			WithHint("move the file away, and look whether the policy that you use is the newest")
	}
	u := publisher.UsedPolicy{Version: have.Policy, File: have.File, Used: have.Used}
	if len(key) > 0 {
		u.Key = key
	}
	return u, nil
}

// UsePolicy remembers a policy. One that is older than what is remembered, which
// another process may just have written, is untrusted, reason policy.rollback.
func (s *State) UsePolicy(ctx context.Context, scope string, u publisher.UsedPolicy) error {
	release, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	have, err := s.UsedPolicy(ctx, scope)
	if err != nil {
		return err
	}
	if u.Version < have.Version {
		return status.New(status.Untrusted, "policy.rollback", "ATT-161 policy's version: got %d, want at least %d", u.Version, have.Version)
	}
	return s.writeJSON(s.policyPath(scope), usedPolicy{policyVersion, scope, u.Version, hex.EncodeToString(u.Key), u.File, u.Used.UTC()})
}
