package verify

import (
	"crypto/x509"
	"errors"

	"github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/kds"
	spb "github.com/google/go-sev-guest/proto/sevsnp"
	"github.com/google/go-sev-guest/validate"

	"apocryph/attest"
)

// expectations wraps go-sev-guest's validation, which skips every expectation
// that is nil or empty (the cause of two published advisories elsewhere). This
// one cannot be made without the binding.
type expectations struct{ binding [64]byte }

func newExpectations(binding [64]byte) (*expectations, error) {
	if binding == [64]byte{} {
		return nil, errors.New("the binding was not set")
	}
	return &expectations{binding}, nil
}

// validate checks the report against the binding, its certificate (TCB version,
// chip) and itself (committed and current firmware). Debugging is refused; what
// a policy may allow (migration, SMT, CXL) is let through here and becomes a fact.
func (x *expectations) validate(report *spb.Report, signer *x509.Certificate) error {
	att := &spb.Attestation{Report: report, CertificateChain: &spb.CertificateChain{VcekCert: signer.Raw}}
	return validate.SnpAttestation(att, &validate.Options{
		ReportData:  x.binding[:],
		GuestPolicy: abi.SnpPolicy{SMT: true, MigrateMA: true, CXLAllowed: true},
	})
}

func snpFacts(report *spb.Report, policy abi.SnpPolicy, signer *x509.Certificate, root [32]byte) *attest.SNPFacts {
	facts := &attest.SNPFacts{
		Measurement:     report.GetMeasurement(),
		HostData:        report.GetHostData(),
		ChipID:          report.GetChipId(),
		Debug:           policy.Debug,
		Migratable:      policy.MigrateMA,
		SMT:             policy.SMT,
		VMPL:            int(report.GetVmpl()),
		GuestSVN:        report.GetGuestSvn(),
		ReportedTCB:     report.GetReportedTcb(),
		CommittedTCB:    report.GetCommittedTcb(),
		LaunchTCB:       report.GetLaunchTcb(),
		RootFingerprint: root,
	}
	// A host may mask the report's chip id, but not the certificate's.
	if exts, err := kds.VcekCertificateExtensions(signer); err == nil {
		facts.ChipID = exts.HWID
	}
	if line, err := productLine(report, signer); err == nil {
		facts.Product = line
	}
	return facts
}
