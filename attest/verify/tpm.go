package verify

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"apocryph/attest"
)

// checkQuote verifies a TPM 2.0 quote (Part 2, 10.12.8) over the claims.
func checkQuote(s *steps, e attest.Evidence, raw []byte, claims *attest.Claims, want *Expected) (*attest.TPMFacts, error) {
	q := e.TPM
	if n := len(e.Endorsements); n > 0 {
		return nil, s.fail(codeParse, fmt.Sprintf("%d endorsements beside a quote", n), "none: nothing would vouch for them", nil)
	}
	for _, c := range want.checks {
		if want.proof == proofReport {
			c.Anchor = s.anchor
		}
		s.checks = append(s.checks, c)
	}
	att, err := parseQuoted(q.Quoted)
	if err != nil {
		return nil, s.fail(codeParse, "something else than a quote", "a TPMS_ATTEST of type quote, made by a TPM", err)
	}
	if err := checkSignature(q, want.ak); err != nil {
		return nil, s.fail(codeSignature, "a signature that the attestation key did not make", "the signature of the quote", err)
	}
	s.pass(codeSignature, "by the attestation key")
	binding := attest.QualifyingData(raw)
	if n := len(att.extraData); n != len(binding) {
		return nil, s.fail(codeUnbound, fmt.Sprintf("%d bytes of qualifying data", n), short(binding[:]), nil)
	}
	same := subtle.ConstantTimeCompare(att.extraData, binding[:]) == 1
	if err := s.equal(codeBinding, same, att.extraData, binding[:]); err != nil {
		return nil, err
	}
	if err := s.equal(codeAKName, bytes.Equal(claims.TPMAKName, want.akName), claims.TPMAKName, want.akName); err != nil {
		return nil, err
	}
	if err := checkProof(s, q, raw, want); err != nil {
		return nil, err
	}
	if err := checkPCRs(s, att, q.PCRs, want.PCRs); err != nil {
		return nil, err
	}
	facts := want.facts
	facts.PCRs = q.PCRs
	if facts.Boot, err = checkTPMBoot(s, e.BootLog, q.PCRs); err != nil {
		return nil, err
	}
	facts.ResetCount, facts.RestartCount = att.resets, att.restarts
	return &facts, nil
}

// checkProof checks that the attestation key is that of the expected TPM. Who
// remembers an activation or pinned the key may be looking at evidence that was
// kept from an exchange, with the proof of then: it is for whoever knew its secret
// and says nothing to anyone else, so that no bit of it is looked at.
func checkProof(s *steps, q *attest.TPMQuote, raw []byte, want *Expected) error {
	if n := len(q.ActivationProof); n > 0 && want.proof == proofReport {
		return s.fail(codeActivation, fmt.Sprintf("a proof of %d bytes", n), "none: no secret was sent", nil)
	}
	var why string
	switch want.proof {
	case proofSecret:
		if !hmac.Equal(q.ActivationProof, attest.ActivationProof(want.secret[:], attest.ClaimsDigest(raw))) {
			return s.fail(codeActivation, "a proof made without the secret", "the proof that the TPM of this endorsement key holds the attestation key", nil)
		}
		why = "the secret came back"
	case proofRemembered:
		why = "the secret came back to this verifier before"
	case proofPinned:
		why = "pinned by the policy"
	case proofReport:
		why = "named in the claims of the report"
	}
	s.pass(codeActivation, why)
	return nil
}

func checkSignature(q *attest.TPMQuote, key *ecdsa.PublicKey) error {
	r, s, err := parseECDSA(q.Signature)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(q.Quoted)
	if !ecdsa.Verify(key, digest[:], r, s) {
		return errors.New("the signature is wrong")
	}
	return nil
}

// checkPCRs demands exactly the wanted registers. A quote over none or other
// ones is as authentic and says nothing (CVE-2022-0317).
func checkPCRs(s *steps, att *quoted, pcrs []attest.PCR, want []uint32) error {
	demanded := fmt.Sprintf("sha256:%v", want)
	if len(want) == 0 || !selects(att.selections, want) {
		return s.fail(codePCRSelection, "a quote over other registers", demanded, nil)
	}
	if len(pcrs) != len(want) {
		return s.fail(codePCRSelection, fmt.Sprintf("%d values", len(pcrs)), demanded, nil)
	}
	h := sha256.New()
	for i, p := range pcrs {
		if p.Bank != "sha256" || p.Index != want[i] {
			return s.fail(codePCRSelection, fmt.Sprintf("%.16s:%d", p.Bank, p.Index), fmt.Sprintf("sha256:%d", want[i]), nil)
		}
		h.Write(p.Value)
	}
	s.pass(codePCRSelection, demanded)
	digest := h.Sum(nil)
	return s.equal(codePCRDigest, bytes.Equal(digest, att.pcrHash), digest, att.pcrHash)
}

// selects reports whether the selection is one SHA-256 bank and the wanted bits
// of it. A TPM may pad the bit map with zero bytes.
func selects(list []pcrSelection, want []uint32) bool {
	if len(list) != 1 || list[0].hash != tpmSHA256 {
		return false
	}
	var bits []byte
	for _, i := range want {
		for int(i/8) >= len(bits) {
			bits = append(bits, 0)
		}
		bits[i/8] |= 1 << (i % 8)
	}
	return bytes.Equal(bytes.TrimRight(list[0].bits, "\x00"), bytes.TrimRight(bits, "\x00"))
}
