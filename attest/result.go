package attest

import "time"

// Result is what verification found authentic and fresh. It says nothing about
// whether that is acceptable: that is a policy's to decide.
type Result struct {
	Claims       *Claims
	ClaimsDigest [32]byte
	// Level is the strongest level that the evidence reaches by itself.
	Level Level
	// SNP is set for soft and sev-snp evidence, TDX for tdx, TPM for tpm2. Composite
	// evidence sets two: the report's and TPM.
	SNP *SNPFacts
	TDX *TDXFacts
	TPM *TPMFacts
	// PodLog and Transparency are nil where nobody asked for them, or none was shown.
	// They are not of the evidence: who replayed the logs against this result's
	// claims adds them.
	PodLog       *PodLogFacts
	Transparency *TransparencyFacts
	// Checks are those that verification made, in order.
	Checks []Check
}

// SNPFacts are the authentic fields of an SEV-SNP report (SEV-SNP firmware ABI,
// 56860, table 23), and what AMD says of the chip.
type SNPFacts struct {
	// Product is the line: Milan, Genoa or Turin. The layout of TCB versions
	// follows from it.
	Product string
	// ReportVersion is 2 to 5.
	ReportVersion int
	// Measurement is 48 bytes; on soft, the SHA-384 of the provider's binary.
	Measurement []byte
	// HostData is 32 bytes that the host chose at launch.
	HostData []byte
	// ChipID is 64 bytes, from the report or, where the host masks it there, from
	// the chip's certificate. It is nil where neither names the chip.
	ChipID []byte
	// ChipIDMasked: the report's chip id is all zeros.
	ChipIDMasked bool
	Debug        bool
	Migratable   bool
	SMT          bool
	VMPL         int
	GuestSVN     uint32
	// The TCB versions in AMD's packed form.
	ReportedTCB, CommittedTCB, CurrentTCB, LaunchTCB uint64
	// Firmware is the running SEV firmware; it equals the committed one.
	Firmware SNPFirmware
	// GuestPolicy is what the guest was launched under, Platform how the machine
	// is set up now.
	GuestPolicy SNPGuestPolicy
	Platform    SNPPlatform
	// IDKeyDigest and AuthorKeyDigest are the SHA-384 of the keys that signed the
	// ID block, 48 bytes each; nil where there was no block, or no author key.
	IDKeyDigest, AuthorKeyDigest []byte
	// FamilyID and ImageID are 16 bytes each, from the ID block.
	FamilyID, ImageID []byte
	// ReportID names this guest from its launch on, ReportIDMA its migration
	// agent; 32 bytes each. ReportIDMA is all ones where there is no agent.
	ReportID, ReportIDMA []byte
	// LaunchMitigations and CurrentMitigations are AMD's mitigation vectors; 0 in
	// reports before version 4.
	LaunchMitigations, CurrentMitigations uint64
	// CSP is the cloud provider that a VLEK was loaded for; "" where the chip's
	// own key (VCEK) signed.
	CSP string
	// CRLExpires is the next update of AMD's revocation list that came along and
	// in which the chain does not occur; zero where none came.
	CRLExpires time.Time
	// RootFingerprint is the SHA-256 of the root certificate (ARK, or the soft CA).
	RootFingerprint [32]byte
}

// SNPFirmware is a version of the SEV firmware.
type SNPFirmware struct{ Major, Minor, Build uint8 }

// SNPGuestPolicy is what an SNP guest's owner allowed and demanded at launch
// (56860, table 9), beside debugging, migration and multithreading.
type SNPGuestPolicy struct {
	// Raw is the field itself.
	Raw uint64
	// ABIMajor and ABIMinor are the lowest firmware ABI for the guest.
	ABIMajor, ABIMinor uint8
	SingleSocket       bool
	// CXLAllowed lets memory sit behind a CXL link.
	CXLAllowed bool
	// What is demanded of the platform.
	AES256XTS, RAPLOff, CiphertextHiding, PageSwapOff bool
}

// SNPPlatform is how a machine with SEV-SNP is set up (56860, table 24).
type SNPPlatform struct {
	// Raw is the field itself: it may have bits that are newer than this program.
	Raw uint64
	SMT bool
	// TSME encrypts all memory transparently, ECC corrects its errors.
	TSME, ECC bool
	// RAPLOff: power meters, a side channel, cannot be read.
	RAPLOff bool
	// CiphertextHiding keeps the host from reading the guests' encrypted memory.
	CiphertextHiding bool
	// AliasCheck: since the last reset no memory was found under two addresses.
	AliasCheck bool
	// TIO lets devices into guests.
	TIO bool
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
	// Debug: the guest is open to a debugger or profiler of the host.
	Debug, Migratable bool
	// SEPTVEDisable: pages that the host takes away cannot raise exceptions in the
	// guest, whose kernel need not be hardened against them.
	SEPTVEDisable bool
	// MRServiceTD is 48 bytes, of the service guests bound to this one; nil in
	// quotes of TDX 1.0.
	MRServiceTD []byte
	// TEETCBSVN are the versions of module and loader at launch (TEE_TCB_SVN).
	TEETCBSVN [16]byte
	// FMSPC names the kind of platform, hex. PlatformID is the machine: the SHA-256
	// of the PCK certificate's PPID or, where that is all zeros, of its public key
	// (SPKI).
	FMSPC      string
	PlatformID [32]byte
	// TCBStatus is Intel's word for the worst of platform, module and quoting
	// enclave, such as "UpToDate" or "OutOfDate"; Advisories are "INTEL-SA-…".
	TCBStatus  string
	Advisories []string
	// TCBDate is that of the level that the platform reaches or, where parts are
	// out of date, the earliest of theirs: what is known since then is not mended
	// there.
	TCBDate time.Time
	// TCBEvaluation counts Intel's rounds of updates ("tcbEvaluationDataNumber"):
	// the collateral knows of all up to this one.
	TCBEvaluation int
	// CollateralExpires is the earliest next update of all collateral.
	CollateralExpires time.Time
	RootFingerprint   [32]byte
	// QuoteVersion is 4 or 5.
	QuoteVersion int
	// Boot is nil where no boot log came along. It is of RTMR 0 to 2.
	Boot *BootFacts
}

// AKBinding is what makes an attestation key believable.
type AKBinding string

// The bindings of attestation keys.
const (
	// AKActivated: credential activation showed that it sits in the TPM of a
	// certified endorsement key, now or when the verifier last asked.
	AKActivated AKBinding = "activated"
	// AKPinned: the policy pins its name. Nothing shows whose TPM it is in.
	AKPinned AKBinding = "pinned"
	// AKReported: the software that an SNP or TDX report measured named it.
	AKReported AKBinding = "reported"
)

// TPMFacts are the authentic facts of a TPM quote.
type TPMFacts struct {
	// EKFingerprint is the SHA-256 of the endorsement key's public key (SPKI): the
	// machine's identity. It is zero, as EKRootFingerprint, unless the attestation
	// key was activated: whatever came along is nobody's word then.
	EKFingerprint [32]byte
	// EKRootFingerprint is the SHA-256 of the certificate that the EK chain ends in.
	EKRootFingerprint [32]byte
	// AKName is 34 bytes, AKBinding why it counts.
	AKName    []byte
	AKBinding AKBinding
	PCRs      []PCR
	// ResetCount and RestartCount are the TPM's (TPM 2.0 Part 2, 10.11.1).
	ResetCount, RestartCount uint32
	// Boot is nil where no boot log came along. It is of the quoted registers but
	// those that are extended after boot: 11, 14 and 15.
	Boot *BootFacts
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
