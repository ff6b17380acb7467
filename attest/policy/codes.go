package policy

// Codes of the checks that this package makes. They are stable: scripts match
// them, documentation lists them. Those of verification are its own.
const (
	// CodeExpired: the claims are no longer, or not, valid.
	CodeExpired = "ATT-023"
	// CodeNoCollateral: the vendor's revocation list did not come along, or is old.
	CodeNoCollateral = "ATT-033"
	// CodeDebug: the guest can be debugged from outside.
	CodeDebug = "ATT-050"
	// CodeMigratable: the guest can be moved to another machine.
	CodeMigratable = "ATT-051"
	// CodeVMPL: the report comes from another privilege level.
	CodeVMPL = "ATT-052"
	// CodeGuestPolicy: the guest's launch policy allows what is not accepted, such
	// as simultaneous multithreading, or lacks what is demanded.
	CodeGuestPolicy = "ATT-053"
	// CodePlatformSetup: the machine is not set up as demanded.
	CodePlatformSetup = "ATT-054"
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
	// CodeHostData: the host or owner chose other data at launch.
	CodeHostData = "ATT-072"
	// CodeIDBlock: the launch was not signed by a named key, or is of an older guest.
	CodeIDBlock = "ATT-073"
	// CodePlatform: the machine is not one of those pinned.
	CodePlatform = "ATT-080"
	// CodeEKRoot: the TPM's endorsement key is not certified by a pinned root.
	CodeEKRoot = "ATT-091"
	// CodePCRSelection: the quote does not cover a register, or covers it twice.
	CodePCRSelection = "ATT-093"
	// CodePCRValue: other software was booted.
	CodePCRValue = "ATT-094"
	// CodePodLog: the log of pods did not come, or is not anchored where demanded.
	CodePodLog = "ATT-100"
	// CodeEvent: an event that must have happened is not in the log of pods.
	CodeEvent = "ATT-104"
	// CodeAccessPath: there is a way into the machine that the policy forbids.
	CodeAccessPath = "ATT-113"
	// CodeProvenance: nothing shows how an image was built.
	CodeProvenance = "ATT-120"
	// CodeSource: an image was built from another repository or branch, or of
	// uploaded files.
	CodeSource = "ATT-121"
	// CodeSigner: the commit is not signed by a key that the policy names.
	CodeSigner = "ATT-122"
	// CodeBuilt: an image was built by or on something that the policy does not name.
	CodeBuilt = "ATT-123"
	// CodeLogged: the log of the boot does not show that the build took place.
	CodeLogged = "ATT-124"
	// CodeInclusion: the evidence is not in the provider's transparency log.
	CodeInclusion = "ATT-140"
	// CodeOffer: the offer costs more than the policy allows.
	CodeOffer = "ATT-130"
	// CodeDevMode: a software device that the policy does not name.
	CodeDevMode = "ATT-150"
	// CodeLevel: a level of evidence that the policy does not accept.
	CodeLevel = "ATT-151"
	// CodePolicyInvalid: the policy has faults, so nothing can pass it.
	CodePolicyInvalid = "ATT-160"
	// CodeRollback: an older version of the policy than one that was used before.
	CodeRollback = "ATT-161"
	// CodePolicySignature: the policy is not signed by the key that is demanded.
	CodePolicySignature = "ATT-162"
	// CodeStorage: data at rest is not protected as the policy demands.
	CodeStorage = "ATT-170"
	// CodeInternal: there was nothing to appraise, or the appraisal broke down.
	CodeInternal = "ATT-190"
)
