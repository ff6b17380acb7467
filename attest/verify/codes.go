package verify

// code is one row of the table in attest/README.md.
type code struct {
	id string
	// slug is the last part of the status reason "attest.SLUG".
	slug string
	// name is what was checked.
	name string
}

// The codes that verification gives. Numbers are never reused.
var (
	codeType          = code{"ATT-001", "unsupported_type", "evidence type"}
	codeTooLarge      = code{"ATT-010", "too_large", "size"}
	codeParse         = code{"ATT-011", "parse", "form"}
	codeNonce         = code{"ATT-020", "nonce", "nonce"}
	codeAudience      = code{"ATT-021", "audience", "made for this verifier"}
	codePeer          = code{"ATT-022", "peer_mismatch", "made by the peer of this connection"}
	codeExpired       = code{"ATT-023", "expired", "time"}
	codePurpose       = code{"ATT-025", "purpose", "purpose"}
	codeTLSKey        = code{"ATT-026", "tls_key", "key of this connection"}
	codeChain         = code{"ATT-030", "chain", "certificate chain"}
	codeUntrustedRoot = code{"ATT-031", "untrusted_root", "trusted root"}
	codeRevoked       = code{"ATT-032", "revoked", "no certificate is revoked"}
	codeNoCollateral  = code{"ATT-033", "collateral_unavailable", "the vendor's word on this platform came along"}
	codeCollateralAge = code{"ATT-034", "collateral_expired", "collateral is current"}
	codeSignature     = code{"ATT-040", "signature", "signature"}
	codeBinding       = code{"ATT-041", "binding", "claims are bound"}
	codeUnbound       = code{"ATT-042", "binding_missing", "claims are bound"}
	codeDebug         = code{"ATT-050", "debug_tee", "debug mode is off"}
	codeMigratable    = code{"ATT-051", "migratable", "migration is off"}
	codeVMPL          = code{"ATT-052", "vmpl", "asked for by the guest"}
	codeTCBStatus     = code{"ATT-061", "tcb_status", "firmware versions agree and are committed"}
	// Of TDX platforms Intel publishes which firmware it knows.
	codePlatformStatus = code{"ATT-061", "tcb_status", "firmware that Intel knows"}
	codeAKArea         = code{"ATT-090", "ak_attributes", "attestation key's attributes"}
	codeEKChain        = code{"ATT-091", "ek_chain", "endorsement key's chain"}
	codeActivation     = code{"ATT-092", "activation", "both keys sit in one TPM"}
	codePCRSelection   = code{"ATT-093", "pcr_selection", "registers demanded"}
	codePCRDigest      = code{"ATT-094", "pcr_digest", "registers match the quote"}
	codeResets         = code{"ATT-095", "reset_count", "counters of the TPM go up"}
	codeAKName         = code{"ATT-096", "ak_name", "attestation key named in the claims"}
	codeBootLog        = code{"ATT-097", "boot_log", "boot log explains the registers"}
	codeInternal       = code{"ATT-190", "internal", "verifier"}
)
