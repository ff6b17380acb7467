package verify

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"apocryph/attest"
	"apocryph/proto/status"
)

// Evidence verifies that the evidence authenticates the claims' bytes and that
// these answer the challenge. It is one piece, or composite: an SNP, TDX or
// software report first and then a TPM's quote, both over the same claims, which
// name the TPM's attestation key.
//
// For evidence of a TPM act is what [NewActivation] or [Recall] returned for this
// same exchange, what [Pinned] did or, for composite evidence, [BoundAK]; it may
// be nil where no TPM is among it.
//
// An accepted result has its claims, level and facts set. On failure the result
// holds the digest and the checks up to and including the one that failed, and
// the error is of class untrusted with reason "attest.SLUG" (see README.md).
// An unset challenge is invalid_argument. Library errors are private causes.
//
// The level is what the evidence reaches by itself; that of composite evidence
// is its report's. For a TPM that is tpm2-identity: its registers are authentic
// then, but only reference values make them a measured boot.
func Evidence(evidence []attest.Evidence, claims []byte, ch attest.Challenge, act *Expected, roots Roots, now time.Time) (result *attest.Result, err error) {
	if err := checkChallenge(ch); err != nil {
		return nil, err
	}
	result = &attest.Result{ClaimsDigest: attest.ClaimsDigest(claims)}
	s := &steps{anchor: attest.AnchorSelf}
	defer func() {
		if r := recover(); r != nil {
			err = s.fail(codeInternal, "a panic in a parser", "evidence that can be read", fmt.Errorf("recovered: %v", r))
		}
		result.Checks = s.checks
		if err != nil {
			*result = attest.Result{ClaimsDigest: result.ClaimsDigest, Checks: s.checks}
		}
	}()
	if err := checkTypes(s, evidence, act); err != nil {
		return result, err
	}
	for _, e := range evidence {
		if err := e.Check(); err != nil {
			return result, s.malformed(err)
		}
	}
	if result.Claims, err = checkClaims(s, claims, ch, now); err != nil {
		return result, err
	}
	for _, e := range evidence {
		if err := checkPiece(s, result, e, claims, act, roots, now); err != nil {
			return result, err
		}
	}
	return result, nil
}

// checkPiece verifies one piece and adds its facts to the result.
func checkPiece(s *steps, result *attest.Result, e attest.Evidence, claims []byte, act *Expected, roots Roots, now time.Time) (err error) {
	s.anchor = anchorOf(e.Type, result.Level, act)
	switch e.Type {
	case attest.TPM2:
		if result.Level == "" {
			result.Level = attest.LevelTPMIdentity
		}
		result.TPM, err = checkQuote(s, e, claims, result.Claims, act)
	case attest.TDX:
		result.Level = attest.LevelTDX
		result.TDX, err = checkTDX(s, e, attest.ReportData(claims), roots, now)
	case attest.SEVSNP:
		result.Level = attest.LevelSNP
		result.SNP, err = checkSNP(s, e, attest.ReportData(claims), roots, now)
	default:
		result.Level = attest.LevelSoft
		result.SNP, err = checkSNP(s, e, attest.ReportData(claims), roots, now)
	}
	return err
}

// anchorOf is what vouches for a piece; report is the level of the one before it.
func anchorOf(t attest.Type, report attest.Level, act *Expected) attest.Anchor {
	switch {
	case t == attest.Soft:
		return attest.AnchorSelf
	case t != attest.TPM2:
		return attest.AnchorHardware
	case report == "":
		return act.anchor
	case report == attest.LevelSoft:
		return attest.AnchorSelf
	}
	return attest.AnchorVTPMHardware
}

