// Package tpm makes evidence with a TPM 2.0.
//
// A provider's exchange with a verifier has four steps. [Device.Identity] names
// the endorsement key, with the certificate that the manufacturer left in the
// TPM, and the attestation key, which the TPM derives from its endorsement seed
// and a fixed template, so that it is the same after each boot and is stored
// nowhere. The verifier answers with an activation; [Device.Activate] lets the
// TPM decrypt its secret, which [attest.ProveActivation] adds the proof of to
// what [Device.Attest] returns: a quote of the platform registers over the
// claims, which may be made meanwhile.
//
// [Device.DataKey] is the key for data at rest, sealed to the registers that
// measure the boot: another kernel, loader or firmware does not get it, but one
// of its own.
//
// [Device.Register] is what the provider extends its pod log into. The data key
// does not depend on it.
//
// A TPM does one thing at a time and has room for three objects. All commands
// of a device run one after the other; the attestation key stays loaded, other
// objects are flushed as soon as they were used. What a killed process left in
// a TPM without resource manager is flushed by the next [Open]. A lock keeps a
// second provider from the same TPM: two would hand out one machine's identity.
//
// A context bounds the wait for the TPM and for a socket's answer. A command
// that a device file has accepted is waited for, since its answer would be the
// next command's otherwise.
package tpm
