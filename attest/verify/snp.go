package verify

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/kds"
	spb "github.com/google/go-sev-guest/proto/sevsnp"
	"github.com/google/go-sev-guest/verify"
	"github.com/google/go-sev-guest/verify/trust"

	"apocryph/attest"
)

// checkSNP verifies an ATTESTATION_REPORT (SEV-SNP firmware ABI, 56860, table
// 23), of AMD's or of a software device.
func checkSNP(s *steps, e attest.Evidence, binding [64]byte, roots Roots, now time.Time) (*attest.SNPFacts, error) {
	report, err := parseReport(e.Report)
	if err != nil {
		return nil, s.fail(codeParse, "a report that cannot be read", "an SEV-SNP report of 1184 bytes", err)
	}
	signer, root, err := checkSNPChain(s, e, report, roots, now)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(report.GetReportData(), make([]byte, abi.ReportDataSize)) == 1 {
		return nil, s.fail(codeUnbound, "report data of zeros", short(binding[:]), nil)
	}
	same := subtle.ConstantTimeCompare(report.GetReportData(), binding[:]) == 1
	if err := s.equal(codeBinding, same, report.GetReportData(), binding[:]); err != nil {
		return nil, err
	}
	policy, err := abi.ParseSnpPolicy(report.GetPolicy())
	if err != nil {
		return nil, s.fail(codeParse, "an unknown guest policy", "one of the firmware ABI", err)
	}
	if policy.Debug {
		return nil, s.fail(codeDebug, fmt.Sprintf("guest policy 0x%x with debug allowed", report.GetPolicy()), "no debugging, whose owner reads all memory", nil)
	}
	s.pass(codeDebug, fmt.Sprintf("guest policy 0x%x", report.GetPolicy()))
	want, err := newExpectations(binding)
	if err != nil {
		return nil, s.fail(codeUnbound, "no binding", "64 bytes", err)
	}
	if err := want.validate(report, signer); err != nil {
		return nil, s.fail(codeTCBStatus, "a report that contradicts its certificate or itself", "one TCB version in report and certificate, and no provisional firmware", err)
	}
	s.pass(codeTCBStatus, fmt.Sprintf("TCB %016x", report.GetReportedTcb()))
	return snpFacts(report, policy, signer, root), nil
}

// parseReport demands the exact size: the library reads the front of anything longer.
func parseReport(raw []byte) (*spb.Report, error) {
	if len(raw) != abi.ReportSize {
		return nil, fmt.Errorf("got %d bytes, want %d", len(raw), abi.ReportSize)
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
	return report, nil
}

// checkSNPChain verifies the chain and the signature, and returns the
// certificate that signed and the root's fingerprint.
func checkSNPChain(s *steps, e attest.Evidence, report *spb.Report, roots Roots, now time.Time) (*x509.Certificate, [32]byte, error) {
	fail := func(c code, got, want string, cause error) (*x509.Certificate, [32]byte, error) {
		return nil, [32]byte{}, s.fail(c, got, want, cause)
	}
	info, err := abi.ParseSignerInfo(report.GetSignerInfo())
	if err != nil || info.SigningKey != abi.VcekReportSigner {
		return fail(codeChain, "a report that no VCEK signed", "a chip's own key (VCEK)", err)
	}
	if len(e.Certificates) == 0 {
		return fail(codeChain, "no certificate", "the VCEK's certificate", nil)
	}
	signer, err := parseCertificate(e.Certificates[0])
	if err != nil {
		return fail(codeChain, "a certificate that cannot be read", "the VCEK's certificate", err)
	}
	trusted, root := roots.snp, [32]byte{}
	if e.Type == attest.Soft {
		if trusted, root, err = softRoots(s, e.Certificates, roots); err != nil {
			return nil, [32]byte{}, err
		}
	}
	att := &spb.Attestation{Report: report, CertificateChain: &spb.CertificateChain{VcekCert: signer.Raw}}
	// A nil map stands for AMD's own roots; an empty one is never built.
	if err := verify.SnpAttestation(att, &verify.Options{DisableCertFetching: true, Now: now, TrustedRoots: trusted}); err != nil {
		if verify.SnpReportSignature(e.Report, signer) != nil {
			return fail(codeSignature, "a signature that the certificate's key did not make", "the signature of the report by its chip", err)
		}
		return fail(codeChain, "a certificate that no trusted root vouches for now", "a chain to a trusted root", err)
	}
	if e.Type == attest.SEVSNP {
		if root, err = amdRoot(report, signer, trusted); err != nil {
			return fail(codeChain, "an unknown product", "Milan, Genoa or Turin", err)
		}
	}
	s.pass(codeChain, "root sha256:"+short(root[:]))
	s.pass(codeSignature, "by "+signer.Subject.CommonName)
	return signer, root, nil
}

// softRoots takes the last two certificates of the evidence as signing and root
// certificate, after the root's fingerprint was found among the named ones.
func softRoots(s *steps, chain [][]byte, roots Roots) (map[string][]*trust.AMDRootCerts, [32]byte, error) {
	var none [32]byte
	if n := len(chain); n != 3 {
		return nil, none, s.fail(codeChain, fmt.Sprintf("%d certificates", n), "3: device, signing and root certificate", nil)
	}
	root := sha256.Sum256(chain[2])
	if !slices.Contains(roots.SoftCAs, root) {
		return nil, none, s.fail(codeUntrustedRoot, "development CA sha256:"+short(root[:]), "one that the policy names", nil).
			WithHint("software evidence proves nothing about hardware; to accept this device for development, name its CA under dev.soft_ca in the policy")
	}
	s.pass(codeUntrustedRoot, "development CA sha256:"+short(root[:]))
	ask, askErr := parseCertificate(chain[1])
	ark, arkErr := parseCertificate(chain[2])
	if err := errors.Join(askErr, arkErr); err != nil {
		return nil, none, s.fail(codeChain, "a certificate that cannot be read", "the development CA's certificates", err)
	}
	trusted := make(map[string][]*trust.AMDRootCerts)
	for line := range trust.DefaultRootCerts {
		r := trust.AMDRootCertsProduct(line)
		r.ProductCerts = &trust.ProductCerts{Ask: ask, Ark: ark}
		trusted[line] = []*trust.AMDRootCerts{r}
	}
	return trusted, root, nil
}

// amdRoot is the fingerprint of the root that the library chose for a report.
func amdRoot(report *spb.Report, signer *x509.Certificate, trusted map[string][]*trust.AMDRootCerts) ([32]byte, error) {
	line, err := productLine(report, signer)
	if err != nil {
		return [32]byte{}, err
	}
	if trusted == nil {
		r, err := trust.GetDefaultRootCerts(line)
		if err != nil {
			return [32]byte{}, err
		}
		return sha256.Sum256(r.ProductCerts.Ark.Raw), nil
	}
	return sha256.Sum256(trusted[line][0].ProductCerts.Ark.Raw), nil
}

// productLine is in the report since version 3, in the certificate before.
func productLine(report *spb.Report, signer *x509.Certificate) (string, error) {
	if fms := report.GetCpuid1EaxFms(); fms != 0 {
		return kds.ProductLineFromFms(fms), nil
	}
	exts, err := kds.VcekCertificateExtensions(signer)
	if err != nil {
		return "", err
	}
	return kds.ProductLineOfProductName(exts.ProductName), nil
}
