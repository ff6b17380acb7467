package client

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"apocryph/attest"
	"apocryph/attest/verify"
	"apocryph/proto/status"
)

// decode reads a document. What is not in form is a check that failed.
func (r *Report) decode(body []byte) (*attest.Endpoint, bool) {
	r.Document = body
	doc, err := attest.DecodeEndpoint(body)
	if err != nil {
		c := attest.Check{Code: codeParse, Name: "form", Anchor: attest.AnchorSelf, Got: "malformed", Want: "well-formed evidence within the caps"}
		if status.ReasonOf(err) == "attest.too_large" {
			c.Code, c.Name = codeTooLarge, "size"
		}
		var e *status.Error
		if errors.As(err, &e) {
			c.Got = e.Detail
		}
		return nil, r.check(c)
	}
	if claims, err := attest.DecodeClaims(doc.Claims); err == nil {
		r.Shown = claims
	}
	return doc, true
}

// expect finds out what a quote among the evidence must show; nil where there
// is none. activate sends an activation to the provider and puts the proof into the
// quote; nil where nobody can be asked.
func (v *Verifier) expect(doc *attest.Endpoint, now time.Time, activate func(attest.Activation) error) (*verify.Expected, error) {
	n := len(doc.Evidence)
	if n == 0 || doc.Evidence[n-1].Type != attest.TPM2 || doc.Evidence[n-1].TPM == nil {
		return nil, nil
	}
	if doc.Identity == nil {
		return nil, nil
	}
	id := *doc.Identity
	if n > 1 {
		return verify.BoundAK(id.AKPublic)
	}
	roots := v.roots()
	known := func([32]byte, []byte) bool { return false }
	if v.Machines != nil {
		known = v.Machines.Activated
	}
	want, recalled := verify.Recall(id, roots, known, now)
	if want != nil {
		return want, nil
	}
	// A pinned key needs nobody else's word.
	if recalled != nil || activate == nil {
		if pinned, err := verify.Pinned(id.AKPublic, roots); pinned != nil || err != nil {
			return pinned, err
		}
	}
	act, want, err := verify.NewActivation(id, roots, rand.Reader, now)
	if err != nil || activate == nil {
		return want, err
	}
	return want, activate(act)
}

// prove puts the proof of an activation into the quote.
func prove(doc *attest.Endpoint, proof [32]byte) {
	last := len(doc.Evidence) - 1
	q := *doc.Evidence[last].TPM
	q.ActivationProof = proof[:]
	doc.Evidence[last].TPM = &q
}

// judge verifies and appraises. The error is about the challenge, never about
// the evidence.
func (v *Verifier) judge(r *Report, doc *attest.Endpoint, ch attest.Challenge, want *verify.Expected, now time.Time) (err error) {
	result, err := verify.Evidence(doc.Evidence, doc.Claims, ch, want, v.roots(), now)
	if result == nil {
		return fmt.Errorf("verifying evidence: %w", err)
	}
	warnings := r.Verdict.Warnings
	if err != nil {
		r.Verdict = attest.Verdict{Checks: result.Checks, Warnings: warnings}
		return nil
	}
	r.Result, r.Verdict = result, v.policy().Appraise(result, now)
	r.Verdict.Warnings = append(warnings, r.Verdict.Warnings...)
	if !r.Verdict.Affirmed {
		return nil
	}
	r.TLSKey = result.Claims.IngressTLSKey
	if !v.workload(r, PeerText(result.Claims.ProviderPeer), result.Claims.Pod) || !r.fits(doc.Receipt, result.Claims, now) ||
		!v.provenance(r, doc.Provenance, result.Claims.ReceiptPublicKey, doc.Log) {
		r.deny()
	}
	return nil
}
