package client

import (
	"time"

	"apocryph/attest"
	"apocryph/attest/receipt"
	"apocryph/proto/status"
)

// Report is what a verification found.
type Report struct {
	// URL is the origin that was asked, Host its name in lower case and without
	// port. A document's URL is "", its host the challenge's.
	URL, Host string
	// TLSKey is the SHA-256 of the SubjectPublicKeyInfo that requests must be
	// encrypted to: what `curl --pinnedpubkey` takes, in base64. It is nil where the
	// verdict denies and where the claims name none.
	TLSKey []byte
	// Verdict has every check that was made.
	Verdict attest.Verdict
	// Result is set where the evidence is authentic, whatever the policy says of it.
	Result *attest.Result
	// Shown are the claims as they came. They are believable in an affirmed report
	// only; in another they help to say what is wrong. Nil where they are malformed.
	Shown *attest.Claims
	// Receipt is set where the receipt is signed by the attested key.
	Receipt *receipt.Receipt
	// Builds are the statements about how the images were built that are signed by the
	// attested key and named by the receipt. They are believable in an affirmed report
	// only.
	Builds []Build
	// Document is what was verified, as a file would have it, and Nonce what it
	// answers: together they are enough for [Verifier.VerifyDocument].
	Document []byte
	Nonce    [attest.NonceSize]byte
	// At is when it was judged.
	At time.Time
}

// Manifest is the digest of the manifest that runs, "sha256:HEX", or "" where
// the verdict denies.
func (r *Report) Manifest() string {
	if r == nil || !r.Verdict.Affirmed || r.Receipt == nil {
		return ""
	}
	return r.Receipt.Manifest.String()
}

// Err is nil for a verdict that affirms, and a [*DeniedError] for one that denies.
func (r *Report) Err() error {
	if r.Verdict.Affirmed {
		return nil
	}
	return &DeniedError{Report: r}
}

func (r *Report) check(c attest.Check) bool {
	r.Verdict.Checks = append(r.Verdict.Checks, c)
	return c.OK
}

func (r *Report) warn(text string) {
	r.Verdict.Warnings = append(r.Verdict.Warnings, text)
}

// deny takes an affirmation back.
func (r *Report) deny() {
	r.Verdict.Affirmed, r.Verdict.ExpiresAt, r.TLSKey = false, time.Time{}, nil
}

// DeniedError says that evidence was there and is not good enough. It is a
// [status.Error] of class untrusted, reason "attest.denied".
type DeniedError struct {
	// Report has the verdict, with the check that decided.
	Report *Report
}

func (e *DeniedError) status() *status.Error {
	c, failed := e.Report.Verdict.Failed()
	if !failed {
		c = attest.Check{Code: codeInternal, Name: "appraisal", Got: "none that was completed", Want: "a verdict"}
	}
	of := ""
	if e.Report.Host != "" {
		of = " of " + e.Report.Host
	}
	return status.New(status.Untrusted, "attest.denied", "the evidence%s does not pass: %s %s: got %s, want %s",
		of, c.Code, c.Name, orNothing(c.Got), orNothing(c.Want))
}

// Error names the check that decided.
func (e *DeniedError) Error() string { return e.status().Error() }

// Unwrap returns the [status.Error].
func (e *DeniedError) Unwrap() error { return e.status() }

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}
