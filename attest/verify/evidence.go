package verify

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"apocryph/attest"
	"apocryph/proto/status"
)

// Evidence verifies that the evidence, which must be one piece, authenticates
// the claims' bytes and that these answer the challenge. For TPM evidence act
// is what [NewActivation] returned for this same exchange; it may be nil for
// other types.
//
// An accepted result has its claims, level and facts set. On failure the result
// holds the digest and the checks up to and including the one that failed, and
// the error is of class untrusted with reason "attest.SLUG" (see README.md).
// An unset challenge is invalid_argument. Library errors are private causes.
//
// The level is what the evidence reaches by itself. For a TPM that is
// tpm2-identity: its registers are authentic then, but only reference values
// make them a measured boot.
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
	if n := len(evidence); n != 1 {
		return result, s.fail(codeParse, fmt.Sprintf("%d pieces of evidence", n), "1", nil)
	}
	e := evidence[0]
	if err := checkType(s, e, act); err != nil {
		return result, err
	}
	if err := e.Check(); err != nil {
		return result, s.malformed(err)
	}
	if result.Claims, err = checkClaims(s, claims, ch, now); err != nil {
		return result, err
	}
	if e.Type == attest.TPM2 {
		result.Level = attest.LevelTPMIdentity
		result.TPM, err = checkQuote(s, e.TPM, claims, result.Claims, act)
		return result, err
	}
	if e.Type == attest.TDX {
		result.Level = attest.LevelTDX
		result.TDX, err = checkTDX(s, e, attest.ReportData(claims), roots, now)
		return result, err
	}
	result.Level = attest.LevelSNP
	if e.Type == attest.Soft {
		result.Level = attest.LevelSoft
	}
	result.SNP, err = checkSNP(s, e, attest.ReportData(claims), roots, now)
	return result, err
}

// checkType also fixes the anchor of all further steps.
func checkType(s *steps, e attest.Evidence, act *Expected) error {
	switch e.Type {
	case attest.Soft:
		s.anchor = attest.AnchorSelf
	case attest.SEVSNP, attest.TDX:
		s.anchor = attest.AnchorHardware
	case attest.TPM2:
		if act == nil || !act.complete {
			return s.fail(codeActivation, "no activation", "the verifier's own challenge to the endorsement key", nil)
		}
		s.anchor = act.anchor
	default:
		return s.fail(codeType, fmt.Sprintf("%.32q", string(e.Type)), "soft, sev-snp, tdx or tpm2", nil)
	}
	s.pass(codeType, string(e.Type))
	return nil
}

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
