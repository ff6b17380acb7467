// Package tpmtemplate fixes the public areas of the TPM 2.0 keys that
// attestation uses, for the device that makes them and the verifier that
// demands them.
//
// A TPM names a key by the hash of its public area: algorithm, attributes,
// authorisation policy and public key. The attributes of the attestation key
// carry all the trust there is in a quote. "Restricted" means that the TPM
// signs nothing that looks like one of its own statements unless it made it,
// "fixedTPM" and "sensitiveDataOrigin" that the key was made inside and never
// leaves. Credential activation proves only that a key of some name is loaded:
// a key that was made in software and loaded from outside activates as well. So
// a verifier compares the whole area with [AK] and lets nothing differ but the
// public key itself ([ParseAK]).
//
// Endorsement keys follow the TCG EK Credential Profile (version 2.5, annex B):
// L-1, RSA 2048; L-2, ECC P-256; H-3, ECC P-384. A TPM derives an endorsement
// key from its seed and such a template, so it can be made again at any time,
// and [ParseEK] accepts no other.
package tpmtemplate
