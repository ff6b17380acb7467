package verify

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/go-tpm/tpm2"

	"apocryph/attest"
	"apocryph/attest/tpmtemplate"
	"apocryph/proto/status"
)

// secretSize is in bytes; a credential may be as long as the endorsement key's
// name hash, which is 32 at least.
const secretSize = 32

// Expected is what a quote must show: that of [NewActivation], [Recall], [Pinned]
// or [BoundAK]. The first holds a secret: keep it in memory for one exchange and
// use it once.
type Expected struct {
	// PCRs are the registers of the SHA-256 bank that the quote must cover, no
	// more and no less, ascending. It starts as [tpmtemplate.QuotePCRs].
	PCRs []uint32

	complete bool
	// proof is why the attestation key counts. There is a secret for one reason only.
	proof  proof
	secret [secretSize]byte
	akName []byte
	ak     *ecdsa.PublicKey
	facts  attest.TPMFacts
	anchor attest.Anchor
	checks []attest.Check
}

// proof is what shows that an attestation key is that of the expected TPM.
type proof uint8

const (
	// proofSecret: the prover gave back what was encrypted for it.
	proofSecret proof = iota
	// proofRemembered: it did so before.
	proofRemembered
	proofPinned
	proofReport
)

// Checks are the steps that [NewActivation] made. [Evidence] repeats them in its
// result.
func (e *Expected) Checks() []attest.Check { return slices.Clone(e.checks) }

// AKName is the attestation key's name, 34 bytes.
func (e *Expected) AKName() []byte { return bytes.Clone(e.akName) }

// String keeps the secret out of logs.
func (e *Expected) String() string { return "expected quote of " + short(e.akName) }

// GoString keeps the secret out of logs.
func (e *Expected) GoString() string { return e.String() }

// NewActivation verifies who a TPM says it is (the endorsement key's chain, the
// attestation key's public area) and encrypts a fresh secret from rand, which
// must be cryptographic, to it: the prover sees the secret only if one TPM holds
// both keys.
//
// On failure the error is as that of [Evidence] and the returned expectation
// holds the checks up to the one that failed; Evidence does not accept it.
func NewActivation(id attest.TPMIdentity, roots Roots, rand io.Reader, now time.Time) (act attest.Activation, want *Expected, err error) {
	s := &steps{anchor: attest.AnchorSelf}
	want = &Expected{PCRs: tpmtemplate.QuotePCRs()}
	defer func() {
		if r := recover(); r != nil {
			act, err = attest.Activation{}, s.fail(codeInternal, "a panic in a parser", "an identity that can be read", fmt.Errorf("recovered: %v", r))
		}
		want.checks, want.anchor = s.checks, s.anchor
		want.complete = err == nil
	}()
	ekArea, err := want.identify(s, id, roots, now)
	if err != nil {
		return act, want, err
	}
	if _, err := io.ReadFull(rand, want.secret[:]); err != nil {
		return act, want, status.Wrap(err, status.Internal, "internal", "reading randomness")
	}
	kem, err := tpm2.ImportEncapsulationKey(ekArea)
	if err != nil {
		return act, want, s.fail(codeEKChain, "an endorsement key that cannot encrypt", "a storage key", err)
	}
	act.CredentialBlob, act.EncryptedSecret, err = tpm2.CreateCredential(rand, kem, want.akName, want.secret[:])
	if err != nil {
		return attest.Activation{}, want, s.fail(codeEKChain, "an endorsement key that cannot encrypt", "a storage key", err)
	}
	return act, want, nil
}

// Recall is for a verifier that has had these two keys activated before: an
// attestation key cannot leave its TPM, so what was proven once stays true. It
// makes the same checks of who the TPM says it is, and asks known whether the
// endorsement key (SHA-256 of its SubjectPublicKeyInfo) and the attestation key's
// name were seen together. If not, the expectation is nil and [NewActivation] is
// what to call. The quote over a fresh nonce is what shows that the key answers
// now.
func Recall(id attest.TPMIdentity, roots Roots, known func(ek [32]byte, akName []byte) bool, now time.Time) (want *Expected, err error) {
	s := &steps{anchor: attest.AnchorSelf}
	e := &Expected{PCRs: tpmtemplate.QuotePCRs(), proof: proofRemembered}
	defer func() {
		if r := recover(); r != nil {
			want, err = nil, s.fail(codeInternal, "a panic in a parser", "an identity that can be read", fmt.Errorf("recovered: %v", r))
		}
	}()
	if _, err := e.identify(s, id, roots, now); err != nil {
		return nil, err
	}
	if !known(e.facts.EKFingerprint, e.AKName()) {
		return nil, nil
	}
	e.checks, e.anchor, e.complete = s.checks, s.anchor, true
	return e, nil
}

// identify checks who a TPM says it is, and returns its endorsement key's area.
func (e *Expected) identify(s *steps, id attest.TPMIdentity, roots Roots, now time.Time) (*tpm2.TPMTPublic, error) {
	// Whatever it says: here an endorsement key has to vouch for it.
	id.Bound = false
	if err := id.Check(); err != nil {
		return nil, s.malformed(err)
	}
	chain, err := checkEKChain(s, id.EKCertificates, roots, now)
	if err != nil {
		return nil, err
	}
	ekArea, ek, err := tpmtemplate.ParseEK(id.EKPublic)
	if err != nil {
		return nil, s.fail(codeEKChain, "an endorsement key of unknown form", "one of the TCG's templates", err)
	}
	if !tpmtemplate.SameKey(ek, chain.leaf.PublicKey) {
		return nil, s.fail(codeEKChain, "an endorsement key that is not the certificate's", "the certified key", nil)
	}
	if err := e.key(s, id.AKPublic); err != nil {
		return nil, err
	}
	e.facts.AKBinding = attest.AKActivated
	e.facts.EKFingerprint, e.facts.EKRootFingerprint = sha256.Sum256(chain.leaf.RawSubjectPublicKeyInfo), chain.root
	return ekArea, nil
}

// key takes an attestation key whose public area is the template to the bit.
func (e *Expected) key(s *steps, area []byte) error {
	ak, name, err := tpmtemplate.ParseAK(area)
	if err != nil {
		return s.fail(codeAKArea, "an attestation key of another form", "the template of a restricted key that was made in the TPM and cannot leave it", err)
	}
	s.pass(codeAKArea, "name "+short(name))
	e.ak, e.akName, e.facts.AKName = ak, name, name
	return nil
}
