package attest

import "time"

// Result is what verification found authentic and fresh. It says nothing about
// whether that is acceptable: that is a policy's to decide.
type Result struct {
	Claims       *Claims
	ClaimsDigest [32]byte
	// Level is the strongest level that the evidence reaches by itself.
	Level Level
	// SNP is set for soft and sev-snp evidence, TDX for tdx, TPM for tpm2.
	SNP *SNPFacts
	TDX *TDXFacts
	TPM *TPMFacts
	// Checks are those that verification made, in order.
	Checks []Check
}

// SNPFacts are the authentic fields of an SEV-SNP report.
type SNPFacts struct {
	Product string
	// Measurement is 48 bytes; on soft, the SHA-384 of the provider's binary.
	Measurement []byte
	HostData    []byte
	ChipID      []byte
	Debug       bool
	Migratable  bool
	SMT         bool
	VMPL        int
	GuestSVN    uint32
	// The TCB versions in AMD's packed form.
	ReportedTCB, CommittedTCB, LaunchTCB uint64
	// RootFingerprint is the SHA-256 of the root certificate (ARK, or the soft CA).
	RootFingerprint [32]byte
}

// TDXFacts are the authentic fields of a TDX quote and what Intel says of the
// platform.
type TDXFacts struct {
	// MRTD, MRSEAM and RTMRs are 48 bytes each.
	MRTD, MRSEAM                       []byte
	RTMRs                              [4][]byte
	MRConfigID, MROwner, MROwnerConfig []byte
	TDAttributes                       [8]byte
	XFAM                               [8]byte
	Debug, Migratable                  bool
	// FMSPC names the kind of platform, hex; PlatformID is the SHA-256 of the PCK
	// certificate's PPID: the machine.
	FMSPC      string
	PlatformID [32]byte
	// TCBStatus is Intel's word for the worst of platform, module and quoting
	// enclave, such as "UpToDate" or "OutOfDate"; Advisories are "INTEL-SA-…".
	TCBStatus  string
	Advisories []string
	// TCBDate is that of the level that the platform reaches: what is known since
	// then is not mended there.
	TCBDate time.Time
	// CollateralExpires is the earliest next update of all collateral.
	CollateralExpires time.Time
	RootFingerprint   [32]byte
	// QuoteVersion is 4 or 5.
	QuoteVersion int
}

// TPMFacts are the authentic facts of a TPM quote.
type TPMFacts struct {
	// EKFingerprint is the SHA-256 of the endorsement key's public key (SPKI): the machine's identity.
	EKFingerprint [32]byte
	// EKRootFingerprint is the SHA-256 of the certificate that the EK chain ends in.
	EKRootFingerprint [32]byte
	AKName            []byte
	PCRs              []PCR
	ResetCount        uint32
	RestartCount      uint32
}

// Check is one step of an appraisal.
type Check struct {
	// Code is stable, such as "ATT-020"; see the table in README.md.
	Code string
	// Name is what was checked, in a few words.
	Name   string
	OK     bool
	Anchor Anchor
	// Got and Want are short texts; long values are hex.
	Got, Want string
	// Policy is the line of the policy that asked for it, "" for what is always checked.
	Policy string
}

// Verdict is the outcome of an appraisal. The zero value denies.
type Verdict struct {
	// Affirmed is true only when every check passed.
	Affirmed bool
	Level    Level
	// Platform identifies the machine: the hex SHA-256 of its chip id or endorsement key.
	Platform string
	Checks   []Check
	// Warnings are what a person must know although the policy accepts it, such
	// as "not a TEE".
	Warnings  []string
	ExpiresAt time.Time
}

// Failed returns the check that decided against, and false when none did.
func (v Verdict) Failed() (Check, bool) {
	for _, c := range v.Checks {
		if !c.OK {
			return c, true
		}
	}
	return Check{}, false
}
