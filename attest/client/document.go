package client

import (
	"time"

	"apocryph/attest"
)

// Document is evidence that was saved, such as by curl.
type Document struct {
	// Body is what was answered at [attest.EndpointPath].
	Body []byte
	// Nonce is the one that was asked with. Zeros mean that it is not known: that of
	// the claims is taken, and a warning says so.
	Nonce [attest.NonceSize]byte
	// Host is the app's host name, without port; "" takes that of the claims.
	Host string
	// TLSKey is the SHA-256 of the SubjectPublicKeyInfo of the connection, where it
	// is known.
	TLSKey []byte
	// At is the time to judge at; zero is now.
	At time.Time
	// Provenance takes the place of the document's statements about builds where
	// there are any, envelopes each.
	Provenance [][]byte
	// Receipt takes the place of the document's own where it is set.
	Receipt []byte
}

// VerifyDocument judges evidence that was saved, without any network. A TPM's
// quote needs an attestation key that the policy pins or that [Machines] remembers,
// or a report beside it: nobody can be asked for a proof.
//
// The error is nil where the verdict affirms, else a [*DeniedError] beside the
// report.
func (v *Verifier) VerifyDocument(d Document) (*Report, error) {
	now := v.now()
	r := &Report{Host: normalHost(d.Host), Nonce: d.Nonce, At: now}
	if !d.At.IsZero() {
		r.At = d.At
		r.warn(WarnThen + ": at " + stamp(d.At) + ", which says nothing about now")
	}
	doc, ok := r.decode(d.Body)
	if !ok {
		return r, r.Err()
	}
	if len(d.Receipt) > 0 {
		doc.Receipt = d.Receipt
	}
	if len(d.Provenance) > 0 {
		doc.Provenance = d.Provenance
	}
	r.assume(d)
	ch := attest.Challenge{Purpose: attest.PurposeEndpoint, Nonce: r.Nonce, Host: r.Host, TLSKey: d.TLSKey}
	want, err := v.expect(doc, r.At, nil)
	if err != nil {
		if !r.refuse(want, err) {
			return nil, err
		}
		return r, r.Err()
	}
	if r.Shown == nil || r.Shown.Host == "" && r.Host == "" {
		// Claims that do not name a host are refused for what they are, not for what
		// is missing in the challenge.
		ch.Host = "the users of an app"
	}
	if ch.Nonce == [attest.NonceSize]byte{} {
		ch.Nonce[0] = 1
	}
	if err := v.judge(r, doc, ch, want, r.At); err != nil {
		return nil, err
	}
	return r, r.Err()
}

// assume takes from the claims what the user does not know, and says so.
func (r *Report) assume(d Document) {
	if d.Nonce == [attest.NonceSize]byte{} {
		r.warn(WarnNotFresh + ": without the nonce that was asked with, somebody else may have asked for this evidence, at any time while it was valid")
		if r.Shown != nil {
			copy(r.Nonce[:], r.Shown.Nonce)
		}
	}
	if d.Host == "" && r.Shown != nil {
		r.Host = r.Shown.Host
	}
	if d.TLSKey == nil {
		r.warn(WarnNotBound + ": a file does not show which connection it came over; compare the TLS key with that of yours")
	}
}
