package client

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"time"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/attest/receipt"
)

// WarnPast is how the warning begins that every receipt has.
const WarnPast = "a receipt is about the past"

// AttestedKey is a receipt key that a provider's evidence named, and under what
// it was affirmed. A receipt is worth as much as this was.
type AttestedKey struct {
	// Key is an Ed25519 public key, 32 bytes.
	Key []byte
	// Provider is the text form of the peer that has it, BootEpoch the boot that it
	// is good for.
	Provider  string
	BootEpoch []byte
	Level     attest.Level
	Platform  string
	// Policy is the digest of the policy that affirmed.
	Policy [32]byte
	// Warnings are the verdict's.
	Warnings []string
	// Seen is when it was affirmed.
	Seen time.Time
}

// KeyOf is the receipt key of evidence that p affirmed. There is none otherwise,
// and false is returned.
func KeyOf(result *attest.Result, v attest.Verdict, p *policy.Policy, now time.Time) (AttestedKey, bool) {
	if !v.Affirmed || result == nil || result.Claims == nil {
		return AttestedKey{}, false
	}
	c := result.Claims
	return AttestedKey{
		Key: c.ReceiptPublicKey, Provider: PeerText(c.ProviderPeer), BootEpoch: c.BootEpoch,
		Level: v.Level, Platform: v.Platform, Policy: p.Digest(), Warnings: v.Warnings, Seen: now,
	}, true
}

// VerifyReceipt judges a receipt by a key that was attested before. Where the
// verifier has a policy, the key must have been affirmed under the same one: there
// is no evidence here to appraise again. The verdict expires when the receipt was
// signed, since it says nothing of later times.
//
// The error is nil where the verdict affirms, else a [*DeniedError] beside the
// report.
//
// builds are the statements about how its images were built, in their envelopes. No log
// is shown with a receipt, so a policy that wants builds to be logged denies.
func (v *Verifier) VerifyReceipt(envelope []byte, k AttestedKey, builds ...[]byte) (*Report, error) {
	r := &Report{At: v.now()}
	r.Verdict.Level, r.Verdict.Platform, r.Verdict.Warnings = k.Level, k.Platform, append([]string(nil), k.Warnings...)
	r.warn(WarnPast + ": it says what ran when it was signed, not what runs now")
	if v.attestedUnder(r, k) && v.receiptBy(r, envelope, k) && v.provenance(r, builds, k.Key, nil) {
		r.Verdict.Affirmed, r.Verdict.ExpiresAt = true, r.Receipt.Issued
	}
	return r, r.Err()
}

func (v *Verifier) attestedUnder(r *Report, k AttestedKey) bool {
	c := attest.Check{Code: codePolicy, Name: "policy that affirmed the key", OK: true, Got: fmt.Sprintf("sha256:%x, at %s", k.Policy[:8], stamp(k.Seen))}
	if v.Policy != nil {
		want := v.Policy.Digest()
		c.OK, c.Want = k.Policy == want, fmt.Sprintf("sha256:%x", want[:8])
	}
	return r.check(c)
}

func (v *Verifier) receiptBy(r *Report, envelope []byte, k AttestedKey) bool {
	anchor := r.asserted()
	step := func(name string, ok bool, got, want string) bool {
		return r.check(attest.Check{Code: codeReceipt, Name: "receipt: " + name, OK: ok, Anchor: anchor, Got: got, Want: want})
	}
	key := ed25519.PublicKey(k.Key)
	signed := "by receipt key " + receipt.KeyID(key)
	got, err := receipt.Open(envelope, key)
	if err != nil {
		return step("signed by the attested key", false, detail(err), signed)
	}
	r.Receipt = &got
	pod := &attest.PodClaims{PodID: got.PodID, ManifestDigest: got.Manifest[:]}
	for _, i := range got.Images {
		pod.Images = append(pod.Images, attest.ImageClaims{Container: i.Container, CID: i.CID, ImageID: i.ImageID})
	}
	return step("signed by the attested key", true, signed, "") &&
		same(step, "of this provider", got.Provider, k.Provider) &&
		same(step, "of this boot", hex.EncodeToString(got.BootEpoch), hex.EncodeToString(k.BootEpoch)) &&
		step("signed before now", timely(got, r.At), times(got), notAfter(r.At)) &&
		v.workload(r, got.Provider, pod)
}

func timely(r receipt.Receipt, now time.Time) bool {
	return !r.Issued.After(now.Add(maxSkew)) && !r.Started.After(r.Issued)
}

func times(r receipt.Receipt) string {
	return "started " + stamp(r.Started) + ", signed " + stamp(r.Issued)
}

func notAfter(now time.Time) string { return "at most 2 minutes after " + stamp(now) }
