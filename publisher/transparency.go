package publisher

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"apocryph/attest"
	"apocryph/attest/tlog"
	"apocryph/manifest"
	"apocryph/proto/status"
)

const (
	// headAge is how old a head may be: it is signed after the claims are, which
	// are fresh, so that this is for clocks that differ.
	headAge = 10 * time.Minute
	// maxConflicts and maxReleases bound what is remembered of one provider.
	maxConflicts = 8
	maxReleases  = 1024
	// logTries is how often a provider is attested again because another command
	// of this publisher has seen more of its log meanwhile.
	logTries = 8
)

// TreeRequest asks a provider how its transparency log has grown.
type TreeRequest struct {
	// Size is that of the last head that was verified, 0 for none.
	Size int64
	// Leaves are those that shall be shown.
	Leaves []tlog.Hash
}

// TreeAnswer is what a provider shows; nothing of it is verified yet.
type TreeAnswer struct {
	Head, Consistency []byte
	Inclusions        [][]byte
	Entry, Inclusion  []byte
}

// ReleaseProof is what a provider shows of the release of a pod's keys.
type ReleaseProof struct {
	At                           time.Time
	Salt                         [tlog.SaltSize]byte
	Head, Inclusion, Consistency []byte
}

// SignedHead is a head that was verified, as it was signed and with which key.
type SignedHead struct {
	Note []byte
	Key  ed25519.PublicKey
}

// SeenLog is what this publisher has seen of a provider's transparency log. The
// zero value is a log that was never seen.
type SeenLog struct {
	// Last is the last head that was verified, at Seen.
	Last SignedHead
	Seen time.Time
	// Conflicts are heads that the provider signed and that do not go on from the
	// one that was the last then.
	Conflicts []Conflict
	// Releases are those of this publisher, oldest first.
	Releases []SeenRelease
}

// Conflict is two heads of which the second was not shown to go on from the first.
type Conflict struct {
	Before, After SignedHead
	// Reason is what the check said.
	Reason string
	At     time.Time
}

// SeenRelease is a release of keys that this publisher made and found in the log.
type SeenRelease struct {
	App, PodID     string
	ManifestDigest manifest.Digest
	Claims         [32]byte
	Salt           [tlog.SaltSize]byte
	At             time.Time
	// Number is that of the entry.
	Number int64
}

// Logs remembers what was seen of the providers' transparency logs.
type Logs interface {
	Log(ctx context.Context, of ProviderID) (SeenLog, error)
	// ChangeLog replaces what is remembered, atomically, with what change makes of
	// it, and leaves it where change returns an error.
	ChangeLog(ctx context.Context, of ProviderID, change func(*SeenLog) error) error
}

// errMoved: another command has seen a later head than the one that the
// provider was asked to go on from.
var errMoved = status.New(status.Unavailable, "transparency.moved", "other commands attest the same provider at the same time").
	WithHint("try again")

// seenTree is a head that was verified in an attestation, and what came with it.
type seenTree struct {
	head   tlog.Head
	signed SignedHead
	answer *TreeAnswer
}

// followLog checks that the claims are in the provider's log, and that the log
// has only grown since it was seen last. The outcome is a check and, where it
// passed, facts for the policy. The error is that the outcome cannot be kept.
func (s *Service) followLog(ctx context.Context, of ProviderID, r *attest.Result, got *TreeAnswer, seen SeenLog) (*seenTree, error) {
	if got == nil && len(seen.Last.Note) == 0 {
		return nil, nil
	}
	check := attest.Check{Code: "ATT-140", Name: "transparency log", Anchor: attest.AnchorAgentAsserted, Want: "this attestation in a log that has only grown"}
	tree, facts, err := s.checkTree(of, r, got, seen)
	if err == nil {
		err = s.cfg.Logs.ChangeLog(ctx, of, func(l *SeenLog) error {
			if !bytes.Equal(l.Last.Note, seen.Last.Note) {
				return errMoved
			}
			l.Last, l.Seen = tree.signed, s.cfg.Now()
			return nil
		})
		if err != nil {
			return nil, err
		}
		check.OK, check.Got = true, fmt.Sprintf("entry %d of %d", facts.Number, facts.Size)
		r.Checks, r.Transparency = append(r.Checks, check), facts
		return tree, nil
	}
	if code := tlog.CheckCode(err); code != "" {
		check.Code = code
	}
	check.Got = status.Public(err).Detail
	r.Checks = append(r.Checks, check)
	if check.Code != "ATT-141" {
		return nil, nil
	}
	return nil, s.cfg.Logs.ChangeLog(ctx, of, func(l *SeenLog) error {
		if len(l.Conflicts) < maxConflicts {
			l.Conflicts = append(l.Conflicts, Conflict{
				Before: seen.Last, After: SignedHead{got.Head, r.Claims.ReceiptPublicKey}, Reason: check.Got, At: s.cfg.Now(),
			})
		}
		return nil
	})
}

func (s *Service) checkTree(of ProviderID, r *attest.Result, got *TreeAnswer, seen SeenLog) (*seenTree, *attest.TransparencyFacts, error) {
	if got == nil {
		return nil, nil, status.New(status.Untrusted, "transparency.missing", "the provider showed a log before and shows none now")
	}
	v, err := s.verifier(of, r.Claims, seen.Last)
	if err != nil {
		return nil, nil, err
	}
	e, err := tlog.DecodeEntry(got.Entry)
	if err != nil {
		return nil, nil, err
	}
	if e.Kind != tlog.KindClaims || e.Claims != r.ClaimsDigest {
		return nil, nil, status.New(status.Untrusted, "transparency.entry", "the entry that the provider shows is about something else")
	}
	p, err := decodeProof(got.Head, got.Inclusion, got.Consistency)
	if err != nil {
		return nil, nil, err
	}
	head, err := v.Check(e, p)
	if err != nil {
		return nil, nil, err
	}
	return &seenTree{head, SignedHead{bytes.Clone(got.Head), r.Claims.ReceiptPublicKey}, got},
		&attest.TransparencyFacts{Included: true, Grown: v.Last != nil, Size: head.Size, Number: p.Inclusion.Index}, nil
}

