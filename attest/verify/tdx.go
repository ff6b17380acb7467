package verify

import (
	"crypto/ecdsa"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"apocryph/attest"
)

// The bits of TD attributes that are looked at (Intel TDX module 1.5 ABI,
// TD_ATTRIBUTES).
const (
	// tdUntrusted are those under which a guest is open to its host: debugging
	// and profiling.
	tdUntrusted   = 0xff
	tdSEPTVEOff   = 1 << 28
	tdMigratable  = 1 << 29
	reportDataTDX = 64
)

// checkTDX verifies a quote of version 4 or 5 with Intel's collateral. It parses
// both by itself: the format is small, the library for it panics on malformed
// quotes, accepts any status of the platform where the TDX module has one of its
// own, and cannot report a status that is not UpToDate.
//
// How good the platform's firmware is, is a fact and a policy's to decide,
// unless Intel revoked it.
func checkTDX(s *steps, e attest.Evidence, binding [64]byte, roots Roots, now time.Time) (*attest.TDXFacts, error) {
	if err := checkTDXExtras(s, e); err != nil {
		return nil, err
	}
	q, err := parseTDXQuote(e.Report)
	if err != nil {
		return nil, s.fail(codeParse, "a quote that cannot be read", "a TDX quote of version 4 or 5, cut to its size", err)
	}
	pck, r := verifyPCKChain(q.chain, roots.tdxRoot(), now)
	if r != nil {
		return nil, s.refuse(r)
	}
	facts := newTDXFacts(q, pck)
	s.pass(codeChain, "root sha256:"+short(facts.RootFingerprint[:]))
	if err := q.checkSignatures(pck.leaf.PublicKey.(*ecdsa.PublicKey)); err != nil {
		return nil, s.fail(codeSignature, "a signature that the platform's key did not lead to", "platform, quoting enclave, quote", err)
	}
	s.pass(codeSignature, "by a platform of kind "+facts.FMSPC)
	collateral, r := pck.collect(e, now)
	if r != nil {
		return nil, s.refuse(r)
	}
	s.pass(codeNoCollateral, fmt.Sprintf("evaluation %d", collateral.tcb.Evaluation))
	s.pass(codeCollateralAge, "until "+collateral.expires.UTC().Format(time.RFC3339))
	word, r := collateral.judge(q, &pck.sgx)
	if r != nil {
		return nil, s.refuse(r)
	}
	if word.revoked {
		return nil, s.fail(codeRevoked, "a platform, TDX module or quoting enclave whose versions Intel revoked", "versions that Intel stands by", nil)
	}
	s.pass(codeRevoked, "Intel's lists and levels")
	s.pass(codePlatformStatus, word.String())
	if err := checkTDXBinding(s, &q.body, binding); err != nil {
		return nil, err
	}
	if err := checkTDAttributes(s, &q.body); err != nil {
		return nil, err
	}
	if facts.Boot, err = checkTDXBoot(s, e.BootLog, facts.RTMRs); err != nil {
		return nil, err
	}
	facts.TCBStatus, facts.TCBDate, facts.Advisories = word.String(), word.date, word.advisories
	facts.TCBEvaluation, facts.CollateralExpires = min(collateral.tcb.Evaluation, collateral.qe.Evaluation), collateral.expires
	return facts, nil
}

func (s *steps) refuse(r *refusal) error { return s.fail(r.code, r.got, r.want, r.cause) }

// checkTDXExtras refuses what may accompany other evidence. Nothing would vouch
// for it here. The boot log stays: the run-time registers vouch for it.
func checkTDXExtras(s *steps, e attest.Evidence) error {
	if n := len(e.Certificates); n > 0 {
		return s.fail(codeParse, fmt.Sprintf("%d certificates beside the quote", n), "none: they are inside", nil)
	}
	for _, x := range e.Endorsements {
		list := x.Kind == attest.TDXRootCRL || x.Kind == attest.TDXPCKCRL
		if !slices.Contains(tdxEndorsements, x.Kind) || list && len(x.Chain) > 0 {
			return s.fail(codeParse, fmt.Sprintf("endorsement %s with %d certificates", x.Kind, len(x.Chain)), "Intel's collateral for TDX", nil)
		}
	}
	return nil
}

func checkTDXBinding(s *steps, b *tdxBody, binding [64]byte) error {
	if subtle.ConstantTimeCompare(b.reportData, make([]byte, reportDataTDX)) == 1 {
		return s.fail(codeUnbound, "report data of zeros", short(binding[:]), nil)
	}
	same := subtle.ConstantTimeCompare(b.reportData, binding[:]) == 1
	return s.equal(codeBinding, same, b.reportData, binding[:])
}

func checkTDAttributes(s *steps, b *tdxBody) error {
	text := "TD attributes " + hex.EncodeToString(b.attributes[:])
	bits := binary.LittleEndian.Uint64(b.attributes[:])
	if bits&tdUntrusted != 0 {
		return s.fail(codeDebug, text, "no debugging or profiling, whose owner reads the guest", nil)
	}
	s.pass(codeDebug, text)
	if bits&tdMigratable != 0 {
		return s.fail(codeMigratable, text, "a guest that stays on its machine", nil)
	}
	s.pass(codeMigratable, text)
	return nil
}
