package publisher

import (
	"maps"
	"slices"
	"strings"

	"apocryph/attest"
	"apocryph/attest/commit"
	"apocryph/attest/policy"
	"apocryph/attest/provenance"
	"apocryph/manifest"
	"apocryph/manifest/slug"
	"apocryph/proto/status"
)

// made is an image that a provider built, with what its attested key says of it.
type made struct {
	image manifest.Image
	key   []byte
	said  provenance.Build
	// statement is the digest of what it says, as receipts name it.
	statement manifest.Digest
	signer    *attest.BuildSigner
}

// checkBuilt verifies what a provider says of a build: that the attested key signed
// it, that it is about this image, that the commit is the one which was asked for, and
// that the policy accepts it. All but the commit's own signature, and that the commit
// names its tree, is the attested builder's word.
//
// logged says whether the pod log was seen to have it.
func (s *Service) checkBuilt(req DeployRequest, a *Attested, got Built, logged bool) (*made, error) {
	said, payload, err := provenance.Open(got.Provenance, a.Result.Claims.ReceiptPublicKey)
	if err != nil {
		return nil, status.Wrap(err, status.Untrusted, "build.provenance", "what the provider says of the build is not good: %s", status.Public(err).Detail)
	}
	if err := matchBuild(said, req.Source, a.Provider.ID, got); err != nil {
		return nil, err
	}
	m := &made{image: got.Image, key: got.Key, said: said, statement: provenance.Digest(payload)}
	m.image.Ref = ""
	if !req.Source.Signers.None() {
		if m.signer, err = signerOf(said, req.Source.Signers); err != nil {
			return nil, status.Wrap(err, status.Untrusted, "build.signer", "commit %s is not signed by a key of --signer: %s", said.Source.Commit, status.Public(err).Detail).
				WithHint("nothing was deployed")
		}
	}
	return m, appraiseBuild(req.Policy, m, payload, logged)
}

// appraiseBuild asks the policy about a build.
func appraiseBuild(p *policy.Policy, m *made, payload []byte, logged bool) error {
	facts := m.said.Facts(payload)
	facts.Logged = logged
	if keys, wanted := p.WantsSigner(); wanted {
		// An error is a commit that none of them signed, which the policy says.
		facts.Signer, _ = signerOf(m.said, keys)
	}
	for _, c := range p.AppraiseBuilds([]string{m.image.ImageID}, []attest.BuildFacts{facts}, attest.AnchorAgentAsserted) {
		if !c.OK {
			return status.New(status.Untrusted, "build.denied", "the build is not what the policy accepts: %s %s: got %s, want %s", c.Code, c.Name, orNone(c.Got), orNone(c.Want)).
				WithHint("nothing was deployed; the section provenance of the policy decides")
		}
	}
	if m.signer == nil {
		m.signer = facts.Signer
	}
	return nil
}

// matchBuild compares a statement with what was asked for and with what came.
func matchBuild(b provenance.Build, want *Source, at ProviderID, got Built) error {
	var faults []status.Fault
	differs := func(field, got, want string) {
		if got != want {
			faults = append(faults, status.Fault{Field: field, Got: got, Want: want})
		}
	}
	differs("builder", b.Builder, provenance.BuilderOf(string(at)))
	differs("id", b.ID, got.ID)
	differs("image_id", b.ImageID, got.Image.ImageID)
	if got.Image.CID == "" || got.Image.EncryptedDigest == "" || (got.Image.KeyID == "") != (len(got.Key) == 0) {
		faults = append(faults, status.Fault{Field: "image", Got: "an image without CID, digest or key", Want: "a sealed image"})
	}
	if b.Source == nil {
		differs("source", "an upload", "a commit of "+want.repository())
		return mismatch(faults)
	}
	differs("repository", b.Source.Repository, want.repository())
	differs("ref", b.Source.Ref, want.Slug.Ref)
	differs("path", b.Source.Path, want.Path)
	if want.Entry != "" {
		differs("entry", b.Entry, want.Entry)
	}
	if want.Runtime != "" {
		differs("runtime", b.Runtime, want.Runtime)
	}
	if f := want.history(b.Source); f != nil {
		faults = append(faults, *f)
	}
	return mismatch(faults)
}