// verifier takes the last head under the key that it was verified with.
func (s *Service) verifier(of ProviderID, c *attest.Claims, last SignedHead) (tlog.Verifier, error) {
	v := tlog.Verifier{Peer: string(of), Key: c.ReceiptPublicKey, BootEpoch: c.BootEpoch, Now: s.cfg.Now(), MaxAge: headAge}
	if len(last.Note) > 0 {
		h, err := tlog.OpenHead(last.Note, string(of), last.Key)
		if err != nil {
			return v, fmt.Errorf("reading the last head of %s: %w", of, err)
		}
		v.Last = &h
	}
	return v, nil
}

// decodeProof leaves a proof that did not come empty: the checks refuse it where
// they need one.
func decodeProof(head, inclusion, consistency []byte) (tlog.Proof, error) {
	p := tlog.Proof{Head: head}
	var err error
	if len(inclusion) > 0 {
		if p.Inclusion, err = tlog.DecodeInclusion(inclusion); err != nil {
			return p, err
		}
	}
	if len(consistency) > 0 {
		p.Consistency, err = tlog.DecodeConsistency(consistency)
	}
	return p, err
}

// checkRelease checks that the provider's log has the release of the keys that
// were just sealed to it, and remembers it.
func (s *Service) checkRelease(ctx context.Context, req DeployRequest, a *Attested, app string, digest manifest.Digest, got Provisioned) error {
	if a.tree == nil {
		return nil // a provider without a log
	}
	if got.Release == nil {
		return status.New(status.Untrusted, "transparency.release", "the provider does not show that its log has the release of the keys")
	}
	r := tlog.Release{Salt: got.Release.Salt, Manifest: digest, PodID: got.PodID}
	e, err := tlog.ReleaseEntry(got.Release.At, a.ClaimsDigest, r)
	if err != nil {
		return status.Wrap(err, status.Untrusted, "transparency.release", "the provider shows a release that cannot be one: %s", status.Public(err).Detail)
	}
	number, tree, err := s.findRelease(ctx, req, a, e, got.Release)
	if err != nil {
		return fmt.Errorf("looking for the release of the keys in the provider's log: %w", err)
	}
	return s.cfg.Logs.ChangeLog(ctx, a.Provider.ID, func(l *SeenLog) error {
		// Where another command has seen more, the next attestation goes on from that.
		if bytes.Equal(l.Last.Note, a.tree.signed.Note) && tree != nil {
			l.Last, l.Seen = *tree, s.cfg.Now()
		}
		l.Releases = append(l.Releases, SeenRelease{
			App: app, PodID: got.PodID, ManifestDigest: digest, Claims: a.ClaimsDigest, Salt: got.Release.Salt, At: e.At, Number: number,
		})
		l.Releases = l.Releases[max(0, len(l.Releases)-maxReleases):]
		return nil
	})
}

// findRelease proves an entry with what came with it or, where the provider
// started again since it was attested and signs with another key now, with what
// it shows when it is attested again.
func (s *Service) findRelease(ctx context.Context, req DeployRequest, a *Attested, e tlog.Entry, shown *ReleaseProof) (int64, *SignedHead, error) {
	v, err := s.verifier(a.Provider.ID, a.Result.Claims, a.tree.signed)
	if err != nil {
		return 0, nil, err
	}
	p, err := decodeProof(shown.Head, shown.Inclusion, shown.Consistency)
	if err != nil {
		return 0, nil, err
	}
	_, err = v.Check(e, p)
	if err == nil {
		return p.Inclusion.Index, &SignedHead{bytes.Clone(shown.Head), v.Key}, nil
	}
	if code := tlog.CheckCode(err); code == "ATT-141" {
		// The head is signed, whatever it contradicts.
		return 0, nil, errors.Join(err, s.cfg.Logs.ChangeLog(ctx, a.Provider.ID, func(l *SeenLog) error {
			if len(l.Conflicts) < maxConflicts {
				l.Conflicts = append(l.Conflicts, Conflict{a.tree.signed, SignedHead{shown.Head, v.Key}, status.Public(err).Detail, s.cfg.Now()})
			}
			return nil
		}))
	} else if code != "ATT-040" && code != "ATT-024" {
		return 0, nil, err
	}
	again, err := s.attest(ctx, a.Provider, req.Policy, attest.PurposeProvision, AttestRequest{Tree: &TreeRequest{Leaves: []tlog.Hash{e.Leaf()}}}, nil)
	if err != nil {
		return 0, nil, err
	}
	if !again.Verdict.Affirmed {
		return 0, nil, denied(again.Verdict)
	}
	if again.tree == nil || len(again.tree.answer.Inclusions) != 1 {
		return 0, nil, status.New(status.Untrusted, "transparency.release", "the provider does not show the entry that was asked for")
	}
	p, err = decodeProof(nil, again.tree.answer.Inclusions[0], nil)
	if err != nil {
		return 0, nil, err
	}
	return p.Inclusion.Index, nil, tlog.CheckInclusion(again.tree.head, e, p.Inclusion)
}
