package policy

import (
	"fmt"
	"slices"
	"strings"

	"apocryph/attest"
)

// Provenance is what a verifier demands of how images were built. It is judged
// where a receipt says which images run, see [Policy.AppraiseBuilds]. Empty fields
// allow anything.
type Provenance struct {
	// Required wants each image to have a statement; without it, what has one must
	// pass all the same.
	Required bool
	// Logged wants the build to be in the measured log of the boot in which the image
	// runs: a build of an earlier boot is the word of the software that kept it.
	Logged bool
	// Repositories are canonical URLs such as "https://github.com/o/r", or with
	// "/*" at the end all that are directly below. With any, uploads are refused.
	Repositories []string
	// Branches are full or short names: "main" is "refs/heads/main".
	Branches []string
	// Signers are whose signature the commit must have.
	Signers Signers
	// Runtimes are what may have built, such as "static".
	Runtimes []string
	// Bases are digests, "sha256:HEX": whatever went in besides the source and
	// packages must be one of them.
	Bases []string
}

// Signers are keys of people who sign commits; empty demands no signature.
type Signers struct {
	// SSH are lines as in an authorized_keys file, PGP armoured public keys.
	SSH, PGP []string
}

// None reports whether no signature is demanded.
func (s Signers) None() bool { return len(s.SSH)+len(s.PGP) == 0 }

// WantsBuilds reports whether the policy has a section about builds.
func (p *Policy) WantsBuilds() bool { return p != nil && p.Provenance != nil }

// WantsSigner are the keys by which a verifier has to verify the signatures of
// commits.
func (p *Policy) WantsSigner() (s Signers, wanted bool) {
	if p == nil || p.Provenance == nil {
		return Signers{}, false
	}
	return p.Provenance.Signers, !p.Provenance.Signers.None()
}

// AppraiseBuilds compares what is known of how the images were built that a
// receipt names. images are their ids, builds the facts of statements that are
// signed with the same attested key. It returns the checks up to the first that
// failed, none where the policy demands nothing. A policy with faults fails.
func (p *Policy) AppraiseBuilds(images []string, builds []attest.BuildFacts, anchor attest.Anchor) []attest.Check {
	a := &appraisal{p: p}
	a.guarded(func() bool {
		if p == nil {
			return a.check(attest.Check{Code: CodePolicyInvalid, Name: "policy", Got: "no policy", Want: "a policy without faults"})
		}
		if faults, _ := p.assess(); len(faults) > 0 {
			return a.check(attest.Check{Code: CodePolicyInvalid, Name: "policy", Got: faults[0].String(), Want: "a policy without faults", Policy: p.where(faults[0].Field)})
		}
		if p.Provenance == nil {
			return true
		}
		for _, id := range images {
			if !a.builtImage(id, builds, anchor) {
				return false
			}
		}
		return true
	})
	return a.v.Checks
}

// builtImage wants every statement about an image to pass: which of two is true
// cannot be told.
func (a *appraisal) builtImage(id string, builds []attest.BuildFacts, anchor attest.Anchor) bool {
	found := false
	for _, b := range builds {
		if b.ImageID != id {
			continue
		}
		found = true
		if !a.build(b, anchor) {
			return false
		}
	}
	if found || !a.p.Provenance.Required {
		return true
	}
	return a.check(attest.Check{
		Code: CodeProvenance, Name: "provenance of " + shortDigest(id), Anchor: anchor, Policy: a.p.where("provenance.required"),
		Got: "no statement about how it was built", Want: "one, signed by the attested key",
	})
}

func (a *appraisal) build(b attest.BuildFacts, anchor attest.Anchor) bool {
	p := a.p.Provenance
	of := ", " + shortDigest(b.ImageID)
	step := func(code, name, field string, asked, ok bool, got, want string) bool {
		return !asked || a.check(attest.Check{Code: code, Name: name + of, Anchor: anchor, Policy: a.p.where("provenance." + field), OK: ok, Got: printable(got), Want: want})
	}
	from := b.Repository
	if from == "" {
		from = "uploaded files " + shortDigest(b.Upload)
	}
	return step(CodeSource, "repository", "repositories", len(p.Repositories) > 0, p.allows(b.Repository), from, oneOf(p.Repositories)) &&
		step(CodeSource, "branch", "branches", len(p.Branches) > 0, p.onBranch(b.Branch), quote(b.Branch), oneOf(p.Branches)) &&
		step(CodeSigner, "signature of the commit", "signers", !p.Signers.None(), b.Signer != nil, signedBy(b), "a good one, by one of the "+plural(len(p.Signers.SSH)+len(p.Signers.PGP), "named key")) &&
		step(CodeBuilt, "runtime", "runtimes", len(p.Runtimes) > 0, slices.Contains(p.Runtimes, b.Runtime), quote(b.Runtime), oneOf(p.Runtimes)) &&
		a.bases(b, step) &&
		step(CodeLogged, "build in the pod log", "logged", p.Logged, b.Logged, loggedText(b), "a log of this boot that has the build")
}

func (a *appraisal) bases(b attest.BuildFacts, step func(code, name, field string, asked, ok bool, got, want string) bool) bool {
	p := a.p.Provenance
	for _, base := range b.Bases {
		if !step(CodeBuilt, "base image", "base_images", len(p.Bases) > 0, slices.Contains(p.Bases, base.SHA256), base.Name+" "+quote(base.SHA256), oneOf(p.Bases)) {
			return false
		}
	}
	return true
}

func loggedText(b attest.BuildFacts) string {
	if b.Logged {
		return "statement " + shortDigest(b.Statement)
	}
	return "no such event was shown"
}

func signedBy(b attest.BuildFacts) string {
	if b.Signer == nil {
		return "none"
	}
	return b.Signer.Kind + " " + b.Signer.Key + " (" + b.Signer.Name + ")"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func shortDigest(s string) string { return printable(s[:min(len(s), len("sha256:")+12)]) }

func (p *Provenance) allows(repository string) bool {
	return repository != "" && slices.ContainsFunc(p.Repositories, func(want string) bool {
		if parent, ok := strings.CutSuffix(want, "*"); ok {
			rest, below := strings.CutPrefix(repository, parent)
			return below && rest != "" && !strings.Contains(rest, "/")
		}
		return want == repository
	})
}

func (p *Provenance) onBranch(branch string) bool {
	return branch != "" && slices.ContainsFunc(p.Branches, func(want string) bool { return fullBranch(want) == branch })
}

func fullBranch(s string) string {
	if strings.HasPrefix(s, "refs/") {
		return s
	}
	return "refs/heads/" + s
}