// checkTypes also fixes the anchor of the checks of the claims.
func checkTypes(s *steps, evidence []attest.Evidence, act *Expected) error {
	if n := len(evidence); n == 0 || n > maxPieces {
		return s.fail(codeParse, fmt.Sprintf("%d pieces of evidence", n), "1, or a report and a quote", nil)
	}
	for _, e := range evidence {
		switch e.Type {
		case attest.Soft, attest.SEVSNP, attest.TDX, attest.TPM2:
		default:
			return s.fail(codeType, fmt.Sprintf("%.32q", string(e.Type)), "soft, sev-snp, tdx or tpm2", nil)
		}
	}
	first, last := evidence[0].Type, evidence[len(evidence)-1].Type
	if len(evidence) == maxPieces && (first == attest.TPM2 || last != attest.TPM2) {
		return s.fail(codeParse, fmt.Sprintf("%s and %s", first, last), "a report and then a TPM's quote", nil)
	}
	if last == attest.TPM2 {
		if act == nil || !act.complete {
			return s.fail(codeActivation, "no activation", "the verifier's own challenge to the endorsement key", nil)
		}
		if act.proof == proofReport && len(evidence) == 1 {
			return s.fail(codeActivation, "a quote alone", "the report that names the attestation key", nil)
		}
	}
	s.anchor = anchorOf(first, "", act)
	for _, e := range evidence {
		s.pass(codeType, string(e.Type))
	}
	return nil
}

// maxPieces is a report and a quote.
const maxPieces = 2

// checkChallenge refuses expectations that were never set: a comparison with
// them would pass for whoever left the field empty too.
func checkChallenge(ch attest.Challenge) error {
	var f []status.Fault
	if ch.Purpose < attest.PurposeProvision || ch.Purpose > attest.PurposeBuild {
		f = append(f, status.Fault{Field: "purpose", Got: ch.Purpose.String(), Want: "provision, endpoint, offer or build"})
	}
	if ch.Nonce == [attest.NonceSize]byte{} {
		f = append(f, status.Fault{Field: "nonce", Got: "zeros", Want: "32 random bytes"})
	}
	if ch.Purpose == attest.PurposeEndpoint {
		f = append(f, endpointFaults(ch)...)
	} else {
		f = append(f, peerFaults(ch)...)
	}
	if len(f) > 0 {
		return status.Invalid("attest.challenge", "challenge", f)
	}
	return nil
}

// peerFaults are those of a challenge from peer to peer.
func peerFaults(ch attest.Challenge) (f []status.Fault) {
	if len(ch.VerifierPeer) == 0 {
		f = append(f, status.Fault{Field: "verifier_peer", Got: "nothing", Want: "the verifier's peer id"})
	}
	if len(ch.ProviderPeer) == 0 {
		f = append(f, status.Fault{Field: "provider_peer", Got: "nothing", Want: "the connection's other end"})
	}
	if ch.Host != "" {
		f = append(f, status.Fault{Field: "host", Got: fmt.Sprintf("%.64q", ch.Host), Want: "nothing: only users of an endpoint name one"})
	}
	if ch.TLSKey != nil {
		f = append(f, status.Fault{Field: "tls_key", Got: short(ch.TLSKey), Want: "nothing: only users of an endpoint see one"})
	}
	return f
}

// endpointFaults are those of a challenge by a user of an endpoint, who has no
// peer id. A provider's is only compared where the user knows one.
func endpointFaults(ch attest.Challenge) (f []status.Fault) {
	if ch.Host == "" {
		f = append(f, status.Fault{Field: "host", Got: "nothing", Want: "the app's host name"})
	}
	if len(ch.VerifierPeer) > 0 {
		f = append(f, status.Fault{Field: "verifier_peer", Got: short(ch.VerifierPeer), Want: "nothing: evidence of an endpoint is for all of its users"})
	}
	// A key that was set to nothing was meant to be checked.
	if n := len(ch.TLSKey); ch.TLSKey != nil && n != sha256.Size {
		f = append(f, status.Fault{Field: "tls_key", Got: fmt.Sprintf("%d bytes", n), Want: "the SHA-256 of a public key, or nil"})
	}
	return f
}

var errNotOfThisForm = errors.New("not in the form that its makers give it")
