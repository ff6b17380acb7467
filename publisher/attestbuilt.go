package publisher

import (
	"slices"
	"time"

	"apocryph/attest"
	"apocryph/attest/client"
	"apocryph/attest/podlog"
	"apocryph/attest/policy"
	"apocryph/attest/provenance"
	"apocryph/proto/status"
)

// The codes of the checks here; attest/README.md has the table.
const (
	codeProvenance = "ATT-120"
	codeLogged     = "ATT-124"
)

// Statement is what a provider's attested key says of how an image was built.
type Statement struct {
	provenance.Build
	// Digest is the statement's, "sha256:HEX".
	Digest string
	// Signer is who signed the commit with a key that the policy names; nil where it
	// names none.
	Signer *attest.BuildSigner
	// Logged is when the pod log has the build; zero where it was not asked for, or
	// does not have it.
	Logged time.Time
}

// addBuilds adds to the verdict what the policy says of how images were built. The
// envelopes count by the key of the evidence, and of these images. A log that was asked
// for has been replayed, and has the same builds where it has them.
func (a *Attested) addBuilds(p *policy.Policy, images []string, envelopes [][]byte) {
	if !p.WantsBuilds() {
		return
	}
	checks, facts := a.openBuilds(p, images, envelopes)
	if facts != nil || len(checks) == 0 {
		checks = append(checks, p.AppraiseBuilds(images, facts, attest.AnchorAgentAsserted)...)
	}
	for _, c := range checks {
		a.Verdict.Affirmed = a.Verdict.Affirmed && c.OK
	}
	a.Verdict.Checks = append(a.Verdict.Checks, checks...)
	for _, b := range a.Builds {
		if b.Source != nil && b.Source.Unauthenticated() {
			a.Verdict.Warnings = append(a.Verdict.Warnings, client.WarnUnauthenticated+": "+b.Source.Branch+" of "+b.Source.Repository)
		}
	}
}

// openBuilds opens statements. Facts are nil where one of them must not be believed.
func (a *Attested) openBuilds(p *policy.Policy, images []string, envelopes [][]byte) (checks []attest.Check, facts []attest.BuildFacts) {
	step := func(code, name string, ok bool, got, want string) bool {
		checks = append(checks, attest.Check{Code: code, Name: name, OK: ok, Anchor: attest.AnchorAgentAsserted, Got: got, Want: want})
		return ok
	}
	const signed = "provenance: signed by the attested key"
	key, builder := a.Result.Claims.ReceiptPublicKey, provenance.BuilderOf(client.PeerText(a.Result.Claims.ProviderPeer))
	keys, wanted := p.WantsSigner()
	for _, envelope := range envelopes {
		b, payload, err := provenance.Open(envelope, key)
		if err != nil {
			step(codeProvenance, signed, false, status.Public(err).Detail, "by receipt key "+provenance.KeyID(key))
			return checks, nil
		}
		f := b.Facts(payload)
		switch {
		case !slices.Contains(images, f.ImageID):
			step(codeProvenance, signed, false, "of image "+f.ImageID, "of an image that was asked about")
			return checks, nil
		case b.Builder != builder:
			step(codeProvenance, signed, false, "of builder "+b.Builder, builder)
			return checks, nil
		case slices.ContainsFunc(facts, func(o attest.BuildFacts) bool { return o.ImageID == f.ImageID }):
			step(codeProvenance, signed, false, "of image "+f.ImageID+" a second time", "one of each image")
			return checks, nil
		}
		step(codeProvenance, signed, true, f.Statement+" of "+f.ImageID, "")
		s := Statement{Build: b, Digest: f.Statement}
		if wanted && b.Source != nil {
			// An error is a commit that none of them signed, which the policy says.
			s.Signer, _ = signerOf(b, keys)
		}
		done := a.buildDone(b.ID)
		if done != nil {
			ok := done.Provenance.String() == f.Statement && done.ImageID.String() == f.ImageID
			if !step(codeLogged, "build-done in the pod log", ok, "statement "+done.Provenance.String()+" of image "+done.ImageID.String(), "statement "+f.Statement+" of image "+f.ImageID) {
				return checks, nil
			}
			s.Logged = done.At
		}
		f.Signer, f.Logged = s.Signer, done != nil
		a.Builds, facts = append(a.Builds, s), append(facts, f)
	}
	return checks, facts
}

// buildDone is the event of a build in the log that was replayed; nil for none.
func (a *Attested) buildDone(id string) (last *podlog.BuildDone) {
	for _, e := range a.Log {
		if done, ok := e.Event.(*podlog.BuildDone); ok && done.PodID == id {
			last = done
		}
	}
	return last
}

// imagesOf are the ids of an app's images, each once; nil where the policy does not
// ask how they were built.
func imagesOf(p *policy.Policy, images []AppImage) (out []string) {
	if !p.WantsBuilds() {
		return nil
	}
	for _, i := range images {
		if !slices.Contains(out, i.ImageID) {
			out = append(out, i.ImageID)
		}
	}
	return out
}
