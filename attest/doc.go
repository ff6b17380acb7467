// Package attest holds the nouns of remote attestation (RFC 9334) and the
// bytes that evidence binds.
//
// A verifier, which is a publisher, sends a [Challenge]; an attester, which is
// a provider, answers with [Claims] and [Evidence]. The claims say what the
// attester's software asserts of itself: the key that secrets may be sealed to,
// whose stream this is, which pod runs. The evidence is a device's signature
// over them: [ReportData] goes into the report of a confidential virtual
// machine, [QualifyingData] into a TPM 2.0 quote. Both are hashes of a tag, the
// length and the exact bytes of the claims, so one cannot stand in for the
// other and nobody has to agree on an encoding to check them.
//
// A TPM takes two more messages. Its [TPMIdentity] names an endorsement key,
// which a manufacturer certified, and an attestation key, which signs quotes.
// Nothing but the TPM itself shows that both sit in one chip: the verifier
// encrypts a secret to the first that is released only where the second is
// loaded too ([Activation]), and [ActivationProof] shows that it came back.
//
// What verification finds is a [Result]: authentic and fresh, each step a
// [Check] with a stable code. Whether such a machine will do is a policy's
// question, and its answer a [Verdict]. The two are never mixed: see
// apocryph/attest/verify and apocryph/attest/policy.
//
// The package is pure: no I/O, time as a value. Wire messages end in wire.go;
// whatever a stranger can make long has a cap in caps.go. README.md is the
// threat model, the table of codes and the list of what none of this proves.
package attest
