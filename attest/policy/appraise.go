package policy

import (
	"fmt"
	"slices"
	"time"

	"apocryph/attest"
)

// The warnings of a verdict begin with these.
const (
	WarnNotTEE     = "not a TEE"
	WarnNotSecure  = "NOT SECURE"
	WarnUnverified = "the policy is unverified"
	WarnNoTCBFloor = "no firmware floor"
	WarnTCBStatus  = "firmware is not up to date"
	WarnStorage    = "data at rest is open"
)

// Appraise compares what verification found with the policy. The verdict has
// the checks of verification followed by those made here, up to the first that
// failed; it affirms only when all passed, and then holds until the claims
// expire or the policy's maximum age has passed after now, whichever is first.
// Everything else denies: a nil or faulty policy, a nil result, one whose
// verification failed or made no checks, a zero now, and a panic.
func (p *Policy) Appraise(r *attest.Result, now time.Time) attest.Verdict {
	a := &appraisal{p: p, r: r, now: now}
	if !a.guarded(a.run) {
		return a.v
	}
	if _, failed := a.v.Failed(); failed {
		return a.v
	}
	a.v.Affirmed = true
	a.v.ExpiresAt = earlier(r.Claims.ExpiresAt, now.Add(p.Freshness.MaxAge))
	return a.v
}

// appraisal is one run of Appraise.
type appraisal struct {
	p   *Policy
	r   *attest.Result
	now time.Time
	v   attest.Verdict
}

// run makes the checks in order and reports whether it came to the end.
func (a *appraisal) run() bool {
	return a.verified() && a.usable() && a.fresh() && a.level() && a.facts() && a.storage() && a.workload() && a.inclusion()
}

// guarded runs f and makes a failed check of a panic: a defect must deny, and
// must not take the process down with what a stranger sent.
func (a *appraisal) guarded(f func() bool) (done bool) {
	defer func() {
		if recover() != nil {
			done = a.check(attest.Check{
				Code: CodeInternal, Name: "appraisal",
				Got: "a defect in the appraisal", Want: "an appraisal that ends",
			})
		}
	}()
	return f()
}

// check appends c and reports whether it passed.
func (a *appraisal) check(c attest.Check) bool {
	a.v.Checks = append(a.v.Checks, c)
	return c.OK
}

func (a *appraisal) warn(format string, args ...any) {
	a.v.Warnings = append(a.v.Warnings, fmt.Sprintf(format, args...))
}

// usualChecks is about how many a full policy makes.
const usualChecks = 32

// verified wants a result of a verification that was made and that passed.
func (a *appraisal) verified() bool {
	broken := attest.Check{Code: CodeInternal, Name: "verification", Want: "evidence that was verified"}
	switch {
	case a.r == nil:
		broken.Got = "nothing"
		return a.check(broken)
	case len(a.r.Checks) == 0:
		broken.Got = "no check made"
		return a.check(broken)
	}
	a.v.Checks = append(make([]attest.Check, 0, len(a.r.Checks)+usualChecks), a.r.Checks...)
	if _, failed := a.v.Failed(); failed {
		return false
	}
	if a.r.Claims == nil {
		broken.Got = "no claims"
		return a.check(broken)
	}
	return true
}

// usable wants a policy without faults, and notes which one judged.
func (a *appraisal) usable() bool {
	c := attest.Check{Code: CodePolicyInvalid, Name: "policy", Want: "a policy without faults"}
	if a.p == nil {
		c.Got = "no policy"
		return a.check(c)
	}
	faults, digest := a.p.assess()
	if len(faults) > 0 {
		c.Got, c.Policy = faults[0].String(), a.p.where(faults[0].Field)
		return a.check(c)
	}
	c.OK, c.Got = true, fmt.Sprintf("version %d, sha256:%x", a.p.Version, digest[:8])
	if a.p.Unverified {
		a.warn("%s: its values were copied from a provider and nobody has compared them with a build; review them and remove unverified", WarnUnverified)
	}
	return a.check(c)
}

