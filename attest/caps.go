package attest

import (
	"fmt"
	"time"

	"apocryph/proto/status"
)

// The caps on what a stranger sends. Without them one message could hold
// memory and processor time of the verifier in proportion to what it claims to
// contain.
const (
	// MaxClaims is in bytes; honest claims with sixteen images are about 4 KiB.
	MaxClaims = 16 << 10
	// MaxEvidence is how many devices may vouch for the same claims.
	MaxEvidence = 4
	// MaxReport is in bytes: an SNP report is 1184, a TDX quote with its chain about 8 KiB.
	MaxReport = 16 << 10
	// MaxCertificates and MaxCertificate (bytes) bound a chain. Each certificate
	// may cost its verifier one RSA-4096 operation.
	MaxCertificates = 8
	MaxCertificate  = 8 << 10
	// MaxEndorsements and MaxEndorsement (bytes) bound what comes with a report:
	// Intel's TCB info has about 30 KiB.
	MaxEndorsements = 8
	MaxEndorsement  = 128 << 10
	// MaxBootLog is in bytes; a log with many EFI variables has about 100 KiB.
	MaxBootLog = 512 << 10
	// MaxQuoted bounds a TPMS_ATTEST, MaxSignature a TPMT_SIGNATURE, MaxPublic a
	// TPMT_PUBLIC and MaxCredential each half of an activation, in bytes. The
	// structures' own limits are lower (TPM 2.0 Part 2, annex A: RSA-4096 keys).
	MaxQuoted     = 2 << 10
	MaxSignature  = 1 << 10
	MaxPublic     = 1 << 10
	MaxCredential = 1 << 10
	// MaxPCRs is the number of registers in a PC Client TPM's bank.
	MaxPCRs = 24
	// MaxContainers bounds images of one pod, MaxProvenance its provenance digests.
	MaxContainers = 64
	MaxProvenance = 64

	// maxPeerID is in bytes: an Ed25519 peer id has 38.
	maxPeerID = 64
	// maxName bounds names and references, in bytes. They end in terminals and logs.
	maxName = 256
	// maxOpaque bounds values whose length later versions may change: the boot
	// epoch, the pod log's head.
	maxOpaque = 64
	// akNameSize is a TPM name with SHA-256: the algorithm's number, then the digest.
	akNameSize = 2 + 32
	digestSize = 32
	// maxMillis is the year 2100. Later times are nonsense and overflow further on.
	maxMillis = 4102444800000
)

const (
	reasonClaims     = "attest.claims"
	reasonEvidence   = "attest.evidence"
	reasonIdentity   = "attest.identity"
	reasonActivation = "attest.activation"
)

// Check refuses evidence that is not of its type's shape or exceeds a cap:
// invalid_argument, reason "attest.evidence". It looks at lengths only.
func (e Evidence) Check() error {
	var f faults
	switch e.Type {
	case Soft, SEVSNP, TDX:
		f.size("report", len(e.Report), 1, MaxReport)
		if e.TPM != nil {
			f.add("tpm", "present", "absent for type "+string(e.Type))
		}
	case TPM2:
		f.size("report", len(e.Report), 0, 0)
		f.count("certificates", len(e.Certificates), 0)
		if e.TPM == nil {
			f.add("tpm", "absent", "a quote")
		}
	default:
		f.add("type", fmt.Sprintf("%.32q", string(e.Type)), `"soft", "sev-snp", "tdx" or "tpm2"`)
	}
	f.certificates("certificates", e.Certificates)
	f.endorsements(e.Endorsements)
	f.size("boot_log", len(e.BootLog), 0, MaxBootLog)
	if q := e.TPM; q != nil {
		f.size("tpm.quoted", len(q.Quoted), 1, MaxQuoted)
		f.size("tpm.signature", len(q.Signature), 1, MaxSignature)
		if len(q.ActivationProof) > 0 {
			f.size("tpm.activation_proof", len(q.ActivationProof), digestSize, digestSize)
		}
		f.count("tpm.pcrs", len(q.PCRs), MaxPCRs)
		for i, p := range q.PCRs[:min(len(q.PCRs), MaxPCRs)] {
			if !p.wellFormed() {
				f.pcr(fmt.Sprintf("tpm.pcrs[%d]", i), p)
			}
		}
	}
	return f.err(reasonEvidence, "evidence")
}

