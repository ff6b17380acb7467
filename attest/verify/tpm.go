package verify

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"math/big"

	"github.com/google/go-tpm/tpm2"

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
	if n := len(att.ExtraData.Buffer); n != len(binding) {
		return nil, s.fail(codeUnbound, fmt.Sprintf("%d bytes of qualifying data", n), short(binding[:]), nil)
	}
	same := subtle.ConstantTimeCompare(att.ExtraData.Buffer, binding[:]) == 1
	if err := s.equal(codeBinding, same, att.ExtraData.Buffer, binding[:]); err != nil {
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
	if facts.Boot, err = checkTPMBoot(s, e.BootLog, q.PCRs, claims); err != nil {
		return nil, err
	}
	facts.ResetCount, facts.RestartCount = att.ClockInfo.ResetCount, att.ClockInfo.RestartCount
	return &facts, nil
}

// checkProof checks that the attestation key is that of the expected TPM. A
// proof that nobody asked for is refused where evidence answers this very
// verifier. In evidence for a pinned key it may be from the exchange that the
// evidence was kept from; it says nothing to anyone else.
func checkProof(s *steps, q *attest.TPMQuote, raw []byte, want *Expected) error {
	if n := len(q.ActivationProof); n > 0 && (want.proof == proofRemembered || want.proof == proofReport) {
		return s.fail(codeActivation, fmt.Sprintf("a proof of %d bytes", n), "none: no secret was sent", nil)
	}
	switch want.proof {
	case proofRemembered:
		s.pass(codeActivation, "the secret came back to this verifier before")
	case proofPinned:
		s.pass(codeActivation, "pinned by the policy")
	case proofReport:
		s.pass(codeActivation, "named in the claims of the report")
	default:
		if !hmac.Equal(q.ActivationProof, attest.ActivationProof(want.secret[:], attest.ClaimsDigest(raw))) {
			return s.fail(codeActivation, "a proof made without the secret", "the proof that the TPM of this endorsement key holds the attestation key", nil)
		}
		s.pass(codeActivation, "the secret came back")
	}
	return nil
}

// parseQuoted checks the magic number, which says that a TPM made the structure
// and which the library reads without looking, the type and that no byte is left
// over.
func parseQuoted(raw []byte) (*tpm2.TPMSAttest, error) {
	att, err := tpm2.Unmarshal[tpm2.TPMSAttest](raw)
	if err != nil {
		return nil, err
	}
	if att.Magic != tpm2.TPMGeneratedValue || att.Type != tpm2.TPMSTAttestQuote {
		return nil, fmt.Errorf("magic number 0x%08x, type 0x%04x", uint32(att.Magic), uint16(att.Type))
	}
	if !bytes.Equal(tpm2.Marshal(*att), raw) {
		return nil, errNotOfThisForm
	}
	return att, nil
}

func checkSignature(q *attest.TPMQuote, key *ecdsa.PublicKey) error {
	sig, err := tpm2.Unmarshal[tpm2.TPMTSignature](q.Signature)
	if err != nil {
		return err
	}
	if sig.SigAlg != tpm2.TPMAlgECDSA {
		return fmt.Errorf("scheme 0x%04x, want ECDSA", uint16(sig.SigAlg))
	}
	ec, err := sig.Signature.ECDSA()
	if err != nil {
		return err
	}
	if ec.Hash != tpm2.TPMAlgSHA256 {
		return fmt.Errorf("hash 0x%04x, want SHA-256", uint16(ec.Hash))
	}
	if !bytes.Equal(tpm2.Marshal(*sig), q.Signature) {
		return errNotOfThisForm
	}
	digest := sha256.Sum256(q.Quoted)
	r, s := new(big.Int).SetBytes(ec.SignatureR.Buffer), new(big.Int).SetBytes(ec.SignatureS.Buffer)
	if !ecdsa.Verify(key, digest[:], r, s) {
		return errors.New("the signature is wrong")
	}
	return nil
}

// checkPCRs demands exactly the wanted registers. A quote over none or other
// ones is as authentic and says nothing (CVE-2022-0317).
func checkPCRs(s *steps, att *tpm2.TPMSAttest, pcrs []attest.PCR, want []uint32) error {
	info, err := att.Attested.Quote()
	if err != nil {
		return s.fail(codeParse, "an attestation without quote", "a quote", err)
	}
	demanded := fmt.Sprintf("sha256:%v", want)
	if len(want) == 0 || !selects(info.PCRSelect, want) {
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
	return s.equal(codePCRDigest, bytes.Equal(digest, info.PCRDigest.Buffer), digest, info.PCRDigest.Buffer)
}

// selects reports whether the selection is one SHA-256 bank and the wanted bits
// of it. A TPM may pad the bit map with zero bytes.
func selects(list tpm2.TPMLPCRSelection, want []uint32) bool {
	if len(list.PCRSelections) != 1 || list.PCRSelections[0].Hash != tpm2.TPMAlgSHA256 {
		return false
	}
	var bits []byte
	for _, i := range want {
		for int(i/8) >= len(bits) {
			bits = append(bits, 0)
		}
		bits[i/8] |= 1 << (i % 8)
	}
	return bytes.Equal(bytes.TrimRight(list.PCRSelections[0].PCRSelect, "\x00"), bytes.TrimRight(bits, "\x00"))
}