func (a *appraisal) fresh() bool {
	until := a.r.Claims.ExpiresAt
	c := attest.Check{
		Code: CodeExpired, Name: "expiry", Anchor: anchorOf(a.r.Level),
		Got: stamp(until), Want: "after " + stamp(a.now),
		OK: !a.now.IsZero() && until.After(a.now),
	}
	return a.check(c)
}

// level wants the kind of evidence to be one that the policy names. Which of
// the levels of a TPM is reached depends on the reference set that matches.
func (a *appraisal) level() bool {
	a.v.Level = a.r.Level
	c := attest.Check{
		Code: CodeLevel, Name: "level", Anchor: anchorOf(a.r.Level),
		Got: quote(string(a.r.Level)), Want: joinLevels(a.p.Trust.Levels), Policy: a.p.where("trust.levels"),
	}
	switch a.r.Level {
	case attest.LevelSoft:
		return a.softLevel(c)
	case attest.LevelTPMIdentity, attest.LevelTPMMeasuredBoot:
		a.warn("%s: a TPM proves which software booted, it does not hide memory from the machine's owner", WarnNotTEE)
		c.OK = a.p.accepts(attest.LevelTPMIdentity) || a.p.accepts(attest.LevelTPMMeasuredBoot)
		c.Got = quote(string(attest.TPM2))
	case attest.LevelSNP, attest.LevelTDX:
		c.OK = a.p.accepts(a.r.Level)
	}
	return a.check(c)
}

func (a *appraisal) softLevel(c attest.Check) bool {
	c.Code = CodeDevMode
	c.OK = a.p.accepts(attest.LevelSoft)
	if !c.OK {
		c.Got = "a software device, which proves nothing about the machine"
		a.warn("%s: software device", WarnNotSecure)
		return a.check(c)
	}
	a.check(c)
	if a.r.SNP == nil {
		return a.missing("report")
	}
	ca := a.r.SNP.RootFingerprint
	a.warn("%s: software device under the development CA %s; whoever has its key can claim anything", WarnNotSecure, fingerprint(ca))
	return a.check(attest.Check{
		Code: CodeDevMode, Name: "development CA", Anchor: attest.AnchorSelf,
		Got: fingerprint(ca), Want: fingerprints(a.p.Dev.SoftCA), Policy: a.p.where("dev.soft_ca"),
		OK: slices.Contains(a.p.Dev.SoftCA, ca),
	})
}

// facts compares what the device says with the reference sets.
func (a *appraisal) facts() bool {
	switch a.r.Level {
	case attest.LevelSNP, attest.LevelSoft:
		return a.snp()
	case attest.LevelTPMIdentity, attest.LevelTPMMeasuredBoot:
		return a.tpm()
	case attest.LevelTDX:
		return a.tdx()
	}
	return a.missing("evidence")
}

func (a *appraisal) missing(what string) bool {
	return a.check(attest.Check{
		Code: CodeInternal, Name: what, Anchor: anchorOf(a.r.Level),
		Got: "no facts of this kind", Want: "those of " + quote(string(a.r.Level)),
	})
}

func (a *appraisal) storage() bool {
	protected := protects(a.r.Claims.Storage)
	if !a.p.Storage.Protected {
		if !protected {
			a.warn("%s: whoever has the provider's disk can read the pods' files, environment and logs", WarnStorage)
		}
		return true
	}
	anchor := attest.AnchorAgentAsserted
	if a.r.Level == attest.LevelSoft {
		anchor = attest.AnchorSelf
	}
	got := a.r.Claims.Storage
	return a.check(attest.Check{
		Code: CodeStorage, Name: "storage", Anchor: anchor,
		Got: quote(got), Want: "fscrypt or tmpfs", Policy: a.p.where("storage.protected"),
		OK: protected,
	})
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// anchorOf is what makes the facts of a level believable.
func anchorOf(l attest.Level) attest.Anchor {
	switch l {
	case attest.LevelSNP, attest.LevelTDX:
		return attest.AnchorHardware
	case attest.LevelTPMIdentity, attest.LevelTPMMeasuredBoot:
		return attest.AnchorVTPMCA
	}
	return attest.AnchorSelf
}
