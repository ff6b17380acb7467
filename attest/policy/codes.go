package policy

// Codes of the checks that this package makes. They are stable: scripts match
// them, documentation lists them. Those of verification are its own.
const (
	// CodeExpired: the claims are no longer, or not, valid.
	CodeExpired = "ATT-023"
	// CodeDebug: the guest can be debugged from outside.
	CodeDebug = "ATT-050"
	// CodeMigratable: the guest can be moved to another machine.
	CodeMigratable = "ATT-051"
	// CodeVMPL: the report comes from another privilege level.
	CodeVMPL = "ATT-052"
	// CodeGuestPolicy: the guest was launched with simultaneous multithreading.
	CodeGuestPolicy = "ATT-053"
	// CodeTCBFloor: the firmware is older than the policy allows.
	CodeTCBFloor = "ATT-060"
	// CodeTCBStatus: the vendor says that the firmware has known holes.
	CodeTCBStatus = "ATT-061"
	// CodeTCBGrace: it has had them for longer than the policy tolerates.
	CodeTCBGrace = "ATT-062"
	// CodeNoReferenceSet: the policy has nothing to compare this evidence with.
	CodeNoReferenceSet = "ATT-070"
	// CodeMeasurement: other software was launched.
	CodeMeasurement = "ATT-071"
	// CodePlatform: the machine is not one of those pinned.
	CodePlatform = "ATT-080"
	// CodeEKRoot: the TPM's endorsement key is not certified by a pinned root.
	CodeEKRoot = "ATT-091"
	// CodePCRSelection: the quote does not cover a register, or covers it twice.
	CodePCRSelection = "ATT-093"
	// CodePCRValue: other software was booted.
	CodePCRValue = "ATT-094"
	// CodeOffer: the offer costs more than the policy allows.
	CodeOffer = "ATT-130"
	// CodeDevMode: a software device that the policy does not name.
	CodeDevMode = "ATT-150"
	// CodeLevel: a level of evidence that the policy does not accept.
	CodeLevel = "ATT-151"
	// CodePolicyInvalid: the policy has faults, so nothing can pass it.
	CodePolicyInvalid = "ATT-160"
	// CodeStorage: data at rest is not protected as the policy demands.
	CodeStorage = "ATT-170"
	// CodeInternal: there was nothing to appraise, or the appraisal broke down.
	CodeInternal = "ATT-190"
)