// Check refuses an identity that exceeds a cap: invalid_argument, reason
// "attest.identity".
func (id TPMIdentity) Check() error {
	var f faults
	low := 1
	if id.Bound {
		low = 0
	} else if len(id.EKCertificates) == 0 {
		f.add("ek_certificates", "none", "at least the endorsement key's certificate")
	}
	f.certificates("ek_certificates", id.EKCertificates)
	f.size("ek_public", len(id.EKPublic), low, MaxPublic)
	f.size("ak_public", len(id.AKPublic), 1, MaxPublic)
	return f.err(reasonIdentity, "tpm identity")
}

// Check refuses an activation that exceeds a cap: invalid_argument, reason
// "attest.activation".
func (a Activation) Check() error {
	if a.None() {
		return nil
	}
	var f faults
	f.size("credential_blob", len(a.CredentialBlob), 1, MaxCredential)
	f.size("encrypted_secret", len(a.EncryptedSecret), 1, MaxCredential)
	return f.err(reasonActivation, "tpm activation")
}

// faults collects everything that is wrong with one input.
type faults []status.Fault

func (f *faults) add(field, got, want string) {
	*f = append(*f, status.Fault{Field: field, Got: got, Want: want})
}

func (f *faults) err(reason, what string) error {
	if len(*f) == 0 {
		return nil
	}
	return status.Invalid(reason, what, *f)
}

func (f *faults) size(field string, got, low, high int) {
	switch {
	case got >= low && got <= high:
	case low == high:
		f.add(field, fmt.Sprintf("%d bytes", got), fmt.Sprintf("%d", low))
	default:
		f.add(field, fmt.Sprintf("%d bytes", got), fmt.Sprintf("%d to %d", low, high))
	}
}

func (f *faults) count(field string, got, high int) {
	if got > high {
		f.add(field, fmt.Sprintf("%d entries", got), fmt.Sprintf("at most %d", high))
	}
}

func (f *faults) certificates(field string, ders [][]byte) {
	f.count(field, len(ders), MaxCertificates)
	for i, der := range ders[:min(len(ders), MaxCertificates)] {
		f.size(fmt.Sprintf("%s[%d]", field, i), len(der), 1, MaxCertificate)
	}
}

func (f *faults) endorsements(list []Endorsement) {
	f.count("endorsements", len(list), MaxEndorsements)
	seen := map[Kind]bool{}
	for i, x := range list[:min(len(list), MaxEndorsements)] {
		field := fmt.Sprintf("endorsements[%d]", i)
		switch x.Kind {
		case TDXTCBInfo, TDXQEIdentity, TDXRootCRL, TDXPCKCRL, SNPCRL:
		default:
			f.add(field+".kind", fmt.Sprintf("%.32q", string(x.Kind)), "a kind of endorsement of this version")
		}
		if seen[x.Kind] {
			f.add(field+".kind", string(x.Kind)+" again", "one of a kind")
		}
		seen[x.Kind] = true
		f.size(field+".body", len(x.Body), 1, MaxEndorsement)
		f.certificates(field+".chain", x.Chain)
	}
}

// bankSize is that of a bank's values in bytes, 0 for an unknown bank.
func bankSize(bank string) int {
	switch bank {
	case "sha256":
		return 32
	case "sha384":
		return 48
	}
	return 0
}

// wellFormed spares the name of a fault where there is none: each quote has many.
func (p PCR) wellFormed() bool {
	return len(p.Value) > 0 && len(p.Value) == bankSize(p.Bank) && p.Index < MaxPCRs
}

func (f *faults) pcr(field string, p PCR) {
	size := bankSize(p.Bank)
	if size == 0 {
		f.add(field+".bank", fmt.Sprintf("%.32q", p.Bank), `"sha256" or "sha384"`)
		return
	}
	f.size(field+".value", len(p.Value), size, size)
	if p.Index >= MaxPCRs {
		f.add(field+".index", fmt.Sprint(p.Index), fmt.Sprintf("below %d", MaxPCRs))
	}
}

func (f *faults) time(field string, ms int64) time.Time {
	if ms <= 0 || ms > maxMillis {
		f.add(field, fmt.Sprint(ms), "Unix milliseconds before the year 2100")
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func tooLarge(what string, got, want int) error {
	return status.New(status.InvalidArgument, "attest.too_large", "%s: got %d bytes, want at most %d", what, got, want)
}
