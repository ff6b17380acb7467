package client

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/attest/verify"
	"apocryph/manifest"
	"apocryph/proto/status"
)

// verifyTimeout bounds one verification, both messages together; a hardware TPM
// takes a second or two. A server that answers slowly could hold the caller
// for ever otherwise.
const verifyTimeout = 45 * time.Second

// Machines remembers which attestation keys were proven to sit beside which
// endorsement keys, so that the proof is not asked for each time.
type Machines interface {
	// Activated reports whether Remember was called with both, lately.
	Activated(ek [32]byte, akName []byte) bool
	Remember(ek [32]byte, akName []byte) error
}

// Expect is what a user knows of the app beforehand. Empty fields allow
// anything.
type Expect struct {
	// Manifest is the digest of the one manifest that may run.
	Manifest *manifest.Digest
	// Images are image ids ("sha256:HEX", the digest of an image's configuration).
	// Nothing but these may run.
	Images []string
	// Provider is the text form of the one provider's peer id.
	Provider string
}

// Verifier verifies what serves an app. The zero value has the built-in policy,
// which accepts nobody. Its fields are not to be changed once it is in use; its
// methods may be called concurrently.
type Verifier struct {
	// Policy decides; nil is [policy.Builtin].
	Policy *policy.Policy
	// Roots are further trust anchors, beside those that are compiled in and those
	// that the policy brings.
	Roots verify.Roots
	// Expect is what has to run.
	Expect Expect
	// Machines is nil where each verification shall ask for the whole proof.
	Machines Machines
	// Signer verifies signatures of commits, for policies that name signers; nil
	// is package commit.
	Signer SignerOf
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Base is what connections are made with: proxy, dialer, timeouts, client
	// certificates. It is copied, and whom its TLS trusts is replaced. Without one, or
	// without a dialer in it, names that end in ".localhost" are this machine.
	Base *http.Transport
}

// Verify asks the app behind a URL for evidence and judges it. Only scheme, host
// and port of the URL are used; redirects are not followed.
//
// The error is nil where the verdict affirms and a [*DeniedError], beside the
// report, where it denies. Other errors are without a report: invalid_argument for
// a URL that cannot be asked, unavailable where nobody answers, untrusted where who
// answers has no evidence to show.
func (v *Verifier) Verify(ctx context.Context, url string) (*Report, error) {
	o, err := parseOrigin(url)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	x := v.open(o)
	defer x.close()
	return v.exchange(ctx, x)
}

// exchange is a whole verification over one connection.
func (v *Verifier) exchange(ctx context.Context, x *conn) (*Report, error) {
	r := &Report{URL: x.origin.String(), Host: x.origin.host, At: v.now()}
	if _, err := rand.Read(r.Nonce[:]); err != nil {
		return nil, fmt.Errorf("making a nonce: %w", err)
	}
	body, err := x.get(ctx, r.Nonce)
	if err != nil {
		return nil, err
	}
	if x.origin.scheme == "http" {
		r.warn(WarnNotBound + ": the connection is plain HTTP; whoever sits in between reads and changes everything that follows, whatever the evidence says")
	}
	doc, ok := r.decode(body)
	if !ok {
		return r, r.Err()
	}
	ch := attest.Challenge{Purpose: attest.PurposeEndpoint, Nonce: r.Nonce, Host: r.Host, TLSKey: x.peerKey()}
	want, err := v.expect(doc, r.At, func(act attest.Activation) error {
		proof, err := x.activate(ctx, attest.Activate{ClaimsDigest: attest.ClaimsDigest(doc.Claims), Activation: act})
		if err == nil {
			prove(doc, proof)
		}
		return err
	})
	if err != nil && !r.refuse(want, err) {
		return nil, err
	}
	if err == nil {
		if err := v.judge(r, doc, ch, want, r.At); err != nil {
			return nil, err
		}
		v.remember(r)
	}
	return r, r.Err()
}

// refuse makes a verdict of a TPM that is not who it says. Errors of other
// classes are none of its business.
func (r *Report) refuse(want *verify.Expected, err error) bool {
	if status.CodeOf(err) != status.Untrusted {
		return false
	}
	c := attest.Check{Code: codeAKArea, Name: "attestation key's attributes", Anchor: attest.AnchorSelf, Got: detail(err), Want: "the template of a restricted key"}
	if want != nil {
		r.Verdict.Checks = append(r.Verdict.Checks, want.Checks()...)
		c = attest.Check{Code: codeActivation, Name: "both keys sit in one TPM", Anchor: attest.AnchorSelf, Got: detail(err), Want: "the proof that the secret came back"}
	}
	if _, failed := r.Verdict.Failed(); !failed {
		r.check(c)
	}
	return true
}

// remember notes an activation that this verification has seen or relied on.
func (v *Verifier) remember(r *Report) {
	if v.Machines == nil || r.Result == nil || r.Result.TPM == nil || r.Result.TPM.AKBinding != attest.AKActivated {
		return
	}
	if err := v.Machines.Remember(r.Result.TPM.EKFingerprint, r.Result.TPM.AKName); err != nil {
		r.warn("the activation of this TPM could not be noted and will be asked for again: " + err.Error())
	}
}

func (v *Verifier) now() time.Time {
	if v.Now == nil {
		return time.Now()
	}
	return v.Now()
}

func (v *Verifier) policy() *policy.Policy {
	if v.Policy == nil {
		return policy.Builtin()
	}
	return v.Policy
}

func (v *Verifier) roots() verify.Roots {
	r, p := v.Roots, RootsOf(v.policy())
	r.SoftCAs = append(p.SoftCAs, r.SoftCAs...)
	r.EKRootFingerprints = append(p.EKRootFingerprints, r.EKRootFingerprints...)
	r.AKNames = append(p.AKNames, r.AKNames...)
	return r
}

// RootsOf are the trust anchors that a policy brings, beside the built-in ones.
func RootsOf(p *policy.Policy) verify.Roots {
	return verify.Roots{SoftCAs: p.SoftCAs(), EKRootFingerprints: p.EKRoots(), AKNames: p.AKNames()}
}
