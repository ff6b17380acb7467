package publisher

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"apocryph/attest"
	"apocryph/attest/client"
	"apocryph/attest/podlog"
	"apocryph/attest/policy"
	"apocryph/attest/tlog"
	"apocryph/attest/verify"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
)

// attestTimeout bounds one attestation; a hardware TPM takes a second or two.
const attestTimeout = 45 * time.Second

// Attested is a provider's evidence after appraisal.
type Attested struct {
	Provider     Target
	Result       *attest.Result
	Verdict      attest.Verdict
	ClaimsDigest [32]byte
	// Offer is set where one was asked for, and its signature is good.
	Offer *offer.Offer
	// Log is the pod log, in order, where it was asked for; it is empty when the
	// log does not replay.
	Log []podlog.Entry
	// Builds are what was said of how the images were built that were asked about.
	Builds []Statement
	// tree is nil for a provider without a log.
	tree *seenTree
}

// Attest asks a provider for evidence and appraises it. The error says that
// the evidence could not be had or is not authentic; a verdict that denies is no error.
//
// The provider's transparency log has to have the attestation, and to have only
// grown since it was seen last; that is one of the checks of the verdict.
func (s *Service) Attest(ctx context.Context, t Target, p *policy.Policy, purpose attest.Purpose, needs *offer.Needs) (*Attested, error) {
	return s.attest(ctx, t, p, purpose, AttestRequest{Needs: needs}, nil)
}

// attest is Attest for a request whose challenge is made here. Where pod is set,
// the verdict also says whether the pod log shows it. Of the tree only leaves
// are asked for here.
func (s *Service) attest(ctx context.Context, t Target, p *policy.Policy, purpose attest.Purpose, req AttestRequest, pod *podlog.ExpectedPod) (*Attested, error) {
	ctx, cancel := context.WithTimeout(ctx, attestTimeout)
	defer cancel()
	for try := 1; ; try++ {
		a, err := s.attestOnce(ctx, t, p, purpose, req, pod)
		if !errors.Is(err, errMoved) || try == logTries {
			return a, err
		}
	}
}

