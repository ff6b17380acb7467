package client

import (
	"crypto/ed25519"
	"slices"
	"time"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/attest/provenance"
)

// Build is a statement about how an image was built that is signed by the attested
// key and named by the receipt.
type Build struct {
	provenance.Build
	// Statement is its digest, "sha256:HEX".
	Statement string
	// Signer is who signed the commit with a key that the policy names; nil
	// where it names none, or nobody did.
	Signer *attest.BuildSigner
	// Logged is when the measured log of this boot has the build as record number
	// Record; zero where that was not shown, as for a build of an earlier boot.
	Logged time.Time
	Record uint64
}

// SignerOf verifies the signature of a raw commit object with the keys that a
// policy names. A commit that none of them signed is an error.
type SignerOf func(object []byte, keys policy.Signers) (attest.BuildSigner, error)

// provenance opens the statements about the builds of the images that run, looks for
// them in the log that is shown, and asks the policy about them. They count by the same key that signed the receipt, and when
// the receipt names them: nobody can add one, or put another in its place.
func (v *Verifier) provenance(r *Report, envelopes [][]byte, key ed25519.PublicKey, shown *attest.EndpointLog) bool {
	anchor := r.asserted()
	step := func(ok bool, got, want string) bool {
		return r.check(attest.Check{Code: codeProvenance, Name: "provenance: signed by the attested key", OK: ok, Anchor: anchor, Got: got, Want: want})
	}
	var facts []attest.BuildFacts
	var images, named []string
	for _, i := range r.Receipt.Images {
		images = append(images, i.ImageID)
	}
	for _, d := range r.Receipt.Provenance {
		named = append(named, d.String())
	}
	builder := provenance.BuilderOf(r.Receipt.Provider)
	for _, envelope := range envelopes {
		b, payload, err := provenance.Open(envelope, key)
		if err != nil {
			return step(false, detail(err), "by receipt key "+provenance.KeyID(key))
		}
		f := b.Facts(payload)
		switch {
		case !slices.Contains(named, f.Statement):
			return step(false, f.Statement, "a statement that the receipt names")
		case !slices.Contains(images, f.ImageID):
			return step(false, "of image "+f.ImageID, "of an image that runs")
		case b.Builder != builder:
			return step(false, "of builder "+b.Builder, builder)
		case slices.ContainsFunc(facts, func(o attest.BuildFacts) bool { return o.Statement == f.Statement }):
			return step(false, f.Statement+" a second time", "each statement once")
		}
		f.Signer = v.signer(r, b)
		step(true, f.Statement+" of "+f.ImageID, "")
		if b.Source != nil && b.Source.Unauthenticated() {
			r.warn(WarnUnauthenticated + ": " + b.Source.Branch + " of " + b.Source.Repository + "; who is between it and the provider can choose the commit, so want a signature")
		}
		r.Builds = append(r.Builds, Build{Build: b, Statement: f.Statement, Signer: f.Signer})
		facts = append(facts, f)
	}
	if !v.logged(r, shown) {
		return false
	}
	for i := range facts {
		facts[i].Logged = !r.Builds[i].Logged.IsZero()
	}
	for _, c := range v.policy().AppraiseBuilds(images, facts, anchor) {
		if !r.check(c) {
			return false
		}
	}
	return true
}

// signer verifies the commit's signature where the policy asks for one. The
// builder's own word for it does not count: it was asked to trust other keys.
func (v *Verifier) signer(r *Report, b provenance.Build) *attest.BuildSigner {
	keys, wanted := v.policy().WantsSigner()
	if !wanted || b.Source == nil {
		return nil
	}
	verify := v.Signer
	if verify == nil {
		verify = signedBy
	}
	s, err := verify(b.Source.Object, keys)
	if err != nil {
		r.warn("the signature of commit " + b.Source.Commit + " is not good: " + detail(err))
		return nil
	}
	return &s
}