func mismatch(faults []status.Fault) error {
	if len(faults) == 0 {
		return nil
	}
	e := status.Invalid("build.other", "what the provider built", faults)
	e.Code = status.Untrusted
	return e
}

// history compares commit and branch with what was asked for. Which branch is a
// repository's default only the repository knows.
func (s *Source) history(got *provenance.Source) *status.Fault {
	ref := s.Slug.Ref
	one := func(names ...string) *status.Fault {
		if slices.Contains(names, got.Branch) {
			return nil
		}
		return &status.Fault{Field: "branch", Got: got.Branch, Want: strings.Join(names, " or ")}
	}
	full := func(name string, kinds ...string) []string {
		if strings.HasPrefix(name, "refs/") {
			return []string{name}
		}
		var out []string
		for _, k := range kinds {
			out = append(out, "refs/"+k+"/"+name)
		}
		return out
	}
	isID := slug.MaybeSHA(ref) && strings.HasPrefix(got.Commit, ref)
	switch {
	case slug.FullSHA(ref) && !isID:
		return &status.Fault{Field: "commit", Got: got.Commit, Want: ref}
	case s.Branch != "":
		return one(full(s.Branch, "heads")...)
	case ref == "" || isID:
		return nil
	}
	return one(full(ref, "heads", "tags")...)
}

// signerOf verifies the signature of a commit. The builder's own word for it does
// not count.
func signerOf(b provenance.Build, keys policy.Signers) (*attest.BuildSigner, error) {
	var texts [][]byte
	for _, list := range [][]string{keys.SSH, keys.PGP} {
		for _, k := range list {
			texts = append(texts, []byte(k))
		}
	}
	known, err := commit.ParseKeys(texts...)
	if err != nil {
		return nil, err
	}
	c, err := commit.Parse(b.Source.Object)
	if err != nil {
		return nil, err
	}
	signer, err := commit.Verify(c, known)
	if err != nil {
		return nil, err
	}
	out := attest.BuildSigner(signer)
	return &out, nil
}

// named holds a receipt against what was said of the build: who asks the app for its
// provenance is shown what the receipt names. A provider keeps one statement about an
// image of a publisher's, so another build of the same image may have taken the place
// of this one: then there is a warning.
func (m *made) named(digests []manifest.Digest) (warning string, err error) {
	switch {
	case slices.Contains(digests, m.statement):
		return "", nil
	case len(digests) == 0:
		return "", status.New(status.Untrusted, "receipt.provenance", "the provider's receipt names no statement about the build, want %s", m.statement)
	}
	return "the receipt names another build of the same image than " + m.statement.String() + ": users of the app are shown that one", nil
}

// BuiltFrom is what was verified of a build.
type BuiltFrom struct {
	// Repository is a URL, Branch a full name.
	Repository, Branch, Path, Commit, Tree string
	// ImageID and Statement are digests, "sha256:HEX"; BuildID is the provider's.
	ImageID, Statement, BuildID string
	Runtime                     string
	Argv                        []string
	// Signer is nil where no signature was demanded.
	Signer *attest.BuildSigner
}

// from is nil where nothing was built.
func (m *made) from() *BuiltFrom {
	if m == nil {
		return nil
	}
	s := m.said.Source
	return &BuiltFrom{
		Repository: s.Repository, Branch: s.Branch, Path: s.Path, Commit: s.Commit, Tree: s.Tree, ImageID: m.image.ImageID, Statement: m.statement.String(),
		BuildID: m.said.ID, Runtime: m.said.Runtime, Argv: m.said.Argv, Signer: m.signer,
	}
}

// with is an order with the image that was built.
func (p *pinned) with(req DeployRequest, built *made) (*pinned, error) {
	m := *p.manifest
	m.Containers = slices.Clone(m.Containers)
	for i, c := range req.Manifest.Containers {
		if req.builds(c) {
			m.Containers[i].Image = built.image
		}
	}
	out := &pinned{order: p.order, manifest: &m}
	out.order.Keys = maps.Clone(p.order.Keys)
	if built.image.KeyID != "" {
		out.order.Keys[built.image.KeyID] = built.key
	}
	return out, out.encode()
}