func (s *Service) attestOnce(ctx context.Context, t Target, p *policy.Policy, purpose attest.Purpose, req AttestRequest, pod *podlog.ExpectedPod) (*Attested, error) {
	seen, err := s.cfg.Logs.Log(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	tree := TreeRequest{}
	if req.Tree != nil {
		tree.Leaves = req.Tree.Leaves
	}
	if len(seen.Last.Note) > 0 {
		last, err := tlog.OpenHead(seen.Last.Note, string(t.ID), seen.Last.Key)
		if err != nil {
			return nil, fmt.Errorf("reading the last head of %s: %w", t.ID, err)
		}
		tree.Size = last.Size
	}
	peer, err := s.cfg.Connection.Connect(ctx, t)
	if err != nil {
		return nil, err
	}
	ch := attest.Challenge{Purpose: purpose, VerifierPeer: s.cfg.Peer, ProviderPeer: peer}
	if _, err := rand.Read(ch.Nonce[:]); err != nil {
		return nil, fmt.Errorf("making a nonce: %w", err)
	}
	req.Challenge, req.Tree = ch, &tree
	req.Log = req.Log || p.WantsPodLog() || len(req.Images) > 0 && p.Provenance.Logged
	roots := RootsOf(p)
	var expected *verify.Expected
	ask := func(accept []attest.Type) (*Attestation, error) {
		req := req
		req.Accept = accept
		return s.askEvidence(ctx, t.ID, req,
			func(id attest.TPMIdentity) (attest.Activation, error) {
				if id.Bound {
					want, err := verify.BoundAK(id.AKPublic)
					expected = want
					return attest.Activation{}, err
				}
				want, err := verify.Pinned(id.AKPublic, roots)
				if want != nil || err != nil {
					expected = want
					return attest.Activation{}, err
				}
				want, err = verify.Recall(id, roots, s.cfg.Machines.Activated, s.cfg.Now())
				if want != nil || err != nil {
					expected = want
					return attest.Activation{}, err
				}
				a, want, err := verify.NewActivation(id, roots, rand.Reader, s.cfg.Now())
				expected = want
				return a, err
			})
	}
	got, err := ask(p.AcceptTypes())
	if status.ReasonOf(err) == "attest.type" {
		// It has none of the accepted kinds. What it has is looked at all the same:
		// the policy denies it, and can say every reason why.
		got, err = ask(nil)
	}
	if err != nil {
		return nil, err
	}
	out := &Attested{Provider: t, ClaimsDigest: attest.ClaimsDigest(got.Claims)}
	result, err := verify.Evidence(got.Evidence, got.Claims, ch, expected, roots, s.cfg.Now())
	out.Result = result
	if err != nil {
		return out, err
	}
	if f := result.TPM; f != nil && f.AKBinding == attest.AKActivated {
		if err := s.cfg.Machines.Remember(f.EKFingerprint, f.AKName); err != nil {
			s.log.Warn("an activation is not remembered and will be asked for again", "err", err)
		}
	}
	// Behind the checks of the quote, and before the policy decides on all of them.
	if err := s.followCounters(ctx, t.ID, result); err != nil {
		return out, err
	}
	if out.tree, err = s.followLog(ctx, t.ID, result, got.Tree, seen); err != nil {
		return out, err
	}
	var logChecks []attest.Check
	if req.Log {
		logChecks = out.replayLog(got.Log, pod)
	}
	out.Verdict = p.Appraise(result, s.cfg.Now())
	s.rememberKey(out, p)
	out.addLog(logChecks)
	if len(req.Images) > 0 {
		out.addBuilds(p, req.Images, got.Built)
	}
	if req.Needs != nil {
		if err := s.openOffer(out, got.Offer, *req.Needs); err != nil {
			return out, err
		}
	}
	return out, nil
}

// openOffer checks that the offer is signed by the attested key, bound into
// the evidence, and for us.
func (s *Service) openOffer(a *Attested, signed *offer.Signed, needs offer.Needs) error {
	if signed == nil {
		return status.New(status.Untrusted, "offer.missing", "the provider sent no offer with its evidence")
	}
	digest := signed.Digest()
	if !bytes.Equal(digest[:], a.Result.Claims.OfferDigest) {
		return status.New(status.Untrusted, "offer.unbound", "the offer is not the one that the evidence binds")
	}
	o, err := s.readOffer(a.Result.Claims, *signed, needs)
	if err != nil {
		return err
	}
	a.Offer = &o
	return nil
}

func (s *Service) readOffer(claims *attest.Claims, signed offer.Signed, needs offer.Needs) (offer.Offer, error) {
	o, err := offer.Open(signed, claims.ReceiptPublicKey, s.cfg.Now())
	if err != nil {
		return offer.Offer{}, err
	}
	want, err := offer.RequestDigest(needs)
	if err != nil {
		return offer.Offer{}, err
	}
	return o, o.Matches(claims.ProviderPeer, s.cfg.Peer, want)
}

// Quote asks an attested provider for an offer.
func (s *Service) Quote(ctx context.Context, a *Attested, needs offer.Needs) (offer.Offer, error) {
	signed, err := s.cfg.Providers.Quote(ctx, a.Provider.ID, needs)
	if err != nil {
		return offer.Offer{}, err
	}
	return s.readOffer(a.Result.Claims, signed, needs)
}

// QuoteOnly asks a provider for an offer without deciding anything: the verdict
// says whether the policy affirms it. The offer is signed by the attested key
// where the evidence is authentic at all.
func (s *Service) QuoteOnly(ctx context.Context, t Target, p *policy.Policy, needs offer.Needs) (offer.Offer, attest.Verdict, error) {
	result, err := s.Look(ctx, t)
	if err != nil {
		return offer.Offer{}, attest.Verdict{}, err
	}
	signed, err := s.cfg.Providers.Quote(ctx, t.ID, needs)
	if err != nil {
		return offer.Offer{}, attest.Verdict{}, err
	}
	o, err := s.readOffer(result.Claims, signed, needs)
	return o, p.Appraise(result, s.cfg.Now()), err
}

// Look asks a provider for evidence and trusts whatever roots it shows: for
// writing a first policy, and for looking at offers. It decides nothing.
func (s *Service) Look(ctx context.Context, t Target) (*attest.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, attestTimeout)
	defer cancel()
	peer, err := s.cfg.Connection.Connect(ctx, t)
	if err != nil {
		return nil, err
	}
	ch := attest.Challenge{Purpose: attest.PurposeProvision, VerifierPeer: s.cfg.Peer, ProviderPeer: peer}
	if _, err := rand.Read(ch.Nonce[:]); err != nil {
		return nil, fmt.Errorf("making a nonce: %w", err)
	}
	var tpm *attest.TPMIdentity
	var expected *verify.Expected
	got, err := s.askEvidence(ctx, t.ID, AttestRequest{Challenge: ch}, func(id attest.TPMIdentity) (attest.Activation, error) {
		tpm = &id
		if id.Bound {
			want, err := verify.BoundAK(id.AKPublic)
			expected = want
			return attest.Activation{}, err
		}
		a, want, err := verify.NewActivation(id, verify.RootsShown(&id, nil), rand.Reader, s.cfg.Now())
		expected = want
		return a, err
	})
	if err != nil {
		return nil, err
	}
	return verify.Evidence(got.Evidence, got.Claims, ch, expected, verify.RootsShown(tpm, got.Evidence), s.cfg.Now())
}

// askEvidence asks again where the connection broke: evidence may be asked for as
// often as one likes, and a connection that was just made may give way to another
// between the same two.
func (s *Service) askEvidence(ctx context.Context, to ProviderID, req AttestRequest, activate func(attest.TPMIdentity) (attest.Activation, error)) (*Attestation, error) {
	var lost error
	for try := 1; ; try++ {
		got, err := s.cfg.Providers.Attest(ctx, to, req, activate)
		switch {
		case status.ReasonOf(err) == "peer.unreachable" && lost != nil:
			// It went away in the middle of the call.
			return nil, lost
		case status.ReasonOf(err) != "peer.lost" || try == sendTries || ctx.Err() != nil:
			return got, err
		}
		lost = err
	}
}

// Reach connects to a provider.
func (s *Service) Reach(ctx context.Context, t Target) error {
	_, err := s.cfg.Connection.Connect(ctx, t)
	return err
}

// RootsOf are the trust anchors that a policy brings, beside the built-in ones.
func RootsOf(p *policy.Policy) verify.Roots { return client.RootsOf(p) }

// denied is the error for a verdict that denies.
func denied(v attest.Verdict) error {
	c, _ := v.Failed()
	return status.New(status.Untrusted, "attest.denied", "the provider is not what the policy accepts: %s %s: got %s, want %s", c.Code, c.Name, orNone(c.Got), orNone(c.Want)).
		WithHint("`publisher attest PROVIDER --explain` shows every check; `publisher policy init --from PROVIDER` writes a policy from what the provider shows")
}

func orNone(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}
