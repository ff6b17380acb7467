package verify

import (
	"fmt"
	"slices"

	"apocryph/attest"
	"apocryph/attest/tpmtemplate"
)

// AKNameSize is the length of an attestation key's name in bytes: the number of
// SHA-256 and the digest of the public area (TPM 2.0 Part 1, 16).
const AKNameSize = 2 + 32

// Pinned is for a verifier who knows an attestation key by its name, such as one
// who looks at evidence in a file: an attestation key cannot leave its TPM. Its
// public area is held against the exact template. If [Roots.AKNames] has not its
// name, the expectation is nil. Facts of a quote by a pinned key name no
// endorsement key.
func Pinned(akPublic []byte, roots Roots) (*Expected, error) {
	e, err := byArea(akPublic, proofPinned, attest.AnchorVTPMCA, attest.AKPinned)
	if err != nil || !slices.Contains(roots.AKNames, [AKNameSize]byte(e.akName)) {
		return nil, err
	}
	return e, nil
}

// BoundAK is for composite evidence: nothing is asked of the TPM, and the quote
// counts only beside an SNP, TDX or software report whose claims name this key.
// See [Evidence]. The public area is held against the exact template.
func BoundAK(akPublic []byte) (*Expected, error) {
	return byArea(akPublic, proofReport, attest.AnchorSelf, attest.AKReported)
}

// byArea expects a key by its public area alone.
func byArea(area []byte, why proof, anchor attest.Anchor, binding attest.AKBinding) (want *Expected, err error) {
	s := &steps{anchor: anchor}
	defer func() {
		if r := recover(); r != nil {
			want, err = nil, s.fail(codeInternal, "a panic in a parser", "a public area that can be read", fmt.Errorf("recovered: %v", r))
		}
	}()
	if n := len(area); n == 0 || n > attest.MaxPublic {
		return nil, s.fail(codeAKArea, fmt.Sprintf("%d bytes", n), fmt.Sprintf("a public area of 1 to %d bytes", attest.MaxPublic), nil)
	}
	e := &Expected{PCRs: tpmtemplate.QuotePCRs(), proof: why, anchor: anchor}
	if err := e.key(s, area); err != nil {
		return nil, err
	}
	if len(e.akName) != AKNameSize {
		return nil, s.fail(codeAKArea, fmt.Sprintf("a name of %d bytes", len(e.akName)), fmt.Sprint(AKNameSize), nil)
	}
	e.facts.AKBinding = binding
	e.checks, e.complete = s.checks, true
	return e, nil
}
