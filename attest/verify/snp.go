package verify

import (
	"bytes"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-sev-guest/abi"
	spb "github.com/google/go-sev-guest/proto/sevsnp"

	"apocryph/attest"
	"apocryph/attest/verify/p384"
)

// maxVMPL is the least privileged level of a guest. A report that the
// hypervisor asked for names none, and its report data is nobody's word.
const maxVMPL = 3

// checkSNP verifies an ATTESTATION_REPORT (SEV-SNP firmware ABI, 56860, table
// 23), of AMD's or of a software device.
func checkSNP(s *steps, e attest.Evidence, binding [64]byte, roots Roots, now time.Time) (*attest.SNPFacts, error) {
	report, err := parseReport(e.Report)
	if err != nil {
		return nil, s.fail(codeParse, "a report that cannot be read", "an SEV-SNP report of 1184 bytes, version 2 to 5", err)
	}
	if err := checkSNPExtras(s, e); err != nil {
		return nil, err
	}
	chain, err := checkSNPChain(s, e, report, roots, now)
	if err != nil {
		return nil, err
	}
	if err := checkReportSignature(e.Report, chain.key); err != nil {
		return nil, s.fail(codeSignature, "a signature that the certificate's key did not make", "the signature of the report by its chip", err)
	}
	s.pass(codeSignature, "by "+chain.leaf.Subject.CommonName)
	if subtle.ConstantTimeCompare(report.GetReportData(), make([]byte, abi.ReportDataSize)) == 1 {
		return nil, s.fail(codeUnbound, "report data of zeros", short(binding[:]), nil)
	}
	same := subtle.ConstantTimeCompare(report.GetReportData(), binding[:]) == 1
	if err := s.equal(codeBinding, same, report.GetReportData(), binding[:]); err != nil {
		return nil, err
	}
	if report.GetVmpl() > maxVMPL {
		return nil, s.fail(codeVMPL, fmt.Sprintf("VMPL 0x%x", report.GetVmpl()), "0 to 3: a report that the guest itself asked for", nil)
	}
	s.pass(codeVMPL, fmt.Sprintf("VMPL %d", report.GetVmpl()))
	policy, err := abi.ParseSnpPolicy(report.GetPolicy())
	if err != nil {
		return nil, s.fail(codeParse, "an unknown guest policy", "one of the firmware ABI", err)
	}
	if policy.Debug {
		return nil, s.fail(codeDebug, fmt.Sprintf("guest policy 0x%x with debug allowed", report.GetPolicy()), "no debugging, whose owner reads all memory", nil)
	}
	s.pass(codeDebug, fmt.Sprintf("guest policy 0x%x", report.GetPolicy()))
	if got, want := contradiction(report, chain.ek); got != "" {
		return nil, s.fail(codeTCBStatus, got, want, nil)
	}
	s.pass(codeTCBStatus, fmt.Sprintf("TCB %016x", report.GetReportedTcb()))
	return snpFacts(report, policy, chain), nil
}

// parseReport demands the exact size: the library reads the front of anything longer.
func parseReport(raw []byte) (*spb.Report, error) {
	if len(raw) != abi.ReportSize {
		return nil, fmt.Errorf("got %d bytes, want %d", len(raw), abi.ReportSize)
	}
	if v := binary.LittleEndian.Uint32(raw); v < abi.MinSupportedReportVersion || v > abi.MaxSupportedReportVersion {
		return nil, fmt.Errorf("version %d", v)
	}
	report, err := abi.ReportToProto(raw)
	if err != nil {
		return nil, err
	}
	// What the library drops on reading would be signed but never looked at.
	again, err := abi.ReportToAbiBytes(report)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, raw) {
		return nil, errNotOfThisForm
	}
	if report.GetVersion() < abi.ReportVersion4 && report.GetLaunchMitVector()|report.GetCurrentMitVector() != 0 {
		return nil, errNotOfThisForm
	}
	return report, nil
}

// scalarSize is that of r and of s in a report, little-endian with room for
// larger curves, in bytes (56860, signature by ECDSA P-384 with SHA-384).
const scalarSize = 72

// checkReportSignature checks the only kind of signature that reports have,
// ECDSA over P-384 with SHA-384.
func checkReportSignature(report []byte, key p384.Key) error {
	if err := abi.ValidateReportFormat(report); err != nil {
		return err
	}
	if algo := abi.SignatureAlgo(report); algo != abi.SignEcdsaP384Sha384 {
		return fmt.Errorf("algorithm %d", algo)
	}
	body := abi.SignedComponent(report)
	signature := report[len(body):]
	r, s := abi.AmdBigInt(signature[:scalarSize]), abi.AmdBigInt(signature[scalarSize:2*scalarSize])
	if !key.Verify(sha512.Sum384(body), r, s) {
		return errors.New("the signature is wrong")
	}
	return nil
}

// checkSNPExtras refuses what may accompany other evidence. Nothing would vouch
// for it here.
func checkSNPExtras(s *steps, e attest.Evidence) error {
	if n := len(e.BootLog); n > 0 {
		return s.fail(codeParse, fmt.Sprintf("a boot log of %d bytes", n), "none: an SEV-SNP report has no boot registers", nil)
	}
	for _, x := range e.Endorsements {
		if x.Kind != attest.SNPCRL || len(x.Chain) > 0 {
			return s.fail(codeParse, fmt.Sprintf("endorsement %s with %d certificates", x.Kind, len(x.Chain)), "AMD's revocation list alone", nil)
		}
	}
	return nil
}
