package publisher

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"time"

	"apocryph/attest/policy"
	"apocryph/proto/status"
)

// GivenPolicy is a policy as its user chose it.
type GivenPolicy struct {
	*policy.Policy
	// File is the exact bytes, empty for the built-in policy. Signature is the file
	// beside it, nil where there is none.
	File, Signature []byte
	// Key is who must have signed it, by the user's word; nil where the user named
	// nobody.
	Key ed25519.PublicKey
	// remembered is set for the file of the last deploy, which was checked then: its
	// signature is not kept.
	remembered bool
}

// UsedPolicy is the newest policy that was used for something.
type UsedPolicy struct {
	// Version is the highest that was used, 0 for none.
	Version int
	// File is its bytes, empty for the built-in policy.
	File []byte
	// Key must sign every later one; nil where none was demanded yet.
	Key  ed25519.PublicKey
	Used time.Time
}

// Policies remembers the newest policies that were used, by scope: an app or a
// policy's name.
type Policies interface {
	// UsedPolicy is the zero value where none was used.
	UsedPolicy(ctx context.Context, scope string) (UsedPolicy, error)
	// UsePolicy refuses a version that is lower than the one before.
	UsePolicy(ctx context.Context, scope string, u UsedPolicy) error
}

// AppScope and NameScope are the scopes of an app and of policies of one name.
func AppScope(app string) string   { return "app." + app }
func NameScope(name string) string { return "policy." + name }

// scopesOf are where the policy counts: the app that it is used for, "" for
// none, and all policies of its name.
func scopesOf(app string, p *policy.Policy) []string {
	var scopes []string
	if app != "" {
		scopes = append(scopes, AppScope(app))
	}
	if p.Name != "" {
		scopes = append(scopes, NameScope(p.Name))
	}
	return scopes
}

// CheckPolicy is [CheckPolicy] with what this service remembers.
func (s *Service) CheckPolicy(ctx context.Context, app string, g GivenPolicy) error {
	return CheckPolicy(ctx, s.cfg.Policies, app, g)
}

// UsePolicy is [UsePolicy] with what this service remembers.
func (s *Service) UsePolicy(ctx context.Context, app string, g GivenPolicy) error {
	return UsePolicy(ctx, s.cfg.Policies, app, g, s.cfg.Now())
}

// CheckPolicy refuses a policy that is older than one that was used before, or
// that is not signed by the key that is demanded: the user's, else the one that
// was demanded before. app is what it is for, "" for nothing in particular. The
// error is untrusted, reason policy.rollback or policy.signature.
func CheckPolicy(ctx context.Context, before Policies, app string, g GivenPolicy) error {
	if g.Key != nil {
		if err := policy.Refusal(policy.CheckSignature(g.File, g.Signature, g.Key)); err != nil {
			return err
		}
	}
	for _, scope := range scopesOf(app, g.Policy) {
		used, err := before.UsedPolicy(ctx, scope)
		if err != nil {
			return fmt.Errorf("looking for earlier policies: %w", err)
		}
		if g.Key == nil && used.Key != nil && !(g.remembered && bytes.Equal(g.File, used.File)) {
			if err := policy.Refusal(policy.CheckSignature(g.File, g.Signature, used.Key)); err != nil {
				return err
			}
		}
		if err := policy.Refusal(g.CheckVersion(used.Version)); err != nil {
			return err
		}
	}
	return nil
}

// UsePolicy remembers that a policy decided something, at the time now.
func UsePolicy(ctx context.Context, before Policies, app string, g GivenPolicy, now time.Time) error {
	for _, scope := range scopesOf(app, g.Policy) {
		used, err := before.UsedPolicy(ctx, scope)
		if err != nil {
			return fmt.Errorf("looking for earlier policies: %w", err)
		}
		key := g.Key
		if key == nil {
			key = used.Key
		}
		if used.Version == g.Version && bytes.Equal(used.File, g.File) && bytes.Equal(used.Key, key) {
			continue
		}
		err = before.UsePolicy(ctx, scope, UsedPolicy{Version: g.Version, File: g.File, Key: key, Used: now})
		if err != nil {
			return fmt.Errorf("remembering the policy: %w", err)
		}
	}
	return nil
}

// LastPolicy is the policy that an app was last deployed under: what its
// provider is verified against again. An app that was deployed under none from
// here is not_found, reason policy.unknown.
func (s *Service) LastPolicy(ctx context.Context, app string) (GivenPolicy, error) {
	used, err := s.cfg.Policies.UsedPolicy(ctx, AppScope(app))
	if err != nil {
		return GivenPolicy{}, err
	}
	switch {
	case used.Version == 0:
		return GivenPolicy{}, status.New(status.NotFound, "policy.unknown", "no policy is remembered for %s", app).WithHint("name one with --policy")
	case len(used.File) == 0:
		return GivenPolicy{Policy: policy.Builtin()}, nil
	}
	p, err := policy.Parse(used.File)
	return GivenPolicy{Policy: p, File: used.File, remembered: true}, err
}
